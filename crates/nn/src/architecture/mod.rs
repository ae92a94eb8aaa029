//! Architectures by name.
//!
//! Their text is a name and options, as `resnet depth=20 width=16 skip=false`; words are parted by
//! blanks or commas. Printing fills every option in, so the text in a run directory builds the
//! same model again.

mod alternet;
mod convnet;
mod deep_linear;
mod gpt;
mod linear;
mod mlp;
mod resnet;
mod scheme;
mod siren;
mod transformer;
mod vit;

pub use alternet::AlterNet;
pub use convnet::{ConvNet, Head, Pooling};
pub use deep_linear::DeepLinear;
pub use gpt::Gpt;
pub use linear::Linear;
pub use mlp::Mlp;
pub use resnet::{ResNet, ResidualInit, Shortcut};
pub use scheme::Scheme;
pub use siren::Siren;
pub use vit::{TokenPool, Vit};

use crate::error::NnError;
use crate::layer::{Activation, DenseLayout};
use crate::model::{Model, ModelPort, Network, PortType};
use crate::options::{self, Field, Options};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// One architecture: its options, and the network that they describe.
trait Design: Options {
    /// What the elements of an example are.
    fn input_type(&self) -> PortType {
        PortType::Float
    }

    /// The network for examples of a shape, or what is wrong with the options or the shape.
    fn network(&self, input: &[usize], outputs: usize) -> Result<Arc<dyn Network>, NnError>;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:literal => $kind:ident),* $(,)?) => {
        /// The options of an architecture.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Kind {
            $($(#[$doc])* $kind($kind),)*
        }

        impl Kind {
            /// Every architecture with its default options.
            pub fn all() -> Vec<Kind> {
                vec![$(Kind::$kind($kind::default())),*]
            }

            /// The name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Kind::$kind(_) => $name,)*
                }
            }

            fn design(&self) -> &dyn Design {
                match self {
                    $(Kind::$kind(design) => design,)*
                }
            }

            fn options(&mut self) -> &mut dyn Options {
                match self {
                    $(Kind::$kind(design) => design,)*
                }
            }
        }

        $(impl From<$kind> for Architecture {
            fn from(options: $kind) -> Architecture {
                Architecture { kind: Kind::$kind(options), input: Vec::new(), outputs: 0 }
            }
        })*
    };
}

kinds! {
    /// One dense layer.
    "linear" => Linear,
    /// Dense layers with activations between them.
    "mlp" => Mlp,
    /// Dense layers with nothing between them.
    "deep-linear" => DeepLinear,
    /// Dense layers with sines between them, for one signal as a function of the place.
    "siren" => Siren,
    /// Convolutions, each followed by pooling.
    "convnet" => ConvNet,
    /// The residual network for small images, with or without its skips.
    "resnet" => ResNet,
    /// The residual network whose stages end in attention.
    "alternet" => AlterNet,
    /// The vision transformer.
    "vit" => Vit,
    /// The decoder-only transformer.
    "gpt" => Gpt,
}

/// An architecture with its options; the shape of the data is filled in when it is built.
///
/// # Example
/// ```
/// use thalweg_nn::Architecture;
/// let model = "resnet depth=20".parse::<Architecture>()?.build(&[32, 32, 3], 10)?;
/// assert_eq!(model.parameter_count(), 272_474);
/// let text = model.architecture().unwrap().to_string();
/// assert!(text.starts_with("resnet input=32x32x3 outputs=10 depth=20 width=16 skip=true"));
/// assert_eq!(text.parse::<Architecture>()?.rebuild()?.parameters(), model.parameters());
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Which architecture, and its options.
    pub kind: Kind,
    /// Extents of one example; empty until it is known.
    pub input: Vec<usize>,
    /// Units of the output; 0 until it is known.
    pub outputs: usize,
}

impl Architecture {
    /// The model for examples of shape `input` and `outputs` classes or values.
    ///
    /// # Errors
    /// Options that are out of range, or a shape that the architecture cannot take; an `input` or
    /// `outputs` in the text that is not that of the data.
    pub fn build(&self, input: &[usize], outputs: usize) -> Result<Model, NnError> {
        let mismatch = |expected: String, got: String| NnError::Input {
            architecture: self.kind.name().to_owned(),
            expected,
            got,
        };
        if !self.input.is_empty() && self.input != input {
            let expected = format!("examples of {}", Extents(&self.input));
            return Err(mismatch(expected, Extents(input).to_string()));
        }
        if self.outputs != 0 && self.outputs != outputs {
            return Err(mismatch(format!("{} outputs", self.outputs), outputs.to_string()));
        }
        if input.is_empty() || input.contains(&0) || outputs == 0 {
            let expected = "examples and outputs of at least one element".to_owned();
            return Err(mismatch(expected, format!("{} to {outputs}", Extents(input))));
        }
        let network = self.kind.design().network(input, outputs)?;
        let ty = self.kind.design().input_type();
        let port = ModelPort { ty, ..ModelPort::float("input", input) };
        let model = Model::new(network, vec![port], &["output"])?;
        let filled = Architecture { input: input.to_vec(), outputs, ..self.clone() };
        Ok(model.of_architecture(filled))
    }

    /// The model of a text that names its input and outputs.
    ///
    /// # Errors
    /// As [`Architecture::build`], or a text without them.
    pub fn rebuild(&self) -> Result<Model, NnError> {
        if self.input.is_empty() || self.outputs == 0 {
            return Err(NnError::Input {
                architecture: self.kind.name().to_owned(),
                expected: "the options input and outputs".to_owned(),
                got: format!("{:?}", self.to_string()),
            });
        }
        self.build(&self.input, self.outputs)
    }

    /// The names of all architectures.
    pub fn names() -> Vec<&'static str> {
        Kind::all().iter().map(Kind::name).collect()
    }
}

impl Options for Architecture {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        let mut input = ExtentsField(std::mem::take(&mut self.input));
        visit("input", &mut input);
        self.input = input.0;
        visit("outputs", &mut self.outputs);
        self.kind.options().fields(visit);
    }
}

impl FromStr for Architecture {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Architecture, NnError> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .collect();
        let name = words.first().copied().unwrap_or("");
        let kind = Kind::all().into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| NnError::UnknownName {
            kind: "architecture",
            got: name.to_owned(),
            known: Architecture::names().into_iter().map(str::to_owned).collect(),
        })?;
        let mut architecture = Architecture { kind, input: Vec::new(), outputs: 0 };
        options::parse(name, &mut architecture, &words[1..])?;
        Ok(architecture)
    }
}

/// The name and every option; `input` and `outputs` once they are known.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if !self.input.is_empty() {
            write!(f, " input={}", Extents(&self.input))?;
        }
        if self.outputs != 0 {
            write!(f, " outputs={}", self.outputs)?;
        }
        f.write_str(&options::show(self.kind.clone().options()))
    }
}

/// Extents as `32x32x3`.
struct Extents<'a>(&'a [usize]);

impl fmt::Display for Extents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<_> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&extents.join("x"))
    }
}

struct ExtentsField(Vec<usize>);

impl Field for ExtentsField {
    fn set(&mut self, text: &str) -> Result<(), String> {
        let extents: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        self.0 = extents.map_err(|_| "extents as 32x32x3".to_owned())?;
        Ok(())
    }

    fn show(&self) -> String {
        Extents(&self.0).to_string()
    }
}

/// A range that an option must lie in.
fn require(
    holds: bool,
    owner: &str,
    option: &str,
    expected: &str,
    got: impl ToString,
) -> Result<(), NnError> {
    if holds {
        return Ok(());
    }
    Err(NnError::BadOption {
        owner: owner.to_owned(),
        option: option.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    })
}

/// Refuses examples that are no images `[height, width, channels]`.
fn require_image(owner: &str, input: &[usize]) -> Result<(), NnError> {
    if input.len() == 3 {
        return Ok(());
    }
    Err(NnError::Input {
        architecture: owner.to_owned(),
        expected: "images as height x width x channels".to_owned(),
        got: Extents(input).to_string(),
    })
}

/// The factor that keeps the variance of a pre-activation through an activation, as
/// `torch.nn.init.calculate_gain` has it, and 1 where it has none.
fn gain(activation: Activation) -> f64 {
    match activation {
        Activation::Relu | Activation::Gelu | Activation::GeluTanh | Activation::Silu => {
            std::f64::consts::SQRT_2
        }
        Activation::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Activation::Tanh => 5.0 / 3.0,
        Activation::Identity | Activation::Sigmoid | Activation::Sine(_) | Activation::Softplus => {
            1.0
        }
    }
}

/// Every axis but the batch in one, with how a dense layer behind it lies in PyTorch.
fn flatten(x: Tensor<'_>) -> (Tensor<'_>, DenseLayout) {
    let shape = x.shape();
    let layout = match shape[..] {
        [_, height, width, channels] => DenseLayout::Flattened([height, width, channels]),
        _ => DenseLayout::Linear,
    };
    let n = shape.first().copied().unwrap_or(1);
    (x.reshape(&[n, shape.iter().skip(1).product()]), layout)
}

#[cfg(test)]
mod tests;

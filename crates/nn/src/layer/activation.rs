//! Activations.

use crate::model::Layer;
use crate::scope::Scope;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
use std::fmt;
use thalweg_graph::Tensor;

/// An element-wise non-linear function.
///
/// Its text is its name, with its number in parentheses: `relu`, `leaky(0.01)`, `sine(30)`.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`; derivative zero at zero.
    #[default]
    Relu,
    /// `x` where positive, else `slope x`; the slope also at zero.
    LeakyRelu(f64),
    /// `x (1 + erf(x / sqrt 2)) / 2`, the exact form.
    Gelu,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, the form that GPT-2 has.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `sin(omega x)`.
    Sine(f64),
    /// `log(1 + e^x)`.
    Softplus,
}

impl Activation {
    /// Every activation with default numbers.
    pub const ALL: [Activation; 10] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Sine(30.0),
        Activation::Softplus,
    ];

    /// The name without a number.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu-tanh",
            Activation::Silu => "silu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Sine(_) => "sine",
            Activation::Softplus => "softplus",
        }
    }

    /// The function of a tensor.
    #[track_caller]
    pub fn of<'b>(&self, x: Tensor<'b>) -> Tensor<'b> {
        match *self {
            Activation::Identity => x,
            Activation::Relu => x.relu(),
            Activation::LeakyRelu(slope) => x.greater(0.0).select(x, x * slope),
            Activation::Gelu => x * 0.5 * ((x * FRAC_1_SQRT_2).erf() + 1.0),
            Activation::GeluTanh => {
                let inner = (x + x * x * x * 0.044715) * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
                x * 0.5 * (inner.tanh() + 1.0)
            }
            Activation::Silu => x * x.logistic(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.logistic(),
            Activation::Sine(omega) => (x * omega).sin(),
            Activation::Softplus => x.softplus(),
        }
    }

    /// The activation that a text names, if any.
    pub(crate) fn from_text(text: &str) -> Option<Activation> {
        let (name, number) = match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
            Some((name, number)) => {
                (name, Some(number.trim().parse::<f64>().ok().filter(|x| x.is_finite())?))
            }
            None => (text, None),
        };
        let found = Activation::ALL.into_iter().find(|a| a.name() == name)?;
        match (found, number) {
            (_, None) => Some(found),
            (Activation::LeakyRelu(_), Some(slope)) => Some(Activation::LeakyRelu(slope)),
            (Activation::Sine(_), Some(omega)) => Some(Activation::Sine(omega)),
            (_, Some(_)) => None,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::LeakyRelu(number) | Activation::Sine(number) => {
                write!(f, "{}({number})", self.name())
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl Layer for Activation {
    fn forward<'b>(&self, _: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        self.of(x)
    }
}

//! Losses with a weight for each example.

use crate::error::NnError;
use crate::options::{self, Field, Options};
use std::fmt;
use std::str::FromStr;
use thalweg_array::DType;
use thalweg_graph::{Tensor, TensorType};

/// A loss of a batch of outputs against targets.
///
/// `loss = 1/n sum over i of w_i l_i`, the mean over the batch of the weighted losses of the
/// examples. Weights default to one. The sum is divided by the number of examples and not by the
/// sum of weights, so that each example's contribution is linear in its own weight alone; pass
/// weights of mean one where a weighted mean is meant.
///
/// Targets are labels `i32 [n]` or values of the outputs' type and shape. Where an example has
/// several positions, as the tokens of a sequence, outputs are `[n, positions.., k]`, labels
/// `i32 [n, positions..]`, and `l_i` is the mean over the positions of example `i`. Its text is its
/// name with options, as `cross-entropy smoothing=0.1`.
///
/// # Units    nats for cross-entropy, mean over the batch
///
/// # Example
/// ```
/// use thalweg_nn::Loss;
/// let loss: Loss = "cross-entropy smoothing=0.1".parse()?;
/// assert_eq!(loss, Loss::CrossEntropy { smoothing: 0.1 });
/// assert_eq!(loss.to_string(), "cross-entropy smoothing=0.1");
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `l = - sum over k of t_k log softmax(z)_k`, with `t = (1 - smoothing) onehot(y) +
    /// smoothing / K` for `K` classes; target values are probabilities and are smoothed likewise.
    CrossEntropy {
        /// Share of the target spread evenly over the classes.
        smoothing: f64,
    },
    /// `l = - sum over k of t_k z_k`: the outputs are logarithms of probabilities, as those of
    /// `torch.nn.NLLLoss`.
    NegativeLogLikelihood,
    /// `l = 1/K sum over k of (z_k - t_k)^2`: the mean over all elements, as
    /// `torch.nn.MSELoss`. Labels stand for their one-hot vectors.
    MeanSquaredError,
    /// `l = 1/2 sum over k of (z_k - t_k)^2`. Labels stand for their one-hot vectors.
    HalfSquaredError,
    /// `l = 1/K sum over k of softplus(z_k) - t_k z_k`, as `torch.nn.BCEWithLogitsLoss`. Labels
    /// stand for their one-hot vectors, or, with one output, for 0 and 1.
    BinaryCrossEntropy,
    /// `l = 1/K sum over k of |z_k - t_k|`, as `torch.nn.L1Loss`. Labels stand for their one-hot
    /// vectors.
    MeanAbsoluteError,
    /// `l = 1/K sum over k of h(z_k - t_k)` with `h(r) = r^2 / 2` up to `|r| = delta` and
    /// `delta (|r| - delta / 2)` beyond, as `torch.nn.HuberLoss`. Labels stand for their one-hot
    /// vectors.
    Huber {
        /// Where the parabola goes over into lines.
        delta: f64,
    },
}

impl Default for Loss {
    fn default() -> Loss {
        Loss::CrossEntropy { smoothing: 0.0 }
    }
}

impl Loss {
    /// Every loss with default options.
    pub const ALL: [Loss; 7] = [
        Loss::CrossEntropy { smoothing: 0.0 },
        Loss::NegativeLogLikelihood,
        Loss::MeanSquaredError,
        Loss::HalfSquaredError,
        Loss::BinaryCrossEntropy,
        Loss::MeanAbsoluteError,
        Loss::Huber { delta: 1.0 },
    ];

    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::CrossEntropy { .. } => "cross-entropy",
            Loss::NegativeLogLikelihood => "nll",
            Loss::MeanSquaredError => "mse",
            Loss::HalfSquaredError => "half-squared-error",
            Loss::BinaryCrossEntropy => "bce",
            Loss::MeanAbsoluteError => "mae",
            Loss::Huber { .. } => "huber",
        }
    }

    /// The loss of each example, `[n]`.
    ///
    /// # Shapes    output `[n, .., k]`, target `i32 [n, ..]` or `[n, .., k]` -> `[n]`
    #[track_caller]
    pub fn per_example<'b>(&self, output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
        let Some(Units { count, axis }) = units(self.name(), output) else {
            let n = output.shape().first().copied();
            return output.builder().scalar(0.0).broadcast_in(n.as_slice(), &[]);
        };
        match *self {
            Loss::CrossEntropy { smoothing } => {
                return over_positions(cross_entropy(output, target, smoothing));
            }
            Loss::NegativeLogLikelihood => {
                return over_positions(-chosen(self.name(), output, target));
            }
            _ => {}
        }
        let target = match (are_labels(output, target), count) {
            (true, 1) if *self == Loss::BinaryCrossEntropy => {
                target.convert(output.dtype()).expand(axis)
            }
            (true, _) => target.one_hot(count, output.dtype()),
            (false, _) => same_type(self.name(), output, target),
        };
        over_positions(match *self {
            Loss::CrossEntropy { .. } | Loss::NegativeLogLikelihood | Loss::MeanSquaredError => {
                (output - target).square().mean(&[axis])
            }
            Loss::MeanAbsoluteError => (output - target).abs().mean(&[axis]),
            Loss::Huber { delta } => {
                let distance = (output - target).abs();
                let line = (distance - 0.5 * delta) * delta;
                let near = distance.less_equal(delta);
                near.select(distance.square() * 0.5, line).mean(&[axis])
            }
            Loss::HalfSquaredError => (output - target).square().sum(&[axis]) * 0.5,
            Loss::BinaryCrossEntropy => (output.softplus() - target * output).mean(&[axis]),
        })
    }

    /// The loss of a batch, a scalar; `weights [n]` default to one.
    ///
    /// # Shapes    output `[n, .., k]`, target `i32 [n, ..]` or `[n, .., k]`, weights `[n]` -> `[]`
    #[track_caller]
    pub fn of<'b>(
        &self,
        output: Tensor<'b>,
        target: Tensor<'b>,
        weights: Option<Tensor<'b>>,
    ) -> Tensor<'b> {
        let losses = self.per_example(output, target);
        let Some(weights) = weights else { return losses.mean(&[0]) };
        if weights.ty() != losses.ty() {
            let expected = format!("weights {}", losses.ty());
            output.builder().reject(self.name(), expected, weights.ty().to_string());
            return losses.mean(&[0]);
        }
        (weights * losses).mean(&[0])
    }

    /// Whether each example is classified rightly, 1 or 0 in the outputs' type; of several
    /// positions the share that is.
    ///
    /// The first largest output decides; with one output, whether it is positive. Values as
    /// targets stand for the class of their first largest (with one output: above one half).
    ///
    /// # Shapes    output `[n, .., k]`, target `i32 [n, ..]` or `[n, .., k]` -> `[n]`
    #[track_caller]
    pub fn correct<'b>(output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
        let Some(Units { count, axis }) = units("accuracy", output) else { return output };
        let labels = are_labels(output, target);
        let (predicted, expected) = if count == 1 {
            let places = &output.shape()[..axis];
            let expected = match labels {
                true => target.greater(0.0),
                false => same_type("accuracy", output, target).greater(0.5).reshape(places),
            };
            (output.greater(0.0).reshape(places).convert(DType::I32), expected.convert(DType::I32))
        } else {
            let expected = match labels {
                true => target.convert(DType::I32),
                false => same_type("accuracy", output, target).arg_max(axis),
            };
            (output.arg_max(axis), expected)
        };
        over_positions(predicted.equal(expected).convert(output.dtype()))
    }
}

/// The last axis of the outputs.
struct Units {
    count: usize,
    axis: usize,
}

/// The outputs' units, or none (with the builder told) if there is no batch of them.
#[track_caller]
fn units(what: &str, output: Tensor<'_>) -> Option<Units> {
    match output.shape()[..] {
        [_, .., count] => Some(Units { count, axis: output.rank() - 1 }),
        _ => {
            output.builder().reject(what, "output [batch, .., units]", output.ty().to_string());
            None
        }
    }
}

/// Whether a target is a label for each position of the outputs.
fn are_labels(output: Tensor<'_>, target: Tensor<'_>) -> bool {
    let shape = output.shape();
    target.dtype().is_integer() && target.shape() == shape[..shape.len().saturating_sub(1)]
}

/// `[n, ..] -> [n]`: the mean over the positions of each example.
#[track_caller]
fn over_positions(values: Tensor<'_>) -> Tensor<'_> {
    match values.rank() {
        0 | 1 => values,
        rank => values.mean(&(1..rank).collect::<Vec<_>>()),
    }
}

/// The loss of each position.
#[track_caller]
fn cross_entropy<'b>(output: Tensor<'b>, target: Tensor<'b>, smoothing: f64) -> Tensor<'b> {
    let shape = output.shape();
    let axis = shape.len() - 1;
    let smooth = |chosen: Tensor<'b>| match smoothing {
        0.0 => chosen,
        share => chosen * (1.0 - share) + output.mean(&[axis]) * share,
    };
    let normalizer = output.logsumexp(&[axis]);
    let chosen = smooth(chosen("cross-entropy", output, target));
    if are_labels(output, target) {
        return normalizer - chosen;
    }
    // Targets need not sum to one.
    let target = same_type("cross-entropy", output, target);
    let mass = target.sum(&[axis]) * (1.0 - smoothing) + smoothing;
    mass * normalizer - chosen
}

/// `sum over k of t_k z_k` at each position: the output at the label.
#[track_caller]
fn chosen<'b>(what: &str, output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
    let shape = output.shape();
    let axis = shape.len() - 1;
    if are_labels(output, target) {
        // A select, because zero times an infinite logit would be NaN.
        let hot = target.one_hot(shape[axis], DType::Bool);
        return hot.select(output, output.zeros_like()).sum(&[axis]);
    }
    (same_type(what, output, target) * output).sum(&[axis])
}

#[track_caller]
fn same_type<'b>(what: &str, output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
    let ty = output.ty();
    if target.ty() == ty {
        return target;
    }
    let places = &ty.shape[..ty.rank().saturating_sub(1)];
    let labels = TensorType::new(DType::I32, places);
    let expected = format!("target {labels} or {ty}");
    output.builder().reject(what, expected, target.ty().to_string());
    output
}

impl Options for Loss {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        match self {
            Loss::CrossEntropy { smoothing } => visit("smoothing", smoothing),
            Loss::Huber { delta } => visit("delta", delta),
            Loss::NegativeLogLikelihood
            | Loss::MeanSquaredError
            | Loss::HalfSquaredError
            | Loss::BinaryCrossEntropy
            | Loss::MeanAbsoluteError => {}
        }
    }
}

impl FromStr for Loss {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Loss, NnError> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .collect();
        let name = words.first().copied().unwrap_or("");
        let found = Loss::ALL.into_iter().find(|loss| loss.name() == name);
        let mut loss = found.ok_or_else(|| NnError::UnknownName {
            kind: "loss",
            got: name.to_owned(),
            known: Loss::ALL.iter().map(|loss| loss.name().to_owned()).collect(),
        })?;
        options::parse(name, &mut loss, &words[1..])?;
        let bad = |option: &str, expected: &str, got: f64| NnError::BadOption {
            owner: name.to_owned(),
            option: option.to_owned(),
            expected: expected.to_owned(),
            got: got.to_string(),
        };
        match loss {
            Loss::CrossEntropy { smoothing } if !(0.0..=1.0).contains(&smoothing) => {
                Err(bad("smoothing", "a share from 0 to 1", smoothing))
            }
            Loss::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                Err(bad("delta", "a number above 0", delta))
            }
            loss => Ok(loss),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), options::show(&mut { *self }))
    }
}

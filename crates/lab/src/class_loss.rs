//! Losses for classes of unequal frequency, on the data at hand.

use crate::data_source::PreparedData;
use crate::error::{LabError, Result};
use thalweg_methods::ModelObjective;
use thalweg_nn::{ClassAdjustment, ClassLoss, ClassOutputs, Loss};

/// Examples of each class in the training part, where a loss asks for them.
///
/// # Errors
/// `Input` for data whose examples have no class each, or a class that the training part lacks.
fn counts(loss: &ClassLoss, data: &PreparedData) -> Result<Option<Vec<usize>>> {
    let (labels, classes) = (data.train.labels(), data.train.n_classes().unwrap_or_default());
    loss.class_counts(labels.as_deref(), classes).map_err(|error| {
        let name = data.dataset.name();
        LabError::Input(format!("--loss {loss} to train on {name}: {error}"))
    })
}

/// What is done to outputs before the loss.
///
/// # Errors
/// As the frequencies of classes.
pub(crate) fn adjustment(loss: &ClassLoss, data: &PreparedData) -> Result<Option<ClassAdjustment>> {
    match counts(loss, data)? {
        Some(counts) => Ok(loss.adjustment(&counts)?),
        None => Ok(None),
    }
}

/// The weights of classes.
///
/// # Errors
/// As the frequencies of classes.
pub(crate) fn weights(loss: &ClassLoss, data: &PreparedData) -> Result<Option<Vec<f64>>> {
    match counts(loss, data)? {
        Some(counts) => Ok(loss.weights(&counts)?),
        None => Ok(None),
    }
}

/// An objective of a loss with weights and adjustment.
///
/// # Errors
/// As the frequencies of classes.
pub(crate) fn adjusted(
    objective: ModelObjective,
    loss: &ClassLoss,
    data: &PreparedData,
) -> Result<ModelObjective> {
    match counts(loss, data)? {
        Some(counts) => Ok(objective.with_class_loss(loss, &counts)?),
        None => Ok(objective),
    }
}

/// What a loss does for classes of unequal frequency, to follow its name; nothing where that is
/// nothing.
pub(crate) fn words(loss: &ClassLoss) -> String {
    let mut words = match loss.outputs {
        ClassOutputs::Plain => String::new(),
        ClassOutputs::Scaled { gamma: 0.0, tau } => format!(" of logits adjusted by tau {tau}"),
        ClassOutputs::Scaled { gamma, tau } => {
            format!(" of logits scaled by gamma {gamma} and adjusted by tau {tau}")
        }
        ClassOutputs::Margins { largest, scale: 1.0 } => format!(" with margins up to {largest}"),
        ClassOutputs::Margins { largest, scale } => {
            format!(" with margins up to {largest}, times {scale}")
        }
    };
    if let Some(beta) = loss.balanced {
        words.push_str(&format!(", classes balanced by beta {beta}"));
    }
    words
}

/// How a loss treats its classes, in sentences that follow another one.
pub(crate) fn explanation(loss: &ClassLoss) -> String {
    let mut how = match loss.outputs {
        ClassOutputs::Plain => String::new(),
        ClassOutputs::Scaled { gamma, tau } => format!(
            " Before the loss the logit z_k of class k becomes (n_k / n_max)^{gamma} z_k + {tau} \
             log(n_k / n), with n_k of n training examples (vector scaling)."
        ),
        ClassOutputs::Margins { largest, scale } => format!(
            " Before the loss the logit of the true class is less by a margin in proportion to \
             n_k^(-1/4), {largest} for the rarest class, and all logits are multiplied by {scale} \
             (label-distribution-aware margins)."
        ),
    };
    if let Some(beta) = loss.balanced {
        how.push_str(&format!(
            " An example counts by the weight of its class, (1 - b) / (1 - b^n_k) with b = {beta} and \
             n_k training examples, whose mean over classes is one."
        ));
    }
    how
}

/// Refuses a share of a training where none is trained.
///
/// # Errors
/// `Usage`.
pub(crate) fn check_measured(loss: &ClassLoss) -> Result<()> {
    match loss.from > 0.0 {
        true => Err(LabError::Usage(format!(
            "--loss {loss}: from is the share of a training after which weights count: expected it \
             with train"
        ))),
        false => Ok(()),
    }
}

/// The loss that a training ends with, which is what its networks are measured by.
pub(crate) fn at_the_end(loss: ClassLoss) -> ClassLoss {
    ClassLoss { from: 0.0, ..loss }
}

/// The name of the plain loss and its unit.
pub(crate) fn plain_name(loss: Loss) -> String {
    match loss {
        Loss::CrossEntropy { smoothing: 0.0 } => "cross-entropy (nats)".to_owned(),
        Loss::CrossEntropy { smoothing } => {
            format!("cross-entropy, labels smoothed by {smoothing} (nats)")
        }
        Loss::NegativeLogLikelihood => "negative log-likelihood (nats)".to_owned(),
        Loss::MeanAbsoluteError => "mean absolute error".to_owned(),
        Loss::Huber { delta } => format!("Huber loss of delta {delta}"),
        Loss::MeanSquaredError => "mean squared error".to_owned(),
        Loss::HalfSquaredError => "half squared error".to_owned(),
        Loss::BinaryCrossEntropy => "binary cross-entropy (nats)".to_owned(),
    }
}

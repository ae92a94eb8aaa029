//! A loss with what is done for classes of unequal frequency, as one text.

use crate::error::{NnError, nearest};
use crate::options::{self, Field, Options};
use crate::{ClassAdjustment, Loss, class_balanced_weights};
use std::fmt;
use std::str::FromStr;

/// A loss, weights of its classes and what is done to outputs before it sees them.
///
/// Its text is that of the loss with options more: `balanced=BETA` weights examples by
/// [`class_balanced_weights`], with `from=SHARE` only after that share of a training; `gamma` and
/// `tau` scale and shift outputs by [`ClassAdjustment::vector_scaling`] (`tau=1` alone is logit
/// adjustment), `margin` and `scale` are those of [`ClassAdjustment::margins`].
///
/// # Example
/// ```
/// use thalweg_nn::ClassLoss;
/// let loss: ClassLoss = "cross-entropy balanced=0.99 tau=1".parse()?;
/// let adjustment = loss.adjustment(&[100, 10])?.unwrap();
/// assert!((adjustment.shifts[1] - (10.0f64 / 110.0).ln()).abs() < 1e-15);
/// assert!(loss.weights(&[100, 10])?.unwrap()[1] > 1.0);
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassLoss {
    /// The loss.
    pub loss: Loss,
    /// Beta of class-balanced weights, where there are any.
    pub balanced: Option<f64>,
    /// The share of a training after which weights count.
    pub from: f64,
    /// What is done to outputs.
    pub outputs: ClassOutputs,
}

/// What is done to outputs before a loss sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ClassOutputs {
    /// Nothing.
    #[default]
    Plain,
    /// [`ClassAdjustment::vector_scaling`].
    Scaled {
        /// The exponent of the factors.
        gamma: f64,
        /// The factor of the shifts.
        tau: f64,
    },
    /// [`ClassAdjustment::margins`].
    Margins {
        /// The margin of the rarest class.
        largest: f64,
        /// The factor of outputs less their margins.
        scale: f64,
    },
}

/// The options that it has beside the loss's own.
const OWN: [&str; 6] = ["balanced", "from", "gamma", "tau", "margin", "scale"];

impl From<Loss> for ClassLoss {
    fn from(loss: Loss) -> ClassLoss {
        ClassLoss { loss, ..ClassLoss::default() }
    }
}

impl ClassLoss {
    /// Whether it is the loss alone.
    pub fn is_plain(&self) -> bool {
        self.balanced.is_none() && self.outputs == ClassOutputs::Plain
    }

    /// Examples of each of so many classes among labels, as [`ClassLoss::weights`] and
    /// [`ClassLoss::adjustment`] take them; none where the loss treats all classes alike.
    ///
    /// Labels that are no class are not counted: whoever takes the loss refuses them.
    ///
    /// # Errors
    /// `BadOption` without labels, or for a class without an example.
    pub fn class_counts(
        &self,
        labels: Option<&[i32]>,
        classes: usize,
    ) -> Result<Option<Vec<usize>>, NnError> {
        if self.is_plain() {
            return Ok(None);
        }
        let option = match (self.balanced, self.outputs) {
            (Some(_), _) | (None, ClassOutputs::Plain) => "balanced",
            (None, ClassOutputs::Scaled { .. }) => "tau",
            (None, ClassOutputs::Margins { .. }) => "margin",
        };
        let bad = |expected: &str, got: String| NnError::BadOption {
            owner: self.loss.name().to_owned(),
            option: option.to_owned(),
            expected: expected.to_owned(),
            got,
        };
        let labels = labels.ok_or_else(|| bad("examples with a class each", "others".into()))?;
        let mut counts = vec![0; classes];
        for label in labels {
            if let Some(count) = usize::try_from(*label).ok().and_then(|k| counts.get_mut(k)) {
                *count += 1;
            }
        }
        match counts.iter().position(|&count| count == 0) {
            None => Ok(Some(counts)),
            Some(class) => Err(bad("an example of every class", format!("none of class {class}"))),
        }
    }

    /// A factor of the losses of each class, with so many examples of each.
    ///
    /// # Errors
    /// A class without examples.
    pub fn weights(&self, counts: &[usize]) -> Result<Option<Vec<f64>>, NnError> {
        self.balanced.map(|beta| class_balanced_weights(counts, beta)).transpose()
    }

    /// What is done to outputs, with so many examples of each class.
    ///
    /// # Errors
    /// A class without examples.
    pub fn adjustment(&self, counts: &[usize]) -> Result<Option<ClassAdjustment>, NnError> {
        match self.outputs {
            ClassOutputs::Plain => Ok(None),
            ClassOutputs::Scaled { gamma, tau } => {
                ClassAdjustment::vector_scaling(counts, gamma, tau).map(Some)
            }
            ClassOutputs::Margins { largest, scale } => {
                ClassAdjustment::margins(counts, largest, scale).map(Some)
            }
        }
    }
}

/// The options as they are given.
#[derive(Default)]
struct Given([Option<f64>; 6]);

/// A number that may be left out.
impl Field for Option<f64> {
    fn set(&mut self, text: &str) -> Result<(), String> {
        let mut number = 0.0;
        Field::set(&mut number, text)?;
        *self = Some(number);
        Ok(())
    }

    fn show(&self) -> String {
        self.as_ref().map(Field::show).unwrap_or_default()
    }
}

impl Options for Given {
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field)) {
        OWN.into_iter().zip(&mut self.0).for_each(|(name, value)| visit(name, value));
    }
}

impl FromStr for ClassLoss {
    type Err = NnError;

    fn from_str(text: &str) -> Result<ClassLoss, NnError> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
            .collect();
        let is_own = |word: &&str| OWN.contains(&word.split_once('=').map_or(*word, |w| w.0));
        // The name comes first.
        let (own, plain): (Vec<&str>, Vec<&str>) = words.into_iter().partition(is_own);
        let loss: Loss = plain.join(" ").parse().map_err(with_own)?;
        let mut given = Given::default();
        options::parse(loss.name(), &mut given, &own)?;
        let [balanced, from, gamma, tau, margin, scale] = given.0;
        let bad = |option: &str, expected: &str, got: f64| NnError::BadOption {
            owner: loss.name().to_owned(),
            option: option.to_owned(),
            expected: expected.to_owned(),
            got: got.to_string(),
        };
        for (option, value) in [("balanced", balanced), ("from", from)] {
            if let Some(value) = value.filter(|value| !(0.0..1.0).contains(value)) {
                return Err(bad(option, "a number from 0 to below 1", value));
            }
        }
        if let (Some(from), None) = (from, balanced) {
            return Err(bad("from", "it with balanced, whose weights begin then", from));
        }
        let adjusted = [("gamma", gamma), ("tau", tau), ("margin", margin)];
        for (option, value) in adjusted {
            let Some(value) = value else { continue };
            if !matches!(loss, Loss::CrossEntropy { .. }) {
                return Err(bad(option, "it of cross-entropy", value));
            }
            if value < 0.0 {
                return Err(bad(option, "a number of at least 0", value));
            }
        }
        if let Some(scale) = scale.filter(|scale| *scale <= 0.0) {
            return Err(bad("scale", "a number above 0", scale));
        }
        let outputs = match (margin, scale, gamma.or(tau)) {
            (Some(margin), _, Some(_)) => {
                return Err(bad("margin", "it without gamma and tau", margin));
            }
            (None, Some(scale), _) => return Err(bad("scale", "it with margin", scale)),
            (Some(largest), scale, None) => {
                ClassOutputs::Margins { largest, scale: scale.unwrap_or(1.0) }
            }
            (None, None, Some(_)) => ClassOutputs::Scaled {
                gamma: gamma.unwrap_or_default(),
                tau: tau.unwrap_or_default(),
            },
            (None, None, None) => ClassOutputs::Plain,
        };
        Ok(ClassLoss { loss, balanced, from: from.unwrap_or_default(), outputs })
    }
}

/// The options of the loss are not all that there are.
fn with_own(error: NnError) -> NnError {
    match error {
        NnError::UnknownOption { owner, got, mut known, .. } => {
            known.extend(OWN.map(str::to_owned));
            let nearest = nearest(&got, known.iter().map(String::as_str)).map(str::to_owned);
            NnError::UnknownOption { owner, got, nearest, known }
        }
        other => other,
    }
}

impl fmt::Display for ClassLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.loss)?;
        if let Some(beta) = self.balanced {
            write!(f, " balanced={beta}")?;
        }
        if self.from > 0.0 {
            write!(f, " from={}", self.from)?;
        }
        match self.outputs {
            ClassOutputs::Plain => Ok(()),
            ClassOutputs::Scaled { gamma, tau } => write!(f, " gamma={gamma} tau={tau}"),
            ClassOutputs::Margins { largest, scale } => {
                write!(f, " margin={largest} scale={scale}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_round() {
        for text in [
            "cross-entropy",
            "cross-entropy smoothing=0.1 balanced=0.9999 from=0.8",
            "cross-entropy tau=1",
            "cross-entropy gamma=0.3,tau=1",
            "cross-entropy margin=0.5 balanced=0.99",
            "mse balanced=0.9",
        ] {
            let loss: ClassLoss = text.parse().unwrap();
            assert_eq!(loss.to_string().parse::<ClassLoss>().unwrap(), loss, "{text}");
        }
        let plain = Loss::default();
        assert_eq!(ClassLoss::from(plain).to_string(), plain.to_string());
        let adjusted: ClassLoss = "cross-entropy tau=1".parse().unwrap();
        assert_eq!(adjusted.outputs, ClassOutputs::Scaled { gamma: 0.0, tau: 1.0 });
        assert!(!adjusted.is_plain() && ClassLoss::default().is_plain());
        assert_eq!(adjusted.weights(&[1, 0]).unwrap(), None);
        assert!(adjusted.adjustment(&[1, 0]).is_err());
    }

    #[test]
    fn classes_are_counted_where_a_loss_asks_for_them() {
        let counts = |text: &str, labels: Option<&[i32]>| {
            let loss: ClassLoss = text.parse().unwrap();
            loss.class_counts(labels, 3).map_err(|error| error.to_string())
        };
        assert_eq!(counts("cross-entropy", None), Ok(None));
        // What is no class is another's to refuse.
        let labels = [2, 0, 2, 1, -1, 3];
        for text in ["cross-entropy tau=1", "mse balanced=0.9", "cross-entropy margin=1"] {
            assert_eq!(counts(text, Some(&labels)), Ok(Some(vec![1, 1, 2])), "{text}");
            let message = counts(text, Some(&labels[..3])).unwrap_err();
            assert!(message.contains("none of class 1"), "{message}");
            let option = text.split([' ', '=']).nth(1).unwrap();
            let message = counts(text, None).unwrap_err();
            assert!(message.contains(option) && message.contains("a class each"), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let message = |text: &str| text.parse::<ClassLoss>().unwrap_err().to_string();
        let unknown = message("cross-entropy blanced=0.9");
        assert!(unknown.contains("smoothing") && unknown.contains("did you mean"), "{unknown}");
        for (text, words) in [
            ("hinge", "cross-entropy"),
            ("cross-entropy balanced=1", "from 0 to below 1"),
            ("cross-entropy balanced", "a number"),
            ("cross-entropy from=0.5", "with balanced"),
            ("mse tau=1", "it of cross-entropy"),
            ("cross-entropy tau=-1", "at least 0"),
            ("cross-entropy margin=0.5 tau=1", "without gamma and tau"),
            ("cross-entropy scale=2", "it with margin"),
            ("cross-entropy margin=1 scale=0", "above 0"),
            ("cross-entropy tau=1 tau=2", "given once"),
        ] {
            assert!(message(text).contains(words), "{text}: {}", message(text));
        }
    }
}

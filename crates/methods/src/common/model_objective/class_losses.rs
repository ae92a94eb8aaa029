//! Objectives for classes of unequal frequency.

use super::ModelObjective;
use crate::MethodError;
use crate::common::Objective;
use thalweg_array::Array;
use thalweg_nn::{ClassAdjustment, ClassLoss};

impl ModelObjective {
    /// The same with what a loss does for classes of which there are so many examples each, usually in
    /// the data that the model is trained on.
    ///
    /// # Errors
    /// A class without examples; as [`ModelObjective::with_adjustment`] and
    /// [`ModelObjective::with_class_weights`].
    pub fn with_class_loss(
        mut self,
        loss: &ClassLoss,
        counts: &[usize],
    ) -> Result<ModelObjective, MethodError> {
        if let Some(adjustment) = loss.adjustment(counts)? {
            self = self.with_adjustment(adjustment)?;
        }
        match loss.weights(counts)? {
            Some(weights) => self.with_class_weights(&weights),
            None => Ok(self),
        }
    }

    /// The same with outputs adjusted for classes of unequal frequency before the loss sees them;
    /// whether an example is classified rightly is told from the outputs as they are.
    ///
    /// # Errors
    /// Examples without a class each, or another number of classes than the model has outputs.
    pub fn with_adjustment(
        mut self,
        adjustment: ClassAdjustment,
    ) -> Result<ModelObjective, MethodError> {
        self.adjustment = Some(adjustment);
        self.verify()?;
        Ok(self)
    }

    /// The same with the loss of each example multiplied by the factor of its class, beside the one
    /// that it may have of its own.
    ///
    /// # Errors
    /// Examples without a class each; a class without a factor, or one that is negative or not finite.
    pub fn with_class_weights(mut self, of: &[f64]) -> Result<ModelObjective, MethodError> {
        let what = "the weights of classes";
        if let Some(weight) = of.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite())) {
            return Err(MethodError::config(what, "numbers of at least 0", weight));
        }
        let Some(labels) = Objective::labels(&self) else {
            return Err(MethodError::mismatch(what, "examples with a class each", "others"));
        };
        let own = self.weights.as_ref().map(Array::to_f64_vec);
        let mut weights = own.unwrap_or_else(|| vec![1.0; labels.len()]);
        for (weight, label) in weights.iter_mut().zip(labels) {
            let factor = usize::try_from(label).ok().and_then(|class| of.get(class));
            *weight *= factor.ok_or_else(|| {
                MethodError::mismatch(what, format!("one of class {label}"), of.len())
            })?;
        }
        self.weights = Some(Array::vector(&weights).convert(self.float));
        self.verify()?;
        Ok(self)
    }
}

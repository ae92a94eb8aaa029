//! By how much a perturbation raises the loss.

use crate::common::{Evaluator, Objective, Sampling, standard_error};
use crate::registry::{Over, Quantity};
use crate::{Context, MethodError};
use std::ops::Range;
use thalweg_array::DType;
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// `L(w + d) - L(w)` for a perturbation `d`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rise {
    /// The rise of the mean loss; not finite where one of the losses is not.
    pub value: f64,
    /// `L(w)`.
    pub loss: f64,
    /// Where the examples are a sample: the standard error of the rise with the perturbation held.
    pub standard_error: Option<f64>,
    /// The rise of each example's loss.
    pub examples: Vec<f64>,
}

impl Rise {
    pub(super) fn quantity(&self, name: &str) -> Quantity {
        let quantity = match self.standard_error {
            None => Quantity::exact(name, self.value),
            Some(standard_error) => {
                let samples = self.examples.len();
                Quantity::estimated(name, Estimate { value: self.value, standard_error, samples })
            }
        };
        quantity.with_terms(Over::Examples, &self.examples)
    }
}

/// Evaluates rises along perturbations of one point.
pub(super) struct Rises<'a> {
    objective: &'a dyn Objective,
    evaluator: Option<Evaluator<'a>>,
    ctx: Context<'a>,
    point: Weights,
}

impl<'a> Rises<'a> {
    pub(super) fn new(
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
    ) -> Rises<'a> {
        Rises { objective, evaluator: None, ctx: ctx.clone(), point: point.clone() }
    }

    /// The losses of some batches' examples at multiples of a perturbation.
    pub(super) fn losses(
        &mut self,
        perturbation: &[f64],
        multiples: &[f64],
        batches: Range<usize>,
    ) -> Result<Vec<Vec<f64>>, MethodError> {
        // In f64, so that it is rounded once, by the evaluator.
        let template = self.point.parameters.convert(DType::F64);
        let direction = [template.unflatten(perturbation)?];
        // One set of programs serves all perturbations.
        let along = match self.evaluator.take() {
            Some(known) => known.moved(&self.point, &direction)?,
            None => Evaluator::affine(
                &self.ctx,
                self.objective,
                &self.point,
                &direction,
                multiples.len(),
            )?,
        };
        let coordinates: Vec<Vec<f64>> = multiples.iter().map(|&m| vec![m]).collect();
        let found = along.examples_at(&coordinates, batches)?;
        self.evaluator = Some(along);
        Ok(found.into_iter().map(|values| values.losses).collect())
    }

    /// The rise over some batches.
    pub(super) fn over(
        &mut self,
        perturbation: &[f64],
        batches: Range<usize>,
    ) -> Result<Rise, MethodError> {
        let all = batches == (0..self.objective.batches().len());
        let losses = self.losses(perturbation, &[0.0, 1.0], batches)?;
        let [still, moved] = &losses[..] else {
            return Err(MethodError::mismatch("losses", "those of two points", losses.len()));
        };
        let n = still.len().max(1) as f64;
        let mean = |losses: &[f64]| pairwise_sum(losses) / n;
        let examples: Vec<f64> =
            moved.iter().zip(still).map(|(moved, still)| moved - still).collect();
        let standard_error = match self.objective.sampling() {
            Sampling::Strata(strata) if all => Some(standard_error(&examples, strata)),
            _ => None,
        };
        let loss = mean(still);
        Ok(Rise { value: mean(moved) - loss, loss, standard_error, examples })
    }

    /// The rise over all examples.
    pub(super) fn of(&mut self, perturbation: &[f64]) -> Result<Rise, MethodError> {
        self.over(perturbation, 0..self.objective.batches().len())
    }
}

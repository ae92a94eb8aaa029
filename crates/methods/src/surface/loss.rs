//! The loss itself, and accuracy.

use crate::common::{Evaluator, Objective, Sampling, share_error, standard_error};
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// What became of each example at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleLosses {
    /// The loss of each.
    pub losses: Vec<f64>,
    /// 1 where it is classified rightly and 0 where not, for classification.
    pub correct: Option<Vec<f64>>,
    /// Standard errors of the means of both, where the examples are a sample.
    pub standard_errors: Option<[f64; 2]>,
}

/// The loss and the accuracy at a point, example by example, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct MeanLoss;

impl Instrument for MeanLoss {
    const ID: &'static str = "loss";
    const SUMMARY: &'static str = "mean loss, and for classes the share classified rightly";
    const SOURCE: &'static str = "error of a stratified sample: Cochran, Sampling techniques, 1977";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::UnitRescaling,
        Invariance::NormalizedFilters,
        Invariance::Rotation,
        Invariance::LinearCoordinates,
    ];
    type Config = ();
    type Reading = ExampleLosses;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        (): &(),
    ) -> Result<ExampleLosses, MethodError> {
        ctx.progress().start("loss", 1);
        let evaluator = Evaluator::points(ctx, objective, 1)?;
        let mut found = evaluator.examples_at_weights(std::slice::from_ref(point))?;
        ctx.progress().advance(1);
        let Some(found) = found.pop() else {
            return Err(MethodError::mismatch("evaluation", "one point", "none"));
        };
        let standard_errors = match objective.sampling() {
            Sampling::All => None,
            Sampling::Strata(strata) => {
                let of_share = |values: &[f64]| share_error(values, strata);
                let loss = standard_error(&found.losses, strata);
                Some([loss, found.correct.as_deref().map_or(0.0, of_share)])
            }
        };
        Ok(ExampleLosses { losses: found.losses, correct: found.correct, standard_errors })
    }

    fn cost((): &(), _: &Size) -> Cost {
        Cost::exactly(1, 0, 0)
    }

    fn quantities(reading: &ExampleLosses) -> Vec<Quantity> {
        let quantity = |name: &str, values: &[f64], which: usize| {
            let samples = values.len();
            let value = pairwise_sum(values) / samples.max(1) as f64;
            let quantity = match reading.standard_errors {
                None => Quantity::exact(name, value),
                Some(errors) => {
                    let standard_error = errors[which];
                    Quantity::estimated(name, Estimate { value, standard_error, samples })
                }
            };
            quantity.with_terms(Over::Examples, values)
        };
        let accuracy = reading.correct.as_deref().map(|correct| quantity("accuracy", correct, 1));
        std::iter::once(quantity("loss", &reading.losses, 0)).chain(accuracy).collect()
    }

    fn refused() -> Vec<()> {
        Vec::new()
    }
}

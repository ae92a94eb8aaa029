//! Factors of some parameters' updates for each step.

use super::{StepContext, Transformation};
use thalweg_array::Array;
use thalweg_graph::Tensor;

/// `f_t u` at step `t` for the parameters that are named: a course of the learning rate of each
/// parameter's own, beside the schedule's. Behind a table's end its last factor holds.
///
/// # Errors    a name that is no parameter of the model, and a table without factors, are refused when
/// a step is traced
/// # Gradient  any order
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleByTable {
    /// Factors from the first step on, by the name of a parameter.
    pub factors: Vec<(String, Vec<f64>)>,
}

impl Transformation for ScaleByTable {
    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        _: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let (builder, mut updates) = (step.builder, updates);
        let vector =
            |values: &[f64]| builder.constant(Array::vector(values).convert(builder.float()));
        for (name, factors) in &self.factors {
            let place = step.descriptions.iter().position(|p| p.name == *name);
            let Some(update) = place.and_then(|place| updates.get_mut(place)) else {
                builder.reject("table of factors", "names of parameters", name.clone());
                continue;
            };
            if factors.is_empty() {
                builder.reject("table of factors", "at least one", format!("none of {name}"));
                continue;
            }
            let n = factors.len();
            let steps = vector(&(1..=n).map(|step| step as f64).collect::<Vec<_>>());
            let table = vector(factors);
            let here = steps.equal(step.count.minimum(n as f64));
            *update = *update * here.select(table, table.zeros_like()).sum_all();
        }
        (updates, Vec::new())
    }
}

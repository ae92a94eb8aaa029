//! Projection of weights to the norm that they began with.

use super::{HyperParameter, Slot, StepContext, Transformation, safe_sqrt};
use thalweg_graph::Tensor;

/// After every `every`-th step: `w <- rho w / |w|`, `rho` being the norm before the first step.
///
/// Each group of parameters has one norm, that of all its parameters together, and one factor. A
/// group of one weight keeps that layer's norm; one of several weights their joint norm; one of a
/// normalisation's scale and shift that of the two. This is the last part of a chain, behind the
/// learning rate: what it gives is the move to the projected point. Other parts keep their state as
/// it is.
///
/// # Errors    a name that is no parameter of the model is refused when a step is traced
/// # Gradient  any order; a group whose weights all become zero has no direction, and the run
/// diverges there
/// # Source    Lyle et al., Normalization and effective learning rates in reinforcement learning,
/// 2024, arXiv 2407.01800
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectNorm {
    /// The groups, by names of parameters.
    pub groups: Vec<Vec<String>>,
    /// Steps from one projection to the next.
    pub every: u64,
}

impl Transformation for ProjectNorm {
    fn hyper_parameters(&self) -> Vec<HyperParameter> {
        Vec::new()
    }

    fn slots(&self) -> Vec<Slot> {
        // A norm is never negative; this says that it was not taken yet.
        vec![Slot { name: "kept_norm", initial: -1.0 }]
    }

    fn update<'b>(
        &self,
        step: &StepContext<'_, 'b>,
        updates: Vec<Tensor<'b>>,
        state: &[Vec<Tensor<'b>>],
    ) -> (Vec<Tensor<'b>>, Vec<Vec<Tensor<'b>>>) {
        let (mut updates, mut kept) = (updates, state[0].clone());
        let due = match self.every {
            0 | 1 => None,
            every => Some(step.count.remainder(every as f64).less(0.5)),
        };
        for group in &self.groups {
            let mut places = Vec::with_capacity(group.len());
            for name in group {
                match step.descriptions.iter().position(|p| p.name == *name) {
                    Some(place) => places.push(place),
                    None => {
                        step.builder.reject("projection", "names of parameters", name.clone());
                    }
                }
            }
            let Some(&first) = places.first() else { continue };
            let norm = |of: &dyn Fn(usize) -> Tensor<'b>| {
                let squares = places.iter().map(|&i| of(i).square().sum_all());
                safe_sqrt(squares.reduce(|sum, square| sum + square).unwrap_or(step.count))
            };
            let known = kept[first].max(&(0..kept[first].rank()).collect::<Vec<_>>());
            let before = norm(&|i| step.parameters[i]);
            let rho = known.less(0.0).select(before, known);
            let factor = rho / norm(&|i| step.parameters[i] + updates[i]);
            let factor = due.map_or(factor, |due| due.select(factor, step.builder.scalar(1.0)));
            for &i in &places {
                let w = step.parameters[i];
                updates[i] = (w + updates[i]) * factor - w;
                kept[i] = rho.broadcast_in(&w.shape(), &[]);
            }
        }
        (updates, vec![kept])
    }
}

//! Points of weight space as inputs of a program.

use super::objective::{BatchNorm, Objective, check_point};
use crate::MethodError;
use thalweg_array::Array;
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_nn::{Parameters, Weights};
use thalweg_transform::Replacement;

/// What all points around a centre share.
pub(crate) fn affine_arrays(
    objective: &dyn Objective,
    centre: &Weights,
    directions: &[Parameters],
) -> Result<Vec<Array>, MethodError> {
    let centre = check_point(objective, "the centre", centre)?;
    let mut shared = centre.parameters.into_arrays();
    for (j, direction) in directions.iter().enumerate() {
        let as_point = Weights { parameters: direction.clone(), buffers: centre.buffers.clone() };
        let direction = check_point(objective, &format!("direction {j}"), &as_point)?;
        shared.extend(direction.parameters.into_arrays());
    }
    let recalibrates =
        objective.batch_norm() == BatchNorm::Recalibrated && !objective.buffers().is_empty();
    if !recalibrates {
        shared.extend(centre.buffers.into_arrays());
    }
    Ok(shared)
}

/// Declares inputs, those of single members as placeholders with a stacked input beside them.
pub(crate) struct Inputs<'b> {
    pub(crate) builder: &'b Builder,
    pub(crate) members: usize,
    pub(crate) own: Vec<Replacement<'b>>,
}

impl<'b> Inputs<'b> {
    pub(crate) fn one(
        &mut self,
        prefix: &str,
        name: &str,
        shape: &[usize],
        own: bool,
    ) -> Tensor<'b> {
        let (builder, name) = (self.builder, format!("{prefix}.{name}"));
        let ty = TensorType::new(builder.float(), shape);
        if !own {
            return builder.input(&name, ty);
        }
        let member = builder.placeholder(ty);
        let stacked = TensorType::new(builder.float(), [&[self.members], shape].concat());
        let batched = builder.input(&name, stacked);
        self.own.push(Replacement { member, batched, axis: 0 });
        member
    }

    pub(crate) fn tree(
        &mut self,
        objective: &dyn Objective,
        prefix: &str,
        own: bool,
    ) -> Vec<Tensor<'b>> {
        objective.parameters().iter().map(|p| self.one(prefix, &p.name, &p.shape, own)).collect()
    }

    pub(crate) fn buffers(&mut self, objective: &dyn Objective, own: bool) -> Vec<Tensor<'b>> {
        objective.buffers().iter().map(|b| self.one("buffer", &b.name, &b.shape, own)).collect()
    }
}

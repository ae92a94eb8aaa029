//! What stands in the middle of a curvature matrix as a scalar whose gradients' outer products are
//! the matrix.

use super::CurvatureMatrix;
use super::likelihood;
use thalweg_graph::Tensor;
use thalweg_nn::Loss;

/// The losses and outputs of a batch.
#[derive(Clone, Copy)]
pub(super) struct Traced<'b> {
    pub(super) losses: Tensor<'b>,
    pub(super) outputs: Tensor<'b>,
    pub(super) weights: Option<Tensor<'b>>,
}

impl CurvatureMatrix {
    /// Whether its middle is a matrix at the outputs, whose root has a column for each of them.
    pub(super) fn has_columns(self) -> bool {
        matches!(self, CurvatureMatrix::GaussNewton | CurvatureMatrix::Fisher)
    }

    /// A scalar `s` of a batch with `matrix = mean over examples of E[(d s / d w)(d s / d w)^T]`,
    /// one example's part at a time: the mean is over draws, or the sum over the `column`s, which
    /// are the unit vectors at the outputs. The gradient covariance has the empirical Fisher's.
    pub(super) fn score<'b>(
        self,
        loss: Loss,
        traced: Traced<'b>,
        column: Option<Tensor<'b>>,
        noise: Option<Tensor<'b>>,
    ) -> Tensor<'b> {
        let Traced { losses, outputs, weights } = traced;
        let along = |root: Tensor<'b>| (root.stop_gradient() * outputs).sum_all();
        match (self, column, noise) {
            (CurvatureMatrix::GaussNewton, Some(column), _) => {
                along(likelihood::hessian_root(loss, (losses, weights), outputs, column))
            }
            (CurvatureMatrix::Fisher, Some(column), _) => {
                along(likelihood::fisher_root(loss, weights, outputs, column))
            }
            (CurvatureMatrix::MonteCarloFisher { .. }, _, Some(noise)) => {
                likelihood::drawn_losses(loss, weights, outputs, noise).sum_all()
            }
            _ => losses.sum_all(),
        }
    }
}

//! The loss and its gradient along a training trajectory, checkpoint by checkpoint.

use crate::columns::{self, Column};
use crate::zarr::{Group, Store};
use crate::{LineGradients, Result, number};
use serde::{Deserialize, Serialize};

/// The loss and its gradient at each checkpoint, with its own running statistics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrajectoryGradients {
    /// The way there from the first checkpoint: the sum of the distances between neighbours.
    #[serde(with = "number::vec")]
    pub way: Vec<f64>,
    /// The loss.
    #[serde(with = "number::vec")]
    pub loss: Vec<f64>,
    /// The gradient; its cosine is that with the way from the checkpoint before to the one after.
    #[serde(flatten)]
    pub gradients: LineGradients,
}

const WAY: &str = "trajectory_way";
const LOSS: &str = "trajectory_loss";
const NORM: &str = "trajectory_gradient_norm";
const COSINE: &str = "trajectory_gradient_cosine";
const TURN: &str = "trajectory_gradient_turn_cosine";

impl TrajectoryGradients {
    fn columns(&self) -> [Column<'_>; 5] {
        let LineGradients { norm, cosine, turn } = &self.gradients;
        [
            (WAY, "way from the first checkpoint", &self.way),
            (LOSS, "loss at the checkpoint", &self.loss),
            (NORM, "length of the loss's gradient", norm),
            (COSINE, "cosine of the gradient and the way", cosine),
            (TURN, "cosine of the gradient and that at the checkpoint before", turn),
        ]
    }

    pub(crate) fn check(&self, checkpoints: usize) -> Result<()> {
        columns::check(&self.columns(), checkpoints, "checkpoints")
    }

    pub(crate) fn describe(&self, group: Group) -> Group {
        columns::describe(&self.columns(), group, &[self.way.len()], &["checkpoint"])
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        columns::write(&self.columns(), store, group, path)
    }

    /// What [`TrajectoryGradients::write`] wrote, if there is any.
    pub(crate) fn read(
        optional: impl Fn(&str) -> Result<Option<Vec<f64>>>,
    ) -> Result<Option<TrajectoryGradients>> {
        let (Some(way), Some(loss)) = (optional(WAY)?, optional(LOSS)?) else { return Ok(None) };
        let (Some(norm), Some(cosine), Some(turn)) =
            (optional(NORM)?, optional(COSINE)?, optional(TURN)?)
        else {
            return Ok(None);
        };
        let gradients = LineGradients { norm, cosine, turn };
        Ok(Some(TrajectoryGradients { way, loss, gradients }))
    }
}

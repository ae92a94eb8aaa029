//! The loss over a line or plane through weight space.

use crate::{
    AdaptiveErrors, Basin, ClassLosses, Convexity, Derivatives, Line, Parabola, Place, PlaneShare,
    Result, Topology, TrajectoryGradients, number, shape_error,
};
use serde::{Deserialize, Serialize};

/// Status of a point that has not been computed yet.
pub const NOT_COMPUTED: u8 = 0;
/// Status of a point whose loss was computed and is finite.
pub const COMPUTED: u8 = 1;
/// Status of a point whose loss was computed and is NaN or infinite.
pub const NOT_FINITE: u8 = 2;

/// A point of a surface and the loss there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// Position along the first direction.
    pub x: f64,
    /// Position along the second direction.
    pub y: f64,
    /// The loss there.
    pub loss: f64,
}

/// Checkpoints of a training run, projected onto the plane of a surface.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trajectory {
    /// Position along the first direction, per checkpoint.
    #[serde(with = "number::vec")]
    pub x: Vec<f64>,
    /// Position along the second direction, per checkpoint.
    #[serde(with = "number::vec")]
    pub y: Vec<f64>,
    /// Distance from the plane, per checkpoint.
    #[serde(with = "number::vec")]
    pub residual: Vec<f64>,
    /// The gradient at each checkpoint, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<TrajectoryGradients>,
}

/// How a surface was taken: what one must know to compare it with another.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SurfaceAttributes {
    /// How directions were scaled: `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `sphere` or `none`.
    pub normalize: String,
    /// Roles of parameters held at the centre: `bias`, `norm`.
    pub ignore: Vec<String>,
    /// What batch normalisation did away from the centre: `frozen`, `batch` or `recalibrated`.
    pub batch_norm: String,
    /// Where the directions came from: `random`, `checkpoints`, `eigenvectors`, `pca` or `file`.
    pub directions: String,
    /// The part of the data: `train`, `test` or `all`.
    pub split: String,
    /// Examples on which each point was evaluated.
    pub samples: u64,
    /// Examples that the split has; equal to `samples` when all were used.
    pub available: u64,
    /// Examples a batch; under `batch` and `recalibrated` part of the objective.
    pub batch: u64,
    /// What the loss is and its unit: `cross-entropy (nats)`.
    pub loss_name: String,
    /// The root seed.
    pub seed: u64,
    /// The share of the trajectory's variance along each direction, for directions by PCA.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "number::vec")]
    pub explained_variance: Vec<f64>,
    /// `inputs` where it is in the space of inputs; absent in that of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Where the networks of a plane through several lie, if not at coordinates one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// How much of the trajectory, of the networks' distances and of the curvature the plane holds, as
    /// far as it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plane_shares: Vec<PlaneShare>,
    /// The tolerance to which it was taken; absent if it is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// The loss on a grid around a point of weight space.
///
/// Values are stored `[pair,] y, x`, row-major; a line has a single `y`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Coordinates along the first direction.
    pub x: Vec<f64>,
    /// Coordinates along the second direction.
    pub y: Vec<f64>,
    /// How many pairs of directions there are, if the values have a leading `pair` dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<usize>,
    /// The loss.
    #[serde(with = "number::vec")]
    pub loss: Vec<f64>,
    /// [`NOT_COMPUTED`], [`COMPUTED`] or [`NOT_FINITE`] for each point.
    pub status: Vec<u8>,
    /// The share of examples classified correctly; absent in a regression.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub accuracy: Option<Vec<f64>>,
    /// The standard error of the loss, where it was taken on a subset or to a tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub loss_standard_error: Option<Vec<f64>>,
    /// The errors of a surface to a tolerance; absent of an exact one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveErrors>,
    /// Checkpoints in the plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
    /// What touches the loss at the centre along each direction of the first pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parabolas: Vec<Parabola>,
    /// First and second derivatives along a line, for each of its points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivatives: Option<Derivatives>,
    /// Extreme eigenvalues of the Hessian over the plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convexity: Option<Convexity>,
    /// How far the basin around the centre reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basin: Option<Basin>,
    /// The loss of each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassLosses>,
    /// Its minima and where their basins meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// How it was taken.
    pub attributes: SurfaceAttributes,
}

impl Surface {
    /// A surface of which no point is computed.
    ///
    /// # Errors
    /// `Shape` if the grid has no point or more than the address space holds.
    pub fn new(
        x: Vec<f64>,
        y: Vec<f64>,
        pairs: Option<usize>,
        attributes: SurfaceAttributes,
    ) -> Result<Self> {
        let points = x
            .len()
            .checked_mul(y.len())
            .and_then(|points| points.checked_mul(pairs.unwrap_or(1)))
            .filter(|&points| points > 0 && points < isize::MAX as usize / 64)
            .ok_or_else(|| {
                shape_error(
                    "surface grid",
                    "at least one point, and as many as memory holds",
                    format!("{} x {} points, pairs {pairs:?}", y.len(), x.len()),
                )
            })?;
        Ok(Surface {
            x,
            y,
            pairs,
            loss: vec![f64::NAN; points],
            status: vec![NOT_COMPUTED; points],
            accuracy: None,
            loss_standard_error: None,
            adaptive: None,
            trajectory: None,
            parabolas: Vec::new(),
            derivatives: None,
            convexity: None,
            basin: None,
            classes: None,
            topology: None,
            attributes,
        })
    }

    /// Checks that every part has the length that the grid gives it.
    ///
    /// # Errors
    /// `Shape`, naming the part that does not.
    pub fn check(&self) -> Result<()> {
        let rows = self.y.len().saturating_mul(self.pairs.unwrap_or(1));
        let points = self.x.len().saturating_mul(rows);
        let mut parts = vec![("loss", self.loss.len()), ("status", self.status.len())];
        parts.extend(self.accuracy.as_ref().map(|values| ("accuracy", values.len())));
        parts.extend(
            self.loss_standard_error.as_ref().map(|values| ("loss_standard_error", values.len())),
        );
        for (name, length) in parts {
            if length != points {
                return Err(shape_error(name, format!("{points} points"), length));
            }
        }
        self.adaptive.as_ref().map_or(Ok(()), |errors| errors.check(points))?;
        self.derivatives.as_ref().map_or(Ok(()), |derivatives| derivatives.check(points))?;
        self.convexity.as_ref().map_or(Ok(()), Convexity::check)?;
        self.classes.as_ref().map_or(Ok(()), |classes| classes.check(points))?;
        self.topology.as_ref().map_or(Ok(()), |topology| topology.check(self))?;
        if let Some(trajectory) = &self.trajectory {
            let n = trajectory.x.len();
            if trajectory.y.len() != n || trajectory.residual.len() != n {
                return Err(shape_error("trajectory", format!("{n} checkpoints"), "fewer or more"));
            }
            trajectory.gradients.as_ref().map_or(Ok(()), |gradients| gradients.check(n))?;
        }
        Ok(())
    }

    /// The number of points.
    pub fn points(&self) -> usize {
        self.loss.len()
    }

    /// The extents of the dimensions `[pair,] y, x`.
    pub fn shape(&self) -> Vec<usize> {
        self.pairs.into_iter().chain([self.y.len(), self.x.len()]).collect()
    }

    /// Where the flat point `index` lies, and its loss.
    pub fn point(&self, index: usize) -> GridPoint {
        let columns = self.x.len();
        GridPoint {
            x: self.x[index % columns],
            y: self.y[index / columns % self.y.len()],
            loss: self.loss[index],
        }
    }

    /// The lowest computed point; of equals the first. None if no loss is finite.
    pub fn minimum(&self) -> Option<GridPoint> {
        self.extreme(|a, b| a < b)
    }

    /// The highest computed point; of equals the first. None if no loss is finite.
    pub fn maximum(&self) -> Option<GridPoint> {
        self.extreme(|a, b| a > b)
    }

    fn extreme(&self, better: fn(f64, f64) -> bool) -> Option<GridPoint> {
        let mut best: Option<usize> = None;
        for (index, &loss) in self.loss.iter().enumerate() {
            if loss.is_finite() && best.is_none_or(|best| better(loss, self.loss[best])) {
                best = Some(index);
            }
        }
        best.map(|index| self.point(index))
    }

    /// The loss at the origin of the first pair, if the grid has that point.
    pub fn centre(&self) -> Option<f64> {
        let column = self.x.iter().position(|&x| x == 0.0)?;
        let row = self.y.iter().position(|&y| y == 0.0)?;
        self.loss.get(row * self.x.len() + column).copied()
    }

    /// How many computed points have a loss that is not finite.
    pub fn not_finite(&self) -> usize {
        self.status.iter().filter(|&&status| status == NOT_FINITE).count()
    }

    /// The standard deviation of each point's loss over pairs of directions, row-major over the
    /// grid; NaN where one of them is not finite. None for fewer than two pairs.
    pub fn spread(&self) -> Option<Vec<f64>> {
        let pairs = self.pairs.filter(|&pairs| pairs > 1)?;
        let points = self.x.len() * self.y.len();
        let deviation = |point: usize| {
            let losses = || (0..pairs).map(|pair| self.loss[pair * points + point]);
            let mean = losses().sum::<f64>() / pairs as f64;
            let squares: f64 = losses().map(|loss| (loss - mean) * (loss - mean)).sum();
            (squares / (pairs - 1) as f64).sqrt()
        };
        Some((0..points).map(deviation).collect())
    }

    /// The lines through the origin along both directions, for the first pair. A surface that does
    /// not contain the origin has none.
    pub fn lines(&self) -> Vec<Line> {
        let columns = self.x.len();
        let mut lines = Vec::new();
        let take = |indices: &dyn Fn() -> Vec<usize>, name: &str, at: &[f64]| Line {
            name: name.to_owned(),
            at: at.to_vec(),
            loss: indices().into_iter().map(|i| self.loss[i]).collect(),
            loss_standard_error: self
                .loss_standard_error
                .as_ref()
                .map(|values| indices().into_iter().map(|i| values[i]).collect()),
            parabola: self.parabolas.get(usize::from(name == "y")).copied(),
        };
        if let Some(row) = self.y.iter().position(|&y| y == 0.0)
            && columns > 1
        {
            lines.push(take(
                &|| (0..columns).map(|column| row * columns + column).collect(),
                "x",
                &self.x,
            ));
        }
        if let Some(column) = self.x.iter().position(|&x| x == 0.0)
            && self.y.len() > 1
        {
            lines.push(take(
                &|| (0..self.y.len()).map(|row| row * columns + column).collect(),
                "y",
                &self.y,
            ));
        }
        lines
    }
}

/// A number as CSV readers of every language take it.
pub(crate) fn csv_number(value: f64) -> String {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".into() } else { "-inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowl() -> Surface {
        let mut surface =
            Surface::new(vec![-1.0, 0.0, 1.0], vec![-1.0, 0.0], None, SurfaceAttributes::default())
                .unwrap();
        surface.loss = vec![f64::INFINITY, 1.0, 2.0, 1.5, 0.5, 0.25];
        surface.status = vec![NOT_FINITE, 1, 1, 1, 1, 1];
        surface
    }

    #[test]
    fn extremes_pass_over_what_is_not_finite() {
        let surface = bowl();
        assert_eq!(surface.minimum(), Some(GridPoint { x: 1.0, y: 0.0, loss: 0.25 }));
        assert_eq!(surface.maximum(), Some(GridPoint { x: 1.0, y: -1.0, loss: 2.0 }));
        assert_eq!(surface.centre(), Some(0.5));
        assert_eq!(surface.not_finite(), 1);
    }

    #[test]
    fn lines_go_through_the_origin() {
        let lines = bowl().lines();
        assert_eq!(lines[0].loss, [1.5, 0.5, 0.25]);
        assert_eq!(lines[1].loss, [1.0, 0.5]);
    }

    #[test]
    fn empty_and_monstrous_grids_are_refused() {
        let attributes = SurfaceAttributes::default;
        assert!(Surface::new(vec![], vec![0.0], None, attributes()).is_err());
        assert!(Surface::new(vec![0.0; 9], vec![0.0; 9], Some(1 << 62), attributes()).is_err());
    }
}

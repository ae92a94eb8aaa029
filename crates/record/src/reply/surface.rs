//! The reply of `thalweg surface`.

use crate::{
    AdaptiveSummary, BasinSummary, ConvexitySummary, GridPoint, LoopReply, MinimumReply, Place,
    PlaneShare, Quantity,
};
use serde::Serialize;

/// The keys of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SurfaceBody {
    /// The loss at the centre.
    pub loss: Quantity,
    /// The lowest point; `null` if no loss is finite.
    pub minimum: Option<GridPoint>,
    /// The highest point; `null` if no loss is finite.
    pub maximum: Option<GridPoint>,
    /// The points evaluated.
    pub points: u64,
    /// Those of them whose loss is not finite.
    pub not_finite: u64,
    /// How directions were scaled: `filter`, `layer`, `weight`, `dfilter`, `dlayer`, `sphere` or `none`.
    pub normalize: String,
    /// Roles of parameters held at the centre.
    pub ignore: Vec<String>,
    /// `frozen`, `batch` or `recalibrated`.
    pub batch_norm: String,
    /// Where the directions came from.
    pub directions: String,
    /// Whether it runs along one direction only.
    pub line: bool,
    /// Examples that the surface is of.
    pub samples: u64,
    /// How it came about, if it is to a tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSummary>,
    /// `weights` or `inputs`.
    pub space: String,
    /// How much of the trajectory, of the networks' distances and of the curvature the plane holds, as
    /// far as it was measured.
    pub plane_shares: Vec<PlaneShare>,
    /// Where the networks of a plane through several lie.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// The extreme eigenvalues over the plane, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convexity: Option<ConvexitySummary>,
    /// The basin around the centre, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basin: Option<BasinSummary>,
    /// The lowest point of each class, if surfaces of classes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassReply>>,
    /// The derivative along each direction of the first pair at the centre; none where memory did not
    /// allow it.
    pub slope: Vec<Quantity>,
    /// The second derivative along each.
    pub curvature: Vec<Quantity>,
    /// The minima that are deep enough, the deepest first; at most a hundred.
    pub minima: Vec<MinimumReply>,
    /// How many are deep enough.
    pub minima_count: u64,
    /// The depth from which on they are, as a share of the level at which their basin ends; that of
    /// the hills inside of loops as a share of their tops.
    pub minima_threshold: f64,
    /// The loops around hills that are high enough, the highest first; at most a hundred.
    pub loops: Vec<LoopReply>,
    /// How many there are.
    pub loops_count: u64,
    /// The integral of the slope over the line or plane, for each pair of directions.
    pub total_variation: Vec<f64>,
}

/// A class in the reply of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReply {
    /// The class.
    pub class: i32,
    /// Its examples.
    pub examples: u64,
    /// Its lowest point; `null` if no loss is finite.
    pub minimum: Option<GridPoint>,
    /// Its highest.
    pub maximum: Option<GridPoint>,
}

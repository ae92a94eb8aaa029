//! The loss on lines and planes through weight space.

mod adaptive;
mod basin;
mod batch_path;
mod classes;
mod convexity;
mod curvature_share;
mod dbrane_landscape;
mod directions;
mod discovery;
mod distinct_minima;
mod example_hessian_bound;
mod given;
mod grid;
mod likelihood_flatness;
mod loops;
mod loss;
mod loss_increments;
mod loss_sensitivity;
mod low_loss_path;
mod merge_tree;
mod osculating;
mod parabola_roughness;
mod pde_losses;
mod plane;
mod principal_plane;
mod random_surface;
mod roughness_index;
mod sensitivity_table;
mod sweep;
mod term_descent;
mod total_variation;

pub use adaptive::{AdaptiveSurface, Tolerance, adaptive_surface};
pub use basin::{Basin, BasinConfig, BasinVolume, basin};
pub use batch_path::{BatchPath, BatchRuns, batch_path};
pub use classes::ClassLosses;
pub use convexity::{ConvexityConfig, ConvexityMap, convexity_map};
pub use curvature_share::{PlaneCurvature, plane_curvature};
pub use dbrane_landscape::DbraneLandscape;
pub use directions::{DirectionConfig, Ignore, Normalize, normalize, random_direction};
pub use discovery::{Discovery, discovery};
pub use distinct_minima::{DistinctMinima, distinct_minima};
pub use example_hessian_bound::{ExampleHessianBound, example_hessian_bound};
pub use given::{between, given};
pub use grid::GridRange;
pub use likelihood_flatness::{FlatnessConfig, LikelihoodFlatness, likelihood_flatness};
pub use loops::{Loop, loops};
pub use loss::{ExampleLosses, MeanLoss};
pub use loss_increments::{LossIncrements, loss_increments};
pub use loss_sensitivity::{
    ORDERS, Reduction, Sensitivity, SensitivityConfig, SensitivityNetwork, loss_sensitivity,
};
pub use low_loss_path::{LowLossPath, LowLossPathConfig, low_loss_path};
pub use merge_tree::{MergeTree, Minimum, Neighbours, merge_tree};
pub use osculating::{Osculating, osculating};
pub use parabola_roughness::parabola_roughness;
pub use pde_losses::{Boundary, PdeLoss, Poisson, Source};
pub use plane::{
    Plane, Surface, SurfaceCost, surface, surface_by_class, surface_cost, surface_unit,
    surface_units,
};
pub use principal_plane::{PrincipalPlane, common_plane, trajectory_plane};
pub use random_surface::{RandomSurface, RandomSurfaceConfig, random_planes};
pub use roughness_index::{
    Divisor, Roughness, RoughnessConfig, RoughnessIndex, relative_spread, roughness_index,
    roughness_trajectory,
};
pub use sensitivity_table::{SensitivityTable, rank_agreement};
pub use term_descent::{TermDescentConfig, Terms, normal_starts, term_descent};
pub use total_variation::total_variation;

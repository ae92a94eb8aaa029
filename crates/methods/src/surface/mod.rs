//! The loss on lines and planes through weight space.

mod adaptive;
mod directions;
mod given;
mod grid;
mod loss_increments;
mod plane;
mod random_surface;
mod roughness_index;
mod trajectory;

pub use adaptive::{AdaptiveSurface, Tolerance, adaptive_surface};
pub use directions::{DirectionConfig, Ignore, Normalize, normalize, random_direction};
pub use given::{between, given};
pub use grid::GridRange;
pub use loss_increments::{LossIncrements, loss_increments};
pub use plane::{Plane, Surface, point_flops, surface, surface_unit, surface_units};
pub use random_surface::{RandomSurface, RandomSurfaceConfig, random_planes};
pub use roughness_index::{Roughness, RoughnessConfig, RoughnessIndex, roughness_index};
pub use trajectory::{Trajectory, trajectory_plane};

//! Models, parameter trees, layers, losses and architectures.
//!
//! A [`Model`] is a value: a traced function with named inputs and outputs, parameters with roles
//! and axes, and buffers. [`Architecture`] makes one from a name and options; any [`Network`]
//! makes one too. Layers ask their [`Scope`] for parameters, and that one function both declares
//! the model and applies it.

mod adapt;
pub mod architecture;
mod branch_scale;
mod class_adjustment;
mod class_loss;
mod count;
mod direction;
mod error;
mod faults;
mod index_range;
mod initialize;
pub mod layer;
mod loss;
mod model;
mod options;
mod parameter;
mod parameters;
mod parametrization;
mod scope;
mod torch;

pub use architecture::Architecture;
pub use branch_scale::{BranchPart, scale_branches};
pub use class_adjustment::{ClassAdjustment, class_balanced_weights};
pub use class_loss::{ClassLoss, ClassOutputs};
pub use count::{Flops, flops};
pub use direction::{Direction, direction_from_torch};
pub use error::NnError;
pub use faults::WeightsFaults;
pub use initialize::{Draw, Fan, Initializer};
pub use loss::Loss;
pub use model::{Applied, Layer, Model, ModelPort, Network, PortType};
pub use parameter::{Axis, Buffer, Multipliers, Parameter, Role, Statistic, TorchLayout};
pub use parameters::{Parameters, Weights};
pub use parametrization::{LayerPlace, NetworkSize, Parametrization, UpdateSize};
pub use scope::{BatchNormMode, Mode, Scope};
pub use torch::{from_torch, to_torch, wrapping_prefix};

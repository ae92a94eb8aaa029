//! Transformations of graphs: derivatives, batching, simplification.
//!
//! Everything works inside one [`thalweg_graph::Builder`], on values: a transformation reads the
//! nodes between some values and others and builds new nodes beside them, so transformations nest
//! in any order, and what is not asked for in the end is never part of the finished graph.
//!
//! - [`jvp()`]: forward mode. Reverse mode ([`vjp`], [`gradient`], [`values_and_grad`]) is forward
//!   mode on placeholder tangents, transposed. [`hvp`] is forward over reverse. [`linearize`] keeps
//!   a derivative as a linear map.
//! - [`vmap()`]: one program for many members, of weights or of examples.
//! - [`simplify()`]: the same function in fewer operations; [`distribute_points`]: in fewer still,
//!   over affine points of weight space.
//! - [`stages()`]: a graph in two parts, the first for many runs of the second.
//! - [`substitute()`]: values put in place of others.
//!
//! A variable is a value, whether an input or not, and equal values are one value. Where arguments
//! may coincide with what a function uses itself, the forms on functions ([`gradient_of`],
//! [`hvp_of`], [`jvp_of`], [`vmap_of`]) keep them apart. Forms on whole graphs end in `_graph`.
//!
//! Over long loops higher order means forward over reverse: reverse over reverse stores the
//! states of a loop that goes back over states.
//!
//! # Example
//! ```
//! use thalweg_graph::{Builder, DType, TensorType};
//! use thalweg_transform::gradient;
//! let b = Builder::new(DType::F64);
//! let x = b.input("x", TensorType::new(DType::F64, [3]));
//! let loss = (x * x * x).sum_all();
//! let first = gradient(loss, &[x])[0];
//! let second = gradient(first.sum_all(), &[x])[0];
//! let graph = b.finish(&[("gradient", first), ("diagonal", second)])?;
//! assert_eq!(graph.n_outputs(), 2);
//! # Ok::<(), thalweg_graph::GraphError>(())
//! ```

mod api;
mod closure;
mod graphs;
mod inner;
mod jvp;
mod reach;
mod scan;
mod simplify;
mod solve;
mod stage;
mod substitute;
mod transpose;
mod vmap;

pub use api::{
    Linear, Vjp, gradient, gradient_and_hvp, hvp, linearize, value_and_grad, values_and_grad, vjp,
};
pub use closure::{gradient_of, hvp_of, jvp_of, value_and_grad_of, vmap_of};
pub use graphs::{gradient_graph, hvp_graph, jvp_graph, vjp_graph};
pub use jvp::{Jvp, jvp};
pub use simplify::{distribute_points, simplify};
pub use stage::{Stages, stages};
pub use substitute::substitute;
pub use vmap::{Batched, Replacement, vmap, vmap_graph, vmap_shared};

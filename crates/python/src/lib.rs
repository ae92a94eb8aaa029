//! The native module of the Python package `thalweg`: arrays and plain values in, arrays and plain
//! values out. The classes that a person meets are written in Python, over this.
//!
//! Nothing here may panic on what a user supplies: Python would see a `PanicException`.

mod arrays;
mod data;
mod failure;
mod figure;
mod imported;
mod job;
mod layout;
mod model;
mod objective;
mod onnx;
mod open;
mod operator;
mod parts;
mod predict;
mod run;
mod setup;
mod spectrum;
mod surface;
mod train;

use pyo3::prelude::*;

/// The native module of `thalweg`.
#[pymodule]
fn _thalweg(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", thalweg_lab::VERSION)?;
    module.add_class::<model::Model>()?;
    module.add_class::<objective::Objective>()?;
    module.add_class::<operator::Operator>()?;
    module.add_class::<run::Run>()?;
    module.add_function(wrap_pyfunction!(open::build, module)?)?;
    module.add_function(wrap_pyfunction!(open::load, module)?)?;
    module.add_function(wrap_pyfunction!(open::architectures, module)?)?;
    module.add_function(wrap_pyfunction!(parts::to_parts, module)?)?;
    module.add_function(wrap_pyfunction!(parts::from_parts, module)?)?;
    module.add_function(wrap_pyfunction!(predict::predict, module)?)?;
    module.add_function(wrap_pyfunction!(onnx::inspect_onnx, module)?)?;
    module.add_function(wrap_pyfunction!(onnx::load_onnx, module)?)?;
    module.add_function(wrap_pyfunction!(onnx::evaluate_onnx, module)?)?;
    module.add_function(wrap_pyfunction!(data::dataset, module)?)?;
    module.add_function(wrap_pyfunction!(data::read_safetensors, module)?)?;
    module.add_function(wrap_pyfunction!(data::write_file, module)?)?;
    module.add_function(wrap_pyfunction!(figure::surface_svg, module)?)?;
    module.add_function(wrap_pyfunction!(figure::density_svg, module)?)?;
    module.add_function(wrap_pyfunction!(surface::axis, module)?)?;
    module.add_function(wrap_pyfunction!(surface::planes, module)?)?;
    module.add_function(wrap_pyfunction!(surface::surface, module)?)?;
    module.add_function(wrap_pyfunction!(surface::surface_units, module)?)?;
    module.add_function(wrap_pyfunction!(surface::surface_unit, module)?)?;
    module.add_function(wrap_pyfunction!(spectrum::spectrum, module)?)?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    Ok(())
}

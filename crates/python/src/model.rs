//! A model with its weights.

use crate::arrays::{copied, from_numpy};
use crate::failure::{Failure, Kind, Result};
use crate::job;
use crate::layout::Layout;
use crate::objective::{Data, Options, Setup};
use crate::onnx;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Normalization;
use thalweg_formats::onnx::OnnxModel;
use thalweg_lab::{WeightsFile, WeightsInfo, atomic_write_bytes, open_models, weights_bytes};
use thalweg_methods::common::LinearOperator;
use thalweg_methods::curvature::Hessian;
use thalweg_methods::{Evaluation, Status, common, evaluate};
use thalweg_nn::{Architecture, Axis, Loss, Mode, PortType, Role, Weights, from_torch, to_torch};

/// A model with its weights; never changed once it is made.
#[pyclass(frozen, module = "thalweg._thalweg")]
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    model: thalweg_nn::Model,
    weights: Weights,
    layout: Layout,
    info: WeightsInfo,
    origin: Origin,
}

/// Where a model came from.
#[derive(Clone)]
pub enum Origin {
    /// One of Thalweg's architectures.
    Architecture,
    /// A file, seen for examples of these shapes and with these outputs.
    Onnx {
        /// The file.
        file: OnnxModel,
        /// Extents of one example of each input.
        examples: Vec<Vec<usize>>,
        /// The outputs asked for.
        outputs: Vec<String>,
    },
}

impl Model {
    /// A model under a name, with what is known of it.
    pub fn new(
        name: &str,
        model: thalweg_nn::Model,
        weights: Weights,
        info: WeightsInfo,
        origin: Origin,
    ) -> Result<Model> {
        let layout = Layout::new(&model)?;
        let inner = Inner { name: name.to_owned(), model, weights, layout, info, origin };
        Ok(Model { inner: Arc::new(inner) })
    }

    /// The same model with other weights.
    pub fn with_weights(&self, name: &str, weights: Weights) -> Model {
        self.changed(name, weights, self.inner.info.clone())
    }

    /// The same model after training with a loss.
    pub fn trained(&self, name: &str, weights: Weights, loss: Loss) -> Model {
        let info = WeightsInfo { loss: Some(loss.to_string()), ..self.inner.info.clone() };
        self.changed(name, weights, info)
    }

    fn changed(&self, name: &str, weights: Weights, info: WeightsInfo) -> Model {
        let Inner { model, layout, origin, .. } = &*self.inner;
        let (model, layout, origin) = (model.clone(), layout.clone(), origin.clone());
        let inner = Inner { name: name.to_owned(), model, weights, layout, info, origin };
        Model { inner: Arc::new(inner) }
    }

    /// A short name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What is known of it.
    pub fn info(&self) -> &WeightsInfo {
        &self.inner.info
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The traced function for inputs as they are: a file's model takes images with their channels
    /// in either place, and one number an example counts as a vector of one.
    pub fn for_data(&self, inputs: &[Array]) -> Result<thalweg_nn::Model> {
        match (&self.inner.origin, inputs) {
            (Origin::Onnx { .. }, [x]) if self.inner.model.inputs().len() == 1 => {
                Ok(self.inner.model.for_examples(x.shape().get(1..).unwrap_or_default())?)
            }
            _ => Ok(self.inner.model.clone()),
        }
    }

    /// The traced function.
    pub fn model(&self) -> &thalweg_nn::Model {
        &self.inner.model
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.inner.weights
    }

    /// The order of weights in a vector.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// The loss that it was trained with, or cross-entropy.
    pub fn loss(&self) -> Loss {
        let known = self.inner.info.loss.as_deref().and_then(|text| text.parse().ok());
        known.unwrap_or_default()
    }

    /// Inputs with the shift and scale that the model was trained with.
    pub fn normalized(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let Some(normalization) = &self.inner.info.normalization else {
            return Ok(inputs.to_vec());
        };
        Ok(inputs.iter().map(|x| normalization.apply(x)).collect::<std::result::Result<_, _>>()?)
    }
}

#[pymethods]
impl Model {
    /// What the model is: names, shapes, roles, axes.
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Inner { name, model, weights, info, .. } = &*self.inner;
        let about = PyDict::new(py);
        about.set_item("name", name)?;
        about.set_item("architecture", model.architecture().map(ToString::to_string))?;
        about.set_item("loss", info.loss.as_deref())?;
        let normalization = info.normalization.as_ref();
        let normalization = normalization.map(|n| (n.mean.clone(), n.divisor.clone()));
        about.set_item("normalization", normalization)?;
        let dtype = weights.parameters.arrays().first().map_or(DType::F32, Array::dtype);
        about.set_item("dtype", dtype.to_string())?;
        for (key, ports) in [("inputs", model.inputs()), ("outputs", model.outputs())] {
            let ports = ports.iter().map(|port| {
                let index = port.ty == PortType::Index;
                (port.name.clone(), port.shape.clone(), index)
            });
            about.set_item(key, ports.collect::<Vec<_>>())?;
        }
        let parameters = PyList::empty(py);
        for parameter in model.parameters() {
            let axes: Vec<&str> = match parameter.torch.split.len() == parameter.axes.len() {
                true => {
                    parameter.torch.permutation.iter().map(|&i| axis(parameter.axes[i])).collect()
                }
                // Where a layer follows a flattened image the axes that were merged are inputs.
                false => parameter.axes.iter().rev().map(|&a| axis(a)).collect(),
            };
            let shape = parameter.torch.shape.clone();
            parameters.append((&parameter.name, shape, role(parameter.role), axes))?;
        }
        about.set_item("parameters", parameters)?;
        let buffers = model.buffers().iter().map(|b| (b.name.clone(), b.shape.clone()));
        about.set_item("buffers", buffers.collect::<Vec<_>>())?;
        Ok(about)
    }

    /// Parameters and buffers under PyTorch's names and in its layout; copies.
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let entries = to_torch(self.model(), self.weights()).map_err(Failure::from)?;
        let arrays = PyDict::new(py);
        for (name, array) in entries.iter().filter(|(_, array)| array.dtype().is_float()) {
            arrays.set_item(name, copied(py, array)?)?;
        }
        Ok(arrays)
    }

    /// The same model with the arrays of a dictionary like that of `arrays`.
    fn with_arrays(
        &self,
        name: &str,
        arrays: Vec<(String, Bound<'_, PyUntypedArray>)>,
    ) -> PyResult<Model> {
        let mut entries = Vec::with_capacity(arrays.len());
        for (name, array) in &arrays {
            let array = from_numpy(array)
                .map_err(|f| Failure::new(f.kind, format!("{name}: {}", f.sentence)))?;
            // The array stays the caller's, who may write to it later.
            let own = Array::stack(std::slice::from_ref(&array)).and_then(|a| a.row(0));
            entries.push((name.clone(), own.map_err(Failure::from)?));
        }
        let wide = entries.iter().any(|(_, array)| array.dtype() == DType::F64);
        let float = if wide { DType::F64 } else { DType::F32 };
        let weights = from_torch(self.model(), &entries, float).map_err(Failure::from)?;
        Ok(self.with_weights(name, weights))
    }

    /// The same model as one that was trained with a loss.
    fn with_loss(&self, loss: Option<&str>) -> PyResult<Model> {
        let Some(loss) = loss else { return Ok(self.clone()) };
        let loss: Loss = loss.parse().map_err(Failure::from)?;
        Ok(self.trained(&self.inner.name, self.weights().clone(), loss))
    }

    /// All that `from_parts` makes the model of again.
    fn to_parts<'py>(&self, py: Python<'py>) -> PyResult<Parts<'py>> {
        let Inner { name, model, info, origin, .. } = &*self.inner;
        let source = match origin {
            Origin::Architecture => {
                let text = model.architecture().map(ToString::to_string).unwrap_or_default();
                (text, None)
            }
            Origin::Onnx { file, examples, outputs } => {
                let bytes = file.with_weights(&self.inner.weights).map_err(Failure::from)?;
                let file = (PyBytes::new(py, &bytes), examples.clone(), outputs.clone());
                (String::new(), Some(file))
            }
        };
        let normalization = info.normalization.as_ref();
        let normalization = normalization.map(|n| (n.mean.clone(), n.divisor.clone()));
        let arrays = self.arrays(py)?;
        Ok((source, name.clone(), info.loss.clone(), normalization, arrays))
    }

    /// The bytes of an ONNX file.
    fn to_onnx<'py>(
        &self,
        py: Python<'py>,
        layout: &str,
        precision: &str,
        normalise: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &onnx::bytes(self, layout, precision, normalise)?))
    }

    /// All parameters as one vector, `float64`.
    fn flat<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let flat = self.layout().outward(self.weights().parameters.flatten());
        let n = flat.len();
        crate::arrays::to_numpy(py, flat, &[n])
    }

    /// Writes a safetensors file.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        let bytes = weights_bytes(self.model(), self.weights(), &self.inner.info);
        let written = bytes.and_then(|bytes| atomic_write_bytes(&path, &bytes));
        Ok(written.map_err(Failure::from)?)
    }

    /// Loss and accuracy.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        x: Vec<Bound<'py, PyUntypedArray>>,
        y: Bound<'py, PyUntypedArray>,
        options: Options,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let setup = Setup::new(self, &options, Data::new(&x, &y)?)?;
        let found = job::run(py, reporter.as_ref(), move |job| {
            let ctx = setup.context(job, None)?;
            let objective = setup.objective(&ctx)?;
            Ok(evaluate(&ctx, &objective, &setup.weights())?)
        })?;
        evaluation(py, &found)
    }

    /// The loss and its gradient as one vector.
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        x: Vec<Bound<'py, PyUntypedArray>>,
        y: Bound<'py, PyUntypedArray>,
        options: Options,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyAny>)> {
        let setup = Setup::new(self, &options, Data::new(&x, &y)?)?;
        let found = job::run(py, reporter.as_ref(), move |job| {
            let ctx = setup.context(job, None)?;
            let objective = setup.objective(&ctx)?;
            Ok(common::gradient(&ctx, &objective, &setup.weights())?)
        })?;
        let vector = self.layout().outward(found.gradient);
        let n = vector.len();
        Ok((evaluation(py, &found.at)?, crate::arrays::to_numpy(py, vector, &[n])?))
    }

    /// Products of the Hessian with vectors `[k, n]`.
    fn products<'py>(
        &self,
        py: Python<'py>,
        x: Vec<Bound<'py, PyUntypedArray>>,
        y: Bound<'py, PyUntypedArray>,
        vectors: Bound<'py, PyUntypedArray>,
        options: Options,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let n = self.layout().len();
        let given = crate::arrays::vectors(&vectors, n)?;
        let k = given.len();
        let setup = Setup::new(self, &options, Data::new(&x, &y)?)?;
        let layout = self.layout().clone();
        let products = job::run(py, reporter.as_ref(), move |job| {
            let ctx = setup.context(job, None)?;
            let objective = setup.objective(&ctx)?;
            let hessian = Hessian::new(&ctx, &objective, &setup.weights())?;
            let inward = given.into_iter().map(|v| layout.inward(v)).collect::<Result<Vec<_>>>()?;
            let products = hessian.apply(&inward)?;
            Ok(products.into_iter().flat_map(|v| layout.outward(v)).collect::<Vec<f64>>())
        })?;
        crate::arrays::to_numpy(py, products, &[k, n])
    }

    /// Every output for all examples, with running statistics.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        x: Vec<Bound<'py, PyUntypedArray>>,
        options: Options,
        reporter: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let inputs = x.iter().map(from_numpy).collect::<Result<Vec<_>>>()?;
        let setup = Setup::without_data(self, &options)?;
        let outputs =
            job::run(py, reporter.as_ref(), move |job| predict(job, &setup, &inputs, &options))?;
        outputs.iter().map(|array| copied(py, array)).collect()
    }

    fn __repr__(&self) -> String {
        format!("<thalweg._thalweg.Model {:?}>", self.inner.name)
    }
}

fn predict(
    job: &crate::job::Job,
    setup: &Setup,
    inputs: &[Array],
    options: &Options,
) -> Result<Vec<Array>> {
    // Only what is laid out otherwise needs another view: outputs keep their shape.
    let own = setup.model().model();
    let fits = own.inputs().iter().zip(inputs).all(|(p, x)| x.shape().get(1..) == Some(&p.shape));
    let model = &if fits { own.clone() } else { setup.model().for_data(inputs)? };
    let n = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(0);
    if n == 0 || inputs.iter().any(|x| x.shape().first() != Some(&n)) {
        return Err(Failure::shape("inputs: expected at least one example, and as many in each"));
    }
    let float = setup.dtype();
    let inputs: Vec<Array> = setup
        .model()
        .normalized(inputs)?
        .into_iter()
        .map(|x| if x.dtype() == DType::I32 { x } else { x.convert(float) })
        .collect();
    let weights = setup.weights();
    let mut outputs: Vec<Vec<Array>> = Vec::new();
    for start in (0..n).step_by(options.batch) {
        if job.cancelled().load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::new(Kind::Interrupted, "interrupted"));
        }
        let end = (start + options.batch).min(n);
        let program =
            setup.executor().compile(&evaluation_graph(model, &inputs, float, end - start)?)?;
        let mut arrays = weights.parameters.arrays().to_vec();
        arrays.extend_from_slice(weights.buffers.arrays());
        for x in &inputs {
            arrays.push(x.rows(start..end)?);
        }
        let results = program.run(arrays)?;
        outputs.resize_with(results.len(), Vec::new);
        for (parts, part) in outputs.iter_mut().zip(results) {
            for row in 0..end - start {
                parts.push(part.row(row)?);
            }
        }
    }
    Ok(outputs.iter().map(|rows| Array::stack(rows)).collect::<std::result::Result<_, _>>()?)
}

/// The graph of a batch of inputs of these types; what does not fit the model is said.
fn evaluation_graph(
    model: &thalweg_nn::Model,
    inputs: &[Array],
    float: DType,
    batch: usize,
) -> Result<thalweg_graph::Graph> {
    let builder = thalweg_graph::Builder::new(float);
    let (parameters, buffers) = model.declare(&builder);
    let xs: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let shape = [&[batch], x.shape().get(1..).unwrap_or_default()].concat();
            builder.input(&format!("data.{i}"), thalweg_graph::TensorType::new(x.dtype(), shape))
        })
        .collect();
    let applied = model.apply_to_all(&builder, &parameters, &buffers, &xs, &Mode::EVALUATE);
    let names: Vec<String> = (0..applied.outputs.len()).map(|i| format!("output{i}")).collect();
    let named = names.iter().map(String::as_str).zip(applied.outputs).collect::<Vec<_>>();
    Ok(builder.finish(&named)?)
}

/// Where a model comes from: the text of its architecture, or a file's bytes with the shapes of
/// examples and the outputs asked for.
type Source<'py> = (String, Option<(Bound<'py, PyBytes>, Vec<Vec<usize>>, Vec<String>)>);

/// What a model is made of: its source, its name, its loss, its normalisation, its arrays.
type Parts<'py> =
    (Source<'py>, String, Option<String>, Option<(Vec<f64>, Vec<f64>)>, Bound<'py, PyDict>);

/// The model that was taken apart by `to_parts`.
#[pyfunction]
pub fn from_parts(
    source: Source<'_>,
    name: &str,
    loss: Option<String>,
    normalization: Option<(Vec<f64>, Vec<f64>)>,
    arrays: BTreeMap<String, Bound<'_, PyUntypedArray>>,
) -> PyResult<Model> {
    let (architecture, file) = source;
    if let Some((bytes, examples, outputs)) = file {
        let model = onnx::from_bytes(bytes.as_bytes(), name, examples, outputs)?;
        let model = model.with_arrays(name, arrays.into_iter().collect())?;
        return model.with_loss(loss.as_deref());
    }
    let model = of_architecture(&architecture, None, None)?;
    let normalization =
        normalization.map(|(mean, divisor)| Normalization { mean, divisor, constant: Vec::new() });
    let info = WeightsInfo {
        architecture: Some(architecture),
        loss,
        normalization,
        ..WeightsInfo::default()
    };
    let weights = thalweg_train::initialize(&model, 0, DType::F32).map_err(Failure::from)?;
    let model = Model::new(name, model, weights, info, Origin::Architecture)?;
    model.with_arrays(name, arrays.into_iter().collect())
}

/// A new model of an architecture, with the initial weights of a seed.
#[pyfunction]
pub fn build(
    architecture: &str,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
    seed: u64,
    precision: &str,
) -> PyResult<Model> {
    let model = of_architecture(architecture, input, outputs)?;
    let precision: thalweg_lab::Precision = crate::objective::parse(precision, "precision")?;
    let weights = thalweg_train::initialize(&model, seed, precision.dtype());
    let info = WeightsInfo {
        architecture: model.architecture().map(ToString::to_string),
        ..WeightsInfo::default()
    };
    let name = model.architecture().map_or("model", |a| a.kind.name()).to_owned();
    Ok(Model::new(&name, model, weights.map_err(Failure::from)?, info, Origin::Architecture)?)
}

/// The models of a file of weights, or of a run directory.
#[pyfunction]
pub fn load(
    path: PathBuf,
    architecture: Option<&str>,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
) -> PyResult<Vec<Model>> {
    let files = open_models(&path, None).map_err(Failure::from)?;
    let each = |file: &WeightsFile| -> Result<Model> {
        let text = architecture.or(file.info.architecture.as_deref()).ok_or_else(|| {
            Failure::config(
                &format!("{}: it does not say its architecture: arch", file.path.display()),
                &format!("one of {}", Architecture::names().join(", ")),
                "none",
            )
        })?;
        let model = of_architecture(text, input.clone(), outputs)?;
        let wide = file.tensors().iter().any(|(_, array)| array.dtype() == DType::F64);
        let weights = file.weights(&model, if wide { DType::F64 } else { DType::F32 })?;
        Model::new(&file.name, model, weights, file.info.clone(), Origin::Architecture)
    };
    Ok(files.iter().map(each).collect::<Result<_>>()?)
}

/// The names of the architectures.
#[pyfunction]
pub fn architectures() -> Vec<&'static str> {
    Architecture::names()
}

fn of_architecture(
    text: &str,
    input: Option<Vec<usize>>,
    outputs: Option<usize>,
) -> Result<thalweg_nn::Model> {
    let architecture: Architecture = text.parse()?;
    let unknown = |what: &str| {
        Failure::config(
            what,
            "the extents of one example and the number of outputs",
            "neither in the text nor beside it",
        )
    };
    let input = match input {
        Some(input) => input,
        None if architecture.input.is_empty() => return Err(unknown("input")),
        None => architecture.input.clone(),
    };
    let outputs = match outputs {
        Some(outputs) => outputs,
        None if architecture.outputs == 0 => return Err(unknown("outputs")),
        None => architecture.outputs,
    };
    Ok(architecture.build(&input, outputs)?)
}

/// An evaluation as a dictionary.
pub fn evaluation<'py>(py: Python<'py>, found: &Evaluation) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    values.set_item("loss", found.loss)?;
    values.set_item("accuracy", found.accuracy)?;
    values.set_item("standard_error", found.standard_error)?;
    values.set_item("examples", found.examples)?;
    values.set_item("finite", found.status == Status::Computed)?;
    Ok(values)
}

fn axis(axis: Axis) -> &'static str {
    match axis {
        Axis::Input => "input",
        Axis::Output => "output",
        Axis::Spatial => "spatial",
        Axis::Other => "other",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Weight => "weight",
        Role::Bias => "bias",
        Role::NormScale => "norm-scale",
        Role::NormShift => "norm-shift",
        Role::Embedding => "embedding",
    }
}

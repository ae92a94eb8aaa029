//! A model with its weights.

use crate::arrays::{copied, from_numpy, to_numpy};
use crate::failure::{Failure, Result};
use crate::imported::Imported;
use crate::layout::Layout;
use crate::onnx;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_lab::{WeightsInfo, atomic_write_bytes, weights_bytes};
use thalweg_nn::{Axis, ClassLoss, Loss, PortType, Weights, from_torch, to_torch};

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
    /// The graph of a file.
    Onnx(Imported),
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
        self.fitted(&self.inner.model, inputs)
    }

    /// [`Model::for_data`], its first output what a loss is of.
    pub fn for_loss(&self, loss: Loss, inputs: &[Array]) -> Result<thalweg_nn::Model> {
        let scores = match &self.inner.origin {
            Origin::Onnx(graph) => graph.scores(&self.inner.model, loss),
            Origin::Architecture => None,
        };
        match scores {
            Some(scores) => self.fitted(&scores.model()?, inputs),
            None => self.for_data(inputs),
        }
    }

    /// What a person should know of the output that a loss is of.
    pub fn said(&self, loss: Loss) -> Option<String> {
        match &self.inner.origin {
            Origin::Onnx(graph) => Some(graph.scores(&self.inner.model, loss)?.said(loss)),
            Origin::Architecture => None,
        }
    }

    fn fitted(&self, model: &thalweg_nn::Model, inputs: &[Array]) -> Result<thalweg_nn::Model> {
        match (&self.inner.origin, inputs) {
            (Origin::Onnx(_), [x]) if model.inputs().len() == 1 => {
                Ok(model.for_examples(x.shape().get(1..).unwrap_or_default())?)
            }
            _ => Ok(model.clone()),
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

    /// The loss that it was trained with, or cross-entropy; without what was done for classes of
    /// unequal frequency.
    pub fn loss(&self) -> Loss {
        let known = self.inner.info.loss.as_deref();
        known.and_then(|text| text.parse::<ClassLoss>().ok()).unwrap_or_default().loss
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
        let plain = |text: &str| match text.parse::<ClassLoss>() {
            Ok(loss) if !loss.is_plain() => loss.loss.to_string(),
            _ => text.to_owned(),
        };
        about.set_item("loss", info.loss.as_deref().map(plain))?;
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
            let axes: Vec<&str> = parameter.torch_axes().into_iter().map(Axis::name).collect();
            let shape = parameter.torch.shape.clone();
            parameters.append((&parameter.name, shape, parameter.role.name(), axes))?;
        }
        about.set_item("parameters", parameters)?;
        let buffers = model.buffers().iter().map(|b| (b.name.clone(), b.shape.clone()));
        about.set_item("buffers", buffers.collect::<Vec<_>>())?;
        Ok(about)
    }

    /// Parameters and buffers under PyTorch's names and in its layout; copies.
    pub fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let entries = to_torch(self.model(), self.weights()).map_err(Failure::from)?;
        let arrays = PyDict::new(py);
        for (name, array) in entries.iter().filter(|(_, array)| array.dtype().is_float()) {
            arrays.set_item(name, copied(py, array)?)?;
        }
        Ok(arrays)
    }

    /// The same model with the arrays of a dictionary like that of `arrays`.
    pub fn with_arrays(
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
    pub fn with_loss(&self, loss: Option<&str>) -> PyResult<Model> {
        let Some(loss) = loss else { return Ok(self.clone()) };
        let ClassLoss { loss, .. } = loss.parse().map_err(Failure::from)?;
        Ok(self.trained(&self.inner.name, self.weights().clone(), loss))
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
        to_numpy(py, flat, &[n])
    }

    /// Writes a safetensors file.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        let bytes = weights_bytes(self.model(), self.weights(), &self.inner.info);
        let written = bytes.and_then(|bytes| atomic_write_bytes(&path, &bytes));
        Ok(written.map_err(Failure::from)?)
    }

    fn __repr__(&self) -> String {
        format!("<thalweg._thalweg.Model {:?}>", self.inner.name)
    }
}

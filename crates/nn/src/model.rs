//! The model as a value.

use crate::architecture::Architecture;
use crate::error::NnError;
use crate::index_range::index_ranges;
use crate::initialize::Draw;
use crate::parameter::{Buffer, Multipliers, Parameter};
use crate::parameters::{Parameters, Weights};
use crate::scope::{Given, Mode, Scope, Trace};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, GraphError, Tensor, TensorType};

/// A traced function of one tensor; the parameters that it asks its scope for are its own.
pub trait Layer: Send + Sync {
    /// Traces the layer.
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b>;
}

/// A traced function of several tensors, as an imported graph is one.
pub trait Network: Send + Sync {
    /// Traces the network.
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>>;
}

impl<L: Layer> Network for L {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        match inputs {
            [x] => vec![self.forward(scope, *x)],
            _ => {
                scope.builder().reject("layer", "one input", inputs.len().to_string());
                Vec::new()
            }
        }
    }
}

/// Element type of a model's input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortType {
    /// The float type of the builder.
    Float,
    /// `i32`, as indices are.
    Index,
}

/// A named input or output of a model; the batch axis comes before `shape`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelPort {
    /// Its name.
    pub name: String,
    /// Extents of one example.
    pub shape: Vec<usize>,
    /// Element type.
    pub ty: PortType,
}

impl ModelPort {
    /// A port of floats.
    pub fn float(name: &str, shape: &[usize]) -> ModelPort {
        ModelPort { name: name.to_owned(), shape: shape.to_vec(), ty: PortType::Float }
    }

    /// The type of a batch.
    pub fn batch_type(&self, float: DType, batch: usize) -> TensorType {
        let dtype = match self.ty {
            PortType::Float => float,
            PortType::Index => DType::I32,
        };
        TensorType::new(dtype, [&[batch], self.shape.as_slice()].concat())
    }
}

/// What an application of a model gives.
#[derive(Clone, Debug)]
pub struct Applied<'b> {
    /// The first output, `[batch, ..]`: logits or predictions.
    pub output: Tensor<'b>,
    /// Every output.
    pub outputs: Vec<Tensor<'b>>,
    /// Each buffer after this batch: moved under `Batch`, the same under `Frozen`.
    pub new_buffers: Vec<Tensor<'b>>,
    /// Statistics of this batch, one for each buffer (under `Frozen` the running ones).
    pub statistics: Vec<Tensor<'b>>,
}

/// A traced function with named inputs, outputs, parameters and buffers.
///
/// Cheap to clone.
///
/// # Example
/// ```
/// use thalweg_nn::{Architecture, Mode};
/// use thalweg_graph::{Builder, TensorType};
/// use thalweg_array::DType;
/// let model = "mlp hidden=16".parse::<Architecture>()?.build(&[4], 3)?;
/// assert_eq!(model.parameter_count(), 4 * 16 + 16 + 16 * 3 + 3);
/// let b = Builder::new(DType::F32);
/// let (parameters, buffers) = model.declare(&b);
/// let x = b.input("x", TensorType::new(DType::F32, [8, 4]));
/// let applied = model.apply(&b, &parameters, &buffers, x, &Mode::EVALUATE);
/// assert_eq!(applied.output.shape(), [8, 3]);
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
#[derive(Clone)]
pub struct Model {
    network: Arc<dyn Network>,
    architecture: Option<Arc<Architecture>>,
    inputs: Arc<[ModelPort]>,
    outputs: Arc<[ModelPort]>,
    parameters: Arc<[Parameter]>,
    buffers: Arc<[Buffer]>,
    index_ranges: Arc<[Option<Range<i64>>]>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.architecture.as_ref().map(ToString::to_string))
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("parameters", &self.parameter_count())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// The model that a network is, found by tracing it once.
    ///
    /// # Errors
    /// The network's first mistake, or two parameters of one name.
    pub fn new(
        network: Arc<dyn Network>,
        inputs: Vec<ModelPort>,
        output_names: &[&str],
    ) -> Result<Model, NnError> {
        // Two examples, because one value per channel has no variance.
        const BATCH: usize = 2;
        let builder = Builder::new(DType::F32);
        let xs: Vec<_> = inputs
            .iter()
            .map(|port| builder.input(&port.name, port.batch_type(DType::F32, BATCH)))
            .collect();
        let trace = Trace::new(None);
        let results = network.trace(&Scope::root(&builder, &Mode::BATCH, &trace), &xs);
        if results.len() != output_names.len() || results.is_empty() {
            let got = format!("{} outputs", results.len());
            builder.reject("network", format!("outputs {output_names:?}"), got);
        }
        let mut outputs = Vec::new();
        for (&name, result) in output_names.iter().zip(&results) {
            let ty = match result.dtype() {
                DType::I32 => PortType::Index,
                _ => PortType::Float,
            };
            let shape = result.shape().get(1..).unwrap_or_default().to_vec();
            outputs.push(ModelPort { name: name.to_owned(), shape, ty });
        }
        let named: Vec<_> = output_names.iter().copied().zip(results).collect();
        let finished = builder.finish(&named);
        let trace = trace.into_inner();
        // Of a model that is too large, its size is the fault worth telling.
        check_size(&trace.parameters)?;
        let mut index_ranges = index_ranges(&finished?);
        index_ranges.truncate(inputs.len());
        Ok(Model {
            network,
            architecture: None,
            inputs: inputs.into(),
            outputs: outputs.into(),
            parameters: trace.parameters.into(),
            buffers: trace.buffers.into(),
            index_ranges: index_ranges.into(),
        })
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        self.network.clone()
    }

    pub(crate) fn of_architecture(mut self, architecture: Architecture) -> Model {
        self.architecture = Some(Arc::new(architecture));
        self
    }

    /// The same model with other multipliers.
    pub fn with_multipliers(mut self, of: impl Fn(&Parameter) -> Multipliers) -> Model {
        let scale =
            |parameter: &Parameter| Parameter { multipliers: of(parameter), ..parameter.clone() };
        self.parameters = self.parameters.iter().map(scale).collect();
        self
    }

    /// The architecture with every option filled in, if the model was made from one.
    pub fn architecture(&self) -> Option<&Architecture> {
        self.architecture.as_deref()
    }

    /// The inputs.
    pub fn inputs(&self) -> &[ModelPort] {
        &self.inputs
    }

    /// For each input, the whole numbers that are found in every table in which the model looks its
    /// elements up; none where it looks up nothing, or what it computes, or a part of the elements.
    pub fn index_ranges(&self) -> &[Option<Range<i64>>] {
        &self.index_ranges
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ModelPort] {
        &self.outputs
    }

    /// The parameters, in the order in which [`Model::apply`] takes them.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The buffers, in the order in which [`Model::apply`] takes them.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Classes that its first output tells apart: one number tells two.
    pub fn n_classes(&self) -> usize {
        let units = self.outputs.first().and_then(|port| port.shape.last().copied());
        units.unwrap_or(1).max(2)
    }

    /// Number of trainable elements.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::count).sum()
    }

    /// Types of the parameters in a float type.
    pub fn parameter_types(&self, float: DType) -> Vec<TensorType> {
        self.parameters.iter().map(|p| TensorType::new(float, p.shape.clone())).collect()
    }

    /// Types of the buffers in a float type.
    pub fn buffer_types(&self, float: DType) -> Vec<TensorType> {
        self.buffers.iter().map(|b| TensorType::new(float, b.shape.clone())).collect()
    }

    /// An input of the graph for each parameter and each buffer, under their names.
    #[track_caller]
    pub fn declare<'b>(&self, builder: &'b Builder) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
        let float = builder.float();
        let parameters = self.parameters.iter().zip(self.parameter_types(float));
        let buffers = self.buffers.iter().zip(self.buffer_types(float));
        (
            parameters.map(|(p, ty)| builder.input(&p.name, ty)).collect(),
            buffers.map(|(b, ty)| builder.input(&b.name, ty)).collect(),
        )
    }

    /// Traces the model on a batch `[batch, ..]`.
    ///
    /// Arguments that do not fit are the builder's error.
    #[track_caller]
    pub fn apply<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        x: Tensor<'b>,
        mode: &Mode<'b>,
    ) -> Applied<'b> {
        self.apply_to_all(builder, parameters, buffers, &[x], mode)
    }

    /// [`Model::apply`] of a model with any number of inputs.
    #[track_caller]
    pub fn apply_to_all<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        inputs: &[Tensor<'b>],
        mode: &Mode<'b>,
    ) -> Applied<'b> {
        let expected = [("parameters", self.parameters.len()), ("buffers", self.buffers.len())];
        for ((what, expected), got) in expected.into_iter().zip([parameters.len(), buffers.len()]) {
            if expected != got {
                builder.reject("model", format!("{expected} {what}"), got.to_string());
            }
        }
        let batch = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(0);
        let fits = inputs.len() == self.inputs.len()
            && inputs
                .iter()
                .zip(self.inputs.iter())
                .all(|(x, port)| x.ty() == port.batch_type(builder.float(), batch));
        if !fits {
            let list = |types: Vec<TensorType>| {
                types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let expected =
                list(self.inputs.iter().map(|p| p.batch_type(builder.float(), batch)).collect());
            builder.reject("model", expected, list(inputs.iter().map(|x| x.ty()).collect()));
        }
        let trace = Trace::new(Some(Given {
            parameters: self.parameters.iter().cloned().zip(parameters.iter().copied()).collect(),
            buffers: self.buffers.iter().cloned().zip(buffers.iter().copied()).collect(),
        }));
        let scope = Scope::root(builder, mode, &trace);
        let mut outputs = self.network.trace(&scope, inputs);
        if outputs.is_empty() {
            outputs.push(builder.scalar(0.0));
        }
        let trace = trace.into_inner();
        Applied {
            output: outputs[0],
            outputs,
            new_buffers: trace.new_buffers,
            statistics: trace.statistics,
        }
    }

    /// The graph `(parameters.., buffers.., inputs..) -> outputs..` on a batch, frozen statistics
    /// and no dropout.
    ///
    /// # Errors
    /// A float type that is none.
    pub fn evaluation_graph(&self, float: DType, batch: usize) -> Result<Graph, GraphError> {
        let builder = Builder::new(float);
        let (parameters, buffers) = self.declare(&builder);
        let xs: Vec<_> = self
            .inputs
            .iter()
            .map(|port| builder.input(&port.name, port.batch_type(float, batch)))
            .collect();
        let applied = self.apply_to_all(&builder, &parameters, &buffers, &xs, &Mode::EVALUATE);
        let names = self.outputs.iter().map(|port| port.name.as_str());
        builder.finish(&names.zip(applied.outputs).collect::<Vec<_>>())
    }

    /// Initial weights, each parameter from draws under its own name.
    ///
    /// # Errors
    /// A type that is no float.
    pub fn initialize(&self, draw: &mut dyn Draw, float: DType) -> Result<Weights, NnError> {
        if !float.is_float() {
            return Err(NnError::FloatType { name: "the model".into(), got: float });
        }
        let mut arrays = Vec::with_capacity(self.parameters.len());
        for parameter in self.parameters.iter() {
            let values = parameter.initializer.values(parameter, draw);
            arrays.push(Array::from_slice(&parameter.shape, &values)?.convert(float));
        }
        Ok(Weights {
            parameters: self.parameter_tree(arrays)?,
            buffers: self.initial_buffers(float),
        })
    }

    /// Buffers before training.
    pub fn initial_buffers(&self, float: DType) -> Parameters {
        let names = self.buffers.iter().map(|b| b.name.clone()).collect();
        let arrays = self.buffers.iter().map(|b| Array::full(&b.shape, b.initial()).convert(float));
        Parameters::from_parts(names, arrays.collect())
    }

    /// Arrays in parameter order, under their names.
    ///
    /// # Errors
    /// A wrong number of arrays, or one of another shape.
    pub fn parameter_tree(&self, arrays: Vec<Array>) -> Result<Parameters, NnError> {
        let shapes = self.parameters.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
        tree(shapes, arrays)
    }

    /// Arrays in buffer order, under their names.
    ///
    /// # Errors
    /// A wrong number of arrays, or one of another shape.
    pub fn buffer_tree(&self, arrays: Vec<Array>) -> Result<Parameters, NnError> {
        let shapes = self.buffers.iter().map(|b| (b.name.clone(), b.shape.clone())).collect();
        tree(shapes, arrays)
    }
}

fn tree(expected: Vec<(String, Vec<usize>)>, arrays: Vec<Array>) -> Result<Parameters, NnError> {
    if expected.len() != arrays.len() {
        let (expected, got) = (expected.len(), arrays.len());
        let expected = format!("{expected} arrays");
        return Err(NnError::Structure { expected, got: format!("{got}") });
    }
    for ((name, shape), array) in expected.iter().zip(&arrays) {
        if shape != array.shape() {
            let expected = format!("{name} {shape:?}");
            return Err(NnError::Structure { expected, got: format!("{:?}", array.shape()) });
        }
    }
    Ok(Parameters::from_parts(expected.into_iter().map(|(name, _)| name).collect(), arrays))
}

/// Refuses parameters that cannot be counted in bytes, as `f64` and a few times over.
fn check_size(parameters: &[Parameter]) -> Result<(), NnError> {
    let size = |p: &Parameter| p.shape.iter().try_fold(64usize, |n, &e| n.checked_mul(e));
    let total = parameters.iter().try_fold(0usize, |sum, p| sum.checked_add(size(p)?));
    if total.is_some_and(|total| isize::try_from(total).is_ok()) {
        return Ok(());
    }
    let largest = parameters.iter().max_by_key(|p| size(p).unwrap_or(usize::MAX));
    let (name, shape) = largest.map(|p| (p.name.clone(), p.shape.clone())).unwrap_or_default();
    Err(NnError::TooLarge { name, shape })
}

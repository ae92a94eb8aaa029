//! A loss as a function of weights.

use crate::MethodError;
use std::fmt;
use std::str::FromStr;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_nn::{Axis, Buffer, Initializer, Loss, Parameter, Parameters, Role, Weights};

/// Which statistics batch normalisation uses away from the trained point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BatchNorm {
    /// The running statistics that training left.
    ///
    /// # Source    Li et al., Visualizing the loss landscape of neural nets, 2018, arXiv 1712.09913
    #[default]
    Frozen,
    /// Those of each batch: the objective then depends on batch size and order.
    Batch,
    /// At each point those of the data: one pass in which each batch is normalised by its own
    /// statistics, whose means over the batches (weighted by examples) are then used as frozen
    /// ones. Derivatives hold them fixed.
    Recalibrated,
}

impl BatchNorm {
    /// Every mode.
    pub const ALL: [BatchNorm; 3] = [BatchNorm::Frozen, BatchNorm::Batch, BatchNorm::Recalibrated];

    /// The name in commands and records.
    pub fn name(self) -> &'static str {
        match self {
            BatchNorm::Frozen => "frozen",
            BatchNorm::Batch => "batch",
            BatchNorm::Recalibrated => "recalibrated",
        }
    }
}

impl fmt::Display for BatchNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BatchNorm {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<BatchNorm, MethodError> {
        let found = BatchNorm::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| {
            MethodError::config("batch-norm mode", "frozen, batch or recalibrated", text)
        })
    }
}

/// What tracing an objective on one batch of examples gives.
#[derive(Clone, Debug)]
pub struct Examples<'b> {
    /// The loss of each example, `[n]`.
    pub losses: Tensor<'b>,
    /// Whether each is classified rightly, `[n]` of 1 and 0, for classification.
    pub correct: Option<Tensor<'b>>,
    /// Batch statistics, one for each buffer, when traced with `batch_statistics`.
    pub statistics: Vec<Tensor<'b>>,
    /// What the losses are functions of, `[n, .., k]`: the outputs of a model.
    pub outputs: Option<Tensor<'b>>,
    /// What the loss of each example was multiplied by, `[n]`, where they are weighted.
    pub weights: Option<Tensor<'b>>,
}

/// Which examples an objective is the mean over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// All that there are.
    #[default]
    All,
    /// Some, drawn without replacement from strata: positions of each stratum's examples in the
    /// objective's order, and how many examples the stratum has altogether.
    Strata(Vec<(Vec<usize>, usize)>),
}

impl Sampling {
    /// How many examples there are altogether, of which so many are taken.
    pub(crate) fn population(&self, taken: usize) -> usize {
        match self {
            Sampling::All => taken,
            Sampling::Strata(strata) => strata.iter().map(|(_, size)| size).sum(),
        }
    }
}

/// A scalar function of weights: the mean of the losses of examples, seen in fixed batches.
///
/// `L(w) = 1/n sum over examples of l_i(w)`
///
/// Everything that methods do to it is a transformation of what [`Objective::trace`] builds.
pub trait Objective: Sync {
    /// The weights that it is a function of.
    fn parameters(&self) -> &[Parameter];

    /// Running statistics that it reads.
    fn buffers(&self) -> &[Buffer];

    /// The float type that it computes in.
    fn float(&self) -> DType;

    /// What batch normalisation does.
    fn batch_norm(&self) -> BatchNorm;

    /// Number of examples in each batch; at most the last one differs.
    fn batches(&self) -> &[usize];

    /// The data of one batch, each array `[n, ..]`.
    ///
    /// # Errors
    /// A batch that is none.
    fn data(&self, batch: usize) -> Result<Vec<Array>, MethodError>;

    /// The data of the examples at some places of the objective's order, as those of one batch.
    /// What is in a file is read for these examples alone.
    ///
    /// # Errors
    /// A place that is none; what cannot be read.
    fn data_at(&self, places: &[usize]) -> Result<Vec<Array>, MethodError>;

    /// Which examples these are.
    fn sampling(&self) -> &Sampling;

    /// The loss of a model's outputs, where the objective is one.
    fn loss(&self) -> Option<Loss> {
        None
    }

    /// Whether that loss says how likely targets are, given the outputs: not where outputs know them.
    fn is_likelihood(&self) -> bool {
        true
    }

    /// The class of each example, where each has one.
    fn labels(&self) -> Option<Vec<i32>> {
        None
    }

    /// Traces the losses of a batch. `batch_statistics`: normalise by the batch's own statistics
    /// and give them, instead of by `buffers`.
    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        data: &[Tensor<'b>],
        batch_statistics: bool,
    ) -> Examples<'b>;
}

impl dyn Objective + '_ {
    /// Number of weights.
    pub fn dimension(&self) -> usize {
        self.parameters().iter().map(Parameter::count).sum()
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.batches().iter().sum()
    }

    /// Types of the data of one batch.
    pub(crate) fn data_types(&self, batch: usize) -> Result<Vec<TensorType>, MethodError> {
        let data = self.data(batch)?;
        Ok(data.iter().map(|array| TensorType::new(array.dtype(), array.shape())).collect())
    }

    /// A batch of each size that occurs, the largest first.
    pub(crate) fn sizes(&self) -> Vec<(usize, usize)> {
        let mut sizes: Vec<(usize, usize)> = Vec::new();
        for (batch, &size) in self.batches().iter().enumerate() {
            if sizes.iter().all(|&(known, _)| known != size) {
                sizes.push((size, batch));
            }
        }
        sizes.sort_by_key(|&(size, _)| std::cmp::Reverse(size));
        sizes
    }
}

/// Weights in the objective's float type, checked against its parameters and buffers.
pub(crate) fn check_point(
    objective: &dyn Objective,
    what: &str,
    point: &Weights,
) -> Result<Weights, MethodError> {
    let parameters = objective.parameters().iter().map(|p| (&p.name, &p.shape));
    let buffers = objective.buffers().iter().map(|b| (&b.name, &b.shape));
    for (expected, got) in
        [(parameters.collect::<Vec<_>>(), &point.parameters), (buffers.collect(), &point.buffers)]
    {
        if expected.len() != got.len() {
            return Err(MethodError::mismatch(
                what,
                format!("{} arrays", expected.len()),
                got.len(),
            ));
        }
        for ((name, shape), (got_name, array)) in expected.into_iter().zip(got.iter()) {
            if name != got_name || *shape != array.shape() {
                let got = format!("{got_name} {:?}", array.shape());
                return Err(MethodError::mismatch(what, format!("{name} {shape:?}"), got));
            }
        }
    }
    Ok(point.convert(objective.float()))
}

/// The point at which derivatives are taken: recalibrated statistics are computed once and held.
pub(crate) fn frozen_at(
    ctx: &crate::Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Weights, MethodError> {
    let point = check_point(objective, "the point", point)?;
    if objective.batch_norm() != BatchNorm::Recalibrated || objective.buffers().is_empty() {
        return Ok(point);
    }
    let buffers = super::evaluate::recalibrated(ctx, objective, &point)?;
    Ok(Weights { parameters: point.parameters, buffers })
}

/// What a closure traces: parameters to a scalar.
type Traced = dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Tensor<'b> + Send + Sync;

/// An objective without data: any traced scalar function of named parameters.
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_graph::DType;
/// use thalweg_methods::{Context, Function, evaluate};
/// let rosenbrock = Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
///     let (x, y) = (w[0], w[1]);
///     (1.0 - x).square() + (y - x.square()).square() * 100.0
/// });
/// let executor = Executor::new(1);
/// let ctx = Context::new(&executor, 0);
/// let at = evaluate(&ctx, &rosenbrock, &rosenbrock.point(&[-1.0, 1.0])?)?;
/// assert_eq!(at.loss, 4.0);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub struct Function {
    float: DType,
    parameters: Vec<Parameter>,
    traced: Box<Traced>,
}

impl Function {
    /// The function that a closure traces from parameters of these names and shapes. Each has the
    /// role of a weight; its last axis is that of output units, the others are inputs.
    pub fn new(
        float: DType,
        parameters: &[(&str, &[usize])],
        traced: impl for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Tensor<'b> + Send + Sync + 'static,
    ) -> Function {
        let describe = |&(name, shape): &(&str, &[usize])| {
            let mut axes = vec![Axis::Input; shape.len()];
            if let Some(last) = axes.last_mut() {
                *last = Axis::Output;
            }
            Parameter::new(name, shape, Role::Weight, &axes, Initializer::Constant(0.0))
        };
        let parameters = parameters.iter().map(describe).collect();
        Function { float, parameters, traced: Box::new(traced) }
    }

    /// The point with these coordinates, in the order of the parameters.
    ///
    /// # Errors
    /// A wrong number of coordinates.
    pub fn point(&self, coordinates: &[f64]) -> Result<Weights, MethodError> {
        let zeros = |p: &Parameter| (p.name.clone(), Array::zeros(self.float, &p.shape));
        let parameters = Parameters::new(self.parameters.iter().map(zeros).collect())?;
        let buffers = Parameters::new(Vec::new())?;
        Ok(Weights { parameters: parameters.unflatten(coordinates)?, buffers })
    }
}

impl Objective for Function {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn buffers(&self) -> &[Buffer] {
        &[]
    }

    fn float(&self) -> DType {
        self.float
    }

    fn batch_norm(&self) -> BatchNorm {
        BatchNorm::Frozen
    }

    fn batches(&self) -> &[usize] {
        &[1]
    }

    fn data(&self, _: usize) -> Result<Vec<Array>, MethodError> {
        Ok(Vec::new())
    }

    fn data_at(&self, _: &[usize]) -> Result<Vec<Array>, MethodError> {
        Ok(Vec::new())
    }

    fn sampling(&self) -> &Sampling {
        &Sampling::All
    }

    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        _: &[Tensor<'b>],
        _: &[Tensor<'b>],
        _: bool,
    ) -> Examples<'b> {
        let losses = (self.traced)(builder, parameters).reshape(&[1]);
        Examples { losses, correct: None, statistics: Vec::new(), outputs: None, weights: None }
    }
}

//! How a layer gets at its parameters while it is traced.

use crate::initialize::Initializer;
use crate::parameter::{Buffer, Parameter};
use std::cell::RefCell;
use thalweg_graph::{Builder, Tensor, TensorType};

/// Which statistics batch normalisation uses.
///
/// A third way away from the trained point, recalibration, is `Batch` over the calibration data
/// with [`crate::Applied::statistics`] averaged over the batches, then `Frozen` with those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchNormMode {
    /// The running statistics, which stay as they are.
    Frozen,
    /// Those of the batch; the running statistics move towards them.
    Batch,
}

/// How a model is applied.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'b> {
    /// Statistics of batch normalisation.
    pub batch_norm: BatchNormMode,
    /// Key of the dropout masks, `u32 [2]`; without one nothing is dropped.
    pub dropout_key: Option<Tensor<'b>>,
}

impl<'b> Mode<'b> {
    /// Frozen statistics and no dropout.
    pub const EVALUATE: Mode<'static> =
        Mode { batch_norm: BatchNormMode::Frozen, dropout_key: None };

    /// Batch statistics and no dropout.
    pub const BATCH: Mode<'static> = Mode { batch_norm: BatchNormMode::Batch, dropout_key: None };

    /// Batch statistics and dropout by a key.
    pub fn train(dropout_key: Tensor<'b>) -> Mode<'b> {
        Mode { batch_norm: BatchNormMode::Batch, dropout_key: Some(dropout_key) }
    }
}

/// A part of a model under a name prefix, being traced.
///
/// The same code declares a model and applies it: when it declares, each parameter becomes an
/// input of a throw-away graph; when it applies, the parameters given come back in the order of
/// declaration.
pub struct Scope<'s, 'b> {
    builder: &'b Builder,
    mode: &'s Mode<'b>,
    prefix: String,
    /// Whether parameters begin at zero, however their layers would draw them.
    zeroed: bool,
    trace: &'s RefCell<Trace<'b>>,
}

/// What one pass of tracing has seen.
pub(crate) struct Trace<'b> {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) buffers: Vec<Buffer>,
    /// Statistics of this batch, one for each buffer.
    pub(crate) statistics: Vec<Tensor<'b>>,
    /// Each buffer after this batch.
    pub(crate) new_buffers: Vec<Tensor<'b>>,
    given: Option<Given<'b>>,
    n_random: u32,
}

/// The values and descriptions that an application was given.
pub(crate) struct Given<'b> {
    pub(crate) parameters: Vec<(Parameter, Tensor<'b>)>,
    pub(crate) buffers: Vec<(Buffer, Tensor<'b>)>,
}

impl<'b> Trace<'b> {
    pub(crate) fn new(given: Option<Given<'b>>) -> RefCell<Trace<'b>> {
        RefCell::new(Trace {
            parameters: Vec::new(),
            buffers: Vec::new(),
            statistics: Vec::new(),
            new_buffers: Vec::new(),
            given,
            n_random: 0,
        })
    }
}

impl<'s, 'b> Scope<'s, 'b> {
    pub(crate) fn root(
        builder: &'b Builder,
        mode: &'s Mode<'b>,
        trace: &'s RefCell<Trace<'b>>,
    ) -> Scope<'s, 'b> {
        Scope { builder, mode, prefix: String::new(), zeroed: false, trace }
    }

    /// The part called `name`.
    pub fn enter(&self, name: &str) -> Scope<'s, 'b> {
        Scope { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// The same part, whose parameters begin at zero if so said: a layer that gives nothing before it
    /// has learned.
    #[must_use]
    pub fn zeroed(&self, zeroed: bool) -> Scope<'s, 'b> {
        Scope { prefix: self.prefix.clone(), zeroed: self.zeroed || zeroed, ..*self }
    }

    /// The builder that traces.
    pub fn builder(&self) -> &'b Builder {
        self.builder
    }

    /// How the model is applied.
    pub fn mode(&self) -> &'s Mode<'b> {
        self.mode
    }

    /// A number of its own for each layer that draws.
    pub fn next_random(&self) -> u32 {
        let mut trace = self.trace.borrow_mut();
        trace.n_random += 1;
        trace.n_random - 1
    }

    /// A parameter, its name taken under this scope's prefix, times its forward multiplier.
    #[track_caller]
    pub fn parameter(&self, mut parameter: Parameter) -> Tensor<'b> {
        parameter.name = format!("{}{}", self.prefix, parameter.name);
        if self.zeroed {
            parameter.initializer = Initializer::Constant(0.0);
        }
        let ty = TensorType::new(self.builder.float(), parameter.shape.clone());
        let mut trace = self.trace.borrow_mut();
        let index = trace.parameters.len();
        let tensor = match &trace.given {
            None => self.builder.input(&parameter.name, ty),
            Some(given) => match given.parameters.get(index) {
                Some((known, tensor)) if known.name == parameter.name && tensor.ty() == ty => {
                    match known.multipliers.forward {
                        1.0 => *tensor,
                        factor => *tensor * factor,
                    }
                }
                other => {
                    let expected = format!("{} {ty}", parameter.name);
                    let got = other
                        .map(|(known, tensor)| format!("{} {}", known.name, tensor.ty()))
                        .unwrap_or_else(|| format!("{} parameters", given.parameters.len()));
                    self.builder.reject("parameter", expected, got);
                    self.builder.zeros(&ty)
                }
            },
        };
        trace.parameters.push(parameter);
        tensor
    }

    /// A buffer, its name taken under this scope's prefix.
    ///
    /// `update` gets the running value and gives the statistic of this batch and the next running
    /// value.
    #[track_caller]
    pub fn buffer(
        &self,
        mut buffer: Buffer,
        update: impl FnOnce(Tensor<'b>) -> (Tensor<'b>, Tensor<'b>),
    ) -> Tensor<'b> {
        buffer.name = format!("{}{}", self.prefix, buffer.name);
        let ty = TensorType::new(self.builder.float(), buffer.shape.clone());
        let mut trace = self.trace.borrow_mut();
        let tensor = match &trace.given {
            None => self.builder.input(&buffer.name, ty),
            Some(given) => match given.buffers.get(trace.buffers.len()) {
                Some((known, tensor)) if known.name == buffer.name && tensor.ty() == ty => *tensor,
                other => {
                    let expected = format!("{} {ty}", buffer.name);
                    let got = other
                        .map(|(known, tensor)| format!("{} {}", known.name, tensor.ty()))
                        .unwrap_or_else(|| format!("{} buffers", given.buffers.len()));
                    self.builder.reject("buffer", expected, got);
                    self.builder.zeros(&ty)
                }
            },
        };
        let (statistic, next) = update(tensor);
        trace.statistics.push(statistic);
        trace.new_buffers.push(next);
        trace.buffers.push(buffer);
        tensor
    }
}

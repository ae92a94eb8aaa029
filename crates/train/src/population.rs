//! One graph over many members, some at a time.

use crate::TrainError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thalweg_array::Array;
use thalweg_exec::{Executor, Program};
use thalweg_graph::{Builder, DType, Graph, GraphError, TensorType};
use thalweg_transform::{Replacement, vmap};

/// The graph of one member, to be run for several members at once.
///
/// A result never depends on how many members go at once, nor on which others: that is the
/// engine's contract. Graphs batched for a number of members are kept.
pub struct Population {
    executor: Arc<Executor>,
    graph: Graph,
    axes: Vec<Option<usize>>,
    programs: Mutex<HashMap<usize, Arc<Program>>>,
}

/// What is passed for one input of the graph.
#[derive(Clone, Debug)]
pub enum Argument {
    /// One array for all members; the input's axis is `None`.
    Shared(Array),
    /// One array for each member of the chunk.
    Members(Vec<Array>),
    /// One array that has the members' axis already.
    Packed(Array),
}

/// How many members go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Members of a chunk; a smaller last chunk is padded with a repeated member.
    pub size: usize,
    /// Number of chunks.
    pub count: usize,
    /// Estimate of the bytes needed at the peak.
    pub bytes: usize,
}

/// What may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of memory, for everything that a run holds; no limit unless given.
    pub memory: Option<usize>,
    /// Members at once at most; no limit unless given.
    pub chunk: Option<usize>,
}

impl Population {
    /// A population over the inputs whose axis is given: where the members' axis is put into that
    /// input. Outputs get it in front.
    pub fn new(executor: Arc<Executor>, graph: Graph, axes: Vec<Option<usize>>) -> Population {
        Population { executor, graph, axes, programs: Mutex::default() }
    }

    /// The graph of one member.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The program for `size` members at once; that for one is the graph itself.
    ///
    /// # Errors
    /// A graph that cannot be batched or compiled.
    pub fn program(&self, size: usize) -> Result<Arc<Program>, TrainError> {
        if let Some(program) = self.programs().get(&size) {
            return Ok(program.clone());
        }
        let program = match size {
            1 => self.executor.compile(&self.graph)?,
            _ => self.executor.compile(&batched(&self.graph, &self.axes, size)?)?,
        };
        self.programs().insert(size, program.clone());
        Ok(program)
    }

    fn programs(&self) -> MutexGuard<'_, HashMap<usize, Arc<Program>>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest number of members at once that fits the memory beside `resident` bytes, and
    /// evens out the chunks. Where one member does not fit, its program computes again what it
    /// would have kept.
    ///
    /// # Errors
    /// `Memory`, naming `what`, if one member does not fit.
    pub fn chunking(
        &self,
        what: &str,
        n_members: usize,
        resident: usize,
        resources: &Resources,
    ) -> Result<Chunking, TrainError> {
        let most = n_members.min(resources.chunk.unwrap_or(usize::MAX)).max(1);
        let even = |size: usize| n_members.max(1).div_ceil(n_members.max(1).div_ceil(size));
        let needs = |size| -> Result<usize, TrainError> {
            Ok(self.program(size)?.memory().peak().saturating_add(resident))
        };
        let chunking =
            |size: usize, bytes| Chunking { size, count: n_members.div_ceil(size), bytes };
        let (mut size, mut bytes) = (even(most), needs(even(most))?);
        let Some(budget) = resources.memory else { return Ok(chunking(size, bytes)) };
        if bytes > budget && size > 1 {
            let one = needs(1)?;
            // Memory grows about linearly with the chunk; the estimate decides in the end.
            let each = (bytes.saturating_sub(one) / (size - 1)).max(1);
            let guess = 1 + budget.saturating_sub(one) / each;
            size = even(guess.clamp(1, size - 1));
            bytes = needs(size)?;
            while bytes > budget && size > 1 {
                size = even(size - 1);
                bytes = needs(size)?;
            }
        }
        if bytes > budget {
            let beside = budget.saturating_sub(resident);
            let program = self.executor.compile_within(&self.graph, beside)?;
            bytes = program.memory().peak().saturating_add(resident);
            if bytes > budget {
                return Err(TrainError::Memory { what: what.to_owned(), needed: bytes, budget });
            }
            self.programs().insert(1, program);
        }
        Ok(chunking(size, bytes))
    }

    /// Runs one chunk of `size` members. Outputs have the members' axis in front.
    ///
    /// # Errors
    /// Arguments that do not fit the inputs.
    pub fn run(&self, size: usize, arguments: Vec<Argument>) -> Result<Vec<Array>, TrainError> {
        let program = self.program(size)?;
        let mut inputs = Vec::with_capacity(arguments.len());
        for (argument, axis) in arguments.into_iter().zip(&self.axes) {
            inputs.push(match (argument, axis) {
                (Argument::Shared(array), _) => array,
                (Argument::Members(mut arrays), _) if size == 1 && arrays.len() == 1 => {
                    arrays.swap_remove(0)
                }
                (Argument::Members(arrays), _) => Array::stack(&arrays)?,
                (Argument::Packed(array), Some(axis)) if size == 1 => {
                    let mut shape = array.shape().to_vec();
                    if *axis < shape.len() {
                        shape.remove(*axis);
                    }
                    array.reshape(&shape)?
                }
                (Argument::Packed(array), _) => array,
            });
        }
        let outputs = program.run(inputs)?;
        if size > 1 {
            return Ok(outputs);
        }
        let lead = |array: Array| array.reshape(&[&[1], array.shape()].concat());
        Ok(outputs.into_iter().map(lead).collect::<Result<_, _>>()?)
    }
}

impl Chunking {
    /// The members of each chunk: those that it is for, and all of them with the last one repeated
    /// until the chunk is full.
    pub fn chunks(
        &self,
        n_members: usize,
    ) -> impl Iterator<Item = (std::ops::Range<usize>, Vec<usize>)> {
        let size = self.size.max(1);
        (0..n_members).step_by(size).map(move |start| {
            let end = (start + size).min(n_members);
            (start..end, (start..start + size).map(|member| member.min(end - 1)).collect())
        })
    }
}

/// The graph for `size` members: inputs with an axis have the members' axis there, outputs have it
/// in front.
fn batched(graph: &Graph, axes: &[Option<usize>], size: usize) -> Result<Graph, GraphError> {
    let float = graph.inputs().map(|port| port.ty.dtype).find(|dtype| dtype.is_float());
    let builder = Builder::new(float.unwrap_or(DType::F32));
    let mut arguments = Vec::with_capacity(axes.len());
    let mut replacements = Vec::new();
    for (port, &axis) in graph.inputs().zip(axes) {
        let Some(axis) = axis else {
            arguments.push(builder.input(&port.name, port.ty.clone()));
            continue;
        };
        let mut shape = port.ty.shape.clone();
        shape.insert(axis.min(shape.len()), size);
        let batched = builder.input(&port.name, TensorType::new(port.ty.dtype, shape));
        let member = builder.placeholder(port.ty.clone());
        replacements.push(Replacement { member, batched, axis });
        arguments.push(member);
    }
    let outputs = vmap(&builder.inline(graph, &arguments), &replacements, size);
    builder.finish(&graph.output_names().zip(outputs).collect::<Vec<_>>())
}

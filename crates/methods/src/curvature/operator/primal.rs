//! What products with other vectors have in common, kept from one to the next.
//!
//! A product runs the model and its gradient before anything depends on the vector: a third of its
//! work. The first product with a batch runs whole, since it may be the only one; the second keeps
//! what it computed on the way, batch by batch as far as memory goes, and the others read it.

use crate::{Context, MethodError};
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::{Executor, Program};
use thalweg_graph::Graph;
use thalweg_transform::{simplify, stages};

/// A product's program, and the same in two parts where that is worth it.
pub(super) struct ProductProgram {
    graph: Graph,
    late_inputs: usize,
    whole: Arc<Program>,
    parts: Option<Option<Arc<Parts>>>,
}

/// A program in two: what does not depend on vectors, and the rest.
struct Parts {
    early: Arc<Program>,
    late: Arc<Program>,
    /// What the first part gives to the second.
    kept_bytes: usize,
}

impl Parts {
    fn peak(&self) -> usize {
        self.early.memory().peak() + self.late.memory().peak()
    }
}

impl ProductProgram {
    /// The program of a graph whose first inputs are the vectors and what belongs to them.
    pub(super) fn new(graph: Graph, late_inputs: usize, whole: Arc<Program>) -> ProductProgram {
        ProductProgram { graph, late_inputs, whole, parts: None }
    }

    /// In two parts; `None` where nothing is worth to be kept. Simplified before, so that both
    /// parts add up in the order that the whole does.
    fn parts(&mut self, executor: &Executor) -> Result<Option<Arc<Parts>>, MethodError> {
        if let Some(known) = &self.parts {
            return Ok(known.clone());
        }
        let late: Vec<usize> = (0..self.late_inputs).collect();
        let found = match stages(&simplify(&self.graph), &late)? {
            None => None,
            Some(stages) => {
                let kept_bytes = stages.early.output_types().map(|ty| ty.size_in_bytes()).sum();
                let early = executor.compile(&stages.early)?;
                let late = executor.compile(&stages.late)?;
                Some(Arc::new(Parts { early, late, kept_bytes }))
            }
        };
        self.parts = Some(found.clone());
        Ok(found)
    }
}

/// What has been kept of each batch.
#[derive(Default)]
pub(super) struct Primal {
    batches: HashMap<(usize, usize), Batch>,
    bytes: usize,
}

/// What is known of a batch.
enum Batch {
    /// It was visited.
    Seen,
    /// These values are what a program makes of it.
    Kept { by: Arc<Parts>, values: Vec<Array> },
}

impl Primal {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Runs a product with a batch, which a pass and its number name.
    ///
    /// Half of the memory budget, less what the programs need, may be kept. Whether anything is
    /// does not change a bit of the result.
    pub(super) fn run(
        &mut self,
        ctx: &Context<'_>,
        place: (usize, usize),
        program: &mut ProductProgram,
        inputs: Vec<Array>,
    ) -> Result<Vec<Array>, MethodError> {
        let Some(batch) = self.batches.get(&place) else {
            self.batches.insert(place, Batch::Seen);
            return Ok(program.whole.run(inputs)?);
        };
        let Some(parts) = program.parts(ctx.executor())? else {
            return Ok(program.whole.run(inputs)?);
        };
        let kept = match batch {
            Batch::Kept { by, values } if Arc::ptr_eq(&by.early, &parts.early) => values.clone(),
            other => {
                let freed = match other {
                    Batch::Kept { by, .. } => by.kept_bytes,
                    Batch::Seen => 0,
                };
                let bytes = self.bytes - freed + parts.kept_bytes;
                let programs = program.whole.memory().peak() + parts.peak();
                if bytes + programs > ctx.memory() / 2 {
                    return Ok(program.whole.run(inputs)?);
                }
                let values = parts.early.run(inputs[program.late_inputs..].to_vec())?;
                self.bytes = bytes;
                self.batches
                    .insert(place, Batch::Kept { by: parts.clone(), values: values.clone() });
                values
            }
        };
        Ok(parts.late.run([inputs, kept].concat())?)
    }
}

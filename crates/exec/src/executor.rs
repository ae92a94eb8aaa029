//! Compile once: programs of graphs, kept by structure.

use crate::error::ExecError;
use crate::kernel::Pool;
use crate::plan::Plan;
use crate::program::{Memory, Program};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thalweg_graph::Graph;

/// Compiles graphs for a set of threads and keeps the programs by structure.
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_graph::{Array, Builder, DType, TensorType};
/// let b = Builder::new(DType::F32);
/// let x = b.input("x", TensorType::new(DType::F32, [3]));
/// let graph = b.finish(&[("y", (x * x).sum(&[0]))])?;
/// let program = Executor::new(1).compile(&graph)?;
/// let y = program.run(vec![Array::vector(&[1.0f32, 2.0, 3.0])])?;
/// assert_eq!(y[0].item(), Some(14.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Executor {
    pool: Arc<Pool>,
    programs: Mutex<Programs>,
    /// What runs of programs have computed again.
    again: Arc<AtomicU64>,
}

/// Programs of a graph, each with the budget that it was made for: none or a number of bytes.
type Programs = HashMap<Graph, Vec<(Option<usize>, Arc<Program>)>>;

impl Executor {
    /// An executor of `threads` threads; 0: one for each core.
    pub fn new(threads: usize) -> Executor {
        Executor::on(Pool::new(threads))
    }

    /// An executor on a given pool.
    pub fn on(pool: Pool) -> Executor {
        Executor { pool: Arc::new(pool), programs: Mutex::default(), again: Arc::default() }
    }

    /// The sum of [`Program::recomputed_flops`] over all runs of its programs so far: what short
    /// memory has cost.
    pub fn recomputed_flops(&self) -> u64 {
        self.again.load(Ordering::Relaxed)
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The program of a graph: simplified, planned, and kept for the next time.
    pub fn compile(&self, graph: &Graph) -> Result<Arc<Program>, ExecError> {
        if let Some(known) = self.known(graph, None) {
            return Ok(known);
        }
        graph.verify()?;
        fits(graph)?;
        let plan = Plan::new(&thalweg_transform::simplify(graph), &self.pool);
        Ok(self.keep(graph, None, plan))
    }

    /// The program of a graph for so many bytes of memory, its [`Memory::peak`].
    ///
    /// Where that of [`Executor::compile`] needs more, values that are kept for a later step are
    /// computed again instead, at the cost of [`Program::recomputed_flops`]; results keep their
    /// bits. What comes back needs as little as was found if even that is more than the budget: the
    /// caller looks.
    ///
    /// # Example
    /// ```
    /// use thalweg_exec::Executor;
    /// use thalweg_graph::{Builder, DType, TensorType};
    /// use thalweg_transform::gradient;
    /// let b = Builder::new(DType::F32);
    /// let x = b.input("x", TensorType::new(DType::F32, [512, 64]));
    /// let w = b.input("w", TensorType::new(DType::F32, [64, 64]));
    /// let y = (0..12).fold(x, |y, _| y.matmul(w).tanh());
    /// let graph = b.finish(&[("gradient", gradient(y.sum_all(), &[w])[0])])?;
    /// let executor = Executor::new(1);
    /// let whole = executor.compile(&graph)?;
    /// let budget = whole.memory().peak() * 3 / 4;
    /// let less = executor.compile_within(&graph, budget)?;
    /// assert!(less.memory().peak() <= budget && less.recomputed_flops() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compile_within(&self, graph: &Graph, budget: usize) -> Result<Arc<Program>, ExecError> {
        let whole = self.compile(graph)?;
        if whole.memory().peak() <= budget {
            return Ok(whole);
        }
        if let Some(known) = self.known(graph, Some(budget)) {
            return Ok(known);
        }
        let simple = thalweg_transform::simplify(graph);
        let excess = |plan: &Plan| Memory::of(graph, plan).peak().saturating_sub(budget);
        let plan = whole.plan().clone().within(&simple, &self.pool, &excess);
        Ok(self.keep(graph, Some(budget), plan))
    }

    fn known(&self, graph: &Graph, budget: Option<usize>) -> Option<Arc<Program>> {
        let programs = self.programs();
        let all = programs.get(graph)?;
        all.iter().find(|(made_for, _)| *made_for == budget).map(|(_, program)| program.clone())
    }

    fn keep(&self, graph: &Graph, budget: Option<usize>, plan: Plan) -> Arc<Program> {
        let program = Arc::new(Program::new(graph, plan, &self.pool, &self.again));
        self.programs().entry(graph.clone()).or_default().push((budget, program.clone()));
        program
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No machine has so many bytes, and sums of sizes below it do not overflow.
const LARGEST: usize = 1 << 45;

/// Refuses a graph with a value that no machine could hold.
fn fits(graph: &Graph) -> Result<(), ExecError> {
    for node in graph.nodes() {
        for ty in &node.types {
            if ty.size_in_bytes() > LARGEST {
                return Err(ExecError::OutOfMemory { bytes: ty.size_in_bytes() });
            }
        }
        for (_, body) in node.op.bodies() {
            fits(body)?;
        }
    }
    Ok(())
}

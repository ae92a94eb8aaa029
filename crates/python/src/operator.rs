//! The Hessian as an operator that stays: its programs are planned once.

use crate::failure::{Failure, Kind, Result};
use crate::job::{self, Job, caught};
use crate::objective::{Objective, multiplied};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use thalweg_methods::curvature::Hessian;

/// Vectors to be multiplied, and where their products go.
struct Request {
    vectors: Vec<Vec<f64>>,
    reply: Sender<Result<Vec<f64>>>,
}

/// The Hessian of a model's loss on data, on a thread of its own.
#[pyclass(frozen, module = "thalweg._thalweg")]
pub struct Operator {
    requests: Mutex<Sender<Request>>,
    cancelled: Arc<AtomicBool>,
    n: usize,
}

#[pymethods]
impl Operator {
    #[new]
    fn new(py: Python<'_>, objective: &Bound<'_, Objective>) -> PyResult<Operator> {
        let asked = objective.get().clone();
        let n = asked.setup().model().layout().len();
        let cancelled = Arc::new(AtomicBool::new(false));
        let (requests, requested) = channel();
        let (ready, begun) = channel();
        let job = Job::silent(cancelled.clone());
        thread::Builder::new()
            .name("thalweg-hessian".into())
            .stack_size(job::STACK)
            .spawn(move || serve(&job, &asked, &requested, &ready))
            .map_err(|e| Failure::new(Kind::Memory, format!("no thread for the operator: {e}")))?;
        job::wait(py, &cancelled, &Mutex::new(begun), || Ok(()))?;
        Ok(Operator { requests: Mutex::new(requests), cancelled, n })
    }

    /// Products with vectors `[k, n]`.
    fn products<'py>(
        &self,
        py: Python<'py>,
        vectors: Bound<'py, PyUntypedArray>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let vectors = crate::arrays::vectors(&vectors, self.n)?;
        let k = vectors.len();
        let (reply, outcome) = channel();
        let asked = self
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(Request { vectors, reply });
        asked.map_err(|_| {
            let text =
                "the operator's thread is gone: it does not live on in a process that was forked";
            Failure::new(Kind::Internal, text)
        })?;
        let products = job::wait(py, &self.cancelled, &Mutex::new(outcome), || Ok(()))?;
        crate::arrays::to_numpy(py, products, &[k, self.n])
    }
}

/// Answers requests until nobody can ask any more.
fn serve(job: &Job, asked: &Objective, requests: &Receiver<Request>, ready: &Sender<Result<()>>) {
    let outcome = caught(|| {
        let setup = asked.setup();
        let ctx = setup.context(job, None)?;
        let objective = asked.open(&ctx)?;
        let hessian = Hessian::new(&ctx, &objective, &setup.weights())?;
        let _ = ready.send(Ok(()));
        for Request { vectors, reply } in requests {
            // One that was interrupted before has left the flag behind.
            job.cancelled().store(false, Ordering::Relaxed);
            let _ = reply.send(caught(|| multiplied(&hessian, setup, vectors)));
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        let _ = ready.send(Err(failure));
    }
}

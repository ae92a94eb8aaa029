//! Work on a thread of its own, while Python's thread looks after signals and progress.

use crate::failure::{Failure, Kind, Result};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use thalweg_methods::Progress;

/// How often Python is asked whether the user wants to stop.
const TICK: Duration = Duration::from_millis(50);
/// How long work that was told to stop is waited for. What takes longer finishes its batch alone:
/// it holds nothing of Python's but memory, which it gives back when it is done.
const PATIENCE: Duration = Duration::from_millis(400);
/// Graphs are walked by recursion no deeper than models are; as much as a main thread has.
pub const STACK: usize = 16 << 20;

enum Event {
    Start(String, u64),
    Advance(u64),
    Message(String),
}

/// What a piece of work is given: a flag to look at, and where to say how far it is.
pub struct Job {
    cancelled: Arc<AtomicBool>,
    events: Option<Sender<Event>>,
}

impl Job {
    /// A job that says nothing.
    pub fn silent(cancelled: Arc<AtomicBool>) -> Job {
        Job { cancelled, events: None }
    }

    fn send(&self, event: Event) {
        // Nobody listens to work that was left behind.
        let _ = self.events.as_ref().map(|events| events.send(event));
    }

    /// The flag that stops the work.
    pub fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }
}

impl Progress for Job {
    fn start(&self, what: &str, total: u64) {
        self.send(Event::Start(what.to_owned(), total));
    }

    fn advance(&self, n: u64) {
        self.send(Event::Advance(n));
    }

    fn message(&self, text: &str) {
        self.send(Event::Message(text.to_owned()));
    }
}

/// A panic is a defect, and is said to be one.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Failure::new(Kind::Internal, format!("a defect of thalweg, please report it: {text}")))
    })
}

/// Does the work without the interpreter's lock. `reporter` is an object with the methods
/// `start(what, total)`, `advance(n)` and `message(text)`, or `None`.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    reporter: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Job) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (events, seen) = channel();
    let (done, outcome) = channel();
    let job = Job { cancelled: cancelled.clone(), events: Some(events) };
    let body = move || {
        let result = caught(|| work(&job));
        // All it held is let go of before the caller goes on.
        drop(job);
        let _ = done.send(result);
    };
    thread::Builder::new()
        .name("thalweg".into())
        .stack_size(STACK)
        .spawn(body)
        .map_err(|error| Failure::new(Kind::Memory, format!("no thread for the work: {error}")))?;
    wait(py, &cancelled, &Mutex::new(outcome), || report(reporter, &seen))
}

/// Waits for what a thread sends, with an eye on signals.
pub fn wait<T: Send>(
    py: Python<'_>,
    cancelled: &AtomicBool,
    outcome: &Mutex<Receiver<Result<T>>>,
    mut look: impl FnMut() -> PyResult<()>,
) -> PyResult<T> {
    let receive = |patience| {
        py.detach(|| outcome.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience))
    };
    loop {
        match receive(TICK) {
            Ok(result) => {
                look()?;
                return Ok(result?);
            }
            Err(RecvTimeoutError::Disconnected) => {
                let text = "a defect of thalweg: its thread ended without a word";
                return Err(Failure::new(Kind::Internal, text).into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(error) = py.check_signals().and_then(|()| look()) {
            cancelled.store(true, Ordering::Relaxed);
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                if !matches!(receive(TICK), Err(RecvTimeoutError::Timeout)) {
                    break;
                }
            }
            return Err(error);
        }
    }
}

fn report(reporter: Option<&Bound<'_, PyAny>>, seen: &Receiver<Event>) -> PyResult<()> {
    let mut advanced = 0;
    for event in seen.try_iter() {
        let Some(reporter) = reporter else { continue };
        if let Event::Advance(n) = event {
            advanced += n;
            continue;
        }
        if advanced > 0 {
            reporter.call_method1("advance", (std::mem::take(&mut advanced),))?;
        }
        match event {
            Event::Start(what, total) => reporter.call_method1("start", (what, total))?,
            Event::Message(text) => reporter.call_method1("message", (text,))?,
            Event::Advance(_) => continue,
        };
    }
    if let (Some(reporter), 1..) = (reporter, advanced) {
        reporter.call_method1("advance", (advanced,))?;
    }
    Ok(())
}

//! What every command computes with.

use crate::budget::Budget;
use crate::console::{Console, Verbosity};
use crate::error::{LabError, Result};
use crate::interrupt::interrupt_flag;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_exec::kernel::Isa;
use thalweg_methods::{Context, UnitStore};
use thalweg_train::Resources;

/// The float type of weights and arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 64 bits.
    F64,
}

impl Precision {
    /// The element type.
    pub fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Precision, String> {
        match text {
            "f32" => Ok(Precision::F32),
            "f64" => Ok(Precision::F64),
            _ => Err("expected f32 or f64".into()),
        }
    }
}

/// An executor, a budget, a console, and the flag that Ctrl-C raises.
pub struct Session {
    /// Where programs are compiled and run.
    pub executor: Arc<Executor>,
    /// What may be used.
    pub budget: Budget,
    /// The float type.
    pub precision: Precision,
    /// The root of every random stream.
    pub seed: u64,
    /// Where progress goes.
    pub console: Console,
    /// Whether the user asked to stop.
    pub interrupted: Arc<AtomicBool>,
    /// The command line that was given, for the record.
    pub command_line: Option<String>,
}

impl Session {
    /// A session of a process: it takes Ctrl-C over.
    pub fn new(budget: Budget, precision: Precision, seed: u64, verbosity: Verbosity) -> Session {
        Session {
            executor: Arc::new(Executor::new(budget.threads)),
            budget,
            precision,
            seed,
            console: Console::new(verbosity),
            interrupted: interrupt_flag(),
            command_line: None,
        }
    }

    /// The context for methods, with a store of finished work.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn context<'a>(&'a self, units: &'a dyn UnitStore) -> Result<Context<'a>> {
        Ok(Context::new(&self.executor, self.seed)
            .with_memory(self.memory())
            .with_precision(self.precision.dtype())?
            .with_progress(&self.console)
            .with_cancellation(&self.interrupted)
            .with_units(units))
    }

    /// What training may use.
    pub fn resources(&self) -> Resources {
        Resources { memory: Some(self.memory()), chunk: None }
    }

    /// # Errors
    /// `Interrupted` once the user asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(LabError::Interrupted),
            false => Ok(()),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        usize::try_from(self.budget.memory.0).unwrap_or(usize::MAX)
    }
}

/// The processor and what the engine uses of it, in words.
pub fn device() -> String {
    let name = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let name = name.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let set = match Isa::best() {
        Isa::Avx512 => "AVX-512",
        Isa::Avx2 => "AVX2 and FMA",
        Isa::Portable => "portable instructions",
    };
    format!("{name}, {set}")
}

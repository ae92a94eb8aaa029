//! What every method is given beside its arguments.

use crate::{Meter, MethodError, Pass};
use std::sync::atomic::{AtomicBool, Ordering};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;

/// Arrays under names: what a finished piece of work is stored as.
pub type NamedArrays = Vec<(String, Array)>;

/// Where a method says how far it is.
///
/// What is measured is units of work; how long they take is for the receiver to see.
pub trait Progress: Sync {
    /// A part of the work begins that consists of `total` units.
    fn start(&self, what: &str, total: u64);
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// Something a person should read.
    fn message(&self, text: &str);
}

/// Finished pieces of work by key.
///
/// A store belongs to one configuration: whoever opens it for a run makes sure that everything
/// which the results depend on is the same. A key that was put is got back bit for bit, or, after
/// a crash, not at all.
pub trait UnitStore: Sync {
    /// The arrays of a finished piece of work.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn get(&self, key: &str) -> Result<Option<NamedArrays>, MethodError>;
    /// Keeps the arrays of a finished piece of work.
    ///
    /// # Errors
    /// A store that cannot be written.
    fn put(&self, key: &str, arrays: &[(String, Array)]) -> Result<(), MethodError>;
}

/// Says nothing, keeps nothing, and is never interrupted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn message(&self, _: &str) {}
}

impl UnitStore for Silent {
    fn get(&self, _: &str) -> Result<Option<NamedArrays>, MethodError> {
        Ok(None)
    }

    fn put(&self, _: &str, _: &[(String, Array)]) -> Result<(), MethodError> {
        Ok(())
    }
}

/// The array of a unit that says what it took, in examples of each kind of pass.
const SPENT: &str = "spent";

static SILENT: Silent = Silent;
static NEVER: AtomicBool = AtomicBool::new(false);

/// What every method is given: where to compute, how much memory it may take, the root of all
/// draws, whom to tell how far it is, when to stop, and where finished work is kept.
///
/// Cheap to clone. Neither the memory budget, nor the executor's threads, nor which units were
/// stored before changes a bit of a result.
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_methods::Context;
/// let executor = Executor::new(1);
/// let ctx = Context::new(&executor, 0).with_memory(1 << 30);
/// assert_eq!(ctx.stream("directions"), Context::new(&executor, 0).stream("directions"));
/// ```
#[derive(Clone)]
pub struct Context<'a> {
    executor: &'a Executor,
    memory: usize,
    precision: DType,
    seed: u64,
    progress: &'a dyn Progress,
    cancelled: &'a AtomicBool,
    units: &'a dyn UnitStore,
    meter: Option<&'a Meter>,
    prefix: String,
}

impl<'a> Context<'a> {
    /// A context of f32, 2 GiB, no progress, no store.
    pub fn new(executor: &'a Executor, seed: u64) -> Context<'a> {
        Context {
            executor,
            memory: 2 << 30,
            precision: DType::F32,
            seed,
            progress: &SILENT,
            cancelled: &NEVER,
            units: &SILENT,
            meter: None,
            prefix: String::new(),
        }
    }

    /// With a memory budget in bytes, which sets how many members of a population go at once.
    pub fn with_memory(mut self, bytes: usize) -> Context<'a> {
        self.memory = bytes;
        self
    }

    /// With the float type that models compute in.
    ///
    /// # Errors
    /// A type that is no float.
    pub fn with_precision(mut self, precision: DType) -> Result<Context<'a>, MethodError> {
        if !precision.is_float() {
            return Err(MethodError::config("precision", "f32 or f64", precision));
        }
        self.precision = precision;
        Ok(self)
    }

    /// With someone to tell how far the work is.
    pub fn with_progress(mut self, progress: &'a dyn Progress) -> Context<'a> {
        self.progress = progress;
        self
    }

    /// With a flag that stops the work when it becomes true.
    pub fn with_cancellation(mut self, flag: &'a AtomicBool) -> Context<'a> {
        self.cancelled = flag;
        self
    }

    /// With a store of finished work.
    pub fn with_units(mut self, units: &'a dyn UnitStore) -> Context<'a> {
        self.units = units;
        self
    }

    /// With a counter of what is computed.
    pub fn with_meter(mut self, meter: &'a Meter) -> Context<'a> {
        self.meter = Some(meter);
        self
    }

    /// The same context for a part of the work: keys of units get `name/` in front. Draws stay
    /// the same.
    pub fn within(&self, name: &str) -> Context<'a> {
        Context { prefix: format!("{}{name}/", self.prefix), ..self.clone() }
    }

    /// Where programs are compiled.
    pub fn executor(&self) -> &'a Executor {
        self.executor
    }

    /// The memory budget in bytes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The float type that models compute in.
    pub fn precision(&self) -> DType {
        self.precision
    }

    /// The root of all draws.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The stream of draws of this name.
    pub fn stream(&self, name: &str) -> Stream {
        Stream::new(self.seed, name)
    }

    /// Whom to tell how far the work is.
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress
    }

    /// Says that so many examples go through a pass of this kind.
    pub(crate) fn spend(&self, pass: Pass, examples: usize) {
        if let Some(meter) = self.meter {
            meter.add(pass, examples as u64);
        }
    }

    /// # Errors
    /// [`MethodError::Interrupted`] once the flag is set.
    pub fn check(&self) -> Result<(), MethodError> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(MethodError::Interrupted),
            false => Ok(()),
        }
    }

    /// A piece of work that is done once: its stored arrays if there are any, else what `work`
    /// gives, which is stored. With a meter what it took is stored beside it, and counted whenever it is
    /// got back, so that a count does not depend on what was done before.
    ///
    /// # Errors
    /// Those of the work and of the store; `Interrupted` before the work if the flag is set.
    pub fn unit(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<NamedArrays, MethodError>,
    ) -> Result<NamedArrays, MethodError> {
        let key = format!("{}{key}", self.prefix);
        if let Some(mut known) = self.units.get(&key)? {
            let place = known.iter().position(|(name, _)| name == SPENT);
            if let Some((_, spent)) = place.map(|place| known.remove(place)) {
                for (pass, examples) in Pass::ALL.into_iter().zip(spent.to_f64_vec()) {
                    self.spend(pass, examples as usize);
                }
            }
            return Ok(known);
        }
        self.check()?;
        let before = self.meter.map(Meter::counts);
        let mut arrays = work()?;
        let spent = self.meter.zip(before).map(|(meter, before)| {
            let each = meter.counts().into_iter().zip(before);
            Array::vector(&each.map(|(after, before)| (after - before) as i64).collect::<Vec<_>>())
        });
        let n = arrays.len();
        arrays.extend(spent.map(|spent| (SPENT.to_owned(), spent)));
        self.units.put(&key, &arrays)?;
        arrays.truncate(n);
        Ok(arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<HashMap<String, NamedArrays>>);

    impl UnitStore for Kept {
        fn get(&self, key: &str) -> Result<Option<NamedArrays>, MethodError> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn put(&self, key: &str, arrays: &[(String, Array)]) -> Result<(), MethodError> {
            self.0.lock().unwrap().insert(key.to_owned(), arrays.to_vec());
            Ok(())
        }
    }

    #[test]
    fn what_a_unit_took_counts_whenever_it_is_got() {
        let (executor, kept) = (Executor::new(1), Kept::default());
        let ctx = Context::new(&executor, 0).with_units(&kept);
        for _ in 0..2 {
            let meter = Meter::default();
            let ctx = ctx.clone().with_meter(&meter);
            let work = || {
                ctx.spend(Pass::Product, 6);
                Ok(vec![("x".to_owned(), Array::scalar(1.0))])
            };
            // A unit inside of a unit is part of what that took.
            let within = || ctx.unit("inner", work);
            assert_eq!(ctx.unit("outer", within).unwrap().len(), 1);
            ctx.spend(Pass::Loss, 3);
            assert_eq!(meter.passes(3), crate::Passes::new(1, 0, 2));
        }
        // Whoever does not count does not see it.
        assert_eq!(ctx.unit("outer", || Ok(Vec::new())).unwrap().len(), 1);
    }

    #[test]
    fn a_unit_is_done_once_under_its_whole_key() {
        let (executor, kept, flag) = (Executor::new(1), Kept::default(), AtomicBool::new(false));
        let ctx = Context::new(&executor, 0).with_units(&kept).with_cancellation(&flag);
        let done = Cell::new(0);
        let work = || {
            done.set(done.get() + 1);
            Ok(vec![("x".to_owned(), Array::scalar(f64::from(done.get())))])
        };
        let first = ctx.within("a").unit("b", work).unwrap();
        assert_eq!(ctx.unit("a/b", work).unwrap(), first);
        assert_eq!(done.get(), 1);
        ctx.unit("b", work).unwrap();
        assert_eq!(done.get(), 2);
        flag.store(true, Ordering::Relaxed);
        assert_eq!(ctx.unit("b", work).unwrap()[0].1.item(), Some(2.0));
        assert_eq!(ctx.unit("c", work), Err(MethodError::Interrupted));
        assert_eq!(done.get(), 2);
    }
}

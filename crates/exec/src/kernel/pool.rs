//! Threads and their private scratch.

use super::bounds;
use super::simd::Isa;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A fixed set of threads and the instruction set that kernels use on them.
///
/// Tasks are handed out dynamically; this never changes a result, because a task owns its outputs.
/// A caller that runs many kernels in a row should do so inside [`Pool::install`]: work handed out
/// by one of the pool's own threads needs no blocking wake-up.
pub struct Pool {
    threads: Option<rayon::ThreadPool>,
    count: usize,
    isa: Isa,
    /// The state of the draws of a scrambled pool.
    scrambled: Option<AtomicU64>,
}

impl Pool {
    /// A pool of `threads` threads (0: one for each core) with the machine's best instruction set.
    ///
    /// If the system refuses to start threads, the pool is the calling thread alone.
    pub fn new(threads: usize) -> Self {
        Self::with_isa(threads, Isa::best())
    }

    /// As [`Pool::new`] with a given instruction set; [`Isa::best`] if the machine lacks it.
    pub fn with_isa(threads: usize, isa: Isa) -> Self {
        let count = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let isa = if isa.is_available() { isa } else { Isa::best() };
        let threads = (count > 1)
            .then(|| rayon::ThreadPoolBuilder::new().num_threads(count).build().ok())
            .flatten();
        let count = if threads.is_some() { count } else { 1 };
        Self { count, threads, isa, scrambled: None }
    }

    /// A pool that does one task at a time, in a drawn order and on drawn slots: any order that
    /// `threads` threads could bring about may come. For tests that none of them changes a bit.
    pub fn scrambled(threads: usize, seed: u64) -> Self {
        let scrambled = Some(AtomicU64::new(seed));
        Self { count: threads.max(1), threads: None, isa: Isa::best(), scrambled }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.count
    }

    /// The instruction set of this pool's kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Runs `work` on one of the pool's threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }

    /// Calls `work(task)` for every task in `0..tasks` and returns when all are done.
    pub fn for_each(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        self.for_each_slot(tasks, |_, task| work(task));
    }

    /// Calls `work(slot, task)` for every task. Calls that overlap in time have different slots,
    /// and slots are below [`Pool::threads`].
    pub fn for_each_slot(&self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        let work = bounds::inherit(work);
        let slots = self.count.min(tasks);
        if let Some(state) = &self.scrambled {
            let mut order: Vec<usize> = (0..tasks).collect();
            for task in (1..tasks).rev() {
                order.swap(task, draw(state, task + 1));
            }
            return order.into_iter().for_each(|task| work(draw(state, slots), task));
        }
        let Some(threads) = self.threads.as_ref().filter(|_| slots > 1) else {
            return (0..tasks).for_each(|task| work(0, task));
        };
        let next = AtomicUsize::new(0);
        let serve = |slot: usize| {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    return;
                }
                work(slot, task);
            }
        };
        if threads.current_thread_index().is_some() {
            fork(0, slots, &serve);
        } else {
            threads.install(|| fork(0, slots, &serve));
        }
    }

    /// Calls `work(task, slice)` for every task, where `slice` is `length` elements of `scratch`
    /// that no other running task sees. Its content is whatever an earlier task left.
    ///
    /// # Panics
    /// If `scratch` is shorter than `threads() * length`.
    pub fn for_each_with<S: Send>(
        &self,
        tasks: usize,
        scratch: &mut [S],
        length: usize,
        work: impl Fn(usize, &mut [S]) + Sync,
    ) {
        assert!(scratch.len() >= self.count * length, "scratch is too short for every thread");
        let base = Shared(scratch.as_mut_ptr());
        self.for_each_slot(tasks, |slot, task| {
            // SAFETY: slots are below `count`, so the slice is inside `scratch`, and overlapping
            // calls have different slots, so no two live slices overlap.
            let slice =
                unsafe { std::slice::from_raw_parts_mut(base.get().add(slot * length), length) };
            work(task, slice);
        });
    }
}

/// A whole number below `end`, by SplitMix64.
fn draw(state: &AtomicU64, end: usize) -> usize {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % end.max(1) as u64) as usize
}

/// Serves slots `low..high`, each as one unit that a thread may take.
fn fork(low: usize, high: usize, serve: &(impl Fn(usize) + Sync)) {
    if high - low == 1 {
        return serve(low);
    }
    let middle = low + (high - low) / 2;
    rayon::join(|| fork(low, middle, serve), || fork(middle, high, serve));
}

/// A pointer that tasks share; whoever dereferences it answers for disjointness.
pub(crate) struct Shared<T>(pub *mut T);

impl<T> Shared<T> {
    /// The pointer. (A method, so that closures capture the wrapper and not its field.)
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: the wrapper only carries the address; every dereference is justified where it is done.
unsafe impl<T> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Shared<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_with_private_scratch() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            let mut scratch = vec![0usize; threads * 8];
            pool.install(|| {
                pool.for_each_with(1000, &mut scratch, 8, |task, slice| {
                    slice.fill(task);
                    std::hint::spin_loop();
                    assert!(slice.iter().all(|&x| x == task));
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
            });
            pool.for_each(1000, |task| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 2));
        }
    }
}

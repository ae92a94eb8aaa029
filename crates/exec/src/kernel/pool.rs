//! Threads and their private scratch.

use super::bounds;
use super::simd::Isa;
use super::team::Team;
use std::sync::atomic::{AtomicU64, Ordering};

/// A fixed set of threads and the instruction set that kernels use on them.
///
/// Tasks are handed out dynamically; this never changes a result, because a task owns its outputs.
/// The caller's thread is one of them.
pub struct Pool {
    team: Option<Team>,
    count: usize,
    isa: Isa,
    /// The state of the draws of a scrambled pool.
    scrambled: Option<AtomicU64>,
}

impl Pool {
    /// A pool of `threads` threads (0: one for each core) with the machine's best instruction set.
    ///
    /// If the system grants fewer threads, the pool has those.
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
        let team = (count > 1).then(|| Team::new(count - 1));
        let count = 1 + team.as_ref().map_or(0, Team::len);
        Self { count, team, isa, scrambled: None }
    }

    /// A pool that does one task at a time, in a drawn order and on drawn slots: any order that
    /// `threads` threads could bring about may come. For tests that none of them changes a bit.
    pub fn scrambled(threads: usize, seed: u64) -> Self {
        let scrambled = Some(AtomicU64::new(seed));
        Self { count: threads.max(1), team: None, isa: Isa::best(), scrambled }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.count
    }

    /// The instruction set of this pool's kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `work(task)` for every task in `0..tasks` and returns when all are done.
    pub fn for_each(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        self.for_each_slot(tasks, |_, task| work(task));
    }

    /// Calls `work(slot, task)` for every task. Calls that overlap in time have different slots,
    /// and slots are below [`Pool::threads`].
    pub fn for_each_slot(&self, tasks: usize, work: impl Fn(usize, usize) + Sync) {
        let work = bounds::inherit(work);
        if let Some(state) = &self.scrambled {
            let slots = self.count.min(tasks);
            let mut order: Vec<usize> = (0..tasks).collect();
            for task in (1..tasks).rev() {
                order.swap(task, draw(state, task + 1));
            }
            return order.into_iter().for_each(|task| work(draw(state, slots), task));
        }
        match self.team.as_ref().filter(|_| tasks > 1) {
            Some(team) => team.for_each(tasks, &work),
            None => (0..tasks).for_each(|task| work(0, task)),
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
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_task_runs_once_with_private_scratch() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            let mut scratch = vec![0usize; threads * 8];
            pool.for_each_with(1000, &mut scratch, 8, |task, slice| {
                slice.fill(task);
                std::hint::spin_loop();
                assert!(slice.iter().all(|&x| x == task));
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            pool.for_each(1000, |task| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 2));
        }
    }
}

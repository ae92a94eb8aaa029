//! Threads that wait for work awake.
//!
//! A plan is hundreds of short parallel regions with a barrier after each. A thread that sleeps
//! between them wakes up later than most of them take, so the threads of a team spin for a while
//! before they sleep. A region is open to whoever comes: its leader takes tasks like everyone else
//! and waits only for those who came in, so a thread that is late delays nobody.
//!
//! Each thread begins with a share of the tasks of its own, the same share of equally many tasks
//! each time: what one step of a plan leaves in a core's cache, the next one finds there. Whoever
//! is done takes from the shares of others.

use std::cell::UnsafeCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Looks for work before a thread sleeps: some tenths of a millisecond.
const SPINS: usize = 20_000;
/// Looks between two offers of the processor to others.
const PATIENCE: usize = 256;

/// What is called with a slot and a task.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A region's tasks.
#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    tasks: usize,
}

/// The next task of a share, on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Next(AtomicUsize);

/// Threads beside the caller's.
pub(super) struct Team {
    shared: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

struct State {
    /// Odd while a region is open; grows by one at each opening and closing.
    epoch: AtomicUsize,
    /// Threads in the region, or about to find that it is closed.
    inside: AtomicUsize,
    /// Threads that sleep, or are about to.
    asleep: AtomicUsize,
    /// Whether a caller leads a region.
    led: AtomicBool,
    ended: AtomicBool,
    /// Whether a task of the region panicked on another thread.
    panicked: AtomicBool,
    /// How many tasks of each share have been taken.
    taken: Vec<Next>,
    /// The region's work. Written by the leader while the region is closed and nobody is inside;
    /// read by threads that are inside an open region.
    job: UnsafeCell<Option<Job>>,
}

// SAFETY: `job` is guarded by `epoch` and `inside` as its field says, and what it points to is
// `Sync`.
unsafe impl Sync for State {}
// SAFETY: as above.
unsafe impl Send for State {}

impl Team {
    /// As many threads as the system grants, at most `wanted`.
    pub(super) fn new(wanted: usize) -> Team {
        let shared = Arc::new(State {
            epoch: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            led: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            taken: (0..=wanted).map(|_| Next::default()).collect(),
            job: UnsafeCell::new(None),
        });
        let start = |slot: usize| {
            let state = shared.clone();
            thread::Builder::new().name(format!("thalweg-{slot}")).spawn(move || state.serve(slot))
        };
        let threads = (1..=wanted).map_while(|slot| start(slot).ok()).collect();
        Team { shared, threads }
    }

    /// Number of threads.
    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Calls `work(slot, task)` for each of so many tasks: slot 0 is this thread, others are those
    /// that come before all is done. If another caller leads the team, or a task of this one's
    /// region calls, the caller works alone.
    ///
    /// # Panics
    /// If `work` panicked on any thread.
    pub(super) fn for_each(&self, tasks: usize, work: &Work<'_>) {
        let state = &*self.shared;
        if state.led.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(|task| work(0, task));
        }
        // SAFETY: the lifetime is given up only until the region's end: `region` is closed, also
        // by a panic, before `work` goes out of scope, and no thread is inside from then on.
        let erased: *const Work<'static> = unsafe { std::mem::transmute(work) };
        let job = Job { work: erased, tasks };
        // SAFETY: this caller leads, the region is closed and nobody is inside.
        unsafe { *state.job.get() = Some(job) };
        state.taken.iter().for_each(|taken| taken.0.store(0, Ordering::Relaxed));
        let region = Region(state);
        state.epoch.fetch_add(1, Ordering::SeqCst);
        if state.asleep.load(Ordering::SeqCst) > 0 {
            self.threads.iter().for_each(|thread| thread.thread().unpark());
        }
        state.work(0, tasks, work);
        region.close();
        let panicked = state.panicked.swap(false, Ordering::SeqCst);
        state.led.store(false, Ordering::Release);
        assert!(!panicked, "a task of a kernel panicked");
    }
}

/// An open region; a panic of the leader closes it too.
struct Region<'a>(&'a State);

impl Region<'_> {
    /// Closes it and waits for those inside.
    fn close(self) {
        self.end();
        std::mem::forget(self);
    }

    fn end(&self) {
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
        let mut spins = 0;
        while self.0.inside.load(Ordering::SeqCst) > 0 {
            wait(&mut spins);
        }
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        self.end();
        // The leader's own panic tells enough.
        self.0.panicked.store(false, Ordering::SeqCst);
        self.0.led.store(false, Ordering::Release);
    }
}

impl State {
    /// Takes tasks until none is left: of the slot's own share first.
    fn work(&self, slot: usize, tasks: usize, work: &Work<'_>) {
        let shares = self.taken.len();
        for share in (slot..shares).chain(0..slot) {
            let (begin, end) = (share * tasks / shares, (share + 1) * tasks / shares);
            loop {
                let task = begin + self.taken[share].0.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                work(slot, task);
            }
        }
    }

    /// The life of a thread.
    fn serve(&self, slot: usize) {
        let mut served = 0;
        let mut spins = 0;
        while !self.ended.load(Ordering::Relaxed) {
            let epoch = self.epoch.load(Ordering::SeqCst);
            if epoch % 2 == 1 && epoch != served {
                self.inside.fetch_add(1, Ordering::SeqCst);
                // Either the leader sees this thread inside, or this thread sees the region closed.
                if self.epoch.load(Ordering::SeqCst) == epoch {
                    // SAFETY: inside the open region, so its work is in place until this thread
                    // leaves.
                    let job = unsafe { (*self.job.get()).map(|job| (job.tasks, &*job.work)) };
                    let serve = || job.iter().for_each(|(n, work)| self.work(slot, *n, *work));
                    if panic::catch_unwind(AssertUnwindSafe(serve)).is_err() {
                        self.panicked.store(true, Ordering::SeqCst);
                    }
                    served = epoch;
                }
                self.inside.fetch_sub(1, Ordering::SeqCst);
                spins = 0;
            } else if spins < SPINS {
                wait(&mut spins);
            } else {
                self.asleep.fetch_add(1, Ordering::SeqCst);
                // Either the leader sees this thread asleep, or this thread sees the region open.
                if self.epoch.load(Ordering::SeqCst) == epoch && !self.ended.load(Ordering::SeqCst)
                {
                    thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                spins = 0;
            }
        }
    }
}

fn wait(spins: &mut usize) {
    *spins += 1;
    if spins.is_multiple_of(PATIENCE) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // Panics of tasks were caught, and the leader told.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_and_all_have_left() {
        let team = Team::new(3);
        for tasks in (0..200).cycle().take(2000) {
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            team.for_each(tasks, &|_, task| {
                done[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.into_iter().all(|count| count.into_inner() == 1));
        }
    }

    #[test]
    fn threads_that_slept_come_back() {
        let team = Team::new(1);
        for _ in 0..3 {
            while team.shared.asleep.load(Ordering::SeqCst) < 1 {
                thread::yield_now();
            }
            let other = AtomicBool::new(false);
            team.for_each(2, &|slot, _| {
                // Only the other thread lets this one go.
                match slot {
                    0 => {
                        while !other.load(Ordering::SeqCst) {
                            thread::yield_now();
                        }
                    }
                    _ => other.store(true, Ordering::SeqCst),
                }
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_team_goes_on() {
        let team = Team::new(1);
        for panicking in 0..2 {
            let came = AtomicBool::new(false);
            let region = || {
                team.for_each(2, &|slot, _| {
                    came.fetch_or(slot == 1, Ordering::SeqCst);
                    while !came.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                    assert_ne!(slot, panicking);
                });
            };
            assert!(panic::catch_unwind(AssertUnwindSafe(region)).is_err(), "{panicking}");
        }
        let count = AtomicUsize::new(0);
        team.for_each(5, &|_, _| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(count.into_inner(), 5);
    }

    #[test]
    fn a_region_inside_another_runs_alone_and_two_callers_share() {
        let team = Team::new(2);
        let count = AtomicUsize::new(0);
        team.for_each(7, &|_, _| {
            team.for_each(3, &|inner, _| {
                assert_eq!(inner, 0);
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(count.load(Ordering::Relaxed), 21);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mine = AtomicUsize::new(0);
                        team.for_each(4, &|_, _| {
                            mine.fetch_add(1, Ordering::Relaxed);
                        });
                        assert_eq!(mine.into_inner(), 4);
                    }
                });
            }
        });
    }
}

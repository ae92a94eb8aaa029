//! Threads that wait for work awake.
//!
//! A plan is hundreds of short parallel regions with a barrier after each. A thread that sleeps
//! between them wakes up later than most of them take, so the threads of a team spin for a while
//! before they sleep. A region is open to whoever comes: its leader takes tasks like everyone else
//! and waits only for those who came in, so a thread that is late delays nobody.

use std::cell::UnsafeCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Looks for work before a thread sleeps: some tenths of a millisecond.
const SPINS: usize = 20_000;
/// Looks between two offers of the processor to others.
const PATIENCE: usize = 256;

/// What every thread of a region calls with its slot.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

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
    /// The region's work. Written by the leader while the region is closed and nobody is inside;
    /// read by threads that are inside an open region.
    work: UnsafeCell<Option<*const Work<'static>>>,
}

// SAFETY: `work` is guarded by `epoch` and `inside` as its field says, and what it points to is
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
            work: UnsafeCell::new(None),
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

    /// Calls `work(0)` here, and `work(slot)` with slots from 1 on the threads that come before
    /// this call ends. If another caller leads the team, or a task of this one's region calls,
    /// the caller works alone.
    ///
    /// # Panics
    /// If `work` panicked on any thread.
    pub(super) fn lead(&self, work: &Work<'_>) {
        let state = &*self.shared;
        if state.led.swap(true, Ordering::Acquire) {
            return work(0);
        }
        // SAFETY: the lifetime is given up only until the region's end: `region` is dropped, also
        // by a panic, before `work` goes out of scope, and no thread is inside from then on.
        let erased: *const Work<'static> = unsafe { std::mem::transmute(work) };
        // SAFETY: this caller leads, the region is closed and nobody is inside.
        unsafe { *state.work.get() = Some(erased) };
        let region = Region(state);
        state.epoch.fetch_add(1, Ordering::SeqCst);
        if state.asleep.load(Ordering::SeqCst) > 0 {
            self.threads.iter().for_each(|thread| thread.thread().unpark());
        }
        work(0);
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
        self.0.led.store(false, Ordering::Release);
    }
}

impl State {
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
                    let work = unsafe { (*self.work.get()).map(|work| &*work) };
                    let task = || work.iter().for_each(|work| work(slot));
                    if panic::catch_unwind(AssertUnwindSafe(task)).is_err() {
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
    fn all_who_come_have_left_when_a_region_ends() {
        let team = Team::new(3);
        for _ in 0..2000 {
            let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            team.lead(&|_| {
                while next.fetch_add(1, Ordering::Relaxed) < 50 {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert_eq!(done.into_inner(), 50);
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
            team.lead(&|slot| {
                // Only the other thread ends the region.
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
                team.lead(&|slot| {
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
        team.lead(&|_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert!(count.into_inner() >= 1);
    }

    #[test]
    fn a_region_inside_another_runs_alone_and_two_callers_share() {
        let team = Team::new(2);
        let count = AtomicUsize::new(0);
        team.lead(&|slot| {
            if slot == 0 {
                team.lead(&|inner| {
                    assert_eq!(inner, 0);
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mine = AtomicUsize::new(0);
                        team.lead(&|slot| {
                            if slot == 0 {
                                mine.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert_eq!(mine.into_inner(), 1);
                    }
                });
            }
        });
    }
}

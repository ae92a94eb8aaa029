//! What running a program allocates: the first time what its plan says, and once it has run before
//! what it gives back and next to nothing beside it.

mod common;

use common::{CLASSES, graph};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use thalweg_array::Array;
use thalweg_exec::Executor;
use thalweg_nn::Architecture;

/// The system's allocator, with counts of what was asked of it.
struct Counting;

/// Bytes that were ever asked for, that are held now, and that were held at most.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a run took.
struct Taken {
    /// Bytes that were asked for beside those of the outputs.
    beside: usize,
    /// Bytes that were held at most beside those before, outputs among them.
    most: usize,
}

/// One test, since the counts are of the whole process.
#[test]
fn the_first_run_takes_what_the_plan_says_and_later_ones_what_they_give_back() {
    for (text, input) in [
        ("mlp hidden=256-256", &[64][..]),
        ("resnet depth=8 width=8", &[16, 16, 3]),
        ("gpt depth=1 heads=2 width=32", &[24]),
    ] {
        let model = text.parse::<Architecture>().unwrap().build(input, CLASSES).unwrap();
        let (graph, executor) = (graph(&model), Executor::new(2));
        let inputs: Vec<Array> =
            graph.inputs().map(|port| Array::zeros(port.ty.dtype, &port.ty.shape)).collect();
        let program = executor.compile(&graph).unwrap();
        let run = || {
            let arrays = inputs.clone();
            let (asked, held) = (ASKED.load(Ordering::Relaxed), HELD.load(Ordering::Relaxed));
            MOST.store(held, Ordering::Relaxed);
            let found = program.run(arrays).unwrap();
            let given: usize = found.iter().map(Array::size_in_bytes).sum();
            let beside = (ASKED.load(Ordering::Relaxed) - asked).saturating_sub(given);
            Taken { beside, most: MOST.load(Ordering::Relaxed) - held }
        };
        let memory = program.memory();
        let planned = (memory.working + memory.outputs) as f64;
        let share = run().most as f64 / planned;
        assert!((share - 1.0).abs() < 0.1, "{text}: {share} of the {planned} bytes planned");
        run();
        let beside = run().beside;
        assert!(beside < memory.working / 50, "{text}: {beside} beside the outputs");
    }
}

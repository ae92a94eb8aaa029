//! Random graphs: whatever they are made of, the executor agrees with the oracle, and threads,
//! instruction sets, memory that was given away or used before, and neighbours in a batch change
//! no bit.
//!
//! A failure is cut smaller and printed with its recipe and its graph. For a longer hunt:
//! `RANDOM_GRAPHS=200000 RANDOM_GRAPHS_FROM=5000 cargo test --release -p thalweg-exec --test random`.

mod check;
mod dense;
mod grow;
mod loops;
mod numbers;
mod recipe;

use check::Machines;
use recipe::Recipe;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Graphs that the suite draws.
const GRAPHS: u64 = 4000;
/// Failures that are told of before the search ends: a second one may be of another kind.
const FAILURES: usize = 6;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn random_graphs_keep_every_promise() {
    let first = from_environment("RANDOM_GRAPHS_FROM").unwrap_or(0);
    let count = from_environment("RANDOM_GRAPHS").unwrap_or(GRAPHS);
    let machines = RefCell::new(Machines::new());
    let fails = |recipe: &Recipe| -> Option<String> {
        let machines = machines.borrow();
        catch_unwind(AssertUnwindSafe(|| check::promises(recipe, &machines))).err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "a panic without words".into())
        })
    };
    let mut failures: Vec<String> = Vec::new();
    for seed in first..first + count {
        let recipe = Recipe::new(seed);
        if fails(&recipe).is_some() {
            let (recipe, story) = recipe.shrink(&fails);
            failures.push(format!("seed {seed}: {story}\n{recipe:?}\n{}\n", recipe.text()));
            if failures.len() == FAILURES {
                break;
            }
        }
        if seed % 512 == 511 {
            // Programs are kept by structure: new executors drop the old ones.
            *machines.borrow_mut() = Machines::new();
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! The edge of stability, on the embedded digits.

use crate::descent::{RUNS, descend};
use thalweg_exec::Executor;

/// Full-batch gradient descent at a fixed rate: the largest eigenvalue of the Hessian rises until
/// `2 / lr`, beyond which a quadratic would diverge, and then hovers there while the loss goes on
/// falling.
#[test]
fn sharpness_rises_to_the_edge_of_stability_and_hovers_there() {
    let executor = Executor::new(2);
    for (lr, edge_at, steps) in RUNS {
        let looks = descend(&executor, lr, steps).unwrap();
        let ratio = |sharpness: f64| sharpness * lr / 2.0;
        let start = ratio(looks[0].sharpness);
        assert!(start < 0.65, "{lr}: starts at {start} of the edge");
        let edge: Vec<_> = looks.iter().filter(|look| look.step >= edge_at).collect();
        let ratios: Vec<f64> = edge.iter().map(|look| ratio(look.sharpness)).collect();
        assert!(ratios.iter().all(|r| (0.85..1.2).contains(r)), "{lr}: {ratios:?}");
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!((0.95..1.05).contains(&mean), "{lr}: {mean}");
        let (first, last) = (edge[0].loss, edge[edge.len() - 1].loss);
        assert!(last < 0.7 * first, "{lr}: the loss goes from {first} to {last} at the edge");
    }
}

//! How much work a check plans, in floating-point operations.
//!
//! Counted from the graph of one forward pass: a gradient is three of them, a product with the
//! Hessian two gradients. What optimizers do to parameters, and what runs on the host, is left out;
//! it is below a hundredth for the networks here.

use thalweg_array::DType;
use thalweg_lab::Result;
use thalweg_nn::Model;

/// Forward passes that a gradient takes.
const GRADIENT: u64 = 3;
/// Forward passes that a product with the Hessian takes.
const PRODUCT: u64 = 2 * GRADIENT;

/// Operations of a forward pass over `examples`.
///
/// # Errors
/// None for a model that could be built.
pub fn forward(model: &Model, examples: usize) -> Result<u64> {
    let graph = model.evaluation_graph(DType::F32, 1)?;
    Ok(thalweg_nn::flops(&graph).total().saturating_mul(examples as u64))
}

/// Operations of training steps.
///
/// # Errors
/// As [`forward`].
pub fn training(model: &Model, batch: usize, steps: u64, members: usize) -> Result<u64> {
    let once = forward(model, batch)?.saturating_mul(GRADIENT);
    Ok(once.saturating_mul(steps).saturating_mul(members as u64))
}

/// Operations of products with the Hessian over `examples`.
///
/// # Errors
/// As [`forward`].
pub fn products(model: &Model, examples: usize, count: usize) -> Result<u64> {
    Ok(forward(model, examples)?.saturating_mul(PRODUCT).saturating_mul(count as u64))
}

/// A count in words: `1.5 TFLOP`.
pub fn words(flops: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")];
    let count = flops as f64;
    match UNITS.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, letter)) => format!("{:.1} {letter}FLOP", count / unit),
        None => format!("{flops} FLOP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_nn::Architecture;

    #[test]
    fn a_linear_model_by_hand() {
        let model = "linear".parse::<Architecture>().unwrap().build(&[64], 10).unwrap();
        // A multiply-add counts two, an added bias one.
        assert_eq!(forward(&model, 5).unwrap(), 5 * (2 * 640 + 10));
        assert_eq!(training(&model, 5, 7, 2).unwrap(), 3 * 7 * 2 * 5 * 1290);
        assert_eq!(products(&model, 5, 4).unwrap(), 6 * 4 * 5 * 1290);
        assert_eq!(words(1_500_000_000_000), "1.5 TFLOP");
        assert_eq!(words(12), "12 FLOP");
    }
}

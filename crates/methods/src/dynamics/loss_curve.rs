//! A loss curve over logarithms of the step.

use crate::MethodError;
use thalweg_stats::Moments;

/// A stretch of a loss curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogBlock {
    /// Its place: the geometric mean of its first and last step.
    pub step: f64,
    /// The mean loss.
    pub loss: f64,
    /// The standard error of the mean, of losses taken as independent; zero for a block of one.
    pub standard_error: f64,
}

/// A loss curve cut into `blocks` disjoint stretches, evenly spaced in the logarithm of the step.
///
/// `losses[i]` is the loss at step `first + i`. Disjoint blocks are independent points, which a moving
/// average does not give. Stretches that hold no step are left out.
///
/// # Errors
/// `Config` for a first step of zero, no blocks, or losses that are none or not finite.
pub fn log_blocks(losses: &[f64], first: u64, blocks: usize) -> Result<Vec<LogBlock>, MethodError> {
    if first == 0 || blocks == 0 || losses.is_empty() {
        let got = format!("{} losses from step {first} in {blocks} blocks", losses.len());
        return Err(MethodError::config("blocks of a loss curve", "at least one of each", got));
    }
    finite(losses)?;
    let (from, to) = ((first as f64).ln(), ((first + losses.len() as u64) as f64).ln());
    let edge = |k: usize| {
        let step = (from + (to - from) * k as f64 / blocks as f64).exp().round() as u64;
        (step.saturating_sub(first) as usize).min(losses.len())
    };
    let mut found = Vec::new();
    for k in 0..blocks {
        let (start, end) = (edge(k), edge(k + 1));
        if start >= end {
            continue;
        }
        let moments: Moments = losses[start..end].iter().copied().collect();
        let n = (end - start) as f64;
        let spread = moments.standard_deviation().unwrap_or(0.0);
        let [a, b] = [start, end - 1].map(|i| (first + i as u64) as f64);
        found.push(LogBlock {
            step: (a * b).sqrt(),
            loss: moments.mean(),
            standard_error: spread / n.sqrt(),
        });
    }
    Ok(found)
}

/// The paper's smoothing: at step `j` the mean of the losses at steps `floor(j / 1.2)` to `j`; of
/// `losses[i]` at step `i`.
///
/// # Source    Mircea et al. 2025, arXiv 2506.05447, appendix, and its code (github.com/mirandrom/zsl)
pub fn smooth_over_log_windows(losses: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    losses.iter().for_each(|loss| sums.push(sums[sums.len() - 1] + loss));
    let mean = |j: usize| {
        let from = (j as f64 / 1.2).floor() as usize;
        (sums[j + 1] - sums[from]) / (j + 1 - from) as f64
    };
    (0..losses.len()).map(mean).collect()
}

/// The paper's choice of steps up to `last`: those whose digits after the first two are zero (1, 2,
/// .., 99, 100, 110, ..), and from 100,000 on every thousandth.
///
/// # Source    as [`smooth_over_log_windows`]
pub fn leading_digit_steps(last: u64) -> Vec<u64> {
    let mut steps = Vec::new();
    let mut step = 1u64;
    while step <= last {
        steps.push(step);
        let mut spacing = 1;
        while step / spacing >= 100 && spacing < 1000 {
            spacing *= 10;
        }
        step += spacing;
    }
    steps
}

fn finite(losses: &[f64]) -> Result<(), MethodError> {
    match losses.iter().find(|loss| !loss.is_finite()) {
        Some(bad) => Err(MethodError::mismatch("a loss", "a finite number", bad)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_windows_by_hand() {
        let losses: Vec<f64> = (1..=15).map(f64::from).collect();
        // Steps 1 to 15 in four octaves: 1, 2-3, 4-7, 8-15.
        let blocks = log_blocks(&losses, 1, 4).unwrap();
        let means: Vec<f64> = blocks.iter().map(|block| block.loss).collect();
        assert_eq!(means, [1.0, 2.5, 5.5, 11.5]);
        assert!((blocks[3].step - 120f64.sqrt()).abs() < 1e-12);
        assert!((blocks[1].standard_error - 0.5).abs() < 1e-12);
        assert_eq!(blocks[0].standard_error, 0.0);
        let smooth = smooth_over_log_windows(&[4.0, 2.0, 6.0, 8.0]);
        assert_eq!(smooth, [4.0, 3.0, 4.0, 7.0]);
        let chosen = leading_digit_steps(130);
        assert_eq!(chosen[97..], [98, 99, 100, 110, 120, 130]);
        assert!(log_blocks(&losses, 0, 4).is_err() && log_blocks(&[], 1, 4).is_err());
        assert!(log_blocks(&[f64::NAN], 1, 4).is_err());
    }
}

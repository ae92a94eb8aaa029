//! How much later a test loss falls than the training loss.

use crate::MethodError;

/// When two losses fell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrokkingDelay {
    /// The step at which the training loss first falls below its level, or the last one.
    pub train_at: f64,
    /// That of the test loss.
    pub test_at: f64,
    /// Whether either got there. What did not is censored: its step is the last that was seen.
    pub reached: [bool; 2],
}

impl GrokkingDelay {
    /// `log10(test_at / train_at)`, in decades.
    pub fn decades(&self) -> f64 {
        (self.test_at / self.train_at).log10()
    }
}

/// The steps at which a training and a test loss first fall below a level each, interpolated in the logarithms
/// of step and loss. A loss that is not a number has not fallen.
///
/// # Shapes    pairs of a step, counted from one, and the loss there; levels of training and test
/// # Errors
/// No losses; a step below one or before the one in front of it; a loss that is negative; a level that is
/// not a positive number.
/// # Source    Kumar, Bordelon, Gershman, Pehlevan, Grokking as the transition from lazy to rich training
/// dynamics, 2023, arXiv 2310.06110
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::grokking_delay;
/// let train = [(1.0, 1.0), (10.0, 0.01)];
/// let test = [(1.0, 1.0), (100.0, 1.0), (1000.0, 0.01)];
/// let found = grokking_delay(&train, &test, [0.1, 0.1])?;
/// assert!((found.decades() - 2.0).abs() < 1e-12 && found.reached == [true, true]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn grokking_delay(
    train: &[(f64, f64)],
    test: &[(f64, f64)],
    levels: [f64; 2],
) -> Result<GrokkingDelay, MethodError> {
    let (train_at, fitted) = crossing("training", train, levels[0])?;
    let (test_at, generalised) = crossing("test", test, levels[1])?;
    Ok(GrokkingDelay { train_at, test_at, reached: [fitted, generalised] })
}

fn crossing(what: &str, losses: &[(f64, f64)], level: f64) -> Result<(f64, bool), MethodError> {
    if !(level > 0.0 && level.is_finite()) {
        return Err(MethodError::config(
            &format!("level of the {what} loss"),
            "a positive number",
            level,
        ));
    }
    let mut before = 1.0;
    for &(step, loss) in losses {
        if !(step >= before && step.is_finite()) {
            let expected = format!("one from {before} on");
            return Err(MethodError::mismatch(
                format!("a step of the {what} loss"),
                expected,
                step,
            ));
        }
        if loss < 0.0 {
            return Err(MethodError::mismatch(format!("a {what} loss"), "none below zero", loss));
        }
        before = step;
    }
    let Some((last, _)) = losses.last() else {
        return Err(MethodError::mismatch(format!("{what} losses"), "at least one", "none"));
    };
    let Some(i) = losses.iter().position(|(_, loss)| *loss < level) else {
        return Ok((*last, false));
    };
    let (step, loss) = losses[i];
    let above = i.checked_sub(1).map(|i| losses[i]);
    let Some((before, above)) = above.filter(|(_, loss)| loss.is_finite()) else {
        return Ok((step, true));
    };
    let share = (above.ln() - level.ln()) / (above.ln() - loss.ln());
    Ok(((before.ln() + share * (step.ln() - before.ln())).exp(), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_interpolated_in_logarithms() {
        let losses = [(1.0, 8.0), (4.0, 2.0), (16.0, 0.5)];
        // Between 4 and 16 the loss is 8 / step.
        for (level, expected) in [(1.0, 8.0), (4.0, 2.0), (0.6, 8.0 / 0.6)] {
            let found = grokking_delay(&losses, &losses, [level; 2]).unwrap();
            assert!((found.train_at - expected).abs() < 1e-12, "{level}: {found:?}");
            assert!(found.decades() == 0.0 && found.reached == [true, true]);
        }
        // Low from the first on, and down to nothing.
        assert_eq!(grokking_delay(&losses, &[(3.0, 0.0)], [9.0, 1.0]).unwrap().test_at, 3.0);
        let to_zero = [(2.0, 1.0), (3.0, 0.0)];
        assert!(
            (grokking_delay(&to_zero, &to_zero, [0.5; 2]).unwrap().train_at - 2.0).abs() < 1e-12
        );
    }

    #[test]
    fn what_never_falls_is_censored() {
        let falls = [(1.0, 1.0), (10.0, 0.1)];
        let never = [(1.0, 1.0), (1000.0, 0.5)];
        let found = grokking_delay(&falls, &never, [0.2, 0.2]).unwrap();
        assert_eq!((found.test_at, found.reached), (1000.0, [true, false]));
        assert!(found.decades() > 2.0);
        // What diverged has not fallen, and nothing is interpolated from it.
        let broken = [(1.0, f64::NAN), (2.0, f64::INFINITY), (5.0, 0.1)];
        assert_eq!(grokking_delay(&broken, &broken, [0.2, 0.2]).unwrap().train_at, 5.0);
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        let falls = [(1.0, 1.0), (10.0, 0.1)];
        let refused = |train: &[(f64, f64)], level: f64| {
            grokking_delay(train, &falls, [level, 0.2]).unwrap_err().to_string()
        };
        assert_eq!(refused(&[], 0.2), "training losses: expected at least one, got none");
        assert!(refused(&[(2.0, 1.0), (1.0, 0.1)], 0.2).contains("expected one from 2 on, got 1"));
        assert!(refused(&[(0.0, 1.0)], 0.2).contains("expected one from 1 on, got 0"));
        assert!(refused(&[(1.0, -1.0)], 0.2).contains("expected none below zero, got -1"));
        assert!(refused(&falls, 0.0).contains("a positive number, got 0"));
        assert!(grokking_delay(&falls, &[], [0.2, 0.2]).is_err());
    }
}

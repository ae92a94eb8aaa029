//! Steps down a sum of squares whose damping follows from how they do.

/// A sum of squares `sum r_i^2` at one point, and the way down from there.
pub trait Squares {
    /// The sum.
    fn sum(&self) -> f64;

    /// `(J^T J + D)^-1 J^T r` with a diagonal `D` that grows with the damping: what a step takes off
    /// the point. None where rounding leaves no solution.
    fn step(&mut self, damping: f64) -> Option<Vec<f64>>;
}

/// How large the damping is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// That of the first step.
    pub first: f64,
    /// By what a step multiplies it that does not make the sum smaller. One that does takes it to a
    /// fifth.
    pub rise: f64,
    /// What it does not fall below.
    pub least: f64,
}

/// How far a descent has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// The sum of squares.
    pub sum: f64,
    /// By how much the last step made it smaller; NaN before there was one.
    pub gained: f64,
    /// The damping of the next step.
    pub damping: f64,
    /// Steps that were taken.
    pub steps: usize,
    /// Steps that were tried.
    pub tried: usize,
    /// Steps that were tried and not taken since the last that was.
    pub failed: usize,
}

/// Minimises a sum of squares from a start: a step is taken if it makes the sum smaller, and then the
/// next is damped less; else it is tried again, damped more. Before each, `ends` is asked.
///
/// `first` is the sum at the start, `at` gives that at other points; one that is not a number counts as
/// a step that went too far. Returns the point, the sum there, and how far the descent came.
///
/// # Source    Levenberg, A method for the solution of certain non-linear problems in least squares, 1944;
/// Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963
pub fn damped_descent<S: Squares>(
    start: &[f64],
    first: S,
    damping: Damping,
    at: impl Fn(&[f64]) -> S,
    mut ends: impl FnMut(&Descent) -> bool,
) -> (Vec<f64>, S, Descent) {
    let (mut point, mut here) = (start.to_vec(), first);
    let mut descent = Descent {
        sum: here.sum(),
        gained: f64::NAN,
        damping: damping.first,
        steps: 0,
        tried: 0,
        failed: 0,
    };
    while !ends(&descent) {
        let moved = here
            .step(descent.damping)
            .map(|step| -> Vec<f64> { point.iter().zip(step).map(|(x, dx)| x - dx).collect() });
        let there = moved.map(|moved| (at(&moved), moved));
        descent.tried += 1;
        match there {
            Some((there, moved)) if there.sum() < descent.sum => {
                descent.gained = descent.sum - there.sum();
                descent.sum = there.sum();
                (point, here) = (moved, there);
                descent.damping = (descent.damping * 0.2).max(damping.least);
                descent.steps += 1;
                descent.failed = 0;
            }
            _ => {
                descent.damping *= damping.rise;
                descent.failed += 1;
            }
        }
    }
    (point, here, descent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r = x^2 - 2` of one parameter.
    struct Root(f64);

    impl Squares for Root {
        fn sum(&self) -> f64 {
            (self.0 * self.0 - 2.0).powi(2)
        }

        fn step(&mut self, damping: f64) -> Option<Vec<f64>> {
            let slope = 2.0 * self.0;
            let step = slope * (self.0 * self.0 - 2.0) / (slope * slope + damping);
            step.is_finite().then(|| vec![step])
        }
    }

    #[test]
    fn damping_follows_the_steps() {
        let damping = Damping { first: 1.0, rise: 4.0, least: 1e-3 };
        let mut seen = Vec::new();
        let ends = |descent: &Descent| {
            seen.push(*descent);
            descent.sum < 1e-28 || descent.tried == 50
        };
        let (point, end, descent) =
            damped_descent(&[1.0], Root(1.0), damping, |x| Root(x[0]), ends);
        assert!((point[0] - 2f64.sqrt()).abs() < 1e-14, "{point:?}");
        assert_eq!((end.0, end.sum()), (point[0], descent.sum));
        assert!(descent.tried < 12 && descent.failed == 0, "{descent:?}");
        // From 1 the slope is 2 and the residual -1, so that the first step is -2 / (4 + 1).
        assert!(seen[0].gained.is_nan());
        assert!((seen[1].sum - 0.0016).abs() < 1e-12 && (seen[1].gained - 0.9984).abs() < 1e-12);
        let dampings: Vec<f64> = seen.iter().map(|descent| descent.damping).collect();
        let falls = |pair: &[f64]| pair[1] == (pair[0] * 0.2).max(1e-3);
        assert!(dampings.windows(2).all(falls), "{dampings:?}");
    }

    #[test]
    fn where_nothing_helps_the_damping_rises_until_told_to_end() {
        struct Flat;
        impl Squares for Flat {
            fn sum(&self) -> f64 {
                1.0
            }

            fn step(&mut self, damping: f64) -> Option<Vec<f64>> {
                (damping < 1e3).then(|| vec![0.0])
            }
        }
        let damping = Damping { first: 1.0, rise: 10.0, least: 1e-3 };
        let (point, _, descent) =
            damped_descent(&[5.0], Flat, damping, |_| Flat, |d| d.failed == 6);
        assert_eq!(point, [5.0]);
        assert_eq!((descent.steps, descent.tried, descent.damping), (0, 6, 1e6));
    }
}

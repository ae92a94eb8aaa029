//! What becomes of a kernel while its features move.

use crate::MethodError;
use crate::common::vector;

/// What is taken out of a kernel before it is held against targets without their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centring {
    /// The mean of each column: the features of one side lose their mean.
    Columns,
    /// The means of rows and columns: the features of both sides do.
    Both,
}

/// Alignment of a kernel with targets, `y^T K y / (|K|_F |y|^2)` of centred `y` and `K`: 1 where the kernel
/// is `y y^T`. The form is the same however `K` is centred, its norm is not.
///
/// # Shapes    kernel n rows of n, symmetric; n targets
/// # Errors
/// A kernel that is not square or of another number of targets; targets that are all the same, or a
/// kernel that is nothing once it is centred.
/// # Source    Cortes, Mohri, Rostamizadeh, Algorithms for learning kernels based on centered alignment,
/// 2012, JMLR 13, definition 4, which centres both sides
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{Centring, kernel_alignment};
/// let outer = [vec![1.0, -2.0], vec![-2.0, 4.0]];
/// let found = kernel_alignment(&outer, &[1.0, -2.0], Centring::Both)?;
/// assert!((found - 1.0).abs() < 1e-12);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn kernel_alignment(
    kernel: &[Vec<f64>],
    targets: &[f64],
    centring: Centring,
) -> Result<f64, MethodError> {
    check(kernel, targets.len())?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = kernel.iter().map(|row| mean(row)).collect();
    let (all, centre) = (mean(&means), mean(targets));
    let y: Vec<f64> = targets.iter().map(|target| target - centre).collect();
    let (mut form, mut squares) = (0.0, 0.0);
    for (i, row) in kernel.iter().enumerate() {
        for (j, entry) in row.iter().enumerate() {
            // Columns are rows of a symmetric kernel.
            let entry = match centring {
                Centring::Columns => entry - means[j],
                Centring::Both => entry - means[i] - means[j] + all,
            };
            form += y[i] * entry * y[j];
            squares += entry * entry;
        }
    }
    let lengths = squares.sqrt() * vector::dot(&y, &y);
    match lengths > 0.0 {
        true => Ok(form / lengths),
        false => Err(MethodError::mismatch(
            "a kernel and targets",
            "some that are not zero without their means",
            lengths,
        )),
    }
}

/// How far a kernel has moved, `|K - K_0|_F / |K_0|_F`: 0 as long as training is lazy.
///
/// # Errors
/// Kernels that are not square or of different sizes; a first one that is zero.
/// # Source    Fort et al., Deep learning versus kernel learning, 2020, arXiv 2010.15110, whose distance is
/// that of directions
pub fn kernel_drift(kernel: &[Vec<f64>], first: &[Vec<f64>]) -> Result<f64, MethodError> {
    check(kernel, first.len())?;
    check(first, first.len())?;
    let (now, then) = (kernel.concat(), first.concat());
    let length = vector::norm(&then);
    if length.is_nan() || length <= 0.0 {
        return Err(MethodError::mismatch("the first kernel", "one that is not zero", length));
    }
    let apart: Vec<f64> = now.iter().zip(&then).map(|(a, b)| a - b).collect();
    Ok(vector::norm(&apart) / length)
}

fn check(kernel: &[Vec<f64>], n: usize) -> Result<(), MethodError> {
    match kernel.iter().find(|row| row.len() != n) {
        _ if n == 0 || kernel.len() != n => {
            let expected = format!("{} rows, one for each", n.max(1));
            Err(MethodError::mismatch("a kernel", expected, kernel.len()))
        }
        Some(row) => {
            Err(MethodError::mismatch("a row of a kernel", format!("{n} entries"), row.len()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(n: usize) -> Vec<Vec<f64>> {
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect()
    }

    #[test]
    fn a_kernel_of_the_targets_is_aligned() {
        let y = [1.0, -0.5, 2.0, 0.3];
        let outer: Vec<Vec<f64>> =
            y.iter().map(|a| y.iter().map(|b| 3.0 * a * b).collect()).collect();
        let both = kernel_alignment(&outer, &y, Centring::Both).unwrap();
        assert!((both - 1.0).abs() < 1e-12);
        // With one side centred its norm is 3 |y| |y_c|, and the form 3 |y_c|^4.
        let (length, centred) = (5.34f64.sqrt(), (5.34 - 4.0 * 0.7 * 0.7f64).sqrt());
        let columns = kernel_alignment(&outer, &y, Centring::Columns).unwrap();
        assert!((columns - centred / length).abs() < 1e-12, "{columns}");
        // The centred identity has norm sqrt(3) either way, and gives y back.
        for centring in [Centring::Columns, Centring::Both] {
            let found = kernel_alignment(&identity(4), &y, centring).unwrap();
            assert!((found - 1.0 / 3f64.sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn drift_by_hand() {
        let moved = vec![vec![1.0, 2.0], vec![2.0, 1.0]];
        assert_eq!(kernel_drift(&identity(2), &identity(2)).unwrap(), 0.0);
        assert!((kernel_drift(&moved, &identity(2)).unwrap() - 2.0).abs() < 1e-15);
        assert!(kernel_drift(&moved, &identity(3)).is_err());
        assert!(kernel_drift(&moved, &[vec![0.0; 2], vec![0.0; 2]]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let both = Centring::Both;
        assert!(kernel_alignment(&[], &[], both).is_err());
        assert!(kernel_alignment(&identity(2), &[1.0, 2.0, 3.0], both).is_err());
        assert!(kernel_alignment(&[vec![1.0], vec![1.0, 2.0]], &[1.0, 2.0], both).is_err());
        assert!(kernel_alignment(&identity(2), &[1.0, 1.0], both).is_err());
        assert!(kernel_alignment(&vec![vec![1.0; 2]; 2], &[1.0, 2.0], both).is_err());
    }
}

//! Vectors of `f64` on the host, added up in an order that depends on their length only.

/// Independent sums, so that the processor need not wait for one addition before the next.
const LANES: usize = 8;

/// `sum a_i b_i`.
///
/// # Shapes    both of one length; what one has more is left out
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut lanes = [0.0; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// The Euclidean norm.
pub fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `y += factor x`.
pub fn add_scaled(y: &mut [f64], factor: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// `x *= factor`.
pub fn scale(x: &mut [f64], factor: f64) {
    x.iter_mut().for_each(|x| *x *= factor);
}

/// Takes the components along orthonormal vectors out of `x`, twice, which leaves it orthogonal to
/// them to rounding; the components taken out are added to `components`.
///
/// # Source    Kahan and Parlett: twice is enough; in Parlett, The symmetric eigenvalue problem,
/// 1980, section 6.9
pub fn orthogonalize(x: &mut [f64], basis: &[Vec<f64>], components: &mut [f64]) {
    for _ in 0..2 {
        for (vector, component) in basis.iter().zip(components.iter_mut()) {
            let along = dot(vector, x);
            add_scaled(x, -along, vector);
            *component += along;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_vectors() {
        let a: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|i| f64::from(i * i)).sum::<f64>());
        assert_eq!(norm(&[3.0, 4.0]), 5.0);
    }

    #[test]
    fn what_is_left_is_orthogonal() {
        let basis = vec![vec![0.6, 0.8, 0.0], vec![0.0, 0.0, 1.0]];
        let mut x = vec![1.0, 2.0, 3.0];
        let mut components = [0.0; 2];
        orthogonalize(&mut x, &basis, &mut components);
        assert!(basis.iter().all(|vector| dot(vector, &x).abs() < 1e-15));
        assert!((components[0] - 2.2).abs() < 1e-15 && components[1] == 3.0);
    }
}

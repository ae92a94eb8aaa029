//! Random vectors that probe an operator.

use thalweg_data::Stream;

/// A vector of random signs, one bit each.
pub(crate) fn signs(stream: &Stream, n: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(n);
    for block in 0..n.div_ceil(64) {
        let bits = stream.u64(block as u64);
        let take = (n - 64 * block).min(64);
        out.extend((0..take).map(|bit| if bits >> bit & 1 == 1 { 1.0 } else { -1.0 }));
    }
    out
}

/// A vector of independent normal elements.
pub(crate) fn normals(stream: &Stream, n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| stream.normal(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_balanced() {
        let z = signs(&Stream::new(0, "signs"), 10_001);
        assert_eq!(z.len(), 10_001);
        assert!(z.iter().all(|x| x.abs() == 1.0));
        assert!(z.iter().sum::<f64>().abs() < 400.0);
    }
}

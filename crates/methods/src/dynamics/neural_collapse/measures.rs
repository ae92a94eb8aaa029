//! What measures collapse, of features and classifiers as they are given.

use crate::MethodError;
use crate::common::{symmetric_eigen, vector};

/// The first measure of neural collapse: how features of a class scatter, in units of how classes do.
///
/// `NC1 = tr(S_w S_b^+) / K` with `S_w = 1/N sum (h_i - m_class)(..)^T` and `S_b = 1/K sum over
/// classes of (m_k - m)(..)^T` around the mean `m` of all features. Directions in which classes differ
/// by less than 1e-10 of the largest count as none.
///
/// # Errors
/// No features, features of different lengths, a label that is not below `classes`, a class without
/// features.
/// # Source    Papyan, Han, Donoho, Prevalence of neural collapse, 2020, arXiv 2008.08186
pub fn within_class_variability(
    features: &[Vec<f64>],
    labels: &[usize],
    classes: usize,
) -> Result<f64, MethodError> {
    let scatter = class_scatter(features, labels, classes)?;
    Ok(scatter.iter().sum::<f64>() / scatter.len() as f64)
}

/// What each feature contributes to [`within_class_variability`], which is their mean:
/// `(h_i - m_class)^T S_b^+ (h_i - m_class) / K`.
///
/// # Errors
/// As [`within_class_variability`].
pub fn class_scatter(
    features: &[Vec<f64>],
    labels: &[usize],
    classes: usize,
) -> Result<Vec<f64>, MethodError> {
    let (means, _) = class_means(features, labels, classes)?;
    let apart = centred(&means, &mean(features));
    // S_b is A A^T / K with the deviations as columns of A; the eigenvectors of A^T A / K, which has a
    // row a class, are taken back by A.
    let gram: Vec<Vec<f64>> = apart
        .iter()
        .map(|a| apart.iter().map(|b| vector::dot(a, b) / classes as f64).collect())
        .collect();
    let eigen = symmetric_eigen(&gram);
    let least = 1e-10 * eigen.values.last().copied().unwrap_or(0.0);
    let mut directions: Vec<(f64, Vec<f64>)> = Vec::new();
    for (value, weights) in eigen.values.iter().zip(&eigen.vectors) {
        if *value > least {
            let mut direction = vec![0.0; features[0].len()];
            let each = weights.iter().zip(&apart);
            each.for_each(|(weight, a)| vector::add_scaled(&mut direction, *weight, a));
            let length = vector::norm(&direction);
            vector::scale(&mut direction, 1.0 / length);
            directions.push((*value, direction));
        }
    }
    let of = |(feature, &label): (&Vec<f64>, &usize)| {
        let from_mean = |direction: &Vec<f64>| {
            vector::dot(feature, direction) - vector::dot(&means[label], direction)
        };
        let each = directions.iter().map(|(value, u)| from_mean(u).powi(2) / value);
        each.sum::<f64>() / classes as f64
    };
    Ok(features.iter().zip(labels).map(of).collect())
}

/// The mean of vectors of one length.
pub(super) fn mean(vectors: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; vectors.first().map_or(0, Vec::len)];
    let share = 1.0 / vectors.len().max(1) as f64;
    vectors.iter().for_each(|vector| vector::add_scaled(&mut mean, share, vector));
    mean
}

/// Vectors less a centre.
pub(super) fn centred(vectors: &[Vec<f64>], centre: &[f64]) -> Vec<Vec<f64>> {
    let apart = |vector: &Vec<f64>| vector.iter().zip(centre).map(|(a, b)| a - b).collect();
    vectors.iter().map(apart).collect()
}

/// The means of classes, and how many features each has.
pub(super) fn class_means(
    features: &[Vec<f64>],
    labels: &[usize],
    classes: usize,
) -> Result<(Vec<Vec<f64>>, Vec<usize>), MethodError> {
    let width = features.first().map_or(0, Vec::len);
    if features.len() != labels.len() || width == 0 {
        let expected = format!("{} vectors, one for each label", labels.len());
        return Err(MethodError::mismatch("features", expected, features.len()));
    }
    let (mut means, mut counts) = (vec![vec![0.0; width]; classes], vec![0usize; classes]);
    for (feature, &label) in features.iter().zip(labels) {
        if feature.len() != width {
            return Err(MethodError::mismatch("a feature", width.to_string(), feature.len()));
        }
        let Some(count) = counts.get_mut(label) else {
            return Err(MethodError::mismatch("a label", format!("below {classes}"), label));
        };
        *count += 1;
        vector::add_scaled(&mut means[label], 1.0, feature);
    }
    for (class, (mean, &count)) in means.iter_mut().zip(&counts).enumerate() {
        if count == 0 {
            let what = format!("features of class {class}");
            return Err(MethodError::mismatch(what, "those of at least one example", "none"));
        }
        vector::scale(mean, 1.0 / count as f64);
    }
    Ok((means, counts))
}

/// The distance of a matrix from a target, each divided by its Frobenius norm: the second and third
/// measure of neural collapse, for the target that a theory has.
///
/// # Errors
/// Matrices of different shapes, or one that is zero.
pub fn frame_distance(matrix: &[Vec<f64>], target: &[Vec<f64>]) -> Result<f64, MethodError> {
    let shape = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
    if shape(matrix) != shape(target) {
        let expected = format!("{:?}", shape(target));
        return Err(MethodError::mismatch(
            "rows of a frame",
            expected,
            format!("{:?}", shape(matrix)),
        ));
    }
    let (flat, aim) = (matrix.concat(), target.concat());
    let (norm, target_norm) = (vector::norm(&flat), vector::norm(&aim));
    if !(norm > 0.0 && target_norm > 0.0) {
        return Err(MethodError::mismatch(
            "a frame",
            "one that is not zero",
            norm.min(target_norm),
        ));
    }
    let squares = flat.iter().zip(&aim).map(|(a, b)| (a / norm - b / target_norm).powi(2));
    Ok(squares.sum::<f64>().sqrt())
}

/// `I - 1 1^T / K`: the Gram matrix of a simplex of `K` equally long vectors, up to a factor.
pub fn simplex_frame(classes: usize) -> Vec<Vec<f64>> {
    let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - 1.0 / classes as f64;
    (0..classes).map(|i| (0..classes).map(|j| entry(i, j)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapsed_features_have_no_variability() {
        let features = vec![vec![1.0, 0.0], vec![1.0, 0.0], vec![0.0, 2.0], vec![0.0, 2.0]];
        let found = within_class_variability(&features, &[0, 0, 1, 1], 2).unwrap();
        assert!(found.abs() < 1e-15);
    }

    #[test]
    fn variability_by_hand() {
        // Classes at -1 and 1 on a line, each scattered by 0.5: S_w = 0.25, S_b = 1.
        let features: Vec<Vec<f64>> = [-1.5, -0.5, 0.5, 1.5].map(|x| vec![x]).to_vec();
        let found = within_class_variability(&features, &[0, 0, 1, 1], 2).unwrap();
        assert!((found - 0.125).abs() < 1e-15, "{found}");
    }

    #[test]
    fn a_simplex_is_at_no_distance_from_its_frame() {
        let simplex = simplex_frame(4);
        // Vectors (e_k - mean): their Gram matrix is the frame itself.
        let gram: Vec<Vec<f64>> = simplex
            .iter()
            .map(|a| simplex.iter().map(|b| 3.0 * vector::dot(a, b)).collect())
            .collect();
        assert!(frame_distance(&gram, &simplex).unwrap() < 1e-15);
        let identity: Vec<Vec<f64>> =
            (0..4).map(|i| (0..4).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        // Cosine of the two: trace of the frame over the norms, sqrt(3) / 2.
        let expected = (2.0 - 3f64.sqrt()).sqrt();
        assert!((frame_distance(&identity, &simplex).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let one = vec![vec![1.0]];
        assert!(within_class_variability(&one, &[0, 1], 2).is_err());
        assert!(within_class_variability(&one, &[2], 2).is_err());
        assert!(within_class_variability(&one, &[0], 2).is_err());
        assert!(frame_distance(&one, &[vec![0.0]]).is_err());
        assert!(frame_distance(&one, &[vec![1.0, 0.0]]).is_err());
    }
}

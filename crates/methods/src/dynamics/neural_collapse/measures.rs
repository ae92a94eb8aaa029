//! What measures collapse, of features and classifiers as they are given.

use crate::MethodError;
use crate::common::{symmetric_eigen, vector};

/// The first measure of neural collapse: how features of a class scatter, in units of how classes do.
///
/// `NC1 = tr(S_w S_b^+) / K` with `S_w = 1/N sum (h_i - m_class)(..)^T` and `S_b = 1/K sum over
/// classes of (m_k - m)(..)^T` around the mean `m` of all features. Directions in which classes differ
/// by less than 1e-10 of the largest count as none.
///
/// Of these features: of a sample of more, means lie nearer to the features than theirs do and farther
/// apart from each other.
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
    Ok(Scatter::new(features, labels, classes)?.value())
}

/// Features beside the means of their classes, in the directions in which these differ.
pub(super) struct Scatter {
    /// The mean of each class, and how many features it has.
    pub(super) means: Vec<Vec<f64>>,
    pub(super) counts: Vec<usize>,
    /// The mean of all features.
    centre: Vec<f64>,
    /// Each class's mean less that of all.
    apart: Vec<Vec<f64>>,
    /// Eigenpairs of `S_b`.
    directions: Vec<(f64, Vec<f64>)>,
    /// `[feature, direction]` of each feature less the mean of its class.
    along: Vec<Vec<f64>>,
}

impl Scatter {
    /// # Errors
    /// As [`within_class_variability`].
    pub(super) fn new<F: AsRef<[f64]>>(
        features: &[F],
        labels: &[usize],
        classes: usize,
    ) -> Result<Scatter, MethodError> {
        let (means, counts) = class_means(features, labels, classes)?;
        let centre = mean(features);
        let apart = centred(&means, &centre);
        // S_b is A A^T / K with the deviations as columns of A; the eigenvectors of A^T A / K, which has
        // a row a class, are taken back by A.
        let gram: Vec<Vec<f64>> = apart
            .iter()
            .map(|a| apart.iter().map(|b| vector::dot(a, b) / classes as f64).collect())
            .collect();
        let eigen = symmetric_eigen(&gram);
        let least = 1e-10 * eigen.values.last().copied().unwrap_or(0.0);
        let mut directions: Vec<(f64, Vec<f64>)> = Vec::new();
        for (value, weights) in eigen.values.iter().zip(&eigen.vectors) {
            if *value > least {
                let mut direction = combined(weights, &apart);
                let length = vector::norm(&direction);
                vector::scale(&mut direction, 1.0 / length);
                directions.push((*value, direction));
            }
        }
        let along = |(feature, &label): (&F, &usize)| -> Vec<f64> {
            let deviation = less(feature.as_ref(), &means[label]);
            directions.iter().map(|(_, u)| vector::dot(&deviation, u)).collect()
        };
        let along = features.iter().zip(labels).map(along).collect();
        Ok(Scatter { means, counts, centre, apart, directions, along })
    }

    /// NC1 of one feature alone, with the means of all: `(h - m_class)^T S_b^+ (h - m_class) / K`.
    fn own(&self, feature: usize) -> f64 {
        let each = self.along[feature].iter().zip(&self.directions);
        each.map(|(along, (value, _))| along * along / value).sum::<f64>() / self.apart.len() as f64
    }

    /// NC1.
    pub(super) fn value(&self) -> f64 {
        let n = self.along.len();
        (0..n).map(|feature| self.own(feature)).sum::<f64>() / n as f64
    }

    /// What each feature contributes to NC1 to first order, by its scatter and by moving the mean of its
    /// class and of all: their mean is NC1.
    ///
    /// The derivative by a feature's weight. With `P` on the directions, `S_b^+` changes by `dS_b` as
    /// `-S_b^+ dS_b S_b^+ + S_b^+2 dS_b (I - P) + (I - P) dS_b S_b^+2`, since its rank stays.
    ///
    /// # Source    Golub, Pereyra, The differentiation of pseudo-inverses and nonlinear least squares
    /// problems whose variables separate, 1973, theorem 4.3
    pub(super) fn terms<F: AsRef<[f64]>>(&self, features: &[F], labels: &[usize]) -> Vec<f64> {
        let (n, classes) = (self.along.len() as f64, self.apart.len() as f64);
        let deviation = |i: usize| less(features[i].as_ref(), &self.means[labels[i]]);
        // S_w times each direction.
        let mut spreads = vec![vec![0.0; self.centre.len()]; self.directions.len()];
        for (i, along) in self.along.iter().enumerate() {
            let deviation = deviation(i);
            for (spread, along) in spreads.iter_mut().zip(along) {
                vector::add_scaled(spread, along / n, &deviation);
            }
        }
        // tr(S_w dS_b^+) for dS_b = x y^T + y x^T is twice x times this, for a class's y.
        let slope = |apart: &Vec<f64>| -> Vec<f64> {
            let components: Vec<f64> =
                self.directions.iter().map(|(value, u)| vector::dot(u, apart) / value).collect();
            let inside = combined(&components, &spreads);
            let again: Vec<f64> =
                components.iter().zip(&self.directions).map(|(c, (value, _))| c / value).collect();
            let mut slope = combined(&again, &spreads);
            for (value, u) in &self.directions {
                let by = vector::dot(u, &slope) + vector::dot(u, &inside) / value;
                vector::add_scaled(&mut slope, -by, u);
            }
            vector::scale(&mut slope, 2.0 / (classes * classes));
            slope
        };
        let slopes: Vec<Vec<f64>> = self.apart.iter().map(slope).collect();
        let of_centre = combined(&vec![1.0; slopes.len()], &slopes);
        let term = |(i, &label): (usize, &usize)| {
            let share = self.counts[label] as f64 / n;
            let moved = vector::dot(&deviation(i), &slopes[label]) / share;
            let of_all = less(features[i].as_ref(), &self.centre);
            self.own(i) + moved - vector::dot(&of_all, &of_centre)
        };
        labels.iter().enumerate().map(term).collect()
    }
}

/// A vector less another.
fn less(vector: &[f64], other: &[f64]) -> Vec<f64> {
    vector.iter().zip(other).map(|(a, b)| a - b).collect()
}

/// `sum of weight times vector`.
pub(super) fn combined<V: AsRef<[f64]>>(weights: &[f64], vectors: &[V]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, |vector| vector.as_ref().len())];
    for (weight, of) in weights.iter().zip(vectors) {
        vector::add_scaled(&mut sum, *weight, of.as_ref());
    }
    sum
}

/// The mean of vectors of one length.
pub(super) fn mean<V: AsRef<[f64]>>(vectors: &[V]) -> Vec<f64> {
    combined(&vec![1.0 / vectors.len().max(1) as f64; vectors.len()], vectors)
}

/// Vectors less a centre.
pub(super) fn centred(vectors: &[Vec<f64>], centre: &[f64]) -> Vec<Vec<f64>> {
    vectors.iter().map(|vector| less(vector, centre)).collect()
}

/// The means of classes, and how many features each has.
pub(super) fn class_means<F: AsRef<[f64]>>(
    features: &[F],
    labels: &[usize],
    classes: usize,
) -> Result<(Vec<Vec<f64>>, Vec<usize>), MethodError> {
    let width = features.first().map_or(0, |feature| feature.as_ref().len());
    if features.len() != labels.len() || width == 0 {
        let expected = format!("{} vectors, one for each label", labels.len());
        return Err(MethodError::mismatch("features", expected, features.len()));
    }
    let (mut means, mut counts) = (vec![vec![0.0; width]; classes], vec![0usize; classes]);
    for (feature, &label) in features.iter().map(AsRef::as_ref).zip(labels) {
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
    let (flat, aim) = unit_frames(matrix, target)?;
    let squares = flat.iter().zip(&aim).map(|(a, b)| (a - b).powi(2));
    Ok(squares.sum::<f64>().sqrt())
}

/// The derivative of [`frame_distance`] by the matrix; zero where the distance is.
///
/// # Errors
/// As [`frame_distance`].
pub(super) fn frame_slope(
    matrix: &[Vec<f64>],
    target: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let (flat, aim) = unit_frames(matrix, target)?;
    let (distance, norm) = (frame_distance(matrix, target)?, vector::norm(&matrix.concat()));
    // Of the square, `2 - 2 c` with the cosine `c` of both.
    let cosine = vector::dot(&flat, &aim);
    let by = |(own, aim): (&f64, &f64)| match distance > 0.0 {
        true => (cosine * own - aim) / (norm * distance),
        false => 0.0,
    };
    let slopes: Vec<f64> = flat.iter().zip(&aim).map(by).collect();
    let width = matrix.first().map_or(1, Vec::len).max(1);
    Ok(slopes.chunks(width).map(<[f64]>::to_vec).collect())
}

/// Two matrices of one shape, element by element, each over its norm.
fn unit_frames(
    matrix: &[Vec<f64>],
    target: &[Vec<f64>],
) -> Result<(Vec<f64>, Vec<f64>), MethodError> {
    let shape = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
    if shape(matrix) != shape(target) {
        let expected = format!("{:?}", shape(target));
        let got = format!("{:?}", shape(matrix));
        return Err(MethodError::mismatch("rows of a frame", expected, got));
    }
    let (mut flat, mut aim) = (matrix.concat(), target.concat());
    let (norm, target_norm) = (vector::norm(&flat), vector::norm(&aim));
    if !(norm > 0.0 && target_norm > 0.0) {
        let (expected, got) = ("one that is not zero", norm.min(target_norm));
        return Err(MethodError::mismatch("a frame", expected, got));
    }
    flat.iter_mut().for_each(|x| *x /= norm);
    aim.iter_mut().for_each(|x| *x /= target_norm);
    Ok((flat, aim))
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
    fn the_slope_of_a_distance_is_that_of_differences() {
        let (matrix, simplex) = (vec![vec![1.0, -0.3], vec![0.2, 0.9]], simplex_frame(2));
        let slope = frame_slope(&matrix, &simplex).unwrap();
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let moved = |by: f64| {
                let mut matrix = matrix.clone();
                matrix[i][j] += by;
                frame_distance(&matrix, &simplex).unwrap()
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((slope[i][j] - expected).abs() < 1e-9, "{i} {j}: {slope:?} {expected}");
        }
        assert_eq!(frame_slope(&simplex, &simplex).unwrap(), [[0.0; 2]; 2]);
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

//! Points around a few centres.

use crate::{DataError, Stream};
use thalweg_array::Array;

/// Clusters of Gaussian points, as many in each, up to one.
///
/// Centres lie in random directions, each `separation` away from the origin, so that in many
/// dimensions two of them are about `sqrt 2 * separation` apart. Around its centre a point has
/// independent normal coordinates.
///
/// # Example
/// ```
/// use thalweg_data::{Dataset, GaussianClusters, Provenance, Stream};
/// let clusters = GaussianClusters { clusters: 3, dimension: 20, separation: 4.0, spread: 0.3 };
/// let (inputs, labels) = clusters.draw(90, &Stream::new(0, "clusters"))?;
/// let data = Dataset::classification("clusters", &inputs, &labels, Some(3), Provenance::default())?;
/// assert_eq!((inputs.shape(), data.len()), (&[90, 20][..], 90));
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianClusters {
    /// How many clusters.
    pub clusters: usize,
    /// How many coordinates a point has.
    pub dimension: usize,
    /// The norm of every centre.
    pub separation: f64,
    /// Standard deviation of a coordinate around the centre.
    pub spread: f64,
}

/// Numbers drawn at most, 2 GiB of them.
const MOST: usize = 1 << 28;

impl GaussianClusters {
    /// `n` points and the cluster of each, in turn: point `i` is of cluster `i mod clusters`.
    ///
    /// A point and its centre depend on the stream and their numbers alone: fewer points are the
    /// first of more.
    ///
    /// # Shapes    -> inputs `f64 [n, dimension]`, labels `i32 [n]`
    /// # Errors
    /// No clusters, coordinates or points; more than 2^28 numbers; a separation or spread that is
    /// negative or not finite.
    pub fn draw(&self, n: usize, stream: &Stream) -> Result<(Array, Array), DataError> {
        let range = |what, expected: &str, got: String| {
            Err(DataError::Range { what, expected: expected.to_owned(), got })
        };
        for (what, count) in [
            ("the number of clusters", self.clusters),
            ("the number of coordinates", self.dimension),
            ("the number of points", n),
        ] {
            if count == 0 {
                return range(what, "at least 1", "0".into());
            }
        }
        let used = self.clusters.min(n);
        let numbers = n.saturating_add(used).saturating_mul(self.dimension);
        if numbers > MOST {
            return range("the size of the clusters", "at most 2^28 numbers", numbers.to_string());
        }
        let lengths = [("the separation of centres", self.separation), ("the spread", self.spread)];
        for (what, length) in lengths {
            if !(length >= 0.0 && length.is_finite()) {
                return range(what, "a finite number of at least 0", length.to_string());
            }
        }
        let (places, noise) = (stream.child("centres"), stream.child("noise"));
        let coordinates = 0..self.dimension as u64;
        let centre = |c: usize| -> Vec<f64> {
            let draws = places.at(c as u64);
            let drawn: Vec<f64> = coordinates.clone().map(|i| draws.normal(i)).collect();
            let norm = drawn.iter().map(|x| x * x).sum::<f64>().sqrt();
            drawn.iter().map(|x| x / (norm / self.separation)).collect()
        };
        let centres: Vec<Vec<f64>> = (0..used).map(centre).collect();
        let (mut inputs, mut labels) = (Vec::with_capacity(n * self.dimension), Vec::new());
        for i in 0..n {
            let c = i % self.clusters;
            let draws = noise.at(i as u64);
            let around = centres[c].iter().zip(coordinates.clone());
            inputs.extend(around.map(|(x, d)| x + self.spread * draws.normal(d)));
            labels.push(c as i32);
        }
        Ok((Array::from_slice(&[n, self.dimension], &inputs)?, Array::vector(&labels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTERS: GaussianClusters =
        GaussianClusters { clusters: 4, dimension: 10, separation: 3.0, spread: 0.5 };

    fn rows(clusters: &GaussianClusters, n: usize) -> Vec<Vec<f64>> {
        let (inputs, labels) = clusters.draw(n, &Stream::new(1, "clusters")).unwrap();
        let expected: Vec<i32> = (0..n).map(|i| (i % clusters.clusters) as i32).collect();
        assert_eq!(labels.as_slice::<i32>().unwrap(), expected);
        inputs.to_f64_vec().chunks(clusters.dimension).map(<[f64]>::to_vec).collect()
    }

    #[test]
    fn points_spread_around_centres_of_one_norm() {
        let centres = rows(&GaussianClusters { spread: 0.0, ..CLUSTERS }, 8);
        for (i, centre) in centres.iter().enumerate() {
            let norm = centre.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((norm - 3.0).abs() < 1e-12, "{norm}");
            assert_eq!(*centre, centres[i % 4]);
        }
        assert_ne!(centres[0], centres[1]);
        let n = 4000;
        let mut squares = 0.0;
        for (i, point) in rows(&CLUSTERS, n).iter().enumerate() {
            let off = point.iter().zip(&centres[i % 4]).map(|(x, c)| (x - c) * (x - c));
            squares += off.sum::<f64>() / (n * 10) as f64;
        }
        // The standard error of the variance 0.25 is 0.0018.
        assert!((squares - 0.25).abs() < 0.006, "{squares}");
    }

    #[test]
    fn fewer_points_are_the_first_of_more() {
        assert_eq!(rows(&CLUSTERS, 3), rows(&CLUSTERS, 11)[..3]);
    }

    #[test]
    fn requests_are_checked() {
        let stream = Stream::new(1, "clusters");
        let message = |clusters: &GaussianClusters, n| {
            clusters.draw(n, &stream).map(drop).unwrap_err().to_string()
        };
        let none = GaussianClusters { clusters: 0, ..CLUSTERS };
        assert_eq!(message(&none, 5), "the number of clusters is 0, expected at least 1");
        assert!(message(&CLUSTERS, 0).contains("number of points"));
        assert!(message(&CLUSTERS, usize::MAX).contains("at most 2^28 numbers"));
        for spread in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(message(&GaussianClusters { spread, ..CLUSTERS }, 5).contains("the spread"));
        }
    }
}

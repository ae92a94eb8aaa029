//! Directions that are not drawn: between checkpoints, and given ones.

use super::plane::Plane;
use crate::MethodError;
use crate::common::{symmetric_eigen, vector};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameter, Parameters};

/// The direction from one point to another, in `f64`: the other lies at coordinate one.
///
/// # Errors
/// Points of different models.
pub fn between(from: &Parameters, to: &Parameters) -> Result<Parameters, MethodError> {
    let (from, to) = (from.convert(DType::F64), to.convert(DType::F64));
    Ok(to.add_scaled(-1.0, &from)?)
}

/// A plane through one point as near to others as there is, and where they lie.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonPlane {
    /// Orthonormal directions; the plane's origin is the first point.
    pub plane: Plane,
    /// The coordinates of every point, the first at the origin; beside the plane those of its foot.
    pub places: Vec<[f64; 2]>,
    /// The distance of every point from the plane.
    pub distances: Vec<f64>,
}

/// The plane through the first of three or more points of weight space with the least sum of squared
/// distances of the others, with orthonormal directions, so that distances in the plane are those of
/// weight space: the plane through all of them where there are three.
///
/// It is spanned by the two leading eigenvectors of `sum of u_i u_i^T` over the differences `u_i` from
/// the first point, which are found from the Gram matrix of the differences. In it the first direction
/// leads to the second point, or to its foot, and the third point lies on the positive side of the
/// other. Three points more than a ten millionth of their distances off a line span a plane.
///
/// # Errors
/// Fewer than three points; points of different models, not finite, or on a line.
/// # Source    Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces, mode connectivity, and
/// fast ensembling of DNNs, 2018, arXiv 1802.10026, appendix, for three
pub fn common_plane(points: &[&Parameters]) -> Result<CommonPlane, MethodError> {
    let ([first, others @ ..], 3..) = (points, points.len()) else {
        return Err(MethodError::config("points of a plane", "at least 3", points.len()));
    };
    let to_others =
        others.iter().map(|other| between(first, other)).collect::<Result<Vec<_>, _>>()?;
    let differences: Vec<Vec<f64>> = to_others.iter().map(Parameters::flatten).collect();
    for (index, difference) in differences.iter().enumerate() {
        if let Some(value) = difference.iter().find(|value| !value.is_finite()) {
            let what = format!("an element of network {} less that of the first", index + 2);
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
    }
    let line = || MethodError::mismatch("points", "points that span a plane", "points on a line");
    let [x, y] = span(&differences).ok_or_else(line)?;
    let mut feet: Vec<[f64; 2]> =
        differences.iter().map(|u| [vector::dot(u, &x), vector::dot(u, &y)]).collect();
    // A turn about the origin that brings the second point's foot to the first axis.
    let [along, across] = feet[0];
    let length = along.hypot(across);
    let [cosine, sine] = if length > 0.0 { [along / length, across / length] } else { [1.0, 0.0] };
    let height = cosine * feet[1][1] - sine * feet[1][0];
    let side = if height < 0.0 { -1.0 } else { 1.0 };
    let turned = |[a, b]: [f64; 2]| [cosine * a + sine * b, side * (cosine * b - sine * a)];
    feet.iter_mut().for_each(|foot| *foot = turned(*foot));
    feet[0] = [length, 0.0];
    let (d, e): (Vec<f64>, Vec<f64>) = x
        .iter()
        .zip(&y)
        .map(|(&x, &y)| {
            let [d, e] = turned([x, y]);
            (d, e)
        })
        .unzip();
    let distance = |(mut u, foot): (Vec<f64>, &[f64; 2])| {
        vector::add_scaled(&mut u, -foot[0], &d);
        vector::add_scaled(&mut u, -foot[1], &e);
        vector::norm(&u)
    };
    let off: Vec<f64> = differences.into_iter().zip(&feet).map(distance).collect();
    let tree = &to_others[0];
    Ok(CommonPlane {
        plane: Plane { x: tree.unflatten(&d)?, y: Some(tree.unflatten(&e)?) },
        places: std::iter::once([0.0; 2]).chain(feet).collect(),
        distances: std::iter::once(0.0).chain(off).collect(),
    })
}

/// Orthonormal vectors along the two leading eigenvectors of the sum of outer squares; none where there
/// are no two.
fn span(vectors: &[Vec<f64>]) -> Option<[Vec<f64>; 2]> {
    let gram: Vec<Vec<f64>> =
        vectors.iter().map(|a| vectors.iter().map(|b| vector::dot(a, b)).collect()).collect();
    let eigen = symmetric_eigen(&gram);
    let [.., second, largest] = eigen.values.as_slice() else { return None };
    // Rounding leaves as much of the Gram matrix of vectors on a line.
    let rounding = 64.0 * vectors.len() as f64 * f64::EPSILON;
    if !(largest.is_finite() && *second > rounding * largest) {
        return None;
    }
    let along = |weights: &[f64]| {
        let mut sum = vec![0.0; vectors[0].len()];
        for (vector, &weight) in vectors.iter().zip(weights) {
            vector::add_scaled(&mut sum, weight, vector);
        }
        let length = vector::norm(&sum);
        vector::scale(&mut sum, 1.0 / length);
        sum
    };
    let [.., second, first] = eigen.vectors.as_slice() else { return None };
    let (basis, mut y) = ([along(first)], along(second));
    vector::orthogonalize(&mut y, &basis, &mut [0.0]);
    let length = vector::norm(&y);
    vector::scale(&mut y, 1.0 / length);
    let [x] = basis;
    Some([x, y])
}

/// The direction whose arrays are `axis.<parameter>` among named arrays, as `x.fc.weight`; in the
/// engine's layout.
///
/// # Errors
/// An array that is missing, or of another shape; one of this axis that is no parameter's.
pub fn given(
    described: &[Parameter],
    axis: &str,
    entries: &[(String, Array)],
) -> Result<Parameters, MethodError> {
    let prefix = format!("{axis}.");
    let of_axis =
        || entries.iter().filter_map(|(name, array)| Some((name.strip_prefix(&prefix)?, array)));
    if let Some((stray, _)) = of_axis().find(|(name, _)| described.iter().all(|p| p.name != *name))
    {
        let expected = format!("{prefix} and a parameter of the model");
        return Err(MethodError::mismatch(
            "a given direction",
            expected,
            format!("{prefix}{stray}"),
        ));
    }
    let mut arrays = Vec::with_capacity(described.len());
    for parameter in described {
        let found = of_axis().find(|(name, _)| *name == parameter.name);
        let expected = format!("{prefix}{} {:?}", parameter.name, parameter.shape);
        match found {
            Some((_, array)) if array.shape() == parameter.shape && array.dtype().is_float() => {
                arrays.push((parameter.name.clone(), array.clone()));
            }
            Some((_, array)) => {
                let got = format!("{}{:?}", array.dtype(), array.shape());
                return Err(MethodError::mismatch("a given direction", expected, got));
            }
            None => {
                return Err(MethodError::mismatch("a given direction", expected, "none"));
            }
        }
    }
    Ok(Parameters::new(arrays)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_nn::Architecture;

    fn tree(values: &[f64]) -> Parameters {
        Parameters::new(vec![("w".into(), Array::vector(values))]).unwrap()
    }

    fn found(points: &[Parameters]) -> Result<CommonPlane, MethodError> {
        common_plane(&points.iter().collect::<Vec<_>>())
    }

    #[test]
    fn three_points_lie_where_the_plane_says() {
        let points = [[1.0, 2.0, 3.0, 4.0], [4.0, 2.0, 7.0, 4.0], [0.0, 1.0, 5.0, 9.0]];
        let points = points.map(|values| tree(&values));
        let plane = found(&points).unwrap();
        assert!((plane.places[1][0] - 5.0).abs() < 1e-14 && plane.places[1][1] == 0.0);
        assert!(plane.places[2][1] > 0.0);
        let (x, y) = (&plane.plane.x, plane.plane.y.as_ref().unwrap());
        assert!(vector::dot(&x.flatten(), &y.flatten()).abs() < 1e-14);
        assert!((vector::norm(&y.flatten()) - 1.0).abs() < 1e-14);
        for ((point, [a, b]), distance) in points.iter().zip(plane.places).zip(plane.distances) {
            let there = points[0].add_scaled(a, x).unwrap().add_scaled(b, y).unwrap();
            let off = there.add_scaled(-1.0, point).unwrap().flatten();
            assert!(vector::norm(&off) < 1e-13 && distance < 1e-13);
        }
        let middle = tree(&[2.5, 2.0, 5.0, 4.0]);
        let [a, b, c] = points;
        assert!(found(&[a.clone(), b.clone(), middle]).is_err());
        assert!(found(&[a.clone(), a.clone(), c.clone()]).is_err());
        let message = found(&[a.clone(), b.clone(), tree(&[f64::NAN; 4])]).unwrap_err().to_string();
        assert!(message.starts_with("an element of network 3 less"), "{message}");
        assert!(found(&[a.clone(), b, tree(&[0.0])]).is_err());
        assert!(found(&[a, c]).is_err());
    }

    /// Differences along the axes of a space, whose plane of least distances is that of the longest two.
    #[test]
    fn more_points_lie_beside_the_plane_that_is_nearest_to_them() {
        let points = [[1.0, 1.0, 1.0], [1.0, 4.0, 1.0], [1.0, 1.0, 3.0], [6.0, 1.0, 1.0]];
        let plane = found(&points.map(|values| tree(&values))).unwrap();
        let expected = [[0.0, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 5.0]];
        for (place, expected) in plane.places.iter().zip(expected) {
            assert!((place[0] - expected[0]).abs() + (place[1].abs() - expected[1]).abs() < 1e-14);
        }
        let off = |distance: f64, expected: f64| (distance - expected).abs() < 1e-14;
        assert!(plane.distances.iter().zip([0.0, 0.0, 2.0, 0.0]).all(|(d, e)| off(*d, e)));
        let points = [[0.0; 3], [0.0, 0.0, 1.0], [3.0, 4.0, 0.0], [-4.0, 3.0, 0.0]];
        let plane = found(&points.map(|values| tree(&values))).unwrap();
        // The second point stands upright on the plane: there is nowhere to turn.
        assert!(plane.places[1] == [0.0; 2] && off(plane.distances[1], 1.0));
        assert!(off(plane.places[2][0].hypot(plane.places[2][1]), 5.0));
    }

    #[test]
    fn given_arrays_are_checked() {
        let model = "resnet depth=8 width=4".parse::<Architecture>().unwrap();
        let model = model.build(&[8, 8, 1], 10).unwrap();
        let described = model.parameters().to_vec();
        let weights = thalweg_train::initialize(&model, 0, DType::F64).unwrap().parameters;
        let mut entries: Vec<(String, Array)> =
            weights.iter().map(|(name, array)| (format!("x.{name}"), array.clone())).collect();
        assert_eq!(given(&described, "x", &entries).unwrap(), weights);
        assert!(given(&described, "y", &entries).is_err());
        entries.push(("x.extra".into(), Array::scalar(0.0)));
        let message = given(&described, "x", &entries).unwrap_err().to_string();
        assert_eq!(
            message,
            "a given direction: expected x. and a parameter of the model, got x.extra"
        );
    }
}

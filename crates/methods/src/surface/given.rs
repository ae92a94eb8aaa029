//! Directions that are not drawn: between checkpoints, and given ones.

use super::plane::Plane;
use crate::MethodError;
use crate::common::vector;
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

/// A plane through three points, and where they lie in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ThroughThree {
    /// Orthonormal directions; the plane's origin is the first point.
    pub plane: Plane,
    /// The coordinates of the three.
    pub places: [[f64; 2]; 3],
}

/// The plane through three points of weight space, with orthonormal directions: the first leads to the
/// second point, the other is at right angles to it on the side of the third, so that distances in the
/// plane are those of weight space.
///
/// # Errors
/// Points of different models, or on a line.
/// # Source    Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces, mode connectivity, and
/// fast ensembling of DNNs, 2018, arXiv 1802.10026, appendix
pub fn plane_through(
    first: &Parameters,
    second: &Parameters,
    third: &Parameters,
) -> Result<ThroughThree, MethodError> {
    let (to_second, to_third) = (between(first, second)?, between(first, third)?);
    let (mut x, mut y) = (to_second.flatten(), to_third.flatten());
    let (length, far) = (vector::norm(&x), vector::norm(&y));
    let line =
        || MethodError::mismatch("three points", "points that span a plane", "points on a line");
    if !(length > 0.0 && length.is_finite() && far.is_finite()) {
        return Err(line());
    }
    vector::scale(&mut x, 1.0 / length);
    let mut along = [0.0];
    let basis = [x];
    vector::orthogonalize(&mut y, &basis, &mut along);
    let height = vector::norm(&y);
    if height <= 1e-10 * far {
        return Err(line());
    }
    vector::scale(&mut y, 1.0 / height);
    let plane = Plane { x: to_second.unflatten(&basis[0])?, y: Some(to_third.unflatten(&y)?) };
    Ok(ThroughThree { plane, places: [[0.0, 0.0], [length, 0.0], [along[0], height]] })
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

    #[test]
    fn three_points_lie_where_the_plane_says() {
        let tree =
            |values: [f64; 4]| Parameters::new(vec![("w".into(), Array::vector(&values))]).unwrap();
        let points =
            [tree([1.0, 2.0, 3.0, 4.0]), tree([4.0, 2.0, 7.0, 4.0]), tree([0.0, 1.0, 5.0, 9.0])];
        let found = plane_through(&points[0], &points[1], &points[2]).unwrap();
        assert_eq!(found.places[1], [5.0, 0.0]);
        let (x, y) = (&found.plane.x, found.plane.y.as_ref().unwrap());
        assert!(vector::dot(&x.flatten(), &y.flatten()).abs() < 1e-15);
        assert!((vector::norm(&y.flatten()) - 1.0).abs() < 1e-15);
        for (point, [a, b]) in points.iter().zip(found.places) {
            let there = points[0].add_scaled(a, x).unwrap().add_scaled(b, y).unwrap();
            let off = there.add_scaled(-1.0, point).unwrap().flatten();
            assert!(vector::norm(&off) < 1e-14);
        }
        let middle = tree([2.5, 2.0, 5.0, 4.0]);
        assert!(plane_through(&points[0], &points[1], &middle).is_err());
        assert!(plane_through(&points[0], &points[0], &points[2]).is_err());
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

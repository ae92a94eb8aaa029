//! The gradient of the loss along a path.

use crate::common::{Gradients, Objective, check_point, vector};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameters, Weights};

/// The loss and its gradient at a point of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathGradient {
    /// Where the point lies: its coordinate on a line, the way there on a trajectory.
    pub at: f64,
    /// The loss.
    pub loss: f64,
    /// Its derivative along the path: by the coordinate on a line, by the distance on a trajectory.
    pub slope: f64,
    /// The length of its gradient.
    pub norm: f64,
    /// The cosine of gradient and path: 1 where the loss rises along the path alone. NaN without a
    /// gradient or a direction.
    pub cosine: f64,
    /// The cosine of the gradient and that at the point before; NaN at the first point.
    pub turn: f64,
}

/// The loss and its gradient at points `w + t d` of a line, as between two checkpoints.
///
/// `g = grad L(w + t d)`, slope `<g, d>`, cosine `<g, d> / (|g| |d|)`, and the cosine of two
/// neighbours' gradients: -1 where the gradient turns round, as across a ravine. Each point is a unit
/// of work.
///
/// # Errors
/// A direction of another model, a coordinate that is not finite; those of the engine.
/// # Source    Goodfellow, Vinyals, Saxe, Qualitatively characterizing neural network optimization
/// problems, 2015, arXiv 1412.6544; angles of gradients along a trajectory: Xing, Arpit, Tsirigotis,
/// Bengio, A walk with SGD, 2018, arXiv 1802.08770
pub fn line_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    direction: &Parameters,
    at: &[f64],
) -> Result<Vec<PathGradient>, MethodError> {
    if let Some(bad) = at.iter().find(|t| !t.is_finite()) {
        return Err(MethodError::config("coordinate of a line", "a finite number", bad));
    }
    check_point(objective, "the centre", centre)?;
    let exact = centre.parameters.convert(DType::F64);
    let along = direction.flatten();
    let point = |i: usize| {
        let parameters = exact.add_scaled(at[i], &direction.convert(DType::F64))?;
        Ok(Weights { parameters, buffers: centre.buffers.clone() })
    };
    gradients(ctx, objective, at, &point, &|_| Ok(along.clone()))
}

/// The loss and its gradient at each point of a trajectory, as of the checkpoints of a run; the path at
/// a point is that from the one before to the one after. `load` reads a point, and three are in memory
/// at once.
///
/// # Errors
/// Fewer than two points; weights of another model; those of `load` and of the engine.
/// # Source    see [`line_gradients`]
pub fn trajectory_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    n_points: usize,
    load: &dyn Fn(usize) -> Result<Weights, MethodError>,
) -> Result<Vec<PathGradient>, MethodError> {
    if n_points < 2 {
        let expected = "at least 2";
        return Err(MethodError::config("points of a trajectory", expected, n_points));
    }
    let exact = |i: usize| -> Result<Parameters, MethodError> {
        let point = load(i)?;
        check_point(objective, &format!("point {i} of a trajectory"), &point)?;
        Ok(point.parameters.convert(DType::F64))
    };
    let between = |from: &Parameters, to: &Parameters| -> Result<Vec<f64>, MethodError> {
        Ok(to.add_scaled(-1.0, from)?.flatten())
    };
    let mut way = vec![0.0];
    let mut before = exact(0)?;
    for i in 1..n_points {
        ctx.check()?;
        let here = exact(i)?;
        way.push(way[i - 1] + vector::norm(&between(&before, &here)?));
        before = here;
    }
    let tangent = |i: usize| {
        let [from, to] = [i.saturating_sub(1), (i + 1).min(n_points - 1)].map(&exact);
        let mut tangent = between(&from?, &to?)?;
        let length = vector::norm(&tangent);
        vector::scale(&mut tangent, 1.0 / length);
        Ok(tangent)
    };
    gradients(ctx, objective, &way, load, &tangent)
}

fn gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    at: &[f64],
    point: &dyn Fn(usize) -> Result<Weights, MethodError>,
    tangent: &dyn Fn(usize) -> Result<Vec<f64>, MethodError>,
) -> Result<Vec<PathGradient>, MethodError> {
    let pass = Gradients::new(ctx, objective)?;
    ctx.progress().start("gradients along a path", at.len() as u64);
    // The gradient before, and which one it is.
    let mut before: Option<(usize, Vec<f64>)> = None;
    let mut found = Vec::with_capacity(at.len());
    for (i, &at) in at.iter().enumerate() {
        let key = format!("gradient path/{i}");
        let arrays = ctx.unit(&key, || {
            let here = pass.at(&point(i)?)?;
            let last = match before.take() {
                Some((of, gradient)) if of + 1 == i => Some(gradient),
                // It was found by an earlier run, which kept no gradient.
                _ if i > 0 => Some(pass.at(&point(i - 1)?)?.gradient),
                _ => None,
            };
            let (gradient, tangent) = (here.gradient, tangent(i)?);
            let turn = last.map_or(f64::NAN, |last| cosine(&gradient, &last));
            let (slope, norm) = (vector::dot(&gradient, &tangent), vector::norm(&gradient));
            let values = [here.at.loss, slope, norm, cosine(&gradient, &tangent), turn];
            before = Some((i, gradient));
            Ok(vec![("values".into(), Array::vector(&values))])
        })?;
        let &[loss, slope, norm, cosine, turn] = stored(&key, &arrays, "values", 5)? else {
            return Err(MethodError::mismatch("values of a point", "5", "another number"));
        };
        found.push(PathGradient { at, loss, slope, norm, cosine, turn });
        ctx.progress().advance(1);
    }
    Ok(found)
}

/// NaN where one of them is zero.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    vector::dot(a, b) / (vector::norm(a) * vector::norm(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use crate::surface::osculating;
    use thalweg_exec::Executor;

    /// `x^2 / 2 + 2 y^2`, whose gradient is `(x, 4 y)`.
    fn valley() -> Function {
        Function::new(DType::F64, &[("x", &[]), ("y", &[])], |_, w| {
            w[0].square() * 0.5 + w[1].square() * 2.0
        })
    }

    #[test]
    fn values_on_a_line_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (function, centre) = (valley(), valley().point(&[3.0, 1.0]).unwrap());
        // To (3, -1): the gradient's y turns round.
        let direction = function.point(&[0.0, -2.0]).unwrap().parameters;
        let found = line_gradients(&ctx, &function, &centre, &direction, &[0.0, 1.0]).unwrap();
        let expected = PathGradient {
            at: 0.0,
            loss: 6.5,
            slope: -8.0,
            norm: 5.0,
            cosine: -0.8,
            turn: f64::NAN,
        };
        assert_eq!(format!("{:?}", found[0]), format!("{expected:?}"));
        assert_eq!(
            (found[1].slope, found[1].cosine, found[1].turn),
            (8.0, 0.8, (9.0 - 16.0) / 25.0)
        );
        let derivatives = osculating(&ctx, &function, &centre, &direction, &[0.0, 1.0]).unwrap();
        for (one, other) in found.iter().zip(derivatives) {
            assert!((one.slope - other.slope.value).abs() < 1e-12);
        }
    }

    #[test]
    fn a_trajectory_down_the_gradient_has_a_cosine_of_minus_one() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let function = valley();
        let points: Vec<Weights> =
            [8.0, 4.0, 2.0].map(|x| function.point(&[x, 0.0]).unwrap()).to_vec();
        let load = |i: usize| -> Result<Weights, MethodError> { Ok(points[i].clone()) };
        let found = trajectory_gradients(&ctx, &function, 3, &load).unwrap();
        let at: Vec<f64> = found.iter().map(|point| point.at).collect();
        assert_eq!(at, [0.0, 4.0, 6.0]);
        assert!(found.iter().all(|point| point.cosine == -1.0 && point.slope == -point.norm));
        assert_eq!((found[0].turn.is_nan(), found[1].turn, found[2].turn), (true, 1.0, 1.0));
        assert!(trajectory_gradients(&ctx, &function, 1, &load).is_err());
        let other = |_: usize| Function::new(DType::F64, &[("x", &[])], |_, w| w[0]).point(&[1.0]);
        let message = trajectory_gradients(&ctx, &function, 2, &other).unwrap_err().to_string();
        assert!(message.starts_with("point 0 of a trajectory: expected 2 arrays"), "{message}");
    }
}

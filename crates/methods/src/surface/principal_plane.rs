//! Planes near points of weight space, by principal components: that which a training run moves in, and
//! that of several networks.

use super::plane::Plane;
use crate::common::symmetric_eigen;
use crate::common::vector::{add_scaled, dot, norm, scale};
use crate::{Context, MethodError};
use thalweg_array::DType;
use thalweg_nn::Parameters;

/// A plane near points, and where they lie.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalPlane {
    /// Orthonormal directions. The plane goes through the centre that was named.
    pub plane: Plane,
    /// The share of the points' variance along each of the two.
    pub explained_variance: [f64; 2],
    /// First coordinate of each point; beside the plane of its foot.
    pub x: Vec<f64>,
    /// Second coordinate of each.
    pub y: Vec<f64>,
    /// Distance of each from the plane.
    pub residual: Vec<f64>,
}

/// Points that are held at once at least; more where memory allows it, because each is read
/// again for every block after its own.
const BLOCK: usize = 16;

/// The plane through one checkpoint along the two principal components of all of them.
///
/// With differences `u_i = w_i - w_centre` and their mean `m`, the eigenvectors `c` of the centred
/// Gram matrix `<u_i - m, u_j - m>` give the directions `sum over i of c_i (u_i - m)`, made unit;
/// the second is made orthogonal to the first. Signs are such that the first checkpoint has no
/// negative coordinate. `load` reads a checkpoint; as many are in memory at once as an eighth of the
/// budget holds, however many there are, and their number changes no bit.
///
/// # Errors
/// Fewer than three checkpoints, or ones that span no plane; a centre that is none of them;
/// checkpoints of different models or not finite; those of `load`.
/// # Source    Li et al. 2018, arXiv 1712.09913, section 7
pub fn trajectory_plane(
    ctx: &Context<'_>,
    n_checkpoints: usize,
    centre: usize,
    load: impl FnMut(usize) -> Result<Parameters, MethodError>,
) -> Result<PrincipalPlane, MethodError> {
    if centre >= n_checkpoints {
        let expected = format!("below {n_checkpoints}");
        return Err(MethodError::config("centre of the trajectory", expected, centre));
    }
    let named = |i: usize| format!("checkpoint {i}");
    principal_plane(ctx, (n_checkpoints, centre), named, load, centred)
}

/// The plane through the first of three or more networks with the least sum of squared distances of the
/// others: through all of them where there are three.
///
/// With differences `u_i` from the first, it is spanned by the two leading eigenvectors of
/// `sum over i of u_i u_i^T`, found from the Gram matrix. In it the first direction leads to the second
/// network, or to its foot, and the third has no negative second coordinate. Variance is about the first.
/// `load` reads a network, as in [`trajectory_plane`].
///
/// # Errors
/// Fewer than three networks, or ones that span no plane to a ten millionth of their distances; networks
/// of different models or not finite; those of `load`.
/// # Source    Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces, mode connectivity, and
/// fast ensembling of DNNs, 2018, arXiv 1802.10026, appendix, for three
pub fn common_plane(
    ctx: &Context<'_>,
    n_networks: usize,
    load: impl FnMut(usize) -> Result<Parameters, MethodError>,
) -> Result<PrincipalPlane, MethodError> {
    let named = |i: usize| format!("network {}", i + 1);
    let mut found = principal_plane(ctx, (n_networks, 0), named, load, about_the_first)?;
    // Rounding, since the first direction leads to it; and so is what is left of points in the plane.
    found.y[1] = 0.0;
    for (residual, (x, y)) in found.residual.iter_mut().zip(found.x.iter().zip(&found.y)) {
        if *residual <= 64.0 * f64::EPSILON * x.hypot(*y) {
            *residual = 0.0;
        }
    }
    Ok(found)
}

/// Weights of the points in two directions, and the directions' shares of their variance; none where
/// points with this Gram matrix span no plane.
type Directions = Option<([Vec<f64>; 2], [f64; 2])>;

/// The plane through one of `n` points along the directions that their Gram matrix about it gives.
fn principal_plane(
    ctx: &Context<'_>,
    (n, centre): (usize, usize),
    named: impl Fn(usize) -> String,
    mut load: impl FnMut(usize) -> Result<Parameters, MethodError>,
    directions: fn(&[Vec<f64>]) -> Directions,
) -> Result<PrincipalPlane, MethodError> {
    if n < 3 {
        return Err(MethodError::config("number of points of a plane", "at least 3", n));
    }
    let origin = load(centre)?.convert(DType::F64);
    let at_origin = origin.flatten();
    let block = (ctx.memory() / 64 / at_origin.len().max(1)).clamp(BLOCK, n.max(BLOCK));
    let blocks = n.div_ceil(block) as u64;
    ctx.progress().start("plane", blocks * (blocks + 1) / 2 + 2 * n as u64);
    let mut difference = |i: usize| -> Result<Vec<f64>, MethodError> {
        let point = load(i)?.convert(DType::F64);
        let same = point.names() == origin.names()
            && point.iter().zip(origin.iter()).all(|(a, b)| a.1.shape() == b.1.shape());
        if !same {
            let expected = "the parameters of the others";
            return Err(MethodError::mismatch(named(i), expected, "others"));
        }
        let mut u = point.flatten();
        add_scaled(&mut u, -1.0, &at_origin);
        match u.iter().find(|x| !x.is_finite()) {
            None => Ok(u),
            Some(value) => Err(MethodError::NotFinite {
                what: format!("an element of {}", named(i)),
                value: value.to_string(),
            }),
        }
    };

    let mut gram = vec![vec![0.0; n]; n];
    for first in (0..n).step_by(block) {
        let rows =
            (first..(first + block).min(n)).map(&mut difference).collect::<Result<Vec<_>, _>>()?;
        for second in (0..=first).step_by(block) {
            ctx.check()?;
            for j in second..(second + block).min(n).min(first + rows.len()) {
                let column;
                let u = if second == first {
                    &rows[j - first]
                } else {
                    column = difference(j)?;
                    &column
                };
                for (i, row) in rows.iter().enumerate().filter(|(i, _)| first + i >= j) {
                    let product = dot(row, u);
                    (gram[first + i][j], gram[j][first + i]) = (product, product);
                }
            }
            ctx.progress().advance(1);
        }
    }
    let Some((weights, explained_variance)) = directions(&gram) else {
        let expected = format!("{} to {} that span a plane", named(0), named(n - 1));
        return Err(MethodError::mismatch("points of a plane", expected, "points on a line"));
    };

    let mut directions = [vec![0.0; at_origin.len()], vec![0.0; at_origin.len()]];
    for i in 0..n {
        ctx.check()?;
        let u = difference(i)?;
        for (direction, weights) in directions.iter_mut().zip(&weights) {
            add_scaled(direction, weights[i], &u);
        }
        ctx.progress().advance(1);
    }
    let [mut x, mut y] = directions;
    let length = norm(&x);
    scale(&mut x, 1.0 / length);
    for _ in 0..2 {
        let along = dot(&x, &y);
        add_scaled(&mut y, -along, &x);
    }
    let length = norm(&y);
    scale(&mut y, 1.0 / length);

    let (mut xs, mut ys, mut residual) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        ctx.check()?;
        let mut u = difference(i)?;
        if i == 0 {
            for direction in [&mut x, &mut y] {
                if dot(direction, &u) < 0.0 {
                    scale(direction, -1.0);
                }
            }
        }
        let (along_x, along_y) = (dot(&x, &u), dot(&y, &u));
        add_scaled(&mut u, -along_x, &x);
        add_scaled(&mut u, -along_y, &y);
        xs.push(along_x);
        ys.push(along_y);
        residual.push(norm(&u));
        ctx.progress().advance(1);
    }
    let plane = Plane { x: origin.unflatten(&x)?, y: Some(origin.unflatten(&y)?) };
    Ok(PrincipalPlane { plane, explained_variance, x: xs, y: ys, residual })
}

/// The first two principal components about the points' mean. Weights of each sum to zero, so that the
/// mean need not be taken off the points.
fn centred(gram: &[Vec<f64>]) -> Directions {
    let n = gram.len();
    let means: Vec<f64> = gram.iter().map(|row| row.iter().sum::<f64>() / n as f64).collect();
    let mean = means.iter().sum::<f64>() / n as f64;
    let centred: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| gram[i][j] - means[i] - means[j] + mean).collect()).collect();
    let eigen = symmetric_eigen(&centred);
    if !span_a_plane(gram, eigen.values[n - 2]) {
        return None;
    }
    let total: f64 = (0..n).map(|i| centred[i][i]).sum();
    let weights = [n - 1, n - 2].map(|i| {
        let mut c = eigen.vectors[i].clone();
        let mean = c.iter().sum::<f64>() / n as f64;
        c.iter_mut().for_each(|c| *c -= mean);
        c
    });
    Some((weights, [n - 1, n - 2].map(|i| eigen.values[i] / total)))
}

/// The first two principal components about the first point, turned so that the first direction leads to
/// the second point and the third point lies on the positive side of the other.
fn about_the_first(gram: &[Vec<f64>]) -> Directions {
    let n = gram.len();
    let eigen = symmetric_eigen(gram);
    if !span_a_plane(gram, eigen.values[n - 2]) {
        return None;
    }
    // A direction is the sum of c_i u_i over the root of its eigenvalue l; u_i has sqrt(l) c_i along it.
    let [first, second] = [n - 1, n - 2].map(|i| (eigen.values[i].sqrt(), &eigen.vectors[i]));
    let foot = |i: usize| [first.0 * first.1[i], second.0 * second.1[i]];
    let [along, across] = foot(1);
    let length = along.hypot(across);
    let [cosine, sine] = if length > 0.0 { [along / length, across / length] } else { [1.0, 0.0] };
    let turned = |[a, b]: [f64; 2]| [cosine * a + sine * b, cosine * b - sine * a];
    let side = if turned(foot(2))[1] < 0.0 { -1.0 } else { 1.0 };
    let weights = |i: usize| turned([first.1[i] / first.0, second.1[i] / second.0]);
    let total: f64 = (0..n).map(|i| gram[i][i]).sum();
    let share = |axis: usize| (0..n).map(|i| turned(foot(i))[axis].powi(2)).sum::<f64>() / total;
    let x = (0..n).map(|i| weights(i)[0]).collect();
    let y = (0..n).map(|i| side * weights(i)[1]).collect();
    Some(([x, y], [share(0), share(1)]))
}

/// Whether the second eigenvalue is more than rounding in the products leaves of none.
fn span_a_plane(gram: &[Vec<f64>], second: f64) -> bool {
    let largest = gram.iter().enumerate().fold(0.0f64, |m, (i, row)| m.max(row[i]));
    second > 64.0 * gram.len() as f64 * f64::EPSILON * largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    fn tree(values: &[f64]) -> Parameters {
        Parameters::new(vec![("w".into(), Array::vector(values))]).unwrap()
    }

    /// `offset + a_i p + b_i q + noise`, with orthonormal `p` and `q`.
    fn spiral(n: usize, noise: f64) -> Vec<Vec<f64>> {
        let stream = Stream::new(0, "spiral");
        let draw =
            |name: &str| -> Vec<f64> { (0..50).map(|i| stream.child(name).normal(i)).collect() };
        let (mut p, mut q, offset) = (draw("p"), draw("q"), draw("offset"));
        let length = norm(&p);
        scale(&mut p, 1.0 / length);
        let along = dot(&p, &q);
        add_scaled(&mut q, -along, &p);
        let length = norm(&q);
        scale(&mut q, 1.0 / length);
        (0..n)
            .map(|i| {
                let t = i as f64 / n as f64;
                let mut w = offset.clone();
                add_scaled(&mut w, 5.0 * (1.0 - t), &p);
                add_scaled(&mut w, (6.0 * t).sin() * (1.0 - t), &q);
                for (j, w) in w.iter_mut().enumerate() {
                    *w += noise * stream.at(i as u64).normal(j as u64);
                }
                w
            })
            .collect()
    }

    #[test]
    fn a_planted_plane_is_recovered() {
        let points = spiral(40, 0.0);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let found = trajectory_plane(&ctx, 40, 39, |i| Ok(tree(&points[i]))).unwrap();
        assert!((found.explained_variance.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let (x, y) = (found.plane.x.flatten(), found.plane.y.as_ref().unwrap().flatten());
        assert!((norm(&x) - 1.0).abs() < 1e-12 && dot(&x, &y).abs() < 1e-12);
        for (i, point) in points.iter().enumerate() {
            assert!(found.residual[i] < 1e-12, "{}", found.residual[i]);
            let mut back = points[39].clone();
            add_scaled(&mut back, found.x[i], &x);
            add_scaled(&mut back, found.y[i], &y);
            add_scaled(&mut back, -1.0, point);
            assert!(norm(&back) < 1e-12);
        }
        assert_eq!((found.x[39], found.y[39]), (0.0, 0.0));
        assert!(found.x[0] > 0.0 && found.y[0] >= 0.0);
    }

    #[test]
    fn what_lies_outside_is_its_distance() {
        let points = spiral(20, 0.01);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let found = trajectory_plane(&ctx, 20, 19, |i| Ok(tree(&points[i]))).unwrap();
        let explained: f64 = found.explained_variance.iter().sum();
        assert!((0.98..0.9999).contains(&explained), "{explained}");
        // 48 dimensions of noise at two points.
        let expected = 0.01 * (2.0f64 * 48.0).sqrt();
        for residual in &found.residual[..19] {
            assert!((0.5 * expected..1.5 * expected).contains(residual), "{residual}");
        }
    }

    #[test]
    fn many_checkpoints_are_streamed_and_blocks_change_no_bit() {
        let points = spiral(400, 0.01);
        let executor = Executor::new(1);
        let plane = |memory: usize| {
            let ctx = Context::new(&executor, 0).with_memory(memory);
            let mut loads = 0;
            let load = |i: usize| {
                loads += 1;
                Ok(tree(&points[i]))
            };
            (trajectory_plane(&ctx, 400, 399, load).unwrap(), loads)
        };
        let (whole, once) = plane(1 << 30);
        let (blocks, often) = plane(0);
        assert!(whole == blocks);
        assert!((0.9..1.0).contains(&whole.explained_variance.iter().sum::<f64>()));
        // The centre; each for the products, for the directions and for its coordinates.
        assert_eq!(once, 1 + 3 * 400);
        // 25 blocks of 16, each with all before it.
        assert_eq!(often, 1 + 3 * 400 + 16 * 25 * 24 / 2);
    }

    #[test]
    fn no_plane_is_an_error() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let line = |i: usize| Ok(tree(&[i as f64, 2.0 * i as f64, 1.0]));
        assert!(trajectory_plane(&ctx, 5, 4, line).is_err());
        assert!(trajectory_plane(&ctx, 2, 1, line).is_err());
        assert!(trajectory_plane(&ctx, 5, 5, line).is_err());
        let grows = |i: usize| Ok(tree(&vec![i as f64; i + 1]));
        assert!(trajectory_plane(&ctx, 5, 4, grows).is_err());
        let breaks = |i: usize| Ok(tree(&[i as f64, if i == 2 { f64::NAN } else { 0.0 }]));
        assert!(matches!(trajectory_plane(&ctx, 5, 4, breaks), Err(MethodError::NotFinite { .. })));
    }

    fn common(points: &[&[f64]]) -> Result<PrincipalPlane, MethodError> {
        let executor = Executor::new(1);
        common_plane(&Context::new(&executor, 0), points.len(), |i| Ok(tree(points[i])))
    }

    #[test]
    fn three_networks_lie_in_their_plane() {
        let points: [&[f64]; 3] =
            [&[1.0, 2.0, 3.0, 4.0], &[4.0, 2.0, 7.0, 4.0], &[0.0, 1.0, 5.0, 9.0]];
        let found = common(&points).unwrap();
        assert!((found.x[1] - 5.0).abs() < 1e-13 && found.y[1].abs() < 1e-13 && found.y[2] > 0.0);
        assert!((found.explained_variance.iter().sum::<f64>() - 1.0).abs() < 1e-13);
        let (x, y) = (found.plane.x.flatten(), found.plane.y.as_ref().unwrap().flatten());
        assert!(dot(&x, &y).abs() < 1e-14 && (norm(&y) - 1.0).abs() < 1e-14);
        for (i, point) in points.iter().enumerate() {
            let mut there = points[0].to_vec();
            add_scaled(&mut there, found.x[i], &x);
            add_scaled(&mut there, found.y[i], &y);
            add_scaled(&mut there, -1.0, point);
            assert!(norm(&there) < 1e-13 && found.residual[i] < 1e-13);
        }
        let [a, b, c] = points;
        let message = |points: &[&[f64]]| common(points).unwrap_err().to_string();
        assert!(message(&[a, b, &[2.5, 2.0, 5.0, 4.0]]).ends_with("got points on a line"));
        assert!(message(&[a, a, c]).ends_with("got points on a line"));
        assert!(message(&[a, b, &[f64::NAN; 4]]).starts_with("an element of network 3"));
        assert!(message(&[a, b, &[0.0]]).starts_with("network 3"));
        assert!(message(&[a, c]).ends_with("expected at least 3, got 2"));
    }

    #[test]
    fn more_networks_lie_beside_the_plane_that_is_nearest_to_them() {
        // Along the axes: the nearest plane is that of the longest two.
        let along_axes: [&[f64]; 4] =
            [&[1.0, 1.0, 1.0], &[1.0, 4.0, 1.0], &[1.0, 1.0, 3.0], &[6.0, 1.0, 1.0]];
        let found = common(&along_axes).unwrap();
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-13;
        let all = |found: &[f64], expected: [f64; 4]| {
            found.iter().zip(expected).all(|(found, expected)| near(found.abs(), expected))
        };
        assert!(all(&found.x, [0.0, 3.0, 0.0, 0.0]) && all(&found.y, [0.0, 0.0, 0.0, 5.0]));
        assert!(all(&found.residual, [0.0, 0.0, 2.0, 0.0]) && found.x[1] > 0.0);
        let [x, y] = found.explained_variance;
        assert!(near(x, 9.0 / 38.0) && near(y, 25.0 / 38.0));
        // The second network stands upright on the plane: there is nowhere to turn.
        let upright: [&[f64]; 4] =
            [&[0.0; 3], &[0.0, 0.0, 1.0], &[3.0, 4.0, 0.0], &[-4.0, 3.0, 0.0]];
        let found = common(&upright).unwrap();
        assert!(near(found.x[1].hypot(found.y[1]), 0.0) && near(found.residual[1], 1.0));
        assert!(near(found.x[2].hypot(found.y[2]), 5.0));
    }
}

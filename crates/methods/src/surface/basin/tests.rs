use super::*;
use crate::Function;
use crate::surface::{Ignore, Normalize};
use thalweg_data::Stream;
use thalweg_exec::Executor;

/// Half axes of an ellipsoid, and the logarithm of its volume.
const AXES: [f64; 5] = [0.5, 0.7, 1.0, 1.2, 1.6];

fn ball(n: usize) -> f64 {
    // omega_1 = 2, omega_2 = pi, omega_n = 2 pi / n omega_{n-2}
    match n {
        1 => 2.0f64.ln(),
        2 => PI.ln(),
        n => (2.0 * PI / n as f64).ln() + ball(n - 2),
    }
}

#[test]
fn balls_have_their_volumes() {
    for n in 1..60 {
        let found = log_volume(&[2.0, 2.0, 2.0], n).unwrap();
        let expected = ball(n) + n as f64 * 2.0f64.ln();
        for estimate in [found.estimate, found.bound] {
            assert!((estimate.value - expected).abs() < 1e-12, "{n}: {}", estimate.value);
            assert!(estimate.standard_error < 1e-12);
        }
        assert!((found.effective - 3.0).abs() < 1e-12);
    }
    let far = log_gamma(1e6);
    assert!((far - 12_815_504.569_147_611).abs() < 1e-7, "{far}");
}

/// Distances of the ellipsoid's surface along so many rays.
fn radii(seed: u64, rays: u64) -> Vec<f64> {
    let stream = Stream::new(seed, "ellipsoid");
    let radius = |ray: u64| {
        let u = AXES.iter().enumerate().map(|(i, a)| (stream.at(ray).normal(i as u64), a));
        let (square, own) =
            u.fold((0.0, 0.0), |(square, own), (x, a)| (square + x * x, own + (x / a) * (x / a)));
        f64::sqrt(square / own)
    };
    (0..rays).map(radius).collect()
}

#[test]
fn error_bars_cover_the_volume_of_an_ellipsoid() {
    let n = AXES.len();
    let volume = ball(n) + AXES.iter().map(|a| a.ln()).sum::<f64>();
    // What the bound and the mean radius are in expectation.
    let many = radii(1 << 32, 400_000);
    let bound = log_volume(&many, n).unwrap().bound.value;
    let truth = [volume, bound, Estimate::mean(&many).unwrap().value];
    assert!(bound < volume - 0.1);
    for rays in [64, 200] {
        let (mut inside, mut bias) = ([0; 3], 0.0);
        for seed in 0..200 {
            let radius = radii(seed, rays);
            let found = log_volume(&radius, n).unwrap();
            let mean = Estimate::mean(&radius).unwrap();
            for (which, estimate) in [found.estimate, found.bound, mean].into_iter().enumerate() {
                let interval = estimate.interval(0.95).unwrap();
                inside[which] += usize::from(interval.contains(truth[which]));
            }
            bias += (found.estimate.value - volume) / found.estimate.standard_error / 200.0;
            assert!(found.effective > 0.2 * rays as f64);
        }
        assert!(inside.iter().all(|n| (180..=198).contains(n)), "{rays}: {inside:?}");
        assert!(bias.abs() < 0.3, "{rays}: {bias}");
    }
}

/// `sum (w_i / a_i)^2`, whose basin of rise one is the ellipsoid.
fn bowl() -> (Function, Weights) {
    let function = Function::new(DType::F64, &[("w", &[5])], |builder, w| {
        let scales = AXES.map(|a| 1.0 / a);
        let scales = builder.constant(Array::vector(&scales));
        (w[0] * scales).square().sum_all()
    });
    let point = function.point(&[0.0; 5]).unwrap();
    (function, point)
}

#[test]
fn rays_leave_where_the_loss_has_risen() {
    let (function, point) = bowl();
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 3).with_precision(DType::F64).unwrap();
    let directions = DirectionConfig { normalize: Normalize::None, ignore: Ignore::default() };
    let config = BasinConfig { rays: 100, rise: 1.0, directions, reach: 2.0 };
    let found = basin(&ctx, &function, &point, &config).unwrap();
    let truth = ball(5) + AXES.iter().map(|a| a.ln()).sum::<f64>();
    let error = (found.log_volume.value - truth) / found.log_volume.standard_error;
    assert!(error.abs() < 3.0, "{error}");
    assert_eq!((found.not_left, found.not_finite, found.dimension), (0, 0, 5));
    // Every radius by its own formula.
    let stream = ctx.stream("basin");
    for (ray, radius) in found.radius.iter().enumerate() {
        let draws = stream.at(ray as u64).child("w");
        let u: Vec<f64> = (0..5).map(|i| draws.normal(i)).collect();
        let squares = u.iter().zip(AXES).map(|(u, a)| (u / a).powi(2)).sum::<f64>();
        let expected = vector::norm(&u) / squares.sqrt();
        assert!((radius / expected - 1.0).abs() < 1e-6, "{ray}: {radius} {expected}");
    }
    // Rays that end inside say so, and count with what they saw.
    let short = BasinConfig { reach: 0.1, ..config };
    let short = basin(&ctx, &function, &point, &short).unwrap();
    assert_eq!(short.not_left, 100);
    assert!(short.radius.iter().all(|r| (r - 0.1 * 5f64.sqrt()).abs() < 1e-12));
}

#[test]
fn walls_end_rays_and_units_follow_the_weights() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 3).with_precision(DType::F64).unwrap();
    // A wall at distance one of the first of two weights that lie at 3.
    let walled = Function::new(DType::F64, &[("w", &[1, 2])], |_, w| {
        (1.0 - (w[0] - 3.0).square().sum_all()).sqrt()
    });
    let point = walled.point(&[3.0, 3.0]).unwrap();
    let plain = DirectionConfig { normalize: Normalize::None, ignore: Ignore::default() };
    let config = BasinConfig { rays: 4, rise: 0.5, directions: plain, reach: 4.0 };
    let found = basin(&ctx, &walled, &point, &config).unwrap();
    assert_eq!(found.not_finite, 4);
    assert!(found.radius.iter().all(|r| (r - 1.0).abs() < 2e-3), "{:?}", found.radius);
    // In units of the weights the wall is a third as far, and no scale of the weights is seen. A
    // filter has one weight, and the whole two.
    for (normalize, distance) in [
        (Normalize::Filter, 1.0 / 3.0),
        (Normalize::Weight, 1.0 / 3.0),
        (Normalize::UnitFilter, 1.0),
        (Normalize::UnitLayer, 2f64.sqrt()),
        (Normalize::UnitSphere, 2f64.sqrt()),
    ] {
        let directions = DirectionConfig { normalize, ignore: Ignore::default() };
        let found = basin(&ctx, &walled, &point, &BasinConfig { directions, ..config }).unwrap();
        let near = |r: &f64| (r / distance - 1.0).abs() < 3e-3;
        assert!(found.radius.iter().all(near), "{normalize}: {:?}", found.radius);
    }
}

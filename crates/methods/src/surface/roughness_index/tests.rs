use super::*;
use crate::Function;
use crate::common::vector;
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_graph::Tensor;

fn of(
    config: &RoughnessConfig,
    at: &[f64; 4],
    traced: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b> + Send + Sync + 'static,
) -> Roughness {
    let function = Function::new(DType::F64, &[("w", &[2, 2])], move |_, w| traced(w[0]));
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    roughness_index(&ctx, &function, &function.point(at).unwrap(), config).unwrap()
}

fn gaussian() -> RoughnessConfig {
    RoughnessConfig { normalize: Normalize::None, ..RoughnessConfig::default() }
}

#[test]
fn at_a_minimum_every_line_turns_once() {
    let found = of(&gaussian(), &[0.0; 4], |w| w.square().sum_all());
    assert!(found.variations.iter().all(|v| (v * 0.01 - 1.0).abs() < 1e-9));
    assert!(found.index.value < 1e-9 && found.turning == 1.0);
}

#[test]
fn without_the_range_the_index_of_a_bowl_is_that_of_its_curvatures() {
    // T_j = l^2 d^T H d for Gaussian d: mean tr H, variance 2 tr H^2.
    let lines = RoughnessConfig { directions: 1500, divisor: Divisor::Length, ..gaussian() };
    fn bowl(w: Tensor<'_>) -> Tensor<'_> {
        let root = w.builder().constant(Array::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap());
        (w.square() * root).sum_all() * 0.5
    }
    let found = of(&lines, &[0.0; 4], bowl);
    let expected = (2.0f64 * 30.0).sqrt() / 10.0;
    let off = (found.index.value - expected) / found.index.standard_error;
    assert!(off.abs() < 3.0, "{} {expected}", found.index.value);
    let mean = found.mean.value * 2.0 * 0.01 / (0.01 * 0.01);
    assert!((mean - 10.0).abs() < 4.0 * found.mean.standard_error * 200.0, "{mean}");
    let whole = of(&RoughnessConfig { divisor: Divisor::One, ..lines }, &[0.0; 4], bowl);
    assert!((whole.index.value - found.index.value).abs() < 1e-12);
}

/// How often the bar of the index and its interval hold the index of very many lines, each drawn from
/// a stream of its own.
fn covered(divisor: Divisor, draw: impl Fn(&Stream) -> (f64, f64)) -> [usize; 2] {
    let config = RoughnessConfig { divisor, ..gaussian() };
    let lines = |seed: u64, lines: u64| -> Vec<Line> {
        let stream = Stream::new(seed, "lines");
        let line = |j: u64| {
            let (total, range) = draw(&stream.at(j));
            Line::Varies { total, range }
        };
        (0..lines).map(line).collect()
    };
    let executor = Executor::new(1);
    let read = |seed: u64, lines: &[Line]| {
        summarize(&Context::new(&executor, seed), &config, lines).unwrap()
    };
    let many = lines(1 << 32, 400_000);
    let variation = |line: &Line| match (line, divisor) {
        (Line::Varies { total, range }, Divisor::LengthAndRange) => total / range,
        (Line::Varies { total, .. }, _) => *total,
        _ => f64::NAN,
    };
    let truth = relative_spread(&many.iter().map(variation).collect::<Vec<_>>());
    let mut covered = [0; 2];
    for seed in 0..200 {
        let found = read(seed, &lines(seed, 50));
        covered[0] += usize::from(found.index.interval(0.95).unwrap().contains(truth));
        covered[1] += usize::from(found.interval.contains(truth));
    }
    covered
}

#[test]
fn bars_of_the_index_cover() {
    // A slope and a curvature: lines on which the loss turns, and others on which it does not.
    let parabola = |draws: &Stream| {
        let (slope, curvature) = (draws.normal(0), 1.0 + draws.normal(1).powi(2));
        let (left, right) = (0.5 * curvature - slope, 0.5 * curvature + slope);
        let turn = -slope / curvature;
        let lowest = if turn.abs() < 1.0 { -0.5 * slope * slope / curvature } else { f64::NAN };
        let low = left.min(right).min(lowest);
        let total =
            if turn.abs() < 1.0 { left + right - 2.0 * lowest } else { (left - right).abs() };
        (total, left.max(right) - low)
    };
    // The middle of a bowl: the curvatures along the lines, a sum of squares.
    let bowl = |draws: &Stream| {
        let total = (0..12).map(|i| (1.0 + i as f64) * draws.normal(i).powi(2)).sum::<f64>();
        (total, total)
    };
    let found = [covered(Divisor::LengthAndRange, parabola), covered(Divisor::Length, bowl)];
    assert!(found.concat().iter().all(|count| (180..=198).contains(count)), "{found:?}");
}

#[test]
fn a_linear_loss_is_monotone() {
    let found = of(&gaussian(), &[1.0, 2.0, 3.0, 4.0], |w| w.sum_all() * 3.0);
    assert!(found.variations.iter().all(|v| (v * 0.02 - 1.0).abs() < 1e-9));
    assert!(found.index.value < 1e-9 && found.turning == 0.0);
    assert_eq!((found.flat, found.not_finite, found.variations.len()), (0, 0, 50));
}

#[test]
fn the_index_does_not_know_the_scale_of_the_loss() {
    let at = [0.5, -1.0, 0.3, 0.8];
    fn loss(w: Tensor<'_>) -> Tensor<'_> {
        (w * 300.0).sin().sum_all() + w.square().sum_all()
    }
    let one = of(&RoughnessConfig::default(), &at, loss);
    let other = of(&RoughnessConfig::default(), &at, |w| loss(w) * 7.0 + 5.0);
    assert!(one.index.value > 0.05 && one.turning > 0.5);
    assert!((one.index.value - other.index.value).abs() < 1e-9);
    assert!(one.interval.contains(one.index.value) && one.index.standard_error > 0.0);
}

#[test]
fn what_is_flat_or_not_finite_is_counted() {
    let flat = of(&gaussian(), &[1.0; 4], |w| w.sum_all() * 0.0 + 2.0);
    assert_eq!((flat.flat, flat.variations.len()), (50, 50));
    assert!(flat.index.value.is_nan() && flat.variations.iter().all(|v| v.is_nan()));
    let broken = of(&gaussian(), &[0.0; 4], |w| w.sqrt().sum_all());
    assert_eq!(broken.not_finite, 50);
}

#[test]
fn lines_that_are_left_out_keep_their_place() {
    // From the middle a line of half width 0.01 goes where a root is not finite if an element of
    // its direction is larger than one.
    fn edge(w: Tensor<'_>) -> Tensor<'_> {
        (w + 0.01).sqrt().sum_all()
    }
    let found = of(&gaussian(), &[0.0; 4], edge);
    let kept = found.variations.iter().filter(|v| v.is_finite()).count();
    assert!(found.not_finite > 0 && kept > 1 && kept + found.not_finite == 50);
    // Line j is that of its own draws, whoever is left out before it.
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let function = Function::new(DType::F64, &[("w", &[2, 2])], |_, w| edge(w[0]));
    let point = function.point(&[0.0; 4]).unwrap();
    for (j, found) in found.variations.iter().enumerate() {
        let direction = line(&ctx, &function, &point, &gaussian(), j).unwrap().flatten();
        let reaches = direction.iter().any(|d| d.abs() > 1.0);
        assert_eq!(found.is_nan(), reaches, "line {j}: {direction:?}");
    }
}

#[test]
fn a_line_of_the_unit_sphere_has_length_one_without_arrays_of_one_axis() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let shapes: [(&str, &[usize]); 2] = [("w", &[2, 2]), ("b", &[2])];
    let function = Function::new(DType::F64, &shapes, |_, w| {
        w[0].square().sum_all() + w[1].square().sum_all()
    });
    let point = function.point(&[0.0, 0.0, 0.0, 3.0, 1.0, 1.0]).unwrap();
    let sphere = RoughnessConfig { normalize: Normalize::UnitSphere, ..gaussian() };
    let [unit, gaussian] = [sphere, gaussian()]
        .map(|config| line(&ctx, &function, &point, &config, 3).unwrap().flatten());
    let length = vector::norm(&gaussian);
    for (unit, gaussian) in unit.iter().zip(&gaussian) {
        assert!((unit - gaussian / length).abs() < 1e-15);
    }
    assert_eq!(&unit[4..], [0.0, 0.0]);
    // At the middle of a bowl all lines turn once, however long they are.
    let bowl = of(&sphere, &[0.0; 4], |w| w.square().sum_all());
    assert!(bowl.index.value < 1e-9 && bowl.turning == 1.0);
}

#[test]
fn lines_of_two_points_are_paired_only_where_none_is_left_out() {
    let terms = |reading: &Roughness| -> Vec<bool> {
        RoughnessIndex::quantities(reading).iter().map(|q| q.terms.is_some()).collect()
    };
    let whole = of(&gaussian(), &[0.5; 4], |w| w.square().sum_all());
    assert_eq!(terms(&whole), [false, true]);
    assert_eq!(terms(&Roughness { flat: 1, ..whole.clone() }), [false, false]);
    assert_eq!(terms(&Roughness { not_finite: 1, ..whole }), [false, false]);
}

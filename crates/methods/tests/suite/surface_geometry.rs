//! Slopes, curvatures, convexity and basins against other ways to get them, and the same bits whatever
//! the chunks, threads and interruptions.

use crate::common::{Dying, SEEDS, exact, honest, model, on_digits, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, gradient, symmetric_eigen, vector::dot};
use thalweg_methods::curvature::Hessian;
use thalweg_methods::surface::{
    BasinConfig, ConvexityConfig, DirectionConfig, Plane, basin, convexity_map, osculating,
    random_planes, surface,
};
use thalweg_methods::{BatchNorm, Context, MethodError, ModelObjective, ObjectiveConfig, Status};
use thalweg_nn::Weights;

fn setting<'a>(
    ctx: &Context<'a>,
    text: &str,
    samples: usize,
    batch_norm: BatchNorm,
) -> (ModelObjective, Weights, Plane) {
    let model = model(text, &[8, 8, 1], 10);
    let config = ObjectiveConfig { batch_norm, batch: 30, ..ObjectiveConfig::default() };
    let objective = on_digits(ctx, &model, Some(samples), &config);
    let point = weights(&model, ctx.precision());
    let planes = random_planes(ctx, &objective, &point, &DirectionConfig::default(), 1, true);
    (objective, point, planes.unwrap().remove(0))
}

#[test]
fn slope_and_curvature_are_those_of_gradient_and_hessian_and_of_differences() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    for (text, batch_norm) in [
        ("mlp hidden=7 activation=tanh", BatchNorm::Frozen),
        ("resnet depth=8 width=2", BatchNorm::Frozen),
        ("resnet depth=8 width=2", BatchNorm::Batch),
    ] {
        let (objective, point, plane) = setting(&ctx, text, 50, batch_norm);
        let found = osculating(&ctx, &objective, &point, &plane.x, &[0.0]).unwrap()[0];
        let d = plane.x.flatten();
        let at = gradient(&ctx, &objective, &point).unwrap();
        let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
        let slope = dot(&at.gradient, &d);
        let curvature = dot(&hessian.product(&d).unwrap(), &d);
        assert!((found.loss.value - at.at.loss).abs() < 1e-12, "{text}");
        let scale = slope.abs().max(1.0);
        assert!((found.slope.value - slope).abs() < 1e-10 * scale, "{text} {found:?} {slope}");
        let scale = curvature.abs().max(1.0);
        let off = (found.curvature.value - curvature).abs();
        assert!(off < 1e-9 * scale, "{text}: {found:?} {curvature}");
        assert!(found.slope.standard_error > 0.0 && found.curvature.standard_error > 0.0);
    }
    // Away from the centre, by differences of a surface's own losses; a smooth network.
    let (objective, point, plane) =
        setting(&ctx, "mlp hidden=7 activation=tanh", 50, BatchNorm::Frozen);
    let h = 1e-3;
    let at = [0.4 - h, 0.4, 0.4 + h];
    let line = [Plane { x: plane.x.clone(), y: None }];
    let loss = surface(&ctx, &objective, &point, &line, &at, &[0.0]).unwrap().loss;
    let found = osculating(&ctx, &objective, &point, &plane.x, &at).unwrap()[1];
    assert!((found.loss.value - loss[1]).abs() < 1e-13);
    assert!((found.slope.value - (loss[2] - loss[0]) / (2.0 * h)).abs() < 1e-5);
    let second = (loss[2] - 2.0 * loss[1] + loss[0]) / (h * h);
    assert!((found.curvature.value - second).abs() < 1e-4, "{found:?} {second}");
}

#[test]
fn the_standard_error_of_a_curvature_covers_that_of_all_data() {
    let executor = Executor::new(2);
    let model = model("mlp hidden=6 activation=tanh", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let config = ObjectiveConfig::default();
    let ctx = Context::new(&executor, 0);
    let all = on_digits(&ctx, &model, None, &config);
    let planes = random_planes(&ctx, &all, &point, &DirectionConfig::default(), 1, false).unwrap();
    let at = |objective: &ModelObjective| {
        osculating(&ctx, objective, &point, &planes[0].x, &[0.0]).unwrap()[0]
    };
    let truth = at(&all);
    assert_eq!(truth.curvature.standard_error, 0.0);
    let mut inside = [0; 2];
    for seed in 0..SEEDS {
        let some = on_digits(&Context::new(&executor, seed), &model, Some(200), &config);
        let found = at(&some);
        let pairs = [(found.slope, truth.slope), (found.curvature, truth.curvature)];
        for (inside, (found, truth)) in inside.iter_mut().zip(pairs) {
            let error = (found.value - truth.value).abs();
            *inside += usize::from(error < 1.96 * found.standard_error);
        }
    }
    for (what, count) in ["slope", "curvature"].into_iter().zip(inside) {
        honest(what, count);
    }
}

#[test]
fn extreme_eigenvalues_are_those_of_the_whole_matrix() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let (objective, point, plane) =
        setting(&ctx, "mlp hidden=2 activation=tanh", 50, BatchNorm::Frozen);
    let (x, y) = ([-0.5, 0.0, 2.0], [0.0, 1.0]);
    let config = ConvexityConfig { tolerance: 1e-6, max_products: 200 };
    let found = convexity_map(&ctx, &objective, &point, &plane, (&x, &y), &config).unwrap();
    assert!(found.converged.iter().all(|converged| *converged), "{found:?}");
    let (ratios, bounds) = (found.ratio(), found.ratio_error());
    for (index, (y, x)) in y.iter().flat_map(|y| x.iter().map(move |x| (y, x))).enumerate() {
        let parameters = point.parameters.add_scaled(*x, &plane.x).unwrap();
        let parameters = parameters.add_scaled(*y, plane.y.as_ref().unwrap()).unwrap();
        let at = Weights { parameters, buffers: point.buffers.clone() };
        let hessian = Hessian::new(&ctx, &objective, &at).unwrap();
        let n = hessian.dimension();
        let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
        let rows = hessian.apply(&(0..n).map(unit).collect::<Vec<_>>()).unwrap();
        let values = symmetric_eigen(&rows).values;
        let (low, high) = (values[0], values[n - 1]);
        assert!((found.largest[index] - high).abs() < 1e-8 * high, "{index}");
        assert!((found.smallest[index] - low).abs() < 1e-8 * high, "{index}");
        let ratio = (low / high).abs();
        assert!((ratios[index] - ratio).abs() <= bounds[index] + 1e-9, "{index}");
    }
}

#[test]
fn maps_and_basins_go_on_with_the_same_bits() {
    let executors = [1, 3].map(Executor::new);
    let run = |ctx: &Context<'_>| -> Result<_, MethodError> {
        let (objective, point, plane) = setting(ctx, "mlp hidden=4", 40, BatchNorm::Frozen);
        let config = ConvexityConfig::default();
        let grid = [-1.0, 0.0, 1.0];
        let map = convexity_map(ctx, &objective, &point, &plane, (&grid, &[0.0]), &config)?;
        let config = BasinConfig { rays: 3, ..BasinConfig::default() };
        let rays = basin(ctx, &objective, &point, &config)?;
        let at: Vec<f64> = (0..20).map(|i| f64::from(i) / 10.0 - 1.0).collect();
        let line = osculating(ctx, &objective, &point, &plane.x, &at)?;
        Ok((map, rays, line))
    };
    let undisturbed = run(&Context::new(&executors[0], 5)).unwrap();
    assert!(undisturbed.0.status.iter().all(|status| *status == Status::Computed));
    for units in [0, 1, 3, 5, 8] {
        let store = Dying::after(units);
        let killed = run(&Context::new(&executors[0], 5).with_units(&store));
        assert_eq!(killed, Err(MethodError::Interrupted), "{units}");
        let store = store.revived();
        let ctx = Context::new(&executors[1], 5).with_units(&store).with_memory(4 << 20);
        assert_eq!(run(&ctx).unwrap(), undisturbed, "killed after {units} units");
    }
}

#[test]
fn points_without_a_hessian_are_a_status() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0);
    let (objective, point, plane) = setting(&ctx, "mlp hidden=4-4", 40, BatchNorm::Frozen);
    let line = Plane { x: plane.x, y: None };
    let config = ConvexityConfig::default();
    let at = ([0.0, 1e20], [0.0]);
    let found = convexity_map(&ctx, &objective, &point, &line, (&at.0, &at.1), &config).unwrap();
    assert_eq!(found.status, [Status::Computed, Status::NotFinite]);
    assert!(found.ratio()[1].is_nan());
    let broken = ConvexityConfig { max_products: 1, ..config };
    assert!(convexity_map(&ctx, &objective, &point, &line, (&at.0, &at.1), &broken).is_err());
}

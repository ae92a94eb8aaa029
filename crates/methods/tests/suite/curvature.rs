//! Curvature against closed forms, and its invariances.

use crate::common::{Dying, exact, labelled, model, on_digits, planted, valued, weights};
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, gradient, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Hessian, HutchinsonConfig, LanczosConfig, LobpcgConfig, dense, exact_moments, hutchinson,
    lanczos, lobpcg,
};
use thalweg_methods::sharpness::{SharpnessConfig, sam_sharpness};
use thalweg_methods::{
    BatchNorm, Context, Function, MethodError, ModelObjective, Objective, ObjectiveConfig,
};
use thalweg_nn::Loss;

fn close(a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) {
    assert_eq!((a.len(), a[0].len()), (b.len(), b[0].len()));
    let worst =
        a.iter().flatten().zip(b.iter().flatten()).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= tolerance, "{worst}");
}

#[test]
fn least_squares_has_the_design_matrix_as_hessian() {
    let (n, d) = (50, 7);
    let (inputs, rows) = planted(n, d);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("linear bias=false", &[d], 1);
    // Batches of 16, so that the last one is smaller.
    let config = ObjectiveConfig { batch: 16, ..ObjectiveConfig::default() };
    let loss = Loss::HalfSquaredError;
    let objective =
        ModelObjective::new(&ctx, &model, loss, &valued(&inputs), None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    let found = dense(&ctx, &hessian).unwrap();
    let expected: Vec<Vec<f64>> = (0..d)
        .map(|i| (0..d).map(|j| rows.iter().map(|x| x[i] * x[j]).sum::<f64>() / n as f64).collect())
        .collect();
    close(found.rows(), &expected, 1e-10);
    let trace: f64 = (0..d).map(|i| expected[i][i]).sum();
    let moments = exact_moments(&ctx, &hessian).unwrap();
    assert!((moments.trace - trace).abs() < 1e-10);
    let frobenius: f64 = expected.iter().flatten().map(|x| x * x).sum();
    assert!((moments.frobenius_squared - frobenius).abs() < 1e-10);
}

/// Of several outputs it is that matrix once for each, `H = (2/k) X^T X / n (x) I`, and each eigenvalue as
/// often.
#[test]
fn least_squares_of_several_outputs_has_each_eigenvalue_as_often() {
    let (n, d, k) = (50, 7, 10);
    let (inputs, rows) = planted(n, d);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("linear bias=false", &[d], k);
    let config = ObjectiveConfig::default();
    let data = labelled(&inputs, k);
    let loss = Loss::MeanSquaredError;
    let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    let entry =
        |i: usize, j: usize| rows.iter().map(|x| x[i] * x[j]).sum::<f64>() * 2.0 / (n * k) as f64;
    let matrix: Vec<Vec<f64>> = (0..d).map(|i| (0..d).map(|j| entry(i, j)).collect()).collect();
    let values = symmetric_eigen(&matrix).values;
    for (top, bottom) in [(5, 3), (12, 0)] {
        let config = LanczosConfig { top, bottom, tolerance: 1e-6, ..LanczosConfig::default() };
        let found = lanczos(&ctx, &hessian, &config).unwrap();
        assert!(found.converged);
        for (i, pair) in found.top.iter().enumerate() {
            assert!((pair.value - values[d - 1 - i / k]).abs() < 1e-6, "{:?}", found.top[i].value);
        }
        assert!(found.bottom.iter().all(|pair| (pair.value - values[0]).abs() < 1e-6));
    }
}

#[test]
fn softmax_regression_has_its_closed_form() {
    let (n, d, k) = (40, 4, 3);
    let (inputs, rows) = planted(n, d);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("linear bias=false", &[d], k);
    let config = ObjectiveConfig::default();
    let data = labelled(&inputs, k);
    let objective =
        ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let w = point.parameters.flatten();
    // H = 1/n sum of x x^T (x) (diag p - p p^T), weights stored [feature, class].
    let mut expected = vec![vec![0.0; d * k]; d * k];
    for x in &rows {
        let logits: Vec<f64> = (0..k).map(|c| (0..d).map(|i| x[i] * w[i * k + c]).sum()).collect();
        let powers: Vec<f64> = logits.iter().map(|z: &f64| z.exp()).collect();
        let total: f64 = powers.iter().sum();
        let p: Vec<f64> = powers.iter().map(|e| e / total).collect();
        for (row, line) in expected.iter_mut().enumerate() {
            for (column, entry) in line.iter_mut().enumerate() {
                let (i, a, j, b) = (row / k, row % k, column / k, column % k);
                let same = if a == b { p[a] } else { 0.0 };
                *entry += x[i] * x[j] * (same - p[a] * p[b]) / n as f64;
            }
        }
    }
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    close(dense(&ctx, &hessian).unwrap().rows(), &expected, 1e-10);
}

#[test]
fn a_scalar_net_has_its_two_eigenvalues() {
    // 1/2 (a b x - y)^2 with x = y = 1, on the valley ab = 1.
    let net = Function::new(DType::F64, &[("a", &[]), ("b", &[])], |_, w| {
        (w[0] * w[1] - 1.0).square() * 0.5
    });
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    for a in [0.5, 1.0, 3.0] {
        let b = 1.0 / a;
        let hessian = Hessian::new(&ctx, &net, &net.point(&[a, b]).unwrap()).unwrap();
        let config = LanczosConfig { top: 2, tolerance: 1e-12, ..LanczosConfig::default() };
        let found = lanczos(&ctx, &hessian, &config).unwrap();
        assert!((found.top[0].value - (a * a + b * b)).abs() < 1e-12);
        assert!(found.top[1].value.abs() < 1e-12);
    }
}

#[test]
fn rosenbrock_at_its_minimum() {
    let rosenbrock = Function::new(DType::F64, &[("w", &[2])], |_, w| {
        let (x, y) = (w[0].index(0, 0), w[0].index(0, 1));
        (1.0 - x).square() + (y - x.square()).square() * 100.0
    });
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let point = rosenbrock.point(&[1.0, 1.0]).unwrap();
    let hessian = Hessian::new(&ctx, &rosenbrock, &point).unwrap();
    // [[802, -400], [-400, 200]].
    let config = LanczosConfig { top: 1, bottom: 1, tolerance: 1e-12, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &hessian, &config).unwrap();
    assert!((found.top[0].value - 1001.6006).abs() < 1e-4);
    assert!((found.bottom[0].value - 0.39936).abs() < 1e-5);
    assert!(found.converged);
    // A step of rho along a zero gradient goes nowhere.
    let sharpness = sam_sharpness(&ctx, &rosenbrock, &point, &SharpnessConfig::default()).unwrap();
    assert_eq!((sharpness.value, sharpness.examples), (0.0, vec![0.0]));
}

#[test]
fn sharpness_of_a_parabola() {
    // 3/2 w^2 at w = 2 rises by 6 rho + 3/2 rho^2.
    let parabola = Function::new(DType::F64, &[("w", &[])], |_, w| w[0].square() * 1.5);
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let point = parabola.point(&[2.0]).unwrap();
    let found = sam_sharpness(&ctx, &parabola, &point, &SharpnessConfig::default()).unwrap();
    assert!((found.value - (6.0 * 0.05 + 1.5 * 0.0025)).abs() < 1e-14);
    assert_eq!((found.loss, found.examples), (6.0, vec![found.value]));
}

const MLP: &str = "mlp hidden=6 activation=tanh";

#[test]
fn lanczos_and_hutchinson_agree_with_the_dense_matrix() {
    let (inputs, _) = planted(60, 5);
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model(MLP, &[5], 3);
    let config = ObjectiveConfig { batch: 25, ..ObjectiveConfig::default() };
    let data = labelled(&inputs, 3);
    let objective =
        ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config).unwrap();
    let point = weights(&model, DType::F64);
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    let matrix = dense(&ctx, &hessian).unwrap();
    let n = matrix.dimension();
    let all = symmetric_eigen(matrix.rows()).values;
    let config = LanczosConfig { top: 5, bottom: 3, tolerance: 1e-9, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &hessian, &config).unwrap();
    assert!(found.converged);
    for (i, pair) in found.top.iter().enumerate() {
        assert!((pair.value - all[n - 1 - i]).abs() < 1e-8);
        let mut image = hessian.product(&pair.vector).unwrap();
        vector::add_scaled(&mut image, -pair.value, &pair.vector);
        assert!((vector::norm(&image) - pair.residual).abs() < 1e-12);
    }
    for (i, pair) in found.bottom.iter().enumerate() {
        assert!((pair.value - all[i]).abs() < 1e-8);
    }
    let trace: f64 = all.iter().sum();
    let squares: f64 = all.iter().map(|v| v * v).sum();
    let probes = |probes| HutchinsonConfig { probes, ..HutchinsonConfig::default() };
    let estimate = hutchinson(&ctx, &hessian, &[], &probes(200)).unwrap();
    assert!((estimate.trace.value - trace).abs() < 4.0 * estimate.trace.standard_error);
    assert!(estimate.trace.standard_error < 0.2 * trace.abs());
    let norm = estimate.frobenius_squared;
    assert!((norm.value - squares).abs() < 4.0 * norm.standard_error);
    // The eigenpairs leave a smaller error to as many probes.
    let known = [found.top, found.bottom].concat();
    let deflated = hutchinson(&ctx, &hessian, &known, &probes(200)).unwrap().trace;
    assert!((deflated.value - trace).abs() < 4.0 * deflated.standard_error);
    assert!(deflated.standard_error < 0.8 * estimate.trace.standard_error, "{deflated:?}");
}

/// In f32, where products are symmetric only to rounding, and through restarts.
#[test]
fn residuals_are_those_of_the_vectors_returned() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0);
    let model = model("resnet depth=8 width=4", &[8, 8, 1], 10);
    let objective = on_digits(&ctx, &model, Some(64), &ObjectiveConfig::default());
    let point = weights(&model, DType::F32);
    let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
    for (top, max_products) in [(3, 12), (3, 300), (40, 300)] {
        let config = LanczosConfig { top, max_products, ..LanczosConfig::default() };
        let found = lanczos(&ctx, &hessian, &config).unwrap();
        assert!(found.converged == (max_products == 300), "{top} of {max_products}");
        let scale = found.top[0].value;
        for pair in &found.top {
            let mut image = hessian.product(&pair.vector).unwrap();
            assert!((vector::dot(&image, &pair.vector) - pair.value).abs() < 1e-5 * scale);
            vector::add_scaled(&mut image, -pair.value, &pair.vector);
            let residual = vector::norm(&image);
            assert!((residual - pair.residual).abs() < 1e-5 * scale, "{residual} {pair:?}");
        }
    }
}

/// `(grad L(w + e v) - grad L(w - e v)) / 2 e` against `H v`, in each mode of batch normalisation.
#[test]
fn hessian_products_are_differences_of_gradients() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("resnet depth=8 width=2 activation=tanh", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let stream = Stream::new(0, "direction");
    let n = model.parameter_count();
    let v: Vec<f64> = (0..n as u64).map(|i| stream.normal(i)).collect();
    let direction = point.parameters.unflatten(&v).unwrap();
    for batch_norm in BatchNorm::ALL {
        let config = ObjectiveConfig { batch: 24, batch_norm, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(40), &config);
        let product = Hessian::new(&ctx, &objective, &point).unwrap().product(&v).unwrap();
        if batch_norm == BatchNorm::Recalibrated {
            // Held statistics are not those of the moved points, so differences do not apply.
            let frozen = on_digits(
                &ctx,
                &model,
                Some(40),
                &ObjectiveConfig { batch_norm: BatchNorm::Frozen, ..config },
            );
            let other = Hessian::new(&ctx, &frozen, &point).unwrap().product(&v).unwrap();
            assert_ne!(product, other);
            continue;
        }
        let e = 1e-5;
        let moved = |by: f64| {
            let parameters = point.parameters.add_scaled(by, &direction).unwrap();
            let at = thalweg_nn::Weights { parameters, buffers: point.buffers.clone() };
            gradient(&ctx, &objective, &at).unwrap().gradient
        };
        let mut difference = moved(e);
        vector::add_scaled(&mut difference, -1.0, &moved(-e));
        vector::scale(&mut difference, 0.5 / e);
        let size = vector::norm(&difference);
        vector::add_scaled(&mut difference, -1.0, &product);
        let error = vector::norm(&difference) / size;
        assert!(error < 1e-6, "{batch_norm}: {error}");
    }
}

#[test]
fn threads_batches_of_directions_and_budgets_change_no_bit() {
    let pairs = |threads: usize, memory: usize| {
        let executor = Executor::new(threads);
        let ctx = Context::new(&executor, 0).with_memory(memory);
        let model = model("resnet depth=8 width=4", &[8, 8, 1], 10);
        let config = ObjectiveConfig { batch: 64, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(100), &config);
        let point = weights(&model, DType::F32);
        let hessian = Hessian::new(&ctx, &objective, &point).unwrap();
        let config = HutchinsonConfig { probes: 10, ..HutchinsonConfig::default() };
        let trace = hutchinson(&ctx, &hessian, &[], &config).unwrap();
        let config = LanczosConfig { top: 1, max_products: 6, ..LanczosConfig::default() };
        let found = lanczos(&ctx, &hessian, &config).unwrap();
        (hessian.members(), trace, found)
    };
    let whole = pairs(1, 1 << 30);
    for (threads, memory) in [(2, 1 << 30), (3, 1 << 30), (2, 6 << 20)] {
        let other = pairs(threads, memory);
        assert_eq!((&whole.1, &whole.2), (&other.1, &other.2), "{threads} threads, {memory}");
        if memory < 1 << 30 {
            assert!(other.0 < whole.0, "{} directions at once", other.0);
        }
    }
}

#[test]
fn too_little_memory_is_said_before_anything_runs() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_memory(1000);
    let model = model("resnet depth=8 width=4", &[8, 8, 1], 10);
    let objective = on_digits(&ctx, &model, Some(100), &ObjectiveConfig::default());
    let point = weights(&model, DType::F32);
    let message = Hessian::new(&ctx, &objective, &point).err().unwrap().to_string();
    assert!(message.starts_with("one Hessian product needs "), "{message}");
    assert!(message.ends_with(" bytes of memory at least, and the budget is 1000"), "{message}");
}

#[test]
fn what_is_computed_again_for_lack_of_memory_has_the_same_bits() {
    let executor = Executor::new(2);
    let model = model("resnet depth=8 width=4", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    type Found = Result<Vec<f64>, MethodError>;
    let product = |memory: usize| -> Found {
        let ctx = Context::new(&executor, 0).with_memory(memory);
        let objective = on_digits(&ctx, &model, Some(64), &ObjectiveConfig::default());
        Hessian::new(&ctx, &objective, &point)?.product(&point.parameters.flatten())
    };
    let slope = |memory: usize| -> Found {
        let ctx = Context::new(&executor, 0).with_memory(memory);
        let objective = on_digits(&ctx, &model, Some(64), &ObjectiveConfig::default());
        Ok(gradient(&ctx, &objective, &point)?.gradient)
    };
    let both: [&dyn Fn(usize) -> Found; 2] = [&product, &slope];
    for of in both {
        let Err(MethodError::Memory { needed, .. }) = of(1000) else {
            panic!("1000 bytes are too few")
        };
        let whole = of(1 << 30).unwrap();
        for memory in [needed, needed + needed / 4] {
            assert_eq!(of(memory).unwrap(), whole, "{memory} of at least {needed}");
        }
    }
}

#[test]
fn a_killed_iteration_goes_on_with_the_same_bits() {
    let executor = Executor::new(2);
    let model = model(MLP, &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let run = |ctx: &Context<'_>| {
        let objective = on_digits(ctx, &model, Some(64), &ObjectiveConfig::default());
        let hessian = Hessian::new(ctx, &objective, &point)?;
        let config = LanczosConfig { top: 2, bottom: 1, ..LanczosConfig::default() };
        let pairs = lanczos(ctx, &hessian, &config)?;
        let config = LobpcgConfig { pairs: 2, max_products: 40, ..LobpcgConfig::default() };
        let block = lobpcg(ctx, &hessian, None, None, &config)?;
        let probes = HutchinsonConfig { probes: 20, ..HutchinsonConfig::default() };
        let trace = hutchinson(ctx, &hessian, &[], &probes)?;
        Ok::<_, thalweg_methods::MethodError>((pairs, block, trace))
    };
    let undisturbed = run(&Context::new(&executor, 5)).unwrap();
    let first = undisturbed.0.products;
    for units in [0, 1, 7, first - 2, first, first + 3] {
        let store = Dying::after(units);
        assert!(run(&Context::new(&executor, 5).with_units(&store)).is_err());
        let store = store.revived();
        let resumed = run(&Context::new(&executor, 5).with_units(&store)).unwrap();
        assert_eq!(resumed, undisturbed, "killed after {units} units");
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model(MLP, &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let config = ObjectiveConfig { batch: 30, ..ObjectiveConfig::default() };
    let objective = on_digits(&ctx, &model, Some(100), &config);
    let found = gradient(&ctx, &objective, &point).unwrap();
    assert_eq!(found.at, thalweg_methods::evaluate(&ctx, &objective, &point).unwrap());
    let stream = Stream::new(0, "direction");
    let object: &dyn Objective = &objective;
    let v: Vec<f64> = (0..object.dimension() as u64).map(|i| stream.normal(i)).collect();
    let direction = point.parameters.unflatten(&v).unwrap();
    let loss = |by: f64| {
        let parameters = point.parameters.add_scaled(by, &direction).unwrap();
        let at = thalweg_nn::Weights { parameters, buffers: point.buffers.clone() };
        thalweg_methods::evaluate(&ctx, &objective, &at).unwrap().loss
    };
    let e = 1e-5;
    let difference = (loss(e) - loss(-e)) / (2.0 * e);
    let along = vector::dot(&found.gradient, &v);
    assert!((difference - along).abs() < 1e-7 * (1.0 + along.abs()), "{difference} {along}");
}

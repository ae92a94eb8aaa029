//! What bounds the curvature that a single example gives a network of dense layers.

use crate::common::{
    ModelObjective, Objective, ObjectiveConfig, check_point, gram, symmetric_eigen, vector,
};
use crate::curvature::{Curvature, CurvatureMatrix, ExampleGroup, LanczosConfig, Scope, lanczos};
use crate::error::stored;
use crate::{Context, MethodError, Silent};
use std::f64::consts::SQRT_2;
use thalweg_array::Array;
use thalweg_nn::architecture::Mlp;
use thalweg_nn::layer::{Activation, Normalization};
use thalweg_nn::{Architecture, Loss, Weights};

/// The matrix has no more than one direction for each class, so that few products find the largest.
const EIGENVALUE: LanczosConfig =
    LanczosConfig { top: 1, bottom: 0, tolerance: 1e-6, max_products: 60 };

/// What [`example_hessian_bound`] found, of each example.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleHessianBound {
    /// The largest eigenvalue of the Gauss-Newton matrix of its loss.
    pub norms: Vec<f64>,
    /// What it cannot exceed but for rounding, by the norms of the matrices and what each is
    /// multiplied with.
    pub products: Vec<f64>,
    /// The paper's bound of it.
    pub theorem: Vec<f64>,
}

/// The largest eigenvalue of each example's Gauss-Newton matrix under cross-entropy, and two bounds.
///
/// With `L` matrices `W_p`, `x_p` what `W_p` is multiplied with (`x_1` the example), ReLU between them
/// and probabilities `p`, the matrix is `J^T (diag(p) - p p^T) J`, whatever the label, and the middle
/// factor has a norm of at most one half. So its norm is at most
///
/// `1/2 sum over p of |x_p|^2 product over q > p of |W_q|^2`,
///
/// with equality at two equally likely classes of one matrix. The paper's theorem 1 has
///
/// `sqrt(2) L |x|^2 M^(2L) + sqrt(2) (M^2 + M^4 + .. + M^(2L))`, `M = max over p of |W_p|`,
///
/// here with the example's own length `|x|` in place of the largest. It forgets that the last matrix's
/// derivative does not know the size of that matrix: where `M` is small it is exceeded.
///
/// # Shapes    inputs `[n, features]`
/// # Errors    Another network than one of dense layers with ReLU between them, without biases and
/// normalisation; weights of another one; inputs of another shape; those of the engine; `Interrupted`.
/// # Source    Kiselev, Grabovoy, Unraveling the Hessian, 2024, arXiv 2409.11995, theorem 1; the
/// tighter bound is elementary
pub fn example_hessian_bound(
    ctx: &Context<'_>,
    mlp: &Mlp,
    weights: &Weights,
    inputs: &Array,
) -> Result<ExampleHessianBound, MethodError> {
    let objective = objective(ctx, mlp, weights, inputs)?;
    let known: &dyn Objective = &objective;
    let point = check_point(known, "the weights", weights)?;
    let layers: Vec<Vec<Vec<f64>>> = point.parameters.arrays().iter().map(rows).collect();
    let squares: Vec<f64> = layers.iter().map(|rows| largest(&gram(rows))).collect();
    let features = inputs.shape().last().copied().unwrap_or(1);
    let quiet = ctx.clone().with_units(&Silent).with_progress(&Silent);
    let (mut norms, mut products, mut theorem) = (Vec::new(), Vec::new(), Vec::new());
    ctx.progress().start("curvature of examples", known.examples() as u64);
    for (i, x) in inputs.to_f64_vec().chunks_exact(features).enumerate() {
        let key = format!("example bound/{i}");
        let norm = ctx.unit(&key, || {
            let scope = Scope { examples: ExampleGroup::At(vec![i]), ..Scope::default() };
            let matrix = CurvatureMatrix::GaussNewton;
            let operator = Curvature::new(&quiet, known, &point, matrix, &scope)?;
            let found = lanczos(&quiet, &operator, &EIGENVALUE)?;
            let values: Vec<f64> = found.top.iter().map(|pair| pair.value).collect();
            Ok(vec![("norm".into(), Array::vector(&values))])
        })?;
        norms.extend_from_slice(stored(&key, &norm, "norm", 1)?);
        products.push(by_products(x, &layers, &squares));
        theorem.push(by_theorem(vector::dot(x, x), &squares));
        ctx.progress().advance(1);
    }
    Ok(ExampleHessianBound { norms, products, theorem })
}

/// The loss of the network, example by example; no label changes its Gauss-Newton matrix.
fn objective(
    ctx: &Context<'_>,
    mlp: &Mlp,
    weights: &Weights,
    inputs: &Array,
) -> Result<ModelObjective, MethodError> {
    let plain = mlp.activation == Activation::Relu && mlp.norm == Normalization::None && !mlp.bias;
    if !plain {
        let expected = "one with ReLU, without biases and normalisation";
        let got = Architecture::from(mlp.clone());
        return Err(MethodError::mismatch("the network", expected, got));
    }
    let &[n, features] = inputs.shape() else {
        let got = format!("{:?}", inputs.shape());
        return Err(MethodError::mismatch("inputs", "[examples, features]", got));
    };
    let classes = weights.parameters.arrays().last().and_then(|last| last.shape().last().copied());
    let model = Architecture::from(mlp.clone()).build(&[features], classes.unwrap_or(0))?;
    let (labels, inputs) = (Array::vector(&vec![0i32; n]), vec![inputs.clone()]);
    let config = ObjectiveConfig { batch: 1, ..ObjectiveConfig::default() };
    ModelObjective::from_arrays(ctx, &model, Loss::default(), inputs, labels, true, &config)
}

/// A weight `[in, out]` by its rows.
fn rows(weight: &Array) -> Vec<Vec<f64>> {
    let width = weight.shape().last().copied().unwrap_or(1).max(1);
    weight.to_f64_vec().chunks_exact(width).map(<[f64]>::to_vec).collect()
}

/// The largest eigenvalue of a matrix without negative ones.
fn largest(matrix: &[Vec<f64>]) -> f64 {
    symmetric_eigen(matrix).values.last().copied().unwrap_or(0.0).max(0.0)
}

/// From an example and each `|W_p|^2`.
fn by_products(x: &[f64], layers: &[Vec<Vec<f64>>], squares: &[f64]) -> f64 {
    let (mut x, mut sum) = (x.to_vec(), 0.0);
    for (p, rows) in layers.iter().enumerate() {
        sum += vector::dot(&x, &x) * squares.iter().skip(p + 1).product::<f64>();
        let mut z = vec![0.0; rows.first().map_or(0, Vec::len)];
        for (x, row) in x.iter().zip(rows) {
            vector::add_scaled(&mut z, *x, row);
        }
        x = z.into_iter().map(|z| z.max(0.0)).collect();
    }
    0.5 * sum
}

/// From `|x|^2` and each `|W_p|^2`.
fn by_theorem(x: f64, squares: &[f64]) -> f64 {
    let most = squares.iter().copied().fold(0.0, f64::max);
    let (mut power, mut powers) = (1.0, 0.0);
    for _ in squares {
        power *= most;
        powers += power;
    }
    SQRT_2 * (squares.len() as f64 * x * power + powers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::LinearOperator;
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Parameters;

    fn mlp(hidden: &[usize]) -> Mlp {
        Mlp { hidden: hidden.to_vec(), bias: false, ..Mlp::default() }
    }

    fn weights(layers: &[(&[usize; 2], &[f64])]) -> Weights {
        let named = layers.iter().enumerate().map(|(p, &(shape, values))| {
            (format!("fc{}.weight", p + 1), Array::from_slice(shape, values).unwrap())
        });
        let parameters = Parameters::new(named.collect()).unwrap();
        Weights { parameters, buffers: Parameters::new(Vec::new()).unwrap() }
    }

    fn exact(executor: &Executor) -> Context<'_> {
        Context::new(executor, 0).with_precision(DType::F64).unwrap()
    }

    #[test]
    fn two_classes_of_one_matrix_by_hand() {
        let executor = Executor::new(1);
        let ctx = exact(&executor);
        let inputs = Array::from_slice(&[1, 2], &[3.0, 4.0]).unwrap();
        let of = |w: &[f64; 4]| {
            let weights = weights(&[(&[2, 2], &w[..])]);
            example_hessian_bound(&ctx, &mlp(&[]), &weights, &inputs).unwrap()
        };
        // 2 p (1 - p) |x|^2 with p one half: no less than the bound, and more than the theorem's zero.
        let zero = of(&[0.0; 4]);
        assert!((zero.norms[0] - 12.5).abs() < 1e-12 && zero.products == [12.5]);
        assert_eq!(zero.theorem, [0.0]);
        // Outputs 0.6 and -0.6, and |W|^2 = 0.2^2 + 0.2^2 = 0.08.
        let found = of(&[0.2, -0.2, 0.0, 0.0]);
        let p = 1.0 / (1.0 + (-1.2f64).exp());
        assert!((found.norms[0] - 2.0 * p * (1.0 - p) * 25.0).abs() < 1e-12);
        assert_eq!(found.products, [12.5]);
        assert!((found.theorem[0] - SQRT_2 * 26.0 * 0.08).abs() < 1e-12);
        assert!(found.norms[0] > found.theorem[0], "the theorem does not hold of small matrices");
    }

    #[test]
    fn a_chain_of_two_matrices_by_hand() {
        let executor = Executor::new(1);
        // h = 0.5 x, outputs 0.1 h and -0.1 h.
        let weights = weights(&[(&[1, 1], &[0.5]), (&[1, 2], &[0.1, -0.1])]);
        let inputs = Array::from_slice(&[2, 1], &[2.0, -2.0]).unwrap();
        let found =
            example_hessian_bound(&exact(&executor), &mlp(&[1]), &weights, &inputs).unwrap();
        let p = 1.0 / (1.0 + (-0.2f64).exp());
        let expected = 2.0 * p * (1.0 - p) * (4.0 * 0.02 + 1.0);
        assert!((found.norms[0] - expected).abs() < 1e-12);
        assert!((found.products[0] - 0.5 * (4.0 * 0.02 + 1.0)).abs() < 1e-12);
        let theorem = SQRT_2 * (2.0 * 4.0 * 0.25 * 0.25 + 0.25 + 0.25 * 0.25);
        assert!((found.theorem[0] - theorem).abs() < 1e-12);
        // The unit is off: nothing moves the outputs.
        assert_eq!(found.norms[1], 0.0);
        assert!((found.products[1] - 0.5 * 4.0 * 0.02).abs() < 1e-12);
    }

    #[test]
    fn no_example_exceeds_the_product_bound() {
        const N: usize = 24;
        let executor = Executor::new(1);
        let ctx = exact(&executor);
        let mlp = mlp(&[6, 5]);
        let draws = Stream::new(4, "inputs");
        let inputs: Vec<f64> = (0..4 * N as u64).map(|i| draws.normal(i)).collect();
        let inputs = Array::from_slice(&[N, 4], &inputs).unwrap();
        let model = Architecture::from(mlp.clone()).build(&[4], 3).unwrap();
        // From matrices so small that the last one decides to such that the first does.
        for (seed, factor) in [(0, 0.01), (1, 1.0), (2, 3.0), (3, 10.0)] {
            let mut weights = thalweg_train::initialize(&model, seed, DType::F64).unwrap();
            let scaled: Vec<f64> =
                weights.parameters.flatten().iter().map(|w| factor * w).collect();
            weights.parameters = weights.parameters.unflatten(&scaled).unwrap();
            let found = example_hessian_bound(&ctx, &mlp, &weights, &inputs).unwrap();
            let objective = objective(&ctx, &mlp, &weights, &inputs).unwrap();
            for i in 0..N {
                let (norm, bound) = (found.norms[i], found.products[i]);
                assert!(norm <= bound * (1.0 + 1e-12), "{factor}, {i}: {norm} {bound}");
                let examples = ExampleGroup::At(vec![i]);
                let scope = Scope { examples, ..Scope::default() };
                let matrix = CurvatureMatrix::GaussNewton;
                let whole = Curvature::new(&ctx, &objective, &weights, matrix, &scope).unwrap();
                let n = whole.dimension();
                let unit = |j: usize| (0..n).map(|k| f64::from(u8::from(k == j))).collect();
                let columns = whole.apply(&(0..n).map(unit).collect::<Vec<Vec<f64>>>()).unwrap();
                let expected = largest(&columns);
                assert!((norm - expected).abs() <= 1e-9 * (1.0 + expected), "{norm} {expected}");
            }
        }
    }

    #[test]
    fn other_networks_and_inputs_are_refused() {
        let executor = Executor::new(1);
        let ctx = exact(&executor);
        let plain = mlp(&[1]);
        let known = weights(&[(&[1, 1], &[0.5]), (&[1, 2], &[0.1, -0.1])]);
        let inputs = Array::from_slice(&[2, 1], &[2.0, -2.0]).unwrap();
        let cubes = Array::from_slice(&[2, 1, 1], &[2.0, -2.0]).unwrap();
        let refuses = |mlp: &Mlp, weights: &Weights, inputs: &Array| {
            example_hessian_bound(&ctx, mlp, weights, inputs).is_err()
        };
        assert!(!refuses(&plain, &known, &inputs));
        assert!(refuses(&Mlp { bias: true, ..plain.clone() }, &known, &inputs));
        assert!(refuses(&Mlp { activation: Activation::Tanh, ..plain.clone() }, &known, &inputs));
        assert!(refuses(&Mlp { norm: Normalization::Batch, ..plain.clone() }, &known, &inputs));
        assert!(refuses(&mlp(&[2]), &known, &inputs), "weights of another network");
        assert!(refuses(&plain, &weights(&[]), &inputs), "no weights");
        assert!(refuses(&plain, &known, &cubes));
    }
}

//! Weights that are divided by their largest singular value in every forward pass.

use crate::MethodError;
use crate::common::{Reparametrization, reparametrized};
use thalweg_array::DType;
use thalweg_graph::{DotAxes, Tensor};
use thalweg_nn::Model;

/// How the largest singular value is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpectralNormConfig {
    /// How often the Gram matrix is squared: `q` squarings are `2^q` steps of the power
    /// method, done with every start at once.
    pub squarings: u32,
}

/// Squarings after which every further one changes rounding alone.
const MOST: u32 = 40;

impl Default for SpectralNormConfig {
    fn default() -> SpectralNormConfig {
        SpectralNormConfig { squarings: 8 }
    }
}

/// The largest singular value of a weight, as a number of the graph.
///
/// `s^2 = tr(G^(p + 1)) / tr(G^p)` with `G` the smaller one of `W^T W` and `W W^T`, of `n` rows,
/// and `p = 2^q`: the mean of the eigenvalues of `G`, weighted with their `p`-th powers. It is
/// the largest one exactly where all are equal and nearly where it stands out, and never more:
/// `n^(-1/p) <= s^2 / largest <= 1`, so that of 64 rows `s` is 0.8 % off at worst after 8. A
/// function of the weight alone, without state from step to step, and smooth also where singular
/// values meet. Of a weight of zeros it is 0.
///
/// # Shapes    W `[.., out]` as a matrix of `out` columns -> `[]`
/// # Gradient  any order
#[track_caller]
pub fn largest_singular_value<'b>(w: Tensor<'b>, squarings: u32) -> Tensor<'b> {
    let (shape, builder) = (w.shape(), w.builder());
    let columns = shape.last().copied().unwrap_or(1);
    let rows: usize = shape.iter().take(shape.len().saturating_sub(1)).product();
    let matrix = w.reshape(&[rows, columns]);
    // Contracted over the longer axis.
    let axis = usize::from(columns > rows);
    let axes = DotAxes { lhs_contract: vec![axis], rhs_contract: vec![axis], ..DotAxes::default() };
    let gram = matrix.dot(matrix, axes);
    let n = rows.min(columns);
    let diagonal = {
        let place = |axis: usize| builder.iota(DType::I32, &[n, n], axis);
        place(0).equal(place(1))
    };
    let trace = |g: Tensor<'b>| diagonal.select(g, g.zeros_like()).sum(&[0, 1]);
    let whole = trace(gram);
    let zero = whole.equal(0.0);
    // Of trace one, so that no power leaves the range of numbers.
    let unit = |g: Tensor<'b>| {
        let trace = trace(g);
        g / trace.equal(0.0).select(1.0, trace)
    };
    let mut power = unit(gram);
    for _ in 0..squarings {
        power = unit(power.matmul(power));
    }
    // The trace of a product of symmetric matrices.
    let square = (power * gram).sum(&[0, 1]);
    zero.select(square, zero.select(1.0, square).sqrt())
}

/// A model whose named weights are divided by their largest singular values before it uses them:
/// layers that stretch no input. Biases, scales and shifts stay as they are.
///
/// `W / s(W)` with `s` of [`largest_singular_value`]; gradients go through `s`. Names, shapes and
/// initial values are those of the model, so that weights go from one to the other as they are. A
/// weight of zeros stays one.
///
/// # Errors
/// A name that is no parameter of more than one axis; a model with running statistics, which belong
/// to the weights as they are; the first mistake of tracing.
/// # Source    Miyato, Kataoka, Koyama, Yoshida, Spectral normalization for generative adversarial
/// networks, 2018, arXiv 1802.05957, equation 8; as an intervention: Lyle et al., Understanding
/// plasticity in neural networks, 2023, arXiv 2303.01486
/// # Deviations    the singular value is computed anew in each pass and not followed by one step
/// of the power method, so that the network is a function of its weights alone and every derivative
/// is exact
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{SpectralNormConfig, spectral_norm};
/// use thalweg_nn::Architecture;
/// let model = "mlp hidden=8-8".parse::<Architecture>()?.build(&[4], 3)?;
/// let config = SpectralNormConfig::default();
/// let limited = spectral_norm(&model, &["fc1.weight", "fc2.weight"], &config)?;
/// assert_eq!(limited.parameters(), model.parameters());
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn spectral_norm(
    model: &Model,
    names: &[&str],
    config: &SpectralNormConfig,
) -> Result<Model, MethodError> {
    if config.squarings > MOST {
        let got = config.squarings;
        return Err(MethodError::config("squarings", format!("at most {MOST}"), got));
    }
    reparametrized(model, names, Divided { squarings: config.squarings })
}

#[derive(Clone)]
struct Divided {
    squarings: u32,
}

impl Reparametrization for Divided {
    fn of<'b>(&self, w: Tensor<'b>, _: Option<Tensor<'b>>) -> Tensor<'b> {
        let s = largest_singular_value(w, self.squarings);
        w / s.equal(0.0).select(1.0, s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{gradient, symmetric_eigen, vector};
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, TensorType};
    use thalweg_nn::{Architecture, Loss, Weights};
    use thalweg_train::initialize;

    fn found(w: &Array, squarings: u32) -> f64 {
        let builder = Builder::new(DType::F64);
        let x = builder.input("w", TensorType::new(DType::F64, w.shape()));
        let graph = builder.finish(&[("s", largest_singular_value(x, squarings))]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        program.run(vec![w.clone()]).unwrap()[0].item().unwrap()
    }

    /// By the dense solver of the Gram matrix of the columns.
    fn exact(w: &Array) -> f64 {
        let n = *w.shape().last().unwrap();
        let values = w.to_f64_vec();
        let column = |j: usize| values.iter().skip(j).step_by(n).copied().collect::<Vec<f64>>();
        let columns: Vec<Vec<f64>> = (0..n).map(column).collect();
        let gram: Vec<Vec<f64>> =
            columns.iter().map(|a| columns.iter().map(|b| vector::dot(a, b)).collect()).collect();
        symmetric_eigen(&gram).values[n - 1].sqrt()
    }

    fn drawn(shape: &[usize], seed: u64) -> Array {
        let stream = Stream::new(seed, "weight");
        let n: usize = shape.iter().product();
        let values: Vec<f64> = (0..n as u64).map(|i| stream.normal(i)).collect();
        Array::from_slice(shape, &values).unwrap()
    }

    #[test]
    fn it_is_the_dense_solvers_within_its_bound() {
        for (seed, shape) in
            [&[6, 9][..], &[9, 6], &[16, 16], &[3, 3, 2, 5], &[7, 1]].into_iter().enumerate()
        {
            let w = drawn(shape, seed as u64);
            let exact = exact(&w);
            let out = *shape.last().unwrap();
            let n = out.min(w.len() / out) as f64;
            for squarings in [0, 3, 8] {
                let ratio = found(&w, squarings) / exact;
                let least = n.powf(-0.5 / 2f64.powi(squarings as i32));
                assert!(ratio <= 1.0 + 1e-12 && ratio >= least - 1e-12, "{shape:?} {ratio}");
            }
            // Drawn singular values stand out enough that a power of 2^14 leaves the largest alone.
            assert!((found(&w, 14) / exact - 1.0).abs() < 1e-9, "{shape:?}");
        }
    }

    #[test]
    fn equal_singular_values_and_none() {
        let eye: Vec<f64> = (0..16).map(|i| if i % 5 == 0 { -3.0 } else { 0.0 }).collect();
        let w = Array::from_slice(&[4, 4], &eye).unwrap();
        assert!((found(&w, 8) - 3.0).abs() < 1e-12);
        assert_eq!(found(&Array::zeros(DType::F64, &[4, 2]), 8), 0.0);
        // Neither large nor small weights leave the range of numbers.
        let w = drawn(&[6, 6], 3);
        for factor in [1e-60, 1e60] {
            let values: Vec<f64> = w.to_f64_vec().iter().map(|x| x * factor).collect();
            let scaled = Array::from_slice(&[6, 6], &values).unwrap();
            assert!((found(&scaled, 8) / factor / found(&w, 8) - 1.0).abs() < 1e-9, "{factor}");
        }
    }

    const NAMES: [&str; 2] = ["fc1.weight", "fc2.weight"];

    fn objective(ctx: &Context<'_>, model: &Model) -> ModelObjective {
        let inputs = vec![drawn(&[12, 4], 5)];
        let labels = Array::vector(&(0..12).map(|i| i % 3).collect::<Vec<i32>>());
        let config = ObjectiveConfig::default();
        ModelObjective::from_arrays(ctx, model, Loss::default(), inputs, labels, true, &config)
            .unwrap()
    }

    fn scaled(weights: &Weights, factor: impl Fn(&str, &Array) -> f64) -> Weights {
        let arrays = weights.parameters.iter().map(|(name, array)| {
            let factor = factor(name, array);
            let values: Vec<f64> = array.to_f64_vec().iter().map(|x| x * factor).collect();
            Array::from_slice(array.shape(), &values).unwrap()
        });
        let parameters = weights.parameters.with_arrays(arrays.collect()).unwrap();
        Weights { parameters, buffers: weights.buffers.clone() }
    }

    #[test]
    fn a_normalised_model_is_the_model_at_divided_weights() {
        let model = "mlp hidden=8-8 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[4], 3).unwrap();
        let limited = spectral_norm(&model, &NAMES, &SpectralNormConfig { squarings: 14 }).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let weights = initialize(&model, 3, DType::F64).unwrap();
        let divided = scaled(&weights, |name, array| match NAMES.contains(&name) {
            true => 1.0 / exact(array),
            false => 1.0,
        });
        let loss = |model: &Model, weights: &Weights| {
            evaluate(&ctx, &objective(&ctx, model), weights).unwrap().loss
        };
        let (found, expected) = (loss(&limited, &weights), loss(&model, &divided));
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        assert!((found - loss(&model, &weights)).abs() > 1e-6);
        // Its scale does not matter, so that there is no gradient along the weight.
        let moved = scaled(&weights, |name, _| if name == "fc2.weight" { 3.0 } else { 1.0 });
        assert!((loss(&limited, &moved) - found).abs() < 1e-12);
        let at = gradient(&ctx, &objective(&ctx, &limited), &weights).unwrap();
        let gradients = weights.parameters.unflatten(&at.gradient).unwrap();
        for name in NAMES {
            let [w, g] =
                [&weights.parameters, &gradients].map(|p| p.get(name).unwrap().to_f64_vec());
            assert!(vector::dot(&w, &g).abs() < 1e-12 && vector::norm(&g) > 1e-4, "{name}");
        }
        // The rest of the gradient is that of small steps.
        let directions = drawn(&[weights.parameters.count()], 8).to_f64_vec();
        let along = |h: f64| {
            let step = weights.parameters.unflatten(&directions).unwrap();
            let parameters = weights.parameters.add_scaled(h, &step).unwrap();
            loss(&limited, &Weights { parameters, buffers: weights.buffers.clone() })
        };
        let slope = (along(1e-6) - along(-1e-6)) / 2e-6;
        assert!((slope - vector::dot(&at.gradient, &directions)).abs() < 1e-7);
    }

    #[test]
    fn what_cannot_be_normalised_is_told() {
        let config = SpectralNormConfig::default();
        let model = "mlp hidden=8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        for name in ["fc1.bias", "fc9.weight"] {
            let error = spectral_norm(&model, &[name], &config).unwrap_err().to_string();
            assert!(error.starts_with("weight to normalise: expected a weight of more"), "{error}");
        }
        let batch = "mlp hidden=8 norm=batch".parse::<Architecture>().unwrap();
        let batch = batch.build(&[4], 3).unwrap();
        assert!(spectral_norm(&batch, &["fc1.weight"], &config).is_err());
        let many = SpectralNormConfig { squarings: 41 };
        assert!(spectral_norm(&model, &["fc1.weight"], &many).is_err());
    }
}

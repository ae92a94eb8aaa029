//! How initial values are drawn.

use crate::parameter::Parameter;

/// A source of random numbers, addressed by a parameter's name.
///
/// Draws under one name must depend on nothing but the source's seed, the name and the index, so
/// that a parameter's initial value does not depend on its neighbours.
pub trait Draw {
    /// `n` uniform numbers in [0, 1).
    fn uniform(&mut self, name: &str, n: usize) -> Vec<f64>;
    /// `n` standard normal numbers.
    fn normal(&mut self, name: &str, n: usize) -> Vec<f64>;
}

/// Which fan sets the variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fan {
    /// Keeps the forward pass's variance.
    In,
    /// Keeps the backward pass's variance.
    Out,
}

/// The distribution of a parameter's initial value; the parameter's `init` multiplier comes on
/// top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// The same value everywhere.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width.
        bound: f64,
    },
    /// Normal around zero.
    Normal {
        /// Standard deviation.
        standard_deviation: f64,
    },
    /// Uniform with `bound = sqrt(6 / ((1 + a^2) fan_in))`; PyTorch's default layers have
    /// `a = sqrt(5)`, which gives `1 / sqrt(fan_in)`.
    ///
    /// Source: He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015, arXiv 1502.01852
    KaimingUniform {
        /// Slope of a leaky ReLU on the negative side.
        negative_slope: f64,
    },
    /// Normal with `standard deviation = gain / sqrt(fan)`; a gain of `sqrt(2)` suits ReLU.
    ///
    /// Source: as above, equations 10 and 14
    KaimingNormal {
        /// Fan in or fan out.
        fan: Fan,
        /// What the activation needs.
        gain: f64,
    },
    /// Uniform with `bound = gain sqrt(6 / (fan_in + fan_out))`.
    ///
    /// Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural
    /// networks, 2010, equation 16
    XavierUniform {
        /// What the activation needs.
        gain: f64,
    },
    /// Normal with `standard deviation = gain sqrt(2 / (fan_in + fan_out))`.
    XavierNormal {
        /// What the activation needs.
        gain: f64,
    },
    /// `gain` times a matrix `[fan_in, outputs]` with orthonormal columns (rows, if there are
    /// fewer of them), uniformly distributed.
    ///
    /// Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in
    /// deep linear neural networks, 2013, arXiv 1312.6120
    Orthogonal {
        /// What the activation needs.
        gain: f64,
    },
    /// Uniform with `bound = 1 / fan_in` in the first layer, `sqrt(6 / fan_in) / omega` later.
    ///
    /// Source: Sitzmann et al., Implicit neural representations with periodic activation
    /// functions, 2020, arXiv 2006.09661, section 3.2
    Siren {
        /// Whether the layer sees the input.
        first: bool,
        /// Factor inside the sine.
        omega: f64,
    },
}

impl Initializer {
    /// PyTorch's default for the weights of dense and convolution layers.
    pub const TORCH_WEIGHT: Initializer =
        Initializer::KaimingUniform { negative_slope: 2.236_067_977_499_79 };

    /// PyTorch's default for their biases.
    pub fn torch_bias(fan_in: usize) -> Initializer {
        Initializer::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// Kaiming normal for ReLU.
    pub fn kaiming_relu(fan: Fan) -> Initializer {
        Initializer::KaimingNormal { fan, gain: std::f64::consts::SQRT_2 }
    }

    /// The initial value of a parameter, in row-major order of the engine's layout.
    pub fn values(&self, parameter: &Parameter, draw: &mut dyn Draw) -> Vec<f64> {
        let n = parameter.count();
        let fan_in = parameter.fan_in().max(1) as f64;
        let fan_out = parameter.fan_out().max(1) as f64;
        let name = parameter.name.as_str();
        let factor = parameter.multipliers.init;
        let mut uniform = |bound: f64| -> Vec<f64> {
            let draws = draw.uniform(name, n);
            draws.into_iter().map(|u| factor * bound * (2.0 * u - 1.0)).collect()
        };
        match *self {
            Initializer::Constant(value) => vec![factor * value; n],
            Initializer::Uniform { bound } => uniform(bound),
            Initializer::KaimingUniform { negative_slope } => {
                uniform((6.0 / ((1.0 + negative_slope * negative_slope) * fan_in)).sqrt())
            }
            Initializer::XavierUniform { gain } => {
                uniform(gain * (6.0 / (fan_in + fan_out)).sqrt())
            }
            Initializer::Siren { first: true, .. } => uniform(1.0 / fan_in),
            Initializer::Siren { first: false, omega } => uniform((6.0 / fan_in).sqrt() / omega),
            Initializer::Normal { standard_deviation } => {
                normal(draw, name, n, factor * standard_deviation)
            }
            Initializer::KaimingNormal { fan, gain } => {
                let fan = match fan {
                    Fan::In => fan_in,
                    Fan::Out => fan_out,
                };
                normal(draw, name, n, factor * gain / fan.sqrt())
            }
            Initializer::XavierNormal { gain } => {
                normal(draw, name, n, factor * gain * (2.0 / (fan_in + fan_out)).sqrt())
            }
            Initializer::Orthogonal { gain } => {
                let columns = parameter.shape.last().copied().unwrap_or(1).max(1);
                let mut values = draw.normal(name, n);
                orthonormalize(&mut values, n / columns, columns);
                values.iter_mut().for_each(|value| *value *= factor * gain);
                values
            }
        }
    }
}

fn normal(draw: &mut dyn Draw, name: &str, n: usize, standard_deviation: f64) -> Vec<f64> {
    draw.normal(name, n).into_iter().map(|z| standard_deviation * z).collect()
}

/// Gram-Schmidt on the columns of a row-major matrix, or on its rows if there are fewer.
///
/// It keeps the diagonal of the triangular factor positive, which makes the result of a Gaussian
/// matrix uniformly distributed; done twice for each vector, it is orthogonal to rounding.
fn orthonormalize(values: &mut [f64], rows: usize, columns: usize) {
    let (n_vectors, length) = if columns <= rows { (columns, rows) } else { (rows, columns) };
    let at = |vector: usize, i: usize| {
        if columns <= rows { i * columns + vector } else { vector * columns + i }
    };
    for v in 0..n_vectors {
        for _ in 0..2 {
            for u in 0..v {
                let overlap: f64 = (0..length).map(|i| values[at(u, i)] * values[at(v, i)]).sum();
                for i in 0..length {
                    values[at(v, i)] -= overlap * values[at(u, i)];
                }
            }
        }
        let norm = (0..length).map(|i| values[at(v, i)] * values[at(v, i)]).sum::<f64>().sqrt();
        for i in 0..length {
            values[at(v, i)] /= norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;
    use crate::parameter::{Axis, Multipliers, Role};
    use thalweg_array::DType;

    /// A multiplicative congruential generator, keyed by the name's bytes.
    struct Minimal;

    impl Draw for Minimal {
        fn uniform(&mut self, name: &str, n: usize) -> Vec<f64> {
            let seed = name.bytes().fold(7u64, |s, b| (s * 31 + u64::from(b)) % 2_147_483_647);
            let mut state = seed;
            let next = |_| {
                state = state * 48_271 % 2_147_483_647;
                state as f64 / 2_147_483_647.0
            };
            (0..n).map(next).collect()
        }

        fn normal(&mut self, name: &str, n: usize) -> Vec<f64> {
            let sum = |twelve: &[f64]| twelve.iter().sum::<f64>() - 6.0;
            self.uniform(name, 12 * n).chunks(12).map(sum).collect()
        }
    }

    fn kernel(initializer: Initializer) -> Parameter {
        // Fan in 3 * 3 * 8 = 72, fan out 3 * 3 * 40 = 360.
        let axes = [Axis::Spatial, Axis::Spatial, Axis::Input, Axis::Output];
        Parameter::new("w", &[3, 3, 8, 40], Role::Weight, &axes, initializer)
    }

    fn moments(initializer: Initializer) -> (f64, f64, f64) {
        let parameter = kernel(initializer);
        let values = parameter.initializer.values(&parameter, &mut Minimal);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| x * x).sum::<f64>() / n;
        let largest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        (mean, variance, largest)
    }

    #[test]
    fn variances_follow_the_fans() {
        let bounded = |initializer, bound: f64| {
            let (mean, variance, largest) = moments(initializer);
            assert!(mean.abs() < 0.05 * bound, "{initializer:?}: mean {mean}");
            assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.06, "{initializer:?}");
            assert!(largest <= bound && largest > 0.99 * bound, "{initializer:?}");
        };
        bounded(Initializer::TORCH_WEIGHT, (1.0f64 / 72.0).sqrt());
        bounded(Initializer::KaimingUniform { negative_slope: 0.0 }, (6.0f64 / 72.0).sqrt());
        bounded(Initializer::XavierUniform { gain: 2.0 }, 2.0 * (6.0f64 / 432.0).sqrt());
        bounded(Initializer::Siren { first: true, omega: 30.0 }, 1.0 / 72.0);
        bounded(Initializer::Siren { first: false, omega: 30.0 }, (6.0f64 / 72.0).sqrt() / 30.0);
        bounded(Initializer::torch_bias(72), (1.0f64 / 72.0).sqrt());
        let spread = |initializer, expected: f64| {
            let (mean, variance, _) = moments(initializer);
            assert!(mean.abs() < 0.1 * expected.sqrt(), "{initializer:?}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.1, "{initializer:?}: {variance}");
        };
        spread(Initializer::kaiming_relu(Fan::In), 2.0 / 72.0);
        spread(Initializer::kaiming_relu(Fan::Out), 2.0 / 360.0);
        spread(Initializer::XavierNormal { gain: 3.0 }, 9.0 * 2.0 / 432.0);
        spread(Initializer::Normal { standard_deviation: 0.02 }, 4e-4);
        assert_eq!(moments(Initializer::Constant(2.0)), (2.0, 4.0, 2.0));
    }

    #[test]
    fn orthogonal_means_orthogonal_on_the_shorter_side() {
        for shape in [[30, 12], [12, 30]] {
            let axes = [Axis::Input, Axis::Output];
            let initializer = Initializer::Orthogonal { gain: 1.5 };
            let parameter = Parameter::new("q", &shape, Role::Weight, &axes, initializer);
            let q = initializer.values(&parameter, &mut Minimal);
            let at = |v: usize, i: usize| {
                if shape[1] <= shape[0] { q[i * shape[1] + v] } else { q[v * shape[1] + i] }
            };
            for u in 0..12 {
                for v in 0..12 {
                    let product: f64 = (0..30).map(|i| at(u, i) * at(v, i)).sum();
                    let expected = if u == v { 2.25 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-14, "{u} {v} {product}");
                }
            }
        }
    }

    #[test]
    fn a_model_is_drawn_by_names_and_multiplied() {
        let model = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[8], 8).unwrap();
        let weights = model.initialize(&mut Minimal, DType::F64).unwrap();
        let get = |name: &str| weights.parameters.get(name).unwrap().to_f64_vec();
        assert_ne!(get("fc1.weight"), get("fc2.weight"));
        let wider = "mlp hidden=8-8-8".parse::<Architecture>().unwrap().build(&[8], 8).unwrap();
        let more = wider.initialize(&mut Minimal, DType::F64).unwrap();
        assert_eq!(more.parameters.get("fc2.weight"), weights.parameters.get("fc2.weight"));
        let doubled = model.with_multipliers(|parameter| Multipliers {
            init: if parameter.role == Role::Weight { 2.0 } else { 1.0 },
            ..Multipliers::default()
        });
        let twice = doubled.initialize(&mut Minimal, DType::F64).unwrap();
        for (name, array) in twice.parameters.iter() {
            let factor = if name.ends_with("weight") { 2.0 } else { 1.0 };
            let expected: Vec<f64> = get(name).iter().map(|x| factor * x).collect();
            assert_eq!(array.to_f64_vec(), expected, "{name}");
        }
        assert!(doubled.initialize(&mut Minimal, DType::I32).is_err());
    }
}

//! Directions through weight space.

use crate::MethodError;
use crate::common::Filters;
use std::fmt;
use std::str::FromStr;
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_nn::{Parameter, Parameters, Role};

/// How a direction is scaled, most often to the weights that it is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Normalize {
    /// Each filter to the norm of the weights' filter.
    #[default]
    Filter,
    /// Each array to the norm of the weights' array.
    Layer,
    /// Each element by the weight that it moves.
    Weight,
    /// Each filter to norm one.
    UnitFilter,
    /// Each array to norm one.
    UnitLayer,
    /// The whole to norm one.
    UnitSphere,
    /// Not at all.
    None,
}

impl Normalize {
    /// Every way.
    pub const ALL: [Normalize; 7] = [
        Normalize::Filter,
        Normalize::Layer,
        Normalize::Weight,
        Normalize::UnitFilter,
        Normalize::UnitLayer,
        Normalize::UnitSphere,
        Normalize::None,
    ];

    /// The name in commands and records: but for `sphere` that of the authors' code.
    pub fn name(self) -> &'static str {
        match self {
            Normalize::Filter => "filter",
            Normalize::Layer => "layer",
            Normalize::Weight => "weight",
            Normalize::UnitFilter => "dfilter",
            Normalize::UnitLayer => "dlayer",
            Normalize::UnitSphere => "sphere",
            Normalize::None => "none",
        }
    }
}

impl fmt::Display for Normalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Normalize {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Normalize, MethodError> {
        let found = Normalize::ALL.into_iter().find(|way| way.name() == text);
        found.ok_or_else(|| {
            let names = Normalize::ALL.map(Normalize::name);
            MethodError::config("normalisation", format!("one of {}", names.join(", ")), text)
        })
    }
}

/// Parameters that a direction leaves where they are. Its text is a list of `bias` and `norm`, or
/// `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ignore {
    /// Biases.
    pub bias: bool,
    /// Factors and summands of normalisation layers.
    pub norm: bool,
}

impl Ignore {
    /// Both.
    pub const BIAS_AND_NORM: Ignore = Ignore { bias: true, norm: true };

    /// The names of what is left, for records.
    pub fn names(self) -> Vec<&'static str> {
        [(self.bias, "bias"), (self.norm, "norm")]
            .into_iter()
            .filter_map(|(ignored, name)| ignored.then_some(name))
            .collect()
    }

    fn leaves(self, role: Role) -> bool {
        match role {
            Role::Bias => self.bias,
            Role::NormScale | Role::NormShift => self.norm,
            Role::Weight | Role::Embedding => false,
        }
    }
}

impl FromStr for Ignore {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Ignore, MethodError> {
        let mut ignore = Ignore::default();
        if text == "none" {
            return Ok(ignore);
        }
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word {
                "bias" => ignore.bias = true,
                "norm" => ignore.norm = true,
                _ => {
                    return Err(MethodError::config(
                        "ignored parameters",
                        "bias, norm or none",
                        word,
                    ));
                }
            }
        }
        Ok(ignore)
    }
}

/// What random directions are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DirectionConfig {
    /// How they are scaled to the weights.
    pub normalize: Normalize,
    /// What they leave where it is.
    pub ignore: Ignore,
}

impl DirectionConfig {
    /// Directions as they are, of all parameters.
    pub const UNSCALED: DirectionConfig =
        DirectionConfig { normalize: Normalize::None, ignore: Ignore { bias: false, norm: false } };
}

/// A Gaussian direction, scaled to the weights.
///
/// Element `i` of a parameter is draw `i` of the stream's child of the parameter's name, so that
/// no parameter's draws depend on another's shape. Then [`normalize`].
///
/// # Errors
/// Weights of another model.
/// # Source    Li, Xu, Taylor, Studer, Goldstein, Visualizing the loss landscape of neural nets,
/// 2018, arXiv 1712.09913, section 4
pub fn random_direction(
    described: &[Parameter],
    weights: &Parameters,
    config: &DirectionConfig,
    stream: &Stream,
) -> Result<Parameters, MethodError> {
    let mut arrays = Vec::with_capacity(described.len());
    for parameter in described {
        let draws = stream.child(&parameter.name);
        let values: Vec<f64> = (0..parameter.count() as u64).map(|i| draws.normal(i)).collect();
        arrays.push((parameter.name.clone(), Array::from_slice(&parameter.shape, &values)?));
    }
    normalize(described, weights, &Parameters::new(arrays)?, config)
}

/// A direction scaled, in `f64`.
///
/// - `filter`: `d_f <- d_f |w_f| / |d_f|` for each filter `f`: an output unit with its whole
///   fan-in, biases apart. In an array of one axis (biases, normalisation) and in a scalar each
///   element is a filter of its own; in an embedding each row is one.
/// - `layer`: the same for each array.
/// - `weight`: `d <- d w`, element by element.
/// - `dfilter`, `dlayer`: `d_f <- d_f / |d_f|` for each filter, for each array, whatever the weights.
/// - `sphere`: `d <- d / |d|` for the whole direction: the roughness index's unit sphere.
/// - `none`: as it is.
///
/// Ignored parameters get zero, and the sphere is that of the others. So does a filter whose direction
/// is zero; where it is scaled to weights that are zero, it gets norm zero and does not move.
///
/// # Errors
/// Weights or a direction of another model.
/// # Deviations    the authors' code takes the weights themselves as direction of arrays of one
/// axis, which moves all of them outward together; here their signs are those of the draws. It also
/// adds 1e-10 to `|d_f|`.
/// # Source    Li et al. 2018, arXiv 1712.09913, section 4, and its code (`normalize_direction`)
pub fn normalize(
    described: &[Parameter],
    weights: &Parameters,
    direction: &Parameters,
    config: &DirectionConfig,
) -> Result<Parameters, MethodError> {
    check(described, "the weights of a direction", weights)?;
    check(described, "a direction", direction)?;
    let mut scaled = Vec::with_capacity(described.len());
    for ((parameter, w), d) in described.iter().zip(weights.arrays()).zip(direction.arrays()) {
        let (w, mut d) = (w.to_f64_vec(), d.to_f64_vec());
        if config.ignore.leaves(parameter.role) {
            d.fill(0.0);
        }
        match config.normalize {
            Normalize::Filter => Filters::of(parameter).rescale(&mut d, &w),
            Normalize::Layer => Filters::WHOLE.rescale(&mut d, &w),
            Normalize::Weight => d.iter_mut().zip(&w).for_each(|(d, w)| *d *= w),
            Normalize::UnitFilter => Filters::of(parameter).rescale_to_one(&mut d),
            Normalize::UnitLayer => Filters::WHOLE.rescale_to_one(&mut d),
            Normalize::UnitSphere | Normalize::None => {}
        }
        scaled.push(d);
    }
    if config.normalize == Normalize::UnitSphere {
        let length = scaled.iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
        if length > 0.0 {
            scaled.iter_mut().flatten().for_each(|x| *x /= length);
        }
    }
    let array = |(parameter, d): (&Parameter, Vec<f64>)| -> Result<_, MethodError> {
        Ok((parameter.name.clone(), Array::from_slice(&parameter.shape, &d)?))
    };
    let arrays = described.iter().zip(scaled).map(array).collect::<Result<_, _>>()?;
    Ok(Parameters::new(arrays)?)
}

fn check(described: &[Parameter], what: &str, got: &Parameters) -> Result<(), MethodError> {
    if described.len() != got.len() {
        let expected = format!("{} arrays", described.len());
        return Err(MethodError::mismatch(what, expected, got.len()));
    }
    for (parameter, (name, array)) in described.iter().zip(got.iter()) {
        if parameter.name != name || parameter.shape != array.shape() {
            let expected = format!("{} {:?}", parameter.name, parameter.shape);
            let got = format!("{name} {:?}", array.shape());
            return Err(MethodError::mismatch(what, expected, got));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::vector::norm;
    use thalweg_nn::Architecture;

    fn convnet() -> (Vec<Parameter>, Parameters) {
        let model = "resnet depth=8 width=4".parse::<Architecture>().unwrap();
        let model = model.build(&[8, 8, 1], 10).unwrap();
        let weights = thalweg_train::initialize(&model, 0, thalweg_array::DType::F64).unwrap();
        // Biases and shifts start at zero, which would hide what becomes of them.
        let flat = weights.parameters.flatten().iter().map(|w| w + 0.01).collect::<Vec<_>>();
        (model.parameters().to_vec(), weights.parameters.unflatten(&flat).unwrap())
    }

    #[test]
    fn every_filter_has_the_norm_of_its_weights() {
        let (described, weights) = convnet();
        let stream = Stream::new(0, "directions");
        let config = DirectionConfig::default();
        let d = random_direction(&described, &weights, &config, &stream).unwrap();
        for ((parameter, d), w) in described.iter().zip(d.arrays()).zip(weights.arrays()) {
            let (d, w) = (d.to_f64_vec(), w.to_f64_vec());
            // Filters are last in kernels, matrices and vectors alike.
            let n = *parameter.shape.last().unwrap();
            for filter in 0..n {
                let of = |x: &[f64]| {
                    norm(&x.iter().skip(filter).step_by(n).copied().collect::<Vec<_>>())
                };
                assert!((of(&d) - of(&w)).abs() < 1e-12 * of(&w), "{}", parameter.name);
            }
            if parameter.shape.len() > 1 {
                assert!(d.iter().any(|x| *x < 0.0) && d.iter().any(|x| *x > 0.0));
            }
        }
    }

    #[test]
    fn ignored_parameters_stay() {
        let (described, weights) = convnet();
        let stream = Stream::new(0, "directions");
        for normalize in Normalize::ALL {
            let config = DirectionConfig { normalize, ignore: "bias,norm".parse().unwrap() };
            let d = random_direction(&described, &weights, &config, &stream).unwrap();
            for (parameter, d) in described.iter().zip(d.arrays()) {
                let moves = d.to_f64_vec().iter().any(|x| *x != 0.0);
                assert_eq!(moves, parameter.role == Role::Weight, "{}", parameter.name);
            }
        }
    }

    #[test]
    fn layers_have_the_norm_of_theirs_and_none_is_as_drawn() {
        let (described, weights) = convnet();
        let stream = Stream::new(0, "directions");
        let draw = |normalize| {
            let config = DirectionConfig { normalize, ignore: Ignore::default() };
            random_direction(&described, &weights, &config, &stream).unwrap()
        };
        for (d, w) in draw(Normalize::Layer).arrays().iter().zip(weights.arrays()) {
            let (d, w) = (norm(&d.to_f64_vec()), norm(&w.to_f64_vec()));
            assert!((d - w).abs() < 1e-12 * w);
        }
        let plain = draw(Normalize::None);
        let expected = stream.child(&described[0].name).normal(3);
        assert_eq!(plain.arrays()[0].to_f64_vec()[3], expected);
    }

    #[test]
    fn directions_of_norm_one_and_in_shares_of_weights_are_by_hand() {
        let weight = |name: &str, role| {
            let axes = [thalweg_nn::Axis::Input, thalweg_nn::Axis::Output];
            let zero = thalweg_nn::Initializer::Constant(0.0);
            match role {
                Role::Bias => Parameter::new(name, &[2], role, &axes[1..], zero),
                _ => Parameter::new(name, &[2, 2], role, &axes, zero),
            }
        };
        let described = [weight("w", Role::Weight), weight("b", Role::Bias)];
        let tree = |w: [f64; 4], b: [f64; 2]| {
            let [w, b] = [Array::from_slice(&[2, 2], &w), Array::from_slice(&[2], &b)];
            Parameters::new(vec![("w".into(), w.unwrap()), ("b".into(), b.unwrap())]).unwrap()
        };
        // Filters are columns: (3, 4) and (5, 12), of norms 5 and 13.
        let d = tree([3.0, 5.0, 4.0, 12.0], [-2.0, 7.0]);
        let w = tree([1.0, 2.0, -3.0, 0.0], [10.0, 0.0]);
        let of = |normalize, ignore: Ignore| {
            let config = DirectionConfig { normalize, ignore };
            super::normalize(&described, &w, &d, &config).unwrap().flatten()
        };
        let all = Ignore::default();
        let near = |found: Vec<f64>, expected: [f64; 6]| {
            let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == 6 && apart < 1e-15, "{found:?} {expected:?}");
        };
        near(of(Normalize::Weight, all), [3.0, 10.0, -12.0, 0.0, -20.0, 0.0]);
        let (a, b) = (1.0 / 5.0, 1.0 / 13.0);
        near(of(Normalize::UnitFilter, all), [3.0 * a, 5.0 * b, 4.0 * a, 12.0 * b, -1.0, 1.0]);
        // 9 + 25 + 16 + 144 = 194, 4 + 49 = 53.
        let (a, b) = (194f64.sqrt(), 53f64.sqrt());
        let expected = [3.0 / a, 5.0 / a, 4.0 / a, 12.0 / a, -2.0 / b, 7.0 / b];
        near(of(Normalize::UnitLayer, all), expected);
        let c = 247f64.sqrt();
        let expected = [3.0 / c, 5.0 / c, 4.0 / c, 12.0 / c, -2.0 / c, 7.0 / c];
        near(of(Normalize::UnitSphere, all), expected);
        // Of what moves alone.
        let bias = Ignore::BIAS_AND_NORM;
        near(of(Normalize::UnitSphere, bias), [3.0 / a, 5.0 / a, 4.0 / a, 12.0 / a, 0.0, 0.0]);
    }

    #[test]
    fn zero_filters_do_not_move() {
        let weight = Parameter::new(
            "w",
            &[2, 2],
            Role::Weight,
            &[thalweg_nn::Axis::Input, thalweg_nn::Axis::Output],
            thalweg_nn::Initializer::Constant(0.0),
        );
        let tree = |values: &[f64]| {
            Parameters::new(vec![("w".into(), Array::from_slice(&[2, 2], values).unwrap())])
                .unwrap()
        };
        let (w, d) = (tree(&[0.0, 3.0, 0.0, 4.0]), tree(&[1.0, 0.6, 2.0, 0.8]));
        let found = normalize(&[weight], &w, &d, &DirectionConfig::default()).unwrap().flatten();
        assert_eq!((found[0], found[2]), (0.0, 0.0));
        assert!((found[1] - 3.0).abs() < 1e-14 && (found[3] - 4.0).abs() < 1e-14);
    }

    #[test]
    fn filters_are_told_apart_by_the_axis_of_outputs_and_embeddings_by_their_rows() {
        use thalweg_nn::{Axis, Initializer};
        let zero = Initializer::Constant(0.0);
        let described = [
            Parameter::new("first", &[2, 3], Role::Weight, &[Axis::Output, Axis::Input], zero),
            Parameter::new("rows", &[2, 3], Role::Embedding, &[Axis::Input, Axis::Output], zero),
            Parameter::new("whole", &[2, 3], Role::Weight, &[Axis::Other, Axis::Other], zero),
        ];
        let tree = |values: &[f64; 6]| {
            let array = Array::from_slice(&[2, 3], values).unwrap();
            let named = described.iter().map(|p| (p.name.clone(), array.clone()));
            Parameters::new(named.collect()).unwrap()
        };
        // Rows of norms 3 and 30; of the direction 1 and 2.
        let (w, d) =
            (tree(&[1.0, 2.0, 2.0, 10.0, 20.0, 20.0]), tree(&[1.0, 0.0, 0.0, 0.0, 2.0, 0.0]));
        let found = normalize(&described, &w, &d, &DirectionConfig::default()).unwrap();
        for name in ["first", "rows"] {
            assert_eq!(found.get(name).unwrap().to_f64_vec(), [3.0, 0.0, 0.0, 0.0, 30.0, 0.0]);
        }
        let whole = found.get("whole").unwrap().to_f64_vec();
        let factor = (909.0f64 / 5.0).sqrt();
        assert!((whole[0] - factor).abs() < 1e-12 && (whole[4] - 2.0 * factor).abs() < 1e-12);
    }

    #[test]
    fn names_are_read() {
        for way in Normalize::ALL {
            assert_eq!(way.to_string().parse::<Normalize>().unwrap(), way);
        }
        assert_eq!(
            "Filter".parse::<Normalize>().unwrap_err().to_string(),
            "normalisation: expected one of filter, layer, weight, dfilter, dlayer, sphere, none, \
             got Filter"
        );
        assert_eq!("bias norm".parse::<Ignore>().unwrap().names(), ["bias", "norm"]);
        assert!("biasbn".parse::<Ignore>().is_err());
        assert_eq!("".parse::<Ignore>().unwrap(), Ignore::default());
    }
}

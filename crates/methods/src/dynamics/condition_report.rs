//! How far the singular values of weights lie apart.

use crate::MethodError;
use crate::common::{gram, has_output_rows, output_rows, symmetric_eigen};
use thalweg_array::Array;
use thalweg_nn::{Model, Parameter, Weights};

/// The largest and the smallest singular value of a layer's weight, as the matrix of its outputs and
/// their fan-in.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCondition {
    /// The weight's name.
    pub name: String,
    /// The smallest one, known to `1e-8` of the largest.
    pub smallest: f64,
    /// The largest one.
    pub largest: f64,
}

impl LayerCondition {
    /// Their ratio, the condition number; at most `6.7e7`, beyond which the smallest one is rounding.
    pub fn number(&self) -> f64 {
        ratio(self.smallest, self.largest)
    }
}

/// The singular values at the ends, of every weight of a model with several axes of which the last one
/// alone is that of its outputs, at each of some points: for each point, its layers in the model's order. Of
/// weights that a forward pass rescales, pass those that it uses
/// ([`ScaledWeights::fold`](super::ScaledWeights::fold)).
///
/// # Errors
/// Weights of another model; a weight that is not finite; a model without such weights.
/// # Source    Saratchandran, Wang, Lucey, Weight conditioning for smooth optimization of neural
/// networks, 2024, arXiv 2409.03424
pub fn condition_report(
    model: &Model,
    points: &[Weights],
) -> Result<Vec<Vec<LayerCondition>>, MethodError> {
    let layers: Vec<&Parameter> =
        model.parameters().iter().filter(|p| has_output_rows(p)).collect();
    if layers.is_empty() {
        let expected = "a weight of several axes, the last one alone that of its outputs";
        return Err(MethodError::mismatch("condition of a model's weights", expected, "none"));
    }
    let of = |point: &Weights, layer: &Parameter| {
        let known = point.parameters.get(&layer.name).filter(|w| w.shape() == layer.shape);
        let Some(weight) = known else {
            let expected = format!("{} {:?}", layer.name, layer.shape);
            return Err(MethodError::mismatch("weights", expected, "none"));
        };
        let [smallest, largest] = ends(weight);
        if !largest.is_finite() {
            let what = format!("a singular value of {}", layer.name);
            return Err(MethodError::NotFinite { what, value: largest.to_string() });
        }
        Ok(LayerCondition { name: layer.name.clone(), smallest, largest })
    };
    points.iter().map(|point| layers.iter().map(|layer| of(point, layer)).collect()).collect()
}

/// The condition number of a weight whose last axis is that of output units: its largest singular
/// value over its smallest, as [`LayerCondition::number`].
pub fn condition_number(weight: &Array) -> f64 {
    let [smallest, largest] = ends(weight);
    ratio(smallest, largest)
}

/// The smallest and the largest singular value.
fn ends(weight: &Array) -> [f64; 2] {
    let values = symmetric_eigen(&gram(&output_rows(weight))).values;
    let root = |value: Option<&f64>| value.map_or(f64::NAN, |value| value.max(0.0).sqrt());
    match values.iter().all(|value| value.is_finite()) {
        true => [root(values.first()), root(values.last())],
        false => [f64::NAN; 2],
    }
}

/// Squares of singular values are known to rounding of the largest alone.
fn ratio(smallest: f64, largest: f64) -> f64 {
    largest / smallest.max(f64::EPSILON.sqrt() * largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::vector;
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_nn::Architecture;
    use thalweg_train::initialize;

    #[test]
    fn condition_numbers_by_hand() {
        let w = Array::from_slice(&[2, 2], &[3.0, 0.0, 0.0, 0.5]).unwrap();
        assert!((condition_number(&w) - 6.0).abs() < 1e-12);
        let tall = Array::from_slice(&[3, 1], &[1.0, 2.0, 2.0]).unwrap();
        assert!((condition_number(&tall) - 1.0).abs() < 1e-12);
        let single = Array::from_slice(&[2, 2], &[1.0, 1.0, 1.0, 1.0]).unwrap();
        let most = condition_number(&single);
        assert!((most * f64::EPSILON.sqrt() - 1.0).abs() < 1e-9, "{most}");
    }

    #[test]
    fn a_report_follows_layers_along_points() {
        let model = "convnet channels=2".parse::<Architecture>().unwrap();
        let model = model.build(&[4, 4, 1], 2).unwrap();
        let start = initialize(&model, 1, DType::F64).unwrap();
        // Two filters of one place each, (3 t, 0) and (0, 4), and a matrix of (1, 0) and (0, 2 t).
        let at = |t: f64| {
            let arrays = start.parameters.iter().map(|(name, array)| {
                let mut values = vec![0.0; array.len()];
                match name {
                    "conv1.weight" => (values[0], values[3]) = (3.0 * t, 4.0),
                    "fc.weight" => (values[0], values[3]) = (1.0, 2.0 * t),
                    _ => {}
                }
                Array::from_slice(array.shape(), &values).unwrap()
            });
            let parameters = start.parameters.with_arrays(arrays.collect()).unwrap();
            Weights { parameters, buffers: start.buffers.clone() }
        };
        let found = condition_report(&model, &[at(1.0), at(2.0)]).unwrap();
        let ends = |point: usize, layer: usize| {
            let one = &found[point][layer];
            (one.name.as_str(), one.smallest, one.largest)
        };
        let near = |found: (&str, f64, f64), name: &str, smallest: f64, largest: f64| {
            assert_eq!(found.0, name);
            assert!((found.1 - smallest).abs() < 1e-12 && (found.2 - largest).abs() < 1e-12);
        };
        near(ends(0, 0), "conv1.weight", 3.0, 4.0);
        near(ends(1, 0), "conv1.weight", 4.0, 6.0);
        near(ends(0, 1), "fc.weight", 1.0, 2.0);
        near(ends(1, 1), "fc.weight", 1.0, 4.0);
        assert!((found[1][0].number() - 1.5).abs() < 1e-12);
        assert!(condition_report(&model, &[at(f64::NAN)]).is_err());
        let other = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        assert!(condition_report(&other, &[at(1.0)]).is_err());
    }

    #[test]
    fn equilibrated_rows_are_within_the_factor_of_the_best() {
        let stream = Stream::new(6, "matrix");
        let (inputs, outputs) = (7, 5);
        let entry = |i: usize| stream.normal(i as u64) * 3f64.powi((i % outputs) as i32);
        let values: Vec<f64> = (0..inputs * outputs).map(entry).collect();
        let w = Array::from_slice(&[inputs, outputs], &values).unwrap();
        let lengths: Vec<f64> = output_rows(&w).iter().map(|row| vector::norm(row)).collect();
        let scaled = |factor: &dyn Fn(usize) -> f64| {
            let new = values.iter().enumerate().map(|(i, x)| x * factor(i % outputs));
            let new: Vec<f64> = new.collect();
            condition_number(&Array::from_slice(&[inputs, outputs], &new).unwrap())
        };
        let equilibrated = scaled(&|i| 1.0 / lengths[i]);
        for trial in 0..1000 {
            let draws = stream.child("diagonals").at(trial);
            let other = scaled(&|i| (2.0 * draws.normal(i as u64)).exp());
            assert!(equilibrated <= (outputs as f64).sqrt() * other * (1.0 + 1e-9));
        }
        assert!(equilibrated < scaled(&|_| 1.0));
    }
}

//! How long the weights of a network are.

use crate::common::{Objective, check_point, vector};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// What [`weight_norm`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightNorms {
    /// The norm of all parameters together.
    pub total: f64,
    /// Name and norm of each parameter of more than one axis: matrices, kernels and tables.
    pub each: Vec<(String, f64)>,
}

/// The Euclidean norms of the weights: of all parameters together, and of each matrix or kernel
/// (Frobenius).
///
/// # Errors
/// A weight that is not finite; weights of another model.
/// # Source    as an indicator of lost plasticity: Lyle et al., Understanding plasticity in neural
/// networks, 2023, arXiv 2303.01486
pub fn weight_norm(objective: &dyn Objective, point: &Weights) -> Result<WeightNorms, MethodError> {
    let point = check_point(objective, "the point", point)?;
    let (mut each, mut squares) = (Vec::new(), 0.0);
    for (parameter, array) in objective.parameters().iter().zip(point.parameters.arrays()) {
        let norm = vector::norm(&array.to_f64_vec());
        if !norm.is_finite() {
            let what = format!("the norm of {}", parameter.name);
            return Err(MethodError::NotFinite { what, value: norm.to_string() });
        }
        squares += norm * norm;
        if parameter.shape.len() > 1 {
            each.push((parameter.name.clone(), norm));
        }
    }
    Ok(WeightNorms { total: squares.sqrt(), each })
}

/// [`weight_norm`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct WeightNorm;

impl Instrument for WeightNorm {
    const ID: &'static str = "weight_norm";
    const SUMMARY: &'static str = "Euclidean norm of all weights, and of each matrix or kernel";
    const SOURCE: &'static str = "as an indicator: Lyle et al. 2023, arXiv 2303.01486";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::LossScale];
    type Config = ();
    type Reading = WeightNorms;

    fn measure(
        _: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        (): &(),
    ) -> Result<WeightNorms, MethodError> {
        weight_norm(objective, point)
    }

    fn cost((): &(), _: &Size) -> Cost {
        Cost::exactly(0, 0, 0)
    }

    fn quantities(reading: &WeightNorms) -> Vec<Quantity> {
        let each = reading
            .each
            .iter()
            .map(|(name, norm)| Quantity::exact(format!("norm of {name}"), *norm));
        let total = Quantity::exact("weight norm", reading.total);
        std::iter::once(total).chain(each).map(Quantity::of_data).collect()
    }

    fn refused() -> Vec<()> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_graph::DType;

    #[test]
    fn values_by_hand() {
        let function =
            Function::new(DType::F64, &[("w", &[1, 2]), ("b", &[1])], |_, w| w[0].sum_all());
        let found = weight_norm(&function, &function.point(&[3.0, 4.0, 12.0]).unwrap()).unwrap();
        assert_eq!(found, WeightNorms { total: 13.0, each: vec![("w".into(), 5.0)] });
        let point = function.point(&[f64::NAN, 4.0, 12.0]).unwrap();
        assert!(matches!(weight_norm(&function, &point), Err(MethodError::NotFinite { .. })));
    }
}

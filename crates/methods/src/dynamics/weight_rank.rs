//! How many directions the weights of a network have.

use crate::common::{Objective, Ranks, check_point, matrix_ranks};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::{Role, Weights};

/// The ranks of one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightRanks {
    /// Its name.
    pub name: String,
    /// The ranks of its matrix.
    pub ranks: Ranks,
}

/// The ranks of every weight, as the matrix of its inputs and outputs: of a convolution's kernel the
/// inputs are the places of the kernel times the channels.
///
/// # Errors
/// A model without such a weight; a weight that is not finite; weights of another model.
/// # Source    see [`Ranks`]; of weights: Lyle et al., Understanding plasticity in neural networks,
/// 2023, arXiv 2303.01486
pub fn weight_rank(
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<WeightRanks>, MethodError> {
    let point = check_point(objective, "the point", point)?;
    let mut found = Vec::new();
    for (parameter, array) in objective.parameters().iter().zip(point.parameters.arrays()) {
        let matrix = parameter.role == Role::Weight && parameter.shape.len() > 1;
        if !matrix || array.is_empty() {
            continue;
        }
        let (values, shape) = (array.to_f64_vec(), &parameter.shape);
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let what = format!("an element of {}", parameter.name);
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
        let axis = parameter.filter_axis().unwrap_or(shape.len() - 1);
        let inner: usize = shape[axis + 1..].iter().product();
        let mut rows = vec![Vec::with_capacity(values.len() / shape[axis]); shape[axis]];
        for (i, value) in values.into_iter().enumerate() {
            rows[i / inner % shape[axis]].push(value);
        }
        let ranks = matrix_ranks(&rows, 0.99);
        found.push(WeightRanks { name: parameter.name.clone(), ranks });
    }
    match found.is_empty() {
        true => Err(MethodError::mismatch("ranks of weights", "a weight of two axes", "none")),
        false => Ok(found),
    }
}

/// [`weight_rank`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct WeightRank;

impl Instrument for WeightRank {
    const ID: &'static str = "weight_rank";
    const SUMMARY: &'static str = "effective and stable rank of every weight matrix";
    const SOURCE: &'static str = "Roy and Vetterli 2007; Rudelson and Vershynin 2007";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::LayerRescaling, Invariance::LossScale];
    type Config = ();
    type Reading = Vec<WeightRanks>;

    fn measure(
        _: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        (): &(),
    ) -> Result<Vec<WeightRanks>, MethodError> {
        weight_rank(objective, point)
    }

    fn cost((): &(), _: &Size) -> Cost {
        Cost::exactly(0, 0, 0)
    }

    fn quantities(reading: &Vec<WeightRanks>) -> Vec<Quantity> {
        let of = |one: &WeightRanks| {
            [
                Quantity::exact(format!("effective rank of {}", one.name), one.ranks.effective),
                Quantity::exact(format!("stable rank of {}", one.name), one.ranks.stable),
            ]
        };
        reading.iter().flat_map(of).map(Quantity::of_data).collect()
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
    fn a_kernel_is_a_matrix_with_a_row_a_filter() {
        // Two filters of two places and one channel: (1, 0) and (0, 1).
        let function =
            Function::new(DType::F64, &[("k", &[2, 1, 1, 2]), ("b", &[2])], |_, w| w[0].sum_all());
        let point = function.point(&[1.0, 0.0, 0.0, 1.0, 7.0, 7.0]).unwrap();
        let found = weight_rank(&function, &point).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "k"));
        assert!((found[0].ranks.effective - 2.0).abs() < 1e-12, "{found:?}");
        let alone = Function::new(DType::F64, &[("b", &[2])], |_, w| w[0].sum_all());
        assert!(weight_rank(&alone, &alone.point(&[1.0, 2.0]).unwrap()).is_err());
    }
}

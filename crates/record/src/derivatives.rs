//! Slope and curvature along a line, point by point.

use crate::columns::{self, Column};
use crate::zarr::{Group, Store};
use crate::{Result, number};
use serde::{Deserialize, Serialize};

/// First and second derivatives of the loss along a line, in the order of its values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Derivatives {
    /// The first derivatives.
    #[serde(with = "number::vec")]
    pub slope: Vec<f64>,
    /// The second.
    #[serde(with = "number::vec")]
    pub curvature: Vec<f64>,
    /// Standard errors of the first, where losses have one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub slope_standard_error: Option<Vec<f64>>,
    /// Those of the second.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option_vec")]
    pub curvature_standard_error: Option<Vec<f64>>,
    /// The gradient, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<LineGradients>,
}

/// The gradient of the loss along a line, in the order of its values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LineGradients {
    /// Its length.
    #[serde(with = "number::vec")]
    pub norm: Vec<f64>,
    /// Its cosine with the line.
    #[serde(with = "number::vec")]
    pub cosine: Vec<f64>,
    /// Its cosine with the gradient at the point before; NaN at the first.
    #[serde(with = "number::vec")]
    pub turn: Vec<f64>,
}

const SLOPE: &str = "slope";
const CURVATURE: &str = "curvature";
const SLOPE_ERROR: &str = "slope_standard_error";
const CURVATURE_ERROR: &str = "curvature_standard_error";
const NORM: &str = "gradient_norm";
const COSINE: &str = "gradient_cosine";
const TURN: &str = "gradient_turn_cosine";

impl Derivatives {
    fn columns(&self) -> Vec<Column<'_>> {
        let mut columns = vec![
            (SLOPE, "derivative of the loss along the line", &self.slope),
            (CURVATURE, "second derivative of the loss along the line", &self.curvature),
        ];
        let errors = [
            (SLOPE_ERROR, "standard error of the derivative", &self.slope_standard_error),
            (CURVATURE_ERROR, "that of the second", &self.curvature_standard_error),
        ];
        columns.extend(errors.into_iter().filter_map(|(n, w, v)| Some((n, w, v.as_ref()?))));
        if let Some(gradients) = &self.gradients {
            columns.extend([
                (NORM, "length of the loss's gradient", &gradients.norm),
                (COSINE, "cosine of the gradient and the line", &gradients.cosine),
                (TURN, "cosine of the gradient and that at the point before", &gradients.turn),
            ]);
        }
        columns
    }

    pub(crate) fn check(&self, points: usize) -> Result<()> {
        columns::check(&self.columns(), points, "points")
    }

    pub(crate) fn describe(&self, group: Group, shape: &[usize], dimensions: &[&str]) -> Group {
        columns::describe(&self.columns(), group, shape, dimensions)
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        columns::write(&self.columns(), store, group, path)
    }

    /// What [`Derivatives::write`] wrote, if there is any.
    pub(crate) fn read(
        optional: impl Fn(&str) -> Result<Option<Vec<f64>>>,
    ) -> Result<Option<Derivatives>> {
        let (Some(slope), Some(curvature)) = (optional(SLOPE)?, optional(CURVATURE)?) else {
            return Ok(None);
        };
        let gradients = match (optional(NORM)?, optional(COSINE)?, optional(TURN)?) {
            (Some(norm), Some(cosine), Some(turn)) => Some(LineGradients { norm, cosine, turn }),
            _ => None,
        };
        Ok(Some(Derivatives {
            slope,
            curvature,
            slope_standard_error: optional(SLOPE_ERROR)?,
            curvature_standard_error: optional(CURVATURE_ERROR)?,
            gradients,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::MemoryStore;
    use crate::{Estimate, Parabola, Quantity, Surface, SurfaceAttributes};

    #[test]
    fn derivatives_go_round_with_the_parabola() {
        let at = vec![0.0, 1.0];
        let mut line = Surface::new(at, vec![0.0], None, SurfaceAttributes::default()).unwrap();
        line.loss = vec![1.0, 2.0];
        line.derivatives = Some(Derivatives {
            slope: vec![0.5, 1.0],
            curvature: vec![2.0, 3.0],
            slope_standard_error: Some(vec![0.1, 0.2]),
            curvature_standard_error: None,
            gradients: Some(LineGradients {
                norm: vec![1.0, 2.0],
                cosine: vec![0.5, -0.5],
                turn: vec![0.0, 1.0],
            }),
        });
        let slope = Estimate { value: 0.5, standard_error: 0.1, samples: 7 };
        let parabola = Parabola { loss: 1.0, slope: slope.into(), curvature: Quantity::Exact(2.0) };
        line.parabolas = vec![parabola];
        let store = MemoryStore::default();
        line.write_zarr(&store).unwrap();
        assert_eq!(Surface::read_zarr(&store, "").unwrap(), line);
        assert_eq!((parabola.at(0.0), parabola.at(2.0)), (1.0, 6.0));
        line.derivatives.as_mut().unwrap().slope.pop();
        assert_eq!(line.check().unwrap_err().to_string(), "slope: expected 2 points, got 1");
    }
}

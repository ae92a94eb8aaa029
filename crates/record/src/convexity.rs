//! The extreme eigenvalues of the Hessian over a plane.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{Result, number, shape_error};
use serde::{Deserialize, Serialize};

/// Extreme eigenvalues on a grid of their own, `[y, x]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Convexity {
    /// Coordinates along the first direction.
    pub x: Vec<f64>,
    /// Coordinates along the second.
    pub y: Vec<f64>,
    /// The largest eigenvalue at each point; NaN where there is none.
    #[serde(with = "number::vec")]
    pub largest: Vec<f64>,
    /// Within which distance of it an eigenvalue lies.
    #[serde(with = "number::vec")]
    pub largest_residual: Vec<f64>,
    /// The smallest.
    #[serde(with = "number::vec")]
    pub smallest: Vec<f64>,
    /// Within which distance of it an eigenvalue lies.
    #[serde(with = "number::vec")]
    pub smallest_residual: Vec<f64>,
    /// `|smallest / largest|`.
    #[serde(with = "number::vec")]
    pub ratio: Vec<f64>,
    /// By how much it may be off, from the residuals.
    #[serde(with = "number::vec")]
    pub ratio_error: Vec<f64>,
    /// Products with the Hessian that it took.
    pub products: u64,
}

/// A convexity map in the JSON reply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConvexitySummary {
    /// Points of its grid.
    pub points: u64,
    /// Points at which the smallest eigenvalue is above zero by more than its residual.
    pub convex: u64,
    /// Points without finite eigenvalues.
    pub not_finite: u64,
    /// The median of `|smallest / largest|`; `null` where no point has one.
    #[serde(with = "number")]
    pub median_ratio: f64,
    /// The largest.
    #[serde(with = "number")]
    pub largest_ratio: f64,
    /// The largest bound of an error of a ratio.
    #[serde(with = "number")]
    pub ratio_error: f64,
    /// Products with the Hessian.
    pub products: u64,
}

impl Convexity {
    /// For the reply.
    pub fn summary(&self) -> ConvexitySummary {
        let mut ratios: Vec<f64> = self.ratio.iter().copied().filter(|r| r.is_finite()).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let known = self.ratio.iter().zip(&self.ratio_error).filter(|(r, _)| r.is_finite());
        let parts = self.smallest.iter().zip(&self.smallest_residual);
        ConvexitySummary {
            points: self.ratio.len() as u64,
            convex: parts.filter(|(value, residual)| value > residual).count() as u64,
            not_finite: (self.ratio.len() - ratios.len()) as u64,
            median_ratio: ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
            largest_ratio: ratios.last().copied().unwrap_or(f64::NAN),
            ratio_error: known.map(|(_, error)| *error).fold(f64::NAN, f64::max),
            products: self.products,
        }
    }

    fn columns(&self) -> [(&'static str, &'static str, &Vec<f64>); 6] {
        [
            ("largest_eigenvalue", "largest eigenvalue of the Hessian", &self.largest),
            (
                "largest_residual",
                "distance within which an eigenvalue lies",
                &self.largest_residual,
            ),
            ("smallest_eigenvalue", "smallest eigenvalue of the Hessian", &self.smallest),
            (
                "smallest_residual",
                "distance within which an eigenvalue lies",
                &self.smallest_residual,
            ),
            ("convexity_ratio", "absolute smallest over largest eigenvalue", &self.ratio),
            ("convexity_ratio_error", "bound of its error, from the residuals", &self.ratio_error),
        ]
    }

    pub(crate) fn check(&self) -> Result<()> {
        let points = self.x.len().saturating_mul(self.y.len());
        match self.columns().iter().find(|(_, _, values)| values.len() != points) {
            Some((name, _, values)) => {
                Err(shape_error(*name, format!("{points} points"), values.len()))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn describe(&self, mut group: Group) -> Group {
        for (name, length) in [("convexity_x", self.x.len()), ("convexity_y", self.y.len())] {
            let spec = ArraySpec::new::<f64>(&[length], &[name]);
            group = group.array(name, spec.attribute("long_name", "position along the direction"));
        }
        let shape = [self.y.len(), self.x.len()];
        for (name, what, _) in self.columns() {
            let spec = ArraySpec::new::<f64>(&shape, &["convexity_y", "convexity_x"]);
            let spec = spec.attribute("long_name", what).attribute("products", self.products);
            group = group.array(name, spec);
        }
        group
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| super::surface_zarr::join(path, name);
        group.write(store, &at("convexity_x"), &self.x)?;
        group.write(store, &at("convexity_y"), &self.y)?;
        for (name, _, values) in self.columns() {
            group.write(store, &at(name), values)?;
        }
        Ok(())
    }

    /// What [`Convexity::write`] wrote, if there is any.
    pub(crate) fn read(
        group: &Group,
        optional: impl Fn(&str) -> Result<Option<Vec<f64>>>,
    ) -> Result<Option<Convexity>> {
        let Some(spec) = group.find("convexity_ratio") else { return Ok(None) };
        let products = spec.attributes.get("products").and_then(|v| v.as_u64()).unwrap_or(0);
        let column = |name: &str| -> Result<Vec<f64>> { Ok(optional(name)?.unwrap_or_default()) };
        let found = Convexity {
            x: column("convexity_x")?,
            y: column("convexity_y")?,
            largest: column("largest_eigenvalue")?,
            largest_residual: column("largest_residual")?,
            smallest: column("smallest_eigenvalue")?,
            smallest_residual: column("smallest_residual")?,
            ratio: column("convexity_ratio")?,
            ratio_error: column("convexity_ratio_error")?,
            products,
        };
        found.check()?;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::MemoryStore;
    use crate::{Surface, SurfaceAttributes};

    #[test]
    fn a_convexity_map_goes_round() {
        let at = vec![0.0, 1.0, 2.0];
        let mut surface = Surface::new(at, vec![0.0], None, SurfaceAttributes::default()).unwrap();
        let map = Convexity {
            x: vec![0.0, 2.0],
            y: vec![0.0],
            largest: vec![4.0, 2.0],
            largest_residual: vec![0.01, 0.02],
            smallest: vec![0.5, -1.0],
            smallest_residual: vec![0.1, 0.2],
            ratio: vec![0.125, 0.5],
            ratio_error: vec![0.03, 0.1],
            products: 40,
        };
        surface.convexity = Some(map.clone());
        surface.loss = vec![0.0; 3];
        let store = MemoryStore::default();
        surface.write_zarr(&store).unwrap();
        assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface);
        let summary = map.summary();
        assert_eq!((summary.convex, summary.not_finite, summary.products), (1, 0, 40));
        assert_eq!((summary.largest_ratio, summary.ratio_error), (0.5, 0.1));
        surface.convexity.as_mut().unwrap().ratio.pop();
        assert!(surface.check().is_err());
    }
}

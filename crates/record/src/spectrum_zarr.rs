//! A [`Spectrum`] in Zarr.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{
    Density, Eigenvalue, Outliers, Products, Quantity, RECORD_VERSION, RelativeTo, Result,
    Spectrum, format_error,
};
use serde::{Deserialize, Serialize};

/// What is a single number or word, and so goes into the attributes.
#[derive(Serialize, Deserialize)]
struct Attributes {
    record_version: u32,
    operator: String,
    scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preconditioner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relative_to: Option<RelativeTo>,
    dimension: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<Quantity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frobenius_squared: Option<Quantity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outliers: Option<Outliers>,
    #[serde(default)]
    products: Products,
}

impl Spectrum {
    /// The group that holds this spectrum: eigenvalues over `top` and `bottom`, the density over
    /// `eigenvalue`.
    ///
    /// # Errors
    /// `Format` if the density's parts differ in length.
    pub fn group(&self) -> Result<Group> {
        let mut group = Group::default();
        group.set_attributes(&Attributes {
            record_version: RECORD_VERSION,
            operator: self.operator.clone(),
            scope: self.scope.clone(),
            preconditioner: self.preconditioner.clone(),
            relative_to: self.relative_to.clone(),
            dimension: self.dimension,
            trace: self.trace,
            frobenius_squared: self.frobenius_squared,
            outliers: self.outliers,
            products: self.products,
        })?;
        for (side, values) in [("top", &self.top), ("bottom", &self.bottom)] {
            let spec = ArraySpec::new::<f64>(&[values.len()], &[side]);
            group = group
                .array(&format!("{side}_eigenvalue"), spec.clone())
                .array(&format!("{side}_residual"), spec.clone());
            if sampling_errors(values).is_some() {
                group = group.array(&format!("{side}_sampling_error"), spec);
            }
        }
        if let Some(density) = &self.density {
            let n = density.centres.len();
            if density.values.len() != n || density.standard_errors.len() != n {
                let got = format!("{} and {}", density.values.len(), density.standard_errors.len());
                return Err(format_error("density", format!("{n} values and errors"), got));
            }
            let spec = ArraySpec::new::<f64>(&[n], &["eigenvalue"]);
            group = group
                .array("eigenvalue", spec.clone())
                .array("density", spec.clone())
                .array("density_standard_error", spec);
        }
        Ok(group)
    }

    /// Writes the values under `path` of a hierarchy whose metadata is in the store.
    ///
    /// # Errors
    /// `Io` if the store fails.
    pub fn write_values(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| if path.is_empty() { name.into() } else { format!("{path}/{name}") };
        for (side, values) in [("top", &self.top), ("bottom", &self.bottom)] {
            let column = |part: fn(&Eigenvalue) -> f64| values.iter().map(part).collect::<Vec<_>>();
            group.write(store, &at(&format!("{side}_eigenvalue")), &column(|e| e.value))?;
            group.write(store, &at(&format!("{side}_residual")), &column(|e| e.residual))?;
            if let Some(errors) = sampling_errors(values) {
                group.write(store, &at(&format!("{side}_sampling_error")), &errors)?;
            }
        }
        if let Some(density) = &self.density {
            group.write(store, &at("eigenvalue"), &density.centres)?;
            group.write(store, &at("density"), &density.values)?;
            group.write(store, &at("density_standard_error"), &density.standard_errors)?;
        }
        Ok(())
    }

    /// Writes the spectrum as a store of its own.
    ///
    /// # Errors
    /// `Io` if the store fails.
    pub fn write_zarr(&self, store: &dyn Store) -> Result<()> {
        let group = self.group()?;
        // A store that can be opened is whole.
        self.write_values(store, &group, "")?;
        group.create(store)
    }

    /// Reads a spectrum that is a store of its own.
    ///
    /// # Errors
    /// `Missing` or `Format` if there is none, `Version` if it is from a later program.
    pub fn read_zarr(store: &dyn Store) -> Result<Spectrum> {
        let group = Group::open(store)?;
        group.check_version("spectrum")?;
        let attributes: Attributes = group.attributes_as("spectrum")?;
        let side = |side: &str| -> Result<Vec<Eigenvalue>> {
            let values = group.read::<f64>(store, &format!("{side}_eigenvalue"))?;
            let residuals = group.read::<f64>(store, &format!("{side}_residual"))?;
            let name = format!("{side}_sampling_error");
            let errors: Vec<Option<f64>> = match group.find(&name) {
                Some(_) => group.read::<f64>(store, &name)?.into_iter().map(Some).collect(),
                None => vec![None; values.len()],
            };
            let each = values.into_iter().zip(residuals).zip(errors);
            let each = each.map(|((value, residual), sampling_error)| Eigenvalue {
                value,
                residual,
                sampling_error,
            });
            Ok(each.collect())
        };
        let density = match group.find("density") {
            Some(_) => Some(Density {
                centres: group.read(store, "eigenvalue")?,
                values: group.read(store, "density")?,
                standard_errors: group.read(store, "density_standard_error")?,
            }),
            None => None,
        };
        Ok(Spectrum {
            operator: attributes.operator,
            scope: attributes.scope,
            preconditioner: attributes.preconditioner,
            relative_to: attributes.relative_to,
            dimension: attributes.dimension,
            top: side("top")?,
            bottom: side("bottom")?,
            trace: attributes.trace,
            frobenius_squared: attributes.frobenius_squared,
            density,
            outliers: attributes.outliers,
            products: attributes.products,
        })
    }
}

/// The errors of the sample, where each of some eigenvalues has one.
fn sampling_errors(of: &[Eigenvalue]) -> Option<Vec<f64>> {
    of.iter().map(|e| e.sampling_error).collect::<Option<Vec<f64>>>().filter(|all| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Estimate;
    use crate::zarr::MemoryStore;

    #[test]
    fn a_spectrum_goes_round() {
        let spectrum = Spectrum {
            operator: "hessian".into(),
            scope: "whole".into(),
            preconditioner: Some("adam".into()),
            relative_to: Some(RelativeTo {
                operator: "fisher".into(),
                damping: 0.5,
                preconditioner: Some("fisher-kfac".into()),
            }),
            dimension: 10,
            top: vec![Eigenvalue { value: 3.0, residual: 1e-7, sampling_error: Some(0.25) }],
            bottom: vec![Eigenvalue { value: -1.0, residual: 1e-7, sampling_error: None }],
            trace: Some(Estimate { value: 5.0, standard_error: 0.1, samples: 8 }.into()),
            frobenius_squared: None,
            density: Some(Density {
                centres: vec![0.0, 1.0],
                values: vec![0.75, 0.25],
                standard_errors: vec![0.0, 0.0],
            }),
            outliers: Some(Outliers {
                below: -2.0,
                above: 2.0,
                count: Estimate { value: 1.5, standard_error: 0.5, samples: 8 },
                found: 1,
            }),
            products: Products {
                trace: 8,
                density: 96,
                relative_to: 3,
                sampling_error: 9,
                ..Products::default()
            },
        };
        let store = MemoryStore::default();
        spectrum.write_zarr(&store).unwrap();
        assert_eq!(Spectrum::read_zarr(&store).unwrap(), spectrum);
    }
}

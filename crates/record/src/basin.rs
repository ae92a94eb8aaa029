//! How far a basin reaches along random rays.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{Estimate, Result, number};
use serde::{Deserialize, Serialize};

/// A basin: the radius of each ray, and what follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Basin {
    /// The distance at which each ray leaves it.
    #[serde(with = "number::vec")]
    pub radius: Vec<f64>,
    /// All but the rays.
    #[serde(flatten)]
    pub summary: BasinSummary,
}

/// A basin in the JSON reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BasinSummary {
    /// The basin ends where the loss has risen by so much.
    pub rise: f64,
    /// Number of rays.
    pub rays: u64,
    /// Number of coordinates.
    pub dimension: u64,
    /// What a coordinate is in: `none`: weights; `filter` or `layer`: root mean squares of theirs.
    pub unit: String,
    /// The mean radius.
    pub mean_radius: Estimate,
    /// Quartiles of the radii: the lower, the median, the upper.
    pub quartiles: [f64; 3],
    /// Rays that stay inside as far as they go.
    pub not_left: u64,
    /// Rays that end where the loss is not finite.
    pub not_finite: u64,
    /// The logarithm of the volume.
    pub log_volume: Estimate,
    /// On how many rays it rests in effect.
    pub effective_rays: f64,
    /// A lower bound of it in expectation.
    pub log_volume_bound: Estimate,
}

/// The attribute with all but the rays.
const BASIN: &str = "basin";
const RADIUS: &str = "basin_radius";

impl Basin {
    pub(crate) fn describe(&self, group: Group) -> Group {
        let spec = ArraySpec::new::<f64>(&[self.radius.len()], &["ray"])
            .attribute("long_name", "distance at which a random ray leaves the basin")
            .attribute(BASIN, serde_json::to_value(&self.summary).unwrap_or_default());
        group.array(RADIUS, spec)
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        group.write(store, &super::surface_zarr::join(path, RADIUS), &self.radius)
    }

    /// What [`Basin::write`] wrote, if there is any.
    pub(crate) fn read(
        group: &Group,
        optional: impl Fn(&str) -> Result<Option<Vec<f64>>>,
    ) -> Result<Option<Basin>> {
        let (Some(spec), Some(radius)) = (group.find(RADIUS), optional(RADIUS)?) else {
            return Ok(None);
        };
        let told = spec.attributes.get(BASIN).cloned().unwrap_or_default();
        let summary = serde_json::from_value(told)
            .map_err(|error| crate::format_error(RADIUS, "the summary of a basin", error))?;
        Ok(Some(Basin { radius, summary }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::MemoryStore;
    use crate::{Surface, SurfaceAttributes};

    #[test]
    fn a_basin_goes_round() {
        let estimate = |value| Estimate { value, standard_error: 0.5, samples: 2 };
        let attributes = SurfaceAttributes::default();
        let mut surface = Surface::new(vec![0.0], vec![0.0], None, attributes).unwrap();
        surface.loss = vec![0.0];
        surface.basin = Some(Basin {
            radius: vec![1.0, 2.0],
            summary: BasinSummary {
                rise: 0.1,
                rays: 2,
                dimension: 9,
                unit: "filter".into(),
                mean_radius: estimate(1.5),
                quartiles: [1.0, 1.5, 2.0],
                not_left: 0,
                not_finite: 1,
                log_volume: estimate(-3.0),
                effective_rays: 1.2,
                log_volume_bound: estimate(-4.0),
            },
        });
        let store = MemoryStore::default();
        surface.write_zarr(&store).unwrap();
        assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface);
    }
}

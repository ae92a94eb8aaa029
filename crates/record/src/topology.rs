//! The minima of a surface and where their basins meet.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{Estimate, Quantity, Result, Surface, number, shape_error};
use serde::{Deserialize, Serialize};

/// A minimum of a surface: a branch of the merge tree of its sublevel sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurfaceMinimum {
    /// The pair of directions.
    pub pair: u32,
    /// Position along the first direction.
    pub x: f64,
    /// Position along the second direction.
    pub y: f64,
    /// The loss there.
    pub loss: f64,
    /// Where its basin meets a deeper one, or the highest point of the whole for the lowest.
    pub saddle_x: f64,
    /// That position along the second direction.
    pub saddle_y: f64,
    /// The loss there.
    pub saddle: f64,
    /// The minimum whose basin it falls to, as a place in the list; none for the lowest.
    pub parent: Option<u32>,
    /// At most so large is the standard error of its persistence, where losses have one: the sum of
    /// both.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub standard_error: Option<f64>,
}

impl SurfaceMinimum {
    /// How far one has to climb from it to get lower; for the lowest, the range of the surface.
    pub fn persistence(&self) -> f64 {
        self.saddle - self.loss
    }

    /// Whether it is deeper than a share of the level of its saddle, and than twice what sampling
    /// may add.
    pub fn is_prominent(&self, share: f64) -> bool {
        let scale = self.loss.abs().max(self.saddle.abs());
        let noise = 2.0 * self.standard_error.unwrap_or(0.0);
        self.parent.is_none() || self.persistence() >= (share * scale).max(noise)
    }
}

/// The topology of a surface.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// Every minimum, by pair and then from the lowest up.
    pub minima: Vec<SurfaceMinimum>,
    /// The depth, as a share of the saddle's level, from which on a minimum is shown and counted.
    pub threshold: f64,
    /// The total variation of each pair.
    #[serde(with = "number::vec")]
    pub total_variation: Vec<f64>,
}

/// A minimum in the JSON reply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MinimumReply {
    /// The pair of directions, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<u32>,
    /// Position along the first direction.
    pub x: f64,
    /// Position along the second direction.
    pub y: f64,
    /// The loss there.
    pub loss: f64,
    /// How far one has to climb from it to get lower; of the lowest, the range of the surface.
    pub persistence: Quantity,
    /// Whether it lies at the rim of the grid, beyond which the loss may be lower.
    pub at_rim: bool,
}

impl Topology {
    /// The minima that are deep enough to be shown.
    pub fn prominent(&self) -> impl Iterator<Item = &SurfaceMinimum> {
        self.minima.iter().filter(|minimum| minimum.is_prominent(self.threshold))
    }

    /// For the reply: the deepest of those that are deep enough, at most so many.
    pub fn reply(&self, surface: &Surface, most: usize, samples: u64) -> Vec<MinimumReply> {
        let ends = |values: &[f64], at: f64| {
            values.len() > 1 && [values.first(), values.last()].contains(&Some(&at))
        };
        let mut found: Vec<&SurfaceMinimum> = self.prominent().collect();
        found.sort_by(|a, b| b.persistence().total_cmp(&a.persistence()));
        let several = self.total_variation.len() > 1;
        let minimum = |m: &&SurfaceMinimum| MinimumReply {
            pair: several.then_some(m.pair),
            x: m.x,
            y: m.y,
            loss: m.loss,
            persistence: match m.standard_error {
                Some(standard_error) => {
                    Estimate { value: m.persistence(), standard_error, samples }.into()
                }
                None => m.persistence().into(),
            },
            at_rim: ends(&surface.x, m.x) || ends(&surface.y, m.y),
        };
        found.iter().take(most).map(minimum).collect()
    }

    pub(crate) fn check(&self, surface: &Surface) -> Result<()> {
        let pairs = surface.pairs.unwrap_or(1);
        if self.total_variation.len() != pairs {
            let got = self.total_variation.len();
            return Err(shape_error("total_variation", format!("{pairs} pairs"), got));
        }
        let n = self.minima.len();
        match self.minima.iter().find(|m| m.parent.is_some_and(|parent| parent as usize >= n)) {
            Some(m) => {
                let got = m.parent.unwrap_or(0);
                Err(shape_error("parent of a minimum", format!("below {n}"), got))
            }
            None => Ok(()),
        }
    }

    /// The arrays and what they hold.
    fn columns(&self) -> Vec<(&'static str, &'static str, Vec<f64>)> {
        let of = |value: fn(&SurfaceMinimum) -> f64| self.minima.iter().map(value).collect();
        let mut columns = vec![
            ("minimum_x", "position of a minimum along the first direction", of(|m| m.x)),
            ("minimum_y", "position of a minimum along the second direction", of(|m| m.y)),
            ("minimum_loss", "loss at a minimum", of(|m| m.loss)),
            ("minimum_saddle_x", "where its basin meets a deeper one", of(|m| m.saddle_x)),
            ("minimum_saddle_y", "where its basin meets a deeper one", of(|m| m.saddle_y)),
            ("minimum_saddle", "loss there; of the lowest, the highest loss", of(|m| m.saddle)),
        ];
        if self.minima.iter().any(|m| m.standard_error.is_some()) {
            columns.push((
                "minimum_standard_error",
                "at most the standard error of the difference of both losses",
                of(|m| m.standard_error.unwrap_or(f64::NAN)),
            ));
        }
        columns
    }

    pub(crate) fn describe(&self, mut group: Group) -> Group {
        let n = [self.minima.len()];
        for (name, what, _) in self.columns() {
            let spec = ArraySpec::new::<f64>(&n, &["minimum"]).attribute("long_name", what);
            group = group.array(name, spec);
        }
        let index =
            |what: &str| ArraySpec::new::<i32>(&n, &["minimum"]).attribute("long_name", what);
        let parent = "the minimum whose basin it falls to; -1 for the lowest";
        let variation = ArraySpec::new::<f64>(&[self.total_variation.len()], &["pair"]);
        group
            .array("minimum_parent", index(parent))
            .array("minimum_pair", index("pair of directions"))
            .array(
                "total_variation",
                variation
                    .attribute("long_name", "integral of the slope over line or plane")
                    .attribute("minimum_threshold", self.threshold),
            )
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| super::surface_zarr::join(path, name);
        for (name, _, values) in self.columns() {
            group.write(store, &at(name), &values)?;
        }
        let parent = |m: &SurfaceMinimum| m.parent.map_or(-1, |parent| parent as i32);
        let parents: Vec<i32> = self.minima.iter().map(parent).collect();
        let pairs: Vec<i32> = self.minima.iter().map(|m| m.pair as i32).collect();
        group.write(store, &at("minimum_parent"), &parents)?;
        group.write(store, &at("minimum_pair"), &pairs)?;
        group.write(store, &at("total_variation"), &self.total_variation)
    }

    /// What [`Topology::write`] wrote, if there is any.
    pub(crate) fn read(
        store: &dyn Store,
        root: &Group,
        group: &Group,
        path: &str,
    ) -> Result<Option<Topology>> {
        let Some(spec) = group.find("total_variation") else { return Ok(None) };
        let threshold = spec.attributes.get("minimum_threshold").and_then(|v| v.as_f64());
        let at = |name: &str| super::surface_zarr::join(path, name);
        let column = |name: &str| root.read::<f64>(store, &at(name));
        let (x, y, loss) = (column("minimum_x")?, column("minimum_y")?, column("minimum_loss")?);
        let (saddle_x, saddle_y) = (column("minimum_saddle_x")?, column("minimum_saddle_y")?);
        let saddle = column("minimum_saddle")?;
        let errors = match group.find("minimum_standard_error") {
            Some(_) => Some(column("minimum_standard_error")?),
            None => None,
        };
        let parents = root.read::<i32>(store, &at("minimum_parent"))?;
        let pairs = root.read::<i32>(store, &at("minimum_pair"))?;
        let n = x.len();
        for (name, length) in [
            ("minimum_y", y.len()),
            ("minimum_loss", loss.len()),
            ("minimum_saddle_x", saddle_x.len()),
            ("minimum_saddle_y", saddle_y.len()),
            ("minimum_saddle", saddle.len()),
            ("minimum_standard_error", errors.as_ref().map_or(n, Vec::len)),
            ("minimum_parent", parents.len()),
            ("minimum_pair", pairs.len()),
        ] {
            if length != n {
                return Err(shape_error(name, format!("{n} minima"), length));
            }
        }
        let minimum = |i: usize| SurfaceMinimum {
            pair: u32::try_from(pairs[i]).unwrap_or(0),
            x: x[i],
            y: y[i],
            loss: loss[i],
            saddle_x: saddle_x[i],
            saddle_y: saddle_y[i],
            saddle: saddle[i],
            parent: u32::try_from(parents[i]).ok(),
            standard_error: errors.as_ref().map(|errors| errors[i]),
        };
        Ok(Some(Topology {
            minima: (0..n).map(minimum).collect(),
            threshold: threshold.unwrap_or(0.0),
            total_variation: column("total_variation")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SurfaceAttributes;
    use crate::zarr::MemoryStore;

    fn minimum(loss: f64, saddle: f64, parent: Option<u32>) -> SurfaceMinimum {
        let (x, y, saddle_x, saddle_y) = (loss, 0.0, saddle, 1.0);
        let standard_error = Some(0.05);
        SurfaceMinimum { pair: 1, x, y, loss, saddle_x, saddle_y, saddle, parent, standard_error }
    }

    fn surface(standard_error: Option<f64>) -> Surface {
        let (x, attributes) = (vec![0.0, 1.0], SurfaceAttributes::default());
        let mut surface = Surface::new(x.clone(), x, Some(2), attributes).unwrap();
        surface.loss = vec![0.0; 8];
        let mut minima =
            vec![minimum(1.0, 9.0, None), minimum(2.0, 3.0, Some(0)), minimum(2.0, 2.06, Some(1))];
        minima.iter_mut().for_each(|m| m.standard_error = standard_error);
        let total_variation = vec![1.0, 2.5];
        surface.topology = Some(Topology { minima, threshold: 0.01, total_variation });
        surface
    }

    #[test]
    fn minima_go_round() {
        for error in [Some(0.05), None] {
            let store = MemoryStore::default();
            surface(error).write_zarr(&store).unwrap();
            assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface(error));
        }
    }

    #[test]
    fn what_sampling_may_have_made_is_not_shown() {
        let depths = |error| -> Vec<f64> {
            let surface = surface(error);
            let topology = surface.topology.as_ref().unwrap();
            topology.reply(&surface, 9, 5).iter().map(|m| m.persistence.value()).collect()
        };
        assert_eq!(depths(Some(0.05)), [8.0, 1.0]);
        assert_eq!(depths(None).len(), 3);
        let whole = surface(Some(0.05));
        let one = whole.topology.as_ref().unwrap().reply(&whole, 1, 5);
        assert!(one[0].at_rim);
        assert_eq!(
            (one.len(), one[0].pair, one[0].persistence.standard_error()),
            (1, Some(1), Some(0.05))
        );
    }

    #[test]
    fn a_tree_that_points_nowhere_is_refused() {
        let mut broken = surface(None);
        broken.topology.as_mut().unwrap().minima[2].parent = Some(3);
        assert_eq!(
            broken.check().unwrap_err().to_string(),
            "parent of a minimum: expected below 3, got 3"
        );
    }
}

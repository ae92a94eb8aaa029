//! The minima of a surface and where their basins meet, its loops and the hills that fill them.

use crate::{Estimate, GridPoint, Quantity, Result, Surface, number, shape_error};
use serde::{Deserialize, Serialize};

/// A minimum of a surface: a branch of the merge tree of its sublevel sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
        self.parent.is_none() || is_prominent([self.loss, self.saddle], self.standard_error, share)
    }
}

/// Whether a class lives longer than a share of the larger of its levels, and than twice what
/// sampling may add.
fn is_prominent([birth, death]: [f64; 2], standard_error: Option<f64>, share: f64) -> bool {
    let scale = birth.abs().max(death.abs());
    death - birth >= (share * scale).max(2.0 * standard_error.unwrap_or(0.0))
}

/// A loop of low points of a surface around higher ones: a class of the homology of its sublevel
/// sets in dimension one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurfaceLoop {
    /// The pair of directions.
    pub pair: u32,
    /// The saddle that closes it.
    pub saddle: GridPoint,
    /// The top of the hill inside, at which it is filled; none where points without a finite loss lie
    /// inside, so that it never is.
    pub peak: Option<GridPoint>,
    /// At most so large is the standard error of its persistence, where losses have one: the sum of
    /// both.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub standard_error: Option<f64>,
}

impl SurfaceLoop {
    /// How high the hill rises over the saddle that closes the loop around it; infinity where it is
    /// never filled.
    pub fn persistence(&self) -> f64 {
        self.peak.map_or(f64::INFINITY, |peak| peak.loss - self.saddle.loss)
    }

    /// Whether the hill is higher than a share of the level of its top, and than twice what sampling
    /// may add.
    pub fn is_prominent(&self, share: f64) -> bool {
        let levels = |peak: GridPoint| [self.saddle.loss, peak.loss];
        self.peak.is_none_or(|peak| is_prominent(levels(peak), self.standard_error, share))
    }
}

/// The topology of a surface.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Topology {
    /// Every minimum, by pair and then from the lowest up.
    pub minima: Vec<SurfaceMinimum>,
    /// Every loop, by pair and then from that which closes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<SurfaceLoop>,
    /// The depth, as a share of the saddle's level, from which on a minimum is shown and counted, and
    /// the height of a loop's hill as a share of its top.
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
    /// Where its basin meets a deeper one; of the lowest, the highest point.
    pub saddle: GridPoint,
    /// How far one has to climb from it to get lower; of the lowest, the range of the surface.
    pub persistence: Quantity,
    /// Whether it lies at the rim of the grid, beyond which the loss may be lower.
    pub at_rim: bool,
}

/// A loop in the JSON reply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LoopReply {
    /// The pair of directions, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<u32>,
    /// The saddle that closes it.
    pub saddle: GridPoint,
    /// The top of the hill inside; absent where points without a finite loss lie inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<GridPoint>,
    /// How high that rises over the saddle; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Quantity>,
}

impl Topology {
    /// The minima that are deep enough to be shown.
    pub fn prominent(&self) -> impl Iterator<Item = &SurfaceMinimum> {
        self.minima.iter().filter(|minimum| minimum.is_prominent(self.threshold))
    }

    /// The loops whose hills are high enough to be shown.
    pub fn prominent_loops(&self) -> impl Iterator<Item = &SurfaceLoop> {
        self.loops.iter().filter(|found| found.is_prominent(self.threshold))
    }

    /// For the reply: the deepest of those minima that are deep enough, at most so many.
    pub fn reply(&self, surface: &Surface, most: usize, samples: u64) -> Vec<MinimumReply> {
        let ends = |values: &[f64], at: f64| {
            values.len() > 1 && [values.first(), values.last()].contains(&Some(&at))
        };
        let mut found: Vec<&SurfaceMinimum> = self.prominent().collect();
        found.sort_by(|a, b| b.persistence().total_cmp(&a.persistence()));
        let minimum = |m: &&SurfaceMinimum| MinimumReply {
            pair: self.pair(m.pair),
            x: m.x,
            y: m.y,
            loss: m.loss,
            saddle: GridPoint { x: m.saddle_x, y: m.saddle_y, loss: m.saddle },
            persistence: with_error(m.persistence(), m.standard_error, samples),
            at_rim: ends(&surface.x, m.x) || ends(&surface.y, m.y),
        };
        found.iter().take(most).map(minimum).collect()
    }

    /// For the reply: those loops around the highest of the hills that are high enough, at most so
    /// many.
    pub fn loops_reply(&self, most: usize, samples: u64) -> Vec<LoopReply> {
        let mut found: Vec<&SurfaceLoop> = self.prominent_loops().collect();
        found.sort_by(|a, b| b.persistence().total_cmp(&a.persistence()));
        let one = |l: &&SurfaceLoop| LoopReply {
            pair: self.pair(l.pair),
            saddle: l.saddle,
            peak: l.peak,
            persistence: l.peak.map(|_| with_error(l.persistence(), l.standard_error, samples)),
        };
        found.iter().take(most).map(one).collect()
    }

    /// A pair where there are several.
    fn pair(&self, pair: u32) -> Option<u32> {
        (self.total_variation.len() > 1).then_some(pair)
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
}

/// A number, with its standard error where it has one.
fn with_error(value: f64, standard_error: Option<f64>, samples: u64) -> Quantity {
    match standard_error {
        Some(standard_error) => Estimate { value, standard_error, samples }.into(),
        None => value.into(),
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
        let point = |loss| GridPoint { x: loss, y: 1.0, loss };
        let around = |saddle, peak: Option<f64>| SurfaceLoop {
            pair: 1,
            saddle: point(saddle),
            peak: peak.map(point),
            standard_error,
        };
        let loops = vec![around(1.0, Some(1.06)), around(2.0, None), around(3.0, Some(9.0))];
        surface.topology = Some(Topology { minima, loops, threshold: 0.01, total_variation });
        surface
    }

    #[test]
    fn minima_and_loops_go_round() {
        for error in [Some(0.05), None] {
            let store = MemoryStore::default();
            let mut surface = surface(error);
            surface.write_zarr(&store).unwrap();
            assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface);
            surface.topology.as_mut().unwrap().loops.clear();
            let store = MemoryStore::default();
            surface.write_zarr(&store).unwrap();
            assert_eq!(Surface::read_zarr(&store, "").unwrap(), surface);
        }
    }

    #[test]
    fn loops_are_told_from_the_highest_hill_down() {
        let heights = |error| -> Vec<Option<f64>> {
            let whole = surface(error);
            let found = whole.topology.unwrap().loops_reply(9, 5);
            found.iter().map(|l| l.persistence.map(|height| height.value())).collect()
        };
        assert_eq!(heights(Some(0.05)), [None, Some(6.0)]);
        assert_eq!(heights(None).len(), 3);
        let whole = surface(Some(0.05));
        let found = whole.topology.as_ref().unwrap().loops_reply(1, 5);
        assert_eq!((found.len(), found[0].pair, found[0].peak), (1, Some(1), None));
        assert!(!serde_json::to_string(&found[0]).unwrap().contains("null"));
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

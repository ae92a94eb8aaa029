//! The [`Topology`] of a surface in Zarr: a column for each number of its minima and of its loops.

use crate::surface_zarr::join;
use crate::zarr::{ArraySpec, Group, Store};
use crate::{GridPoint, Result, SurfaceLoop, SurfaceMinimum, Topology, shape_error};

/// An array over the minima or over the loops.
struct Column<T> {
    dimension: &'static str,
    name: &'static str,
    what: &'static str,
    values: Vec<T>,
}

impl Topology {
    fn columns(&self) -> Vec<Column<f64>> {
        let mut columns = Vec::new();
        let mut of_minima = |name, what, value: fn(&SurfaceMinimum) -> f64| {
            let values = self.minima.iter().map(value).collect();
            columns.push(Column { dimension: "minimum", name, what, values });
        };
        of_minima("minimum_x", "position of a minimum along the first direction", |m| m.x);
        of_minima("minimum_y", "position of a minimum along the second direction", |m| m.y);
        of_minima("minimum_loss", "loss at a minimum", |m| m.loss);
        of_minima("minimum_saddle_x", "where its basin meets a deeper one", |m| m.saddle_x);
        of_minima("minimum_saddle_y", "where its basin meets a deeper one", |m| m.saddle_y);
        let what = "loss there; of the lowest, the highest loss";
        of_minima("minimum_saddle", what, |m| m.saddle);
        let error = "at most the standard error of the difference of both losses";
        if self.minima.iter().any(|m| m.standard_error.is_some()) {
            let of = |m: &SurfaceMinimum| m.standard_error.unwrap_or(f64::NAN);
            of_minima("minimum_standard_error", error, of);
        }
        if self.loops.is_empty() {
            return columns;
        }
        let mut of_loops = |name, what, value: fn(&SurfaceLoop) -> f64| {
            let values = self.loops.iter().map(value).collect();
            columns.push(Column { dimension: "loop", name, what, values });
        };
        of_loops("loop_saddle_x", "position of the saddle that closes a loop", |l| l.saddle.x);
        of_loops("loop_saddle_y", "position of the saddle that closes a loop", |l| l.saddle.y);
        of_loops("loop_saddle", "loss there", |l| l.saddle.loss);
        let what = "position of the hill that fills it; NaN where it is never filled";
        of_loops("loop_peak_x", what, |l| l.peak.map_or(f64::NAN, |peak| peak.x));
        of_loops("loop_peak_y", what, |l| l.peak.map_or(f64::NAN, |peak| peak.y));
        let what = "loss at its top; infinity where it is never filled";
        of_loops("loop_peak", what, |l| l.peak.map_or(f64::INFINITY, |peak| peak.loss));
        if self.loops.iter().any(|l| l.standard_error.is_some()) {
            let of = |l: &SurfaceLoop| l.standard_error.unwrap_or(f64::NAN);
            of_loops("loop_standard_error", error, of);
        }
        columns
    }

    /// Which pair of directions each belongs to, and to which minimum's basin each minimum's falls.
    fn indices(&self) -> Vec<Column<i32>> {
        let of_minima = |name, what, value: fn(&SurfaceMinimum) -> i32| {
            let values = self.minima.iter().map(value).collect();
            Column { dimension: "minimum", name, what, values }
        };
        let parent = "the minimum whose basin it falls to; -1 for the lowest";
        let pair = "pair of directions";
        let mut indices = vec![
            of_minima("minimum_parent", parent, |m| m.parent.map_or(-1, |parent| parent as i32)),
            of_minima("minimum_pair", pair, |m| m.pair as i32),
        ];
        if !self.loops.is_empty() {
            let values = self.loops.iter().map(|l| l.pair as i32).collect();
            indices.push(Column { dimension: "loop", name: "loop_pair", what: pair, values });
        }
        indices
    }

    pub(crate) fn describe(&self, mut group: Group) -> Group {
        for Column { dimension, name, what, values } in self.columns() {
            let spec = ArraySpec::new::<f64>(&[values.len()], &[dimension]);
            group = group.array(name, spec.attribute("long_name", what));
        }
        for Column { dimension, name, what, values } in self.indices() {
            let spec = ArraySpec::new::<i32>(&[values.len()], &[dimension]);
            group = group.array(name, spec.attribute("long_name", what));
        }
        let variation = ArraySpec::new::<f64>(&[self.total_variation.len()], &["pair"]);
        group.array(
            "total_variation",
            variation
                .attribute("long_name", "integral of the slope over line or plane")
                .attribute("minimum_threshold", self.threshold),
        )
    }

    pub(crate) fn write(&self, store: &dyn Store, group: &Group, path: &str) -> Result<()> {
        let at = |name: &str| join(path, name);
        for Column { name, values, .. } in self.columns() {
            group.write(store, &at(name), &values)?;
        }
        for Column { name, values, .. } in self.indices() {
            group.write(store, &at(name), &values)?;
        }
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
        let reader = Reader { store, root, group, path };
        Ok(Some(Topology {
            minima: reader.minima()?,
            loops: reader.loops()?,
            threshold: threshold.unwrap_or(0.0),
            total_variation: root.read(store, &join(path, "total_variation"))?,
        }))
    }
}

/// Reads columns of one length.
struct Reader<'a> {
    store: &'a dyn Store,
    root: &'a Group,
    group: &'a Group,
    path: &'a str,
}

impl Reader<'_> {
    fn minima(&self) -> Result<Vec<SurfaceMinimum>> {
        let parents = self.root.read::<i32>(self.store, &join(self.path, "minimum_parent"))?;
        let n = parents.len();
        let [x, y, loss] = self.columns(n, ["minimum_x", "minimum_y", "minimum_loss"])?;
        let [saddle_x, saddle_y, saddle] =
            self.columns(n, ["minimum_saddle_x", "minimum_saddle_y", "minimum_saddle"])?;
        let (pairs, errors) = (self.pairs(n, "minimum")?, self.errors(n, "minimum")?);
        let minimum = |i: usize| SurfaceMinimum {
            pair: pairs[i],
            x: x[i],
            y: y[i],
            loss: loss[i],
            saddle_x: saddle_x[i],
            saddle_y: saddle_y[i],
            saddle: saddle[i],
            parent: u32::try_from(parents[i]).ok(),
            standard_error: errors.as_ref().map(|errors| errors[i]),
        };
        Ok((0..n).map(minimum).collect())
    }

    fn loops(&self) -> Result<Vec<SurfaceLoop>> {
        let Some(spec) = self.group.find("loop_pair") else { return Ok(Vec::new()) };
        let n = spec.shape.iter().product();
        let [x, y, loss] = self.columns(n, ["loop_saddle_x", "loop_saddle_y", "loop_saddle"])?;
        let [peak_x, peak_y, peak] =
            self.columns(n, ["loop_peak_x", "loop_peak_y", "loop_peak"])?;
        let (pairs, errors) = (self.pairs(n, "loop")?, self.errors(n, "loop")?);
        let one = |i: usize| SurfaceLoop {
            pair: pairs[i],
            saddle: GridPoint { x: x[i], y: y[i], loss: loss[i] },
            peak: peak[i].is_finite().then_some(GridPoint {
                x: peak_x[i],
                y: peak_y[i],
                loss: peak[i],
            }),
            standard_error: errors.as_ref().map(|errors| errors[i]),
        };
        Ok((0..n).map(one).collect())
    }

    /// Numbers, as many as there should be.
    fn columns<const N: usize>(&self, n: usize, names: [&str; N]) -> Result<[Vec<f64>; N]> {
        let mut found = [const { Vec::new() }; N];
        for (column, name) in found.iter_mut().zip(names) {
            *column = self.root.read(self.store, &join(self.path, name))?;
            check(name, n, column.len())?;
        }
        Ok(found)
    }

    fn pairs(&self, n: usize, of: &str) -> Result<Vec<u32>> {
        let name = format!("{of}_pair");
        let pairs = self.root.read::<i32>(self.store, &join(self.path, &name))?;
        check(&name, n, pairs.len())?;
        Ok(pairs.into_iter().map(|pair| u32::try_from(pair).unwrap_or(0)).collect())
    }

    fn errors(&self, n: usize, of: &str) -> Result<Option<Vec<f64>>> {
        let name = format!("{of}_standard_error");
        match self.group.find(&name) {
            Some(_) => self.columns(n, [&name]).map(|[errors]| Some(errors)),
            None => Ok(None),
        }
    }
}

fn check(name: &str, expected: usize, got: usize) -> Result<()> {
    match got == expected {
        true => Ok(()),
        false => Err(shape_error(name, format!("{expected} as the others"), got)),
    }
}

//! Points of a grid that come one after the other, and the connected parts that they make.

use crate::MethodError;

/// Steps in rows and columns from a point to those that it is joined to.
pub(super) type Steps = &'static [(isize, isize)];

/// The extents of a grid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lattice {
    rows: usize,
    columns: usize,
}

impl Lattice {
    /// The grid of so many columns that the values fill.
    ///
    /// # Errors
    /// Values that are no rows of so many columns.
    pub(super) fn of(values: &[f64], columns: usize) -> Result<Lattice, MethodError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            let expected = format!("rows of {columns} points");
            return Err(MethodError::mismatch("values on a grid", expected, values.len()));
        }
        Ok(Lattice { rows: values.len() / columns, columns })
    }

    /// The points that a point is joined to.
    pub(super) fn joined(self, point: usize, steps: Steps) -> impl Iterator<Item = usize> {
        let (row, column) = (point / self.columns, point % self.columns);
        steps.iter().filter_map(move |&(down, right)| {
            let row = row.checked_add_signed(down).filter(|&row| row < self.rows)?;
            let column =
                column.checked_add_signed(right).filter(|&column| column < self.columns)?;
            Some(row * self.columns + column)
        })
    }

    /// Whether a point lies at the rim.
    pub(super) fn at_rim(self, point: usize) -> bool {
        let (row, column) = (point / self.columns, point % self.columns);
        row == 0 || column == 0 || row + 1 == self.rows || column + 1 == self.columns
    }
}

/// The finite points from the lowest up. Of equal values the earlier comes first (simulation of
/// simplicity), so that no two are level; zero and minus zero are equal.
pub(super) fn rising(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).filter(|&v| values[v].is_finite()).collect();
    order.sort_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    order
}

/// A connected part from the point that it begins with to where it meets an older one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Branch {
    /// The point that it begins with.
    pub(super) at: usize,
    /// The point that joins it to an older one; of what meets no older one, the last point that came
    /// to it.
    pub(super) end: usize,
    /// The older one, as a place in the list.
    pub(super) parent: Option<usize>,
}

/// The branches of points, below `points`, that come in this order, the oldest first.
///
/// A union-find keeps the connected parts of those that are there; a point without a neighbour among
/// them begins a part, and where parts meet all but the oldest end (the elder rule).
pub(super) fn branches<I: Iterator<Item = usize>>(
    points: usize,
    order: impl IntoIterator<Item = usize>,
    joined: impl Fn(usize) -> I,
) -> Vec<Branch> {
    let mut sets = Sets { above: vec![NONE; points] };
    // Which branch a part began with, by its root.
    let mut began = vec![NONE; points];
    let mut branches: Vec<Branch> = Vec::new();
    let mut meeting: Vec<usize> = Vec::new();
    for point in order {
        meeting.clear();
        for neighbour in joined(point) {
            if sets.above[neighbour] != NONE {
                let root = sets.root(neighbour);
                if !meeting.contains(&root) {
                    meeting.push(root);
                }
            }
        }
        sets.above[point] = point;
        let Some(&oldest) = meeting.iter().min_by_key(|&&root| began[root]) else {
            began[point] = branches.len();
            branches.push(Branch { at: point, end: point, parent: None });
            continue;
        };
        let elder = began[oldest];
        for &root in meeting.iter().filter(|&&root| root != oldest) {
            let younger = &mut branches[began[root]];
            (younger.end, younger.parent) = (point, Some(elder));
            sets.above[root] = oldest;
        }
        sets.above[point] = oldest;
        branches[elder].end = point;
    }
    branches
}

const NONE: usize = usize::MAX;

/// Disjoint sets: each point knows one nearer to its root.
struct Sets {
    above: Vec<usize>,
}

impl Sets {
    fn root(&mut self, mut v: usize) -> usize {
        while self.above[v] != v {
            // Halving the path keeps it short.
            self.above[v] = self.above[self.above[v]];
            v = self.above[v];
        }
        v
    }
}

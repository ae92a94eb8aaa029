//! The topology of a surface: the merge tree of its sublevel sets.

use super::sweep::{Lattice, Steps, branches, rising};
use crate::MethodError;

/// Which points of a grid are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Neighbours {
    /// Those to the sides and along one diagonal: the edges of the grid cut into triangles, so that
    /// the tree is that of the surface which is flat on each of them.
    Six,
    /// Those to the sides and along both diagonals: the tree does not know how the grid is turned or
    /// mirrored, and a valley that runs askew is one.
    #[default]
    Eight,
}

impl Neighbours {
    /// Steps to all neighbours.
    pub(super) fn steps(self) -> Steps {
        match self {
            Neighbours::Six => &[(0, 1), (1, 0), (1, 1), (0, -1), (-1, 0), (-1, -1)],
            Neighbours::Eight => {
                &[(0, 1), (1, 0), (1, 1), (1, -1), (0, -1), (-1, 0), (-1, -1), (-1, 1)]
            }
        }
    }

    /// Steps between the points that a sublevel set leaves out: those under which a closed curve of
    /// the set parts what lies inside of it from what lies outside (the digital Jordan curve theorem).
    /// Where both diagonals join points of the set, none joins points beside it; a triangulation is
    /// its own dual.
    pub(super) fn complement_steps(self) -> Steps {
        match self {
            Neighbours::Six => self.steps(),
            Neighbours::Eight => &[(0, 1), (1, 0), (0, -1), (-1, 0)],
        }
    }
}

/// A minimum of a surface: a branch of its merge tree, and a point of the persistence diagram of
/// dimension zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimum {
    /// The grid point, row-major.
    pub at: usize,
    /// The value there: the level at which its basin appears.
    pub birth: f64,
    /// The point where it ends: the saddle at which its basin meets a deeper one, or the highest
    /// point of the whole part for the lowest minimum of a connected part.
    pub end: usize,
    /// The value there.
    pub death: f64,
    /// The deeper minimum that its basin falls to, as a place in the list; none for the lowest of a
    /// connected part.
    pub parent: Option<usize>,
}

impl Minimum {
    /// How far one has to climb from it to get lower; for the lowest of a connected part, its whole
    /// range.
    pub fn persistence(&self) -> f64 {
        self.death - self.birth
    }

    /// Its persistence as a share of the larger of the two levels: the same for a loss and its
    /// multiples.
    pub fn relative_persistence(&self) -> f64 {
        match self.birth.abs().max(self.death.abs()) {
            0.0 => 0.0,
            scale => self.persistence() / scale,
        }
    }
}

/// The merge tree of the sublevel sets of a function on a grid, by its minima.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergeTree {
    /// The minima, the lowest first. Pairs of no persistence are left out.
    pub minima: Vec<Minimum>,
    /// How many connected parts there are: more than one only where points that are not finite wall
    /// them off.
    pub parts: usize,
}

impl MergeTree {
    /// How many minima have at least this persistence.
    pub fn count(&self, persistence: f64) -> usize {
        self.minima.iter().filter(|minimum| minimum.persistence() >= persistence).count()
    }
}

/// The merge tree of values on a grid of rows of `columns` points: one row is a line.
///
/// Points are taken in from the lowest up; a union-find keeps the connected parts of
/// `{f <= level}`. A point without neighbours below begins a minimum; where parts meet, all but the
/// deepest end (the elder rule). Of equal values the earlier point counts as lower (simulation of
/// simplicity), so that a plateau is one minimum and every value may occur as often as it likes.
/// Points that are not finite are walls. Exact for the grid, in `n log n`. Of dimension one are
/// [`super::loops()`].
///
/// The lowest minimum of a part has no saddle: it is paired with the part's highest point, as in
/// extended persistence. A strictly rising map of the values changes no pair.
///
/// # Errors
/// Values that are no rows of so many columns.
/// # Source    Edelsbrunner, Letscher, Zomorodian, Topological persistence and simplification, 2002;
/// Carr, Snoeyink, Axen, Computing contour trees in all dimensions, 2003; Cohen-Steiner,
/// Edelsbrunner, Harer, Extending persistence using Poincare and Lefschetz duality, 2009
///
/// # Example
/// ```
/// use thalweg_methods::surface::{Neighbours, merge_tree};
/// let tree = merge_tree(&[3.0, 0.0, 2.0, 1.0, 5.0], 5, Neighbours::Eight)?;
/// let pairs: Vec<_> = tree.minima.iter().map(|m| (m.at, m.end, m.persistence())).collect();
/// assert_eq!(pairs, [(1, 4, 5.0), (3, 2, 1.0)]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn merge_tree(
    values: &[f64],
    columns: usize,
    neighbours: Neighbours,
) -> Result<MergeTree, MethodError> {
    let grid = Lattice::of(values, columns)?;
    let found =
        branches(values.len(), rising(values), |point| grid.joined(point, neighbours.steps()));
    let minima = found.iter().map(|branch| Minimum {
        at: branch.at,
        birth: values[branch.at],
        end: branch.end,
        death: values[branch.end],
        parent: branch.parent,
    });
    Ok(kept(minima.collect()))
}

/// Leaves out pairs of no persistence: what a plateau that grows from two ends leaves, but not the
/// lowest of a part. Those that fall to one left out have none themselves.
fn kept(minima: Vec<Minimum>) -> MergeTree {
    let parts = minima.iter().filter(|minimum| minimum.parent.is_none()).count();
    let stays = |m: &Minimum| m.parent.is_none() || m.persistence() > 0.0;
    let mut places = vec![0; minima.len()];
    let mut n = 0;
    for (place, minimum) in places.iter_mut().zip(&minima) {
        *place = n;
        n += usize::from(stays(minimum));
    }
    let minima = minima
        .iter()
        .filter(|m| stays(m))
        .map(|m| Minimum { parent: m.parent.map(|parent| places[parent]), ..*m });
    MergeTree { minima: minima.collect(), parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    /// The same by definition: at every level the connected parts by flooding, no union-find.
    fn by_flooding(values: &[f64], columns: usize, neighbours: Neighbours) -> MergeTree {
        let key = |v: usize| (values[v], v);
        let before = |a: usize, b: usize| key(a).partial_cmp(&key(b)).unwrap().is_lt();
        let finite: Vec<usize> = (0..values.len()).filter(|&v| values[v].is_finite()).collect();
        let next_to = |v: usize| {
            let (row, column) = ((v / columns) as isize, (v % columns) as isize);
            let rows = (values.len() / columns) as isize;
            let all = neighbours.steps().iter().map(move |(r, c)| (row + r, column + c));
            let inside = all.filter(move |&(r, c)| r >= 0 && c >= 0 && r < rows);
            let inside = inside.filter(move |&(_, c)| c < columns as isize);
            inside.map(move |(r, c)| r as usize * columns + c as usize)
        };
        // The part of all points not above `level` that holds `from`.
        let part = |from: usize, level: usize| {
            let mut seen = vec![from];
            let mut at = 0;
            while at < seen.len() {
                for v in next_to(seen[at]) {
                    let below = values[v].is_finite() && (v == level || before(v, level));
                    if below && !seen.contains(&v) {
                        seen.push(v);
                    }
                }
                at += 1;
            }
            seen
        };
        let lowest = |part: &[usize]| {
            *part.iter().min_by(|&&a, &&b| key(a).partial_cmp(&key(b)).unwrap()).unwrap()
        };
        let mut levels = finite.clone();
        levels.sort_by(|&a, &b| key(a).partial_cmp(&key(b)).unwrap());
        let mut minima = Vec::new();
        for &m in &levels {
            if next_to(m).any(|v| values[v].is_finite() && before(v, m)) {
                continue;
            }
            let ends = levels.iter().filter(|&&l| l == m || before(m, l)).find_map(|&level| {
                let deepest = lowest(&part(m, level));
                (deepest != m).then_some((level, deepest))
            });
            let (end, parent) = match ends {
                Some((level, deepest)) => (level, Some(deepest)),
                None => {
                    let whole = part(m, *levels.last().unwrap());
                    let top = *whole
                        .iter()
                        .max_by(|&&a, &&b| key(a).partial_cmp(&key(b)).unwrap())
                        .unwrap();
                    (top, None)
                }
            };
            minima.push((m, end, parent));
        }
        let parts = minima.iter().filter(|m| m.2.is_none()).count();
        minima.retain(|m| m.2.is_none() || values[m.1] > values[m.0]);
        let at: Vec<usize> = minima.iter().map(|m| m.0).collect();
        let place = |v: usize| at.iter().position(|&m| m == v).unwrap();
        let minimum = |&(m, end, parent): &(usize, usize, Option<usize>)| Minimum {
            at: m,
            birth: values[m],
            end,
            death: values[end],
            parent: parent.map(place),
        };
        MergeTree { minima: minima.iter().map(minimum).collect(), parts }
    }

    #[test]
    fn random_small_grids_agree_with_flooding() {
        let stream = Stream::new(7, "grids");
        let mut seen = [0; 3];
        for case in 0..600 {
            let draws = stream.at(case);
            let mut next = 0;
            let mut draw = |n: u64| {
                next += 1;
                (draws.u64(next) >> 11) % n
            };
            let (rows, columns) = (1 + draw(6) as usize, 1 + draw(6) as usize);
            // Few values, so that many are equal, and walls in every third grid.
            let (values, walls) = (2 + draw(12), draw(3) == 0);
            let grid: Vec<f64> = (0..rows * columns)
                .map(|_| match (walls && draw(4) == 0, draw(2)) {
                    (true, 0) => f64::NAN,
                    (true, _) => f64::INFINITY,
                    _ => draw(values) as f64 - 3.0,
                })
                .collect();
            for neighbours in [Neighbours::Six, Neighbours::Eight] {
                let tree = merge_tree(&grid, columns, neighbours).unwrap();
                assert_eq!(tree, by_flooding(&grid, columns, neighbours), "{case}: {grid:?}");
                seen[0] += usize::from(tree.minima.len() > 2);
                seen[1] += usize::from(tree.parts > 1);
                seen[2] += usize::from(tree.minima.iter().any(|m| m.parent > Some(0)));
                let bent: Vec<f64> = grid.iter().map(|v| (v / 5.0).exp() - 7.0).collect();
                let pairs = |tree: &MergeTree| -> Vec<_> {
                    tree.minima.iter().map(|m| (m.at, m.end, m.parent)).collect()
                };
                let after = merge_tree(&bent, columns, neighbours).unwrap();
                // The map takes infinity to itself, which stays a wall.
                assert_eq!(pairs(&tree), pairs(&after), "{case}");
            }
        }
        assert!(seen.iter().all(|&n| n > 40), "the cases are too plain: {seen:?}");
    }

    /// Cones in a plane: the lower envelope of `|p - c_k| + height_k`.
    fn cones(n: usize, planted: &[(f64, f64, f64)]) -> Vec<f64> {
        let at = |i: usize| i as f64 / (n - 1) as f64;
        let value = |x: f64, y: f64| {
            let cone = |&(a, b, height): &(f64, f64, f64)| height + (x - a).hypot(y - b);
            planted.iter().map(cone).fold(f64::INFINITY, f64::min)
        };
        (0..n * n).map(|v| value(at(v % n), at(v / n))).collect()
    }

    #[test]
    fn planted_minima_give_the_planted_tree() {
        // Two near each other, one apart: 2 meets 1 before both meet 0.
        let planted = [(0.1, 0.1, 0.0), (0.9, 0.9, 0.1), (0.9, 0.6, 0.15)];
        let n = 101;
        let surface = cones(n, &planted);
        for neighbours in [Neighbours::Six, Neighbours::Eight] {
            let tree = merge_tree(&surface, n, neighbours).unwrap();
            let at: Vec<usize> = tree.minima.iter().map(|m| m.at).collect();
            assert_eq!(at, [10 * n + 10, 90 * n + 90, 60 * n + 90]);
            let parents: Vec<_> = tree.minima.iter().map(|m| m.parent).collect();
            assert_eq!(parents, [None, Some(0), Some(1)]);
            // Cones of slope one meet halfway up: (distance + sum of heights) / 2, to a grid step.
            let saddle = |a: (f64, f64, f64), b: (f64, f64, f64)| {
                ((a.0 - b.0).hypot(a.1 - b.1) + a.2 + b.2) / 2.0
            };
            for (child, parent) in [(2, 1), (1, 2)] {
                let expected = saddle(planted[child], planted[parent]);
                let expected = match child {
                    2 => expected,
                    _ => saddle(planted[0], planted[1]).min(saddle(planted[0], planted[2])),
                };
                let found = tree.minima[child].death;
                assert!((found - expected).abs() < 0.02, "{child}: {found} {expected}");
            }
            assert_eq!((tree.count(0.05), tree.count(0.2), tree.count(0.9)), (3, 2, 1));
        }
    }

    #[test]
    fn plateaus_walls_and_lines() {
        let pairs = |values: &[f64], columns: usize| -> Vec<(usize, usize)> {
            let tree = merge_tree(values, columns, Neighbours::Eight).unwrap();
            tree.minima.iter().map(|m| (m.at, m.end)).collect()
        };
        assert_eq!(pairs(&[1.0; 9], 3), [(0, 8)]);
        // A plateau that grows from two ends is one minimum; zero and minus zero are one value.
        assert_eq!(pairs(&[0.0, 5.0, -0.0, 0.0, 0.0, 0.0], 3), [(0, 1)]);
        // A wall parts the grid; each part has a lowest minimum, of whatever range.
        let wall = f64::NAN;
        assert_eq!(pairs(&[1.0, wall, 4.0, 3.0, 0.0], 5), [(4, 2), (0, 0)]);
        assert_eq!(pairs(&[wall, f64::INFINITY], 2), []);
        assert!(merge_tree(&[1.0; 5], 2, Neighbours::Six).is_err());
        assert!(merge_tree(&[], 0, Neighbours::Six).is_err());
        assert_eq!(merge_tree(&[], 3, Neighbours::Six).unwrap(), MergeTree::default());
    }

    #[test]
    fn a_deep_chain_is_no_recursion() {
        let n = 200_000;
        let falling: Vec<f64> = (0..n).map(|i| -f64::from(i)).collect();
        let tree = merge_tree(&falling, n as usize, Neighbours::Six).unwrap();
        assert_eq!((tree.minima.len(), tree.minima[0].at), (1, n as usize - 1));
    }
}

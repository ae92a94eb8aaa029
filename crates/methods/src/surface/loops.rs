//! The topology of a surface: the loops of its sublevel sets.

use super::merge_tree::Neighbours;
use super::sweep::{Lattice, branches, rising};
use crate::MethodError;

/// A loop of a surface, of low points around higher ones: a point of the persistence diagram of
/// dimension one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loop {
    /// The saddle that closes it, row-major.
    pub closes: usize,
    /// The value there: the level from which on the sublevel set goes all the way round.
    pub birth: f64,
    /// The highest point inside, at which it is filled; none where points that are not finite lie
    /// inside, so that it never is.
    pub fills: Option<usize>,
    /// The value there; infinity where it is never filled.
    pub death: f64,
}

impl Loop {
    /// How high the hill inside rises over the saddle that closes the loop around it.
    pub fn persistence(&self) -> f64 {
        self.death - self.birth
    }
}

/// The loops of the sublevel sets of values on a grid of rows of `columns` points, those that close
/// first first: their homology of dimension one. [`super::merge_tree()`] has that of dimension zero.
///
/// By duality: the loops of `{f <= level}` are the connected parts of `{f > level}` from which no way
/// leads out of the grid (Alexander duality in the plane). So points are taken in from the highest
/// down, as in the merge tree of `-f`, but joined as [`Neighbours`] has it for the complement: with
/// both diagonals in the set, along rows and columns alone; along the edges of triangles in both. What
/// lies outside of the grid is there before all of them and joined to its rim. A part begins at the top
/// of a hill, which fills the loop around it, and ends at the saddle that closes the loop.
///
/// With [`Neighbours::Eight`] the sublevel set is the union of the closed unit squares around its
/// points, a cubical complex (the T-construction); with [`Neighbours::Six`] the subcomplex of the
/// triangulation on its points. As in the merge tree, of equal values the earlier point counts as
/// lower, and points that are not finite belong to no sublevel set: a loop around such is never filled.
/// Pairs of no persistence are left out. Exact for the grid, in `n log n`. A strictly rising map of the
/// values changes no pair.
///
/// # Errors
/// Values that are no rows of so many columns.
/// # Source    Edelsbrunner, Letscher, Zomorodian, Topological persistence and simplification, 2002;
/// Bleile, Garin, Heiss, Maggs, Robins, The persistent homology of dual digital image constructions,
/// 2021, arXiv 2102.11397
///
/// # Example
/// ```
/// use thalweg_methods::surface::{Neighbours, loops};
/// let hill = [1.0, 2.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 1.0];
/// let found = loops(&hill, 3, Neighbours::Eight)?;
/// // The last point of the rim closes it around the hill.
/// assert_eq!((found[0].birth, found[0].death, found.len()), (2.0, 9.0, 1));
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn loops(
    values: &[f64],
    columns: usize,
    neighbours: Neighbours,
) -> Result<Vec<Loop>, MethodError> {
    let grid = Lattice::of(values, columns)?;
    let outside = values.len();
    let joined = |point: usize| {
        let inside = (point < outside).then(|| grid.joined(point, neighbours.complement_steps()));
        let out = (point < outside && grid.at_rim(point)).then_some(outside);
        inside.into_iter().flatten().chain(out)
    };
    let never = (0..outside).filter(|&point| !values[point].is_finite());
    let falling = rising(values).into_iter().rev();
    let order = std::iter::once(outside).chain(never).chain(falling);
    let parts = branches(outside + 1, order, joined);
    // The oldest is the outside. What meets another before the first finite point is one with it.
    let mut loops: Vec<Loop> = parts
        .iter()
        .filter(|part| part.parent.is_some() && values[part.end].is_finite())
        .map(|part| {
            let fills = Some(part.at).filter(|&top| values[top].is_finite());
            let death = fills.map_or(f64::INFINITY, |top| values[top]);
            Loop { closes: part.end, birth: values[part.end], fills, death }
        })
        .filter(|found| found.persistence() > 0.0)
        .collect();
    loops.sort_by(|a, b| (a.birth + 0.0).total_cmp(&(b.birth + 0.0)).then(a.closes.cmp(&b.closes)));
    Ok(loops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::merge_tree;
    use std::collections::{BTreeMap, BTreeSet};
    use thalweg_data::Stream;

    /// A cell of a complex: when it appears, its dimension, and its facets as places in the list.
    struct Cell {
        rank: usize,
        dimension: usize,
        facets: Vec<usize>,
    }

    /// Where each finite point stands from the lowest up.
    fn ranks(values: &[f64]) -> BTreeMap<usize, usize> {
        let mut order: Vec<usize> = (0..values.len()).filter(|&v| values[v].is_finite()).collect();
        order.sort_by(|&a, &b| (values[a], a).partial_cmp(&(values[b], b)).unwrap());
        order.into_iter().enumerate().map(|(rank, point)| (point, rank)).collect()
    }

    /// The closed unit squares around the points, with their edges and corners; each appears with
    /// the first square that it belongs to.
    fn squares(values: &[f64], columns: usize) -> Vec<Cell> {
        let (rank, rows) = (ranks(values), values.len() / columns);
        // At doubled coordinates a square's centre is odd in both, an edge's in one.
        let mut places = BTreeMap::new();
        let mut cells = Vec::new();
        let mut all: Vec<(usize, usize)> =
            (0..=2 * rows).flat_map(|i| (0..=2 * columns).map(move |j| (i, j))).collect();
        all.sort_by_key(|(i, j)| i % 2 + j % 2);
        for (i, j) in all {
            let near = |at: usize, extent: usize| match at % 2 {
                1 => vec![at / 2],
                _ => {
                    [at / 2, (at / 2).wrapping_sub(1)].into_iter().filter(|&k| k < extent).collect()
                }
            };
            let (across, down) = (near(j, columns), near(i, rows));
            let around = down.iter().flat_map(|r| across.iter().map(move |c| r * columns + c));
            let Some(first) = around.filter_map(|point| rank.get(&point)).min() else { continue };
            let mut facets = Vec::new();
            if i % 2 == 1 {
                facets.extend([places[&(i - 1, j)], places[&(i + 1, j)]]);
            }
            if j % 2 == 1 {
                facets.extend([places[&(i, j - 1)], places[&(i, j + 1)]]);
            }
            places.insert((i, j), cells.len());
            cells.push(Cell { rank: *first, dimension: i % 2 + j % 2, facets });
        }
        cells
    }

    /// The points, edges and triangles of the grid; each appears with the last of its points.
    fn triangles(values: &[f64], columns: usize) -> Vec<Cell> {
        let (rank, rows) = (ranks(values), values.len() / columns);
        let mut simplices: Vec<Vec<usize>> = (0..values.len()).map(|v| vec![v]).collect();
        for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let at = |down: usize, right: usize| (r + down) * columns + c + right;
            let inside = |down: usize, right: usize| r + down < rows && c + right < columns;
            for (down, right) in [(0, 1), (1, 0), (1, 1)] {
                if inside(down, right) {
                    simplices.push(vec![at(0, 0), at(down, right)]);
                }
            }
            if inside(1, 1) {
                simplices.push(vec![at(0, 0), at(0, 1), at(1, 1)]);
                simplices.push(vec![at(0, 0), at(1, 0), at(1, 1)]);
            }
        }
        simplices.sort_by_key(Vec::len);
        let mut places: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut cells = Vec::new();
        for simplex in simplices {
            let last: Option<Vec<_>> = simplex.iter().map(|point| rank.get(point)).collect();
            let Some(last) = last else { continue };
            let facet = |skip: usize| {
                let mut facet = simplex.clone();
                facet.remove(skip);
                places[&facet]
            };
            let dimension = simplex.len() - 1;
            let facets =
                if dimension == 0 { Vec::new() } else { (0..=dimension).map(facet).collect() };
            let rank = **last.iter().max().unwrap();
            places.insert(simplex, cells.len());
            cells.push(Cell { rank, dimension, facets });
        }
        cells
    }

    /// Points that begin and end a class, by dimension; no end where none ends it.
    type Pairs = BTreeSet<(usize, usize, Option<usize>)>;

    /// Persistent homology by its definition: reduction of the boundary matrix over Z/2.
    fn by_reduction(values: &[f64], cells: &[Cell]) -> Pairs {
        let point: BTreeMap<usize, usize> =
            ranks(values).into_iter().map(|(p, r)| (r, p)).collect();
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|&c| (cells[c].rank, cells[c].dimension, c));
        let mut place = vec![0; cells.len()];
        order.iter().enumerate().for_each(|(at, &cell)| place[cell] = at);
        let mut columns: Vec<BTreeSet<usize>> = Vec::new();
        let mut with_lowest: BTreeMap<usize, usize> = BTreeMap::new();
        for &cell in &order {
            let mut column: BTreeSet<usize> =
                cells[cell].facets.iter().map(|&f| place[f]).collect();
            while let Some(&other) = column.last().and_then(|lowest| with_lowest.get(lowest)) {
                column = column.symmetric_difference(&columns[other]).copied().collect();
            }
            if let Some(&lowest) = column.last() {
                with_lowest.insert(lowest, columns.len());
            }
            columns.push(column);
        }
        let mut pairs = Pairs::new();
        for (at, _) in columns.iter().enumerate().filter(|(_, column)| column.is_empty()) {
            let born = &cells[order[at]];
            let end = with_lowest.get(&at).map(|&killer| point[&cells[order[killer]].rank]);
            let begin = point[&born.rank];
            if end.is_none_or(|end| values[end] > values[begin]) {
                pairs.insert((born.dimension, begin, end));
            }
        }
        pairs
    }

    fn by_sweep(values: &[f64], columns: usize, neighbours: Neighbours) -> Pairs {
        let tree = merge_tree(values, columns, neighbours).unwrap();
        let minima = tree.minima.iter().map(|m| (0, m.at, m.parent.map(|_| m.end)));
        let found = loops(values, columns, neighbours).unwrap();
        minima.chain(found.iter().map(|l| (1, l.closes, l.fills))).collect()
    }

    /// Draws of whole numbers below a limit.
    fn draws(name: &str, case: u64) -> impl FnMut(u64) -> u64 {
        let stream = Stream::new(7, name).at(case);
        let mut next = 0;
        move |n| {
            next += 1;
            (stream.u64(next) >> 11) % n
        }
    }

    #[test]
    fn random_small_grids_agree_with_the_reduction_of_the_boundary_matrix() {
        let mut seen = [0; 3];
        for case in 0..500 {
            let mut draw = draws("grids of loops", case);
            let (rows, columns) = (1 + draw(7) as usize, 1 + draw(7) as usize);
            // Few values, so that many are equal, and points that are not finite in every third grid.
            let (values, walls) = (2 + draw(12), draw(3) == 0);
            let grid: Vec<f64> = (0..rows * columns)
                .map(|_| match (walls && draw(5) == 0, draw(2)) {
                    (true, 0) => f64::NAN,
                    (true, _) => f64::INFINITY,
                    _ => draw(values) as f64 - 3.0,
                })
                .collect();
            let complexes = [
                (Neighbours::Six, triangles(&grid, columns)),
                (Neighbours::Eight, squares(&grid, columns)),
            ];
            for (neighbours, cells) in complexes {
                let found = by_sweep(&grid, columns, neighbours);
                assert_eq!(found, by_reduction(&grid, &cells), "{case} {neighbours:?}: {grid:?}");
                let of_one = || found.iter().filter(|pair| pair.0 == 1);
                seen[0] += usize::from(of_one().count() > 1);
                seen[1] += usize::from(of_one().any(|pair| pair.2.is_none()));
                seen[2] += usize::from(of_one().any(|pair| pair.2.is_some()) && walls);
                let bent: Vec<f64> = grid.iter().map(|v| (v / 5.0).exp() - 7.0).collect();
                assert_eq!(found, by_sweep(&bent, columns, neighbours), "{case}");
            }
        }
        assert!(seen.iter().all(|&n| n > 20), "the cases are too plain: {seen:?}");
    }

    /// In the triangulation the loops of `f` are the minima of `-f`, in a frame that none of them
    /// reaches below.
    #[test]
    fn loops_are_the_minima_of_the_negated_surface() {
        let mut seen = 0;
        for case in 0..200 {
            let mut draw = draws("negated grids", case);
            let (rows, columns) = (3 + draw(6) as usize, 3 + draw(6) as usize);
            let grid: Vec<f64> = (0..rows * columns).map(|_| draw(1 << 40) as f64).collect();
            let wide = columns + 2;
            let mut framed = vec![f64::MIN; (rows + 2) * wide];
            let framed_place = |v: usize| (v / columns + 1) * wide + v % columns + 1;
            grid.iter().enumerate().for_each(|(v, value)| framed[framed_place(v)] = -value);
            let tree = merge_tree(&framed, wide, Neighbours::Six).unwrap();
            let minima = tree.minima.iter().filter(|m| m.parent.is_some());
            let minima: BTreeSet<_> = minima.map(|m| (m.end, m.at)).collect();
            let found = loops(&grid, columns, Neighbours::Six).unwrap();
            let place = |l: &Loop| (framed_place(l.closes), framed_place(l.fills.unwrap()));
            seen += found.len();
            assert_eq!(found.iter().map(place).collect::<BTreeSet<_>>(), minima, "{case}");
        }
        assert!(seen > 200, "{seen}");
    }

    /// A function on a grid of `n` by `n` points from -2 to 2.
    fn plane(n: usize, value: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let at = |i: usize| 4.0 * i as f64 / (n - 1) as f64 - 2.0;
        (0..n * n).map(|v| value(at(v % n), at(v / n))).collect()
    }

    #[test]
    fn a_planted_annulus_is_one_loop() {
        let n = 81;
        let valley = plane(n, |x, y| (x.hypot(y) - 1.0).abs());
        for neighbours in [Neighbours::Six, Neighbours::Eight] {
            let found = loops(&valley, n, neighbours).unwrap();
            let deep: Vec<_> = found.iter().filter(|l| l.persistence() > 0.1).collect();
            let [only] = deep[..] else { panic!("{found:?}") };
            assert_eq!((only.fills, only.death), (Some(40 * n + 40), 1.0));
            // It closes as soon as the valley's floor is joined, a grid step above zero at most.
            assert!((0.0..0.05).contains(&only.birth), "{only:?}");
            // Cut through, it is none.
            let mut cut = valley.clone();
            (0..=40).for_each(|row| cut[row * n + 40] = 3.0);
            let found = loops(&cut, n, neighbours).unwrap();
            assert!(found.iter().all(|l| l.persistence() < 0.1), "{found:?}");
            // Around a point that is not finite it is never filled.
            let mut open = valley.clone();
            open[40 * n + 40] = f64::NAN;
            let found = loops(&open, n, neighbours).unwrap();
            let deep: Vec<_> = found.iter().filter(|l| l.persistence() > 0.1).collect();
            let [only] = deep[..] else { panic!("{found:?}") };
            assert_eq!((only.fills, only.death), (None, f64::INFINITY));
        }
    }

    #[test]
    fn two_hills_are_two_loops() {
        let n = 81;
        let hill = |x: f64, y: f64, at: f64, height: f64| {
            height * (-8.0 * ((x - at).powi(2) + y * y)).exp()
        };
        let hills = plane(n, |x, y| hill(x, y, -0.5, 2.0) + hill(x, y, 0.5, 1.0));
        for neighbours in [Neighbours::Six, Neighbours::Eight] {
            let found = loops(&hills, n, neighbours).unwrap();
            let mut high: Vec<_> = found.iter().filter(|l| l.persistence() > 1e-3).collect();
            high.sort_by(|a, b| b.death.total_cmp(&a.death));
            let [higher, lower] = high[..] else { panic!("{found:?}") };
            assert_eq!((higher.fills, lower.fills), (Some(40 * n + 30), Some(40 * n + 50)));
            // The plain closes around both; the saddle between them closes the loop of the lower.
            assert!(higher.birth < 1e-3, "{higher:?}");
            let saddle = (31..50).map(|c| hills[40 * n + c]).fold(f64::INFINITY, f64::min);
            assert_eq!(lower.birth, saddle);
        }
    }

    #[test]
    fn lines_rims_and_bad_grids_have_none() {
        let line: Vec<f64> = (0..40).map(|i| f64::from(i * i % 7)).collect();
        assert_eq!(loops(&line, 40, Neighbours::Eight).unwrap(), []);
        assert_eq!(loops(&line, 1, Neighbours::Six).unwrap(), []);
        // A hill at the rim has a way out.
        assert_eq!(loops(&[9.0, 1.0, 1.0, 1.0, 1.0, 1.0], 3, Neighbours::Eight).unwrap(), []);
        assert_eq!(loops(&[f64::NAN; 6], 3, Neighbours::Six).unwrap(), []);
        assert_eq!(loops(&[], 3, Neighbours::Six).unwrap(), []);
        assert!(loops(&[1.0; 5], 2, Neighbours::Six).is_err());
        assert!(loops(&[], 0, Neighbours::Six).is_err());
    }

    /// Crossing diagonals: what joins the one parts the other.
    #[test]
    fn diagonals_join_the_set_or_its_complement() {
        let cross = |centre: f64| [1.0, 0.0, 1.0, 0.0, centre, 0.0, 1.0, 0.0, 1.0];
        let pairs = |neighbours| {
            let found = loops(&cross(5.0), 3, neighbours).unwrap();
            found.iter().map(|l| (l.birth, l.death)).collect::<Vec<_>>()
        };
        // Four points, joined by their diagonals, surround the centre.
        assert_eq!(pairs(Neighbours::Eight), [(0.0, 5.0)]);
        // In the triangulation two of the corners are needed.
        assert_eq!(pairs(Neighbours::Six), [(1.0, 5.0)]);
    }
}

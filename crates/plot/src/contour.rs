//! Marching squares: the regions and lines of equal value of a field on a grid.

use std::collections::BTreeMap;

/// Finite values on a grid, with the place of each column and row on the canvas.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) xs: Vec<f64>,
    pub(crate) ys: Vec<f64>,
    /// Row-major, `[y, x]`.
    pub(crate) values: Vec<f64>,
}

impl Field {
    /// The region where the field is at least `level`, as closed rings to be filled by the even-odd
    /// rule.
    ///
    /// The field is surrounded by a rim of minus infinity that lies on its border, so that every
    /// ring closes.
    pub(crate) fn region(&self, level: f64) -> Vec<Vec<[f64; 2]>> {
        let rim = Rim { field: self, level };
        let links = rim.march(0..self.xs.len() + 1, 0..self.ys.len() + 1);
        rim.chains(links).into_iter().map(|(points, _)| points).collect()
    }

    /// The lines where the field crosses `level`, and whether each is closed.
    pub(crate) fn lines(&self, level: f64) -> Vec<(Vec<[f64; 2]>, bool)> {
        let rim = Rim { field: self, level };
        let links = rim.march(1..self.xs.len(), 1..self.ys.len());
        rim.chains(links)
    }
}

/// The field with its rim: node `(i, j)` is the field's `(i - 1, j - 1)`.
struct Rim<'a> {
    field: &'a Field,
    level: f64,
}

/// An edge between neighbouring nodes: `(i, j, 0)` to the right, `(i, j, 1)` upwards in `j`.
type Edge = (usize, usize, u8);

impl Rim<'_> {
    fn value(&self, i: usize, j: usize) -> f64 {
        let (columns, rows) = (self.field.xs.len(), self.field.ys.len());
        if i == 0 || j == 0 || i > columns || j > rows {
            f64::NEG_INFINITY
        } else {
            self.field.values[(j - 1) * columns + i - 1]
        }
    }

    fn node(&self, i: usize, j: usize) -> [f64; 2] {
        let clamp = |index: usize, list: &[f64]| list[index.max(1).min(list.len()) - 1];
        [clamp(i, &self.field.xs), clamp(j, &self.field.ys)]
    }

    /// Where the level is crossed on an edge.
    fn crossing(&self, (i, j, direction): Edge) -> [f64; 2] {
        let (k, l) = if direction == 0 { (i + 1, j) } else { (i, j + 1) };
        let (a, b) = (self.value(i, j), self.value(k, l));
        let (p, q) = (self.node(i, j), self.node(k, l));
        let t = if a == f64::NEG_INFINITY {
            1.0
        } else if b == f64::NEG_INFINITY {
            0.0
        } else {
            (self.level - a) / (b - a)
        };
        std::array::from_fn(|axis| p[axis] + t * (q[axis] - p[axis]))
    }

    /// For every cell the links from edge to edge, with the high side on the left; so each edge
    /// begins at most one link and ends at most one.
    fn march(
        &self,
        columns: std::ops::Range<usize>,
        rows: std::ops::Range<usize>,
    ) -> BTreeMap<Edge, Edge> {
        let mut links = BTreeMap::new();
        for j in rows {
            for i in columns.clone() {
                let corners = [
                    self.value(i, j),
                    self.value(i + 1, j),
                    self.value(i + 1, j + 1),
                    self.value(i, j + 1),
                ];
                let high = corners.map(|value| value >= self.level);
                let case = (0..4).fold(0, |case, bit| case | usize::from(high[bit]) << bit);
                let [south, east, north, west] =
                    [(i, j, 0), (i + 1, j, 1), (i, j + 1, 0), (i, j, 1)];
                let saddle_is_high = corners.iter().sum::<f64>() / 4.0 >= self.level;
                let mut link = |from: Edge, to: Edge| {
                    links.insert(from, to);
                };
                match case {
                    1 => link(south, west),
                    2 => link(east, south),
                    3 => link(east, west),
                    4 => link(north, east),
                    6 => link(north, south),
                    7 => link(north, west),
                    8 => link(west, north),
                    9 => link(south, north),
                    11 => link(east, north),
                    12 => link(west, east),
                    13 => link(south, east),
                    14 => link(west, south),
                    5 if saddle_is_high => {
                        link(south, east);
                        link(north, west);
                    }
                    5 => {
                        link(south, west);
                        link(north, east);
                    }
                    10 if saddle_is_high => {
                        link(west, south);
                        link(east, north);
                    }
                    10 => {
                        link(east, south);
                        link(west, north);
                    }
                    _ => {}
                }
            }
        }
        links
    }

    fn chains(&self, mut links: BTreeMap<Edge, Edge>) -> Vec<(Vec<[f64; 2]>, bool)> {
        let ends: std::collections::BTreeSet<Edge> = links.values().copied().collect();
        let open: Vec<Edge> = links.keys().filter(|edge| !ends.contains(edge)).copied().collect();
        let mut chains = Vec::new();
        let mut follow = |start: Edge, links: &mut BTreeMap<Edge, Edge>, closed: bool| {
            let mut points = vec![self.crossing(start)];
            let mut at = start;
            while let Some(next) = links.remove(&at) {
                points.push(self.crossing(next));
                at = next;
            }
            chains.push((points, closed));
        };
        for start in open {
            follow(start, &mut links, false);
        }
        while let Some((&start, _)) = links.first_key_value() {
            follow(start, &mut links, true);
        }
        chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(n: usize, value: impl Fn(f64, f64) -> f64) -> Field {
        let xs: Vec<f64> = (0..n).map(|i| -1.0 + 2.0 * i as f64 / (n - 1) as f64).collect();
        let values = xs.iter().flat_map(|&y| xs.iter().map(move |&x| (x, y)));
        Field { values: values.map(|(x, y)| value(x, y)).collect(), ys: xs.clone(), xs }
    }

    fn area(ring: &[[f64; 2]]) -> f64 {
        ring.windows(2).map(|w| w[0][0] * w[1][1] - w[1][0] * w[0][1]).sum::<f64>() / 2.0
    }

    #[test]
    fn a_circle_has_its_area_and_its_complement_the_rest() {
        let disc = field(101, |x, y| 0.25 - x * x - y * y);
        let rings = disc.region(0.0);
        assert_eq!(rings.len(), 1);
        assert!((area(&rings[0]) - std::f64::consts::PI / 4.0).abs() < 1e-3);
        let hole = field(101, |x, y| x * x + y * y - 0.25);
        let total: f64 = hole.region(0.0).iter().map(|ring| area(ring)).sum();
        assert!((total - (4.0 - std::f64::consts::PI / 4.0)).abs() < 1e-3);
    }

    #[test]
    fn a_slope_is_cut_by_an_open_line_and_a_closed_region() {
        let slope = field(5, |x, _| x);
        let lines = slope.lines(0.25);
        assert_eq!(lines.len(), 1);
        let (points, closed) = &lines[0];
        assert!(!closed && points.iter().all(|p| (p[0] - 0.25).abs() < 1e-12));
        let region = slope.region(0.25);
        assert!((area(&region[0]) - 1.5).abs() < 1e-12);
        assert!((area(&slope.region(-9.0)[0]) - 4.0).abs() < 1e-12);
        assert!(slope.region(9.0).is_empty());
    }

    #[test]
    fn saddles_leave_no_edge_without_partner() {
        let saddle = field(4, |x, y| x * y);
        for level in [-0.1, 0.0, 0.1] {
            for ring in saddle.region(level) {
                assert_eq!(ring.first(), ring.last());
            }
        }
    }
}

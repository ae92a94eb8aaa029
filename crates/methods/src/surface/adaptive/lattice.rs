//! Nested lattices of grid points, and interpolation between them.

/// Most places of the coarsest lattice along an axis.
const COARSEST: usize = 9;

/// Places of a stencil along one axis.
const ORDER: usize = 4;

/// Places on one axis, on levels each of which holds every second place of the next and both ends.
pub(super) struct Axis {
    at: Vec<f64>,
    levels: Vec<Vec<usize>>,
    birth: Vec<usize>,
}

/// A weighted place of a stencil.
pub(super) type Weighted = (usize, f64);

impl Axis {
    fn new(at: &[f64], levels_wanted: usize) -> Axis {
        let mut levels = vec![(0..at.len()).collect::<Vec<usize>>()];
        while levels[0].len() > COARSEST {
            let finer = &levels[0];
            let mut coarser: Vec<usize> = finer.iter().copied().step_by(2).collect();
            let last = finer[finer.len() - 1];
            if coarser[coarser.len() - 1] != last {
                coarser.push(last);
            }
            levels.insert(0, coarser);
        }
        while levels.len() < levels_wanted {
            levels.insert(0, levels[0].clone());
        }
        let of = |place: usize| levels.iter().position(|level| level.binary_search(&place).is_ok());
        let birth = (0..at.len()).map(|place| of(place).unwrap_or(0)).collect();
        Axis { at: at.to_vec(), levels, birth }
    }

    /// The neighbours of a place on a level, the same twice if it is on the level itself.
    fn around(&self, place: usize, level: usize) -> [usize; 2] {
        let places = &self.levels[level];
        match places.binary_search(&place) {
            Ok(_) => [place; 2],
            Err(next) => [places[next - 1], places[next]],
        }
    }

    /// The neighbours of a place that is on a level, and itself.
    fn beside(&self, place: usize, level: usize) -> &[usize] {
        let places = &self.levels[level];
        let index = places.binary_search(&place).unwrap_or(0);
        &places[index.saturating_sub(1)..(index + 2).min(places.len())]
    }

    /// Lagrange weights of the `order` places of a level that are nearest to a place.
    fn stencil(&self, place: usize, level: usize, order: usize) -> Vec<Weighted> {
        let places = &self.levels[level];
        let next = match places.binary_search(&place) {
            Ok(_) => return vec![(place, 1.0)],
            Err(next) => next,
        };
        let order = order.min(places.len());
        let first = next.saturating_sub(order / 2).min(places.len() - order);
        let used = &places[first..first + order];
        let t = self.at[place];
        let weight = |&k: &usize| {
            let others = used.iter().filter(|&&other| other != k);
            others.map(|&other| (t - self.at[other]) / (self.at[k] - self.at[other])).product()
        };
        used.iter().map(|k| (*k, weight(k))).collect()
    }
}

/// A grid `[y, x]`, row-major, as nested lattices.
pub(super) struct Lattice {
    x: Axis,
    y: Axis,
}

impl Lattice {
    /// The lattices of a grid with these coordinates, no two of an axis equal.
    pub(super) fn new(x: &[f64], y: &[f64]) -> Lattice {
        let levels = Axis::new(x, 0).levels.len().max(Axis::new(y, 0).levels.len());
        Lattice { x: Axis::new(x, levels), y: Axis::new(y, levels) }
    }

    /// How many levels there are.
    pub(super) fn levels(&self) -> usize {
        self.x.levels.len()
    }

    /// How many points the grid has.
    pub(super) fn points(&self) -> usize {
        self.x.at.len() * self.y.at.len()
    }

    fn split(&self, point: usize) -> (usize, usize) {
        (point / self.x.at.len(), point % self.x.at.len())
    }

    fn join(&self, y: usize, x: usize) -> usize {
        y * self.x.at.len() + x
    }

    /// The coordinates of a point along the first and the second direction.
    pub(super) fn coordinates(&self, point: usize) -> [f64; 2] {
        let (y, x) = self.split(point);
        [self.x.at[x], self.y.at[y]]
    }

    /// The coarsest level that holds a point.
    pub(super) fn birth(&self, point: usize) -> usize {
        let (y, x) = self.split(point);
        self.y.birth[y].max(self.x.birth[x])
    }

    /// The points of which a level is the coarsest that holds them, in order.
    pub(super) fn born(&self, level: usize) -> Vec<usize> {
        (0..self.points()).filter(|&point| self.birth(point) == level).collect()
    }

    fn product(&self, y: &[Weighted], x: &[Weighted]) -> Vec<Weighted> {
        let of_row = |&(j, v): &Weighted| x.iter().map(move |&(i, u)| (self.join(j, i), u * v));
        y.iter().flat_map(of_row).filter(|&(_, weight)| weight != 0.0).collect()
    }

    /// Cubic interpolation at a point from the level below its own: points that are older than it,
    /// with their weights. Empty on the coarsest level.
    pub(super) fn stencil(&self, point: usize) -> Vec<Weighted> {
        self.interpolation(point, ORDER)
    }

    /// The same, linear: weights between 0 and 1.
    pub(super) fn linear_stencil(&self, point: usize) -> Vec<Weighted> {
        self.interpolation(point, 2)
    }

    fn interpolation(&self, point: usize, order: usize) -> Vec<Weighted> {
        let Some(below) = self.birth(point).checked_sub(1) else { return Vec::new() };
        let (y, x) = self.split(point);
        self.product(&self.y.stencil(y, below, order), &self.x.stencil(x, below, order))
    }

    /// The points of the level below a point's own that lie around it, one place further on each
    /// side.
    pub(super) fn neighbourhood(&self, point: usize) -> Vec<usize> {
        let Some(below) = self.birth(point).checked_sub(1) else { return Vec::new() };
        let (y, x) = self.split(point);
        let wide = |axis: &Axis, place: usize| {
            let [low, high] = axis.around(place, below);
            let mut places = axis.beside(low, below).to_vec();
            places.extend(axis.beside(high, below));
            places.sort_unstable();
            places.dedup();
            places
        };
        let columns = wide(&self.x, x);
        let rows = wide(&self.y, y);
        rows.iter().flat_map(|&j| columns.iter().map(move |&i| self.join(j, i))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lattice(columns: usize, rows: usize) -> Lattice {
        let axis = |n: usize| (0..n).map(|i| i as f64 / n as f64 - 0.3).collect::<Vec<_>>();
        Lattice::new(&axis(columns), &axis(rows))
    }

    #[test]
    fn every_point_is_born_once_and_leans_on_older_ones() {
        for (columns, rows) in [(51, 51), (40, 7), (17, 1), (2, 3), (1, 1), (100, 33)] {
            let lattice = lattice(columns, rows);
            let born: usize = (0..lattice.levels()).map(|level| lattice.born(level).len()).sum();
            assert_eq!(born, columns * rows);
            assert!(lattice.born(0).len() <= COARSEST * COARSEST);
            for point in 0..lattice.points() {
                for (older, _) in lattice.stencil(point) {
                    assert!(lattice.birth(older) < lattice.birth(point));
                }
            }
        }
    }

    #[test]
    fn cubics_are_interpolated_exactly() {
        let lattice = lattice(51, 38);
        let value = |point: usize| {
            let [x, y] = lattice.coordinates(point);
            (1.0 + x - 3.0 * x * x * x) * (y * y * y - y * y + 0.5)
        };
        for point in 0..lattice.points() {
            let stencil = lattice.stencil(point);
            if stencil.is_empty() {
                continue;
            }
            let found: f64 = stencil.iter().map(|&(k, w)| w * value(k)).sum();
            assert!((found - value(point)).abs() < 1e-12, "{point}");
            let linear = lattice.linear_stencil(point);
            assert!(linear.iter().all(|&(_, w)| w > 0.0 && w <= 1.0));
            assert!((linear.iter().map(|&(_, w)| w).sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_neighbourhood_holds_the_corners_of_the_cell() {
        let lattice = lattice(51, 51);
        for point in 0..lattice.points() {
            let near = lattice.neighbourhood(point);
            assert!(lattice.linear_stencil(point).iter().all(|(corner, _)| near.contains(corner)));
            assert!(near.len() <= 16);
        }
    }
}

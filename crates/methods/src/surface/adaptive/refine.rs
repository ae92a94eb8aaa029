//! Which points are evaluated, and on how many examples.

use super::lattice::Lattice;
use super::node::{Node, Support, inherited, judge, lean};
use super::sampler::{Drawn, Sampler};
use super::scale::Scale;
use crate::MethodError;
use crate::common::Sampling;
use std::collections::BTreeMap;
use thalweg_data::Stream;

/// The share of the tolerance that a standard error may be: with twice that, sampling may use most
/// of the tolerance, and what it leaves in squares is for interpolation.
const SAMPLING_SHARE: f64 = 0.45;

/// The least share of the allowed variance that a point may add, however much it inherits.
const OWN_SHARE: f64 = 0.1;

/// How often a point asks for more examples before it is content.
const PASSES: usize = 4;

/// Points whose samples grow together: enough to fill a population, few enough to hold.
const TOGETHER: usize = 256;

/// Points that are held out of an interpolation to judge it.
const HELD_OUT: usize = 39;

/// The share of held-out points of which the error of interpolation is to be within the bound.
const QUANTILE: f64 = 0.9;

/// The share of all points that interpolation may leave off by more than the tolerance.
const BEYOND: f64 = 0.05;

/// A plane's points, as far as they are known.
pub(super) struct Refinement<'a> {
    pub(super) lattice: Lattice,
    pub(super) nodes: BTreeMap<usize, Node>,
    pub(super) heights: Vec<f64>,
    pub(super) scale: Scale,
    tolerance: f64,
    sampler: Sampler<'a>,
    drawn: &'a Drawn<'a>,
    sampling: &'a Sampling,
    centre: Node,
    /// Points that were not evaluated and on which evaluated ones lean.
    between: BTreeMap<usize, Node>,
    /// How far evaluated points were from what was expected, in tolerances.
    details: BTreeMap<usize, f64>,
}

/// What held-out points said of an interpolation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct HeldOut {
    /// How many there were.
    pub(super) points: usize,
    /// How many of them were off by more than the tolerance.
    pub(super) beyond: usize,
    /// The share of all points that were interpolated when these were drawn among them.
    share: f64,
    /// What the indicator of a point is multiplied by to bound its error, in tolerances.
    pub(super) factor: f64,
}

impl HeldOut {
    /// Whether few enough are off.
    pub(super) fn passes(&self) -> bool {
        self.beyond as f64 * self.share <= BEYOND * (self.points + 1) as f64
    }
}

/// A point whose sample grows.
struct Growing {
    point: usize,
    node: Node,
    /// The number of the size that it has, and the one that it wants.
    have: Option<usize>,
    want: usize,
    /// Whether it leans on its stencil, or on the centre.
    on_stencil: bool,
}

impl<'a> Refinement<'a> {
    pub(super) fn new(
        lattice: Lattice,
        sampler: Sampler<'a>,
        (drawn, sampling): (&'a Drawn<'a>, &'a Sampling),
        (scale, tolerance): (Scale, f64),
        centre: Node,
    ) -> Refinement<'a> {
        let heights = vec![f64::NAN; lattice.points()];
        let mut nodes = BTreeMap::new();
        let origin = (0..lattice.points()).find(|&p| lattice.coordinates(p) == [0.0; 2]);
        nodes.extend(origin.map(|point| (point, centre.clone())));
        let (between, details) = (BTreeMap::new(), BTreeMap::new());
        Refinement {
            lattice,
            nodes,
            heights,
            scale,
            tolerance,
            sampler,
            drawn,
            sampling,
            centre,
            between,
            details,
        }
    }

    /// Losses of single examples evaluated until now.
    pub(super) fn evaluations(&self) -> u64 {
        self.sampler.evaluations()
    }

    fn population(&self) -> usize {
        self.centre.examples()
    }

    /// How rough it is around a point one level up, in tolerances: the farthest that one of the
    /// points nearby was from what was expected of it. Infinite where nothing tells.
    pub(super) fn roughness(&self, point: usize) -> f64 {
        let level = self.lattice.birth(point);
        if level < 2 {
            return f64::INFINITY;
        }
        let near = self.lattice.neighbourhood(point).into_iter();
        let told = near.filter(|&q| self.lattice.birth(q) + 1 == level);
        told.filter_map(|q| self.details.get(&q)).fold(0.0, |worst, &d| d.max(worst))
    }

    /// The height that the points of the level below give; NaN if there are none or one is not
    /// finite.
    fn expected(&self, point: usize) -> f64 {
        let stencil = self.lattice.stencil(point);
        match stencil.is_empty() {
            true => f64::NAN,
            false => stencil.iter().map(|&(k, weight)| weight * self.heights[k]).sum(),
        }
    }

    /// Goes from the coarsest level to the grid: evaluates points around which it is rougher than
    /// a limit, or whose neighbours are not finite, and interpolates the others.
    pub(super) fn walk(&mut self, key: &str, limit: f64) -> Result<(), MethodError> {
        self.between.clear();
        for level in 0..self.lattice.levels() {
            let mut rough = Vec::new();
            for point in self.lattice.born(level) {
                if let Some(node) = self.nodes.get(&point) {
                    self.heights[point] = self.scale.height(node.value);
                    continue;
                }
                let height = self.expected(point);
                match height.is_nan() || self.roughness(point) > limit {
                    true => rough.push(point),
                    false => self.heights[point] = height,
                }
            }
            self.evaluate(&format!("{key}/{level}"), level, &rough)?;
        }
        Ok(())
    }

    /// Evaluates some of the points that are interpolated and tells how far off they were. They
    /// are points like others from then on.
    pub(super) fn hold_out(&mut self, key: &str, stream: &Stream) -> Result<HeldOut, MethodError> {
        let free: Vec<usize> =
            (0..self.lattice.points()).filter(|point| !self.nodes.contains_key(point)).collect();
        let mut drawn: Vec<usize> = stream.permutation(free.len());
        drawn.truncate(HELD_OUT);
        let mut chosen: Vec<usize> = drawn.into_iter().map(|i| free[i]).collect();
        chosen.sort_unstable();
        let bounds: Vec<f64> = chosen.iter().map(|&point| bound(self.roughness(point))).collect();
        for level in 0..self.lattice.levels() {
            let of_level = |point: &usize| self.lattice.birth(*point) == level;
            let points: Vec<usize> = chosen.iter().copied().filter(of_level).collect();
            self.evaluate(&format!("{key}/{level}"), level, &points)?;
        }
        let errors: Vec<f64> = chosen.iter().map(|point| self.details[point]).collect();
        let beyond = errors.iter().filter(|&&error| error > 1.0).count();
        let mut ratios: Vec<f64> = errors.iter().zip(bounds).map(|(e, b)| e / b).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        // Of n exchangeable errors and one more, the last is within the k-th smallest with
        // probability k / (n + 1).
        let rank = (QUANTILE * (ratios.len() + 1) as f64).ceil() as usize;
        let factor = match ratios.len() {
            0 => 0.0,
            n => ratios[rank.clamp(1, n) - 1],
        };
        let share = free.len() as f64 / self.lattice.points() as f64;
        Ok(HeldOut { points: chosen.len(), beyond, share, factor })
    }

    /// The error of interpolation at a point that was not evaluated.
    pub(super) fn interpolation_error(&self, point: usize, held_out: &HeldOut) -> f64 {
        let height = held_out.factor * bound(self.roughness(point)) * self.tolerance;
        height * self.scale.slope(self.scale.loss(self.heights[point]))
    }

    fn evaluate(&mut self, key: &str, level: usize, points: &[usize]) -> Result<(), MethodError> {
        for (part, points) in points.chunks(TOGETHER).enumerate() {
            self.evaluate_together(&format!("{key}/{part}"), level, points)?;
        }
        Ok(())
    }

    fn evaluate_together(
        &mut self,
        key: &str,
        level: usize,
        points: &[usize],
    ) -> Result<(), MethodError> {
        let expected: Vec<f64> = points.iter().map(|&point| self.expected(point)).collect();
        for (&point, height) in points.iter().zip(&expected) {
            if !height.is_nan() {
                self.lattice.stencil(point).into_iter().for_each(|(k, _)| self.fill(k));
            }
        }
        let mut growing: Vec<Growing> = points
            .iter()
            .map(|&point| Growing {
                point,
                node: Node::default(),
                have: None,
                want: 0,
                on_stencil: false,
            })
            .collect();
        for pass in 0..PASSES {
            for size in 0..self.sampler.sizes().len() {
                self.grow(&format!("{key}/{pass}-{size}"), size, &mut growing)?;
                self.check_memory(&growing)?;
            }
            for (one, &height) in growing.iter_mut().zip(&expected) {
                self.decide(level, height, one);
            }
            if growing.iter().all(|one| one.have >= Some(one.want)) {
                break;
            }
        }
        for (mut one, height) in growing.into_iter().zip(expected) {
            if one.node.is_finite() {
                let supports = self.supports(one.point, height, one.on_stencil);
                let in_order = |values: &[f64]| self.drawn.in_order(values);
                one.node.settle(&supports, self.population(), in_order);
                one.node.choose(self.sampling, in_order);
            } else {
                let losses = &one.node.losses;
                one.node.value = losses.iter().sum::<f64>() / losses.len() as f64;
                let correct = one.node.correct.as_ref();
                one.node.accuracy =
                    correct.map_or(f64::NAN, |c| c.iter().sum::<f64>() / c.len() as f64);
                one.node.variance = f64::NAN;
                one.node.choice = f64::NAN;
            }
            let found = self.scale.height(one.node.value);
            let off = (found - height).abs() / self.tolerance;
            self.details.insert(one.point, if off.is_nan() { f64::INFINITY } else { off });
            self.heights[one.point] = found;
            if level + 1 == self.lattice.levels() {
                one.node.forget();
            }
            self.nodes.insert(one.point, one.node);
        }
        Ok(())
    }

    /// # Errors
    /// More losses than the memory has room for.
    fn check_memory(&self, growing: &[Growing]) -> Result<(), MethodError> {
        let known = self.nodes.values().chain(self.between.values());
        let held = known.chain(growing.iter().map(|one| &one.node)).map(Node::bytes);
        let (needed, budget) = (held.sum::<usize>(), self.sampler.memory());
        match needed <= budget {
            true => Ok(()),
            false => {
                let what =
                    "a surface to a tolerance, for the losses of single examples,".to_owned();
                Err(MethodError::Memory { what, needed, budget })
            }
        }
    }

    /// Takes the examples of a size beyond the one below for all who want them.
    fn grow(&self, key: &str, size: usize, growing: &mut [Growing]) -> Result<(), MethodError> {
        let after = size.checked_sub(1);
        let mut wanting: Vec<&mut Growing> =
            growing.iter_mut().filter(|one| one.have == after && one.want >= size).collect();
        let at = |one: &&mut Growing| self.lattice.coordinates(one.point);
        let coordinates: Vec<Vec<f64>> = wanting.iter().map(|one| self.along(at(one))).collect();
        let found = self.sampler.sample(key, &coordinates, after, size)?;
        for (one, values) in wanting.iter_mut().zip(found) {
            one.node.extend(values);
            one.have = Some(size);
        }
        Ok(())
    }

    fn along(&self, [x, y]: [f64; 2]) -> Vec<f64> {
        [x, y][..self.sampler.dimensions()].to_vec()
    }

    /// On what a point leans and how many examples it wants, from those that it has.
    fn decide(&self, level: usize, height: f64, one: &mut Growing) {
        let have = one.have.unwrap_or(0);
        one.want = have;
        if !one.node.is_finite() || one.node.examples() == self.population() {
            return;
        }
        let own = self.supports(one.point, height, false);
        let (mut on_stencil, mut want) = (false, self.size_for(level, &one.node, &own));
        if !height.is_nan() {
            let stencil = self.supports(one.point, height, true);
            let size = self.size_for(level, &one.node, &stencil);
            if size.is_some_and(|size| want.is_none_or(|other| size <= other)) {
                (on_stencil, want) = (true, size);
            }
        }
        // Beside what is not finite, only all examples tell whether the loss is.
        if height.is_nan() && level > 0 {
            want = None;
        }
        one.on_stencil = on_stencil;
        one.want = want.unwrap_or(self.sampler.sizes().len() - 1).max(have);
    }

    /// The number of the smallest size that is enough for a point with these supports; none if they
    /// do not have so many examples.
    fn size_for(&self, level: usize, node: &Node, supports: &[Support<'_>]) -> Option<usize> {
        let most = supports.iter().map(|s| s.node.examples()).min()?;
        if most < node.examples() {
            return None;
        }
        let (value, spread) = judge(&node.losses, supports);
        let allowed = (SAMPLING_SHARE * self.tolerance * self.scale.slope(value)).powi(2);
        let inherited = inherited(supports, self.population());
        let rest = |share: f64| (share * allowed - inherited).max(OWN_SHARE * allowed);
        let population = self.population() as f64;
        let variance = |n: usize| spread * (1.0 / n as f64 - 1.0 / population);
        let sizes = self.sampler.sizes();
        let fits = |size: &usize| sizes[*size] <= most;
        // What finer levels add must fit in beside.
        let share = (level + 1) as f64 / self.lattice.levels() as f64;
        let enough = |share: f64| {
            let mut all = (0..sizes.len()).filter(fits);
            all.find(|&size| variance(sizes[size]) <= rest(share))
        };
        enough(share).or_else(|| {
            let last = (0..sizes.len()).rfind(fits)?;
            (variance(sizes[last]) <= rest(1.0)).then_some(last)
        })
    }

    fn supports(&self, point: usize, height: f64, on_stencil: bool) -> Vec<Support<'_>> {
        if !on_stencil {
            return vec![Support { node: &self.centre, loss_weight: 1.0, weight: 1.0 }];
        }
        let stencil = self.lattice.stencil(point).into_iter();
        lean(&self.scale, height, stencil.filter_map(|(k, w)| Some((self.known(k)?, w))))
    }

    fn known(&self, point: usize) -> Option<&Node> {
        self.nodes.get(&point).or_else(|| self.between.get(&point))
    }

    /// Makes a point known that was not evaluated, and all on which it leans.
    fn fill(&mut self, point: usize) {
        if self.known(point).is_some() {
            return;
        }
        self.lattice.stencil(point).into_iter().for_each(|(k, _)| self.fill(k));
        let supports = self.supports(point, self.heights[point], true);
        let node = Node::interpolated(&supports, self.population());
        self.between.insert(point, node);
    }
}

/// What an error is measured in: it grows with the roughness nearby, and is not nothing where that
/// is nothing.
fn bound(roughness: f64) -> f64 {
    1.0 + if roughness.is_finite() { roughness } else { 0.0 }
}

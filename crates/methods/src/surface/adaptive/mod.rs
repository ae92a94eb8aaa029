//! A surface to a tolerance, from some of its points and some of the examples.
//!
//! The exact surface costs points times examples. Here the error at a point may be
//! `tol (|L - L_c| + |L_c|)`, where `L_c` is the loss at the centre: a share of the height over it,
//! and of its own size close to it, so that walls do not drown the basin. This error is shared
//! between sampling examples and interpolating points.
//!
//! **Levels.** The grid is a nest of lattices, each with every second place of the next
//! ([`lattice`]). On the coarsest all points are evaluated. On the next, a point is evaluated where
//! one of the points nearby was more than [`ROUGH`] tolerances off what its coarser neighbours had
//! let expect, and interpolated elsewhere, by cubics through 4 x 4 points, in a height in which the
//! tolerance is the same everywhere ([`scale`]). A kink or a wall keeps its points down to the grid;
//! so does a region where the loss is not finite: no cubic goes through what is not finite.
//!
//! **Samples.** A point's sample is the first examples of one order drawn for the surface, from 64
//! up, until the variance says that it is enough ([`node`]). What is averaged over it is not the
//! loss but its difference from a control variate over the same examples: the loss at the centre,
//! or the interpolant of the coarser points' losses, example by example, whichever leaves less.
//! These residuals shrink from level to level as the interpolation error does, and with them the
//! samples. All examples are one of the sizes: a point that needs them has the bits of the exact
//! surface.
//!
//! **Values only.** A forward-mode derivative along both directions costs five products where the
//! value costs one (`D x` and `W x'` for each), and gives three numbers; five values on a finer
//! lattice carry more. So nodes have values, and Hermite's interpolation is left out.
//!
//! **Errors.** The sampling error is the standard error against the exact surface of the same
//! examples, with finite-population correction, control variates and what they rest on included.
//! At interpolated points it is the linear interpolation of that of their neighbours, as if theirs
//! were wholly correlated. The interpolation error is an estimate: points drawn at random among the
//! interpolated ones are evaluated, and the bound is scaled to hold for nine tenths of them. When
//! they say that more than a twentieth of the surface is off by more than the tolerance, the limit
//! of roughness is halved and the surface refined; they stay points of the surface.
//!
//! **Batch normalisation.** With frozen statistics, or without any, an example's loss is its own.
//! Otherwise it depends on its batch or on all data, and every point takes all examples; then only
//! points are saved.
//!
//! Time is linear in the losses evaluated. Memory holds 16 to 24 bytes for each of those that finer
//! points may lean on, which are all but the finest lattice's: in a plane about a quarter.
//!
//! # Source    Heinrich, Multilevel Monte Carlo methods, 2001 (families of integrals); Harten,
//! Adaptive multiresolution schemes for shock computations, 1994; Cochran, Sampling techniques,
//! 1977, chapter 2

mod lattice;
mod node;
mod refine;
mod sampler;
mod scale;

use super::{Plane, Surface};
use crate::common::{Evaluation, Objective, Sampling, Status};
use crate::{Context, MethodError};
use lattice::Lattice;
use node::Node;
use refine::{HeldOut, Refinement};
use sampler::{Drawn, Sampler};
use scale::Scale;
use thalweg_nn::{Parameters, Weights};

/// Roughness, in tolerances, from which on points are evaluated: cubics leave a sixteenth of it
/// on the next lattice where the loss is smooth, and half of it at a kink.
const ROUGH: f64 = 6.0;

/// How often the limit of roughness is halved at most.
const ROUNDS: usize = 6;

/// What is asked of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance(f64);

impl Tolerance {
    /// A share of the height over the centre, above 0 and below 1.
    ///
    /// # Errors
    /// Any other number.
    pub fn new(tolerance: f64) -> Result<Tolerance, MethodError> {
        match tolerance > 0.0 && tolerance < 1.0 {
            true => Ok(Tolerance(tolerance)),
            false => Err(MethodError::config("tolerance", "above 0 and below 1", tolerance)),
        }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// A surface to a tolerance: all parts `[pair, y, x]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptiveSurface {
    /// Its values. `loss_standard_error` covers all sampling: that of examples for each point, and
    /// that of the objective's examples where these are a sample.
    pub surface: Surface,
    /// The standard error against the exact surface of the objective's examples.
    pub sampling_error: Vec<f64>,
    /// The estimated error of interpolation, which nine in ten keep; 0 at evaluated points.
    pub interpolation_error: Vec<f64>,
    /// Examples that a point was evaluated on; 0 where it was interpolated.
    pub samples: Vec<u32>,
    /// Losses of single examples evaluated, the centre's and held-out points' among them. The exact
    /// surface takes points times examples.
    pub evaluations: u64,
    /// Points held out of the interpolation to judge it, in the last round.
    pub held_out: usize,
    /// How many of these were off by more than the tolerance.
    pub beyond: usize,
}

/// An objective on a grid to a tolerance.
///
/// `|error| <= tol (|L - L_c| + |L_c|)` at about 19 of 20 points, where `L_c` is the loss at the
/// centre, with the errors said for each.
///
/// Points are evaluated where the surface is rough at the scale of their neighbours or not finite,
/// and interpolated elsewhere. Each is evaluated on as many examples as its variance asks for, of
/// differences from the centre or from its neighbours on the same examples. Accuracies are
/// estimated and interpolated alike, without errors of their own. Where an example's loss depends
/// on its batch (batch norm that is not frozen), every evaluated point takes all examples.
///
/// The same seed gives the same bits whatever the threads, the memory budget, and interruptions.
/// It holds up to 24 bytes for each loss evaluated on all but the finest lattice.
///
/// # Errors
/// As [`super::surface()`]; coordinates that do not all rise or all fall; a loss at the centre
/// that is not finite; more losses to hold than the memory has room for.
pub fn adaptive_surface(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    planes: &[Plane],
    x: &[f64],
    y: &[f64],
    tolerance: Tolerance,
) -> Result<AdaptiveSurface, MethodError> {
    let points = super::plane::check(planes, x, y)?;
    for axis in [x, y] {
        let steps = || axis.windows(2).map(|pair| pair[1] - pair[0]);
        if !(steps().all(|step| step > 0.0) || steps().all(|step| step < 0.0)) {
            let expected = "all rising or all falling";
            return Err(MethodError::config(
                "coordinates of an adaptive surface",
                expected,
                "others",
            ));
        }
    }
    ctx.progress().start("surface to a tolerance", points as u64);
    let at_centre = crate::evaluate(ctx, objective, centre)?;
    if at_centre.status != Status::Computed {
        let what = "the loss at the centre of a surface to a tolerance".to_owned();
        return Err(MethodError::NotFinite { what, value: at_centre.loss.to_string() });
    }
    let drawn = Drawn::new(ctx, objective);
    let mut found = AdaptiveSurface::empty(x, y, planes.len(), at_centre);
    for (pair, plane) in planes.iter().enumerate() {
        let directions: Vec<Parameters> =
            std::iter::once(&plane.x).chain(&plane.y).cloned().collect();
        let ctx = ctx.within(&format!("adaptive/{pair}"));
        let sampler = Sampler::new(&ctx, &drawn, centre, &directions)?;
        let drawn = (&drawn, objective.sampling());
        let (refined, held_out) = refine(&ctx, drawn, sampler, [x, y], at_centre, tolerance)?;
        found.take(&refined, &held_out);
        ctx.progress().advance((x.len() * y.len()) as u64);
    }
    Ok(found)
}

fn refine<'a>(
    ctx: &Context<'_>,
    (drawn, sampling): (&'a Drawn<'a>, &'a Sampling),
    sampler: Sampler<'a>,
    [x, y]: [&[f64]; 2],
    at_centre: Evaluation,
    tolerance: Tolerance,
) -> Result<(Refinement<'a>, HeldOut), MethodError> {
    let all = sampler.sizes().len() - 1;
    let mut centre = Node::default();
    for size in 0..=all {
        let at = vec![vec![0.0; sampler.dimensions()]];
        let key = format!("centre/{size}");
        let values = sampler.sample(&key, &at, size.checked_sub(1), size)?;
        values.into_iter().for_each(|values| centre.extend(values));
    }
    let in_order = |values: &[f64]| drawn.in_order(values);
    centre.settle(&[], centre.examples(), in_order);
    centre.choose(sampling, in_order);
    // An objective of zero at its centre has the size of its smallest slope seen nearby.
    let lattice = Lattice::new(x, y);
    let mut differences = Vec::new();
    if at_centre.loss == 0.0 {
        let points = lattice.born(0);
        let of = |&p: &usize| lattice.coordinates(p)[..sampler.dimensions()].to_vec();
        let at: Vec<Vec<f64>> = points.iter().map(of).collect();
        let found = sampler.sample("scale", &at, None, 0)?;
        differences
            .extend(found.iter().map(|v| v.losses.iter().sum::<f64>() / v.losses.len() as f64));
    }
    let scale = Scale::new(at_centre.loss, differences.into_iter());
    let scales = (scale, tolerance.value());
    let mut refined = Refinement::new(lattice, sampler, (drawn, sampling), scales, centre);
    let mut held_out = HeldOut::default();
    let stream = ctx.stream("surface/held-out");
    for round in 0..ROUNDS {
        refined.walk(&format!("{round}"), ROUGH / f64::from(1u32 << round))?;
        let key = format!("{round}/held-out");
        held_out = refined.hold_out(&key, &stream.at(round as u64))?;
        if held_out.passes() {
            break;
        }
    }
    // What was held out is known now, and others may lean on it.
    refined.walk("last", f64::INFINITY)?;
    Ok((refined, held_out))
}

impl AdaptiveSurface {
    fn empty(x: &[f64], y: &[f64], pairs: usize, centre: Evaluation) -> AdaptiveSurface {
        let surface = Surface {
            x: x.to_vec(),
            y: y.to_vec(),
            pairs,
            loss: Vec::new(),
            accuracy: centre.accuracy.map(|_| Vec::new()),
            loss_standard_error: Some(Vec::new()),
            status: Vec::new(),
            centre,
        };
        AdaptiveSurface {
            surface,
            sampling_error: Vec::new(),
            interpolation_error: Vec::new(),
            samples: Vec::new(),
            evaluations: 0,
            held_out: 0,
            beyond: 0,
        }
    }

    /// How many points were evaluated.
    pub fn evaluated(&self) -> usize {
        self.samples.iter().filter(|&&n| n > 0).count()
    }

    /// Takes over a plane.
    fn take(&mut self, refined: &Refinement<'_>, held_out: &HeldOut) {
        let lattice = &refined.lattice;
        let points = lattice.points();
        let mut loss = vec![f64::NAN; points];
        // Errors in heights and shares: what is interpolated linearly.
        let mut parts = vec![[f64::NAN; 3]; points];
        for point in (0..lattice.levels()).flat_map(|level| lattice.born(level)) {
            if let Some(node) = refined.nodes.get(&point) {
                loss[point] = node.value;
                let slope = refined.scale.slope(node.value);
                parts[point] = [node.variance.sqrt() / slope, node.choice / slope, node.accuracy];
                continue;
            }
            loss[point] = refined.scale.loss(refined.heights[point]);
            let mut sum = [0.0; 3];
            for (k, weight) in lattice.linear_stencil(point) {
                sum.iter_mut().zip(parts[k]).for_each(|(sum, part)| *sum += weight * part);
            }
            parts[point] = sum;
        }
        for (point, (&loss, [sampling, choice, accuracy])) in loss.iter().zip(parts).enumerate() {
            let slope = refined.scale.slope(loss);
            let node = refined.nodes.get(&point);
            let interpolation = match node {
                Some(_) => 0.0,
                None => refined.interpolation_error(point, held_out),
            };
            self.surface.loss.push(loss);
            self.surface.status.push(match loss.is_finite() {
                true => Status::Computed,
                false => Status::NotFinite,
            });
            let total = slope * sampling.hypot(choice);
            self.surface.loss_standard_error.get_or_insert_default().push(total);
            self.surface.accuracy.iter_mut().for_each(|all| all.push(accuracy.clamp(0.0, 1.0)));
            self.sampling_error.push(slope * sampling);
            self.interpolation_error.push(interpolation);
            self.samples.push(node.map_or(0, |node| node.examples() as u32));
        }
        self.evaluations += refined.evaluations();
        self.held_out += held_out.points;
        self.beyond += held_out.beyond;
    }
}

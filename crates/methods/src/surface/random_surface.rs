//! Surfaces along random directions.

use super::directions::{DirectionConfig, random_direction};
use super::grid::GridRange;
use super::plane::{Plane, Surface, surface};
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_stats::Estimate;

/// Which random surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomSurfaceConfig {
    /// What the directions are like.
    pub directions: DirectionConfig,
    /// Coordinates along the first direction.
    pub x: GridRange,
    /// Coordinates along the second; `None` for a line.
    pub y: Option<GridRange>,
    /// Number of pairs of directions, for the spread between them.
    pub pairs: usize,
}

impl Default for RandomSurfaceConfig {
    fn default() -> RandomSurfaceConfig {
        let range = GridRange::new(-1.0, 1.0, 31).expect("a range of 31 points");
        RandomSurfaceConfig {
            directions: DirectionConfig::default(),
            x: range,
            y: Some(range),
            pairs: 1,
        }
    }
}

/// Planes (or lines) along random directions: pair `i` draws from the streams `x` and `y` of
/// member `i` of the context's stream `directions`, whatever the number of pairs.
///
/// # Errors
/// Weights of another model; no pair; more directions than the memory holds, since all are there at
/// once.
pub fn random_planes(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    config: &DirectionConfig,
    pairs: usize,
    two_dimensional: bool,
) -> Result<Vec<Plane>, MethodError> {
    if pairs == 0 {
        return Err(MethodError::config("number of pairs of directions", "at least 1", 0));
    }
    let directions = pairs.saturating_mul(1 + usize::from(two_dimensional));
    let weights: usize = centre.parameters.arrays().iter().map(Array::size_in_bytes).sum();
    let needed = directions.saturating_mul(weights);
    if needed > ctx.memory() {
        let what = format!("{directions} directions of {} weights", centre.parameters.count());
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let root = ctx.stream("directions");
    let one = |pair: usize, axis: &str| {
        let stream = root.at(pair as u64).child(axis);
        random_direction(objective.parameters(), &centre.parameters, config, &stream)
    };
    let plane = |pair| {
        let y = if two_dimensional { Some(one(pair, "y")?) } else { None };
        Ok(Plane { x: one(pair, "x")?, y })
    };
    (0..pairs).map(plane).collect()
}

/// The surface along random directions, as an instrument: [`random_planes`], then [`surface`].
#[derive(Clone, Copy, Debug)]
pub struct RandomSurface;

impl Instrument for RandomSurface {
    const ID: &'static str = "random_surface";
    const SUMMARY: &'static str = "loss on lines or planes along random directions";
    const SOURCE: &'static str = "Li et al. 2018, arXiv 1712.09913";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::LayerRescaling, Invariance::NormalizedFilters];
    type Config = RandomSurfaceConfig;
    type Reading = Surface;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &RandomSurfaceConfig,
    ) -> Result<Surface, MethodError> {
        let two = config.y.is_some();
        let planes = random_planes(ctx, objective, point, &config.directions, config.pairs, two)?;
        let y = config.y.map_or(vec![0.0], |range| range.values());
        surface(ctx, objective, point, &planes, &config.x.values(), &y)
    }

    fn cost(config: &RandomSurfaceConfig, _: &Size) -> Cost {
        let points = config.x.points() * config.y.map_or(1, |range| range.points());
        Cost::exactly(config.pairs * points + 1, 0, 0)
    }

    /// The extremes are those of the points that were looked at: between them and along other directions
    /// the loss may lie further out.
    fn quantities(reading: &Surface) -> Vec<Quantity> {
        let finite = || reading.loss.iter().copied().filter(|loss| loss.is_finite());
        let points = reading.loss.len();
        let extreme = |which: &str, value: f64| {
            Quantity::exact(format!("{which} loss of {points} points"), value)
        };
        let (name, centre) = ("loss at the centre", &reading.centre);
        vec![
            match centre.standard_error {
                None => Quantity::exact(name, centre.loss),
                Some(standard_error) => {
                    let (value, samples) = (centre.loss, centre.examples);
                    Quantity::estimated(name, Estimate { value, standard_error, samples })
                }
            }
            .of_data(),
            extreme("lowest", finite().fold(f64::INFINITY, f64::min)),
            extreme("highest", finite().fold(f64::NEG_INFINITY, f64::max)),
        ]
    }

    fn trial() -> RandomSurfaceConfig {
        let range = GridRange::new(-0.5, 0.5, 3).expect("a range of 3 points");
        RandomSurfaceConfig { x: range, y: Some(range), ..RandomSurfaceConfig::default() }
    }

    fn refused() -> Vec<RandomSurfaceConfig> {
        vec![RandomSurfaceConfig { pairs: 0, ..RandomSurfaceConfig::default() }]
    }
}

//! The methods by name.
//!
//! A method is its file and one line here. Each kind of method has a trait of its own and a
//! conformance suite that runs over its registry: being registered is being tested.

mod cost;
mod invariance;
mod options;
mod quantity;
mod table;

pub use cost::{Cost, Size};
pub use invariance::Invariance;
pub use options::{Configured, Settings};
pub use quantity::{Over, Quantity, Terms, Value};
pub use table::instrument_table;

use crate::{Context, MethodError, Objective};
use std::fmt::Debug;
use thalweg_nn::Weights;

/// The kinds of methods that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Measures something at a point of weight space: an [`Instrument`].
    Instrument,
}

/// Measures at a point with the default configuration, and shows the reading.
pub type Measure = fn(&Context<'_>, &dyn Objective, &Weights) -> Result<Vec<Quantity>, MethodError>;

/// Makes an instrument with some of its options set, on top of the default configuration or, where the
/// first argument says so, of that for networks that train.
pub type Configure = fn(bool, &Settings) -> Result<Box<dyn Configured>, MethodError>;

/// What is known of a registered method.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name: that of its file.
    pub id: &'static str,
    /// What kind of method it is.
    pub kind: Kind,
    /// What it gives, in one line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it takes with the default configuration.
    pub cost: fn(&Size) -> Cost,
    /// What does not change its reading.
    pub invariances: &'static [Invariance],
    /// Measures with the default configuration.
    pub measure: Measure,
    /// What it takes while a network trains, with the configuration for that.
    pub watch_cost: fn(&Size) -> Cost,
    /// Measures with the configuration for networks that train.
    pub watch: Measure,
    /// The options that can be set by name.
    pub options: &'static [&'static str],
    /// Makes an instrument with some of them set.
    pub configured: Configure,
}

/// What a run of training knows beside its weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Along<'a> {
    /// What its optimizer divides steps by, element by element: with it curvature is that which such
    /// steps meet.
    pub preconditioner: Option<&'a [f64]>,
}

/// A method that measures something at a point of weight space.
///
/// The same context, objective, point and configuration give the same bits.
pub trait Instrument {
    /// Its name: that of its file.
    const ID: &'static str;
    /// What it gives, in one line.
    const SUMMARY: &'static str;
    /// Where it comes from.
    const SOURCE: &'static str;
    /// What does not change its reading, and nothing that does: both are tested.
    const INVARIANCES: &'static [Invariance];
    /// What can be set; its default is that of the source where there is one.
    type Config: Clone + Debug + Default + PartialEq;
    /// What is read off.
    type Reading: Clone + Debug + PartialEq;

    /// Measures.
    ///
    /// # Errors
    /// A configuration that cannot be used; weights of another model; those of the engine.
    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &Self::Config,
    ) -> Result<Self::Reading, MethodError>;

    /// Measures along a run of training; what has no use for what the run knows measures as elsewhere.
    ///
    /// # Errors
    /// As [`Instrument::measure`].
    fn measure_along(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &Self::Config,
        _: &Along<'_>,
    ) -> Result<Self::Reading, MethodError> {
        Self::measure(ctx, objective, point, config)
    }

    /// The passes over the data that [`Instrument::measure`] takes.
    fn cost(config: &Self::Config, size: &Size) -> Cost;

    /// A reading, number by number: at least one, and the same names for every point.
    fn quantities(reading: &Self::Reading) -> Vec<Quantity>;

    /// A configuration for readings in the midst of training, again and again.
    fn watch() -> Self::Config {
        Self::Config::default()
    }

    /// A configuration that can be used on any small network at any point, for the conformance
    /// suite.
    fn trial() -> Self::Config {
        Self::Config::default()
    }

    /// Configurations that must be refused, for the conformance suite.
    fn refused() -> Vec<Self::Config>;
}

fn shown<I: Instrument>(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &I::Config,
) -> Result<Vec<Quantity>, MethodError> {
    Ok(I::quantities(&I::measure(ctx, objective, point, config)?))
}

// An instrument, and behind it the fields of its configuration that are options.
macro_rules! instruments {
    ($($instrument:path $({ $($option:ident),* })?),* $(,)?) => {
        /// Every instrument.
        pub const INSTRUMENTS: &[Entry] = &[$(Entry {
            id: <$instrument as Instrument>::ID,
            kind: Kind::Instrument,
            summary: <$instrument as Instrument>::SUMMARY,
            source: <$instrument as Instrument>::SOURCE,
            cost: |size| <$instrument as Instrument>::cost(&Default::default(), size),
            invariances: <$instrument as Instrument>::INVARIANCES,
            measure: |ctx, objective, point| {
                shown::<$instrument>(ctx, objective, point, &Default::default())
            },
            watch_cost: |size| {
                <$instrument as Instrument>::cost(&<$instrument as Instrument>::watch(), size)
            },
            watch: |ctx, objective, point| {
                let config = <$instrument as Instrument>::watch();
                shown::<$instrument>(ctx, objective, point, &config)
            },
            options: &[$($(stringify!($option)),*)?],
            configured: |watching, settings| {
                let known: &[&str] = &[$($(stringify!($option)),*)?];
                let set = |_config: &mut <$instrument as Instrument>::Config,
                           _name: &str,
                           _text: &str|
                 -> Result<bool, MethodError> {
                    $($(if _name == stringify!($option) {
                        _config.$option = options::option_value(_name, _text)?;
                        return Ok(true);
                    })*)?
                    Ok(false)
                };
                options::configured::<$instrument>(watching, settings, known, set)
            },
        }),*];

        #[cfg(test)]
        fn conform(check: &mut impl conformance::Check) {
            $(check.instrument::<$instrument>();)*
        }
    };
}

instruments! {
    crate::surface::MeanLoss,
    crate::surface::RandomSurface { pairs },
    crate::surface::RoughnessIndex { directions, half_width, intervals },
    crate::surface::BasinVolume { rays, rise, reach },
    crate::curvature::Lanczos { top, bottom, tolerance, max_products },
    crate::curvature::Hutchinson { probes, tolerance },
    crate::curvature::HutchPlusPlus { products },
    crate::curvature::XTrace { products },
    crate::curvature::XDiag { products, of },
    crate::curvature::FrobeniusNorm { probes, tolerance, of },
    crate::curvature::EffectiveDimension { lambda, probes, steps, of },
    crate::curvature::LogDeterminant { lambda, probes, steps, of },
    crate::curvature::SpectralDensity { probes, steps, points, width },
    crate::curvature::KernelPolynomial { probes, moments, points },
    crate::curvature::CurvatureSlopes { tolerance, max_products },
    crate::sharpness::SamSharpness { rho, steps },
    crate::sharpness::SamLinfSharpness { rho, steps },
    crate::sharpness::AdaptiveSharpness { rho, steps },
    crate::sharpness::FilterAdaptiveSharpness { rho, steps },
    crate::sharpness::AverageSharpness { rho, draws },
    crate::sharpness::AdaptiveAverageSharpness { rho, draws },
    crate::sharpness::WorstSharpness { rho, steps },
    crate::sharpness::AdaptiveWorstSharpness { rho, steps },
    crate::sharpness::MSharpness { m, batches, rho, steps },
    crate::sharpness::CriticalSharpness { start, tolerance, evaluations },
    crate::sharpness::RelativeFlatness { layer, probes },
    crate::sharpness::FisherRaoNorm,
    crate::gradients::GradientNoiseScale { m, batches },
    crate::gradients::GradientConfusion { m, batches },
    crate::dynamics::DeadUnits { flat },
    crate::dynamics::FeatureRank { share },
    crate::dynamics::WeightRank,
    crate::dynamics::WeightNorm,
    crate::dynamics::NeuralCollapse,
}

/// The instrument of a name.
pub fn instrument(id: &str) -> Option<&'static Entry> {
    INSTRUMENTS.iter().find(|entry| entry.id == id)
}

#[cfg(test)]
mod conformance;

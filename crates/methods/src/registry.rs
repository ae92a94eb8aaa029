//! The methods by name.
//!
//! A method is its file and one line here. Each kind of method has a trait of its own and a
//! conformance suite that runs over its registry: being registered is being tested.

use crate::{Context, MethodError, Objective};
use std::fmt::Debug;
use thalweg_nn::Weights;

/// The kinds of methods that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Measures something at a point of weight space: an [`Instrument`].
    Instrument,
}

/// What is known of a registered method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its name: that of its file.
    pub id: &'static str,
    /// What kind of method it is.
    pub kind: Kind,
    /// What it gives, in one line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
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

    /// Configurations that must be refused, for the conformance suite.
    fn refused() -> Vec<Self::Config>;
}

macro_rules! instruments {
    ($($instrument:path),* $(,)?) => {
        /// Every instrument.
        pub const INSTRUMENTS: &[Entry] = &[$(Entry {
            id: <$instrument as Instrument>::ID,
            kind: Kind::Instrument,
            summary: <$instrument as Instrument>::SUMMARY,
            source: <$instrument as Instrument>::SOURCE,
        }),*];

        #[cfg(test)]
        fn conform(check: &mut impl conformance::Check) {
            $(check.instrument::<$instrument>();)*
        }
    };
}

instruments! {
    crate::surface::RandomSurface,
    crate::surface::RoughnessIndex,
    crate::surface::BasinVolume,
    crate::curvature::Lanczos,
    crate::curvature::Hutchinson,
    crate::curvature::HutchPlusPlus,
    crate::curvature::XTrace,
    crate::curvature::XDiag,
    crate::curvature::FrobeniusNorm,
    crate::curvature::EffectiveDimension,
    crate::curvature::LogDeterminant,
    crate::curvature::SpectralDensity,
    crate::curvature::SamSharpness,
}

#[cfg(test)]
mod conformance;

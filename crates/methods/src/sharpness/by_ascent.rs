//! What the instruments that climb by gradients share: each is a ball, a way and a reach.

use super::ascent::{AscentConfig, ascend};
use super::ball::REFUSED_RADII;
use super::rise::Rise;
use crate::common::Objective;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use std::fmt::Debug;
use std::marker::PhantomData;
use thalweg_nn::Weights;

/// An instrument whose reading is the rise of the loss to the end of an ascent.
pub trait ByAscent: Copy + Debug + PartialEq {
    /// Its name: that of its file.
    const ID: &'static str;
    /// What it gives, in one line.
    const SUMMARY: &'static str;
    /// Where it comes from.
    const SOURCE: &'static str;
    /// What does not change its reading.
    const INVARIANCES: &'static [Invariance];
    /// The ascent, with the radius and the number of gradients that are usual.
    const ASCENT: AscentConfig;
}

/// How far an instrument's ascent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach<K> {
    /// The radius, in the units of each weight.
    pub rho: f64,
    /// Gradients taken.
    pub steps: usize,
    of: PhantomData<K>,
}

impl<K: ByAscent> Reach<K> {
    /// So far, in so many steps.
    pub fn new(rho: f64, steps: usize) -> Reach<K> {
        Reach { rho, steps, of: PhantomData }
    }

    pub(super) fn ascent(&self) -> AscentConfig {
        AscentConfig { rho: self.rho, steps: self.steps, ..K::ASCENT }
    }
}

impl<K: ByAscent> Default for Reach<K> {
    fn default() -> Reach<K> {
        Reach::new(K::ASCENT.rho, K::ASCENT.steps)
    }
}

impl<K: ByAscent> Instrument for K {
    const ID: &'static str = <K as ByAscent>::ID;
    const SUMMARY: &'static str = <K as ByAscent>::SUMMARY;
    const SOURCE: &'static str = <K as ByAscent>::SOURCE;
    const INVARIANCES: &'static [Invariance] = <K as ByAscent>::INVARIANCES;
    type Config = Reach<K>;
    type Reading = Rise;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &Reach<K>,
    ) -> Result<Rise, MethodError> {
        ascend(ctx, objective, point, &config.ascent())
    }

    fn cost(config: &Reach<K>, _: &Size) -> Cost {
        Cost::exactly(2, config.steps, 0)
    }

    fn quantities(reading: &Rise) -> Vec<Quantity> {
        vec![reading.quantity("rise of the loss")]
    }

    fn refused() -> Vec<Reach<K>> {
        let Reach { rho, steps, .. } = Reach::<K>::default();
        let radii = REFUSED_RADII.map(|rho| Reach::new(rho, steps));
        [radii.to_vec(), vec![Reach::new(rho, 0)]].concat()
    }
}

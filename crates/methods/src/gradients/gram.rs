//! Inner products of the gradients of batches.

use crate::common::{Gathered, Gradients, Objective, frozen_at, vector};
use crate::error::stored;
use crate::registry::{Cost, Size};
use crate::{Context, MethodError, Passes};
use thalweg_array::Array;
use thalweg_nn::Weights;

/// Which batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchGradientsConfig {
    /// Examples in a batch.
    pub m: usize,
    /// Number of batches, at most as many as there are whole ones; at least two.
    pub batches: usize,
}

impl Default for BatchGradientsConfig {
    fn default() -> BatchGradientsConfig {
        BatchGradientsConfig { m: 64, batches: 32 }
    }
}

impl BatchGradientsConfig {
    pub(super) fn check(&self) -> Result<(), MethodError> {
        if self.m == 0 {
            return Err(MethodError::config("examples in a batch", "at least 1", 0));
        }
        match self.batches < 2 {
            true => Err(MethodError::config("number of batches", "at least 2", self.batches)),
            false => Ok(()),
        }
    }

    /// How many batches of how many examples there will be: of few examples smaller ones, so that
    /// there are two.
    fn taken(&self, examples: usize) -> (usize, usize) {
        let m = self.m.min(examples / 2).max(1);
        (self.batches.min(examples / m), m)
    }

    pub(super) fn cost(&self, size: &Size) -> Cost {
        let (batches, m) = self.taken(size.examples);
        let gradients = batches.saturating_mul(m) as f64 / size.examples.max(1) as f64;
        Cost::Exactly(Passes { gradients, ..Passes::default() })
    }

    /// Configurations that must be refused.
    pub(super) fn refused() -> Vec<BatchGradientsConfig> {
        let usual = BatchGradientsConfig::default();
        let batches = [0, 1].map(|batches| BatchGradientsConfig { batches, ..usual });
        [&batches[..], &[BatchGradientsConfig { m: 0, ..usual }]].concat()
    }
}

/// What [`batch_gradients`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchGradients {
    /// Examples in each batch.
    pub m: usize,
    /// The inner product of the gradients of each two batches, by rows.
    pub gram: Vec<Vec<f64>>,
}

impl BatchGradients {
    /// The cosine of the gradients of each two batches, by rows; 0 beside a gradient of zero. With
    /// batches of one it is the paper's matrix of gradients that help or hinder each other.
    ///
    /// # Source    Lyle et al., Understanding plasticity in neural networks, 2023, arXiv 2303.01486,
    /// section 4.1
    pub fn cosines(&self) -> Vec<Vec<f64>> {
        let gram = &self.gram;
        let cosine = |a: usize, b: usize| {
            let lengths = gram[a][a].sqrt() * gram[b][b].sqrt();
            if lengths > 0.0 { gram[a][b] / lengths } else { 0.0 }
        };
        let n = gram.len();
        (0..n).map(|a| (0..n).map(|b| cosine(a, b)).collect()).collect()
    }
}

/// The inner products of the gradients of batches, which are whole ones of a random order of the
/// examples from the stream `batch gradients`. Each gradient is a unit of work.
///
/// # Errors
/// No examples in a batch, fewer than two batches or examples; more gradients than the memory holds;
/// a gradient that is not finite; weights of another model; those of the engine.
pub fn batch_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &BatchGradientsConfig,
) -> Result<BatchGradients, MethodError> {
    config.check()?;
    let (batches, m) = config.taken(objective.examples());
    let point = frozen_at(ctx, objective, point)?;
    if batches < 2 {
        let got = objective.examples();
        return Err(MethodError::mismatch("gradients of batches", "at least 2 examples", got));
    }
    let dimension = objective.dimension();
    let needed = batches.saturating_mul(dimension).saturating_mul(size_of::<f64>());
    if needed > ctx.memory() {
        let what = format!("{batches} gradients of {dimension} elements");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let shuffled = Gathered::shuffled(objective, &ctx.stream("batch gradients"), m);
    let pass = Gradients::new(ctx, &shuffled)?;
    ctx.progress().start("gradients of batches", batches as u64);
    let (mut gradients, mut gram) = (Vec::<Vec<f64>>::new(), Vec::new());
    for batch in 0..batches {
        let key = format!("gradients/{batch}");
        let arrays = ctx.unit(&key, || {
            let found = pass.over(&point, batch..batch + 1)?;
            Ok(vec![("gradient".into(), Array::vector(&found.gradient))])
        })?;
        let gradient = stored(&key, &arrays, "gradient", dimension)?.to_vec();
        if let Some(value) = gradient.iter().find(|x| !x.is_finite()) {
            let what = "an element of a batch's gradient".to_owned();
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
        gradients.push(gradient);
        ctx.progress().advance(1);
    }
    for one in &gradients {
        gram.push(gradients.iter().map(|other| vector::dot(one, other)).collect());
    }
    Ok(BatchGradients { m, gram })
}

/// Inner products of gradients `m + z` with `|m| = size` and normal `z` of `n` elements.
#[cfg(test)]
pub(super) fn gaussian_gram(seed: u64, batches: u64, n: u32, size: f64) -> Vec<Vec<f64>> {
    let stream = thalweg_data::Stream::new(seed, "gradients");
    let gradient = |batch: u64| -> Vec<f64> {
        let mut noise: Vec<f64> = (0..u64::from(n)).map(|i| stream.at(batch).normal(i)).collect();
        noise[0] += size;
        noise
    };
    let all: Vec<Vec<f64>> = (0..batches).map(gradient).collect();
    all.iter().map(|a| all.iter().map(|b| vector::dot(a, b)).collect()).collect()
}

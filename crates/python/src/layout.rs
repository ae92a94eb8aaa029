//! The order of a model's weights in a vector: that of its parameters, each in PyTorch's layout.

use crate::failure::{Failure, Result};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_nn::{Model, Parameters, Weights, to_torch};

/// Where each element of a vector in PyTorch's layout lies in one of the engine's.
#[derive(Clone)]
pub struct Layout {
    /// Nothing if they are the same.
    places: Option<Arc<[u32]>>,
    n: usize,
}

impl Layout {
    /// The layout of a model.
    pub fn new(model: &Model) -> Result<Layout> {
        let n = model.parameter_count();
        if u32::try_from(n).is_err() {
            let text = format!("a model of {n} parameters: expected fewer than 2^32");
            return Err(Failure::shape(text));
        }
        let same = |p: &thalweg_nn::Parameter| {
            p.torch.split.len() == p.torch.permutation.len()
                && p.torch.permutation.iter().enumerate().all(|(i, &axis)| i == axis)
        };
        if model.parameters().iter().all(same) {
            return Ok(Layout { places: None, n });
        }
        // What becomes of the numbers 0, 1, 2, .. says where each comes from.
        let mut first = 0usize;
        let counted = model.parameters().iter().map(|p| {
            let values: Vec<f64> = (first..first + p.count()).map(|i| i as f64).collect();
            first += p.count();
            Ok(Array::from_slice(&p.shape, &values)?)
        });
        let parameters = model.parameter_tree(counted.collect::<Result<_>>()?)?;
        let weights = Weights { parameters, buffers: model.initial_buffers(DType::F64) };
        let entries = to_torch(model, &weights)?;
        let outward = entries.iter().take(model.parameters().len());
        let places = outward.flat_map(|(_, a)| a.to_f64_vec()).map(|v| v as u32).collect();
        Ok(Layout { places: Some(places), n })
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.n
    }

    /// A vector of the engine's in PyTorch's layout.
    pub fn outward(&self, vector: Vec<f64>) -> Vec<f64> {
        match &self.places {
            None => vector,
            Some(places) => places.iter().map(|&at| vector[at as usize]).collect(),
        }
    }

    /// A vector in PyTorch's layout as one of the engine's.
    pub fn inward(&self, vector: Vec<f64>) -> Result<Vec<f64>> {
        if vector.len() != self.n {
            let got = vector.len();
            let text = format!(
                "a vector of {got} elements: expected {}, as the model has parameters",
                self.n
            );
            return Err(Failure::shape(text));
        }
        let Some(places) = &self.places else { return Ok(vector) };
        let mut found = vec![0.0; self.n];
        for (&at, value) in places.iter().zip(vector) {
            found[at as usize] = value;
        }
        Ok(found)
    }

    /// A vector in PyTorch's layout as parameters like these.
    pub fn parameters(&self, like: &Parameters, vector: Vec<f64>) -> Result<Parameters> {
        Ok(like.convert(DType::F64).unflatten(&self.inward(vector)?)?)
    }
}

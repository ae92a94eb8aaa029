//! Where a member starts.

use crate::TrainError;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_nn::{Draw, Model, Weights};

/// Draws under a parameter's name from a child of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamDraw(pub Stream);

impl Draw for StreamDraw {
    fn uniform(&mut self, name: &str, n: usize) -> Vec<f64> {
        let stream = self.0.child(name);
        (0..n as u64).map(|i| stream.uniform(i)).collect()
    }

    fn normal(&mut self, name: &str, n: usize) -> Vec<f64> {
        let stream = self.0.child(name);
        (0..n as u64).map(|i| stream.normal(i)).collect()
    }
}

/// The initial weights of a seed: draws of the stream `train/initialize`.
///
/// # Errors
/// A type that is no float.
pub fn initialize(model: &Model, seed: u64, float: DType) -> Result<Weights, TrainError> {
    let mut draw = StreamDraw(Stream::new(seed, "train/initialize"));
    Ok(model.initialize(&mut draw, float)?)
}

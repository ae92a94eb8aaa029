//! The graph of an ONNX file as the origin of a model.

use crate::failure::Result;
use crate::model::{Model, Origin};
use thalweg_array::DType;
use thalweg_formats::FormatError;
use thalweg_formats::onnx::{Ending, OnnxModel};
use thalweg_lab::WeightsInfo;
use thalweg_nn::{Loss, Weights};

/// The graph of an ONNX file, seen for examples of some shapes.
#[derive(Clone)]
pub struct Imported {
    file: OnnxModel,
    examples: Vec<Vec<usize>>,
    outputs: Vec<String>,
}

impl Imported {
    /// A file for examples of each input's shape, with the outputs asked for; none: all.
    pub fn new(file: OnnxModel, examples: Vec<Vec<usize>>, outputs: Vec<String>) -> Imported {
        Imported { file, examples, outputs }
    }

    /// The bytes of a file, which need no other file.
    pub fn read(bytes: &[u8], examples: Vec<Vec<usize>>, outputs: Vec<String>) -> Result<Imported> {
        Ok(Imported::new(alone(bytes)?, examples, outputs))
    }

    /// Extents of one example of each input.
    pub fn examples(&self) -> &[Vec<usize>] {
        &self.examples
    }

    /// The outputs asked for.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The file with other weights in it.
    pub fn bytes(&self, weights: &Weights) -> Result<Vec<u8>> {
        Ok(self.file.with_weights(weights)?)
    }

    /// The model, with the file's weights.
    pub fn model(self, name: &str) -> Result<Model> {
        let found = self.file.model(&self.examples, &self.outputs)?;
        let wide = self.file.inspect().parameters.iter().any(|p| p.ty == "double");
        let weights = self.file.weights(&found, if wide { DType::F64 } else { DType::F32 })?;
        Model::new(name, found, weights, WeightsInfo::default(), Origin::Onnx(self))
    }

    /// What a loss is of instead of the model's first output: a loss of scores is not of the
    /// probabilities that a softmax or a sigmoid makes of them. An output that was asked for by
    /// name is taken as it is.
    pub fn scores<'a>(&'a self, model: &'a thalweg_nn::Model, loss: Loss) -> Option<Scores<'a>> {
        if !self.outputs.is_empty() {
            return None;
        }
        let output = &model.outputs().first()?.name;
        let (name, activation) = match (self.file.ending(output)?, loss) {
            (Ending::Softmax { scores }, Loss::CrossEntropy { .. }) => (scores, "softmax"),
            (Ending::Sigmoid { scores }, Loss::BinaryCrossEntropy) => (scores, "sigmoid"),
            _ => return None,
        };
        Some(Scores { graph: self, model, name, activation })
    }
}

/// The scores before the activation that a model ends in.
pub struct Scores<'a> {
    graph: &'a Imported,
    model: &'a thalweg_nn::Model,
    name: String,
    activation: &'static str,
}

impl Scores<'_> {
    /// The model with the scores as its first output. It keeps the others, so that its parameters
    /// stay the same.
    pub fn model(&self) -> Result<thalweg_nn::Model> {
        let others = self.model.outputs().iter().map(|port| port.name.clone());
        let outputs: Vec<String> = std::iter::once(self.name.clone()).chain(others).collect();
        Ok(self.graph.file.model(&self.graph.examples, &outputs)?)
    }

    /// That it is so, in the words of the command line.
    pub fn said(&self, loss: Loss) -> String {
        let output = self.model.outputs().first().map_or("", |port| port.name.as_str());
        format!(
            "output {output} ends in a {}: {} is taken of the scores before it, {}",
            self.activation,
            loss.name(),
            self.name
        )
    }
}

/// A file that holds all its tensors.
pub fn alone(bytes: &[u8]) -> Result<OnnxModel> {
    Ok(OnnxModel::read(bytes, &mut |data| {
        let what = format!("tensors in the file {} beside it", data.location);
        Err(FormatError::Unsupported { format: "ONNX", what })
    })?)
}

//! What makes a model for data: an architecture by name, or the graph of an ONNX file.

use crate::data_source::PreparedData;
use crate::error::{LabError, Result, usage};
use crate::files;
use crate::words;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_data::Sha256;
use thalweg_formats::onnx::{Ending, Inspection, OnnxModel};
use thalweg_nn::{Architecture, Loss, Model, NnError, Weights};

/// The name of the graph that a run keeps.
pub(crate) const GRAPH: &str = "model.onnx";
/// How many folders above a file of weights its run's graph may lie.
const ABOVE: usize = 3;

/// What makes a model for data.
#[derive(Debug, Clone)]
pub enum Design {
    /// An architecture with options.
    Named(Architecture),
    /// The graph of an ONNX file.
    Imported(Imported),
}

/// The graph of an ONNX file, and which of its outputs the loss is of.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Where it was read from.
    pub path: PathBuf,
    /// The output; none: what the loss takes.
    output: Option<String>,
    model: OnnxModel,
    inspection: Arc<Inspection>,
    fingerprint: String,
}

/// Whether a path is that of an ONNX file.
pub(crate) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

impl Design {
    /// The design of a text: an architecture with options, or the path of an ONNX file, perhaps
    /// with an output as `net.onnx output=logits`.
    ///
    /// `weights`: the file of weights that the text stands in, in whose run the graph lies.
    ///
    /// # Errors
    /// `Usage` for a text that is none; a file that cannot be read.
    pub fn open(text: &str, weights: Option<&Path>) -> Result<Design> {
        let Some((path, rest)) = graph_path(text) else {
            return Ok(Design::Named(text.parse().map_err(|e| usage("--arch")(&e))?));
        };
        let output = match rest.trim() {
            "" => None,
            rest => Some(rest.strip_prefix("output=").filter(|name| !name.is_empty()).ok_or_else(
                || LabError::Usage(format!("--arch {text}: expected FILE.onnx output=NAME")),
            )?),
        };
        let near = weights.into_iter().flat_map(|file| file.ancestors().skip(1).take(ABOVE));
        let found = near.map(|folder| folder.join(path)).find(|path| path.is_file());
        let path = found.unwrap_or_else(|| PathBuf::from(path));
        Ok(Design::Imported(Imported::read(&path)?.with_output(output)))
    }

    /// The model for data whose loss is `loss`, or whichever it turns out to be.
    ///
    /// # Errors
    /// Data that it cannot take.
    pub fn model(&self, data: &PreparedData, loss: Option<Loss>) -> Result<Model> {
        match self {
            Design::Named(architecture) => data.model(architecture),
            Design::Imported(graph) => graph.model(data, loss),
        }
    }

    /// The same with the loss of another output.
    ///
    /// # Errors
    /// `Usage` for an architecture by name, which has one output.
    pub fn with_output(self, output: &str) -> Result<Design> {
        match self {
            Design::Named(architecture) => Err(LabError::Usage(format!(
                "--loss-on {output}: {} has one output",
                architecture.kind.name()
            ))),
            Design::Imported(graph) => Ok(Design::Imported(graph.with_output(Some(output)))),
        }
    }

    /// What is to be said of the output that a loss is taken of.
    pub(crate) fn said(&self, loss: Loss) -> Option<String> {
        match self {
            Design::Named(_) => None,
            Design::Imported(graph) => graph.output(Some(loss))?.1,
        }
    }

    /// Units of its output, if it says so.
    pub fn outputs(&self) -> Option<usize> {
        match self {
            Design::Named(architecture) => {
                (architecture.outputs > 0).then_some(architecture.outputs)
            }
            Design::Imported(graph) => graph.outputs(),
        }
    }

    /// Whether it takes tokens, which are looked up, and not numbers.
    pub fn takes_tokens(&self) -> bool {
        match self {
            // Data for it are a text, or they are told to be none.
            Design::Named(_) => false,
            Design::Imported(graph) => {
                let first = graph.inspection.inputs.first();
                first.is_some_and(|input| {
                    input.ty.starts_with("int") || input.ty.starts_with("uint")
                })
            }
        }
    }

    /// In words.
    pub(crate) fn words(&self, model: &Model) -> String {
        match self {
            Design::Named(named) => words::architecture(model.architecture().unwrap_or(named)),
            Design::Imported(graph) => {
                let name = graph.path.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.unwrap_or_default();
                match graph.inspection.producer.as_str() {
                    "" => format!("network, the graph of {name}"),
                    by => format!("network, the graph of {name}, written by {by}"),
                }
            }
        }
    }

    /// The text of it for a model that was made from it: every option filled in.
    pub(crate) fn text(&self, model: &Model) -> String {
        match self {
            Design::Named(_) => model.architecture().map(ToString::to_string).unwrap_or_default(),
            Design::Imported(graph) => graph.to_string(),
        }
    }

    /// The text that files of weights in a run carry.
    pub(crate) fn text_in_run(&self, model: &Model) -> String {
        match self {
            Design::Named(_) => self.text(model),
            Design::Imported(graph) => graph.labelled(GRAPH),
        }
    }
}

/// The path of an ONNX file that a text begins with, and what follows it.
fn graph_path(text: &str) -> Option<(&str, &str)> {
    let ends = |at: &usize| {
        let rest = &text[*at..];
        rest.is_empty() || rest.starts_with(char::is_whitespace)
    };
    let lower = text.to_ascii_lowercase();
    let found = lower.match_indices(".onnx").map(|(at, dot)| at + dot.len()).find(ends);
    found.map(|at| text.split_at(at))
}

impl Imported {
    /// Reads an ONNX file.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; an operation that is not supported.
    pub fn read(path: &Path) -> Result<Imported> {
        if path.symlink_metadata().is_err() {
            let text = "there is no such file: expected an ONNX file";
            return Err(LabError::Input(format!("{}: {text}", path.display())));
        }
        let bytes = files::read(path)?;
        let model = OnnxModel::read_beside(&bytes, path)?;
        let mut hash = Sha256::new();
        hash.update(&bytes);
        model.external_tensors().for_each(|tensor| hash.update(tensor));
        Ok(Imported {
            path: path.to_path_buf(),
            output: None,
            inspection: Arc::new(model.inspect()),
            fingerprint: hash.hex(),
            model,
        })
    }

    /// The same with the output that the loss is of; that it is there shows when the model is made.
    fn with_output(mut self, output: Option<&str>) -> Imported {
        self.output = output.map(str::to_owned);
        self
    }

    /// What is in the file.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// SHA-256 of the file and of its tensors in other files, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The file's weights for a model of it.
    ///
    /// # Errors
    /// Those of the format.
    pub fn weights(&self, model: &Model, float: DType) -> Result<Weights> {
        Ok(self.model.weights(model, float)?)
    }

    /// The file with the tensors of the files beside it in it.
    ///
    /// # Errors
    /// A file past 2 GiB.
    pub(crate) fn bytes(&self, model: &Model) -> Result<Vec<u8>> {
        self.with_weights(&self.weights(model, DType::F32)?)
    }

    /// The file with other weights in it.
    ///
    /// # Errors
    /// Weights that are not in the file; a file past 2 GiB.
    pub fn with_weights(&self, weights: &Weights) -> Result<Vec<u8>> {
        Ok(self.model.with_weights(weights)?)
    }

    /// The output, and what is to be said of the choice.
    ///
    /// A loss of scores is not of the probabilities that a softmax or a sigmoid makes of them.
    pub(crate) fn output(&self, loss: Option<Loss>) -> Option<(String, Option<String>)> {
        if let Some(name) = &self.output {
            return Some((name.clone(), None));
        }
        let first = self.inspection.outputs.first()?.name.clone();
        let (scores, activation) = match (self.model.ending(&first), loss?) {
            (Some(Ending::Softmax { scores }), Loss::CrossEntropy { .. }) => (scores, "softmax"),
            (Some(Ending::Sigmoid { scores }), Loss::BinaryCrossEntropy) => (scores, "sigmoid"),
            _ => return Some((first, None)),
        };
        let loss = loss?.name();
        let said = format!(
            "output {first} ends in a {activation}: {loss} is taken of the scores before it, \
             {scores}"
        );
        Some((scores, Some(said)))
    }

    fn outputs(&self) -> Option<usize> {
        let last = self.inspection.outputs.first()?.shape.as_ref()?.last()?;
        last.parse().ok().filter(|&count: &usize| count > 0)
    }

    /// The model for data.
    ///
    /// # Errors
    /// Examples that it cannot take; an operation that is not supported.
    fn model(&self, data: &PreparedData, loss: Option<Loss>) -> Result<Model> {
        let example = data.dataset.example_shape();
        let at =
            |error: &dyn fmt::Display| LabError::Input(format!("{}: {error}", self.path.display()));
        let shapes: Vec<Vec<usize>> = self
            .inspection
            .inputs
            .iter()
            .map(|port| port_shape(port.shape.as_deref(), example))
            .collect();
        let output = self.output(loss).map(|(name, _)| name);
        let model = self.model.model(&shapes, output.as_slice()).map_err(|e| at(&e))?;
        model.for_examples(example).map_err(|error| match error {
            NnError::Examples { .. } => at(&error),
            other => other.into(),
        })
    }

    /// The model for examples as the file takes them, free extents one: for its weights alone.
    ///
    /// # Errors
    /// An operation that is not supported.
    pub(crate) fn own_model(&self) -> Result<Model> {
        let shape = |extents: &Option<Vec<String>>| -> Vec<usize> {
            let rest = extents.iter().flat_map(|extents| extents.iter().skip(1));
            rest.map(|extent| extent.parse().unwrap_or(1)).collect()
        };
        let shapes: Vec<_> = self.inspection.inputs.iter().map(|port| shape(&port.shape)).collect();
        let model = self.model.model(&shapes, &[]);
        model.map_err(|error| LabError::Input(format!("{}: {error}", self.path.display())))
    }

    fn labelled(&self, path: &str) -> String {
        match &self.output {
            Some(output) => format!("{path} output={output}"),
            None => path.to_owned(),
        }
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.labelled(&self.path.display().to_string()))
    }
}

/// The extents that an input takes for examples of the data, whose channels may be elsewhere: a
/// number in the file stays, what is free there is what the data say.
fn port_shape(port: Option<&[String]>, example: &[usize]) -> Vec<usize> {
    let Some(extents) = port.and_then(|extents| extents.get(1..)) else { return example.to_vec() };
    let fixed: Vec<Option<usize>> = extents.iter().map(|extent| extent.parse().ok()).collect();
    let fits = |shape: &[usize]| {
        shape.len() == fixed.len()
            && fixed.iter().zip(shape).all(|(fixed, own)| fixed.is_none_or(|fixed| fixed == *own))
    };
    if let [height, width, channels] = *example {
        let first = [channels, height, width];
        // Where the file does not tell, few are channels.
        let undecided = fits(&first) && fits(example);
        if fits(&first) && (!undecided || (channels <= 4 && height > 4)) {
            return first.to_vec();
        }
    }
    if fits(example) {
        return example.to_vec();
    }
    let mut rest = example.to_vec();
    rest.retain(|&extent| extent != 1);
    let count: usize = example.iter().product();
    match fixed[..] {
        [None] => vec![count],
        _ if rest.len() == fixed.len() && fits(&rest) => rest,
        // What is wrong is told when the model is made.
        _ => fixed
            .iter()
            .enumerate()
            .map(|(i, f)| f.or(example.get(i).copied()).unwrap_or(1))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_extents_are_those_of_the_data() {
        let shape = |port: &[&str], example: &[usize]| {
            let port: Vec<String> = port.iter().map(|&extent| extent.to_owned()).collect();
            port_shape(Some(&port), example)
        };
        assert_eq!(shape(&["n", "3", "h", "w"], &[20, 30, 3]), [3, 20, 30]);
        assert_eq!(shape(&["n", "3", "h", "w"], &[3, 20, 30]), [3, 20, 30]);
        assert_eq!(shape(&["n", "c", "h", "w"], &[20, 30, 3]), [3, 20, 30]);
        assert_eq!(shape(&["n", "c", "h", "w"], &[3, 20, 30]), [3, 20, 30]);
        assert_eq!(shape(&["4", "28", "28"], &[28, 28, 1]), [28, 28]);
        assert_eq!(shape(&["n", "d"], &[8, 8, 1]), [64]);
        assert_eq!(shape(&["n", "784"], &[28, 28, 1]), [784]);
        assert_eq!(shape(&["n", "t"], &[17]), [17]);
        assert_eq!(port_shape(None, &[5]), [5]);
    }

    #[test]
    fn a_path_may_hold_blanks() {
        assert_eq!(graph_path("my net.onnx"), Some(("my net.onnx", "")));
        assert_eq!(graph_path("a.onnx output=z"), Some(("a.onnx", " output=z")));
        assert_eq!(graph_path("a.onnx.d/B.ONNX"), Some(("a.onnx.d/B.ONNX", "")));
        assert_eq!(graph_path("mlp hidden=4"), None);
    }
}

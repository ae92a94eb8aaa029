//! Examples as the engine takes them.

use crate::TrainError;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Subset, Targets, check_classes};
use thalweg_graph::TensorType;
use thalweg_nn::Model;

/// Normalised inputs in a float type, or tokens, with their targets.
#[derive(Clone, Debug)]
pub struct Examples {
    /// One array for each of the model's inputs: at least one, of one length.
    inputs: Vec<Array>,
    targets: Array,
    classes: bool,
    float: DType,
    weights: Option<Array>,
}

impl Examples {
    /// The examples of a subset; without a normalisation in their raw scale.
    ///
    /// # Errors
    /// A normalisation of other data, or no room.
    pub fn new(
        subset: &Subset,
        normalization: Option<&Normalization>,
        float: DType,
    ) -> Result<Examples, TrainError> {
        let inputs = subset.inputs()?;
        let inputs = match normalization {
            Some(normalization) => normalization.apply(&inputs)?,
            None => inputs,
        };
        let inputs = match inputs.dtype() {
            DType::I32 => inputs,
            _ => inputs.convert(float),
        };
        let (targets, classes) = match subset.targets()? {
            Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => (labels, true),
            Targets::Values(values) => (values.convert(float), false),
        };
        let weights = subset.example_weights().map(|weights| weights.convert(float));
        Ok(Examples { weights, ..Examples::from_arrays(inputs, targets, classes, float)? })
    }

    /// [`Examples::from_all_arrays`] for a model of one input.
    ///
    /// # Errors
    /// Arrays of other types, or of different lengths, or empty ones.
    pub fn from_arrays(
        inputs: Array,
        targets: Array,
        classes: bool,
        float: DType,
    ) -> Result<Examples, TrainError> {
        Examples::from_all_arrays(vec![inputs], targets, classes, float)
    }

    /// Inputs `[n, ..]` of a float type, or tokens `i32 [n, ..]`, one array for each of a model's
    /// inputs, with labels `i32 [n]` or `[n, positions]` (`classes`) or values `[n, k]` of the
    /// float type.
    ///
    /// # Errors
    /// Arrays of other types, or of different lengths, or empty ones, or no inputs.
    pub fn from_all_arrays(
        inputs: Vec<Array>,
        targets: Array,
        classes: bool,
        float: DType,
    ) -> Result<Examples, TrainError> {
        let n = targets.shape().first().copied().unwrap_or(0);
        let fits = float.is_float()
            && n > 0
            && !inputs.is_empty()
            && inputs.iter().all(|x| {
                (x.dtype() == float || x.dtype() == DType::I32) && x.shape().first() == Some(&n)
            });
        let (dtype, ranks) = if classes { (DType::I32, 1..=2) } else { (float, 2..=2) };
        if !fits || targets.dtype() != dtype || !ranks.contains(&targets.rank()) {
            let ty = |array: &Array| TensorType::new(array.dtype(), array.shape());
            let inputs: Vec<String> = inputs.iter().map(|x| ty(x).to_string()).collect();
            let got = format!("{} with {}", inputs.join(", "), ty(&targets));
            let expected = format!(
                "{float} or i32 inputs [n, ..] with labels i32 [n] or [n, positions] or values \
                 {float} [n, k]"
            );
            return Err(TrainError::setting("examples", expected, got));
        }
        Ok(Examples { inputs, targets, classes, float, weights: None })
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.targets.shape()[0]
    }

    /// Always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first input, `[n, ..]`.
    pub fn inputs(&self) -> &Array {
        &self.inputs[0]
    }

    /// Every input, `[n, ..]`.
    pub fn all_inputs(&self) -> &[Array] {
        &self.inputs
    }

    /// Labels `i32 [n]` or `[n, positions]`, or values `[n, k]`.
    pub fn targets(&self) -> &Array {
        &self.targets
    }

    /// A factor of each example's loss, `[n]` of the float type, where they differ.
    pub fn weights(&self) -> Option<&Array> {
        self.weights.as_ref()
    }

    /// Whether targets are labels.
    pub fn classes(&self) -> bool {
        self.classes
    }

    /// The float type.
    pub fn float(&self) -> DType {
        self.float
    }

    /// Bytes of inputs and targets.
    pub fn size_in_bytes(&self) -> usize {
        let inputs: usize = self.inputs.iter().map(Array::size_in_bytes).sum();
        inputs + self.targets.size_in_bytes()
    }
}

/// Refuses examples that the model cannot be trained on.
pub(crate) fn check_fit(
    model: &Model,
    examples: &Examples,
    float: DType,
) -> Result<(), TrainError> {
    if examples.float() != float {
        return Err(TrainError::setting("examples", float.to_string(), examples.float()));
    }
    let n = examples.len();
    let expected: Vec<_> = model.inputs().iter().map(|port| port.batch_type(float, n)).collect();
    let got: Vec<_> =
        examples.all_inputs().iter().map(|x| TensorType::new(x.dtype(), x.shape())).collect();
    if expected != got {
        let list = |types: &[TensorType]| {
            types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        return Err(TrainError::setting("examples", list(&expected), list(&got)));
    }
    let outputs = model.outputs().first().map(|port| port.shape.clone()).unwrap_or_default();
    if examples.classes() {
        let positions = &outputs[..outputs.len().saturating_sub(1)];
        let got = &examples.targets().shape()[1..];
        if got != positions {
            let expected = format!("{positions:?}");
            return Err(TrainError::setting("labels of an example", expected, format!("{got:?}")));
        }
        check_classes(examples.targets(), model.n_classes())?;
    } else if examples.targets().shape()[1..] != outputs {
        let got = format!("{:?}", &examples.targets().shape()[1..]);
        return Err(TrainError::setting("targets of an example", format!("{outputs:?}"), got));
    }
    Ok(())
}

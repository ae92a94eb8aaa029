//! Examples as the engine takes them.

use crate::TrainError;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Subset, Targets, check_classes, check_indices};
use thalweg_graph::TensorType;
use thalweg_nn::Model;

/// Normalised inputs in a float type, or tokens, with their targets.
#[derive(Clone, Debug)]
pub struct Examples {
    inputs: Array,
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

    /// Inputs `[n, ..]` of a float type, or tokens `i32 [n, ..]`, with labels `i32 [n]` or
    /// `[n, positions]` (`classes`) or values `[n, k]` of the float type.
    ///
    /// # Errors
    /// Arrays of other types, or of different lengths, or empty ones.
    pub fn from_arrays(
        inputs: Array,
        targets: Array,
        classes: bool,
        float: DType,
    ) -> Result<Examples, TrainError> {
        let n = inputs.shape().first().copied().unwrap_or(0);
        let fits = float.is_float()
            && (inputs.dtype() == float || inputs.dtype() == DType::I32)
            && n > 0
            && targets.shape().first() == Some(&n);
        let (dtype, ranks) = if classes { (DType::I32, 1..=2) } else { (float, 2..=2) };
        if !fits || targets.dtype() != dtype || !ranks.contains(&targets.rank()) {
            let ty = |array: &Array| TensorType::new(array.dtype(), array.shape());
            let got = format!("{} with {}", ty(&inputs), ty(&targets));
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
        self.inputs.shape()[0]
    }

    /// Always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inputs, `[n, ..]`.
    pub fn inputs(&self) -> &Array {
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
        self.inputs.size_in_bytes() + self.targets.size_in_bytes()
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
    let expected: Vec<_> =
        model.inputs().iter().map(|port| port.batch_type(float, n).to_string()).collect();
    let inputs = examples.inputs();
    let got = TensorType::new(inputs.dtype(), inputs.shape()).to_string();
    if expected.len() != 1 || expected[0] != got {
        return Err(TrainError::setting("examples", expected.join(", "), got));
    }
    if let Some(range) = model.index_ranges().iter().flatten().next() {
        check_indices(inputs, range)?;
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

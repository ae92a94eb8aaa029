//! Examples as the engine takes them.

use crate::TrainError;
use std::ops::Range;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Subset, Targets, check_classes, check_indices};
use thalweg_graph::TensorType;
use thalweg_nn::Model;

/// Normalised inputs in a float type, or tokens, with their targets.
///
/// Inputs that stay in their file are read from it when they are asked for.
#[derive(Clone, Debug)]
pub struct Examples {
    inputs: Inputs,
    targets: Array,
    classes: bool,
    float: DType,
    weights: Option<Array>,
    /// Targets of each member of a population, where each has its own.
    own_targets: Option<Vec<Array>>,
}

#[derive(Clone, Debug)]
enum Inputs {
    /// One array for each of the model's inputs: at least one, of one length.
    Memory(Vec<Array>),
    /// Those of a model of one input.
    Stored { subset: Subset, normalization: Option<Normalization> },
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
        let (targets, classes) = match subset.targets()? {
            Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => (labels, true),
            Targets::Values(values) => (values.convert(float), false),
        };
        let weights = subset.example_weights().map(|weights| weights.convert(float));
        let normalization = normalization.cloned();
        let inputs = Inputs::Stored { subset: subset.clone(), normalization };
        let own_targets = None;
        let mut examples = Examples { inputs, targets, classes, float, weights, own_targets };
        if !subset.is_stored() {
            examples.inputs = Inputs::Memory(examples.input_rows(0..subset.len())?);
        }
        examples.checked()
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
        let inputs = Inputs::Memory(inputs);
        Examples { inputs, targets, classes, float, weights: None, own_targets: None }.checked()
    }

    /// The same inputs with targets for each member of a population: `targets[i]` are those that the
    /// `i`-th member is trained on. Only training takes them: an evaluation, which is of one set of
    /// examples, refuses them.
    ///
    /// # Errors
    /// No targets, or targets of another type or shape than those that these examples have.
    pub fn for_members(&self, targets: Vec<Array>) -> Result<Examples, TrainError> {
        let ty = |array: &Array| TensorType::new(array.dtype(), array.shape());
        let expected = ty(&self.targets);
        if let Some(other) = targets.iter().map(ty).find(|ty| *ty != expected) {
            return Err(TrainError::setting("targets of a member", expected.to_string(), other));
        }
        if targets.is_empty() {
            return Err(TrainError::setting("targets of members", "those of at least one", 0));
        }
        Ok(Examples { own_targets: Some(targets), ..self.clone() })
    }

    /// The targets of each member, where each has its own.
    pub fn own_targets(&self) -> Option<&[Array]> {
        self.own_targets.as_deref()
    }

    /// The same examples with a factor of each one's loss, `[n]` of the float type.
    ///
    /// # Errors
    /// Another number or type of factors, or one that is negative or not finite.
    pub fn with_weights(mut self, weights: Array) -> Result<Examples, TrainError> {
        let usable = weights.to_f64_vec().iter().all(|x| *x >= 0.0 && x.is_finite());
        if weights.shape() != [self.len()] || weights.dtype() != self.float || !usable {
            let expected = format!("{} factors of at least 0, of {}", self.len(), self.float);
            let got = TensorType::new(weights.dtype(), weights.shape());
            let got = if usable { got.to_string() } else { format!("others in {got}") };
            return Err(TrainError::setting("weights of examples", expected, got));
        }
        self.weights = Some(weights);
        Ok(self)
    }

    /// The same examples, the loss of each multiplied by the factor of its class beside the one that it
    /// may have.
    ///
    /// # Errors
    /// Examples without a class each; a class without a factor; as [`Examples::with_weights`].
    pub fn with_class_weights(self, of: &[f64]) -> Result<Examples, TrainError> {
        let what = "weights of classes";
        let labels = match self.targets.as_slice::<i32>() {
            Ok(labels) if self.classes && labels.len() == self.len() => labels.to_vec(),
            _ => return Err(TrainError::setting(what, "examples with a class each", "others")),
        };
        let own = self.weights.as_ref().map(Array::to_f64_vec);
        let mut weights = own.unwrap_or_else(|| vec![1.0; labels.len()]);
        for (weight, label) in weights.iter_mut().zip(labels) {
            let factor = usize::try_from(label).ok().and_then(|class| of.get(class));
            let missing = || TrainError::setting(what, format!("one of class {label}"), of.len());
            *weight *= factor.ok_or_else(missing)?;
        }
        let weights = Array::vector(&weights).convert(self.float);
        self.with_weights(weights)
    }

    fn checked(self) -> Result<Examples, TrainError> {
        let (inputs, targets, float) = (self.input_types(), &self.targets, self.float);
        let n = targets.shape().first().copied().unwrap_or(0);
        let fits = float.is_float()
            && n > 0
            && !inputs.is_empty()
            && inputs.iter().all(|ty| {
                (ty.dtype == float || ty.dtype == DType::I32) && ty.shape.first() == Some(&n)
            });
        let (dtype, ranks) = if self.classes { (DType::I32, 1..=2) } else { (float, 2..=2) };
        if !fits || targets.dtype() != dtype || !ranks.contains(&targets.rank()) {
            let targets = TensorType::new(targets.dtype(), targets.shape());
            let got = format!("{} with {targets}", list(&inputs));
            let expected = format!(
                "{float} or i32 inputs [n, ..] with labels i32 [n] or [n, positions] or values \
                 {float} [n, k]"
            );
            return Err(TrainError::setting("examples", expected, got));
        }
        Ok(self)
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.targets.shape()[0]
    }

    /// Always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type and shape of each input, `[n, ..]`.
    pub fn input_types(&self) -> Vec<TensorType> {
        match &self.inputs {
            Inputs::Memory(arrays) => {
                arrays.iter().map(|array| TensorType::new(array.dtype(), array.shape())).collect()
            }
            Inputs::Stored { subset, .. } => {
                let data = subset.dataset();
                let dtype = if data.is_tokens() { DType::I32 } else { self.float };
                vec![TensorType::new(dtype, [&[subset.len()], data.example_shape()].concat())]
            }
        }
    }

    /// Each input, `[n, ..]`, unless they stay in their file.
    pub fn inputs(&self) -> Option<&[Array]> {
        match &self.inputs {
            Inputs::Memory(arrays) => Some(arrays),
            Inputs::Stored { .. } => None,
        }
    }

    /// Each input of a range of examples.
    ///
    /// # Errors
    /// Examples that are none, what cannot be read, a normalisation of other data, no room.
    pub fn input_rows(&self, range: Range<usize>) -> Result<Vec<Array>, TrainError> {
        match &self.inputs {
            Inputs::Memory(arrays) => Ok(arrays
                .iter()
                .map(|array| array.rows(range.clone()))
                .collect::<Result<_, _>>()?),
            Inputs::Stored { subset, normalization } => {
                let raw = subset.input_rows(range)?;
                Ok(vec![self.prepared(raw, normalization.as_ref())?])
            }
        }
    }

    /// The first input of examples by position.
    ///
    /// # Errors
    /// As for [`Examples::input_rows`].
    pub fn take_first_input(&self, positions: &[i32]) -> Result<Array, TrainError> {
        match &self.inputs {
            Inputs::Memory(arrays) => take(&arrays[0], positions),
            Inputs::Stored { subset, normalization } => {
                let (raw, _) = subset.batch(positions)?;
                self.prepared(raw, normalization.as_ref())
            }
        }
    }

    fn prepared(
        &self,
        raw: Array,
        normalization: Option<&Normalization>,
    ) -> Result<Array, TrainError> {
        let inputs = match normalization {
            Some(normalization) => normalization.apply(&raw)?,
            None => raw,
        };
        Ok(if inputs.dtype() == DType::I32 { inputs } else { inputs.convert(self.float) })
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

    /// Bytes of inputs and targets in memory.
    pub fn size_in_bytes(&self) -> usize {
        let inputs = self.inputs().into_iter().flatten().map(Array::size_in_bytes);
        inputs.sum::<usize>() + self.targets.size_in_bytes()
    }
}

fn list(types: &[TensorType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Rows of an array by position.
pub(crate) fn take(source: &Array, rows: &[i32]) -> Result<Array, TrainError> {
    let picked: Vec<Array> =
        rows.iter().map(|&row| source.row(row as usize)).collect::<Result<_, _>>()?;
    Ok(Array::stack(&picked)?)
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
    let got = examples.input_types();
    if expected != got {
        return Err(TrainError::setting("examples", list(&expected), list(&got)));
    }
    for (inputs, range) in examples.inputs().into_iter().flatten().zip(model.index_ranges()) {
        range.as_ref().map_or(Ok(()), |range| check_indices(inputs, range))?;
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

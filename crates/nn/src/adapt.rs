//! A model seen through other layouts of its input and output.

use crate::error::NnError;
use crate::model::{Model, ModelPort, Network, PortType};
use crate::scope::Scope;
use std::sync::Arc;
use thalweg_graph::Tensor;

/// How examples of the data become what a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum View {
    /// The model's example axis `i` is axis `permutation[i]` of the data's.
    Permuted(Vec<usize>),
    /// The same elements in row-major order.
    Reshaped(Vec<usize>),
}

/// A network between a view of its first input and one of its first output.
struct Adapted {
    network: Arc<dyn Network>,
    view: Option<View>,
    /// Whether each example's output is one number without an axis.
    scalar: bool,
    /// What inputs after the first are filled with.
    fill: Vec<(ModelPort, f64)>,
}

impl Network for Adapted {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let mut inputs = inputs.to_vec();
        if let Some(x) = inputs.first_mut() {
            match &self.view {
                None => {}
                Some(View::Permuted(permutation)) => {
                    let axes = permutation.iter().map(|axis| axis + 1);
                    *x = x.transpose(&std::iter::once(0).chain(axes).collect::<Vec<_>>());
                }
                Some(View::Reshaped(shape)) => {
                    let batch = x.shape().first().copied().unwrap_or(0);
                    *x = x.reshape(&[&[batch], shape.as_slice()].concat());
                }
            }
        }
        let builder = scope.builder();
        let batch = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(0);
        for (port, value) in &self.fill {
            inputs.push(builder.full(&port.batch_type(builder.float(), batch), *value));
        }
        let mut outputs = self.network.trace(scope, &inputs);
        if let Some(output) = outputs.first_mut().filter(|_| self.scalar) {
            *output = output.expand(output.rank());
        }
        outputs
    }
}

/// `[height, width, channels]` as `[channels, height, width]`.
const CHANNELS_FIRST: [usize; 3] = [2, 0, 1];
/// `[channels, height, width]` as `[height, width, channels]`.
const CHANNELS_LAST: [usize; 3] = [1, 2, 0];

impl Model {
    /// The same function of examples of another layout: channels last where the model takes them
    /// first or the other way round, axes of extent one more or fewer, or flattened where there
    /// are no channels to be told from pixels. An output of one number an example, `[batch]`,
    /// becomes `[batch, 1]`.
    ///
    /// Inputs after the first are filled: with ones what is called a mask, integers else with
    /// zeros.
    ///
    /// # Errors
    /// `Examples` if the elements are not the same ones, or inputs after the first are real
    /// numbers.
    pub fn for_examples(&self, example: &[usize]) -> Result<Model, NnError> {
        let Some(port) = self.inputs().first() else {
            return Err(NnError::Examples { expected: "an input".into(), got: "none".into() });
        };
        let view = view(&port.shape, example)?;
        let scalar = self.outputs().first().is_some_and(|output| output.shape.is_empty());
        let mut fill = Vec::new();
        for port in &self.inputs()[1..] {
            if port.ty == PortType::Float {
                let expected = format!("a value for its input {} too", port.name);
                return Err(NnError::Examples { expected, got: "none".into() });
            }
            let mask = port.name.to_lowercase().contains("mask");
            fill.push((port.clone(), if mask { 1.0 } else { 0.0 }));
        }
        if view.is_none() && !scalar && fill.is_empty() {
            return Ok(self.clone());
        }
        let network = Adapted { network: self.network(), view, scalar, fill };
        let inputs = vec![ModelPort { shape: example.to_vec(), ..port.clone() }];
        let names: Vec<&str> = self.outputs().iter().map(|output| output.name.as_str()).collect();
        Model::new(Arc::new(network), inputs, &names)
    }
}

fn view(wanted: &[usize], example: &[usize]) -> Result<Option<View>, NnError> {
    if wanted == example {
        return Ok(None);
    }
    for permutation in [CHANNELS_FIRST, CHANNELS_LAST] {
        if wanted.len() == 3
            && example.len() == 3
            && permutation.map(|axis| example[axis]) == wanted
        {
            return Ok(Some(View::Permuted(permutation.to_vec())));
        }
    }
    let large = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|&extent| extent != 1).collect()
    };
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |n, &e| n.checked_mul(e));
    let (a, b) = (large(wanted), large(example));
    // Flattened channels come first in some frameworks and last in others.
    let flat =
        count(wanted) == count(example) && a.len().min(b.len()) == 1 && a.len().max(b.len()) == 2;
    if a == b || flat {
        return Ok(Some(View::Reshaped(wanted.to_vec())));
    }
    Err(NnError::Examples { expected: format!("{wanted:?}"), got: format!("{example:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_and_ones_come_and_go() {
        let found = |wanted: &[usize], example: &[usize]| view(wanted, example).ok().flatten();
        assert_eq!(found(&[3, 8, 9], &[3, 8, 9]), None);
        assert_eq!(found(&[3, 8, 9], &[8, 9, 3]), Some(View::Permuted(vec![2, 0, 1])));
        assert_eq!(found(&[8, 9, 3], &[3, 8, 9]), Some(View::Permuted(vec![1, 2, 0])));
        assert_eq!(found(&[64], &[8, 8, 1]), Some(View::Reshaped(vec![64])));
        assert_eq!(found(&[1, 8, 9], &[72]), Some(View::Reshaped(vec![1, 8, 9])));
        assert_eq!(found(&[5], &[5, 1]), Some(View::Reshaped(vec![5])));
        // Which element is which is not known.
        let message = view(&[192], &[8, 8, 3]).unwrap_err().to_string();
        assert_eq!(message, "the model takes examples of [192], got [8, 8, 3]");
        let message = view(&[3, 32, 32], &[28, 28, 1]).unwrap_err().to_string();
        assert_eq!(message, "the model takes examples of [3, 32, 32], got [28, 28, 1]");
    }
}

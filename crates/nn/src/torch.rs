//! Weights under PyTorch's names and in its layout.

use crate::error::NnError;
use crate::faults::{Named, WeightsFaults, Wrong};
use crate::model::Model;
use crate::parameter::{Parameter, Statistic, TorchLayout};
use crate::parameters::Weights;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::{Array, DType};

/// What PyTorch's batch normalisation keeps beside its two statistics.
const BATCHES: &str = "num_batches_tracked";

/// The weights as a `state_dict`: parameters, then buffers, under PyTorch's names and in its
/// layout; `num_batches_tracked` (`i64 []`, zero) after each running variance, because PyTorch
/// asks for it.
///
/// Element types stay; [`Weights::convert`] first for another.
///
/// # Errors
/// Weights that are not those of the model.
pub fn to_torch(model: &Model, weights: &Weights) -> Result<Vec<(String, Array)>, NnError> {
    let parameters = model.parameter_tree(weights.parameters.arrays().to_vec())?;
    let buffers = model.buffer_tree(weights.buffers.arrays().to_vec())?;
    let mut entries = Vec::new();
    for (parameter, array) in model.parameters().iter().zip(parameters.arrays()) {
        entries.push((parameter.name.clone(), outward(&parameter.torch, array)?));
    }
    for (buffer, array) in model.buffers().iter().zip(buffers.arrays()) {
        entries.push((buffer.name.clone(), array.clone()));
        if buffer.statistic == Statistic::Variance {
            entries.push((batches_name(&buffer.name), Array::scalar(0i64)));
        }
    }
    Ok(entries)
}

/// What wrappers put before every name of a model: `DataParallel`, `torch.compile`, Lightning.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

/// What is to be taken off every name of a `state_dict`, because a wrapper of the model put it
/// there: `module.`, `_orig_mod.`, `model.`, `net.`, or several of these. Nothing, if any name is
/// one of the model's as it is.
pub fn wrapping_prefix<'e>(model: &Model, entries: &'e [(String, Array)]) -> &'e str {
    let Some((first, _)) = entries.first() else { return "" };
    let wanted: BTreeSet<&str> = names(model).collect();
    let mut length = 0;
    while !entries.iter().any(|(name, _)| wanted.contains(&name[length..])) {
        let wrapper = WRAPPERS.iter().find(|wrapper| {
            entries.iter().all(|(name, _)| {
                name[length..].strip_prefix(**wrapper).is_some_and(|rest| !rest.is_empty())
            })
        });
        match wrapper {
            Some(wrapper) => length += wrapper.len(),
            None => break,
        }
    }
    &first[..length]
}

/// The names of parameters and buffers.
fn names(model: &Model) -> impl Iterator<Item = &str> {
    let parameters = model.parameters().iter().map(|parameter| parameter.name.as_str());
    parameters.chain(model.buffers().iter().map(|buffer| buffer.name.as_str()))
}

/// The weights in a `state_dict`, converted to `float`.
///
/// The [`wrapping_prefix`] of every name is taken off; `num_batches_tracked` may be there or not.
///
/// # Errors
/// `Weights` with every name that is missing (and the nearest that is there), not expected, or of
/// another shape or type.
pub fn from_torch(
    model: &Model,
    entries: &[(String, Array)],
    float: DType,
) -> Result<Weights, NnError> {
    let start = wrapping_prefix(model, entries).len();
    let mut given: BTreeMap<&str, Vec<&Array>> = BTreeMap::new();
    for (name, array) in entries {
        given.entry(&name[start..]).or_default().push(array);
    }
    let mut wanted: Vec<(&str, TorchLayout)> = Vec::new();
    wanted.extend(model.parameters().iter().map(|p| (p.name.as_str(), p.torch.clone())));
    wanted.extend(model.buffers().iter().map(|b| (b.name.as_str(), TorchLayout::same(&b.shape))));
    let optional: BTreeSet<String> = model
        .buffers()
        .iter()
        .filter(|b| b.statistic == Statistic::Variance)
        .map(|b| batches_name(&b.name))
        .collect();

    let mut faults = Vec::new();
    let mut arrays = Vec::new();
    for (name, layout) in &wanted {
        let named = |shape: &[usize]| Named { name: (*name).to_owned(), shape: shape.to_vec() };
        let (file, wrong) = match given.get(name).map(Vec::as_slice) {
            None | Some([]) => (None, Wrong::Missing),
            Some([array]) if array.shape() != layout.shape => (Some(array), Wrong::Shape),
            Some([array]) if !array.dtype().is_float() => (Some(array), Wrong::Type(array.dtype())),
            Some([array]) => {
                arrays.push(array.convert(float));
                continue;
            }
            Some([array, ..]) => (Some(array), Wrong::Twice),
        };
        faults.push((named(&layout.shape), file.map(|array| named(array.shape())), wrong));
    }
    let known: BTreeSet<&str> = names(model).collect();
    // In the order of the file.
    let extra = entries.iter().map(|(name, array)| (&name[start..], array));
    let extra = extra.filter(|(name, _)| !known.contains(name) && !optional.contains(*name));
    let extra = extra
        .map(|(name, array)| Named { name: name.to_owned(), shape: array.shape().to_vec() })
        .collect();
    let faults = WeightsFaults::new(faults, extra);
    if !faults.is_empty() {
        return Err(NnError::Weights(Box::new(faults)));
    }
    let buffers = arrays.split_off(model.parameters().len());
    let inward = model.parameters().iter().zip(&arrays).map(|(p, array)| inward(p, array));
    Ok(Weights {
        parameters: model.parameter_tree(inward.collect::<Result<_, NnError>>()?)?,
        buffers: model.buffer_tree(buffers)?,
    })
}

/// One parameter in PyTorch's layout in that of the engine.
pub(crate) fn inward(parameter: &Parameter, array: &Array) -> Result<Array, NnError> {
    let layout = &parameter.torch;
    let torch_split: Vec<usize> =
        layout.permutation.iter().map(|&axis| layout.split[axis]).collect();
    let mut inverse = vec![0; torch_split.len()];
    for (to, &from) in layout.permutation.iter().enumerate() {
        inverse[from] = to;
    }
    Ok(permute(&array.reshape(&torch_split)?, &inverse).reshape(&parameter.shape)?)
}

/// One parameter of the engine in PyTorch's layout.
fn outward(layout: &TorchLayout, array: &Array) -> Result<Array, NnError> {
    Ok(permute(&array.reshape(&layout.split)?, &layout.permutation).reshape(&layout.shape)?)
}

pub(crate) fn batches_name(variance: &str) -> String {
    let prefix = variance.rsplit_once('.').map(|(prefix, _)| format!("{prefix}."));
    format!("{}{BATCHES}", prefix.unwrap_or_default())
}

/// Result axis `i` is axis `permutation[i]`.
fn permute(array: &Array, permutation: &[usize]) -> Array {
    let mut strides = vec![1; array.rank()];
    for axis in (1..array.rank()).rev() {
        strides[axis - 1] = strides[axis] * array.shape()[axis];
    }
    let shape: Vec<usize> = permutation.iter().map(|&axis| array.shape()[axis]).collect();
    let strides: Vec<usize> = permutation.iter().map(|&axis| strides[axis]).collect();
    let mut places = vec![0usize];
    for (&extent, &stride) in shape.iter().zip(&strides) {
        places = places.iter().flat_map(|&at| (0..extent).map(move |i| at + i * stride)).collect();
    }
    fn pick<T: thalweg_array::Element>(array: &Array, shape: &[usize], places: &[usize]) -> Array {
        let from = array.as_slice::<T>().expect("the array's own type");
        let picked: Vec<T> = places.iter().map(|&at| from[at]).collect();
        Array::from_slice(shape, &picked).expect("as many elements as before")
    }
    match array.dtype() {
        DType::F32 => pick::<f32>(array, &shape, &places),
        DType::F64 => pick::<f64>(array, &shape, &places),
        DType::I32 => pick::<i32>(array, &shape, &places),
        DType::I64 => pick::<i64>(array, &shape, &places),
        DType::U32 => pick::<u32>(array, &shape, &places),
        DType::Bool => pick::<bool>(array, &shape, &places),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Architecture;
    use crate::parameters::Parameters;

    pub(crate) fn counted(model: &Model) -> Weights {
        let mut next = 0.0;
        let mut fill = |shape: &[usize]| {
            let n = shape.iter().product::<usize>();
            let values: Vec<f64> = (0..n).map(|i| next + i as f64).collect();
            next += n as f64;
            Array::from_slice(shape, &values).unwrap()
        };
        let parameters = model.parameters().iter().map(|p| fill(&p.shape)).collect();
        let buffers = model.buffers().iter().map(|b| fill(&b.shape)).collect();
        Weights {
            parameters: model.parameter_tree(parameters).unwrap(),
            buffers: model.buffer_tree(buffers).unwrap(),
        }
    }

    fn model(text: &str, input: &[usize]) -> Model {
        text.parse::<Architecture>().unwrap().build(input, 3).unwrap()
    }

    #[test]
    fn weights_go_round() {
        let image = [4, 6, 2].as_slice();
        for (text, input) in [
            ("resnet depth=8 width=2", image),
            ("convnet head=flatten norm=batch", image),
            ("mlp norm=batch", image),
            ("vit patch=2 depth=2 width=4 heads=2", image),
            ("gpt depth=2 width=4 heads=2 tied=false", &[5]),
        ] {
            let model = model(text, input);
            let weights = counted(&model);
            let mut entries = to_torch(&model, &weights).unwrap();
            assert_eq!(from_torch(&model, &entries, DType::F64).unwrap(), weights, "{text}");
            entries.reverse();
            entries.retain(|(name, _)| !name.ends_with(BATCHES));
            entries.iter_mut().for_each(|(name, _)| name.insert_str(0, "module."));
            assert_eq!(from_torch(&model, &entries, DType::F64).unwrap(), weights, "{text}");
        }
    }

    #[test]
    fn layouts_are_pytorchs() {
        let model = model("convnet channels=5 head=flatten norm=batch", &[4, 6, 2]);
        let entries = to_torch(&model, &counted(&model)).unwrap();
        let find = |name: &str| &entries.iter().find(|(known, _)| known == name).unwrap().1;
        // Kernel [3, 3, 2, 5] to [5, 2, 3, 3].
        let kernel = find("conv1.weight");
        assert_eq!(kernel.shape(), [5, 2, 3, 3]);
        let at = |o: usize, i: usize, u: usize, v: usize| ((u * 3 + v) * 2 + i) * 5 + o;
        let values = kernel.to_f64_vec();
        assert_eq!(values[((4 * 2 + 1) * 3 + 2) * 3], at(4, 1, 2, 0) as f64);
        assert_eq!(values[((3 * 2) * 3 + 1) * 3 + 2], at(3, 0, 1, 2) as f64);
        // A pooled image of 2 x 3 x 5, flattened, to 3 units.
        let dense = find("fc.weight");
        assert_eq!(dense.shape(), [3, 30]);
        let first = model.parameters()[..3].iter().map(|p| p.count()).sum::<usize>();
        let (h, w, c, unit) = (1, 2, 3, 2);
        let ours = first + ((h * 3 + w) * 5 + c) * 3 + unit;
        assert_eq!(dense.to_f64_vec()[unit * 30 + (c * 2 + h) * 3 + w], ours as f64);
        assert_eq!(find("norm1.num_batches_tracked"), &Array::scalar(0i64));
        let axes =
            |name: &str| model.parameters().iter().find(|p| p.name == name).unwrap().torch_axes();
        use crate::Axis::{Input, Output, Spatial};
        assert_eq!(axes("conv1.weight"), [Output, Input, Spatial, Spatial]);
        assert_eq!(axes("fc.weight"), [Output, Input]);
        assert_eq!(axes("fc.bias"), [Output]);
        let flattened = "mlp hidden=4".parse::<Architecture>().unwrap();
        let flattened = flattened.build(&[8, 8, 1], 3).unwrap();
        assert_eq!(flattened.parameters()[0].torch_axes(), [Output, Input]);
    }

    #[test]
    fn every_fault_is_named() {
        let resnet = model("resnet", &[8, 8, 1]);
        let none = from_torch(&resnet, &[], DType::F32).unwrap_err();
        assert!(none.to_string().ends_with("; and 99 more"), "{none}");
        let model = model("mlp hidden=4", &[5]);
        let mut entries = to_torch(&model, &counted(&model)).unwrap();
        entries[0].1 = Array::zeros(DType::F32, &[5, 4]);
        entries[1].0 = "fc1.biases".into();
        entries[2].1 = Array::zeros(DType::I32, &[3, 4]);
        entries.push(("head.weight".into(), Array::scalar(1.0)));
        let error = from_torch(&model, &entries, DType::F32).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the weights are not those of the model: fc1.weight should be [4, 5], got [5, 4]; \
             fc1.bias is missing (there is fc1.biases); fc2.weight should be f32 or f64, got i32; \
             head.weight is not expected"
        );
    }

    #[test]
    fn prefixes_of_wrappers_are_taken_off_unless_the_model_has_them() {
        let model = model("mlp hidden=4", &[5]);
        let entries = to_torch(&model, &counted(&model)).unwrap();
        let prefixed = |prefix: &str| -> Vec<(String, Array)> {
            entries.iter().map(|(name, array)| (format!("{prefix}{name}"), array.clone())).collect()
        };
        for prefix in ["", "module.", "model.", "net.", "_orig_mod.module.", "model._orig_mod."] {
            let entries = prefixed(prefix);
            assert_eq!(wrapping_prefix(&model, &entries), prefix);
            let read = from_torch(&model, &entries, DType::F64).unwrap();
            assert_eq!(read.parameters, counted(&model).parameters, "{prefix}");
        }
        // Another wrapper is not guessed, and one name without it keeps it for all.
        assert_eq!(wrapping_prefix(&model, &prefixed("encoder.")), "");
        let mut mixed = prefixed("model.");
        mixed.push(("loss.weight".into(), Array::scalar(1.0)));
        assert_eq!(wrapping_prefix(&model, &mixed), "");
        let mut own = prefixed("module.");
        own[0].0 = "fc1.weight".into();
        assert_eq!(wrapping_prefix(&model, &own), "");
        assert_eq!(wrapping_prefix(&model, &[]), "");
    }

    #[test]
    fn weights_of_another_model_are_refused() {
        let model = model("mlp hidden=4", &[5]);
        let mut weights = counted(&model);
        weights.parameters = Parameters::new(vec![("x".into(), Array::scalar(1.0))]).unwrap();
        assert!(to_torch(&model, &weights).is_err());
    }
}

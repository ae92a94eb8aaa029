//! The graph of a segment of steps, and the arguments in the order of its inputs.

use crate::feed::{Fed, brings_input};
use crate::part::HyperValues;
use crate::population::Argument;
use crate::recipe::{Point, Recipe, Sequences, Shared};
use crate::state::{Layout, MemberState};
use crate::{Examples, Status, TrainConfig, TrainError};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, GraphError, TensorType};

/// The output that only optimizers have that take gradients elsewhere than where they are.
pub(crate) const PERTURBED_LOSS: &str = "perturbed_loss";

/// `length` steps of one member, and where a population's axis goes into each input.
///
/// Inputs: the member's arrays, whether it is alive, its hyper-parameters; the sequences; the data.
/// Outputs: the arrays; loss, gradient norm and, with labels, accuracy of each step, and the loss at
/// the ends of ascents if the optimizer takes any.
pub(crate) fn graph(
    recipe: &Recipe,
    layout: &Layout,
    config: &TrainConfig,
    examples: &Examples,
    length: usize,
) -> Result<(Graph, Vec<Option<usize>>), GraphError> {
    let float = config.precision;
    let builder = Builder::new(float);
    let mut axes: Vec<Option<usize>> = Vec::new();
    let mut input = |name: &str, ty: TensorType, axis: Option<usize>| {
        axes.push(axis);
        builder.input(name, ty)
    };
    let arrays: Vec<_> =
        layout.arrays.iter().map(|(name, ty)| input(name, ty.clone(), Some(0))).collect();
    let point = Point::from_tensors(recipe, &arrays);
    let alive = input("step.alive", TensorType::new(DType::Bool, []), Some(0));
    let mut hyper = Vec::with_capacity(layout.hyper.len());
    for name in &layout.hyper {
        let scalar = TensorType::new(float, []);
        hyper.push((name.clone(), input(&format!("hyper.{name}"), scalar, Some(0))));
    }
    let indices = TensorType::new(DType::I32, [length, config.batch]);
    let indices = input("step.indices", indices, Some(1));
    let sequence = TensorType::new(float, [length]);
    let factors = input("step.factors", sequence.clone(), None);
    let counts = input("step.counts", sequence, None);
    let keys = TensorType::new(DType::U32, [length, 2]);
    let dropout_keys = Some(input("step.dropout_keys", keys, Some(1)));
    // What is changed or read for a step is the first input.
    let mut types = examples.input_types();
    let own = brings_input(examples, &config.augmentation).then(|| {
        let ty = types.remove(0);
        let shape = [&[length, config.batch], &ty.shape[1..]].concat();
        input("step.inputs", TensorType::new(ty.dtype, shape), Some(1))
    });
    let inputs = types.into_iter().enumerate();
    let inputs = inputs.map(|(i, ty)| input(&format!("data.inputs.{i}"), ty, None)).collect();
    let (targets, of_members) = (examples.targets(), examples.own_targets().map(|_| 0));
    let ty = TensorType::new(targets.dtype(), targets.shape());
    let targets = input("data.targets", ty, of_members);
    let weights = examples.weights();
    let weights = weights.map(|w| input("data.weights", TensorType::new(float, w.shape()), None));
    let (point, info) = recipe.run(
        &point,
        &HyperValues::new(hyper),
        Sequences { indices, factors, counts, dropout_keys, inputs: own },
        Shared { inputs, targets, weights },
        Some(alive),
        0,
    );
    let names = layout.arrays.iter().map(|(name, _)| name.as_str());
    let infos = [
        ("loss", Some(info.loss)),
        ("gradient_norm", Some(info.gradient_norm)),
        ("accuracy", info.accuracy),
        (PERTURBED_LOSS, info.perturbed_loss),
    ];
    let infos = infos.into_iter().filter_map(|(name, info)| info.map(|info| (name, info)));
    let outputs: Vec<_> = names.zip(point.tensors()).chain(infos).collect();
    Ok((builder.finish(&outputs)?, axes))
}

/// The arguments of one chunk; `filled` says which members of the population its members are.
pub(crate) fn arguments(
    layout: &Layout,
    examples: &Examples,
    filled: &[usize],
    members: &[&MemberState],
    fed: Fed,
) -> Result<Vec<Argument>, TrainError> {
    let mut arguments = Vec::new();
    for i in 0..layout.arrays.len() {
        let each = members.iter().map(|member| member.arrays[i].clone());
        arguments.push(Argument::Members(each.collect()));
    }
    let alive: Vec<bool> = members.iter().map(|m| m.status == Status::Running).collect();
    arguments.push(Argument::Packed(Array::vector(&alive)));
    for i in 0..layout.hyper.len() {
        let values: Vec<f64> = members.iter().map(|member| member.hyper[i]).collect();
        arguments.push(Argument::Packed(Array::vector(&values).convert(examples.float())));
    }
    arguments.push(Argument::Packed(fed.indices));
    arguments.push(Argument::Shared(fed.factors));
    arguments.push(Argument::Shared(fed.counts));
    arguments.push(Argument::Packed(fed.dropout_keys));
    let shared = examples.inputs().unwrap_or_default();
    let shared = shared.get(usize::from(fed.inputs.is_some())..).unwrap_or_default();
    arguments.extend(fed.inputs.map(Argument::Packed));
    arguments.extend(shared.iter().cloned().map(Argument::Shared));
    arguments.push(match examples.own_targets() {
        None => Argument::Shared(examples.targets().clone()),
        Some(own) => {
            let of = |&i: &usize| own.get(i).unwrap_or(examples.targets()).clone();
            Argument::Members(filled.iter().map(of).collect())
        }
    });
    arguments.extend(examples.weights().map(|weights| Argument::Shared(weights.clone())));
    Ok(arguments)
}

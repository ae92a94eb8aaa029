//! A file's graph as a model.

use super::batch::{Batch, Shapes};
use super::graph::{Extent, Input, Source};
use super::roles::{self, Plan};
use super::stored::{element_kind, type_name};
use super::tracer::{Fault, Tracer, complaint, outputs};
use super::value::{Laid, Value};
use super::{invalid, unsupported};
use crate::FormatError;
use std::sync::{Arc, Mutex};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_nn::{Model, ModelPort, Network, NnError, Parameters, PortType, Scope, Weights};

/// The interpreter as a network.
struct Imported {
    source: Arc<Source>,
    plan: Plan,
    outputs: Vec<String>,
    /// The batch size that the file has fixed, with the shapes that it has then.
    fixed: Option<(usize, Arc<Shapes>)>,
    /// The first fault in words, which a builder's error has no place for.
    fault: Mutex<Option<String>>,
}

impl Imported {
    fn batch(&self, now: usize) -> Batch {
        match &self.fixed {
            Some((file, noted)) => Batch::moved(*file, now, noted.clone()),
            None => Batch::Unknown,
        }
    }

    fn run<'b>(
        &self,
        scope: &Scope<'_, 'b>,
        inputs: &[Tensor<'b>],
    ) -> Result<Vec<Tensor<'b>>, Fault> {
        let builder = scope.builder();
        let now = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(0);
        let mut tracer = Tracer::new(builder, Some(scope), self.batch(now), false);
        tracer.buffered = self.plan.buffers.keys().cloned().collect();
        for parameter in &self.plan.parameters {
            let tensor = scope.parameter(parameter.clone());
            tracer.set(&parameter.name, tensor.into());
        }
        traced(&self.source, &self.plan, &mut tracer, inputs, &self.outputs)
    }
}

impl Network for Imported {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        match self.run(scope, inputs) {
            Ok(outputs) => outputs,
            Err(Fault(message)) => {
                scope.builder().reject("onnx", "a graph that can be traced", message.clone());
                if let Ok(mut fault) = self.fault.lock() {
                    fault.get_or_insert(message);
                }
                Vec::new()
            }
        }
    }
}

/// Sets the inputs and the constants, runs the nodes, and gives the outputs in types that a model
/// has.
fn traced<'b>(
    source: &Source,
    plan: &Plan,
    tracer: &mut Tracer<'_, 'b>,
    inputs: &[Tensor<'b>],
    names: &[String],
) -> Result<Vec<Tensor<'b>>, Fault> {
    for (input, &tensor) in source.graph.inputs.iter().zip(inputs) {
        let dtype = engine_type(input.code, tracer.builder.float()).map_err(Fault)?;
        tracer.set(&input.name, Value::Tensor(Laid::plain_of(tensor.convert(dtype))));
    }
    constants(source, plan, tracer)?;
    tracer.run(&source.graph, |i| {
        // What a node of the file gives as a parameter is already there.
        let node = &source.graph.nodes[i];
        let given = node.op == "Constant"
            && node.outputs.first().is_some_and(|name| plan.is_parameter(name));
        plan.needed.get(i).copied().unwrap_or(false) && !given
    })?;
    let found = outputs(tracer, names)?;
    let shown = |tensor: Tensor<'b>| match tensor.dtype() {
        DType::Bool | DType::I64 | DType::U32 => tensor.convert(DType::I32),
        _ => tensor,
    };
    Ok(found.into_iter().map(|(_, tensor)| shown(tensor)).collect())
}

fn constants(source: &Source, plan: &Plan, tracer: &mut Tracer<'_, '_>) -> Result<(), Fault> {
    for initializer in &source.graph.initializers {
        let name = &initializer.name;
        let buffer = plan.buffers.values().flatten().any(|buffer| buffer == name);
        if plan.constants.contains(name) || buffer {
            let array = initializer
                .stored
                .array()
                .map_err(|error| Fault(format!("initialiser `{name}`: {error}")))?;
            tracer.set(name, array.into());
        }
    }
    Ok(())
}

/// The type that an input has in the engine.
fn engine_type(code: i32, float: DType) -> Result<DType, String> {
    match element_kind(code) {
        Some(kind) if kind.is_float() => Ok(float),
        Some(kind) => Ok(kind.dtype()),
        // Where the file does not say it, the data do.
        None if code == 0 => Ok(float),
        None => Err(format!("inputs of type {} are not supported", type_name(code))),
    }
}

/// The port of an input for examples of a shape, with the batch size that the file fixes.
fn port(input: &Input, example: &[usize]) -> Result<(ModelPort, Option<usize>), FormatError> {
    let name = &input.name;
    let float = engine_type(input.code, DType::F32)
        .map_err(|error| unsupported(format!("input `{name}`: {error}")))?
        .is_float();
    let shape = example.to_vec();
    let ty = if float { PortType::Float } else { PortType::Index };
    let port = ModelPort { name: name.clone(), shape, ty };
    let Some(extents) = &input.extents else { return Ok((port, None)) };
    let Some((batch, rest)) = extents.split_first() else {
        return Err(unsupported(format!("input `{name}` is a single number without a batch axis")));
    };
    let fits = rest.len() == example.len()
        && rest.iter().zip(example).all(|(extent, &own)| match extent {
            Extent::Fixed(extent) => *extent == own,
            Extent::Free(_) => true,
        });
    if !fits {
        let list: Vec<String> = rest.iter().map(extent_text).collect();
        return Err(unsupported(format!(
            "input `{name}` takes examples of shape [{}], the data have {example:?}",
            list.join(", ")
        )));
    }
    Ok((port, if let Extent::Fixed(batch) = batch { Some(*batch) } else { None }))
}

pub(super) fn extent_text(extent: &Extent) -> String {
    match extent {
        Extent::Fixed(extent) => extent.to_string(),
        Extent::Free(name) if name.is_empty() => "?".into(),
        Extent::Free(name) => name.clone(),
    }
}

/// The model of a file.
pub(super) fn model(
    source: &Arc<Source>,
    examples: &[Vec<usize>],
    wanted: &[String],
) -> Result<Model, FormatError> {
    let graph = &source.graph;
    if examples.len() != graph.inputs.len() {
        let names: Vec<String> = graph.inputs.iter().map(|i| format!("`{}`", i.name)).collect();
        return Err(unsupported(format!(
            "the model has {} inputs ({}), the data have {}",
            names.len(),
            names.join(", "),
            examples.len()
        )));
    }
    if examples.is_empty() {
        return Err(unsupported("the model has no input"));
    }
    let mut ports = Vec::new();
    let mut fixed: Option<usize> = None;
    for (input, example) in graph.inputs.iter().zip(examples) {
        let (port, batch) = port(input, example)?;
        ports.push(port);
        fixed = fixed.or(batch);
    }
    for name in wanted {
        let inner = || graph.nodes.iter().any(|node| node.outputs.contains(name));
        if !graph.outputs.contains(name) && !inner() {
            let known: Vec<String> = graph.outputs.iter().map(|o| format!("`{o}`")).collect();
            return Err(unsupported(format!(
                "the model has no output `{name}`; it has {}",
                known.join(", ")
            )));
        }
    }
    if !wanted.is_empty() {
        return with_outputs(source, &ports, fixed, wanted.to_vec());
    }
    let all = graph.outputs.clone();
    match with_outputs(source, &ports, fixed, all.clone()) {
        Err(error) if all.len() > 1 => {
            // What stands beside the first output may be beyond a model.
            with_outputs(source, &ports, fixed, all[..1].to_vec()).map_err(|_| error)
        }
        result => result,
    }
}

fn with_outputs(
    source: &Arc<Source>,
    ports: &[ModelPort],
    fixed: Option<usize>,
    names: Vec<String>,
) -> Result<Model, FormatError> {
    let plan = roles::plan(&source.graph, &names);
    let mut imported = Imported {
        source: source.clone(),
        plan,
        outputs: names,
        fixed: None,
        fault: Mutex::new(None),
    };
    if let Some(file) = fixed {
        let (_, batch) = rehearse(&imported, ports, file, Batch::Noting(Shapes::default()))?;
        if let Batch::Noting(noted) = batch {
            imported.fixed = Some((file, Arc::new(noted)));
        }
    }
    // Two sizes tell which outputs have a batch axis.
    for size in [2, 3] {
        let batch = imported.batch(size);
        let shapes = rehearse(&imported, ports, size, batch).map_err(|error| match fixed {
            Some(file) if file != size => unsupported(format!(
                "the file has the batch size {file} written into it; export it with a dynamic \
                 batch size ({error})"
            )),
            _ => error,
        });
        for (name, shape) in imported.outputs.iter().zip(&shapes?.0) {
            if shape.first() != Some(&size) {
                return Err(unsupported(format!(
                    "output `{name}` has shape {shape:?} for {size} examples, so it has no row for \
                     each example; choose another output"
                )));
            }
        }
    }
    let imported = Arc::new(imported);
    let names: Vec<&str> = imported.outputs.iter().map(String::as_str).collect();
    let fault = |error: NnError| {
        let told = imported.fault.lock().ok().and_then(|fault| fault.clone());
        unsupported(told.unwrap_or_else(|| error.to_string()))
    };
    Model::new(imported.clone(), ports.to_vec(), &names).map_err(fault)
}

/// Traces a graph with inputs in place of its parameters, and gives the shapes of its outputs.
fn rehearse(
    imported: &Imported,
    ports: &[ModelPort],
    size: usize,
    batch: Batch,
) -> Result<(Vec<Vec<usize>>, Batch), FormatError> {
    let attempt = |careful: bool| {
        let builder = Builder::new(DType::F32);
        let mut tracer = Tracer::new(&builder, None, batch.clone(), careful);
        let inputs: Vec<Tensor<'_>> = ports
            .iter()
            .map(|port| builder.input(&port.name, port.batch_type(DType::F32, size)))
            .collect();
        for (i, parameter) in imported.plan.parameters.iter().enumerate() {
            let ty = TensorType::new(DType::F32, parameter.shape.clone());
            let tensor = builder.input(&format!("parameter {i}"), ty);
            tracer.set(&parameter.name, tensor.into());
        }
        let (source, plan) = (&imported.source, &imported.plan);
        let found = traced(source, plan, &mut tracer, &inputs, &imported.outputs)?;
        let shapes = found.iter().map(|output| output.shape()).collect();
        let complaint = builder.finish(&[]).err().map(|error| complaint(&error));
        Ok::<_, Fault>((shapes, tracer.batch, complaint))
    };
    let refused = |Fault(message)| unsupported(message);
    match attempt(false).map_err(refused)? {
        (shapes, batch, None) => Ok((shapes, batch)),
        // The builder's complaint does not name the node; a second trace does.
        (_, _, Some(complaint)) => match attempt(true) {
            Err(fault) => Err(refused(fault)),
            Ok(_) => Err(unsupported(complaint)),
        },
    }
}

/// The weights of a file for its model.
pub(super) fn weights(
    source: &Source,
    model: &Model,
    float: DType,
) -> Result<Weights, FormatError> {
    let find = |name: &str| -> Result<Array, FormatError> {
        let known = source.graph.initializers.iter().find(|i| i.name == name);
        let stored =
            known.map(|initializer| &initializer.stored).or_else(|| constant(source, name));
        let stored = stored.ok_or_else(|| invalid(format!("it has no tensor `{name}`")))?;
        let array = stored.array().map_err(|error| invalid(format!("tensor `{name}`: {error}")))?;
        Ok(array.convert(float))
    };
    let named = |names: Vec<&str>| -> Result<Parameters, FormatError> {
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            entries.push((name.to_owned(), find(name)?));
        }
        Parameters::new(entries).map_err(|error| invalid(error.to_string()))
    };
    let parameters = named(model.parameters().iter().map(|p| p.name.as_str()).collect())?;
    let buffers = named(model.buffers().iter().map(|b| b.name.as_str()).collect())?;
    // The model checks the shapes.
    let fault = |error: NnError| invalid(error.to_string());
    Ok(Weights {
        parameters: model.parameter_tree(parameters.into_arrays()).map_err(fault)?,
        buffers: model.buffer_tree(buffers.into_arrays()).map_err(fault)?,
    })
}

/// The tensor that a node of the file gives.
pub(super) fn constant<'s>(source: &'s Source, name: &str) -> Option<&'s super::stored::Stored> {
    let node = source.graph.nodes.iter().find(|node| node.outputs.iter().any(|o| o == name))?;
    match node.attributes.first() {
        Some((_, super::attribute::Attribute::Tensor(stored))) if node.op == "Constant" => {
            Some(stored)
        }
        _ => None,
    }
}

/// Traces a file as it stands.
pub(super) fn trace<'b>(
    source: &Source,
    builder: &'b Builder,
    inputs: &[(String, Tensor<'b>)],
    known: &[(String, Array)],
) -> Result<Vec<(String, Tensor<'b>)>, FormatError> {
    let graph = &source.graph;
    let plan = Plan { needed: vec![true; graph.nodes.len()], ..Plan::default() };
    let attempt = |careful: bool| -> Result<Vec<(String, Tensor<'b>)>, Fault> {
        let mut tracer = Tracer::new(builder, None, Batch::Unknown, careful);
        for input in &graph.inputs {
            let name = &input.name;
            let known = known.iter().find(|(own, _)| own == name);
            let given = inputs.iter().find(|(own, _)| own == name);
            match (known, given) {
                (Some((_, array)), _) => tracer.set(name, array.clone().into()),
                (None, Some((_, tensor))) => tracer.set(name, (*tensor).into()),
                (None, None) => return Err(Fault(format!("input `{name}` is missing"))),
            }
        }
        for initializer in &graph.initializers {
            let name = &initializer.name;
            let array = initializer
                .stored
                .array()
                .map_err(|error| Fault(format!("initialiser `{name}`: {error}")))?;
            tracer.set(name, array.into());
        }
        tracer.run(graph, |i| plan.needed[i])?;
        outputs(&tracer, &graph.outputs)
    };
    attempt(false).map_err(|Fault(message)| unsupported(message))
}

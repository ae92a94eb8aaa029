//! `thalweg inspect`.

use crate::design::{Design, Imported};
use crate::error::{LabError, Result};
use crate::model_source::{WeightsFile, open_model};
use std::path::PathBuf;
use thalweg_array::DType;
use thalweg_formats::onnx;
use thalweg_nn::{Model, ModelPort, Parameter, PortType, Statistic, flops};
use thalweg_record::reply::Body;
use thalweg_record::{Extent, InspectedArray, InspectedOperation, InspectedPort, Inspection};

/// What `inspect` was asked.
#[derive(Debug, Clone)]
pub struct InspectRequest {
    /// The model.
    pub model: PathBuf,
    /// Its architecture, if its file does not say it.
    pub architecture: Option<String>,
}

/// What a model takes, gives and consists of; nothing is run.
///
/// # Errors
/// A file that cannot be read, or that does not hold the architecture's weights.
pub fn inspect(request: &InspectRequest) -> Result<Body> {
    let file = open_model(&request.model, request.architecture.as_deref())?;
    let mut found = match file.design() {
        Ok(Design::Imported(graph)) => of_graph(graph),
        Ok(Design::Named(architecture)) => {
            let model = architecture.rebuild().map_err(|error| {
                LabError::Input(format!(
                    "{}: {error}, as --arch \"mlp input=8x8x1 outputs=10\"",
                    file.path.display()
                ))
            })?;
            file.weights(&model, DType::F32)?;
            of_model(&model)?
        }
        // Nobody says what its arrays are for.
        Err(_) => of_arrays(&file),
    };
    found.path = file.path.display().to_string();
    let extension = file.path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    found.format = extension.unwrap_or_default();
    Ok(Body::Inspect(found))
}

/// The arrays of a file that does not say what they are for.
fn of_arrays(file: &WeightsFile) -> Inspection {
    let float = |dtype: DType| if dtype.is_float() { "unknown" } else { "counter" };
    let arrays: Vec<InspectedArray> = file
        .tensors()
        .iter()
        .map(|(name, array)| InspectedArray {
            name: name.clone(),
            shape: extents(array.shape()),
            role: float(array.dtype()).to_owned(),
            axes: vec!["other".to_owned(); array.rank()],
        })
        .collect();
    let count = |array: &InspectedArray| array.shape.iter().product::<u64>();
    let (parameters, buffers): (Vec<_>, Vec<_>) =
        arrays.into_iter().partition(|array| array.role == "unknown");
    let note = "the file does not say its architecture: what its arrays are for is not known, and \
                --arch tells it";
    Inspection {
        parameter_count: parameters.iter().map(count).sum(),
        parameters,
        buffers,
        notes: vec![note.to_owned()],
        ..Inspection::default()
    }
}

/// The graph of an ONNX file. What it takes and gives is as in the file, whatever can be traced.
fn of_graph(graph: &Imported) -> Inspection {
    let held = graph.inspection();
    let ports = |ports: &[onnx::InspectedPort]| {
        let extent = |text: &String| match text.parse() {
            Ok(extent) => Extent::Fixed(extent),
            Err(_) => Extent::Free(text.clone()),
        };
        let port = |port: &onnx::InspectedPort| InspectedPort {
            name: port.name.clone(),
            shape: port.shape.iter().flatten().map(extent).collect(),
            element: port.ty.clone(),
        };
        ports.iter().map(port).collect()
    };
    let parameters = held.parameters.iter().map(|found| parameter(&found.parameter)).collect();
    let buffer = |(name, shape, of): &(String, Vec<usize>, Statistic)| buffer(name, shape, *of);
    let operations = held.ops.iter().map(|op| InspectedOperation {
        name: if op.domain.is_empty() { op.op.clone() } else { format!("{}.{}", op.domain, op.op) },
        count: op.count as u64,
        supported: op.supported,
    });
    let mut notes = held.notes.clone();
    let graph = graph.own_model().and_then(|model| Ok(model.evaluation_graph(DType::F32, 1)?));
    let flops = graph.map(|graph| flops(&graph).total()).map_err(|error| {
        notes.push(format!("the operations of an example are not counted: {}", error.sentence()));
    });
    Inspection {
        producer: Some(held.producer.clone()).filter(|by| !by.is_empty()),
        opset: Some(held.opset),
        inputs: ports(&held.inputs),
        outputs: ports(&held.outputs),
        parameter_count: held.parameter_count() as u64,
        flops: flops.ok(),
        parameters,
        buffers: held.buffers.iter().map(buffer).collect(),
        operations: operations.collect(),
        notes,
        ..Inspection::default()
    }
}

fn parameter(parameter: &Parameter) -> InspectedArray {
    InspectedArray {
        name: parameter.name.clone(),
        shape: extents(&parameter.torch.shape),
        role: parameter.role.name().to_owned(),
        axes: parameter.torch_axes().into_iter().map(|axis| axis.name().to_owned()).collect(),
    }
}

fn buffer(name: &str, shape: &[usize], of: Statistic) -> InspectedArray {
    let role = match of {
        Statistic::Mean => "mean",
        Statistic::Variance => "variance",
    };
    InspectedArray {
        name: name.to_owned(),
        shape: extents(shape),
        role: role.to_owned(),
        axes: vec!["other".to_owned(); shape.len()],
    }
}

/// A model.
fn of_model(model: &Model) -> Result<Inspection> {
    let graph = model.evaluation_graph(DType::F32, 1)?;
    let buffers =
        model.buffers().iter().map(|held| buffer(&held.name, &held.shape, held.statistic));
    Ok(Inspection {
        architecture: model.architecture().map(ToString::to_string),
        inputs: model.inputs().iter().map(port).collect(),
        outputs: model.outputs().iter().map(port).collect(),
        parameter_count: model.parameter_count() as u64,
        flops: Some(flops(&graph).total()),
        parameters: model.parameters().iter().map(parameter).collect(),
        buffers: buffers.collect(),
        ..Inspection::default()
    })
}

fn port(port: &ModelPort) -> InspectedPort {
    let shape = port.shape.iter().map(|&extent| Extent::Fixed(extent as u64));
    InspectedPort {
        name: port.name.clone(),
        shape: std::iter::once(Extent::Free("batch".to_owned())).chain(shape).collect(),
        element: match port.ty {
            PortType::Float => "float".to_owned(),
            PortType::Index => "i32".to_owned(),
        },
    }
}

fn extents(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&extent| extent as u64).collect()
}

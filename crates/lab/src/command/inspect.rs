//! `thalweg inspect`.

use crate::error::{LabError, Result};
use crate::model_source::{WeightsFile, open_model};
use std::path::PathBuf;
use thalweg_array::DType;
use thalweg_nn::{Architecture, Axis, Model, ModelPort, PortType, Role, Statistic, flops};
use thalweg_record::reply::Body;
use thalweg_record::{Extent, InspectedArray, InspectedPort, Inspection};

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
    let file = open_model(&request.model)?;
    let text = request.architecture.as_deref().or(file.info.architecture.as_deref());
    let mut found = match text.map(str::parse::<Architecture>).transpose()? {
        Some(architecture) => {
            let model = architecture.rebuild().map_err(|error| {
                LabError::Input(format!(
                    "{}: {error}, as --arch \"mlp input=8x8x1 outputs=10\"",
                    file.path.display()
                ))
            })?;
            file.weights(&model, DType::F32)?;
            of_model(&model)?
        }
        None => of_arrays(&file),
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

/// A model.
pub(super) fn of_model(model: &Model) -> Result<Inspection> {
    let graph = model.evaluation_graph(DType::F32, 1)?;
    let parameters = model.parameters().iter().map(|parameter| InspectedArray {
        name: parameter.name.clone(),
        shape: extents(&parameter.torch.shape),
        role: role(parameter.role).to_owned(),
        axes: parameter.torch_axes().into_iter().map(|of| axis(of).to_owned()).collect(),
    });
    let buffers = model.buffers().iter().map(|buffer| InspectedArray {
        name: buffer.name.clone(),
        shape: extents(&buffer.shape),
        role: match buffer.statistic {
            Statistic::Mean => "mean".to_owned(),
            Statistic::Variance => "variance".to_owned(),
        },
        axes: vec!["other".to_owned(); buffer.shape.len()],
    });
    Ok(Inspection {
        architecture: model.architecture().map(ToString::to_string),
        inputs: model.inputs().iter().map(port).collect(),
        outputs: model.outputs().iter().map(port).collect(),
        parameter_count: model.parameter_count() as u64,
        flops: Some(flops(&graph).total()),
        parameters: parameters.collect(),
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

fn role(role: Role) -> &'static str {
    match role {
        Role::Weight => "weight",
        Role::Bias => "bias",
        Role::NormScale => "norm-scale",
        Role::NormShift => "norm-shift",
        Role::Embedding => "embedding",
    }
}

fn axis(axis: Axis) -> &'static str {
    match axis {
        Axis::Input => "input",
        Axis::Output => "output",
        Axis::Spatial => "spatial",
        Axis::Other => "other",
    }
}

//! `thalweg export --onnx` and `--safetensors`: models for other tools.

use crate::design::Design;
use crate::error::{LabError, Result};
use crate::files;
use crate::model_source::{WeightsFile, open_models, weights_bytes};
use crate::{Precision, VERSION};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, write_onnx};
use thalweg_nn::{Architecture, Model, Weights};
use thalweg_record::reply::{Body, ExportBody, ExportedModel};

/// What a model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    /// An ONNX file with weights.
    Onnx {
        /// Where images have their channels.
        layout: ImageLayout,
        /// Whether the file begins with the normalisation of its inputs.
        normalise: bool,
    },
    /// Weights under PyTorch's names and in its layout.
    Safetensors,
}

impl ModelFormat {
    fn name(self) -> &'static str {
        match self {
            ModelFormat::Onnx { .. } => "onnx",
            ModelFormat::Safetensors => "safetensors",
        }
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct ExportModelRequest {
    /// A run directory or a file of weights.
    pub model: PathBuf,
    /// The architecture of a file that does not say it.
    pub architecture: Option<String>,
    /// What to write.
    pub format: ModelFormat,
    /// Float type of the files.
    pub precision: Precision,
    /// A folder, or with the format's extension the one file.
    pub out: Option<PathBuf>,
}

/// Writes each model of a run into a folder, or the model of a file beside it.
///
/// # Errors
/// Those of [`open_models`]; an architecture that is not known or not that of the weights; an
/// operation that the format has not; `Input` for a file that exists already.
pub fn export_model(request: &ExportModelRequest) -> Result<Body> {
    let sources = open_models(&request.model, request.architecture.as_deref())?;
    let places = places(request, &sources)?;
    if let Some(there) = places.iter().find(|place| place.symlink_metadata().is_ok()) {
        return Err(LabError::Input(format!(
            "{} exists already: name another --out",
            there.display()
        )));
    }
    let mut models = Vec::new();
    for (source, place) in sources.iter().zip(&places) {
        match written(request, source, place) {
            Ok(model) => models.push(model),
            Err(error) => {
                // A part of an export is none. The error is the one worth telling.
                places.iter().take(models.len()).for_each(|path| drop(fs::remove_file(path)));
                return Err(error);
            }
        }
    }
    let files = models.iter().map(|model| model.file.clone()).collect();
    let format = request.format.name().to_owned();
    Ok(Body::Export(ExportBody { files, format, models: Some(models) }))
}

/// Where each model goes.
fn places(request: &ExportModelRequest, sources: &[WeightsFile]) -> Result<Vec<PathBuf>> {
    let extension = request.format.name();
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        sources.iter().map(|source| folder.join(format!("{}.{extension}", source.name))).collect()
    };
    Ok(match &request.out {
        Some(out) if out.extension().is_some_and(|own| own == extension) => {
            if sources.len() != 1 {
                return Err(LabError::Input(format!(
                    "{} is one file and {} holds {} models: name a folder, or one of them as {}",
                    out.display(),
                    request.model.display(),
                    sources.len(),
                    sources[0].path.display()
                )));
            }
            vec![out.clone()]
        }
        Some(out) => in_folder(out),
        None if request.model.is_dir() => in_folder(&request.model.join("export")),
        None => in_folder(request.model.parent().unwrap_or(Path::new(""))),
    })
}

fn written(
    request: &ExportModelRequest,
    source: &WeightsFile,
    place: &Path,
) -> Result<ExportedModel> {
    let design = source.design()?;
    let model = match design {
        Design::Named(architecture) => model(architecture.clone(), source)?,
        Design::Imported(graph) => graph.own_model()?,
    };
    let weights = source.weights(&model, request.precision.dtype())?;
    let bytes = match (request.format, design) {
        (ModelFormat::Safetensors, _) => weights_bytes(&model, &weights, &source.info)?,
        // The graph stays as it is, and so does the scale of what it takes.
        (ModelFormat::Onnx { .. }, Design::Imported(graph)) => graph.with_weights(&weights)?,
        (ModelFormat::Onnx { .. }, Design::Named(_)) => onnx(request, source, &model, &weights)?,
    };
    files::atomic_write_bytes(place, &bytes)?;
    Ok(ExportedModel {
        name: source.name.clone(),
        file: place.display().to_string(),
        parameters: model.parameter_count() as u64,
        architecture: model.architecture().map(ToString::to_string),
    })
}

/// The model that a file of weights is of.
fn model(mut architecture: Architecture, source: &WeightsFile) -> Result<Model> {
    let own = source.info.architecture.as_deref();
    // What was asked for in place of the file's own is for the same examples.
    if let Some(known) = own.and_then(|text| text.parse::<Architecture>().ok()) {
        if architecture.input.is_empty() {
            architecture.input = known.input;
        }
        if architecture.outputs == 0 {
            architecture.outputs = known.outputs;
        }
    }
    Ok(architecture.rebuild()?)
}

fn onnx(
    request: &ExportModelRequest,
    source: &WeightsFile,
    model: &Model,
    weights: &Weights,
) -> Result<Vec<u8>> {
    let ModelFormat::Onnx { layout, normalise } = request.format else { return Ok(Vec::new()) };
    let mut metadata = BTreeMap::new();
    if let Some(loss) = &source.info.loss {
        metadata.insert("loss".to_owned(), loss.clone());
    }
    if let Some(data) = &source.info.data {
        metadata.insert("data".to_owned(), data.name.clone());
        metadata.insert("data_fingerprint".to_owned(), data.fingerprint.clone());
    }
    let info = ExportInfo {
        producer_version: VERSION.to_owned(),
        name: source.name.clone(),
        metadata,
        layout,
        normalization: source.info.normalization.clone().filter(|_| normalise),
        float: request.precision.dtype(),
        ..ExportInfo::default()
    };
    let bytes = write_onnx(model, weights, &info);
    bytes.map_err(|error| LabError::Input(format!("{}: {error}", source.path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_source::WeightsInfo;
    use crate::scratch::Scratch;
    use thalweg_array::DType;
    use thalweg_data::Normalization;
    use thalweg_formats::safetensors;

    struct Half;

    impl thalweg_nn::Draw for Half {
        fn normal(&mut self, _: &str, n: usize) -> Vec<f64> {
            vec![0.5; n]
        }

        fn uniform(&mut self, _: &str, n: usize) -> Vec<f64> {
            vec![0.5; n]
        }
    }

    /// A folder with the weights of two members.
    fn run(scratch: &Scratch) -> PathBuf {
        let model = "mlp hidden=3".parse::<Architecture>().unwrap().build(&[4, 4, 1], 2).unwrap();
        let weights = model.initialize(&mut Half, DType::F32).unwrap();
        let info = WeightsInfo {
            normalization: Some(Normalization {
                mean: vec![0.25],
                divisor: vec![4.0],
                constant: Vec::new(),
            }),
            ..WeightsInfo::default()
        };
        let bytes = weights_bytes(&model, &weights, &info).unwrap();
        for seed in 0..2 {
            let path = scratch.path().join(format!("run/weights/seed-{seed}.safetensors"));
            files::atomic_write_bytes(&path, &bytes).unwrap();
        }
        scratch.path().join("run")
    }

    fn request(model: PathBuf, format: ModelFormat) -> ExportModelRequest {
        let precision = Precision::F32;
        ExportModelRequest { model, architecture: None, format, precision, out: None }
    }

    const ONNX: ModelFormat =
        ModelFormat::Onnx { layout: ImageLayout::ChannelsFirst, normalise: true };

    fn paths(body: Body) -> Vec<String> {
        let Body::Export(body) = body else { panic!("an export") };
        body.files
    }

    #[test]
    fn members_lie_side_by_side_and_nothing_is_written_over() {
        let scratch = Scratch::new("export-members");
        let run = run(&scratch);
        let wanted = request(run.clone(), ONNX);
        let files = paths(export_model(&wanted).unwrap());
        let expected: Vec<String> = (0..2)
            .map(|seed| run.join(format!("export/seed-{seed}.onnx")).display().to_string())
            .collect();
        assert_eq!(files, expected);
        let again = export_model(&wanted).unwrap_err().to_string();
        assert!(again.contains("seed-0.onnx exists already"), "{again}");
        // One that is there keeps the other from being written.
        fs::remove_file(run.join("export/seed-0.onnx")).unwrap();
        assert!(export_model(&wanted).is_err());
        assert!(!run.join("export/seed-0.onnx").exists());
        let one = ExportModelRequest { out: Some(scratch.path().join("a.onnx")), ..wanted };
        let message = export_model(&one).unwrap_err().to_string();
        assert!(message.contains("holds 2 models: name a folder"), "{message}");
    }

    #[test]
    fn one_file_goes_where_it_is_wanted() {
        let scratch = Scratch::new("export-one");
        let weights = run(&scratch).join("weights/seed-1.safetensors");
        let beside = paths(export_model(&request(weights.clone(), ONNX)).unwrap());
        assert_eq!(beside, [weights.with_extension("onnx").display().to_string()]);
        let out = scratch.path().join("b.safetensors");
        let wanted = ExportModelRequest {
            out: Some(out.clone()),
            precision: Precision::F64,
            ..request(weights.clone(), ModelFormat::Safetensors)
        };
        export_model(&wanted).unwrap();
        let read = safetensors::read(&fs::read(&out).unwrap()).unwrap();
        assert_eq!(read.tensors["fc1.weight"].dtype(), DType::F64);
        assert_eq!(read.metadata["normalization_mean"], "0.25");
        let original = request(weights, ModelFormat::Safetensors);
        assert!(export_model(&original).unwrap_err().to_string().contains("exists already"));
    }

    #[test]
    fn an_architecture_that_is_not_that_of_the_weights_is_told() {
        let scratch = Scratch::new("export-other");
        let weights = run(&scratch).join("weights/seed-0.safetensors");
        let wanted = |text: &str| ExportModelRequest {
            architecture: Some(text.to_owned()),
            ..request(weights.clone(), ONNX)
        };
        let message = export_model(&wanted("mlp hidden=4")).unwrap_err().to_string();
        assert!(message.contains("fc1.weight should be [4, 16], got [3, 16]"), "{message}");
        export_model(&wanted("mlp hidden=3")).unwrap();
    }
}

//! Where the directions of a surface come from.

use crate::error::{LabError, Result};
use crate::files;
use crate::model_source::{WeightsFile, natural};
use crate::range::Axis;
use crate::subject::Subject;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thalweg_array::{Array, DType};
use thalweg_formats::{FormatError, safetensors};
use thalweg_methods::curvature::{Hessian, LanczosConfig, lanczos};
use thalweg_methods::surface::{
    DirectionConfig, Plane, between, normalize, random_planes, trajectory_plane,
};
use thalweg_methods::{Context, MethodError, ModelObjective};
use thalweg_nn::{Parameters, Weights, from_torch};
use thalweg_record::Trajectory;

/// Where directions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gaussian draws.
    Random,
    /// From the first model to the others.
    Checkpoints,
    /// The Hessian's top eigenvectors.
    Eigenvectors,
    /// Principal components of the training trajectory.
    Trajectory,
    /// A safetensors file of `x.<parameter>` and `y.<parameter>`.
    File(PathBuf),
}

impl Kind {
    /// The name in records.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Random => "random",
            Kind::Checkpoints => "checkpoints",
            Kind::Eigenvectors => "eigenvectors",
            Kind::Trajectory => "pca",
            Kind::File(_) => "file",
        }
    }

    /// Whether directions are scaled to the weights unless it is said otherwise.
    pub(crate) fn is_scaled(&self) -> bool {
        matches!(self, Kind::Random | Kind::File(_))
    }

    /// In a sentence.
    pub(crate) fn explanation(&self) -> &'static str {
        match self {
            Kind::Random => "Loss at W + x D + y E; D and E are Gaussian.",
            Kind::Checkpoints => {
                "Loss at W + x D + y E; D and E lead from the first network to the others, which \
                 lie at coordinate one. Frozen running statistics are those of the first \
                 everywhere, also at the others."
            }
            Kind::Eigenvectors => {
                "Loss at W + x D + y E; D and E are the unit eigenvectors of the Hessian's largest \
                 eigenvalues, by Lanczos iteration."
            }
            Kind::Trajectory => {
                "Loss at W + x D + y E; D and E are unit vectors along the two principal \
                 components of all kept checkpoints of the training run, W is its end. The \
                 trajectory is projected onto the plane; a checkpoint's residual is its distance \
                 from it."
            }
            Kind::File(_) => "Loss at W + x D + y E; D and E were given in a file.",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Trajectory => f.write_str("trajectory"),
            Kind::File(path) => write!(f, "{}", path.display()),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Kind, String> {
        Ok(match text {
            "random" => Kind::Random,
            "checkpoints" => Kind::Checkpoints,
            "eigenvectors" => Kind::Eigenvectors,
            "trajectory" => Kind::Trajectory,
            path if path.ends_with(".safetensors") => Kind::File(path.into()),
            other => {
                return Err(format!(
                    "--directions {other}: expected random, checkpoints, eigenvectors, \
                     trajectory, or a .safetensors file"
                ));
            }
        })
    }
}

/// What directions are made from, read and checked.
pub(crate) struct Directions<'a> {
    kind: &'a Kind,
    subject: &'a Subject,
    /// Given directions, or the other models' weights.
    given: Vec<Parameters>,
    /// Files of the trajectory's checkpoints, the first first.
    checkpoints: Vec<PathBuf>,
}

/// Planes, and a trajectory in them.
pub(crate) struct Made {
    pub(crate) planes: Vec<Plane>,
    pub(crate) trajectory: Option<Trajectory>,
    pub(crate) explained_variance: Vec<f64>,
}

impl<'a> Directions<'a> {
    /// Reads what the directions are made from.
    ///
    /// # Errors
    /// Files that cannot be read, or that hold other parameters than the model has.
    pub(crate) fn open(
        kind: &'a Kind,
        subject: &'a Subject,
        files: &[WeightsFile],
    ) -> Result<Directions<'a>> {
        let (mut given, mut checkpoints) = (Vec::new(), Vec::new());
        match kind {
            Kind::Random | Kind::Eigenvectors => {}
            Kind::Checkpoints => {
                let float = subject.weights.parameters.arrays().first();
                let float = float.map_or(DType::F32, Array::dtype);
                for file in &files[1..] {
                    given.push(file.weights(&subject.model, float)?.parameters);
                }
            }
            Kind::Trajectory => checkpoints = trajectory_files(&files[0].path)?,
            Kind::File(path) => given = given_directions(path, subject)?,
        }
        Ok(Directions { kind, subject, given, checkpoints })
    }

    /// The planes.
    ///
    /// # Errors
    /// Those of the methods.
    pub(crate) fn planes(
        &self,
        ctx: &Context<'_>,
        objective: &ModelObjective,
        config: &DirectionConfig,
        two: bool,
        pairs: usize,
    ) -> Result<Made> {
        let plain = |planes| Made { planes, trajectory: None, explained_variance: Vec::new() };
        let centre = &self.subject.weights;
        let scaled = |direction: &Parameters| {
            let described = self.subject.model.parameters();
            normalize(described, &centre.parameters, direction, config)
        };
        let plane = |x: &Parameters, y: Option<&Parameters>| -> Result<Made> {
            let y = y.filter(|_| two).map(scaled).transpose()?;
            Ok(plain(vec![Plane { x: scaled(x)?, y }]))
        };
        match self.kind {
            Kind::Random => Ok(plain(random_planes(ctx, objective, centre, config, pairs, two)?)),
            Kind::Checkpoints => {
                let to = |other: &Parameters| between(&centre.parameters, other);
                let x = to(&self.given[0])?;
                let y = self.given.get(1).map(to).transpose()?;
                plane(&x, y.as_ref())
            }
            Kind::File(path) => {
                if two && self.given.len() < 2 {
                    return Err(LabError::Input(format!(
                        "{} holds no y.* parameters: give --line for the first direction alone",
                        path.display()
                    )));
                }
                plane(&self.given[0], self.given.get(1))
            }
            Kind::Eigenvectors => {
                let top = if two { 2 } else { 1 };
                let wanted = LanczosConfig { top, ..LanczosConfig::default() };
                let hessian = Hessian::new(ctx, objective, centre)?;
                let found = lanczos(ctx, &hessian, &wanted)?;
                let tree = centre.parameters.convert(DType::F64);
                let vectors = found.top.iter().map(|pair| tree.unflatten(&pair.vector));
                let vectors = vectors.collect::<std::result::Result<Vec<_>, _>>()?;
                plane(&vectors[0], vectors.get(1))
            }
            Kind::Trajectory => {
                let n = self.checkpoints.len();
                let load = |index: usize| self.checkpoint(index);
                let found = trajectory_plane(ctx, n, n - 1, load)?;
                Ok(Made {
                    planes: vec![found.plane],
                    trajectory: Some(Trajectory {
                        x: found.x,
                        y: found.y,
                        residual: found.residual,
                    }),
                    explained_variance: found.explained_variance.to_vec(),
                })
            }
        }
    }

    /// The parameters of a checkpoint.
    fn checkpoint(&self, index: usize) -> std::result::Result<Parameters, MethodError> {
        let path = &self.checkpoints[index];
        let read =
            WeightsFile::read(path).and_then(|file| file.weights(&self.subject.model, DType::F64));
        read.map(|weights| weights.parameters).map_err(|error| MethodError::Store {
            key: path.display().to_string(),
            reason: error.sentence(),
        })
    }
}

impl Made {
    /// Coordinates that hold all checkpoints, with a fifth of their extent on either side.
    pub(crate) fn around(&self, of: impl Fn(&Trajectory) -> &Vec<f64>) -> Axis {
        let values = self.trajectory.as_ref().map(of).into_iter().flatten();
        let (low, high) =
            values.fold((0.0f64, 0.0f64), |(low, high), &v| (low.min(v), high.max(v)));
        let margin = 0.2 * (high - low).max(f64::MIN_POSITIVE);
        Axis { start: low - margin, end: high + margin, points: 31 }
    }
}

/// The checkpoints of the member whose weights lie in `RUN/weights/MEMBER.safetensors`.
fn trajectory_files(weights: &Path) -> Result<Vec<PathBuf>> {
    let none = || {
        LabError::Input(format!(
            "{} has no trajectory beside it: expected the weights of a run of train --checkpoints, \
             with at least 3 checkpoints",
            weights.display()
        ))
    };
    let member = weights.file_stem().ok_or_else(none)?;
    let run = weights.parent().and_then(Path::parent).ok_or_else(none)?;
    let folder = run.join("trajectory").join(member);
    let entries = fs::read_dir(&folder).map_err(|_| none())?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(crate::error::at(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    if paths.len() < 3 {
        return Err(none());
    }
    paths.sort_by_key(|path| natural(&path.to_string_lossy()));
    Ok(paths)
}

/// The directions `x.<parameter>` and, if there are any, `y.<parameter>` of a file, under PyTorch's
/// names and in its layout.
fn given_directions(path: &Path, subject: &Subject) -> Result<Vec<Parameters>> {
    let bytes = files::read(path)?;
    let read = safetensors::read(&bytes).map_err(|source| FormatError::File {
        path: path.to_path_buf(),
        source: Box::new(source),
    })?;
    let stray = read.tensors.keys().find(|name| !name.starts_with("x.") && !name.starts_with("y."));
    if let Some(stray) = stray {
        return Err(LabError::Input(format!(
            "{}: {stray}: expected names as x.PARAMETER and y.PARAMETER",
            path.display()
        )));
    }
    let mut found = Vec::new();
    for prefix in ["x.", "y."] {
        let mut entries: Vec<(String, Array)> = read
            .tensors
            .iter()
            .filter_map(|(name, array)| {
                Some((name.strip_prefix(prefix)?.to_owned(), array.clone()))
            })
            .collect();
        if entries.is_empty() && prefix == "y." {
            continue;
        }
        // A direction has no running statistics; the reader of weights asks for them.
        let buffers = subject.model.initial_buffers(DType::F64);
        entries.extend(buffers.iter().map(|(name, array)| (name.to_owned(), array.clone())));
        let weights: Weights =
            from_torch(&subject.model, &entries, DType::F64).map_err(|error| {
                LabError::Input(format!("{}, direction {}: {error}", path.display(), &prefix[..1]))
            })?;
        found.push(weights.parameters);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_and_printed() {
        for text in ["random", "checkpoints", "eigenvectors", "trajectory", "a/d.safetensors"] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
        assert!("pca".parse::<Kind>().unwrap_err().contains("expected random"));
    }

    #[test]
    fn the_range_of_a_trajectory_holds_it_and_its_end() {
        let made = Made {
            planes: Vec::new(),
            trajectory: Some(Trajectory {
                x: vec![2.0, 1.0, 0.0],
                y: vec![0.0, -1.0, 0.0],
                residual: vec![0.0; 3],
            }),
            explained_variance: Vec::new(),
        };
        assert_eq!(made.around(|t| &t.x), Axis { start: -0.4, end: 2.4, points: 31 });
        assert_eq!(made.around(|t| &t.y), Axis { start: -1.2, end: 0.2, points: 31 });
    }
}

//! Where the directions of a surface come from.

use crate::checkpoints;
use crate::error::{LabError, Result};
use crate::given_directions;
use crate::model_source::WeightsFile;
use crate::range::Axis;
use crate::session::Session;
use crate::subject::Subject;
use crate::weights_reader::is_weights_file;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thalweg_array::{Array, DType};
use thalweg_methods::curvature::{Hessian, LanczosConfig, lanczos};
use thalweg_methods::surface::{
    DirectionConfig, Plane, between, common_plane, normalize, random_planes, trajectory_plane,
};
use thalweg_methods::{Context, MethodError, ModelObjective, Progress};
use thalweg_nn::{Parameters, Weights};
use thalweg_record::{Place, PlaneShare, Trajectory};

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
    /// The plane through three models, or nearest to more, with unit directions.
    Plane,
    /// In input space: the gradient, and a random direction.
    Gradient,
    /// In input space: the signs of the gradient, and random signs.
    Signs,
    /// Given in a file, or in two, one each.
    Files(Vec<PathBuf>),
}

impl Kind {
    /// The name in records.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Random => "random",
            Kind::Checkpoints => "checkpoints",
            Kind::Eigenvectors => "eigenvectors",
            Kind::Trajectory => "pca",
            Kind::Plane => "plane",
            Kind::Gradient => "gradient",
            Kind::Signs => "signs",
            Kind::Files(_) => "file",
        }
    }

    /// Whether directions are scaled to the weights unless it is said otherwise.
    pub(crate) fn is_scaled(&self) -> bool {
        matches!(self, Kind::Random | Kind::Files(_))
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
            Kind::Plane => {
                "Loss at W + x D + y E; D and E are unit vectors at right angles, so that distances in \
                 the picture are those of weights, and D leads from the first network towards the \
                 second. The plane goes through three networks; of more, through the first, with \
                 the least sum of the others' squared distances. A network beside the plane is shown \
                 at its foot, where the loss is another. Frozen running statistics are those of the \
                 first everywhere, also at the others."
            }
            Kind::Gradient => {
                "D is the unit vector along the gradient, E a random one at right angles to it."
            }
            Kind::Signs => "D are the signs of the gradient, E random signs.",
            Kind::Files(_) => "Loss at W + x D + y E; D and E were given in a file.",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Trajectory => f.write_str("trajectory"),
            Kind::Files(paths) => {
                let paths: Vec<String> =
                    paths.iter().map(|path| path.display().to_string()).collect();
                f.write_str(&paths.join(","))
            }
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
            "plane" => Kind::Plane,
            "gradient" => Kind::Gradient,
            "signs" => Kind::Signs,
            other => match files(other) {
                Some(paths) => Kind::Files(paths),
                None => {
                    return Err(format!(
                        "--directions {other}: expected random, checkpoints, plane, eigenvectors, \
                         trajectory, a .safetensors, .npz or .pt file, or two of them as X,Y"
                    ));
                }
            },
        })
    }
}

/// The one or two files that a text names.
fn files(text: &str) -> Option<Vec<PathBuf>> {
    let all = |parts: Vec<&str>| -> Option<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = parts.into_iter().map(PathBuf::from).collect();
        paths.iter().all(|path| is_weights_file(path)).then_some(paths)
    };
    // A comma may also be in a name.
    let two = text.match_indices(',').find_map(|(at, _)| all(vec![&text[..at], &text[at + 1..]]));
    two.or_else(|| all(vec![text]))
}

/// What directions are made from, read and checked.
pub(crate) struct Directions<'a> {
    kind: &'a Kind,
    subject: &'a Subject,
    /// Given directions, or the other models' weights.
    given: Vec<Parameters>,
    /// Files of the trajectory's checkpoints, the first first.
    checkpoints: Vec<PathBuf>,
    /// Which of them is the centre.
    centre: usize,
    /// Whether the centre, the last of them then, is no part of the trajectory.
    apart: bool,
}

/// Planes, and a trajectory in them.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) planes: Vec<Plane>,
    pub(crate) trajectory: Option<Trajectory>,
    pub(crate) explained_variance: Vec<f64>,
    /// How much of the trajectory, or of the networks' distances, the plane holds.
    pub(crate) share: Option<PlaneShare>,
    /// Where networks lie, if not at coordinates one.
    pub(crate) places: Vec<Place>,
}

impl<'a> Directions<'a> {
    /// Reads what the directions are made from; `named` are the files of a trajectory that is not
    /// that of the run that the model is in.
    ///
    /// # Errors
    /// Files that cannot be read, or that hold other parameters than the model has.
    pub(crate) fn open(
        session: &Session,
        kind: &'a Kind,
        subject: &'a Subject,
        files: &[WeightsFile],
        named: Option<&[PathBuf]>,
        two: bool,
    ) -> Result<Directions<'a>> {
        let (mut given, mut checkpoints, mut apart) = (Vec::new(), Vec::new(), false);
        let mut centre = 0;
        match kind {
            Kind::Random | Kind::Eigenvectors | Kind::Gradient | Kind::Signs => {}
            Kind::Checkpoints | Kind::Plane => {
                let float = subject.weights.parameters.arrays().first();
                let float = float.map_or(DType::F32, Array::dtype);
                for file in &files[1..] {
                    given.push(file.weights(&subject.model, float)?.parameters);
                }
            }
            Kind::Trajectory => {
                checkpoints = match named {
                    Some(named) => named.to_vec(),
                    None => checkpoints::of_run(&files[0].path)?,
                };
                centre = checkpoints.len() - 1;
                if named.is_some() {
                    let place = checkpoints.iter().position(|path| is_same(path, &files[0].path));
                    apart = place.is_none();
                    centre = place.unwrap_or(checkpoints.len());
                    checkpoints.extend(apart.then(|| files[0].path.clone()));
                }
            }
            Kind::Files(paths) => {
                let read = given_directions::read(paths, &subject.model)?;
                read.notes.iter().for_each(|note| session.console.message(note));
                given = read.directions;
                if two && given.len() < 2 {
                    return Err(LabError::Input(format!(
                        "{kind} holds one direction: give --line for a line along it, a second file \
                         as X,Y, or names as x.PARAMETER and y.PARAMETER"
                    )));
                }
            }
        }
        Ok(Directions { kind, subject, given, checkpoints, centre, apart })
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
        let plain = |planes| Made { planes, ..Made::default() };
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
            // Those of inputs are made elsewhere.
            Kind::Random | Kind::Gradient | Kind::Signs => {
                Ok(plain(random_planes(ctx, objective, centre, config, pairs, two)?))
            }
            Kind::Checkpoints => {
                let to = |other: &Parameters| between(&centre.parameters, other);
                let x = to(&self.given[0])?;
                let y = self.given.get(1).map(to).transpose()?;
                plane(&x, y.as_ref())
            }
            Kind::Plane => {
                let networks: Vec<_> =
                    std::iter::once(&centre.parameters).chain(&self.given).collect();
                let found = common_plane(ctx, networks.len(), |i| Ok(networks[i].clone()))?;
                let places = found.x.iter().zip(&found.y).zip(&found.residual);
                let places: Vec<Place> =
                    places.map(|((&x, &y), &distance)| Place { x, y, distance }).collect();
                let share = PlaneShare::of_networks(&places);
                Ok(Made { places, share, ..plain(vec![found.plane]) })
            }
            Kind::Files(_) => plane(&self.given[0], self.given.get(1)),
            Kind::Eigenvectors => {
                let top = if two { 2 } else { 1 };
                let wanted = LanczosConfig { top, ..LanczosConfig::default() };
                let hessian = Hessian::new(ctx, objective, centre)?;
                let found = lanczos(ctx, &hessian, &wanted)?;
                found.tell(ctx);
                let tree = centre.parameters.convert(DType::F64);
                let vectors = found.top.iter().map(|pair| tree.unflatten(&pair.vector));
                let vectors = vectors.collect::<std::result::Result<Vec<_>, _>>()?;
                plane(&vectors[0], vectors.get(1))
            }
            Kind::Trajectory => {
                let n = self.checkpoints.len();
                let load = |index: usize| self.checkpoint(index);
                let mut found = trajectory_plane(ctx, n, self.centre, load)?;
                if self.apart {
                    for coordinates in [&mut found.x, &mut found.y, &mut found.residual] {
                        coordinates.pop();
                    }
                }
                let (x, y, residual) = (found.x, found.y, found.residual);
                let trajectory = Trajectory { x, y, residual, gradients: None };
                Ok(Made {
                    planes: vec![found.plane],
                    share: PlaneShare::of_trajectory(&trajectory),
                    trajectory: Some(trajectory),
                    explained_variance: found.explained_variance.to_vec(),
                    places: Vec::new(),
                })
            }
        }
    }

    /// The parameters of a checkpoint.
    fn checkpoint(&self, index: usize) -> std::result::Result<Parameters, MethodError> {
        self.weights(index).map(|weights| weights.parameters)
    }

    /// The weights of a checkpoint of the trajectory, with its own running statistics.
    pub(crate) fn weights(&self, index: usize) -> std::result::Result<Weights, MethodError> {
        let Some(path) = self.checkpoints.get(index) else {
            let (what, got) = ("checkpoint".to_owned(), index.to_string());
            let expected = format!("one of {}", self.checkpoints.len());
            return Err(MethodError::Config { what, expected, got });
        };
        let read =
            WeightsFile::read(path).and_then(|file| file.weights(&self.subject.model, DType::F64));
        read.map_err(|error| MethodError::Store {
            key: path.display().to_string(),
            reason: error.sentence(),
        })
    }
}

impl Made {
    /// Coordinates that hold all checkpoints or networks, with a fifth of their extent on either
    /// side; `axis` is 0 or 1.
    pub(crate) fn around(&self, axis: usize) -> Axis {
        let of = |trajectory: &Trajectory| [&trajectory.x, &trajectory.y][axis].clone();
        let places = self.places.iter().map(|place| [place.x, place.y][axis]);
        let values = self.trajectory.as_ref().map(of).unwrap_or_default().into_iter().chain(places);
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        let margin = 0.2 * (high - low).max(f64::MIN_POSITIVE);
        Axis { start: low - margin, end: high + margin, points: 31 }
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_and_printed() {
        for text in [
            "random",
            "checkpoints",
            "plane",
            "eigenvectors",
            "trajectory",
            "gradient",
            "signs",
            "a/d.safetensors",
        ] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
        let count = |text: &str| match text.parse::<Kind>() {
            Ok(Kind::Files(paths)) => paths.len(),
            _ => 0,
        };
        assert_eq!(count("x.npz,y.pt"), 2);
        assert_eq!((count("a,b.npz"), count("a,b.npz,c.pth"), count("x.npz,y.zip")), (1, 2, 0));
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
                gradients: None,
            }),
            ..Made::default()
        };
        assert_eq!(made.around(0), Axis { start: -0.4, end: 2.4, points: 31 });
        assert_eq!(made.around(1), Axis { start: -1.2, end: 0.2, points: 31 });
    }
}

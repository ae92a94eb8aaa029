//! Networks and their changes, for the conformance suite.

use crate::common::{BatchNorm, Examples, Sampling};
use crate::registry::Invariance;
use crate::{Context, MethodError, ModelObjective, Objective, ObjectiveConfig};
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_graph::{Builder, DType, Tensor};
use thalweg_nn::{Architecture, Buffer, Loss, Parameter, Parameters, Weights};

const CLASSES: usize = 3;
const EXAMPLES: usize = 15;

/// A network with data and weights, all of them away from zero.
pub(super) struct Scene {
    pub(super) objective: ModelObjective,
    pub(super) point: Weights,
}

/// A scene with something changed.
pub(super) struct Change {
    pub(super) name: &'static str,
    pub(super) invariance: Invariance,
    /// The place of the scene among [`scenes`].
    pub(super) of: usize,
    pub(super) objective: Box<dyn Objective>,
    pub(super) point: Weights,
}

fn scene(
    executor: &Executor,
    architecture: &str,
    input: &[usize],
    samples: Option<usize>,
) -> Scene {
    let ctx = Context::new(executor, 0).with_precision(DType::F64).unwrap();
    let model = architecture.parse::<Architecture>().unwrap().build(input, CLASSES).unwrap();
    let stream = Stream::new(11, "scene");
    let n: usize = EXAMPLES * input.iter().product::<usize>();
    let values: Vec<f64> = (0..n as u64).map(|i| stream.normal(i)).collect();
    let inputs = Array::from_slice(&[&[EXAMPLES], input].concat(), &values).unwrap();
    let labels: Vec<i32> = (0..EXAMPLES).map(|i| (i % CLASSES) as i32).collect();
    let config = ObjectiveConfig { samples, batch: 8, ..ObjectiveConfig::default() };
    let objective = ModelObjective::from_arrays(
        &ctx,
        &model,
        Loss::default(),
        vec![inputs],
        Array::vector(&labels),
        true,
        &config,
    )
    .unwrap();
    let drawn = thalweg_train::initialize(&model, 1, DType::F64).unwrap();
    let moved = |what: &str, parameters: &Parameters| {
        let stream = Stream::new(12, what);
        let flat = parameters.flatten().into_iter().enumerate();
        // Running variances are positive, and stay so.
        let values: Vec<f64> =
            flat.map(|(i, x)| x + 0.2 * stream.normal(i as u64).clamp(-2.0, 2.0)).collect();
        parameters.unflatten(&values).unwrap()
    };
    let (parameters, buffers) = (&drawn.parameters, &drawn.buffers);
    let point =
        Weights { parameters: moved("weights", parameters), buffers: moved("buffers", buffers) };
    Scene { objective, point }
}

/// Two hidden layers of ReLU; a layer with batch normalisation behind it; two such convolutions.
pub(super) fn scenes(executor: &Executor) -> [Scene; 3] {
    [
        scene(executor, "mlp hidden=5-4", &[3], None),
        scene(executor, "mlp hidden=4 norm=batch", &[3], None),
        scene(executor, "convnet channels=2-3 norm=batch", &[4, 4, 1], None),
    ]
}

/// The first of them on a sample of its examples.
pub(super) fn on_sample(executor: &Executor) -> Scene {
    scene(executor, "mlp hidden=5-4", &[3], Some(9))
}

impl Scene {
    /// The weights with each element of some arrays made anew from its place and itself.
    fn with(&self, change: impl Fn(&str, &Array) -> Option<Array>) -> Weights {
        let of = |all: &Parameters| {
            let arrays = all.iter().map(|(name, array)| change(name, array));
            let arrays = arrays.zip(all.arrays()).map(|(new, old)| new.unwrap_or(old.clone()));
            all.with_arrays(arrays.collect()).unwrap()
        };
        Weights { parameters: of(&self.point.parameters), buffers: of(&self.point.buffers) }
    }

    /// The scene, which is the one at a place, at other weights.
    fn at(&self, of: usize, name: &'static str, invariance: Invariance, point: Weights) -> Change {
        let objective: Box<dyn Objective> = Box::new(Seen::unchanged(&self.objective));
        Change { name, invariance, of, objective, point }
    }
}

/// The array with element `i` of an axis multiplied by factor `i`.
fn scaled(array: &Array, axis: usize, factors: impl Fn(usize) -> f64) -> Array {
    let inner: usize = array.shape()[axis + 1..].iter().product();
    let extent = array.shape()[axis];
    let values = array.to_f64_vec().into_iter().enumerate();
    let values: Vec<f64> = values.map(|(i, x)| x * factors(i / inner % extent)).collect();
    Array::from_slice(array.shape(), &values).unwrap()
}

/// The array with the elements of an axis in the opposite order.
fn reversed(array: &Array, axis: usize) -> Array {
    let inner: usize = array.shape()[axis + 1..].iter().product();
    let extent = array.shape()[axis];
    let values = array.to_f64_vec();
    let from = |i: usize| {
        let place = i / inner % extent;
        i - place * inner + (extent - 1 - place) * inner
    };
    let values: Vec<f64> = (0..values.len()).map(|i| values[from(i)]).collect();
    Array::from_slice(array.shape(), &values).unwrap()
}

/// Every change, each of an invariance.
pub(super) fn changes(scenes: &[Scene; 3]) -> Vec<Change> {
    let [mlp, normalized_mlp, normalized_convnet] = scenes;
    let mut changes = Vec::new();
    // Weights are [input, output].
    let after = mlp.with(|name, array| match name {
        "fc1.weight" => Some(reversed(array, 1)),
        "fc1.bias" | "fc2.bias" => Some(reversed(array, 0)),
        "fc2.weight" => Some(reversed(&reversed(array, 0), 1)),
        "fc3.weight" => Some(reversed(array, 0)),
        _ => None,
    });
    changes.push(mlp.at(0, "reversed hidden units", Invariance::Permutation, after));
    // The units of both hidden layers, so that every weight changes.
    let rescaled = |factor: &dyn Fn(usize) -> f64| {
        let inverse = |unit: usize| 1.0 / factor(unit);
        mlp.with(|name, array| match name {
            "fc1.weight" => Some(scaled(array, 1, factor)),
            "fc1.bias" => Some(scaled(array, 0, factor)),
            "fc2.weight" => Some(scaled(&scaled(array, 0, inverse), 1, inverse)),
            "fc2.bias" => Some(scaled(array, 0, inverse)),
            "fc3.weight" => Some(scaled(array, 0, factor)),
            _ => None,
        })
    };
    let after = rescaled(&|_| 6.0);
    changes.push(mlp.at(0, "a layer times 6", Invariance::LayerRescaling, after));
    let after = rescaled(&|unit| [0.1, 1.0, 4.0, 10.0, 0.3][unit]);
    changes.push(mlp.at(0, "hidden units rescaled", Invariance::UnitRescaling, after));
    changes.push(normalized_mlp.rescaled(1, "rows rescaled", ["fc1", "norm1"]));
    changes.push(normalized_convnet.rescaled(2, "kernels rescaled", ["conv2", "norm2"]));
    let flat = mlp.point.parameters.flatten();
    let rows = orthogonal(flat.len());
    let turned: Vec<f64> =
        (0..flat.len()).map(|j| rows.iter().zip(&flat).map(|(row, w)| row[j] * w).sum()).collect();
    // w = Q D u with a diagonal D, so that u = D^-1 Q^T w.
    let stretch = |j: usize| [0.2, 1.0, 3.0, 8.0][j % 4];
    let skewed: Vec<f64> = turned.iter().enumerate().map(|(j, w)| w / stretch(j)).collect();
    let skew = |row: &Vec<f64>| row.iter().enumerate().map(|(j, q)| q * stretch(j)).collect();
    let skew: Vec<Vec<f64>> = rows.iter().map(skew).collect();
    changes.push(mlp.seen("rotated", Invariance::Rotation, rows, &turned));
    changes.push(mlp.seen("skewed", Invariance::LinearCoordinates, skew, &skewed));
    let louder = Seen { factor: LOUDER, ..Seen::unchanged(&mlp.objective) };
    changes.push(Change {
        name: "loss times 10",
        invariance: Invariance::LossScale,
        of: 0,
        objective: Box::new(louder),
        point: mlp.point.clone(),
    });
    changes
}

/// What the loss is multiplied by.
pub(super) const LOUDER: f64 = 10.0;

impl Scene {
    /// Filters times factors, and running statistics with them, so that the function is the same
    /// but for rounding.
    fn rescaled(&self, of: usize, name: &'static str, [layer, norm]: [&str; 2]) -> Change {
        const EPS: f64 = 1e-5;
        let factor = |unit: usize| -> f64 { [2.0, 5.0, 0.3, 1.5][unit % 4] };
        let squared = |array: &Array| {
            let values = array.to_f64_vec().into_iter().enumerate();
            let values: Vec<f64> =
                values.map(|(unit, v)| (v + EPS) * factor(unit).powi(2) - EPS).collect();
            Array::from_slice(array.shape(), &values).unwrap()
        };
        let after = self.with(|name, array| match name {
            _ if name == format!("{layer}.weight") => Some(scaled(array, array.rank() - 1, factor)),
            _ if name == format!("{layer}.bias") => Some(scaled(array, 0, factor)),
            _ if name == format!("{norm}.running_mean") => Some(scaled(array, 0, factor)),
            _ if name == format!("{norm}.running_var") => Some(squared(array)),
            _ => None,
        });
        self.at(of, name, Invariance::NormalizedFilters, after)
    }
}

/// A drawn orthogonal matrix by rows.
fn orthogonal(n: usize) -> Vec<Vec<f64>> {
    let stream = Stream::new(13, "rotation");
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for i in 0..n {
        let mut row: Vec<f64> = (0..n).map(|j| stream.normal((i * n + j) as u64)).collect();
        crate::common::vector::orthogonalize(&mut row, &rows, &mut vec![0.0; i]);
        let length = crate::common::vector::norm(&row);
        crate::common::vector::scale(&mut row, 1.0 / length);
        rows.push(row);
    }
    rows
}

impl Scene {
    /// The first scene in coordinates `u` with weights `w = A u`.
    fn seen(
        &self,
        name: &'static str,
        invariance: Invariance,
        rows: Vec<Vec<f64>>,
        coordinates: &[f64],
    ) -> Change {
        let parameters = self.point.parameters.unflatten(coordinates).unwrap();
        let point = Weights { parameters, buffers: self.point.buffers.clone() };
        let objective = Seen { rows: Some(rows), ..Seen::unchanged(&self.objective) };
        Change { name, invariance, of: 0, objective: Box::new(objective), point }
    }
}

/// An objective in other coordinates, or times a factor.
pub(super) struct Seen {
    objective: ModelObjective,
    rows: Option<Vec<Vec<f64>>>,
    factor: f64,
}

impl Seen {
    fn unchanged(objective: &ModelObjective) -> Seen {
        Seen { objective: objective.clone(), rows: None, factor: 1.0 }
    }

    fn weights<'b>(&self, builder: &'b Builder, parameters: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let Some(rows) = &self.rows else { return parameters.to_vec() };
        let flat: Vec<Tensor<'b>> = parameters
            .iter()
            .zip(self.objective.parameters())
            .map(|(tensor, p)| tensor.reshape(&[p.count(), 1]))
            .collect();
        let matrix = Array::from_slice(&[rows.len(), rows.len()], &rows.concat()).unwrap();
        let moved = builder.constant(matrix).matmul(builder.concatenate(&flat, 0));
        let mut offset = 0;
        let mut weights = Vec::new();
        for parameter in self.objective.parameters() {
            let end = offset + parameter.count();
            weights.push(moved.slice(0, offset, end).reshape(&parameter.shape));
            offset = end;
        }
        weights
    }
}

impl Objective for Seen {
    fn parameters(&self) -> &[Parameter] {
        self.objective.parameters()
    }

    fn buffers(&self) -> &[Buffer] {
        self.objective.buffers()
    }

    fn float(&self) -> DType {
        self.objective.float()
    }

    fn batch_norm(&self) -> BatchNorm {
        self.objective.batch_norm()
    }

    fn batches(&self) -> &[usize] {
        self.objective.batches()
    }

    fn data(&self, batch: usize) -> Result<Vec<Array>, MethodError> {
        self.objective.data(batch)
    }

    fn data_at(&self, places: &[usize]) -> Result<Vec<Array>, MethodError> {
        self.objective.data_at(places)
    }

    fn sampling(&self) -> &Sampling {
        self.objective.sampling()
    }

    fn loss(&self) -> Option<Loss> {
        Objective::loss(&self.objective)
    }

    fn labels(&self) -> Option<Vec<i32>> {
        self.objective.labels()
    }

    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        buffers: &[Tensor<'b>],
        data: &[Tensor<'b>],
        batch_statistics: bool,
    ) -> Examples<'b> {
        let weights = self.weights(builder, parameters);
        let found = self.objective.trace(builder, &weights, buffers, data, batch_statistics);
        Examples { losses: found.losses * self.factor, ..found }
    }
}

//! Products of curvature matrices against matrices that are written out by another route: Jacobians
//! column by column, derivatives of losses at the outputs by hand, Hessians by reverse over reverse
//! in the reference evaluator.

mod common;

use common::{exact, labelled, model, on_digits, planted, weights};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Provenance, Stream, Subset};
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_methods::common::{LinearOperator, Scaled, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Coupling, Curvature, CurvatureMatrix, ExampleGroup, LanczosConfig, ParameterBlock, Scope,
    dense, lanczos,
};
use thalweg_methods::{BatchNorm, Context, Function, ModelObjective, Objective, ObjectiveConfig};
use thalweg_nn::{Loss, Model, Role, Weights};
use thalweg_transform::{gradient, jvp};

/// What is known of each example of an objective, written out.
struct Explicit {
    parameters: usize,
    units: usize,
    loss: Loss,
    /// `[example][position * units + unit]`.
    outputs: Vec<Vec<f64>>,
    /// `[example][position]`.
    labels: Vec<Vec<i32>>,
    /// `[example][output][parameter]`.
    jacobians: Vec<Vec<Vec<f64>>>,
}

type Matrix = Vec<Vec<f64>>;

/// Declares weights, buffers and the data of all batches of an objective that has one.
fn declared<'b>(
    builder: &'b Builder,
    objective: &dyn Objective,
) -> (Vec<Tensor<'b>>, thalweg_methods::Examples<'b>) {
    let float = objective.float();
    let input = |name: &str, shape: &[usize]| builder.input(name, TensorType::new(float, shape));
    let parameters: Vec<_> =
        objective.parameters().iter().map(|p| input(&p.name, &p.shape)).collect();
    let buffers: Vec<_> = objective.buffers().iter().map(|b| input(&b.name, &b.shape)).collect();
    let arrays = objective.data(0).unwrap().into_iter().enumerate();
    let data: Vec<_> = arrays
        .map(|(i, a)| builder.input(&format!("data{i}"), TensorType::new(a.dtype(), a.shape())))
        .collect();
    let traced = objective.trace(builder, &parameters, &buffers, &data, false);
    (parameters, traced)
}

/// An input for each parameter, along which a derivative is taken.
fn directions_of<'b>(builder: &'b Builder, parameters: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    let input = |(i, p): (usize, &Tensor<'b>)| builder.input(&format!("direction{i}"), p.ty());
    parameters.iter().enumerate().map(input).collect()
}

fn unit(n: usize, i: usize) -> Vec<f64> {
    (0..n).map(|j| f64::from(u8::from(i == j))).collect()
}

impl Explicit {
    /// Of an objective whose examples are one batch.
    fn new(objective: &ModelObjective, point: &Weights) -> Explicit {
        let labels = {
            let data = objective.data(0).unwrap();
            let targets = data.last().unwrap();
            let n = targets.shape()[0];
            let all = targets.as_slice::<i32>().unwrap();
            all.chunks(all.len() / n).map(<[i32]>::to_vec).collect::<Vec<_>>()
        };
        let builder = Builder::new(DType::F64);
        let (parameters, traced) = declared(&builder, objective);
        let outputs = traced.outputs.unwrap();
        let units = *outputs.shape().last().unwrap();
        let directions: Vec<_> = directions_of(&builder, &parameters);
        let along = jvp(&[outputs], &parameters, &directions).tangents[0].unwrap();
        let graph = builder.finish(&[("outputs", outputs), ("along", along)]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        let shared =
            [point.parameters.arrays(), point.buffers.arrays(), &objective.data(0).unwrap()]
                .concat();
        let n_parameters = point.parameters.count();
        let mut outputs = Vec::new();
        let mut jacobians: Vec<Vec<Vec<f64>>> = vec![Vec::new(); labels.len()];
        for i in 0..n_parameters {
            let direction = point.parameters.unflatten(&unit(n_parameters, i)).unwrap();
            let found = program.run([&shared, direction.arrays()].concat()).unwrap();
            let cut = |array: &Array| -> Vec<Vec<f64>> {
                let all = array.to_f64_vec();
                all.chunks(all.len() / labels.len()).map(<[f64]>::to_vec).collect()
            };
            outputs = cut(&found[0]);
            for (jacobian, column) in jacobians.iter_mut().zip(cut(&found[1])) {
                jacobian.resize(column.len(), vec![0.0; n_parameters]);
                jacobian.iter_mut().zip(column).for_each(|(row, value)| row[i] = value);
            }
        }
        let loss = objective.loss();
        Explicit { parameters: n_parameters, units, loss, outputs, labels, jacobians }
    }

    /// Gradient, second derivative (row by row) and Fisher information of one position's loss.
    fn at_position(&self, z: &[f64], label: i32) -> (Vec<f64>, Matrix, Matrix) {
        let k = z.len();
        let share = 1.0 / k as f64;
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
        let hot: Vec<f64> = (0..k).map(|c| if c as i32 == label { 1.0 } else { 0.0 }).collect();
        let diagonal = |of: &dyn Fn(usize) -> f64| -> Matrix {
            (0..k).map(|a| (0..k).map(|b| if a == b { of(a) } else { 0.0 }).collect()).collect()
        };
        let coins = |c: usize| 1.0 / (1.0 + (-z[c]).exp());
        let each = |of: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..k).map(of).collect() };
        match self.loss {
            Loss::CrossEntropy { smoothing } => {
                let covariance: Matrix = (0..k)
                    .map(|a| {
                        (0..k).map(|b| if a == b { p[a] } else { 0.0 } - p[a] * p[b]).collect()
                    })
                    .collect();
                let target = |c: usize| (1.0 - smoothing) * hot[c] + smoothing * share;
                (each(&|c| p[c] - target(c)), covariance.clone(), covariance)
            }
            Loss::NegativeLogLikelihood => {
                (each(&|c| -hot[c]), diagonal(&|_| 0.0), diagonal(&|c| z[c].exp()))
            }
            Loss::MeanSquaredError => {
                let twice = diagonal(&|_| 2.0 * share);
                (each(&|c| 2.0 * share * (z[c] - hot[c])), twice.clone(), twice)
            }
            Loss::HalfSquaredError => {
                (each(&|c| z[c] - hot[c]), diagonal(&|_| 1.0), diagonal(&|_| 1.0))
            }
            Loss::BinaryCrossEntropy => {
                let spread = diagonal(&|c| share * coins(c) * (1.0 - coins(c)));
                (each(&|c| share * (coins(c) - hot[c])), spread.clone(), spread)
            }
            Loss::MeanAbsoluteError => {
                let sign = each(&|c| share * (z[c] - hot[c]).signum());
                (sign, diagonal(&|_| 0.0), diagonal(&|_| share))
            }
            Loss::Huber { delta } => {
                // erf(delta / sqrt 2) of delta = 0.5, from tables of the normal distribution.
                assert_eq!(delta, 0.5);
                let centre = std::f64::consts::TAU.sqrt() * 0.382_924_922_548_026_2;
                let centre = centre / (centre + 2.0 / delta * (-0.125f64).exp());
                (
                    each(&|c| share * (z[c] - hot[c]).clamp(-delta, delta)),
                    diagonal(&|c| {
                        if (z[c] - hot[c]).abs() < delta { share } else { 0.0 }
                    }),
                    diagonal(&|_| share * centre),
                )
            }
        }
    }

    fn gradient_of(&self, example: usize) -> Vec<f64> {
        let mut sum = vec![0.0; self.parameters];
        let positions = self.labels[example].len();
        for (t, z) in self.outputs[example].chunks(self.units).enumerate() {
            let (gradient, _, _) = self.at_position(z, self.labels[example][t]);
            for (c, g) in gradient.iter().enumerate() {
                let row = &self.jacobians[example][t * self.units + c];
                vector::add_scaled(&mut sum, g / positions as f64, row);
            }
        }
        sum
    }

    fn add_of_example(&self, sum: &mut Matrix, example: usize, fisher: bool, share: f64) {
        let positions = self.labels[example].len() as f64;
        for (t, z) in self.outputs[example].chunks(self.units).enumerate() {
            let (_, hessian, information) = self.at_position(z, self.labels[example][t]);
            let middle = if fisher { information } else { hessian };
            let rows = &self.jacobians[example][t * self.units..];
            for (a, of_a) in middle.iter().enumerate() {
                for (b, value) in of_a.iter().enumerate() {
                    for (i, line) in sum.iter_mut().enumerate() {
                        let factor = share * value * rows[a][i] / positions;
                        vector::add_scaled(line, factor, &rows[b]);
                    }
                }
            }
        }
    }

    /// A matrix over some examples; the Hessian is not known here.
    fn matrix(&self, which: CurvatureMatrix, examples: &[usize]) -> Matrix {
        let mut sum = vec![vec![0.0; self.parameters]; self.parameters];
        let share = 1.0 / examples.len() as f64;
        match which {
            CurvatureMatrix::GaussNewton | CurvatureMatrix::Fisher => {
                for &example in examples {
                    let fisher = which == CurvatureMatrix::Fisher;
                    self.add_of_example(&mut sum, example, fisher, share);
                }
            }
            CurvatureMatrix::EmpiricalFisher | CurvatureMatrix::GradientCovariance => {
                let mut each: Vec<Vec<f64>> =
                    examples.iter().map(|&i| self.gradient_of(i)).collect();
                if which == CurvatureMatrix::GradientCovariance {
                    let mut mean = vec![0.0; self.parameters];
                    each.iter().for_each(|g| vector::add_scaled(&mut mean, share, g));
                    each.iter_mut().for_each(|g| vector::add_scaled(g, -1.0, &mean));
                }
                for g in &each {
                    for (i, line) in sum.iter_mut().enumerate() {
                        vector::add_scaled(line, share * g[i], g);
                    }
                }
            }
            CurvatureMatrix::Hessian | CurvatureMatrix::MonteCarloFisher { .. } => unreachable!(),
        }
        sum
    }
}

/// The Hessian of an objective of one batch by reverse over reverse, in the reference evaluator.
fn oracle_hessian(objective: &dyn Objective, point: &Weights) -> Matrix {
    let builder = Builder::new(DType::F64);
    let (parameters, traced) = declared(&builder, objective);
    let first = gradient(traced.losses.mean(&[0]), &parameters);
    let directions: Vec<_> = directions_of(&builder, &parameters);
    let along = first.iter().zip(&directions).map(|(&g, &d)| (g * d).sum_all());
    let second = gradient(along.reduce(|a, b| a + b).unwrap(), &parameters);
    let names: Vec<String> = (0..second.len()).map(|i| format!("column{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(second).collect();
    let graph = builder.finish(&named).unwrap();
    let shared =
        [point.parameters.arrays(), point.buffers.arrays(), &objective.data(0).unwrap()].concat();
    let n = point.parameters.count();
    let column = |i: usize| -> Vec<f64> {
        let direction = point.parameters.unflatten(&unit(n, i)).unwrap();
        let inputs = [&shared, direction.arrays()].concat();
        let found = reference::evaluate_f64(&graph, &inputs).unwrap();
        found.iter().flat_map(Array::to_f64_vec).collect()
    };
    (0..n).map(column).collect()
}

fn directions(n: usize) -> Vec<Vec<f64>> {
    let stream = Stream::new(4, "directions");
    (0..3).map(|i| (0..n as u64).map(|j| stream.at(i).normal(j)).collect()).collect()
}

/// Products equal those of the block of a matrix.
fn same(operator: &dyn LinearOperator, matrix: &Matrix, what: &str) {
    let vectors = directions(operator.dimension());
    let found = operator.apply(&vectors).unwrap();
    let size = matrix.iter().flatten().fold(1.0f64, |m, x| m.max(x.abs()));
    for (v, product) in vectors.iter().zip(found) {
        assert_eq!(product.len(), matrix.len(), "{what}");
        for (row, element) in matrix.iter().zip(product) {
            let error = (vector::dot(row, v) - element).abs();
            assert!(error < 1e-9 * size, "{what}: {error}");
        }
    }
}

/// Rows and columns at some places.
fn block(matrix: &Matrix, rows: &[usize], columns: &[usize]) -> Matrix {
    rows.iter().map(|&i| columns.iter().map(|&j| matrix[i][j]).collect()).collect()
}

/// Objectives on the same data, in batches of this many examples.
fn on<'a>(
    ctx: &Context<'a>,
    model: &Model,
    loss: Loss,
    data: &Subset,
    batch: usize,
) -> ModelObjective {
    let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
    ModelObjective::new(ctx, model, loss, data, None, &config).unwrap()
}

const ANALYTIC: [CurvatureMatrix; 4] = [
    CurvatureMatrix::GaussNewton,
    CurvatureMatrix::Fisher,
    CurvatureMatrix::EmpiricalFisher,
    CurvatureMatrix::GradientCovariance,
];

fn images(n: usize, side: usize) -> Array {
    let (rows, _) = planted(n, side * side);
    rows.reshape(&[n, side, side, 1]).unwrap()
}

fn tokens(n: usize, context: usize, vocabulary: usize) -> Subset {
    let stream = Stream::new(6, "tokens");
    let draw = |i: usize| stream.below(i as u64, vocabulary as u64) as i32;
    let values: Vec<i32> = (0..n * (context + 1)).map(draw).collect();
    let windows = Array::from_slice(&[n, context + 1], &values).unwrap();
    let data = Dataset::sequences("planted", &windows, vocabulary, Provenance::default());
    Subset::all(Arc::new(data.unwrap()))
}

#[test]
fn every_product_is_that_of_the_matrix_written_out() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 7;
    let cases = [
        (model("mlp hidden=6 activation=tanh", &[5], 3), labelled(&planted(n, 5).0, 3)),
        (model("convnet channels=2-3 activation=tanh", &[4, 4, 1], 3), labelled(&images(n, 4), 3)),
        (model("vit patch=2 depth=1 width=4 heads=2", &[4, 4, 1], 3), labelled(&images(n, 4), 3)),
        (model("gpt depth=1 width=4 heads=2", &[3], 4), tokens(n, 3, 4)),
    ];
    let all: Vec<usize> = (0..n).collect();
    for (model, data) in &cases {
        let point = weights(model, DType::F64);
        let loss = Loss::CrossEntropy { smoothing: 0.1 };
        let whole = on(&ctx, model, loss, data, n);
        // Two full batches and one of a single example.
        let streamed = on(&ctx, model, loss, data, 3);
        let name = model.architecture().unwrap().to_string();
        assert!(model.parameter_count() <= 2000, "{name}");
        let hessian = oracle_hessian(&whole, &point);
        let curvature =
            |matrix| Curvature::new(&ctx, &streamed, &point, matrix, &Scope::default()).unwrap();
        same(&curvature(CurvatureMatrix::Hessian), &hessian, &name);
        let explicit = Explicit::new(&whole, &point);
        for matrix in ANALYTIC {
            let expected = explicit.matrix(matrix, &all);
            same(&curvature(matrix), &expected, &format!("{matrix} of {name}"));
        }
    }
}

#[test]
fn every_loss_has_the_matrices_of_its_derivatives_at_the_outputs() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let all: Vec<usize> = (0..6).collect();
    let losses = Loss::ALL.map(|loss| match loss {
        Loss::Huber { .. } => Loss::Huber { delta: 0.5 },
        loss => loss,
    });
    let texts = ["mlp hidden=4 activation=tanh", "gpt depth=1 width=2 heads=1"];
    let data = [labelled(&planted(6, 4).0, 3), tokens(6, 2, 3)];
    for (text, data) in texts.iter().zip(&data) {
        let input = if text.starts_with("gpt") { 2 } else { 4 };
        let model = model(text, &[input], 3);
        let point = weights(&model, DType::F64);
        for loss in losses {
            let whole = on(&ctx, &model, loss, data, 6);
            let streamed = on(&ctx, &model, loss, data, 4);
            let explicit = Explicit::new(&whole, &point);
            for matrix in ANALYTIC {
                let what = format!("{matrix} of {loss} of {text}");
                let found = Curvature::new(&ctx, &streamed, &point, matrix, &Scope::default());
                let linear = matches!(loss, Loss::MeanAbsoluteError | Loss::NegativeLogLikelihood);
                if matrix == CurvatureMatrix::GaussNewton && linear {
                    let message = found.err().unwrap().to_string();
                    assert!(message.contains("curved in the outputs, got"), "{message}");
                    continue;
                }
                same(&found.unwrap(), &explicit.matrix(matrix, &all), &what);
            }
        }
    }
}

#[test]
fn blocks_classes_groups_and_examples_are_parts_of_the_matrix() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let (n, text) = (9, "mlp hidden=4 activation=tanh");
    let model = model(text, &[3], 3);
    let data = labelled(&planted(n, 3).0, 3);
    let point = weights(&model, DType::F64);
    let whole = on(&ctx, &model, Loss::default(), &data, n);
    let streamed = on(&ctx, &model, Loss::default(), &data, 4);
    let explicit = Explicit::new(&whole, &point);
    let labels: Vec<i32> = explicit.labels.iter().map(|l| l[0]).collect();
    let parameters = model.parameters();
    let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    let part = names[0].rsplit_once('.').unwrap().0.to_owned();
    let elements = |keep: &dyn Fn(usize) -> bool| -> Vec<usize> {
        let mut offset = 0;
        let mut places = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            places.extend((offset..offset + parameter.count()).filter(|_| keep(i)));
            offset += parameter.count();
        }
        places
    };
    let last = names[names.len() - 1].to_owned();
    let blocks = [
        (ParameterBlock::All, elements(&|_| true)),
        (
            ParameterBlock::Layer(part.clone()),
            elements(&|i| names[i].starts_with(&format!("{part}."))),
        ),
        (ParameterBlock::Named(vec![last.clone()]), elements(&|i| names[i] == last)),
        (ParameterBlock::Role(Role::Bias), elements(&|i| parameters[i].role == Role::Bias)),
    ];
    let of_class: Vec<usize> = (0..n).filter(|&i| labels[i] == 1).collect();
    let groups = [
        (ExampleGroup::All, (0..n).collect()),
        (ExampleGroup::Class(1), of_class),
        (ExampleGroup::At(vec![7, 2, 3, 0, 8]), vec![7, 2, 3, 0, 8]),
        (ExampleGroup::At(vec![5]), vec![5]),
    ];
    for (examples, places) in &groups {
        let hessian = {
            // Of those examples alone.
            let (inputs, _) = planted(n, 3);
            let rows: Vec<Array> = places.iter().map(|&i| inputs.row(i).unwrap()).collect();
            let own: Vec<i32> = places.iter().map(|&i| labels[i]).collect();
            let (inputs, labels) = (Array::stack(&rows).unwrap(), Array::vector(&own));
            let provenance = Provenance::default();
            let data =
                Dataset::classification("some", &inputs, &labels, Some(3), provenance).unwrap();
            let some = Subset::all(Arc::new(data));
            oracle_hessian(&on(&ctx, &model, Loss::default(), &some, places.len()), &point)
        };
        for matrix in [&[CurvatureMatrix::Hessian][..], &ANALYTIC].concat() {
            let expected = match matrix {
                CurvatureMatrix::Hessian => hessian.clone(),
                matrix => explicit.matrix(matrix, places),
            };
            for (parameters, elements) in &blocks {
                let scope = Scope { parameters: parameters.clone(), examples: examples.clone() };
                let found = Curvature::new(&ctx, &streamed, &point, matrix, &scope).unwrap();
                let what = format!("{matrix}, {scope}");
                assert_eq!(found.examples(), places.len(), "{what}");
                same(&found, &block(&expected, elements, elements), &what);
                let embedded = found.embedded(&directions(elements.len())[0]);
                assert_eq!(found.restricted(&embedded), directions(elements.len())[0]);
            }
            // Between the first layer and the last parameter.
            let ([_, (first, rows), (second, columns), _], on_both) =
                (&blocks, [&blocks[1].0, &blocks[2].0]);
            let coupling =
                Coupling::new(&ctx, &streamed, &point, matrix, on_both, examples).unwrap();
            let between = block(&expected, rows, columns);
            let vectors = directions(columns.len());
            for (v, product) in vectors.iter().zip(coupling.block(&vectors).unwrap()) {
                for (row, element) in between.iter().zip(product) {
                    assert!((vector::dot(row, v) - element).abs() < 1e-9);
                }
            }
            let n = rows.len() + columns.len();
            let entry = |i: usize, j: usize| match (i < rows.len(), j < rows.len()) {
                (true, false) => between[i][j - rows.len()],
                (false, true) => between[j][i - rows.len()],
                _ => 0.0,
            };
            let symmetric: Matrix = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
            same(&coupling, &symmetric, &format!("{matrix} between {first} and {second}"));
            assert!(Coupling::new(&ctx, &streamed, &point, matrix, [first; 2], examples).is_err());
        }
    }
}

/// Statistics are those of all examples, so that classes add up to the whole.
#[test]
fn classes_add_up_under_recalibrated_batch_normalisation() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("convnet channels=2 norm=batch", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let config = ObjectiveConfig {
        batch: 25,
        batch_norm: BatchNorm::Recalibrated,
        ..ObjectiveConfig::default()
    };
    let objective = on_digits(&ctx, &model, Some(60), &config);
    let v = &directions(model.parameter_count())[0];
    let labels = objective.labels().unwrap();
    for matrix in [CurvatureMatrix::Hessian, CurvatureMatrix::Fisher] {
        let of = |examples: ExampleGroup| {
            let scope = Scope { examples, ..Scope::default() };
            let found = Curvature::new(&ctx, &objective, &point, matrix, &scope).unwrap();
            found.product(v).unwrap()
        };
        let whole = of(ExampleGroup::All);
        let mut sum = vec![0.0; whole.len()];
        for class in 0..10 {
            let share = labels.iter().filter(|&&l| l == class).count() as f64 / 60.0;
            vector::add_scaled(&mut sum, share, &of(ExampleGroup::Class(class)));
        }
        vector::add_scaled(&mut sum, -1.0, &whole);
        assert!(vector::norm(&sum) < 1e-9 * vector::norm(&whole), "{matrix}");
    }
    let config = ObjectiveConfig { batch_norm: BatchNorm::Batch, ..config };
    let objective = on_digits(&ctx, &model, Some(60), &config);
    let scope = Scope { examples: ExampleGroup::Class(1), ..Scope::default() };
    let refused = Curvature::new(&ctx, &objective, &point, CurvatureMatrix::Hessian, &scope);
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("frozen or recalibrated"), "{message}");
}

/// `v^T F v` over seeds against the mean in closed form, of every loss and of several positions.
#[test]
fn drawn_targets_have_the_fisher_information_as_their_mean() {
    let executor = Executor::new(2);
    let losses = Loss::ALL.into_iter().filter(|loss| *loss != Loss::NegativeLogLikelihood);
    let mut cases: Vec<(Model, Subset, Loss)> = losses
        .map(|loss| (model("linear bias=false", &[3], 3), labelled(&planted(5, 3).0, 3), loss))
        .collect();
    cases.push((model("gpt depth=1 width=2 heads=1", &[3], 3), tokens(5, 3, 3), Loss::default()));
    for (model, data, loss) in cases {
        let point = weights(&model, DType::F64);
        let v = &directions(model.parameter_count())[0];
        let form = |seed: u64, matrix: CurvatureMatrix| {
            let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
            let objective = on(&ctx, &model, loss, &data, 3);
            let found = Curvature::new(&ctx, &objective, &point, matrix, &Scope::default());
            vector::dot(&found.unwrap().product(v).unwrap(), v)
        };
        let expected = form(0, CurvatureMatrix::Fisher);
        let drawn: Vec<f64> =
            (0..60).map(|s| form(s, CurvatureMatrix::MonteCarloFisher { draws: 4 })).collect();
        let mean = thalweg_stats::Estimate::mean(&drawn).unwrap();
        let distance = (mean.value - expected).abs() / mean.standard_error;
        assert!(distance < 4.0, "{loss}: {mean:?} {expected}");
        assert!(mean.standard_error < 0.15 * expected, "{loss}: {mean:?} {expected}");
    }
}

#[test]
fn adams_effective_curvature_is_a_generalised_problem() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=4 activation=tanh", &[3], 3);
    let data = labelled(&planted(20, 3).0, 3);
    let point = weights(&model, DType::F64);
    let objective = on(&ctx, &model, Loss::default(), &data, 20);
    let hessian =
        Curvature::new(&ctx, &objective, &point, CurvatureMatrix::Hessian, &Scope::default());
    let hessian = hessian.unwrap();
    let stream = Stream::new(1, "moments");
    let n = hessian.dimension();
    let preconditioner: Vec<f64> = (0..n as u64).map(|i| 0.1 + stream.uniform(i)).collect();
    let effective = Scaled::preconditioned(&hessian, &preconditioner).unwrap();
    let config = LanczosConfig { top: 2, tolerance: 1e-10, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &effective, &config).unwrap();
    for pair in &found.top {
        // H x = l P x.
        let x = effective.unscaled(&pair.vector);
        let mut image = hessian.product(&x).unwrap();
        for (image, (x, p)) in image.iter_mut().zip(x.iter().zip(&preconditioner)) {
            *image -= pair.value * p * x;
        }
        assert!(vector::norm(&image) < 1e-7, "{}", vector::norm(&image));
    }
    let matrix = dense(&ctx, &effective).unwrap();
    let values = symmetric_eigen(matrix.rows()).values;
    assert!((values[n - 1] - found.top[0].value).abs() < 1e-8);
}

#[test]
fn budgets_and_threads_change_no_bit() {
    let products = |threads: usize, memory: usize, matrix: CurvatureMatrix| {
        let executor = Executor::new(threads);
        let ctx = Context::new(&executor, 0).with_memory(memory);
        let model = model("convnet channels=4-4", &[8, 8, 1], 10);
        let config = ObjectiveConfig { batch: 64, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(100), &config);
        let point = weights(&model, DType::F32);
        let found = Curvature::new(&ctx, &objective, &point, matrix, &Scope::default()).unwrap();
        (found.members(), found.apply(&directions(model.parameter_count())).unwrap())
    };
    for matrix in CurvatureMatrix::ALL {
        let whole = products(1, 1 << 30, matrix);
        let other = products(3, 1 << 20, matrix);
        assert!(other.0 < whole.0, "{matrix}: {} directions at once", other.0);
        assert!(whole.1 == other.1, "{matrix}");
    }
}

#[test]
fn what_has_no_such_matrix_says_so() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let bowl = Function::new(DType::F64, &[("w", &[2])], |_, w| w[0].square().sum_all());
    let point = bowl.point(&[1.0, 2.0]).unwrap();
    let of = |matrix| Curvature::new(&ctx, &bowl, &point, matrix, &Scope::default());
    let message = of(CurvatureMatrix::GaussNewton).err().unwrap().to_string();
    assert_eq!(
        message,
        "the Gauss-Newton matrix: expected an objective that is the loss of a model's outputs, got \
         a plain function of weights"
    );
    assert!(of(CurvatureMatrix::MonteCarloFisher { draws: 0 }).is_err());
    // Its one example's gradient is (2, 4).
    let empirical = of(CurvatureMatrix::EmpiricalFisher).unwrap();
    assert_eq!(empirical.product(&[1.0, 1.0]).unwrap(), [12.0, 24.0]);
    assert_eq!(
        of(CurvatureMatrix::GradientCovariance).unwrap().product(&[1.0, 1.0]).unwrap(),
        [0.0, 0.0]
    );
    for matrix in CurvatureMatrix::ALL {
        assert_eq!(matrix.name().parse::<CurvatureMatrix>().unwrap(), matrix);
    }
    let message = "hesian".parse::<CurvatureMatrix>().unwrap_err().to_string();
    assert!(message.starts_with("matrix: expected one of hessian, gauss-newton"), "{message}");
}

//! Curvature matrices written out by another route: Jacobians column by column, derivatives of
//! losses at the outputs by hand, Hessians by reverse over reverse in the reference evaluator.

use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_methods::common::vector;
use thalweg_methods::curvature::CurvatureMatrix;
use thalweg_methods::{Examples, ModelObjective, Objective};
use thalweg_nn::{Loss, Weights};
use thalweg_transform::{gradient, jvp};

/// Row by row.
pub type Matrix = Vec<Vec<f64>>;

/// What is known of each example of an objective, written out.
pub struct Explicit {
    parameters: usize,
    units: usize,
    loss: Loss,
    /// `[example][position * units + unit]`.
    outputs: Vec<Vec<f64>>,
    /// `[example][position]`.
    pub labels: Vec<Vec<i32>>,
    /// `[example][output][parameter]`.
    jacobians: Vec<Vec<Vec<f64>>>,
}

impl Explicit {
    /// Of an objective whose examples are one batch.
    pub fn new(objective: &ModelObjective, point: &Weights) -> Explicit {
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
        self.back(example, |t, z| self.at_position(z, self.labels[example][t]).0)
    }

    /// The mean over positions of what slopes at the outputs of one are by the parameters.
    pub fn back(&self, example: usize, slope: impl Fn(usize, &[f64]) -> Vec<f64>) -> Vec<f64> {
        let mut sum = vec![0.0; self.parameters];
        let positions = self.labels[example].len();
        for (t, z) in self.outputs[example].chunks(self.units).enumerate() {
            for (c, g) in slope(t, z).iter().enumerate() {
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

    /// What the Gauss-Newton matrix leaves of the Hessian, `1/n sum over examples and outputs of
    /// (dl/dz) d^2 z / dw^2`: slopes of the loss by hand, second derivatives of each output by reverse
    /// over reverse, one after the other, in the reference evaluator.
    pub fn residual(&self, objective: &ModelObjective, point: &Weights) -> Matrix {
        let mut sum = vec![vec![0.0; self.parameters]; self.parameters];
        let examples = self.labels.len();
        let shape = {
            let builder = Builder::new(DType::F64);
            declared(&builder, objective).1.outputs.unwrap().shape().to_vec()
        };
        for example in 0..examples {
            let share = 1.0 / (examples * self.labels[example].len()) as f64;
            for (t, z) in self.outputs[example].chunks(self.units).enumerate() {
                let (slopes, _, _) = self.at_position(z, self.labels[example][t]);
                for (c, slope) in slopes.iter().enumerate() {
                    let place = example * self.outputs[example].len() + t * self.units + c;
                    let all = self.outputs.iter().map(Vec::len).sum();
                    let chosen = Array::from_slice(&shape, &unit(all, place)).unwrap();
                    let hessian = output_hessian(objective, point, &chosen);
                    for (line, row) in sum.iter_mut().zip(&hessian) {
                        vector::add_scaled(line, share * slope, row);
                    }
                }
            }
        }
        sum
    }

    /// A matrix over some examples; the Hessian is not known here.
    pub fn matrix(&self, which: CurvatureMatrix, examples: &[usize]) -> Matrix {
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
pub fn oracle_hessian(objective: &dyn Objective, point: &Weights) -> Matrix {
    let builder = Builder::new(DType::F64);
    let (parameters, traced) = declared(&builder, objective);
    second_derivative(&builder, traced.losses.mean(&[0]), &parameters, objective, point, &[])
}

/// The Hessian of one output of one example: the one at which `chosen` is one and not zero.
fn output_hessian(objective: &ModelObjective, point: &Weights, chosen: &Array) -> Matrix {
    let builder = Builder::new(DType::F64);
    let (parameters, traced) = declared(&builder, objective);
    let outputs = traced.outputs.unwrap();
    let scalar = (outputs * builder.input("chosen", outputs.ty())).sum_all();
    let further = std::slice::from_ref(chosen);
    second_derivative(&builder, scalar, &parameters, objective, point, further)
}

/// The second derivative of a scalar of such an objective, whose graph has further inputs.
fn second_derivative<'b>(
    builder: &'b Builder,
    scalar: Tensor<'b>,
    parameters: &[Tensor<'b>],
    objective: &dyn Objective,
    point: &Weights,
    further: &[Array],
) -> Matrix {
    let first = gradient(scalar, parameters);
    let directions: Vec<_> = directions_of(builder, parameters);
    let along = first.iter().zip(&directions).map(|(&g, &d)| (g * d).sum_all());
    let second = gradient(along.reduce(|a, b| a + b).unwrap(), parameters);
    let names: Vec<String> = (0..second.len()).map(|i| format!("column{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(second).collect();
    let graph = builder.finish(&named).unwrap();
    let data = objective.data(0).unwrap();
    let shared =
        [point.parameters.arrays(), point.buffers.arrays(), data.as_slice(), further].concat();
    let n = point.parameters.count();
    let column = |i: usize| -> Vec<f64> {
        let direction = point.parameters.unflatten(&unit(n, i)).unwrap();
        let inputs = [&shared, direction.arrays()].concat();
        let found = reference::evaluate_f64(&graph, &inputs).unwrap();
        found.iter().flat_map(Array::to_f64_vec).collect()
    };
    (0..n).map(column).collect()
}

/// Declares weights, buffers and the data of all batches of an objective that has one.
fn declared<'b>(
    builder: &'b Builder,
    objective: &dyn Objective,
) -> (Vec<Tensor<'b>>, Examples<'b>) {
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

//! Derivatives through whole runs of training.

use crate::common::{digit_examples, first, model};
use thalweg_array::{Array, DType};
use thalweg_data::{Batches, LastBatch, Stream};
use thalweg_exec::Executor;
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::{Loss, Mode, Model};
use thalweg_train::part::HyperValues;
use thalweg_train::{Examples, Optimizer, Point, Recipe, Sequences, Shared, initialize};
use thalweg_transform::gradient;

const STEPS: usize = 50;
const BATCH: usize = 4;
const N: usize = 24;

struct Case {
    recipe: Recipe,
    train: Examples,
    held_out: Examples,
}

impl Case {
    fn new(optimizer: Optimizer) -> Case {
        let (train, test) = digit_examples(DType::F64);
        let model: Model = model("mlp hidden=6 activation=tanh", &[8, 8, 1], 10);
        let recipe =
            Recipe { model, loss: Loss::default(), adjustment: None, rule: optimizer.rule() };
        Case { recipe, train: first(&train, N), held_out: first(&test, 32) }
    }

    /// `(parameters.., hyper.., weights of examples) -> held-out loss after 50 steps`, and with
    /// its gradient with respect to the parameters, the learning rate and the weights.
    fn graph(&self, branching: usize, with_gradient: bool) -> Graph {
        let builder = Builder::new(DType::F64);
        let (parameters, buffers) = self.recipe.model.declare(&builder);
        let scalar = TensorType::new(DType::F64, []);
        let hyper: Vec<_> = (self.recipe.rule.hyper_parameters().iter())
            .map(|h| (h.name.to_owned(), builder.input(h.name, scalar.clone())))
            .collect();
        let hyper = HyperValues::new(hyper);
        let weights = builder.input("weights", TensorType::new(DType::F64, [N]));
        let slots = self.recipe.optimizer_types(DType::F64);
        let optimizer = slots.iter().map(|ty| builder.zeros(ty)).collect();
        let batches = Batches::new(N, BATCH, LastBatch::Drop).unwrap();
        let order = Stream::new(0, "order");
        let epochs = STEPS.div_ceil(batches.steps());
        let rows: Vec<i32> = (0..epochs as u64)
            .flat_map(|e| batches.epoch(&order, e).unwrap().as_slice::<i32>().unwrap().to_vec())
            .take(STEPS * BATCH)
            .collect();
        let counts: Vec<f64> = (1..=STEPS).map(|step| step as f64).collect();
        let sequences = Sequences {
            indices: builder.constant(Array::from_slice(&[STEPS, BATCH], &rows).unwrap()),
            factors: builder.constant(Array::full(&[STEPS], 1.0)),
            counts: builder.constant(Array::vector(&counts)),
            dropout_keys: None,
            inputs: None,
        };
        let shared = Shared {
            inputs: vec![builder.constant(self.train.inputs().unwrap()[0].clone())],
            targets: builder.constant(self.train.targets().clone()),
            weights: Some(weights),
        };
        let start = Point { parameters: parameters.clone(), buffers, optimizer };
        let (end, _) = self.recipe.run(&start, &hyper, sequences, shared, None, branching);
        let held_out = builder.constant(self.held_out.inputs().unwrap()[0].clone());
        let targets = builder.constant(self.held_out.targets().clone());
        let (parameters_after, mode) = (&end.parameters, Mode::EVALUATE);
        let applied =
            self.recipe.model.apply(&builder, parameters_after, &end.buffers, held_out, &mode);
        let loss = self.recipe.loss.of(applied.output, targets, None);
        let mut outputs = vec![("loss".to_owned(), loss)];
        if with_gradient {
            let lr = hyper.get(&builder, "lr");
            let wrt = [parameters.as_slice(), &[lr, weights]].concat();
            let gradients = gradient(loss, &wrt);
            outputs.extend(gradients.into_iter().enumerate().map(|(i, g)| (format!("g{i}"), g)));
        }
        let named: Vec<_> = outputs.iter().map(|(name, t)| (name.as_str(), *t)).collect();
        builder.finish(&named).unwrap()
    }

    fn arguments(&self, lr: f64) -> Vec<Array> {
        let start = initialize(&self.recipe.model, 3, DType::F64).unwrap();
        let mut arguments = start.parameters.into_arrays();
        for hyper in self.recipe.rule.hyper_parameters() {
            let value = if hyper.name == "lr" { lr } else { hyper.default };
            arguments.push(Array::scalar(value));
        }
        let weights: Vec<f64> = (0..N).map(|i| 0.5 + i as f64 / N as f64).collect();
        arguments.push(Array::vector(&weights));
        arguments
    }

    /// Compares the gradient with finite differences of the whole run; returns the gradient.
    fn check(&self, lr: f64) {
        let executor = Executor::new(2);
        let run = |graph: &Graph, arguments: &[Array]| {
            executor.compile(graph).unwrap().run(arguments.to_vec()).unwrap()
        };
        let arguments = self.arguments(lr);
        let reference = run(&self.graph(0, true), &arguments);
        for branching in [2, 4] {
            let other = run(&self.graph(branching, true), &arguments);
            for (a, b) in reference.iter().zip(&other) {
                let norm = a.to_f64_vec().iter().map(|x| x * x).sum::<f64>().sqrt();
                for (a, b) in a.to_f64_vec().iter().zip(b.to_f64_vec()) {
                    assert!((a - b).abs() <= 1e-12 * norm.max(1.0), "{branching}: {a} {b}");
                }
            }
        }
        let plain = self.graph(0, false);
        let loss = |arguments: &[Array]| run(&plain, arguments)[0].item().unwrap();
        assert_eq!(reference[0].item().unwrap().to_bits(), loss(&arguments).to_bits());
        let n_parameters = self.recipe.model.parameters().len();
        let lr_at = arguments.len() - 1 - self.recipe.rule.hyper_parameters().len()
            + (self.recipe.rule.hyper_parameters().iter()).position(|h| h.name == "lr").unwrap();
        // Each parameter along a random direction, then the rate, then single examples' weights.
        let inputs = (0..n_parameters).chain([lr_at, arguments.len() - 1]);
        for (output, input) in inputs.enumerate() {
            let slope = reference[1 + output].to_f64_vec();
            let base = arguments[input].to_f64_vec();
            let stream = Stream::new(9, "direction").at(input as u64);
            let directions: Vec<Vec<f64>> = if input == arguments.len() - 1 {
                let unit = |i: usize| (0..N).map(|j| f64::from(i == j)).collect();
                vec![unit(0), unit(7), unit(N - 1)]
            } else if base.len() == 1 {
                vec![vec![lr]]
            } else {
                let values: Vec<f64> = (0..base.len() as u64).map(|i| stream.normal(i)).collect();
                let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
                vec![values.iter().map(|x| x / norm).collect()]
            };
            for direction in directions {
                let exact: f64 = slope.iter().zip(&direction).map(|(g, d)| g * d).sum();
                let moved = |step: f64| {
                    let mut arguments = arguments.clone();
                    let values: Vec<f64> =
                        base.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
                    let shape = arguments[input].shape().to_vec();
                    arguments[input] = Array::from_slice(&shape, &values).unwrap();
                    loss(&arguments)
                };
                // Fourth order; its error at this step is below 1e-10 here.
                let h = 3e-4;
                let difference = (8.0 * (moved(h) - moved(-h))
                    - (moved(2.0 * h) - moved(-2.0 * h)))
                    / (12.0 * h);
                let error = (exact - difference).abs();
                assert!(
                    error <= 1e-8 * exact.abs().max(0.01),
                    "input {input}: {exact} against {difference}"
                );
                assert!(exact != 0.0, "input {input} has no effect");
            }
        }
    }
}

#[test]
fn fifty_momentum_steps_are_differentiated() {
    Case::new(Optimizer::momentum(0.9).with_weight_decay(1e-3)).check(0.02);
}

#[test]
fn fifty_steps_of_adam_are_differentiated() {
    // With the usual 1e-8 the first step is the gradient's sign, whose slope differences miss.
    Case::new("adam:eps=0.01".parse().unwrap()).check(0.003);
}

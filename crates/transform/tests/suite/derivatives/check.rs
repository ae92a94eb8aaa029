//! Derivatives against differences of the oracle, in random directions, to order three.

use thalweg_exec::reference::evaluate;
use thalweg_graph::Array;
use thalweg_graph::{Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::{gradient, jvp, simplify, vjp};

/// A function of float tensors, traced once for each transformation.
pub type Function = dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>;

/// A function of tensors and a direction.
type AlongDirection<'f> =
    dyn for<'b> Fn(&'b Builder, &[Tensor<'b>], &[Tensor<'b>]) -> Vec<Tensor<'b>> + 'f;

/// A small generator of reproducible numbers in -1..1.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn array(&mut self, shape: &[usize]) -> Array {
        let n = shape.iter().product();
        let elements: Vec<f64> = (0..n).map(|_| self.next()).collect();
        Array::from_slice(shape, &elements).unwrap()
    }
}

/// Moves the point away from where the function is not smooth.
pub type Domain = fn(f64) -> f64;

pub fn anywhere(x: f64) -> f64 {
    x
}

pub fn positive(x: f64) -> f64 {
    1.2 + x
}

/// Checks forward and reverse mode at a random point.
pub fn check(name: &str, shapes: &[&[usize]], domain: Domain, f: &Function) {
    check_to(3, name, shapes, domain, f);
}

pub fn check_to(orders: usize, name: &str, shapes: &[&[usize]], domain: Domain, f: &Function) {
    let mut numbers = Numbers::new(name.bytes().map(u64::from).sum());
    let point: Vec<Array> = shapes
        .iter()
        .map(|shape| {
            let x = numbers.array(shape).to_f64_vec();
            let moved: Vec<f64> = x.into_iter().map(domain).collect();
            Array::from_slice(shape, &moved).unwrap()
        })
        .collect();
    let direction: Vec<Array> = shapes.iter().map(|shape| numbers.array(shape)).collect();

    // Forward: the derivative of order k along the direction, against a difference of order k - 1.
    let forward: Vec<Graph> = (0..=orders)
        .map(|order| {
            trace(shapes, &direction, &|b, x, v| {
                let mut outputs = floats(f(b, x));
                for _ in 0..order {
                    let dual = jvp(&outputs, x, v);
                    outputs = zipped(&dual.tangents, &outputs);
                }
                outputs
            })
        })
        .collect();
    for (i, pair) in forward.windows(2).enumerate() {
        let got = run(&pair[1], &point);
        let expected = difference(&pair[0], &point, &direction);
        close(&format!("{name}: forward, order {}", i + 1), &got, &expected);
    }

    // Reverse: gradients of a random projection, again and again.
    let weights: Vec<Array> =
        forward[0].output_types().map(|ty| numbers.array(&ty.shape)).collect();
    let projected = |order: usize| -> Graph {
        let weights = &weights;
        trace(shapes, &direction, &|b, x, v| {
            let outputs = floats(f(b, x));
            let cts: Vec<Tensor<'_>> = weights.iter().map(|w| b.constant(w.clone())).collect();
            let result = vjp(&outputs, x, &cts);
            let mut derivative = zipped(&result.cotangents, x);
            for _ in 1..order {
                let along = inner(&derivative, v);
                derivative = gradient(along, x);
            }
            derivative
        })
    };
    for (order, forward) in forward.iter().enumerate().skip(1) {
        let got = run(&projected(order), &point);
        // Along the direction it must be the projection of the forward derivative.
        let along: f64 = dot(&got, &direction);
        let expected: f64 = dot(&run(forward, &point), &weights);
        close_numbers(&format!("{name}: reverse, order {order}"), &[along], &[expected]);
        if order > 1 {
            let expected = difference(&projected(order - 1), &point, &direction);
            close(&format!("{name}: gradient, order {order}"), &got, &expected);
        }
    }
}

fn floats(tensors: Vec<Tensor<'_>>) -> Vec<Tensor<'_>> {
    tensors.into_iter().filter(|tensor| tensor.dtype().is_float()).collect()
}

fn zipped<'b>(derivatives: &[Option<Tensor<'b>>], like: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    derivatives.iter().zip(like).map(|(t, x)| t.unwrap_or_else(|| x.zeros_like())).collect()
}

pub fn inner<'b>(a: &[Tensor<'b>], b: &[Tensor<'b>]) -> Tensor<'b> {
    a.iter().zip(b).map(|(&a, &b)| (a * b).sum_all()).reduce(|a, b| a + b).unwrap()
}

fn trace(shapes: &[&[usize]], direction: &[Array], f: &AlongDirection<'_>) -> Graph {
    let b = Builder::new(DType::F64);
    let x: Vec<Tensor<'_>> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| b.input(&format!("x{i}"), TensorType::new(DType::F64, *shape)))
        .collect();
    let v: Vec<Tensor<'_>> = direction.iter().map(|v| b.constant(v.clone())).collect();
    let outputs = f(&b, &x, &v);
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let graph = b.finish(&outputs).unwrap();
    graph.verify().unwrap();
    graph
}

fn run(graph: &Graph, point: &[Array]) -> Vec<Array> {
    let results = evaluate(graph, point).unwrap();
    let simpler = simplify(graph);
    simpler.verify().unwrap();
    for (a, b) in results.iter().zip(evaluate(&simpler, point).unwrap()) {
        for (a, b) in a.to_f64_vec().iter().zip(b.to_f64_vec()) {
            let close = (a - b).abs() <= 1e-12 * a.abs().max(1.0) || a.is_nan() && b.is_nan();
            assert!(close, "{a} before, {b} after:\n{graph}\n{simpler}");
        }
    }
    results
}

/// A central difference of fourth order along the direction.
fn difference(graph: &Graph, point: &[Array], direction: &[Array]) -> Vec<Array> {
    const STEP: f64 = 1e-3;
    let at = |step: f64| {
        let moved: Vec<Array> =
            point.iter().zip(direction).map(|(x, v)| combine(&[(1.0, x), (step, v)])).collect();
        run(graph, &moved)
    };
    let (p2, p1, m1, m2) = (at(2.0 * STEP), at(STEP), at(-STEP), at(-2.0 * STEP));
    (0..p1.len())
        .map(|i| {
            let unit = 1.0 / (12.0 * STEP);
            combine(&[(-unit, &p2[i]), (8.0 * unit, &p1[i]), (-8.0 * unit, &m1[i]), (unit, &m2[i])])
        })
        .collect()
}

fn combine(terms: &[(f64, &Array)]) -> Array {
    let mut sum = vec![0.0; terms[0].1.len()];
    for (factor, array) in terms {
        for (to, x) in sum.iter_mut().zip(array.to_f64_vec()) {
            *to += factor * x;
        }
    }
    Array::from_slice(terms[0].1.shape(), &sum).unwrap()
}

fn dot(a: &[Array], b: &[Array]) -> f64 {
    a.iter()
        .zip(b)
        .flat_map(|(a, b)| a.to_f64_vec().into_iter().zip(b.to_f64_vec()))
        .map(|(a, b)| a * b)
        .sum()
}

fn close(what: &str, got: &[Array], expected: &[Array]) {
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.shape(), expected.shape(), "{what}");
        close_numbers(what, &got.to_f64_vec(), &expected.to_f64_vec());
    }
}

/// Differences in f64 with a step of 1e-3 are good to about 1e-9 of the numbers' size.
pub fn close_numbers(what: &str, got: &[f64], expected: &[f64]) {
    let size = expected.iter().fold(1.0f64, |size, x| size.max(x.abs()));
    for (got, expected) in got.iter().zip(expected) {
        let error = (got - expected).abs();
        assert!(error <= 2e-7 * size, "{what}: got {got}, expected {expected}");
    }
}

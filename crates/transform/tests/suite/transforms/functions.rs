//! Transformations of functions and of whole graphs.

use thalweg_exec::reference::evaluate;
use thalweg_graph::Array;
use thalweg_graph::{Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::{
    gradient_graph, gradient_of, hvp_graph, hvp_of, jvp_graph, jvp_of, linearize, substitute,
    value_and_grad_of, vjp_graph, vmap_of,
};

fn scalar() -> TensorType {
    TensorType::new(DType::F64, [])
}

/// Values of outputs at `x`.
fn at(x: f64, f: &dyn for<'b> Fn(&'b Builder, Tensor<'b>) -> Vec<Tensor<'b>>) -> Vec<f64> {
    let b = Builder::new(DType::F64);
    let outputs = f(&b, b.input("x", scalar()));
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let graph = b.finish(&named).unwrap();
    let results = evaluate(&graph, &[Array::scalar(x)]).unwrap();
    results.iter().map(|result| result.item().unwrap()).collect()
}

#[test]
fn inner_derivatives_do_not_see_outer_variables() {
    // d/dx (x d/dy (x + y) at y = 1) = 1, and 2 if the perturbations were confused.
    let plain = at(3.0, &|b, x| {
        gradient_of(|x| x[0] * gradient_of(|y| x[0] + y[0], &[b.scalar(1.0)])[0], &[x])
    });
    assert_eq!(plain, [1.0]);
    // The inner variable stands at the outer one: d/dx (x d/dy (x y) at y = x) = d/dx x^2 = 2 x.
    let same =
        at(3.0, &|_, x| gradient_of(|x| x[0] * gradient_of(|y| x[0] * y[0], &[x[0]])[0], &[x]));
    assert_eq!(same, [6.0]);
    let forward = at(3.0, &|b, x| {
        let one = [b.scalar(1.0)];
        let outer = jvp_of(
            |x| {
                let inner = jvp_of(|y| vec![x[0] * y[0]], &[x[0]], &one);
                vec![x[0] * inner.tangents[0].unwrap()]
            },
            &[x],
            &one,
        );
        vec![outer.tangents[0].unwrap()]
    });
    assert_eq!(forward, [6.0]);
}

#[test]
fn functions_at_points() {
    let results = at(2.0, &|b, x| {
        let (value, gradient) = value_and_grad_of(|x| x[0] * x[0] * x[0], &[x + 1.0]);
        let product = hvp_of(|x| x[0] * x[0] * x[0], &[x], &[b.scalar(5.0)]);
        vec![value, gradient[0], product[0]]
    });
    assert_eq!(results, [27.0, 27.0, 60.0]);
    let members = at(2.0, &|b, x| {
        let weights = b.constant(Array::vector(&[1.0, 10.0, 100.0]));
        let rows = vmap_of(
            |w| gradient_of(|w| w[0] * w[0] * w[1], &[w[0], w[1]]),
            &[(weights, Some(0)), (x, None)],
            3,
        );
        (0..3).map(|i| rows[0].index(0, i)).collect()
    });
    assert_eq!(members, [4.0, 40.0, 400.0]);
}

#[test]
fn a_linear_map_is_applied_and_transposed() {
    let results = at(2.0, &|b, x| {
        let pair = b.stack(&[x * x, x * 3.0]);
        let map = linearize(&[pair], &[x]);
        let along = map.apply(&[b.scalar(10.0)])[0];
        let back = map.transpose(&[b.constant(Array::vector(&[1.0, 2.0]))])[0];
        vec![along.index(0, 0), along.index(0, 1), back]
    });
    assert_eq!(results, [40.0, 30.0, 10.0]);
}

#[test]
fn what_is_substituted_is_replayed_once() {
    let results = at(2.0, &|_, x| {
        let y = x.exp();
        let z = y * x;
        substitute(&[z, y, x], &[(y, x + 1.0)])
    });
    assert_eq!(results, [6.0, 3.0, 2.0]);
}

/// `loss = sum(w^3) s` beside a count, with `w [2]` and a scalar `s`.
fn graph() -> Graph {
    let b = Builder::new(DType::F64);
    let w = b.input("w", TensorType::new(DType::F64, [2]));
    let s = b.input("s", scalar());
    let count = b.scalar_of(DType::I32, 7.0);
    b.finish(&[("count", count), ("loss", (w * w * w).sum_all() * s)]).unwrap()
}

fn ports(graph: &Graph) -> (Vec<String>, Vec<String>) {
    let inputs = graph.inputs().map(|port| port.name.clone()).collect();
    (inputs, graph.output_names().map(str::to_owned).collect())
}

#[test]
fn whole_graphs() {
    let (w, s) = (Array::vector(&[1.0, 2.0]), Array::scalar(10.0));
    let with = |graph: &Graph, more: &[Array]| -> Vec<Vec<f64>> {
        let inputs = [&[w.clone(), s.clone()], more].concat();
        evaluate(graph, &inputs).unwrap().iter().map(Array::to_f64_vec).collect()
    };
    let gradient = gradient_graph(&graph(), 1, &[1, 0]).unwrap();
    assert_eq!(ports(&gradient).1, ["count", "loss", "s.gradient", "w.gradient"]);
    let results = with(&gradient, &[]);
    assert_eq!(results, [vec![7.0], vec![90.0], vec![9.0], vec![30.0, 120.0]]);

    let forward = jvp_graph(&graph(), &[0]).unwrap();
    assert_eq!(ports(&forward).0, ["w", "s", "w.tangent"]);
    let results = with(&forward, &[Array::vector(&[1.0, -1.0])]);
    assert_eq!(results, [vec![7.0], vec![90.0], vec![-90.0]]);

    let reverse = vjp_graph(&graph(), &[0]).unwrap();
    assert_eq!(ports(&reverse).0, ["w", "s", "loss.cotangent"]);
    let results = with(&reverse, &[Array::scalar(2.0)]);
    assert_eq!(results, [vec![7.0], vec![90.0], vec![60.0, 240.0]]);

    let second = hvp_graph(&graph(), 1, &[0]).unwrap();
    assert_eq!(ports(&second).1, ["w.gradient", "w.product"]);
    let results = with(&second, &[Array::vector(&[1.0, -1.0])]);
    assert_eq!(results, [vec![30.0, 120.0], vec![60.0, -120.0]]);

    assert_eq!(gradient_graph(&graph(), 0, &[0]).unwrap_err().expected, "a scalar of a float type");
    assert_eq!(gradient_graph(&graph(), 1, &[2]).unwrap_err().expected, "one of 2 places");
}

//! How much work there is in what is built.

use thalweg_exec::reference::evaluate;
use thalweg_graph::{Array, Builder, DType, Graph, Op, Tensor, TensorType, Unary};
use thalweg_transform::{gradient, hvp, simplify, value_and_grad};

/// How often an operation runs: in a loop as often as its body.
fn runs(graph: &Graph, of: &dyn Fn(&Op) -> bool) -> usize {
    let inner = |op: &Op| match op {
        Op::Scan(scan) => scan.length * runs(&scan.body, of),
        _ => usize::from(of(op)),
    };
    graph.nodes().iter().map(|node| inner(&node.op)).sum()
}

/// Rows of state that loops store at once: those of one level and the most that is under way in
/// one of its loops.
fn stored(graph: &Graph, row: &[usize]) -> usize {
    let (mut here, mut within) = (0, 0);
    for node in graph.nodes() {
        if let Op::Scan(scan) = &node.op {
            let states = node.types[scan.n_carry..].iter().filter(|ty| ty.shape[1..] == *row);
            here += scan.length * states.count();
            within = within.max(stored(&scan.body, row));
        }
    }
    here + within
}

fn is_step(op: &Op) -> bool {
    *op == Op::Unary(Unary::Tanh)
}

/// The gradient of a loop whose step takes one `tanh` of its state.
fn through_loop(length: usize, branching: usize) -> Graph {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [3]));
    let w = b.input("w", TensorType::new(DType::F64, [3]));
    let (carry, _) = b.scan(length, &[x], &[], &[w], branching, |step| {
        (vec![(step.carry[0] * step.constants[0]).tanh()], vec![])
    });
    let (value, gradient) = value_and_grad(carry[0].sum_all(), &[x, w]);
    simplify(&b.finish(&[("y", value), ("dx", gradient[0]), ("dw", gradient[1])]).unwrap())
}

#[test]
fn a_gradient_through_a_loop_costs_what_the_tree_says() {
    // Every carry kept: one run forward, which is also the value's, and one along the way back.
    assert_eq!(runs(&through_loop(100, 0), &is_step), 200);
    for (length, branching) in [(64, 2), (100, 2), (81, 3), (1000, 10), (1001, 10), (256, 4)] {
        let graph = through_loop(length, branching);
        let levels = (length as f64).log(branching as f64);
        let steps = runs(&graph, &is_step) as f64 / length as f64;
        assert!(steps <= 2.0 + levels, "{length} by {branching}: {steps} runs a step");
        let rows = stored(&graph, &[3]) as f64;
        let bound = branching as f64 * levels.ceil();
        assert!(rows <= bound, "{length} by {branching}: {rows} states of {bound}");
    }
    // By hand for 8 = 2^3: forward 8; two chunks of 4, of each the first half of 2 run, and of
    // each half the first step: 4 + 4; back 8.
    assert_eq!(runs(&through_loop(8, 2), &is_step), 8 + 4 + 4 + 8);
}

fn perceptron(b: &Builder) -> (Tensor<'_>, [Tensor<'_>; 2]) {
    let input = |name: &str, shape: &[usize]| b.input(name, TensorType::new(DType::F64, shape));
    let (x, target) = (input("x", &[8, 4]), input("target", &[8, 2]));
    let weights = [input("w", &[4, 5]), input("v", &[5, 2])];
    let error = x.matmul(weights[0]).tanh().matmul(weights[1]) - target;
    ((error * error).sum_all() * 0.5, weights)
}

fn products(graph: &Graph) -> usize {
    runs(&simplify(graph), &|op| matches!(op, Op::Dot(_)))
}

#[test]
fn products_of_a_perceptron() {
    // Forward two; back one for each weight and one through the second layer.
    let b = Builder::new(DType::F64);
    let (loss, weights) = perceptron(&b);
    let gradient = gradient(loss, &weights);
    let graph = b.finish(&[("w", gradient[0]), ("v", gradient[1])]).unwrap();
    assert_eq!(products(&graph), 5);
    // Again for the tangents: of `x w` one, of `h v` two, of each of the three on the way back
    // two, but for `x^T`, which has none.
    let b = Builder::new(DType::F64);
    let (loss, weights) = perceptron(&b);
    let vector = [b.input("dw", weights[0].ty()), b.input("dv", weights[1].ty())];
    let product = hvp(loss, &weights, &vector);
    let graph = b.finish(&[("w", product[0]), ("v", product[1])]).unwrap();
    // The gradient of the first layer itself is not needed.
    assert_eq!(products(&graph), 5 - 2 + (1 + 2 + 2 + 2 + 1));
}

#[test]
fn the_tree_changes_no_bit() {
    let inputs = [Array::vector(&[0.3, -0.7, 1.1]), Array::vector(&[1.3, 0.9, -1.2])];
    let of = |branching| evaluate(&through_loop(37, branching), &inputs).unwrap();
    let kept = of(0);
    for branching in [2, 3, 5] {
        assert_eq!(of(branching), kept, "branching {branching}");
    }
}

//! What the builder promises: sharing, places of mistakes, pruning, text.

use thalweg_graph::{Builder, DType, Graph, Op, TensorType, Unary};

fn vector(n: usize) -> TensorType {
    TensorType::new(DType::F64, [n])
}

#[test]
fn equal_operations_on_equal_operands_are_one_node() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(3));
    let first = (x.exp() + 1.0).log();
    let before = b.node_count();
    let second = (x.exp() + 1.0).log();
    assert_eq!(first.value(), second.value());
    assert_eq!(b.node_count(), before);
    assert_ne!(first.value(), (x.exp() + 2.0).log().value());
    // Zeros of different sign are different literals.
    assert_ne!(b.scalar(0.0).value(), b.scalar(-0.0).value());
}

#[test]
fn inputs_of_one_type_are_never_one_node() {
    let b = Builder::new(DType::F64);
    let (x, y) = (b.input("x", vector(3)), b.input("y", vector(3)));
    assert_ne!(x.value(), y.value());
    assert_ne!(x.exp().value(), y.exp().value());
    assert_ne!(b.placeholder(vector(3)).value(), b.placeholder(vector(3)).value());
}

#[test]
fn the_first_mistake_is_kept_with_its_place() {
    let b = Builder::new(DType::F64);
    let (x, y) = (b.input("x", vector(3)), b.input("y", vector(2)));
    let line = line!() + 1;
    let wrong = x + y;
    let later = wrong.reshape(&[17]);
    let error = b.finish(&[("z", later)]).unwrap_err();
    assert_eq!((error.op.as_str(), error.line), ("broadcast", line));
    assert!(error.file.ends_with("building.rs"));
    assert_eq!(
        error.to_string(),
        format!(
            "broadcast at {}:{line}: expected an operand that stretches to [3], got f64[2] on \
             axes [0]",
            file!()
        )
    );
}

#[test]
fn a_refused_operation_still_has_all_its_results() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(3));
    let line = line!() + 1;
    let eigen = b.emit(Op::SymmetricEigen, &[x]);
    let error = b.finish(&[("vectors", eigen[1])]).unwrap_err();
    assert_eq!((error.op.as_str(), error.line), ("symmetric_eigen", line));
}

#[test]
fn tensors_of_another_builder_are_refused() {
    let (b, other) = (Builder::new(DType::F64), Builder::new(DType::F64));
    let (x, foreign) = (b.input("x", vector(3)), other.input("x", vector(3)));
    let error = b.finish(&[("y", foreign)]).unwrap_err();
    assert_eq!(error.expected, "outputs of this builder");
    let error = { b.finish(&[("y", x + foreign)]).unwrap_err() };
    assert_eq!(error.got, "one of another builder");
}

#[test]
fn names_are_unique_and_types_are_floats() {
    let b = Builder::new(DType::F64);
    b.input("x", vector(1));
    let y = b.input("x", vector(1));
    let error = b.finish(&[("y", y)]).unwrap_err();
    assert_eq!((error.expected.as_str(), error.got.as_str()), ("a name not used before", "\"x\""));
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(1));
    let error = b.finish(&[("y", x), ("y", x)]).unwrap_err();
    assert_eq!((error.op.as_str(), error.got.as_str()), ("output", "\"y\""));
    let b = Builder::new(DType::I32);
    let x = b.input("x", vector(1));
    assert_eq!(b.finish(&[("y", x)]).unwrap_err().expected, "a float type");
}

#[test]
fn a_placeholder_that_is_left_is_an_error() {
    let b = Builder::new(DType::F64);
    let unused = b.placeholder(vector(1));
    let x = b.input("x", vector(1));
    assert_eq!(b.finish(&[("y", x.exp())]).unwrap().n_inputs(), 1);
    let error = b.finish(&[("y", x + unused)]).unwrap_err();
    assert_eq!(error.expected, "every placeholder replaced");
}

fn example() -> Graph {
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(3));
    b.input("unused", TensorType::new(DType::I32, []));
    let _dropped = x.sin();
    let (carry, ys) = b.scan(2, &[x], &[], &[b.scalar(0.5)], 0, |step| {
        let next = step.carry[0] * step.constants[0];
        (vec![next], vec![next.sum(&[0])])
    });
    let sorted = carry[0].sort_with(&[x], 0, true);
    b.finish(&[("total", ys[0].max(&[0])), ("sorted", sorted[1].slice(0, 1, 3))]).unwrap()
}

#[test]
fn only_what_is_needed_is_kept() {
    let graph = example();
    assert!(graph.nodes().iter().all(|node| node.op != Op::Unary(Unary::Sin)));
    assert_eq!(graph.n_inputs(), 2);
    graph.verify().unwrap();
}

#[test]
fn the_text_of_a_graph() {
    let expected = "\
graph(x: f64[3], unused: i32[]) {
  %2 = constant {value: f64[] [0.5]} : f64[]
  %3 = scan x, %2 {length: 2, n_carry: 1, n_xs: 0, reverse: false, checkpoint_branching: 0} : f64[3], f64[2]
    body = graph(carry0: f64[3], constant0: f64[]) {
      %2 = broadcast constant0 {axes: []} : f64[3]
      %3 = multiply carry0, %2 : f64[3]
      %4 = reduce_sum %3 {axes: [0]} : f64[]
      return carry0 = %3, y0 = %4
    }
  %4 = sort %3.0, x {axis: 0, descending: true} : f64[3], f64[3]
  %5 = reduce_max %3.1 {axes: [0]} : f64[]
  %6 = slice %4.1 {start: [1], limit: [3], stride: [1]} : f64[2]
  return total = %5, sorted = %6
}";
    assert_eq!(example().to_string(), expected);
}

#[test]
fn graphs_built_alike_are_equal_and_hash_alike() {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let hash = |graph: &Graph| {
        let mut hasher = DefaultHasher::new();
        graph.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(example(), example());
    assert_eq!(hash(&example()), hash(&example()));
    let b = Builder::new(DType::F64);
    let graph = b.finish(&[("total", b.input("x", vector(3)).sum(&[0]))]).unwrap();
    assert_ne!(graph, example());
}

#[test]
fn inlining_copies_and_checks() {
    let inner = example();
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(3));
    let index = b.input("unused", TensorType::new(DType::I32, []));
    let outputs = b.inline(&inner, &[x, index]);
    let again = b.finish(&[("total", outputs[0]), ("sorted", outputs[1])]).unwrap();
    assert_eq!(again, inner);
    b.inline(&inner, &[x]);
    let error = b.finish(&[("total", outputs[0])]).unwrap_err();
    assert_eq!(
        (error.op.as_str(), error.expected.as_str(), error.got.as_str()),
        ("inline", "f64[3], i32[]", "f64[3]")
    );
}

#[test]
fn a_mistake_in_a_scan_body_names_the_step() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", vector(3));
    let (carry, _) =
        b.scan(2, &[x], &[], &[], 0, |step| (vec![step.carry[0].reshape(&[4])], vec![]));
    let error = b.finish(&[("y", carry[0])]).unwrap_err();
    assert!(error.op.starts_with("body of scan: reshape at "), "{error}");
    assert_eq!((error.expected.as_str(), error.got.as_str()), ("3 elements", "shape [4]"));
}

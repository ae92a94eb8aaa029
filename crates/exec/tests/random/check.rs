//! What must hold of every graph.

use crate::numbers::Numbers;
use crate::recipe::Recipe;
use thalweg_array::{Array, DType};
use thalweg_exec::kernel::{Isa, Pool};
use thalweg_exec::{Executor, reference};
use thalweg_graph::Graph;
use thalweg_transform::vmap_graph;

/// Executors that must all give the same bits.
pub struct Machines(Vec<(String, Executor)>);

impl Machines {
    pub fn new() -> Machines {
        let kinds = [(1, Isa::Portable), (2, Isa::Avx2), (3, Isa::best()), (4, Isa::best())];
        let named =
            kinds.into_iter().filter(|(_, isa)| isa.is_available()).map(|(threads, isa)| {
                let name = format!("{threads} threads with {isa:?}");
                (name, Executor::on(Pool::with_isa(threads, isa)))
            });
        Machines(named.collect())
    }
}

/// Largest error relative to one plus the largest element: exact recipes must be met exactly.
fn tolerance(recipe: &Recipe) -> f64 {
    match (recipe.exact, recipe.float) {
        (true, _) => 0.0,
        (false, DType::F64) => 1e-10,
        // Sums of some thousands of terms through a dozen of steps.
        (false, _) => 1e-2,
    }
}

fn run(executor: &Executor, graph: &Graph, inputs: Vec<Array>, what: &str) -> Vec<Array> {
    let program = executor.compile(graph).unwrap_or_else(|error| panic!("{what}: {error}"));
    program.run(inputs).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// An array of its own, whose memory an output may take over.
fn own(array: &Array) -> Array {
    let copy = Array::stack(std::slice::from_ref(array)).unwrap();
    copy.reshape(array.shape()).unwrap()
}

pub fn promises(recipe: &Recipe, machines: &Machines) {
    let graph = recipe.graph();
    graph.verify().unwrap();
    let operands = recipe.operands(&graph, 0);
    let expected = reference::evaluate(&graph, &operands).unwrap();
    let (_, plain) = &machines.0[0];
    let first = run(plain, &graph, operands.clone(), "borrowed");
    agree(&first, &expected, tolerance(recipe), "executor against oracle");
    let mut numbers = Numbers::new(recipe.inputs[0] ^ 0x51ab);
    for (name, executor) in &machines.0 {
        // Some inputs are kept, some given away; then all are given away; then none again, over
        // memory that the runs before have used.
        let kept: Vec<Array> = operands.clone();
        let some = operands.iter().map(|x| if numbers.once_in(2) { own(x) } else { x.clone() });
        let some = run(executor, &graph, some.collect(), name);
        same(&some, &first, &format!("{name}, some inputs given away"));
        let all = run(executor, &graph, operands.iter().map(own).collect(), name);
        same(&all, &first, &format!("{name}, inputs given away"));
        let again = run(executor, &graph, operands.clone(), name);
        same(&again, &first, &format!("{name}, inputs kept"));
        assert!(kept == operands, "{name}: an input that was kept has changed");
    }
    short_of_memory(&graph, &operands, &first, machines, &mut numbers);
    shared_inputs(&graph, &operands, plain);
    members(recipe, &graph, machines, &mut numbers);
}

/// Whatever is computed again because memory is short, it is the same.
fn short_of_memory(
    graph: &Graph,
    operands: &[Array],
    expected: &[Array],
    machines: &Machines,
    numbers: &mut Numbers,
) {
    let (name, executor) = &machines.0[machines.0.len() - 1];
    let whole = executor.compile(graph).unwrap().memory().peak();
    for share in [0, 50 + numbers.below(50)] {
        let what = format!("{name}, {share} % of the memory");
        let program = executor.compile_within(graph, whole / 100 * share).unwrap();
        assert!(program.memory().peak() <= whole, "{what}: more than before");
        let kept = program.run(operands.to_vec()).unwrap();
        same(&kept, expected, &what);
        let given = program.run(operands.iter().map(own).collect()).unwrap();
        same(&given, expected, &format!("{what}, inputs given away"));
    }
}

/// Inputs of one type may be one array.
fn shared_inputs(graph: &Graph, operands: &[Array], executor: &Executor) {
    let mut shared = operands.to_vec();
    for i in 1..shared.len() {
        let alike = |other: &Array| {
            other.dtype() == shared[i].dtype() && other.shape() == shared[i].shape()
        };
        if let Some(at) = (0..i).find(|&at| alike(&shared[at])) {
            shared[i] = shared[at].clone();
        }
    }
    let separate: Vec<Array> = shared.iter().map(own).collect();
    let expected = run(executor, graph, separate, "separate inputs");
    same(&run(executor, graph, shared, "shared inputs"), &expected, "one array for two inputs");
}

/// A member of a batch has the bits that it has alone.
fn members(recipe: &Recipe, graph: &Graph, machines: &Machines, numbers: &mut Numbers) {
    let size = numbers.pick(&[1, 2, 3]);
    let axes: Vec<Option<usize>> = graph
        .inputs()
        .map(|port| (!numbers.once_in(3)).then(|| numbers.below(port.ty.rank() + 1)))
        .collect();
    if axes.iter().all(Option::is_none) {
        return;
    }
    let batched = vmap_graph(graph, &axes, size).unwrap_or_else(|error| panic!("vmap: {error}"));
    batched.verify().unwrap();
    let alone: Vec<Vec<Array>> = (0..size as u64)
        .map(|member| {
            let own = recipe.operands(graph, member);
            let shared = recipe.operands(graph, 0);
            let of = own.into_iter().zip(shared).zip(&axes);
            of.map(|((own, shared), axis)| if axis.is_some() { own } else { shared }).collect()
        })
        .collect();
    let stacked: Vec<Array> = (axes.iter().enumerate())
        .map(|(i, axis)| match axis {
            None => alone[0][i].clone(),
            Some(axis) => stack(&alone.iter().map(|x| x[i].clone()).collect::<Vec<_>>(), *axis),
        })
        .collect();
    let (name, executor) = &machines.0[machines.0.len() - 1];
    let given = stacked.iter().map(own).collect();
    let together = run(executor, &batched, given, &format!("vmap of {size} on {axes:?}, {name}"));
    let (_, plain) = &machines.0[0];
    for (number, operands) in alone.into_iter().enumerate() {
        let expected = run(plain, graph, operands, "a member alone");
        let row: Vec<Array> = together.iter().map(|all| all.row(number).unwrap()).collect();
        same(&row, &expected, &format!("member {number} of {size} on {axes:?} against it alone"));
    }
}

/// Arrays of one type along a new axis at any place.
fn stack(arrays: &[Array], axis: usize) -> Array {
    let shape = arrays[0].shape();
    let before: usize = shape[..axis].iter().product();
    let after: usize = shape[axis..].iter().product();
    let mut whole = shape.to_vec();
    whole.insert(axis, arrays.len());
    if before * after == 0 {
        return Array::zeros(arrays[0].dtype(), &whole);
    }
    let flat: Vec<Array> = arrays.iter().map(|x| x.reshape(&[before, after]).unwrap()).collect();
    let rows = (0..before).flat_map(|i| flat.iter().map(move |x| x.row(i).unwrap()));
    Array::stack(&rows.collect::<Vec<_>>()).unwrap().reshape(&whole).unwrap()
}

fn agree(got: &[Array], expected: &[Array], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: number of outputs");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.dtype(), expected.dtype(), "{what}, output {i}");
        assert_eq!(got.shape(), expected.shape(), "{what}, output {i}");
        let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
        let finite = expected.iter().filter(|x| x.is_finite());
        let size = 1.0 + finite.fold(0.0f64, |size, x| size.max(x.abs()));
        for (k, (g, e)) in got.iter().zip(&expected).enumerate() {
            let fits = g == e || g.is_nan() && e.is_nan() || (g - e).abs() <= tolerance * size;
            assert!(fits, "{what}, output {i}: [{k}] {g:e}, expected {e:e}");
        }
    }
}

/// The same bits; all NaN are alike.
fn same(got: &[Array], expected: &[Array], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: number of outputs");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        if got == expected {
            continue;
        }
        assert_eq!(got.dtype(), expected.dtype(), "{what}, output {i}");
        assert_eq!(got.shape(), expected.shape(), "{what}, output {i}");
        let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
        for (k, (g, e)) in got.iter().zip(&expected).enumerate() {
            let alike = g.to_bits() == e.to_bits() || g.is_nan() && e.is_nan();
            assert!(alike, "{what}: output {i} [{k}] is {g:e}, not {e:e}");
        }
    }
}

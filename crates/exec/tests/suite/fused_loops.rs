//! Fused chains that need several tiles.

use thalweg_exec::kernel::Pool;
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Array, Builder, DType, DotAxes, TensorType};

/// A channel's summand is loaded once for all tiles of a task, so no register of an earlier
/// instruction may share its slot.
#[test]
fn a_load_filled_once_outlives_its_tile() {
    let executor = Executor::new(1);
    for shape in [[768, 2], [384, 3], [300, 4], [128, 16]] {
        let b = Builder::new(DType::F64);
        let x = b.input("x", TensorType::new(DType::F64, shape));
        let y = b.input("y", TensorType::new(DType::F64, shape));
        let scale = b.input("scale", TensorType::new(DType::F64, [shape[1]]));
        let shift = b.input("shift", TensorType::new(DType::F64, [shape[1]]));
        let waves =
            |n: usize, step: f64| -> Vec<f64> { (0..n).map(|i| (i as f64 * step).sin()).collect() };
        let n = shape[0] * shape[1];
        let inputs = [
            Array::from_slice(&shape, &waves(n, 0.7)).unwrap(),
            Array::from_slice(&shape, &waves(n, 0.3)).unwrap(),
            Array::vector(&waves(shape[1], 0.9)),
            Array::vector(&waves(shape[1], 1.9)),
        ];
        let z = x * scale + shift;
        for chain in [(x + shift + y).relu(), z * 0.5, z.relu(), z * 0.5 * (z.erf() + 1.0)] {
            let graph = b.finish(&[("chain", chain)]).unwrap();
            let expected = reference::evaluate(&graph, &inputs).unwrap()[0].to_f64_vec();
            let got = executor.compile(&graph).unwrap().run(inputs.to_vec()).unwrap();
            for (got, expected) in got[0].to_f64_vec().iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-12, "{shape:?} {got} {expected}\n{graph}");
            }
        }
    }
}

/// Stores may be written over the memory of a load, so what is folded afterwards is a copy.
#[test]
fn a_sum_of_a_value_and_a_value_in_its_place() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [12, 6]));
    let scale = b.input("scale", TensorType::new(DType::F64, [6]));
    let values: Vec<f64> = (0..72).map(|i| (i as f64 * 0.7).sin()).collect();
    let inputs = [
        Array::from_slice(&[12, 6], &values).unwrap(),
        Array::vector(&[1.5, 2.0, 0.5, 3.0, -1.0, 4.0]),
    ];
    // The products keep what lies between them in buffers that the plan is free to reuse.
    let mixing = b.iota(DType::F64, &[6, 6], 1);
    let product = x.matmul(mixing);
    let (sum, scaled) = (product.sum(&[0]), (product * scale).matmul(mixing));
    let graph = b.finish(&[("sum", sum), ("scaled", scaled)]).unwrap();
    let expected = reference::evaluate(&graph, &inputs).unwrap();
    let got = Executor::new(1).compile(&graph).unwrap().run(inputs.to_vec()).unwrap();
    for (got, expected) in got.iter().zip(&expected) {
        for (got, expected) in got.to_f64_vec().iter().zip(expected.to_f64_vec()) {
            assert!((got - expected).abs() < 1e-10 * (1.0 + expected.abs()), "{got} {expected}");
        }
    }
}

/// An output takes over the memory of an input of its own type, not of one that is merely as
/// large.
#[test]
fn an_output_keeps_its_type_when_inputs_are_given_away() {
    let b = Builder::new(DType::F32);
    let keys = b.input("keys", TensorType::new(DType::U32, [5, 2]));
    let x = b.input("x", TensorType::new(DType::F32, [2, 5]));
    let y = b.input("y", TensorType::new(DType::F32, [10]));
    let sum = y + x.reshape(&[10]) + keys.convert(DType::F32).reshape(&[10]);
    let graph = b.finish(&[("sum", sum)]).unwrap();
    let program = Executor::new(1).compile(&graph).unwrap();
    let given = vec![
        Array::from_slice(&[5, 2], &[1u32; 10]).unwrap(),
        Array::from_slice(&[2, 5], &[1.5f32; 10]).unwrap(),
        Array::vector(&[0.5f32; 10]),
    ];
    let results = program.run(given).unwrap();
    assert_eq!(results, [Array::vector(&[3.0f32; 10])]);
}

/// Loads that do not change along a sum are filled once a task. A later tile of the task may have
/// more rows than its first one, and must not find what another task left there.
#[test]
fn blocks_of_a_sum_do_not_lean_on_each_other() {
    let shape = [64, 49, 32];
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, shape));
    let scale = b.input("scale", TensorType::new(DType::F64, [32]));
    let rows = b.input("rows", TensorType::new(DType::F64, [64, 32]));
    let spread = rows.broadcast_in(&shape, &[0, 2]);
    let product = x * spread * scale.broadcast_in(&shape, &[2]);
    let graph = b.finish(&[("sum", product.sum(&[0, 1])), ("product", product)]).unwrap();
    let waves = |n: usize, step: f64| (0..n).map(|i| (i as f64 * step).sin()).collect::<Vec<_>>();
    let inputs = [
        Array::from_slice(&shape, &waves(64 * 49 * 32, 0.7)).unwrap(),
        Array::vector(&waves(32, 0.3)),
        Array::from_slice(&[64, 32], &waves(64 * 32, 1.1)).unwrap(),
    ];
    let in_order = Executor::new(1).compile(&graph).unwrap().run(inputs.to_vec()).unwrap();
    for seed in 0..8 {
        let executor = Executor::on(Pool::scrambled(3, seed));
        let got = executor.compile(&graph).unwrap().run(inputs.to_vec()).unwrap();
        assert!(got == in_order, "seed {seed}");
    }
}

/// A loop that reads under another name what it stores itself takes it from its register: the
/// memory is written only when the tile ends.
#[test]
fn a_stored_value_is_read_through_stop_gradient_in_the_same_loop() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [3, 5]));
    let y = x + 1.0;
    let z = y.stop_gradient() * 2.0;
    let graph = b.finish(&[("y", y), ("z", z), ("sum", (z - y).sum(&[0]))]).unwrap();
    let values: Vec<f64> = (0..15).map(f64::from).collect();
    let array = || Array::from_slice(&[3, 5], &values).unwrap();
    let expected = reference::evaluate(&graph, &[array()]).unwrap();
    let program = Executor::new(1).compile(&graph).unwrap();
    assert_eq!(program.n_steps(), 1, "the test is of values of one loop");
    let kept = array();
    assert_eq!(program.run(vec![kept.clone()]).unwrap(), expected);
    assert_eq!(program.run(vec![array()]).unwrap(), expected);
}

#[test]
fn a_sum_over_several_empty_axes_is_zero() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [0, 0, 2]));
    let y = b.input("y", TensorType::new(DType::F64, [3, 0, 0]));
    let outputs = [
        ("sum", x.sum(&[0, 1])),
        ("largest", x.max(&[0, 1])),
        (
            "product",
            x.dot(
                y,
                DotAxes {
                    lhs_contract: vec![0, 1],
                    rhs_contract: vec![2, 1],
                    ..DotAxes::default()
                },
            ),
        ),
    ];
    let graph = b.finish(&outputs).unwrap();
    let inputs = vec![Array::zeros(DType::F64, &[0, 0, 2]), Array::zeros(DType::F64, &[3, 0, 0])];
    let got = Executor::new(1).compile(&graph).unwrap().run(inputs).unwrap();
    assert_eq!(got[0], Array::vector(&[0.0, 0.0]));
    assert_eq!(got[1], Array::vector(&[f64::NEG_INFINITY; 2]));
    assert_eq!(got[2], Array::zeros(DType::F64, &[2, 3]));
}

/// A block of a sum may begin within a row, and its first tile is then shorter than the next one:
/// a scalar that is laid out for the first is too short for it. What lies beyond was left by the
/// block before, unless another thread has run that.
#[test]
fn a_scalar_is_laid_out_for_the_longest_tile_of_a_block() {
    let shape = [3000, 520];
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, shape));
    // The reversed rows and the plain ones are walked apart, so the axes do not merge.
    let outputs = [("rows", x.reverse(&[1]) + 9.0), ("sum", x.sum(&[0, 1]))];
    let graph = b.finish(&outputs).unwrap();
    let values: Vec<f64> = (0..3000 * 520).map(|i| f64::from(i % 13)).collect();
    let x = Array::from_slice(&shape, &values).unwrap();
    let mut expected: Vec<f64> = values.iter().map(|x| x + 9.0).collect();
    expected.chunks_mut(520).for_each(<[f64]>::reverse);
    for _ in 0..4 {
        // Working memory is new, so nothing of an earlier run is in it.
        let program = Executor::new(4).compile(&graph).unwrap();
        assert_eq!(program.n_steps(), 1, "the test is of one loop");
        let got = program.run(vec![x.clone()]).unwrap();
        let wrong = got[0].to_f64_vec().iter().zip(&expected).filter(|(g, e)| g != e).count();
        assert_eq!(wrong, 0);
    }
}

/// A sum over rows takes whole rows where it can, and a tile holds one at least, however many
/// registers there are. How many columns a task has depends on the threads, and no bit on that.
#[test]
fn a_tile_of_many_registers_holds_a_row() {
    let shape = [2100, 512];
    let b = Builder::new(DType::F32);
    let x = b.input("x", TensorType::new(DType::F32, shape));
    let waves = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
    let mut inputs = vec![Array::from_slice(&shape, &waves(2100 * 512, 0.7)).unwrap()];
    let sum = (0..60).fold(x, |sum, index| {
        let y = b.input(&format!("y{index}"), TensorType::new(DType::F32, [512]));
        inputs.push(Array::vector(&waves(512, 0.1 * (index + 1) as f32)));
        sum * 0.5 + y.broadcast_in(&shape, &[1])
    });
    let graph = b.finish(&[("sum", sum.sum(&[0]))]).unwrap();
    let expected = reference::evaluate(&graph, &inputs).unwrap()[0].to_f64_vec();
    let on = |threads: usize| {
        let program = Executor::new(threads).compile(&graph).unwrap();
        assert_eq!(program.n_steps(), 1, "the test is of one loop");
        program.run(inputs.clone()).unwrap()
    };
    let one = on(1);
    for (got, expected) in one[0].to_f64_vec().iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{got} {expected}");
    }
    assert!(one == on(2) && one == on(7));
}

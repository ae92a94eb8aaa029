//! Batched programs against their members one by one, for every choice of batched operands, once
//! and twice.

use thalweg_exec::reference::evaluate;
use thalweg_graph::Array;
use thalweg_graph::{Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::{Replacement, vmap};

/// A function of float tensors.
pub type Function = dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>;

const INNER: usize = 3;
const OUTER: usize = 2;

/// Checks `f` for every choice of operands that the inner and the outer batching carry.
pub fn check(name: &str, shapes: &[&[usize]], f: &Function) {
    let n = shapes.len();
    for inner in 1u32..1 << n {
        for outer in 0u32..1 << n {
            check_one(name, shapes, f, inner, outer);
        }
    }
}

fn has(mask: u32, i: usize) -> bool {
    mask >> i & 1 == 1
}

/// Where the inner members' axis stands in operand `i`: not always in front.
fn inner_axis(shape: &[usize], i: usize) -> usize {
    i.min(shape.len())
}

fn check_one(name: &str, shapes: &[&[usize]], f: &Function, inner: u32, outer: u32) {
    let what = format!("{name}, inner {inner:b}, outer {outer:b}");
    let graph = batched(shapes, f, inner, outer);
    let plain = plain(shapes, f);
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let arrays: Vec<Array> = graph
        .inputs()
        .map(|port| {
            let elements: Vec<f64> = (0..port.ty.element_count()).map(|_| next()).collect();
            Array::from_slice(&port.ty.shape, &elements).unwrap()
        })
        .collect();
    let got = evaluate(&graph, &arrays).unwrap();
    let n_outer = if outer == 0 { 1 } else { OUTER };
    for o in 0..n_outer {
        for i in 0..INNER {
            let member: Vec<Array> = (0..shapes.len())
                .map(|k| {
                    let mut array = arrays[k].clone();
                    if has(outer, k) {
                        array = array.row(o).unwrap();
                    }
                    if has(inner, k) {
                        array = along(&array, inner_axis(shapes[k], k), i);
                    }
                    array
                })
                .collect();
            let expected = evaluate(&plain, &member).unwrap();
            for (got, expected) in got.iter().zip(&expected) {
                let one = if outer == 0 { got.clone() } else { got.row(o).unwrap() };
                let one = one.row(i).unwrap();
                assert_eq!(one.shape(), expected.shape(), "{what}");
                assert_eq!(one.dtype(), expected.dtype(), "{what}");
                for (got, expected) in one.to_f64_vec().iter().zip(expected.to_f64_vec()) {
                    let close = (got - expected).abs() <= 1e-11 * expected.abs().max(1.0);
                    assert!(close, "{what}: got {got}, expected {expected}");
                }
            }
        }
    }
}

/// One index of an axis, which is removed.
fn along(array: &Array, axis: usize, index: usize) -> Array {
    let before: usize = array.shape()[..axis].iter().product();
    let after: usize = array.shape()[axis + 1..].iter().product();
    let extent = array.shape()[axis];
    let all = array.to_f64_vec();
    let mut elements = Vec::with_capacity(before * after);
    for b in 0..before {
        let start = (b * extent + index) * after;
        elements.extend_from_slice(&all[start..start + after]);
    }
    let mut shape = array.shape().to_vec();
    shape.remove(axis);
    Array::from_slice(&shape, &elements).unwrap()
}

fn plain(shapes: &[&[usize]], f: &Function) -> Graph {
    let b = Builder::new(DType::F64);
    let x: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| b.input(&format!("x{i}"), TensorType::new(DType::F64, *shape)))
        .collect();
    finish(&b, f(&b, &x))
}

fn batched(shapes: &[&[usize]], f: &Function, inner: u32, outer: u32) -> Graph {
    let b = Builder::new(DType::F64);
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    let x: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| {
            let mut ty = TensorType::new(DType::F64, *shape);
            let member = ty.clone();
            if has(inner, i) {
                ty.shape.insert(inner_axis(shape, i), INNER);
            }
            let one = ty.clone();
            if has(outer, i) {
                ty.shape.insert(0, OUTER);
            }
            let mut x = b.input(&format!("x{i}"), ty);
            if has(outer, i) {
                let member = b.placeholder(one);
                twice.push(Replacement { member, batched: x, axis: 0 });
                x = member;
            }
            if has(inner, i) {
                let member = b.placeholder(member);
                once.push(Replacement { member, batched: x, axis: inner_axis(shape, i) });
                x = member;
            }
            x
        })
        .collect();
    let mut outputs = vmap(&f(&b, &x), &once, INNER);
    if outer != 0 {
        outputs = vmap(&outputs, &twice, OUTER);
    }
    finish(&b, outputs)
}

fn finish(b: &Builder, outputs: Vec<Tensor<'_>>) -> Graph {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    let outputs: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let graph = b.finish(&outputs).unwrap();
    graph.verify().unwrap();
    graph
}

//! Loops against the same steps written out.

use crate::batching::{check_batch, leading_subsets};
use crate::compare::{assert_all_close, cotangents, extended, oracle};
use crate::draw::Draw;
use crate::tolerance::IDENTITY;
use crate::transforms::{forward, jvp, vjp};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, Tensor, TensorType};

fn step<'b>(carry: Tensor<'b>, x: Tensor<'b>, w: Tensor<'b>) -> (Tensor<'b>, Tensor<'b>) {
    let next = (carry.matmul(w) + x).tanh();
    (next, (next * carry).sum(&[0]))
}

/// `length` steps as a loop, or written out.
fn network(length: usize, branching: Option<usize>) -> Graph {
    let b = Builder::new(DType::F64);
    let input = |name, shape: &[usize]| b.input(name, TensorType::new(DType::F64, shape));
    let (carry, xs, w) = (input("x0", &[2]), input("x1", &[length, 2]), input("x2", &[2, 2]));
    let (last, ys) = match branching {
        Some(branching) => {
            let (carry, ys) = b.scan(length, &[carry], &[xs], &[w], branching, |s| {
                let (next, y) = step(s.carry[0], s.xs[0], s.constants[0]);
                (vec![next], vec![y])
            });
            (carry[0], ys[0])
        }
        None => {
            let mut carry = carry;
            let mut ys = Vec::new();
            for t in 0..length {
                let (next, y) = step(carry, xs.index(0, t), w);
                carry = next;
                ys.push(y);
            }
            (carry, b.stack(&ys))
        }
    };
    b.finish(&[("y0", last), ("y1", ys)]).unwrap()
}

/// Lengths that fill a tree of checkpoints, and lengths that do not.
const LENGTHS: [usize; 6] = [1, 2, 5, 8, 9, 13];

fn operands(length: usize, draw: &mut Draw) -> Vec<Array> {
    vec![draw.signed(&[2]), draw.signed(&[length, 2]), draw.signed(&[2, 2])]
}

#[test]
fn every_derivative_of_a_loop_is_that_of_its_steps() {
    for length in LENGTHS {
        let mut draw = Draw::new(&format!("loop of {length}"));
        let x = operands(length, &mut draw);
        let written = network(length, None);
        let pushed = extended(&x, forward(&written), &mut draw);
        let pulled = [&x[..], &cotangents(&written, &mut draw)].concat();
        let hessian = extended(&pulled, forward(&vjp(&written)), &mut draw);
        let again = [&pulled[..], &cotangents(&vjp(&written), &mut draw)].concat();
        for branching in [0, 2, 3, 4] {
            let scanned = network(length, Some(branching));
            let same = |transform: &dyn Fn(&Graph) -> Graph, inputs: &[Array], what: &str| {
                let what = format!("{what} of {length} steps, branching {branching}");
                let got = oracle(&transform(&scanned), inputs, &what);
                let expected = oracle(&transform(&written), inputs, &what);
                assert_all_close(&got, &expected, IDENTITY, &what);
            };
            same(&Graph::clone, &x, "values");
            same(&jvp, &pushed, "jvp");
            same(&vjp, &pulled, "vjp");
            same(&|graph| jvp(&vjp(graph)), &hessian, "jvp of vjp");
            same(&|graph| vjp(&vjp(graph)), &again, "vjp of vjp");
        }
    }
}

#[test]
fn loops_batch_with_any_operand_shared() {
    for branching in [0, 2] {
        let mut draw = Draw::new(&format!("batched loop, branching {branching}"));
        let x = operands(5, &mut draw);
        let scanned = network(5, Some(branching));
        let gradient = vjp(&scanned);
        let pulled = [&x[..], &cotangents(&scanned, &mut draw)].concat();
        let hessian = extended(&pulled, forward(&gradient), &mut draw);
        for axes in leading_subsets(pulled.len()) {
            check_batch(&gradient, &pulled, &axes, &mut draw, "vmap of vjp of a loop");
        }
        let second = jvp(&gradient);
        for axes in leading_subsets(hessian.len()) {
            check_batch(&second, &hessian, &axes, &mut draw, "vmap of jvp of vjp of a loop");
        }
    }
}

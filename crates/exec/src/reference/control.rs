//! Operations that hold graphs.

use super::dense::{Dense, Scalar};
use super::linear_algebra::solve;
use super::run;
use thalweg_graph::{FixedPoint, LinearSolve, Scan, TensorType, While};

pub(super) fn scan(scan: &Scan, operands: &[&Dense], types: &[TensorType]) -> Vec<Dense> {
    let (carry, rest) = operands.split_at(scan.n_carry);
    let (xs, constants) = rest.split_at(scan.n_xs);
    let mut carry: Vec<Dense> = carry.iter().map(|&value| value.clone()).collect();
    let mut ys: Vec<Dense> = types[scan.n_carry..].iter().map(Dense::zeros).collect();
    for step in 0..scan.length {
        let t = if scan.reverse { scan.length - 1 - step } else { step };
        let mut arguments = carry;
        arguments.extend(xs.iter().map(|x| row(x, t)));
        arguments.extend(constants.iter().map(|&value| value.clone()));
        carry = run(&scan.body, &arguments);
        for (y, row) in ys.iter_mut().zip(carry.drain(scan.n_carry..)) {
            let size = row.elements.len();
            y.elements[t * size..(t + 1) * size].copy_from_slice(&row.elements);
        }
    }
    carry.into_iter().chain(ys).collect()
}

fn row(x: &Dense, t: usize) -> Dense {
    let size: usize = x.shape[1..].iter().product();
    let elements = x.elements[t * size..(t + 1) * size].to_vec();
    Dense { dtype: x.dtype, shape: x.shape[1..].to_vec(), elements }
}

pub(super) fn repeat_while(looped: &While, operands: &[&Dense]) -> Vec<Dense> {
    let mut arguments: Vec<Dense> = operands.iter().map(|&value| value.clone()).collect();
    while run(&looped.condition, &arguments)[0].at(&[]).boolean() {
        let next = run(&looped.body, &arguments);
        for (argument, value) in arguments.iter_mut().zip(next) {
            *argument = value;
        }
    }
    arguments.truncate(looped.n_carry);
    arguments
}

/// The exact solution, of the matrix whose columns are the images of unit vectors: the solver,
/// its tolerance and its bound on steps are for executors that approach it.
pub(super) fn linear_solve(it: &LinearSolve, operands: &[&Dense]) -> Dense {
    let (b, constants) = operands.split_last().expect("the verifier asked for an operand");
    let n_systems: usize = b.shape[..it.n_batch].iter().product();
    let size: usize = b.shape[it.n_batch..].iter().product();
    let right = b.floats();
    let mut matrices = vec![vec![vec![0.0; size]; size]; n_systems];
    for column in 0..size {
        let mut units = vec![0.0; n_systems * size];
        for system in 0..n_systems {
            units[system * size + column] = 1.0;
        }
        let mut arguments: Vec<Dense> = constants.iter().map(|&value| value.clone()).collect();
        arguments.push(Dense::from_floats(b.dtype, &b.shape, &units));
        let image = run(&it.matvec, &arguments)[0].floats();
        for system in 0..n_systems {
            for row in 0..size {
                matrices[system][row][column] = image[system * size + row];
            }
        }
    }
    let solutions: Vec<f64> = matrices
        .into_iter()
        .enumerate()
        .flat_map(|(system, a)| solve(a, right[system * size..(system + 1) * size].to_vec()))
        .collect();
    Dense::from_floats(b.dtype, &b.shape, &solutions)
}

/// Iterates until each problem's change is small; a problem that has ended stays as it is while
/// the others go on.
pub(super) fn fixed_point(it: &FixedPoint, operands: &[&Dense]) -> Dense {
    let tolerance = f64::from_bits(it.tolerance_bits);
    let mut arguments: Vec<Dense> = operands.iter().map(|&value| value.clone()).collect();
    let last = arguments.len() - 1;
    let shape = arguments[last].shape.clone();
    let n_problems: usize = shape[..it.n_batch].iter().product();
    let size: usize = shape[it.n_batch..].iter().product();
    let mut ended = vec![false; n_problems];
    for _ in 0..it.max_iterations {
        if ended.iter().all(|&ended| ended) {
            break;
        }
        let next = run(&it.body, &arguments)[0].floats();
        let current = &mut arguments[last].elements;
        for (problem, ended) in ended.iter_mut().enumerate().filter(|(_, ended)| !**ended) {
            let range = problem * size..(problem + 1) * size;
            let (mut change, mut norm) = (0.0, 0.0);
            for i in range {
                change += (next[i] - current[i].float()).powi(2);
                norm += next[i].powi(2);
                current[i] = Scalar::Float(next[i]);
            }
            *ended = change.sqrt() <= tolerance * norm.sqrt();
        }
    }
    arguments.swap_remove(last)
}

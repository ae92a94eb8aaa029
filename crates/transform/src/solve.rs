//! Derivatives of linear solves and fixed points, by the implicit function theorem.
//!
//! # Source
//! M. Blondel et al., *Efficient and modular implicit differentiation*, 2021, arXiv:2105.15183,
//! section 2.

use crate::inner::{trace, types};
use crate::jvp::duals;
use crate::transpose::transpose;
use std::panic::Location;
use std::sync::Arc;
use thalweg_graph::{Builder, FixedPoint, Graph, LinearSolve, Op, Solver, Tensor};

type Place = &'static Location<'static>;

/// The derivative of a graph's only output along tangents of its first inputs, at `point`.
fn derivative<'b>(
    builder: &'b Builder,
    graph: &Graph,
    point: &[Tensor<'b>],
    tangents: &[Option<Tensor<'b>>],
) -> Option<Tensor<'b>> {
    let moved: Vec<usize> = (0..tangents.len()).filter(|&i| tangents[i].is_some()).collect();
    let along: Vec<Tensor<'b>> = tangents.iter().flatten().copied().collect();
    let groups = [("x", types(point)), ("tangent", types(&along))];
    let derived = trace(builder, &groups, |inner, inputs| {
        let output = inner.inline(graph, &inputs[0]);
        let seeds: Vec<_> =
            moved.iter().zip(&inputs[1]).map(|(&i, &tangent)| (inputs[0][i], tangent)).collect();
        duals(inner, &output, &seeds).into_iter().filter_map(|dual| dual.tangent).collect()
    })?;
    builder.inline(&derived, &[point, &along].concat()).first().copied()
}

/// `dx = A^-1 (db - (dA) x)`.
pub(crate) fn linear_solve_jvp<'b>(
    builder: &'b Builder,
    it: &Arc<LinearSolve>,
    place: Place,
    x: &[Tensor<'b>],
    t: &[Option<Tensor<'b>>],
    y: Tensor<'b>,
) -> Option<Tensor<'b>> {
    let last = x.len() - 1;
    let point = [&x[..last], &[y]].concat();
    let moved = t[..last].iter().any(Option::is_some);
    let by_matrix = if moved { derivative(builder, &it.matvec, &point, &t[..last]) } else { None };
    let right = match (t[last], by_matrix) {
        (Some(db), Some(by_matrix)) => db - by_matrix,
        (Some(db), None) => db,
        (None, Some(by_matrix)) => -by_matrix,
        (None, None) => return None,
    };
    let operands = [&x[..last], &[right]].concat();
    Some(builder.emit_at(Op::LinearSolve(it.clone()), &operands, place)[0])
}

/// A solve with the transposed operator, which conjugate gradients take to be the same one.
pub(crate) fn linear_solve_transpose<'b>(
    builder: &'b Builder,
    it: &Arc<LinearSolve>,
    place: Place,
    constants: &[Tensor<'b>],
    ct: Tensor<'b>,
) -> Tensor<'b> {
    let solve = match it.solver {
        Solver::ConjugateGradient => it.clone(),
        Solver::BiConjugateGradientStabilized => {
            let groups = [("constant", types(constants)), ("x", vec![ct.ty()])];
            let matvec = trace(builder, &groups, |inner, inputs| {
                let x = inner.placeholder(ct.ty());
                let arguments = [inputs[0].as_slice(), &[x]].concat();
                let image: Vec<_> = inner
                    .inline(&it.matvec, &arguments)
                    .into_iter()
                    .map(|image| (image, Some(inputs[1][0])))
                    .collect();
                let transposed = transpose(inner, &image, &[x], &[]);
                vec![transposed.cotangents[0].unwrap_or_else(|| inputs[1][0].zeros_like())]
            });
            let Some(matvec) = matvec else { return ct };
            Arc::new(LinearSolve { matvec: Arc::new(matvec), ..(**it).clone() })
        }
    };
    let operands = [constants, &[ct]].concat();
    builder.emit_at(Op::LinearSolve(solve), &operands, place)[0]
}

/// `dx = (I - df/dx)^-1 (df/dc) dc`; where the iteration starts does not matter.
pub(crate) fn fixed_point_jvp<'b>(
    builder: &'b Builder,
    it: &Arc<FixedPoint>,
    place: Place,
    x: &[Tensor<'b>],
    t: &[Option<Tensor<'b>>],
    y: Tensor<'b>,
) -> Option<Tensor<'b>> {
    let last = x.len() - 1;
    if t[..last].iter().all(Option::is_none) {
        return None;
    }
    let point = [&x[..last], &[y]].concat();
    let right = derivative(builder, &it.body, &point, &t[..last])?;
    let groups = [("constant", types(&point)), ("x", vec![y.ty()])];
    let matvec = trace(builder, &groups, |inner, inputs| {
        let v = inputs[1][0];
        let output = inner.inline(&it.body, &inputs[0]);
        let moved = duals(inner, &output, &[(inputs[0][last], v)])[0].tangent;
        vec![moved.map_or(v, |moved| v - moved)]
    })?;
    let solve = LinearSolve {
        matvec: Arc::new(matvec),
        solver: Solver::BiConjugateGradientStabilized,
        max_iterations: it.max_iterations,
        tolerance_bits: it.tolerance_bits,
        n_batch: it.n_batch,
    };
    let operands = [point, vec![right]].concat();
    Some(builder.emit_at(Op::LinearSolve(Arc::new(solve)), &operands, place)[0])
}

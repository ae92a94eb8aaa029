//! Forward rules of factorisations. Matrices are the last two axes; earlier axes are a batch.

use super::At;
use thalweg_graph::{Builder, DType, DotAxes, Op, Tensor};

/// Product over the last two axes of tensors with equal batch axes.
fn matmul<'b>(a: Tensor<'b>, b: Tensor<'b>) -> Tensor<'b> {
    let rank = a.rank();
    let batch: Vec<usize> = (0..rank - 2).collect();
    a.dot(
        b,
        DotAxes {
            lhs_batch: batch.clone(),
            rhs_batch: batch,
            lhs_contract: vec![rank - 1],
            rhs_contract: vec![rank - 2],
        },
    )
}

fn transposed(a: Tensor<'_>) -> Tensor<'_> {
    a.move_axis(a.rank() - 1, a.rank() - 2)
}

/// `row - column` of each entry of a matrix.
fn row_minus_column<'b>(builder: &'b Builder, shape: &[usize]) -> Tensor<'b> {
    let rank = shape.len();
    builder.iota(DType::I32, shape, rank - 2) - builder.iota(DType::I32, shape, rank - 1)
}

/// The symmetric matrix that the lower triangle gives: the upper one is not read.
fn symmetric(a: Tensor<'_>) -> Tensor<'_> {
    let place = row_minus_column(a.builder(), &a.shape());
    place.greater_equal(0.0).select(a, transposed(a))
}

fn solve<'b>(a: Tensor<'b>, b: Tensor<'b>, lower: bool, transpose: bool) -> Tensor<'b> {
    a.builder().emit_one(Op::TriangularSolve { lower, transpose }, &[a, b])
}

/// `dL = L phi(L^-1 dA L^-T)`, `phi` the lower triangle with half the diagonal (Smith 1995).
pub(super) fn cholesky<'b>(at: &At<'b, '_>) -> Tensor<'b> {
    let l = at.outputs[0];
    let da = symmetric(at.tangent(0));
    let half = solve(l, da, true, false);
    let inner = transposed(solve(l, transposed(half), true, false));
    let place = row_minus_column(at.builder, &l.shape());
    let diagonal = place.equal(0.0).select(inner * 0.5, inner.zeros_like());
    matmul(l, place.greater(0.0).select(inner, diagonal))
}

/// `dx = a^-1 (db - da x)` with the triangle of `da` that is read.
pub(super) fn triangular_solve<'b>(at: &At<'b, '_>, lower: bool, transpose: bool) -> Tensor<'b> {
    let (a, x) = (at.inputs[0], at.outputs[0]);
    let right = match (at.tangents[0], at.tangents[1]) {
        (None, _) => at.tangent(1),
        (Some(da), db) => {
            let place = row_minus_column(at.builder, &a.shape());
            let read = if lower { place.greater_equal(0.0) } else { place.less_equal(0.0) };
            let da = read.select(da, da.zeros_like());
            let moved = matmul(if transpose { transposed(da) } else { da }, x);
            match db {
                Some(db) => db - moved,
                None => -moved,
            }
        }
    };
    solve(a, right, lower, transpose)
}

/// With `m = V^T dA V`: `dw = diag(m)`, `dV = V (f m)`, `f_ij = 1 / (w_j - w_i)` off the diagonal.
/// Equal eigenvalues have no derivative of their own vectors; `f` is zero there.
pub(super) fn symmetric_eigen<'b>(at: &At<'b, '_>) -> Vec<Option<Tensor<'b>>> {
    let (w, v) = (at.outputs[0], at.outputs[1]);
    let da = symmetric(at.tangent(0));
    let m = matmul(matmul(transposed(v), da), v);
    let rank = v.rank();
    let place = row_minus_column(at.builder, &v.shape());
    let on_diagonal = place.equal(0.0);
    let dw = on_diagonal.select(m, m.zeros_like()).sum(&[rank - 1]);
    let gap = w.expand(rank - 2) - w.expand(rank - 1);
    let same = gap.equal(0.0);
    let f = same.select(0.0, 1.0 / same.select(1.0, gap));
    vec![Some(dw), Some(matmul(v, f * m))]
}

//! Tangents of factorisations of the matrices in the last two axes.
//!
//! The factorisations read the lower triangle alone, so they are functions of it: a tangent's
//! upper triangle is ignored as the operand's is, and gradients are zero above the diagonal (with
//! both mirror images' shares below it).

use thalweg_graph::{DType, DotAxes, Op, Tensor};

/// `dL = L phi(L^-1 dA L^-T)`, where `phi` keeps the lower triangle and halves the diagonal.
///
/// # Source
/// I. Murray, *Differentiation of the Cholesky decomposition*, 2016, arXiv:1602.07527, equation 8.
pub(super) fn cholesky<'b>(t: Tensor<'b>, factor: Tensor<'b>) -> Tensor<'b> {
    let solve = |right: Tensor<'b>| {
        let op = Op::TriangularSolve { lower: true, transpose: false };
        factor.builder().emit_one(op, &[factor, right])
    };
    let inner = solve(swap(solve(mirrored(t))));
    let halved = on_diagonal(inner).select(inner * 0.5, inner);
    matmul(factor, below(inner).select(halved, inner.zeros_like()))
}

/// `dx = a^-1 (db - da x)`, with `a` transposed if it is in the solve; of `da` the triangle that
/// `a` is read in counts.
pub(super) fn triangular_solve<'b>(
    lower: bool,
    transpose: bool,
    x: &[Tensor<'b>],
    t: &[Option<Tensor<'b>>],
    y: Tensor<'b>,
) -> Tensor<'b> {
    let by_matrix = t[0].map(|da| {
        let triangle = if lower { below(da) } else { above(da) };
        let da = triangle.select(da, da.zeros_like());
        -matmul(if transpose { swap(da) } else { da }, y)
    });
    let right = match (t[1], by_matrix) {
        (Some(db), Some(by_matrix)) => db + by_matrix,
        (one, None) | (None, one) => one.unwrap_or_else(|| y.zeros_like()),
    };
    y.builder().emit_one(Op::TriangularSolve { lower, transpose }, &[x[0], right])
}

/// With `M = V^T dA V`: `dw = diag(M)` and `dV = V (F * M)`, `F_ij = 1 / (w_j - w_i)` off the
/// diagonal.
///
/// Where eigenvalues are equal the eigenvectors have no derivative, and what is given is not
/// finite; the tangents of the eigenvalues are those of the eigenvectors that were chosen.
pub(super) fn symmetric_eigen<'b>(
    t: Tensor<'b>,
    values: Tensor<'b>,
    vectors: Tensor<'b>,
) -> Vec<Option<Tensor<'b>>> {
    let inner = matmul(swap(vectors), matmul(mirrored(t), vectors));
    let shape = inner.shape();
    let (rank, diagonal) = (shape.len(), on_diagonal(inner));
    let zeros = inner.zeros_like();
    let dw = diagonal.select(inner, zeros).sum(&[rank - 1]);
    let batch: Vec<usize> = (0..rank - 2).collect();
    let row: Vec<usize> = batch.iter().copied().chain([rank - 2]).collect();
    let column: Vec<usize> = batch.iter().copied().chain([rank - 1]).collect();
    let gap = values.broadcast_in(&shape, &column) - values.broadcast_in(&shape, &row);
    let factors = diagonal.select(0.0, 1.0 / diagonal.select(1.0, gap));
    vec![Some(dw), Some(matmul(vectors, inner * factors))]
}

/// The symmetric matrix with the lower triangle of `t`.
fn mirrored(t: Tensor<'_>) -> Tensor<'_> {
    below(t).select(t, swap(t))
}

fn swap(t: Tensor<'_>) -> Tensor<'_> {
    t.move_axis(t.rank() - 1, t.rank() - 2)
}

/// The product of the matrices in the last two axes; the others are batch.
fn matmul<'b>(a: Tensor<'b>, b: Tensor<'b>) -> Tensor<'b> {
    let batch: Vec<usize> = (0..a.rank() - 2).collect();
    let axes = DotAxes {
        lhs_contract: vec![a.rank() - 1],
        rhs_contract: vec![a.rank() - 2],
        lhs_batch: batch.clone(),
        rhs_batch: batch,
    };
    a.dot(b, axes)
}

fn rows_and_columns(t: Tensor<'_>) -> (Tensor<'_>, Tensor<'_>) {
    let shape = t.shape();
    let iota = |axis: usize| t.builder().iota(DType::I32, &shape, axis);
    (iota(shape.len() - 2), iota(shape.len() - 1))
}

fn on_diagonal(t: Tensor<'_>) -> Tensor<'_> {
    let (row, column) = rows_and_columns(t);
    row.equal(column)
}

fn below(t: Tensor<'_>) -> Tensor<'_> {
    let (row, column) = rows_and_columns(t);
    row.greater_equal(column)
}

fn above(t: Tensor<'_>) -> Tensor<'_> {
    let (row, column) = rows_and_columns(t);
    row.less_equal(column)
}

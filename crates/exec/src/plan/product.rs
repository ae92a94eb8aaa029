//! A general dot as batched matrix products over strided views.

use super::view::View;
use crate::kernel::{Batch, Product};
use thalweg_graph::DotAxes;

/// An axis with its strides in the left operand, the right operand and the result.
#[derive(Clone, Copy)]
struct Axis {
    extent: usize,
    a: isize,
    b: isize,
    c: isize,
}

/// Merges neighbours that every operand walks as one; an extent of one disappears.
fn merge(axes: impl IntoIterator<Item = Axis>) -> Vec<Axis> {
    let mut merged: Vec<Axis> = Vec::new();
    for axis in axes.into_iter().filter(|axis| axis.extent != 1) {
        if let Some(last) = merged.last_mut() {
            let n = axis.extent as isize;
            if last.a == axis.a * n && last.b == axis.b * n && last.c == axis.c * n {
                *last = Axis { extent: last.extent * axis.extent, ..axis };
                continue;
            }
        }
        merged.push(axis);
    }
    merged
}

/// The product, or `None` if the summed axes are no single strided range in both operands.
pub(super) fn product(
    axes: &DotAxes,
    lhs: (&View, &[usize]),
    rhs: (&View, &[usize]),
) -> Option<Product> {
    let lhs_free = DotAxes::free(lhs.1.len(), &axes.lhs_batch, &axes.lhs_contract);
    let rhs_free = DotAxes::free(rhs.1.len(), &axes.rhs_batch, &axes.rhs_contract);
    let mut batch: Vec<Axis> = axes
        .lhs_batch
        .iter()
        .zip(&axes.rhs_batch)
        .map(|(&l, &r)| Axis { extent: lhs.1[l], a: lhs.0.strides[l], b: rhs.0.strides[r], c: 0 })
        .collect();
    let mut rows: Vec<Axis> = lhs_free
        .iter()
        .map(|&l| Axis { extent: lhs.1[l], a: lhs.0.strides[l], b: 0, c: 0 })
        .collect();
    let mut columns: Vec<Axis> = rhs_free
        .iter()
        .map(|&r| Axis { extent: rhs.1[r], a: 0, b: rhs.0.strides[r], c: 0 })
        .collect();
    let mut stride = 1;
    for axis in columns.iter_mut().rev().chain(rows.iter_mut().rev()).chain(batch.iter_mut().rev())
    {
        axis.c = stride;
        stride *= axis.extent.max(1) as isize;
    }
    let summed = merge(axes.lhs_contract.iter().zip(&axes.rhs_contract).map(|(&l, &r)| Axis {
        extent: lhs.1[l],
        a: lhs.0.strides[l],
        b: rhs.0.strides[r],
        c: 0,
    }));
    let k = match summed.as_slice() {
        // A sum of nothing: strides of empty axes say nothing about neighbours.
        empty if empty.iter().any(|axis| axis.extent == 0) => Axis { extent: 0, a: 0, b: 0, c: 0 },
        [] => Axis { extent: 1, a: 0, b: 0, c: 0 },
        [one] => *one,
        _ => return None,
    };
    let mut batch = merge(batch);
    let unit = Axis { extent: 1, a: 0, b: 0, c: 0 };
    let mut take = |axes: Vec<Axis>| {
        let mut merged = merge(axes);
        let last = merged.pop().unwrap_or(unit);
        batch.extend(merged);
        last
    };
    let m = take(rows);
    let n = take(columns);
    Some(Product {
        m: m.extent,
        n: n.extent,
        k: k.extent,
        a: [m.a, k.a],
        b: [k.b, n.b],
        c: [m.c, n.c],
        batch: batch
            .into_iter()
            .map(|axis| Batch { extent: axis.extent, a: axis.a, b: axis.b, c: axis.c })
            .collect(),
    })
}

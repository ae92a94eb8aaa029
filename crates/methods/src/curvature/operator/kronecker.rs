//! Blocks that are Kronecker products, on the host.

use crate::MethodError;
use crate::common::{SymmetricEigen, reciprocal, symmetric_eigen, vector};
use std::ops::Range;
use std::sync::OnceLock;

/// `A (x) G` over a layer's weight `[in, out]` and its bias, if it has one, as one row more:
/// `V -> A V G`.
pub(super) struct Block {
    /// The name of the weight.
    pub(super) name: String,
    /// The weight's elements in a vector of the operator, and the bias's.
    pub(super) weight: Range<usize>,
    pub(super) bias: Option<Range<usize>>,
    /// Whether the weight is `[out, in]`.
    pub(super) turned: bool,
    /// `A`, of the rows of the input.
    pub(super) input: Vec<Vec<f64>>,
    /// `G`, of the rows of the output's gradient.
    pub(super) output: Vec<Vec<f64>>,
    eigen: OnceLock<[SymmetricEigen; 2]>,
}

impl Block {
    pub(super) fn new(
        name: &str,
        (weight, bias, turned): (Range<usize>, Option<Range<usize>>, bool),
        [input, output]: [Vec<Vec<f64>>; 2],
    ) -> Block {
        let (name, eigen) = (name.to_owned(), OnceLock::new());
        Block { name, weight, bias, turned, input, output, eigen }
    }

    /// The block's part of a vector, by rows of the input.
    fn rows(&self, whole: &[f64]) -> Vec<Vec<f64>> {
        let outputs = self.output.len().max(1);
        let weight = &whole[self.weight.clone()];
        let inputs = weight.len() / outputs;
        let mut rows: Vec<Vec<f64>> = match self.turned {
            true => (0..inputs)
                .map(|i| (0..outputs).map(|o| weight[o * inputs + i]).collect())
                .collect(),
            false => weight.chunks(outputs).map(<[f64]>::to_vec).collect(),
        };
        rows.extend(self.bias.clone().map(|bias| whole[bias].to_vec()));
        rows
    }

    fn put(&self, rows: &[Vec<f64>], whole: &mut [f64]) {
        let outputs = self.output.len().max(1);
        let inputs = self.weight.len() / outputs;
        let weight = &mut whole[self.weight.clone()];
        for (i, row) in rows.iter().take(inputs).enumerate() {
            for (o, &value) in row.iter().enumerate() {
                weight[if self.turned { o * inputs + i } else { i * outputs + o }] = value;
            }
        }
        if let (Some(bias), Some(row)) = (self.bias.clone(), rows.get(inputs)) {
            whole[bias].copy_from_slice(row);
        }
    }

    /// Writes the block's part of the product with a vector.
    pub(super) fn apply(&self, whole: &[f64], product: &mut [f64]) {
        let left = times(&self.input, &self.rows(whole));
        let rows: Vec<Vec<f64>> = left.iter().map(|row| along(row, &self.output)).collect();
        self.put(&rows, product);
    }

    /// Writes the block's part of the solution of `(A (x) G + damping I) x = v`.
    pub(super) fn solve(
        &self,
        whole: &[f64],
        damping: f64,
        solution: &mut [f64],
    ) -> Result<(), MethodError> {
        let [input, output] = self.eigen()?;
        let mut rows = times(&input.vectors, &self.rows(whole));
        for (row, a) in rows.iter_mut().zip(&input.values) {
            let mut seen = along(row, &output.vectors);
            for (x, g) in seen.iter_mut().zip(&output.values) {
                *x *= reciprocal(a.max(0.0) * g.max(0.0), damping)?;
            }
            row.fill(0.0);
            for (x, vector) in seen.iter().zip(&output.vectors) {
                vector::add_scaled(row, *x, vector);
            }
        }
        let mut back = vec![vec![0.0; self.output.len()]; rows.len()];
        for (vector, row) in input.vectors.iter().zip(&rows) {
            for (to, &factor) in back.iter_mut().zip(vector) {
                vector::add_scaled(to, factor, row);
            }
        }
        self.put(&back, solution);
        Ok(())
    }

    /// All eigenvalues: each of `A` times each of `G`.
    pub(super) fn eigenvalues(&self) -> Result<Vec<f64>, MethodError> {
        let [input, output] = self.eigen()?;
        let each = |&a: &f64| output.values.iter().map(move |g| a.max(0.0) * g.max(0.0));
        Ok(input.values.iter().flat_map(each).collect())
    }

    fn eigen(&self) -> Result<&[SymmetricEigen; 2], MethodError> {
        let found = self
            .eigen
            .get_or_init(|| [symmetric_eigen(&self.input), symmetric_eigen(&self.output)]);
        let values = found.iter().flat_map(|eigen| &eigen.values);
        match values.copied().find(|value| !value.is_finite()) {
            None => Ok(found),
            Some(value) => Err(MethodError::NotFinite {
                what: format!("an eigenvalue of a Kronecker factor of {}", self.name),
                value: value.to_string(),
            }),
        }
    }

    /// `tr A tr G`.
    pub(super) fn trace(&self) -> f64 {
        let of = |m: &[Vec<f64>]| -> f64 { m.iter().enumerate().map(|(i, row)| row[i]).sum() };
        of(&self.input) * of(&self.output)
    }
}

/// `M V` by rows.
fn times(matrix: &[Vec<f64>], rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = rows.first().map_or(0, Vec::len);
    let product = |line: &Vec<f64>| {
        let mut sum = vec![0.0; width];
        for (&factor, row) in line.iter().zip(rows) {
            vector::add_scaled(&mut sum, factor, row);
        }
        sum
    };
    matrix.iter().map(product).collect()
}

/// The components of a row along some vectors.
fn along(row: &[f64], vectors: &[Vec<f64>]) -> Vec<f64> {
    vectors.iter().map(|vector| vector::dot(row, vector)).collect()
}

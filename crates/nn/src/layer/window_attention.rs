//! Attention inside windows of an image.

use super::{Dense, dot_product_attention};
use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_array::Array;
use thalweg_graph::Tensor;

/// `y = concat over heads of softmax(q k^T / sqrt(e) + B) v`, projected, inside each of the windows
/// that an image is cut into; a window as large as the image makes it attention over all of it.
///
/// `B` of two places is the entry of a learned table for their distance, down and to the right: one
/// table for all heads and windows.
///
/// # Shapes    x `[batch, height, width, in]` -> `[batch, height, width, out]`; the parameters are
/// those of its two dense layers, the first with queries, keys and values of each head in this order,
/// and `bias_table` `[2 tall - 1, 2 wide - 1]`, key minus query, for windows of `tall x wide`
/// # Errors    windows that do not divide the image or hold more than 4,096 places, heads that do not
/// divide the first dense layer's units, and a tensor of another rank, are refused
/// # Gradient  any order
/// # Source    Liu et al., Swin transformer, 2021, arXiv 2103.14030, equation 4; Park, Kim, How do
/// vision transformers work?, 2022, arXiv 2202.06709, and the code of its authors
/// # Deviations from the paper    Swin's table is one a head; that of the second source's code is not
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAttention {
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Number of heads.
    pub heads: usize,
    /// The projection to queries, keys and values, and the one at the end, each under its name.
    pub projections: [(&'static str, Dense); 2],
}

/// Places of a window, at most: their square is what the scores and the indices of a window take.
const LARGEST_WINDOW: usize = 4096;

impl Layer for WindowAttention {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = x.shape();
        let [tall, wide] = self.window;
        let [(inward, to_all), (outward, from_heads)] = &self.projections;
        let shares = self.heads.saturating_mul(3);
        let fits = match shape[..] {
            [_, height, width, _] => {
                let places = tall.saturating_mul(wide);
                (1..=LARGEST_WINDOW).contains(&places)
                    && height.is_multiple_of(tall)
                    && width.is_multiple_of(wide)
                    && shares > 0
                    && to_all.outputs > 0
                    && to_all.outputs.is_multiple_of(shares)
            }
            _ => false,
        };
        if !fits {
            let expected = format!(
                "[batch, height, width, units] in windows of {tall}x{wide}, and {} units in {} heads",
                to_all.outputs, self.heads
            );
            scope.builder().reject("window_attention", expected, x.ty().to_string());
            return x;
        }
        let [batch, height, width, channels] = [shape[0], shape[1], shape[2], shape[3]];
        let (rows, columns) = (height / tall, width / wide);
        let (windows, places) = (rows * columns, tall * wide);
        let units = to_all.outputs / shares;
        let cut = x
            .reshape(&[batch, rows, tall, columns, wide, channels])
            .transpose(&[0, 1, 3, 2, 4, 5])
            .reshape(&[batch, windows, places, channels]);
        let all = to_all.forward(&scope.enter(inward), cut);
        let all = all.reshape(&[batch, windows, places, 3, self.heads, units]);
        let [q, k, v] = [0, 1, 2].map(|i| all.index(3, i));
        let bias = self.bias(scope);
        let y = dot_product_attention([q, k, v], |scores| scores + bias, |weights| weights);
        let y = y.reshape(&[batch, windows, places, self.heads * units]);
        let y = from_heads.forward(&scope.enter(outward), y);
        y.reshape(&[batch, rows, columns, tall, wide, from_heads.outputs])
            .transpose(&[0, 1, 3, 2, 4, 5])
            .reshape(&[batch, height, width, from_heads.outputs])
    }
}

impl WindowAttention {
    /// What is added to the score of each query, by row, and key, by column.
    fn bias<'b>(&self, scope: &Scope<'_, 'b>) -> Tensor<'b> {
        let [tall, wide] = self.window;
        let extents = [2 * tall - 1, 2 * wide - 1];
        let initializer = Initializer::Normal { standard_deviation: 0.02 };
        let axes = [Axis::Other, Axis::Other];
        let table = Parameter::new("bias_table", &extents, Role::Embedding, &axes, initializer);
        let table = scope.parameter(table).reshape(&[extents[0] * extents[1]]);
        let places = tall * wide;
        let entry = |pair: usize| {
            let (query, key) = (pair / places, pair % places);
            let down = key / wide + tall - 1 - query / wide;
            let right = key % wide + wide - 1 - query % wide;
            (down * extents[1] + right) as i32
        };
        let entries: Vec<i32> = (0..places * places).map(entry).collect();
        table.take(scope.builder().constant(Array::vector(&entries))).reshape(&[places, places])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Model, ModelPort};
    use std::sync::Arc;
    use thalweg_exec::reference;
    use thalweg_graph::{Builder, DType, TensorType};

    const HEADS: usize = 2;
    const UNITS: usize = 3;
    const OUT: usize = 5;

    fn layer(window: [usize; 2]) -> WindowAttention {
        let all = Dense { bias: false, ..Dense::new(3 * HEADS * UNITS) };
        let projections = [("qkv", all), ("proj", Dense::new(OUT))];
        WindowAttention { window, heads: HEADS, projections }
    }

    fn numbers(n: usize, phase: f64) -> Vec<f64> {
        (0..n).map(|i| (0.7 * i as f64 + 0.013 * (i * i) as f64 + phase).sin()).collect()
    }

    /// Place by place and pair by pair, from the formula.
    fn direct(x: &[f64], [h, w, c]: [usize; 3], window: [usize; 2], p: &[Vec<f64>]) -> Vec<f64> {
        let [qkv, table, proj, bias] = [&p[0], &p[1], &p[2], &p[3]];
        let [tall, wide] = window;
        let all = 3 * HEADS * UNITS;
        let part = |y: usize, x_at: usize, which: usize, head: usize, unit: usize| -> f64 {
            let column = (which * HEADS + head) * UNITS + unit;
            (0..c).map(|i| x[(y * w + x_at) * c + i] * qkv[i * all + column]).sum()
        };
        let mut out = Vec::new();
        for (y, x_at) in (0..h).flat_map(|y| (0..w).map(move |x_at| (y, x_at))) {
            let (top, left) = (y / tall * tall, x_at / wide * wide);
            let keys: Vec<(usize, usize)> = (top..top + tall)
                .flat_map(|ky| (left..left + wide).map(move |kx| (ky, kx)))
                .collect();
            let mut mixed = [0.0; HEADS * UNITS];
            for head in 0..HEADS {
                let score = |&(ky, kx): &(usize, usize)| {
                    let product: f64 = (0..UNITS)
                        .map(|u| part(y, x_at, 0, head, u) * part(ky, kx, 1, head, u))
                        .sum();
                    let entry = (ky + tall - 1 - y) * (2 * wide - 1) + kx + wide - 1 - x_at;
                    (product / (UNITS as f64).sqrt() + table[entry]).exp()
                };
                let scores: Vec<f64> = keys.iter().map(score).collect();
                let sum: f64 = scores.iter().sum();
                for ((ky, kx), score) in keys.iter().zip(&scores) {
                    for unit in 0..UNITS {
                        mixed[head * UNITS + unit] += score / sum * part(*ky, *kx, 2, head, unit);
                    }
                }
            }
            for o in 0..OUT {
                let sum: f64 = mixed.iter().enumerate().map(|(i, m)| m * proj[i * OUT + o]).sum();
                out.push(sum + bias[o]);
            }
        }
        out
    }

    #[test]
    fn it_is_what_the_formula_says() {
        for (shape, window) in [([4, 6, 4], [2, 3]), ([3, 2, 4], [3, 2]), ([2, 2, 4], [1, 1])] {
            let port = ModelPort::float("x", &shape);
            let model = Model::new(Arc::new(layer(window)), vec![port], &["y"]).unwrap();
            let names: Vec<&str> = model.parameters().iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names, ["qkv.weight", "bias_table", "proj.weight", "proj.bias"]);
            let parameters: Vec<Vec<f64>> = (model.parameters().iter().enumerate())
                .map(|(i, p)| numbers(p.count(), i as f64))
                .collect();
            let arrays = model.parameters().iter().zip(&parameters);
            let mut arguments: Vec<Array> =
                arrays.map(|(p, values)| Array::from_slice(&p.shape, values).unwrap()).collect();
            let size: usize = shape.iter().product();
            let x = numbers(2 * size, 9.0);
            let shape_of_two = [&[2], &shape[..]].concat();
            arguments.push(Array::from_slice(&shape_of_two, &x).unwrap());
            let graph = model.evaluation_graph(DType::F64, 2).unwrap();
            let found = reference::evaluate(&graph, &arguments).unwrap()[0].to_f64_vec();
            let expected: Vec<f64> =
                x.chunks(size).flat_map(|x| direct(x, shape, window, &parameters)).collect();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-13, "{window:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn equal_logits_give_the_mean_over_places() {
        let shape = [3, 3, 2];
        let port = ModelPort::float("x", &shape);
        let model = Model::new(Arc::new(layer([3, 3])), vec![port], &["y"]).unwrap();
        let all = 3 * HEADS * UNITS;
        let inside = HEADS * UNITS;
        // Queries and keys of nothing, and the same bias for all pairs.
        let mut qkv = numbers(2 * all, 0.0);
        (0..2 * all).filter(|i| i % all < 2 * inside).for_each(|i| qkv[i] = 0.0);
        let (proj, bias) = (numbers(inside * OUT, 2.0), numbers(OUT, 3.0));
        let x = numbers(18, 9.0);
        let values: [(&[usize], &[f64]); 5] = [
            (&[2, all], &qkv),
            (&[5, 5], &[0.3; 25]),
            (&[inside, OUT], &proj),
            (&[OUT], &bias),
            (&[1, 3, 3, 2], &x),
        ];
        let arguments = values.map(|(shape, values)| Array::from_slice(shape, values).unwrap());
        let graph = model.evaluation_graph(DType::F64, 1).unwrap();
        let found = reference::evaluate(&graph, &arguments).unwrap()[0].to_f64_vec();
        let mean = [0, 1].map(|c| x.iter().skip(c).step_by(2).sum::<f64>() / 9.0);
        let value = |i: usize| (0..2).map(|c| mean[c] * qkv[c * all + 2 * inside + i]).sum::<f64>();
        let out =
            |o: usize| (0..inside).map(|i| value(i) * proj[i * OUT + o]).sum::<f64>() + bias[o];
        for (i, found) in found.iter().enumerate() {
            assert!((found - out(i % OUT)).abs() < 1e-14, "{i}: {found}");
        }
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        for (shape, window) in [([4, 6, 4], [3, 3]), ([4, 6, 4], [0, 3]), ([128, 64, 1], [128, 64])]
        {
            let port = ModelPort::float("x", &shape);
            let error = Model::new(Arc::new(layer(window)), vec![port], &["y"]).unwrap_err();
            assert!(error.to_string().contains("window"), "{error}");
        }
        let b = Builder::new(DType::F32);
        let model =
            Model::new(Arc::new(layer([2, 2])), vec![ModelPort::float("x", &[4, 4, 1])], &["y"])
                .unwrap();
        let (parameters, buffers) = model.declare(&b);
        let x = b.input("x", TensorType::new(DType::F32, [3, 16, 1]));
        let applied = model.apply(&b, &parameters, &buffers, x, &Mode::EVALUATE);
        assert!(b.finish(&[("y", applied.output)]).is_err());
    }
}

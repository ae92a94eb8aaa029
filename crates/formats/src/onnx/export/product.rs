//! Products and convolutions.

use super::extent::Extent;
use super::file::{int, ints, whole};
use super::held::Held;
use super::print::Printer;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::AttributeProto;
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Value};

/// The engine's image in the order of ONNX.
const IMAGE: [usize; 4] = [0, 3, 1, 2];
/// The engine's kernel in the order of ONNX.
const KERNEL: [usize; 4] = [3, 2, 0, 1];

impl Printer<'_> {
    pub(super) fn biased(&mut self, product: Value, bias: Value) -> Result<Held, FormatError> {
        let traced = self.traced;
        let node = &traced.graph.nodes()[product.node as usize];
        match &node.op {
            Op::Dot(axes) => self.dot(node.inputs[0], node.inputs[1], axes, Some(bias)),
            Op::Convolution(window) => {
                self.convolution(node.inputs[0], node.inputs[1], window, Some(bias), product)
            }
            op => Err(unsupported(format!("a bias after {}", op.name()))),
        }
    }

    /// The general product; `bias` is added along its last axis.
    pub(super) fn dot(
        &mut self,
        lhs: Value,
        rhs: Value,
        axes: &DotAxes,
        bias: Option<Value>,
    ) -> Result<Held, FormatError> {
        let rank = |value| self.traced.extents(value).len();
        let free = [
            DotAxes::free(rank(lhs), &axes.lhs_batch, &axes.lhs_contract),
            DotAxes::free(rank(rhs), &axes.rhs_batch, &axes.rhs_contract),
        ];
        if let ([], &[inner], &[row], &[column], 2) = (
            &axes.lhs_batch[..],
            &axes.lhs_contract[..],
            &axes.rhs_contract[..],
            &free[1][..],
            rank(rhs),
        ) {
            return self.by_matrix([lhs, rhs], &free[0], [inner, row, column], bias);
        }
        let order = |parts: [&[usize]; 3]| parts.concat();
        let left = self.solid(lhs, &order([&axes.lhs_batch, &free[0], &axes.lhs_contract]))?;
        let right = self.solid(rhs, &order([&axes.rhs_batch, &axes.rhs_contract, &free[1]]))?;
        let n_batch = axes.lhs_batch.len();
        let batch = left.extents[..n_batch].to_vec();
        let (rows, inner) = left.extents[n_batch..].split_at(free[0].len());
        let columns = &right.extents[n_batch + axes.rhs_contract.len()..];
        let merged =
            [self.file.merged(rows)?, self.file.merged(inner)?, self.file.merged(columns)?];
        let under = |last: [Extent; 2]| [batch.as_slice(), &last].concat();
        let result = [batch.as_slice(), rows, columns].concat();
        let a = self.file.reshape(&left.value, &under([merged[0], merged[1]]))?;
        let b = self.file.reshape(&right.value, &under([merged[1], merged[2]]))?;
        let ty = (a.dtype, under([merged[0], merged[2]]));
        let product = self.file.one("MatMul", &[&a.name, &b.name], Vec::new(), ty);
        Ok(Held::plain(self.file.reshape(&product, &result)?))
    }

    /// The product of anything and a matrix, without batch axes: `[inner, row, column]` are the
    /// summed axis of the left operand, and the two of the matrix.
    fn by_matrix(
        &mut self,
        [lhs, rhs]: [Value; 2],
        free: &[usize],
        [inner, row, column]: [usize; 3],
        bias: Option<Value>,
    ) -> Result<Held, FormatError> {
        let (mut left, mut right) = (self.get(lhs), self.get(rhs));
        // Both operands may have the summed elements in one other order.
        let order_of = |held: &Held, axis: usize| {
            let shuffle = held.shuffle.as_ref().filter(|shuffle| shuffle.axis == axis);
            shuffle.map(|shuffle| (shuffle.split.clone(), shuffle.permutation.clone()))
        };
        let alike = order_of(&left, inner) == order_of(&right, row);
        let elsewhere = |held: &Held, axis: usize| {
            held.shuffle.as_ref().is_some_and(|shuffle| shuffle.axis != axis)
        };
        if !alike || elsewhere(&left, inner) || elsewhere(&right, row) {
            left = self.file.unshuffled(&left)?;
            right = self.file.unshuffled(&right)?;
        }
        let traced = self.traced;
        let left = self.file.solid(&left, &[free, &[inner]].concat(), traced.extents(lhs))?;
        let mut extents = left.extents.clone();
        extents.pop();
        extents.push(traced.extents(rhs)[column]);
        let bias = match bias {
            Some(bias) => Some(self.plain(bias)?),
            None => None,
        };
        let turned = right.axes[..] == [column, row]
            && right.extents[..] == [column, row].map(|axis| traced.extents(rhs)[axis]);
        if free.len() == 1 && (turned || bias.is_some()) {
            let order = if turned { [column, row] } else { [row, column] };
            let right = self.file.solid(&right, &order, traced.extents(rhs))?;
            let mut inputs = vec![left.name.as_str(), &right.name];
            inputs.extend(bias.as_ref().map(|bias| bias.name.as_str()));
            let attributes = if turned { vec![int("transB", 1)] } else { Vec::new() };
            let result = (left.dtype, extents);
            return Ok(Held::plain(self.file.one("Gemm", &inputs, attributes, result)));
        }
        let right = self.file.solid(&right, &[row, column], traced.extents(rhs))?;
        let result = (left.dtype, extents.clone());
        let inputs = [left.name.as_str(), &right.name];
        let product = Held::plain(self.file.one("MatMul", &inputs, Vec::new(), result));
        match bias {
            None => Ok(product),
            Some(bias) => {
                let bias = bias.relabelled(|_| extents.len() - 1);
                let (dtype, rank) = (product.dtype, extents.len());
                self.elementwise("Add", &[product, bias], dtype, rank)
            }
        }
    }

    pub(super) fn convolution(
        &mut self,
        x: Value,
        w: Value,
        window: &ConvolutionWindow,
        bias: Option<Value>,
        value: Value,
    ) -> Result<Held, FormatError> {
        refuse_population(window)?;
        let (x, w) = (self.solid(x, &IMAGE)?, self.solid(w, &KERNEL)?);
        let mut names = vec![x.name.clone(), w.name.clone()];
        if let Some(bias) = bias {
            names.push(self.plain(bias)?.name.clone());
        }
        let attributes = attributes(window, &w)?;
        self.written("Conv", &names, attributes, x, value)
    }

    pub(super) fn transposed_convolution(
        &mut self,
        dy: Value,
        w: Value,
        window: &ConvolutionWindow,
        input: [usize; 2],
        value: Value,
    ) -> Result<Held, FormatError> {
        refuse_population(window)?;
        let (dy, w) = (self.solid(dy, &IMAGE)?, self.solid(w, &KERNEL)?);
        let mut attributes = attributes(window, &w)?;
        let mut beyond = Vec::new();
        for (i, &wanted) in input.iter().enumerate() {
            let fixed = |extent: Extent| {
                extent.fixed().ok_or_else(|| unsupported("an image whose height is the batch"))
            };
            let (steps, kernel) = (fixed(dy.extents[2 + i])?, fixed(w.extents[2 + i])?);
            let reach = window.dilation[i] * kernel.saturating_sub(1) + 1;
            let reached = window.stride[i] * steps.saturating_sub(1) + reach;
            let padding = window.padding[i].0 + window.padding[i].1;
            // What the last step of the convolution left over.
            beyond.push(whole(wanted + padding)? - whole(reached)?);
        }
        attributes.push(ints("output_padding", beyond));
        let names = [dy.name.clone(), w.name.clone()];
        self.written("ConvTranspose", &names, attributes, dy, value)
    }

    fn written(
        &mut self,
        op: &str,
        names: &[String],
        attributes: Vec<AttributeProto>,
        x: Held,
        value: Value,
    ) -> Result<Held, FormatError> {
        let extents = IMAGE.iter().map(|&axis| self.traced.extents(value)[axis]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let value = self.file.one(op, &names, attributes, (x.dtype, extents));
        Ok(Held { value, axes: IMAGE.to_vec(), shuffle: None })
    }
}

fn refuse_population(window: &ConvolutionWindow) -> Result<(), FormatError> {
    match window.has_population() {
        true => {
            Err(unsupported("a convolution of several weight sets is not an operation of ONNX"))
        }
        false => Ok(()),
    }
}

fn attributes(window: &ConvolutionWindow, w: &Held) -> Result<Vec<AttributeProto>, FormatError> {
    let list = |numbers: [usize; 2]| numbers.into_iter().map(whole).collect::<Result<Vec<_>, _>>();
    let [height, width] = window.padding;
    let pads = [height.0, width.0, height.1, width.1];
    let kernel = w.extents[2..].iter().map(|extent| whole(extent.fixed().unwrap_or(0)));
    Ok(vec![
        ints("kernel_shape", kernel.collect::<Result<_, _>>()?),
        ints("strides", list(window.stride)?),
        ints("pads", pads.into_iter().map(whole).collect::<Result<_, _>>()?),
        ints("dilations", list(window.dilation)?),
        int("group", whole(window.groups)?),
    ])
}

//! Windows.

use super::extent::Extent;
use super::file::{Typed, int, ints, whole};
use super::held::Held;
use super::print::Printer;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::AttributeProto;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::Array;
use thalweg_graph::{Value, Window};

/// Most axes over which runtimes move a window.
const MOST_MOVING: usize = 3;

impl Printer<'_> {
    pub(super) fn max_pool(&mut self, x: Value, window: &Window) -> Result<Held, FormatError> {
        self.pool("MaxPool", x, window, None)
    }

    pub(super) fn average_pool(&mut self, x: Value, window: &Window) -> Result<Held, FormatError> {
        self.pool("AveragePool", x, window, Some(int("count_include_pad", 1)))
    }

    /// A pooling over the axes between the first and the last.
    fn pool(
        &mut self,
        op: &str,
        x: Value,
        window: &Window,
        more: Option<AttributeProto>,
    ) -> Result<Held, FormatError> {
        let last = window.size.len() - 1;
        let order: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
        let held = self.solid(x, &order)?;
        let moving: Vec<usize> = (1..last).collect();
        let mut attributes = attributes(window, &moving)?;
        if op == "AveragePool" {
            attributes.retain(|attribute| attribute.name.as_deref() != Some("dilations"));
        }
        attributes.extend(more);
        let mut extents = held.extents.clone();
        for (place, &axis) in order.iter().enumerate().skip(2) {
            extents[place] = Extent::Fixed(steps(held.extents[place], window, axis)?);
        }
        let value = self.file.one(op, &[&held.name], attributes, (held.dtype, extents));
        Ok(Held { value, ..held })
    }

    /// A sum over windows is a convolution with ones.
    pub(super) fn window_sum(
        &mut self,
        x: Value,
        window: &Window,
        value: Value,
    ) -> Result<Held, FormatError> {
        let dtype = self.traced.graph.type_of(x).dtype;
        if !dtype.is_float() {
            return Err(unsupported(
                "the sum over windows of whole numbers is not an operation of ONNX",
            ));
        }
        let (viewed, moving) = self.moved(x, window)?;
        let mut shape = vec![1, 1];
        shape.extend(moving.iter().map(|&axis| window.size.get(axis).copied().unwrap_or(1)));
        let ones = self.file.constant(&Array::full(&shape, 1.0).convert(dtype))?;
        let attributes = attributes(window, &moving)?;
        let result = (viewed.dtype, self.stepped(&viewed, window, &moving)?);
        let sums = self.file.one("Conv", &[&viewed.name, &ones.name], attributes, result);
        let extents = self.traced.extents(value).to_vec();
        Ok(Held::plain(self.file.reshape(&sums, &extents)?))
    }

    pub(super) fn window_arg_max(
        &mut self,
        x: Value,
        window: &Window,
        value: Value,
    ) -> Result<Held, FormatError> {
        let (mut viewed, moving) = self.moved(x, window)?;
        if !self.traced.graph.type_of(x).dtype.is_float() {
            viewed = self.file.cast(&viewed, DataType::Double);
        }
        let attributes = attributes(window, &moving)?;
        let extents = self.stepped(&viewed, window, &moving)?;
        let results = [(viewed.dtype, extents.clone()), (DataType::Int64, extents)];
        let results = self.file.emit("MaxPool", &[&viewed.name], attributes, &results);
        // Places count over the whole operand there too.
        let places = self.file.cast(&results[1], DataType::Int32);
        let extents = self.traced.extents(value).to_vec();
        Ok(Held::plain(self.file.reshape(&places, &extents)?))
    }

    /// The operand as `[before, 1, moving axes.., after]` and the moving axes; that of the axes
    /// after them is no axis of the window.
    fn moved(&mut self, x: Value, window: &Window) -> Result<(Typed, Vec<usize>), FormatError> {
        let rank = window.size.len();
        let moves = |&axis: &usize| {
            window.size[axis] > 1 || window.stride[axis] > 1 || window.padding[axis] != (0, 0)
        };
        let held = self.plain(x)?;
        let first = (0..rank).find(moves).unwrap_or(0);
        let end = (0..rank).rev().find(moves).map_or(0, |last| last + 1).max(first);
        let mut moving: Vec<usize> = (first..end).collect();
        let mut extents = vec![self.file.merged(&held.extents[..first])?, Extent::Fixed(1)];
        extents.extend(&held.extents[first..end]);
        if end < rank {
            extents.push(self.file.merged(&held.extents[end..])?);
            moving.push(rank);
        }
        if moving.len() > MOST_MOVING {
            return Err(unsupported(format!(
                "a window that moves over {} axes, expected at most {MOST_MOVING} and not the last \
                 of them",
                moving.len()
            )));
        }
        Ok((self.file.reshape(&held.value, &extents)?, moving))
    }

    fn stepped(
        &self,
        viewed: &Typed,
        window: &Window,
        moving: &[usize],
    ) -> Result<Vec<Extent>, FormatError> {
        let mut extents = viewed.extents.clone();
        for (extent, &axis) in extents[2..].iter_mut().zip(moving) {
            if axis < window.size.len() {
                *extent = Extent::Fixed(steps(*extent, window, axis)?);
            }
        }
        Ok(extents)
    }
}

/// The number of windows along an axis.
fn steps(extent: Extent, window: &Window, axis: usize) -> Result<usize, FormatError> {
    let (size, stride) = (window.size[axis], window.stride[axis]);
    let extent = extent.fixed();
    extent
        .and_then(|extent| {
            let (padding, dilation) = (window.padding[axis], window.dilation[axis]);
            thalweg_graph::window_extent(extent, size, stride, padding, dilation)
        })
        .ok_or_else(|| unsupported("a window that moves over the batch"))
}

/// The window along some of its axes; along one that it has not, it stands still.
fn attributes(window: &Window, axes: &[usize]) -> Result<Vec<AttributeProto>, FormatError> {
    let list = |of: &[usize], still: usize| {
        let numbers = axes.iter().map(|&axis| whole(of.get(axis).copied().unwrap_or(still)));
        numbers.collect::<Result<Vec<_>, _>>()
    };
    let (low, high): (Vec<_>, Vec<_>) = window.padding.iter().copied().unzip();
    Ok(vec![
        ints("kernel_shape", list(&window.size, 1)?),
        ints("strides", list(&window.stride, 1)?),
        ints("pads", [list(&low, 0)?, list(&high, 0)?].concat()),
        ints("dilations", list(&window.dilation, 1)?),
    ])
}

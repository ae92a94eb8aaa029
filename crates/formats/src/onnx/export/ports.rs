//! What a file takes: parameters, buffers, inputs.

use super::extent::Extent;
use super::file::{Kind, Typed, data_type};
use super::held::{Held, Shuffle};
use super::print::Printer;
use super::{ImageLayout, unsupported};
use crate::FormatError;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::Array;
use thalweg_nn::{ModelPort, Parameter, PortType};

impl Printer<'_> {
    pub(super) fn parameter_name(&self, index: usize) -> Option<&str> {
        let parameters = self.model.parameters();
        match index.checked_sub(parameters.len()) {
            None => Some(&parameters[index].name),
            Some(index) => self.model.buffers().get(index).map(|buffer| buffer.name.as_str()),
        }
    }

    /// A parameter, a buffer or an input of the model.
    pub(super) fn input(&mut self, index: usize) -> Result<Held, FormatError> {
        let model = self.model;
        if let Some(name) = self.parameter_name(index).map(str::to_owned) {
            let array = self.arrays.remove(&name);
            let array = array.ok_or_else(|| unsupported(format!("no array for {name}")))?;
            return match model.parameters().get(index) {
                Some(parameter) => {
                    let value = self.file.initializer(&name, &array, Kind::Parameter)?;
                    self.parameter(parameter, value)
                }
                None => Ok(Held::plain(self.file.initializer(&name, &array, Kind::Buffer)?)),
            };
        }
        let port = &model.inputs()[index - model.parameters().len() - model.buffers().len()];
        let (value, axes) = self.port(port);
        let held = Held { value, axes, shuffle: None };
        self.normalised(port, held)
    }

    /// How PyTorch's array of a parameter lies, seen from the engine.
    fn parameter(&mut self, parameter: &Parameter, value: Typed) -> Result<Held, FormatError> {
        let layout = &parameter.torch;
        // The parts of each axis of the engine.
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut next = 0;
        for &extent in &parameter.shape {
            let mut own = Vec::new();
            let mut size = 1usize;
            while next < layout.split.len() && (own.is_empty() || size < extent) {
                size = size.saturating_mul(layout.split[next]);
                own.push(next);
                next += 1;
            }
            parts.push(own);
        }
        // PyTorch's axes, each of which must be one of the engine's, its parts in any order.
        let mut axes = Vec::new();
        let mut shuffle = None;
        let mut rest = layout.permutation.as_slice();
        while let Some(first) = rest.first() {
            let Some(axis) = parts.iter().position(|own| own.contains(first)) else { break };
            let own = &parts[axis];
            let (taken, after) = rest.split_at(own.len().min(rest.len()));
            if !taken.iter().all(|part| own.contains(part))
                || (shuffle.is_some() && !taken.is_sorted())
            {
                break;
            }
            if !taken.is_sorted() {
                shuffle = Some(Shuffle {
                    axis,
                    split: own.iter().map(|&part| layout.split[part]).collect(),
                    permutation: taken.iter().map(|&part| part - own[0]).collect(),
                });
            }
            axes.push(axis);
            rest = after;
        }
        if rest.is_empty() && next == layout.split.len() && axes.len() == value.extents.len() {
            return Ok(Held { value, axes, shuffle });
        }
        // Anything else is brought back step by step.
        let fixed =
            |extents: Vec<usize>| extents.into_iter().map(Extent::Fixed).collect::<Vec<_>>();
        let apart = fixed(layout.permutation.iter().map(|&axis| layout.split[axis]).collect());
        let apart = self.file.reshape(&value, &apart)?;
        let mut inverse = vec![0; layout.permutation.len()];
        layout.permutation.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        let turned = self.file.transpose(&apart, &inverse);
        Ok(Held::plain(self.file.reshape(&turned, &fixed(parameter.shape.clone()))?))
    }

    /// An input of the file and the engine's axis of each of its axes.
    pub(super) fn port(&self, port: &ModelPort) -> (Typed, Vec<usize>) {
        let dtype = match port.ty {
            PortType::Float => data_type(self.info.float),
            PortType::Index => DataType::Int64,
        };
        let mut extents = vec![Extent::Batch(1)];
        extents.extend(port.shape.iter().map(|&extent| Extent::Fixed(extent)));
        let axes = self.order(port);
        let extents = axes.iter().map(|&axis| extents[axis]).collect();
        (Typed { name: port.name.clone(), dtype, extents }, axes)
    }

    /// The order of the axes of an input or output.
    pub(super) fn order(&self, port: &ModelPort) -> Vec<usize> {
        match self.info.layout {
            ImageLayout::ChannelsFirst if is_image(port) => vec![0, 3, 1, 2],
            _ => (0..=port.shape.len()).collect(),
        }
    }

    /// The input as the network reads it.
    fn normalised(&mut self, port: &ModelPort, held: Held) -> Result<Held, FormatError> {
        let Some(normalization) = &self.info.normalization else { return Ok(held) };
        if port.ty == PortType::Index || normalization.mean.is_empty() {
            return Ok(held);
        }
        let width = port.shape.last().copied().unwrap_or(1);
        let parts = [&normalization.mean, &normalization.divisor];
        if parts.iter().any(|part| part.len() != width) {
            return Err(unsupported(format!(
                "a normalisation of {} channels or features before inputs of {width}",
                normalization.mean.len()
            )));
        }
        let rank = held.axes.len();
        // The channels where the input has them, so that nothing is to be turned.
        let place = held.place(rank - 1).unwrap_or(0);
        let axes = held.axes[place..].to_vec();
        let mut shape = vec![1; axes.len()];
        shape[0] = width;
        let mut held = held;
        let names = ["normalization.mean", "normalization.divisor"];
        for ((name, part), op) in names.iter().zip(parts).zip(["Sub", "Div"]) {
            self.file.scope = "normalization".to_owned();
            let array = Array::from_slice(&shape, part)?.convert(self.info.float);
            let value = self.file.initializer(name, &array, Kind::Constant)?;
            let part = Held { value, axes: axes.clone(), shuffle: None };
            let dtype = held.dtype;
            held = self.elementwise(op, &[held, part], dtype, rank)?;
        }
        Ok(held)
    }
}

/// Whether a port is images.
pub(super) fn is_image(port: &ModelPort) -> bool {
    port.ty == PortType::Float && port.shape.len() == 3
}

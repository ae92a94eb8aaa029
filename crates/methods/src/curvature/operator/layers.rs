//! Which parameters are those of dense and convolutional layers, found in the graph.

use thalweg_graph::{Binary, Builder, ConvolutionWindow, Node, Op, Tensor, Value};

/// A layer `y = x W + b` at each row of `x`: a position of an example, or what a kernel sees there.
pub(super) struct Layer<'b> {
    /// Where its weight stands among the parameters.
    pub(super) weight: usize,
    /// Where its bias does.
    pub(super) bias: Option<usize>,
    /// What it takes.
    pub(super) x: Tensor<'b>,
    /// What it gives, without the bias.
    pub(super) y: Tensor<'b>,
    /// How many numbers a row of the input has, and a row of the output.
    pub(super) extents: [usize; 2],
    /// How it reads the input.
    pub(super) reads: Reads,
}

/// How a layer reads its input.
pub(super) enum Reads {
    /// The last axis; a weight that is `[out, in]` is turned.
    Rows { turned: bool },
    /// Windows of an image, with a kernel of this height and width.
    Windows(ConvolutionWindow, [usize; 2]),
}

impl<'b> Layer<'b> {
    /// How often it is applied to a batch: how many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.y.shape().iter().product::<usize>() / self.extents[1].max(1)
    }

    /// The rows of its input, `[rows, in]`.
    pub(super) fn inputs(&self) -> Tensor<'b> {
        let read = match self.reads {
            Reads::Rows { .. } => self.x,
            Reads::Windows(window, kernel) => patches(self.x, &window, kernel, &self.y.shape()),
        };
        read.reshape(&[self.rows(), self.extents[0]])
    }
}

/// What each place of a kernel sees, end to end: `[n, height, width, kernel.. in]`.
fn patches<'b>(
    x: Tensor<'b>,
    window: &ConvolutionWindow,
    kernel: [usize; 2],
    to: &[usize],
) -> Tensor<'b> {
    let [top, left] = window.padding;
    let padded = x.pad(0.0, &[0, top.0, left.0, 0], &[0, top.1, left.1, 0], &[0; 4]);
    let shape = padded.shape();
    let mut seen = Vec::with_capacity(kernel[0] * kernel[1]);
    for i in 0..kernel[0] {
        for j in 0..kernel[1] {
            let start = [0, i * window.dilation[0], j * window.dilation[1], 0];
            let end = |axis: usize| start[axis] + (to[axis] - 1) * window.stride[axis - 1] + 1;
            let limit = [shape[0], end(1), end(2), shape[3]];
            let stride = [1, window.stride[0], window.stride[1], 1];
            seen.push(padded.slice_all(&start, &limit, &stride));
        }
    }
    x.builder().concatenate(&seen, 3)
}

/// The layers whose weights are some of the parameters: of each weight that is used once, as the
/// right operand of a matrix product or as an ungrouped convolution's kernel.
pub(super) fn layers<'b>(
    builder: &'b Builder,
    parameters: &[Tensor<'b>],
    places: &[usize],
) -> Vec<Layer<'b>> {
    let nodes: Vec<_> = (0..builder.node_count()).map(|index| builder.node(index)).collect();
    let users = |value: Value| -> Vec<usize> {
        let uses = |node: &Node| node.inputs.iter().filter(|&&input| input == value).count();
        let each = nodes.iter().enumerate();
        each.flat_map(|(index, node)| std::iter::repeat_n(index, uses(node))).collect()
    };
    let mut found = Vec::new();
    for &place in places {
        let Some(&[mut user]) = parameters.get(place).map(|p| users(p.value())).as_deref() else {
            continue;
        };
        let mut weight = parameters[place].value();
        let mut turned = false;
        if let Op::Transpose { permutation } = &nodes[user].op
            && permutation.as_slice() == [1, 0]
        {
            weight = Value::first(user as u32);
            let [after] = users(weight)[..] else { continue };
            (user, turned) = (after, true);
        }
        let Some((extents, reads)) = reading(builder, &nodes[user], weight, turned) else {
            continue;
        };
        let y = builder.tensor(Value::first(user as u32));
        let x = builder.tensor(nodes[user].inputs[0]);
        let bias = users(y.value())
            .into_iter()
            .find_map(|user| bias(&nodes, &nodes[user], y, parameters))
            .filter(|&bias| places.contains(&bias) && users(parameters[bias].value()).len() == 1);
        found.push(Layer { weight: place, bias, x, y, extents, reads });
    }
    found
}

fn reading(
    builder: &Builder,
    node: &Node,
    weight: Value,
    turned: bool,
) -> Option<([usize; 2], Reads)> {
    let &[x, right] = node.inputs.as_slice() else { return None };
    if right != weight || x == weight {
        return None;
    }
    let (x, shape) = (builder.tensor(x), builder.tensor(weight).shape());
    match &node.op {
        Op::Dot(axes) => {
            let (&[summed], &[last]) = (&axes.rhs_contract[..], &axes.lhs_contract[..]) else {
                return None;
            };
            let plain = axes.lhs_batch.is_empty() && axes.rhs_batch.is_empty();
            if !plain || shape.len() != 2 || last + 1 != x.rank() {
                return None;
            }
            let extents = [shape[summed], shape[1 - summed]];
            Some((extents, Reads::Rows { turned: turned != (summed == 1) }))
        }
        Op::Convolution(window) => {
            let &[height, width, inputs, outputs] = shape.as_slice() else { return None };
            if window.groups != 1 || window.has_population() || turned {
                return None;
            }
            let extents = [height * width * inputs, outputs];
            Some((extents, Reads::Windows(*window, [height, width])))
        }
        _ => None,
    }
}

/// The parameter that a node adds to each row of `y`.
fn bias(
    nodes: &[std::sync::Arc<Node>],
    node: &Node,
    y: Tensor<'_>,
    parameters: &[Tensor<'_>],
) -> Option<usize> {
    let (Op::Binary(Binary::Add), &[left, right]) = (&node.op, node.inputs.as_slice()) else {
        return None;
    };
    let other = if left == y.value() { right } else { left };
    let spread = nodes.get(other.node as usize)?;
    let (Op::Broadcast { axes, .. }, &[operand]) = (&spread.op, spread.inputs.as_slice()) else {
        return None;
    };
    let along_rows = axes.as_slice() == [y.rank() - 1];
    let place = parameters.iter().position(|parameter| parameter.value() == operand)?;
    (along_rows && y.shape().last() == parameters[place].shape().last()).then_some(place)
}

//! Which operations of a file a group of the engine's operations is.
//!
//! The engine has few operations and composes the others; a file that has `BatchNormalization`
//! where the network does is what its readers expect, and what runtimes are fast at. Only exactly
//! what `nn` composes is recognised, everything else is written operation by operation.

use thalweg_graph::{Binary, Comparison, DType, Graph, Op, Reduction, Unary, Value, Window};

/// What a node of the engine is in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// Its own operation.
    Itself,
    /// An element-wise function, perhaps with a factor `alpha`.
    Function { op: &'static str, x: Value, alpha: Option<f64> },
    /// A reduction or a mean; with `keep` the axes stay with extent one.
    Reduce { op: &'static str, x: Value, axes: Vec<usize>, keep: bool },
    /// The largest element of each window.
    MaxPool { x: Value, window: Window },
    /// The mean of each window, padding counted.
    AveragePool { x: Value, window: Window },
    /// A product or convolution, plus a bias along its last axis.
    Biased { product: Value, operands: Vec<Value>, bias: Value },
    /// Batch normalisation with given statistics.
    BatchNorm { x: Value, scale: Value, shift: Value, mean: Value, variance: Value, eps: f64 },
    /// Layer normalisation over the last axis.
    LayerNorm { x: Value, scale: Value, shift: Value, eps: f64 },
    /// Group normalisation before its scale and shift.
    GroupNorm { x: Value, groups: usize, eps: f64 },
    /// Softmax along an axis.
    Softmax { x: Value, axis: usize },
    /// One index of an axis, which goes.
    Index { x: Value, axis: usize, index: usize },
}

impl Meaning {
    /// The values that it reads; those of the node itself are `own`.
    pub(super) fn operands(&self, own: &[Value]) -> Vec<Value> {
        match self {
            Meaning::Itself => own.to_vec(),
            Meaning::Function { x, .. }
            | Meaning::Reduce { x, .. }
            | Meaning::MaxPool { x, .. }
            | Meaning::AveragePool { x, .. }
            | Meaning::GroupNorm { x, .. }
            | Meaning::Softmax { x, .. }
            | Meaning::Index { x, .. } => vec![*x],
            Meaning::Biased { operands, bias, .. } => [operands.as_slice(), &[*bias]].concat(),
            Meaning::BatchNorm { x, scale, shift, mean, variance, .. } => {
                vec![*x, *scale, *shift, *mean, *variance]
            }
            Meaning::LayerNorm { x, scale, shift, .. } => vec![*x, *scale, *shift],
        }
    }
}

/// The meaning of each node; that of nodes that nothing reads any more does not matter.
pub(super) fn recognise(graph: &Graph) -> Vec<Meaning> {
    let mut uses = vec![0usize; graph.nodes().len()];
    let inner = graph.nodes().iter().flat_map(|node| node.inputs.iter().copied());
    for value in inner.chain(graph.output_values()) {
        uses[value.node as usize] += 1;
    }
    let reader = Reader { graph, uses };
    (0..graph.nodes().len()).map(|node| reader.meaning(Value::first(node as u32))).collect()
}

struct Reader<'g> {
    graph: &'g Graph,
    uses: Vec<usize>,
}

impl Reader<'_> {
    fn meaning(&self, value: Value) -> Meaning {
        let found = match self.op(value) {
            Op::Select => {
                self.relu(value).or_else(|| self.leaky_relu(value)).or_else(|| self.softplus(value))
            }
            Op::Gather(_) => self.max_pool(value),
            Op::Reshape { .. } => {
                self.index(value).or_else(|| self.group_norm(value)).or_else(|| self.reduce(value))
            }
            Op::Binary(Binary::Multiply) => self.reduce(value).or_else(|| self.average_pool(value)),
            Op::Binary(Binary::Divide) => self.softmax(value),
            Op::Binary(Binary::Add) => self
                .batch_norm(value)
                .or_else(|| self.layer_norm(value))
                .or_else(|| self.biased(value)),
            _ => None,
        };
        found.unwrap_or(Meaning::Itself)
    }

    fn op(&self, value: Value) -> &Op {
        &self.graph.nodes()[value.node as usize].op
    }

    fn operands(&self, value: Value) -> &[Value] {
        &self.graph.nodes()[value.node as usize].inputs
    }

    fn shape(&self, value: Value) -> &[usize] {
        &self.graph.type_of(value).shape
    }

    fn binary(&self, value: Value, wanted: Binary) -> Option<[Value; 2]> {
        match (self.op(value), self.operands(value)) {
            (Op::Binary(found), &[a, b]) if *found == wanted => Some([a, b]),
            _ => None,
        }
    }

    fn unary(&self, value: Value, wanted: Unary) -> Option<Value> {
        match (self.op(value), self.operands(value)) {
            (Op::Unary(found), &[x]) if *found == wanted => Some(x),
            _ => None,
        }
    }

    /// `[x, on_true, on_false]` of a select by `x > 0`.
    fn where_positive(&self, value: Value) -> Option<[Value; 3]> {
        self.where_to_zero(value, Comparison::Greater)
    }

    /// `[x, on_true, on_false]` of a select by how `x` compares to zero.
    fn where_to_zero(&self, value: Value, comparison: Comparison) -> Option<[Value; 3]> {
        let (Op::Select, &[condition, on_true, on_false]) = (self.op(value), self.operands(value))
        else {
            return None;
        };
        match (self.op(condition), self.operands(condition)) {
            (&Op::Compare(found), &[x, zero])
                if found == comparison && self.scalar(zero) == Some(0.0) =>
            {
                Some([x, on_true, on_false])
            }
            _ => None,
        }
    }

    /// The number that every element is.
    fn scalar(&self, mut value: Value) -> Option<f64> {
        loop {
            match (self.op(value), self.operands(value)) {
                (Op::Constant(array), _) if array.dtype() != DType::Bool => return array.item(),
                (Op::Broadcast { .. } | Op::Reshape { .. }, &[x]) => value = x,
                _ => return None,
            }
        }
    }

    /// What is repeated along axes of extent one, or the value itself.
    fn stretched(&self, value: Value) -> Value {
        match (self.op(value), self.operands(value)) {
            (Op::Broadcast { axes, .. }, &[x]) if axes.len() == self.shape(value).len() => x,
            _ => value,
        }
    }

    /// The vector that is repeated along every axis but the last.
    fn along_last(&self, value: Value) -> Option<Value> {
        let last = self.shape(value).len().checked_sub(1)?;
        match (self.op(value), self.operands(value)) {
            (Op::Broadcast { axes, .. }, &[x])
                if axes[..] == [last] && self.shape(x).first() == self.shape(value).last() =>
            {
                Some(x)
            }
            _ => None,
        }
    }

    fn relu(&self, value: Value) -> Option<Meaning> {
        let [x, on_true, on_false] = self.where_to_zero(value, Comparison::LessEqual)?;
        let fits = on_false == x && self.scalar(on_true) == Some(0.0);
        fits.then_some(Meaning::Function { op: "Relu", x, alpha: None })
    }

    fn leaky_relu(&self, value: Value) -> Option<Meaning> {
        let [x, on_true, on_false] = self.where_positive(value)?;
        if on_true != x {
            return None;
        }
        let [same, slope] = self.binary(on_false, Binary::Multiply)?;
        let alpha = Some(self.scalar(slope)?);
        (same == x).then_some(Meaning::Function { op: "LeakyRelu", x, alpha })
    }

    fn softplus(&self, value: Value) -> Option<Meaning> {
        let [x, on_true, falling] = self.where_positive(value)?;
        let [same, again] = self.binary(on_true, Binary::Add)?;
        let power = self.unary(self.unary(falling, Unary::Log1p)?, Unary::Exp)?;
        let [of, negative, positive] = self.where_positive(power)?;
        let negated = self.unary(negative, Unary::Negate)?;
        let fits = same == x && again == falling && of == x && negated == x && positive == x;
        fits.then_some(Meaning::Function { op: "Softplus", x, alpha: None })
    }

    fn max_pool(&self, value: Value) -> Option<Meaning> {
        let &[flat, places] = self.operands(value) else { return None };
        let (Op::Reshape { .. }, &[x]) = (self.op(flat), self.operands(flat)) else { return None };
        let (Op::WindowArgMax(window), &[same]) = (self.op(places), self.operands(places)) else {
            return None;
        };
        let fits = same == x && self.shape(flat).len() == 1 && is_spatial(window);
        fits.then(|| Meaning::MaxPool { x, window: window.clone() })
    }

    fn average_pool(&self, value: Value) -> Option<Meaning> {
        let [sum, factor] = self.binary(value, Binary::Multiply)?;
        let (Op::WindowSum(window), &[x]) = (self.op(sum), self.operands(sum)) else { return None };
        let count = window.size.iter().product();
        let fits = is_spatial(window)
            && window.dilation.iter().all(|&dilation| dilation == 1)
            && is_one_over(self.scalar(factor)?, count);
        fits.then(|| Meaning::AveragePool { x, window: window.clone() })
    }

    /// A reduction or mean, its axes gone or kept.
    fn reduce(&self, value: Value) -> Option<Meaning> {
        let mut source = value;
        while let (Op::Reshape { .. } | Op::StopGradient, &[x]) =
            (self.op(source), self.operands(source))
        {
            source = x;
        }
        let (op, reduced) = match self.op(source) {
            Op::Reduce { kind: Reduction::Sum, .. } => ("ReduceSum", source),
            Op::Reduce { kind: Reduction::Max, .. } => ("ReduceMax", source),
            Op::Reduce { kind: Reduction::Min, .. } => ("ReduceMin", source),
            _ => ("ReduceMean", self.binary(source, Binary::Multiply)?[0]),
        };
        let (Op::Reduce { kind, axes }, &[x]) = (self.op(reduced), self.operands(reduced)) else {
            return None;
        };
        if op == "ReduceMean" {
            let factor = self.scalar(self.binary(source, Binary::Multiply)?[1])?;
            let count = axes.iter().map(|&axis| self.shape(x)[axis]).product();
            if *kind != Reduction::Sum || !is_one_over(factor, count) {
                return None;
            }
        }
        if axes.is_empty() {
            return None;
        }
        let axes = axes.clone();
        if self.shape(value) == self.shape(source) {
            return Some(Meaning::Reduce { op, x, axes, keep: false });
        }
        let mut kept = self.shape(x).to_vec();
        axes.iter().for_each(|&axis| kept[axis] = 1);
        (self.shape(value) == kept).then_some(Meaning::Reduce { op, x, axes, keep: true })
    }

    /// The operand and the axes of a reduction whose axes are kept.
    fn kept(&self, value: Value, wanted: &str) -> Option<(Value, Vec<usize>)> {
        match self.reduce(self.stretched(value))? {
            Meaning::Reduce { op, x, axes, keep: true } if op == wanted => Some((x, axes)),
            _ => None,
        }
    }

    /// `(x - mean) / sqrt(variance + eps)`: operand, axes and eps.
    fn normalised(&self, value: Value) -> Option<(Value, Vec<usize>, f64)> {
        let [centred, factor] = self.binary(value, Binary::Multiply)?;
        let [x, mean] = self.binary(centred, Binary::Subtract)?;
        let (of, axes) = self.kept(mean, "ReduceMean")?;
        let root = self.unary(self.stretched(factor), Unary::Rsqrt)?;
        let [variance, eps] = self.binary(root, Binary::Add)?;
        let (squares, same_axes) = self.kept(variance, "ReduceMean")?;
        let fits = of == x
            && same_axes == axes
            && self.binary(squares, Binary::Multiply)? == [centred, centred];
        fits.then_some((x, axes, self.scalar(eps)?))
    }

    fn layer_norm(&self, value: Value) -> Option<Meaning> {
        let [scaled, shift] = self.binary(value, Binary::Add)?;
        let [normalised, scale] = self.binary(scaled, Binary::Multiply)?;
        let (scale, shift) = (self.along_last(scale)?, self.along_last(shift)?);
        let (x, axes, eps) = self.normalised(normalised)?;
        let last = self.shape(x).len().checked_sub(1)?;
        (axes[..] == [last]).then_some(Meaning::LayerNorm { x, scale, shift, eps })
    }

    fn group_norm(&self, value: Value) -> Option<Meaning> {
        let &[inner] = self.operands(value) else { return None };
        let (grouped, axes, eps) = self.normalised(inner)?;
        let (Op::Reshape { .. }, &[x]) = (self.op(grouped), self.operands(grouped)) else {
            return None;
        };
        let shape = self.shape(x);
        let (&[examples, _, groups, each], &[first, .., channels]) = (self.shape(grouped), shape)
        else {
            return None;
        };
        let fits = axes[..] == [1, 3]
            && shape == self.shape(value)
            && examples == first
            && groups * each == channels;
        fits.then_some(Meaning::GroupNorm { x, groups, eps })
    }

    fn batch_norm(&self, value: Value) -> Option<Meaning> {
        let [scaled, shifted] = self.binary(value, Binary::Add)?;
        let [x, factor] = self.binary(scaled, Binary::Multiply)?;
        let (factor, shifted) = (self.along_last(factor)?, self.along_last(shifted)?);
        let [shift, moved] = self.binary(shifted, Binary::Subtract)?;
        let [mean, again] = self.binary(moved, Binary::Multiply)?;
        let [root, scale] = self.binary(factor, Binary::Multiply)?;
        let [variance, eps] = self.binary(self.unary(root, Unary::Rsqrt)?, Binary::Add)?;
        let fits = again == factor && self.shape(x).len() >= 2;
        let eps = self.scalar(eps)?;
        fits.then_some(Meaning::BatchNorm { x, scale, shift, mean, variance, eps })
    }

    fn softmax(&self, value: Value) -> Option<Meaning> {
        let [powers, sum] = self.binary(value, Binary::Divide)?;
        let (of, axes) = self.kept(sum, "ReduceSum")?;
        let [x, largest] = self.binary(self.unary(powers, Unary::Exp)?, Binary::Subtract)?;
        let (same, same_axes) = self.kept(largest, "ReduceMax")?;
        match axes[..] {
            [axis] if of == powers && same == x && same_axes == axes => {
                Some(Meaning::Softmax { x, axis })
            }
            _ => None,
        }
    }

    fn biased(&self, value: Value) -> Option<Meaning> {
        let [product, bias] = self.binary(value, Binary::Add)?;
        let bias = self.along_last(bias)?;
        let operands = self.operands(product).to_vec();
        let last_is_free = match self.op(product) {
            Op::Convolution(window) => !window.has_population(),
            Op::Dot(axes) => axes.lhs_batch.is_empty() && self.shape(*operands.get(1)?).len() == 2,
            _ => false,
        };
        (last_is_free && self.uses[product.node as usize] == 1).then_some(Meaning::Biased {
            product,
            operands,
            bias,
        })
    }

    fn index(&self, value: Value) -> Option<Meaning> {
        let &[slice] = self.operands(value) else { return None };
        let (Op::Slice { start, limit, .. }, &[x]) = (self.op(slice), self.operands(slice)) else {
            return None;
        };
        let shape = self.shape(x);
        let mut cut = (0..shape.len()).filter(|&axis| start[axis] > 0 || limit[axis] < shape[axis]);
        let (Some(axis), None) = (cut.next(), cut.next()) else { return None };
        let mut rest = shape.to_vec();
        rest.remove(axis);
        let fits = limit[axis] == start[axis] + 1 && self.shape(value) == rest;
        fits.then_some(Meaning::Index { x, axis, index: start[axis] })
    }
}

/// Whether a window moves over one to three axes between the first and the last.
fn is_spatial(window: &Window) -> bool {
    let rank = window.size.len();
    let still = |axis: usize| {
        window.size[axis] == 1 && window.stride[axis] == 1 && window.padding[axis] == (0, 0)
    };
    (3..=5).contains(&rank) && still(0) && still(rank - 1)
}

/// Whether a factor is what a mean over so many elements is multiplied by, in either float type.
fn is_one_over(factor: f64, count: usize) -> bool {
    let exact = 1.0 / count as f64;
    factor == exact || factor == f64::from(exact as f32)
}

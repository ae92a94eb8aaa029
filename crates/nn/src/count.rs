//! How many floating-point operations a graph takes.

use std::iter::Sum;
use std::ops::Add;
use thalweg_graph::{ConvolutionWindow, DotAxes, Graph, Node, Op, TensorType};

/// Numbers of floating-point operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flops {
    /// Of matrix products, convolutions and factorisations; a multiply-add counts two.
    pub products: u64,
    /// Of everything else: one for each element of an element-wise function, whatever it is, and
    /// for each element that is summed or compared. Moving and converting count nothing.
    pub elements: u64,
}

impl Flops {
    /// Both together.
    pub fn total(&self) -> u64 {
        self.products.saturating_add(self.elements)
    }

    fn times(self, n: usize) -> Flops {
        Flops {
            products: self.products.saturating_mul(n as u64),
            elements: self.elements.saturating_mul(n as u64),
        }
    }
}

impl Add for Flops {
    type Output = Flops;

    fn add(self, other: Flops) -> Flops {
        Flops {
            products: self.products.saturating_add(other.products),
            elements: self.elements.saturating_add(other.elements),
        }
    }
}

impl Sum for Flops {
    fn sum<I: Iterator<Item = Flops>>(counts: I) -> Flops {
        counts.fold(Flops::default(), Add::add)
    }
}

/// The floating-point operations of one run of a graph as it is written, before any
/// simplification.
///
/// A solver counts its largest number of iterations, a `while` one turn.
///
/// # Example
/// ```
/// use thalweg_array::DType;
/// use thalweg_nn::{Architecture, flops};
/// let model = "linear".parse::<Architecture>()?.build(&[784], 10)?;
/// let count = flops(&model.evaluation_graph(DType::F32, 1)?);
/// assert_eq!((count.products, count.elements), (2 * 784 * 10, 10));
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
pub fn flops(graph: &Graph) -> Flops {
    let types = |node: &Node| -> Vec<TensorType> {
        node.inputs.iter().map(|&value| graph.type_of(value).clone()).collect()
    };
    graph.nodes().iter().map(|node| of_node(node, &types(node))).sum()
}

fn of_node(node: &Node, inputs: &[TensorType]) -> Flops {
    let size = |ty: Option<&TensorType>| ty.map_or(0, |ty| ty.element_count() as u64);
    let result = size(node.types.first());
    let operand = size(inputs.first());
    let elements = |elements: u64| Flops { products: 0, elements };
    let products = |products: u64| Flops { products, elements: 0 };
    match &node.op {
        Op::Input { .. }
        | Op::Constant(_)
        | Op::Iota { .. }
        | Op::Convert(_)
        | Op::Bitcast(_)
        | Op::StopGradient
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice
        | Op::Gather(_) => Flops::default(),
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Threefry => {
            elements(result)
        }
        Op::ScatterAdd(_) => elements(size(inputs.get(2))),
        Op::Reduce { .. } | Op::ArgMax { .. } | Op::CumulativeSum { .. } => elements(operand),
        Op::WindowSum(window) | Op::WindowArgMax(window) => {
            elements(result.saturating_mul(window.size.iter().product::<usize>() as u64))
        }
        Op::Sort { axis, .. } => {
            // Comparisons of a merge sort.
            let n = inputs.first().map_or(1, |ty| ty.shape[*axis]);
            elements(operand * u64::from(n.max(1).next_power_of_two().ilog2()))
        }
        Op::Dot(axes) => products(dot(axes, &inputs[0], result)),
        Op::Convolution(window) => {
            let kernel = &inputs[1].shape[usize::from(window.rhs_population)..];
            products(2 * result * kernel[..3].iter().product::<usize>() as u64)
        }
        Op::ConvolutionInputGradient { window, .. } => {
            let kernel = &inputs[1].shape[usize::from(window.rhs_population)..];
            let dy = &inputs[0].shape[usize::from(window.lhs_population)..];
            products(bilinear(window, &node.types[0], dy, kernel))
        }
        Op::ConvolutionWeightGradient { window, .. } => {
            let kernel = &node.types[0].shape[usize::from(window.has_population())..];
            let dy = &inputs[1].shape[usize::from(window.rhs_population)..];
            products(bilinear(window, &node.types[0], dy, kernel))
        }
        Op::Cholesky => products(operand * last(&inputs[0]) / 3),
        Op::TriangularSolve { .. } => products(result * last(&inputs[0])),
        // The usual count of the QR iteration with vectors (Golub and Van Loan, section 8.3).
        Op::SymmetricEigen => products(9 * operand * last(&inputs[0])),
        Op::LinearSolve(solve) => flops(&solve.matvec).times(solve.max_iterations),
        Op::FixedPoint(fixed) => flops(&fixed.body).times(fixed.max_iterations),
        Op::Scan(scan) => flops(&scan.body).times(scan.length),
        Op::While(turn) => flops(&turn.condition) + flops(&turn.body),
    }
}

fn last(ty: &TensorType) -> u64 {
    ty.shape.last().copied().unwrap_or(1) as u64
}

fn dot(axes: &DotAxes, left: &TensorType, result: u64) -> u64 {
    let summed: usize = axes.lhs_contract.iter().map(|&axis| left.shape[axis]).product();
    2 * result * summed as u64
}

/// Both gradients of a convolution use each output element with each weight of its filter.
fn bilinear(
    window: &ConvolutionWindow,
    result: &TensorType,
    dy: &[usize],
    kernel: &[usize],
) -> u64 {
    let members = if window.has_population() { result.shape[0] } else { 1 };
    2 * (members * dy.iter().product::<usize>() * kernel[..3].iter().product::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;
    use thalweg_array::DType;
    use thalweg_graph::Builder;

    #[test]
    fn resnet_20_takes_the_published_multiply_adds() {
        let model = "resnet shortcut=a".parse::<Architecture>().unwrap();
        let model = model.build(&[32, 32, 3], 10).unwrap();
        let count = flops(&model.evaluation_graph(DType::F32, 1).unwrap());
        // 41 million multiply-adds is the usual figure; by hand:
        let stage = |extent: u64, channels: u64| extent * extent * 9 * channels * channels;
        let first = 32 * 32 * 9 * 3 * 16;
        let stages = 6 * stage(32, 16) + 6 * stage(16, 32) + 6 * stage(8, 64)
            - stage(16, 32) / 2
            - stage(8, 64) / 2;
        assert_eq!(count.products, 2 * (first + stages + 640));
        assert_eq!(count.products / 2, 40_551_040);
        let eight = flops(&model.evaluation_graph(DType::F32, 8).unwrap());
        assert_eq!(eight.products, 8 * count.products);
    }

    #[test]
    fn gradients_of_a_convolution_cost_what_it_costs() {
        let b = Builder::new(DType::F32);
        let x = b.input("x", TensorType::new(DType::F32, [4, 2, 8, 8, 3]));
        let w = b.input("w", TensorType::new(DType::F32, [3, 3, 3, 5]));
        let window =
            ConvolutionWindow { lhs_population: true, stride: [2, 2], ..ConvolutionWindow::PLAIN };
        let y = x.convolution(w, window);
        let forward = flops(&b.finish(&[("y", y)]).unwrap());
        assert_eq!(forward.products, 2 * (4 * 2 * 3 * 3 * 5) * 27);
        let dx = b.emit_one(Op::ConvolutionInputGradient { window, input: [8, 8] }, &[y, w]);
        assert_eq!(flops(&b.finish(&[("dx", dx)]).unwrap()).products, 2 * forward.products);
        let both = ConvolutionWindow { rhs_population: true, ..window };
        let gradient = Op::ConvolutionWeightGradient { window: both, kernel: [3, 3] };
        let dw = b.emit_one(gradient, &[x, y]);
        assert_eq!(flops(&b.finish(&[("dw", dw)]).unwrap()).products, 2 * forward.products);
    }

    #[test]
    fn a_loop_counts_its_turns() {
        let b = Builder::new(DType::F64);
        let x = b.input("x", TensorType::new(DType::F64, [6]));
        let (carry, _) =
            b.scan(7, &[x], &[], &[], 2, |step| (vec![step.carry[0] * step.carry[0]], Vec::new()));
        let count = flops(&b.finish(&[("x", carry[0])]).unwrap());
        assert_eq!(count, Flops { products: 0, elements: 42 });
    }
}

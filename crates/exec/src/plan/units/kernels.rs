//! Units of operations that are no loops: products, convolutions, and what has a kernel of its own.

use super::{Origin, Root, Unit, Units, Work};
use crate::kernel::{Convolution, Pass, Pool};
use crate::loops::LoopBuilder;
use crate::plan::product::product;
use crate::plan::view::{BufferId, View};
use crate::plan::{Kernel, Loops, Plain, Plan, WhileLoop};
use thalweg_graph::{ConvolutionWindow, DType, Op, TensorType, Value};

impl Units<'_> {
    fn push_kernel(
        &mut self,
        kernel: Kernel,
        reads: Vec<BufferId>,
        writes: Vec<BufferId>,
        position: u32,
    ) {
        self.units.push(Unit { work: Work::Kernel(kernel), reads, writes, position });
    }

    pub(super) fn memory(&mut self, index: u32, pool: &Pool) {
        let graph = self.graph;
        let node = &graph.nodes()[index as usize];
        let value = Value::first(index);
        match &node.op {
            Op::Input { index: position } => {
                let bytes = node.types[0].size_in_bytes();
                let buffer = self.buffer(bytes, Origin::Input(*position as usize));
                self.views.insert(value, View::dense(buffer, &node.types[0].shape));
            }
            Op::Constant(array) => {
                let origin = Origin::Constant(self.constants.len());
                self.constants.push(array.clone());
                let buffer = self.buffer(array.size_in_bytes(), origin);
                self.views.insert(value, View::dense(buffer, array.shape()));
            }
            Op::Concatenate { axis } => {
                let buffer = self.place(value);
                let whole = View::dense(buffer, &node.types[0].shape);
                let mut start = vec![0; node.types[0].rank()];
                let step = vec![1; start.len()];
                for &input in &node.inputs {
                    let part = whole.slice(&start, &step);
                    self.push_loop(input, Root::Store(part), &[], false, index);
                    start[*axis] += self.ty(input).shape[*axis];
                }
            }
            Op::Pad { low, interior, .. } => {
                let buffer = self.place(value);
                let shape = &node.types[0].shape;
                let whole = View::dense(buffer, shape);
                self.push_fill(node.inputs[1], &whole, shape, index);
                let step: Vec<usize> = interior.iter().map(|gap| gap + 1).collect();
                let part = whole.slice(low, &step);
                self.push_loop(node.inputs[0], Root::Store(part), &[], false, index);
                // The fill comes first: the copy reads what it wrote, as far as order goes.
                let last = self.units.len() - 1;
                self.units[last].reads.push(buffer);
            }
            Op::Dot(axes) => {
                let [lhs, rhs] = [node.inputs[0], node.inputs[1]];
                let view = |units: &Self, value: Value| units.views[&value].clone();
                let (mut a, mut b) = (view(self, lhs), view(self, rhs));
                let shapes = (&self.ty(lhs).shape, &self.ty(rhs).shape);
                let found = product(axes, (&a, shapes.0), (&b, shapes.1));
                let product = found.unwrap_or_else(|| {
                    // The summed axes are scattered: copies put them last in the left operand and
                    // first in the right one.
                    let order = |batch: &[usize], contract: &[usize], rank: usize| {
                        let mut order = batch.to_vec();
                        order.extend(thalweg_graph::DotAxes::free(rank, batch, contract));
                        order.extend_from_slice(contract);
                        order
                    };
                    let left = order(&axes.lhs_batch, &axes.lhs_contract, shapes.0.len());
                    let right = order(&axes.rhs_batch, &axes.rhs_contract, shapes.1.len());
                    a = self.permuted(lhs, &left, index);
                    b = self.permuted(rhs, &right, index);
                    product(axes, (&a, shapes.0), (&b, shapes.1))
                        .expect("summed axes are neighbours in both copies")
                });
                let c = self.place(value);
                let dtype = node.types[0].dtype;
                let kernel = Kernel::Product {
                    prepared: Box::new(match dtype {
                        DType::F64 => product.prepare::<f64>(pool),
                        _ => product.prepare::<f32>(pool),
                    }),
                    dtype,
                    a: a.buffer,
                    a_offset: a.offset,
                    b: b.buffer,
                    b_offset: b.offset,
                    c,
                };
                self.push_kernel(kernel, vec![a.buffer, b.buffer], vec![c], index);
            }
            Op::Convolution(window) => {
                self.convolution(index, window, Pass::Forward);
            }
            Op::ConvolutionInputGradient { window, .. } => {
                self.convolution(index, window, Pass::InputGradient);
            }
            Op::ConvolutionWeightGradient { window, .. } => {
                self.convolution(index, window, Pass::WeightGradient);
            }
            _ => self.plain(index, pool),
        }
    }

    /// Fills a view with a scalar.
    fn push_fill(&mut self, scalar: Value, view: &View, shape: &[usize], position: u32) {
        let from = &self.views[&scalar];
        let wide = View { buffer: from.buffer, offset: from.offset, strides: vec![0; shape.len()] };
        let reads = vec![wide.buffer];
        let mut builder = LoopBuilder::new(shape, &[]);
        let register = builder.load(&wide, self.ty(scalar).dtype);
        builder.store(register, view);
        let kernel = Kernel::Loop(Box::new(builder.finish()));
        self.push_kernel(kernel, reads, vec![view.buffer], position);
    }

    /// A dense copy with the axes in another order, seen with the axes in their own order.
    fn permuted(&mut self, value: Value, order: &[usize], position: u32) -> View {
        let ty = self.ty(value);
        let buffer = self.buffer(ty.size_in_bytes(), Origin::Written);
        let shape: Vec<usize> = order.iter().map(|&axis| ty.shape[axis]).collect();
        let dense = View::dense(buffer, &shape);
        let mut own = dense.clone();
        for (at, &axis) in order.iter().enumerate() {
            own.strides[axis] = dense.strides[at];
        }
        self.push_loop(value, Root::Store(own.clone()), &[], false, position);
        own
    }

    fn convolution(&mut self, index: u32, window: &ConvolutionWindow, pass: Pass) {
        let graph = self.graph;
        let node = &graph.nodes()[index as usize];
        let lhs = self.dense(node.inputs[0], index);
        let rhs = self.dense(node.inputs[1], index);
        let out = self.place(Value::first(index));
        let without = |ty: &TensorType, population: bool| {
            if population { (ty.shape[0], ty.shape[1..].to_vec()) } else { (1, ty.shape.clone()) }
        };
        let (left_members, left) = without(self.ty(node.inputs[0]), window.lhs_population);
        let (right_members, right) = without(self.ty(node.inputs[1]), window.rhs_population);
        let (_, result) = without(&node.types[0], window.has_population());
        let (x, w) = match pass {
            Pass::Forward => (&left, &right),
            Pass::InputGradient => (&result, &right),
            Pass::WeightGradient => (&left, &result),
        };
        let convolution = Convolution {
            // Not the larger of the two: a population may be empty beside a shared operand.
            population: if window.lhs_population { left_members } else { right_members },
            n: x[0],
            h: x[1],
            w: x[2],
            cin: x[3],
            kh: w[0],
            kw: w[1],
            cout: w[3],
            groups: window.groups,
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            folded: window.folded,
        };
        let kernel = Kernel::Convolution {
            pass,
            convolution: Box::new(convolution),
            dtype: node.types[0].dtype,
            operands: [lhs, rhs],
            shared: [!window.lhs_population, !window.rhs_population],
            out,
        };
        self.push_kernel(kernel, vec![lhs, rhs], vec![out], index);
    }

    /// Operations with kernels on dense buffers, and loops over inner graphs.
    fn plain(&mut self, index: u32, pool: &Pool) {
        let graph = self.graph;
        let node = &graph.nodes()[index as usize];
        let inputs: Vec<BufferId> =
            node.inputs.iter().map(|&input| self.dense(input, index)).collect();
        let outputs: Vec<BufferId> = (0..node.types.len() as u32)
            .map(|output| self.place(Value { node: index, output }))
            .collect();
        let bytes = |value: &Value| graph.type_of(*value).size_in_bytes();
        let kernel = match &node.op {
            Op::Scan(scan) => {
                let xs = &node.inputs[scan.n_carry..scan.n_carry + scan.n_xs];
                let rows = scan.length.max(1);
                Kernel::Scan(Box::new(Loops {
                    scan: scan.clone(),
                    body: Plan::new(&scan.body, pool),
                    inputs: inputs.clone(),
                    outputs: outputs.clone(),
                    carry: node.inputs[..scan.n_carry].iter().map(bytes).collect(),
                    x_rows: xs.iter().map(|x| bytes(x) / rows).collect(),
                    y_rows: node.types[scan.n_carry..]
                        .iter()
                        .map(|ty| ty.size_in_bytes() / rows)
                        .collect(),
                }))
            }
            Op::While(looped) => Kernel::While(Box::new(WhileLoop {
                looped: looped.clone(),
                condition: Plan::new(&looped.condition, pool),
                body: Plan::new(&looped.body, pool),
                inputs: inputs.clone(),
                outputs: outputs.clone(),
                carry: node.inputs[..looped.n_carry].iter().map(bytes).collect(),
            })),
            op => {
                let bodies = match op {
                    Op::LinearSolve(solve) => vec![Plan::new(&solve.matvec, pool)],
                    Op::FixedPoint(fixed) => vec![Plan::new(&fixed.body, pool)],
                    _ => Vec::new(),
                };
                let typed = |values: &[BufferId], types: Vec<TensorType>| {
                    values.iter().copied().zip(types).collect::<Vec<_>>()
                };
                let in_types = node.inputs.iter().map(|&v| self.ty(v).clone()).collect();
                Kernel::Plain(Box::new(Plain {
                    op: op.clone(),
                    inputs: typed(&inputs, in_types),
                    outputs: typed(&outputs, node.types.clone()),
                    bodies,
                }))
            }
        };
        self.push_kernel(kernel, inputs, outputs, index);
    }
}

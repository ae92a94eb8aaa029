//! The rule of each operation.

use super::convolution::{self, Contraction};
use super::{Item, control, moving, prepend, shifted};
use std::panic::Location;
use thalweg_graph::{Builder, DType, DotAxes, Op, Tensor, TensorType, Window};

/// What every rule needs: where to build, how many members, who asked for the operation, and the
/// types of one member's results.
pub(super) struct Rule<'b, 'n> {
    pub(super) builder: &'b Builder,
    pub(super) size: usize,
    pub(super) place: &'static Location<'static>,
    pub(super) types: &'n [TensorType],
}

impl<'b> Rule<'b, '_> {
    /// Results for an operation that cannot be built, because of a mistake that is recorded.
    pub(super) fn stand_ins(&self) -> Vec<Item<'b>> {
        let types = self.types.iter();
        types.map(|ty| Item::shared(self.builder.placeholder(ty.clone()))).collect()
    }

    pub(super) fn emit(&self, op: Op, operands: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        self.builder.emit_at(op, operands, self.place)
    }

    pub(super) fn emit_one(&self, op: Op, operands: &[Tensor<'b>]) -> Tensor<'b> {
        self.emit(op, operands)[0]
    }

    /// Every operand with its batch axis.
    pub(super) fn full(&self, operands: &[Item<'b>]) -> Vec<Tensor<'b>> {
        operands.iter().map(|operand| operand.full(self.size)).collect()
    }

    /// An operation that treats its leading axis member by member.
    fn all(&self, op: Op, operands: &[Item<'b>]) -> Vec<Item<'b>> {
        self.emit(op, &self.full(operands)).into_iter().map(Item::batched).collect()
    }

    /// The results of one operation on all members.
    pub(super) fn apply(&self, op: &Op, operands: &[Item<'b>]) -> Vec<Item<'b>> {
        if operands.iter().all(|operand| !operand.batched) {
            let operands: Vec<_> = operands.iter().map(|operand| operand.tensor).collect();
            return self.emit(op.clone(), &operands).into_iter().map(Item::shared).collect();
        }
        let all = |op: Op| self.all(op, operands);
        let one = |result: Tensor<'b>| vec![Item::batched(result)];
        let lead = |others: &[usize], first: usize| prepend(first, others);
        match op {
            Op::Input { .. } | Op::Constant(_) | Op::Iota { .. } => {
                unreachable!("no operand of {} is batched, since it has none", op.name())
            }
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Bitcast(_)
            | Op::Threefry
            | Op::StopGradient
            // The matrices are in the last two axes, whatever comes before.
            | Op::Cholesky
            | Op::TriangularSolve { .. }
            | Op::SymmetricEigen => all(op.clone()),
            Op::Broadcast { shape, axes } => all(Op::Broadcast {
                shape: lead(shape, self.size),
                axes: lead(&shifted(axes), 0),
            }),
            Op::Reshape { shape } => all(Op::Reshape { shape: lead(shape, self.size) }),
            Op::Transpose { permutation } => {
                all(Op::Transpose { permutation: lead(&shifted(permutation), 0) })
            }
            Op::Slice { start, limit, stride } => all(Op::Slice {
                start: lead(start, 0),
                limit: lead(limit, self.size),
                stride: lead(stride, 1),
            }),
            Op::Pad { low, high, interior } => {
                one(moving::pad(self, operands[0], operands[1], [low, high, interior]))
            }
            Op::Concatenate { axis } => all(Op::Concatenate { axis: axis + 1 }),
            Op::Reverse { axes } => all(Op::Reverse { axes: shifted(axes) }),
            Op::DynamicSlice { sizes } => {
                one(moving::dynamic_slice(self, operands[0], &operands[1..], sizes))
            }
            Op::DynamicUpdateSlice => {
                one(moving::dynamic_update_slice(self, operands[0], operands[1], &operands[2..]))
            }
            Op::Gather(axes) => one(moving::gather(self, operands[0], operands[1], *axes)),
            Op::ScatterAdd(axes) => {
                one(moving::scatter_add(self, [operands[0], operands[1], operands[2]], *axes))
            }
            Op::Reduce { kind, axes } => all(Op::Reduce { kind: *kind, axes: shifted(axes) }),
            Op::WindowSum(window) => all(Op::WindowSum(widened(window))),
            Op::WindowArgMax(window) => one(self.window_arg_max(operands[0], window)),
            Op::ArgMax { axis } => all(Op::ArgMax { axis: axis + 1 }),
            Op::Sort { axis, descending } => {
                all(Op::Sort { axis: axis + 1, descending: *descending })
            }
            Op::CumulativeSum { axis, reverse } => {
                all(Op::CumulativeSum { axis: axis + 1, reverse: *reverse })
            }
            Op::Dot(axes) => one(self.dot(operands[0], operands[1], axes)),
            Op::Convolution(window) => {
                one(convolution::rule(self, &Contraction::Forward(*window), operands))
            }
            Op::ConvolutionInputGradient { window, input } => {
                let pass = Contraction::InputGradient { window: *window, input: *input };
                one(convolution::rule(self, &pass, operands))
            }
            Op::ConvolutionWeightGradient { window, kernel } => {
                let pass = Contraction::WeightGradient { window: *window, kernel: *kernel };
                one(convolution::rule(self, &pass, operands))
            }
            Op::LinearSolve(solve) => one(control::linear_solve(self, solve, operands)),
            Op::FixedPoint(fixed) => one(control::fixed_point(self, fixed, operands)),
            Op::Scan(scan) => control::scan(self, scan, operands),
            Op::While(looped) => control::repeat(self, looped, operands),
        }
    }

    /// Positions count through the whole batch: those of the members before are taken off.
    fn window_arg_max(&self, x: Item<'b>, window: &Window) -> Tensor<'b> {
        let count: usize = x.shape().iter().product();
        let places = self.emit_one(Op::WindowArgMax(widened(window)), &self.full(&[x]));
        let member = self.builder.iota(DType::I32, &places.shape(), 0);
        places - member * count as f64
    }

    /// A batch axis of both operands is one more batch axis; that of one operand is a free axis of
    /// it, so that the members are one larger product.
    fn dot(&self, lhs: Item<'b>, rhs: Item<'b>, axes: &DotAxes) -> Tensor<'b> {
        let mut new = axes.clone();
        if lhs.batched {
            new.lhs_batch = shifted(&axes.lhs_batch);
            new.lhs_contract = shifted(&axes.lhs_contract);
        }
        if rhs.batched {
            new.rhs_batch = shifted(&axes.rhs_batch);
            new.rhs_contract = shifted(&axes.rhs_contract);
        }
        let both = lhs.batched && rhs.batched;
        if both {
            new.lhs_batch.insert(0, 0);
            new.rhs_batch.insert(0, 0);
        }
        let product = self.emit_one(Op::Dot(new), &[lhs.tensor, rhs.tensor]);
        let at = match (lhs.batched, rhs.batched) {
            (true, true) => 0,
            (true, false) => axes.lhs_batch.len(),
            // After all axes of the left operand that are not summed.
            (false, _) => lhs.rank() - axes.lhs_contract.len(),
        };
        product.move_axis(at, 0)
    }
}

/// A window that never reaches from one member into the next.
fn widened(window: &Window) -> Window {
    let mut wide = window.clone();
    wide.size.insert(0, 1);
    wide.stride.insert(0, 1);
    wide.padding.insert(0, (0, 0));
    wide.dilation.insert(0, 1);
    wide
}

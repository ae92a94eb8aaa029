//! Functions made of several operations, in their stable forms.

use crate::builder::Builder;
use crate::op::{ConvolutionWindow, GatherAxes, Op, Scan, Window};
use crate::tensor::Tensor;
use crate::{Graph, TensorType};
use std::sync::Arc;
use thalweg_array::DType;

impl<'b> Tensor<'b> {
    /// `x * x`.
    #[track_caller]
    pub fn square(self) -> Tensor<'b> {
        self * self
    }

    /// Mean over axes.
    #[track_caller]
    pub fn mean(self, axes: &[usize]) -> Tensor<'b> {
        let shape = self.shape();
        let extents = axes.iter().filter_map(|&axis| shape.get(axis));
        // Of some axes the product may overflow where that of all is zero.
        let n = extents.fold(1usize, |n, &extent| n.saturating_mul(extent));
        self.sum(axes) * (1.0 / n as f64)
    }

    /// Axes that a reduction removed, put back with extent one.
    #[track_caller]
    pub fn keep(self, axes: &[usize]) -> Tensor<'b> {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        // A loop, since a closure would be the caller that an error names.
        let mut kept = self;
        for axis in axes {
            kept = kept.expand(axis);
        }
        kept
    }

    /// `max(x, 0)`; derivative zero at zero. What is not a number stays so.
    #[track_caller]
    pub fn relu(self) -> Tensor<'b> {
        self.less_equal(0.0).select(self.zeros_like(), self)
    }

    /// `log(1 + e^x)`.
    #[track_caller]
    pub fn softplus(self) -> Tensor<'b> {
        // For large |x| the second term vanishes, and its argument never overflows. The select
        // keeps the derivative at zero smooth, which `max(x, 0)` and `abs` would not.
        let positive = self.greater(0.0);
        let falling = (positive.select(-self, self)).exp().log1p();
        positive.select(self + falling, falling)
    }

    /// `log(sum(e^x))` over axes.
    #[track_caller]
    pub fn logsumexp(self, axes: &[usize]) -> Tensor<'b> {
        let shift = self.max(axes).stop_gradient();
        let shift = shift.is_finite().select(shift, shift.zeros_like());
        (self - shift.keep(axes)).exp().sum(axes).log() + shift
    }

    /// `e^x / sum(e^x)` along an axis.
    #[track_caller]
    pub fn softmax(self, axis: usize) -> Tensor<'b> {
        let shift = self.max(&[axis]).stop_gradient().keep(&[axis]);
        let powers = (self - shift).exp();
        powers / powers.sum(&[axis]).keep(&[axis])
    }

    /// `x - logsumexp(x)` along an axis.
    #[track_caller]
    pub fn log_softmax(self, axis: usize) -> Tensor<'b> {
        self - self.logsumexp(&[axis]).keep(&[axis])
    }

    /// `[..] -> [.., n_classes]`: one where the class is the index, else zero.
    #[track_caller]
    pub fn one_hot(self, n_classes: usize, dtype: DType) -> Tensor<'b> {
        let mut shape = self.shape();
        shape.push(n_classes);
        let classes = self.builder().iota(self.dtype(), &shape, shape.len() - 1);
        self.expand(shape.len() - 1).equal(classes).convert(dtype)
    }

    /// Convolution of this with kernel `w`; see [`ConvolutionWindow`].
    #[track_caller]
    pub fn convolution(self, w: Tensor<'b>, window: ConvolutionWindow) -> Tensor<'b> {
        self.builder().emit_one(Op::Convolution(window), &[self, w])
    }

    /// Sum over each window.
    #[track_caller]
    pub fn window_sum(self, window: &Window) -> Tensor<'b> {
        self.builder().emit_one(Op::WindowSum(window.clone()), &[self])
    }

    /// Largest element of each window; the first of several takes the derivative.
    #[track_caller]
    pub fn window_max(self, window: &Window) -> Tensor<'b> {
        let places = self.builder().emit_one(Op::WindowArgMax(window.clone()), &[self]);
        let flat = self.reshape(&[self.ty().element_count()]);
        flat.gather(places, GatherAxes { batch: 0, trailing: 0 })
    }

    /// Sorted by this along an axis; the others follow in the same order.
    #[track_caller]
    pub fn sort_with(
        self,
        others: &[Tensor<'b>],
        axis: usize,
        descending: bool,
    ) -> Vec<Tensor<'b>> {
        let operands: Vec<_> = std::iter::once(self).chain(others.iter().copied()).collect();
        self.builder().emit(Op::Sort { axis, descending }, &operands)
    }
}

impl Window {
    /// A window over height and width of `[batch, height, width, channel]`.
    pub fn spatial(size: [usize; 2], stride: [usize; 2], padding: [(usize, usize); 2]) -> Window {
        Window {
            size: vec![1, size[0], size[1], 1],
            stride: vec![1, stride[0], stride[1], 1],
            padding: vec![(0, 0), padding[0], padding[1], (0, 0)],
            dilation: vec![1; 4],
        }
    }
}

impl Builder {
    /// Tensors end to end along an axis.
    #[track_caller]
    pub fn concatenate<'b>(&'b self, tensors: &[Tensor<'b>], axis: usize) -> Tensor<'b> {
        match tensors {
            [only] => *only,
            _ => self.emit_one(Op::Concatenate { axis }, tensors),
        }
    }

    /// Tensors of one type along a new leading axis.
    #[track_caller]
    pub fn stack<'b>(&'b self, tensors: &[Tensor<'b>]) -> Tensor<'b> {
        let mut rows = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            rows.push(tensor.expand(0));
        }
        self.concatenate(&rows, 0)
    }

    /// Runs `step` `length` times: `(carry, xs[t]) -> (carry, ys[t])`.
    ///
    /// `step` is traced once in a builder of its own; values of this builder that it needs are
    /// passed as `constants`. `checkpoint_branching` is [`Scan::checkpoint_branching`].
    #[track_caller]
    pub fn scan<'b>(
        &'b self,
        length: usize,
        carry: &[Tensor<'b>],
        xs: &[Tensor<'b>],
        constants: &[Tensor<'b>],
        checkpoint_branching: usize,
        step: impl for<'s> FnOnce(ScanStep<'s, '_>) -> (Vec<Tensor<'s>>, Vec<Tensor<'s>>),
    ) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
        let body = Builder::new(self.float());
        let input = |name: String, ty: TensorType| body.input(&name, ty);
        let body_carry: Vec<_> =
            carry.iter().enumerate().map(|(i, t)| input(format!("carry{i}"), t.ty())).collect();
        let body_xs: Vec<_> = xs
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let row = t.shape().get(1..).unwrap_or_default().to_vec();
                input(format!("x{i}"), TensorType::new(t.dtype(), row))
            })
            .collect();
        let body_constants: Vec<_> = constants
            .iter()
            .enumerate()
            .map(|(i, t)| input(format!("constant{i}"), t.ty()))
            .collect();
        let (next, ys) = step(ScanStep {
            builder: &body,
            carry: &body_carry,
            xs: &body_xs,
            constants: &body_constants,
        });
        let names: Vec<String> = (0..next.len())
            .map(|i| format!("carry{i}"))
            .chain((0..ys.len()).map(|i| format!("y{i}")))
            .collect();
        let outputs: Vec<_> =
            names.iter().map(String::as_str).zip(next.iter().chain(&ys).copied()).collect();
        let operands: Vec<_> = [carry, xs, constants].concat();
        let body: Graph = match body.finish(&outputs) {
            Ok(body) => body,
            Err(error) => {
                self.reject(
                    &format!("body of scan: {} at {}:{}", error.op, error.file, error.line),
                    error.expected,
                    error.got,
                );
                let rows = ys.iter().map(|_| self.scalar(0.0)).collect();
                return (carry.to_vec(), rows);
            }
        };
        let n_carry = carry.len();
        if next.len() != n_carry {
            self.reject(
                "scan",
                format!("a step that gives {n_carry} carries"),
                next.len().to_string(),
            );
            return (carry.to_vec(), ys.iter().map(|_| self.scalar(0.0)).collect());
        }
        let scan = Scan {
            body: Arc::new(body),
            length,
            n_carry,
            n_xs: xs.len(),
            reverse: false,
            checkpoint_branching,
        };
        let mut results = self.emit(Op::Scan(Arc::new(scan)), &operands);
        let ys = results.split_off(n_carry.min(results.len()));
        (results, ys)
    }
}

/// What one step of a scan sees.
pub struct ScanStep<'s, 'a> {
    /// Builds the body.
    pub builder: &'s Builder,
    /// Values from the step before.
    pub carry: &'a [Tensor<'s>],
    /// This step's row of each sequence.
    pub xs: &'a [Tensor<'s>],
    /// Values that stay the same.
    pub constants: &'a [Tensor<'s>],
}

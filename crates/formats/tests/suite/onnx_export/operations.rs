//! Every operation of the engine that an evaluation can hold.

use super::case::Case;
use std::sync::Arc;
use thalweg_array::DType::{Bool, I32, I64, U32};
use thalweg_graph::{ConvolutionWindow, DotAxes, GatherAxes, Op, Reduction, Tensor, Window};
use thalweg_nn::{Axis, Initializer, Model, ModelPort, Network, Parameter, Role, Scope};

type Trace = for<'b> fn(&Scope<'_, 'b>, Tensor<'b>) -> Tensor<'b>;

struct Traced(Trace);

impl Network for Traced {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        vec![(self.0)(scope, inputs[0])]
    }
}

/// Name, extents of an example, function.
fn table() -> Vec<(&'static str, &'static [usize], Trace)> {
    vec![
        ("negate", &[3], |_, x| -x),
        ("abs", &[3], |_, x| x.abs()),
        ("sign", &[3], |_, x| x.sign()),
        ("exp", &[3], |_, x| x.exp()),
        ("expm1", &[3], |_, x| (x * 1e-3).expm1() * 1e3 + x.expm1()),
        ("log", &[3], |_, x| (x.abs() + 0.1).log()),
        ("log1p", &[3], |_, x| {
            (x * 1e-6).log1p() * 1e6 + (x * 0.4).log1p() + (x.abs() * 1e9).log1p()
        }),
        ("sqrt", &[3], |_, x| x.abs().sqrt()),
        ("rsqrt", &[3], |_, x| (x.abs() + 0.1).rsqrt()),
        ("sin", &[3], |_, x| x.sin()),
        ("cos", &[3], |_, x| x.cos()),
        ("tanh", &[3], |_, x| x.tanh()),
        ("logistic", &[3], |_, x| x.logistic()),
        ("erf", &[3], |_, x| x.erf()),
        ("floor", &[3], |_, x| x.floor()),
        ("ceil", &[3], |_, x| x.ceil()),
        ("round", &[3], |_, x| x.round() + ((x * 3.0).floor() + 0.5).round()),
        ("not", &[3], |_, x| {
            x.greater(0.0).logical_not().convert(x.dtype())
                + whole(x).logical_not().convert(x.dtype())
        }),
        ("is_finite", &[3], |_, x| {
            (x / (x.greater(0.0).select(x.zeros_like(), x))).is_finite().convert(x.dtype())
        }),
        ("subtract", &[3], |_, x| x - x.sin()),
        ("divide", &[3], |_, x| x / (x.abs() + 1.0)),
        ("divide whole", &[30], |_, x| float(divided(whole(x), whole(x * 0.5)), x)),
        ("remainder", &[30], |_, x| x.remainder(x.sin().abs() + 0.3)),
        ("remainder whole", &[30], |_, x| float(whole(x * 10.0).remainder(whole(x)), x)),
        ("power", &[3], |_, x| x.abs().power(x)),
        ("maximum", &[3], |_, x| x.maximum(0.3).minimum(x.zeros_like() + 1.0)),
        ("and", &[9], |_, x| {
            float(x.greater(0.0).and(x.less(1.0)).or(x.less(-1.0)).xor(x.less(-1.5)), x)
        }),
        ("bits", &[9], |_, x| {
            let [a, b] = [whole(x * 50.0), whole(x.sin() * 90.0)];
            float(a.and(b).xor(a.or(b) + 1.0), x)
        }),
        ("shifts", &[40], |_, x| {
            let [a, b] = [whole(x * 50.0), whole((x + 2.0) * 9.0)];
            let right = a.shift_right_logical(b);
            float(a.shift_left(b).remainder(right.zeros_like() + 1009.0), x)
                + float(right.remainder(right.zeros_like() + 1009.0), x)
        }),
        ("shifts unsigned", &[40], |_, x| {
            let [a, b] = [((x + 2.0) * 50.0).convert(U32), ((x + 2.0) * 9.0).convert(U32)];
            float(a.shift_right_logical(b), x)
        }),
        ("compare", &[9], |_, x| {
            let y = x.round();
            let all = [
                x.equal(y),
                y.not_equal(0.0),
                x.less(y),
                y.less_equal(1.0),
                x.greater(y),
                y.greater_equal(1.0),
            ];
            all.into_iter()
                .enumerate()
                .fold(x.zeros_like(), |sum, (i, is)| sum + is.convert(x.dtype()) * (1 << i) as f64)
        }),
        ("compare booleans", &[9], |_, x| {
            float(x.greater(0.0).less(x.greater(1.0).logical_not()), x)
        }),
        ("select", &[9], |_, x| x.greater(0.2).select(x.sin(), x * 2.0)),
        ("convert", &[9], |_, x| {
            float((x * 5.0).convert(I64).convert(I32).convert(Bool), x)
                + float((x * 5.0).convert(I32), x)
        }),
        ("stop gradient", &[2], |_, x| x.stop_gradient()),
        ("iota", &[3, 4], |_, x| {
            let b = x.builder();
            x + b.iota(x.dtype(), &x.shape(), 0) * 0.1
                + b.iota(x.dtype(), &x.shape(), 1)
                + float(b.iota(I32, &x.shape(), 2), x)
        }),
        ("broadcast", &[3], |_, x| {
            let n = x.shape()[0];
            x.broadcast_in(&[n, 2, 3, 4], &[0, 2]).reshape(&[n, 24])
        }),
        ("broadcast constant", &[3], |_, x| {
            let n = x.shape()[0];
            x.builder().full(&x.ty(), 3.5).reshape(&[n, 3]) + x * 0.0
        }),
        ("repeated over the batch", &[3], |scope, x| {
            matrix(scope, "w", &[1, 3]).broadcast_to(&x.shape())
        }),
        ("reshape", &[4, 6], |_, x| {
            let n = x.shape()[0];
            x.transpose(&[0, 2, 1])
                .reshape(&[n, 8, 3])
                .sin()
                .reshape(&[n * 2, 12])
                .reshape(&[n, 3, 2, 4])
        }),
        ("reshape turned", &[3, 4, 5], |_, x| {
            let n = x.shape()[0];
            let y = x.transpose(&[0, 3, 1, 2]).reshape(&[n, 5, 12]);
            y.transpose(&[0, 2, 1]).reshape(&[n, 60]) + x.transpose(&[0, 2, 3, 1]).reshape(&[n, 60])
        }),
        ("transpose", &[3, 4], |_, x| x.transpose(&[2, 1, 0]).exp().transpose(&[2, 0, 1])),
        ("slice", &[5, 7], |_, x| x.slice_all(&[0, 1, 2], &[x.shape()[0], 5, 7], &[1, 2, 1])),
        ("slice turned", &[8, 6, 3], |_, x| {
            let y = x.slice_all(&[0, 1, 0, 1], &[x.shape()[0], 8, 5, 3], &[1, 3, 2, 1]);
            y.index(3, 1)
        }),
        ("slice flattened", &[4, 2, 3], |_, x| {
            let n = x.shape()[0];
            x.reshape(&[n, 24]).slice(1, 3, 20)
        }),
        ("slice repeated", &[4], |_, x| {
            let n = x.shape()[0];
            x.broadcast_in(&[n, 6, 4], &[0, 2]).slice(1, 2, 4)
        }),
        ("index", &[5, 7], |_, x| x.index(1, 3).sin() + x.transpose(&[0, 2, 1]).index(2, 1)),
        ("pad", &[3, 4], |_, x| x.pad(0.5, &[0, 1, 0], &[0, 0, 2], &[0, 0, 0])),
        ("pad inside", &[3, 4], |_, x| x.pad(-1.0, &[0, 1, 0], &[0, 2, 0], &[0, 2, 1])),
        ("pad turned", &[4, 6, 3], |_, x| x.pad(0.5, &[0, 1, 0, 2], &[0, 0, 2, 1], &[0, 0, 1, 0])),
        ("concatenate", &[3, 4], |scope, x| {
            let n = x.shape()[0];
            let row = matrix(scope, "w", &[1, 4]).broadcast_in(&[n, 2, 4], &[1, 2]);
            scope.builder().concatenate(&[x, row, x.sin()], 1)
        }),
        ("concatenate turned", &[4, 6, 3], |scope, x| {
            scope.builder().concatenate(&[x, x.exp().slice(3, 0, 1)], 3)
        }),
        ("reverse", &[3, 4], |_, x| x.reverse(&[2]) + x.reverse(&[0, 1])),
        ("dynamic slice", &[6, 7], |_, x| {
            let b = x.builder();
            let start = float_to_start(x);
            let zero = b.scalar_of(I32, 0.0);
            x.dynamic_slice(&[zero, start, zero - 3.0], &[x.shape()[0], 2, 4])
        }),
        ("dynamic update slice", &[6, 7], |_, x| {
            let b = x.builder();
            let zero = b.scalar_of(I32, 0.0);
            let update = x.slice(1, 0, 3).slice(2, 0, 2) * 10.0;
            x.dynamic_update_slice(update, &[zero, zero + 9.0, zero + 2.0])
        }),
        ("gather rows", &[4], |scope, x| matrix(scope, "w", &[5, 3]).take(whole(x * 4.0))),
        ("gather along", &[4, 3], |_, x| x.take_along(whole(x * 2.5), 1)),
        ("gather matched first", &[4, 3], |_, x| {
            x.gather(whole(x.index(2, 0) * 2.0), GatherAxes { batch: 1, trailing: 0 })
        }),
        ("gather matched last", &[4, 5, 3], |_, x| {
            x.gather(
                whole(x.index(2, 0).slice(1, 0, 2) * 3.0),
                GatherAxes { batch: 1, trailing: 1 },
            )
        }),
        ("gather matched twice", &[4, 5, 3], |_, x| {
            let indices = whole(x.slice(2, 0, 2) * 3.0);
            x.gather(indices, GatherAxes { batch: 2, trailing: 1 })
        }),
        ("scatter rows", &[4, 3], |scope, x| {
            let b = scope.builder();
            let n = x.shape()[0];
            let updates = x.reshape(&[n * 4, 3]);
            let indices = whole(updates.index(1, 0) * 3.0);
            let sums = matrix(scope, "w", &[5, 3]).scatter_add(
                indices,
                updates,
                GatherAxes { batch: 0, trailing: 0 },
            );
            sums.broadcast_in(&[n, 5, 3], &[1, 2]) + b.iota(x.dtype(), &[n, 5, 3], 0)
        }),
        ("scatter along", &[6, 3], |_, x| {
            let updates = x.slice(1, 0, 4).sin();
            x.scatter_add(whole(updates * 6.0), updates, GatherAxes { batch: 1, trailing: 1 })
        }),
        ("reduce sum", &[4, 3], |_, x| x.sum(&[1]) + x.sum(&[2]).slice(1, 0, 3)),
        ("reduce max", &[4, 3], |_, x| x.max(&[1, 2])),
        ("reduce min", &[4, 3], |_, x| x.min(&[2])),
        ("reduce all", &[4, 3], |_, x| {
            let positive = x.greater(-1.0);
            float(positive.reduce(Reduction::All, &[2]), x.index(2, 0))
                + float(x.greater(1.0).reduce(Reduction::Any, &[2]), x.index(2, 0)) * 2.0
        }),
        ("reduce repeated", &[4], |_, x| {
            let n = x.shape()[0];
            x.broadcast_in(&[n, 6, 4], &[0, 2]).sum(&[1])
                + x.broadcast_in(&[n, 6, 4], &[0, 2]).max(&[1])
        }),
        ("reduce flattened", &[4, 2, 3], |_, x| {
            let n = x.shape()[0];
            x.reshape(&[n, 24]).sum(&[1])
        }),
        ("mean kept", &[4, 3], |_, x| x - x.mean(&[1, 2]).keep(&[1, 2])),
        ("mean of channels", &[4, 6, 3], |_, x| x.mean(&[3]).reshape(&[x.shape()[0], 24])),
        ("window sum", &[6, 5, 2], |_, x| {
            x.window_sum(&Window {
                dilation: vec![1, 2, 1, 1],
                ..Window::spatial([2, 3], [2, 1], [(1, 0), (0, 2)])
            })
        }),
        ("window sum over channels", &[6, 5], |_, x| {
            x.window_sum(&window(&[1, 2, 3], &[1, 2, 1], &[0, 1, 0]))
        }),
        ("mean of windows", &[6, 5, 2], |_, x| {
            x.window_sum(&Window::spatial([2, 3], [2, 1], [(1, 0), (0, 2)])) * (1.0 / 6.0)
        }),
        ("window max", &[6, 5, 2], |_, x| {
            x.window_max(&Window {
                dilation: vec![1, 2, 1, 1],
                ..Window::spatial([2, 3], [2, 1], [(1, 0), (0, 1)])
            })
        }),
        ("window max over channels", &[6, 5], |_, x| {
            x.window_max(&window(&[1, 2, 3], &[1, 2, 1], &[0, 1, 0]))
        }),
        ("window max of one axis", &[6, 5], |_, x| {
            x.window_max(&window(&[1, 2, 1], &[1, 2, 1], &[0, 1, 0]))
        }),
        ("window places", &[6, 5, 2], |scope, x| {
            let places = scope.builder().emit_one(
                Op::WindowArgMax(Window::spatial([2, 3], [2, 1], [(1, 0), (0, 1)])),
                &[x],
            );
            float(places, x)
        }),
        ("arg max", &[4, 6, 3], |_, x| float(x.arg_max(3), x).reshape(&[x.shape()[0], 24])),
        ("sort", &[7], |_, x| x.sort(1)),
        ("sort others", &[7, 3], |_, x| {
            let sorted = x.sort_with(&[x.sin(), float(whole(x * 9.0), x)], 1, true);
            sorted[0] + sorted[1] * 3.0 + sorted[2]
        }),
        ("sort the batch", &[4], |_, x| x.sort(0)),
        ("cumulative sum", &[5, 3], |_, x| x.cumulative_sum(1, false) + x.cumulative_sum(2, true)),
        ("dot vector", &[4, 6], |scope, x| x.dot(matrix(scope, "w", &[6]), contract(&[2], &[0]))),
        ("dot turned", &[4, 6], |scope, x| {
            x.dot(matrix(scope, "w", &[5, 4]), contract(&[1], &[1]))
        }),
        ("dot of two axes", &[4, 6, 2], |scope, x| {
            x.dot(matrix(scope, "w", &[2, 5, 4]), contract(&[3, 1], &[0, 2]))
        }),
        ("dot matched", &[4, 3], |_, x| {
            let y = x.sin().transpose(&[0, 2, 1]);
            x.dot(
                y,
                DotAxes {
                    lhs_batch: vec![0],
                    rhs_batch: vec![0],
                    lhs_contract: vec![2],
                    rhs_contract: vec![1],
                },
            )
        }),
        ("dot matched many", &[4, 3, 2], |_, x| {
            x.dot(
                x.exp(),
                DotAxes {
                    lhs_batch: vec![2, 0],
                    rhs_batch: vec![2, 0],
                    lhs_contract: vec![],
                    rhs_contract: vec![],
                },
            )
            .transpose(&[1, 0, 2, 3, 4, 5])
        }),
        ("matrix of scaled weights", &[4, 2, 3], |scope, x| {
            let n = x.shape()[0];
            x.reshape(&[n, 24]).matmul(matrix(scope, "w", &[24, 5]) * 0.5)
                + matrix(scope, "b", &[5])
        }),
        ("convolution", &[7, 6, 4], |scope, x| {
            convolved(
                scope,
                x,
                ConvolutionWindow {
                    stride: [2, 1],
                    padding: [(1, 0), (2, 1)],
                    dilation: [1, 2],
                    groups: 2,
                    ..ConvolutionWindow::PLAIN
                },
            )
        }),
        ("transposed convolution", &[7, 6, 4], |scope, x| {
            let window = ConvolutionWindow {
                stride: [2, 3],
                padding: [(1, 0), (0, 1)],
                dilation: [2, 1],
                groups: 2,
                ..ConvolutionWindow::PLAIN
            };
            let w = matrix(scope, "w", &[3, 2, 3, 4]);
            scope
                .builder()
                .emit_one(Op::ConvolutionInputGradient { window, input: [17, 17] }, &[x, w])
        }),
        ("softmax", &[4, 3], |_, x| {
            x.softmax(1) + x.transpose(&[0, 2, 1]).softmax(1).transpose(&[0, 2, 1])
        }),
        ("log softmax", &[4], |_, x| x.log_softmax(1)),
        ("one hot", &[4], |_, x| whole(x).one_hot(3, x.dtype())),
        ("the input itself", &[4, 3, 2], |_, x| x),
    ]
}

fn whole(x: Tensor<'_>) -> Tensor<'_> {
    x.convert(I32)
}

fn divided<'b>(a: Tensor<'b>, b: Tensor<'b>) -> Tensor<'b> {
    (a * 7.0) / b
}

fn float<'b>(x: Tensor<'b>, like: Tensor<'b>) -> Tensor<'b> {
    x.convert(like.dtype())
}

/// A start that the data say, past what fits for many.
fn float_to_start(x: Tensor<'_>) -> Tensor<'_> {
    whole(x.max(&[0, 1, 2]) * 3.0)
}

fn contract(lhs: &[usize], rhs: &[usize]) -> DotAxes {
    DotAxes { lhs_contract: lhs.to_vec(), rhs_contract: rhs.to_vec(), ..DotAxes::default() }
}

fn window(size: &[usize], stride: &[usize], padding: &[usize]) -> Window {
    Window {
        size: size.to_vec(),
        stride: stride.to_vec(),
        padding: padding.iter().map(|&p| (p, p)).collect(),
        dilation: vec![1; size.len()],
    }
}

fn matrix<'b>(scope: &Scope<'_, 'b>, name: &str, shape: &[usize]) -> Tensor<'b> {
    let axes = vec![Axis::Other; shape.len()];
    let initializer = Initializer::Normal { standard_deviation: 1.0 };
    scope.parameter(Parameter::new(name, shape, Role::Weight, &axes, initializer))
}

fn convolved<'b>(scope: &Scope<'_, 'b>, x: Tensor<'b>, window: ConvolutionWindow) -> Tensor<'b> {
    x.convolution(matrix(scope, "w", &[3, 2, 2, 6]), window)
}

/// What has no counterpart.
fn refused_table() -> Vec<(&'static str, &'static [usize], Trace)> {
    vec![
        ("cholesky", &[3, 3], |scope, x| scope.builder().emit_one(Op::Cholesky, &[x])),
        ("mean of the batch", &[3], |_, x| x - x.mean(&[0])),
        ("all but one", &[3], |_, x| x.slice(0, 1, x.shape()[0]).sum(&[0]) + x),
    ]
}

pub fn cases() -> Vec<Case> {
    of(table())
}

pub fn refused() -> Vec<Case> {
    of(refused_table())
}

fn of(table: Vec<(&'static str, &'static [usize], Trace)>) -> Vec<Case> {
    let case = |(name, shape, trace): (&str, &[usize], Trace)| {
        let inputs = vec![ModelPort::float("x", shape)];
        let model = Model::new(Arc::new(Traced(trace)), inputs, &["y"]);
        let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
        Case::new(name, model)
    };
    table.into_iter().map(case).collect()
}

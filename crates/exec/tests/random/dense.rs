//! Products, convolutions, windows, and what runs along an axis.

use crate::grow::{Grower, literal};
use crate::numbers::Numbers;
use thalweg_array::DType;
use thalweg_graph::{ConvolutionWindow, DotAxes, Op, Tensor, TensorType, Window, window_extent};

pub fn step<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    match numbers.below(8) {
        0..=2 => dot(grower, numbers),
        3..=5 => convolution(grower, numbers),
        6 => windowed(grower, numbers),
        _ => along(grower, numbers),
    }
    .into_iter()
    .collect()
}

fn dot<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.float(numbers) else { return Vec::new() };
    let shape = x.shape();
    let order = numbers.permutation(shape.len());
    let n_batch = numbers.below(shape.len().min(2) + 1);
    let n_contract = numbers.below((shape.len() - n_batch).min(2) + 1);
    let lhs_batch = order[..n_batch].to_vec();
    let lhs_contract = order[n_batch..n_batch + n_contract].to_vec();
    // The right operand has its axes in any order, as the view of a dense value.
    let mut extents: Vec<usize> =
        lhs_batch.iter().chain(&lhs_contract).map(|&axis| shape[axis]).collect();
    for _ in 0..numbers.below(3) {
        extents.push(numbers.pick(&[1, 2, 3, 8, 17]));
    }
    let places = numbers.permutation(extents.len());
    let mut rhs_shape = vec![0; extents.len()];
    for (axis, &place) in places.iter().enumerate() {
        rhs_shape[place] = extents[axis];
    }
    if rhs_shape.iter().product::<usize>() > 20_000 {
        return Vec::new();
    }
    let source = grower.float(numbers).unwrap_or(x);
    let mut y = grower.resized(source, &TensorType::new(x.dtype(), rhs_shape.clone()));
    if numbers.once_in(3) {
        y = y.reverse(&(0..y.rank()).collect::<Vec<_>>());
    }
    let axes = DotAxes {
        lhs_batch,
        rhs_batch: places[..n_batch].to_vec(),
        lhs_contract,
        rhs_contract: places[n_batch..n_batch + n_contract].to_vec(),
    };
    vec![x.dot(y, axes)]
}

/// One of the three convolutions, with operands cut to fit.
fn convolution<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(source) = grower.float(numbers) else { return Vec::new() };
    let dtype = source.dtype();
    let other = grower.pick(numbers, |y| y.dtype().is_float()).unwrap_or(source);
    let groups = numbers.pick(&[1, 1, 1, 2, 3]);
    let mut window = ConvolutionWindow {
        stride: [numbers.between(1, 3), numbers.between(1, 3)],
        padding: [(0, 0); 2].map(|_| (numbers.below(3), numbers.below(3))),
        dilation: [numbers.pick(&[1, 1, 2]), numbers.pick(&[1, 1, 3])],
        groups,
        lhs_population: numbers.once_in(3),
        rhs_population: numbers.once_in(3),
        folded: [1, 1],
    };
    let members = numbers.pick(&[1, 2, 3, 0]);
    let kernel = [numbers.pick(&[1, 2, 3, 5]), numbers.pick(&[1, 2, 3, 4])];
    let input = [numbers.pick(&[1, 3, 5, 8]), numbers.pick(&[1, 2, 7, 9])];
    let (cin, cout) = (numbers.pick(&[1, 2, 3, 5, 16]), numbers.pick(&[1, 2, 3, 8, 17]));
    let n = numbers.pick(&[1, 2, 3, 0]);
    // A kernel larger than its operand gets the padding that it needs.
    let mut output = [0; 2];
    for i in 0..2 {
        let reach = window.dilation[i] * (kernel[i] - 1) + 1;
        while input[i] + window.padding[i].0 + window.padding[i].1 < reach {
            window.padding[i].0 += 1;
        }
        let extent = window.output_extent(i, input[i], kernel[i]);
        output[i] = extent.expect("the padding makes it fit");
    }
    let ty = |population: bool, shape: [usize; 4]| {
        let front: &[usize] = if population { &[members] } else { &[] };
        TensorType::new(dtype, [front, &shape].concat())
    };
    let x = [n, input[0], input[1], cin * groups];
    let w = [kernel[0], kernel[1], cin, cout * groups];
    let y = [n, output[0], output[1], cout * groups];
    let (op, left, right) = match numbers.below(3) {
        0 => (Op::Convolution(window), x, w),
        1 => (Op::ConvolutionInputGradient { window, input }, y, w),
        _ => (Op::ConvolutionWeightGradient { window, kernel }, x, y),
    };
    let (left, right) = (ty(window.lhs_population, left), ty(window.rhs_population, right));
    if left.element_count().max(right.element_count()) > 20_000 {
        return Vec::new();
    }
    let left = grower.resized(source, &left);
    let right = if numbers.once_in(2) {
        literal(grower, numbers, &right)
    } else {
        grower.resized(other, &right)
    };
    vec![grower.b.emit_one(op, &[left, right])]
}

fn windowed<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.number(numbers) else { return Vec::new() };
    let mut window = Window { size: vec![], stride: vec![], padding: vec![], dilation: vec![] };
    let sum = !grower.exact || numbers.once_in(2);
    for extent in x.shape() {
        let size = if numbers.once_in(2) { 1 } else { numbers.between(1, extent.clamp(1, 4)) };
        let dilation = if size == 1 { 1 } else { numbers.pick(&[1, 1, 2]) };
        let reach = dilation * (size - 1) + 1;
        let least = reach.saturating_sub(extent);
        // An arg-max asks for an element in each window.
        let most = if sum { 2 } else { (size - 1).min(1) };
        let padding = (least.max(numbers.below(most + 1)), numbers.below(most + 1));
        let stride = numbers.pick(&[1, 1, 2, 3]);
        if window_extent(extent, size, stride, padding, dilation).is_none() {
            return Vec::new();
        }
        if !sum && (extent == 0 || least > 0 || (dilation > 1 && extent < 2 * reach)) {
            return Vec::new();
        }
        window.size.push(size);
        window.stride.push(stride);
        window.padding.push(padding);
        window.dilation.push(dilation);
    }
    if sum {
        return vec![x.window_sum(&window)];
    }
    vec![x.window_max(&window)]
}

fn along<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, |x| x.rank() > 0) else { return Vec::new() };
    let (shape, axis) = (x.shape(), numbers.below(x.rank()));
    let discrete = grower.exact || !x.dtype().is_float();
    match numbers.below(4) {
        0 if x.dtype() != DType::Bool => vec![x.cumulative_sum(axis, numbers.once_in(2))],
        1 if discrete && x.dtype() != DType::Bool && shape[axis] > 0 => vec![x.arg_max(axis)],
        2 if discrete => {
            let alike: Vec<_> = grower.pick(numbers, |y| y.shape() == shape).into_iter().collect();
            x.sort_with(&alike, axis, numbers.once_in(2))
        }
        3 => {
            let key = grower.b.full(&TensorType::new(DType::U32, &shape[..]), 7.0);
            let counter = grower.b.iota(DType::U32, &shape, axis);
            let words = [key, counter, counter, key];
            let word = grower.b.emit_one(Op::Threefry, &words).shift_right_logical(29.0);
            vec![word]
        }
        _ => vec![x],
    }
}

//! Convolutions, and their transposes.
//!
//! The engine's convolution has two spatial axes. One axis is taken as height one; with three, the
//! first of them is a sum over the kernel's slices.

use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::Laid;
use thalweg_graph::{ConvolutionWindow, Op, Tensor};

/// What the attributes say of each spatial axis.
pub(super) struct Spatial {
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    pub padding: Vec<(usize, usize)>,
}

/// How much of the padding goes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AutoPad {
    Given,
    SameUpper,
    SameLower,
    Valid,
}

impl AutoPad {
    pub fn of(call: &Call<'_, '_, '_>) -> Result<AutoPad, String> {
        Ok(match call.text_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => AutoPad::Given,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            other => return Err(format!("attribute `auto_pad` is `{other}`")),
        })
    }

    /// A total in two parts.
    pub fn split(self, total: usize) -> (usize, usize) {
        let small = total / 2;
        match self {
            AutoPad::SameLower => (total - small, small),
            _ => (small, total - small),
        }
    }
}

impl Spatial {
    /// Reads the attributes for an input with these spatial extents.
    pub fn read(
        call: &Call<'_, '_, '_>,
        extents: &[usize],
        kernel: Vec<usize>,
    ) -> Result<Spatial, String> {
        let n = extents.len();
        let each = |name: &str| -> Result<Vec<usize>, String> {
            match call.counts_of(name)? {
                None => Ok(vec![1; n]),
                Some(values) if values.len() == n && !values.contains(&0) => Ok(values),
                Some(values) => Err(format!("attribute `{name}` is {values:?} for {n} axes")),
            }
        };
        if kernel.len() != n || kernel.contains(&0) {
            return Err(format!("a kernel {kernel:?} for {n} axes"));
        }
        let (stride, dilation) = (each("strides")?, each("dilations")?);
        let auto = AutoPad::of(call)?;
        let mut padding = Vec::with_capacity(n);
        match auto {
            AutoPad::Given => match call.integers_of("pads")? {
                None => padding.resize(n, (0, 0)),
                Some(pads) => {
                    let pads: Vec<usize> = pads
                        .iter()
                        .map(|&pad| usize::try_from(pad))
                        .collect::<Result<_, _>>()
                        .map_err(|_| {
                            format!("attribute `pads` is {pads:?}, but may not be negative")
                        })?;
                    if pads.len() != 2 * n {
                        return Err(format!("attribute `pads` is {pads:?} for {n} axes"));
                    }
                    padding.extend((0..n).map(|axis| (pads[axis], pads[axis + n])));
                }
            },
            AutoPad::Valid => padding.resize(n, (0, 0)),
            AutoPad::SameUpper | AutoPad::SameLower => {
                for axis in 0..n {
                    let reach = reach(kernel[axis], dilation[axis])?;
                    let out = extents[axis].div_ceil(stride[axis]).max(1);
                    let needed = (out - 1).saturating_mul(stride[axis]).saturating_add(reach);
                    padding.push(auto.split(needed.saturating_sub(extents[axis])));
                }
            }
        }
        Ok(Spatial { kernel, stride, dilation, padding })
    }
}

/// Extent that a dilated kernel covers.
pub(super) fn reach(kernel: usize, dilation: usize) -> Result<usize, String> {
    kernel
        .checked_sub(1)
        .and_then(|n| n.checked_mul(dilation))
        .and_then(|n| n.checked_add(1))
        .ok_or_else(|| format!("a kernel of {kernel} with dilation {dilation}"))
}

/// `[out, in, s..]` to `[s.., in, out]`.
fn kernel_last(w: Tensor<'_>) -> Tensor<'_> {
    let rank = w.rank();
    let mut permutation: Vec<usize> = (2..rank).collect();
    permutation.extend([1, 0]);
    w.transpose(&permutation)
}

/// Checks the ranks and extents of an input and a kernel.
fn check(call: &Call<'_, '_, '_>) -> Result<(Vec<usize>, Vec<usize>), String> {
    let (x, w) = (call.shape(0)?, call.shape(1)?);
    if x.len() < 3 || w.len() != x.len() {
        return Err(format!("an input of shape {x:?} and a kernel of shape {w:?}"));
    }
    if x.len() > 5 {
        return Err(format!("convolutions over {} axes are not supported", x.len() - 2));
    }
    if let Some(kernel) = call.counts_of("kernel_shape")?
        && kernel != w[2..]
    {
        return Err(format!("attribute `kernel_shape` is {kernel:?}, the kernel's shape {w:?}"));
    }
    Ok((x, w))
}

fn with_bias<'b>(call: &Call<'_, '_, 'b>, y: Tensor<'b>) -> Outcome<'b> {
    let y = match call.optional(2)? {
        Some(bias) => y + bias,
        None => y,
    };
    one(Laid::last_of(y))
}

pub fn conv<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x_shape, w_shape) = check(call)?;
    let groups = call.count_or("group", 1)?;
    if groups == 0 || w_shape[1].checked_mul(groups) != Some(x_shape[1]) {
        return Err(format!(
            "an input of {} channels, a kernel of shape {w_shape:?} and {groups} groups",
            x_shape[1]
        ));
    }
    let spatial = Spatial::read(call, &x_shape[2..], w_shape[2..].to_vec())?;
    let x = call.laid(0)?.channels_last();
    let w = kernel_last(call.tensor(1)?);
    with_bias(call, convolve(x, w, &spatial, groups)?)
}

/// `x [n, s.., in]` by `w [s.., in / groups, out]`.
fn convolve<'b>(
    x: Tensor<'b>,
    w: Tensor<'b>,
    spatial: &Spatial,
    groups: usize,
) -> Result<Tensor<'b>, String> {
    let window = |axes: [usize; 2]| ConvolutionWindow {
        stride: axes.map(|axis| spatial.stride[axis]),
        padding: axes.map(|axis| spatial.padding[axis]),
        dilation: axes.map(|axis| spatial.dilation[axis]),
        groups,
        ..ConvolutionWindow::PLAIN
    };
    match spatial.kernel.len() {
        1 => {
            let single = ConvolutionWindow {
                stride: [1, spatial.stride[0]],
                padding: [(0, 0), spatial.padding[0]],
                dilation: [1, spatial.dilation[0]],
                groups,
                ..ConvolutionWindow::PLAIN
            };
            let y = x.expand(1).convolution(w.expand(0), single);
            Ok(y.index(1, 0))
        }
        2 => Ok(x.convolution(w, window([0, 1]))),
        _ => deep(x, w, spatial, window([1, 2])),
    }
}

/// Three spatial axes: the sum over the first one's slices of the kernel.
fn deep<'b>(
    x: Tensor<'b>,
    w: Tensor<'b>,
    spatial: &Spatial,
    window: ConvolutionWindow,
) -> Result<Tensor<'b>, String> {
    let (low, high) = spatial.padding[0];
    let x = x.pad(0.0, &[0, low, 0, 0, 0], &[0, high, 0, 0, 0], &[0; 5]);
    let shape = x.shape();
    let (stride, dilation, kernel) = (spatial.stride[0], spatial.dilation[0], spatial.kernel[0]);
    let reach = reach(kernel, dilation)?;
    let depth = shape[1]
        .checked_sub(reach)
        .map(|rest| rest / stride + 1)
        .ok_or_else(|| format!("a kernel of {reach} over {} elements", shape[1]))?;
    let mut total: Option<Tensor<'b>> = None;
    for k in 0..kernel {
        let start = k * dilation;
        let mut limit = shape.clone();
        limit[1] = start + (depth - 1) * stride + 1;
        let slices = x.slice_all(&[0, start, 0, 0, 0], &limit, &[1, stride, 1, 1, 1]);
        let flat = slices.reshape(&[shape[0] * depth, shape[2], shape[3], shape[4]]);
        let part = flat.convolution(w.index(0, k), window);
        total = Some(match total {
            Some(sum) => sum + part,
            None => part,
        });
    }
    let total = total.ok_or("an empty kernel")?;
    let mut out = total.shape();
    if out.len() != 4 {
        return Err("the kernel does not fit".into());
    }
    out[0] = shape[0];
    out.insert(1, depth);
    Ok(total.reshape(&out))
}

pub fn conv_transpose<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (x_shape, w_shape) = check(call)?;
    let n = x_shape.len() - 2;
    let groups = call.count_or("group", 1)?;
    if groups == 0 || w_shape[0] != x_shape[1] || !x_shape[1].is_multiple_of(groups) {
        return Err(format!(
            "an input of {} channels, a kernel of shape {w_shape:?} and {groups} groups",
            x_shape[1]
        ));
    }
    let extents = &x_shape[2..];
    let auto = AutoPad::of(call)?;
    let mut spatial = Spatial::read(call, extents, w_shape[2..].to_vec())?;
    let mut extra = call.counts_of("output_padding")?.unwrap_or_else(|| vec![0; n]);
    let wanted = call.counts_of("output_shape")?;
    if extra.len() != n || wanted.as_ref().is_some_and(|shape| shape.len() != n) {
        return Err(format!("attributes `output_padding` and `output_shape` need {n} numbers"));
    }
    let mut out = Vec::with_capacity(n);
    for axis in 0..n {
        let too_large = || "its output is too large".to_owned();
        let full = extents[axis]
            .checked_sub(1)
            .and_then(|n| n.checked_mul(spatial.stride[axis]))
            .and_then(|n| n.checked_add(reach(spatial.kernel[axis], spatial.dilation[axis]).ok()?))
            .and_then(|n| n.checked_add(extra[axis]))
            .ok_or_else(too_large)?;
        let target = match (&wanted, auto) {
            (Some(shape), _) => Some(shape[axis]),
            (None, AutoPad::SameUpper | AutoPad::SameLower) => {
                Some(extents[axis].checked_mul(spatial.stride[axis]).ok_or_else(too_large)?)
            }
            (None, _) => None,
        };
        if let Some(target) = target {
            // Of an odd total the larger part goes first, unless it is said otherwise.
            let total = full.saturating_sub(target);
            let small = total / 2;
            spatial.padding[axis] = match auto {
                AutoPad::SameUpper => (small, total - small),
                _ => (total - small, small),
            };
            extra[axis] = extra[axis].saturating_add(target.saturating_sub(full));
        }
        let (low, high) = spatial.padding[axis];
        let full = full.max(target.unwrap_or(0));
        let rest = full.checked_sub(low).and_then(|n| n.checked_sub(high));
        out.push(rest.filter(|&n| n > 0).ok_or("padding leaves nothing of its output")?);
    }
    let x = call.laid(0)?.channels_last();
    let w = call.tensor(1)?;
    let direct = n < 3 && (0..n).all(|axis| extra[axis] < spatial.stride[axis]);
    let y = match direct {
        true => backward(x, kernel_last(w), &spatial, groups, &out),
        false => spread(x, w, &spatial, groups, &extra)?,
    };
    with_bias(call, y)
}

/// As the transpose of a convolution.
fn backward<'b>(
    x: Tensor<'b>,
    w: Tensor<'b>,
    spatial: &Spatial,
    groups: usize,
    out: &[usize],
) -> Tensor<'b> {
    let pair = |values: &[usize], neutral: usize| match *values {
        [height, width] => [height, width],
        [width] => [neutral, width],
        _ => [neutral; 2],
    };
    let single = spatial.kernel.len() == 1;
    let window = ConvolutionWindow {
        stride: pair(&spatial.stride, 1),
        padding: match spatial.padding[..] {
            [height, width] => [height, width],
            [width] => [(0, 0), width],
            _ => [(0, 0); 2],
        },
        dilation: pair(&spatial.dilation, 1),
        groups,
        ..ConvolutionWindow::PLAIN
    };
    let (x, w) = if single { (x.expand(1), w.expand(0)) } else { (x, w) };
    let op = Op::ConvolutionInputGradient { window, input: pair(out, 1) };
    let y = x.builder().emit_one(op, &[x, w]);
    if single { y.index(1, 0) } else { y }
}

/// As a convolution of the input with gaps, by the turned kernel.
fn spread<'b>(
    x: Tensor<'b>,
    w: Tensor<'b>,
    spatial: &Spatial,
    groups: usize,
    extra: &[usize],
) -> Result<Tensor<'b>, String> {
    let n = spatial.kernel.len();
    let (mut low, mut high, mut gaps) = (vec![0; n + 2], vec![0; n + 2], vec![0; n + 2]);
    let (mut cut_low, mut cut_high) = (vec![0; n + 2], vec![0; n + 2]);
    for axis in 0..n {
        let margin = reach(spatial.kernel[axis], spatial.dilation[axis])? - 1;
        let (before, after) = spatial.padding[axis];
        let after_margin = margin.saturating_add(extra[axis]);
        low[axis + 1] = margin.saturating_sub(before);
        high[axis + 1] = after_margin.saturating_sub(after);
        cut_low[axis + 1] = before.saturating_sub(margin);
        cut_high[axis + 1] = after.saturating_sub(after_margin);
        gaps[axis + 1] = spatial.stride[axis] - 1;
    }
    let x = x.pad(0.0, &low, &high, &gaps);
    let shape = x.shape();
    let mut limit = Vec::with_capacity(shape.len());
    for (&extent, &cut) in shape.iter().zip(&cut_high) {
        limit.push(extent.checked_sub(cut).ok_or("padding leaves nothing of its output")?);
    }
    let x = x.slice_all(&cut_low, &limit, &vec![1; shape.len()]);
    // [groups * in, out, s..] to [s.., in, groups * out].
    let w_shape = w.shape();
    let (inputs, outputs) = (w_shape[0] / groups, w_shape[1]);
    let spatial_axes: Vec<usize> = (2..n + 2).collect();
    let mut split = vec![groups, inputs, outputs];
    split.extend(&w_shape[2..]);
    let mut order: Vec<usize> = (3..n + 3).collect();
    order.extend([1, 0, 2]);
    let mut merged = w_shape[2..].to_vec();
    merged.extend([inputs, groups * outputs]);
    let w = w.reverse(&spatial_axes).reshape(&split).transpose(&order).reshape(&merged);
    let plain = Spatial {
        kernel: spatial.kernel.clone(),
        stride: vec![1; n],
        dilation: spatial.dilation.clone(),
        padding: vec![(0, 0); n],
    };
    convolve(x, w, &plain, groups)
}

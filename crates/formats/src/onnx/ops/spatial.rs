//! Rearrangements of images, and spectra.

use super::convolution::reach;
use super::shape::check_large;
use crate::onnx::call::{Call, Outcome, axis_of, one};
use crate::onnx::value::Laid;
use std::f64::consts::TAU;
use thalweg_array::{Array, DType};
use thalweg_graph::{DotAxes, GatherAxes, Tensor};

pub fn depth_to_space<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let size = call.count_or("blocksize", 0)?;
    let [n, c, h, w] = four(x.shape())?;
    if size == 0 || !c.is_multiple_of(size.saturating_mul(size)) {
        return Err(format!("{c} channels in blocks of {size}"));
    }
    let rest = c / (size * size);
    let x = x.channels_last();
    let (split, order) = match call.text_or("mode", "DCR")? {
        "DCR" => ([n, h, w, size, size, rest], [0, 1, 3, 2, 4, 5]),
        "CRD" => ([n, h, w, rest, size, size], [0, 1, 4, 2, 5, 3]),
        other => return Err(format!("attribute `mode` is `{other}`")),
    };
    let y = x.reshape(&split).transpose(&order).reshape(&[n, h * size, w * size, rest]);
    one(Laid::last_of(y))
}

pub fn space_to_depth<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let size = call.count_or("blocksize", 0)?;
    let [n, c, h, w] = four(x.shape())?;
    if size == 0 || !h.is_multiple_of(size) || !w.is_multiple_of(size) {
        return Err(format!("an image of {h} by {w} in blocks of {size}"));
    }
    let split = [n, h / size, size, w / size, size, c];
    let order = match call.text_or("mode", "DCR")? {
        "DCR" => [0, 1, 3, 2, 4, 5],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return Err(format!("attribute `mode` is `{other}`")),
    };
    let y = x.channels_last().reshape(&split).transpose(&order);
    one(Laid::last_of(y.reshape(&[n, h / size, w / size, size * size * c])))
}

fn four(shape: Vec<usize>) -> Result<[usize; 4], String> {
    <[usize; 4]>::try_from(shape).map_err(|shape| format!("four axes are needed, got {shape:?}"))
}

/// Samples at places between pixels.
///
/// Each of the neighbours is gathered with its weight; derivatives by the image and, through the
/// weights, by the grid.
pub fn grid_sample<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let grid = call.tensor(1)?;
    let [n, c, height, width] = four(x.shape())?;
    let [_, rows, columns, two] = four(grid.shape())?;
    if grid.shape()[0] != n || two != 2 {
        return Err(format!("a grid of shape {:?}", grid.shape()));
    }
    let align = call.flag("align_corners")?;
    let nearest = match call.text_or("mode", "linear")? {
        "linear" | "bilinear" => false,
        "nearest" => true,
        other => return Err(format!("attribute `mode` `{other}` is not supported")),
    };
    let border = match call.text_or("padding_mode", "zeros")? {
        "zeros" => false,
        "border" => true,
        other => return Err(format!("attribute `padding_mode` `{other}` is not supported")),
    };
    let place = |i: usize, extent: usize| {
        let at = (grid.index(3, i) + 1.0) * 0.5;
        let at = match align {
            true => at * (extent as f64 - 1.0),
            false => at * extent as f64 - 0.5,
        };
        match border {
            true => at.maximum(0.0).minimum(extent as f64 - 1.0),
            false => at,
        }
    };
    let (px, py) = (place(0, width), place(1, height));
    let pixels = x.channels_last().reshape(&[n, height * width, c]);
    let builder = call.builder();
    let pick = |row: Tensor<'b>, column: Tensor<'b>| {
        let inside = row
            .greater_equal(0.0)
            .and(row.less(height as f64))
            .and(column.greater_equal(0.0))
            .and(column.less(width as f64));
        let index = (row * width as f64 + column).convert(DType::I64);
        // Outside of the image an index reads zero.
        let never = builder.full(&index.ty(), (height * width) as f64);
        let index = inside.select(index, never);
        pixels.gather(index, GatherAxes { batch: 1, trailing: 0 })
    };
    let y = if nearest {
        pick(py.round(), px.round())
    } else {
        let (x0, y0) = (px.floor().stop_gradient(), py.floor().stop_gradient());
        let (fx, fy) = (px - x0, py - y0);
        let weighted = |dy: f64, dx: f64| {
            let wx = if dx > 0.0 { fx } else { 1.0 - fx };
            let wy = if dy > 0.0 { fy } else { 1.0 - fy };
            pick(y0 + dy, x0 + dx) * (wx * wy).reshape(&[n, rows, columns, 1])
        };
        weighted(0.0, 0.0) + weighted(0.0, 1.0) + weighted(1.0, 0.0) + weighted(1.0, 1.0)
    };
    one(Laid::last_of(y))
}

/// Columns of windows added back into an image.
pub fn column_to_image<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let image = super::shape::extents(&call.host_integers(1)?)?;
    let block = super::shape::extents(&call.host_integers(2)?)?;
    let n = image.len();
    let each = |name: &str| -> Result<Vec<usize>, String> {
        let values = call.counts_of(name)?.unwrap_or_else(|| vec![1; n]);
        match values.len() == n && !values.contains(&0) {
            true => Ok(values),
            false => Err(format!("attribute `{name}` is {values:?}")),
        }
    };
    let (stride, dilation) = (each("strides")?, each("dilations")?);
    let pads = call.counts_of("pads")?.unwrap_or_else(|| vec![0; 2 * n]);
    let shape = x.shape();
    let area: usize = block.iter().product();
    if shape.len() != 3 || block.len() != n || pads.len() != 2 * n || area == 0 || n == 0 {
        return Err(format!("columns of shape {shape:?} in blocks {block:?}"));
    }
    if !shape[1].is_multiple_of(area) {
        return Err(format!("columns of shape {shape:?} in blocks {block:?}"));
    }
    let channels = shape[1] / area;
    let mut windows = Vec::new();
    let mut padded = Vec::new();
    for axis in 0..n {
        let extent = image[axis].saturating_add(pads[axis]).saturating_add(pads[axis + n]);
        let reach = reach(block[axis], dilation[axis])?;
        let rest = extent.checked_sub(reach).ok_or("a block is larger than the image")?;
        windows.push(rest / stride[axis] + 1);
        padded.push(extent);
    }
    let result = [&[shape[0], channels], padded.as_slice()].concat();
    check_large(&result)?;
    if windows.iter().product::<usize>() != shape[2] {
        return Err(format!("columns of shape {shape:?} for {windows:?} windows"));
    }
    let split = [&[shape[0], channels], block.as_slice(), windows.as_slice()].concat();
    let mut y = x.reshape(&split);
    // One axis after the other: block and window become pixels.
    for axis in 0..n {
        // `[n, c, pixels of earlier axes.., block.., windows..]`.
        let (at_block, at_window) = (2 + axis, 2 + n);
        let mut total: Option<Tensor<'b>> = None;
        for k in 0..block[axis] {
            let part = y.index(at_block, k).move_axis(at_window - 1, at_block);
            let rank = part.rank();
            let (mut low, mut high, mut gaps) = (vec![0; rank], vec![0; rank], vec![0; rank]);
            low[at_block] = k * dilation[axis];
            gaps[at_block] = stride[axis] - 1;
            let used = low[at_block] + (windows[axis] - 1) * stride[axis] + 1;
            high[at_block] = padded[axis] - used;
            let part = part.pad(0.0, &low, &high, &gaps);
            total = Some(total.map_or(part, |sum| sum + part));
        }
        y = total.ok_or("an empty block")?;
    }
    let start = [&[0, 0], &pads[..n]].concat();
    let limit: Vec<usize> = [shape[0], channels]
        .into_iter()
        .chain((0..n).map(|axis| pads[axis] + image[axis]))
        .collect();
    one(y.slice_all(&start, &limit, &vec![1; n + 2]))
}

/// The discrete Fourier transform as a product with its matrix.
pub fn dft<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let rank = x.rank();
    let shape = x.shape();
    if rank < 2 {
        return Err(format!("an input of shape {shape:?}"));
    }
    let axis = match call.has(2) {
        true => call.host_integers(2)?.first().copied().unwrap_or(-2),
        false => call.integer_or("axis", if call.version() < 20 { 1 } else { -2 })?,
    };
    let axis = axis_of(axis, rank)?;
    if axis == rank - 1 || !matches!(shape[rank - 1], 1 | 2) {
        return Err(format!("an input of shape {shape:?} along axis {axis}"));
    }
    let (inverse, half) = (call.flag("inverse")?, call.flag("onesided")?);
    let given = if call.has(1) { call.host_integers(1)?.first().copied() } else { None };
    let length = match given {
        Some(length) => usize::try_from(length).map_err(|_| format!("a length of {length}"))?,
        None if inverse && half => 2 * shape[axis].saturating_sub(1),
        None => shape[axis],
    };
    const LONGEST: usize = 1 << 12;
    if length == 0 || length > LONGEST {
        return Err(format!("a transform of {length} elements; 1 to {LONGEST} are supported"));
    }
    // Real and imaginary part, the axis last.
    let part = |i: usize| x.index(rank - 1, i).move_axis(axis, rank - 2);
    let fitted = |part: Tensor<'b>| {
        let last = rank - 2;
        let extent = part.shape()[last];
        let (none, mut high) = (vec![0; rank - 1], vec![0; rank - 1]);
        high[last] = length.saturating_sub(extent);
        part.slice(last, 0, extent.min(length)).pad(0.0, &none, &high, &none)
    };
    let mut real = part(0);
    let mut imaginary = (shape[rank - 1] == 2).then(|| part(1));
    if inverse && half {
        // The other half is the conjugate.
        let last = rank - 2;
        let have = real.shape()[last].min(length / 2 + 1);
        let mirrored = |part: Tensor<'b>, sign: f64| {
            let part = part.slice(last, 0, have);
            let tail = part.slice(last, 1, length - have + 1).reverse(&[last]) * sign;
            part.builder().concatenate(&[part, tail], last)
        };
        if length < have {
            return Err(format!("a transform of {length} elements of {have}"));
        }
        real = mirrored(real, 1.0);
        imaginary = imaginary.map(|part| mirrored(part, -1.0));
    }
    let real = fitted(real);
    let imaginary = imaginary.map(fitted);
    let out = if half && !inverse { length / 2 + 1 } else { length };
    let (sign, scale) = if inverse { (1.0, 1.0 / length as f64) } else { (-1.0, 1.0) };
    let table = |of: fn(f64) -> f64, sign: f64| {
        let values: Vec<f64> = (0..length)
            .flat_map(|t| {
                (0..out).map(move |k| {
                    sign * scale * of(TAU * ((t * k) % length) as f64 / length as f64)
                })
            })
            .collect();
        Array::from_slice(&[length, out], &values).map(|array| call.literal(&array))
    };
    let cosine = table(f64::cos, 1.0).map_err(|error| error.to_string())?;
    let sine = table(f64::sin, sign).map_err(|error| error.to_string())?;
    let axes =
        || DotAxes { lhs_contract: vec![rank - 2], rhs_contract: vec![0], ..DotAxes::default() };
    let (mut re, mut im) = (real.dot(cosine, axes()), real.dot(sine, axes()));
    if let Some(imaginary) = imaginary {
        re = re - imaginary.dot(sine, axes());
        im = im + imaginary.dot(cosine, axes());
    }
    let back = |part: Tensor<'b>| part.move_axis(rank - 2, axis).expand(rank - 1);
    one(match half && inverse {
        true => back(re),
        false => call.builder().concatenate(&[back(re), back(im)], rank - 1),
    })
}

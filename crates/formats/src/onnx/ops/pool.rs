//! Pooling.

use super::convolution::{AutoPad, Spatial, reach};
use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::{Laid, Value};
use thalweg_array::{Array, DType};
use thalweg_graph::{Op, Tensor, Window};

/// A window over the spatial axes of `[n, s.., c]`.
struct Pool {
    spatial: Spatial,
    extents: Vec<usize>,
    /// Padding at the end that is there for the last window only.
    beyond: Vec<usize>,
}

impl Pool {
    fn read(call: &Call<'_, '_, '_>) -> Result<Pool, String> {
        let shape = call.shape(0)?;
        if shape.len() < 3 {
            return Err(format!("an input of shape {shape:?} has no spatial axes"));
        }
        let extents = shape[2..].to_vec();
        let kernel =
            call.counts_of("kernel_shape")?.ok_or("attribute `kernel_shape` is missing")?;
        let spatial = Spatial::read(call, &extents, kernel)?;
        let mut beyond = vec![0; extents.len()];
        if call.flag("ceil_mode")? && AutoPad::of(call)? == AutoPad::Given {
            for axis in 0..extents.len() {
                let (low, high) = spatial.padding[axis];
                let stride = spatial.stride[axis];
                let reach = reach(spatial.kernel[axis], spatial.dilation[axis])?;
                let padded = extents[axis].saturating_add(low).saturating_add(high);
                let Some(rest) = padded.checked_sub(reach) else { continue };
                let mut steps = rest.div_ceil(stride);
                // A window that starts in the padding after the end sees nothing.
                if steps * stride >= extents[axis] + low {
                    steps = steps.saturating_sub(1);
                }
                beyond[axis] = (steps * stride + reach).saturating_sub(padded);
            }
        }
        Ok(Pool { spatial, extents, beyond })
    }

    fn window(&self) -> Window {
        let around = |values: &[usize]| [&[1], values, &[1]].concat();
        let mut padding = vec![(0, 0)];
        for (&(low, high), &beyond) in self.spatial.padding.iter().zip(&self.beyond) {
            padding.push((low, high + beyond));
        }
        padding.push((0, 0));
        Window {
            size: around(&self.spatial.kernel),
            stride: around(&self.spatial.stride),
            dilation: around(&self.spatial.dilation),
            padding,
        }
    }

    /// The number of elements of each window, as `[1, s.., 1]`.
    fn counts<'b>(&self, call: &Call<'_, '_, 'b>, with_padding: bool, out: &[usize]) -> Tensor<'b> {
        let rank = self.extents.len() + 2;
        let mut product: Option<Tensor<'b>> = None;
        for axis in 0..self.extents.len() {
            let (low, high) = self.spatial.padding[axis];
            let (from, to) = match with_padding {
                true => (0, low + self.extents[axis] + high),
                false => (low, low + self.extents[axis]),
            };
            let count = |window: usize| {
                let start = window * self.spatial.stride[axis];
                let inside = |k: &usize| {
                    let at = start + k * self.spatial.dilation[axis];
                    (from..to).contains(&at)
                };
                (0..self.spatial.kernel[axis]).filter(inside).count() as f64
            };
            let counts: Vec<f64> = (0..out[axis + 1]).map(count).collect();
            let mut shape = vec![1; rank];
            shape[axis + 1] = counts.len();
            let factor = call.literal(&Array::vector(&counts)).reshape(&shape);
            product = Some(product.map_or(factor, |product| product * factor));
        }
        product.unwrap_or_else(|| call.builder().scalar(1.0))
    }
}

pub fn max<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let pool = Pool::read(call)?;
    let x = call.laid(0)?.channels_last();
    let window = pool.window();
    let y = Laid::last_of(x.window_max(&window));
    if call.node.outputs.len() < 2 || call.node.outputs[1].is_empty() {
        return one(y);
    }
    // Row-major position among the input's elements in the file's order.
    let place = call.builder().emit_one(Op::WindowArgMax(window), &[x]).convert(DType::I64);
    let shape = x.shape();
    let channels = shape[shape.len() - 1] as f64;
    let area = pool.extents.iter().map(|&extent| extent as f64).product::<f64>();
    let channel = place.remainder(channels);
    let pixel = place / channels;
    let (image, pixel) = (pixel / area, pixel.remainder(area));
    let pixel = match (call.integer_or("storage_order", 0)?, &pool.extents[..]) {
        (1, &[height, width]) => {
            pixel.remainder(width as f64) * height as f64 + pixel / width as f64
        }
        _ => pixel,
    };
    let index = (image * channels + channel) * area + pixel;
    Ok(vec![y.into(), Laid::last_of(index).into()])
}

pub fn average<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let pool = Pool::read(call)?;
    let x = call.laid(0)?.channels_last();
    let sum = x.window_sum(&pool.window());
    let with_padding = call.flag("count_include_pad")?;
    let padded = pool.spatial.padding.iter().any(|&pads| pads != (0, 0));
    let partial = pool.beyond.iter().any(|&n| n > 0);
    let y = if (padded && !with_padding) || partial {
        sum / pool.counts(call, with_padding, &sum.shape())
    } else {
        let n = pool.spatial.kernel.iter().map(|&n| n as f64).product::<f64>();
        sum * (1.0 / n)
    };
    one(Laid::last_of(y))
}

pub fn lp<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let pool = Pool::read(call)?;
    let p = call.float_or("p", 2.0)?;
    let x = call.laid(0)?.channels_last();
    one(Laid::last_of(root(raised(x, p).window_sum(&pool.window()), p)))
}

/// `|x|^p`.
fn raised(x: Tensor<'_>, p: f64) -> Tensor<'_> {
    match p {
        1.0 => x.abs(),
        2.0 => x * x,
        p => x.abs().power(p),
    }
}

fn root(x: Tensor<'_>, p: f64) -> Tensor<'_> {
    match p {
        1.0 => x,
        2.0 => x.sqrt(),
        p => x.power(1.0 / p),
    }
}

/// A reduction over the spatial axes, which stay with extent one.
fn global<'b>(
    call: &Call<'_, '_, 'b>,
    of: impl FnOnce(Tensor<'b>, &[usize]) -> Tensor<'b>,
) -> Outcome<'b> {
    let x = call.laid(0)?;
    let rank = x.rank();
    if rank < 3 {
        return Err(format!("an input of shape {:?} has no spatial axes", x.shape()));
    }
    let axes: Vec<usize> = (2..rank).map(|axis| x.axis(axis)).collect();
    one(Value::Tensor(x.like(of(x.tensor, &axes).keep(&axes))))
}

pub fn global_average<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    global(call, |x, axes| x.mean(axes))
}

pub fn global_max<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    global(call, |x, axes| x.max(axes))
}

pub fn global_lp<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let p = call.float_or("p", 2.0)?;
    global(call, |x, axes| root(raised(x, p).sum(axes), p))
}

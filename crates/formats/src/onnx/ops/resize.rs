//! Resampling.
//!
//! Every mode is a matrix for each axis, known while tracing: what is repeated or skipped evenly
//! becomes a broadcast or a slice, anything else a product.

use super::shape::check_large;
use crate::onnx::attribute::meant;
use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_array::{Array, DType};
use thalweg_graph::{DotAxes, Tensor};

/// How pixels are weighted.
#[derive(Clone, Copy, PartialEq)]
enum Kernel {
    Nearest(Nearest),
    Linear,
    /// With its one number.
    Cubic(f64),
}

#[derive(Clone, Copy, PartialEq)]
enum Nearest {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

/// Where an output pixel lies in the input.
#[derive(Clone, Copy, PartialEq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// Within this share of the input.
    Crop(f64, f64),
}

struct Axis {
    from: usize,
    to: usize,
    scale: f64,
    coordinates: Coordinates,
}

impl Axis {
    fn place(&self, i: usize) -> f64 {
        let (i, from) = (i as f64, self.from as f64);
        let length = self.scale * from;
        let half = (i + 0.5) / self.scale - 0.5;
        match self.coordinates {
            Coordinates::HalfPixel => half,
            Coordinates::PytorchHalfPixel if length == 1.0 => -0.5,
            Coordinates::PytorchHalfPixel => half,
            Coordinates::HalfPixelSymmetric => half + from / 2.0 * (1.0 - self.to as f64 / length),
            Coordinates::AlignCorners if length == 1.0 => 0.0,
            Coordinates::AlignCorners => i * (from - 1.0) / (length - 1.0),
            Coordinates::Asymmetric => i / self.scale,
            Coordinates::Crop(start, end) if length == 1.0 => {
                start * (from - 1.0) + (end - start) * (from - 1.0) / 2.0
            }
            Coordinates::Crop(start, end) => {
                start * (from - 1.0) + i * (end - start) * (from - 1.0) / (length - 1.0)
            }
        }
    }

    /// Whether a place is outside of the input, where a crop has a value of its own.
    fn is_beyond(&self, place: f64) -> bool {
        matches!(self.coordinates, Coordinates::Crop(..))
            && !(0.0..=self.from as f64 - 1.0).contains(&place)
    }

    /// Input pixel and weight of each of an output pixel's neighbours.
    fn weights(&self, i: usize, kernel: Kernel, style: &Style) -> Vec<(usize, f64)> {
        let place = self.place(i);
        let last = self.from as f64 - 1.0;
        let clamped = |at: f64| at.clamp(0.0, last) as usize;
        if self.is_beyond(place) {
            return Vec::new();
        }
        // What shrinks is blurred first, if asked for.
        let width = if style.antialias { self.scale.min(1.0) } else { 1.0 };
        let (reach, of): (f64, Box<dyn Fn(f64) -> f64>) = match kernel {
            Kernel::Nearest(rounding) => {
                let at = match rounding {
                    Nearest::PreferFloor => (place - 0.5).ceil(),
                    Nearest::PreferCeil => (place + 0.5).floor(),
                    Nearest::Floor => place.floor(),
                    Nearest::Ceil => place.ceil(),
                };
                return vec![(clamped(at), 1.0)];
            }
            Kernel::Linear => (1.0, Box::new(|x: f64| (1.0 - x.abs()).max(0.0))),
            Kernel::Cubic(a) => (2.0, Box::new(move |x: f64| cubic(a, x.abs()))),
        };
        let reach = (reach / width).ceil();
        let (first, end) = ((place - reach).floor() as i64, (place + reach).ceil() as i64);
        let mut taps = Vec::new();
        for at in first..=end {
            let weight = of((at as f64 - place) * width);
            let outside = at < 0 || at as f64 > last;
            if weight != 0.0 && !(outside && style.exclude_outside) {
                taps.push((clamped(at as f64), weight));
            }
        }
        if style.antialias || style.exclude_outside {
            let total: f64 = taps.iter().map(|&(_, weight)| weight).sum();
            taps.iter_mut().for_each(|(_, weight)| *weight /= total);
        }
        taps
    }
}

/// Keys' kernel.
fn cubic(a: f64, x: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * a * x - 4.0 * a
    } else {
        0.0
    }
}

struct Style {
    antialias: bool,
    exclude_outside: bool,
    extrapolation: f64,
}

pub fn resize<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let upsample = call.node.op == "Upsample";
    let old = upsample || call.version() < 11;
    let x = call.laid(0)?;
    let shape = x.shape();
    let rank = shape.len();
    let axes: Vec<usize> = match call.integers_of("axes")? {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    let (at_roi, at_scales, at_sizes) = if old { (9, 1, 9) } else { (1, 2, 3) };
    let list = |i: usize| -> Result<Option<Vec<f64>>, String> {
        match call.has(i) {
            true => {
                let array = call.host(i)?;
                let exact = array.dtype() == DType::F32;
                let values = array.to_f64_vec();
                let values = values.iter().map(|&v| if exact { meant(v as f32) } else { v });
                Ok(Some(values.collect::<Vec<_>>()).filter(|values| !values.is_empty()))
            }
            false => Ok(None),
        }
    };
    let roi = list(at_roi)?;
    let scales = match list(at_scales)? {
        None => call.floats_of("scales")?,
        scales => scales,
    };
    let mut sizes = list(at_sizes)?;
    // The file's batch size, written out among the sizes.
    if let (Some(moved), Some(sizes)) = (call.tracer.batch.as_moved(), &mut sizes)
        && let (Some(0), Some(first), Some(&now)) = (axes.first(), sizes.first_mut(), shape.first())
        && *first == moved.file as f64
        && now == moved.now
    {
        *first = now as f64;
    }
    let coordinates = if old {
        "asymmetric"
    } else {
        call.text_or("coordinate_transformation_mode", "half_pixel")?
    };
    let mut wanted: Vec<(usize, f64)> = shape.iter().map(|&extent| (extent, 1.0)).collect();
    match (scales, sizes) {
        (_, Some(sizes)) => {
            if sizes.len() != axes.len() {
                return Err(format!("{} sizes for {} axes", sizes.len(), axes.len()));
            }
            let ratio = |(&axis, &size): (&usize, &f64)| size / shape[axis] as f64;
            let ratios: Vec<f64> = axes.iter().zip(&sizes).map(ratio).collect();
            let common = match call.text_or("keep_aspect_ratio_policy", "stretch")? {
                "stretch" => None,
                "not_larger" => Some(ratios.iter().copied().fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(ratios.iter().copied().fold(0.0, f64::max)),
                other => return Err(format!("attribute `keep_aspect_ratio_policy` is `{other}`")),
            };
            for (i, &axis) in axes.iter().enumerate() {
                let size = match common {
                    Some(scale) => (scale * shape[axis] as f64 + 0.5).floor(),
                    None => sizes[i],
                };
                wanted[axis] = (to_extent(size)?, common.unwrap_or(ratios[i]));
            }
        }
        (Some(scales), None) => {
            if scales.len() != axes.len() {
                return Err(format!("{} scales for {} axes", scales.len(), axes.len()));
            }
            for (&axis, &scale) in axes.iter().zip(&scales) {
                let size = (shape[axis] as f32 * scale as f32).floor();
                wanted[axis] = (to_extent(f64::from(size))?, scale);
            }
        }
        (None, None) => return Err("neither scales nor sizes are given".into()),
    }
    let kernel = match call.text_or("mode", "nearest")? {
        "nearest" => {
            Kernel::Nearest(match (old, call.text_or("nearest_mode", "round_prefer_floor")?) {
                (true, _) | (_, "floor") => Nearest::Floor,
                (_, "round_prefer_floor") => Nearest::PreferFloor,
                (_, "round_prefer_ceil") => Nearest::PreferCeil,
                (_, "ceil") => Nearest::Ceil,
                (_, other) => return Err(format!("attribute `nearest_mode` is `{other}`")),
            })
        }
        "linear" | "bilinear" => Kernel::Linear,
        "cubic" => Kernel::Cubic(call.float_or("cubic_coeff_a", -0.75)?),
        other => return Err(format!("attribute `mode` is `{other}`")),
    };
    let style = Style {
        antialias: call.flag("antialias")?,
        exclude_outside: call.flag("exclude_outside")?,
        extrapolation: call.float_or("extrapolation_value", 0.0)?,
    };
    check_large(&wanted.iter().map(|&(to, _)| to).collect::<Vec<_>>())?;
    let mut y = x.tensor;
    for axis in 0..rank {
        let (to, scale) = wanted[axis];
        let crop = match axes.iter().position(|&known| known == axis) {
            Some(i) => roi.as_ref().and_then(|roi| Some((*roi.get(i)?, *roi.get(i + axes.len())?))),
            None => Some((0.0, 1.0)),
        };
        let coordinates = match coordinates {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_crop_and_resize" => {
                let (start, end) = crop.ok_or("its region of interest is missing")?;
                Coordinates::Crop(start, end)
            }
            other => {
                return Err(format!("attribute `coordinate_transformation_mode` is `{other}`"));
            }
        };
        let whole =
            !matches!(coordinates, Coordinates::Crop(start, end) if (start, end) != (0.0, 1.0));
        if to == shape[axis] && scale == 1.0 && whole {
            continue;
        }
        if !(scale > 0.0 && scale.is_finite()) || shape[axis] == 0 {
            return Err(format!("a scale of {scale} of {} elements", shape[axis]));
        }
        let line = Axis { from: shape[axis], to, scale, coordinates };
        y = resampled(call, y, x.axis(axis), &line, kernel, &style)?;
    }
    one(x.like(y))
}

fn to_extent(size: f64) -> Result<usize, String> {
    match (0.0..=f64::from(u32::MAX)).contains(&size) {
        true => Ok(size as usize),
        false => Err(format!("an extent of {size}")),
    }
}

/// One axis of a tensor.
fn resampled<'b>(
    call: &Call<'_, '_, 'b>,
    x: Tensor<'b>,
    axis: usize,
    line: &Axis,
    kernel: Kernel,
    style: &Style,
) -> Result<Tensor<'b>, String> {
    const LARGEST: usize = 1 << 24;
    if line.from.checked_mul(line.to).is_none_or(|count| count > LARGEST) {
        return Err(format!("{} elements cannot become {}", line.from, line.to));
    }
    let taps: Vec<Vec<(usize, f64)>> =
        (0..line.to).map(|i| line.weights(i, kernel, style)).collect();
    let single = |i: usize| match taps[i][..] {
        [(at, 1.0)] => Some(at),
        _ => None,
    };
    let picks: Option<Vec<usize>> = (0..line.to).map(single).collect();
    if let Some(picks) = &picks {
        let times = line.to / line.from;
        if times * line.from == line.to && picks.iter().enumerate().all(|(i, &at)| at == i / times)
        {
            let mut spread = x.shape();
            spread.insert(axis + 1, times);
            let mut merged = x.shape();
            merged[axis] = line.to;
            return Ok(x.expand(axis + 1).broadcast_to(&spread).reshape(&merged));
        }
        if let [first, .., last] = picks[..] {
            let step = (last - first) / (line.to - 1);
            if step > 0 && picks.iter().enumerate().all(|(i, &at)| at == first + i * step) {
                let (mut start, mut limit) = (vec![0; x.rank()], x.shape());
                let mut stride = vec![1; x.rank()];
                (start[axis], limit[axis], stride[axis]) = (first, last + 1, step);
                return Ok(x.slice_all(&start, &limit, &stride));
            }
        }
    }
    if !x.dtype().is_float() {
        let picks = picks.ok_or("integers cannot be interpolated")?;
        let picks: Vec<i64> = picks.into_iter().map(|at| at as i64).collect();
        return Ok(x
            .move_axis(axis, 0)
            .take(call.literal(&Array::vector(&picks)))
            .move_axis(0, axis));
    }
    let mut matrix = vec![0.0; line.from * line.to];
    for (i, taps) in taps.iter().enumerate() {
        for &(at, weight) in taps {
            matrix[i * line.from + at] += weight;
        }
    }
    let matrix =
        Array::from_slice(&[line.to, line.from], &matrix).map_err(|error| error.to_string())?;
    let axes = DotAxes { lhs_contract: vec![axis], rhs_contract: vec![1], ..DotAxes::default() };
    let y = x.dot(call.literal(&matrix), axes).move_axis(x.rank() - 1, axis);
    let beyond: Vec<bool> = (0..line.to).map(|i| line.is_beyond(line.place(i))).collect();
    if !beyond.contains(&true) {
        return Ok(y);
    }
    let beyond = call.literal(&Array::vector(&beyond)).broadcast_in(&y.shape(), &[axis]);
    Ok(beyond.select(style.extrapolation, y))
}

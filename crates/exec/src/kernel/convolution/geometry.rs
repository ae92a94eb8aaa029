//! Index arithmetic of one spatial axis, padded copies of images, and walks over pixels.

use super::super::bounds;
use super::super::simd::Float;

/// One spatial axis of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub kernel: usize,
    pub stride: usize,
    pub low: usize,
    pub high: usize,
    pub dilation: usize,
}

/// The input positions of one remainder modulo the stride, seen as outputs of a correlation of the
/// output gradient: position `origin + stride * t` sums, over `taps`, element `t + offset` of the
/// padded gradient.
pub(super) struct Phase {
    /// First position.
    pub origin: usize,
    /// Number of positions.
    pub count: usize,
    /// Kernel index and offset into the gradient (not yet shifted to be positive), by offset.
    pub taps: Vec<(usize, isize)>,
}

impl Axis {
    /// Extent of the output.
    pub(super) fn output(&self) -> usize {
        if self.kernel == 0 {
            return 0;
        }
        let reach = (self.kernel - 1) * self.dilation + 1;
        let padded = self.input + self.low + self.high;
        if padded < reach { 0 } else { (padded - reach) / self.stride + 1 }
    }

    /// The phases of the gradient by the input, one for each remainder that occurs.
    pub(super) fn phases(&self) -> Vec<Phase> {
        (0..self.stride.min(self.input))
            .map(|origin| {
                let at = |k: usize| (origin + self.low) as isize - (k * self.dilation) as isize;
                let stride = self.stride as isize;
                let taps = (0..self.kernel).rev().filter(|&k| at(k).rem_euclid(stride) == 0);
                Phase {
                    origin,
                    count: (self.input - origin).div_ceil(self.stride),
                    taps: taps.map(|k| (k, at(k).div_euclid(stride))).collect(),
                }
            })
            .collect()
    }
}

/// Images of `rows x columns x channels`, to be read with zeros around them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub rows: usize,
    pub columns: usize,
    pub channels: usize,
    /// Zeros above and to the left.
    pub low: [usize; 2],
    /// Rows and columns of the padded image that are read.
    pub padded: [usize; 2],
}

impl Source {
    /// Elements of one image.
    pub(super) fn image(&self) -> usize {
        self.rows * self.columns * self.channels
    }

    /// Whether the padded image is (a part of) the image, so that no copy is needed.
    pub(super) fn in_place(&self) -> bool {
        self.low == [0, 0] && self.padded[0] <= self.rows && self.padded[1] <= self.columns
    }

    /// Elements between rows, as they will be read.
    pub(super) fn row_stride(&self) -> usize {
        let columns = if self.in_place() { self.columns } else { self.padded[1] };
        columns * self.channels
    }

    /// Copies padded rows `from..to` of an image.
    ///
    /// # Safety
    /// `image` has the elements of an image, and `into` room for the rows.
    pub(super) unsafe fn copy<T: Float>(
        &self,
        image: *const T,
        from: usize,
        to: usize,
        into: *mut T,
    ) {
        let c = self.channels;
        let left = self.low[1].min(self.padded[1]);
        let inside = self.columns.min(self.padded[1] - left);
        let right = self.padded[1] - left - inside;
        let stride = self.row_stride();
        bounds::reads(image, [0, self.image() as isize - 1]);
        bounds::writes(into, [0, (to.saturating_sub(from) * stride) as isize - 1]);
        for padded in from..to {
            // SAFETY: rows of the image are inside it, and `into` has `stride` elements a row.
            unsafe {
                let into = into.add((padded - from) * stride);
                if padded < self.low[0] || padded - self.low[0] >= self.rows {
                    std::slice::from_raw_parts_mut(into, stride).fill(T::ZERO);
                    continue;
                }
                let row = image.add((padded - self.low[0]) * self.columns * c);
                std::slice::from_raw_parts_mut(into, left * c).fill(T::ZERO);
                std::ptr::copy_nonoverlapping(row, into.add(left * c), inside * c);
                let end = into.add((left + inside) * c);
                std::slice::from_raw_parts_mut(end, right * c).fill(T::ZERO);
            }
        }
    }
}

/// Walks three nested indices from a start, keeping two linear offsets, without divisions.
pub(super) struct Walk {
    extents: [usize; 3],
    index: [usize; 3],
    strides: [[isize; 3]; 2],
}

impl Walk {
    /// A walk that begins at linear index `start`; each offset is the product of the indices with
    /// its strides.
    pub(super) fn new(extents: [usize; 3], strides: [[isize; 3]; 2], start: usize) -> Self {
        let [_, b, c] = extents;
        Self { extents, index: [start / (b * c), start / c % b, start % c], strides }
    }

    /// The two offsets of the next `count` steps.
    pub(super) fn fill(&mut self, count: usize, first: &mut [isize], second: &mut [isize]) {
        let [x, y] = self.strides;
        let offset = |s: [isize; 3], i: [usize; 3]| {
            i[0] as isize * s[0] + i[1] as isize * s[1] + i[2] as isize * s[2]
        };
        let (mut a, mut c) = (offset(x, self.index), offset(y, self.index));
        for (first, second) in first.iter_mut().zip(second).take(count) {
            (*first, *second) = (a, c);
            self.index[2] += 1;
            if self.index[2] < self.extents[2] {
                a += x[2];
                c += y[2];
                continue;
            }
            self.index[2] = 0;
            self.index[1] += 1;
            if self.index[1] == self.extents[1] {
                self.index[1] = 0;
                self.index[0] += 1;
            }
            (a, c) = (offset(x, self.index), offset(y, self.index));
        }
    }
}

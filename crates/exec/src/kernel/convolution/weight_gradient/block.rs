//! The blocks of the sum over pixels.

use super::WeightGradient;
use crate::kernel::convolution::geometry::Walk;
use crate::kernel::micro::{Form, MOST_ROWS, Segment, Tile, panels};
use crate::kernel::order::{BLOCK, part_length};
use crate::kernel::pool::Pool;
use crate::kernel::simd::Float;

/// One task.
pub(super) struct Job<T> {
    /// Whether roles are exchanged.
    pub swapped: bool,
    /// The images of the task's member, or of all if shared.
    pub source: *const T,
    /// The output gradients of all members.
    pub gradient: *const T,
    /// First member and one past the last; one member unless the source is shared.
    pub members: (usize, usize),
    pub part: usize,
    /// First row and one past the last.
    pub rows: (usize, usize),
    /// Private room for padded copies.
    pub slot: *mut T,
}

impl WeightGradient<'_> {
    /// One part of the sum for some rows of some members' results.
    pub(super) unsafe fn job<T: Float>(
        &self,
        pool: &Pool,
        job: &Job<T>,
        target: impl Fn(usize) -> *mut T,
    ) {
        let length = part_length(self.pixels);
        let (start, end) = (job.part * length, self.pixels.min((job.part + 1) * length));
        let mut segments = [Segment::default(); BLOCK];
        let mut pixel = start;
        loop {
            let block = BLOCK.min(end - pixel);
            // SAFETY: the pixels are inside the output, hence their patches inside the padded
            // input; targets are the caller's.
            unsafe {
                let (source, count) = self.gather(job, pixel, block, &mut segments);
                for member in job.members.0..job.members.1 {
                    let set = if self.gradient_shared { 0 } else { member };
                    let gradient = job.gradient.add((set * self.pixels + pixel) * self.it.cout);
                    let first = pixel == start;
                    let block = if job.swapped { Self::swapped_block } else { Self::block };
                    block(
                        self,
                        pool,
                        job,
                        source,
                        gradient,
                        &segments[..count],
                        target(member),
                        first,
                    );
                }
            }
            pixel += block;
            if pixel >= end {
                break;
            }
        }
    }

    /// Lists the runs of a block of pixels along output rows, and copies the input under them.
    unsafe fn gather<T: Float>(
        &self,
        job: &Job<T>,
        pixel: usize,
        block: usize,
        segments: &mut [Segment; BLOCK],
    ) -> (*const T, usize) {
        let [oh, ow] = self.output;
        let row_stride = self.source.row_stride();
        let step = self.it.stride;
        let (mut at, mut count, mut copied) = (pixel, 0, 0);
        while at < pixel + block {
            let (image, row, column) = (at / (oh * ow), at / ow % oh, at % ow);
            // Rows of this image under the rest of the block.
            let stop = (pixel + block).min((image + 1) * oh * ow);
            let last = (stop - 1) / ow % oh;
            let from = row * step[0];
            let base = if self.source.in_place() {
                image * self.source.image() + from * row_stride
            } else {
                let rows = (last - row) * step[0] + self.reach;
                // SAFETY: the image and the rows are inside the source and the slot.
                unsafe {
                    let image = job.source.add(image * self.source.image());
                    self.source.copy(image, from, from + rows, job.slot.add(copied * row_stride));
                }
                let base = copied * row_stride;
                copied += rows;
                base
            };
            let (mut y, mut x) = (row, column);
            while at < stop {
                let length = (ow - x).min(stop - at);
                let a = base + (y - row) * step[0] * row_stride + x * step[1] * self.it.cin;
                let k = at - pixel;
                segments[count] = match job.swapped {
                    false => Segment { a: a as isize, b: 0, k, length },
                    true => Segment { a: (k * self.it.cout) as isize, b: a as isize, k: 0, length },
                };
                count += 1;
                at += length;
                (y, x) = (y + 1, 0);
            }
        }
        let source = if self.source.in_place() { job.source } else { job.slot.cast_const() };
        (source, count)
    }

    /// As [`Self::block`] with exchanged roles: `target` is `[kh, cout, kw * cin]`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn swapped_block<T: Float>(
        &self,
        pool: &Pool,
        job: &Job<T>,
        source: *const T,
        gradient: *const T,
        segments: &[Segment],
        target: *mut T,
        first: bool,
    ) {
        let (it, row) = (self.it, self.it.kw * self.depth);
        for ky in job.rows.0 / it.cout..job.rows.1.div_ceil(it.cout) {
            let from = job.rows.0.max(ky * it.cout) - ky * it.cout;
            let to = job.rows.1.min((ky + 1) * it.cout) - ky * it.cout;
            for panel in panels::<T>(pool.isa(), self.form, row) {
                let mut done = from;
                while done < to {
                    let (live, entry) = panel.class.choose(to - done);
                    let place = |stride: usize| -> [isize; MOST_ROWS] {
                        std::array::from_fn(|i| ((done + i.min(live - 1)) * stride) as isize)
                    };
                    // SAFETY: rows are output channels, columns a row of the kernel.
                    unsafe {
                        entry(&Tile {
                            a: gradient,
                            rows: &place(1),
                            a_step: it.cout as isize,
                            b: source
                                .add(ky * it.dilation[0] * self.source.row_stride() + panel.start),
                            b_step: (it.stride[1] * it.cin) as isize,
                            segments,
                            c: target.add(ky * it.cout * row + panel.start),
                            c_rows: &place(row),
                            live_rows: live,
                            columns: panel.columns,
                            accumulate: !first,
                        });
                    }
                    done += live;
                }
            }
        }
    }

    /// Adds one block of the sum to a member's rows.
    #[allow(clippy::too_many_arguments)]
    unsafe fn block<T: Float>(
        &self,
        pool: &Pool,
        job: &Job<T>,
        source: *const T,
        gradient: *const T,
        segments: &[Segment],
        target: *mut T,
        first: bool,
    ) {
        let it = self.it;
        let row_stride = self.source.row_stride();
        let strides = [
            [it.dilation[0] * row_stride, it.dilation[1] * it.cin, 1],
            [it.kw * self.depth * it.cout, self.depth * it.cout, it.cout],
        ]
        .map(|s| s.map(|s| s as isize));
        for group in 0..self.groups {
            for panel in panels::<T>(pool.isa(), self.form, self.columns) {
                let column = group * self.columns + panel.start;
                let lane = match self.form {
                    Form::Broadcast => group * self.depth,
                    Form::Lanewise => panel.start,
                };
                let mut walk = Walk::new([it.kh, it.kw, self.depth], strides, job.rows.0);
                let mut done = job.rows.0;
                while done < job.rows.1 {
                    let (live, entry) = panel.class.choose(job.rows.1 - done);
                    let (mut rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
                    walk.fill(live, &mut rows, &mut c_rows);
                    let last = rows[live - 1];
                    rows[live..].fill(last);
                    // SAFETY: rows are taps and channels of the kernel, segments are pixels.
                    unsafe {
                        entry(&Tile {
                            a: source.add(lane),
                            rows: &rows,
                            a_step: (it.stride[1] * it.cin) as isize,
                            b: gradient.add(column),
                            b_step: it.cout as isize,
                            segments,
                            c: target.add(column),
                            c_rows: &c_rows,
                            live_rows: live,
                            columns: panel.columns,
                            accumulate: !first,
                        });
                    }
                    done += live;
                }
            }
        }
    }
}

//! The gradient by the weights: taps and input channels by output channels, summed over pixels.
//!
//! The same inner kernel, with a row for each tap and input channel and the sum over output pixels:
//! a block of the sum reads the rows of the input that its pixels touch (copied with their padding
//! unless nothing is padded) and the output gradient in place.
//!
//! Where output channels are few, the roles are exchanged: a row of the kernel with its input
//! channels lies in the lanes, and output channels are the rows of a tile.

use super::super::micro::{Form, MOST_ROWS, Segment, Tile, cost, panels};
use super::super::order::{BLOCK, part_count, part_length};
use super::super::pack::{align, join_range};
use super::super::pool::{Pool, Shared};
use super::super::simd::transpose::transpose;
use super::super::simd::{Float, Isa};
use super::Convolution;
use super::geometry::{Source, Walk};

pub(super) struct WeightGradient<'a> {
    it: &'a Convolution,
    source_shared: bool,
    gradient_shared: bool,
    source: Source,
    form: Form,
    /// Groups, with depthwise ones folded into the columns.
    groups: usize,
    /// Input channels, and output channels, of a group.
    depth: usize,
    columns: usize,
    output: [usize; 2],
    /// Output pixels of a member: the extent of the sum.
    pixels: usize,
    /// Rows of the input that a row of the output reads.
    reach: usize,
}

/// How the work is cut for a pool.
struct Cut {
    /// Whether roles are exchanged.
    swapped: bool,
    /// Rows of the result that a task does, and that there are: taps and input channels, or rows
    /// of the kernel and output channels.
    rows: usize,
    total: usize,
    /// Members that a task goes through with one copy of a shared source.
    members: usize,
    /// Members whose partial sums exist at the same time.
    wave: usize,
    slot: usize,
}

impl<'a> WeightGradient<'a> {
    /// Nothing if there are no weights.
    pub(super) fn new(
        it: &'a Convolution,
        source_shared: bool,
        gradient_shared: bool,
    ) -> Option<Self> {
        let (depth, columns) = (it.cin / it.groups, it.cout / it.groups);
        if it.population * it.kh * it.kw * depth * it.cout == 0 {
            return None;
        }
        let output = it.output_extent();
        let padded = |i: usize, kernel: usize| {
            (output[i].max(1) - 1) * it.stride[i] + (kernel - 1) * it.dilation[i] + 1
        };
        let depthwise = it.is_depthwise();
        Some(Self {
            it,
            source_shared,
            gradient_shared,
            source: Source {
                rows: it.h,
                columns: it.w,
                channels: it.cin,
                low: [it.padding[0].0, it.padding[1].0],
                padded: [padded(0, it.kh), padded(1, it.kw)],
            },
            form: if depthwise { Form::Lanewise } else { Form::Broadcast },
            groups: if depthwise { 1 } else { it.groups },
            depth,
            columns: if depthwise { it.cout } else { columns },
            output,
            pixels: it.n * output[0] * output[1],
            reach: (it.kh - 1) * it.dilation[0] + 1,
        })
    }

    /// Rows of the result of a group.
    fn rows(&self) -> usize {
        self.it.kh * self.it.kw * self.depth
    }

    /// Whether output channels make better rows than columns.
    fn swapped<T: Float>(&self, isa: Isa) -> bool {
        let it = self.it;
        if self.form == Form::Lanewise || self.groups > 1 || (it.dilation[1] > 1 && it.kw > 1) {
            return false;
        }
        // A tile of fewer than about four rows waits for its own latency.
        let direct = self.rows().max(4) as f32 * cost::<T>(isa, self.columns);
        let row = it.kw * self.depth;
        let swapped = (it.kh * self.columns.max(4)) as f32 * cost::<T>(isa, row);
        swapped < direct
    }

    fn cut<T: Float>(&self, pool: &Pool) -> Cut {
        let swapped = self.swapped::<T>(pool.isa());
        let parts = part_count(self.pixels);
        let population = self.it.population;
        let wanted = if pool.threads() == 1 { 1 } else { 4 * pool.threads() };
        let wave =
            if parts == 1 { population } else { (2 * wanted).div_ceil(parts).clamp(1, population) };
        let outer = parts * wave;
        let (total, even) = match swapped {
            true => (self.it.kh * self.columns, self.columns),
            false => (self.rows(), 16),
        };
        let pieces = wanted.div_ceil(outer).min(total.div_ceil(even));
        let rows = total.div_ceil(pieces).next_multiple_of(even).min(total);
        let pieces = total.div_ceil(rows);
        let spare = (outer * pieces / (2 * wanted)).max(1);
        let members = if self.source_shared { spare.min(wave) } else { 1 };
        let copy = if self.source.in_place() { 0 } else { self.copy_elements() };
        Cut { swapped, rows, total, members, wave, slot: copy.next_multiple_of(64) }
    }

    /// Room for the padded rows under a block of pixels.
    fn copy_elements(&self) -> usize {
        let [oh, ow] = self.output;
        if self.pixels == 0 {
            return 0;
        }
        // A block touches at most this many rows of the output, and parts of this many images.
        let rows = (BLOCK.min(self.pixels) - 1).div_ceil(ow) + 1;
        let images = (rows - 1).div_ceil(oh) + 1;
        let whole = images * self.source.padded[0];
        let bands = rows * self.it.stride[0] + images * self.reach;
        whole.min(bands) * self.source.row_stride()
    }

    fn partial_elements(&self, cut: &Cut) -> usize {
        let parts = part_count(self.pixels);
        if parts == 1 && !cut.swapped { 0 } else { cut.wave * parts * self.weights() }
    }

    /// Elements of a member's result.
    fn weights(&self) -> usize {
        self.rows() * self.it.cout
    }

    pub(super) fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        let cut = self.cut::<T>(pool);
        (self.partial_elements(&cut).next_multiple_of(64) + pool.threads() * cut.slot)
            * size_of::<T>()
            + 64
    }

    /// # Safety
    /// As for [`Convolution::weight_gradient`].
    pub(super) unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        source: *const T,
        gradient: *const T,
        result: *mut T,
        scratch: *mut u8,
    ) {
        let cut = self.cut::<T>(pool);
        let parts = part_count(self.pixels);
        let partial = align::<T>(scratch);
        let slots = partial.wrapping_add(self.partial_elements(&cut).next_multiple_of(64));
        let (partial, slots, result) = (Shared(partial), Shared(slots), Shared(result));
        let (source, gradient) = (Shared(source.cast_mut()), Shared(gradient.cast_mut()));
        let row_chunks = cut.total.div_ceil(cut.rows);
        let weights = self.weights();
        let mut first = 0;
        while first < self.it.population {
            let wave = cut.wave.min(self.it.population - first);
            let chunks = wave.div_ceil(cut.members);
            pool.for_each_slot(chunks * parts * row_chunks, |slot, task| {
                let (rows, outer) = (task % row_chunks, task / row_chunks);
                let (part, chunk) = (outer % parts, outer / parts);
                let from = first + chunk * cut.members;
                let to = (first + wave).min(from + cut.members);
                // SAFETY: operands are those of the members, and every (member, part, rows) is
                // one task's; the slot is private while the task runs.
                unsafe {
                    let member = if self.source_shared { 0 } else { from };
                    let source = source.get().add(member * self.it.n * self.source.image());
                    let job = Job {
                        source,
                        gradient: gradient.get(),
                        members: (from, to),
                        part,
                        rows: (rows * cut.rows, cut.total.min((rows + 1) * cut.rows)),
                        swapped: cut.swapped,
                        slot: slots.get().add(slot * cut.slot),
                    };
                    self.job(pool, &job, |member| {
                        if parts == 1 && !cut.swapped {
                            result.get().add(member * weights)
                        } else {
                            partial.get().add(((member - first) * parts + part) * weights)
                        }
                    });
                }
            });
            if parts > 1 || cut.swapped {
                // Exchanged roles give a matrix for each row of the kernel, which is transposed.
                let chunk = if cut.swapped { weights / self.it.kh } else { 4096 };
                let chunks = weights.div_ceil(chunk);
                pool.for_each(wave * chunks, |task| {
                    let (member, start) = (task / chunks, task % chunks * chunk);
                    let length = chunk.min(weights - start);
                    // SAFETY: the partial sums are complete, and a task's range is its own.
                    unsafe {
                        let base = partial.get().add(member * parts * weights + start);
                        let sums = join_range(base, weights, parts, length).as_ptr();
                        let to = result.get().add((first + member) * weights + start);
                        if cut.swapped {
                            let row = self.it.kw * self.depth;
                            let (extents, across) = ([self.columns, row], self.columns as isize);
                            transpose(pool.isa(), sums, row as isize, extents, to, across);
                        } else {
                            std::ptr::copy_nonoverlapping(sums, to, length);
                        }
                    }
                });
            }
            first += wave;
        }
    }

    /// One part of the sum for some rows of some members' results.
    unsafe fn job<T: Float>(&self, pool: &Pool, job: &Job<T>, target: impl Fn(usize) -> *mut T) {
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

/// One task.
struct Job<T> {
    /// Whether roles are exchanged.
    swapped: bool,
    /// The images of the task's member, or of all if shared.
    source: *const T,
    /// The output gradients of all members.
    gradient: *const T,
    /// First member and one past the last; one member unless the source is shared.
    members: (usize, usize),
    part: usize,
    /// First row and one past the last.
    rows: (usize, usize),
    /// Private room for padded copies.
    slot: *mut T,
}

//! The gradient by the weights: taps and input channels by output channels, summed over pixels.
//!
//! The same inner kernel, with a row for each tap and input channel and the sum over output pixels:
//! a block of the sum reads the rows of the input that its pixels touch (copied with their padding
//! unless nothing is padded) and the output gradient in place.
//!
//! Where output channels are few, the roles are exchanged: a row of the kernel with its input
//! channels lies in the lanes, and output channels are the rows of a tile.

mod block;

use super::super::bounds;
use super::super::micro::{Form, cost};
use super::super::order::{BLOCK, part_count};
use super::super::pack::{align, join_range};
use super::super::pool::{Pool, Shared};
use super::super::simd::transpose::transpose;
use super::super::simd::{Float, Isa};
use super::Convolution;
use super::geometry::Source;
use block::Job;

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
    /// As for [`Convolution::run`].
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
                            bounds::writes(to, [0, length as isize - 1]);
                            std::ptr::copy_nonoverlapping(sums, to, length);
                        }
                    }
                });
            }
            first += wave;
        }
    }
}

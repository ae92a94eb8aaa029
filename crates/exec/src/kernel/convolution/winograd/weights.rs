//! The gradient by the weights: F(3x3, 2x2), summed over tiles between the transforms.
//!
//! Order of a sum: the tiles are cut into parts of [`part_length`], a function of their number
//! alone, and a part into blocks of [`BLOCK`]; a block is summed by fused multiply-adds from zero,
//! blocks are added in order, and parts joined by the tree of [`super::super::super::order`].

use super::super::Convolution;
use super::product::Product;
use super::tiles::{GAP, Grid, padded, panels};
use super::{POINTS, grid, is_minimal, pays};
use crate::kernel::bounds;
use crate::kernel::pack::{align, join_range};
use crate::kernel::pool::{Pool, Shared};
use crate::kernel::simd::Float;

/// Tiles of a block.
const BLOCK: usize = 32;
/// Tiles of a part at least, and parts at most.
const PART: usize = 512;
const MOST_PARTS: usize = 16;
/// Products of input by output channels up to which the parts' sums are small enough.
const MOST_CHANNELS: usize = 128 * 128;

/// Tiles of a part.
fn part_length(tiles: usize) -> usize {
    tiles.div_ceil(MOST_PARTS).max(PART).next_multiple_of(BLOCK)
}

/// The gradient of a convolution by its weights, as tiles.
pub(in super::super) struct WeightTiles {
    population: usize,
    source_shared: bool,
    gradient_shared: bool,
    source: Grid,
    gradient: Grid,
}

/// How the work is cut for a pool.
struct Cut {
    parts: usize,
    /// Members whose sums exist at the same time.
    wave: usize,
    /// Rows and columns of the sums of a point, as the kernels fill them.
    rows: usize,
    columns: usize,
    /// Elements between the values of two points, of the source and of the gradient.
    source: usize,
    gradient: usize,
    slot: usize,
}

impl Cut {
    /// Sums of a part of a member.
    fn sums(&self) -> usize {
        POINTS * self.rows * self.columns
    }
}

impl WeightTiles {
    /// Nothing if another way is better.
    pub(in super::super) fn new(
        it: &Convolution,
        source_shared: bool,
        gradient_shared: bool,
    ) -> Option<Self> {
        let (output, own) = (it.output_extent(), it.own_channels());
        let fits =
            is_minimal(it) && own[0] * own[1] <= MOST_CHANNELS && own[0] > 8 && pays(own, output);
        let low = [it.padding[0].0 as isize, it.padding[1].0 as isize];
        (fits && it.population * it.n > 0).then(|| Self {
            population: it.population,
            source_shared,
            gradient_shared,
            source: grid(it, [it.h, it.w], low, it.cin, output),
            gradient: grid(it, output, [0, 0], it.cout, output),
        })
    }

    fn cut<T: Float>(&self, pool: &Pool) -> Cut {
        let steps = T::winograd(pool.isa());
        let tiles = self.source.all();
        let parts = tiles.div_ceil(part_length(tiles));
        let (depth, columns) = (self.source.channels, padded(steps, self.gradient.channels));
        let rows = steps.products.iter().map(|k| depth.next_multiple_of(k.rows)).max();
        let wave = (4 * pool.threads()).div_ceil(parts).clamp(1, self.population);
        let (source, gradient) = (BLOCK * depth + GAP, BLOCK * columns + GAP);
        let zeros = depth.max(self.gradient.channels);
        let slot = (POINTS * (source + gradient) + zeros).next_multiple_of(64);
        Cut { parts, wave, rows: rows.unwrap_or(depth), columns, source, gradient, slot }
    }

    pub(in super::super) fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        let cut = self.cut::<T>(pool);
        let sums = (cut.wave * cut.parts * cut.sums()).next_multiple_of(64);
        (sums + pool.threads() * cut.slot) * size_of::<T>() + 64
    }

    /// # Safety
    /// As for [`Convolution::run`].
    pub(in super::super) unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        source: *const T,
        gradient: *const T,
        result: *mut T,
        scratch: *mut u8,
    ) {
        let cut = self.cut::<T>(pool);
        let sums = align::<T>(scratch);
        let slots = sums.wrapping_add((cut.wave * cut.parts * cut.sums()).next_multiple_of(64));
        let (sums, slots, result) = (Shared(sums), Shared(slots), Shared(result));
        let (source, gradient) = (Shared(source.cast_mut()), Shared(gradient.cast_mut()));
        let own = |shared: bool, member: usize, grid: &Grid| match shared {
            true => 0,
            false => member * grid.elements(),
        };
        let mut first = 0;
        while first < self.population {
            let wave = cut.wave.min(self.population - first);
            pool.for_each_slot(wave * cut.parts, |slot, task| {
                let member = first + task / cut.parts;
                // SAFETY: a task's sums are its own, and so is the slot; offsets are those of the
                // member.
                unsafe {
                    let source = source.get().add(own(self.source_shared, member, &self.source));
                    let gradient =
                        gradient.get().add(own(self.gradient_shared, member, &self.gradient));
                    let slot = slots.get().add(slot * cut.slot);
                    let sums = sums.get().add(task * cut.sums());
                    self.part(pool, &cut, source, gradient, task % cut.parts, slot, sums);
                }
            });
            // Rows of a point are joined and transformed together.
            let depth = self.source.channels;
            pool.for_each(wave * depth, |task| {
                let (member, row) = (task / depth, task % depth);
                // SAFETY: the sums are complete, and a task's rows are its own.
                unsafe {
                    let sums = sums.get().add(member * cut.parts * cut.sums());
                    let weights = 9 * depth * self.gradient.channels;
                    let to = result.get().add((first + member) * weights);
                    self.join(pool, &cut, sums, to, row);
                }
            });
            first += wave;
        }
    }

    /// The sums of one part of the tiles.
    #[allow(clippy::too_many_arguments)]
    unsafe fn part<T: Float>(
        &self,
        pool: &Pool,
        cut: &Cut,
        source: *const T,
        gradient: *const T,
        part: usize,
        slot: *mut T,
        sums: *mut T,
    ) {
        let steps = T::winograd(pool.isa());
        let (depth, outputs) = (self.source.channels, self.gradient.channels);
        let length = part_length(self.source.all());
        let begin = part * length;
        let end = self.source.all().min(begin + length);
        // SAFETY: tiles are inside the images; the slot has room for a block and a pixel of zeros.
        unsafe {
            let across = slot.add(POINTS * cut.source);
            let zeros = across.add(POINTS * cut.gradient);
            bounds::writes(zeros, [0, depth.max(outputs) as isize - 1]);
            std::slice::from_raw_parts_mut(zeros, depth.max(outputs)).fill(T::ZERO);
            for first in (begin..end).step_by(BLOCK) {
                let tiles = first..end.min(first + BLOCK);
                self.source.pixels(source, zeros, tiles.clone(), |at, pixels| {
                    (steps.input)(pixels, slot.add(at * depth), cut.source);
                });
                self.gradient.pixels(gradient, zeros, tiles.clone(), |at, pixels| {
                    let strides = [cut.columns, cut.gradient];
                    (steps.gradient)(pixels, across.add(at * cut.columns), strides);
                });
                for point in 0..POINTS {
                    for panel in panels(steps, outputs) {
                        for row in (0..depth).step_by(panel.kernel.rows) {
                            (panel.kernel.run_across)(&Product {
                                a: slot.add(point * cut.source + row),
                                a_row: depth,
                                b: across.add(point * cut.gradient + panel.start),
                                b_row: cut.columns,
                                c: sums.add((point * cut.rows + row) * cut.columns + panel.start),
                                c_row: cut.columns,
                                depth: tiles.len(),
                                accumulate: first > begin,
                            });
                        }
                    }
                }
            }
        }
    }

    /// Joins the parts' sums of one input channel and transforms them to its weights.
    unsafe fn join<T: Float>(
        &self,
        pool: &Pool,
        cut: &Cut,
        sums: *mut T,
        result: *mut T,
        row: usize,
    ) {
        let (depth, outputs) = (self.source.channels, self.gradient.channels);
        // SAFETY: rows are inside the sums, and the weights of an input channel inside the result.
        unsafe {
            for point in 0..POINTS {
                let at = (point * cut.rows + row) * cut.columns;
                join_range(sums.add(at), cut.sums(), cut.parts, outputs);
            }
            let from = sums.add(row * cut.columns);
            let to = result.add(row * outputs);
            let taps = T::winograd(pool.isa()).taps;
            taps(from, cut.rows * cut.columns, outputs, to, depth * outputs);
        }
    }
}

//! The cut into tasks, transformed weights, and the work of a task.

use super::product::Product;
use super::tiles::{GAP, Panel, padded, panels};
use super::transform::Outputs;
use super::{POINTS, Winograd};
use crate::kernel::bounds;
use crate::kernel::order::BLOCK;
use crate::kernel::pack::{align, pack_columns};
use crate::kernel::pool::{Pool, Shared};
use crate::kernel::simd::Float;
use std::ops::Range;

/// Bytes of transformed tiles and sums that a task holds at once, and the tiles at most.
const BLOCK_BYTES: usize = 640 << 10;
const MOST_TILES: usize = 48;
/// Channels whose weights a task transforms.
const CHANNELS: usize = 16;

/// How the work is cut for a pool.
struct Cut {
    /// Tiles of a block, and blocks of a task.
    block: usize,
    blocks: usize,
    tasks: usize,
    /// Members that a task goes through with one copy of a shared source.
    members: usize,
    /// Packed output channels.
    width: usize,
    /// Elements between the values, and the sums, of two points.
    values: usize,
    sums: usize,
    slot: usize,
}

impl Winograd {
    fn cut<T: Float>(&self, pool: &Pool) -> Cut {
        let steps = T::winograd(pool.isa());
        let (depth, width) = (self.source.channels, padded(steps, self.columns));
        let tiles = self.source.all();
        let tile = POINTS * (depth + width) * size_of::<T>();
        let block = (BLOCK_BYTES / tile).clamp(8, MOST_TILES).min(tiles);
        // Kernels do all their rows, whatever is in them.
        let rows = steps.products.iter().map(|k| block.next_multiple_of(k.rows)).max();
        let rows = rows.unwrap_or(block);
        let wanted = 8 * pool.threads();
        let all = tiles.div_ceil(block);
        let (sources, members) = match self.source_shared {
            true => (1, self.population.div_ceil(wanted.div_ceil(all)).max(1)),
            false => (self.population, 1),
        };
        let blocks = (all * sources / wanted).clamp(1, all);
        let (values, sums) = (rows * depth + GAP, rows * width + GAP);
        let slot = (POINTS * (values + sums) + depth).max(9 * CHANNELS * width);
        Cut {
            block,
            blocks,
            tasks: all.div_ceil(blocks),
            members,
            width,
            values,
            sums,
            slot: slot.next_multiple_of(64),
        }
    }

    /// Transformed weights of a member.
    fn transformed(&self, cut: &Cut) -> usize {
        POINTS * self.source.channels * cut.width
    }

    pub(in super::super) fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        let cut = self.cut::<T>(pool);
        let sets = if self.weights_shared { 1 } else { self.population };
        let weights = (sets * self.transformed(&cut)).next_multiple_of(64);
        (weights + pool.threads() * cut.slot) * size_of::<T>() + 64
    }

    /// # Safety
    /// As for [`super::super::Convolution::run`].
    pub(in super::super) unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        source: *const T,
        weights: *const T,
        output: *mut T,
        scratch: *mut u8,
    ) {
        let cut = self.cut::<T>(pool);
        let sets = if self.weights_shared { 1 } else { self.population };
        let size = self.transformed(&cut);
        let transformed = align::<T>(scratch);
        let slots = Shared(transformed.wrapping_add((sets * size).next_multiple_of(64)));
        let (transformed, output) = (Shared(transformed), Shared(output));
        let (source, weights) = (Shared(source.cast_mut()), Shared(weights.cast_mut()));

        let chunks = self.source.channels.div_ceil(CHANNELS);
        pool.for_each_slot(sets * chunks, |slot, task| {
            let (set, chunk) = (task / chunks, task % chunks);
            // SAFETY: a task transforms some channels of a member, which is its own range; the
            // slot has room for their nine taps.
            unsafe {
                let from = weights.get().add(set * self.weights.member);
                let slot = slots.get().add(slot * cut.slot);
                let to = transformed.get().add(set * size);
                self.pack(pool, &cut, from, to, slot, chunk * CHANNELS);
            }
        });

        let chunks = match self.source_shared {
            true => self.population.div_ceil(cut.members),
            false => self.population,
        };
        let result = self.source.images * self.output[0] * self.output[1] * self.columns;
        pool.for_each_slot(cut.tasks * chunks, |slot, task| {
            let (task, chunk) = (task % cut.tasks, task / cut.tasks);
            let members = chunk * cut.members..self.population.min((chunk + 1) * cut.members);
            let end = self.source.all().min((task + 1) * cut.blocks * cut.block);
            // SAFETY: a task's tiles of its members are its own, and so is the slot, which has
            // room for a block and a pixel of zeros.
            unsafe {
                let values = slots.get().add(slot * cut.slot);
                let sums = values.add(POINTS * cut.values);
                let zeros = sums.add(POINTS * cut.sums);
                bounds::writes(zeros, [0, self.source.channels as isize - 1]);
                std::slice::from_raw_parts_mut(zeros, self.source.channels).fill(T::ZERO);
                let own = if self.source_shared { 0 } else { chunk };
                let source = source.get().add(own * self.source.elements());
                for first in (task * cut.blocks * cut.block..end).step_by(cut.block) {
                    let count = cut.block.min(end - first);
                    let transform = T::winograd(pool.isa()).input;
                    self.source.pixels(source, zeros, first..first + count, |at, pixels| {
                        transform(pixels, values.add(at * self.source.channels), cut.values);
                    });
                    for member in members.clone() {
                        let set = if self.weights_shared { 0 } else { member };
                        let weights = transformed.get().add(set * size);
                        self.multiply(pool, &cut, values, weights, sums, count);
                        let output = output.get().add(member * result);
                        self.write(pool, &cut, sums, output, first..first + count);
                    }
                }
            }
        });
    }

    /// Transforms the weights of some channels of the sum: for each point and panel, a row of the
    /// panel's width for each channel.
    unsafe fn pack<T: Float>(
        &self,
        pool: &Pool,
        cut: &Cut,
        weights: *const T,
        to: *mut T,
        slot: *mut T,
        first: usize,
    ) {
        let count = CHANNELS.min(self.source.channels - first);
        let strides = [self.weights.channel, self.weights.column];
        let steps = T::winograd(pool.isa());
        // SAFETY: the strides reach every weight once; the slot holds nine taps of the channels.
        unsafe {
            for (tap, &place) in self.taps.iter().enumerate() {
                let from = weights.add(place).offset(first as isize * self.weights.channel);
                let to = slot.add(tap * CHANNELS * cut.width);
                pack_columns(pool.isa(), from, strides, to, [self.columns, cut.width], count);
            }
            for panel in panels(steps, self.columns) {
                let own = panel.kernel.columns;
                for channel in 0..count {
                    let from = slot.add(channel * cut.width + panel.start);
                    let to = to.add(self.source.channels * panel.start + (first + channel) * own);
                    (steps.weights)(
                        from,
                        CHANNELS * cut.width,
                        own,
                        to,
                        self.source.channels * cut.width,
                    );
                }
            }
        }
    }

    /// For each point, the product of tiles by channels with weights.
    unsafe fn multiply<T: Float>(
        &self,
        pool: &Pool,
        cut: &Cut,
        values: *const T,
        weights: *const T,
        sums: *mut T,
        count: usize,
    ) {
        let steps = T::winograd(pool.isa());
        for point in 0..POINTS {
            for Panel { start, kernel } in panels(steps, self.columns) {
                for k in (0..self.source.channels).step_by(BLOCK) {
                    for row in (0..count).step_by(kernel.rows) {
                        // SAFETY: tiles, channels and columns are inside the block, whose rows
                        // are filled up to those of a kernel, and the weights.
                        unsafe {
                            let weights =
                                weights.add((point * cut.width + start) * self.source.channels);
                            (kernel.run)(&Product {
                                a: values.add(point * cut.values + row * self.source.channels + k),
                                a_row: self.source.channels,
                                b: weights.add(k * kernel.columns),
                                b_row: kernel.columns,
                                c: sums.add(point * cut.sums + row * cut.width + start),
                                c_row: cut.width,
                                depth: BLOCK.min(self.source.channels - k),
                                accumulate: k > 0,
                            });
                        }
                    }
                }
            }
        }
    }

    /// Transforms the sums of a block of tiles back into outputs.
    unsafe fn write<T: Float>(
        &self,
        pool: &Pool,
        cut: &Cut,
        sums: *const T,
        output: *mut T,
        tiles: Range<usize>,
    ) {
        let [rows, columns] = self.output;
        let transform = T::winograd(pool.isa()).output;
        let first = tiles.start;
        for (tile, run, [image, y, x]) in self.source.runs(tiles) {
            let pixel = (image * rows + 2 * y) * columns + 2 * x;
            // SAFETY: the live pixels are inside the output; the slot holds the sums.
            unsafe {
                let outputs = Outputs {
                    to: output.add(pixel * self.columns),
                    row: columns * self.columns,
                    live: [rows - 2 * y, columns - 2 * x],
                    channels: self.columns,
                    tiles: run,
                };
                let end = self.columns * (columns - 2 * x).min(2 * run);
                for y in 0..(rows - 2 * y).min(2) {
                    bounds::writes(outputs.to.add(y * outputs.row), [0, end as isize - 1]);
                }
                let from = sums.add((tile - first) * cut.width);
                transform(from, [cut.width, cut.sums], &outputs);
            }
        }
    }
}

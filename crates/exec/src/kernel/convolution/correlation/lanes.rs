//! Few output channels: a register holds one element of many images.
//!
//! Images are transposed into `[padded row][padded column][channel][image]`; for each pixel, the
//! output channels are the rows of a tile, whose weights are broadcast; the tiles are transposed
//! back. Sums run in the same order as with channels in the lanes.

use super::run::Unit;
use super::tile::split_block;
use super::{Correlation, Phase};
use crate::kernel::bounds;
use crate::kernel::micro::{Form, MOST_ROWS, Tile};
use crate::kernel::order::{BLOCK, part_count};
use crate::kernel::pool::Pool;
use crate::kernel::simd::transpose::transpose;
use crate::kernel::simd::{Float, Isa};

/// Output channels of a group up to which images go into the lanes.
const MOST_CHANNELS: usize = 8;
/// Images below which they do not.
const LEAST_IMAGES: usize = 8;

impl Correlation {
    /// Images of a register tile, if images go into the lanes.
    pub(super) fn lanes<T: Float>(&self, isa: Isa) -> Option<usize> {
        let fits = self.form == Form::Broadcast
            && self.columns <= MOST_CHANNELS
            && self.images >= LEAST_IMAGES
            && self.phases.iter().all(|phase| part_count(phase.taps.len() * self.depth) == 1);
        let classes = T::classes(isa, Form::Broadcast);
        let cover = classes.iter().rev().find(|class| class.width >= self.images);
        fits.then(|| cover.unwrap_or(&classes[0]).width)
    }

    /// Elements of the transposed rows of a unit.
    pub(super) fn lane_copy(&self, padded_rows: usize, lanes: usize) -> usize {
        padded_rows * self.source.padded[1] * self.source.channels * lanes
    }

    /// Elements of the transposed outputs of a unit.
    pub(super) fn lane_outputs(&self, rows: usize, lanes: usize) -> usize {
        let columns = self.phases.iter().map(|phase| phase.count[1]).max().unwrap_or(0);
        rows * columns * self.output[2] * lanes
    }

    /// Packs the weights of one tap of a group: for each phase and output channel, the sum's
    /// weights in order.
    ///
    /// # Safety
    /// `weights` are a member's, and `packed` has room for a member.
    pub(super) unsafe fn pack_lanes<T: Float>(
        &self,
        weights: *const T,
        packed: *mut T,
        phase: &Phase,
        group: usize,
        local: usize,
    ) {
        let all: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        let sum = phase.taps.len() * self.depth;
        // SAFETY: the strides reach every weight once.
        unsafe {
            let from = weights
                .add(phase.taps[local].weight * self.weights.tap + group * self.weights.group);
            let to = packed.add((group * all + phase.first_tap) * self.depth * self.columns);
            for column in 0..self.columns {
                let from = from.offset(column as isize * self.weights.column);
                let to = to.add(column * sum + local * self.depth);
                bounds::reads(from, bounds::reach([(self.depth, self.weights.channel)]));
                bounds::writes(to, [0, self.depth as isize - 1]);
                for channel in 0..self.depth {
                    *to.add(channel) = *from.offset(channel as isize * self.weights.channel);
                }
            }
        }
    }

    /// Transposes the padded rows of a unit.
    ///
    /// # Safety
    /// The unit is inside the images that begin at `first`, and `copy` has room for
    /// [`Self::lane_copy`] elements.
    pub(super) unsafe fn lane_view<T: Float>(
        &self,
        isa: Isa,
        first: *const T,
        unit: Unit,
        copy: *mut T,
        lanes: usize,
    ) {
        let source = &self.source;
        let from = unit.from * self.step[0];
        let to = ((unit.to - 1) * self.step[0] + self.reach).min(source.padded[0]).max(from);
        let left = source.low[1].min(source.padded[1]);
        let inside = source.columns.min(source.padded[1] - left);
        let row = source.padded[1] * source.channels * lanes;
        let bare = source.low == [0, 0] && left + inside == source.padded[1] && to <= source.rows;
        // SAFETY: rows inside the image are read, and the others and the borders zeroed.
        unsafe {
            if !bare || unit.images < lanes {
                bounds::writes(copy, [0, ((to - from) * row) as isize - 1]);
                std::slice::from_raw_parts_mut(copy, (to - from) * row).fill(T::ZERO);
            }
            for padded in from.max(source.low[0])..to.min(source.low[0] + source.rows) {
                let y = padded - source.low[0];
                transpose(
                    isa,
                    first.add(y * source.columns * source.channels),
                    source.image() as isize,
                    [unit.images, inside * source.channels],
                    copy.add((padded - from) * row + left * source.channels * lanes),
                    lanes as isize,
                );
            }
        }
    }

    /// All outputs of a unit for one member.
    ///
    /// # Safety
    /// `copy` is the unit's [`Self::lane_view`], `packed` the member's weights, `output` the
    /// member's outputs at the unit's first image, and `tiles` has room for
    /// [`Self::lane_outputs`].
    #[allow(clippy::too_many_arguments)]
    pub(super) unsafe fn lane_unit<T: Float>(
        &self,
        pool: &Pool,
        copy: *const T,
        unit: Unit,
        packed: *const T,
        output: *mut T,
        tiles: *mut T,
        lanes: usize,
    ) {
        let [height, width, channels] = self.output;
        let row = self.source.padded[1] * self.source.channels * lanes;
        let pixel = self.source.channels * lanes;
        let all: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        for phase in &self.phases {
            let rows = unit.to.min(phase.count[0]).saturating_sub(unit.from);
            let [_, columns] = phase.count;
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                // SAFETY: the pixel's patch is inside the unit's rows.
                unsafe {
                    let patch = copy.add(y * self.step[0] * row + x * self.step[1] * pixel);
                    let to = tiles.add((y * columns + x) * channels * lanes);
                    for group in 0..self.groups {
                        let first = (group * all + phase.first_tap) * self.depth * self.columns;
                        self.lane_pixel(
                            pool,
                            patch.add(group * self.depth * lanes),
                            phase,
                            packed.add(first),
                            to.add(group * self.columns * lanes),
                            lanes,
                        );
                    }
                }
            }
            // Outputs that lie next to each other go back together.
            let [tall, wide] = [0, 1].map(|i: usize| self.output_step[i] == 1);
            let (run, runs) = match (tall && wide && columns == width, wide) {
                (true, _) => (rows * columns, 1),
                (_, true) => (columns, rows),
                _ => (1, rows * columns),
            };
            for index in 0..runs {
                let start = index * run;
                let (y, x) = (start / columns.max(1), start % columns.max(1));
                let y = phase.origin[0] + self.output_step[0] * (unit.from + y);
                let x = phase.origin[1] + self.output_step[1] * x;
                // SAFETY: the pixels are inside the output.
                unsafe {
                    transpose(
                        pool.isa(),
                        tiles.add(start * channels * lanes),
                        lanes as isize,
                        [run * channels, unit.images],
                        output.add((y * width + x) * channels),
                        (height * width * channels) as isize,
                    );
                }
            }
        }
    }

    /// The output channels of a group at one pixel.
    unsafe fn lane_pixel<T: Float>(
        &self,
        pool: &Pool,
        patch: *const T,
        phase: &Phase,
        weights: *const T,
        to: *mut T,
        lanes: usize,
    ) {
        let classes = T::classes(pool.isa(), Form::Broadcast);
        let Some(class) = classes.iter().find(|class| class.width == lanes) else { return };
        let sum = phase.taps.len() * self.depth;
        let mut done = 0;
        while done < self.columns {
            let (live, entry) = class.choose(self.columns - done);
            let place = |stride: usize| -> [isize; MOST_ROWS] {
                std::array::from_fn(|i| ((done + i.min(live - 1)) * stride) as isize)
            };
            let (rows, c_rows) = (place(sum), place(lanes));
            let mut segments = &phase.lane_segments[..];
            let mut first = true;
            while first || !segments.is_empty() {
                let (block, rest) = split_block(segments, |s| s.a as usize / BLOCK);
                // SAFETY: segments are inside the weights and the patch.
                unsafe {
                    entry(&Tile {
                        a: weights,
                        rows: &rows,
                        a_step: 1,
                        b: patch,
                        b_step: lanes as isize,
                        segments: block,
                        c: to,
                        c_rows: &c_rows,
                        live_rows: live,
                        columns: lanes,
                        accumulate: !first,
                    });
                }
                segments = rest;
                first = false;
            }
            done += live;
        }
    }
}

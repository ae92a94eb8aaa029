//! The cut into tasks, packed weights, and the work of a task.

use super::Correlation;
use super::tile::{LEVELS, Place, TILE};
use crate::kernel::micro::{Form, Panel, panels};
use crate::kernel::order::part_count;
use crate::kernel::pack::{align, pack_columns};
use crate::kernel::pool::{Pool, Shared};
use crate::kernel::simd::Float;

/// Bytes of padded images that a task holds at once.
const UNIT_BYTES: usize = 192 << 10;

/// A range of images, and of rows of every phase.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub image: usize,
    pub images: usize,
    pub from: usize,
    pub to: usize,
}

/// How the work is cut for a pool.
struct Cut {
    images: usize,
    rows: usize,
    bands: usize,
    units: usize,
    /// Members that a task goes through with one copy of a shared source.
    members: usize,
    /// Images of a register, where they go into the lanes.
    lanes: Option<usize>,
    copy: usize,
    slot: usize,
}

impl Correlation {
    fn panels<T: Float>(&self, pool: &Pool) -> impl Iterator<Item = Panel<T>> {
        panels::<T>(pool.isa(), self.form, self.columns)
    }

    /// Packed columns of a group: the panels' widths together.
    fn width<T: Float>(&self, pool: &Pool) -> usize {
        self.panels::<T>(pool).map(|panel| panel.class.width).sum()
    }

    /// Packed weights of a member.
    fn packed<T: Float>(&self, pool: &Pool) -> usize {
        let taps: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        let width = match self.lanes::<T>(pool.isa()) {
            Some(_) => self.columns,
            None => self.width::<T>(pool),
        };
        self.groups * taps * self.depth * width
    }

    fn cut<T: Float>(&self, pool: &Pool) -> Cut {
        let all_rows = self.phases.iter().map(|phase| phase.count[0]).max().unwrap_or(0);
        let lanes = self.lanes::<T>(pool.isa());
        let row = match lanes {
            Some(lanes) => self.lane_copy(1, lanes),
            None => self.source.row_stride(),
        } * size_of::<T>();
        let padded = |rows: usize| (rows - 1) * self.step[0] + self.reach;
        let mut images = match lanes {
            Some(lanes) => lanes.min(self.images),
            None => (UNIT_BYTES / (padded(all_rows) * row).max(1)).clamp(1, self.images),
        };
        let mut rows = all_rows;
        if padded(rows) * row > UNIT_BYTES {
            let fit = (UNIT_BYTES / row.max(1)).saturating_sub(self.reach) / self.step[0] + 1;
            rows = fit.clamp(1, all_rows);
        }
        // Enough units for the threads, but not for the sake of tiny pieces.
        let sources = if self.source_shared { 1 } else { self.population };
        let wanted = if pool.threads() == 1 { 1 } else { 4 * pool.threads() };
        let work = |images: usize, rows: usize| {
            let taps = self.phases.iter().map(|phase| phase.taps.len()).sum::<usize>();
            let pixels = images * rows * self.phases.first().map_or(0, |phase| phase.count[1]);
            pixels * taps * self.depth * self.columns * self.groups / 16
        };
        while images > 1
            && lanes.is_none()
            && self.images.div_ceil(images) * sources < wanted
            && work(images, rows) > 20_000
        {
            images = images.div_ceil(2);
        }
        while rows > 4
            && self.images.div_ceil(images) * all_rows.div_ceil(rows) * sources < wanted
            && work(images, rows) > 40_000
        {
            rows = rows.div_ceil(2);
        }
        let bands = all_rows.div_ceil(rows);
        let units = self.images.div_ceil(images) * bands;
        let members = match self.source_shared {
            false => 1,
            true => self.population.div_ceil((2 * wanted).div_ceil(units)).max(1),
        };
        let padded_rows = padded(rows).min(self.source.padded[0]);
        let copy = match lanes {
            Some(lanes) => self.lane_copy(padded_rows, lanes),
            None if self.source.in_place() => 0,
            None => images * padded_rows * self.source.row_stride(),
        };
        let parts = self.phases.iter().any(|phase| part_count(phase.taps.len() * self.depth) > 1);
        let tiles = match lanes {
            Some(lanes) => self.lane_outputs(rows, lanes),
            None if parts => LEVELS * TILE,
            None => 0,
        };
        let copy = copy.next_multiple_of(64);
        let slot = (copy + tiles).next_multiple_of(64);
        Cut { images, rows, bands, units, members, lanes, copy, slot }
    }

    pub(in super::super) fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        let packed = if self.weights_shared { 1 } else { self.population } * self.packed::<T>(pool);
        let slots = pool.threads() * self.cut::<T>(pool).slot;
        (packed.next_multiple_of(64) + slots) * size_of::<T>() + 64
    }

    /// # Safety
    /// As for [`Convolution::run`].
    pub(in super::super) unsafe fn run<T: Float>(
        &self,
        pool: &Pool,
        source: *const T,
        weights: *const T,
        output: *mut T,
        scratch: *mut u8,
    ) {
        let cut = self.cut::<T>(pool);
        let packed = align::<T>(scratch);
        let weight_sets = if self.weights_shared { 1 } else { self.population };
        let packed_elements = self.packed::<T>(pool);
        let slots = packed.wrapping_add((weight_sets * packed_elements).next_multiple_of(64));
        let (packed, slots, output) = (Shared(packed), Shared(slots), Shared(output));
        let (source, weights) = (Shared(source.cast_mut()), Shared(weights.cast_mut()));

        let taps: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        pool.for_each(weight_sets * self.groups * taps, |task| {
            let (tap, outer) = (task % taps, task / taps);
            let (group, member) = (outer % self.groups, outer / self.groups);
            // SAFETY: a task packs one tap of a group of a member, which is its own range.
            unsafe {
                let weights = weights.get().add(member * self.weights.member);
                let packed = packed.get().add(member * packed_elements);
                self.pack(pool, weights, packed, group, tap);
            }
        });

        let member_chunks = if self.source_shared {
            self.population.div_ceil(cut.members)
        } else {
            self.population
        };
        let image = self.source.image();
        pool.for_each_slot(cut.units * member_chunks, |slot, task| {
            let (unit, chunk) = (task % cut.units, task / cut.units);
            let (group, band) = (unit / cut.bands, unit % cut.bands);
            let unit = Unit {
                image: group * cut.images,
                images: cut.images.min(self.images - group * cut.images),
                from: band * cut.rows,
                to: (band + 1) * cut.rows,
            };
            // SAFETY: units are inside the images, a unit's outputs are its own, and so is the
            // slot, which has room for the unit's copy and the tiles.
            unsafe {
                let slot = slots.get().add(slot * cut.slot);
                let member = if self.source_shared { 0 } else { chunk };
                let first = source.get().add((member * self.images + unit.image) * image);
                let view = match cut.lanes {
                    None => self.view(first, unit, slot),
                    Some(lanes) => {
                        self.lane_view(pool.isa(), first, unit, slot, lanes);
                        (slot.cast_const(), 0)
                    }
                };
                for member in chunk * cut.members..self.population.min((chunk + 1) * cut.members) {
                    let set = if self.weights_shared { 0 } else { member };
                    let output = output.get().add(
                        (member * self.images + unit.image) * self.output.iter().product::<usize>(),
                    );
                    let packed = packed.get().add(set * packed_elements);
                    let tiles = slot.add(cut.copy);
                    match cut.lanes {
                        None => self.unit(pool, view, unit, packed, output, tiles),
                        Some(lanes) => {
                            self.lane_unit(pool, view.0, unit, packed, output, tiles, lanes);
                        }
                    }
                }
            }
        });
    }

    /// Packs the weights of one tap of a group: for each phase and panel, the rows of the sum.
    unsafe fn pack<T: Float>(
        &self,
        pool: &Pool,
        weights: *const T,
        packed: *mut T,
        group: usize,
        tap: usize,
    ) {
        let width = self.width::<T>(pool);
        let all: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        let Some(phase) =
            self.phases.iter().find(|p| p.first_tap <= tap && tap < p.first_tap + p.taps.len())
        else {
            return;
        };
        let local = tap - phase.first_tap;
        if self.lanes::<T>(pool.isa()).is_some() {
            // SAFETY: passed on from the caller.
            return unsafe { self.pack_lanes(weights, packed, phase, group, local) };
        }
        let strides = [self.weights.channel, self.weights.column];
        // SAFETY: the strides reach every weight once; the packed place is described in `panel`.
        unsafe {
            let from = weights
                .add(phase.taps[local].weight * self.weights.tap + group * self.weights.group);
            let mut to = packed.add((group * all + phase.first_tap) * self.depth * width);
            for panel in self.panels::<T>(pool) {
                let from = from.offset(panel.start as isize * self.weights.column);
                let at = to.add(local * self.depth * panel.class.width);
                let width = [panel.columns, panel.class.width];
                pack_columns(pool.isa(), from, strides, at, width, self.depth);
                to = to.add(phase.taps.len() * self.depth * panel.class.width);
            }
        }
    }

    /// The padded rows of a unit, and the elements between its images.
    unsafe fn view<T: Float>(
        &self,
        first: *const T,
        unit: Unit,
        slot: *mut T,
    ) -> (*const T, usize) {
        let source = &self.source;
        let from = unit.from * self.step[0];
        let to = ((unit.to - 1) * self.step[0] + self.reach).min(source.padded[0]);
        // SAFETY: the caller's unit is inside the images, and the slot has room for its copy.
        unsafe {
            if source.in_place() {
                return (first.add(from * source.row_stride()), source.image());
            }
            let rows = to.saturating_sub(from);
            let size = rows * source.row_stride();
            for image in 0..unit.images {
                source.copy(
                    first.add(image * source.image()),
                    from,
                    from + rows,
                    slot.add(image * size),
                );
            }
            (slot, size)
        }
    }

    /// All outputs of a unit for one member.
    unsafe fn unit<T: Float>(
        &self,
        pool: &Pool,
        (source, image): (*const T, usize),
        unit: Unit,
        packed: *const T,
        output: *mut T,
        tiles: *mut T,
    ) {
        let (row, pixel) = (self.source.row_stride(), self.source.channels);
        let [height, width, channels] = self.output;
        let mut weights = packed;
        for group in 0..self.groups {
            for phase in &self.phases {
                let rows = unit.to.min(phase.count[0]).saturating_sub(unit.from);
                let extents = [unit.images, rows, phase.count[1]];
                let strides = [
                    [image, self.step[0] * row, self.step[1] * pixel].map(|s| s as isize),
                    [
                        height * width * channels,
                        self.output_step[0] * width * channels,
                        self.output_step[1] * channels,
                    ]
                    .map(|s| s as isize),
                ];
                let origin =
                    (phase.origin[0] + self.output_step[0] * unit.from) * width + phase.origin[1];
                let k = phase.taps.len() * self.depth;
                for panel in self.panels::<T>(pool) {
                    // SAFETY: offsets of the first output and of a group's channels are inside.
                    unsafe {
                        if extents.iter().product::<usize>() > 0 {
                            let lane = match self.form {
                                Form::Broadcast => group * self.depth,
                                Form::Lanewise => panel.start,
                            };
                            let place = Place {
                                source: source.add(lane),
                                weights,
                                output: output
                                    .add(origin * channels + group * self.columns + panel.start),
                                extents,
                                strides,
                            };
                            if part_count(k) == 1 {
                                self.panel(&place, phase, panel);
                            } else {
                                self.long_panel(&place, phase, panel, tiles, k);
                            }
                        }
                        weights = weights.add(k * panel.class.width);
                    }
                }
            }
        }
    }
}

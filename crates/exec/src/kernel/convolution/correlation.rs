//! Images against small kernels: the forward convolution, and the gradient by the input as a
//! forward convolution of the output gradient for each phase of the stride.
//!
//! A task takes a few images, or a band of rows of a large one, copies them with their padding
//! into private scratch that stays in the second-level cache, and runs register tiles of pixels by
//! output channels that read patches in place. Where nothing is padded there is no copy.

use super::super::micro::{Form, MOST_COLUMNS, MOST_ROWS, Panel, Segment, Tile, panels};
use super::super::order::{BLOCK, part_count, part_length};
use super::super::pack::{align, pack_columns};
use super::super::pool::{Pool, Shared};
use super::super::simd::Float;
use super::Convolution;
use super::geometry::{Source, Walk};

/// Bytes of padded images that a task holds at once.
const UNIT_BYTES: usize = 192 << 10;
/// Partial sums of a tile that wait for their neighbour in the tree of parts.
const LEVELS: usize = 8;
const TILE: usize = MOST_ROWS * MOST_COLUMNS;

/// A kernel's tap: its place in the weights, and in the padded image relative to a pixel.
#[derive(Clone, Copy)]
struct Tap {
    weight: usize,
    row: usize,
    column: usize,
}

/// Outputs that share their taps.
struct Phase {
    origin: [usize; 2],
    count: [usize; 2],
    taps: Vec<Tap>,
    /// Runs of the sum over the taps, cut at blocks.
    segments: Vec<Segment>,
    /// First tap in the packed weights.
    first_tap: usize,
}

/// Where the weight of a tap, a channel of the sum and a column lies.
#[derive(Clone, Copy)]
struct WeightStrides {
    tap: usize,
    channel: isize,
    column: isize,
    group: usize,
    member: usize,
}

pub(super) struct Correlation {
    population: usize,
    source_shared: bool,
    weights_shared: bool,
    images: usize,
    source: Source,
    groups: usize,
    /// Channels of the sum in a group.
    depth: usize,
    /// Output channels of a group.
    columns: usize,
    form: Form,
    /// Rows, columns and channels of the output.
    output: [usize; 3],
    /// Distance of a phase's outputs.
    output_step: [usize; 2],
    /// Distance in the padded image of the patches of neighbouring outputs.
    step: [usize; 2],
    /// Rows of the padded image that one row of outputs reads.
    reach: usize,
    weights: WeightStrides,
    phases: Vec<Phase>,
}

/// A range of images, and of rows of every phase.
#[derive(Clone, Copy)]
struct Unit {
    image: usize,
    images: usize,
    from: usize,
    to: usize,
}

/// How the work is cut for a pool.
struct Cut {
    images: usize,
    rows: usize,
    bands: usize,
    units: usize,
    /// Members that a task goes through with one copy of a shared source.
    members: usize,
    copy: usize,
    slot: usize,
}

impl Correlation {
    /// The forward convolution; nothing if there is no output.
    pub(super) fn forward(
        it: &Convolution,
        source_shared: bool,
        weights_shared: bool,
    ) -> Option<Self> {
        let axes = [it.axis(0), it.axis(1)];
        let out = it.output_extent();
        let taps = (0..it.kh * it.kw).map(|t| Tap {
            weight: t,
            row: t / it.kw * it.dilation[0],
            column: t % it.kw * it.dilation[1],
        });
        let phase = Phase {
            origin: [0, 0],
            count: out,
            taps: taps.collect(),
            segments: Vec::new(),
            first_tap: 0,
        };
        let padded = |i: usize| {
            (out[i].max(1) - 1) * it.stride[i] + (axes[i].kernel.max(1) - 1) * it.dilation[i] + 1
        };
        let depth = it.cin / it.groups;
        Self {
            population: it.population,
            source_shared,
            weights_shared,
            images: it.n,
            source: Source {
                rows: it.h,
                columns: it.w,
                channels: it.cin,
                low: [it.padding[0].0, it.padding[1].0],
                padded: [padded(0), padded(1)],
            },
            groups: it.groups,
            depth,
            columns: it.cout / it.groups,
            form: Form::Broadcast,
            output: [out[0], out[1], it.cout],
            output_step: [1, 1],
            step: it.stride,
            reach: (it.kh.max(1) - 1) * it.dilation[0] + 1,
            weights: WeightStrides {
                tap: depth * it.cout,
                channel: it.cout as isize,
                column: 1,
                group: it.cout / it.groups,
                member: it.kh * it.kw * depth * it.cout,
            },
            phases: vec![phase],
        }
        .finish(it)
    }

    /// The gradient by the input; nothing if there is no input.
    pub(super) fn input_gradient(
        it: &Convolution,
        source_shared: bool,
        weights_shared: bool,
    ) -> Option<Self> {
        let out = it.output_extent();
        let axes = [it.axis(0).phases(), it.axis(1).phases()];
        // Offsets into the gradient become positive by padding it with `low` zeros.
        let low = [0, 1].map(|i: usize| {
            let least = axes[i].iter().flat_map(|p| &p.taps).map(|t| t.1).min().unwrap_or(0);
            least.min(0).unsigned_abs()
        });
        let shift = |i: usize, offset: isize| (offset + low[i] as isize) as usize;
        let padded = [0, 1].map(|i: usize| {
            let ends = axes[i].iter().flat_map(|p| p.taps.iter().map(|t| shift(i, t.1) + p.count));
            ends.max().unwrap_or(1)
        });
        let offsets = axes[0].iter().flat_map(|p| &p.taps).map(|t| shift(0, t.1) + 1);
        let reach = offsets.max().unwrap_or(1);
        let mut phases = Vec::with_capacity(axes[0].len() * axes[1].len());
        let mut first_tap = 0;
        for rows in &axes[0] {
            for columns in &axes[1] {
                let mut taps = Vec::with_capacity(rows.taps.len() * columns.taps.len());
                for &(ky, row) in &rows.taps {
                    for &(kx, column) in &columns.taps {
                        taps.push(Tap {
                            weight: ky * it.kw + kx,
                            row: shift(0, row),
                            column: shift(1, column),
                        });
                    }
                }
                let count = taps.len();
                phases.push(Phase {
                    origin: [rows.origin, columns.origin],
                    count: [rows.count, columns.count],
                    taps,
                    segments: Vec::new(),
                    first_tap,
                });
                first_tap += count;
            }
        }
        let (cin, cout) = (it.cin / it.groups, it.cout / it.groups);
        Self {
            population: it.population,
            source_shared,
            weights_shared,
            images: it.n,
            source: Source { rows: out[0], columns: out[1], channels: it.cout, low, padded },
            groups: it.groups,
            depth: cout,
            columns: cin,
            form: Form::Broadcast,
            output: [it.h, it.w, it.cin],
            output_step: it.stride,
            step: [1, 1],
            reach,
            weights: WeightStrides {
                tap: cin * it.cout,
                channel: 1,
                column: it.cout as isize,
                group: cout,
                member: it.kh * it.kw * cin * it.cout,
            },
            phases,
        }
        .finish(it)
    }

    /// Turns depthwise groups into columns, and lists the segments of every phase.
    fn finish(mut self, it: &Convolution) -> Option<Self> {
        if self.population * self.images * self.output.iter().product::<usize>() == 0 {
            return None;
        }
        if it.is_depthwise() {
            self.form = Form::Lanewise;
            self.columns = it.groups;
            self.groups = 1;
            self.weights.column = 1;
        }
        let (row, pixel, a_step) = (self.source.row_stride(), self.source.channels, self.a_step());
        for phase in &mut self.phases {
            let mut k = 0;
            for tap in &phase.taps {
                let mut a = (tap.row * row + tap.column * pixel) as isize;
                let mut rest = self.depth;
                while rest > 0 {
                    let length = rest.min(BLOCK - k % BLOCK);
                    match phase.segments.last_mut() {
                        Some(last)
                            if k % BLOCK != 0 && last.a + last.length as isize * a_step == a =>
                        {
                            last.length += length;
                        }
                        _ => phase.segments.push(Segment { a, b: 0, k, length }),
                    }
                    a += length as isize;
                    k += length;
                    rest -= length;
                }
            }
        }
        Some(self)
    }

    /// Step of the sum inside a segment.
    fn a_step(&self) -> isize {
        match self.form {
            Form::Broadcast => 1,
            Form::Lanewise => self.source.channels as isize,
        }
    }

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
        self.groups * taps * self.depth * self.width::<T>(pool)
    }

    fn cut<T: Float>(&self, pool: &Pool) -> Cut {
        let all_rows = self.phases.iter().map(|phase| phase.count[0]).max().unwrap_or(0);
        let row = self.source.row_stride() * size_of::<T>();
        let padded = |rows: usize| (rows - 1) * self.step[0] + self.reach;
        let mut images = (UNIT_BYTES / (padded(all_rows) * row).max(1)).clamp(1, self.images);
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
        let copy = if self.source.in_place() {
            0
        } else {
            images * padded(rows).min(self.source.padded[0]) * self.source.row_stride()
        };
        let parts = self.phases.iter().any(|phase| part_count(phase.taps.len() * self.depth) > 1);
        let tiles = if parts { LEVELS * TILE } else { 0 };
        Cut { images, rows, bands, units, members, copy, slot: (copy + tiles).next_multiple_of(64) }
    }

    pub(super) fn scratch_bytes<T: Float>(&self, pool: &Pool) -> usize {
        let packed = if self.weights_shared { 1 } else { self.population } * self.packed::<T>(pool);
        let slots = pool.threads() * self.cut::<T>(pool).slot;
        (packed.next_multiple_of(64) + slots) * size_of::<T>() + 64
    }

    /// # Safety
    /// As for [`Convolution::forward`].
    pub(super) unsafe fn run<T: Float>(
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
                let view = self.view(first, unit, slot);
                for member in chunk * cut.members..self.population.min((chunk + 1) * cut.members) {
                    let set = if self.weights_shared { 0 } else { member };
                    let output = output.get().add(
                        (member * self.images + unit.image) * self.output.iter().product::<usize>(),
                    );
                    let packed = packed.get().add(set * packed_elements);
                    self.unit(pool, view, unit, packed, output, slot.add(cut.copy));
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

    /// Row tiles of one panel, block by block, so that a block of weights stays in cache.
    unsafe fn panel<T: Float>(&self, place: &Place<T>, phase: &Phase, panel: Panel<T>) {
        let total: usize = place.extents.iter().product();
        let mut segments = &phase.segments[..];
        let mut first = true;
        while first || !segments.is_empty() {
            let (block, rest) = split_block(segments);
            let mut walk = Walk::new(place.extents, place.strides, 0);
            let mut done = 0;
            while done < total {
                let (live, entry) = panel.class.choose(total - done);
                let (mut rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
                walk.fill(live, &mut rows, &mut c_rows);
                let last = rows[live - 1];
                rows[live..].fill(last);
                // SAFETY: the walk stays inside the unit, and the class is of the pool's set.
                unsafe {
                    entry(&Tile {
                        a: place.source,
                        rows: &rows,
                        a_step: self.a_step(),
                        b: place.weights,
                        b_step: panel.class.width as isize,
                        segments: block,
                        c: place.output,
                        c_rows: &c_rows,
                        live_rows: live,
                        columns: panel.columns,
                        accumulate: !first,
                    });
                }
                done += live;
            }
            segments = rest;
            first = false;
        }
    }

    /// As [`Self::panel`] for sums of more than one part: a tile's parts are joined as they come,
    /// in the order of the tree, on a stack of partial sums.
    unsafe fn long_panel<T: Float>(
        &self,
        place: &Place<T>,
        phase: &Phase,
        panel: Panel<T>,
        tiles: *mut T,
        k: usize,
    ) {
        let total: usize = place.extents.iter().product();
        let (parts, length) = (part_count(k), part_length(k));
        let mut walk = Walk::new(place.extents, place.strides, 0);
        let dense: [isize; MOST_ROWS] = std::array::from_fn(|i| (i * MOST_COLUMNS) as isize);
        let mut done = 0;
        while done < total {
            let (live, entry) = panel.class.choose(total - done);
            let (mut rows, mut c_rows) = ([0; MOST_ROWS], [0; MOST_ROWS]);
            walk.fill(live, &mut rows, &mut c_rows);
            let last = rows[live - 1];
            rows[live..].fill(last);
            let mut segments = &phase.segments[..];
            let mut height = 0;
            // SAFETY: as above; the stack holds at most `LEVELS` tiles, as there are at most 64
            // parts.
            unsafe {
                for part in 0..parts {
                    let mut first = true;
                    while segments.first().is_some_and(|s| s.k < (part + 1) * length) {
                        let (block, rest) = split_block(segments);
                        entry(&Tile {
                            a: place.source,
                            rows: &rows,
                            a_step: self.a_step(),
                            b: place.weights,
                            b_step: panel.class.width as isize,
                            segments: block,
                            c: tiles.add(height * TILE),
                            c_rows: &dense,
                            live_rows: live,
                            columns: panel.columns,
                            accumulate: !first,
                        });
                        segments = rest;
                        first = false;
                    }
                    height += 1;
                    let joins = if part + 1 == parts {
                        height - 1
                    } else {
                        (part + 1).trailing_zeros() as usize
                    };
                    for _ in 0..joins {
                        height -= 1;
                        add_tile(tiles.add((height - 1) * TILE), tiles.add(height * TILE), live);
                    }
                }
                for (i, &row) in c_rows.iter().enumerate().take(live) {
                    let from = tiles.add(i * MOST_COLUMNS);
                    std::ptr::copy_nonoverlapping(from, place.output.offset(row), panel.columns);
                }
            }
            done += live;
        }
    }
}

/// Operands of one panel, at its first output.
struct Place<T> {
    source: *const T,
    weights: *const T,
    output: *mut T,
    /// Images, rows and columns of the outputs.
    extents: [usize; 3],
    /// Strides of the source and of the output along them.
    strides: [[isize; 3]; 2],
}

/// The segments of the first block, and the rest.
fn split_block(segments: &[Segment]) -> (&[Segment], &[Segment]) {
    let Some(first) = segments.first() else { return (&[], &[]) };
    let end = (first.k / BLOCK + 1) * BLOCK;
    segments.split_at(segments.iter().position(|s| s.k >= end).unwrap_or(segments.len()))
}

/// Adds the rows of one tile of partial sums to another.
unsafe fn add_tile<T: Float>(into: *mut T, from: *const T, rows: usize) {
    for i in 0..rows * MOST_COLUMNS {
        // SAFETY: both tiles have `rows` rows; unused columns hold arbitrary sums.
        unsafe { *into.add(i) = *into.add(i) + *from.add(i) }
    }
}

//! Images against small kernels: the forward convolution, and the gradient by the input as a
//! forward convolution of the output gradient for each phase of the stride.
//!
//! A task takes a few images, or a band of rows of a large one, copies them with their padding
//! into private scratch that stays in the second-level cache, and runs register tiles of pixels by
//! output channels that read patches in place. Where nothing is padded there is no copy.

//!
//! Few output channels would leave most of a register idle. Then a register holds one element of
//! many images ([`lanes`]): images are transposed on the way in and out, which costs less than it
//! saves, and the same inner kernel broadcasts the weights.

mod lanes;
mod run;
mod tile;

use super::super::micro::{Form, Segment};
use super::super::order::BLOCK;
use super::Convolution;
use super::geometry::Source;

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
    /// The same with images in the lanes: `a` is the place in the sum, and `k` the element of the
    /// padded image.
    lane_segments: Vec<Segment>,
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
            lane_segments: Vec::new(),
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
                    lane_segments: Vec::new(),
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
        let lane_row = self.source.padded[1] * pixel;
        for phase in &mut self.phases {
            let mut k = 0;
            for tap in &phase.taps {
                let mut a = (tap.row * row + tap.column * pixel) as isize;
                let mut element = tap.row * lane_row + tap.column * pixel;
                let mut rest = self.depth;
                while rest > 0 {
                    let length = rest.min(BLOCK - k % BLOCK);
                    let inside = k % BLOCK != 0;
                    match phase.segments.last_mut() {
                        Some(last) if inside && last.a + last.length as isize * a_step == a => {
                            last.length += length;
                        }
                        _ => phase.segments.push(Segment { a, b: 0, k, length }),
                    }
                    match phase.lane_segments.last_mut() {
                        Some(last) if inside && last.k + last.length == element => {
                            last.length += length;
                        }
                        _ => {
                            let place = Segment { a: k as isize, b: 0, k: element, length };
                            phase.lane_segments.push(place);
                        }
                    }
                    a += length as isize;
                    element += length;
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
}

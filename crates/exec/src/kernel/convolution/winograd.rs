//! Convolutions of three by three at stride one by minimal filtering: 16 products where the
//! definition has 36.
//!
//! Winograd's F(2x2, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural networks",
//! 2016): a tile of 2x2 outputs comes from 4x4 inputs. Tile and weights are transformed to 4x4
//! each, multiplied element by element and summed over channels, and the sums are transformed
//! back. The products are 16 matrix products of tiles by channels; a block of tiles stays in the
//! second-level cache from the first transform to the last.
//!
//! The transforms add at most four numbers at a time in the order written in [`transform`]; sums over
//! channels run in blocks as in [`super::super::order`]. What is used where depends on the extents
//! of a convolution alone, so bits depend on nothing else, but a value that is not finite reaches
//! all outputs of its tiles.

mod product;
mod run;
pub(crate) mod steps;
mod tiles;
mod transform;
mod weights;

pub(super) use weights::WeightTiles;

use super::Convolution;
use tiles::Grid;

/// Values of a transformed tile.
const POINTS: usize = 16;
/// Vector lanes that the estimate counts in, whatever the machine has.
const LANES: usize = 16;

/// Where the weight of a tap, a channel of the sum and an output channel lies.
#[derive(Clone, Copy)]
struct WeightStrides {
    channel: isize,
    column: isize,
    member: usize,
}

/// A convolution, or the gradient of one by its input, as tiles.
pub(super) struct Winograd {
    population: usize,
    source_shared: bool,
    weights_shared: bool,
    source: Grid,
    output: [usize; 2],
    /// Channels of the output.
    columns: usize,
    weights: WeightStrides,
    /// Place of each tap among the weights.
    taps: [usize; 9],
}

impl Winograd {
    /// The forward convolution, if this is the way to do it.
    pub(super) fn forward(
        it: &Convolution,
        source_shared: bool,
        weights_shared: bool,
    ) -> Option<Self> {
        let low = [it.padding[0].0 as isize, it.padding[1].0 as isize];
        let size = it.cin * it.cout;
        Self {
            population: it.population,
            source_shared,
            weights_shared,
            source: grid(it, [it.h, it.w], low, it.cin, it.output_extent()),
            output: it.output_extent(),
            columns: it.cout,
            weights: WeightStrides { channel: it.cout as isize, column: 1, member: 9 * size },
            taps: std::array::from_fn(|tap| tap * size),
        }
        .finish(it, it.own_channels())
    }

    /// The gradient by the input, if this is the way to do it: the gradient by the output
    /// convolved with the weights turned round.
    pub(super) fn input_gradient(
        it: &Convolution,
        source_shared: bool,
        weights_shared: bool,
    ) -> Option<Self> {
        let own = it.own_channels();
        let low = [2 - it.padding[0].0 as isize, 2 - it.padding[1].0 as isize];
        let size = it.cin * it.cout;
        Self {
            population: it.population,
            source_shared,
            weights_shared,
            source: grid(it, it.output_extent(), low, it.cout, [it.h, it.w]),
            output: [it.h, it.w],
            columns: it.cin,
            weights: WeightStrides { channel: 1, column: it.cout as isize, member: 9 * size },
            taps: std::array::from_fn(|tap| (8 - tap) * size),
        }
        .finish(it, [own[1], own[0]])
    }

    /// `own`: channels of the sum and of the output, without folded members.
    fn finish(self, it: &Convolution, own: [usize; 2]) -> Option<Self> {
        let fits = is_minimal(it) && pays(own, self.output);
        let outputs = self.population * it.n * self.columns;
        (fits && outputs > 0 && !self.output.contains(&0)).then_some(self)
    }
}

fn grid(
    it: &Convolution,
    extent: [usize; 2],
    low: [isize; 2],
    channels: usize,
    output: [usize; 2],
) -> Grid {
    let tiles = output.map(|extent| extent.div_ceil(2));
    Grid { images: it.n, extent, low, channels, tiles }
}

/// Whether a convolution is of the kind that minimal filtering is for.
pub(super) fn is_minimal(it: &Convolution) -> bool {
    [it.kh, it.kw] == [3, 3]
        && it.stride == [1, 1]
        && it.dilation == [1, 1]
        && it.groups == 1
        && !it.output_extent().contains(&0)
}

/// Whether fewer products outweigh the transforms. Counts are vector operations for a tile; the
/// shares are what was measured of either way's products.
pub(super) fn pays([depth, columns]: [usize; 2], output: [usize; 2]) -> bool {
    let vectors = |channels: usize| channels.div_ceil(LANES) as f64;
    let tiles = output.map(|extent| extent.div_ceil(2));
    let waste = (4 * tiles[0] * tiles[1]) as f64 / (output[0] * output[1]).max(1) as f64;
    let direct = 36.0 * depth as f64 * vectors(columns) / 0.8;
    let products = 16.0 * depth as f64 * vectors(columns) / 0.85;
    let transforms = 50.0 * vectors(depth) + 100.0 * vectors(columns);
    // Few output channels are done better with images in the lanes.
    columns > 8 && depth >= 8 && (products + transforms) * waste < 0.9 * direct
}

//! Images cut into tiles, and output channels into panels.

use super::product::Kernel;
use super::steps::Steps;
use super::transform::Pixels;
use crate::kernel::bounds;
use crate::kernel::simd::Float;
use std::ops::Range;

/// Elements between the values of two points, beyond their number, so that they do not share a
/// cache set; kernels may read so far past the last row.
pub(super) const GAP: usize = 16;

/// Images of `rows x columns` pixels as tiles of 2x2 results, each from up to four rows and columns
/// of pixels of which the first lies `low` before the tile's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub images: usize,
    pub extent: [usize; 2],
    pub low: [isize; 2],
    pub channels: usize,
    /// Tiles of an image, by row and column.
    pub tiles: [usize; 2],
}

impl Grid {
    /// Tiles of all images.
    pub(super) fn all(&self) -> usize {
        self.images * self.tiles[0] * self.tiles[1]
    }

    /// Elements of all images.
    pub(super) fn elements(&self) -> usize {
        self.images * self.extent[0] * self.extent[1] * self.channels
    }

    /// Tiles by runs within a row: the first, their number, and its image, row and column.
    pub(super) fn runs(
        &self,
        tiles: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, [usize; 3])> + use<> {
        let [rows, columns] = self.tiles;
        let mut next = tiles.start;
        std::iter::from_fn(move || {
            let (line, x) = (next / columns, next % columns);
            let run = (columns - x).min(tiles.end - next);
            let found = (next, run, [line / rows, line % rows, x]);
            next += run;
            (run > 0).then_some(found)
        })
    }

    /// Calls `visit` with the pixels of each run, and its distance from the first tile.
    /// `zeros` has a pixel of zeros, for rows outside of the image.
    pub(super) fn pixels<T: Float>(
        &self,
        source: *const T,
        zeros: *const T,
        tiles: Range<usize>,
        mut visit: impl FnMut(usize, &Pixels<T>),
    ) {
        let [rows, columns] = self.extent;
        let line = columns * self.channels;
        let first = tiles.start;
        for (tile, run, [image, y, x]) in self.runs(tiles) {
            let mut pixels = Pixels {
                rows: [zeros; 4],
                steps: [0; 4],
                column: (2 * x) as isize - self.low[1],
                columns,
                channels: self.channels,
                tiles: run,
            };
            for i in 0..4 {
                let row = (2 * y + i) as isize - self.low[0];
                if (0..rows as isize).contains(&row) {
                    pixels.rows[i] = source.wrapping_add((image * rows + row as usize) * line);
                    pixels.steps[i] = self.channels;
                    bounds::reads(pixels.rows[i], [0, line as isize - 1]);
                }
            }
            visit(tile - first, &pixels);
        }
    }
}

/// Columns that one kernel does.
#[derive(Clone, Copy)]
pub(super) struct Panel<T: 'static> {
    pub start: usize,
    pub kernel: &'static Kernel<T>,
}

/// The panels of so many columns, left to right; the last one may reach beyond them.
pub(super) fn panels<T: Float>(
    steps: &'static Steps<T>,
    columns: usize,
) -> impl Iterator<Item = Panel<T>> {
    let [wide, narrow] = &steps.products;
    let mut start = 0;
    std::iter::from_fn(move || {
        let kernel = if columns.saturating_sub(start) > narrow.columns { wide } else { narrow };
        let panel = Panel { start, kernel };
        start += kernel.columns;
        (panel.start < columns).then_some(panel)
    })
}

/// Columns of all panels together.
pub(super) fn padded<T: Float>(steps: &'static Steps<T>, columns: usize) -> usize {
    panels(steps, columns).map(|panel| panel.kernel.columns).sum()
}

//! The summation order that all linear kernels share.
//!
//! A sum over `k` in `0..extent` of products is defined as follows.
//!
//! 1. `0..extent` is cut into [`part_count`] parts of [`part_length`] (the last may be shorter),
//!    a function of the extent alone.
//! 2. A part is cut into blocks of [`BLOCK`]. A block is summed by fused multiply-adds from zero
//!    in increasing `k`; the sums of the blocks are added in order.
//! 3. The parts are joined by a fixed pairwise tree: neighbours at distance 1, then 2, then 4.
//!
//! An extent of zero gives zero. Nothing else (rows, columns, batch, population, threads, tile
//! sizes, vector width) enters, so a kernel may tile and split as it likes along these cuts.

/// Products that are summed into one accumulator before it is added to the part's sum.
pub const BLOCK: usize = 256;

/// An extent of at most this many products is one part.
const PART: usize = 4096;

/// Extents grow the parts, not their number, beyond this: it bounds the memory for partial sums.
const MOST_PARTS: usize = 64;

/// Length of every part but the last, a multiple of [`BLOCK`].
pub fn part_length(extent: usize) -> usize {
    let parts = extent.div_ceil(PART).clamp(1, MOST_PARTS);
    extent.div_ceil(parts).next_multiple_of(BLOCK).max(BLOCK)
}

/// Number of parts of an extent; one when the extent is zero.
pub fn part_count(extent: usize) -> usize {
    extent.div_ceil(part_length(extent)).max(1)
}

/// The pairwise tree over `count` parts: calls `add(into, from)` in order.
pub fn join(count: usize, mut add: impl FnMut(usize, usize)) {
    let mut distance = 1;
    while distance < count {
        let mut into = 0;
        while into + distance < count {
            add(into, into + distance);
            into += 2 * distance;
        }
        distance *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_extent() {
        for extent in [0, 1, 255, 256, 4096, 4097, 8192, 100_000, 131_072, 10_000_000] {
            let (length, count) = (part_length(extent), part_count(extent));
            assert_eq!(length % BLOCK, 0);
            assert!(length * count >= extent && length * (count - 1) <= extent, "{extent}");
            assert!(count <= MOST_PARTS);
        }
        assert_eq!(part_count(4096), 1);
        assert_eq!(part_count(4097), 2);
    }

    #[test]
    fn join_is_the_documented_tree() {
        let mut text: Vec<String> = (0..7).map(|i| i.to_string()).collect();
        join(7, |into, from| text[into] = format!("({}{})", text[into], text[from]));
        assert_eq!(text[0], "(((01)(23))((45)6))");
    }
}

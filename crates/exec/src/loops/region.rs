//! Boxes of a loop's space, and copies between them and tiles.

use super::{Loop, Walk};
use crate::kernel::bounds;

/// A box of the space: starts and extents along `o`, the innermost `r`, and `i`, and the
/// coordinates of the axes outside.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub outer: usize,
    pub r_outer: usize,
    pub o: usize,
    pub r: usize,
    pub i: usize,
    pub no: usize,
    pub nr: usize,
    pub ni: usize,
}

impl Loop {
    /// Elements from the start of a buffer to the first element of a region.
    #[inline(always)]
    pub(super) fn offset(&self, walk: &Walk, region: &Region) -> isize {
        let mut offset = walk.offset
            + walk.o * region.o as isize
            + walk.r * region.r as isize
            + walk.i * region.i as isize;
        let mut rest = region.outer;
        for (&extent, &stride) in self.outer.iter().zip(&walk.outer).rev() {
            offset += (rest % extent) as isize * stride;
            rest /= extent;
        }
        let mut rest = region.r_outer;
        for (&extent, &stride) in self.r_outer.iter().zip(&walk.r_outer).rev() {
            offset += (rest % extent) as isize * stride;
            rest /= extent;
        }
        offset
    }
}

impl Region {
    #[inline(always)]
    pub(super) fn elements(&self) -> usize {
        self.no * self.nr * self.ni
    }

    /// Offsets of the lowest and of the highest element of a walk.
    #[inline(always)]
    fn reach(&self, walk: &Walk) -> [isize; 2] {
        bounds::reach([(self.no, walk.o), (self.nr, walk.r), (self.ni, walk.i)])
    }

    /// Whether the elements of a walk lie one after another in the order of a tile.
    #[inline(always)]
    pub(super) fn is_dense(&self, walk: &Walk) -> bool {
        (self.ni == 1 || walk.i == 1)
            && (self.nr == 1 || walk.r == self.ni as isize)
            && (self.no == 1 || walk.o == (self.nr * self.ni) as isize)
    }

    /// Extents and strides of a walk in the order of a tile, the innermost of more than one
    /// element last.
    #[inline(always)]
    fn nested(&self, walk: &Walk) -> [(usize, isize); 3] {
        let one = (1, 0);
        let (o, r, i) = ((self.no, walk.o), (self.nr, walk.r), (self.ni, walk.i));
        match (self.nr, self.ni) {
            (1, 1) => [one, one, o],
            (_, 1) => [one, o, r],
            (1, _) => [one, o, i],
            _ => [o, r, i],
        }
    }

    /// Calls `f(position in the tile, offset in the walk)` for every element.
    #[inline(always)]
    pub(super) fn each(&self, walk: &Walk, mut f: impl FnMut(usize, isize)) {
        let mut k = 0;
        for o in 0..self.no as isize {
            for r in 0..self.nr as isize {
                let row = o * walk.o + r * walk.r;
                for i in 0..self.ni as isize {
                    f(k, row + i * walk.i);
                    k += 1;
                }
            }
        }
    }
}

/// Copies a region of a walk into a tile.
pub(super) unsafe fn gather<T: Copy>(from: *const u8, to: *mut u8, walk: &Walk, region: &Region) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    bounds::reads(from, region.reach(walk));
    bounds::writes(to, [0, region.elements() as isize - 1]);
    // SAFETY: the caller gives a source that holds the walk and a tile with room for the region.
    unsafe {
        let (still_o, still_r) = (region.no == 1 || walk.o == 0, region.nr == 1 || walk.r == 0);
        if still_o && still_r && (region.ni == 1 || walk.i == 0) {
            let n = region.no * region.nr * region.ni;
            return std::slice::from_raw_parts_mut(to, n).fill(*from);
        }
        if still_o && still_r && walk.i == 1 {
            // One row again and again: what is filled doubles, so the copies are few and long.
            let n = region.no * region.nr * region.ni;
            std::ptr::copy_nonoverlapping(from, to, region.ni);
            let mut filled = region.ni;
            while filled < n {
                let more = filled.min(n - filled);
                std::ptr::copy_nonoverlapping(to, to.add(filled), more);
                filled += more;
            }
            return;
        }
        let [outer, (rows, row), (n, step)] = region.nested(walk);
        let mut to = to;
        for o in 0..outer.0 as isize {
            for r in 0..rows as isize {
                let from = from.offset(o * outer.1 + r * row);
                match step {
                    1 => std::ptr::copy_nonoverlapping(from, to, n),
                    0 => std::slice::from_raw_parts_mut(to, n).fill(*from),
                    _ => {
                        for i in 0..n {
                            *to.add(i) = *from.offset(i as isize * step);
                        }
                    }
                }
                to = to.add(n);
            }
        }
    }
}

/// Copies a tile to a region of a walk.
pub(super) unsafe fn scatter<T: Copy>(from: *const u8, to: *mut u8, walk: &Walk, region: &Region) {
    let (mut from, to) = (from.cast::<T>(), to.cast::<T>());
    bounds::reads(from, [0, region.elements() as isize - 1]);
    bounds::writes(to, region.reach(walk));
    // SAFETY: the caller gives a tile that holds the region and a target that holds the walk.
    unsafe {
        if region.is_dense(walk) {
            let n = region.no * region.nr * region.ni;
            return std::ptr::copy_nonoverlapping(from, to, n);
        }
        let [outer, (rows, row), (n, step)] = region.nested(walk);
        for o in 0..outer.0 as isize {
            for r in 0..rows as isize {
                let to = to.offset(o * outer.1 + r * row);
                if step == 1 {
                    std::ptr::copy_nonoverlapping(from, to, n);
                } else {
                    for i in 0..n {
                        *to.offset(i as isize * step) = *from.add(i);
                    }
                }
                from = from.add(n);
            }
        }
    }
}

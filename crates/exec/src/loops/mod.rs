//! Fused loops: element-wise expressions and reductions over one iteration space, evaluated tile
//! by tile in the first-level cache.
//!
//! The axes of the space are sorted into kept (`o`), reduced (`r`) and the innermost kept axis
//! (`i`), and neighbours that every access walks alike are merged. A tile is a box of
//! `o x r x i`; each instruction runs over a whole tile before the next one starts.
//!
//! **Order of a sum.** A reduced extent `R`, the reduced axes in row-major order, is cut into
//! blocks of [`FOLD_BLOCK`]. In a block, lane `r mod 16` takes the elements in order; the 16 lanes
//! are joined pairwise (distance 8, 4, 2, 1), and the blocks by [`crate::kernel::order::join`].
//! Nothing else (kept extents, tiles, threads, fusion) enters.

mod bodies;
mod build;
mod fold;
mod partition;
mod region;
mod run;
mod tile;
mod watch;

pub(crate) use build::LoopBuilder;

use crate::plan::view::BufferId;
use thalweg_graph::{Binary, Comparison, DType, Reduction, Unary};

/// Elements of one block of a reduction.
pub(crate) const FOLD_BLOCK: usize = 1024;
/// Virtual lanes that a block is summed in.
pub(crate) const LANES: usize = 16;

/// How an access moves along the axes of the space, in elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    pub offset: isize,
    /// Kept axes but the innermost of them.
    pub outer: Vec<isize>,
    pub o: isize,
    /// Reduced axes but the innermost of them.
    pub r_outer: Vec<isize>,
    pub r: isize,
    pub i: isize,
}

/// Where a register's elements come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Elements of a buffer.
    Memory(BufferId),
    /// The value of the walk itself: an affine function of the coordinates.
    Position,
}

#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub source: Source,
    pub dtype: DType,
    pub walk: Walk,
    /// Folded or stored itself, beside another store that may write over its memory: the tile
    /// works on a copy.
    pub copied: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub register: u16,
    pub buffer: BufferId,
    pub dtype: DType,
    pub walk: Walk,
    /// The buffer is read nowhere in the loop, so the register may live in it.
    pub direct: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub register: u16,
    pub kind: Reduction,
    pub buffer: BufferId,
    pub dtype: DType,
    /// Only `offset`, `outer`, `o` and `i` are used.
    pub walk: Walk,
}

/// What an instruction computes from its source registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TileOp {
    Load(u16),
    Unary(Unary, DType),
    Binary(Binary, DType),
    Compare(Comparison, DType),
    /// Size of the selected elements.
    Select(u8),
    Convert(DType, DType),
    /// Size of the elements.
    Copy(u8),
    Threefry,
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub op: TileOp,
    pub target: u16,
    pub sources: [u16; 4],
}

/// A compiled loop.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub outer: Vec<usize>,
    pub o: usize,
    pub r_outer: Vec<usize>,
    pub r: usize,
    pub i: usize,
    pub loads: Vec<Load>,
    pub code: Vec<Instruction>,
    pub stores: Vec<Store>,
    pub folds: Vec<Fold>,
    /// Slot of each register in a thread's scratch.
    pub slots: Vec<u16>,
    pub n_slots: usize,
    pub slot_bytes: usize,
    /// Elements of a tile.
    pub tile: usize,
}

impl Loop {
    /// Extent of the whole reduction.
    pub(crate) fn reduced(&self) -> usize {
        self.r_outer.iter().product::<usize>() * self.r
    }

    /// Number of blocks of the reduction; one where nothing is reduced.
    pub(crate) fn n_blocks(&self) -> usize {
        if self.folds.is_empty() { 1 } else { self.reduced().div_ceil(FOLD_BLOCK).max(1) }
    }

    /// Kept elements: results of each fold.
    pub(crate) fn kept(&self) -> usize {
        self.outer.iter().product::<usize>() * self.o * self.i
    }
}

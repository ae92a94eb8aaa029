//! What a loop may touch, for [`crate::kernel::bounds`]. Release builds do nothing with it.

use super::{Instruction, Loop, Source, TileOp};
use crate::kernel::bounds::{Operand, reads, writes};
use crate::plan::view::BufferId;
use thalweg_graph::Unary;

impl Loop {
    /// The buffers that it reads and those that it writes, and the partial sums.
    pub(super) fn operands(
        &self,
        memory: &dyn Fn(BufferId) -> (*mut u8, usize),
        partial: *mut u8,
    ) -> Vec<Operand> {
        let read = self.loads.iter().filter_map(|load| match load.source {
            Source::Memory(buffer) => Some((buffer, false)),
            Source::Position => None,
        });
        let stored = self.stores.iter().map(|store| (store.buffer, true));
        let folded = self.folds.iter().map(|fold| (fold.buffer, true));
        let operand = |(buffer, writable)| {
            let (start, bytes) = memory(buffer);
            Operand::dense(start, bytes, writable)
        };
        let partial = Operand::dense(partial, self.scratch().partial, true);
        read.chain(stored).chain(folded).map(operand).chain([partial]).collect()
    }

    /// The parts of a thread's memory, each for itself.
    pub(super) fn private(&self, start: *mut u8) -> Vec<Operand> {
        let place = |at: &mut *mut u8, bytes: usize| {
            let part = Operand::dense(*at, bytes, true);
            *at = at.wrapping_add(bytes);
            Some(part)
        };
        self.parts().scan(start, place).collect()
    }
}

/// Asserts that the registers of an instruction hold so many elements.
#[inline(always)]
pub(super) fn check(instruction: &Instruction, registers: &[*mut u8], n: usize) {
    if !cfg!(debug_assertions) {
        return;
    }
    let op = instruction.op;
    let (of_sources, of_target) = op.sizes();
    let bytes = |size: usize| [0, (n * size) as isize - 1];
    for (&source, size) in instruction.sources.iter().zip(of_sources).take(op.n_sources()) {
        reads(registers[source as usize], bytes(size));
    }
    writes(registers[instruction.target as usize], bytes(of_target));
}

impl TileOp {
    /// Bytes of an element of each source, and of the target.
    fn sizes(self) -> ([usize; 4], usize) {
        match self {
            TileOp::Load(_) => ([0; 4], 0),
            TileOp::Unary(Unary::IsFinite, dtype) | TileOp::Compare(_, dtype) => {
                ([dtype.size(); 4], 1)
            }
            TileOp::Unary(_, dtype) | TileOp::Binary(_, dtype) => ([dtype.size(); 4], dtype.size()),
            TileOp::Select(size) => ([1, size.into(), size.into(), 0], size.into()),
            TileOp::Convert(from, to) => ([from.size(); 4], to.size()),
            TileOp::Copy(size) => ([size.into(); 4], size.into()),
            TileOp::Threefry => ([4; 4], 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Pool, bounds};
    use crate::loops::LoopBuilder;
    use crate::plan::view::View;
    use thalweg_graph::{Binary, DType, Reduction};

    /// Asserts it of a loop over buffers of so many elements each.
    fn assert_watched(what: &str, body: &Loop, elements: &[usize]) {
        let pool = Pool::new(1);
        let mut buffers: Vec<Vec<f32>> = elements.iter().map(|&n| vec![0.5; n]).collect();
        let places: Vec<(*mut u8, usize)> = buffers
            .iter_mut()
            .map(|buffer| (buffer.as_mut_ptr().cast(), size_of_val(buffer.as_slice())))
            .collect();
        let memory = |buffer: BufferId| places[buffer.0 as usize];
        let needed = body.scratch();
        let mut scratch = vec![0u64; (needed.per_thread + needed.partial).div_ceil(8) + 8];
        let scratch = scratch.as_mut_ptr().cast::<u8>();
        let scratch = scratch.wrapping_add(scratch.align_offset(64));
        let mut operands = body.operands(&memory, scratch.wrapping_add(needed.per_thread));
        // Partial sums are padded.
        let work = operands.split_off(operands.len() - 1);
        bounds::assert_watched(what, &operands, &work, || {
            // SAFETY: the caller's views lie in the buffers.
            unsafe { body.run_all(&pool, &memory, scratch) }
        });
    }

    fn view(buffer: u32, offset: isize, strides: &[isize]) -> View {
        View { buffer: BufferId(buffer), offset, strides: strides.to_vec() }
    }

    /// Every way in which a loop touches a buffer: in place, gathered, repeated, written directly
    /// or from a tile, and folded in runs, in one block or in several.
    #[test]
    fn the_ends_of_every_buffer_are_watched() {
        let add = TileOp::Binary(Binary::Add, DType::F32);
        for [rows, columns] in [[6, 40], [3, 700], [700, 3], [2, 5000], [5000, 2], [1500, 200]] {
            let (m, n) = (rows as isize, columns as isize);
            let dense = [n, 1];
            let reads = [
                view(0, 0, &dense),
                view(0, 0, &[1, m]),
                view(0, m * n - 1, &[-n, -1]),
                view(0, 0, &[0, 1]),
                view(0, 0, &[1, 0]),
                view(0, 0, &[0, 0]),
            ];
            let needs = [rows * columns, rows * columns, rows * columns, columns, rows, 1];
            for (read, needed) in reads.iter().zip(needs) {
                for written in [view(1, 0, &dense), view(1, 0, &[1, m])] {
                    let mut builder = LoopBuilder::new(&[rows, columns], &[]);
                    let x = builder.load(read, DType::F32);
                    let sum = builder.emit(add, &[x, x], DType::F32);
                    builder.store(sum, &written);
                    let what = format!("{rows} x {columns}, from {read:?} to {written:?}");
                    assert_watched(&what, &builder.finish(), &[needed, rows * columns]);
                }
                for (reduced, kept) in [(&[0][..], columns), (&[1][..], rows), (&[0, 1][..], 1)] {
                    for stored in [false, true] {
                        let mut builder = LoopBuilder::new(&[rows, columns], reduced);
                        let x = builder.load(read, DType::F32);
                        builder.fold(x, Reduction::Sum, BufferId(1));
                        if stored {
                            builder.store(x, &view(2, 0, &dense));
                        }
                        let sizes = [needed, kept, rows * columns];
                        let what = format!("{rows} x {columns}, {read:?} over {reduced:?}");
                        let sizes = &sizes[..if stored { 3 } else { 2 }];
                        assert_watched(&what, &builder.finish(), sizes);
                    }
                }
            }
        }
    }
}

//! How long buffers are needed, and where they lie in one arena.

use super::view::BufferId;
use super::{Buffer, Home, Kernel, Step};
use crate::loops::{Loop, Source};

const ALIGNMENT: usize = 64;

pub(super) fn round(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// What a step touches.
#[derive(Clone, Copy)]
pub(super) struct Access<'a> {
    pub reads: &'a [BufferId],
    pub writes: &'a [BufferId],
    /// Of a loop's stores: which of `writes`, and which of `reads` it may write over.
    pub over: &'a [Over],
    pub scratch: usize,
}

/// A store, and the buffers read that it may write over: positions in writes and in reads.
pub(super) type Over = (usize, Vec<usize>);

/// The stores of a step that may write over what it reads, for the last time, element by element.
pub(super) fn over(step: &Step) -> Vec<Over> {
    let Kernel::Loop(body) = &step.kernel else { return Vec::new() };
    body.stores
        .iter()
        .filter_map(|store| {
            let to = step.writes.iter().position(|&write| write == store.buffer)?;
            let reads = step.reads.iter().enumerate();
            let from = reads
                .filter(|&(_, &read)| reads_where_it_writes(body, read, store.buffer))
                .map(|(from, _)| from)
                .collect();
            Some((to, from))
        })
        .collect()
}

/// Whether a loop reads `from` only where it writes `to`, element by element.
pub(super) fn reads_where_it_writes(body: &Loop, from: BufferId, to: BufferId) -> bool {
    let stores: Vec<_> = body.stores.iter().filter(|store| store.buffer == to).collect();
    let [store] = stores.as_slice() else { return false };
    body.folds.iter().all(|fold| fold.buffer != to)
        && body
            .loads
            .iter()
            .filter(|load| load.source == Source::Memory(from))
            .all(|load| load.walk == store.walk && load.dtype.size() == store.dtype.size())
}

/// First and last step of each buffer in the arena, and which buffers share one place.
pub(super) struct Lives {
    spans: Vec<Option<(usize, usize)>>,
    /// The buffer whose place a buffer uses.
    place_of: Vec<usize>,
    /// Stores into a place that their loop reads, by step.
    pub in_place: Vec<(usize, BufferId)>,
}

impl Lives {
    pub(super) fn of(accesses: &[Access<'_>], buffers: &[Buffer]) -> Lives {
        let mut spans: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
        for (at, access) in accesses.iter().enumerate() {
            for buffer in access.reads.iter().chain(access.writes) {
                if matches!(buffers[buffer.0 as usize].home, Home::Arena(_)) {
                    let span = &mut spans[buffer.0 as usize];
                    *span = Some(span.map_or((at, at), |(first, _)| (first, at)));
                }
            }
        }
        let place_of = (0..buffers.len()).collect();
        let mut lives = Lives { spans, place_of, in_place: Vec::new() };
        lives.share_in_place(accesses, buffers);
        lives
    }

    /// Lets a loop write over what it reads for the last time.
    fn share_in_place(&mut self, accesses: &[Access<'_>], buffers: &[Buffer]) {
        for (at, access) in accesses.iter().enumerate() {
            let mut taken: Vec<usize> = Vec::new();
            for (to, from) in access.over {
                let target = access.writes[*to];
                let to = target.0 as usize;
                if self.spans[to].is_none_or(|(first, _)| first != at) {
                    continue;
                }
                let from = from.iter().map(|&from| access.reads[from].0 as usize).find(|&from| {
                    let place = self.place_of[from];
                    from != to
                        && self.spans[from].is_some()
                        && self.spans[place].is_some_and(|(_, last)| last == at)
                        && buffers[place].bytes == buffers[to].bytes
                        && !taken.contains(&place)
                });
                if let Some(from) = from {
                    let place = self.place_of[from];
                    taken.push(place);
                    self.place_of[to] = place;
                    if let (Some(whole), Some(own)) = (self.spans[place], self.spans[to]) {
                        self.spans[place] = Some((whole.0, own.1));
                    }
                    self.in_place.push((at, target));
                }
            }
        }
    }

    /// Every place with its bytes and its steps.
    fn places(&self, buffers: &[Buffer]) -> impl Iterator<Item = (usize, usize, (usize, usize))> {
        self.spans.iter().enumerate().filter_map(|(index, span)| {
            let own = self.place_of[index] == index;
            span.filter(|_| own).map(|span| (index, round(buffers[index].bytes), span))
        })
    }

    /// Bytes that are needed during each step: no arena is smaller than the most of them.
    pub(super) fn profile(&self, accesses: &[Access<'_>], buffers: &[Buffer]) -> Vec<usize> {
        let mut change = vec![0isize; accesses.len() + 1];
        for (_, bytes, (first, last)) in self.places(buffers) {
            change[first] += bytes as isize;
            change[last + 1] -= bytes as isize;
        }
        let mut live = 0;
        accesses
            .iter()
            .zip(change)
            .map(|(access, change)| {
                live += change;
                live as usize + scratch_block(access.scratch)
            })
            .collect()
    }

    /// Gives each place the lowest free offset, largest first; returns the size of the arena, and
    /// where each step's scratch lies.
    pub(super) fn place(
        &self,
        accesses: &[Access<'_>],
        buffers: &mut [Buffer],
    ) -> (usize, Vec<usize>) {
        enum Owner {
            Buffer(usize),
            Scratch(usize),
        }
        let mut blocks: Vec<(usize, (usize, usize), Owner)> = self
            .places(buffers)
            .map(|(index, bytes, span)| (bytes, span, Owner::Buffer(index)))
            .collect();
        for (at, access) in accesses.iter().enumerate().filter(|(_, access)| access.scratch > 0) {
            blocks.push((scratch_block(access.scratch), (at, at), Owner::Scratch(at)));
        }
        blocks.sort_by_key(|(bytes, span, _)| (std::cmp::Reverse(*bytes), span.0));
        let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
        let mut scratch = vec![0; accesses.len()];
        let mut arena = 0;
        for (bytes, span, owner) in blocks {
            let mut offset = 0;
            // `placed` is kept in order of offsets, so the first gap that fits is the lowest.
            for &(start, end, other) in &placed {
                let overlaps = span.0 <= other.1 && other.0 <= span.1;
                if overlaps && end > offset {
                    if start >= offset + bytes {
                        break;
                    }
                    offset = end;
                }
            }
            let at = placed.partition_point(|&(start, _, _)| start <= offset);
            placed.insert(at, (offset, offset + bytes, span));
            arena = arena.max(offset + bytes);
            match owner {
                Owner::Buffer(index) => buffers[index].home = Home::Arena(offset),
                Owner::Scratch(step) => scratch[step] = offset,
            }
        }
        for index in 0..buffers.len() {
            let place = self.place_of[index];
            if place != index {
                buffers[index].home = buffers[place].home;
            }
        }
        (arena, scratch)
    }
}

fn scratch_block(bytes: usize) -> usize {
    if bytes > 0 { round(bytes) + ALIGNMENT } else { 0 }
}

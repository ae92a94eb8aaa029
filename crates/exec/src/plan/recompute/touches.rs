//! Where the buffers of a draft are written and read.

use super::Use;
use crate::plan::view::BufferId;

/// Where each buffer of a draft is touched.
pub(super) struct Touches {
    /// Steps that read or write a buffer, increasing.
    all: Vec<Vec<usize>>,
    /// The step that writes it first, and the one that reads it last.
    written: Vec<Option<usize>>,
    read: Vec<Option<usize>>,
    /// The buffer itself and its copies, for each buffer of the graph.
    copies: Vec<Vec<BufferId>>,
}

impl Touches {
    pub(super) fn of(uses: &[Use], original: &[BufferId]) -> Touches {
        let n = original.len();
        let mut touches = Touches {
            all: vec![Vec::new(); n],
            written: vec![None; n],
            read: vec![None; n],
            copies: vec![Vec::new(); n],
        };
        for (at, used) in uses.iter().enumerate() {
            for buffer in &used.reads {
                touches.read[buffer.0 as usize] = Some(at);
                touches.all[buffer.0 as usize].push(at);
            }
            for buffer in &used.writes {
                touches.written[buffer.0 as usize].get_or_insert(at);
                touches.all[buffer.0 as usize].push(at);
            }
        }
        for (index, original) in original.iter().enumerate() {
            touches.copies[original.0 as usize].push(BufferId(index as u32));
        }
        touches
    }

    /// The first step after `at` that touches a buffer which was touched before, but not then.
    pub(super) fn next(&self, buffer: BufferId, at: usize) -> Option<usize> {
        let all = &self.all[buffer.0 as usize];
        let later = all.partition_point(|&step| step < at);
        let next = *all.get(later)?;
        (later > 0 && next > at).then_some(next)
    }

    /// The last written of the copies of a buffer of the graph before a step; of those that are
    /// read at the step or later, if so asked.
    pub(super) fn version(
        &self,
        original: BufferId,
        next: usize,
        still_read: bool,
    ) -> Option<BufferId> {
        let written = |copy: &BufferId| {
            let index = copy.0 as usize;
            let written = self.written[index].filter(|&written| written < next)?;
            let lives = !still_read || self.read[index].is_some_and(|read| read >= next);
            lives.then_some((written, *copy))
        };
        let copies = self.copies[original.0 as usize].iter();
        copies.filter_map(written).max().map(|(_, copy)| copy)
    }
}

//! Values computed again instead of kept, where memory is short.
//!
//! A gradient reads on its way back what was computed on its way forth, and at the turn all of it
//! is in memory. Under a budget some of it is dropped after its last reader on the one way and
//! computed again just before its first reader on the other.
//!
//! **How it is chosen.** Greedily: at the step where the most memory is needed, every buffer is
//! looked at that lies there untouched and is read later. To have it again is a chain: the step that
//! wrote it, and before it the steps that wrote what that one reads, back to what is in memory then
//! anyway (what is small beside the buffer is kept until then instead). The buffer whose bytes are
//! the most for the time of its chain goes, if the memory needed at that step falls and nowhere
//! rises as high. This is repeated until the most memory needed fits or no buffer is left that
//! helps, and the plan is laid out; what the layout wastes in gaps is taken off the aim, and it goes
//! on from there. Copies are buffers like others, and may be dropped again. Where the step that
//! needs the most is a loop, its body is planned for less first.
//!
//! **Bits.** What is done again is the same kernel on the same operands. A group of fused loops is
//! done again without those of its results that nobody needs: the order of a sum depends on neither.
//! So the budget decides when a value is computed, and never what it is.

mod touches;

use super::lives::{Access, Lives, Over, over};
use super::step::{Seen, step};
use super::units::{Units, Work};
use super::view::BufferId;
use super::{Buffer, Home, Kernel, Plan, Step, group, memory};
use crate::kernel::Pool;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use thalweg_graph::Graph;
use touches::Touches;

/// Steps that are done again for one buffer, at most.
const CHAIN: usize = 48;
/// How many times smaller than a dropped buffer is what is kept in order to compute it again.
const SMALL: usize = 8;
/// Layouts that are tried: each one aims lower by what the one before was too large, and the last
/// one at nothing.
const LAYOUTS: usize = 6;
/// Floating-point operations that take as long as moving a byte to or from memory.
const FLOPS_PER_BYTE: u64 = 8;

/// A plan of a graph that exceeds some limit by as little as this finds, by nothing if that can be:
/// `excess` says by how many bytes a plan does. The one that is given if it fits.
pub(super) fn within(
    graph: &Graph,
    pool: &Pool,
    whole: Plan,
    excess: &dyn Fn(&Plan) -> usize,
) -> Plan {
    let mut best = (excess(&whole), whole);
    if best.0 == 0 {
        return best.1;
    }
    let mut units = Units::of(graph, pool);
    let order = group::order(&mut units);
    let seen = Seen::of(&units, &order);
    let mut draft = Draft::new(&units, &order, &seen, pool);
    let mut aim = best.1.arena_bytes.saturating_sub(best.0);
    for layout in 1..=LAYOUTS {
        let reached = draft.lower(if layout < LAYOUTS { aim } else { 0 });
        let plan = draft.plan();
        let over = excess(&plan);
        aim = aim.min(draft.most()).saturating_sub(over);
        if over < best.0 {
            best = (over, plan);
        }
        if over == 0 || !reached {
            break;
        }
    }
    best.1
}

/// A step, of a group or of some of its members, on the buffers that it was made for.
struct Piece {
    step: Step,
    over: Vec<Over>,
    flops: u64,
    /// Time, in floating-point operations.
    cost: u64,
}

/// A step of the draft: a piece on some buffers, `reads` and `writes` in the piece's order.
#[derive(Clone)]
struct Use {
    piece: Rc<Piece>,
    reads: Vec<BufferId>,
    writes: Vec<BufferId>,
    again: bool,
}

impl Use {
    fn access(&self) -> Access<'_> {
        let piece = &self.piece;
        Access {
            reads: &self.reads,
            writes: &self.writes,
            over: &piece.over,
            scratch: piece.step.scratch,
        }
    }
}

/// What a group computes again: which of its members, and for which buffers.
struct Link {
    wanted: Vec<BufferId>,
    piece: Rc<Piece>,
}

/// A plan under change.
struct Draft<'d, 'g> {
    units: &'d Units<'g>,
    order: &'d [Vec<usize>],
    seen: &'d Seen,
    pool: &'d Pool,
    buffers: Vec<Buffer>,
    /// The buffer of the graph that a buffer is a copy of, or itself.
    original: Vec<BufferId>,
    /// The group that writes a buffer of the graph, if it alone does and may do so again.
    writer: Vec<Option<usize>>,
    uses: Vec<Use>,
    /// Pieces made before, by their members.
    pieces: RefCell<HashMap<Vec<usize>, Rc<Piece>>>,
}

impl<'d, 'g> Draft<'d, 'g> {
    fn new(
        units: &'d Units<'g>,
        order: &'d [Vec<usize>],
        seen: &'d Seen,
        pool: &'d Pool,
    ) -> Draft<'d, 'g> {
        let buffers = memory::buffers(units);
        let original = (0..buffers.len() as u32).map(BufferId).collect();
        let mut writers = vec![0usize; buffers.len()];
        for buffer in units.units.iter().flat_map(|unit| &unit.writes) {
            writers[buffer.0 as usize] += 1;
        }
        let mut draft = Draft {
            units,
            order,
            seen,
            pool,
            writer: vec![None; buffers.len()],
            buffers,
            original,
            uses: Vec::with_capacity(order.len()),
            pieces: RefCell::default(),
        };
        for (number, members) in order.iter().enumerate() {
            let piece = draft.piece(members);
            let (reads, writes) = (piece.step.reads.clone(), piece.step.writes.clone());
            if piece.step.is_simple() {
                for write in writes.iter().filter(|write| writers[write.0 as usize] == 1) {
                    draft.writer[write.0 as usize] = Some(number);
                }
            }
            draft.uses.push(Use { piece, reads, writes, again: false });
        }
        draft
    }

    fn piece(&self, members: &[usize]) -> Rc<Piece> {
        if let Some(known) = self.pieces.borrow().get(members) {
            return known.clone();
        }
        let piece = Rc::new(self.priced(step(self.units, members, self.seen, self.pool)));
        self.pieces.borrow_mut().insert(members.to_vec(), piece.clone());
        piece
    }

    fn priced(&self, step: Step) -> Piece {
        let touched = step.reads.iter().chain(&step.writes);
        let bytes: usize = touched.map(|buffer| self.buffers[buffer.0 as usize].bytes).sum();
        let flops = step.flops();
        let cost = flops + FLOPS_PER_BYTE * bytes as u64;
        Piece { over: over(&step), flops, cost: cost.max(1), step }
    }

    /// Bytes needed during each step.
    fn profile(&self, uses: &[Use]) -> Vec<usize> {
        let accesses: Vec<Access<'_>> = uses.iter().map(Use::access).collect();
        Lives::of(&accesses, &self.buffers).profile(&accesses, &self.buffers)
    }

    fn most(&self) -> usize {
        self.profile(&self.uses).into_iter().max().unwrap_or(0)
    }

    /// Lowers the most memory that any step needs to `aim`; false where this gets no further.
    fn lower(&mut self, aim: usize) -> bool {
        loop {
            let profile = self.profile(&self.uses);
            let most = profile.iter().copied().max().unwrap_or(0);
            let Some(at) = profile.iter().position(|&bytes| bytes == most) else { return true };
            if most <= aim {
                return true;
            }
            if !self.shrink_body(at, most - aim) && !self.drop_one(at, &profile) {
                return false;
            }
        }
    }

    /// Plans the body of a loop for less memory, if that is possible.
    fn shrink_body(&mut self, at: usize, by: usize) -> bool {
        let Kernel::Scan(loops) = &self.uses[at].piece.step.kernel else { return false };
        let aim = loops.body.arena_bytes.saturating_sub(by);
        let excess = |plan: &Plan| plan.arena_bytes.saturating_sub(aim);
        let body = within(&loops.scan.body, self.pool, loops.body.clone(), &excess);
        if body.arena_bytes >= loops.body.arena_bytes {
            return false;
        }
        let mut step = self.uses[at].piece.step.clone();
        if let Kernel::Scan(loops) = &mut step.kernel {
            loops.body = body;
        }
        step.scratch = super::step::scratch(&step.kernel, self.pool);
        let piece = Rc::new(self.priced(step));
        self.uses[at].piece = piece;
        true
    }

    /// Drops a buffer that lies untouched at a step that needs the most memory.
    fn drop_one(&mut self, at: usize, profile: &[usize]) -> bool {
        let most = profile[at];
        let steps_at = |profile: &[usize]| profile.iter().filter(|&&bytes| bytes == most).count();
        let touches = Touches::of(&self.uses, &self.original);
        let mut found: Vec<(f64, BufferId, usize, BTreeMap<usize, Link>)> = Vec::new();
        for (index, info) in self.buffers.iter().enumerate() {
            let buffer = BufferId(index as u32);
            if matches!(info.home, Home::Arena(_))
                && info.bytes > 0
                && let Some(next) = touches.next(buffer, at)
                && let Some(chain) = self.chain(&touches, buffer, next)
            {
                let cost: u64 = chain.values().map(|link| link.piece.cost).sum();
                found.push((info.bytes as f64 / cost as f64, buffer, next, chain));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, buffer, next, chain) in found {
            let known = self.buffers.len();
            let uses = self.with_chain(&touches, buffer, next, &chain);
            let after = self.profile(&uses);
            let highest = after.iter().copied().max().unwrap_or(0);
            if after[at] < most && highest <= most && steps_at(&after) < steps_at(profile) {
                self.uses = uses;
                return true;
            }
            self.buffers.truncate(known);
            self.original.truncate(known);
        }
        false
    }

    /// What has to be done again in order to have a buffer at step `next`, by group; nothing where
    /// that is impossible or too much.
    fn chain(
        &self,
        touches: &Touches,
        buffer: BufferId,
        next: usize,
    ) -> Option<BTreeMap<usize, Link>> {
        let original = self.original[buffer.0 as usize];
        let small = self.buffers[buffer.0 as usize].bytes / SMALL;
        let mut chain: BTreeMap<usize, Link> = BTreeMap::new();
        let mut missing: Vec<BufferId> = vec![original];
        while let Some(wanted) = missing.pop() {
            let group = self.writer[wanted.0 as usize]?;
            let mut all = chain.remove(&group).map_or(Vec::new(), |link| link.wanted);
            if !all.contains(&wanted) {
                all.push(wanted);
            }
            let piece = self.piece(&self.members(group, &all));
            for &read in &piece.step.reads {
                let index = read.0 as usize;
                let there = match self.buffers[index].home {
                    Home::Input(_) | Home::Constant(_) | Home::Output(_) => true,
                    Home::Arena(_) => touches.version(read, next, true).is_some(),
                };
                // Kept until then: what is small, and what cannot be computed again.
                let kept = there || self.buffers[index].bytes <= small;
                let Some(from) = self.writer[index].filter(|_| !kept) else { continue };
                let comes = chain.get(&from).is_some_and(|link| link.wanted.contains(&read));
                if !comes && !missing.contains(&read) {
                    missing.push(read);
                }
            }
            chain.insert(group, Link { wanted: all, piece });
            if chain.len() > CHAIN {
                return None;
            }
        }
        Some(chain)
    }

    /// Members of a group that compute some of its buffers.
    fn members(&self, group: usize, wanted: &[BufferId]) -> Vec<usize> {
        let all = &self.order[group];
        let writes = |member: usize| &self.units.units[member].writes;
        if all.iter().any(|&member| matches!(self.units.units[member].work, Work::Kernel(_))) {
            return all.clone();
        }
        let mut taken: Vec<bool> =
            all.iter().map(|&m| writes(m).iter().any(|write| wanted.contains(write))).collect();
        // What lies in no memory is computed by whoever reads it.
        while let Some(further) = (0..all.len()).find(|&i| {
            let is_read = |buffer: &BufferId| {
                all.iter()
                    .zip(&taken)
                    .any(|(&m, &taken)| taken && self.units.units[m].reads.contains(buffer))
            };
            let unseen = |write: &BufferId| !self.seen.is_seen(*write) && is_read(write);
            !taken[i] && writes(all[i]).iter().any(unseen)
        }) {
            taken[further] = true;
        }
        all.iter().zip(taken).filter(|(_, taken)| *taken).map(|(&member, _)| member).collect()
    }

    /// The steps with a chain before step `next`, and from there on a copy in the buffer's place.
    fn with_chain(
        &mut self,
        touches: &Touches,
        buffer: BufferId,
        next: usize,
        chain: &BTreeMap<usize, Link>,
    ) -> Vec<Use> {
        let mut copies: BTreeMap<BufferId, BufferId> = BTreeMap::new();
        let mut added = Vec::with_capacity(chain.len());
        for link in chain.values() {
            let piece = link.piece.clone();
            let reads = piece.step.reads.iter().map(|&read| {
                let known = copies.get(&read).copied();
                let there = |still_read| touches.version(read, next, still_read);
                known.or_else(|| there(true)).or_else(|| there(false)).unwrap_or(read)
            });
            let reads: Vec<BufferId> = reads.collect();
            let mut writes = Vec::with_capacity(piece.step.writes.len());
            for &write in &piece.step.writes {
                let copy = BufferId(self.buffers.len() as u32);
                let bytes = self.buffers[write.0 as usize].bytes;
                self.buffers.push(Buffer { bytes, home: Home::Arena(0) });
                self.original.push(write);
                copies.insert(write, copy);
                writes.push(copy);
            }
            added.push(Use { piece, reads, writes, again: true });
        }
        let copy = copies.get(&self.original[buffer.0 as usize]).copied().unwrap_or(buffer);
        let mut uses = self.uses[..next].to_vec();
        uses.extend(added);
        uses.extend(self.uses[next..].iter().cloned().map(|mut used| {
            used.reads.iter_mut().filter(|read| **read == buffer).for_each(|read| *read = copy);
            used
        }));
        uses
    }

    /// The draft as a plan.
    fn plan(&self) -> Plan {
        let again = self.uses.iter().filter(|used| used.again);
        let mut flops: u64 = again.map(|used| used.piece.flops).sum();
        let steps = self.uses.iter().map(|used| {
            let mut step = used.piece.step.clone();
            if let Kernel::Scan(loops) = &step.kernel {
                flops += loops.body.recomputed * loops.scan.length as u64;
            }
            let from = &used.piece.step;
            let named = |known: &[BufferId], now: &[BufferId], buffer: BufferId| {
                known.iter().position(|&k| k == buffer).map_or(buffer, |i| now[i])
            };
            step.rename(
                |buffer| named(&from.reads, &used.reads, buffer),
                |buffer| named(&from.writes, &used.writes, buffer),
            );
            step
        });
        let steps = steps.collect();
        let plan = memory::assign(self.units, steps, self.buffers.clone());
        Plan { recomputed: flops, ..plan }
    }
}

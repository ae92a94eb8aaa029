//! Which loops run as one, and the order of everything.
//!
//! Each unit has a level: one more than those of the units it reads. A loop that reads another
//! loop's result at its own coordinates may share that loop's level, and then shares its group.
//! Units of one level that are not in one group never depend on each other, so any set of loops of
//! one level and one space may run as one.

use super::units::{Root, Unit, Units, Work};
use super::view::BufferId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Most loops that run as one.
const LARGEST: usize = 16;

struct Group {
    level: u32,
    shape: Vec<usize>,
    /// The reduced axes, once a member reduces.
    reduced: Option<Vec<usize>>,
    members: Vec<usize>,
    buffers: HashSet<BufferId>,
}

impl Group {
    fn may_take(&self, unit: &Unit) -> bool {
        let Work::Loop(work) = &unit.work else { return false };
        let folds = matches!(work.root, Root::Fold(..));
        self.members.len() < LARGEST
            && self.shape == work.shape
            && (!folds || self.reduced.as_ref().is_none_or(|axes| *axes == work.reduced))
    }

    fn take(&mut self, index: usize, unit: &Unit) {
        self.members.push(index);
        self.buffers.extend(unit.reads.iter().chain(&unit.writes));
        if let Work::Loop(work) = &unit.work
            && matches!(work.root, Root::Fold(..))
        {
            self.reduced = Some(work.reduced.clone());
        }
    }
}

/// The groups in an order in which each comes after those it reads from. Members are unit
/// numbers, increasing; a kernel is a group of its own.
pub(super) fn order(units: &mut Units<'_>) -> Vec<Vec<usize>> {
    let units = &units.units;
    let mut writers: HashMap<BufferId, Vec<usize>> = HashMap::new();
    for (index, unit) in units.iter().enumerate() {
        for &buffer in &unit.writes {
            writers.entry(buffer).or_default().push(index);
        }
    }
    let none = Vec::new();
    let sources = |index: usize| {
        units[index].reads.iter().flat_map(|buffer| writers.get(buffer).unwrap_or(&none)).copied()
    };

    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = vec![usize::MAX; units.len()];
    let mut open: HashMap<(u32, Vec<usize>), Vec<usize>> = HashMap::new();
    for (index, unit) in units.iter().enumerate() {
        let Work::Loop(work) = &unit.work else {
            let level = sources(index)
                .filter(|&source| source != index)
                .map(|source| groups[group_of[source]].level + 1)
                .max()
                .unwrap_or(0);
            let mut group = Group {
                level,
                shape: Vec::new(),
                reduced: None,
                members: Vec::new(),
                buffers: HashSet::new(),
            };
            group.take(index, unit);
            group_of[index] = groups.len();
            groups.push(group);
            continue;
        };
        let joinable = |source: usize| {
            let Work::Loop(other) = &units[source].work else { return false };
            let Root::Store(view) = &other.root else { return false };
            other.shape == work.shape
                && view.is_dense(&other.shape)
                && writers[&view.buffer].len() == 1
                && work.loads.get(&view.buffer) == Some(&true)
        };
        let mut level = 0;
        for source in sources(index).filter(|&source| source != index) {
            let below = groups[group_of[source]].level;
            level = level.max(if joinable(source) { below } else { below + 1 });
        }
        let required: HashSet<usize> = sources(index)
            .filter(|&source| source != index && joinable(source))
            .map(|source| group_of[source])
            .filter(|&group| groups[group].level == level)
            .collect();
        let chosen = match required.iter().copied().collect::<Vec<_>>().as_slice() {
            [] => None,
            [only] if groups[*only].may_take(unit) => Some(*only),
            _ => {
                level += 1;
                None
            }
        };
        let chosen = chosen.or_else(|| {
            let candidates = open.get(&(level, work.shape.clone()))?;
            candidates.iter().copied().find(|&group| {
                groups[group].may_take(unit)
                    && unit.reads.iter().any(|buffer| groups[group].buffers.contains(buffer))
            })
        });
        let chosen = chosen.unwrap_or_else(|| {
            groups.push(Group {
                level,
                shape: work.shape.clone(),
                reduced: None,
                members: Vec::new(),
                buffers: HashSet::new(),
            });
            let new = groups.len() - 1;
            open.entry((level, work.shape.clone())).or_default().push(new);
            new
        });
        groups[chosen].take(index, unit);
        group_of[index] = chosen;
    }

    let mut waits = vec![0usize; groups.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
    for (number, group) in groups.iter().enumerate() {
        let before: HashSet<usize> = group
            .members
            .iter()
            .flat_map(|&member| sources(member))
            .map(|source| group_of[source])
            .filter(|&source| source != number)
            .collect();
        waits[number] = before.len();
        for source in before {
            followers[source].push(number);
        }
    }
    let key = |number: usize| {
        let last = groups[number].members.iter().map(|&member| units[member].position).max();
        Reverse((last.unwrap_or(0), number))
    };
    let mut ready: BinaryHeap<_> =
        (0..groups.len()).filter(|&number| waits[number] == 0).map(key).collect();
    let mut order = Vec::with_capacity(groups.len());
    while let Some(Reverse((_, number))) = ready.pop() {
        order.push(groups[number].members.clone());
        for &follower in &followers[number] {
            waits[follower] -= 1;
            if waits[follower] == 0 {
                ready.push(key(follower));
            }
        }
    }
    debug_assert_eq!(order.len(), groups.len(), "groups depend on each other in a circle");
    order
}

//! How axes join and part when a value takes another shape.

use super::extent::{Extent, product};
use super::held::{Held, Shuffle};

const ONE: Extent = Extent::Fixed(1);

/// How a value takes another shape where it lies.
pub(super) struct Regrouped {
    pub(super) axes: Vec<usize>,
    pub(super) extents: Vec<Extent>,
    pub(super) shuffle: Option<Shuffle>,
    /// The file's axes that go, if that is all that happens.
    pub(super) kept: Option<Vec<usize>>,
}

/// The plan for axes that come, go, stay, part, or join where they lie together.
pub(super) fn regrouped(held: &Held, from: &[Extent], to: &[Extent]) -> Option<Regrouped> {
    let blocks = blocks(from, to)?;
    let block_of = |axis: usize| blocks.iter().find(|(own, _)| own.contains(&axis));
    let mut plan =
        Regrouped { axes: Vec::new(), extents: Vec::new(), shuffle: None, kept: Some(Vec::new()) };
    let mut place = 0;
    while let Some(&axis) = held.axes.get(place) {
        let (own, new) = block_of(axis)?;
        let shuffled = held.shuffle.as_ref().filter(|shuffle| shuffle.axis == axis);
        match (own.as_slice(), new.as_slice()) {
            // An axis of one that goes.
            ([_], []) => {
                if let Some(gone) = &mut plan.kept {
                    gone.push(place);
                }
            }
            ([_], &[new]) => {
                plan.axes.push(new);
                plan.extents.push(held.extents[place]);
                if let Some(shuffle) = shuffled {
                    plan.shuffle = Some(Shuffle { axis: new, ..shuffle.clone() });
                }
            }
            // Repeated elements are repeated under any shape.
            _ if own.iter().all(|&axis| held.extent(axis) == ONE) => {
                if let Some(gone) = &mut plan.kept {
                    gone.push(place);
                }
            }
            ([_], new) => {
                if shuffled.is_some() || held.extents[place] != from[axis] {
                    return None;
                }
                plan.axes.extend(new);
                plan.extents.extend(new.iter().map(|&axis| to[axis]));
                plan.kept = None;
            }
            (own, &[new]) => {
                let run = held.axes.get(place..place + own.len())?;
                let solid = own.iter().all(|&axis| held.extent(axis) == from[axis]);
                if !solid || shuffled.is_some() || !run.iter().all(|axis| own.contains(axis)) {
                    return None;
                }
                if !run.is_sorted() {
                    if plan.shuffle.is_some() {
                        return None;
                    }
                    plan.shuffle = Some(Shuffle {
                        axis: new,
                        split: own.iter().map(|&axis| from[axis].fixed()).collect::<Option<_>>()?,
                        permutation: run.iter().map(|&axis| axis - own[0]).collect(),
                    });
                }
                plan.axes.push(new);
                plan.extents.push(to[new]);
                plan.kept = None;
                place += own.len() - 1;
            }
            _ => return None,
        }
        place += 1;
    }
    Some(plan)
}

/// Neighbouring axes before and after, block by block, that hold the same elements; axes of extent
/// one that come or go are blocks of their own.
fn blocks(from: &[Extent], to: &[Extent]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    let mut blocks = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        match (from.get(i), to.get(j)) {
            (Some(&a), Some(&b)) if a == b => {
                blocks.push((vec![i], vec![j]));
                (i, j) = (i + 1, j + 1);
            }
            (Some(&ONE), _) => {
                blocks.push((vec![i], Vec::new()));
                i += 1;
            }
            (_, Some(&ONE)) => {
                blocks.push((Vec::new(), vec![j]));
                j += 1;
            }
            (Some(_), Some(_)) => {
                let (mut end_i, mut end_j) = (i + 1, j + 1);
                loop {
                    let (a, b) = (product(&from[i..end_i])?, product(&to[j..end_j])?);
                    if a == b {
                        break;
                    }
                    let count = |extent| match extent {
                        Extent::Fixed(n) => (0, n),
                        Extent::Batch(n) => (1, n),
                    };
                    if count(a) < count(b) && end_i < from.len() {
                        end_i += 1;
                    } else if end_j < to.len() {
                        end_j += 1;
                    } else {
                        return None;
                    }
                }
                blocks.push(((i..end_i).collect(), (j..end_j).collect()));
                (i, j) = (end_i, end_j);
            }
            _ => return None,
        }
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Extent::{Batch, Fixed};

    #[test]
    fn blocks_are_the_smallest() {
        let got = blocks(
            &[Batch(1), Fixed(4), Fixed(6), Fixed(8)],
            &[Batch(1), Fixed(24), Fixed(1), Fixed(2), Fixed(4)],
        );
        let expected: Vec<(Vec<usize>, Vec<usize>)> = vec![
            (vec![0], vec![0]),
            (vec![1, 2], vec![1]),
            (vec![], vec![2]),
            (vec![3], vec![3, 4]),
        ];
        assert_eq!(got.unwrap(), expected);
        let all = blocks(&[Batch(2), Fixed(3)], &[Fixed(3), Batch(2)]).unwrap();
        assert_eq!(all, [(vec![0, 1], vec![0, 1])]);
    }
}

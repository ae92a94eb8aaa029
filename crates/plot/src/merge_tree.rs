//! The merge tree of a surface: which basin falls to which, and at what level.

use crate::axis::{Kind, Scale, number};
use crate::canvas::{Canvas, Figure};
use crate::font;
use crate::frame::{Frame, TICK};
use crate::landscape::loss_label;
use crate::markup::Rect;
use crate::theme::{Stroke, Style, TextStyle};
use crate::topology::{Key, Mark, Panel, Panels, mark};
use std::collections::VecDeque;
use thalweg_record::{Surface, SurfaceMinimum, Topology};

/// Branches of a tree, at most: more would be a hatching.
const MOST: usize = 60;

/// Merge trees on the scale of the surfaces' losses: a branch for each minimum, from its loss up to the
/// saddle where its basin meets that of a deeper one. None where no surface has minima that are known.
pub fn merge_tree_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let panels = Panels::of(surfaces)?;
    // Below the lowest sign its loss has room.
    let scale = panels.scale.padded(0.09);
    let label = loss_label(panels.attributes()?, &panels.scale);
    let mut note = "Each branch is a minimum: it begins at its loss and ends at the saddle where its \
                    basin meets that of a deeper one; that of the lowest at the highest point. Across, \
                    only the order means something."
        .to_owned();
    let count = |of: fn(&Panel) -> usize| panels.iter().map(of).max().unwrap_or(0);
    let all = count(|panel| panel.topology.minima.len());
    if all > MOST {
        note += &format!(" The {MOST} of most persistence, of {all} at most.");
    }
    let prominent = count(|panel| panel.topology.prominent().count());
    if prominent < all.min(MOST) {
        note += &format!(" Thin: {}.", panels.shallow());
    }
    let mut keys = vec![Key { mark: Mark::Lowest, words: "lowest minimum" }];
    if prominent > 1 {
        keys.push(Key { mark: Mark::Minimum, words: "another minimum" });
    }
    let left = Frame::y_axis_width(&scale, 300.0) + 6.0;
    let draw = |canvas: &mut Canvas, at: Rect, panel: &Panel, first: bool| {
        draw(canvas, at, &panel.topology, &scale, first.then_some(&*label));
    };
    Some(panels.figure("Merge tree", &note, &keys, [left, 14.0], style, draw))
}

/// The most persistent minima, as places in the list, from the lowest up. A deeper minimum lives at
/// least as long as those that fall to it, so that with each of them its parent is there.
fn shown(topology: &Topology) -> Vec<usize> {
    let minima = &topology.minima;
    let mut places: Vec<usize> = (0..minima.len()).collect();
    places.sort_by(|&a, &b| {
        let whole = |place: usize| minima[place].parent.is_none();
        let longer = minima[b].persistence().total_cmp(&minima[a].persistence());
        whole(b).cmp(&whole(a)).then(longer)
    });
    places.truncate(MOST);
    places.sort_unstable();
    places
}

/// The same places from left to right, so that no two branches cross: where a basin falls to another,
/// its whole tree stands beside what has fallen to that before.
fn across(minima: &[SurfaceMinimum], shown: &[usize]) -> Vec<usize> {
    let mut trees: Vec<VecDeque<usize>> = minima.iter().map(|_| VecDeque::new()).collect();
    shown.iter().for_each(|&place| trees[place].push_back(place));
    let mut merging: Vec<usize> = shown.to_vec();
    merging.retain(|&place| minima[place].parent.is_some());
    // Of saddles of one level that of the shallower is passed first.
    merging.sort_by(|&a, &b| minima[a].saddle.total_cmp(&minima[b].saddle).then(b.cmp(&a)));
    for place in merging {
        let Some(parent) = minima[place].parent.map(|parent| parent as usize) else { continue };
        let fallen = std::mem::take(&mut trees[place]);
        let Some(tree) = trees.get_mut(parent) else { continue };
        let at = tree.iter().position(|&other| other == parent).unwrap_or(0);
        // To the side on which less stands, so that a trunk has its branches on both.
        match at < tree.len() - at {
            true => fallen.into_iter().rev().for_each(|other| tree.push_front(other)),
            false => tree.extend(fallen),
        }
    }
    trees.into_iter().flatten().collect()
}

fn draw(canvas: &mut Canvas, at: Rect, topology: &Topology, scale: &Scale, label: Option<&str>) {
    let theme = canvas.theme;
    let minima = &topology.minima;
    let shown = shown(topology);
    let order = across(minima, &shown);
    let frame = Frame { at, x: Scale { kind: Kind::Linear, low: 0.0, high: 1.0 }, y: *scale };
    for tick in frame.y_ticks() {
        let [_, y] = frame.place(0.0, tick.value);
        canvas.line([at.x, y], [at.right(), y], Stroke::new(theme.grid, 1.0));
    }
    let height = |value: f64| at.bottom() - scale.position(value).clamp(0.0, 1.0) * at.h;
    let mut place = vec![0.0; minima.len()];
    for (index, &minimum) in order.iter().enumerate() {
        place[minimum] = at.x + at.w * (index as f64 + 0.5) / order.len() as f64;
    }
    let prominent = |m: &SurfaceMinimum| m.is_prominent(topology.threshold);
    // Thin branches first: none lies over one that counts.
    for thick in [false, true] {
        let stroke = match thick {
            true => Stroke::new(theme.hues[0], 1.9),
            false => Stroke::new(theme.muted, 0.8),
        };
        for &index in shown.iter().filter(|&&index| prominent(&minima[index]) == thick) {
            let minimum = &minima[index];
            let (x, top) = (place[index], height(minimum.saddle));
            let to = minimum.parent.map_or(x, |parent| place[parent as usize]);
            canvas.polyline(&[[x, height(minimum.loss)], [x, top], [to, top]], stroke);
        }
    }
    let marked: Vec<usize> =
        shown.iter().copied().filter(|&index| prominent(&minima[index])).collect();
    let words = |index: usize| number(minima[index].loss);
    let room = at.w / order.len() as f64;
    let fits = |&index: &usize| font::width(&words(index), TICK, false) + 6.0 < room;
    // Beside each other, or that of the lowest alone, which has a place under it in any case.
    let all = marked.iter().all(fits);
    for &index in marked.iter().rev() {
        let at = [place[index], height(minima[index].loss)];
        mark(canvas, at, if index == 0 { Mark::Lowest } else { Mark::Minimum });
        if all || index == 0 {
            let style = TextStyle::new(TICK, theme.ink).middle();
            canvas.text([at[0], at[1] + 17.0], &words(index), style);
        }
    }
    frame.border(canvas);
    if let Some(label) = label {
        frame.y_axis(canvas, label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimum(loss: f64, saddle: f64, parent: Option<u32>) -> SurfaceMinimum {
        SurfaceMinimum { loss, saddle, parent, ..SurfaceMinimum::default() }
    }

    #[test]
    fn branches_do_not_cross() {
        // A chain, a fork, and two that fall to one at the same level.
        let minima = [
            minimum(0.0, 10.0, None),
            minimum(1.0, 6.0, Some(0)),
            minimum(2.0, 4.0, Some(1)),
            minimum(2.5, 3.0, Some(0)),
            minimum(2.6, 8.0, Some(0)),
            minimum(2.7, 5.0, Some(4)),
            minimum(2.8, 5.0, Some(4)),
        ];
        let shown: Vec<usize> = (0..minima.len()).collect();
        let order = across(&minima, &shown);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, shown);
        let at = |place: usize| order.iter().position(|&other| other == place).unwrap();
        for (place, one) in minima.iter().enumerate() {
            let Some(parent) = one.parent else { continue };
            let (from, to) =
                (at(place).min(at(parent as usize)), at(place).max(at(parent as usize)));
            // What stands between has ended where the way to the parent passes.
            for between in &order[from + 1..to] {
                assert!(minima[*between].saddle <= one.saddle, "{place} over {between}: {order:?}");
            }
        }
    }

    #[test]
    fn what_is_left_out_is_the_least_and_never_a_parent() {
        // Nine deep ones fall to the lowest, ninety shallow ones to those.
        let mut minima = vec![minimum(0.0, 100.0, None)];
        minima.extend((1..10).map(|i| minimum(f64::from(i), 50.0, Some(0))));
        minima.extend((10..100).map(|i| {
            let loss = 10.0 + 0.1 * f64::from(i);
            minimum(loss, loss + 0.1 + f64::from(i % 7), Some(1 + i as u32 % 9))
        }));
        let topology = Topology { minima, ..Topology::default() };
        let shown = shown(&topology);
        assert_eq!(shown.len(), MOST);
        for &place in &shown {
            let parent = topology.minima[place].parent;
            assert!(parent.is_none_or(|parent| shown.contains(&(parent as usize))), "{place}");
        }
        let depth = |place: &usize| topology.minima[*place].persistence();
        let least = shown.iter().map(depth).fold(f64::INFINITY, f64::min);
        let left_out = (0..100).filter(|place| !shown.contains(place));
        assert!(left_out.map(|place| depth(&place)).all(|depth| depth <= least + 1e-12));
    }
}

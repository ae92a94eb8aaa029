//! The persistence diagram of a surface: where its minima and loops are born and where they end.

use crate::axis::Scale;
use crate::canvas::{Canvas, Figure};
use crate::chart::{axis_json, finite};
use crate::frame::{Frame, TICK};
use crate::landscape::loss_label;
use crate::markup::{Rect, path};
use crate::theme::{Stroke, Style, TextStyle};
use crate::topology::{Key, Mark, Panel, Panels, mark};
use serde_json::json;
use thalweg_record::{Surface, SurfaceMinimum, Topology};

/// The height of the band for what never ends.
const NEVER: f64 = 24.0;
/// More points beside those that are shown in full would only make the file large.
const MOST_FAINT: usize = 1000;

/// A class: its birth, its death where it has one, and its sign.
struct Class {
    birth: f64,
    death: Option<f64>,
    mark: Mark,
    prominent: bool,
}

/// Persistence diagrams, birth against death on the scale of the surfaces' losses: minima in dimension
/// zero, loops in dimension one. None where no surface has minima that are known.
pub fn persistence_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let panels = Panels::of(surfaces)?;
    let scale = panels.scale.padded(0.04);
    let label = loss_label(panels.attributes()?, &panels.scale);
    let classes: Vec<Vec<Class>> = panels.iter().map(|panel| classes(&panel.topology)).collect();
    let any = |mark: Mark| classes.iter().flatten().any(|class| class.mark == mark);
    let (minima, loops) = (any(Mark::Minimum), any(Mark::Loop));
    let mut note = "Sublevel sets of the surface: the level at which a class is born against that at \
                    which it ends; the farther above the diagonal, the deeper the minimum or the higher \
                    the hill. In the band ∞: what never ends."
        .to_owned();
    if !minima && !loops {
        note += " There is nothing but the lowest minimum.";
    }
    let pale = |classes: &[Class]| classes.iter().filter(|class| !class.prominent).count();
    let faint: usize = classes.iter().map(|own| pale(own)).sum();
    if faint > 0 {
        note += &format!(" Small: {faint} {}", panels.shallow());
        note += match classes.iter().any(|own| pale(own) > MOST_FAINT) {
            true => ", not all drawn.",
            false => ".",
        };
    }
    let mut keys = vec![Key { mark: Mark::Lowest, words: "lowest minimum" }];
    if minima {
        let words = "minimum: ends at the saddle to a deeper one";
        keys.push(Key { mark: Mark::Minimum, words });
    }
    if loops {
        let words = "loop: closes at a saddle, ends at the hill inside";
        keys.push(Key { mark: Mark::Loop, words });
    }
    let left = Frame::y_axis_width(&scale, 300.0) + 6.0;
    let draw = |canvas: &mut Canvas, at: Rect, panel: &Panel, first: bool| {
        draw(canvas, at, panel, &scale, &label, first);
    };
    Some(panels.figure("Persistence diagram", &note, &keys, [left, 46.0], style, draw))
}

fn classes(topology: &Topology) -> Vec<Class> {
    let threshold = topology.threshold;
    let mut lowest = true;
    let minimum = |found: &SurfaceMinimum| {
        let mark = if std::mem::take(&mut lowest) { Mark::Lowest } else { Mark::Minimum };
        let death = found.parent.is_some().then_some(found.saddle);
        Class { birth: found.loss, death, mark, prominent: found.is_prominent(threshold) }
    };
    let mut classes: Vec<Class> = topology.minima.iter().map(minimum).collect();
    classes.extend(topology.loops.iter().map(|found| Class {
        birth: found.saddle.loss,
        death: found.peak.map(|peak| peak.loss),
        mark: Mark::Loop,
        prominent: found.is_prominent(threshold),
    }));
    classes
}

fn draw(canvas: &mut Canvas, at: Rect, panel: &Panel, scale: &Scale, label: &str, first: bool) {
    let theme = canvas.theme;
    let band = Rect { h: NEVER, ..at };
    let below = Rect { y: at.y + NEVER, h: at.h - NEVER, ..at };
    let frame = Frame { at: below, x: *scale, y: *scale };
    frame.major_grid(canvas);
    canvas.line([below.x, below.bottom()], [below.right(), below.y], Stroke::new(theme.frame, 1.0));
    // At or below zero there is no place on a log scale: at its low end, as the surface's colours.
    let place = |class: &Class| {
        let share = |value: f64| scale.position(value).clamp(0.0, 1.0);
        let y = match class.death {
            Some(death) => below.bottom() - share(death) * below.h,
            None => band.y + band.h / 2.0,
        };
        [below.x + share(class.birth) * below.w, y]
    };
    let classes = classes(&panel.topology);
    let depth = |class: &Class| class.death.unwrap_or(f64::INFINITY) - class.birth;
    let mut faint: Vec<&Class> = classes.iter().filter(|class| !class.prominent).collect();
    faint.sort_by(|a, b| depth(b).total_cmp(&depth(a)));
    for class in faint.into_iter().take(MOST_FAINT) {
        let [x, y] = place(class);
        match class.mark {
            Mark::Loop => {
                let corners = [[x, y - 2.6], [x + 2.4, y + 1.8], [x - 2.4, y + 1.8]];
                canvas.path(&path(&corners, true), theme.muted, None, 1.0);
            }
            _ => canvas.circle([x, y], 1.8, theme.muted, None),
        }
    }
    for class in classes.iter().filter(|class| class.prominent).rev() {
        mark(canvas, place(class), class.mark);
    }
    canvas.rect(band, "none", Some(Stroke::new(theme.frame, 1.0)));
    frame.border(canvas);
    frame.x_axis(canvas, &format!("born at: {label}"));
    if first {
        frame.y_axis(canvas, &format!("ends at: {label}"));
        let style = TextStyle::new(TICK + 2.0, theme.muted).end();
        canvas.text([band.x - 7.0, band.y + band.h / 2.0 + 0.36 * TICK], "∞", style);
    }
    canvas.hover(|| {
        let series = |name: &str, colour: &str, loops: bool| {
            let own = || {
                let ended = classes.iter().filter(|class| class.prominent && class.death.is_some());
                ended.filter(move |class| (class.mark == Mark::Loop) == loops)
            };
            let births: Vec<f64> = own().map(|class| class.birth).collect();
            let deaths: Vec<f64> = own().filter_map(|class| class.death).collect();
            json!({"name": name, "colour": colour, "x": finite(&births), "y": finite(&deaths)})
        };
        json!({
            "kind": "chart",
            "frame": [below.x, below.y, below.w, below.h],
            "x": axis_json(&frame.x, "born at"),
            "y": axis_json(&frame.y, "ends at"),
            "series": [
                series("minimum ends at", "#ff8a3d", false),
                series("loop ends at", "#3fae94", true),
            ],
        })
    });
}

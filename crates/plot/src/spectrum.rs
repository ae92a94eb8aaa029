//! The eigenvalues of a curvature operator.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::chart::{Chart, Series, axis_json, finite};
use crate::colour;
use crate::font;
use crate::frame::{Entry, Frame, LABEL, TICK, TITLE, legend, legend_height};
use crate::markup::Rect;
use crate::theme::{Stroke, Style, TextStyle};
use serde_json::json;
use thalweg_record::{Eigenvalue, RelativeTo, Spectrum};

/// The places along the axis of ranks: the largest from the left, the smallest up to the right.
struct Slots {
    top: usize,
    bottom: usize,
}

impl Slots {
    fn of(spectra: &[(&str, &Spectrum)]) -> Slots {
        let longest = |count: fn(&Spectrum) -> usize| {
            spectra.iter().map(|(_, s)| count(s)).max().unwrap_or(0)
        };
        Slots { top: longest(|s| s.top.len()), bottom: longest(|s| s.bottom.len()) }
    }

    /// A slot stays free between both ends of the spectrum: the ranks between are not known.
    fn count(&self) -> usize {
        self.top + self.bottom + usize::from(self.top > 0 && self.bottom > 0)
    }

    /// The eigenvalue of each slot.
    fn fill(&self, spectrum: &Spectrum) -> Vec<Option<Eigenvalue>> {
        let mut slots = vec![None; self.count()];
        for (slot, found) in slots.iter_mut().zip(&spectrum.top) {
            *slot = Some(*found);
        }
        for (slot, found) in slots.iter_mut().rev().zip(&spectrum.bottom) {
            *slot = Some(*found);
        }
        slots
    }

    fn label(&self, slot: usize) -> String {
        if slot < self.top {
            return (slot + 1).to_string();
        }
        match self.count() - 1 - slot {
            n if n >= self.bottom => "…".into(),
            0 => "n".into(),
            n => format!("n−{n}"),
        }
    }
}

/// The eigenvalues found against their rank, from the largest down. The scale is logarithmic, of
/// absolute values where some are negative: those are hollow.
pub fn spectrum_figure(spectra: &[(&str, &Spectrum)], style: &Style) -> Option<Figure> {
    let (width, height) = (620.0, 380.0);
    let slots = Slots::of(spectra);
    let filled: Vec<_> = spectra.iter().map(|(_, s)| slots.fill(s)).collect();
    let all = || filled.iter().flatten().flatten().map(|e| e.value).filter(|v| v.is_finite());
    all().next()?;
    let y = Scale::log(all().map(f64::abs)).or_else(|| Scale::linear(all()))?.padded(0.08);
    let log = y.kind == Kind::Log;
    let hollow = all().any(|v| v < 0.0) && log;
    let entries: Vec<Entry> = spectra
        .iter()
        .enumerate()
        .map(|(index, (name, _))| Entry {
            name: font::elide(name, TICK, false, 420.0),
            colour: colour::series(&style.theme.hues, index, spectra.len()),
            dashed: false,
        })
        .collect();
    let matrix = spectra.first().and_then(|(_, s)| matrix(&s.operator));
    let matrix = matrix.map(|words| format!(" of the {words}")).unwrap_or_default();
    let which = match (slots.top, slots.bottom) {
        (_, 0) => "Largest",
        (0, _) => "Smallest",
        _ => "Largest and smallest",
    };
    let title = format!("{which} eigenvalues{matrix}");
    let mut canvas = Canvas::new(width, height, &title, style);
    let theme = canvas.theme;
    let left = Frame::y_axis_width(&y, height - 110.0);
    let inner = width - left - 18.0;
    canvas.text([left, 24.0], &title, TextStyle::new(TITLE, theme.ink).bold());
    let mut top = 34.0;
    let relative = spectra.iter().find_map(|(_, s)| s.relative_to.as_ref());
    let notes = notes(&filled, relative, hollow, log);
    if !notes.is_empty() {
        let style = TextStyle::new(10.5, theme.muted);
        top += canvas.paragraph([left, 42.0], inner, &notes, style) + 2.0;
    }
    if entries.len() > 1 && entries.len() <= 12 {
        legend(&mut canvas, [left, top + 14.0], inner, &entries);
        top += legend_height(inner, &entries);
    }
    top += 6.0;
    let at = Rect { x: left, y: top, w: inner, h: height - top - 46.0 };
    let x = Scale { kind: Kind::Linear, low: 0.0, high: slots.count() as f64 };
    let frame = Frame { at, x, y };
    for tick in frame.y_ticks() {
        let [_, py] = frame.place(0.0, tick.value);
        canvas.line([at.x, py], [at.right(), py], Stroke::new(theme.grid, 1.0));
    }
    canvas.clipped(at, |canvas| {
        for (slots, entry) in filled.iter().zip(&entries) {
            draw(canvas, &frame, slots, &entry.colour);
        }
    });
    frame.border(&mut canvas);
    let name = match (log, hollow) {
        (true, true) => "|eigenvalue|, log scale",
        (true, false) => "eigenvalue, log scale",
        (false, _) => "eigenvalue",
    };
    frame.y_axis(&mut canvas, name);
    let step = (slots.count() as f64 / 14.0).ceil().max(1.0) as usize;
    for slot in (0..slots.count()).step_by(step) {
        let [px, _] = frame.place(slot as f64 + 0.5, y.low);
        let style = TextStyle::new(TICK, theme.muted).middle();
        canvas.text([px, at.bottom() + 16.0], &slots.label(slot), style);
    }
    let style = TextStyle::new(LABEL, theme.ink).middle();
    let order = if slots.bottom > 0 { "rank: 1 the largest, n the smallest" } else { "rank" };
    canvas.text([at.x + at.w / 2.0, at.bottom() + 34.0], order, style);
    canvas.hover(|| {
        json!({
            "kind": "ranks",
            "frame": [at.x, at.y, at.w, at.h],
            "labels": (0..slots.count()).map(|slot| slots.label(slot)).collect::<Vec<_>>(),
            "y": axis_json(&frame.y, "eigenvalue"),
            "series": spectra.iter().enumerate().map(|(index, (name, _))| {
                let value = |e: &Option<Eigenvalue>| e.map_or(f64::NAN, |e| e.value);
                let values: Vec<f64> = filled[index].iter().map(value).collect();
                json!({"name": name, "colour": entries[index].colour, "y": finite(&values)})
            }).collect::<Vec<_>>(),
        })
    });
    Some(canvas.finish())
}

/// Residuals below this share of the eigenvalue are thinner than a line.
const VISIBLE: f64 = 0.02;

fn notes(
    filled: &[Vec<Option<Eigenvalue>>],
    relative: Option<&RelativeTo>,
    hollow: bool,
    log: bool,
) -> String {
    let found = || filled.iter().flatten().flatten();
    let mut notes = Vec::new();
    if let Some(to) = relative {
        let words = matrix(&to.operator).unwrap_or_else(|| to.operator.clone());
        notes.push(format!("relative to the {words} plus {} on its diagonal", to.damping));
    }
    let mut note = |there: bool, text: &str| {
        if there {
            notes.push(text.to_owned());
        }
    };
    note(hollow, "hollow: negative");
    let visible = found().any(|e| e.value.is_finite() && e.residual > VISIBLE * e.value.abs());
    note(visible && relative.is_none(), "bar: residual, within which an eigenvalue lies");
    note(visible && relative.is_some(), "bar: residual |Av − λBv| / |Bv|");
    let zero = found().any(|e| e.value == 0.0);
    note(log && zero, "zero cannot be shown on a log scale");
    let broken = found().any(|e| !e.value.is_finite());
    note(broken, "values that are not finite are left out");
    notes.join(" · ")
}

/// A matrix by its name in records, after "the"; none for a name that is not known.
fn matrix(operator: &str) -> Option<String> {
    let (name, form) = match operator.strip_suffix("-kfac") {
        Some(name) => (name, ", by K-FAC"),
        None => match operator.strip_suffix("-diagonal") {
            Some(name) => (name, ", its diagonal"),
            None => (operator, ""),
        },
    };
    let words = match name {
        "hessian" => "Hessian",
        "gauss-newton" => "Gauss-Newton matrix",
        "fisher" => "Fisher matrix",
        "monte-carlo-fisher" => "Monte Carlo Fisher matrix",
        "empirical-fisher" => "empirical Fisher matrix",
        "gradient-covariance" => "gradient covariance",
        _ => return None,
    };
    Some(format!("{words}{form}"))
}

fn draw(canvas: &mut Canvas, frame: &Frame, slots: &[Option<Eigenvalue>], colour: &str) {
    let log = frame.y.kind == Kind::Log;
    let height = |value: f64| if log { value.abs() } else { value };
    let place = |(slot, found): (usize, &Option<Eigenvalue>)| {
        let value = found.map_or(f64::NAN, |e| height(e.value));
        frame.place(slot as f64 + 0.5, value)
    };
    let points: Vec<[f64; 2]> = slots.iter().enumerate().map(place).collect();
    // The line guides the eye from rank to rank; it breaks where ranks are not known.
    let line: String = crate::markup::path(&points, false);
    canvas.path(&line, "none", Some(Stroke::new(colour, 1.2).opacity(0.5)), 1.0);
    for (point, found) in points.iter().zip(slots) {
        let Some(found) = found.filter(|_| point.iter().all(|v| v.is_finite())) else { continue };
        if found.residual.is_finite() && found.residual > VISIBLE * found.value.abs() {
            let end = |sign: f64| {
                let py = frame.place(0.0, height(found.value) + sign * found.residual)[1];
                [point[0], if py.is_finite() { py } else { frame.at.bottom() }]
            };
            canvas.line(end(1.0), end(-1.0), Stroke::new(colour, 1.4));
        }
        if found.value < 0.0 && log {
            let ground = canvas.theme.background.unwrap_or("var(--raised)");
            canvas.circle(*point, 3.6, ground, Some(Stroke::new(colour, 1.8)));
        } else {
            canvas.circle(*point, 3.8, colour, None);
        }
    }
}

/// The density of eigenvalues, on a log scale, with a stroke on the floor for each eigenvalue that
/// was found; None where no density was estimated.
pub fn density_figure(spectra: &[(&str, &Spectrum)], style: &Style) -> Option<Figure> {
    let with: Vec<_> =
        spectra.iter().filter_map(|(name, s)| Some((*name, *s, s.density.as_ref()?))).collect();
    // Between its peaks a density falls to nothing, and would take the whole scale with it.
    const DEPTH: f64 = 1e-9;
    let peak = with.iter().flat_map(|(_, _, d)| d.values.iter().copied()).fold(0.0, f64::max);
    let shown = |value: f64| if value >= DEPTH * peak { value } else { f64::NAN };
    let colour = |index: usize| colour::series(&style.theme.hues, index, with.len());
    let mut series = Vec::new();
    let mut rug = Vec::new();
    for (index, (name, spectrum, density)) in with.iter().enumerate() {
        let values: Vec<f64> = density.values.iter().map(|&value| shown(value)).collect();
        // One series for each stretch: what is left out is small, not unknown.
        let indices: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
        for (nth, run) in indices.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let of = |list: &[f64]| run.iter().filter_map(|&i| list.get(i).copied()).collect();
            series.push(Series {
                name: if name.is_empty() { "density".to_owned() } else { (*name).to_owned() },
                colour: colour(index),
                x: of(&density.centres),
                y: of(&values),
                error: Some(of(&density.standard_errors)),
                entry: Some((*name).to_owned()).filter(|_| nth == 0),
                ..Series::default()
            });
        }
        let found = spectrum.top.iter().chain(&spectrum.bottom).map(|e| e.value);
        rug.extend(found.filter(|v| v.is_finite()).map(|value| (value, colour(index))));
    }
    let mut notes = vec![
        "each Ritz value smoothed by a Gaussian".to_owned(),
        "band: one standard error over probes".to_owned(),
        "nothing below 10⁻⁹ of the peak is drawn".to_owned(),
    ];
    if !rug.is_empty() {
        notes.push("strokes on the floor: eigenvalues found by Lanczos".to_owned());
    }
    Chart {
        title: "Density of eigenvalues",
        x_label: "eigenvalue",
        y_label: "density",
        y_kind: Kind::Log,
        notes,
        series,
        places: Vec::new(),
        rug,
    }
    .draw(style)
}

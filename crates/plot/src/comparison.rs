//! Several models under the same instruments, beside each other.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::colour;
use crate::font;
use crate::frame::{Entry, Frame, TICK, TITLE, legend, legend_height};
use crate::markup::Rect;
use crate::theme::{Stroke, Style, TextStyle};
use thalweg_record::{ComparedQuantity, Comparison, Report};

const WIDTH: f64 = 760.0;
const COLUMNS: usize = 3;
/// The height of a panel with its heading.
const PANEL: f64 = 158.0;
/// Of more numbers than this the rest is left to the table.
const MOST: usize = 24;
/// Half of a 95 % interval, in standard errors.
const HALF: f64 = 1.96;

/// A value of a model, and what the first model's has to do with it.
struct Point {
    value: f64,
    /// The standard error of the difference from the first model.
    paired: Option<f64>,
    /// The standard error of the value itself.
    own: Option<f64>,
    real: Option<bool>,
}

/// A panel for each number: the value of each model, with the interval of its difference from the
/// first around it, so that the first model's value lies outside of it where they differ. Filled where
/// the difference is real. None without a comparison.
pub fn comparison_figure(report: &Report, style: &Style) -> Option<Figure> {
    let comparison = report.comparison.as_ref()?;
    let names: Vec<&str> = report.models.iter().map(|model| model.name.as_str()).collect();
    let drawn: Vec<(&ComparedQuantity, Vec<Point>)> = comparison
        .quantities
        .iter()
        .map(|quantity| (quantity, points(comparison, quantity, &names)))
        .filter(|(_, points)| points.iter().any(|point| point.value.is_finite()))
        .collect();
    let shown = drawn.len().min(MOST);
    if shown == 0 {
        return None;
    }
    let title = "The same instruments on each model";
    let mut canvas = Canvas::new(WIDTH, 60.0, title, style);
    let theme = canvas.theme;
    canvas.text([16.0, 24.0], title, TextStyle::new(TITLE, theme.ink).bold());
    let mut notes = format!(
        "bar: 95 % interval of the difference from {}, same examples and draws, around each model's \
         value; of {0} that of the value itself · filled: the difference is real (all at once, level \
         {}) · diamond: without an error bar",
        names.first().unwrap_or(&"the first"),
        comparison.level
    );
    if drawn.len() > shown {
        notes += &format!(" · {} further numbers are in the table", drawn.len() - shown);
    }
    let small = TextStyle::new(10.5, theme.muted);
    let mut top = 36.0 + canvas.paragraph([16.0, 44.0], WIDTH - 32.0, &notes, small);
    let entries: Vec<Entry> = names
        .iter()
        .enumerate()
        .map(|(index, name)| Entry {
            name: font::elide(name, TICK, false, 220.0),
            colour: colour::series(&theme.hues, index, names.len()),
            dashed: false,
        })
        .collect();
    top += 20.0;
    legend(&mut canvas, [16.0, top], WIDTH - 32.0, &entries);
    top += legend_height(WIDTH - 32.0, &entries) - 4.0;
    let width = (WIDTH - 16.0) / COLUMNS as f64;
    for (place, (quantity, points)) in drawn.iter().take(shown).enumerate() {
        let (column, row) = (place % COLUMNS, place / COLUMNS);
        let at = Rect {
            x: 16.0 + column as f64 * width,
            y: top + row as f64 * PANEL,
            w: width - 16.0,
            h: PANEL,
        };
        panel(&mut canvas, at, quantity, points);
    }
    canvas.grow(top + shown.div_ceil(COLUMNS) as f64 * PANEL + 6.0 - 60.0);
    Some(canvas.finish())
}

fn points(comparison: &Comparison, quantity: &ComparedQuantity, names: &[&str]) -> Vec<Point> {
    let first = names.first().copied().unwrap_or_default();
    let point = |(index, value): (usize, &thalweg_record::Quantity)| {
        let name = names.get(index).copied().unwrap_or_default();
        let of = |d: &&thalweg_record::Difference| {
            d.instrument == quantity.instrument
                && d.name == quantity.name
                && d.first == first
                && d.second == name
        };
        let difference = comparison.differences.iter().find(of).filter(|_| index > 0);
        Point {
            value: value.value(),
            paired: difference.and_then(|d| d.difference.standard_error()),
            own: value.standard_error(),
            real: difference.and_then(|d| d.real),
        }
    };
    quantity.values.iter().enumerate().map(point).collect()
}

fn panel(canvas: &mut Canvas, at: Rect, quantity: &ComparedQuantity, points: &[Point]) {
    let theme = canvas.theme;
    let bar = |point: &Point, index: usize| match index {
        0 => point.own,
        _ => point.paired,
    };
    let ends = points.iter().enumerate().flat_map(|(index, point)| {
        let half = HALF * bar(point, index).filter(|e| e.is_finite()).unwrap_or(0.0);
        [point.value - half, point.value + half]
    });
    let ends: Vec<f64> = ends.filter(|end| end.is_finite()).collect();
    // Values that are orders apart would press the small ones onto the floor.
    let decades = ends.iter().all(|&end| end > 0.0)
        && ends.iter().copied().fold(0.0, f64::max)
            > 50.0 * ends.iter().copied().fold(f64::INFINITY, f64::min);
    let y = match decades {
        true => Scale::log(ends.iter().copied()),
        false => Scale::linear(ends.iter().copied()),
    };
    let Some(y) = y.map(|scale| scale.padded(0.12)) else { return };
    let heading = font::elide(&quantity.name, 11.5, true, at.w);
    canvas.text([at.x, at.y + 14.0], &heading, TextStyle::new(11.5, theme.ink).bold());
    let scale = if y.kind == Kind::Log { ", log scale" } else { "" };
    let below = font::elide(&format!("{}{scale}", quantity.instrument), 10.0, false, at.w);
    canvas.text([at.x, at.y + 27.0], &below, TextStyle::new(10.0, theme.muted));
    let inner_height = at.h - 52.0;
    let ticks = y.ticks(4);
    let widths = ticks.iter().map(|tick| font::width(&tick.label, TICK, false));
    let widest = widths.fold(0.0, f64::max);
    let left = widest + 11.0;
    let inner = Rect { x: at.x + left, y: at.y + 34.0, w: at.w - left, h: inner_height };
    let x = Scale { kind: Kind::Linear, low: -0.5, high: points.len() as f64 - 0.5 };
    let frame = Frame { at: inner, x, y };
    for tick in &ticks {
        let py = inner.bottom() - y.position(tick.value) * inner.h;
        canvas.line([inner.x, py], [inner.right(), py], Stroke::new(theme.grid, 1.0));
        let style = TextStyle::new(TICK, theme.muted).end();
        canvas.text([inner.x - 6.0, py + 0.36 * TICK], &tick.label, style);
    }
    if let Some(first) = points.first().filter(|point| point.value.is_finite()) {
        let [_, py] = frame.place(0.0, first.value);
        let stroke = Stroke::new(theme.muted, 1.0).dashed();
        canvas.line([inner.x, py], [inner.right(), py], stroke);
    }
    frame.border(canvas);
    for (index, point) in points.iter().enumerate() {
        let colour = colour::series(&theme.hues, index, points.len());
        let [px, py] = frame.place(index as f64, point.value);
        if !py.is_finite() {
            canvas.text([px, inner.y + 14.0], "×", TextStyle::new(13.0, &colour).middle());
            continue;
        }
        if let Some(error) = bar(point, index).filter(|error| error.is_finite()) {
            let end = |sign: f64| {
                let [_, y] = frame.place(index as f64, point.value + sign * HALF * error);
                y.clamp(inner.y, inner.bottom())
            };
            let (high, low) = (end(1.0), end(-1.0));
            let stroke = Stroke::new(&colour, 2.0);
            canvas.line([px, high], [px, low], stroke);
            for y in [high, low] {
                canvas.line([px - 4.0, y], [px + 4.0, y], stroke);
            }
        }
        let bare = index > 0 && point.real.is_none();
        let hollow = point.real == Some(false);
        let ground = theme.background.unwrap_or("var(--raised)");
        let fill = if hollow { ground } else { colour.as_str() };
        let stroke = Some(Stroke::new(&colour, 1.8));
        match bare {
            true => {
                let corners = [[px, py - 5.5], [px + 5.5, py], [px, py + 5.5], [px - 5.5, py]];
                canvas.path(&crate::markup::path(&corners, true), fill, stroke, 1.0);
            }
            false => canvas.circle([px, py], 4.2, fill, stroke),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::{Difference, Estimate, ModelReport, Provenance, Sampled};

    fn report(models: &[&str], numbers: usize) -> Report {
        let mut report = Report::new("t", "loss", Provenance::default());
        let model = |name: &&str| ModelReport { name: (*name).into(), ..ModelReport::default() };
        report.models = models.iter().map(model).collect();
        let mut comparison = Comparison { level: 0.05, ..Comparison::default() };
        for n in 0..numbers {
            let (instrument, name) = ("loss".to_owned(), format!("number {n}"));
            comparison.quantities.push(ComparedQuantity {
                instrument: instrument.clone(),
                name: name.clone(),
                values: (0..models.len()).map(|i| (i as f64 + 1.0).into()).collect(),
                ..ComparedQuantity::default()
            });
            for (i, second) in models.iter().enumerate().skip(1) {
                let estimate = Estimate { value: i as f64, standard_error: 0.1, samples: 9 };
                comparison.differences.push(Difference {
                    instrument: instrument.clone(),
                    name: name.clone(),
                    first: models[0].into(),
                    second: (*second).into(),
                    difference: estimate.into(),
                    over: Some(Sampled::Examples),
                    p: Some(0.01),
                    p_adjusted: Some(0.01),
                    real: Some(i == 1),
                });
            }
        }
        report.comparison = Some(comparison);
        report
    }

    #[test]
    fn real_differences_are_filled_and_others_hollow() {
        let figure = comparison_figure(&report(&["a", "<b>", "c"], 1), &Style::paper()).unwrap();
        let svg = figure.svg();
        assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>"));
        assert_eq!(svg.matches("<circle").count(), 3);
        // The last one is hollow: its ground is that of the figure.
        assert_eq!(svg.matches("fill=\"#ffffff\" stroke").count(), 1, "{svg}");
        assert!(figure.png(1.0).unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn more_numbers_than_there_is_room_for_are_counted() {
        let svg = |n| {
            comparison_figure(&report(&["a", "b"], n), &Style::paper()).map(|f| f.svg().to_owned())
        };
        assert!(!svg(MOST).unwrap().contains("further numbers"));
        assert!(svg(MOST + 3).unwrap().contains("3 further numbers"));
        assert_eq!(svg(0), None);
    }
}

//! Training curves, and what was watched along them.

use crate::axis::Kind;
use crate::canvas::Figure;
use crate::chart::{Chart, Series};
use crate::colour;
use crate::theme::Style;
use thalweg_record::{Report, TrainingCurve};

/// Of more series than this none is listed by name.
pub(crate) const LISTED: usize = 12;

/// What ends the names of columns that stand beside others.
const BESIDE: [&str; 3] = [ERROR, THRESHOLD, "_products"];
const ERROR: &str = "_standard_error";
const THRESHOLD: &str = "_threshold";

/// Every figure of a report's training curves with the name of its file: losses, accuracies, and each
/// other column, those together that are of one kind. `style` is asked for each by its name.
pub fn training_figures(report: &Report, style: impl Fn(&str) -> Style) -> Vec<(String, Figure)> {
    // A model with one curve needs no second name in the legend.
    let curves: Vec<(String, TrainingCurve)> = report
        .models
        .iter()
        .flat_map(|model| {
            let alone = model.curves.len() == 1 && !model.name.is_empty();
            model.curves.iter().map(move |curve| {
                let member = if alone { String::new() } else { curve.member.clone() };
                (model.name.clone(), TrainingCurve { member, ..curve.clone() })
            })
        })
        .collect();
    let curves: Vec<_> = curves.iter().map(|(name, curve)| (name.as_str(), curve)).collect();
    let mut names: Vec<&str> = Vec::new();
    for (_, curve) in &curves {
        for (name, column) in &curve.columns {
            let beside = BESIDE.iter().any(|end| name.ends_with(end));
            let finite = column.0.iter().any(|v| v.is_finite());
            // Coordinates of the row rather than measurements.
            let place = matches!(name.as_str(), "epoch" | "seconds");
            if finite && !beside && !place && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    // Training before test, whatever the alphabet says.
    names.sort_by_key(|name| (!name.starts_with("train"), *name));
    let mut figures = Vec::new();
    let mut draw = |file: &str, title: &str, columns: &[&str], log: bool| {
        let figure = training_figure(title, &curves, columns, log, &style(file));
        figures.extend(figure.map(|figure| (file.to_owned(), figure)));
    };
    let ending = |end: &str| -> Vec<&str> {
        names.iter().copied().filter(|name| name.ends_with(end)).collect()
    };
    let (losses, accuracies) = (ending("loss"), ending("accuracy"));
    draw("training", "Loss", &losses, true);
    draw("accuracy", "Accuracy", &accuracies, false);
    names.retain(|name| !losses.contains(name) && !accuracies.contains(name));
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for &name in &names {
        let kind = kind(name, &names);
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, columns)) => columns.push(name),
            None => groups.push((kind, vec![name])),
        }
    }
    for (kind, mut columns) in groups {
        // The one that the figure is named after comes first.
        columns.sort_by_key(|name| *name != kind);
        let title = match kind {
            "lr" => "Learning rate".to_owned(),
            other => sentence_case(&words(other)),
        };
        let log = columns.iter().any(|name| spans_decades(&curves, name));
        draw(&file_name(kind), &title, &columns, log);
    }
    figures
}

/// What columns have in common that stand in one figure: the sharpnesses have one threshold, and what
/// is said of each layer has its name in the end.
fn kind<'a>(name: &'a str, names: &[&'a str]) -> &'a str {
    match name.split_once("_of_") {
        Some((kind, _)) => kind,
        None if name == CRITICAL && names.contains(&SHARPNESS) => SHARPNESS,
        None => name,
    }
}

const SHARPNESS: &str = "sharpness";
const CRITICAL: &str = "critical_sharpness";
const PRECONDITIONED: &str = "preconditioned_sharpness";

/// A column's name as that of a file: it may hold that of a parameter.
fn file_name(column: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    column.chars().map(plain).collect()
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A column in a legend.
fn entry_words(name: &str) -> String {
    match name {
        SHARPNESS => "sharpness: the largest eigenvalue of the Hessian".to_owned(),
        CRITICAL => "critical sharpness: 2 / the least rate that raises the loss".to_owned(),
        PRECONDITIONED => "preconditioned sharpness: the largest eigenvalue of the Hessian that \
                           Adam's steps meet"
            .to_owned(),
        other => match other.split_once("_of_") {
            Some((_, of)) => of.replace('_', " "),
            None => words(other),
        },
    }
}

/// Whether a linear scale would press some of the curves onto its floor: their largest values lie
/// far apart, or one of them starts far above where it goes.
fn spans_decades(curves: &[(&str, &TrainingCurve)], name: &str) -> bool {
    let largest =
        |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).reduce(f64::max);
    let columns = || curves.iter().filter_map(|(_, curve)| curve.column(name));
    let peaks: Vec<f64> = columns().filter_map(largest).filter(|&v| v > 0.0).collect();
    let (Some(low), Some(high)) =
        (peaks.iter().copied().reduce(f64::min), peaks.iter().copied().reduce(f64::max))
    else {
        return false;
    };
    high > 20.0 * low || name == "gradient_norm"
}

fn sentence_case(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// `columns` of every member, by model. More members than there are colours are
/// drawn in the order of a sweep of hues; of very many none is listed.
///
/// `log` puts the values on a log scale.
pub fn training_figure(
    title: &str,
    curves: &[(&str, &TrainingCurve)],
    columns: &[&str],
    log: bool,
    style: &Style,
) -> Option<Figure> {
    let hues = style.theme.hues;
    let (mut series, mut unseen): (Vec<Series>, Vec<String>) = Default::default();
    let several = columns.len() > 1 && curves.len() > 1;
    let parts_of_data = |name: &&str| name.starts_with("train_") || name.starts_with("test_");
    // Of a single network each kind of measurement has a colour, of several each network.
    let by_column = curves.len() == 1 && !columns.iter().all(parts_of_data);
    for (index, (model, curve)) in curves.iter().enumerate() {
        let own = colour::series(&hues, index, curves.len());
        let mut parts: Vec<String> =
            [*model, &curve.member].into_iter().filter(|p| !p.is_empty()).map(Into::into).collect();
        parts.dedup();
        let member = parts.join(", ");
        let named = |what: String| match member.as_str() {
            "" => what,
            member => format!("{member}, {what}"),
        };
        for (nth, &name) in columns.iter().enumerate() {
            let found = curve.column(name);
            let known = |(_, curve): &(&str, &TrainingCurve)| curve.column(name).is_some();
            // A column without any number is left out of a curve, but not of the figure's words.
            let Some(values) = found.or_else(|| curves.iter().any(known).then_some(&[] as &[f64]))
            else {
                continue;
            };
            // Steps at which this one was not measured do not interrupt its line.
            let rows = || curve.step.iter().zip(values).filter(|(_, v)| !v.is_nan());
            // Batches are measured at every step: only divergence ends that.
            let lost = !name.starts_with("test") && values.last().is_none_or(|v| !v.is_finite());
            if !values.iter().any(|v| v.is_finite()) {
                unseen.extend(lost.then(|| member.clone()));
                continue;
            }
            let entry = match (several, nth) {
                (true, 0) => Some(member.clone()),
                (true, _) => None,
                _ if curves.len() == 1 => Some(entry_words(name)),
                _ => Some(member.clone()),
            };
            series.push(Series {
                name: match columns.len() {
                    1 if !member.is_empty() => member.clone(),
                    _ => named(words(name)),
                },
                colour: match by_column {
                    true => colour::series(&hues, nth, columns.len()),
                    false => own.clone(),
                },
                x: rows().map(|(&step, _)| step as f64).collect(),
                y: rows().map(|(_, &v)| v).collect(),
                error: curve.column(&format!("{name}{ERROR}")).map(|errors| {
                    let each = errors.iter().zip(values).filter(|(_, v)| !v.is_nan());
                    each.map(|(&error, _)| error).collect()
                }),
                dashed: nth > 0 && !by_column,
                entry: entry.filter(|_| curves.len() <= LISTED && columns.len() <= LISTED),
                broken: lost,
                ..Series::default()
            });
        }
        for name in columns {
            let Some(values) = curve.column(&format!("{name}{THRESHOLD}")) else { continue };
            let rows = || curve.step.iter().zip(values).filter(|(_, v)| v.is_finite());
            series.push(Series {
                name: named(format!("threshold of {}", words(name))),
                colour: if by_column { style.theme.ink.to_owned() } else { own.clone() },
                x: rows().map(|(&step, _)| step as f64).collect(),
                y: rows().map(|(_, &v)| v).collect(),
                dashed: true,
                entry: (curves.len() == 1).then(|| edge(name).to_owned()),
                ..Series::default()
            });
        }
    }
    let mut notes = Vec::new();
    match columns {
        [first, second] if several => {
            notes.push(format!("solid: {}, dashed: {}", words(first), words(second)));
        }
        [first, ..] if several => notes.push(format!("solid: {}", words(first))),
        _ => {}
    }
    if curves.len() > LISTED {
        notes.push(format!("{} members, the first blue, the last red", curves.len()));
    } else if columns.len() > LISTED {
        notes.push(format!("{} of them, the first blue, the last red", columns.len()));
    }
    match unseen.as_slice() {
        [] => {}
        few if few.len() <= 4 => {
            notes.push(format!("no finite value: {}", few.join(", ")));
        }
        many => notes.push(format!("no finite value: {} members", many.len())),
    }
    // A rate or the like that all share is one line.
    let alone = columns.len() == 1 && series.len() > 1;
    if alone && series.iter().all(|s| (&s.x, &s.y) == (&series[0].x, &series[0].y)) {
        series.truncate(1);
        series[0].name = words(columns.first().unwrap_or(&""));
        notes.push("the same for all".into());
    }
    let y_label = columns.first().map_or("", |first| match (columns, first.split_once('_')) {
        (["lr"], _) => "learning rate",
        ([SHARPNESS, ..], _) => "curvature, loss per squared weight",
        ([PRECONDITIONED, ..], _) => "curvature, one over a learning rate",
        (_, Some(("train" | "test", rest))) if columns.len() > 1 => rest,
        _ if columns.len() > 1 => first.split_once("_of_").map_or(*first, |(kind, _)| kind),
        _ => first,
    });
    Chart {
        title,
        x_label: "step",
        y_label: &words(y_label),
        y_kind: if log { Kind::Log } else { Kind::Linear },
        notes,
        series,
        places: Vec::new(),
        rug: Vec::new(),
    }
    .draw(style)
}

/// The dashed line of a sharpness.
fn edge(column: &str) -> &'static str {
    match column {
        PRECONDITIONED => "edge of stability: 38 / learning rate where beta1 is 0.9",
        _ => "edge of stability: 2 / learning rate, as momentum changes it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::{CurveColumn, ModelReport, Provenance};

    #[test]
    fn rates_far_apart_are_shown_on_a_log_scale() {
        let curve = |peak: f64| TrainingCurve {
            member: String::new(),
            step: vec![1, 2],
            columns: [("lr".to_owned(), CurveColumn(vec![0.0, peak]))].into(),
        };
        let [low, near, far] = [0.1, 0.3, 10.0].map(curve);
        assert!(!spans_decades(&[("", &low), ("", &near)], "lr"));
        assert!(spans_decades(&[("", &low), ("", &far)], "lr"));
        assert!(!spans_decades(&[("", &curve(f64::NAN))], "lr") && !spans_decades(&[], "lr"));
    }

    #[test]
    fn columns_of_one_kind_stand_in_one_figure_each_under_its_name() {
        let column = |scale: f64| CurveColumn(vec![scale, 2.0 * scale]);
        let names = [
            "train_loss",
            "test_loss",
            "train_accuracy",
            "sharpness",
            "sharpness_threshold",
            "sharpness_products",
            "preconditioned_sharpness",
            "preconditioned_sharpness_threshold",
            "critical_sharpness",
            "trace",
            "trace_standard_error",
            "weight_norm_norm_of_fc1.weight",
            "weight_norm_norm_of_a/b",
            "epoch",
        ];
        let curve = TrainingCurve {
            member: "seed 0".into(),
            step: vec![1, 2],
            columns: names
                .iter()
                .map(|name| {
                    let scale = if name.ends_with(THRESHOLD) { 2.0 } else { 1.0 };
                    ((*name).to_owned(), column(scale))
                })
                .collect(),
        };
        let mut report = Report::new("t", "loss", Provenance::default());
        report.models = vec![ModelReport { curves: vec![curve], ..ModelReport::default() }];
        let figures = training_figures(&report, |_| Style::paper());
        let files: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
        let (losses, watched) = files.split_at(2);
        assert_eq!(losses, ["training", "accuracy"]);
        let expected = ["sharpness", "preconditioned_sharpness", "trace", "weight_norm_norm"];
        assert_eq!(watched, expected);
        let adam = figures[3].1.svg();
        assert!(adam.contains("38 / learning rate"), "{adam}");
        let sharpness = figures[2].1.svg();
        for part in ["the largest eigenvalue", "critical sharpness", "2 / learning rate"] {
            assert!(sharpness.contains(part), "{part}: {sharpness}");
        }
        // Different columns with the same numbers are different lines.
        assert!(!sharpness.contains("the same for all"), "{sharpness}");
        let norms = figures[5].1.svg();
        assert!(norms.contains("fc1.weight") && norms.contains("a/b"));
        assert_eq!(file_name("norm_a/b c"), "norm_a-b-c");
    }
}

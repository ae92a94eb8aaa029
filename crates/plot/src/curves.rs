//! Cuts through a landscape, and training curves.

use crate::axis::Kind;
use crate::canvas::Figure;
use crate::chart::{Chart, Series};
use crate::colour;
use crate::theme::Style;
use thalweg_record::{Line, ModelReport, Report, Surface, TrainingCurve};

/// Of more series than this none is listed by name.
const LISTED: usize = 12;

/// The loss along lines through the centre of each model, on a log scale. Lines of one model share
/// a colour; of several pairs of random directions each has its own.
pub fn line_figure(report: &Report, style: &Style) -> Option<Figure> {
    let mut groups: Vec<(String, Vec<Line>)> = Vec::new();
    for model in &report.models {
        match model.surface.as_ref().filter(|surface| surface.pairs.is_some_and(|n| n > 1)) {
            Some(surface) => groups.extend(lines_of_pairs(model, surface)),
            None if model.lines.is_empty() => {}
            None => groups.push((model.name.clone(), model.lines.clone())),
        }
    }
    let attributes = report.models.iter().find_map(|m| m.surface.as_ref()).map(|s| &s.attributes);
    let checkpoints = attributes.is_some_and(|a| a.directions == "checkpoints");
    let alone = groups.len() == 1;
    let (mut series, mut touching) = (Vec::new(), Vec::new());
    for (index, (name, lines)) in groups.iter().enumerate() {
        for (nth, line) in lines.iter().enumerate() {
            let along = format!("along {}", line.name);
            let full = if name.is_empty() { along.clone() } else { format!("{name}, {along}") };
            let entry = match (alone, nth) {
                (true, _) => Some(along),
                (false, 0) => Some(name.clone()),
                _ => None,
            };
            let colour = colour::series(&style.theme.hues, index, groups.len());
            touching.extend(parabola(line, &full, &colour));
            series.push(Series {
                name: full,
                colour,
                x: line.at.clone(),
                y: line.loss.clone(),
                error: line.loss_standard_error.clone(),
                dashed: nth > 0,
                entry: entry.filter(|_| groups.len() <= LISTED),
                ..Series::default()
            });
        }
    }
    let touches = !touching.is_empty();
    series.extend(touching);
    let mut notes = Vec::new();
    if !alone && groups.iter().any(|(_, lines)| lines.len() > 1) {
        notes.push("solid: along x, dashed: along y".to_owned());
    }
    if groups.len() > LISTED {
        notes.push(format!("{} networks, the first blue, the last red", groups.len()));
    }
    if touches {
        notes.push("thin: the parabola of the slope and curvature at the centre".to_owned());
    }
    if series.iter().any(|s| s.error.is_some()) {
        notes.push("band: one standard error of the sample of examples".to_owned());
    }
    let places = match checkpoints {
        false => Vec::new(),
        true => {
            let two = series.iter().all(|s| !s.dashed);
            let second = if two { "second network" } else { "second (x), third (y)" };
            vec![(0.0, "first network".to_owned()), (1.0, second.to_owned())]
        }
    };
    Chart {
        title: if checkpoints { "Loss between the networks" } else { "Loss along each direction" },
        x_label: match attributes.map_or("", |a| a.directions.as_str()) {
            "checkpoints" => "share of the way from the first network to the other",
            "eigenvectors" | "pca" => "distance from the centre along the unit vector",
            _ => "coordinate along the direction; 0 is the network itself",
        },
        y_label: &report.loss_name,
        y_kind: Kind::Log,
        notes,
        series,
        places,
        rug: Vec::new(),
    }
    .draw(style)
}

/// The parabola that touches a line at its centre, as far as it stays between the line's lowest and
/// highest value.
fn parabola(line: &Line, name: &str, colour: &str) -> Option<Series> {
    /// Points to either side of the centre.
    const STEPS: i32 = 60;
    let parabola = line.parabola.filter(|p| p.slope.is_finite() && p.curvature.is_finite())?;
    let span = |values: &[f64]| {
        let finite = values.iter().copied().filter(|v| v.is_finite());
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (low, high)) = (span(&line.at), span(&line.loss));
    // At most a third of the line to either side: farther out it says nothing.
    let reach = (right - left) / 3.0;
    let at = (-STEPS..=STEPS).map(|i| reach * f64::from(i) / f64::from(STEPS));
    let points: Vec<(f64, f64)> = at
        .map(|t| (t, parabola.at(t)))
        .filter(|&(t, v)| (left..=right).contains(&t) && (low..=high).contains(&v) && v > 0.0)
        .collect();
    (points.len() > 1).then(|| Series {
        name: format!("{name}, parabola"),
        colour: colour.to_owned(),
        x: points.iter().map(|(t, _)| *t).collect(),
        y: points.iter().map(|(_, v)| *v).collect(),
        faint: true,
        ..Series::default()
    })
}

/// The lines through the origin of every pair of directions.
fn lines_of_pairs(model: &ModelReport, surface: &Surface) -> Vec<(String, Vec<Line>)> {
    let pairs = crate::landscape::pairs(surface);
    let name = |pair: usize| match model.name.as_str() {
        "" => format!("pair {pair}"),
        name => format!("{name}, pair {pair}"),
    };
    pairs.iter().enumerate().map(|(index, one)| (name(index + 1), one.lines())).collect()
}

/// The distance of each checkpoint of a trajectory from the plane that shows it.
pub fn residual_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let with: Vec<_> =
        surfaces.iter().filter_map(|(name, s)| Some((*name, s.trajectory.as_ref()?))).collect();
    let series = with
        .iter()
        .enumerate()
        .map(|(index, (name, trajectory))| Series {
            name: if name.is_empty() { "distance".to_owned() } else { (*name).to_owned() },
            colour: colour::series(&style.theme.hues, index, with.len()),
            x: (1..=trajectory.residual.len()).map(|n| n as f64).collect(),
            y: trajectory.residual.clone(),
            entry: Some((*name).to_owned()),
            dots: true,
            ..Series::default()
        })
        .collect();
    Chart {
        title: "Distance of each checkpoint from the plane",
        x_label: "checkpoint, in the order of training",
        y_label: "distance in weight space",
        y_kind: Kind::Linear,
        notes: vec!["the plane shows what lies in it; this is what it leaves out".into()],
        series,
        places: Vec::new(),
        rug: Vec::new(),
    }
    .draw(style)
}

/// Training curves: `columns` of every member, by model. More members than there are colours are
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
    let words = |name: &str| name.replace('_', " ");
    let several = columns.len() > 1 && curves.len() > 1;
    for (index, (model, curve)) in curves.iter().enumerate() {
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
            let mut parts: Vec<String> = [*model, &curve.member]
                .into_iter()
                .filter(|p| !p.is_empty())
                .map(Into::into)
                .collect();
            parts.dedup();
            let member = parts.join(", ");
            // Batches are measured at every step: only divergence ends that.
            let lost = !name.starts_with("test") && values.last().is_none_or(|v| !v.is_finite());
            if !values.iter().any(|v| v.is_finite()) {
                unseen.extend(lost.then_some(member));
                continue;
            }
            if columns.len() > 1 {
                parts.push(words(name));
            }
            let entry = match (several, nth) {
                (true, 0) => Some(member),
                (true, _) => None,
                _ if curves.len() == 1 => Some(words(name)),
                _ => Some(member),
            };
            series.push(Series {
                name: if parts.is_empty() { words(name) } else { parts.join(", ") },
                colour: colour::series(&hues, index, curves.len()),
                x: rows().map(|(&step, _)| step as f64).collect(),
                y: rows().map(|(_, &v)| v).collect(),
                error: curve.column(&format!("{name}_standard_error")).map(|errors| {
                    let each = errors.iter().zip(values).filter(|(_, v)| !v.is_nan());
                    each.map(|(&error, _)| error).collect()
                }),
                dashed: nth > 0,
                entry: entry.filter(|_| curves.len() <= LISTED),
                broken: lost,
                ..Series::default()
            });
        }
    }
    let mut notes = Vec::new();
    if several {
        let told: Vec<String> = columns
            .iter()
            .zip(["solid", "dashed"])
            .map(|(name, line)| format!("{line}: {}", words(name)))
            .collect();
        notes.push(told.join(", "));
    }
    if curves.len() > LISTED {
        notes.push(format!("{} members, the first blue, the last red", curves.len()));
    }
    match unseen.as_slice() {
        [] => {}
        few if few.len() <= 4 => {
            notes.push(format!("no finite value: {}", few.join(", ")));
        }
        many => notes.push(format!("no finite value: {} members", many.len())),
    }
    // A rate or the like that all share is one line.
    if series.len() > 1 && series.iter().all(|s| (&s.x, &s.y) == (&series[0].x, &series[0].y)) {
        series.truncate(1);
        series[0].name = words(columns.first().unwrap_or(&""));
        notes.push("the same for all".into());
    }
    let y_label = columns.first().map_or("", |first| match columns {
        ["lr"] => "learning rate",
        [_] => first,
        _ => first.split_once('_').map_or(first, |(_, rest)| rest),
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

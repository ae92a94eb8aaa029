//! Cuts through a landscape, and training curves.

use crate::axis::Kind;
use crate::canvas::Figure;
use crate::chart::{Chart, Series};
use crate::colour;
use crate::theme::Style;
use thalweg_record::{Line, TrainingCurve};

/// The loss along lines through the centre, on a log scale. `lines` are named by model; lines of
/// one model share a colour.
pub fn line_figure(lines: &[(&str, &Line)], loss_name: &str, style: &Style) -> Option<Figure> {
    let mut models: Vec<&str> = Vec::new();
    for (model, _) in lines {
        if !models.contains(model) {
            models.push(model);
        }
    }
    let series = lines
        .iter()
        .map(|(model, line)| {
            let index = models.iter().position(|name| name == model).unwrap_or(0);
            let first = lines.iter().find(|(name, _)| name == model).map(|(_, l)| &l.name);
            Series {
                name: if model.is_empty() {
                    line.name.clone()
                } else {
                    format!("{model}, {}", line.name)
                },
                colour: colour::series(&style.theme.hues, index, models.len()),
                x: line.at.clone(),
                y: line.loss.clone(),
                error: line.loss_standard_error.clone(),
                dashed: first != Some(&line.name),
                listed: true,
                dots: false,
            }
        })
        .collect();
    let banded = lines.iter().any(|(_, line)| line.loss_standard_error.is_some());
    Chart {
        title: "Loss along each direction",
        x_label: "distance from the centre along the direction",
        y_label: &format!("{loss_name}, log scale"),
        x_kind: Kind::Linear,
        y_kind: Kind::Log,
        note: if banded { "band: one standard error" } else { "" },
        series,
        width: 620.0,
        height: 380.0,
    }
    .draw(style)
}

/// Training curves: `columns` of every member, by model. More members than there are colours are
/// drawn in the order of a colour map and not listed one by one.
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
    let mut series = Vec::new();
    for (index, (model, curve)) in curves.iter().enumerate() {
        for (nth, &name) in columns.iter().enumerate() {
            let Some(values) = curve.column(name) else { continue };
            // Steps at which this one was not measured do not interrupt its line.
            let rows = || curve.step.iter().zip(values).filter(|(_, v)| !v.is_nan());
            let mut parts: Vec<String> = [*model, &curve.member]
                .into_iter()
                .filter(|p| !p.is_empty())
                .map(Into::into)
                .collect();
            parts.dedup();
            if columns.len() > 1 {
                parts.push(name.replace('_', " "));
            }
            series.push(Series {
                name: parts.join(", "),
                colour: colour::series(&hues, index, curves.len()),
                x: rows().map(|(&step, _)| step as f64).collect(),
                y: rows().map(|(_, &v)| v).collect(),
                error: None,
                dashed: nth > 0,
                listed: curves.len() <= hues.len(),
                dots: false,
            });
        }
    }
    let many = format!("{} members, first to last from dark to light", curves.len());
    let y_label = columns.first().map_or("", |first| match columns {
        [_] => first,
        _ => first.split_once('_').map_or(first, |(_, rest)| rest),
    });
    let y_label = y_label.replace('_', " ");
    Chart {
        title,
        x_label: "step",
        y_label: &if log { format!("{y_label}, log scale") } else { y_label },
        x_kind: Kind::Linear,
        y_kind: if log { Kind::Log } else { Kind::Linear },
        note: if curves.len() > hues.len() { &many } else { "" },
        series,
        width: 620.0,
        height: 380.0,
    }
    .draw(style)
}

//! Cuts through a landscape.

use crate::axis::Kind;
use crate::canvas::Figure;
use crate::chart::{Chart, Series};
use crate::colour;
use crate::landscape::named_pairs;
use crate::landscape_words::holds;
use crate::theme::Style;
use thalweg_record::{Line, LineGradients, ModelReport, Report, Surface};

/// Of more series than this none is listed by name.
const LISTED: usize = crate::training::LISTED;

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
    // Of a plane its own figures say it.
    let only = report.models.iter().filter_map(|m| m.surface.as_ref()).collect::<Vec<_>>();
    if let [line] = only[..]
        && line.y.len() == 1
        && line.pairs.is_none()
    {
        notes.extend(holds("line", &line.attributes.plane_shares));
    }
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
    let pairs = named_pairs(&model.name, surface);
    pairs.into_iter().map(|(name, one)| (name, one.lines())).collect()
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

/// A gradient and where it was taken: along a line, or at the checkpoints of a trajectory.
struct Along<'a> {
    name: &'a str,
    at: &'a [f64],
    gradients: &'a LineGradients,
    trajectory: bool,
}

impl<'a> Along<'a> {
    fn of(name: &'a str, surface: &'a Surface) -> Option<Along<'a>> {
        if let Some(found) = surface.trajectory.as_ref().and_then(|t| t.gradients.as_ref()) {
            let (at, gradients) = (&found.way, &found.gradients);
            return Some(Along { name, at, gradients, trajectory: true });
        }
        let gradients = surface.derivatives.as_ref()?.gradients.as_ref()?;
        let along_x = surface.x.len() == gradients.norm.len();
        let at = if along_x { &surface.x } else { &surface.y };
        Some(Along { name, at, gradients, trajectory: false })
    }
}

/// The length of the gradient along lines or trajectories, and, in a second figure, its cosines with
/// the way and with the gradient at the point before. None where there is none.
pub fn gradient_figures(surfaces: &[(&str, &Surface)], style: &Style) -> Option<[Figure; 2]> {
    let with: Vec<Along<'_>> =
        surfaces.iter().filter_map(|(name, surface)| Along::of(name, surface)).collect();
    let between = surfaces.iter().any(|(_, s)| s.attributes.directions == "checkpoints");
    let trajectory = with.iter().any(|along| along.trajectory);
    let x_label = match (trajectory, between) {
        (true, _) => "way in weight space from the first checkpoint",
        (false, true) => "share of the way from the first network to the other",
        (false, false) => "coordinate along the direction; 0 is the network itself",
    };
    let way = if trajectory { "way" } else { "line" };
    let series = |index: usize, words: &str, values: &[f64], dashed: bool| {
        let Along { name, at, .. } = with[index];
        let named = if name.is_empty() { words.to_owned() } else { format!("{name}: {words}") };
        Series {
            name: named.clone(),
            colour: match with.len() {
                1 => style.theme.hues[usize::from(dashed)].to_owned(),
                n => colour::series(&style.theme.hues, index, n),
            },
            x: at.to_vec(),
            y: values.to_vec(),
            dashed: dashed && with.len() > 1,
            entry: (with.len() <= LISTED).then_some(named),
            dots: trajectory,
            ..Series::default()
        }
    };
    let chart = |title, y_label, y_kind, notes, series| {
        let (places, rug) = (Vec::new(), Vec::new());
        Chart { title, x_label, y_label, y_kind, notes, series, places, rug }.draw(style)
    };
    let each = || with.iter().map(|along| along.gradients).enumerate();
    let norms = each().map(|(i, g)| series(i, "length", &g.norm, false)).collect();
    let cosines = each().flat_map(|(i, g)| {
        // The first point has none before it.
        let mut turn = series(i, "with the gradient before", &g.turn, true);
        turn.x = turn.x.into_iter().skip(1).collect();
        turn.y = turn.y.into_iter().skip(1).collect();
        [series(i, &format!("with the {way}"), &g.cosine, false), turn]
    });
    let cosines = cosines.collect();
    Some([
        chart(
            "Length of the gradient",
            "|gradient|, loss per weight",
            Kind::Log,
            Vec::new(),
            norms,
        )?,
        chart(
            "Where the gradient points",
            "cosine",
            Kind::Linear,
            vec![format!("1: the loss rises along the {way} alone; −1: it falls along it alone")],
            cosines,
        )?,
    ])
}

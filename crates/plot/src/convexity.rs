//! Where a plane is convex: the extreme eigenvalues over it.

use crate::axis::{Kind, Scale, number};
use crate::canvas::{Canvas, Figure};
use crate::chart::{Chart, Series};
use crate::colour;
use crate::frame::{Frame, TITLE};
use crate::landscape_words::axis_labels;
use crate::markup::Rect;
use crate::theme::{Style, TextStyle};
use crate::{font, map};
use thalweg_record::{COMPUTED, Convexity, NOT_FINITE, Surface};

/// The map of `|smallest / largest eigenvalue|` over each plane; for lines both eigenvalues along the
/// first. None without any.
pub fn convexity_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let known: Vec<(&str, &Surface, &Convexity)> = surfaces
        .iter()
        .filter_map(|(name, surface)| Some((*name, *surface, surface.convexity.as_ref()?)))
        .collect();
    let planes: Vec<_> =
        known.iter().filter(|(_, _, map)| map.x.len() > 1 && map.y.len() > 1).copied().collect();
    match planes.is_empty() {
        true => known.first().and_then(|(_, _, map)| along_line(map, style)),
        false => over_planes(&planes, style),
    }
}

fn over_planes(planes: &[(&str, &Surface, &Convexity)], style: &Style) -> Option<Figure> {
    const SIDE: f64 = 330.0;
    const GAP: f64 = 70.0;
    const MOST: usize = 3;
    let planes = &planes[..planes.len().min(MOST)];
    let ratios = || planes.iter().flat_map(|(_, _, map)| map.ratio.iter().copied());
    let scale = Scale::linear(ratios().chain([0.0]))?;
    let worst = planes.iter().flat_map(|(_, _, map)| map.ratio_error.iter().copied());
    let worst = worst.filter(|error| error.is_finite()).fold(0.0, f64::max);
    let counted: Vec<String> = planes
        .iter()
        .map(|(_, _, map)| format!("{} of {}", map.summary().convex, map.ratio.len()))
        .collect();
    let note = format!(
        "Small where the loss is convex or nearly so · smallest eigenvalue above zero at {} points · \
         residuals leave errors of at most {} · hatched: no finite Hessian",
        counted.join(", "),
        number(worst)
    );
    let left = planes.iter().filter_map(|(_, _, map)| Scale::linear(map.y.clone()));
    let left = left.map(|y| Frame::y_axis_width(&y, SIDE)).fold(0.0, f64::max) + 6.0;
    let right = left + (SIDE + GAP) * (planes.len() - 1) as f64 + SIDE;
    let width = right + 26.0 + map::colour_bar_width(&scale) + 6.0;
    let lines = font::wrap(&note, 11.0, width - left - 20.0).len() as f64;
    let top = 36.0 + lines * 15.4 + 8.0;
    let title = "Convexity of the loss";
    let mut canvas = Canvas::new(width, top + SIDE + 70.0, title, style);
    let theme = canvas.theme;
    let shown = font::elide(title, TITLE, true, width - left);
    canvas.text([left, 25.0], &shown, TextStyle::new(TITLE, theme.ink).bold());
    let small = TextStyle::new(11.0, theme.muted);
    canvas.paragraph([left, 44.0], width - left - 20.0, &note, small);
    for (index, (name, surface, map)) in planes.iter().enumerate() {
        let x = left + (SIDE + GAP) * index as f64;
        let heading = TextStyle::new(13.0, theme.ink).bold().middle();
        let name = font::elide(name, 13.0, true, SIDE);
        canvas.text([x + SIDE / 2.0, top + 10.0], &name, heading);
        let at = Rect { x, y: top + 20.0, w: SIDE, h: SIDE };
        let sides = (Scale::linear(map.x.clone()), Scale::linear(map.y.clone()));
        let (Some(x_scale), Some(y_scale)) = sides else { continue };
        let frame = Frame { at, x: x_scale, y: y_scale };
        let attributes = surface.attributes.clone();
        let mut values = Surface::new(map.x.clone(), map.y.clone(), None, attributes).ok()?;
        values.loss.clone_from(&map.ratio);
        let status = |ratio: &f64| if ratio.is_finite() { COMPUTED } else { NOT_FINITE };
        values.status = map.ratio.iter().map(status).collect();
        map::values(&mut canvas, &frame, &values, &scale);
        let labels = axis_labels(&surface.attributes);
        frame.x_axis(&mut canvas, &labels[0]);
        frame.y_axis(&mut canvas, &labels[1]);
    }
    let bar = Rect { x: right + 26.0, y: top + 20.0, w: 14.0, h: SIDE };
    map::colour_bar(&mut canvas, bar, &scale, "|smallest / largest eigenvalue|");
    Some(canvas.finish())
}

fn along_line(map: &Convexity, style: &Style) -> Option<Figure> {
    let at = if map.x.len() > 1 { &map.x } else { &map.y };
    let sides = [
        ("largest", &map.largest, &map.largest_residual),
        ("smallest", &map.smallest, &map.smallest_residual),
    ];
    let series = sides
        .into_iter()
        .enumerate()
        .map(|(index, (name, values, residuals))| Series {
            name: name.to_owned(),
            colour: colour::series(&style.theme.hues, index, 2),
            x: at.clone(),
            y: values.clone(),
            error: Some(residuals.clone()),
            entry: Some(name.to_owned()),
            dots: true,
            ..Series::default()
        })
        .collect();
    Chart {
        title: "Extreme eigenvalues of the Hessian",
        x_label: "coordinate along the direction",
        y_label: "eigenvalue",
        y_kind: Kind::Linear,
        notes: vec!["band: within it lies an eigenvalue".into()],
        series,
        places: Vec::new(),
        rug: Vec::new(),
    }
    .draw(style)
}

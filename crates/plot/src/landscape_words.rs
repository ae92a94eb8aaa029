//! What stands in words beside a landscape: its axes, how it was taken, what its signs mean.

use crate::axis::number;
use crate::landscape::Panel;
use crate::map::shown_minima;
use thalweg_record::{NOT_COMPUTED, PlaneShare, SurfaceAttributes};

/// The labels of both axes: what a unit along them means.
pub(crate) fn axis_labels(attributes: &SurfaceAttributes) -> [String; 2] {
    let unit = match attributes.normalize.as_str() {
        "filter" => " (in norms of each filter)",
        "layer" => " (in norms of each layer)",
        "weight" => " (in shares of each weight)",
        "dfilter" => " (each filter of norm 1)",
        "dlayer" => " (each layer of norm 1)",
        "sphere" => " (of norm 1)",
        _ => "",
    };
    let share = |index: usize| {
        let part = *attributes.explained_variance.get(index)?;
        Some(format!(" ({} % of variance)", number((part * 1000.0).round() / 10.0)))
    };
    let words = match attributes.directions.as_str() {
        "pca" => ["first principal direction", "second principal direction"],
        "eigenvectors" => ["first Hessian eigenvector", "second Hessian eigenvector"],
        "random" => ["random direction"; 2],
        "checkpoints" => ["from network 1 to network 2", "from network 1 to network 3"],
        "plane" => ["from network 1 to network 2, distance", "at right angles to it, distance"],
        "gradient" => ["gradient of the input", "random, at right angles"],
        "signs" => ["signs of the input's gradient", "random signs"],
        _ => ["given direction"; 2],
    };
    let label = |index: usize, name: &str| {
        let unit = share(index).unwrap_or_else(|| unit.to_owned());
        format!("{name}: {}{unit}", words[index])
    };
    [label(0, "x"), label(1, "y")]
}

/// How much a plane or line holds of what, in a sentence. None where nothing is known of it.
pub(crate) fn holds(what: &str, shares: &[PlaneShare]) -> Option<String> {
    let words: Vec<String> = shares.iter().map(PlaneShare::words).collect();
    (!words.is_empty()).then(|| format!("the {what} holds {}", words.join(" and ")))
}

/// The same in few words.
pub(crate) fn held_words(attributes: &SurfaceAttributes) -> String {
    let words: Vec<String> = attributes.plane_shares.iter().map(PlaneShare::short_words).collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("holds {}", words.join(" and ")),
    }
}

/// In a line or two: how the surfaces were taken, and what their signs mean.
pub(crate) fn note(panels: &[Panel], maps: bool) -> String {
    let Some(attributes) = panels.first().map(|p| &p.surface.attributes) else {
        return String::new();
    };
    let mut parts = Vec::new();
    let directions = match (attributes.directions.as_str(), attributes.normalize.as_str()) {
        ("random", _) if attributes.space.is_some() => "random directions of the input".into(),
        ("random", "filter") => "random directions, filter-normalised".to_owned(),
        ("random", "layer") => "random directions, layer-normalised".to_owned(),
        ("random", "weight") => "random directions, times the weights".to_owned(),
        ("random", "dfilter") => "random directions, each filter of norm 1".to_owned(),
        ("random", "dlayer") => "random directions, each layer of norm 1".to_owned(),
        ("random", "sphere") => "random directions of norm 1".to_owned(),
        ("random", _) => "random directions, not normalised".to_owned(),
        ("pca", _) => "principal directions of the training trajectory".to_owned(),
        ("eigenvectors", _) => "unit eigenvectors of the Hessian's two largest eigenvalues".into(),
        ("plane", _) if attributes.places.len() > 3 => {
            let n = attributes.places.len();
            format!(
                "the plane through network 1 that is nearest to the others, 2 to {n}, shown at their feet"
            )
        }
        ("checkpoints" | "plane", _) => "the plane through three networks, 1 to 3".to_owned(),
        ("gradient" | "signs", _) => String::new(),
        ("", _) => String::new(),
        (other, _) => format!("directions: {other}"),
    };
    parts.push(directions);
    let of_curvature =
        |p: &Panel| p.surface.attributes.plane_shares.iter().any(PlaneShare::is_of_curvature);
    match panels {
        [one] => parts.extend(holds("plane", &one.surface.attributes.plane_shares)),
        several if several.iter().any(of_curvature) => parts.push(
            "under each name what its plane holds, of the curvature as the Hessian's squared \
             Frobenius norm"
                .to_owned(),
        ),
        _ => {}
    }
    if attributes.space.is_some() {
        parts.push("over what is added to the input".to_owned());
    }
    if !attributes.ignore.is_empty() {
        let held: Vec<&str> = attributes
            .ignore
            .iter()
            .map(|role| match role.as_str() {
                "bias" => "biases",
                "norm" => "normalisation parameters",
                other => other,
            })
            .collect();
        parts.push(format!("{} held at the centre", held.join(" and ")));
    }
    if attributes.samples > 0 {
        let of = match attributes.available > attributes.samples {
            true => format!("{} of {}", attributes.samples, attributes.available),
            false if attributes.samples == 1 => "one".to_owned(),
            false => format!("all {}", attributes.samples),
        };
        let split = match attributes.split.as_str() {
            "train" => "training ",
            "test" => "test ",
            _ => "",
        };
        let plural = if attributes.available == 1 { "" } else { "s" };
        parts.push(format!("{of} {split}example{plural}"));
    }
    if !attributes.batch_norm.is_empty() {
        parts.push(format!("{} batch-norm statistics", attributes.batch_norm));
    }
    if panels.len() > 1 {
        parts.push("one scale for all".into());
    }
    if maps && panels.iter().any(|p| p.surface.trajectory.is_some()) {
        parts.push("training runs from the dark dot to the white one".into());
    }
    if maps && panels.iter().any(|p| shown_minima(&p.surface).next().is_some()) {
        let threshold = |p: &Panel| p.surface.topology.as_ref().map(|t| t.threshold);
        let share = 100.0 * panels.iter().find_map(threshold).unwrap_or(0.0);
        parts.push(format!("dots: other minima, deeper than {} % of their saddle", number(share)));
    }
    let not_finite: usize = panels.iter().map(|p| p.surface.not_finite()).sum();
    if not_finite > 0 {
        let sign = if maps { "hatched" } else { "open" };
        parts.push(format!("{sign}: around {}", counted(not_finite, "not finite")));
    }
    let status = panels.iter().flat_map(|p| &p.surface.status);
    let missing = status.filter(|&&status| status == NOT_COMPUTED).count();
    if missing > 0 {
        let sign = if maps { "blank" } else { "open" };
        parts.push(format!("{sign}: around {}", counted(missing, "not computed")));
    }
    if panels.iter().any(|p| p.surface.loss.iter().any(|&loss| loss <= 0.0)) {
        parts.push("losses at or below zero are drawn at the lowest colour".into());
    }
    parts.retain(|part| !part.is_empty());
    let mut text = parts.join(" · ");
    if let Some(first) = text.chars().next() {
        text.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    text
}

fn counted(n: usize, state: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} point{plural} {state}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_scale_of_directions_has_a_unit_of_its_own() {
        let names = ["filter", "layer", "weight", "dfilter", "dlayer", "sphere", "none"];
        let labels: HashSet<[String; 2]> = names
            .into_iter()
            .map(|name| {
                let (directions, normalize) = ("random".to_owned(), name.to_owned());
                axis_labels(&SurfaceAttributes { directions, normalize, ..Default::default() })
            })
            .collect();
        assert_eq!(labels.len(), names.len(), "{labels:?}");
    }
}

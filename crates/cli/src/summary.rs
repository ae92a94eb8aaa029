//! What a person reads on the terminal.

use crate::table::{left_table, number, pair, percent, quantity, table};
use crate::{comparison, describe, papers};
use thalweg_lab::operations;
use thalweg_record::reply::{Body, MemberStatus, Reply, SpectrumBody};
use thalweg_record::{Extent, InspectedArray, InspectedPort, Inspection, Outliers, Products};

/// The reply as text.
pub fn text(reply: &Reply) -> String {
    let mut text = match &reply.body {
        Body::Train(body) => {
            let rows: Vec<Vec<String>> = body
                .members
                .iter()
                .map(|member| {
                    vec![
                        member.seed.to_string(),
                        member.lr.to_string(),
                        match member.status {
                            MemberStatus::Finished => "finished".to_owned(),
                            MemberStatus::Diverged => "diverged".to_owned(),
                        },
                        member.steps.to_string(),
                        number(member.train_loss),
                        member.test_loss.map(number).unwrap_or_default(),
                        member.test_accuracy.map(percent).unwrap_or_default(),
                        member.weights.clone(),
                    ]
                })
                .collect();
            let heads = [
                "seed",
                "lr",
                "status",
                "steps",
                "train loss",
                "test loss",
                "test acc.",
                "weights",
            ];
            table(&heads, &rows)
        }
        Body::Map(body) => {
            let rows: Vec<Vec<String>> = body
                .models
                .iter()
                .map(|model| {
                    vec![
                        model.name.clone(),
                        model.parameters.to_string(),
                        model.test_accuracy.map(percent).unwrap_or_default(),
                        quantity(&model.loss),
                        quantity(&model.top_eigenvalue),
                        quantity(&model.trace),
                        quantity(&model.sharpness),
                        quantity(&model.roughness),
                    ]
                })
                .collect();
            let heads = [
                "model",
                "parameters",
                "accuracy",
                "loss",
                "top eigenvalue",
                "trace",
                "sharpness",
                "roughness",
            ];
            table(&heads, &rows)
        }
        Body::Surface(body) => {
            let mut rows = vec![
                pair("loss at the centre", quantity(&body.loss)),
                pair("points", body.points.to_string()),
                pair("not finite", body.not_finite.to_string()),
                pair(
                    "directions",
                    match body.normalize.as_str() {
                        "none" => format!("{}, not scaled", body.directions),
                        scale => format!("{}, scaled by {scale}", body.directions),
                    },
                ),
                pair("batch norm", body.batch_norm.clone()),
                pair("examples", body.samples.to_string()),
            ];
            if let Some(found) = &body.adaptive {
                rows.push(pair("tolerance", found.tolerance.to_string()));
                rows.push(pair("points evaluated", found.evaluated.to_string()));
                let share = found.evaluations as f64 / (body.points * body.samples) as f64;
                rows.push(pair("of an exact surface's losses", percent(share)));
            }
            let along = body.slope.iter().zip(&body.curvature).zip(["x", "y"]);
            rows.extend(along.map(|((slope, curvature), name)| {
                let text = format!("{}, curvature {}", quantity(slope), quantity(curvature));
                pair(&format!("slope along {name}"), text)
            }));
            let shown = if body.line { "line" } else { "plane" };
            rows.extend(body.plane_shares.iter().map(|held| match held.pair {
                Some(index) => pair(&format!("{shown} {} holds", index + 1), held.words()),
                None => pair(&format!("the {shown} holds"), held.words()),
            }));
            rows.extend(body.places.iter().enumerate().map(|(index, place)| {
                let [x, y, distance] = [place.x, place.y, place.distance].map(number);
                let name = format!("network {}", index + 1);
                pair(&name, format!("at ({x}, {y}), {distance} from the plane"))
            }));
            rows.extend(body.convexity.as_ref().map(|found| {
                let text = format!(
                    "{} of {} points, |smallest / largest eigenvalue| at most {} ± {}",
                    found.convex,
                    found.points,
                    number(found.largest_ratio),
                    number(found.ratio_error)
                );
                pair("convex", text)
            }));
            if let Some(found) = &body.basin {
                let [low, middle, high] = found.quartiles.map(number);
                let radius = format!("{middle} ({low} to {high}) to a rise of {}", found.rise);
                rows.push(pair("basin radius", radius));
                let bound = quantity(&found.log_volume_bound.into());
                // What a few rays carry has no error bar that could be believed.
                let volume = match found.effective_rays >= FEW_RAYS {
                    true => format!(
                        "{}, at least {bound} in expectation",
                        quantity(&found.log_volume.into())
                    ),
                    false => format!("at least {bound} in expectation; too few rays for more"),
                };
                rows.push(pair("log-volume", volume));
            }
            let share = percent(body.minima_threshold);
            let minima = format!("{} deeper than {share} of their saddle", body.minima_count);
            rows.push(pair("minima", minima));
            if !body.line {
                let loops =
                    format!("{} around hills higher than {share} of their top", body.loops_count);
                rows.push(pair("loops", loops));
            }
            let variations: Vec<String> = body.total_variation.iter().map(|v| number(*v)).collect();
            rows.push(pair("total variation", variations.join(", ")));
            for (name, point) in [("lowest", &body.minimum), ("highest", &body.maximum)] {
                if let Some(point) = point {
                    let at = format!(
                        "{} at ({}, {})",
                        number(point.loss),
                        number(point.x),
                        number(point.y)
                    );
                    rows.push(pair(name, at));
                }
            }
            table(&["", ""], &rows)
        }
        Body::Spectrum(body) => {
            let mut rows = vec![
                pair("loss", quantity(&body.loss)),
                pair("gradient norm", number(body.gradient_norm)),
                pair("matrix", matrix(body)),
            ];
            let sides =
                [("largest", &body.top), ("smallest", body.bottom.as_ref().unwrap_or(&Vec::new()))]
                    .map(|(side, values)| (side, values.clone()));
            for (side, values) in sides {
                for (rank, e) in values.iter().enumerate() {
                    let sampling = e.sampling_error.map(number);
                    let sampling = sampling.map(|error| format!(", sampling error {error}"));
                    let text = format!(
                        "{} (residual {}{})",
                        number(e.value),
                        number(e.residual),
                        sampling.unwrap_or_default()
                    );
                    rows.push(pair(&format!("{side} {}", rank + 1), text));
                }
            }
            rows.extend(body.trace.as_ref().map(|q| pair("trace", quantity(q))));
            let frobenius = body.frobenius_squared.as_ref();
            rows.extend(frobenius.map(|q| pair("Frobenius norm squared", quantity(q))));
            rows.extend(body.outliers.as_ref().map(|of| pair("outliers", outliers(of))));
            rows.push(pair("products", products(&body.products)));
            table(&["", ""], &rows)
        }
        Body::Compare(body) => comparison::text(body),
        Body::Inspect(body) => inspection(body),
        Body::Data(body) => {
            let mut text = body.described.as_ref().map(describe::text).unwrap_or_default();
            for entry in &body.data {
                text += &format!("{}\n  {}\n", entry.name, entry.summary);
                text += &format!("  source    {}\n", entry.source);
                text += &format!("  licence   {}\n  cite      {}\n", entry.license, entry.citation);
                for file in &entry.files {
                    text += &format!("  sha256    {} {}\n", file.sha256, file.name);
                }
                match &entry.found {
                    Some(place) => text += &format!("  found     {place}\n"),
                    None => {
                        text += &format!("  not found in {}\n", entry.looked.join(", "));
                        text += &format!("  {}\n", entry.obtain);
                    }
                }
            }
            text
        }
        Body::Export(body) => body.files.iter().map(|file| format!("{file}\n")).collect(),
        Body::Completions(body) => body.script.clone(),
        Body::Papers(body) => papers::list(body),
        Body::Reproduce(body) => papers::check(body),
        Body::ReproduceAll(body) => papers::checks(body),
    };
    if let Some(run) = &reply.run {
        let again = match reply.recomputed_flops {
            0 => String::new(),
            flops => format!("{} computed again for want of memory, ", operations(flops)),
        };
        text += &format!("\n{:.1} s, {again}report: {run}/report.html\n", reply.seconds);
    }
    text
}

/// Which matrix a spectrum is of.
fn matrix(body: &SpectrumBody) -> String {
    let mut text = body.operator.clone();
    if body.scope != "whole" {
        text += &format!(", {}", body.scope);
    }
    if let Some(by) = &body.preconditioner {
        text += &format!(", preconditioned by {by}");
    }
    if let Some(to) = &body.relative_to {
        text += &format!(", relative to {} + {}", to.operator, to.damping);
    }
    text
}

/// What stands out of the bulk of a spectrum.
fn outliers(of: &Outliers) -> String {
    format!(
        "{} by the density, {} of those found: below {} or above {}",
        quantity(&of.count.into()),
        of.found,
        number(of.below),
        number(of.above)
    )
}

/// What each part of a spectrum cost.
fn products(of: &Products) -> String {
    let parts = [
        (of.eigenvalues, "eigenvalues"),
        (of.relative_to, "the matrix that they are relative to"),
        (of.trace, "trace"),
        (of.density, "density"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let each: Vec<String> = parts.map(|(count, part)| format!("{count} ({part})")).collect();
    let text = if each.is_empty() { "none".to_owned() } else { each.join(", ") };
    match of.sampling_error {
        0 => text,
        n => format!("{text}; {n} second derivatives (errors of the sample)"),
    }
}

/// Rays that an estimate of a volume has to rest on.
const FEW_RAYS: f64 = 10.0;

fn inspection(found: &Inspection) -> String {
    let joined = |shape: &[Extent]| {
        let extents: Vec<String> = shape.iter().map(Extent::to_string).collect();
        format!("[{}]", extents.join(", "))
    };
    let port =
        |port: &InspectedPort| format!("{} {}{}", port.name, port.element, joined(&port.shape));
    let mut rows = vec![pair("file", found.path.clone())];
    rows.extend(found.producer.clone().map(|text| pair("written by", text)));
    rows.extend(found.opset.map(|version| pair("operator set", version.to_string())));
    rows.extend(found.architecture.clone().map(|text| pair("architecture", text)));
    rows.extend(found.inputs.iter().map(|input| pair("input", port(input))));
    rows.extend(found.outputs.iter().map(|output| pair("output", port(output))));
    rows.push(pair("parameters", found.parameter_count.to_string()));
    let flops = found.flops.map(|flops| pair("operations an example", number(flops as f64)));
    rows.extend(flops);
    let mut text = table(&["", ""], &rows);
    let array = |array: &InspectedArray| {
        let extents: Vec<String> = array.shape.iter().map(u64::to_string).collect();
        let shape = format!("[{}]", extents.join(", "));
        vec![array.name.clone(), shape, array.role.clone(), array.axes.join(" ")]
    };
    let arrays: Vec<Vec<String>> =
        found.parameters.iter().chain(&found.buffers).map(array).collect();
    if !arrays.is_empty() {
        text += "\n";
        text += &left_table(&["name", "shape", "role", "axes"], &arrays);
    }
    if !found.operations.is_empty() {
        let operations: Vec<String> = found
            .operations
            .iter()
            .map(|operation| match operation.supported {
                true => format!("{} {}", operation.count, operation.name),
                false => format!("{} {} (not supported)", operation.count, operation.name),
            })
            .collect();
        text += &format!("\noperations: {}\n", operations.join(", "));
    }
    found.notes.iter().for_each(|note| text += &format!("\nnote: {note}\n"));
    text
}

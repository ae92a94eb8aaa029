//! Draws every figure, and a report, from made-up landscapes: `gallery DIR`.

use std::fs;
use std::path::PathBuf;
use thalweg_plot::*;
use thalweg_record::*;

/// A landscape of its own shape: `jagged` adds ridges, `wall` the height of the rim.
fn surface(floor: f64, wall: f64, jagged: f64, n: i32) -> Surface {
    let axis: Vec<f64> = (0..n).map(|i| f64::from(2 * i - n + 1) / f64::from(n - 1)).collect();
    let attributes = SurfaceAttributes {
        normalize: "filter".into(),
        batch_norm: "frozen".into(),
        directions: "random".into(),
        split: "training".into(),
        samples: 512,
        available: 1438,
        batch: 128,
        loss_name: "cross-entropy (nats)".into(),
        ..SurfaceAttributes::default()
    };
    let mut surface = Surface::new(axis.clone(), axis, None, attributes).expect("a grid");
    for index in 0..surface.points() {
        let GridPoint { x, y, .. } = surface.point(index);
        let r2 = (x - 0.05).powi(2) + 1.4 * (y + 0.02).powi(2) + 0.5 * x * y;
        let ridges = jagged
            * ((5.0 * x + 1.3 * (4.0 * y).sin()).sin() * (6.0 * y - 2.0 * x).cos()
                + 0.6 * (11.0 * x - 3.0 * y).sin() * (9.0 * y + 4.0 * x).sin());
        let rim = r2 / (0.16 + r2);
        surface.loss[index] = (floor.ln() + (wall / floor).ln() * rim * 1.1 + ridges * rim).exp();
    }
    let errors = surface.loss.iter().map(|loss| 0.05 * loss).collect();
    surface.loss_standard_error = Some(errors);
    surface.accuracy = Some(surface.loss.iter().map(|loss| 1.0 / (1.0 + loss)).collect());
    surface.status.fill(COMPUTED);
    surface.attributes.plane_shares = vec![PlaneShare {
        of: "curvature".into(),
        pair: None,
        share: Estimate { value: 0.31 / wall, standard_error: 0.02 / wall, samples: 14 }.into(),
    }];
    surface
}

/// Basins that fall to one another and hills between them: of no surface, but as one could have them.
fn topology(floor: f64, wall: f64) -> Topology {
    let level = |share: f64| floor * (wall / floor).powf(share);
    let minimum = |i: u32| {
        // Groups of three, whose first falls to the lowest.
        let (loss, head) = (0.04 * f64::from(i), 1 + 3 * (i.max(1) - 1).div_euclid(3));
        let (saddle, parent) = match i {
            0 => (1.0, None),
            i if i == head => (0.5 + 0.03 * f64::from(i), Some(0)),
            i => (loss + 0.012 * f64::from(i % 3), Some(head)),
        };
        SurfaceMinimum {
            pair: 0,
            x: 0.0,
            y: 0.0,
            loss: level(loss),
            saddle_x: 0.0,
            saddle_y: 0.0,
            saddle: level(saddle + 1e-3),
            parent,
            standard_error: None,
        }
    };
    let around = |i: u32| {
        let point = |share: f64| GridPoint { x: 0.0, y: 0.0, loss: level(share) };
        let closes = 0.5 + 0.04 * f64::from(i);
        let peak = (i > 0).then(|| point(closes + 0.05 * f64::from(i)));
        SurfaceLoop { pair: 0, saddle: point(closes), peak, standard_error: None }
    };
    Topology {
        minima: (0..13).map(minimum).collect(),
        loops: (0..5).map(around).collect(),
        threshold: 0.01,
        total_variation: vec![1.0],
    }
}

fn spectrum(top: f64) -> Spectrum {
    let estimate = |value: f64| Estimate { value, standard_error: 0.03 * value, samples: 64 };
    let centres: Vec<f64> =
        (0..200).map(|i| -0.1 * top + 1.2 * top * f64::from(i) / 199.0).collect();
    let bump = |x: f64, at: f64, w: f64, h: f64| h * (-((x - at) / w).powi(2)).exp();
    let values: Vec<f64> = centres
        .iter()
        .map(|&x| {
            bump(x, 0.0, 0.02 * top, 1.0)
                + bump(x, 0.4 * top, 0.03 * top, 1e-3)
                + bump(x, 0.7 * top, 0.03 * top, 3e-4)
                + bump(x, top, 0.03 * top, 3e-4)
        })
        .collect();
    Spectrum {
        operator: "hessian".into(),
        scope: "whole".into(),
        preconditioner: None,
        relative_to: None,
        dimension: 2794,
        top: (0..10)
            .map(|i| Eigenvalue {
                value: top * 0.72f64.powi(i),
                residual: 1e-5 * top,
                sampling_error: None,
            })
            .collect(),
        bottom: Vec::new(),
        trace: Some(estimate(3.1 * top).into()),
        frobenius_squared: None,
        density: Some(Density {
            standard_errors: values.iter().map(|v| 0.2 * v).collect(),
            centres,
            values,
        }),
        outliers: None,
        products: Default::default(),
    }
}

fn curve(member: &str, end: f64, noise: f64) -> TrainingCurve {
    let step: Vec<u64> = (0..=60).map(|i| i * 8).collect();
    let wiggle = |i: u64| ((i * i % 17) as f64 / 17.0 - 0.5) * noise;
    let column = |f: &dyn Fn(f64, u64) -> f64| {
        CurveColumn(step.iter().map(|&i| f(i as f64 / 480.0, i)).collect())
    };
    let loss = |t: f64, i: u64| (2.4f64.ln() + (end / 2.4).ln() * t.powf(0.7) + wiggle(i)).exp();
    TrainingCurve {
        member: member.into(),
        columns: [
            ("train_loss".to_owned(), column(&loss)),
            ("test_loss".to_owned(), column(&|t, i| loss(t, i) * 1.3 + 0.05 * t)),
            ("test_accuracy".to_owned(), column(&|t, i| 1.0 - 0.9 * (loss(t, i) / 2.4).powf(0.5))),
            ("lr".to_owned(), column(&|t, _| 0.1 * (1.0 - (2.0 * t - 0.6).abs().min(1.0)) + 1e-4)),
        ]
        .into(),
        step,
    }
}

fn model(name: &str, surface: Surface, top: f64, end: f64) -> ModelReport {
    ModelReport {
        name: name.into(),
        description:
            "44 layers, width 4, batch norm; 20 epochs of SGD with Nesterov momentum at a \
                      one-cycle rate of 0.1"
                .into(),
        parameters: 15_994,
        test_accuracy: Some(if end < 0.1 { 0.9806 } else { 0.6111 }),
        loss: surface
            .centre()
            .map(|value| Estimate { value, standard_error: 0.04 * value, samples: 512 }.into()),
        sharpness: Some((0.31 * top.sqrt()).into()),
        roughness: Some(Estimate { value: 0.02 * top, standard_error: 0.001, samples: 16 }.into()),
        spectrum: Some(spectrum(top)),
        lines: surface.lines(),
        surface: Some(surface),
        curves: vec![curve("seed 0", end, if end < 0.1 { 0.3 } else { 0.5 })],
    }
}

fn report() -> Report {
    let provenance = Provenance {
        version: "0.1.0".into(),
        seed: 0,
        device: "x86-64, AVX2 and FMA".into(),
        data: "digits: UCI 8x8 handwritten digits, 1,797 images".into(),
        data_fingerprint: "b1946ac92492d2347c6235b4d2611184".into(),
        precision: "f32".into(),
        command: Some("thalweg map".into()),
    };
    let mut report =
        Report::new("The landscape of two deep networks", "cross-entropy (nats)", provenance);
    report.summary = "Two convolutional networks of 44 layers, trained alike on the same images; \
                      one has skip connections."
        .into();
    report.models = vec![
        model("with skip connections", surface(5e-4, 40.0, 0.1, 31), 12.0, 5e-4),
        model("without skip connections", surface(0.9, 9e3, 1.4, 31), 310.0, 0.9),
    ];
    let explain =
        |quantity: &str, how: &str| Explanation { quantity: quantity.into(), how: how.into() };
    report.explanations = vec![
        explain(
            "Loss",
            "Mean cross-entropy over 512 stratified training images in one evaluation \
                         pass; the standard error covers the choice of the subset.",
        ),
        explain(
            "Surface",
            "Loss at W + x·D + y·E on a 31 x 31 grid; D and E are Gaussian and each \
                            filter is scaled once to the norm of the weight's filter.",
        ),
        explain(
            "Largest eigenvalue",
            "Lanczos with full reorthogonalisation; the residual is \
                                       |Hv − λv| of the unit vector found.",
        ),
        explain("Trace", "Hutchinson's estimator over 64 Rademacher probes."),
    ];
    report
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let usage = || std::io::Error::other("usage: gallery DIR");
    let root = PathBuf::from(std::env::args().nth(1).ok_or_else(usage)?);
    let style = Style::paper();
    let report = report();
    let surfaces: Vec<_> = report
        .models
        .iter()
        .filter_map(|m| m.surface.as_ref().map(|s| (m.name.as_str(), s)))
        .collect();
    let mut broken = surface(0.01, 100.0, 0.6, 21);
    for index in 0..broken.points() {
        let GridPoint { x, y, .. } = broken.point(index);
        if x > 0.6 && y > 0.5 {
            broken.loss[index] = f64::INFINITY;
            broken.status[index] = NOT_FINITE;
        }
        if x < -0.85 {
            broken.loss[index] = f64::NAN;
            broken.status[index] = NOT_COMPUTED;
        }
    }
    let along = |f: fn(f64) -> f64| (0..14).map(|i| f(f64::from(i) / 13.0)).collect::<Vec<f64>>();
    broken.trajectory = Some(Trajectory {
        x: along(|t| -0.8 * (1.0 - t).powi(2)),
        y: along(|t| 0.9 * (1.0 - t) * (3.0 * t).cos()),
        residual: along(|t| 1.0 - t),
        gradients: None,
    });
    broken.attributes.directions = "pca".into();
    broken.attributes.explained_variance = vec![0.871, 0.094];
    let curves: Vec<_> =
        report.models.iter().flat_map(|m| m.curves.iter().map(|c| (m.name.as_str(), c))).collect();
    let spectra: Vec<_> = report
        .models
        .iter()
        .filter_map(|m| m.spectrum.as_ref().map(|s| (m.name.as_str(), s)))
        .collect();
    let members: Vec<_> =
        (0..16).map(|i| curve(&format!("seed {i}"), 0.01 * 1.3f64.powi(i), 0.2)).collect();
    let members: Vec<_> = members.iter().map(|c| ("", c)).collect();
    let mut planted = surface(5e-4, 40.0, 0.1, 31);
    planted.topology = Some(topology(5e-4, 40.0));
    let planted = [("a planted tree", &planted), ("the same", &planted)];
    let figures = [
        ("landscape", landscape_figure(&report.title, &surfaces, &style)),
        ("map", map_figure("Contours", &surfaces, &style)),
        ("trajectory", map_figure("A trajectory", &[("SGD", &broken)], &style)),
        ("relief", relief_figure("Relief", &[("one network", &broken)], &style)),
        ("persistence", persistence_figure(&planted, &style)),
        ("merge-tree", merge_tree_figure(&planted[..1], &style)),
        ("lines", line_figure(&report, &style)),
        (
            "training",
            training_figure("Training", &curves, &["train_loss", "test_loss"], true, &style),
        ),
        ("members", training_figure("Training", &members, &["train_loss"], true, &style)),
        ("accuracy", training_figure("Test accuracy", &curves, &["test_accuracy"], false, &style)),
        ("spectrum", spectrum_figure(&spectra, &style)),
        ("density", density_figure(&spectra, &style)),
    ];
    for (name, figure) in figures {
        let figure = figure.ok_or("nothing to draw")?;
        fs::write(root.join(name).with_extension("svg"), figure.svg())?;
        fs::write(root.join(name).with_extension("png"), figure.png(2.0)?)?;
    }
    fs::write(root.join("report.html"), report_html(&report, ""))?;
    let mut one = Report::new("A surface", "cross-entropy (nats)", report.provenance.clone());
    one.models = vec![ModelReport {
        name: "SGD".into(),
        parameters: 2794,
        lines: broken.lines(),
        surface: Some(broken),
        ..ModelReport::default()
    }];
    fs::write(root.join("surface.html"), report_html(&one, ""))?;
    let mut run = Report::new("A training run", "cross-entropy (nats)", report.provenance.clone());
    run.models = members
        .iter()
        .map(|(_, curve)| ModelReport {
            name: curve.member.clone(),
            parameters: 2794,
            test_accuracy: curve.column("test_accuracy").and_then(|v| v.last().copied()),
            loss: curve.column("train_loss").and_then(|v| v.last().copied()).map(Into::into),
            curves: vec![(*curve).clone()],
            ..ModelReport::default()
        })
        .collect();
    fs::write(root.join("train.html"), report_html(&run, ""))?;
    Ok(())
}

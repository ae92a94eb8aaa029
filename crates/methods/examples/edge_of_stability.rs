//! Draws the sharpness along gradient descent against `2 / lr`: `edge_of_stability FILE.svg`.

#[path = "../tests/common/descent.rs"]
mod descent;

use descent::{Look, RUNS, descend};
use std::collections::BTreeMap;
use thalweg_exec::Executor;
use thalweg_plot::{Style, training_figure};
use thalweg_record::{CurveColumn, TrainingCurve};

fn curve(lr: f64, looks: &[Look]) -> TrainingCurve {
    let column = |of: &dyn Fn(&Look) -> f64| CurveColumn(looks.iter().map(of).collect());
    TrainingCurve {
        member: format!("lr {lr}"),
        step: looks.iter().map(|look| look.step as u64).collect(),
        columns: BTreeMap::from([
            ("sharpness".into(), column(&|look| look.sharpness)),
            ("2 / lr".into(), column(&|_| 2.0 / lr)),
        ]),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected the path of an SVG file to write")?;
    let executor = Executor::new(std::thread::available_parallelism()?.get());
    let mut curves = Vec::new();
    for (lr, _, steps) in RUNS {
        let looks = descend(&executor, lr, steps)?;
        if let (Some(first), Some(last)) = (looks.first(), looks.last()) {
            let ratio = |look: &Look| look.sharpness * lr / 2.0;
            println!(
                "lr {lr}: loss {:.4} to {:.4}, sharpness {:.3} to {:.3} of 2 / lr",
                first.loss,
                last.loss,
                ratio(first),
                ratio(last)
            );
        }
        curves.push(curve(lr, &looks));
    }
    let named: Vec<_> = curves.iter().map(|curve| ("", curve)).collect();
    let title = "Sharpness of full-batch gradient descent";
    let columns = ["sharpness", "2 / lr"];
    let figure = training_figure(title, &named, &columns, false, &Style::paper());
    let figure = figure.ok_or("nothing to draw")?;
    std::fs::write(path, figure.svg())?;
    Ok(())
}

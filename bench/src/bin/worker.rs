//! Runs one workload each time a line comes in, and prints its milliseconds: the side of Thalweg
//! in `bench/run`.
//!
//! `worker WORKLOAD THREADS`, WORKLOAD one of loss, gradient, training, hvp

use std::io::{BufRead, Write};
use std::time::Instant;
use thalweg_array::DType;
use thalweg_bench::{gradient_graph, hvp_graph, inputs, loss_graph, training_graph};
use thalweg_exec::Executor;
use thalweg_nn::Architecture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("worker WORKLOAD THREADS")?;
    let threads: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let (image, batch, f) = ([32, 32, 3], 128, DType::F32);
    let model = "resnet depth=20 width=16".parse::<Architecture>()?.build(&image, 10)?;
    let graph = match name.as_str() {
        "loss" => loss_graph(&model, f, &image, batch)?,
        "gradient" => gradient_graph(&model, f, &image, batch)?,
        "training" => training_graph(&model, f, &image, batch)?,
        "hvp" => hvp_graph(&model, f, &image, batch)?,
        other => {
            return Err(format!("workload {other:?}: not loss, gradient, training or hvp").into());
        }
    };
    let program = Executor::new(threads).compile(&graph)?;
    let arrays = inputs(&graph, &model, 7);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        program.run(arrays.clone())?;
        writeln!(out, "{:.3}", start.elapsed().as_secs_f64() * 1e3)?;
        out.flush()?;
    }
    Ok(())
}

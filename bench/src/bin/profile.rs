//! Runs one workload many times, for a profiler: `profile NAME RUNS THREADS`.

use thalweg_array::DType;
use thalweg_bench::{gradient_graph, hvp_graph, inputs, loss_graph, training_graph};
use thalweg_exec::Executor;
use thalweg_nn::{Architecture, flops};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "training".to_owned());
    let runs: usize = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let threads: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let image = [32, 32, 3];
    let model = "resnet depth=20 width=16".parse::<Architecture>()?.build(&image, 10)?;
    let graph = match name.as_str() {
        "loss" => loss_graph(&model, DType::F32, &image, 128)?,
        "gradient" => gradient_graph(&model, DType::F32, &image, 128)?,
        "hvp" => hvp_graph(&model, DType::F32, &image, 128)?,
        _ => training_graph(&model, DType::F32, &image, 128)?,
    };
    let program = Executor::new(threads).compile(&graph)?;
    let arrays = inputs(&graph, &model, 7);
    for _ in 0..runs {
        program.run(arrays.clone())?;
    }
    println!("{:.1} GFLOP", flops(&graph).total() as f64 * runs as f64 / 1e9);
    Ok(())
}

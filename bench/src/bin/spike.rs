//! The structure's hardest cases, measured: one training step and one Hessian-vector product of
//! ResNet-20, and 16 weight sets at once.
//!
//! `spike [THREADS]`

use std::time::Instant;
use thalweg_array::{Array, DType};
use thalweg_bench::{gradient_graph, hvp_graph, inputs, loss_graph, training_graph};
use thalweg_exec::{Executor, Program};
use thalweg_graph::Graph;
use thalweg_nn::{Architecture, Model, flops};

const IMAGE: [usize; 3] = [32, 32, 3];
const BATCH: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads: usize = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    let executor = Executor::new(threads);
    let model = "resnet depth=20 width=16".parse::<Architecture>()?.build(&IMAGE, 10)?;
    println!("| work | steps | plan ms | run ms | GFLOP/s | arena MiB | peak MiB |");
    println!("|---|---|---|---|---|---|---|");
    let f = DType::F32;
    measure("loss", &executor, &model, &loss_graph(&model, f, &IMAGE, BATCH)?)?;
    let gradient = measure("gradient", &executor, &model, &gradient_graph(&model, f, &IMAGE, BATCH)?)?;
    measure("training step", &executor, &model, &training_graph(&model, f, &IMAGE, BATCH)?)?;
    let hvp = measure("hvp", &executor, &model, &hvp_graph(&model, f, &IMAGE, BATCH)?)?;
    println!("\none HVP costs {:.2} gradients", hvp / gradient);
    Ok(())
}

/// Median milliseconds of a run.
fn measure(
    name: &str,
    executor: &Executor,
    model: &Model,
    graph: &Graph,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let program = executor.compile(graph)?;
    let plan = start.elapsed().as_secs_f64() * 1e3;
    let arrays = inputs(graph, model, 7);
    let median = time(&program, &arrays)?;
    let operations = flops(graph).total() as f64;
    let memory = program.memory();
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    println!(
        "| {name} | {} | {plan:.0} | {median:.1} | {:.1} | {:.0} | {:.0} |",
        program.n_steps(),
        operations / median / 1e6,
        mib(memory.working),
        mib(memory.peak()),
    );
    Ok(median)
}

fn time(program: &Program, arrays: &[Array]) -> Result<f64, thalweg_exec::ExecError> {
    program.run(arrays.to_vec())?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        program.run(arrays.to_vec())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

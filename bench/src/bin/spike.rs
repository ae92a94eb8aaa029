//! The structure's hardest cases, measured: one training step and one Hessian-vector product of
//! ResNet-20, and 16 weight sets at once.
//!
//! `spike [THREADS]`

use std::time::Instant;
use thalweg_array::{Array, DType};
use thalweg_bench::{
    gradient_graph, hvp_graph, inputs, loss_graph, metagradient_graph, population,
    population_inputs, training_graph,
};
use thalweg_exec::Executor;
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
    let gradient =
        measure("gradient", &executor, &model, &gradient_graph(&model, f, &IMAGE, BATCH)?)?;
    measure("training step", &executor, &model, &training_graph(&model, f, &IMAGE, BATCH)?)?;
    let hvp = measure("hvp", &executor, &model, &hvp_graph(&model, f, &IMAGE, BATCH)?)?;
    let shared = ["x", "y"];
    let many = [
        ("16 losses, shared batch", loss_graph(&model, f, &IMAGE, BATCH)?, &shared[..]),
        ("16 training steps, own batches", training_graph(&model, f, &IMAGE, BATCH)?, &["lr"][..]),
    ];
    for (name, single, shared) in many {
        let graph = population(&single, shared, 16)?;
        let arrays = population_inputs(&single, &model, shared, 16, 7);
        run(name, &executor, &graph, &arrays, 3)?;
    }
    let small = "resnet depth=8 width=8".parse::<Architecture>()?.build(&[8, 8, 1], 10)?;
    for branching in [0, 4] {
        let graph = metagradient_graph(&small, f, &[8, 8, 1], 64, 50, branching)?;
        let arrays = inputs(&graph, &small, 7);
        run(&format!("metagradient, branching {branching}"), &executor, &graph, &arrays, 3)?;
    }
    println!("\none HVP costs {:.2} gradients", hvp / gradient);
    println!("peak resident memory {} MiB", peak_resident());
    Ok(())
}

/// Median milliseconds of a run on a model's own inputs.
fn measure(
    name: &str,
    executor: &Executor,
    model: &Model,
    graph: &Graph,
) -> Result<f64, Box<dyn std::error::Error>> {
    run(name, executor, graph, &inputs(graph, model, 7), 7)
}

fn run(
    name: &str,
    executor: &Executor,
    graph: &Graph,
    arrays: &[Array],
    rounds: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let program = executor.compile(graph)?;
    let plan = start.elapsed().as_secs_f64() * 1e3;
    program.run(arrays.to_vec())?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        program.run(arrays.to_vec())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let memory = program.memory();
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    println!(
        "| {name} | {} | {plan:.0} | {median:.1} | {:.1} | {:.0} | {:.0} |",
        program.n_steps(),
        flops(graph).total() as f64 / median / 1e6,
        mib(memory.working),
        mib(memory.peak()),
    );
    Ok(median)
}

/// Most memory that this process has held, MiB; 0 where the system does not say.
fn peak_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

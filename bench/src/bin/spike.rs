//! The structure's hardest cases, measured: one training step and one Hessian-vector product of
//! ResNet-20, 16 weight sets at once, and fifty training steps differentiated.
//!
//! `spike [THREADS]` prints one row for each work. Each is done in a process of its own, so that
//! its resident memory can be told.

use std::process::Command;
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
const MEMBERS: usize = 16;
/// Digits, for the loop of fifty steps.
const SMALL_IMAGE: [usize; 3] = [8, 8, 1];
const SMALL_BATCH: usize = 64;

const WORKS: [&str; 8] = [
    "loss",
    "gradient",
    "training step",
    "HVP",
    "16 losses, shared batch",
    "16 training steps, own batches",
    "50 steps differentiated, all carries kept",
    "50 steps differentiated, branching 4",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let threads: usize = std::env::args().nth(1).map_or(Ok(0), |text| text.parse())?;
    if let Some(work) = std::env::args().nth(2) {
        return measure(&work, threads);
    }
    println!(
        "| work | steps of the plan | plan ms | run ms | GFLOP/s | estimated MiB | resident MiB \
         | resident / estimated |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for work in WORKS {
        let itself = std::env::current_exe()?;
        let status = Command::new(itself).arg(threads.to_string()).arg(work).status()?;
        if !status.success() {
            return Err(format!("{work}: {status}").into());
        }
    }
    Ok(())
}

/// The graph of a work, and its inputs.
fn prepare(work: &str) -> Result<(Graph, Vec<Array>), Failure> {
    let f = DType::F32;
    let build = |text: &str, image: &[usize]| -> Result<Model, Failure> {
        Ok(text.parse::<Architecture>()?.build(image, 10)?)
    };
    let model = build("resnet depth=20 width=16", &IMAGE)?;
    let alone = |graph: Graph| {
        let arrays = inputs(&graph, &model, 7);
        (graph, arrays)
    };
    let together = |graph: Graph, shared: &[&str]| -> Result<_, Failure> {
        let arrays = population_inputs(&graph, &model, shared, MEMBERS, 7);
        Ok((population(&graph, shared, MEMBERS)?, arrays))
    };
    let differentiated = |branching: usize| -> Result<_, Failure> {
        let model = build("resnet depth=8 width=8", &SMALL_IMAGE)?;
        let graph = metagradient_graph(&model, f, &SMALL_IMAGE, SMALL_BATCH, 50, branching)?;
        let arrays = inputs(&graph, &model, 7);
        Ok((graph, arrays))
    };
    match WORKS.iter().position(|known| *known == work) {
        Some(0) => Ok(alone(loss_graph(&model, f, &IMAGE, BATCH)?)),
        Some(1) => Ok(alone(gradient_graph(&model, f, &IMAGE, BATCH)?)),
        Some(2) => Ok(alone(training_graph(&model, f, &IMAGE, BATCH)?)),
        Some(3) => Ok(alone(hvp_graph(&model, f, &IMAGE, BATCH)?)),
        Some(4) => together(loss_graph(&model, f, &IMAGE, BATCH)?, &["x", "y"]),
        Some(5) => together(training_graph(&model, f, &IMAGE, BATCH)?, &["lr"]),
        Some(6) => differentiated(0),
        Some(7) => differentiated(4),
        _ => Err(format!("work {work:?}: not one of {}", WORKS.join("; ")).into()),
    }
}

fn measure(work: &str, threads: usize) -> Result<(), Failure> {
    let (graph, arrays) = prepare(work)?;
    let executor = Executor::new(threads);
    let before = resident("VmRSS:");
    let start = Instant::now();
    let program = executor.compile(&graph)?;
    let plan = start.elapsed().as_secs_f64() * 1e3;
    program.run(arrays.clone())?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        program.run(arrays.clone())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let memory = program.memory();
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    // The inputs are there before.
    let grown = resident("VmHWM:") - before + mib(memory.inputs);
    let estimated = mib(memory.peak());
    println!(
        "| {work} | {} | {plan:.0} | {median:.1} | {:.1} | {estimated:.0} | {grown:.0} | {:.2} |",
        program.n_steps(),
        flops(&graph).total() as f64 / median / 1e6,
        grown / estimated,
    );
    Ok(())
}

/// Memory that this process holds, MiB; NaN where the system does not say.
fn resident(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    kibibytes.map_or(f64::NAN, |kibibytes| kibibytes / 1024.0)
}

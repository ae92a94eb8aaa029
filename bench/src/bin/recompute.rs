//! What a memory budget costs: the gradient of ResNet-20 at batch 128, computed again what does not
//! fit.
//!
//! `recompute [THREADS]` prints a Markdown table. Each row is a process of its own, so that its peak of
//! memory is its own; they run in turn, once each round. `recompute THREADS BUDGET` is such a process:
//! it says its plan and the fingerprint of its results, runs once for each line that comes in and
//! prints the milliseconds, and at the end the peak of its resident memory in MiB.

use std::io::{BufRead, BufReader, Lines, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use thalweg_array::DType;
use thalweg_bench::peak::resident_peak;
use thalweg_bench::workload::{Failure, Workload};
use thalweg_data::Sha256;
use thalweg_exec::Executor;
use thalweg_graph::Graph;
use thalweg_nn::flops;

const WORKLOAD: &str = "resnet-gradient";
const ROUNDS: usize = 7;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => table("0"),
        [threads] => table(threads),
        [threads, budget] => side(threads.parse()?, budget.parse()?),
        _ => Err("recompute [THREADS [BUDGET]]".into()),
    }
}

fn table(threads: &str) -> Result<(), Failure> {
    let graph = Workload::new(WORKLOAD, DType::F32)?.graph;
    let executor = Executor::new(threads.parse()?);
    let whole = executor.compile(&graph)?.memory().peak();
    let budgets = [
        ("none", whole),
        ("three quarters", whole / 4 * 3),
        ("a half", whole / 2),
        ("the smallest that fits", smallest(&executor, &graph, whole)?),
    ];
    let mut sides = Vec::new();
    for (_, budget) in budgets {
        sides.push(Side::start(threads, budget)?);
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.run()?;
        }
    }
    println!(
        "| budget | MiB | planned MiB | resident MiB | computed again | ms | times the first | same \
         bits |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let (total, mut first) = (flops(&graph).total() as f64, None);
    for ((name, budget), side) in budgets.into_iter().zip(sides) {
        let Finished { planned, recomputed, fingerprint, milliseconds, resident } =
            side.finish()?;
        let (own, bits) = first.get_or_insert_with(|| (milliseconds, fingerprint.clone()));
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let over = if planned > budget { " (does not fit)" } else { "" };
        let same = if *bits == fingerprint { "yes" } else { "no" };
        println!(
            "| {name} | {:.0} | {:.1}{over} | {resident} | {:.1} % | {milliseconds:.0} | {:.2} | \
             {same} |",
            mib(budget),
            mib(planned),
            100.0 * recomputed as f64 / total,
            milliseconds / *own,
        );
    }
    Ok(())
}

/// The smallest budget that a plan keeps, to a hundredth.
fn smallest(executor: &Executor, graph: &Graph, whole: usize) -> Result<usize, Failure> {
    let mut budget = executor.compile_within(graph, 0)?.memory().peak();
    while budget < whole {
        let planned = executor.compile_within(graph, budget)?.memory().peak();
        if planned <= budget {
            return Ok(planned);
        }
        budget += whole / 100;
    }
    Ok(whole)
}

/// Plans, runs once, says what came, and runs again for each line.
fn side(threads: usize, budget: usize) -> Result<(), Failure> {
    let mut workload = Workload::new(WORKLOAD, DType::F32)?;
    let program = Executor::new(threads).compile_within(&workload.graph, budget)?;
    let mut fingerprint = Sha256::new();
    program.run(workload.take())?.iter().for_each(|array| fingerprint.update_array(array));
    let (planned, recomputed) = (program.memory().peak(), program.recomputed_flops());
    println!("{planned} {recomputed} {}", fingerprint.hex());
    stdout().flush()?;
    for line in stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let outputs = program.run(workload.take())?;
        workload.advance(outputs);
        println!("{}", start.elapsed().as_secs_f64() * 1e3);
        stdout().flush()?;
    }
    println!("{}", resident_peak());
    Ok(())
}

/// A process that runs when it is told to.
struct Side {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    planned: usize,
    recomputed: u64,
    fingerprint: String,
    milliseconds: Vec<f64>,
}

/// What a process came to.
struct Finished {
    planned: usize,
    recomputed: u64,
    fingerprint: String,
    /// The median.
    milliseconds: f64,
    resident: u64,
}

impl Side {
    /// Returns when it has run once.
    fn start(threads: &str, budget: usize) -> Result<Side, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([threads, &budget.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let mut answers = BufReader::new(answers).lines();
        let said = answer(&mut answers)?;
        let [planned, recomputed, fingerprint] = said.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("expected a plan, got {said:?}").into());
        };
        let (planned, recomputed): (usize, u64) = (planned.parse()?, recomputed.parse()?);
        let fingerprint = fingerprint.to_owned();
        let milliseconds = Vec::new();
        Ok(Side { process, orders, answers, planned, recomputed, fingerprint, milliseconds })
    }

    fn run(&mut self) -> Result<(), Failure> {
        writeln!(self.orders)?;
        self.orders.flush()?;
        self.milliseconds.push(answer(&mut self.answers)?.parse()?);
        Ok(())
    }

    fn finish(mut self) -> Result<Finished, Failure> {
        drop(self.orders);
        let resident: u64 = answer(&mut self.answers)?.parse()?;
        let status = self.process.wait()?;
        if !status.success() {
            return Err(status.to_string().into());
        }
        self.milliseconds.sort_by(f64::total_cmp);
        Ok(Finished {
            planned: self.planned,
            recomputed: self.recomputed,
            fingerprint: self.fingerprint,
            milliseconds: self.milliseconds[self.milliseconds.len() / 2],
            resident,
        })
    }
}

fn answer(answers: &mut Lines<BufReader<ChildStdout>>) -> Result<String, Failure> {
    Ok(answers.next().ok_or("a process ended before it answered")??)
}

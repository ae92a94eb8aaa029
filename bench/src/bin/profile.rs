//! Where the time of a workload goes.
//!
//! `profile WORKLOAD [THREADS]` runs a workload some times and prints what its steps cost, like
//! steps together, the dearest first: milliseconds of the median run, share, and how often.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use thalweg_array::DType;
use thalweg_bench::workload::{Failure, Workload};
use thalweg_exec::Executor;
use thalweg_nn::flops;

/// Runs that count, at least, and for how long at least.
const RUNS: usize = 7;
const ENOUGH: Duration = Duration::from_millis(500);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("profile WORKLOAD [THREADS]")?;
    let threads: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let mut workload = Workload::new(&name, DType::F32)?;
    let program = Executor::new(threads).compile(&workload.graph)?;
    let mut spent: HashMap<String, (Vec<Duration>, usize)> = HashMap::new();
    let mut whole = Vec::new();
    let begin = Instant::now();
    while whole.len() <= RUNS || begin.elapsed() < ENOUGH {
        let mut steps: HashMap<String, (Duration, usize)> = HashMap::new();
        let start = Instant::now();
        let mut last = start;
        let outputs = program.run_watched(workload.take(), &mut |step| {
            let now = Instant::now();
            let (sum, times) = steps.entry(step.to_string()).or_default();
            *sum += now - last;
            *times += 1;
            last = Instant::now();
        })?;
        workload.advance(outputs);
        whole.push(start.elapsed());
        for (step, (sum, times)) in steps {
            let (sums, count) = spent.entry(step).or_default();
            sums.push(sum);
            *count = times;
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let total = median(&mut whole);
    let gflops = flops(&workload.graph).total() as f64 / total / 1e6;
    println!("{name}: {total:.3} ms, {gflops:.0} GFLOP/s, {} steps", program.n_steps());
    let mut rows: Vec<(f64, usize, String)> = spent
        .into_iter()
        .map(|(step, (mut sums, times))| (median(&mut sums), times, step))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (ms, times, step) in rows {
        println!("{ms:9.3} ms {:5.1} % {times:5} x  {step}", 100.0 * ms / total);
    }
    Ok(())
}

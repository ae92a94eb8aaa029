//! Thalweg's side of `bench/run`.
//!
//! `worker prepare WORKLOAD THREADS FOLDER` writes a workload's inputs to `FOLDER/inputs.npz` and
//! its results computed in `f64` to `reference.npz`. `worker run` with the same arguments writes its
//! results to `thalweg.npz`, says `ready`, runs once for each line that comes in and prints the
//! milliseconds, and at the end the peak of its resident memory in MiB. `worker plan` plans instead
//! of running. `worker peak THREADS` prints the peak of multiply-adds in GFLOP/s, `worker flops
//! WORKLOAD` the operations of a run. For a workload of curvature there is no reference, and the
//! operations are those of one product.

use std::fs::File;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;
use thalweg_array::{Array, DType};
use thalweg_bench::curvature::{self, CURVATURE, Curvature};
use thalweg_bench::peak::{measure_peak, resident_peak};
use thalweg_bench::surface::SurfaceWork;
use thalweg_bench::workload::{Failure, Workload};
use thalweg_exec::Executor;
use thalweg_exec::kernel::Pool;
use thalweg_formats::npz;
use thalweg_methods::Context;
use thalweg_nn::flops;

const USAGE: &str = "worker prepare|run|plan WORKLOAD THREADS FOLDER, worker peak THREADS, worker \
                     flops WORKLOAD";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["prepare", name, threads, folder] if SurfaceWork::named(name).is_some() => {
            surface_prepare(name, threads.parse()?, Path::new(folder))
        }
        ["run", name, threads, folder] if SurfaceWork::named(name).is_some() => {
            surface_run(name, threads.parse()?, Path::new(folder))
        }
        ["flops", name] if SurfaceWork::named(name).is_some() => {
            println!("{}", surface(name)?.flops()?);
            Ok(())
        }
        ["prepare", name, threads, folder] if CURVATURE.contains(&name) => {
            let arrays = curvature::prepare(name, threads.parse()?)?;
            write(&Path::new(folder).join("inputs.npz"), &arrays)
        }
        ["run", name, threads, folder] if CURVATURE.contains(&name) => {
            methods(name, threads.parse()?, Path::new(folder))
        }
        ["flops", name] if CURVATURE.contains(&name) => {
            println!("{}", curvature::product_flops(name)?);
            Ok(())
        }
        ["prepare", name, threads, folder] => prepare(name, threads.parse()?, Path::new(folder)),
        ["run", name, threads, folder] => run(name, threads.parse()?, Path::new(folder)),
        ["plan", name, threads, _] => plan(name, threads.parse()?),
        ["peak", threads] => {
            println!("{:.1}", measure_peak(&Pool::new(threads.parse()?)));
            Ok(())
        }
        ["flops", name] => {
            println!("{}", flops(&Workload::new(name, DType::F32)?.graph).total());
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn prepare(name: &str, threads: usize, folder: &Path) -> Result<(), Failure> {
    let narrow = Workload::new(name, DType::F32)?;
    write(&folder.join("inputs.npz"), &narrow.named_inputs()?)?;
    let wide = Workload::new(name, DType::F64)?;
    let outputs = Executor::new(threads).compile(&wide.graph)?.run(wide.arrays.clone())?;
    write(&folder.join("reference.npz"), &wide.named_results(&outputs)?)
}

fn run(name: &str, threads: usize, folder: &Path) -> Result<(), Failure> {
    let mut workload = Workload::new(name, DType::F32)?;
    let program = Executor::new(threads).compile(&workload.graph)?;
    let outputs = program.run(workload.arrays.clone())?;
    write(&folder.join("thalweg.npz"), &workload.named_results(&outputs)?)?;
    drop(outputs);
    println!("ready");
    for line in stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let outputs = program.run(workload.take())?;
        workload.advance(outputs);
        answer(start)?;
    }
    println!("{}", resident_peak());
    Ok(())
}

fn surface(name: &str) -> Result<SurfaceWork, Failure> {
    SurfaceWork::named(name).ok_or_else(|| format!("surface {name:?}: there is none").into())
}

fn surface_prepare(name: &str, threads: usize, folder: &Path) -> Result<(), Failure> {
    let work = surface(name)?;
    write(&folder.join("inputs.npz"), &work.named_inputs()?)?;
    let reference = work.with_losses(threads, DType::F64, |losses| losses())?;
    write(&folder.join("reference.npz"), &[("losses".to_owned(), reference)])
}

fn surface_run(name: &str, threads: usize, folder: &Path) -> Result<(), Failure> {
    surface(name)?.with_losses(threads, DType::F32, |losses| {
        write(&folder.join("thalweg.npz"), &[("losses".to_owned(), losses()?)])?;
        println!("ready");
        for line in stdin().lock().lines() {
            line?;
            let start = Instant::now();
            losses()?;
            answer(start)?;
        }
        println!("{}", resident_peak());
        Ok(())
    })
}

/// As `run`, but for work of minutes: it is ready without a first run, and leaves the results of the
/// last one.
fn methods(name: &str, threads: usize, folder: &Path) -> Result<(), Failure> {
    let executor = Executor::new(threads);
    // Less than what the command takes by itself on the machine of the results, 24 GiB.
    let ctx = Context::new(&executor, 0).with_memory(10 << 30);
    let work = Curvature::read(&ctx, &folder.join("inputs.npz"))?;
    println!("ready");
    for line in stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let found = work.run(&ctx, name)?;
        answer(start)?;
        write(&folder.join("thalweg.npz"), &found)?;
    }
    println!("{}", resident_peak());
    Ok(())
}

fn plan(name: &str, threads: usize) -> Result<(), Failure> {
    let workload = Workload::new(name, DType::F32)?;
    println!("ready");
    for line in stdin().lock().lines() {
        line?;
        // An executor of its own, so that no program is known.
        let executor = Executor::new(threads);
        let start = Instant::now();
        executor.compile(&workload.graph)?;
        answer(start)?;
    }
    println!("{}", resident_peak());
    Ok(())
}

fn answer(start: Instant) -> Result<(), Failure> {
    println!("{:.4}", start.elapsed().as_secs_f64() * 1e3);
    Ok(stdout().flush()?)
}

fn write(path: &Path, arrays: &[(String, Array)]) -> Result<(), Failure> {
    let named: Vec<(&str, &Array)> = arrays.iter().map(|(name, a)| (name.as_str(), a)).collect();
    npz::write(File::create(path)?, &named, npz::Compression::Stored)?;
    Ok(())
}

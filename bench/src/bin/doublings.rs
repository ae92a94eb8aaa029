//! How cost grows: time with points, data and population doubled four times, and memory.
//!
//! `doublings [THREADS]` prints a Markdown table; each row is a process of its own, so that its peak
//! of memory is its own. `doublings THREADS AXIS N` is such a process.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use thalweg_array::{Array, DType};
use thalweg_bench::Source;
use thalweg_bench::peak::resident_peak;
use thalweg_bench::workload::Failure;
use thalweg_data::{Dataset, Provenance, Subset};
use thalweg_exec::Executor;
use thalweg_methods::surface::{DirectionConfig, random_planes, surface};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Architecture, Loss, Model};
use thalweg_train::{Examples, Length, Member, Resources, TrainConfig, Trainer, Unobserved};

/// What is doubled, from how many, and what each is.
const AXES: [(&str, usize, &str); 3] = [
    ("points", 32, "points of a surface, 512 examples"),
    ("data", 512, "examples of a surface of 32 points"),
    ("population", 2, "members trained for 50 steps"),
];
const DOUBLINGS: u32 = 4;
/// Bytes that a surface and a population may take.
const BUDGET: usize = 64 << 20;
const SHAPE: [usize; 3] = [16, 16, 1];
const SEED: u64 = 7;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => table("0"),
        [threads] => table(threads),
        [threads, axis, n] => {
            let milliseconds = measure(threads.parse()?, axis, n.parse()?)?;
            println!("{milliseconds} {}", resident_peak());
            Ok(())
        }
        _ => Err("doublings [THREADS [AXIS N]]".into()),
    }
}

fn table(threads: &str) -> Result<(), Failure> {
    println!("| what is doubled | how many | ms | times the row before | resident MiB |");
    println!("|---|---|---|---|---|");
    for (axis, first, title) in AXES {
        let mut before: Option<f64> = None;
        for n in (0..=DOUBLINGS).map(|k| first << k) {
            let own = std::env::current_exe()?;
            let output = Command::new(own).args([threads, axis, &n.to_string()]).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
            let text = String::from_utf8(output.stdout)?;
            let (time, memory) = text.trim().split_once(' ').ok_or("no time and memory")?;
            let time: f64 = time.parse()?;
            let ratio = before.map_or(String::new(), |before| format!("{:.2}", time / before));
            println!("| {title} | {n} | {time:.0} | {ratio} | {memory} |");
            before = Some(time);
        }
    }
    Ok(())
}

/// Milliseconds of the work, the least of three runs.
fn measure(threads: usize, axis: &str, n: usize) -> Result<f64, Failure> {
    let model = "resnet depth=8 width=8".parse::<Architecture>()?.build(&SHAPE, 10)?;
    let executor = Arc::new(Executor::new(threads));
    let mut run: Box<dyn FnMut() -> Result<(), Failure>> = match axis {
        "points" => on_surface(executor, model, n, 512)?,
        "data" => on_surface(executor, model, 32, n)?,
        "population" => population(executor, model, n)?,
        other => return Err(format!("{other}: not an axis").into()),
    };
    run()?;
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}

fn examples(n: usize) -> Result<Subset, Failure> {
    let mut source = Source::new(SEED);
    let x = source.normals(DType::F32, &[&[n], SHAPE.as_slice()].concat());
    let y: Array = source.labels(n, 10);
    let data = Dataset::classification("drawn", &x, &y, Some(10), Provenance::default())?;
    Ok(Subset::all(Arc::new(data)))
}

type Run = Box<dyn FnMut() -> Result<(), Failure>>;

fn on_surface(
    executor: Arc<Executor>,
    model: Model,
    points: usize,
    n_examples: usize,
) -> Result<Run, Failure> {
    let data = examples(n_examples)?;
    let weights = thalweg_train::initialize(&model, SEED, DType::F32)?;
    let at: Vec<f64> = (0..points).map(|i| i as f64 / points as f64).collect();
    Ok(Box::new(move || {
        let ctx = Context::new(&executor, SEED).with_memory(BUDGET);
        let config = ObjectiveConfig::default();
        let objective = ModelObjective::new(&ctx, &model, Loss::default(), &data, None, &config)?;
        let directions = DirectionConfig::default();
        let planes = random_planes(&ctx, &objective, &weights, &directions, 1, false)?;
        surface(&ctx, &objective, &weights, &planes, &at, &[0.0])?;
        Ok(())
    }))
}

fn population(executor: Arc<Executor>, model: Model, members: usize) -> Result<Run, Failure> {
    let examples = Examples::new(&examples(512)?, None, DType::F32)?;
    let config = TrainConfig { length: Length::Steps(50), ..TrainConfig::default() };
    let resources = Resources { memory: Some(BUDGET), chunk: None };
    let trainer = Trainer::new(executor, model, examples, config, resources)?;
    let members: Vec<Member> = (0..members).map(|i| Member::new(i as u64, 0.05)).collect();
    Ok(Box::new(move || {
        let mut state = trainer.start(&members)?;
        trainer.run(&mut state, &mut Unobserved)?;
        Ok(())
    }))
}

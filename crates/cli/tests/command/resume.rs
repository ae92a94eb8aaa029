//! Killed or stopped at any moment, gone on with under any budget: the same bits.

use crate::harness::{Bench, Done, assert_same};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What must change no bit: the budgets in turn, one for each try.
const BUDGETS: [&str; 4] =
    ["--threads 1", "--threads 3 --memory 64MiB", "--threads 2 --memory 1GiB", "--memory 96MiB"];

/// Moments as shares of the time that an undisturbed run takes, from a seed.
fn moments(mut seed: u64, n: usize) -> Vec<f64> {
    let mut next = || {
        // SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n).map(|_| next()).collect()
}

/// Kills a run again and again, each time a while after it was gone on with, then lets it end.
///
/// The first kill comes once there is something to go on from; the moments after are random.
fn killed_and_resumed(bench: &Bench, line: &str, begun: &str, seed: u64) {
    let clock = Instant::now();
    bench.ok(&format!("{line} --out whole"));
    let whole = clock.elapsed();
    let mut killed = 0;
    for (i, moment) in moments(seed, 8).into_iter().enumerate() {
        let budget = BUDGETS[i % BUDGETS.len()];
        let mut command = bench.command(&format!("{line} {budget} --out killed --resume"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        match i {
            0 => while_running(&mut child, || !bench.exists(&format!("killed/{begun}"))),
            _ => sleep(whole.mul_f64(0.6 * moment)),
        }
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!ended || status.success(), "{line}, try {i}: {status}");
        killed += usize::from(!ended);
    }
    assert!(killed > 0, "the first kill waits for work in progress");
    bench.ok(&format!("{line} --out killed --resume"));
    assert_same(&bench.results("killed"), &bench.results("whole"));
}

/// Waits while a condition holds and the process runs.
fn while_running(child: &mut Child, condition: impl Fn() -> bool) {
    while condition() && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn train_ends_with_the_same_bits_after_kills() {
    let line = r#"train --arch "mlp hidden=8 norm=batch" --seeds 0..2 --lr 0.1,0.03 --epochs 120
                  --batch 32 --subsample 160 --checkpoints 30 --shift 1 --quiet
                  --watch sharpness:70,trace --watch-samples 60"#;
    killed_and_resumed(&Bench::new("kill-train"), line, "training/state.safetensors", 1);
}

#[test]
fn surface_ends_with_the_same_bits_after_kills() {
    let bench = Bench::new("kill-surface");
    bench.resnet("m");
    let line = "surface m --x -1:1:15 --pairs 2 --samples 48 --batch-norm recalibrated --quiet";
    killed_and_resumed(&bench, line, "units/surface", 2);
}

#[test]
fn map_ends_with_the_same_bits_after_kills() {
    let line = r#"map --arch "mlp hidden=8" --arch "resnet depth=8 width=4" --steps 40 --batch 32
                  --subsample 64 --grid -1:1:7 --line -1:1:5 --samples 48 --probes 4 --top 2
                  --roughness-directions 4 --quiet"#;
    killed_and_resumed(&Bench::new("kill-map"), line, "units", 3);
}

#[test]
fn spectrum_ends_with_the_same_bits_after_kills() {
    let bench = Bench::new("kill-spectrum");
    bench.resnet("m");
    let line = "spectrum m --top 2 --bottom 1 --trace 16 --density 4 --samples 64 --quiet";
    killed_and_resumed(&bench, line, "units/lanczos", 4);
}

#[test]
fn compare_ends_with_the_same_bits_after_kills() {
    let bench = Bench::new("kill-compare");
    bench.mlp("m");
    bench.resnet("n");
    let line = "compare m n --instruments average_sharpness:draws=12,m_sharpness:m=8,trace:probes=24,\
                neural_collapse,feature_rank --samples 64 --quiet";
    killed_and_resumed(&bench, line, "units", 5);
    // Whatever is left is whole: nothing that was being written is there.
    let mut folders = vec![bench.path("killed")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.ends_with(".part"), "{} is half-written", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

#[test]
fn threads_and_memory_change_no_bit() {
    let bench = Bench::new("budgets");
    bench.resnet("m");
    let lines = [
        r#"train --arch "resnet depth=8 width=4" --seeds 0..3 --steps 6 --subsample 64 --quiet"#,
        "surface m --x -1:1:5 --samples 48 --batch-norm batch --batch 32 --quiet",
        "spectrum m --top 2 --trace 4 --samples 48 --quiet",
    ];
    for (n, line) in lines.iter().enumerate() {
        bench.ok(&format!("{line} --out {n}-free"));
        for (i, budget) in BUDGETS.iter().enumerate() {
            bench.ok(&format!("{line} {budget} --out {n}-{i}"));
            assert_same(&bench.results(&format!("{n}-{i}")), &bench.results(&format!("{n}-free")));
        }
        let other = format!("{line} --seed 1 --out {n}-other");
        bench.ok(&other);
        let (free, other) =
            (bench.results(&format!("{n}-free")), bench.results(&format!("{n}-other")));
        assert!(free != other, "{line}: another seed is another result");
    }
}

/// Sends Ctrl-C once the run says that it is at work; gives what it printed.
fn interrupted(bench: &Bench, line: &str, at_work: &str) -> Done {
    let mut command = bench.command(line);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(at_work) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{line} ended: {said}");
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    stderr.read_to_string(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    Done { stderr: said, ..Done::of(output) }
}

#[test]
fn ctrl_c_is_code_130_and_resume_ends_with_the_same_bits() {
    let bench = Bench::new("ctrl-c");
    bench.resnet("m");
    let lines = [
        (
            r#"train --arch "resnet depth=8 width=4" --steps 400 --batch 32 --subsample 64"#,
            "training",
        ),
        ("surface m --x -1:1:41 --samples 48", "surface"),
        (
            r#"map --arch "mlp hidden=8" --steps 20 --subsample 64 --grid -1:1:61 --line -1:1:5
               --samples 48 --top 1 --probes 2 --roughness-directions 2"#,
            "surface",
        ),
    ];
    for (n, (line, at_work)) in lines.into_iter().enumerate() {
        let (out, whole) = (format!("{n}-stopped"), format!("{n}-whole"));
        let done = interrupted(&bench, &format!("{line} --json --out {out}"), at_work);
        assert_eq!(done.code, Some(130), "{line}: {done:?}");
        assert_eq!(done.json()["error"], done.sentence());
        assert!(done.sentence().contains("--resume"), "{}", done.sentence());
        bench.ok(&format!("{line} --quiet --out {out} --resume"));
        bench.ok(&format!("{line} --quiet --out {whole}"));
        assert_same(&bench.results(&out), &bench.results(&whole));
    }
}

#[test]
fn a_directory_has_one_writer() {
    let bench = Bench::new("two-writers");
    let line = r#"train --arch "resnet depth=8 width=4" --steps 4000 --batch 32 --subsample 64"#;
    let mut command = bench.command(&format!("{line} --quiet --out r"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while_running(&mut child, || !bench.exists("r/study.toml"));
    let done = bench.run(&format!("{line} --quiet --out r --resume"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.sentence().contains(&format!("process {}", child.id())), "{}", done.sentence());
}

#[test]
fn without_out_runs_are_numbered_and_the_latest_is_resumed() {
    let bench = Bench::new("numbered");
    let line = r#"train --arch "mlp hidden=4" --steps 2 --subsample 32"#;
    let run = |line: &str| bench.json(line)["run"].as_str().unwrap().to_owned();
    assert_eq!(run(line), "runs/train");
    assert_eq!(run(line), "runs/train-2");
    assert_eq!(run(&format!("{line} --resume")), "runs/train-2");
    assert_same(&bench.results("runs/train"), &bench.results("runs/train-2"));
}

//! Faults that the command line alone shows: exit code 2, one sentence, nothing made.

use crate::harness::Bench;

/// Lines, and what the sentence must say.
const FAULTS: [(&str, &[&str]); 87] = [
    ("surface m --x -1:1:0", &["--x", "0 points", "at least 1"]),
    ("surface m --x -1:1:10000000000000000000000", &["--x", "more than the 100000000"]),
    ("surface m --x -1:1:20000", &["400000000 points", "at most 100000000"]),
    ("surface m --x -1:1:7000 --pairs 3", &["147000000 points", "at most"]),
    ("surface m --x -1:1", &["--x", "A:B:N"]),
    ("surface m --x nan:1:3", &["--x", "numbers"]),
    ("surface m --x -1:1:1", &["one point lies at one place"]),
    ("surface m --line --y 0:1:2", &["--line", "--y"]),
    ("surface m --directions north", &["--directions north", "expected random"]),
    ("surface m --directions checkpoints", &["two or three models"]),
    ("surface m n --directions random", &["one model, got 2"]),
    ("surface m --pairs 0", &["--pairs 0", "at least 1"]),
    ("surface m --pairs 2 --directions eigenvectors", &["--pairs 2", "unless they are random"]),
    ("surface m --normalize rows", &["--normalize", "one of filter, layer, weight, dfilter"]),
    ("surface m --ignore weights", &["--ignore", "bias, norm or none"]),
    ("surface m --directions trajectory --normalize filter", &["trajectory", "give none"]),
    ("surface m --directions trajectory --line", &["--line", "plane"]),
    ("surface m --batch-norm thawed", &["--batch-norm", "frozen, batch or recalibrated"]),
    ("surface m --split validation", &["--split validation", "train, test or all"]),
    ("surface m --samples 0", &["--samples", "at least 1"]),
    ("surface m --batch 0", &["--batch 0", "at least 1"]),
    ("surface m --loss hinge", &["--loss", "hinge", "cross-entropy"]),
    ("surface m --tolerance 0", &["--tolerance 0", "above 0 and below 1"]),
    ("surface m --tolerance -0.1", &["--tolerance -0.1", "above 0 and below 1"]),
    ("surface m --tolerance nan", &["--tolerance NaN", "above 0 and below 1"]),
    ("surface m --tolerance 0.01 --exact", &["--tolerance", "--exact"]),
    ("map --tolerance 1", &["--tolerance 1", "above 0 and below 1"]),
    ("map --tolerance 0.01 --exact", &["--tolerance", "--exact"]),
    ("spectrum m --trace 1", &["--trace", "at least 2"]),
    ("spectrum m --trace 1000000000000000000", &["--trace 1000", "at most 1000000"]),
    ("spectrum m --density 1000000000000", &["--density 1000", "at most 1000000"]),
    ("surface m --basin 1000000000000", &["--basin 1000", "at most 1000000"]),
    ("map --roughness-directions 1000000000000000000", &["directions 1000", "at most 1000000"]),
    (
        "compare m m --instruments average_sharpness:draws=1000000000000000000",
        &["draws", "up to 1000000"],
    ),
    (
        "compare m m --instruments spectral_density:points=1000000000000",
        &["points", "up to 1000000"],
    ),
    ("spectrum m --of hesian", &["--of", "hesian", "gauss-newton"]),
    ("spectrum m --estimator guess", &["--estimator guess", "hutch++"]),
    ("spectrum m --estimator xtrace --trace 5%", &["--estimator xtrace", "hutchinson"]),
    ("spectrum m --estimator hutch++ --trace 5", &["--trace 5", "at least 6"]),
    ("spectrum m --density 1", &["--density 1", "at least 2"]),
    ("spectrum m --tolerance 0", &["--tolerance", "between 0 and 1"]),
    ("spectrum m --relative-to hessian", &["--relative-to hessian", "as fisher"]),
    ("spectrum m --relative-to fishers", &["--relative-to", "fishers", "gauss-newton"]),
    ("spectrum m --relative-to fisher --damping 0", &["--damping 0", "a positive number"]),
    ("spectrum m --damping 1", &["--relative-to <MATRIX>"]),
    ("spectrum m --relative-to fisher --trace 8", &["--trace", "without --relative-to"]),
    ("spectrum m --relative-to fisher --density", &["--density", "without --relative-to"]),
    ("spectrum m --relative-to fisher --preconditioned", &["--preconditioned", "without"]),
    ("spectrum m --relative-to fisher --top 0", &["--top 0", "some eigenvalues"]),
    ("spectrum m --between fc1", &["--between", "two parts of the model, got 1"]),
    ("spectrum m --between fc1,fc2 --of fisher-kfac", &["--of fisher-kfac", "expected fisher"]),
    ("spectrum m --between a,b --relative-to fisher", &["--relative-to", "without --between"]),
    ("spectrum m --between a,b --layer a", &["--between", "--layer"]),
    ("spectrum m --examples 3..3", &["--examples", "the end is left out"]),
    ("spectrum m --examples 1,2,1", &["--examples", "example 1 comes twice"]),
    ("spectrum m --examples 1 --class 1", &["--examples", "--class"]),
    (r#"spectrum m --loss "mse balanced=0.9 from=0.5""#, &["--loss", "from", "with train"]),
    (r#"surface m --loss "cross-entropy balanced=1""#, &["--loss", "0 to below 1"]),
    (r#"train --loss "cross-entropy tau=-1""#, &["--loss", "tau", "at least 0"]),
    (r#"train --loss "mse margin=1""#, &["--loss", "margin", "of cross-entropy"]),
    (r#"train --loss "cross-entropy blanced=0.9""#, &["--loss", "did you mean", "balanced"]),
    (r#"train --loss "cross-entropy from=0.5""#, &["--loss", "with balanced"]),
    ("spectrum m --top 1000000", &["1000000 eigenvalues", "at most 300"]),
    ("map --grid -1:1:100000", &["10000000000 points", "at most"]),
    ("map --top 0", &["--top 0", "at least 1"]),
    ("map --probes 1", &["--probes 1", "at least 2"]),
    ("map --roughness-directions 1", &["--roughness-directions 1", "at least 2"]),
    ("map --rho 0", &["--rho 0", "positive"]),
    ("map --arch resnest", &["--arch", "resnest", "resnet"]),
    ("map m --epochs 3", &["not trained", "leave out"]),
    (r#"train --arch "mlp hiden=8""#, &["--arch", "did you mean", "hidden"]),
    (r#"train --arch "mlp hidden=0""#, &["--arch", "hidden", "at least one unit"]),
    (r#"train --arch "resnet depth=9""#, &["--arch", "depth", "6n + 2"]),
    ("train --optimizer sgd:lr=1", &["--optimizer", "momentum"]),
    ("train --schedule flat", &["--schedule", "constant"]),
    ("train --lr -1", &["--lr", "0.1,0.03"]),
    ("train --seeds 3..3", &["--seeds", "left out"]),
    ("train --epochs 1 --steps 1", &["--epochs", "--steps"]),
    ("train --weight-decay -1", &["--weight-decay", "at least 0"]),
    ("train --label-noise 2", &["--label-noise 2", "0 to 1"]),
    ("train --test-fraction 1", &["--test-fraction 1", "below 1"]),
    ("train --subsample 0", &["--subsample 0", "at least 1"]),
    ("train --context 0", &["--context 0", "at least 1 token"]),
    (r#"train --arch "vit patch=3""#, &["--arch", "patch", "divisor"]),
    ("train --precision f16", &["--precision", "f32 or f64"]),
    ("train --memory plenty", &["--memory", "2GiB"]),
    ("train --threads 1000000", &["--threads 1000000", "at most"]),
];

#[test]
fn each_fault_is_told_in_one_sentence_with_code_2_and_nothing_is_made() {
    let bench = Bench::new("command-lines");
    for (line, parts) in FAULTS {
        let done = bench.run(&format!("{line} --out o/p"));
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
        assert_eq!(
            (done.stdout.as_str(), done.stderr.lines().count()),
            ("", 1),
            "{line}: {done:?}"
        );
        for part in parts {
            assert!(done.sentence().contains(part), "{line}: {part}: {}", done.sentence());
        }
        assert!(!bench.exists("o") && !bench.exists("runs"), "{line}");
    }
}

#[test]
fn unknown_words_lead_to_help_or_to_the_nearest() {
    let bench = Bench::new("unknown-words");
    let sentence = |line: &str| bench.run(line).sentence().to_owned();
    assert!(sentence("train --stps 3").contains("'--steps'"));
    assert!(sentence("train --zzz").contains("--help"));
    assert!(sentence("export a").contains("<--onnx|--safetensors|--csv|--npz>"));
    assert!(sentence("surfac m").contains("'surface'"));
    let nothing = bench.run("");
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("Usage: thalweg"), "{nothing:?}");
}

//! `papers` and `reproduce`.

use crate::harness::Bench;

const CHECK: &str = "reproduce landscape_sample_convergence --sample";

#[test]
fn papers_are_listed_and_one_is_shown_in_full() {
    let bench = Bench::new("papers");
    let all = bench.json("papers");
    assert_eq!(all["papers"].as_array().unwrap().len(), 186);
    let text = bench.ok("papers").stdout;
    let planned = all["papers"].as_array().unwrap().iter();
    let planned = planned.filter(|paper| paper["status"] == "planned").count();
    assert_eq!(text.lines().filter(|line| line.contains("  planned  ")).count(), planned);
    assert!(planned < 186);
    let one = bench.ok("papers sam").stdout;
    assert!(one.contains("arXiv 2010.01412") && one.contains("claim"), "{one}");
    let family = bench.json("papers --family dynamics");
    let families = family["papers"].as_array().unwrap().iter();
    assert!(families.clone().count() == 10 && families.clone().all(|p| p["family"] == "dynamics"));
    let wrong = bench.run("papers filter_normalisation");
    assert_eq!(wrong.code, Some(2));
    let sentence = wrong.sentence();
    assert!(sentence.contains("near it are filter_normalization,"), "{sentence}");
    assert_eq!(bench.run("papers sam --family surface").code, Some(2));
}

#[test]
fn a_check_is_resumed_from_what_is_done_and_says_the_same() {
    let bench = Bench::new("reproduce");
    let first = bench.ok(&format!("{CHECK} --out r --json"));
    for part in ["decides: ", "planned: ", "could show: ", "a sample: its verdict means nothing"] {
        assert!(first.stderr.contains(part), "{part} in {}", first.stderr);
    }
    assert!(first.stderr.contains("training: networks/"), "{}", first.stderr);
    let first = first.json();
    assert_eq!(first["scale"], "sample");
    assert!(first["parts"].as_array().unwrap().len() == 2 && first["statistic"].is_object());
    assert!(bench.exists("r/RESULTS.md") && bench.exists("r/report.html"));
    // The result is kept; without it, the networks are.
    for lost in [None, Some("r/checks")] {
        if let Some(lost) = lost {
            std::fs::remove_dir_all(bench.path(lost)).unwrap();
        }
        let again = bench.ok(&format!("{CHECK} --out r --resume --json"));
        assert!(!again.stderr.contains("training: networks/"), "{}", again.stderr);
        let again = again.json();
        for key in ["parts", "gates", "readings", "verdict", "statistic"] {
            assert_eq!(again[key], first[key], "{key}");
        }
    }
    let other = bench.run("reproduce landscape_sample_convergence --out r --resume");
    assert!(other.sentence().contains("scale"), "{other:?}");
}

/// Where the record of a check is to be there is a folder, so that it cannot be written.
#[test]
fn a_check_that_cannot_be_run_is_told_at_the_end_and_tried_again() {
    let bench = Bench::new("reproduce-on");
    let [first, second] = ["landscape_sample_convergence", "nap"];
    let line = format!("reproduce {first} {second} --sample --out r");
    let done = bench.ok(&line);
    for (place, slug) in [(1, first), (2, second)] {
        let told = format!("{place} of 2: {slug}: a sample, which decides nothing, ");
        assert!(done.stderr.contains(&told), "{told} in {}", done.stderr);
    }
    assert!(done.stderr.contains("2 checks, "), "{}", done.stderr);
    let records = std::fs::read_dir(bench.path("r/checks")).unwrap();
    let mut records = records.map(|record| record.unwrap().path());
    let own =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(first);
    let record = records.find(own).unwrap();
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    let again = format!("{line} --resume");
    let done = bench.run(&format!("{again} --json"));
    assert_eq!(done.code, Some(1));
    assert_eq!(done.sentence(), format!("1 of 2 checks could not be run: {first}"));
    let object = done.json();
    let [checks, failed] = ["checks", "failed"].map(|key| object[key].as_array().unwrap());
    assert_eq!((checks.len(), &checks[0]["slug"]), (1, &second.into()));
    assert_eq!((failed.len(), &failed[0]["slug"]), (1, &first.into()));
    let page = String::from_utf8(bench.read("r/RESULTS.md")).unwrap();
    assert!(
        page.contains("## Could not be run") && page.contains(&format!("- {first}: ")),
        "{page}"
    );
    let text = bench.run(&again).stdout;
    assert!(text.lines().any(|line| line.contains(first) && line.contains("could not be run")));
    std::fs::remove_dir(&record).unwrap();
    let done = bench.json(&again);
    assert_eq!(
        (done["checks"].as_array().unwrap().len(), &done["failed"]),
        (2, &serde_json::json!([]))
    );
}

#[test]
fn what_reproduce_cannot_do_is_told() {
    let bench = Bench::new("reproduce-refused");
    for (line, part) in [
        ("reproduce llm4distreconfig", "no check yet"),
        ("reproduce hessian_bulk", "near it are hessian_bulk_outliers"),
        ("reproduce deep_linear_collapse --precision f64", "each check sets its own"),
        ("reproduce deep_linear_collapse llm4distreconfig", "llm4distreconfig has no check yet"),
        ("reproduce --all --sample --write-results R.md", "--sample"),
    ] {
        let done = bench.run(&format!("{line} --out o"));
        assert_eq!(done.code, Some(2), "{line}: {done:?}");
        assert!(done.sentence().contains(part), "{line}: {done:?}");
        assert!(!bench.exists("o") && !bench.exists("R.md"), "{line}");
    }
}

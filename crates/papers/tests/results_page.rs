//! The words of RESULTS.md follow from its numbers by the rules as they are now.
//!
//! After a bound, a claim or a remark is corrected, `THALWEG_WRITE_RESULTS=1 cargo test -p thalweg-papers
//! --test results_page` judges the numbers of the page again and writes its words anew; that run fails
//! all the same, so that it can prove nothing. Numbers come from `thalweg reproduce` alone.

use std::path::Path;
use std::{env, fs};
use thalweg_papers::{Paper, Scale, record, registry, results};
use thalweg_record::reply::{
    CheckGate, CheckInterval, CheckPart, CheckReading, DatedCheck, ReproduceBody, Verdict,
};
use thalweg_record::{Estimate, Quantity};

#[test]
fn the_page_says_what_the_rules_say_of_its_numbers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let page = fs::read_to_string(&file).unwrap();
    let mut found = read(&page);
    let slugs: Vec<&str> = found.iter().map(|dated| dated.found.slug.as_str()).collect();
    let checks: Vec<&str> = registry::checks().iter().map(|check| check.slug()).collect();
    assert_eq!(slugs, checks, "the page has every check, in the order of the registry");
    for DatedCheck { found, .. } in &mut found {
        let paper = Paper::find(&found.slug).unwrap();
        let protocol = paper.check().unwrap().protocol(Scale::Whole, 0).unwrap();
        let decided: Vec<&str> = found.parts.iter().map(|part| part.name.as_str()).collect();
        let decide: Vec<&str> = protocol.parts.iter().map(|part| part.name).collect();
        assert_eq!(decided, decide, "{}: other numbers decide now; run it again", found.slug);
        let ends = [found.seeds[0], found.seeds[1]].map(Some);
        let seeds = [protocol.seeds.first(), protocol.seeds.last()].map(|seed| seed.copied());
        assert_eq!(ends, seeds, "{}: other seeds are run now; run it again", found.slug);
        record::judge(found, paper, &protocol);
    }
    let judged = results::page("", &found);
    let write = env::var_os("THALWEG_WRITE_RESULTS").is_some();
    if write {
        fs::write(&file, &judged).unwrap();
    }
    assert!(!write, "the page is written; run the test again without THALWEG_WRITE_RESULTS");
    for (written, judged) in page.lines().zip(judged.lines()) {
        assert_eq!(written, judged);
    }
    assert_eq!(page.len(), judged.len());
}

/// The checks of a page, with its numbers as they are rounded there; of seeds the first and the last.
fn read(page: &str) -> Vec<DatedCheck> {
    let (table, sections) = page.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ["));
    let sections = sections.split("\n## ");
    assert_eq!(rows.clone().count(), sections.clone().count(), "a section for every row");
    rows.zip(sections).map(|(row, section)| dated(row, section)).collect()
}

fn dated(row: &str, section: &str) -> DatedCheck {
    let cells: Vec<&str> = row.trim_end_matches(" |").rsplitn(3, " | ").collect();
    let (date, version) = cells[0].split_once(", ").unwrap();
    DatedCheck {
        found: check(section),
        seconds: cells[1].parse().unwrap(),
        date: date.into(),
        version: version.into(),
    }
}

fn check(section: &str) -> ReproduceBody {
    let (slug, rest) = section.split_once("\n\n").unwrap();
    let (head, list) = rest.split_once("\n\n").unwrap();
    let (claim, head) = head.split_once(" **").unwrap();
    let (_, seeds) = head.split_once("**, on seeds ").unwrap();
    let (seeds, head) = seeds.split_once(", ").unwrap();
    let (first, last) = seeds.split_once(" to ").unwrap();
    let (flops, head) = head.split_once(" planned, ").unwrap();
    let (settings, detectable) = head.split_once(" setting(s) an arm. It could show: ").unwrap();
    let mut check = ReproduceBody {
        slug: slug.into(),
        claim: claim.into(),
        verdict: Verdict::Inconclusive,
        statistic: Quantity::Exact(f64::NAN),
        criterion: String::new(),
        seeds: vec![first.parse().unwrap(), last.parse().unwrap()],
        scale: "whole".into(),
        flops: operations(flops),
        settings: settings.parse().unwrap(),
        detectable: detectable.trim_end_matches('.').into(),
        gates: Vec::new(),
        parts: Vec::new(),
        readings: Vec::new(),
    };
    for line in list.lines().filter_map(|line| line.strip_prefix("- ")) {
        let line = line.strip_suffix('.').unwrap();
        if let Some(reading) = line.strip_prefix("Beside it: ") {
            check.readings.push(self::reading(reading));
        } else if let Some(gate) = line.strip_prefix("Gate ") {
            let (word, gate) = gate.split_once(": ").unwrap();
            let (name, found) = gate.split_once(" (").unwrap();
            let found = found.strip_suffix(')').unwrap().into();
            check.gates.push(CheckGate { name: name.into(), passed: word == "holds", found });
        } else {
            check.parts.push(part(line));
        }
    }
    check
}

fn part(line: &str) -> CheckPart {
    let (name, rest) = line.split_once(": ").unwrap();
    let (value, rest) = rest.split_once("], ").unwrap();
    let (samples, _) = rest.split_once(" samples. ").unwrap();
    let (value, interval) = with_interval(value);
    let estimate = Estimate { value, standard_error: f64::NAN, samples: samples.parse().unwrap() };
    CheckPart {
        name: name.into(),
        statistic: Quantity::Estimate(estimate),
        interval,
        criterion: String::new(),
        verdict: Verdict::Inconclusive,
    }
}

fn reading(line: &str) -> CheckReading {
    let Some(line) = line.strip_suffix(']') else {
        let (name, value) = line.rsplit_once(' ').unwrap();
        return CheckReading { name: name.into(), value: value.parse().unwrap(), interval: None };
    };
    let start = line[..line.rfind(" [").unwrap()].rfind(' ').unwrap();
    let (value, interval) = with_interval(&line[start + 1..]);
    CheckReading { name: line[..start].into(), value, interval: Some(interval) }
}

/// `0.1 [0.05, 0.2`.
fn with_interval(text: &str) -> (f64, CheckInterval) {
    let (value, interval) = text.split_once(" [").unwrap();
    let (low, high) = interval.split_once(", ").unwrap();
    let [value, low, high] = [value, low, high].map(|number| number.parse().unwrap());
    (value, CheckInterval { low, high })
}

/// `1.5 TFLOP`.
fn operations(text: &str) -> u64 {
    let (count, unit) = text.split_once(' ').unwrap();
    let power = ["MFLOP", "GFLOP", "TFLOP", "PFLOP"].iter().position(|known| *known == unit);
    let scale = power.map_or(1.0, |power| 1e6 * 1e3f64.powi(power as i32));
    (count.parse::<f64>().unwrap() * scale).round() as u64
}

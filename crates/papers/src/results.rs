//! Results as a page of Markdown, and in sentences.

use crate::registry::checks;
use crate::work;
use thalweg_record::Quantity;
use thalweg_record::reply::{
    CheckGate, CheckInterval, CheckPart, CheckReading, DatedCheck, FailedCheck, ReproduceBody,
    Verdict,
};

const HEAD: &str = "\
# What the papers claim, and what was found

Written by `thalweg reproduce PAPER.. --write-results FILE`; not to be edited. Each check is documented in
its file under `src`, with its protocol and where that departs from the paper. A claim is confirmed
when the whole 95 % interval of every number that decides lies within its bound, refuted when one
lies within the opposite, and inconclusive otherwise. Seconds are those of the run that ended it, which
may have gone on from what another had done, on a machine that may have had other work.

| paper | claim | deciding number | verdict | seconds | run |
|---|---|---|---|---|---|
";

/// The page of results: a table, then each with its numbers, in the order of the registry. What was found
/// takes the place of what a page says of the same checks; what it says of others stays.
pub fn page(before: &str, found: &[DatedCheck]) -> String {
    let (mut table, mut sections) = (HEAD.to_owned(), String::new());
    for check in checks() {
        let slug = check.slug();
        if let Some(dated) = found.iter().find(|dated| dated.found.slug == slug) {
            table += &row(dated);
            sections += &section(&dated.found);
        } else {
            let mut rows = before.lines().filter(|row| row.starts_with(&format!("| [{slug}](")));
            table.extend(rows.next().map(|row| format!("{row}\n")));
            let own = format!("{slug}\n");
            let mut parts = before.split("\n## ").filter(|part| part.starts_with(&own));
            sections.extend(parts.next().map(|part| format!("\n## {part}")));
        }
    }
    table + &sections
}

fn row(dated: &DatedCheck) -> String {
    let check = &dated.found;
    format!(
        "| [{slug}](#{slug}) | {} | {} | {} | {:.0} | {}, {} |\n",
        cell(&check.claim),
        deciding(check),
        word(check.verdict),
        dated.seconds,
        dated.date,
        dated.version,
        slug = check.slug,
    )
}

/// What follows the page where some checks could not be run; nothing where all could.
pub fn failures(failed: &[FailedCheck]) -> String {
    let lines: String = failed.iter().map(|of| format!("- {}: {}\n", of.slug, of.error)).collect();
    if lines.is_empty() { lines } else { format!("\n## Could not be run\n\n{lines}") }
}

/// What came out, in a line.
pub fn line(dated: &DatedCheck) -> String {
    let DatedCheck { found, seconds, date, .. } = dated;
    format!("{}, {}, {seconds:.0} s, {date}", outcome(found), deciding(found))
}

/// The number that decided: the first with the verdict of all.
fn deciding(check: &ReproduceBody) -> String {
    let same = check.parts.iter().find(|part| part.verdict == check.verdict);
    same.or(check.parts.first()).map_or("not measured".to_owned(), |part| {
        format!("{} {}", part.name, with_interval(part.statistic.value(), part.interval))
    })
}

fn section(check: &ReproduceBody) -> String {
    let (first, last) = (check.seeds.first(), check.seeds.last());
    let seeds = match (first, last) {
        (Some(first), Some(last)) => format!("seeds {first} to {last}"),
        _ => "no seeds".to_owned(),
    };
    let mut text = format!(
        "\n## {}\n\n{} **{}**, on {seeds}, {} planned, {} setting(s) an arm. It could show: {}.\n\n",
        check.slug,
        check.claim,
        word(check.verdict),
        work::words(check.flops),
        check.settings,
        check.detectable,
    );
    for part in &check.parts {
        text += &format!(
            "- {}: {}, {} samples. {}: {}.\n",
            part.name,
            with_interval(part.statistic.value(), part.interval),
            samples(&part.statistic),
            part.criterion,
            word(part.verdict),
        );
    }
    for gate in &check.gates {
        let word = if gate.passed { "holds" } else { "DOES NOT HOLD" };
        text += &format!("- Gate {word}: {} ({}).\n", gate.name, gate.found);
    }
    for reading in &check.readings {
        let value = match reading.interval {
            Some(interval) => with_interval(reading.value, interval),
            None => number(reading.value),
        };
        text += &format!("- Beside it: {} {value}.\n", reading.name);
    }
    if let Some(check) = checks().into_iter().find(|known| known.slug() == check.slug)
        && let Some(remark) = check.remark()
    {
        text += &format!("\n{remark}\n");
    }
    text
}

/// What a check found, number by number with its words, for the page of a run of this check.
pub fn entries(check: &ReproduceBody) -> Vec<(String, String)> {
    let part = |part: &CheckPart| {
        let value = with_interval(part.statistic.value(), part.interval);
        let (samples, word) = (samples(&part.statistic), word(part.verdict));
        (part.name.clone(), format!("{value}, {samples} samples. {}: {word}.", part.criterion))
    };
    let gate = |gate: &CheckGate| {
        let word = if gate.passed { "holds" } else { "does not hold, so that nothing is decided" };
        (gate.name.clone(), format!("A condition, which {word}: {}.", gate.found))
    };
    let reading = |reading: &CheckReading| {
        let value = match reading.interval {
            Some(interval) => with_interval(reading.value, interval),
            None => number(reading.value),
        };
        (reading.name.clone(), format!("{value}, beside what decides."))
    };
    let parts = check.parts.iter().map(part);
    let gates = check.gates.iter().map(gate);
    parts.chain(gates).chain(check.readings.iter().map(reading)).collect()
}

/// A check in a paragraph, for the page of a run of several.
pub fn paragraph(check: &ReproduceBody) -> String {
    let parts: Vec<String> = check
        .parts
        .iter()
        .map(|part| {
            let value = with_interval(part.statistic.value(), part.interval);
            format!("{} {value} ({}): {}.", part.name, part.criterion, word(part.verdict))
        })
        .collect();
    let failed = check.gates.iter().filter(|gate| !gate.passed);
    let failed: Vec<String> =
        failed.map(|gate| format!("Did not hold: {} ({}).", gate.name, gate.found)).collect();
    let mut text = format!("{} {}: ", check.claim, outcome(check));
    text += &[parts, failed].concat().join(" ");
    text
}

/// What came out, of a sample that it means nothing.
pub fn outcome(check: &ReproduceBody) -> String {
    match check.scale.as_str() {
        "sample" => "a sample, which decides nothing".to_owned(),
        _ => word(check.verdict).to_owned(),
    }
}

/// A verdict's name.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Refuted => "refuted",
        Verdict::Inconclusive => "inconclusive",
    }
}

fn with_interval(value: f64, interval: CheckInterval) -> String {
    format!("{} [{}, {}]", number(value), number(interval.low), number(interval.high))
}

fn samples(quantity: &Quantity) -> u64 {
    match quantity {
        Quantity::Exact(_) => 1,
        Quantity::Estimate(estimate) => estimate.samples,
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    // Where the first digit is once the number is rounded: 99.99 is 100.
    let scientific = format!("{value:.2e}");
    let magnitude = scientific.split_once('e').and_then(|(_, power)| power.parse::<i32>().ok());
    match magnitude {
        Some(magnitude @ -3..3) => format!("{value:.*}", (2 - magnitude) as usize),
        Some(3..6) => format!("{value:.0}"),
        _ => scientific,
    }
}

/// A text that keeps the columns of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::Estimate;

    fn dated() -> DatedCheck {
        let interval = CheckInterval { low: 0.101, high: 0.4 };
        let statistic = Estimate { value: 0.25, standard_error: 0.05, samples: 10 };
        DatedCheck {
            found: ReproduceBody {
                slug: "sam".into(),
                claim: "The ratio |a/b| grows.".into(),
                verdict: Verdict::Confirmed,
                statistic: statistic.into(),
                criterion: "ratio: a over b; interval above 0".into(),
                seeds: (0..10).collect(),
                scale: "whole".into(),
                flops: 2_000_000_000,
                settings: 1,
                detectable: "much".into(),
                gates: vec![CheckGate {
                    name: "runs end".into(),
                    passed: true,
                    found: "10".into(),
                }],
                parts: vec![CheckPart {
                    name: "ratio".into(),
                    statistic: statistic.into(),
                    interval,
                    criterion: "a over b; interval above 0".into(),
                    verdict: Verdict::Confirmed,
                }],
                readings: vec![CheckReading { name: "b".into(), value: 12345.6, interval: None }],
            },
            seconds: 12.4,
            date: "2026-01-31".into(),
            version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_run_shows_every_number_and_a_sample_no_verdict() {
        let mut one = dated().found;
        let entries = entries(&one);
        let text: Vec<String> =
            entries.iter().map(|(name, how)| format!("{name}: {how}")).collect();
        assert_eq!(
            text,
            [
                "ratio: 0.250 [0.101, 0.400], 10 samples. a over b; interval above 0: confirmed.",
                "runs end: A condition, which holds: 10.",
                "b: 12346, beside what decides.",
            ]
        );
        assert_eq!(outcome(&one), "confirmed");
        one.scale = "sample".into();
        assert!(outcome(&one).contains("decides nothing"));
    }

    #[test]
    fn the_page_has_a_row_and_a_section_for_each() {
        let text = page("", &[dated()]);
        let row = "| [sam](#sam) | The ratio \\|a/b\\| grows. | ratio 0.250 [0.101, 0.400] | \
                   confirmed | 12 | 2026-01-31, 0.1.0 |\n";
        assert!(text.contains(row), "{text}");
        for line in [
            "## sam\n\nThe ratio |a/b| grows. **confirmed**, on seeds 0 to 9, 2.0 GFLOP planned,",
            "- ratio: 0.250 [0.101, 0.400], 10 samples. a over b; interval above 0: confirmed.\n",
            "- Gate holds: runs end (10).\n",
            "- Beside it: b 12346.\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(page(&text, &[]), text);
        let mut other = dated();
        other.found.slug = "nap".into();
        let both = page(&text, &[other.clone()]);
        assert_eq!(both, page("", &[dated(), other.clone()]));
        other.found.verdict = Verdict::Refuted;
        assert_eq!(page(&both, &[other.clone()]), page("", &[other, dated()]));
    }

    #[test]
    fn a_check_that_was_not_measured_says_why() {
        let mut dated = dated();
        dated.found.parts.clear();
        dated.found.verdict = Verdict::Inconclusive;
        dated.found.gates[0].passed = false;
        assert!(page("", &[dated.clone()]).contains("| not measured | inconclusive |"));
        let text = paragraph(&dated.found);
        assert!(text.ends_with("inconclusive: Did not hold: runs end (10)."), "{text}");
        assert_eq!(line(&dated), "inconclusive, not measured, 12 s, 2026-01-31");
        let failed = FailedCheck { slug: "nap".into(), error: "no such data".into() };
        assert_eq!(failures(&[failed]), "\n## Could not be run\n\n- nap: no such data\n");
        assert_eq!(failures(&[]), "");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, -1.2345, 0.0012345, 99.99, 1234.5, 1.5e9, 2.5e-7, f64::NAN].map(number);
        let expected = ["0", "-1.23", "0.00123", "100", "1234", "1.50e9", "2.50e-7", "NaN"];
        assert_eq!(shown, expected);
        // What a page says is said again by a page that is made of it.
        let of_page = expected.map(|text| number(text.parse().unwrap_or(f64::NAN)));
        assert_eq!(of_page, expected);
    }
}

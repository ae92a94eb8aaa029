//! Papers and checks in words.

use crate::table::{left_table, number, pair, quantity, table};
use thalweg_record::reply::{
    CheckInterval, PaperStatus, PapersBody, ReproduceAllBody, ReproduceBody, Verdict,
};

/// One paper in full, or a line for each.
pub fn list(body: &PapersBody) -> String {
    let status = |status: PaperStatus| match status {
        PaperStatus::Done => "done",
        PaperStatus::Planned => "planned",
    };
    if let [paper] = body.papers.as_slice() {
        return table(
            &["", ""],
            &[
                pair("paper", format!("{}, {}", paper.n, paper.slug)),
                pair("title", paper.title.clone()),
                pair("source", paper.source.clone()),
                pair("family", paper.family.clone()),
                pair("kind", paper.kind.clone()),
                pair("claim", paper.claim.clone()),
                pair("check", status(paper.status).to_owned()),
            ],
        );
    }
    let rows: Vec<Vec<String>> = body
        .papers
        .iter()
        .map(|paper| {
            vec![
                paper.n.to_string(),
                paper.slug.clone(),
                paper.family.clone(),
                paper.kind.clone(),
                status(paper.status).to_owned(),
                paper.title.clone(),
            ]
        })
        .collect();
    let done = body.papers.iter().filter(|paper| paper.status == PaperStatus::Done).count();
    let heads = ["n", "paper", "family", "kind", "check", "title"];
    let count = format!("\n{} papers, {done} with a check\n", body.papers.len());
    left_table(&heads, &rows) + &count
}

/// What was found of a claim.
pub fn check(body: &ReproduceBody) -> String {
    let mut rows = vec![
        pair("paper", body.slug.clone()),
        pair("claim", body.claim.clone()),
        pair("verdict", verdict(body.verdict).to_owned()),
    ];
    if body.scale == "sample" {
        rows.push(pair("", "of a sample, which means nothing".into()));
    }
    for part in &body.parts {
        let value = format!("{}, {}", quantity(&part.statistic), interval(part.interval));
        rows.push(pair(part.name.as_str(), value));
        rows.push(pair("", format!("{}: {}", part.criterion, verdict(part.verdict))));
    }
    for gate in &body.gates {
        let word = if gate.passed { "holds" } else { "does not hold" };
        rows.push(pair("gate", format!("{word}: {} ({})", gate.name, gate.found)));
    }
    for reading in &body.readings {
        let mut value = number(reading.value);
        if let Some(range) = reading.interval {
            value += &format!(", {}", interval(range));
        }
        rows.push(pair("beside it", format!("{} {value}", reading.name)));
    }
    table(&["", ""], &rows)
}

/// A line for each check, those that could not be run last, and where the table is.
pub fn checks(body: &ReproduceAllBody) -> String {
    let found = body.checks.iter();
    let mut rows: Vec<Vec<String>> = found
        .map(|dated| {
            let first = dated.found.parts.first().map_or("not measured".to_owned(), |part| {
                let value = number(part.statistic.value());
                format!("{} {value}, {}", part.name, interval(part.interval))
            });
            let seconds = format!("{:.0} s", dated.seconds);
            let word = verdict(dated.found.verdict).to_owned();
            vec![dated.found.slug.clone(), word, first, seconds]
        })
        .collect();
    let failed = body.failed.iter();
    rows.extend(failed.map(|of| {
        vec![of.slug.clone(), "could not be run".to_owned(), of.error.clone(), String::new()]
    }));
    let text = left_table(&["paper", "verdict", "deciding number", ""], &rows);
    format!("{text}\n{}\n", body.results)
}

fn interval(interval: CheckInterval) -> String {
    format!("95 % within {} to {}", number(interval.low), number(interval.high))
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Refuted => "refuted",
        Verdict::Inconclusive => "inconclusive",
    }
}

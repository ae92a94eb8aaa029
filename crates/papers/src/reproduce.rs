//! `thalweg reproduce`.

use crate::check::{Check, Scale};
use crate::kept::kept;
use crate::registry::{Paper, checks};
use crate::{results, work};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use thalweg_lab::command::{Outcome, within};
use thalweg_lab::{
    BudgetSection, Common, LabError, Output, Precision, Result, RunDirectory, Session, VERSION,
    atomic_write_bytes, device,
};
use thalweg_methods::Progress;
use thalweg_record::reply::{Body, DatedCheck, FailedCheck, ReproduceAllBody};
use thalweg_record::{Explanation, Provenance, Report};

/// What `reproduce` was asked.
#[derive(Debug, Clone, Default)]
pub struct ReproduceRequest {
    /// The papers.
    pub slugs: Vec<String>,
    /// Whether all that have a check were asked for instead.
    pub all: bool,
    /// Whether a reduced form is enough.
    pub sample: bool,
    /// A page of results in which these take the place of what it says of the same checks.
    pub results: Option<PathBuf>,
    /// Where to.
    pub output: Output,
}

/// `study.toml` of `reproduce`. A check's protocol is not in it: a result under another protocol is
/// made anew, and all others stay.
#[derive(Serialize)]
struct Study {
    #[serde(flatten)]
    common: Common,
    paper: String,
    scale: &'static str,
    budget: BudgetSection,
}

/// The page of results in a run directory.
const PAGE: &str = "RESULTS.md";

/// Runs the checks of some papers, or of all. Of several, one that cannot be run keeps none of the
/// others from running; the body says which they were.
///
/// # Errors
/// A paper that there is not, or that has no check; a directory that cannot be written; of one check
/// those of the engine; `Interrupted`.
pub fn reproduce(session: &Session, request: &ReproduceRequest) -> Result<Outcome> {
    let scale = if request.sample { Scale::Sample } else { Scale::Whole };
    let chosen = chosen(request)?;
    if session.precision != Precision::F32 {
        let text = "--precision: each check sets its own; leave it out";
        return Err(LabError::Usage(text.into()));
    }
    let name = if request.all { "all".to_owned() } else { request.slugs.join(" ") };
    let one = chosen.len() == 1 && !request.all;
    let study = Study {
        common: Common::new("reproduce", session),
        paper: name,
        scale: scale.name(),
        budget: BudgetSection::new(session),
    };
    let run = RunDirectory::open("reproduce", &request.output, &study)?;
    let (run, (found, failed)) = within(run, |run| {
        let (found, failed) = match &chosen[..] {
            [(paper, check)] if one => {
                (vec![kept(session, run, paper, *check, scale)?], Vec::new())
            }
            several => run_each(session, run, several, scale)?,
        };
        let page = results::page("", &found) + &results::failures(&failed);
        run.write(PAGE, page.as_bytes())?;
        if let Some(path) = &request.results {
            atomic_write_bytes(path, results::page(&text_of(path)?, &found).as_bytes())?;
        }
        Ok((found, failed))
    })?;
    session.console.finish();
    let report = report(session, &found, &failed);
    let results = run.join(PAGE).display().to_string();
    let body = match found.first() {
        Some(first) if one => Body::Reproduce(first.found.clone()),
        _ => Body::ReproduceAll(ReproduceAllBody { checks: found, failed, results }),
    };
    Ok(Outcome { run, body, report })
}

/// The text of a file; none where there is no such file.
fn text_of(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|source| LabError::File { path: path.to_owned(), source }),
    }
}

/// The papers that were asked for, each with its check.
fn chosen(request: &ReproduceRequest) -> Result<Vec<(&'static Paper, &'static dyn Check)>> {
    if request.results.is_some() && request.sample {
        let text = "--write-results: a sample's results mean nothing; leave out --sample";
        return Err(LabError::Usage(text.into()));
    }
    if request.all != request.slugs.is_empty() {
        return Err(LabError::Usage("expected papers or --all, one of the two".into()));
    }
    if request.all {
        return checks().into_iter().map(|check| Ok((Paper::find(check.slug())?, check))).collect();
    }
    let mut chosen: Vec<(&Paper, &dyn Check)> = Vec::new();
    for slug in &request.slugs {
        let paper = Paper::find(slug)?;
        let check = paper.check().ok_or_else(|| {
            let known: Vec<&str> = checks().iter().map(|check| check.slug()).collect();
            let known = known.join(", ");
            LabError::Usage(format!("{slug} has no check yet; those that have one are {known}"))
        })?;
        if chosen.iter().any(|(known, _)| known.n == paper.n) {
            return Err(LabError::Usage(format!("{slug}: expected each paper once")));
        }
        chosen.push((paper, check));
    }
    Ok(chosen)
}

/// Runs one check after the other, says a line at the end of each, and what could not be run.
///
/// # Errors
/// `Interrupted`: what ended before is kept.
fn run_each(
    session: &Session,
    run: &RunDirectory,
    chosen: &[(&Paper, &dyn Check)],
    scale: Scale,
) -> Result<(Vec<DatedCheck>, Vec<FailedCheck>)> {
    let mut planned = 0;
    for (_, check) in chosen {
        planned += check.protocol(scale, session.seed)?.flops;
    }
    let all = chosen.len();
    session.console.message(&format!("{all} checks, {} planned", work::words(planned)));
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (place, (paper, check)) in chosen.iter().enumerate() {
        session.console.about(&paper.slug);
        let outcome = kept(session, run, paper, *check, scale);
        session.console.about("");
        let (slug, n) = (&paper.slug, place + 1);
        let said = match outcome {
            Ok(dated) => {
                let said = results::line(&dated);
                found.push(dated);
                said
            }
            Err(LabError::Interrupted) => return Err(LabError::Interrupted),
            Err(error) => {
                let error = error.sentence();
                failed.push(FailedCheck { slug: slug.clone(), error: error.clone() });
                format!("could not be run: {error}")
            }
        };
        session.console.message(&format!("{n} of {all}: {slug}: {said}"));
    }
    Ok((found, failed))
}

/// The page: each claim with what was found, in words.
fn report(session: &Session, found: &[DatedCheck], failed: &[FailedCheck]) -> Report {
    let title = match found {
        [one] if failed.is_empty() => {
            format!("{}: {}", one.found.slug, results::outcome(&one.found))
        }
        several => format!("{} claims", several.len() + failed.len()),
    };
    let provenance = Provenance {
        version: VERSION.to_owned(),
        seed: session.seed,
        device: device(),
        data: "as each check says".into(),
        data_fingerprint: String::new(),
        precision: "as each check sets".into(),
        command: session.command_line.clone(),
    };
    let mut report = Report::new(title, "as each check says", provenance);
    if let [one] = found {
        report.summary = one.found.claim.clone();
    }
    let entries = match found {
        [one] if failed.is_empty() => results::entries(&one.found),
        several => {
            let paragraph = |dated: &DatedCheck| results::paragraph(&dated.found);
            several.iter().map(|dated| (dated.found.slug.clone(), paragraph(dated))).collect()
        }
    };
    let of_failed = |of: &FailedCheck| (of.slug.clone(), format!("Could not be run: {}", of.error));
    let entries = entries.into_iter().chain(failed.iter().map(of_failed));
    let explained = |(quantity, how)| Explanation { quantity, how };
    report.explanations = entries.map(explained).collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;
    use crate::check::{Findings, Gate, Protocol};
    use crate::conformance::session;
    use crate::kept::tests::{Ruled, folder};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use thalweg_record::reply::Verdict;
    use thalweg_stats::Bound;

    /// A check whose data are not there, and that counts how often it is tried.
    struct Missing(AtomicUsize);

    impl Check for Missing {
        fn slug(&self) -> &'static str {
            "nap"
        }

        fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
            Ruled::by(Bound::above(0.0)).protocol(scale, root)
        }

        fn gates(&self, _: &Bench<'_>) -> Result<Vec<Gate>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(LabError::Input("no such data".into()))
        }

        fn measure(&self, _: &Bench<'_>) -> Result<Findings> {
            panic!("nothing is measured without data");
        }
    }

    #[test]
    fn a_check_that_cannot_be_run_keeps_no_other_from_running() {
        let (session, out) = (session(1), folder("each"));
        let output = Output { out: Some(out.clone()), resume: false };
        let run = RunDirectory::open("reproduce", &output, &toml::Table::new()).unwrap();
        let (missing, sam) = (Missing(AtomicUsize::new(0)), Ruled::by(Bound::below(0.0)));
        let chosen: [(&Paper, &dyn Check); 2] =
            [(Paper::find("nap").unwrap(), &missing), (Paper::find("sam").unwrap(), &sam)];
        for tried in 1..=2 {
            let (found, failed) = run_each(&session, &run, &chosen, Scale::Whole).unwrap();
            let [found] = &found[..] else { panic!("{found:?}") };
            assert_eq!(
                (found.found.slug.as_str(), found.found.verdict),
                ("sam", Verdict::Confirmed)
            );
            let error = "no such data".to_owned();
            assert_eq!(failed, [FailedCheck { slug: "nap".into(), error }]);
            // What failed is tried again, and what did not is kept.
            assert_eq!(missing.0.load(Ordering::Relaxed), tried);
            assert_eq!(sam.measured.load(Ordering::Relaxed), 1);
        }
        let report =
            report(&session, &[], &[FailedCheck { slug: "nap".into(), error: "e".into() }]);
        assert_eq!(report.explanations[0].how, "Could not be run: e");
        let _ = std::fs::remove_dir_all(&out);
    }

    #[test]
    fn what_cannot_be_run_is_told() {
        let asked = |slugs: &[&str], all, sample, results: Option<&str>| {
            let request = ReproduceRequest {
                slugs: slugs.iter().map(|&slug| slug.to_owned()).collect(),
                all,
                sample,
                results: results.map(PathBuf::from),
                ..ReproduceRequest::default()
            };
            match chosen(&request) {
                Ok(chosen) => panic!("{} are chosen", chosen.len()),
                Err(error) => {
                    assert_eq!(error.exit_code(), 2);
                    error.to_string()
                }
            }
        };
        assert!(asked(&["sma"], false, false, None).contains("sam"));
        assert!(asked(&["llm4distreconfig"], false, false, None).contains("no check yet"));
        assert!(asked(&[], false, false, None).contains("--all"));
        assert!(asked(&["sam"], true, false, None).contains("one of the two"));
        assert!(asked(&[], true, true, Some("RESULTS.md")).contains("leave out --sample"));
        let slug = checks()[0].slug();
        assert!(asked(&[slug, slug], false, false, None).contains("each paper once"));
    }
}

//! Checks as a run directory keeps them: each is measured once, and judged whenever it is read.

use crate::bench::Bench;
use crate::check::{Check, Findings, Protocol, Scale};
use crate::record::{is_of, judge, record};
use crate::registry::Paper;
use crate::results::word;
use crate::work;
use std::time::{Instant, SystemTime};
use thalweg_data::Sha256;
use thalweg_lab::{LabError, Result, RunDirectory, Session, VERSION};
use thalweg_methods::{Progress, UnitStore};
use thalweg_record::reply::{DatedCheck, ReproduceBody};

/// The result of a check that the run directory has of the same measurement, judged by its rule as it is
/// now, or that of a run.
pub(crate) fn kept(
    session: &Session,
    run: &RunDirectory,
    paper: &Paper,
    check: &dyn Check,
    scale: Scale,
) -> Result<DatedCheck> {
    let protocol = check.protocol(scale, session.seed)?;
    // Whatever follows from another measurement has another name.
    let mut hash = Sha256::new();
    let measurement = format!("{VERSION} {} {}", check.revision(), protocol.measurement());
    hash.update(measurement.as_bytes());
    let key = format!("{}-{}", paper.slug, &hash.hex()[..12]);
    let file = format!("checks/{key}.json");
    let known = std::fs::read_to_string(run.join(&file)).ok();
    let known = known.and_then(|text| serde_json::from_str::<DatedCheck>(&text).ok());
    if let Some(known) = known.filter(|known| is_of(&known.found, &protocol)) {
        let mut judged = known.clone();
        judge(&mut judged.found, paper, &protocol);
        // As text, in which a number that is none is equal to itself.
        if as_text(&judged)? != as_text(&known)? {
            let [now, was] = [&judged, &known].map(|dated| word(dated.found.verdict));
            let (slug, date) = (&paper.slug, &known.date);
            let text = format!("{slug}: measured on {date}, judged by its rule of now: {now}");
            session.console.message(&format!("{text} (was {was})"));
            run.write(&file, as_text(&judged)?.as_bytes())?;
        }
        return Ok(judged);
    }
    let begun = Instant::now();
    let units = run.units();
    let found = run_check(session, &units, &key, paper, check, &protocol, scale)?;
    let dated = DatedCheck {
        found,
        seconds: begun.elapsed().as_secs_f64(),
        date: date(SystemTime::now()),
        version: VERSION.to_owned(),
    };
    // What a gate stopped measured nothing that could be kept.
    if !dated.found.parts.is_empty() {
        run.write(&file, as_text(&dated)?.as_bytes())?;
    }
    Ok(dated)
}

fn as_text(dated: &DatedCheck) -> Result<String> {
    serde_json::to_string_pretty(dated)
        .map_err(|error| LabError::Input(format!("{}: {error}", dated.found.slug)))
}

/// Says what is planned, then runs gates and experiment.
pub(crate) fn run_check(
    session: &Session,
    units: &dyn UnitStore,
    key: &str,
    paper: &Paper,
    check: &dyn Check,
    protocol: &Protocol,
    scale: Scale,
) -> Result<ReproduceBody> {
    let bench = Bench::new(session, units, key, scale)?;
    let tell = |text: String| bench.context().progress().message(&text);
    tell(format!("{}: {}", paper.slug, paper.claim));
    tell(format!("  data: {}", protocol.data));
    for arm in &protocol.arms {
        tell(format!("  arm: {arm}"));
    }
    let (n, settings) = (protocol.seeds.len(), protocol.settings);
    tell(format!("  {n} seeds, {settings} setting(s) for each arm to choose among"));
    for part in &protocol.parts {
        tell(format!("  decides: {part}"));
    }
    tell(format!("  could show: {}", protocol.detectable()?));
    tell(format!("  planned: {}", work::words(protocol.flops)));
    if scale == Scale::Sample {
        tell("  a sample: its verdict means nothing".into());
    }
    let mut gates = check.gates(&bench)?;
    let mut findings = Findings::default();
    if gates.iter().all(|gate| gate.passed) {
        findings = check.measure(&bench)?;
        gates.append(&mut findings.gates);
    }
    for gate in &gates {
        let word = if gate.passed { "holds" } else { "does not hold" };
        tell(format!("  {word}: {} ({})", gate.name, gate.found));
    }
    record(paper, protocol, scale, gates, findings)
}

/// A moment's day in universal time, as `2026-01-31`.
///
/// # Source    the usual days-to-civil algorithm over 400-year eras that begin in March
fn date(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |span| span.as_secs());
    // Days since the first of March of the year 0.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{of_month:02}", year + era * 400 + later)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::{Gate, Measured, Part};
    use crate::conformance::session;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use thalweg_lab::Output;
    use thalweg_record::reply::Verdict;
    use thalweg_stats::{Bound, Interval};

    /// A check that finds an interval from -0.3 to -0.1, held against a bound, and counts how often.
    pub(crate) struct Ruled {
        bound: Bound,
        pub(crate) measured: AtomicUsize,
    }

    impl Ruled {
        pub(crate) fn by(bound: Bound) -> Ruled {
            Ruled { bound, measured: AtomicUsize::new(0) }
        }
    }

    impl Check for Ruled {
        fn slug(&self) -> &'static str {
            "sam"
        }

        fn protocol(&self, _: Scale, root: u64) -> Result<Protocol> {
            let (name, statistic) = ("difference", "a minus b");
            Ok(Protocol {
                data: "none".into(),
                arms: vec!["one".into()],
                settings: 1,
                seeds: vec![root, root + 1],
                parts: vec![Part { name, statistic, bound: self.bound }],
                flops: 1,
            })
        }

        fn gates(&self, _: &Bench<'_>) -> Result<Vec<Gate>> {
            Ok(vec![Gate::new("a control", true, "3 of 3")])
        }

        fn measure(&self, _: &Bench<'_>) -> Result<Findings> {
            self.measured.fetch_add(1, Ordering::Relaxed);
            let interval = Interval { low: -0.3, high: -0.1 };
            let part = Measured { value: -0.2, standard_error: 0.05, samples: 2, interval };
            let mut findings = Findings { parts: vec![part], ..Findings::default() };
            findings.read("a number that is none", f64::NAN);
            Ok(findings)
        }
    }

    /// A folder that is not there, of a test's own.
    pub(crate) fn folder(test: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("thalweg-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_record_is_judged_by_the_rule_of_now() {
        let (session, out) = (session(1), folder("judged"));
        let output = Output { out: Some(out.clone()), resume: false };
        let run = RunDirectory::open("reproduce", &output, &toml::Table::new()).unwrap();
        let paper = Paper::find("sam").unwrap();
        let read = |check: &Ruled| kept(&session, &run, paper, check, Scale::Whole).unwrap();
        let first = Ruled::by(Bound::above(0.0));
        assert_eq!(read(&first).found.verdict, Verdict::Refuted);
        assert_eq!(first.measured.into_inner(), 1);
        // The corrected rule is one that nothing refutes.
        let corrected = Bound::Above { claim: 0.0, opposite: f64::NEG_INFINITY };
        let file = || {
            let files: Vec<_> = std::fs::read_dir(out.join("checks")).unwrap().collect();
            assert_eq!(files.len(), 1, "{files:?}");
            std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap()
        };
        assert!(file().contains("refuted\""));
        for _ in 0..2 {
            let again = Ruled::by(corrected);
            let dated = read(&again);
            assert_eq!(again.measured.into_inner(), 0, "it is measured again");
            let [part] = &dated.found.parts[..] else { panic!("{:?}", dated.found) };
            assert_eq!([dated.found.verdict, part.verdict], [Verdict::Inconclusive; 2]);
            assert_eq!(part.criterion, format!("a minus b; {corrected}"));
            assert_eq!(dated.found.criterion, format!("difference: a minus b; {corrected}"));
            assert!(!file().contains("refuted\""), "the file has the words of now");
        }
        let strict = Ruled::by(Bound::below(-0.05));
        assert_eq!(read(&strict).found.verdict, Verdict::Confirmed);
        let _ = std::fs::remove_dir_all(&out);
    }

    #[test]
    fn days_by_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}

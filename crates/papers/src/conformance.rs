//! What every check must do, run over the registry in the reduced form.

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::kept::run_check;
use crate::registry::{Paper, checks};
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use thalweg_array::Array;
use thalweg_lab::{Budget, Precision, Session, Verbosity};
use thalweg_methods::{MethodError, NamedArrays, Silent, UnitStore};
use thalweg_record::Quantity;
use thalweg_record::reply::{ReproduceBody, Verdict};

/// Keeps units, and counts those that were done.
#[derive(Default)]
struct Kept {
    units: Mutex<HashMap<String, NamedArrays>>,
    done: Mutex<usize>,
}

impl UnitStore for Kept {
    fn get(&self, key: &str) -> Result<Option<NamedArrays>, MethodError> {
        Ok(self.units.lock().unwrap().get(key).cloned())
    }

    fn put(&self, key: &str, arrays: &[(String, Array)]) -> Result<(), MethodError> {
        *self.done.lock().unwrap() += 1;
        let earlier = self.units.lock().unwrap().insert(key.to_owned(), arrays.to_vec());
        assert!(earlier.is_none(), "{key} was done twice");
        Ok(())
    }
}

pub(crate) fn session(threads: usize) -> Session {
    let budget = Budget::new(Some(threads), None).unwrap();
    Session::new(budget, Precision::F32, 0, Verbosity::Quiet)
}

fn protocols_are_whole(protocol: &Protocol, slug: &str) {
    assert!(!protocol.data.is_empty() && !protocol.arms.is_empty(), "{slug}");
    assert!(protocol.settings >= 1 && protocol.flops > 0, "{slug}");
    let seeds: BTreeSet<u64> = protocol.seeds.iter().copied().collect();
    assert!(seeds.len() == protocol.seeds.len() && seeds.len() >= 2, "{slug}: seeds");
    let names: BTreeSet<&str> = protocol.parts.iter().map(|part| part.name).collect();
    assert!(!names.is_empty() && names.len() == protocol.parts.len(), "{slug}: parts");
    assert!(protocol.parts.iter().all(|part| part.statistic.len() > 10), "{slug}: statistics");
    assert!(protocol.detectable().unwrap().contains("standard deviations"), "{slug}");
}

fn run(session: &Session, units: &dyn UnitStore, slug: &str) -> ReproduceBody {
    let paper = Paper::find(slug).unwrap();
    let check = paper.check().unwrap();
    let protocol = check.protocol(Scale::Sample, session.seed).unwrap();
    run_check(session, units, slug, paper, check, &protocol, Scale::Sample).unwrap()
}

#[test]
fn every_protocol_says_all_that_it_must() {
    let mut known = BTreeSet::new();
    for check in checks() {
        let slug = check.slug();
        assert!(known.insert(slug), "{slug} is registered twice");
        Paper::find(slug).expect("a check is of a paper");
        let [whole, sample] =
            [Scale::Whole, Scale::Sample].map(|scale| check.protocol(scale, 0).unwrap());
        protocols_are_whole(&whole, slug);
        protocols_are_whole(&sample, slug);
        assert!(sample.flops < whole.flops, "{slug}: the sample is less work");
        assert_eq!(sample.parts, whole.parts, "{slug}: the sample decides by the same numbers");
        assert_eq!(check.protocol(Scale::Whole, 0).unwrap(), whole, "{slug}");
        let other = check.protocol(Scale::Whole, 1000).unwrap();
        assert!(other.seeds.iter().all(|seed| *seed >= 1000), "{slug}: seeds follow the root");
        assert_eq!(other.parts, whole.parts, "{slug}");
    }
}

#[test]
fn every_check_runs_its_gates_and_measures_every_part() {
    for slug in checks().into_iter().map(|check| check.slug()) {
        let kept = Kept::default();
        let found = run(&session(2), &kept, slug);
        let failed: Vec<_> = found.gates.iter().filter(|gate| !gate.passed).collect();
        assert!(!found.gates.is_empty() && failed.is_empty(), "{slug}: {failed:?}");
        assert!(found.gates.iter().all(|gate| gate.found.bytes().any(|b| b.is_ascii_digit())));
        let protocol = Paper::find(slug).unwrap().check().unwrap();
        let protocol = protocol.protocol(Scale::Sample, 0).unwrap();
        assert_eq!(found.parts.len(), protocol.parts.len(), "{slug}");
        for part in &found.parts {
            // A part that has nothing to be measured on in the sample decides nothing.
            let Quantity::Estimate(estimate) = part.statistic else {
                assert!(part.statistic.value().is_nan(), "{slug}: {part:?} has no standard error");
                assert_eq!(part.verdict, Verdict::Inconclusive, "{slug}: {part:?}");
                continue;
            };
            let inside = part.interval.low..=part.interval.high;
            assert!(estimate.samples >= 2, "{slug}: {part:?}");
            assert!(inside.contains(&estimate.value), "{slug}: {part:?}");
        }
        let measured = found.parts.iter().any(|part| part.statistic.is_finite());
        assert!(measured, "{slug} measures nothing");
        assert!(found.readings.iter().all(|reading| !reading.name.is_empty()));
        let judged: Vec<Verdict> = found.parts.iter().map(|part| part.verdict).collect();
        if judged.contains(&Verdict::Refuted) {
            assert_eq!(found.verdict, Verdict::Refuted, "{slug}");
        }
        // What was kept is enough: nothing is done again, and the numbers are the same.
        let done = *kept.done.lock().unwrap();
        assert!(done > 0, "{slug} keeps nothing");
        let again = run(&session(1), &kept, slug);
        assert_eq!(*kept.done.lock().unwrap(), done, "{slug}: work was done again");
        // As text, in which a number that is none is equal to itself.
        assert_eq!(format!("{again:?}"), format!("{found:?}"), "{slug}");
    }
}

/// A check whose control fails.
struct Failing;

impl Check for Failing {
    fn slug(&self) -> &'static str {
        "sam"
    }

    fn protocol(&self, _: Scale, root: u64) -> thalweg_lab::Result<Protocol> {
        let bound = thalweg_stats::Bound::above(0.0);
        Ok(Protocol {
            data: "none".into(),
            arms: vec!["one".into()],
            settings: 1,
            seeds: vec![root, root + 1],
            parts: vec![Part { name: "difference", statistic: "a minus b", bound }],
            flops: 1,
        })
    }

    fn gates(&self, _: &Bench<'_>) -> thalweg_lab::Result<Vec<Gate>> {
        Ok(vec![Gate::new("a control", false, "0 of 3")])
    }

    fn measure(&self, _: &Bench<'_>) -> thalweg_lab::Result<Findings> {
        panic!("nothing is measured after a gate that does not hold");
    }
}

#[test]
fn a_failed_gate_stops_a_check() {
    let session = session(1);
    let protocol = Failing.protocol(Scale::Whole, 0).unwrap();
    let paper = Paper::find("sam").unwrap();
    let whole = Scale::Whole;
    let found = run_check(&session, &Silent, "sam", paper, &Failing, &protocol, whole).unwrap();
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.parts.is_empty() && found.statistic.value().is_nan());
    assert!(!found.gates[0].passed);
}

#[test]
fn threads_change_nothing() {
    // One check stands for all: the engine's own tests are over every operation.
    let slug = checks()[0].slug();
    assert_eq!(run(&session(1), &Silent, slug), run(&session(2), &Silent, slug));
}

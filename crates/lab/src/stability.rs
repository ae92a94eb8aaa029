//! What the metrics of a run say of its stability.

use crate::error::Result;
use crate::instrument_choice::{PRECONDITIONED, SHARPNESS};
use crate::watch::THRESHOLD;
use thalweg_methods::dynamics::{
    SharpnessReading, StabilityConfig, StabilityReport, stability_report,
};
use thalweg_record::{Column, Table};

/// What may be watched that has a threshold, with what it is in words.
const WATCHED: [(&str, &str); 2] = [
    (SHARPNESS, "largest eigenvalue"),
    (PRECONDITIONED, "largest eigenvalue of the preconditioned Hessian"),
];

/// In words how stable each member was, where what was watched has a threshold; empty otherwise.
pub(crate) fn of_members(metrics: &Table, members: usize) -> Result<Vec<String>> {
    for (name, what) in WATCHED {
        let found = reports(metrics, name, members)?;
        if !found.is_empty() {
            return Ok(found.iter().map(|report| words(report, what)).collect());
        }
    }
    Ok(Vec::new())
}

/// The report of each member by an eigenvalue that was watched; empty without a threshold.
fn reports(metrics: &Table, name: &str, members: usize) -> Result<Vec<StabilityReport>> {
    let whole = |name: &str| match metrics.column(name) {
        Some(Column::I64(values)) => values.as_slice(),
        _ => &[],
    };
    let real = |name: &str| match metrics.column(name) {
        Some(Column::F64(values)) => values.as_slice(),
        _ => &[],
    };
    let (steps, of, losses) = (whole("step"), whole("member"), real("train_loss"));
    let (sharpness, threshold) = (real(name), real(&format!("{name}{THRESHOLD}")));
    if !threshold.iter().any(|value| value.is_finite()) {
        return Ok(Vec::new());
    }
    let mut runs = vec![(Vec::new(), Vec::new()); members];
    for row in 0..metrics.rows() {
        let member = of.get(row).and_then(|&member| usize::try_from(member).ok());
        let Some((readings, own)) = member.and_then(|member| runs.get_mut(member)) else {
            continue;
        };
        let at = |column: &[f64]| column.get(row).copied().unwrap_or(f64::NAN);
        let step = steps.get(row).copied().unwrap_or(0).max(0) as u64;
        // The row of the start has no step, and that of a step the loss before it.
        if step > 0 {
            own.push(at(losses));
        }
        if at(sharpness).is_finite() {
            let (sharpness, threshold) = (at(sharpness), at(threshold));
            readings.push(SharpnessReading { step, sharpness, threshold });
        }
    }
    let config = StabilityConfig::default();
    let report =
        |(readings, losses): &(Vec<_>, Vec<f64>)| stability_report(readings, losses, &config);
    Ok(runs.iter().map(report).collect::<std::result::Result<_, _>>()?)
}

/// A report of such an eigenvalue in words, without a divergence, which is told of any run.
fn words(report: &StabilityReport, eigenvalue: &str) -> String {
    let steps = |step: u64| match step {
        0 => "at the start".to_owned(),
        1 => "after 1 step".to_owned(),
        step => format!("after {step} steps"),
    };
    let crossing = match report.first_crossing {
        None => format!("its {eigenvalue} was not read above the optimizer's threshold"),
        Some(step) => {
            format!("its {eigenvalue} is above the optimizer's threshold first {}", steps(step))
        }
    };
    let unstable = match report.unstable {
        None => String::new(),
        Some(step) => format!(", and stays above it while the loss rises, {} first", steps(step)),
    };
    let spikes = match report.spikes.len() {
        0 => "its loss has no spikes".to_owned(),
        1 => "its loss has 1 spike".to_owned(),
        n => format!("its loss has {n} spikes"),
    };
    format!("{crossing}{unstable}; {spikes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_two_members_give_two_reports() {
        // Rows by step and then by member; the first is of the start.
        let (mut step, mut member) = (Vec::new(), Vec::new());
        let (mut loss, mut sharpness, mut threshold) = (Vec::new(), Vec::new(), Vec::new());
        for t in 0..=60 {
            for own in 0..2 {
                step.push(t);
                member.push(own);
                let spike = own == 1 && t == 40;
                loss.push(if t == 0 { f64::NAN } else { 1.0 + 9.0 * f64::from(u8::from(spike)) });
                let read = t % 20 == 0;
                let value = if own == 1 && t >= 40 { 12.0 } else { 8.0 };
                sharpness.push(if read { value } else { f64::NAN });
                threshold.push(if read { 10.0 } else { f64::NAN });
            }
        }
        let mut table = Table::new();
        table.push("step", Column::I64(step)).unwrap();
        table.push("member", Column::I64(member)).unwrap();
        table.push("train_loss", Column::F64(loss)).unwrap();
        assert!(of_members(&table, 2).unwrap().is_empty());
        table.push("sharpness", Column::F64(sharpness)).unwrap();
        table.push("sharpness_threshold", Column::F64(threshold)).unwrap();
        let [still, moved] = reports(&table, SHARPNESS, 2).unwrap().try_into().unwrap();
        assert_eq!(still, StabilityReport::default());
        // The loss before step 40 is in the row of that step, after 39 of them.
        assert_eq!((moved.first_crossing, moved.spikes), (Some(40), vec![39]));
        assert!(reports(&table, PRECONDITIONED, 2).unwrap().is_empty());
        assert_eq!(of_members(&table, 2).unwrap().len(), 2);
    }

    #[test]
    fn reports_are_told_in_words() {
        let quiet = StabilityReport::default();
        assert_eq!(
            words(&quiet, "largest eigenvalue"),
            "its largest eigenvalue was not read above the optimizer's threshold; its loss has no \
             spikes"
        );
        let report = StabilityReport {
            first_crossing: Some(0),
            unstable: Some(1),
            spikes: vec![3, 9],
            diverged: None,
        };
        assert_eq!(
            words(&report, "largest eigenvalue"),
            "its largest eigenvalue is above the optimizer's threshold first at the start, and stays \
             above it while the loss rises, after 1 step first; its loss has 2 spikes"
        );
    }
}

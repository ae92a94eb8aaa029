//! What is measured along training: a row for each step and member.

use crate::error::Result;
use std::collections::BTreeMap;
use thalweg_record::{Column, CurveColumn, Table, TrainingCurve};
use thalweg_train::{Evaluation, Schedule, Segment};

/// Rows since the last checkpoint, ordered by step and then by member: the order does not depend
/// on where checkpoints fell.
#[derive(Debug)]
pub(crate) struct Measurements {
    schedule: Schedule,
    step: Vec<i64>,
    epoch: Vec<i64>,
    member: Vec<i64>,
    seed: Vec<i64>,
    columns: BTreeMap<&'static str, Vec<f64>>,
}

/// Names and order of the real columns. Batch values are those before the step, test values those
/// after it and there at the end of each epoch only.
const REAL: [&str; 6] =
    ["lr", "train_loss", "train_accuracy", "gradient_norm", "test_loss", "test_accuracy"];

impl Measurements {
    pub(crate) fn new(schedule: Schedule) -> Measurements {
        Measurements {
            schedule,
            step: Vec::new(),
            epoch: Vec::new(),
            member: Vec::new(),
            seed: Vec::new(),
            columns: BTreeMap::new(),
        }
    }

    /// Adds the steps of a segment, and what the members reached on the test part after it.
    pub(crate) fn add(&mut self, segment: &Segment<'_>, tested: Option<&[Evaluation]>) {
        let metrics = segment.metrics;
        for step in segment.first..segment.end {
            let row = (step - segment.first) as usize;
            let factor = self.schedule.factor(step, segment.total);
            for (index, state) in segment.state.members().iter().enumerate() {
                let at = |values: &Vec<Vec<f64>>| {
                    values.get(index).and_then(|of| of.get(row)).copied().unwrap_or(f64::NAN)
                };
                let test = tested.filter(|_| step + 1 == segment.end).and_then(|t| t.get(index));
                self.step.push(step as i64 + 1);
                self.epoch.push((step / segment.epoch) as i64 + 1);
                self.member.push(index as i64);
                self.seed.push(state.member.seed as i64);
                let values = [
                    state.member.lr * factor,
                    at(&metrics.loss),
                    at(&metrics.accuracy),
                    at(&metrics.gradient_norm),
                    test.map_or(f64::NAN, |test| test.loss),
                    test.and_then(|test| test.accuracy).unwrap_or(f64::NAN),
                ];
                for (name, value) in REAL.into_iter().zip(values) {
                    self.columns.entry(name).or_default().push(value);
                }
            }
        }
    }

    /// The rows so far, which are forgotten; none if there are none.
    pub(crate) fn take(&mut self) -> Result<Option<Table>> {
        if self.step.is_empty() {
            return Ok(None);
        }
        let mut table = Table::new();
        for (name, values) in [
            ("step", &mut self.step),
            ("epoch", &mut self.epoch),
            ("member", &mut self.member),
            ("seed", &mut self.seed),
        ] {
            table.push(name, Column::I64(std::mem::take(values)))?;
        }
        for name in REAL {
            let values = self.columns.remove(name).unwrap_or_default();
            table.push(name, Column::F64(values))?;
        }
        Ok(Some(table))
    }
}

/// One curve a member: batch values averaged over each epoch, test values at its end.
pub(crate) fn epoch_curves(metrics: &Table, names: &[String]) -> Result<Vec<TrainingCurve>> {
    if metrics.rows() == 0 {
        return Ok(Vec::new());
    }
    let Some(Column::I64(epochs)) = metrics.column("epoch") else { return Ok(Vec::new()) };
    let Some(Column::I64(members)) = metrics.column("member") else { return Ok(Vec::new()) };
    let label = |member: i64| {
        let name = usize::try_from(member).ok().and_then(|index| names.get(index));
        name.cloned().unwrap_or_else(|| member.to_string())
    };
    let mut curves = metrics.curves("member", "step", label)?;
    for (member, curve) in curves.iter_mut().enumerate() {
        let own: Vec<i64> = epochs
            .iter()
            .zip(members)
            .filter(|(_, of)| **of == member as i64)
            .map(|(epoch, _)| *epoch)
            .collect();
        // The rows of each epoch.
        let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
        for (row, epoch) in own.iter().enumerate() {
            match spans.last_mut() {
                Some(span) if own[span.start] == *epoch => span.end = row + 1,
                _ => spans.push(row..row + 1),
            }
        }
        curve.step = spans.iter().map(|span| curve.step[span.end - 1]).collect();
        for (name, column) in &mut curve.columns {
            let averaged = name.starts_with("train_") || name == "gradient_norm";
            let value = |span: &std::ops::Range<usize>| {
                let values = &column.0[span.clone()];
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
                if averaged { mean(values) } else { values[values.len() - 1] }
            };
            let values = spans.iter().map(value).collect();
            *column = CurveColumn(values);
        }
        curve.columns.retain(|_, column| column.0.iter().any(|value| value.is_finite()));
    }
    Ok(curves)
}

//! What is measured along training: a row for each step and member.

use crate::error::Result;
use crate::watch::Readings;
use std::collections::BTreeMap;
use std::ops::Range;
use thalweg_record::{Column, CurveColumn, Table, TrainingCurve};
use thalweg_train::{Evaluation, Schedule, Segment, TrainConfig, TrainState};

/// Rows since the last checkpoint, ordered by step and then by member: the order does not depend
/// on where checkpoints fell.
#[derive(Debug)]
pub(crate) struct Measurements {
    schedule: Schedule,
    step: Vec<i64>,
    epoch: Vec<i64>,
    member: Vec<i64>,
    seed: Vec<i64>,
    columns: BTreeMap<String, Vec<f64>>,
    /// Whether the optimizer ascends, and there are columns of that.
    ascends: bool,
    /// Columns of what is watched, after the others.
    watched: Vec<String>,
}

/// Names and order of the real columns. Batch values are those before the step, test values those
/// after it and there at the end of each epoch only.
const REAL: [&str; 6] =
    ["lr", "train_loss", "train_accuracy", "gradient_norm", "test_loss", "test_accuracy"];

/// Columns behind these where the optimizer is SAM: the loss of a batch at the end of its ascent, and
/// by how much it is above that before the step.
const ASCENT: [&str; 2] = ["train_perturbed_loss", "train_perturbed_gap"];

/// Names of the whole columns.
const PLACE: [&str; 4] = ["step", "epoch", "member", "seed"];

impl Measurements {
    pub(crate) fn new(config: &TrainConfig, watched: Vec<String>) -> Measurements {
        Measurements {
            schedule: config.schedule.clone(),
            step: Vec::new(),
            epoch: Vec::new(),
            member: Vec::new(),
            seed: Vec::new(),
            columns: BTreeMap::new(),
            ascends: config.optimizer.rho.is_some(),
            watched,
        }
    }

    /// The columns that are not everybody's.
    fn more(&self) -> Vec<String> {
        let ascent = ASCENT.into_iter().filter(|_| self.ascends).map(str::to_owned);
        ascent.chain(self.watched.iter().cloned()).collect()
    }

    /// Adds what was read before the first step.
    pub(crate) fn start(&mut self, state: &TrainState, readings: &Readings) {
        if self.watched.is_empty() {
            return;
        }
        for (index, state) in state.members().iter().enumerate() {
            self.row([0, 0, index as i64, state.member.seed as i64], [f64::NAN; REAL.len()]);
        }
        self.read(state.len(), readings);
    }

    /// Adds the steps of a segment, and what the members reached on the test part and what was read
    /// after it.
    pub(crate) fn add(
        &mut self,
        segment: &Segment<'_>,
        tested: Option<&[Evaluation]>,
        readings: &Readings,
    ) {
        let metrics = segment.metrics;
        for step in segment.first..segment.end {
            let row = (step - segment.first) as usize;
            let factor = self.schedule.factor(step, segment.total);
            for (index, state) in segment.state.members().iter().enumerate() {
                let at = |values: &Vec<Vec<f64>>| {
                    values.get(index).and_then(|of| of.get(row)).copied().unwrap_or(f64::NAN)
                };
                let test = tested.filter(|_| step + 1 == segment.end).and_then(|t| t.get(index));
                let epoch = (step / segment.epoch) as i64 + 1;
                let place = [step as i64 + 1, epoch, index as i64, state.member.seed as i64];
                let values = [
                    state.member.lr * factor,
                    at(&metrics.loss),
                    at(&metrics.accuracy),
                    at(&metrics.gradient_norm),
                    test.map_or(f64::NAN, |test| test.loss),
                    test.and_then(|test| test.accuracy).unwrap_or(f64::NAN),
                ];
                self.row(place, values);
                let perturbed = at(&metrics.perturbed_loss);
                for (name, value) in ASCENT.into_iter().zip([perturbed, perturbed - values[1]]) {
                    if let Some(last) = self.columns.get_mut(name).and_then(|of| of.last_mut()) {
                        *last = value;
                    }
                }
            }
        }
        self.read(segment.state.len(), readings);
    }

    /// A row with nothing in the columns that are not everybody's.
    fn row(&mut self, place: [i64; 4], values: [f64; REAL.len()]) {
        let to = [&mut self.step, &mut self.epoch, &mut self.member, &mut self.seed];
        to.into_iter().zip(place).for_each(|(to, value)| to.push(value));
        let more = self.more();
        let more = more.iter().map(|name| (name.as_str(), f64::NAN));
        for (name, value) in REAL.into_iter().zip(values).chain(more) {
            match self.columns.get_mut(name) {
                Some(column) => column.push(value),
                None => drop(self.columns.insert(name.to_owned(), vec![value])),
            }
        }
    }

    /// What was read of each member goes into the last rows.
    fn read(&mut self, members: usize, readings: &Readings) {
        for (name, values) in readings {
            let Some(column) = self.columns.get_mut(name) else { continue };
            let from = column.len().saturating_sub(members);
            column[from..].copy_from_slice(values);
        }
    }

    /// The rows so far, which are forgotten; none if there are none.
    pub(crate) fn take(&mut self) -> Result<Option<Table>> {
        if self.step.is_empty() {
            return Ok(None);
        }
        let mut table = Table::new();
        let whole = [&mut self.step, &mut self.epoch, &mut self.member, &mut self.seed];
        for (name, values) in PLACE.into_iter().zip(whole) {
            table.push(name, Column::I64(std::mem::take(values)))?;
        }
        let more = self.more();
        for name in REAL.into_iter().chain(more.iter().map(String::as_str)) {
            let values = self.columns.remove(name).unwrap_or_default();
            table.push(name, Column::F64(values))?;
        }
        Ok(Some(table))
    }
}

/// One curve a member, with a point where something was read and at the end of each epoch: there are
/// what was read, batch values averaged since the point before, and test values at the end of epochs.
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
        let is_step = |name: &str| REAL.contains(&name) || ASCENT.contains(&name);
        let is_watched = |name: &str| !is_step(name) && !PLACE.contains(&name);
        let watched: Vec<&CurveColumn> =
            curve.columns.iter().filter(|(name, _)| is_watched(name)).map(|(_, c)| c).collect();
        let is_point = |row: &usize| {
            let ends_epoch = own.get(row + 1).is_none_or(|next| *next != own[*row]);
            ends_epoch || watched.iter().any(|column| column.0[*row].is_finite())
        };
        let points: Vec<usize> = (0..own.len()).filter(is_point).collect();
        // The rows since the point before.
        let before = std::iter::once(0).chain(points.iter().map(|row| row + 1));
        let spans: Vec<Range<usize>> =
            before.zip(&points).map(|(first, &last)| first..last + 1).collect();
        let mut columns = BTreeMap::new();
        for (name, column) in &curve.columns {
            let averaged = name.starts_with("train_") || name == "gradient_norm";
            let value = |span: &Range<usize>| match averaged {
                true => column.0[span.clone()].iter().sum::<f64>() / span.len() as f64,
                false => column.0[span.end - 1],
            };
            columns.insert(name.clone(), CurveColumn(spans.iter().map(value).collect()));
        }
        curve.step = points.iter().map(|&row| curve.step[row]).collect();
        curve.columns = columns;
        curve.columns.retain(|_, column| column.0.iter().any(|value| value.is_finite()));
    }
    Ok(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_values_are_averaged_since_the_point_before() {
        let mut table = Table::new();
        // Two epochs of three steps, behind the row of the start; read after steps 0 and 4.
        let whole = |values: [i64; 7]| Column::I64(values.to_vec());
        let real = |values: [f64; 7]| Column::F64(values.to_vec());
        let nan = f64::NAN;
        table.push("step", whole([0, 1, 2, 3, 4, 5, 6])).unwrap();
        table.push("epoch", whole([0, 1, 1, 1, 2, 2, 2])).unwrap();
        table.push("member", whole([0; 7])).unwrap();
        table.push("lr", real([nan, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])).unwrap();
        table.push("train_loss", real([nan, 3.0, 2.0, 1.0, 9.0, 1.0, 2.0])).unwrap();
        table.push("test_loss", real([nan, nan, nan, 4.0, nan, nan, 5.0])).unwrap();
        table.push("trace", real([7.0, nan, nan, nan, 8.0, nan, nan])).unwrap();
        let [curve] = epoch_curves(&table, &["a".into()]).unwrap().try_into().unwrap();
        assert_eq!(curve.step, [0, 3, 4, 6]);
        let column = |name: &str| -> Vec<f64> {
            let values = curve.column(name).unwrap().iter();
            // Where there is none.
            values.map(|value| if value.is_nan() { -1.0 } else { *value }).collect()
        };
        assert_eq!(column("train_loss"), [-1.0, 2.0, 9.0, 1.5]);
        assert_eq!(column("test_loss"), [-1.0, 4.0, -1.0, 5.0]);
        assert_eq!(column("lr"), [-1.0, 0.3, 0.4, 0.6]);
        assert_eq!(column("trace"), [7.0, -1.0, 8.0, -1.0]);
    }
}

//! A data set as the program sees it.

use crate::data_source::{DataOptions, search_folders};
use crate::error::Result;
use thalweg_array::DType;
use thalweg_data::{Dataset, Inputs, Normalization, Targets};
use thalweg_record::{ClassCount, DataDescription, ValueRange};

/// Describes the data of the options.
///
/// # Errors
/// Those of reading them.
pub fn describe_data(options: &DataOptions) -> Result<DataDescription> {
    options.check()?;
    let read = crate::data_source::Read::new(options, &[], &search_folders())?;
    let data = &read.dataset;
    let notes = notes(data)?;
    let task = match data.targets() {
        Targets::Classes { .. } => "classification",
        Targets::Sequences { .. } => "sequences",
        Targets::Values(_) => "regression",
    };
    let targets = match data.targets() {
        Targets::Values(values) => ranges(&values.into())?,
        _ => Vec::new(),
    };
    Ok(DataDescription {
        name: data.name().to_owned(),
        kind: read.kind.describe().to_owned(),
        source: data.provenance().source.clone(),
        fingerprint: data.fingerprint().to_owned(),
        examples: data.len() as u64,
        validation: data.fixed_validation().len() as u64,
        test: data.fixed_test().len() as u64,
        shape: data.example_shape().iter().map(|&extent| extent as u64).collect(),
        element: data.inputs().dtype().to_string(),
        scale: data.provenance().scale.clone(),
        channels: if data.is_tokens() { Vec::new() } else { ranges(data.inputs())? },
        task: task.to_owned(),
        classes: classes(data),
        n_classes: data.n_classes().map(|n| n as u64),
        targets,
        notes,
    })
}

/// Range and moments of each place of the last axis.
fn ranges(array: &Inputs) -> Result<Vec<ValueRange>> {
    let moments = Normalization::of_all(array)?;
    let width = moments.mean.len().max(1);
    let mut ends = vec![(f32::INFINITY, f32::NEG_INFINITY); width];
    array.visit_all(|block| {
        for row in block.convert(DType::F32).as_slice::<f32>()?.chunks_exact(width) {
            for ((low, high), &value) in ends.iter_mut().zip(row) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        Ok(())
    })?;
    let range = |c: usize| ValueRange {
        minimum: f64::from(ends[c].0),
        maximum: f64::from(ends[c].1),
        mean: moments.mean[c],
        standard_deviation: match moments.constant.contains(&c) {
            true => 0.0,
            false => moments.divisor[c],
        },
    };
    Ok((0..moments.mean.len()).map(range).collect())
}

fn classes(data: &Dataset) -> Vec<ClassCount> {
    let (Some(labels), Some(n)) = (data.labels(), data.n_classes()) else { return Vec::new() };
    let mut counts = vec![[0u64; 3]; n];
    let mut part = vec![0usize; labels.len()];
    data.fixed_validation().iter().for_each(|&row| part[row] = 1);
    data.fixed_test().iter().for_each(|&row| part[row] = 2);
    for (&label, &part) in labels.iter().zip(&part) {
        if let Some(count) = counts.get_mut(label as usize) {
            count[part] += 1;
        }
    }
    let name = |class: usize| data.class_names().get(class).cloned();
    let count = |(class, [train, validation, test]): (usize, [u64; 3])| ClassCount {
        name: name(class).unwrap_or_else(|| class.to_string()),
        train,
        validation,
        test,
    };
    counts.into_iter().enumerate().map(count).collect()
}

/// What was noticed when the data were read, and what can be seen in them.
fn notes(data: &Dataset) -> Result<Vec<String>> {
    let mut notes = data.notes().to_vec();
    if !data.is_tokens() {
        let constant = Normalization::of_all(data.inputs())?.constant;
        let named: Vec<String> = constant.iter().take(5).map(usize::to_string).collect();
        let rest = constant.len() - named.len();
        let more = if rest > 0 { format!(" and {rest} others") } else { String::new() };
        let what = if data.example_shape().len() == 1 { "feature" } else { "channel" };
        if !constant.is_empty() {
            let list = named.join(", ");
            notes.push(format!("the same value everywhere: {what} {list}{more}, counted from 0"));
        }
    }
    if data.fixed_test().is_empty() {
        notes.push("it has no test part of its own: it is split when it is used".to_owned());
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn described(path: &std::path::Path) -> DataDescription {
        let name = Some(path.to_string_lossy().into_owned());
        describe_data(&DataOptions { name, ..DataOptions::default() }).unwrap()
    }

    #[test]
    fn a_table_is_described_by_hand() {
        let scratch = Scratch::new("describe");
        let path = scratch.path().join("pets.csv");
        std::fs::write(&path, "a,b,kind\n1,7,dog\n3,7,cat\n5,7,dog\n").unwrap();
        let told = described(&path);
        assert_eq!(
            (told.examples, &told.shape[..], told.task.as_str()),
            (3, &[2][..], "classification")
        );
        assert_eq!((told.kind.as_str(), told.name.as_str()), ("a CSV file", "pets"));
        let a = &told.channels[0];
        assert_eq!((a.minimum, a.maximum, a.mean), (1.0, 5.0, 3.0));
        assert!((a.standard_deviation - (8.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(told.channels[1].standard_deviation, 0.0);
        let counts: Vec<_> = told.classes.iter().map(|c| (c.name.as_str(), c.train)).collect();
        assert_eq!(counts, [("cat", 1), ("dog", 2)]);
        assert!(told.notes.iter().any(|note| note.contains("feature 1, counted from 0")));
    }

    #[test]
    fn parts_and_tokens_are_told_apart() {
        let digits =
            describe_data(&DataOptions { name: Some("digits".into()), ..DataOptions::default() });
        let digits = digits.unwrap();
        assert_eq!((digits.examples, digits.test, digits.classes.len()), (1797, 359, 10));
        assert_eq!(digits.classes.iter().map(|c| c.train + c.test).sum::<u64>(), 1797);
        let scratch = Scratch::new("describe-text");
        let path = scratch.path().join("cat.txt");
        std::fs::write(&path, "the cat sat on the mat. ".repeat(20)).unwrap();
        let text = described(&path);
        assert_eq!((text.element.as_str(), text.channels.len()), ("i32", 0));
        assert_eq!((text.n_classes, text.classes.len()), (Some(11), 0));
    }
}

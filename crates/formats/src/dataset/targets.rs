//! What targets are: classes or values.

use super::config::{DataConfig, Task};
use crate::FormatError;
use std::collections::BTreeMap;
use thalweg_array::{Array, DType};
use thalweg_data::{DataError, Rows};

/// Distinct whole numbers in a column above which they may as well be quantities.
const MANY: usize = 100;

/// Targets of which it is settled what they are.
pub(super) enum Settled {
    Classes {
        /// `i64 [n]`.
        labels: Array,
        n_classes: usize,
        /// Empty if classes are known by their numbers.
        names: Vec<String>,
    },
    Values(Array),
}

/// Where targets come from: how messages call them and their rows.
pub(super) struct Origin<'a> {
    /// As `labels` or "column `y`".
    pub name: &'a str,
    /// The number of a row as the file's reader counts.
    pub row: &'a dyn Fn(usize) -> usize,
    /// Whether nothing but the numbers says what they are: then many of them are ambiguous.
    pub unnamed: bool,
}

const SAY: &str = "say --task classification if each of its values is a class, or --task \
                   regression if they are quantities";

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: "data", what }
}

/// Settles what numbers are: whole numbers from 0 are labels, floats are values, unless the
/// configuration says otherwise.
///
/// With the task `classification` each distinct number is a class, in ascending order, unless the
/// number of classes is known: then they are labels as they stand.
pub(super) fn settle(
    targets: &Array,
    config: &DataConfig,
    origin: &Origin<'_>,
) -> Result<Settled, FormatError> {
    let float = targets.dtype().is_float();
    match config.task {
        Some(Task::Regression) => return Ok(Settled::Values(targets.convert(DType::F64))),
        None if float => return Ok(Settled::Values(targets.clone())),
        _ => {}
    }
    if !matches!(targets.shape(), [_] | [_, 1]) {
        let got = targets.shape().to_vec();
        return Err(DataError::TargetShape { expected: "[n] for class labels", got }.into());
    }
    let numbers = whole(targets, origin)?;
    let n = numbers.len();
    let array = |labels: &[i64]| Array::from_slice(&[n], labels);
    if !config.classes.is_empty()
        && let Some(labels) = by_name(&numbers, &config.classes)
    {
        let (n_classes, names) = (config.classes.len(), config.classes.clone());
        return Ok(Settled::Classes { labels: array(&labels)?, n_classes, names });
    }
    let known = match config.classes.len() {
        0 => config.n_classes,
        n => Some(n),
    };
    if let Some(n_classes) = known {
        check_range(&numbers, n_classes, origin)?;
        let (labels, names) = (array(&numbers)?, config.classes.clone());
        return Ok(Settled::Classes { labels, n_classes, names });
    }
    let distinct = distinct(&numbers);
    let counted = (distinct.iter().enumerate()).all(|(i, (&value, _))| value == i as i64);
    if config.task.is_some() && !counted {
        let labels: Vec<i64> = numbers.iter().map(|number| distinct[number]).collect();
        let names: Vec<String> = distinct.keys().map(i64::to_string).collect();
        return Ok(Settled::Classes { labels: array(&labels)?, n_classes: names.len(), names });
    }
    if !counted {
        return Err(refused(ambiguous(&numbers, &distinct, origin)));
    }
    if config.task.is_none() && origin.unnamed && distinct.len() > MANY {
        return Err(refused(format!(
            "{} holds {} different whole numbers, classes or quantities: {SAY}",
            origin.name,
            distinct.len()
        )));
    }
    Ok(Settled::Classes { labels: array(&numbers)?, n_classes: distinct.len(), names: Vec::new() })
}

/// Why whole numbers are no labels counted from 0.
fn ambiguous(numbers: &[i64], distinct: &BTreeMap<i64, i64>, origin: &Origin<'_>) -> String {
    if let Some(first) = numbers.iter().position(|&number| number < 0) {
        let faulty = (first..numbers.len()).filter(|&at| numbers[at] < 0);
        let rows: Rows = faulty.map(origin.row).collect();
        return format!(
            "{}: row {} is {}, expected whole numbers counted from 0{}; {SAY}",
            origin.name,
            (origin.row)(first),
            numbers[first],
            rows.also()
        );
    }
    let missing = distinct.keys().enumerate().find(|&(i, &value)| value != i as i64);
    format!(
        "{} run to {} but no example has label {}: expected every class from 0; {SAY}",
        origin.name,
        distinct.keys().next_back().copied().unwrap_or_default(),
        missing.map_or(0, |(i, _)| i)
    )
}

/// Each distinct number with its place in ascending order.
fn distinct(numbers: &[i64]) -> BTreeMap<i64, i64> {
    let mut distinct: BTreeMap<i64, i64> = numbers.iter().map(|&number| (number, 0)).collect();
    distinct.values_mut().enumerate().for_each(|(place, to)| *to = place as i64);
    distinct
}

/// The numbers as `i64`, which those of a float type must be able to be.
fn whole(targets: &Array, origin: &Origin<'_>) -> Result<Vec<i64>, FormatError> {
    if targets.dtype().is_float() {
        let values = targets.to_f64_vec();
        // Beyond this not every whole number is an f64.
        let is_whole = |v: f64| v.fract() == 0.0 && v.abs() < 9e15;
        if let Some(first) = values.iter().position(|&v| !is_whole(v)) {
            let rows: Rows =
                (first..values.len()).filter(|&at| !is_whole(values[at])).map(origin.row).collect();
            return Err(refused(format!(
                "{}: row {} is {}, expected whole numbers for classification{}",
                origin.name,
                (origin.row)(first),
                values[first],
                rows.also()
            )));
        }
        return Ok(values.into_iter().map(|v| v as i64).collect());
    }
    Ok(targets.convert(DType::I64).as_slice::<i64>()?.to_vec())
}

/// Labels of numbers that are themselves names of classes.
fn by_name(numbers: &[i64], classes: &[String]) -> Option<Vec<i64>> {
    let mut places = BTreeMap::new();
    for &number in numbers {
        if let std::collections::btree_map::Entry::Vacant(entry) = places.entry(number) {
            let name = number.to_string();
            entry.insert(classes.iter().position(|class| *class == name)? as i64);
        }
    }
    Some(numbers.iter().map(|number| places[number]).collect())
}

fn check_range(numbers: &[i64], n_classes: usize, origin: &Origin<'_>) -> Result<(), FormatError> {
    let limit = n_classes.min(1 << 31) as i64;
    let outside = |number: i64| !(0..limit).contains(&number);
    let Some(first) = numbers.iter().position(|&number| outside(number)) else { return Ok(()) };
    let rows: Rows =
        (first..numbers.len()).filter(|&at| outside(numbers[at])).map(origin.row).collect();
    Err(refused(format!(
        "{}: row {} is {}, expected a whole number from 0 to {}{}; say --task regression if they \
         are quantities",
        origin.name,
        (origin.row)(first),
        numbers[first],
        n_classes.saturating_sub(1),
        rows.also()
    )))
}

/// Labels of texts: the place of each among the classes, which are the distinct texts in ascending
/// order unless they are given.
pub(super) fn settle_text(
    codes: &[u32],
    texts: &[String],
    config: &DataConfig,
    origin: &Origin<'_>,
) -> Result<Settled, FormatError> {
    let classes: Vec<String> = match config.classes.is_empty() {
        false => config.classes.clone(),
        true => {
            let mut sorted = texts.to_vec();
            sorted.sort();
            sorted
        }
    };
    let mut places = BTreeMap::new();
    for (place, class) in classes.iter().enumerate().rev() {
        places.insert(class.as_str(), place as i64);
    }
    let of_code: Vec<Option<i64>> =
        texts.iter().map(|text| places.get(text.as_str()).copied()).collect();
    let place = |code: u32| of_code.get(code as usize).copied().flatten();
    if let Some(first) = codes.iter().position(|&code| place(code).is_none()) {
        let rows: Rows =
            (first..codes.len()).filter(|&at| place(codes[at]).is_none()).map(origin.row).collect();
        let shown: Vec<String> = classes.iter().take(5).map(|class| format!("`{class}`")).collect();
        let more = if classes.len() > shown.len() { " and so on" } else { "" };
        return Err(refused(format!(
            "{}: row {} is `{}`, expected one of the classes {}{more}{}",
            origin.name,
            (origin.row)(first),
            texts.get(codes[first] as usize).map_or("", String::as_str),
            shown.join(", "),
            rows.also()
        )));
    }
    if config.classes.is_empty() {
        check_names(origin.name, classes.len(), config)?;
    }
    let labels: Vec<i64> = codes.iter().filter_map(|&code| place(code)).collect();
    let labels = Array::from_slice(&[labels.len()], &labels)?;
    Ok(Settled::Classes { labels, n_classes: classes.len(), names: classes })
}

/// Refuses names that would take the places of others among the classes of a model.
pub(super) fn check_names(name: &str, n: usize, config: &DataConfig) -> Result<(), FormatError> {
    match config.n_classes {
        Some(known) if known != n => Err(refused(format!(
            "{name}: {n} classes occur and the model has {known}: name all of the model's in order \
             by the key `classes` of a TOML file"
        ))),
        _ => Ok(()),
    }
}

/// A sentence about the classes without an example, if there are any.
pub(super) fn absent(labels: &[i32], n_classes: usize) -> Option<String> {
    let seen: std::collections::BTreeSet<i32> = labels.iter().copied().collect();
    if seen.len() >= n_classes {
        return None;
    }
    let mut missing =
        (0..n_classes).filter(|&c| i32::try_from(c).is_ok_and(|c| !seen.contains(&c)));
    let named: Vec<String> = missing.by_ref().take(5).map(|class| class.to_string()).collect();
    let rest = n_classes - seen.len() - named.len();
    let more = if rest > 0 { format!(" and {rest} others") } else { String::new() };
    let n = n_classes;
    Some(format!("of {n} classes no example has label {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(targets: &Array, config: &DataConfig, unnamed: bool) -> Result<String, String> {
        let origin = Origin { name: "labels", row: &|row| row + 2, unnamed };
        match settle(targets, config, &origin) {
            Err(error) => Err(error.to_string()),
            Ok(Settled::Values(values)) => Ok(format!("{:?}", values.to_f64_vec())),
            Ok(Settled::Classes { labels, n_classes, names }) => {
                Ok(format!("{:?} of {n_classes} {names:?}", labels.as_slice::<i64>().unwrap()))
            }
        }
    }

    #[test]
    fn numbers_are_what_they_look_like_or_what_is_said() {
        let plain = DataConfig::default();
        let classes = DataConfig { task: Some(Task::Classification), ..plain.clone() };
        let values = DataConfig { task: Some(Task::Regression), ..plain.clone() };
        let known = DataConfig { n_classes: Some(5), ..plain.clone() };
        let named = |names: [&str; 3]| DataConfig {
            classes: names.map(String::from).to_vec(),
            ..plain.clone()
        };
        let ok = |targets: &Array, config: &DataConfig| settled(targets, config, true).unwrap();
        let counted = Array::vector(&[0i32, 2, 1]);
        let gap = Array::vector(&[0i64, 3, 1]);
        let signs = Array::vector(&[-1i32, 1, -1]);
        let floats = Array::vector(&[0.0f64, 2.0, 1.0]);
        assert_eq!(ok(&counted, &plain), "[0, 2, 1] of 3 []");
        assert_eq!(ok(&counted, &classes), "[0, 2, 1] of 3 []");
        assert_eq!(ok(&counted, &values), "[0.0, 2.0, 1.0]");
        assert_eq!(ok(&floats, &plain), "[0.0, 2.0, 1.0]");
        assert_eq!(ok(&floats, &classes), "[0, 2, 1] of 3 []");
        assert_eq!(ok(&gap, &classes), "[0, 2, 1] of 3 [\"0\", \"1\", \"3\"]");
        assert_eq!(ok(&gap, &known), "[0, 3, 1] of 5 []");
        assert_eq!(ok(&signs, &classes), "[0, 1, 0] of 2 [\"-1\", \"1\"]");
        assert_eq!(ok(&gap, &named(["1", "3", "0"])), "[2, 1, 0] of 3 [\"1\", \"3\", \"0\"]");
        assert_eq!(ok(&counted, &named(["a", "b", "c"])), "[0, 2, 1] of 3 [\"a\", \"b\", \"c\"]");
        let counts: Vec<i64> = (0..101).collect();
        let many = Array::vector(&counts);
        let whole = format!("{counts:?} of 101 []");
        assert_eq!(settled(&many, &plain, false), Ok(whole.clone()));
        assert_eq!(ok(&many, &classes), whole);
        assert!(settled(&many, &plain, true).unwrap_err().contains("101 different whole numbers"));
    }

    #[test]
    fn numbers_that_do_not_fit_are_named_by_row() {
        let fault =
            |targets: &Array, config: &DataConfig| settled(targets, config, true).unwrap_err();
        let plain = DataConfig::default();
        let classes = DataConfig { task: Some(Task::Classification), ..plain.clone() };
        let known = DataConfig { n_classes: Some(3), ..plain.clone() };
        assert!(fault(&Array::vector(&[0i32, 3, 1]), &plain).starts_with(
            "data: labels run to 3 but no example has label 2: expected every class from 0; say"
        ));
        assert!(fault(&Array::vector(&[0i32, -3, -1]), &plain).starts_with(
            "data: labels: row 3 is -3, expected whole numbers counted from 0 (also row 4); say"
        ));
        assert_eq!(
            fault(&Array::vector(&[0i32, 3, 7]), &known),
            "data: labels: row 3 is 3, expected a whole number from 0 to 2 (also row 4); say --task \
             regression if they are quantities"
        );
        assert_eq!(
            fault(&Array::vector(&[0.0f32, 0.5, f32::NAN]), &classes),
            "data: labels: row 3 is 0.5, expected whole numbers for classification (also row 4)"
        );
        assert!(fault(&Array::zeros(DType::I32, &[2, 3]), &plain).contains("[n] for class labels"));
    }

    #[test]
    fn texts_become_classes_in_sorted_or_given_order() {
        let origin = Origin { name: "column `kind`", row: &|row| row + 2, unnamed: true };
        let texts = ["dog", "cat"].map(String::from);
        let given = |classes: &[&str]| DataConfig {
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            ..DataConfig::default()
        };
        let labels = |config: &DataConfig| match settle_text(&[0, 1, 0], &texts, config, &origin) {
            Ok(Settled::Classes { labels, names, .. }) => {
                Ok((labels.as_slice::<i64>().unwrap().to_vec(), names.join(" ")))
            }
            Ok(_) => panic!("classes"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(labels(&given(&[])), Ok((vec![1, 0, 1], "cat dog".into())));
        assert_eq!(labels(&given(&["dog", "bee", "cat"])).unwrap().0, [0, 2, 0]);
        assert_eq!(
            labels(&given(&["bee", "cat"])).unwrap_err(),
            "data: column `kind`: row 2 is `dog`, expected one of the classes `bee`, `cat` (also \
             row 4)"
        );
        let few = DataConfig { n_classes: Some(1), ..DataConfig::default() };
        assert!(labels(&few).unwrap_err().contains("2 classes occur and the model has 1"));
        assert_eq!(absent(&[0, 2], 3).unwrap(), "of 3 classes no example has label 1");
        assert!(absent(&[0], 9).unwrap().ends_with("label 1, 2, 3, 4, 5 and 3 others"));
        assert_eq!(absent(&[0, 1], 2), None);
    }
}

//! A table of named columns becomes features and targets.

use super::Provenance;
use super::config::{DataConfig, Task};
use super::targets::{Origin, Settled, settle, settle_text};
use crate::FormatError;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Rows};

/// Names by which a column says that it is the target.
const TARGETS: [&str; 4] = ["target", "label", "class", "y"];

/// A column of a table.
pub(super) struct Column {
    pub name: String,
    pub values: Values,
}

/// What a column holds.
pub(super) enum Values {
    /// `width` numbers a row. What is missing or not finite is NaN or infinite here.
    Numbers {
        width: usize,
        values: Vec<f64>,
        /// Whether they are of an integer type, or written without a point.
        whole: bool,
    },
    /// Texts by their place among the distinct ones.
    Texts { codes: Vec<u32>, distinct: Vec<String> },
}

/// A table, and how its rows are counted.
pub(super) struct Table<'a> {
    pub format: &'static str,
    pub columns: Vec<Column>,
    pub n: usize,
    /// The number of a row as the file's reader counts.
    pub row: &'a dyn Fn(usize) -> usize,
    /// What a missing or broken number looks like in the file.
    pub shown: &'a dyn Fn(usize, usize) -> String,
}

/// Whether a name alone says that a column is the target.
pub(super) fn is_target_name(name: &str) -> bool {
    TARGETS.iter().any(|known| name.trim().eq_ignore_ascii_case(known))
}

/// The columns that are targets, by place.
///
/// Those asked for; else the one with a telling name; else the last one that is not left out.
pub(super) fn find_targets(
    format: &'static str,
    names: &[String],
    config: &DataConfig,
) -> Result<Vec<usize>, FormatError> {
    let refused = |what: String| FormatError::Unsupported { format, what };
    let find = |wanted: &String| {
        let place = names.iter().position(|name| name == wanted);
        place.ok_or_else(|| refused(format!("no column `{wanted}` among {}", shown_names(names))))
    };
    let mut targets: Vec<usize> = config.target.iter().map(find).collect::<Result<_, _>>()?;
    let mut seen = std::collections::BTreeSet::new();
    targets.retain(|place| seen.insert(*place));
    let left: Vec<usize> = config.leave_out.iter().map(find).collect::<Result<_, _>>()?;
    if let Some(&both) = targets.iter().find(|place| left.contains(place)) {
        return Err(refused(format!("column `{}` is target and left out", names[both])));
    }
    if targets.is_empty() {
        let free = || (0..names.len()).filter(|place| !left.contains(place));
        let telling: Vec<usize> = free().filter(|&place| is_target_name(&names[place])).collect();
        match telling[..] {
            [one] => targets.push(one),
            [] => targets.extend(free().next_back()),
            [first, second, ..] => {
                return Err(refused(format!(
                    "columns `{}` and `{}` could both be the target: say --target COLUMN",
                    names[first], names[second]
                )));
            }
        }
    }
    Ok(targets)
}

/// Names in a message: few of them.
fn shown_names(names: &[String]) -> String {
    let few: Vec<String> = names.iter().take(20).map(|name| format!("`{name}`")).collect();
    let more = names.len() - few.len();
    let rest = if more > 0 { format!(" and {more} others") } else { String::new() };
    few.join(", ") + &rest
}

impl Table<'_> {
    fn refused(&self, what: String) -> FormatError {
        FormatError::Unsupported { format: self.format, what }
    }

    /// The data set: target columns as asked for, the others are features.
    pub(super) fn into_dataset(
        self,
        name: &str,
        config: &DataConfig,
        mut provenance: Provenance,
    ) -> Result<Dataset, FormatError> {
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let targets = find_targets(self.format, &names, config)?;
        let left: Vec<bool> = names.iter().map(|name| config.leave_out.contains(name)).collect();
        let is_feature = |place: &usize| !targets.contains(place) && !left[*place];
        let mut features: Vec<usize> = (0..names.len()).filter(is_feature).collect();
        let counts_rows = |place: &usize| self.counts_rows(&self.columns[*place]);
        let index: Vec<usize> = features.iter().copied().filter(counts_rows).collect();
        if features.len() > index.len() {
            features.retain(|place| !index.contains(place));
        }
        if self.n == 0 {
            return Err(self.refused("it has no rows of data".into()));
        }
        if features.is_empty() {
            return Err(self.refused(format!(
                "no column is left for the features: it has {}",
                shown_names(&names)
            )));
        }
        for &place in features.iter().chain(&targets) {
            self.check_numbers(place, !targets.contains(&place))?;
        }
        let (inputs, width) = self.inputs(&features)?;
        if provenance.scale.is_empty() {
            provenance.scale = "as in the file".into();
        }
        let data = match self.targets(&targets, config)? {
            Settled::Values(values) => Dataset::regression(name, &inputs, &values, provenance)?,
            Settled::Classes { labels, n_classes, names } => {
                super::classes(name, &inputs, &labels, n_classes, names, provenance)?
            }
        };
        let listed = |places: &[usize]| {
            places.iter().map(|&place| format!("`{}`", names[place])).collect::<Vec<_>>().join(", ")
        };
        let predicted = format!("{width} features, predicted is {}", listed(&targets));
        let mut data = data.with_note(predicted);
        if !index.is_empty() {
            data = data.with_note("a column without a name counts the rows and is left out");
        }
        Ok(data)
    }

    /// Whether a column has no name and counts the rows, as the index that pandas writes.
    fn counts_rows(&self, column: &Column) -> bool {
        let unnamed = column.name.is_empty()
            || column.name.starts_with("Unnamed:")
            || column.name == "__index_level_0__";
        match &column.values {
            Values::Numbers { width: 1, values, .. } if unnamed && values.len() > 1 => {
                let first = values[0];
                (first == 0.0 || first == 1.0)
                    && values.iter().enumerate().all(|(i, &v)| v == first + i as f64)
            }
            _ => false,
        }
    }

    /// Refuses what is missing or not finite, and texts among features.
    fn check_numbers(&self, place: usize, feature: bool) -> Result<(), FormatError> {
        let column = &self.columns[place];
        match &column.values {
            Values::Texts { codes, distinct } if feature => {
                let text = codes.first().and_then(|&code| distinct.get(code as usize));
                let text = text.map_or("", String::as_str);
                Err(text_in_feature(self.format, &column.name, (self.row)(0), text))
            }
            Values::Texts { .. } => Ok(()),
            Values::Numbers { width, values, .. } => {
                // What f32 cannot hold would be infinite.
                let bad = |v: f64| !(v as f32).is_finite();
                let Some(first) = values.iter().position(|&v| bad(v)) else { return Ok(()) };
                let faulty = (first..values.len()).filter(|&at| bad(values[at]));
                let rows: Rows = faulty.map(|at| (self.row)(at / width)).collect();
                Err(self.refused(format!(
                    "column `{}`: row {} {}, expected a finite number{}",
                    column.name,
                    (self.row)(first / width),
                    match values[first].is_nan() {
                        true => (self.shown)(place, first / width),
                        false => format!("holds {}", values[first]),
                    },
                    rows.also()
                )))
            }
        }
    }

    fn inputs(&self, features: &[usize]) -> Result<(Array, usize), FormatError> {
        let width_of = |column: &Column| match column.values {
            Values::Numbers { width, .. } => width,
            Values::Texts { .. } => 0,
        };
        let total: usize = features.iter().map(|&place| width_of(&self.columns[place])).sum();
        let mut inputs = Array::try_zeros(DType::F32, &[self.n, total])?;
        let out = inputs.as_mut_slice::<f32>()?;
        let mut at = 0;
        for &place in features {
            let Values::Numbers { width, values, .. } = &self.columns[place].values else {
                continue;
            };
            for (row, from) in values.chunks_exact((*width).max(1)).enumerate().take(self.n) {
                let to = &mut out[row * total + at..][..*width];
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
            }
            at += width;
        }
        Ok((inputs, total))
    }

    fn targets(&self, places: &[usize], config: &DataConfig) -> Result<Settled, FormatError> {
        let columns: Vec<&Column> = places.iter().map(|&place| &self.columns[place]).collect();
        let text = |column: &&&Column| matches!(column.values, Values::Texts { .. });
        if let Some(column) = columns.iter().find(text)
            && (columns.len() > 1 || config.task == Some(Task::Regression))
        {
            let name = &column.name;
            return Err(self.refused(format!(
                "column `{name}` holds text, and values to predict must be numbers: for classes \
                 name it alone as the target"
            )));
        }
        let [column] = columns[..] else {
            if config.task == Some(Task::Classification) {
                let what = "classification has one target column, and several are named";
                return Err(self.refused(what.into()));
            }
            let (values, width) = self.values(&columns);
            return Ok(Settled::Values(Array::from_slice(&[self.n, width], &values)?));
        };
        let origin_name = format!("column `{}`", column.name);
        let origin = Origin { name: &origin_name, row: self.row, unnamed: true };
        match &column.values {
            Values::Texts { codes, distinct } => settle_text(codes, distinct, config, &origin),
            Values::Numbers { width: 1, values, whole } => {
                let targets = Array::vector(values);
                let targets = if *whole { targets.convert(DType::I64) } else { targets };
                settle(&targets, config, &origin)
            }
            Values::Numbers { width, values, .. } => {
                let targets = Array::from_slice(&[self.n, *width], values)?;
                settle(&targets, config, &origin)
            }
        }
    }

    /// The numbers of columns, row by row.
    fn values(&self, columns: &[&Column]) -> (Vec<f64>, usize) {
        let numbers: Vec<(&[f64], usize)> = (columns.iter())
            .filter_map(|column| match &column.values {
                Values::Numbers { width, values, .. } => Some((&values[..], *width)),
                Values::Texts { .. } => None,
            })
            .collect();
        let rows = (0..self.n).flat_map(|row| {
            numbers.iter().flat_map(move |(values, width)| &values[row * width..][..*width])
        });
        (rows.copied().collect(), numbers.iter().map(|(_, width)| width).sum())
    }
}

/// Why a column of text is no feature.
pub(super) fn text_in_feature(
    format: &'static str,
    name: &str,
    row: usize,
    text: &str,
) -> FormatError {
    let comma = text.replacen(',', ".", 1).parse::<f64>().is_ok();
    let hint = if comma { " with a decimal point" } else { "" };
    let what = format!(
        "column `{name}` holds text (row {row}: `{}`), and features must be numbers{hint}: leave \
         it out by --leave-out, or write its categories as numbers",
        short(text)
    );
    FormatError::Unsupported { format, what }
}

/// A text of a file in a message.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

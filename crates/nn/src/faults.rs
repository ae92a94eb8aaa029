//! Where named arrays and the weights that a model wants differ, side by side.

use crate::error::edit_distance;
use std::fmt;
use thalweg_array::DType;

/// Rows that are kept.
const SHOWN: usize = 12;
/// Rows that a sentence says.
const SAID: usize = 8;
/// Arrays that are looked at for each name that is missing: a file may hold any number.
const MOST_CANDIDATES: usize = 2000;

/// A name and a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// What is wrong in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Shape,
    Type(DType),
    Twice,
    Missing,
    NotExpected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    model: Option<Named>,
    file: Option<Named>,
    wrong: Wrong,
}

/// Everything in which named arrays are not the weights of a model: names that are missing, beside
/// the one that was probably meant, names that are not expected, other shapes and types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsFaults {
    rows: Vec<Row>,
    /// How many there are beside those of `rows`.
    more: usize,
}

impl WeightsFaults {
    /// The faults of `wanted` arrays in the model's order, those that are missing paired with the
    /// most similar of the `extra` ones.
    pub(crate) fn new(wanted: Vec<(Named, Option<Named>, Wrong)>, extra: Vec<Named>) -> Self {
        let mut left = Left(extra.into_iter().map(Some).collect());
        let mut faults = WeightsFaults { rows: Vec::new(), more: 0 };
        for (model, file, wrong) in wanted {
            faults.push(|| {
                let file = if wrong == Wrong::Missing { left.take(&model) } else { file };
                Row { model: Some(model), file, wrong }
            });
        }
        for file in left.0.into_iter().flatten() {
            faults.push(|| Row { model: None, file: Some(file), wrong: Wrong::NotExpected });
        }
        faults
    }

    /// The faults of arrays some of which have names that the model does not know, each paired with
    /// the most similar of the names that are `left`.
    pub(crate) fn unknown(
        others: Vec<(Named, Option<Named>, Wrong)>,
        unknown: Vec<Named>,
        left: Vec<Named>,
    ) -> Self {
        let mut left = Left(left.into_iter().map(Some).collect());
        let mut faults = WeightsFaults { rows: Vec::new(), more: 0 };
        for file in unknown {
            faults.push(|| {
                let model = left.take(&file);
                Row { model, file: Some(file), wrong: Wrong::NotExpected }
            });
        }
        for (model, file, wrong) in others {
            faults.push(|| Row { model: Some(model), file, wrong });
        }
        faults
    }

    /// Keeps a row, or counts it if there are enough.
    fn push(&mut self, row: impl FnOnce() -> Row) {
        match self.rows.len() {
            SHOWN => self.more += 1,
            _ => self.rows.push(row()),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len() + self.more
    }

    /// The faults as a table of what the model has, what the file has, and what is wrong, a line
    /// each, under a heading; the number of those that are left out in a last line.
    pub fn table(&self) -> String {
        let cell = |named: &Option<Named>| named.as_ref().map_or("-".to_owned(), Named::to_string);
        let mut lines =
            vec![["the model has".to_owned(), "the file has".to_owned(), String::new()]];
        for row in &self.rows {
            let wrong = match (row.wrong, &row.model, &row.file) {
                (Wrong::Shape, ..) => "another shape".to_owned(),
                (Wrong::Type(got), ..) => format!("{got}, not f32 or f64"),
                (Wrong::Twice, ..) => "comes twice".to_owned(),
                (Wrong::Missing, _, Some(_)) => "missing; another name?".to_owned(),
                (Wrong::Missing, _, None) => "missing".to_owned(),
                (Wrong::NotExpected, Some(_), _) => "not expected; another name?".to_owned(),
                (Wrong::NotExpected, None, _) => "not expected".to_owned(),
            };
            lines.push([cell(&row.model), cell(&row.file), wrong]);
        }
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let (first, second) = (width(0), width(1));
        let mut text = String::new();
        for [model, file, wrong] in &lines {
            let line = format!("  {model:first$}  {file:second$}  {wrong}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if self.more > 0 {
            text.push_str(&format!("  and {} more\n", self.more));
        }
        text
    }
}

/// Arrays that nothing is paired with yet.
struct Left(Vec<Option<Named>>);

impl Left {
    /// Takes the most similar one.
    fn take(&mut self, wanted: &Named) -> Option<Named> {
        let candidates = self.0.iter().take(MOST_CANDIDATES).enumerate();
        let candidates = candidates.filter_map(|(at, named)| Some((at, named.as_ref()?)));
        most_similar(wanted, candidates).and_then(|at| self.0[at].take())
    }
}

/// The place of the candidate that was probably meant: of the same shape and a name that ends alike,
/// or of a name that is near; those of the same shape first, then by the edits between the names.
fn most_similar<'a>(
    wanted: &Named,
    candidates: impl Iterator<Item = (usize, &'a Named)>,
) -> Option<usize> {
    let length = wanted.name.chars().count();
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    candidates
        // No name so much longer could be near.
        .filter(|(_, named)| named.name.len() <= 4 * length + 64)
        .filter_map(|(at, named)| {
            let distance = edit_distance(&wanted.name, &named.name);
            let same = named.shape == wanted.shape;
            let near = 2 * distance < length.max(3);
            let alike = same && last(&named.name) == last(&wanted.name);
            (near || alike).then_some((!same, distance, at))
        })
        .min()
        .map(|(_, _, at)| at)
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name.escape_debug(), self.shape)
    }
}

/// In one line, for a sentence.
impl fmt::Display for WeightsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A last one takes no more room than its number would.
        let said = if self.count() == SAID + 1 { SAID + 1 } else { SAID };
        for (i, row) in self.rows.iter().take(said).enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            let first = match row.wrong {
                Wrong::NotExpected => &row.file,
                _ => &row.model,
            };
            let name = first.as_ref().map_or("", |named| &named.name);
            write!(f, "{}", name.escape_debug())?;
            match (row.wrong, &row.model, &row.file) {
                (Wrong::Shape, Some(model), Some(file)) => {
                    write!(f, " should be {:?}, got {:?}", model.shape, file.shape)?;
                }
                (Wrong::Shape, ..) => f.write_str(" is of another shape")?,
                (Wrong::Type(got), ..) => write!(f, " should be f32 or f64, got {got}")?,
                (Wrong::Twice, ..) => f.write_str(" comes twice")?,
                (Wrong::Missing, _, Some(file)) => {
                    write!(f, " is missing (there is {})", file.name.escape_debug())?;
                }
                (Wrong::Missing, _, None) => f.write_str(" is missing")?,
                (Wrong::NotExpected, Some(model), _) => {
                    write!(f, " is not expected (there is {})", model.name)?;
                }
                (Wrong::NotExpected, None, _) => f.write_str(" is not expected")?,
            }
        }
        match self.count() - said.min(self.rows.len()) {
            0 => Ok(()),
            rest => write!(f, "; and {rest} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, shape: &[usize]) -> Named {
        Named { name: name.to_owned(), shape: shape.to_vec() }
    }

    #[test]
    fn faults_stand_side_by_side() {
        let wanted = vec![
            (named("conv1.weight", &[4, 1, 3, 3]), None, Wrong::Missing),
            (named("fc.weight", &[10, 4]), Some(named("fc.weight", &[100, 4])), Wrong::Shape),
            (named("fc.bias", &[10]), None, Wrong::Missing),
            (named("scale", &[7]), None, Wrong::Missing),
        ];
        let extra = vec![
            named("head.bias", &[3]),
            named("fc.biass", &[11]),
            named("stem.0.weight", &[4, 1, 3, 3]),
        ];
        let faults = WeightsFaults::new(wanted, extra);
        let expected = "  the model has              the file has
  conv1.weight [4, 1, 3, 3]  stem.0.weight [4, 1, 3, 3]  missing; another name?
  fc.weight [10, 4]          fc.weight [100, 4]          another shape
  fc.bias [10]               fc.biass [11]               missing; another name?
  scale [7]                  -                           missing
  -                          head.bias [3]               not expected
";
        assert_eq!(faults.table(), expected);
        assert_eq!(faults.count(), 5);
        assert_eq!(
            faults.to_string(),
            "conv1.weight is missing (there is stem.0.weight); fc.weight should be [10, 4], got \
             [100, 4]; fc.bias is missing (there is fc.biass); scale is missing; head.bias is \
             not expected"
        );
    }

    #[test]
    fn many_faults_are_counted() {
        let extra = (0..1_000_000).map(|i| named(&format!("a{i}"), &[1])).collect();
        let wanted = (0..20).map(|i| (named(&format!("weight{i}"), &[2]), None, Wrong::Missing));
        let faults = WeightsFaults::new(wanted.collect(), extra);
        assert_eq!(faults.table().lines().count(), 14);
        assert!(faults.table().ends_with("  and 1000008 more\n"));
        assert!(faults.to_string().ends_with("weight7 is missing; and 1000012 more"));
    }
}

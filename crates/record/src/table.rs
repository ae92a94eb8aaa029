//! A table of named, typed columns: the measurements of a run.

use crate::surface::csv_number;
use crate::{CurveColumn, Result, TrainingCurve, shape_error};
use std::collections::BTreeMap;

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Whole numbers.
    I64(Vec<i64>),
    /// Real numbers; NaN where a row has none.
    F64(Vec<f64>),
    /// Words.
    Text(Vec<String>),
}

impl Column {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::I64(values) => values.len(),
            Column::F64(values) => values.len(),
            Column::Text(values) => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of some rows.
    ///
    /// # Panics
    /// If a row is beyond the last.
    #[must_use]
    pub fn at(&self, rows: impl Iterator<Item = usize>) -> Column {
        match self {
            Column::I64(values) => Column::I64(rows.map(|row| values[row]).collect()),
            Column::F64(values) => Column::F64(rows.map(|row| values[row]).collect()),
            Column::Text(values) => Column::Text(rows.map(|row| values[row].clone()).collect()),
        }
    }

    /// What the column holds, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Column::I64(_) => "whole numbers",
            Column::F64(_) => "real numbers",
            Column::Text(_) => "text",
        }
    }
}

/// Columns of equal length, in an order that files keep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    columns: Vec<(String, Column)>,
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column on the right.
    ///
    /// # Errors
    /// `Shape` if it has another length than the others, or the name is taken or empty.
    pub fn push(&mut self, name: impl Into<String>, column: Column) -> Result<()> {
        let name = name.into();
        if name.is_empty() || self.column(&name).is_some() {
            return Err(shape_error("table column", "a name of its own", format!("{name:?}")));
        }
        if !self.columns.is_empty() && column.len() != self.rows() {
            return Err(shape_error(
                format!("column {name}"),
                format!("{} rows", self.rows()),
                column.len(),
            ));
        }
        self.columns.push((name, column));
        Ok(())
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// The columns in order.
    pub fn columns(&self) -> &[(String, Column)] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, column)| column)
    }

    /// Adds the rows of another table below: how numbered parts become one file.
    ///
    /// # Errors
    /// `Shape` if names, order or types of the columns differ. A table without columns takes those
    /// of the other.
    pub fn append(&mut self, other: Table) -> Result<()> {
        if self.columns.is_empty() {
            *self = other;
            return Ok(());
        }
        let describe = |table: &Table| {
            let parts: Vec<_> =
                table.columns.iter().map(|(name, c)| format!("{name} ({})", c.kind())).collect();
            parts.join(", ")
        };
        let (expected, got) = (describe(self), describe(&other));
        if expected != got {
            return Err(shape_error("columns of a part", expected, got));
        }
        for ((_, into), (_, from)) in self.columns.iter_mut().zip(other.columns) {
            match (into, from) {
                (Column::I64(into), Column::I64(from)) => into.extend(from),
                (Column::F64(into), Column::F64(from)) => into.extend(from),
                (Column::Text(into), Column::Text(from)) => into.extend(from),
                _ => return Err(shape_error("columns of a part", expected, got)),
            }
        }
        Ok(())
    }

    /// The rows of each word of a column of words, in the order in which they first occur, without
    /// that column.
    ///
    /// # Errors
    /// `Shape` if there is no such column of words.
    pub fn split(&self, name: &str) -> Result<Vec<(String, Table)>> {
        let words = match self.column(name) {
            Some(Column::Text(words)) => words,
            Some(other) => {
                return Err(shape_error(format!("column {name}"), "text", other.kind()));
            }
            None => {
                return Err(shape_error(format!("column {name}"), "to be there", "no such column"));
            }
        };
        let mut rows: Vec<(&str, Vec<usize>)> = Vec::new();
        for (row, word) in words.iter().enumerate() {
            match rows.iter_mut().find(|(known, _)| known == word) {
                Some((_, rows)) => rows.push(row),
                None => rows.push((word, vec![row])),
            }
        }
        let part = |(word, rows): (&str, Vec<usize>)| {
            let others = self.columns.iter().filter(|(other, _)| other != name);
            let columns =
                others.map(|(other, c)| (other.clone(), c.at(rows.iter().copied()))).collect();
            (word.to_owned(), Table { columns })
        };
        Ok(rows.into_iter().map(part).collect())
    }

    /// Comma-separated values with a heading.
    pub fn to_csv(&self) -> String {
        let quote = |text: &str| {
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let names: Vec<_> = self.columns.iter().map(|(name, _)| quote(name)).collect();
        let mut text = names.join(",") + "\n";
        for row in 0..self.rows() {
            for (index, (_, column)) in self.columns.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                match column {
                    Column::I64(values) => text.push_str(&values[row].to_string()),
                    Column::F64(values) => text.push_str(&csv_number(values[row])),
                    Column::Text(values) => text.push_str(&quote(&values[row])),
                }
            }
            text.push('\n');
        }
        text
    }

    /// The rows as one curve a member: `member` holds the group of each row (whole numbers),
    /// `step` the step; every real column becomes a measurement. `label` names a member.
    ///
    /// # Errors
    /// `Shape` if either column is missing or does not hold whole numbers.
    pub fn curves(
        &self,
        member: &str,
        step: &str,
        label: impl Fn(i64) -> String,
    ) -> Result<Vec<TrainingCurve>> {
        let whole = |name: &str| match self.column(name) {
            Some(Column::I64(values)) => Ok(values),
            Some(other) => {
                Err(shape_error(format!("column {name}"), "whole numbers", other.kind()))
            }
            None => Err(shape_error(format!("column {name}"), "to be there", "no such column")),
        };
        let (members, steps) = (whole(member)?, whole(step)?);
        let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (row, &member) in members.iter().enumerate() {
            rows.entry(member).or_default().push(row);
        }
        let curve = |(member, rows): (i64, Vec<usize>)| TrainingCurve {
            member: label(member),
            step: rows.iter().map(|&row| steps[row].max(0) as u64).collect(),
            columns: self
                .columns
                .iter()
                .filter_map(|(name, column)| match column {
                    Column::F64(values) => {
                        let values = rows.iter().map(|&row| values[row]).collect();
                        Some((name.clone(), CurveColumn(values)))
                    }
                    Column::I64(_) | Column::Text(_) => None,
                })
                .collect(),
        };
        Ok(rows.into_iter().map(curve).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new();
        table.push("member", Column::I64(vec![0, 1, 0])).unwrap();
        table.push("step", Column::I64(vec![10, 10, 20])).unwrap();
        table.push("loss", Column::F64(vec![1.0, f64::NAN, 0.1])).unwrap();
        table.push("note", Column::Text(vec!["a,b".into(), String::new(), "c".into()])).unwrap();
        table
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            table().to_csv(),
            "member,step,loss,note\n0,10,1,\"a,b\"\n1,10,nan,\n0,20,0.1,c\n"
        );
    }

    #[test]
    fn parts_append_only_if_their_columns_agree() {
        let mut whole = Table::new();
        whole.append(table()).unwrap();
        whole.append(table()).unwrap();
        assert_eq!(whole.rows(), 6);
        let mut other = Table::new();
        other.push("member", Column::I64(vec![])).unwrap();
        let message = whole.append(other).unwrap_err().to_string();
        assert!(message.contains("loss (real numbers)"), "{message}");
    }

    #[test]
    fn words_split_a_table() {
        let mut table = Table::new();
        table.push("model", Column::Text(vec!["b".into(), "a".into(), "b".into()])).unwrap();
        table.push("step", Column::I64(vec![1, 2, 3])).unwrap();
        let parts = table.split("model").unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].0.as_str(), parts[0].1.to_csv().as_str()), ("b", "step\n1\n3\n"));
        assert_eq!((parts[1].0.as_str(), parts[1].1.to_csv().as_str()), ("a", "step\n2\n"));
        assert!(table.split("step").is_err());
    }

    #[test]
    fn rows_become_curves() {
        let curves = table().curves("member", "step", |member| format!("seed {member}")).unwrap();
        assert_eq!(curves.len(), 2);
        assert_eq!(curves[0].step, [10, 20]);
        assert_eq!(curves[0].column("loss"), Some(&[1.0, 0.1][..]));
        assert!(curves[0].column("note").is_none());
        assert!(table().curves("member", "loss", |_| String::new()).is_err());
    }

    #[test]
    fn columns_must_fit() {
        let mut table = table();
        assert!(table.push("loss", Column::I64(vec![1, 2, 3])).is_err());
        assert!(table.push("more", Column::I64(vec![1])).is_err());
    }
}

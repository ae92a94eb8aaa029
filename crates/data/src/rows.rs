//! Rows that share a fault.

use std::fmt;

/// How many rows of a fault are named.
const NAMED: usize = 5;

/// Rows that share a fault, in ascending order: the first five by number, the others counted.
///
/// # Example
/// ```
/// let rows: thalweg_data::Rows = [3, 3, 5, 8, 9, 11, 20].into_iter().collect();
/// assert_eq!((rows.first(), rows.count()), (Some(3), 6));
/// assert_eq!(rows.to_string(), "rows 3, 5, 8, 9, 11 and 1 other");
/// assert_eq!(rows.also(), " (also rows 5, 8, 9, 11 and 1 other)");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    named: Vec<usize>,
    count: usize,
    last: Option<usize>,
}

impl Rows {
    /// Adds a row; one that was added just before counts once.
    pub fn push(&mut self, row: usize) {
        if self.last == Some(row) {
            return;
        }
        self.last = Some(row);
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(row);
        }
    }

    /// The first row.
    pub fn first(&self) -> Option<usize> {
        self.named.first().copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The rows after the first, in brackets behind a sentence that names that one; empty if there
    /// are none.
    pub fn also(&self) -> String {
        match self.named.get(1..) {
            Some(rest) if !rest.is_empty() => format!(" (also {})", list(rest, self.count - 1)),
            _ => String::new(),
        }
    }
}

impl FromIterator<usize> for Rows {
    fn from_iter<T: IntoIterator<Item = usize>>(rows: T) -> Rows {
        let mut out = Rows::default();
        rows.into_iter().for_each(|row| out.push(row));
        out
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(&self.named, self.count))
    }
}

fn list(named: &[usize], count: usize) -> String {
    let numbers: Vec<String> = named.iter().map(usize::to_string).collect();
    let rest = count - named.len();
    match (&numbers[..], rest) {
        ([one], 0) => format!("row {one}"),
        ([before @ .., last], 0) if !before.is_empty() => {
            format!("rows {} and {last}", before.join(", "))
        }
        (all, 1) => format!("rows {} and 1 other", all.join(", ")),
        (all, rest) => format!("rows {} and {rest} others", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_named_and_many_are_counted() {
        let rows = |n: usize| (1..=n).collect::<Rows>();
        assert_eq!(rows(1).to_string() + &rows(1).also(), "row 1");
        assert_eq!(rows(2).to_string() + &rows(2).also(), "rows 1 and 2 (also row 2)");
        assert_eq!(rows(3).also(), " (also rows 2 and 3)");
        assert_eq!(rows(5).to_string(), "rows 1, 2, 3, 4 and 5");
        assert_eq!(rows(30).to_string(), "rows 1, 2, 3, 4, 5 and 25 others");
        assert_eq!(rows(30).also(), " (also rows 2, 3, 4, 5 and 25 others)");
        assert_eq!(rows(0).first(), None);
    }
}

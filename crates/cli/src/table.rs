//! Numbers in cells, and cells in columns.

use thalweg_record::Quantity;

/// A name and its value, as a row.
pub(crate) fn pair(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

/// Four significant digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    match magnitude {
        -4..4 => format!("{value:.*}", (3 - magnitude) as usize),
        4..7 => format!("{value:.0}"),
        _ => format!("{value:.3e}"),
    }
}

/// With its standard error, if it has one.
pub(crate) fn quantity(quantity: &Quantity) -> String {
    match quantity.standard_error() {
        Some(error) => format!("{} ± {}", number(quantity.value()), number(error)),
        None => number(quantity.value()),
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Columns as wide as they need, the first to the left and the others, being numbers, to the right;
/// one column of values beside their names to the left.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    aligned(heads, rows, heads.len() == 2)
}

/// Columns of texts.
pub(crate) fn left_table(heads: &[&str], rows: &[Vec<String>]) -> String {
    aligned(heads, rows, true)
}

fn aligned(heads: &[&str], rows: &[Vec<String>], texts: bool) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| {
            if i == 0 || texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = String::new();
    if heads.iter().any(|head| !head.is_empty()) {
        text += &line(&heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>());
    }
    rows.iter().for_each(|row| text += &line(row));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        let shown = [0.0, 1.0, 0.00052341, -12.3456, 98765.4, 1.5e9, 2.5e-7, f64::NAN].map(number);
        assert_eq!(
            shown,
            ["0", "1.000", "0.0005234", "-12.35", "98765", "1.500e9", "2.500e-7", "NaN"]
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".into(), "1".into(), "x".into()],
            vec!["bcd".into(), "23".into(), "y".into()],
        ];
        assert_eq!(table(&["m", "n", "o"], &rows), "m     n  o\na     1  x\nbcd  23  y\n");
    }
}

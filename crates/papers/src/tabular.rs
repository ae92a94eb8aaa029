//! Tables of numbers with a target, part of the program.

use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};

/// Columns of numbers, and a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Tabular {
    /// Its name in records.
    pub name: &'static str,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows without the target.
    pub rows: Vec<Vec<f64>>,
    /// The target of each row.
    pub target: Vec<f64>,
}

/// Block groups of California, 1990, and the median value of a house there: 2,000 rows of 8 columns.
///
/// # Errors
/// None: the data are part of the program.
pub fn california_housing() -> Result<Tabular> {
    read("california housing", include_str!("../embedded/california_housing.csv"))
}

/// Red wines and their quality: 1,599 rows of 11 columns.
///
/// # Errors
/// As [`california_housing`].
pub fn red_wine() -> Result<Tabular> {
    read("red wine", include_str!("../embedded/red_wine.csv"))
}

/// Hours of 2011 and 2012 and the number of bicycles rented: 2,000 rows of 12 columns.
///
/// # Errors
/// As [`california_housing`].
pub fn bike_sharing() -> Result<Tabular> {
    read("bike sharing", include_str!("../embedded/bike_sharing.csv"))
}

/// 2,000 rows of 13 independent standard normal columns, whose effects on the target are monotone:
/// lines, `tanh 2x` and `exp(x / 2)` in turn, of alternating sign and of sizes from 1.2 down to 0,
/// with normal noise of 0.5.
pub fn monotone_effects() -> Tabular {
    const COLUMNS: u64 = 13;
    let stream = Stream::new(0, "papers/monotone effects");
    let (mut rows, mut target) = (Vec::new(), Vec::new());
    for i in 0..2000 {
        let draws = stream.at(i);
        let row: Vec<f64> = (0..COLUMNS).map(|j| draws.normal(j)).collect();
        let effect = |(j, x): (usize, &f64)| {
            let sign = if j % 2 == 0 { 1.0 } else { -1.0 };
            let shape = match j % 3 {
                0 => *x,
                1 => (2.0 * x).tanh(),
                _ => (x / 2.0).exp(),
            };
            sign * 0.1 * (COLUMNS as usize - 1 - j) as f64 * shape
        };
        let sum: f64 = row.iter().enumerate().map(effect).sum();
        target.push(sum + 0.5 * draws.normal(COLUMNS));
        rows.push(row);
    }
    let columns = (1..=COLUMNS).map(|j| format!("x{j}")).collect();
    Tabular { name: "monotone effects", columns, rows, target }
}

fn read(name: &'static str, text: &str) -> Result<Tabular> {
    let wrong = |line: usize| LabError::Input(format!("{name}, line {line}: expected numbers"));
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let mut columns: Vec<String> = header.split(',').map(str::to_owned).collect();
    columns.pop();
    let (mut rows, mut target) = (Vec::new(), Vec::new());
    for (i, line) in lines.enumerate() {
        let numbers: std::result::Result<Vec<f64>, _> = line.split(',').map(str::parse).collect();
        let mut row = numbers.map_err(|_| wrong(i + 2))?;
        target.push(row.pop().ok_or_else(|| wrong(i + 2))?);
        if row.len() != columns.len() {
            return Err(wrong(i + 2));
        }
        rows.push(row);
    }
    Ok(Tabular { name, columns, rows, target })
}

impl Tabular {
    /// The first `n` rows.
    pub fn head(mut self, n: usize) -> Tabular {
        self.rows.truncate(n);
        self.target.truncate(n);
        self
    }

    /// One column.
    pub fn column(&self, j: usize) -> Vec<f64> {
        self.rows.iter().map(|row| row[j]).collect()
    }

    /// The rows one after the other, each column with mean 0 and standard deviation 1 (one that is the
    /// same throughout with 0).
    pub fn standardised(&self) -> Vec<f64> {
        let n = self.rows.len() as f64;
        let mut scaled: Vec<Vec<f64>> = self.rows.clone();
        for j in 0..self.columns.len() {
            let column = self.column(j);
            let mean = column.iter().sum::<f64>() / n;
            let spread = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            for row in &mut scaled {
                row[j] = if spread > 0.0 { (row[j] - mean) / spread } else { 0.0 };
            }
        }
        scaled.concat()
    }

    /// The target, its range laid on `[low, high]`.
    pub fn scaled_target(&self, low: f64, high: f64) -> Vec<f64> {
        let least = self.target.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.target.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scale = |y: &f64| low + (high - low) * (y - least) / (most - least);
        self.target.iter().map(scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_stats::spearman;

    #[test]
    fn the_tables_are_whole() {
        let [housing, wine, bikes] =
            [california_housing().unwrap(), red_wine().unwrap(), bike_sharing().unwrap()];
        let shape = |table: &Tabular| (table.rows.len(), table.columns.len());
        assert_eq!([&housing, &wine, &bikes].map(shape), [(2000, 8), (1599, 11), (2000, 12)]);
        // The counts of qualities that the source publishes.
        let of = |quality: f64| wine.target.iter().filter(|q| **q == quality).count();
        assert_eq!([3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(of), [10, 53, 681, 638, 199, 18]);
        assert!(spearman(&housing.column(7), &housing.target).unwrap() > 0.6);
        assert!(read("none", "a,b\n1,x\n").unwrap_err().to_string().contains("line 2"));
        assert!(read("none", "a,b\n1\n").is_err());
    }

    #[test]
    fn planted_effects_have_their_order() {
        let table = monotone_effects();
        let rank = |j: usize| spearman(&table.column(j), &table.target).unwrap();
        assert!(rank(0) > 0.4 && rank(1) < -0.3 && rank(12).abs() < 0.05);
        let (scaled, y) = (table.standardised(), table.scaled_target(-1.0, 1.0));
        let mean = scaled.iter().step_by(13).sum::<f64>() / 2000.0;
        let square = scaled.iter().step_by(13).map(|x| x * x).sum::<f64>() / 2000.0;
        assert!(mean.abs() < 1e-12 && (square - 1.0).abs() < 1e-12);
        let most = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(most == 1.0 && y.iter().all(|y| *y >= -1.0));
    }
}

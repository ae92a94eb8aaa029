//! The best pairing of two sets.

use crate::MethodError;

/// The assignment of rows to columns of least total cost, each row to a column of its own: `found[row]` is
/// its column. There are at least as many columns as rows.
///
/// By shortest augmenting paths with potentials, in `O(rows^2 columns)`.
///
/// # Errors
/// Rows of different lengths, more rows than columns, a cost that is not finite.
/// # Source    Kuhn 1955, Munkres 1957; in this form Jonker, Volgenant, A shortest augmenting path algorithm
/// for dense and sparse linear assignment problems, 1987
///
/// # Example
/// ```
/// use thalweg_methods::common::assignment;
/// let costs = [vec![4.0, 1.0, 3.0], vec![2.0, 0.0, 5.0], vec![3.0, 2.0, 2.0]];
/// assert_eq!(assignment(&costs)?, [1, 0, 2]);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn assignment(costs: &[Vec<f64>]) -> Result<Vec<usize>, MethodError> {
    let (rows, columns) = (costs.len(), costs.first().map_or(0, Vec::len));
    if let Some(other) = costs.iter().find(|row| row.len() != columns) {
        return Err(MethodError::mismatch("costs", format!("rows of {columns}"), other.len()));
    }
    if rows > columns {
        let expected = format!("at least {rows} columns");
        return Err(MethodError::mismatch("costs", expected, columns));
    }
    if let Some(bad) = costs.iter().flatten().find(|cost| !cost.is_finite()) {
        return Err(MethodError::mismatch("a cost", "a finite number", bad));
    }
    // Column `columns` stands for none: the row that is being placed begins there.
    let mut row_of: Vec<Option<usize>> = vec![None; columns + 1];
    let (mut of_rows, mut of_columns) = (vec![0.0; rows], vec![0.0; columns + 1]);
    for row in 0..rows {
        row_of[columns] = Some(row);
        let mut least = vec![f64::INFINITY; columns];
        let mut from = vec![columns; columns];
        let mut seen = vec![false; columns + 1];
        let mut at = columns;
        while let Some(here) = row_of[at] {
            seen[at] = true;
            let (mut step, mut next) = (f64::INFINITY, at);
            for column in (0..columns).filter(|&column| !seen[column]) {
                let reduced = costs[here][column] - of_rows[here] - of_columns[column];
                if reduced < least[column] {
                    (least[column], from[column]) = (reduced, at);
                }
                if least[column] < step {
                    (step, next) = (least[column], column);
                }
            }
            for column in 0..=columns {
                match (seen[column], row_of[column]) {
                    (true, Some(owner)) => {
                        of_rows[owner] += step;
                        of_columns[column] -= step;
                    }
                    (false, _) if column < columns => least[column] -= step,
                    _ => {}
                }
            }
            at = next;
        }
        // The columns on the way pass their rows on.
        while at != columns {
            row_of[at] = row_of[from[at]];
            at = from[at];
        }
    }
    let mut found = vec![0; rows];
    for (column, row) in row_of[..columns].iter().enumerate() {
        if let Some(row) = row {
            found[*row] = column;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    #[test]
    fn a_planted_permutation_is_found() {
        let stream = Stream::new(2, "assignment");
        let n = 40;
        let planted = stream.child("order").permutation(n);
        let cost = |i: usize, j: usize| {
            let noise = stream.uniform((i * n + j) as u64);
            if planted[i] == j { noise - 2.0 } else { noise }
        };
        let costs: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| cost(i, j)).collect()).collect();
        assert_eq!(assignment(&costs).unwrap(), planted);
    }

    #[test]
    fn it_is_the_best_of_all() {
        let stream = Stream::new(3, "assignment");
        for trial in 0..50 {
            let draws = stream.at(trial);
            let costs: Vec<Vec<f64>> =
                (0..4).map(|i| (0..5).map(|j| draws.normal(i * 5 + j)).collect()).collect();
            let found = assignment(&costs).unwrap();
            let total = |columns: &[usize]| -> f64 {
                columns.iter().enumerate().map(|(i, &j)| costs[i][j]).sum()
            };
            let mut best = f64::INFINITY;
            for code in 0..5usize.pow(4) {
                let columns = [code % 5, code / 5 % 5, code / 25 % 5, code / 125];
                let apart = (0..4).all(|i| (0..i).all(|j| columns[i] != columns[j]));
                if apart {
                    best = best.min(total(&columns));
                }
            }
            assert!((total(&found) - best).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_no_problem_is_refused() {
        assert!(assignment(&[vec![1.0], vec![1.0]]).is_err());
        assert!(assignment(&[vec![1.0, 2.0], vec![1.0]]).is_err());
        assert!(assignment(&[vec![f64::NAN]]).is_err());
        assert_eq!(assignment(&[]).unwrap(), Vec::<usize>::new());
    }
}

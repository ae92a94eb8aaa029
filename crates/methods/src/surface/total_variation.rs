//! How much a surface rises and falls in all.

use crate::MethodError;

/// The total variation of values on a grid of rows of `columns` points, at coordinates `x` and `y`.
///
/// On a line `sum |f_{i+1} - f_i|`. On a plane the integral of `|grad f|` over the area, in loss
/// times coordinate: of the surface that is flat on triangles, the mean of both ways to cut the cells.
/// It is the integral over all levels of the length of their contours (the coarea formula). Steps and
/// cells with a point that is not finite are left out.
///
/// # Errors
/// Values that are not those of the coordinates.
pub fn total_variation(values: &[f64], x: &[f64], y: &[f64]) -> Result<f64, MethodError> {
    let (rows, columns) = (y.len(), x.len());
    if rows.checked_mul(columns) != Some(values.len()) {
        let expected = format!("{rows} x {columns} points");
        return Err(MethodError::mismatch("values on a grid", expected, values.len()));
    }
    let finite = |sum: f64| if sum.is_finite() { sum } else { 0.0 };
    if rows == 1 || columns == 1 {
        return Ok(values.windows(2).map(|pair| finite((pair[1] - pair[0]).abs())).sum());
    }
    let mut sum = 0.0;
    for row in 0..rows - 1 {
        let height = (y[row + 1] - y[row]).abs();
        for column in 0..columns - 1 {
            let width = (x[column + 1] - x[column]).abs();
            let at = row * columns + column;
            let [a, b, c, d] = [at, at + 1, at + columns, at + columns + 1].map(|v| values[v]);
            // Right angles at the four corners; each triangle is half a cell.
            let triangles = [(b - a, c - a), (b - a, d - b), (d - c, c - a), (d - c, d - b)];
            let slopes = triangles.map(|(along, up)| (along * height).hypot(up * width));
            sum += finite(slopes.iter().sum::<f64>() / 4.0);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_lines_have_known_variations() {
        assert_eq!(total_variation(&[0.0, 2.0, 1.0], &[0.0, 1.0, 2.0], &[0.0]).unwrap(), 3.0);
        let wall = [0.0, f64::NAN, 1.0, 3.0];
        assert_eq!(total_variation(&wall, &[0.0, 1.0, 2.0, 3.0], &[0.0]).unwrap(), 2.0);
        // A slope of (3, 4) over an area of 2 by 1.
        let (x, y) = ([0.0, 0.5, 2.0], [0.0, 0.25, 1.0]);
        let plane: Vec<f64> =
            y.iter().flat_map(|y| x.iter().map(move |x| 3.0 * x + 4.0 * y)).collect();
        assert!((total_variation(&plane, &x, &y).unwrap() - 10.0).abs() < 1e-12);
        assert!(total_variation(&plane, &x, &x[..2]).is_err());
    }

    #[test]
    fn a_cone_has_the_slope_one() {
        let n = 201;
        let at: Vec<f64> = (0..n).map(|i| f64::from(i) / 100.0 - 1.0).collect();
        let cone: Vec<f64> = at.iter().flat_map(|y| at.iter().map(move |x| x.hypot(*y))).collect();
        // |grad| = 1 over an area of 4, but for the cells around the tip.
        assert!((total_variation(&cone, &at, &at).unwrap() - 4.0).abs() < 2e-3);
    }
}

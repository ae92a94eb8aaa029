//! Arrays of one shape that a record holds side by side.

use crate::zarr::{ArraySpec, Group, Store};
use crate::{Result, shape_error, surface_zarr};

/// An array's name, what it holds in words, its values.
pub(crate) type Column<'a> = (&'static str, &'static str, &'a Vec<f64>);

/// Refuses columns that have not `count` values each, which `unit` names.
pub(crate) fn check(columns: &[Column<'_>], count: usize, unit: &str) -> Result<()> {
    match columns.iter().find(|(_, _, values)| values.len() != count) {
        Some((name, _, values)) => Err(shape_error(*name, format!("{count} {unit}"), values.len())),
        None => Ok(()),
    }
}

/// The group with an array for each column.
pub(crate) fn describe(
    columns: &[Column<'_>],
    group: Group,
    shape: &[usize],
    dimensions: &[&str],
) -> Group {
    columns.iter().fold(group, |group, (name, what, _)| {
        group.array(name, ArraySpec::new::<f64>(shape, dimensions).attribute("long_name", *what))
    })
}

/// Writes the values of each.
pub(crate) fn write(
    columns: &[Column<'_>],
    store: &dyn Store,
    group: &Group,
    path: &str,
) -> Result<()> {
    for (name, _, values) in columns {
        group.write(store, &surface_zarr::join(path, name), values)?;
    }
    Ok(())
}

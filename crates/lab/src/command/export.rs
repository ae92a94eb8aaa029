//! `thalweg export`: the arrays and measurements of a run for other tools.

use crate::error::{LabError, Result};
use crate::files::{self, atomic_write};
use crate::run_directory::{METRICS, RESULTS, STUDY, read_study};
use crate::store::DirectoryStore;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thalweg_array::Array;
use thalweg_formats::npz;
use thalweg_record::reply::{Body, ExportBody};
use thalweg_record::zarr::{Group, Store};
use thalweg_record::{Column, Table};

/// What tables are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// One file of comma-separated values a table.
    Csv,
    /// All columns in one file of NumPy arrays, named `TABLE/COLUMN`.
    Npz,
}

impl ExportFormat {
    fn name(self) -> &'static str {
        match self {
            ExportFormat::Csv => "csv",
            ExportFormat::Npz => "npz",
        }
    }
}

/// Writes the tables of a run into a folder: `metrics`, and the arrays of `results.zarr`, those of
/// each group that share their dimensions as one table with a row for each place.
///
/// # Errors
/// A directory that is no run or has no results yet; files that cannot be read or written;
/// `Exists` for a folder that was asked for and is there.
pub fn export(run: &Path, format: ExportFormat, out: Option<&Path>) -> Result<Body> {
    if !run.join(STUDY).is_file() {
        return Err(LabError::Input(format!(
            "{} holds no {STUDY}: expected the directory of a finished run",
            run.display()
        )));
    }
    if let Some(out) = out
        && out.symlink_metadata().is_ok()
    {
        return Err(LabError::Input(format!(
            "{} exists already: name another --out",
            out.display()
        )));
    }
    finished(run)?;
    let tables = tables(run)?;
    let folder = out.map_or_else(|| run.join("export"), Path::to_path_buf);
    let fresh = !folder.exists();
    let mut written = Vec::new();
    let outcome = match format {
        ExportFormat::Csv => write_csv(&folder, &tables, &mut written),
        ExportFormat::Npz => write_npz(&folder, &tables, &mut written),
    };
    if let Err(error) = outcome {
        // A part of an export is none. The error is the one worth telling.
        written.iter().for_each(|path| drop(fs::remove_file(path)));
        if fresh {
            let _ = fs::remove_dir(&folder);
        }
        return Err(error);
    }
    let files = written.iter().map(|path| path.display().to_string()).collect();
    Ok(Body::Export(ExportBody { files, format: format.name().to_owned(), models: None }))
}

/// # Errors
/// `Input` for a run that has not yet written what its command leaves at its end.
fn finished(run: &Path) -> Result<()> {
    let study = read_study(run)?;
    let command = study.get("command").and_then(toml::Value::as_str).unwrap_or_default();
    let last = match command {
        "train" | "compare" => METRICS.to_owned(),
        // The metadata of the store come after its values.
        _ => format!("{RESULTS}/zarr.json"),
    };
    match run.join(&last).is_file() {
        true => Ok(()),
        false => Err(LabError::Input(format!(
            "{} holds no {last}: the run is not finished, go on with it by --resume",
            run.display()
        ))),
    }
}

fn write_csv(folder: &Path, tables: &[(String, Table)], written: &mut Vec<PathBuf>) -> Result<()> {
    for (name, table) in tables {
        let path = folder.join(format!("{}.csv", name.replace('/', "-")));
        files::atomic_write_bytes(&path, table.to_csv().as_bytes())?;
        written.push(path);
    }
    Ok(())
}

fn write_npz(folder: &Path, tables: &[(String, Table)], written: &mut Vec<PathBuf>) -> Result<()> {
    let mut arrays = Vec::new();
    for (name, table) in tables {
        for (part, table) in without_text(table)? {
            let prefix = if part.is_empty() { name.clone() } else { format!("{name}/{part}") };
            for (column, values) in table.columns() {
                let array = match values {
                    Column::I64(values) => Array::vector(values),
                    Column::F64(values) => Array::vector(values),
                    Column::Text(_) => continue,
                };
                arrays.push((format!("{prefix}/{column}"), array));
            }
        }
    }
    let named: Vec<(&str, &Array)> = arrays.iter().map(|(name, a)| (name.as_str(), a)).collect();
    let path = folder.join("results.npz");
    atomic_write(&path, |writer| {
        npz::write(writer, &named, npz::Compression::Deflated).map_err(io::Error::other)
    })?;
    written.push(path);
    Ok(())
}

/// A table for each word of its column of words, since NumPy's arrays here hold numbers.
fn without_text(table: &Table) -> Result<Vec<(String, Table)>> {
    let words = table.columns().iter().find_map(|(name, column)| match column {
        Column::Text(_) => Some(name.clone()),
        _ => None,
    });
    match words {
        Some(name) => Ok(table.split(&name)?),
        None => Ok(vec![(String::new(), table.clone())]),
    }
}

/// Every table of a run under its name.
fn tables(run: &Path) -> Result<Vec<(String, Table)>> {
    let mut tables = Vec::new();
    let metrics = run.join(METRICS);
    if let Some(bytes) = files::read_if_there(&metrics).map_err(crate::error::at(&metrics))? {
        tables.push(("metrics".to_owned(), Table::read_parquet(METRICS, bytes)?));
    }
    let results = run.join(RESULTS);
    if results.is_dir() {
        let store = DirectoryStore::new(results);
        let root = Group::open(&store)?;
        walk(&store, &root, &root, "", &mut tables)?;
    }
    Ok(tables)
}

/// The tables of a group and of those in it. The one with the most dimensions has the group's own
/// name, the others add their dimensions to it.
fn walk(
    store: &dyn Store,
    root: &Group,
    group: &Group,
    path: &str,
    into: &mut Vec<(String, Table)>,
) -> Result<()> {
    let join =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    // A coordinate stands in the tables of its dimension, and makes none of its own.
    let coordinate = |name: &str| {
        group.arrays.get(name).is_some_and(|spec| spec.dimensions == [name.to_owned()])
    };
    let mut dimensions: Vec<&Vec<String>> = Vec::new();
    for (name, spec) in &group.arrays {
        if !coordinate(name) && !dimensions.contains(&&spec.dimensions) {
            dimensions.push(&spec.dimensions);
        }
    }
    let most = dimensions.iter().map(|d| d.len()).max().unwrap_or(0);
    let plain = dimensions.iter().filter(|d| d.len() == most).count() == 1;
    for dimensions in dimensions {
        let members: Vec<&String> = group
            .arrays
            .iter()
            .filter(|(name, spec)| !coordinate(name) && &spec.dimensions == dimensions)
            .map(|(name, _)| name)
            .collect();
        let shape = &group.arrays[members[0]].shape;
        let rows = shape.iter().product();
        let mut table = Table::new();
        for (axis, dimension) in dimensions.iter().enumerate() {
            let inner: usize = shape[axis + 1..].iter().product();
            let place = |row: usize| row / inner % shape[axis];
            let column = match coordinate(dimension) {
                true => root.column(store, &join(dimension))?.at((0..rows).map(place)),
                false => Column::I64((0..rows).map(|row| place(row) as i64).collect()),
            };
            table.push(dimension.clone(), column)?;
        }
        for name in members {
            table.push(name.clone(), root.column(store, &join(name))?)?;
        }
        let base = if path.is_empty() { "results" } else { path };
        let name = match plain && dimensions.len() == most {
            true => base.to_owned(),
            false => format!("{base}/{}", dimensions.join("-")),
        };
        if table.rows() > 0 {
            into.push((name, table));
        }
    }
    for (name, inner) in &group.groups {
        walk(store, root, inner, &join(name), into)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_directory::STUDY;
    use crate::scratch::Scratch;
    use thalweg_record::{Surface, SurfaceAttributes, Trajectory};

    fn run(scratch: &Scratch) -> PathBuf {
        let run = scratch.path().join("run");
        let attributes = SurfaceAttributes::default();
        let mut surface = Surface::new(vec![-1.0, 1.0], vec![0.5], None, attributes).unwrap();
        surface.loss = vec![2.0, f64::INFINITY];
        surface.status = vec![1, 2];
        let (x, y, residual) = (vec![3.0], vec![4.0], vec![0.25]);
        surface.trajectory = Some(Trajectory { x, y, residual, gradients: None });
        surface.write_zarr(&DirectoryStore::new(run.join(RESULTS))).unwrap();
        let mut metrics = Table::new();
        metrics.push("model", Column::Text(vec!["b".into(), "a".into()])).unwrap();
        metrics.push("step", Column::I64(vec![1, 2])).unwrap();
        files::atomic_write(&run.join(METRICS), |writer| {
            metrics.write_parquet(METRICS, writer).map_err(io::Error::other)
        })
        .unwrap();
        files::atomic_write_bytes(&run.join(STUDY), b"").unwrap();
        run
    }

    #[test]
    fn csv_has_a_row_for_each_place() {
        let scratch = Scratch::new("export-csv");
        let run = run(&scratch);
        export(&run, ExportFormat::Csv, None).unwrap();
        let read = |name: &str| std::fs::read_to_string(run.join("export").join(name)).unwrap();
        assert_eq!(read("metrics.csv"), "model,step\nb,1\na,2\n");
        assert_eq!(read("results.csv"), "y,x,loss,status\n0.5,-1,2,1\n0.5,1,inf,2\n");
        assert_eq!(
            read("results-checkpoint.csv"),
            "checkpoint,trajectory_residual,trajectory_x,trajectory_y\n0,0.25,3,4\n"
        );
    }

    #[test]
    fn npz_has_an_array_for_each_column() {
        let scratch = Scratch::new("export-npz");
        let (run, out) = (run(&scratch), scratch.path().join("out"));
        export(&run, ExportFormat::Npz, Some(&out)).unwrap();
        let bytes = std::fs::read(out.join("results.npz")).unwrap();
        let mut read = npz::Npz::new(&bytes).unwrap();
        let mut array = |name: &str| read.get(name).unwrap().to_array().unwrap();
        assert_eq!(array("results/loss"), Array::vector(&[2.0, f64::INFINITY]));
        assert_eq!(array("metrics/a/step"), Array::vector(&[2i64]));
        let again = export(&run, ExportFormat::Npz, Some(&out)).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
    }

    #[test]
    fn what_is_no_run_is_told() {
        let scratch = Scratch::new("export-no-run");
        let error = export(scratch.path(), ExportFormat::Csv, None).unwrap_err();
        assert!(error.to_string().contains(STUDY), "{error}");
        files::atomic_write_bytes(&scratch.path().join(STUDY), b"").unwrap();
        let error = export(scratch.path(), ExportFormat::Csv, None).unwrap_err();
        assert!(error.to_string().contains("the run is not finished"), "{error}");
    }
}

//! Writes one of each file of a run directory, for other programs to read: `write_samples DIR`.

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;
use thalweg_record::zarr::{Group, Store};
use thalweg_record::{
    COMPUTED, Column, Density, Eigenvalue, NOT_FINITE, Spectrum, Surface, SurfaceAttributes, Table,
    Trajectory,
};

/// A store in a folder. The one of a real run also syncs and renames.
struct Folder(PathBuf);

impl Store for Folder {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.0.join(key);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn surface(pairs: Option<usize>) -> thalweg_record::Result<Surface> {
    let axis = |n: i32| (0..n).map(|i| f64::from(2 * i - n + 1) / f64::from(n - 1)).collect();
    let attributes = SurfaceAttributes {
        normalize: "filter".into(),
        ignore: vec!["bias".into(), "norm".into()],
        loss_name: "cross-entropy (nats)".into(),
        samples: 512,
        ..SurfaceAttributes::default()
    };
    let mut surface = Surface::new(axis(7), axis(5), pairs, attributes)?;
    for index in 0..surface.points() {
        let point = surface.point(index);
        surface.loss[index] = point.x * point.x + 2.0 * point.y * point.y;
    }
    surface.status.fill(COMPUTED);
    surface.loss[0] = f64::INFINITY;
    surface.status[0] = NOT_FINITE;
    surface.accuracy = Some(surface.loss.iter().map(|loss| 1.0 / (1.0 + loss)).collect());
    let along: Vec<f64> = (0..4).map(|i| f64::from(i) / 4.0).collect();
    let (x, y) = (along.clone(), along.clone());
    surface.trajectory = Some(Trajectory { x, y, residual: along, gradients: None });
    Ok(surface)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).ok_or_else(|| Error::other("usage: write_samples DIR"))?;
    let root = PathBuf::from(root);
    let folder = |name: &str| Folder(root.join(name));

    let plane = surface(None)?;
    let store = folder("results.zarr");
    let group = plane.group(2, 4)?;
    group.create(&store)?;
    plane.write_values(&store, &group, "")?;
    surface(Some(2))?.write_zarr(&folder("pairs.zarr"))?;

    let several =
        Group::default().group("with", plane.group(5, 7)?).group("without", plane.group(5, 7)?);
    let store = folder("models.zarr");
    several.create(&store)?;
    plane.write_values(&store, &several, "with")?;
    plane.write_values(&store, &several, "without")?;

    let spectrum = Spectrum {
        operator: "hessian".into(),
        top: vec![Eigenvalue { value: 3.0, residual: 1e-7, sampling_error: None }],
        density: Some(Density {
            centres: vec![0.0, 1.0],
            values: vec![0.75, 0.25],
            standard_errors: vec![0.0, 0.0],
        }),
        ..Spectrum::default()
    };
    spectrum.write_zarr(&folder("spectrum.zarr"))?;

    let mut table = Table::new();
    table.push("member", Column::I64(vec![0, 0, 1]))?;
    table.push("loss", Column::F64(vec![0.5, f64::NAN, 0.25]))?;
    table.push("status", Column::Text(vec!["finished".into(), "naïve".into(), String::new()]))?;
    table.write_parquet("metrics.parquet", fs::File::create(root.join("metrics.parquet"))?)?;
    Ok(())
}

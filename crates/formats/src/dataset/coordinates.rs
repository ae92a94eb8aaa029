//! One picture as a function: from a place in it to the colour there.

use super::config::DataConfig;
use super::{Provenance, picture, read_file, source, stem_of};
use crate::FormatError;
use crate::error::at;
use std::path::Path;
use thalweg_array::Array;
use thalweg_data::Dataset;

/// Loads a picture, see [`read_coordinates`].
///
/// # Errors
/// As [`read_coordinates`], with the path.
pub fn load_coordinates(path: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let provenance = Provenance { source: source(path), ..Provenance::default() };
    read_coordinates(&stem_of(path), &read_file(path)?, config, provenance).map_err(at(path))
}

/// A data set with one example a pixel of a PNG or JPEG picture.
///
/// Inputs are the row and the column of the pixel, each from -1 at the first to 1 at the last (0 if
/// there is but one), targets its channels from 0 to 1.
///
/// # Shapes    inputs `[height width, 2]`, targets `[height width, channels]`
/// # Errors
/// A picture that is broken, or larger than its bytes can be.
pub fn read_coordinates(
    name: &str,
    bytes: &[u8],
    config: &DataConfig,
    mut provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let colour = picture::header(bytes)?.colour;
    let channels = config.channels.unwrap_or(if colour { 3 } else { 1 });
    let (values, size) = picture::pixels(bytes, channels, config.resize)?;
    let place = |at: usize, n: usize| match n {
        1 => 0.0,
        n => ((2 * at) as f64 / (n - 1) as f64 - 1.0) as f32,
    };
    let n = size.height * size.width;
    let mut inputs = Array::try_zeros(thalweg_array::DType::F32, &[n, 2])?;
    for (at, row) in inputs.as_mut_slice::<f32>()?.chunks_exact_mut(2).enumerate() {
        row[0] = place(at / size.width, size.height);
        row[1] = place(at % size.width, size.width);
    }
    let targets = Array::from_slice(&[n, channels], &values)?;
    provenance.scale = "rows and columns from -1 to 1".into();
    let data = Dataset::regression(name, &inputs, &targets, provenance)?;
    Ok(data.with_note(format!("the {n} pixels of a picture of {size}, {channels} channels")))
}

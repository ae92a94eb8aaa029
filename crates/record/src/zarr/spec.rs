//! What an array is.

use super::Element;
use serde_json::{Map, Value};

/// What an array is: all of its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySpec {
    /// The element type, under its Zarr name: `float64`.
    pub data_type: String,
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The extent of a chunk along each dimension; the last chunk may be partly outside.
    pub chunks: Vec<usize>,
    /// The name of each dimension. An array named as its only dimension is a coordinate.
    pub dimensions: Vec<String>,
    /// Attributes of the array.
    pub attributes: Map<String, Value>,
}

impl ArraySpec {
    /// An array of `T` in a single chunk.
    pub fn new<T: Element>(shape: &[usize], dimensions: &[&str]) -> Self {
        ArraySpec {
            data_type: T::NAME.to_owned(),
            shape: shape.to_vec(),
            // A chunk may not be empty, an array may.
            chunks: shape.iter().map(|&extent| extent.max(1)).collect(),
            dimensions: dimensions.iter().map(|&name| name.to_owned()).collect(),
            attributes: Map::new(),
        }
    }

    /// The same array, cut into chunks of at most these extents.
    #[must_use]
    pub fn chunked(mut self, chunks: &[usize]) -> Self {
        self.chunks =
            chunks.iter().zip(&self.shape).map(|(&c, &extent)| c.clamp(1, extent.max(1))).collect();
        self
    }

    /// The same array with an attribute more.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The number of chunks along each dimension.
    pub fn chunk_counts(&self) -> Vec<usize> {
        self.shape.iter().zip(&self.chunks).map(|(&extent, &c)| extent.div_ceil(c)).collect()
    }

    /// The indices of all chunks, in row-major order.
    pub fn chunk_indices(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        let counts = self.chunk_counts();
        // An extent of zero first: the others might overflow on the way to it.
        let total: usize = if counts.contains(&0) { 0 } else { counts.iter().product() };
        (0..total).map(move |mut flat| {
            let mut index = vec![0; counts.len()];
            for (at, &count) in index.iter_mut().zip(&counts).rev() {
                *at = flat % count;
                flat /= count;
            }
            index
        })
    }

    /// Where a chunk starts and how far it reaches inside the array.
    pub fn chunk_region(&self, index: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let start: Vec<_> = index.iter().zip(&self.chunks).map(|(&i, &c)| i * c).collect();
        let extent = start
            .iter()
            .zip(&self.chunks)
            .zip(&self.shape)
            .map(|((&start, &c), &extent)| c.min(extent.saturating_sub(start)))
            .collect();
        (start, extent)
    }

    pub(super) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))
    }
}

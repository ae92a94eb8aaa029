//! Zarr v3, as much of it as results need: a hierarchy of groups with consolidated metadata, and
//! arrays of plain little-endian numbers on a regular chunk grid.
//!
//! Written here because it is small: the `zarrs` crate costs 169 CPU-seconds to build, its default
//! codecs build C, and its store truncates in place, where a killed run needs whole chunks.
//!
//! A [`Group`] is a description. [`Group::create`] puts the metadata into a [`Store`], chunks follow
//! in any order through [`Group::write_chunk`], and a chunk that was never written reads as the
//! fill value. Every chunk is one key and [`Store::put`] is atomic, so that an array can be filled
//! chunk by chunk and a killed run finds each either whole or absent.

mod element;
mod metadata;
mod spec;
mod store;

pub use element::Element;
pub use spec::ArraySpec;
pub use store::{MemoryStore, Store};

use crate::{Column, RecordError, Result, format_error, shape_error};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The metadata key of every node.
const METADATA: &str = "zarr.json";
/// The most elements that are read of one array, far more than any record has. Chunks that are
/// not there stand for fill values, so that a few bytes of metadata could claim all memory.
const MOST_ELEMENTS: usize = 1 << 28;

/// A group of arrays and further groups.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// Attributes of the group.
    pub attributes: Map<String, Value>,
    /// Its arrays.
    pub arrays: BTreeMap<String, ArraySpec>,
    /// The groups in it.
    pub groups: BTreeMap<String, Group>,
}

impl Group {
    /// Adds an array.
    #[must_use]
    pub fn array(mut self, name: &str, spec: ArraySpec) -> Self {
        self.arrays.insert(name.to_owned(), spec);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a group.
    #[must_use]
    pub fn group(mut self, name: &str, group: Group) -> Self {
        self.groups.insert(name.to_owned(), group);
        self
    }

    /// The array at `path`, as `loss` or `skip/loss`.
    pub fn find(&self, path: &str) -> Option<&ArraySpec> {
        match path.split_once('/') {
            Some((group, rest)) => self.groups.get(group)?.find(rest),
            None => self.arrays.get(path),
        }
    }

    fn spec(&self, path: &str) -> Result<&ArraySpec> {
        self.find(path).ok_or_else(|| RecordError::Missing { name: path.to_owned() })
    }

    /// Puts the metadata of the whole hierarchy into `store`, the root's last. Chunks that are
    /// already there stay.
    ///
    /// # Errors
    /// `Io` if the store fails, `Shape` if an array is inconsistent.
    pub fn create(&self, store: &dyn Store) -> Result<()> {
        let nodes = metadata::nodes(self)?;
        for (path, node) in &nodes {
            put(store, &key(path, METADATA), node.to_string().as_bytes())?;
        }
        put(store, METADATA, metadata::root(self, nodes).to_string().as_bytes())
    }

    /// Reads the metadata of a hierarchy.
    ///
    /// # Errors
    /// `Missing` if there is none, `Format` if it uses what this reader does not know.
    pub fn open(store: &dyn Store) -> Result<Self> {
        let bytes = get(store, METADATA)?
            .ok_or_else(|| RecordError::Missing { name: METADATA.to_owned() })?;
        metadata::parse(&bytes)
    }

    /// Writes one chunk of the array at `path`. `values` fill the part of the chunk that lies
    /// inside the array, row-major.
    ///
    /// # Errors
    /// `Missing` if there is no such array, `Shape` if type, index or length do not fit, `Io` if
    /// the store fails.
    pub fn write_chunk<T: Element>(
        &self,
        store: &dyn Store,
        path: &str,
        index: &[usize],
        values: &[T],
    ) -> Result<()> {
        let spec = self.spec(path)?;
        check_type::<T>(path, spec)?;
        let counts = spec.chunk_counts();
        if index.len() != counts.len() || index.iter().zip(&counts).any(|(i, count)| i >= count) {
            return Err(shape_error(
                format!("chunk of {path}"),
                format!("an index below {counts:?}"),
                format!("{index:?}"),
            ));
        }
        let (_, extent) = spec.chunk_region(index);
        let expected: usize = extent.iter().product();
        if values.len() != expected {
            return Err(shape_error(
                format!("chunk {index:?} of {path}"),
                format!("{expected} values"),
                values.len(),
            ));
        }
        // The format wants whole chunks: what lies outside of the array is filled.
        let mut whole = vec![T::FILL; spec.chunks.iter().product()];
        let origin = vec![0; extent.len()];
        copy(&extent, values, &extent, &origin, &mut whole, &spec.chunks, &origin);
        put(store, &chunk_key(path, index), &T::to_bytes(&whole))
    }

    /// Whether a chunk has been written.
    ///
    /// # Errors
    /// `Io` if the store fails.
    pub fn has_chunk(&self, store: &dyn Store, path: &str, index: &[usize]) -> Result<bool> {
        Ok(get(store, &chunk_key(path, index))?.is_some())
    }

    /// Writes a whole array, chunk by chunk.
    ///
    /// # Errors
    /// Those of [`Group::write_chunk`].
    pub fn write<T: Element>(&self, store: &dyn Store, path: &str, values: &[T]) -> Result<()> {
        let spec = self.spec(path)?;
        if Some(values.len()) != spec.elements() {
            return Err(shape_error(path, format!("shape {:?}", spec.shape), values.len()));
        }
        for index in spec.chunk_indices() {
            let (start, extent) = spec.chunk_region(&index);
            let mut part = vec![T::FILL; extent.iter().product()];
            let origin = vec![0; extent.len()];
            copy(&extent, values, &spec.shape, &start, &mut part, &extent, &origin);
            self.write_chunk(store, path, &index, &part)?;
        }
        Ok(())
    }

    /// Reads a whole array; chunks that were never written hold the fill value (NaN, or zero).
    ///
    /// # Errors
    /// `Missing` if there is no such array, `Shape` if it has another type, `Format` if a chunk has
    /// the wrong length, `Io` if the store fails.
    pub fn read<T: Element>(&self, store: &dyn Store, path: &str) -> Result<Vec<T>> {
        let spec = self.spec(path)?;
        check_type::<T>(path, spec)?;
        let too_large = || {
            let got = format!("shape {:?}", spec.shape);
            format_error(path, format!("at most {MOST_ELEMENTS} elements"), got)
        };
        let elements = spec.elements().filter(|&n| n <= MOST_ELEMENTS).ok_or_else(too_large)?;
        let mut values = Vec::new();
        values.try_reserve_exact(elements).map_err(|_| too_large())?;
        values.resize(elements, T::FILL);
        for index in spec.chunk_indices() {
            let key = chunk_key(path, &index);
            let Some(bytes) = get(store, &key)? else { continue };
            let whole = T::from_bytes(&bytes);
            let expected: usize = spec.chunks.iter().product();
            if whole.len() != expected || bytes.len() != expected * size_of::<T>() {
                let expected = format!("{} bytes", expected * size_of::<T>());
                return Err(format_error(key, expected, bytes.len()));
            }
            let (start, extent) = spec.chunk_region(&index);
            let origin = vec![0; extent.len()];
            copy(&extent, &whole, &spec.chunks, &origin, &mut values, &spec.shape, &start);
        }
        Ok(values)
    }

    /// Reads a whole array of any type as a column of numbers, row-major.
    ///
    /// # Errors
    /// Those of [`Group::read`]; `Format` for whole numbers beyond 64 bits with sign.
    pub fn column(&self, store: &dyn Store, path: &str) -> Result<Column> {
        fn whole<T: Copy + TryInto<i64>>(path: &str, values: Vec<T>) -> Result<Column> {
            let large = || format_error(path, "whole numbers below 2^63", "a larger one");
            let numbers = values.into_iter().map(|value| value.try_into().map_err(|_| large()));
            Ok(Column::I64(numbers.collect::<Result<_>>()?))
        }
        let spec = self.spec(path)?;
        match spec.data_type.as_str() {
            f64::NAME => Ok(Column::F64(self.read(store, path)?)),
            f32::NAME => {
                let values = self.read::<f32>(store, path)?;
                Ok(Column::F64(values.into_iter().map(f64::from).collect()))
            }
            i64::NAME => Ok(Column::I64(self.read(store, path)?)),
            i32::NAME => whole(path, self.read::<i32>(store, path)?),
            u64::NAME => whole(path, self.read::<u64>(store, path)?),
            u32::NAME => whole(path, self.read::<u32>(store, path)?),
            u8::NAME => whole(path, self.read::<u8>(store, path)?),
            other => Err(format_error(path, "an array of numbers", other)),
        }
    }
}

fn check_type<T: Element>(path: &str, spec: &ArraySpec) -> Result<()> {
    if spec.data_type == T::NAME {
        Ok(())
    } else {
        Err(shape_error(path, format!("elements of type {}", spec.data_type), T::NAME))
    }
}

/// Copies a block of `extent` between two row-major arrays.
fn copy<T: Copy>(
    extent: &[usize],
    from: &[T],
    from_shape: &[usize],
    from_start: &[usize],
    to: &mut [T],
    to_shape: &[usize],
    to_start: &[usize],
) {
    let Some((&width, outer)) = extent.split_last() else {
        to[0] = from[0];
        return;
    };
    let offset = |shape: &[usize], start: &[usize], index: &[usize]| {
        let mut flat = 0;
        for axis in 0..shape.len() {
            let within = index.get(axis).copied().unwrap_or(0);
            flat = flat * shape[axis] + start[axis] + within;
        }
        flat
    };
    let rows: usize = outer.iter().product();
    let mut index = vec![0; outer.len()];
    for _ in 0..rows {
        let (a, b) = (offset(from_shape, from_start, &index), offset(to_shape, to_start, &index));
        to[b..b + width].copy_from_slice(&from[a..a + width]);
        for (at, &extent) in index.iter_mut().zip(outer).rev() {
            *at += 1;
            if *at < extent {
                break;
            }
            *at = 0;
        }
    }
}

fn key(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn chunk_key(path: &str, index: &[usize]) -> String {
    let mut key = format!("{path}/c");
    for i in index {
        key.push_str(&format!("/{i}"));
    }
    key
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<()> {
    store.put(key, bytes).map_err(|source| RecordError::Io { name: key.to_owned(), source })
}

fn get(store: &dyn Store, key: &str) -> Result<Option<Vec<u8>>> {
    store.get(key).map_err(|source| RecordError::Io { name: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group::default().attribute("title", "test").array(
            "loss",
            ArraySpec::new::<f64>(&[3, 5], &["y", "x"]).chunked(&[2, 2]).attribute("units", "nats"),
        )
    }

    #[test]
    fn arrays_go_round_whatever_the_chunks() {
        let values: Vec<f64> = (0..15).map(f64::from).collect();
        for chunks in [[1, 1], [2, 2], [3, 5], [9, 4]] {
            let spec = ArraySpec::new::<f64>(&[3, 5], &["y", "x"]).chunked(&chunks);
            let group = Group::default().array("loss", spec);
            let store = MemoryStore::default();
            group.create(&store).unwrap();
            group.write(&store, "loss", &values).unwrap();
            let back = Group::open(&store).unwrap();
            assert_eq!(back, group);
            assert_eq!(back.read::<f64>(&store, "loss").unwrap(), values);
        }
    }

    #[test]
    fn three_dimensions_scalars_and_empty_arrays_go_round() {
        let group = Group::default()
            .array("a", ArraySpec::new::<i64>(&[2, 3, 4], &["pair", "y", "x"]).chunked(&[1, 2, 3]))
            .array("b", ArraySpec::new::<u8>(&[], &[]))
            .array("c", ArraySpec::new::<f32>(&[0], &["n"]));
        let store = MemoryStore::default();
        let values: Vec<i64> = (0..24).collect();
        group.create(&store).unwrap();
        group.write(&store, "a", &values).unwrap();
        group.write(&store, "b", &[7u8]).unwrap();
        group.write::<f32>(&store, "c", &[]).unwrap();
        let back = Group::open(&store).unwrap();
        assert_eq!(back.read::<i64>(&store, "a").unwrap(), values);
        assert_eq!(back.read::<u8>(&store, "b").unwrap(), [7]);
        assert!(back.read::<f32>(&store, "c").unwrap().is_empty());
    }

    #[test]
    fn what_was_not_written_is_the_fill_value() {
        let (group, store) = (group(), MemoryStore::default());
        group.create(&store).unwrap();
        group.write_chunk(&store, "loss", &[1, 2], &[9.0]).unwrap();
        assert!(group.has_chunk(&store, "loss", &[1, 2]).unwrap());
        assert!(!group.has_chunk(&store, "loss", &[0, 0]).unwrap());
        let values = group.read::<f64>(&store, "loss").unwrap();
        assert_eq!(values[14], 9.0);
        assert_eq!(values.iter().filter(|v| v.is_nan()).count(), 14);
        // The format stores a chunk whole even where it reaches past the array.
        assert_eq!(store.get("loss/c/1/2").unwrap().unwrap().len(), 4 * 8);
    }

    #[test]
    fn groups_nest() {
        let outer = Group::default().group("with skips", group()).group("without", group());
        let store = MemoryStore::default();
        outer.create(&store).unwrap();
        outer.write(&store, "without/loss", &[0.5; 15]).unwrap();
        let back = Group::open(&store).unwrap();
        assert_eq!(back, outer);
        assert_eq!(back.read::<f64>(&store, "without/loss").unwrap(), [0.5; 15]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (group, store) = (group(), MemoryStore::default());
        let error = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(
            error(group.write_chunk(&store, "loss", &[2, 0], &[0.0; 2])),
            "chunk of loss: expected an index below [2, 3], got [2, 0]"
        );
        assert_eq!(
            error(group.write_chunk(&store, "loss", &[0, 0], &[0.0; 3])),
            "chunk [0, 0] of loss: expected 4 values, got 3"
        );
        assert_eq!(
            error(group.write_chunk(&store, "loss", &[0, 0], &[0u8; 4])),
            "loss: expected elements of type float64, got uint8"
        );
        assert_eq!(
            error(group.write_chunk(&store, "lost", &[0, 0], &[0u8; 4])),
            "lost is not in the store"
        );
        store.put("loss/c/0/0", &[1, 2, 3]).unwrap();
        assert_eq!(
            group.read::<f64>(&store, "loss").unwrap_err().to_string(),
            "loss/c/0/0: expected 32 bytes, got 3"
        );
    }
}

//! Tensors, which are views of storages, as arrays of their own.

use super::container::Container;
use super::value::{Elements, Objects, Storage, Value, View};
use super::{FORMAT, invalid, refused};
use crate::element::gather;
use crate::{ElementKind, FormatError, RawArray};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use thalweg_array::{Array, element_count};

/// The axes that PyTorch allows at most.
const MOST_AXES: usize = 64;
/// Distinct tensors may be so many times the storages that they are views of, and [`SMALL`] bytes
/// more: an axis of stride zero repeats its elements for nothing.
const MOST_REPEATED: u64 = 8;
const SMALL: u64 = 1 << 16;

/// A view whose every element lies in its storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Checked<'a> {
    storage: &'a str,
    kind: ElementKind,
    /// Elements from the beginning of the storage.
    offset: usize,
    shape: Vec<usize>,
    /// Elements from one entry of an axis to the next.
    strides: Vec<usize>,
}

/// The arrays of the named tensors, in their order.
///
/// # Errors
/// `Unsupported` for elements that are not read, and for views that would take much more memory
/// than the file; `Invalid` for a view that leaves its storage.
pub(super) fn arrays<'a>(
    named: &[(&'a str, u32)],
    objects: &Objects<'a>,
    container: &mut Container<'_>,
) -> Result<Vec<(String, Array)>, FormatError> {
    let mut storages: BTreeMap<&str, (Storage<'a>, u64)> = BTreeMap::new();
    let mut views = Vec::new();
    for &(name, tensor) in named {
        let what = format!("tensor `{}`", name.escape_debug());
        let view = &objects.tensors[tensor as usize];
        let storage = objects.storages[view.storage as usize];
        let view = check(view, &storage, objects).map_err(|error| error.within(FORMAT, &what))?;
        let size = container.size(&storage)?;
        let known = storages.entry(storage.key).or_insert((storage, size));
        if size > known.1 {
            *known = (storage, size);
        }
        views.push((what, view));
    }
    check_repetition(&views, storages.values().map(|(_, size)| size).sum())?;

    // One storage is held at a time.
    let mut order: Vec<usize> = (0..views.len()).collect();
    order.sort_by_key(|&index| views[index].1.storage);
    let mut arrays: Vec<Option<Array>> = vec![None; views.len()];
    let mut made: HashMap<&Checked<'_>, Array> = HashMap::new();
    let mut held: Option<(&str, Cow<'_, [u8]>)> = None;
    for index in order {
        let (what, view) = &views[index];
        if let Some(array) = made.get(view) {
            arrays[index] = Some(array.clone());
            continue;
        }
        let bytes = match held.take().filter(|(key, _)| *key == view.storage) {
            Some((_, bytes)) => bytes,
            None => container.bytes(&storages[view.storage].0)?,
        };
        let array =
            view.array(&bytes, container.big_endian).map_err(|error| error.within(FORMAT, what))?;
        made.insert(view, array.clone());
        arrays[index] = Some(array);
        held = Some((view.storage, bytes));
    }
    let names = named.iter().map(|(name, _)| (*name).to_owned());
    Ok(names.zip(arrays.into_iter().flatten()).collect())
}

fn check<'a>(
    view: &View<'a>,
    storage: &Storage<'a>,
    objects: &Objects<'a>,
) -> Result<Checked<'a>, FormatError> {
    let kind = match view.elements {
        Elements::Known(kind) => kind,
        Elements::Bytes => return Err(invalid("its elements have no type")),
        Elements::Other(name) => {
            let name = name.escape_debug();
            return Err(refused(&format!("its elements are {name}, which are not read")));
        }
    };
    let numbers = |place: u32| -> Option<Vec<usize>> {
        let items = &objects.sequences[place as usize];
        let number = |item: &Value<'_>| match item {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        (items.len() <= MOST_AXES).then(|| items.iter().map(number).collect())?
    };
    let (Some(shape), Some(strides)) = (numbers(view.shape), numbers(view.strides)) else {
        return Err(invalid(format!(
            "its shape or strides are no sizes, expected up to {MOST_AXES} whole numbers"
        )));
    };
    if shape.len() != strides.len() {
        return Err(invalid(format!("shape {shape:?} and strides {strides:?} differ in length")));
    }
    let held = match storage.elements {
        Elements::Known(stored) => storage.count.checked_mul(stored.size() as u64),
        _ => Some(storage.count),
    };
    let held = held.map(|bytes| bytes / kind.size() as u64);
    let leaves = || {
        let held = held.map_or("too many to count".into(), |held| held.to_string());
        invalid(format!(
            "shape {shape:?} with strides {strides:?} from element {} leaves its storage, whose \
             elements are {held}",
            view.offset
        ))
    };
    let offset = usize::try_from(view.offset).map_err(|_| leaves())?;
    if !shape.contains(&0) {
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&extent, &stride)| {
            last.checked_add((extent - 1).checked_mul(stride)?)
        });
        let last = last.ok_or_else(leaves)? as u64;
        if held.is_none_or(|held| last >= held) {
            return Err(leaves());
        }
    }
    Ok(Checked { storage: storage.key, kind, offset, shape, strides })
}

/// Refuses tensors that together are much larger than what they are views of.
fn check_repetition(views: &[(String, Checked<'_>)], stored: u64) -> Result<(), FormatError> {
    let most = stored.saturating_mul(MOST_REPEATED).saturating_add(SMALL);
    let mut seen = std::collections::HashSet::new();
    let mut total = 0u64;
    for (what, view) in views.iter().filter(|(_, view)| seen.insert(view)) {
        let count = element_count(&view.shape).unwrap_or(usize::MAX) as u64;
        total = total.saturating_add(count.saturating_mul(view.kind.size() as u64));
        if total > most {
            return Err(refused(&format!(
                "{what} of shape {:?} repeats its elements: the tensors would take more than \
                 {MOST_REPEATED} times the {stored} bytes that are stored; save them with \
                 .contiguous()",
                view.shape
            )));
        }
    }
    Ok(())
}

impl Checked<'_> {
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.shape.iter().zip(&self.strides).rev().all(|(&extent, &stride)| {
            let fits = extent == 1 || stride == expected;
            expected = expected.saturating_mul(extent);
            fits
        })
    }

    fn array(&self, storage: &[u8], big_endian: bool) -> Result<Array, FormatError> {
        let size = self.kind.size();
        let bytes = if self.shape.contains(&0) {
            Cow::Borrowed(&[][..])
        } else if self.is_contiguous() {
            let start = self.offset.checked_mul(size);
            let length = element_count(&self.shape).and_then(|count| count.checked_mul(size));
            let part = start
                .zip(length)
                .and_then(|(start, length)| storage.get(start..start.checked_add(length)?));
            Cow::Borrowed(part.ok_or_else(|| invalid("its storage ends early"))?)
        } else {
            let gathered = gather(size, &self.shape, &self.strides, self.offset, storage);
            Cow::Owned(gathered.ok_or_else(|| invalid("no room for its elements"))?)
        };
        RawArray::new(self.kind, big_endian, self.shape.clone(), bytes)
            .ok_or_else(|| invalid("its elements do not fill its shape"))?
            .to_array()
    }
}

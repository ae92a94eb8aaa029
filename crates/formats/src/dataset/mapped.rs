//! Inputs that stay in their file and are read through a memory map.

use crate::error::at;
use crate::{ElementKind, FormatError, RawArray};
use memmap2::Mmap;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thalweg_array::{Array, DType};
use thalweg_data::{DataError, InputSource};

/// Bytes that are read of a map before its pages are let go.
const RESIDENT: usize = 32 << 20;

/// A file in a memory map.
///
/// Whoever changes or cuts the file while it is in use gets other values or, of what was cut off,
/// the end of the program: there is no way to notice that of a map.
pub(super) struct MappedFile {
    map: Mmap,
    /// Bytes read since the pages were let go.
    seen: AtomicUsize,
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of {} bytes", self.map.len())
    }
}

impl MappedFile {
    /// Maps a regular file.
    pub(super) fn open(path: &Path) -> Result<Arc<MappedFile>, FormatError> {
        let map = || -> Result<Mmap, FormatError> {
            let file = File::open(path)?;
            if !file.metadata()?.is_file() {
                let what = "expected a regular file".to_string();
                return Err(FormatError::Unsupported { format: "data", what });
            }
            // SAFETY: the map is only read, and every bit pattern is a byte. That nobody changes the
            // file meanwhile cannot be enforced; it is asked of the user where maps are described.
            Ok(unsafe { Mmap::map(&file) }?)
        };
        let map = map().map_err(at(path))?;
        Ok(Arc::new(MappedFile { map, seen: AtomicUsize::new(0) }))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Says that so many bytes were read, so that memory does not fill with pages of the map.
    pub(super) fn saw(&self, bytes: usize) {
        if self.seen.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) < RESIDENT {
            return;
        }
        self.seen.store(0, Ordering::Relaxed);
        #[cfg(unix)]
        {
            // SAFETY: the map is of a file and never written to, so that pages that are let go come
            // back from the file with the same bytes. That it fails only costs memory.
            let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

/// A row-major array within a map, known to lie in it.
#[derive(Debug)]
pub(super) struct MappedArray {
    file: Arc<MappedFile>,
    kind: ElementKind,
    big_endian: bool,
    shape: Vec<usize>,
    start: usize,
}

impl MappedArray {
    /// An array over a range of a map, none if the range is not in the map or no such array.
    pub(super) fn new(
        file: &Arc<MappedFile>,
        kind: ElementKind,
        big_endian: bool,
        shape: Vec<usize>,
        range: Range<usize>,
    ) -> Option<MappedArray> {
        let bytes = file.bytes().get(range.clone())?;
        RawArray::new(kind, big_endian, shape.clone(), Cow::Borrowed(bytes))?;
        Some(MappedArray { file: file.clone(), kind, big_endian, shape, start: range.start })
    }
}

/// The inputs of one part.
#[derive(Debug)]
pub(super) enum PartInputs {
    /// In memory.
    Raw(RawArray<'static>),
    /// In a file.
    Mapped(MappedArray),
}

impl PartInputs {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            PartInputs::Raw(raw) => raw.shape(),
            PartInputs::Mapped(mapped) => &mapped.shape,
        }
    }

    pub(super) fn kind(&self) -> ElementKind {
        match self {
            PartInputs::Raw(raw) => raw.kind(),
            PartInputs::Mapped(mapped) => mapped.kind,
        }
    }

    /// Rows that there are.
    fn rows(&self, rows: Range<usize>) -> Option<RawArray<'_>> {
        let (bytes, big_endian) = match self {
            PartInputs::Raw(raw) => (raw.bytes(), raw.is_big_endian()),
            PartInputs::Mapped(mapped) => {
                (mapped.file.bytes().get(mapped.start..)?, mapped.big_endian)
            }
        };
        let mut shape = self.shape().to_vec();
        let size = shape.get(1..)?.iter().product::<usize>() * self.kind().size();
        *shape.first_mut()? = rows.len();
        let bytes = bytes.get(rows.start.checked_mul(size)?..rows.end.checked_mul(size)?)?;
        if let PartInputs::Mapped(mapped) = self {
            mapped.file.saw(bytes.len());
        }
        RawArray::new(self.kind(), big_endian, shape, Cow::Borrowed(bytes))
    }
}

/// The inputs of all parts, one behind the other.
#[derive(Debug)]
pub(super) struct StoredParts {
    parts: Vec<PartInputs>,
    /// The first row of each part, and behind the last.
    starts: Vec<usize>,
    shape: Vec<usize>,
    dtype: DType,
}

impl StoredParts {
    /// Parts that together fill a shape.
    pub(super) fn new(parts: Vec<PartInputs>, shape: Vec<usize>) -> StoredParts {
        let double = parts.iter().any(|part| part.kind() == ElementKind::F64);
        let mut starts = vec![0];
        let mut end = 0usize;
        for part in &parts {
            end += part.shape().first().copied().unwrap_or(0);
            starts.push(end);
        }
        StoredParts { parts, starts, shape, dtype: if double { DType::F64 } else { DType::F32 } }
    }

    /// The part of a row, and the row within it.
    fn place(&self, row: usize) -> Option<(usize, usize)> {
        let part = self.starts.partition_point(|&start| start <= row).checked_sub(1)?;
        (part < self.parts.len()).then(|| (part, row - self.starts[part]))
    }
}

impl InputSource for StoredParts {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn rows(&self, rows: &[usize]) -> Result<Array, DataError> {
        let unread = |what: String| DataError::Unread { what };
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        let row_length = shape[1..].iter().product::<usize>();
        let mut out = Array::try_zeros(self.dtype, &shape)?;
        let mut done = 0;
        while let Some(&first) = rows.get(done) {
            let missing = || unread(format!("row {first} is not there"));
            let (part, from) = self.place(first).ok_or_else(missing)?;
            let end = self.starts[part + 1];
            let next = rows[done..].iter().zip(first..end);
            let n = next.take_while(|(row, expected)| *row == expected).count();
            let raw = self.parts[part].rows(from..from + n).ok_or_else(missing)?;
            let to = done * row_length..(done + n) * row_length;
            if self.dtype == DType::F64 {
                let values = raw.to_array().map_err(|error| unread(error.to_string()))?;
                out.as_mut_slice::<f64>()?[to].copy_from_slice(&values.to_f64_vec());
            } else {
                raw.write_f32(&mut out.as_mut_slice::<f32>()?[to]);
            }
            done += n;
        }
        Ok(out)
    }
}

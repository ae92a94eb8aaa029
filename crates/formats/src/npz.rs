//! NumPy's `.npz`: arrays by name in a zip archive.

use crate::archive::Archive;
use crate::{FormatError, RawArray, npy};
use std::io::Write;
use std::ops::Range;
use thalweg_array::Array;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const FORMAT: &str = "npz";

/// An archive whose arrays are read when they are asked for.
///
/// # Example
/// ```
/// use thalweg_array::Array;
/// use thalweg_formats::npz;
/// let mut bytes = Vec::new();
/// let array = Array::vector(&[1.0f32, 2.0]);
/// npz::write(&mut bytes, &[("w", &array)], npz::Compression::Stored)?;
/// assert_eq!(npz::Npz::new(&bytes)?.get("w")?.to_array()?, array);
/// # Ok::<(), thalweg_formats::FormatError>(())
/// ```
pub struct Npz<'a> {
    archive: Archive<'a>,
    /// Names of arrays, with the places of their members.
    arrays: Vec<(String, usize)>,
}

impl<'a> Npz<'a> {
    /// Opens an archive; members that are not called `*.npy` are left aside.
    ///
    /// # Errors
    /// Bytes that are no zip archive, a name that comes twice, or members that together claim more
    /// compressed bytes than the file has.
    pub fn new(bytes: &'a [u8]) -> Result<Npz<'a>, FormatError> {
        let archive = Archive::open(bytes, FORMAT)?;
        let arrays = archive.members().iter().enumerate().filter_map(|(index, member)| {
            Some((member.name.strip_suffix(".npy")?.to_string(), index))
        });
        let arrays = arrays.collect();
        Ok(Npz { archive, arrays })
    }

    /// The names of the arrays, in the order of the file, without `.npy`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// Reads one array.
    ///
    /// # Errors
    /// No such name, a header that lies, elements of a type that is not read, damaged data.
    pub fn get(&mut self, name: &str) -> Result<RawArray<'static>, FormatError> {
        let (index, what) = (self.index(name)?, format!("array `{name}`"));
        let (mut member, size) = self.archive.reader(index, &what)?;
        npy::read(&mut member, size).map_err(|error| error.within(FORMAT, &what))
    }

    /// The bytes that an array claims to take.
    pub(crate) fn size(&self, name: &str) -> Result<u64, FormatError> {
        let index = self.index(name)?;
        Ok(self.archive.members().get(index).map_or(0, |member| member.size))
    }

    /// What an array is and where its elements lie in the bytes; none if they are compressed or not
    /// row-major. Its check sum is right; `saw` is told of each so many bytes that were looked at.
    ///
    /// # Errors
    /// As [`Npz::get`].
    pub(crate) fn stored(
        &mut self,
        name: &str,
        bytes: &[u8],
        saw: &dyn Fn(usize),
    ) -> Result<Option<(npy::Layout, Range<usize>)>, FormatError> {
        let (index, what) = (self.index(name)?, format!("array `{name}`"));
        let Some(range) = self.archive.stored(index, &what, saw)? else { return Ok(None) };
        let mut member = bytes.get(range.clone()).unwrap_or_default();
        let size = member.len() as u64;
        let layout = npy::layout(&mut member, size).map_err(|error| error.within(FORMAT, &what))?;
        let data = range.start + layout.length..range.end;
        Ok((!layout.fortran_order).then_some((layout, data)))
    }

    fn index(&self, name: &str) -> Result<usize, FormatError> {
        let index = self.arrays.iter().find(|(known, _)| known == name).map(|&(_, index)| index);
        index.ok_or_else(|| FormatError::Missing {
            name: name.to_string(),
            known: self.names().map(String::from).collect(),
        })
    }
}

/// All arrays of an archive, in the order of the file, each of the type that
/// [`crate::ElementKind::dtype`] says.
///
/// # Errors
/// As [`Npz::new`] and [`Npz::get`]; an unsigned 64-bit integer that does not fit.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Array)>, FormatError> {
    let mut npz = Npz::new(bytes)?;
    let names: Vec<String> = npz.names().map(String::from).collect();
    let mut arrays = Vec::new();
    for name in names {
        let array = npz.get(&name)?.to_array()?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Whether arrays are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are; as `numpy.savez`.
    #[default]
    Stored,
    /// By deflate; as `numpy.savez_compressed`.
    Deflated,
}

/// Writes arrays in the order given. Equal arrays give equal bytes: no time is recorded.
///
/// # Errors
/// A name that is empty or occurs twice, or a writer that fails.
pub fn write(
    writer: impl Write,
    arrays: &[(&str, &Array)],
    compression: Compression,
) -> Result<(), FormatError> {
    for (i, (name, _)) in arrays.iter().enumerate() {
        if name.is_empty() || arrays[..i].iter().any(|(other, _)| other == name) {
            let what = format!("the array name `{name}` is empty or occurs twice");
            return Err(FormatError::Unsupported { format: FORMAT, what });
        }
    }
    let method = match compression {
        Compression::Stored => CompressionMethod::Stored,
        Compression::Deflated => CompressionMethod::Deflated,
    };
    let mut failed = None;
    let mut zip = ZipWriter::new_stream(Latched { writer, failed: &mut failed });
    for (name, array) in arrays {
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            // Above 4 GiB the sizes need their longer form; the margin covers the header.
            .large_file(array.size_in_bytes() as u64 > u64::from(u32::MAX) - (1 << 20));
        zip.start_file(format!("{name}.npy"), options).map_err(zip_error)?;
        npy::write(&mut zip, array)?;
    }
    zip.finish().map_err(zip_error)?.into_inner().flush()?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Keeps the first error of a writer and swallows what comes after it: a zip writer that sees an
/// error prints to the standard error when it is dropped.
struct Latched<'a, W> {
    writer: W,
    failed: &'a mut Option<std::io::Error>,
}

impl<W: Write> Latched<'_, W> {
    fn unless_failed(&mut self, act: impl FnOnce(&mut W) -> std::io::Result<()>) {
        if self.failed.is_none() {
            *self.failed = act(&mut self.writer).err();
        }
    }
}

impl<W: Write> Write for Latched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unless_failed(|writer| writer.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.unless_failed(W::flush);
        Ok(())
    }
}

fn zip_error(error: zip::result::ZipError) -> FormatError {
    FormatError::Io(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> [Array; 3] {
        [
            Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap(),
            Array::vector(&[true, false]),
            Array::scalar(-7i64),
        ]
    }

    fn archive(compression: Compression) -> Vec<u8> {
        let [w, mask, step] = &arrays();
        let mut bytes = Vec::new();
        write(&mut bytes, &[("w", w), ("layer.0/mask", mask), ("step", step)], compression)
            .unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_in_order() {
        for compression in [Compression::Stored, Compression::Deflated] {
            let bytes = archive(compression);
            assert_eq!(bytes, archive(compression));
            let read = read(&bytes).unwrap();
            let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["w", "layer.0/mask", "step"]);
            for ((_, got), expected) in read.iter().zip(&arrays()) {
                assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn wrong_requests_are_refused() {
        let bytes = archive(Compression::Stored);
        assert_eq!(
            Npz::new(&bytes).unwrap().get("bias").unwrap_err().to_string(),
            "no array `bias` among `w`, `layer.0/mask`, `step`"
        );
        assert!(read(b"PK\x03\x04 and no more").is_err());
        let a = Array::scalar(0f32);
        assert!(write(&mut Vec::new(), &[("a", &a), ("a", &a)], Compression::Stored).is_err());
    }

    #[test]
    fn damaged_data_are_noticed() {
        let mut bytes = archive(Compression::Stored);
        let at = bytes.windows(4).position(|w| w == 5.0f32.to_le_bytes()).unwrap();
        bytes[at] ^= 1;
        let message = read(&bytes).unwrap_err().to_string();
        assert!(message.contains("array `w`") && message.contains("checksum"), "{message}");
    }

    #[test]
    fn a_writer_that_fails_is_reported() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let array = Array::zeros(thalweg_array::DType::F64, &[100]);
        for room in (0..1000).step_by(37) {
            let failed = write(Full(room), &[("a", &array)], Compression::Stored);
            assert!(matches!(failed, Err(FormatError::Io(_))), "{room}");
        }
    }
}

//! Zip archives as the formats that are made of them need them.

use crate::FormatError;
use crate::inflate::{self, expect_end, read_exactly};
use std::io::{Cursor, Read};
use std::ops::Range;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::{CompressionMethod, ZipArchive};

/// What a zip archive begins with.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";

/// An archive whose directory has been read and fits the file.
pub(crate) struct Archive<'a> {
    format: &'static str,
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    members: Vec<Member>,
}

/// Yields what a member unpacks to.
pub(crate) type Reader<'r, 'a> = ZipFile<'r, Cursor<&'a [u8]>>;

/// One file of an archive.
pub(crate) struct Member {
    /// Its name with its path.
    pub(crate) name: String,
    /// The bytes that it claims to unpack to.
    pub(crate) size: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// Bytes that are no zip archive, a name that comes twice, or members that together claim more
    /// compressed bytes than the file has.
    pub(crate) fn open(bytes: &'a [u8], format: &'static str) -> Result<Archive<'a>, FormatError> {
        let invalid = |reason: String| FormatError::Invalid { format, reason };
        // Nothing comes before the archive. Where the crate has to find that out itself, it takes the
        // second entry of the directory for the first if that is as long as the records of 64-bit
        // sizes, which PyTorch writes without need: 76 bytes, with a file name of 21 characters.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip = ZipArchive::with_config(config, Cursor::new(bytes))
            .map_err(|error| invalid(format!("it is no zip archive: {error}")))?;
        if zip.has_duplicate_names() {
            return Err(invalid("two of its members have the same name".into()));
        }
        let mut members = Vec::new();
        let mut total = 0u64;
        for index in 0..zip.len() {
            let member = zip
                .by_index_raw(index)
                .map_err(|error| invalid(format!("member {index} cannot be found: {error}")))?;
            total = total.saturating_add(member.compressed_size());
            let name = member
                .name()
                .map_err(|error| invalid(format!("the name of member {index}: {error}")))?;
            members.push(Member { name: name.to_string(), size: member.size() });
        }
        if total > bytes.len() as u64 {
            let got = bytes.len();
            return Err(invalid(format!("its members claim {total} bytes of a file of {got}")));
        }
        Ok(Archive { format, bytes, zip, members })
    }

    /// The members, in the order of the directory.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The place of a member, by its whole name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name(name)
    }

    /// A reader of a member, with the size that it claims and that its bytes can hold. `what` it is
    /// called in an error.
    ///
    /// # Errors
    /// A member that is encrypted, compressed in a way that is not read, or that lies.
    pub(crate) fn reader(
        &mut self,
        index: usize,
        what: &str,
    ) -> Result<(Reader<'_, 'a>, u64), FormatError> {
        let format = self.format;
        let invalid = |reason: String| FormatError::Invalid { format, reason };
        let member = self
            .zip
            .by_index(index)
            .map_err(|error| invalid(format!("{what} cannot be read: {error}")))?;
        let (size, compressed) = (member.size(), member.compressed_size());
        let possible = match member.compression() {
            CompressionMethod::Stored => size == compressed,
            _ => inflate::is_possible(compressed, size),
        };
        if !possible {
            return Err(invalid(format!(
                "{what} claims {size} bytes, more than {compressed} compressed bytes can hold"
            )));
        }
        Ok((member, size))
    }

    /// Where the bytes of a member lie, whose check sum is right; none if they are compressed.
    /// `saw` is told of each so many bytes that were looked at.
    ///
    /// # Errors
    /// As [`Archive::reader`]; damaged data.
    pub(crate) fn stored(
        &mut self,
        index: usize,
        what: &str,
        saw: &dyn Fn(usize),
    ) -> Result<Option<Range<usize>>, FormatError> {
        let (format, bytes) = (self.format, self.bytes);
        let invalid = |reason: String| FormatError::Invalid { format, reason };
        let (mut member, size) = self.reader(index, what)?;
        if member.compression() != CompressionMethod::Stored {
            return Ok(None);
        }
        let place = |start: u64| {
            let range =
                usize::try_from(start).ok()?..usize::try_from(start.checked_add(size)?).ok()?;
            (range.end <= bytes.len()).then_some(range)
        };
        let range = member.data_start().and_then(place);
        let range = range.ok_or_else(|| invalid(format!("{what} lies outside the file")))?;
        let mut buffer = vec![0u8; 1 << 16];
        let mut got = 0;
        loop {
            match member.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) => {
                    return Err(invalid(format!("{what}: its data cannot be read: {error}")));
                }
            }
            saw(buffer.len());
        }
        if got != range.len() {
            let claimed = range.len();
            return Err(invalid(format!("{what} claims {claimed} bytes of data and holds {got}")));
        }
        Ok(Some(range))
    }

    /// All bytes of a member, whose check sum is right.
    ///
    /// # Errors
    /// As [`Archive::reader`]; damaged data.
    pub(crate) fn read(&mut self, index: usize, what: &str) -> Result<Vec<u8>, FormatError> {
        let format = self.format;
        let (mut reader, size) = self.reader(index, what)?;
        let mut bytes = Vec::new();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        read_exactly(&mut reader, size, &mut bytes, format)
            .and_then(|()| expect_end(&mut reader, format))
            .map_err(|error| error.within(format, what))?;
        Ok(bytes)
    }
}

//! Tables in Parquet files.
//!
//! Columns of numbers, truth values and texts are read, and lists of numbers of one length; the
//! compressions are those that need no C: none, Snappy, gzip and LZ4.

use super::config::DataConfig;
use super::table::{Column, Table, Values, find_targets};
use super::{Provenance, read_file, source, stem_of};
use crate::FormatError;
use crate::error::at;
use crate::quiet::caught;
use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::collections::BTreeMap;
use std::path::Path;
use thalweg_data::Dataset;

const FORMAT: &str = "Parquet";

/// Records that are read at a time.
const BATCH: usize = 8192;

/// The most bytes of numbers that a byte of a file may stand for, and those that any file may.
const EXPANSION: usize = 4096;
const FREE: usize = 1 << 26;

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what }
}

fn wrong(error: ParquetError) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: error.to_string() }
}

/// Loads a Parquet file, see [`read_parquet`].
///
/// # Errors
/// As [`read_parquet`], with the path.
pub fn load_parquet(path: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let provenance = Provenance { source: source(path), ..Provenance::default() };
    read_parquet(&stem_of(path), read_file(path)?, config, provenance).map_err(at(path))
}

/// A data set from the bytes of a Parquet file; its columns are taken as those of
/// [`super::read_csv`], lists of numbers as so many features. Rows are counted from 0.
///
/// # Errors
/// Bytes that are no such file, columns of types that are not numbers, lists of several lengths,
/// a compression that is not read.
pub fn read_parquet(
    name: &str,
    bytes: Vec<u8>,
    config: &DataConfig,
    provenance: Provenance,
) -> Result<Dataset, FormatError> {
    // The crate panics on some damaged files.
    let read = caught(|| columns(bytes, config));
    let (columns, n) = read.unwrap_or_else(|| {
        let reason = "its pages contradict its footer".into();
        Err(FormatError::Invalid { format: FORMAT, reason })
    })?;
    let shown = |_: usize, _: usize| "is empty or NaN".to_owned();
    let table = Table { format: FORMAT, columns, n, row: &|row| row, shown: &shown };
    let config = DataConfig { leave_out: Vec::new(), ..config.clone() };
    table.into_dataset(name, &config, provenance)
}

/// The columns that are not left out, and the number of rows.
fn columns(bytes: Vec<u8>, config: &DataConfig) -> Result<(Vec<Column>, usize), FormatError> {
    let length = bytes.len();
    let file = SerializedFileReader::new(Bytes::from(bytes)).map_err(wrong)?;
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let names: Vec<String> =
        schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    find_targets(FORMAT, &names, config)?;
    let rows = file.metadata().row_groups().iter().map(|group| group.num_rows());
    let n =
        rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    let mut room = length.saturating_mul(EXPANSION).max(FREE) / size_of::<f64>();
    let mut leaves: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (place, leaf) in schema.columns().iter().enumerate() {
        let Some(name) = leaf.path().parts().first().map(String::as_str) else { continue };
        if config.leave_out.iter().any(|left| left == name) {
            continue;
        }
        let count = leaves.entry(name).or_default();
        *count += 1;
        if *count > 1 {
            return Err(refused(format!(
                "column `{name}` is a structure of several values: leave it out by --leave-out"
            )));
        }
        let mut column = Raw::new(name, leaf)?;
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group).map_err(wrong)?;
            let codec = group.metadata().column(place).compression();
            let read = matches!(
                codec,
                Compression::UNCOMPRESSED
                    | Compression::SNAPPY
                    | Compression::GZIP(_)
                    | Compression::LZ4
                    | Compression::LZ4_RAW
            );
            if !read {
                let codec = codec.to_string().split('(').next().unwrap_or_default().to_owned();
                return Err(refused(format!(
                    "column `{name}` is compressed by {codec}, which is not read: write it with \
                     snappy, gzip, lz4 or no compression"
                )));
            }
            column.read(group.get_column_reader(place).map_err(wrong)?, &mut room)?;
        }
        found.push(column.finish(n)?);
    }
    Ok((found, n))
}

/// A value of a column.
enum Cell {
    Number(f64),
    /// Its place among the distinct texts.
    Text(u32),
}

/// A column as far as it was read.
struct Raw {
    name: String,
    /// What the levels are of a value that is there, and whether there are lists.
    present: i16,
    lists: bool,
    unsigned: bool,
    whole: bool,
    numbers: Vec<f64>,
    codes: Vec<u32>,
    texts: BTreeMap<String, u32>,
    is_text: bool,
    rows: usize,
    /// Values of a row of lists.
    width: Option<usize>,
    /// Values of the row that is being read.
    open: usize,
}

impl Raw {
    fn new(name: &str, leaf: &ColumnDescriptor) -> Result<Raw, FormatError> {
        let physical = leaf.physical_type();
        let converted = leaf.converted_type();
        let is_text = physical == Physical::BYTE_ARRAY
            && matches!(converted, ConvertedType::UTF8 | ConvertedType::ENUM);
        let unsigned = matches!(
            converted,
            ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        );
        let signed = matches!(
            converted,
            ConvertedType::NONE
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
        );
        let number = match physical {
            Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => true,
            Physical::INT32 | Physical::INT64 => {
                let plain = leaf.logical_type_ref().is_none_or(|logical| {
                    matches!(logical, parquet::basic::LogicalType::Integer { .. })
                });
                (signed || unsigned) && plain
            }
            _ => false,
        };
        if !number && !is_text {
            let kind = match converted {
                ConvertedType::NONE => physical.to_string(),
                converted => converted.to_string(),
            };
            return Err(refused(format!(
                "column `{name}` is of type {kind}, expected numbers, truth values or text: leave \
                 it out by --leave-out"
            )));
        }
        if is_text && leaf.max_rep_level() > 0 {
            return Err(refused(format!(
                "column `{name}` holds lists of text: leave it out by --leave-out"
            )));
        }
        Ok(Raw {
            name: name.to_owned(),
            present: leaf.max_def_level(),
            lists: leaf.max_rep_level() > 0,
            unsigned,
            whole: !matches!(physical, Physical::FLOAT | Physical::DOUBLE),
            numbers: Vec::new(),
            codes: Vec::new(),
            texts: BTreeMap::new(),
            is_text,
            rows: 0,
            width: None,
            open: 0,
        })
    }

    fn read(&mut self, reader: ColumnReader, room: &mut usize) -> Result<(), FormatError> {
        let unsigned = self.unsigned;
        let number = |value: f64| Ok(Cell::Number(value));
        match reader {
            ColumnReader::BoolColumnReader(from) => {
                self.each(from, room, |_, &value| number(f64::from(u8::from(value))))
            }
            ColumnReader::Int32ColumnReader(from) => self.each(from, room, |_, &value| {
                number(if unsigned { f64::from(value as u32) } else { f64::from(value) })
            }),
            ColumnReader::Int64ColumnReader(from) => self.each(from, room, |_, &value| {
                number(if unsigned { value as u64 as f64 } else { value as f64 })
            }),
            ColumnReader::FloatColumnReader(from) => {
                self.each(from, room, |_, &value| number(f64::from(value)))
            }
            ColumnReader::DoubleColumnReader(from) => {
                self.each(from, room, |_, &value| number(value))
            }
            ColumnReader::ByteArrayColumnReader(from) => {
                self.each(from, room, |raw, value: &ByteArray| {
                    let text = std::str::from_utf8(value.data()).map_err(|_| {
                        let (name, row) = (&raw.name, raw.rows);
                        refused(format!("column `{name}`: row {row} is no UTF-8"))
                    })?;
                    let next = raw.texts.len() as u32;
                    Ok(Cell::Text(match raw.texts.get(text) {
                        Some(&code) => code,
                        None => *raw.texts.entry(text.to_owned()).or_insert(next),
                    }))
                })
            }
            _ => Err(refused(format!("column `{}` is not of the type of its footer", self.name))),
        }
    }

    /// Reads the values of a row group, and what is missing between them.
    fn each<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        room: &mut usize,
        mut convert: impl FnMut(&mut Raw, &T::T) -> Result<Cell, FormatError>,
    ) -> Result<(), FormatError> {
        loop {
            let (mut definitions, mut repetitions, mut values) =
                (Vec::new(), Vec::new(), Vec::new());
            // A header may lie about the number of rows: read until nothing comes.
            let (records, _, levels) = reader
                .read_records(BATCH, Some(&mut definitions), Some(&mut repetitions), &mut values)
                .map_err(wrong)?;
            if records == 0 && levels == 0 {
                return self.close();
            }
            *room = room.checked_sub(levels.max(values.len())).ok_or_else(|| {
                refused("it holds more values than a file of its length should".into())
            })?;
            let mut values = values.iter();
            for level in 0..levels.max(if self.present == 0 { records } else { 0 }) {
                let there = definitions.get(level).copied().unwrap_or(0) == self.present;
                if !self.lists || repetitions.get(level).copied().unwrap_or(0) == 0 {
                    self.close()?;
                }
                match there.then(|| values.next()).flatten() {
                    Some(value) => match convert(self, value)? {
                        Cell::Number(number) => self.numbers.push(number),
                        Cell::Text(code) => self.codes.push(code),
                    },
                    None if self.is_text || self.lists => {
                        let what = if self.lists { "a list of numbers" } else { "a text" };
                        let (name, row) = (&self.name, self.rows);
                        return Err(refused(format!(
                            "column `{name}`: row {row} is empty, expected {what}"
                        )));
                    }
                    None => self.numbers.push(f64::NAN),
                }
                self.open += 1;
            }
        }
    }

    /// Ends a row, whose length must be that of the others.
    fn close(&mut self) -> Result<(), FormatError> {
        if self.open == 0 {
            return Ok(());
        }
        let width = *self.width.get_or_insert(self.open);
        if width != self.open {
            return Err(refused(format!(
                "column `{}`: row {} holds {} numbers and the first {width}: expected lists of one \
                 length",
                self.name, self.rows, self.open
            )));
        }
        self.open = 0;
        self.rows += 1;
        Ok(())
    }

    fn finish(self, n: usize) -> Result<Column, FormatError> {
        if self.rows != n {
            let reason =
                format!("column `{}` has {} rows, and its footer says {n}", self.name, self.rows);
            return Err(FormatError::Invalid { format: FORMAT, reason });
        }
        let width = self.width.unwrap_or(1);
        let values = match self.is_text {
            false => Values::Numbers { width, values: self.numbers, whole: self.whole },
            true => {
                let mut distinct = vec![String::new(); self.texts.len()];
                for (text, code) in self.texts {
                    distinct[code as usize] = text;
                }
                Values::Texts { codes: self.codes, distinct }
            }
        };
        Ok(Column { name: self.name, values })
    }
}

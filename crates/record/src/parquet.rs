//! [`Table`] as Parquet, without the arrow crates.

use crate::{Column, RecordError, Result, Table, format_error};
use ::parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use ::parquet::column::reader::ColumnReader;
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{KeyValue, ParquetMetaData};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::Type;
use bytes::Bytes;
use std::io::Write;
use std::sync::Arc;

impl Table {
    /// Writes the table as one Parquet file, uncompressed, one row group.
    ///
    /// # Errors
    /// `Io` if the writer fails. What was written by then has no footer: write beside, and rename.
    pub fn write_parquet(&self, name: &str, writer: impl Write + Send) -> Result<()> {
        let failed = |error: ParquetError| RecordError::Io {
            name: name.to_owned(),
            source: std::io::Error::other(error),
        };
        self.write(writer).map_err(failed)
    }

    fn write(&self, writer: impl Write + Send) -> std::result::Result<(), ParquetError> {
        let mut fields = Vec::new();
        for (name, column) in self.columns() {
            let physical = match column {
                Column::I64(_) => Physical::INT64,
                Column::F64(_) => Physical::DOUBLE,
                Column::Text(_) => Physical::BYTE_ARRAY,
            };
            let mut field =
                Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            if let Column::Text(_) = column {
                field = field
                    .with_logical_type(Some(LogicalType::String))
                    .with_converted_type(ConvertedType::UTF8);
            }
            fields.push(Arc::new(field.build()?));
        }
        let schema = Arc::new(Type::group_type_builder("metrics").with_fields(fields).build()?);
        // The default names the crate's own version; ours is what a reader of the file wants.
        let properties = WriterProperties::builder()
            .set_created_by(format!("thalweg {}", env!("CARGO_PKG_VERSION")))
            .build();
        let summed = Summed { writer, sum: crc32fast::Hasher::new(), length: 0 };
        let mut file = SerializedFileWriter::new(summed, schema, Arc::new(properties))?;
        let mut group = file.next_row_group()?;
        for (_, column) in self.columns() {
            let Some(mut writer) = group.next_column()? else { break };
            match (column, writer.untyped()) {
                (Column::I64(values), ColumnWriter::Int64ColumnWriter(to)) => {
                    to.write_batch(values, None, None)?;
                }
                (Column::F64(values), ColumnWriter::DoubleColumnWriter(to)) => {
                    to.write_batch(values, None, None)?;
                }
                (Column::Text(values), ColumnWriter::ByteArrayColumnWriter(to)) => {
                    let values: Vec<_> =
                        values.iter().map(|text| ByteArray::from(text.as_str())).collect();
                    to.write_batch(&values, None, None)?;
                }
                _ => return Err(ParquetError::General("a column changed its type".into())),
            }
            writer.close()?;
        }
        group.close()?;
        file.flush()?;
        let Summed { sum, length, .. } = file.inner();
        let value = format!("{length} {:08x}", sum.clone().finalize());
        file.append_key_value_metadata(KeyValue::new(SUM.into(), value));
        file.close()?;
        Ok(())
    }

    /// Reads a Parquet file whose columns are required and of the types that a [`Table`] has.
    ///
    /// # Errors
    /// `Format` if the bytes are no such file.
    pub fn read_parquet(name: &str, bytes: Vec<u8>) -> Result<Table> {
        let wrong = |error: ParquetError| format_error(name, "a whole Parquet file", error);
        let bytes = Bytes::from(bytes);
        let file = SerializedFileReader::new(bytes.clone()).map_err(wrong)?;
        check_sum(name, file.metadata(), &bytes)?;
        check_places(name, file.metadata(), bytes.len())?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let mut columns = Vec::new();
        for field in schema.columns() {
            let column = match field.physical_type() {
                _ if field.max_def_level() > 0 || field.max_rep_level() > 0 => None,
                Physical::INT64 => Some(Column::I64(Vec::new())),
                Physical::DOUBLE => Some(Column::F64(Vec::new())),
                Physical::BYTE_ARRAY => Some(Column::Text(Vec::new())),
                _ => None,
            };
            let column = column.ok_or_else(|| {
                format_error(
                    name,
                    format!("column {} to be a required INT64, DOUBLE or BYTE_ARRAY", field.name()),
                    format!("{:?}", field.physical_type()),
                )
            })?;
            columns.push((field.name().to_owned(), column));
        }
        for index in 0..file.num_row_groups() {
            let group = file.get_row_group(index).map_err(wrong)?;
            // A header may lie about the number of rows: read until nothing comes.
            const BATCH: usize = 8192;
            for (at, (_, column)) in columns.iter_mut().enumerate() {
                let reader = group.get_column_reader(at).map_err(wrong)?;
                match (column, reader) {
                    (Column::I64(values), ColumnReader::Int64ColumnReader(mut from)) => {
                        while from.read_records(BATCH, None, None, values).map_err(wrong)?.0 > 0 {}
                    }
                    (Column::F64(values), ColumnReader::DoubleColumnReader(mut from)) => {
                        while from.read_records(BATCH, None, None, values).map_err(wrong)?.0 > 0 {}
                    }
                    (Column::Text(values), ColumnReader::ByteArrayColumnReader(mut from)) => {
                        let mut raw = Vec::new();
                        while from.read_records(BATCH, None, None, &mut raw).map_err(wrong)?.0 > 0 {
                        }
                        for text in raw {
                            values.push(text.as_utf8().map_err(wrong)?.to_owned());
                        }
                    }
                    _ => return Err(format_error(name, "columns as the schema says", "others")),
                }
            }
        }
        let mut table = Table::new();
        for (column, values) in columns {
            table.push(column, values)?;
        }
        Ok(table)
    }
}

/// The key under which a file's footer says how many bytes go before it and what their check sum
/// is. Pages have none of their own, and a changed bit would be another number.
const SUM: &str = "thalweg.crc32";

/// Hands everything on and adds it up.
struct Summed<W> {
    writer: W,
    sum: crc32fast::Hasher,
    length: usize,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.writer.write(bytes)?;
        self.sum.update(&bytes[..n]);
        self.length += n;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

/// Refuses pages that are not those that were written. A file without a check sum is not ours and
/// is taken as it is.
fn check_sum(name: &str, metadata: &ParquetMetaData, bytes: &[u8]) -> Result<()> {
    let entries = metadata.file_metadata().key_value_metadata();
    let stated = entries.into_iter().flatten().find(|entry| entry.key == SUM);
    let Some(stated) = stated.map(|entry| entry.value.as_deref().unwrap_or("")) else {
        return Ok(());
    };
    let length = stated.split(' ').next().and_then(|length| length.parse().ok());
    let got = length
        .and_then(|length: usize| bytes.get(..length))
        .map(|pages| format!("{} {:08x}", pages.len(), crc32fast::hash(pages)));
    match got {
        Some(got) if got == stated => Ok(()),
        got => {
            let got = got.unwrap_or_else(|| format!("{} bytes", bytes.len()));
            Err(format_error(name, format!("pages of check sum {stated}"), got))
        }
    }
}

/// Refuses columns that do not lie in the file: the crate panics at places below zero and takes
/// any size for that of a buffer.
fn check_places(name: &str, metadata: &ParquetMetaData, size: usize) -> Result<()> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let length = column.compressed_size();
        let end = start.checked_add(length).and_then(|end| usize::try_from(end).ok());
        if start < 0 || length < 0 || end.is_none_or(|end| end > size) {
            let expected = format!("column {} within {size} bytes", column.column_path());
            return Err(format_error(name, expected, format!("{length} bytes at {start}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new();
        table.push("step", Column::I64(vec![-1, i64::MAX, 3])).unwrap();
        table.push("loss", Column::F64(vec![0.1, f64::NAN, f64::NEG_INFINITY])).unwrap();
        table.push("note", Column::Text(vec!["η".into(), String::new(), "x".into()])).unwrap();
        table
    }

    #[test]
    fn parquet_goes_round_with_its_bits() {
        let mut bytes = Vec::new();
        table().write_parquet("metrics.parquet", &mut bytes).unwrap();
        let back = Table::read_parquet("metrics.parquet", bytes).unwrap();
        assert_eq!(back.column("step"), table().column("step"));
        assert_eq!(back.column("note"), table().column("note"));
        let Some(Column::F64(loss)) = back.column("loss") else { panic!() };
        assert_eq!(
            loss.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            [0.1, f64::NAN, f64::NEG_INFINITY].map(f64::to_bits)
        );
    }

    #[test]
    fn a_file_cut_short_is_refused_at_any_length() {
        let mut bytes = Vec::new();
        table().write_parquet("metrics.parquet", &mut bytes).unwrap();
        for length in 0..bytes.len() {
            let error = Table::read_parquet("part", bytes[..length].to_vec()).unwrap_err();
            assert!(error.to_string().starts_with("part: expected a whole Parquet file"));
        }
    }

    #[test]
    fn a_table_without_rows_goes_round() {
        let mut table = Table::new();
        table.push("loss", Column::F64(vec![])).unwrap();
        let mut bytes = Vec::new();
        table.write_parquet("metrics.parquet", &mut bytes).unwrap();
        assert_eq!(Table::read_parquet("metrics.parquet", bytes).unwrap(), table);
    }

    #[test]
    fn a_writer_that_fails_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("disk full"))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let message = table().write_parquet("metrics.parquet", Full).unwrap_err().to_string();
        assert!(message.contains("metrics.parquet") && message.contains("disk full"), "{message}");
    }
}

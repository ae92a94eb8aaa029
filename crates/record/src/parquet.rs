//! [`Table`] as Parquet, without the arrow crates.

use crate::{Column, RecordError, Result, Table, format_error};
use ::parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use ::parquet::column::reader::ColumnReader;
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
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
        let mut bytes = Vec::new();
        self.write(&mut bytes).map_err(failed)?;
        put_sum(&mut bytes);
        let mut writer = writer;
        writer
            .write_all(&bytes)
            .and_then(|()| writer.flush())
            .map_err(|source| RecordError::Io { name: name.to_owned(), source })
    }

    fn write(&self, writer: &mut Vec<u8>) -> std::result::Result<(), ParquetError> {
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
        let mut file = SerializedFileWriter::new(writer, schema, Arc::new(properties))?;
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
        let sum = format!("{MARK}{NO_SUM}");
        file.append_key_value_metadata(KeyValue::new("check sum".into(), sum));
        file.close()?;
        Ok(())
    }

    /// Reads a Parquet file that [`Table::write_parquet`] wrote.
    ///
    /// # Errors
    /// `Format` if the bytes are no such file, or not as they were written.
    pub fn read_parquet(name: &str, bytes: Vec<u8>) -> Result<Table> {
        let wrong = |error: ParquetError| format_error(name, "a whole Parquet file", error);
        check_sum(name, &bytes)?;
        let file = SerializedFileReader::new(Bytes::from(bytes)).map_err(wrong)?;
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

/// What stands before the check sum of a whole file, in its footer: CRC-32, eight hexadecimal
/// digits, over all bytes as they are with [`NO_SUM`] in its place. The format has sums of pages
/// only, the crate writes none, and it panics on damaged footers; a changed bit of a page would be
/// another number.
const MARK: &str = "thalweg crc32 ";
const NO_SUM: &str = "00000000";

/// Where the digits of the check sum are.
fn place_of_sum(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = bytes.windows(MARK.len()).rposition(|w| w == MARK.as_bytes())? + MARK.len();
    let place = start..start + NO_SUM.len();
    (place.end <= bytes.len()).then_some(place)
}

fn put_sum(bytes: &mut [u8]) {
    if let Some(place) = place_of_sum(bytes) {
        let sum = format!("{:08x}", crc32fast::hash(bytes));
        bytes[place].copy_from_slice(sum.as_bytes());
    }
}

/// Refuses anything but the bytes that were written.
fn check_sum(name: &str, bytes: &[u8]) -> Result<()> {
    let place = place_of_sum(bytes)
        .ok_or_else(|| format_error(name, "a whole Parquet file of this laboratory", "another"))?;
    let mut hash = crc32fast::Hasher::new();
    hash.update(&bytes[..place.start]);
    hash.update(NO_SUM.as_bytes());
    hash.update(&bytes[place.end..]);
    let sum = format!("{:08x}", hash.finalize());
    if sum.as_bytes() == &bytes[place.clone()] {
        return Ok(());
    }
    let stated = String::from_utf8_lossy(&bytes[place]).into_owned();
    Err(format_error(name, format!("a whole Parquet file of check sum {stated}"), sum))
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

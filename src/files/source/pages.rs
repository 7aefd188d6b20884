//! The pages of a Parquet file, looked at before any of them is decoded: a small page may state a huge size.

use std::io::{self, Read};

use parquet::{
    basic::Compression,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

use crate::{
    error::{Context as _, Error, Result},
    files::source::page_header::{PageHeader, Parsed},
};

/// Bytes of the largest page that is read, unpacked.
const LARGEST: u64 = 256 << 20;
/// The most values of a page of lists, a few bytes of which may stand for any number of values.
const MOST_VALUES: u64 = LARGEST / 4;
/// Bytes that the rows decoded at once may take by repeating what their pages have once.
const REPEATED: u64 = 512 << 20;
/// Bytes of the longest header of a page; it may hold the smallest and the largest value.
const LONGEST_HEADER: u64 = 16 << 20;

/// Refuses a file with pages that are too large; returns how many rows may be decoded at once, at most `rows`.
pub(super) fn check(file: &impl ChunkReader, metadata: &ParquetMetaData, rows: usize) -> Result<usize> {
    let largest = metadata.row_groups().iter().enumerate().try_fold(0, |most: u64, (group, columns)| {
        let mut sum = 0u64;
        for column in columns.columns() {
            let checked = check_column(file, column, columns.num_rows(), LARGEST);
            sum = sum
                .saturating_add(checked.context(|| format!("column {} of row group {group}", column.column_path()))?);
        }
        Ok::<_, Error>(most.max(sum))
    })?;
    Ok(at_once(largest, rows))
}

/// How many rows may be decoded at once where a value of each takes up to `repeated` bytes.
fn at_once(repeated: u64, rows: usize) -> usize {
    usize::try_from(REPEATED / repeated.max(1)).unwrap_or(usize::MAX).clamp(1, rows)
}

/// Bytes that each row may repeat from a page of the column, which must have a value for each of the rows.
fn check_column(file: &impl ChunkReader, column: &ColumnChunkMetaData, rows: i64, largest: u64) -> Result<u64> {
    if matches!(column.compression(), Compression::BROTLI(_) | Compression::LZO) {
        let codec = column.compression_codec();
        let message = format!("pages that {codec:?} packed; write it with ZSTD, SNAPPY, GZIP or LZ4");
        return Err(Error::unsupported(message));
    }
    let is_list = column.column_descr().max_rep_level() > 0;
    let (start, length) = column.byte_range();
    let (mut place, end) = (start, start.checked_add(length).ok_or_else(damaged)?);
    let (mut repeated, mut found) = (0, 0u64);
    while place < end {
        let PageHeader { length, compressed, size, values, is_data, repeats } = read(file, place, end)?;
        if size > largest {
            return Err(Error::limit(format!("a page of {size} bytes; the limit is {largest}")));
        }
        if is_list && values > MOST_VALUES {
            return Err(Error::limit(format!("a page of {values} values; the limit is {MOST_VALUES}")));
        }
        if repeats {
            repeated = repeated.max(size);
        }
        if is_data {
            found = found.saturating_add(values);
        }
        place = place.checked_add(length).and_then(|place| place.checked_add(compressed)).ok_or_else(damaged)?;
    }
    let rows = u64::try_from(rows).map_err(|_| damaged())?;
    // A row of lists has any number of values, and one without any has a mark in the place of a value.
    if found < rows || (found > rows && !is_list) {
        return Err(Error::invalid_input(format!("its pages have {found} values, and its footer {rows} rows")));
    }
    match place == end {
        true => Ok(repeated),
        false => Err(damaged()),
    }
}

/// The header at a place of a file.
fn read(file: &impl ChunkReader, place: u64, end: u64) -> Result<PageHeader> {
    let (mut bytes, mut most) = (Vec::new(), 512);
    loop {
        bytes.clear();
        let io = |error| Error::io(error, "reading a page");
        let header = file.get_read(place).map_err(|error| io(io::Error::other(error)))?;
        header.take(most.min(end - place)).read_to_end(&mut bytes).map_err(io)?;
        match PageHeader::parse(&bytes) {
            Parsed::Header(header) => return Ok(header),
            Parsed::Cut if bytes.len() as u64 == most && most < LONGEST_HEADER => most *= 8,
            Parsed::Cut | Parsed::Damaged => return Err(damaged()),
        }
    }
}

fn damaged() -> Error {
    Error::invalid_input("its pages are damaged")
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::{
        arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
    };

    use super::*;

    /// A file with long texts, each many times, and its metadata.
    fn written(properties: WriterProperties) -> (File, Arc<ParquetMetaData>) {
        let file = tempfile::tempfile().unwrap();
        let texts = StringArray::from_iter_values((0..2000).map(|row| "x".repeat(20_000 + row % 5)));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2000));
        let batch = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef), ("number", numbers)]).unwrap();
        let mut writer = ArrowWriter::try_new(file.try_clone().unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let metadata = ParquetRecordBatchReaderBuilder::try_new(file.try_clone().unwrap()).unwrap();
        (file, metadata.metadata().clone())
    }

    #[test]
    fn pages_of_each_version_are_seen() {
        let usual = || WriterProperties::builder().set_data_page_row_count_limit(100);
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for statistics in [EnabledStatistics::None, EnabledStatistics::Page] {
                let (file, metadata) =
                    written(usual().set_writer_version(version).set_statistics_enabled(statistics).build());
                let columns = metadata.row_group(0).columns();
                // A dictionary of five texts.
                let repeated = check_column(&file, &columns[0], 2000, LARGEST).unwrap();
                assert!((100_000..101_000).contains(&repeated), "{repeated}");
                let error = check_column(&file, &columns[0], 2000, 99_000).unwrap_err().to_string();
                assert!(error.contains("a page of 1000") && error.contains("the limit is 99000"), "{error}");
                assert_eq!(check(&file, &metadata, 1024).unwrap(), 1024);
            }
        }
        // Texts that share their beginnings are written without them.
        let (file, metadata) = written(
            usual()
                .set_dictionary_enabled(false)
                .set_column_encoding("text".into(), parquet::basic::Encoding::DELTA_BYTE_ARRAY)
                .build(),
        );
        assert!(check_column(&file, &metadata.row_group(0).columns()[0], 2000, LARGEST).unwrap() > 20_000);
    }

    #[test]
    fn what_repeats_is_decoded_few_rows_at_once() {
        assert_eq!(
            [0, 1, 100_000, 1 << 20, 4 << 20, 1 << 30].map(|bytes| at_once(bytes, 1024)),
            [1024, 1024, 1024, 512, 128, 1]
        );
    }

    #[test]
    fn damaged_pages_are_refused() {
        let (file, metadata) = written(WriterProperties::builder().build());
        let column = &metadata.row_group(0).columns()[0];
        let (start, length) = column.byte_range();
        // One that ends elsewhere than its column.
        assert!(read(&file, start, start + 4).is_err());
        let wrong = column.clone().into_builder().set_total_compressed_size(length as i64 - 1).build().unwrap();
        assert!(check_column(&file, &wrong, 2000, LARGEST).unwrap_err().to_string().contains("damaged"));
        let beyond = column.clone().into_builder().set_total_compressed_size(1 << 40).build().unwrap();
        assert!(check_column(&file, column, 2001, LARGEST).unwrap_err().to_string().contains("2000 values"));
        assert!(check_column(&file, &beyond, 2000, LARGEST).is_err());
    }
}

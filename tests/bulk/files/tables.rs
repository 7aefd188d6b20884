//! Parquet and Arrow's format, in and out.

use std::{collections::BTreeMap, fs, fs::File, path::Path, sync::Arc};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray, StructArray, TimestampMillisecondArray, cast::AsArray, types::Int32Type,
};
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use arrow_schema::{DataType, Field};
use gristmill::{
    DType,
    files::{Column, ColumnType, Format, Keep, Start, compare, verify_complete},
};
use half::f16;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, GzipLevel},
    file::{
        metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter},
        properties::WriterProperties,
        reader::FileReader,
        serialized_reader::SerializedFileReader,
    },
};
use tempfile::tempdir;

use super::{assert_same, contents, job, lines, model, resumed, rows, run, run_by};

/// A table whose row 7 has no text.
fn table(count: usize) -> RecordBatch {
    let texts: StringArray = (0..count).map(|row| (row != 7).then(|| format!("text {row}"))).collect();
    let kinds: DictionaryArray<Int32Type> = (0..count).map(|row| Some(["a", "b", "c"][row % 3])).collect();
    let day =
        TimestampMillisecondArray::from_iter_values((0..count).map(|row| row as i64 * 86_400_000)).with_timezone("UTC");
    let views: StringViewArray =
        (0..count).map(|row| (row % 2 == 0).then(|| format!("a longer view of {row}"))).collect();
    let counts: Int64Array = (0..count).map(|row| (row % 3 > 0).then_some(row as i64)).collect();
    let inner: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(|row| row as i64)));
    let nested = StructArray::from(vec![(Arc::new(Field::new("inner", DataType::Int64, false)), inner)]);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..count as i64)) as ArrayRef),
        ("text", Arc::new(texts)),
        ("kind", Arc::new(kinds)),
        ("day", Arc::new(day)),
        ("view", Arc::new(views)),
        ("count", Arc::new(counts)),
        ("nested", Arc::new(nested)),
    ])
    .unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch, group: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// The second would be read as the first.
#[test]
fn a_table_with_two_columns_of_a_name_is_refused() {
    let folder = tempdir().unwrap();
    let (input, out) = (folder.path().join("in.parquet"), folder.path().join("out"));
    let field = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(arrow_schema::Schema::new(vec![field("text"), field("n"), field("n")]));
    let texts = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let batch = RecordBatch::try_new(schema, vec![texts("one"), texts("1"), texts("2")]).unwrap();
    write_parquet(&input, &batch, 10);
    let error = run(&job(&input, &out)).unwrap_err().to_string();
    assert!(error.contains("in.parquet has the column `n` twice"), "{error}");
}

/// All rows of the parts of a folder.
fn read(out: &Path, format: Format) -> RecordBatch {
    let mut batches = Vec::new();
    let parts: Vec<_> =
        contents(out).into_keys().filter(|name| name.starts_with("part-") && !name.contains("errors")).collect();
    for name in parts {
        let file = File::open(out.join(name)).unwrap();
        match format {
            Format::Parquet => batches
                .extend(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap)),
            _ => batches.extend(arrow_ipc::reader::FileReader::try_new(file, None).unwrap().map(Result::unwrap)),
        }
    }
    arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn vectors(batch: &RecordBatch) -> &FixedSizeListArray {
    batch.column_by_name("vector").unwrap().as_fixed_size_list()
}

#[test]
fn columns_are_carried_and_vectors_are_lists_of_fixed_size() {
    let folder = tempdir().unwrap();
    let batch = table(95);
    let (parquet, arrow, stream) =
        (folder.path().join("in.parquet"), folder.path().join("in.arrow"), folder.path().join("in.arrows"));
    write_parquet(&parquet, &batch, 32);
    let mut writer = arrow_ipc::writer::FileWriter::try_new(File::create(&arrow).unwrap(), &batch.schema()).unwrap();
    for start in [0, 40, 80] {
        writer.write(&batch.slice(start, 40.min(95 - start))).unwrap();
    }
    writer.finish().unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(File::create(&stream).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    for (input, format) in
        [(&parquet, Format::Parquet), (&parquet, Format::Arrow), (&arrow, Format::Parquet), (&stream, Format::Arrow)]
    {
        let out = folder.path().join(format!("{}-{format}", input.extension().unwrap().to_str().unwrap()));
        let carried = match format {
            Format::Arrow => &["id", "text", "kind", "day", "view"][..],
            _ => &["id", "text", "kind", "day", "view", "nested"],
        };
        let usual = job(input, &out).write_as(format).id("id");
        let keep = Keep::Only(carried.iter().map(|name| (*name).to_owned()).collect());
        if format == Format::Arrow {
            let error = run(&usual).unwrap_err().to_string();
            assert!(error.contains("the column `nested` of type Struct") && error.contains("write parquet"), "{error}");
        }
        let summary = run(&usual.keep(keep)).unwrap();
        assert_eq!((summary.rows, summary.failed, summary.parts), (95, 1, 10), "{input:?}");
        assert_eq!(verify_complete(&out).unwrap().rows, 95);
        let written = read(&out, format);
        for name in carried.iter().filter(|name| **name != "kind") {
            assert_eq!(written.column_by_name(name), batch.column_by_name(name), "{name} of {input:?}");
        }
        let kinds: Vec<_> = written["kind"].as_string::<i32>().iter().flatten().collect();
        assert!(kinds.iter().enumerate().all(|(row, kind)| *kind == ["a", "b", "c"][row % 3]));
        let (lengths, vectors) = (written["length"].as_primitive::<arrow_array::types::Int64Type>(), vectors(&written));
        assert!(lengths.is_null(7) && vectors.is_null(7) && lengths.null_count() == 1 && vectors.null_count() == 1);
        assert_eq!((lengths.value(3), lengths.value(94)), (6, 7));
        assert_eq!(vectors.value(94).as_primitive::<arrow_array::types::Float32Type>().values(), &[7.0, 0.5]);
        let letters = String::from_utf8(contents(&out)["part-00000-of-00010.errors.jsonl"].clone()).unwrap();
        assert!(
            letters.contains("the column `text` is null, not a text") && letters.contains("\"id\":\"7\""),
            "{letters}"
        );
        assert!(letters.contains("\"kind\":\"b\"") && letters.contains("\"row\":7"), "{letters}");
    }
}

#[test]
fn parts_have_the_settings_of_their_job_and_no_times() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 25);
    let out = folder.path().join("out");
    run(&job(&input, &out).write_as(Format::Parquet)).unwrap();
    let reader = SerializedFileReader::new(File::open(out.join("part-00000-of-00003.parquet")).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata();
    let pairs: BTreeMap<_, _> = metadata
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.clone().unwrap()))
        .collect();
    assert_eq!(pairs.keys().copied().collect::<Vec<_>>(), ["ARROW:schema", "gristmill"]);
    let settings: serde_json::Value = serde_json::from_str(&pairs["gristmill"]).unwrap();
    assert_eq!((&settings["model"], &settings["precision"]), (&"length".into(), &"".into()));
    assert_eq!(read(&out, Format::Parquet)["text"].as_string::<i32>().value(24), "line 24 xxx");
}

#[test]
fn a_job_over_tables_ends_with_the_same_bytes() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    write_parquet(&input, &table(95), 13);
    for format in [Format::Parquet, Format::Arrow] {
        let path = |name: &str| folder.path().join(format!("{name}-{format}"));
        let keep = match format {
            Format::Arrow => Keep::Only(["id", "text", "kind", "day", "view", "count"].map(str::to_owned).into()),
            _ => Keep::All,
        };
        let usual = |name: &str| job(&input, &path(name)).write_as(format).keep(keep.clone());
        run(&usual("whole")).unwrap();
        for index in 0..3 {
            run_by(&resumed(&usual("shares")).shard(2 - index, 3), &model().workers(1).chunk_size(1 + 3 * index))
                .unwrap();
        }
        assert_same(&contents(&path("whole")), &contents(&path("shares")));
        fs::remove_file(path("shares").join(format!("part-00004-of-00010.{format}"))).unwrap();
        assert_eq!(run(&resumed(&usual("shares"))).unwrap().ran, 10);
        compare(path("whole"), path("shares")).unwrap();
        // Failed rows are run once more with the others of their part.
        assert_eq!(run(&usual("whole").start(Start::RetryErrors)).unwrap().ran, 10);
        assert_same(&contents(&path("whole")), &contents(&path("shares")));
    }
}

#[test]
fn formats_go_into_each_other() {
    let folder = tempdir().unwrap();
    let parquet = folder.path().join("in.parquet");
    write_parquet(&parquet, &table(3), 2);
    let refused = |job| run(&job).unwrap_err().to_string();
    let out = folder.path().join("json");
    let error = refused(job(&parquet, &out).write_as(Format::Jsonl));
    assert!(error.contains("the column `day` of type Timestamp") && error.contains("no place in jsonl"), "{error}");
    let keep = |names: &[&str]| Keep::Only(names.iter().map(|name| (*name).to_owned()).collect());
    run(&job(&parquet, &out).write_as(Format::Jsonl).keep(keep(&["id", "kind"]))).unwrap();
    assert_eq!(rows(&out)[2], r#"{"id":2,"kind":"c","length":6,"vector":[6.0,0.5]}"#);
    let error = refused(job(&parquet, &folder.path().join("x")).keep(keep(&["absent"])));
    assert!(error.contains("has no column `absent` to keep: there are id, text, kind"), "{error}");
    let error = refused(job(&parquet, &folder.path().join("x")).id("absent"));
    assert!(error.contains("has no column `absent` of ids: there are id, text, kind"), "{error}");
    let jsonl = folder.path().join("in.jsonl");
    fs::write(&jsonl, "{\"text\":\"one\",\"n\":[1]}\n{\"text\":\"two\"}\n").unwrap();
    let error = refused(job(&jsonl, &folder.path().join("x")).write_as(Format::Parquet));
    assert!(error.contains("no fixed columns"), "{error}");
    let out = folder.path().join("table");
    run(&job(&jsonl, &out).write_as(Format::Arrow).keep(keep(&["n"]))).unwrap();
    let written = read(&out, Format::Arrow);
    assert_eq!(written["n"].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("[1]"), None]);
    let error = refused(job(&parquet, &folder.path().join("x")).column(Column::new("id", ColumnType::Text)));
    assert!(error.contains("has a column `id`, which the job writes"), "{error}");
}

#[test]
fn vectors_have_each_type_of_numbers() {
    use gristmill::files::{Cell, FileJob};
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 2);
    let halves: Vec<u8> =
        [f16::from_f32(1.5), f16::from_f32(-2.0)].iter().flat_map(|number| number.to_le_bytes()).collect();
    let cases: [(DType, Vec<u8>, &str); 3] =
        [(DType::F16, halves, "[1.5,-2.0]"), (DType::I8, vec![255, 7], "[-1,7]"), (DType::U8, vec![255, 7], "[255,7]")];
    for (dtype, bytes, text) in cases {
        let mut written = Vec::new();
        for format in [Format::Parquet, Format::Arrow, Format::Jsonl] {
            let out = folder.path().join(format!("{dtype}-{format}"));
            let job = FileJob::new(&out, &super::description())
                .input(&input)
                .write_as(format)
                .column(Column::new("vector", ColumnType::Vector { dtype, width: 2 }));
            job.run(&model(), |row| row.text("text"), |_| Ok(vec![Cell::Vector(bytes.clone())])).unwrap();
            match format {
                Format::Jsonl => assert!(rows(&out)[1].ends_with(&format!("\"vector\":{text}}}"))),
                _ => written.push(read(&out, format)),
            }
        }
        assert_eq!(&written[0]["vector"], &written[1]["vector"]);
        let data = vectors(&written[0]).values().to_data();
        assert_eq!(&data.buffers()[0].as_slice()[..bytes.len()], &bytes[..], "{dtype}");
    }
}

#[test]
fn damaged_tables_are_errors() {
    let folder = tempdir().unwrap();
    let sound = folder.path().join("sound.parquet");
    write_parquet(&sound, &table(60), 20);
    let bytes = fs::read(&sound).unwrap();
    let out = folder.path().join("out");
    let attempt = |name: &str, bytes: &[u8]| {
        let input = folder.path().join(name);
        fs::write(&input, bytes).unwrap();
        let result = run(&job(&input, &out).write_as(Format::Parquet));
        let _ = fs::remove_dir_all(&out);
        result
    };
    for cut in [0, 3, 8, bytes.len() / 2, bytes.len() - 1] {
        let error = attempt("cut.parquet", &bytes[..cut]).unwrap_err().to_string();
        assert!(error.contains("cut.parquet"), "{error}");
    }
    // A footer that is longer than the file.
    let mut long = bytes.clone();
    let place = long.len() - 8;
    long[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    attempt("long.parquet", &long).unwrap_err();
    attempt("text.parquet", b"PAR1 is how it begins").unwrap_err();
    attempt("text.arrow", b"ARROW1\0\0 is how it begins").unwrap_err();
    attempt("text.arrows", b"no stream at all").unwrap_err();
    // Whatever byte is changed, there is an error or a result, and no panic.
    let (mut state, mut refused) = (7u64, 0);
    let tries = if std::env::var_os("GRISTMILL_FULL").is_some() { 2000 } else { 20 };
    for _ in 0..tries {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut changed = bytes.clone();
        let place = (state >> 33) as usize % changed.len();
        changed[place] ^= (state >> 20) as u8 | 1;
        refused += usize::from(attempt("changed.parquet", &changed).is_err());
    }
    assert!(refused > 0);
}

/// A file or a stream of Arrow.
fn arrow(batch: &RecordBatch, codec: Option<CompressionType>, is_file: bool) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
    if is_file {
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    } else {
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }
}

#[test]
fn packed_tables_are_read() {
    let folder = tempdir().unwrap();
    let (out, mut expected) = (folder.path().join("out"), None);
    let mut check = |name: &str, bytes: Vec<u8>| {
        let input = folder.path().join(name);
        fs::write(&input, bytes).unwrap();
        run(&job(&input, &out).keep(Keep::Only(vec!["id".to_owned(), "view".to_owned()])).write_as(Format::Jsonl))
            .unwrap();
        let rows = rows(&out);
        assert_eq!(&rows, expected.get_or_insert_with(|| rows.clone()), "{name}");
        fs::remove_dir_all(&out).unwrap();
    };
    for codec in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
        check("in.arrow", arrow(&table(60), codec, true));
        check("in.arrows", arrow(&table(60), codec, false));
    }
    let packed = |codec| {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), table(60).schema(), Some(properties)).unwrap();
        writer.write(&table(60)).unwrap();
        writer.into_inner().unwrap()
    };
    for codec in [Compression::LZ4_RAW, Compression::LZ4, Compression::SNAPPY, Compression::GZIP(GzipLevel::default())]
    {
        check("in.parquet", packed(codec));
    }
}

#[test]
fn damaged_messages_are_errors() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let mut refused = 0;
    for is_file in [true, false] {
        let input = folder.path().join(if is_file { "in.arrow" } else { "in.arrows" });
        let attempt = |bytes: &[u8]| {
            fs::write(&input, bytes).unwrap();
            let result = run(&job(&input, &out).keep(Keep::Nothing));
            let _ = fs::remove_dir_all(&out);
            result.map_err(|error| error.to_string())
        };
        let sound = arrow(&table(60), Some(CompressionType::ZSTD), is_file);
        assert_eq!(attempt(&sound).unwrap().rows, 60);
        // The column `id` says that it unpacks to more than there can be.
        let place = sound.windows(8).position(|bytes| bytes == 480u64.to_le_bytes()).unwrap();
        let mut huge = sound.clone();
        huge[place..place + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
        let error = attempt(&huge).unwrap_err();
        assert!(error.contains("unpacked; the limit is 2147483648"), "{error}");
        for cut in [0, 8, sound.len() / 2, sound.len() - 12] {
            // A stream may end with its last message.
            if is_file || cut < sound.len() - 12 {
                attempt(&sound[..cut]).unwrap_err();
            }
        }
        let (mut state, tries) = (7u64, if std::env::var_os("GRISTMILL_FULL").is_some() { 2000 } else { 40 });
        for _ in 0..tries {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut changed = sound.clone();
            let place = (state >> 33) as usize % changed.len();
            changed[place] ^= (state >> 20) as u8 | 1;
            refused += usize::from(attempt(&changed).is_err());
        }
    }
    assert!(refused > 0);
}

/// Files of one folder that differ in the order of columns, kinds of texts and whether there may be nulls.
#[test]
fn columns_that_hold_the_same_go_together() {
    let folder = tempdir().unwrap();
    let (inputs, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inputs).unwrap();
    let write = |name: &str, columns: Vec<(&str, ArrayRef, bool)>| {
        write_parquet(&inputs.join(name), &RecordBatch::try_from_iter_with_nullable(columns).unwrap(), 10);
    };
    let ids = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + 2)) as ArrayRef;
    write("a.parquet", vec![("id", ids(0), false), ("text", Arc::new(StringArray::from(vec!["a", "b"])), false)]);
    let large = || Arc::new(LargeStringArray::from(vec![Some("c"), None])) as ArrayRef;
    write("b.parquet", vec![("text", large(), true), ("id", ids(2), true)]);
    write("c.parquet", vec![("text", Arc::new(StringViewArray::from(vec!["e", "f"])), true), ("id", ids(4), true)]);
    for format in [Format::Parquet, Format::Arrow] {
        let summary = run(&job(&inputs, &out).write_as(format)).unwrap();
        assert_eq!((summary.rows, summary.failed), (6, 1));
        let written = read(&out, format);
        assert_eq!(written.schema().field(0).name(), "id");
        let texts = written["text"].as_string::<i32>().iter().map(|text| text.unwrap_or("null")).collect::<String>();
        assert_eq!(texts, "abcnullef");
        fs::remove_dir_all(&out).unwrap();
    }
    write("d.parquet", vec![("text", large(), true), ("id", large(), true)]);
    let error = run(&job(&inputs, &out)).unwrap_err().to_string();
    assert!(error.contains("its column `id` is of type LargeUtf8, there it is Int64"), "{error}");
    write("d.parquet", vec![("text", large(), true)]);
    let error = run(&job(&inputs, &out)).unwrap_err().to_string();
    assert!(error.contains("d.parquet") && error.contains("it has no column `id`"), "{error}");
    write("d.parquet", vec![("text", large(), true), ("id", ids(6), true), ("more", ids(6), true)]);
    let error = run(&job(&inputs, &out)).unwrap_err().to_string();
    assert!(error.contains("it has the column `more` too; keep columns that all have"), "{error}");
    let summary = run(&job(&inputs, &out).keep(Keep::Only(vec!["id".to_owned()]))).unwrap();
    assert_eq!(summary.rows, 8);
}

#[test]
fn absurd_numbers_of_rows_are_errors() {
    let folder = tempdir().unwrap();
    let (sound, input, out) =
        (folder.path().join("sound.parquet"), folder.path().join("absurd.parquet"), folder.path().join("out"));
    write_parquet(&sound, &table(60), 20);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&sound).unwrap()).unwrap();
    let metadata = reader.metadata();
    // The same pages below a footer with other numbers: of the file, and of each of its three groups.
    let attempt = |rows: i64, each: i64| {
        let file = metadata.file_metadata();
        let file = FileMetaData::new(file.version(), rows, None, None, file.schema_descr_ptr(), None);
        let groups = metadata.row_groups().iter().cloned();
        let groups = groups.map(|group| group.into_builder().set_num_rows(each).build().unwrap()).collect();
        let mut bytes = fs::read(&sound).unwrap();
        ParquetMetaDataWriter::new(&mut bytes, &ParquetMetaData::new(file, groups)).finish().unwrap();
        fs::write(&input, bytes).unwrap();
        let result = run(&job(&input, &out).keep(Keep::Nothing).write_as(Format::Parquet));
        let _ = fs::remove_dir_all(&out);
        result
    };
    assert_eq!(attempt(60, 20).unwrap().rows, 60);
    for (rows, each) in [(i64::MAX, i64::MAX / 3), (3_000_000, 1_000_000), (63, 21), (60, 19), (3, 1), (-3, -1), (0, 0)]
    {
        let error = attempt(rows, each).unwrap_err().to_string();
        assert!(error.contains("absurd.parquet"), "{error}");
    }
}

#[test]
fn numbers_are_read_from_columns() {
    let folder = tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    let lists = FixedSizeListArray::try_new(
        Arc::new(Field::new("item", DataType::Float32, false)),
        2,
        Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0])),
        None,
    );
    let batch = RecordBatch::try_from_iter([
        ("pair", Arc::new(lists.unwrap()) as ArrayRef),
        ("one", Arc::new(Float64Array::from(vec![Some(0.25), None]))),
    ]);
    write_parquet(&input, &batch.unwrap(), 10);
    let out = folder.path().join("out");
    let lengths = gristmill::bulk::Bulk::new(gristmill::from_fn(|numbers: &Vec<f64>| {
        Ok(numbers.iter().sum::<f64>() as i64 as usize)
    }));
    let read = |row: &gristmill::files::Row<'_>| Ok([row.numbers("pair")?, row.numbers("one")?].concat());
    let job = job(&input, &out).write_as(Format::Jsonl).keep(Keep::Nothing);
    let summary = job.run(&lengths, read, |length| Ok(super::cells(length))).unwrap();
    assert_eq!((summary.failed, rows(&out)[0].as_str()), (1, r#"{"length":3,"vector":[3.0,0.5]}"#));
}

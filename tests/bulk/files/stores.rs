//! Inputs on a web server, read in ranges; `tests/stores` has the same on stores.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use gristmill::{
    bulk::CancelToken,
    files::{FileJob, compare, merge, verify_complete},
};
use tempfile::tempdir;

use super::{assert_same, contents, description, job, resumed, run, server::Server};

/// The most bytes that are asked for at once.
const MOST: usize = 4 << 20;

/// Lines of JSON with long texts, of more bytes than a few ranges have.
fn long_rows(count: usize) -> Vec<u8> {
    let row = |row: usize| format!("{{\"id\":{row},\"text\":\"{}\"}}\n", "words ".repeat(40_000 + 7 * row));
    (0..count).map(row).collect::<String>().into_bytes()
}

fn url_job(url: &str, out: &Path) -> FileJob {
    job(Path::new(url), out)
}

fn refusal(url: &str) -> gristmill::Error {
    let folder = tempdir().unwrap();
    let error = run(&url_job(url, &folder.path().join("out"))).unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    error
}

/// The files of a job but its plan, which names inputs by other means.
fn without_plan(out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = contents(out);
    assert!(files.remove("_gristmill/plan.json").is_some());
    files
}

fn plan(out: &Path) -> String {
    fs::read_to_string(out.join("_gristmill/plan.json")).unwrap()
}

/// Runs a job over bytes in a local file, and over the same on a server.
fn assert_same_as_local(server: &Server, name: &str, bytes: Vec<u8>) {
    let folder = tempdir().unwrap();
    let (local, out) = (folder.path().join("local"), folder.path().join("out"));
    fs::write(folder.path().join(name), &bytes).unwrap();
    run(&url_job(folder.path().join(name).to_str().unwrap(), &local)).unwrap();
    let url = server.serve(name, bytes, Some("\"first\""));
    run(&url_job(&url, &out)).unwrap();
    assert_same(&without_plan(&out), &without_plan(&local));
    assert!(plan(&out).contains("\"etag\":\"first\"") && !plan(&out).contains("blake3"), "{}", plan(&out));
    assert!(compare(&local, &out).unwrap_err().to_string().contains("the ETag first"));
    verify_complete(&out).unwrap();
    assert_eq!(run(&resumed(&url_job(&url, &out))).unwrap().ran, 0);
}

#[test]
fn the_bytes_are_those_of_local_files() {
    let server = Server::new();
    let long = long_rows(35);
    assert_same_as_local(&server, "long.jsonl", long.clone());
    assert!(server.state().asked.iter().all(|range| range.len() <= MOST));
    assert!(server.state().asked.iter().any(|range| range.len() == MOST));
    // A job that has nothing left to do reads nothing.
    let folder = tempdir().unwrap();
    let url = server.serve("long.jsonl", long.clone(), Some("\"first\""));
    let job = resumed(&url_job(&url, folder.path()));
    run(&job).unwrap();
    server.state().asked.clear();
    assert_eq!(run(&job).unwrap().ran, 0);
    assert!(server.state().asked.is_empty());
    assert_same_as_local(&server, "a b.txt", b"one\ntwo\nthree".to_vec());
    assert_same_as_local(&server, "empty.txt", Vec::new());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &long).unwrap();
    assert_same_as_local(&server, "long.jsonl.gz", packed.finish().unwrap());
}

#[test]
fn connections_that_are_cut_are_taken_up_again() {
    let server = Server::new();
    server.state().cuts = Some(3);
    server.state().unavailable = 2;
    assert_same_as_local(&server, "long.jsonl", long_rows(35));
}

#[test]
fn a_changed_file_is_refused() {
    let server = Server::new();
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let url = server.serve("texts.jsonl", long_rows(35), Some("\"first\""));
    // Some answers after the plan was made.
    run(&url_job(&url, &folder.path().join("whole"))).unwrap();
    let all = server.state().asked.len();
    server.state().asked.clear();
    server.state().changes_after = Some(all - 2);
    let error = run(&url_job(&url, &out)).unwrap_err().to_string();
    assert!(error.contains("changed"), "{error}");
    // The parts that were finished are those of the file as it was.
    let whole = contents(&folder.path().join("whole"));
    for (name, bytes) in contents(&out).iter().filter(|(name, _)| name.starts_with("part-")) {
        assert_eq!(Some(bytes), whole.get(name), "{name}");
    }
    let error = run(&resumed(&url_job(&url, &out))).unwrap_err().to_string();
    assert!(error.contains("the ETag first, has") && error.contains("the ETag later"), "{error}");
}

#[test]
fn without_a_strong_etag_the_bytes_are_hashed() {
    let server = Server::new();
    for (name, etag) in [("weak.txt", Some("W/\"first\"")), ("none.txt", None)] {
        let folder = tempdir().unwrap();
        let out = folder.path().join("out");
        let url = server.serve(name, b"one\ntwo\n".to_vec(), etag);
        run(&url_job(&url, &out)).unwrap();
        assert!(plan(&out).contains("\"blake3\":") && !plan(&out).contains("etag"), "{}", plan(&out));
        server.serve(name, b"one\nTWO\n".to_vec(), etag);
        let error = run(&resumed(&url_job(&url, &out))).unwrap_err().to_string();
        assert!(error.contains("over other inputs"), "{error}");
    }
    server.state().has_dates = false;
    let url = server.serve("none.txt", b"one\n".to_vec(), None);
    let error = refusal(&url);
    assert!(error.to_string().contains("no ETag and no Last-Modified"), "{error}");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let server = Server::new();
    let url = server.serve("texts.txt", b"one\n".to_vec(), Some("\"first\""));
    assert!(refusal(&url.replace("texts", "other")).to_string().contains("not found"));
    assert!(refusal(&format!("{}/", url.rsplit_once('/').unwrap().0)).to_string().contains("names no file"));
    assert!(refusal(&url.replace("127", "me:s3cret@127")).to_string().contains("the environment alone"));
    assert!(refusal(&format!("{url}?key=s3cret")).to_string().contains("a query"));
    let unknown = server.serve("texts.bin", b"one\n".to_vec(), Some("\"first\""));
    assert!(refusal(&unknown).to_string().contains("tells no format"));
    server.state().ignores_ranges = true;
    assert!(refusal(&url).to_string().contains("Range request not supported"));
    server.state().refuses = true;
    let error = refusal(&url).to_string();
    assert!(error.contains("403 Forbidden") && error.contains("AccessDenied"), "{error}");
}

#[test]
fn a_folder_of_a_job_is_not_on_a_web_server() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("texts.txt"), "one\n").unwrap();
    let (input, out) = (folder.path().join("texts.txt"), folder.path().join("out"));
    run(&job(&input, &out)).unwrap();
    let url = Path::new("https://host/out");
    for error in [
        run(&FileJob::new(url, &description()).input(&input)).map(drop).unwrap_err(),
        verify_complete(url).map(drop).unwrap_err(),
        compare(&out, url).unwrap_err(),
        merge(&[url], folder.path().join("merged")).unwrap_err(),
        merge(&[&out], url).unwrap_err(),
    ] {
        assert!(error.to_string().contains("not below https://"), "{error}");
    }
}

#[test]
fn a_stop_does_not_wait_for_a_server() {
    let server = Server::new();
    let folder = tempdir().unwrap();
    let url = server.serve("texts.txt", b"one\n".to_vec(), Some("\"first\""));
    server.state().hangs = true;
    let token = CancelToken::new();
    let (stop, started) = (token.clone(), Instant::now());
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        stop.cancel();
    });
    let summary = run(&url_job(&url, &folder.path().join("out")).cancel(token)).unwrap();
    assert!(summary.stopped && !summary.is_complete(), "{summary:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// The pages of a table are read one by one.
#[test]
#[cfg(feature = "parquet")]
fn a_table_is_the_same_as_a_local_one() {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

    let texts: StringArray = (0..500)
        .map(|row| Some(format!("{row} {}", (row * 31..row * 31 + 900).map(|n| n.to_string()).collect::<String>())))
        .collect();
    let ids: StringArray = (0..500).map(|row| Some(format!("id {row}"))).collect();
    let columns = [("id", Arc::new(ids) as ArrayRef), ("text", Arc::new(texts))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(230))
        .set_data_page_row_count_limit(50)
        .set_write_batch_size(50)
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let server = Server::new();
    server.state().cuts = Some(5);
    assert_same_as_local(&server, "table.parquet", bytes.clone());
    // The check of the pages is made once: the file is read less than three times over.
    let read: usize = server.state().asked.iter().map(ExactSizeIterator::len).sum();
    assert!(read < 4 * bytes.len(), "{read} of {}", bytes.len());
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    assert_same_as_local(&server, "table.arrow", writer.into_inner().unwrap());
}

//! Jobs whose folder is in a store: the objects are those of a local folder, whatever fails and whoever else writes.

use std::{
    collections::BTreeMap,
    fs,
    path::Path as LocalPath,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use object_store::{ObjectStoreExt, path::Path};
use tempfile::{TempDir, tempdir};

use super::planted::{Plan, Planted};
use crate::{
    bulk::{Bulk, CancelToken, Plain},
    error::{Error, Result},
    files::{
        Cell, Column, ColumnType, FileJob, Format, Start, Summary, compare, merge,
        store::{
            objects::stream,
            runtime::{next, wait},
        },
        verify_complete,
    },
    inference::{Description, Inference, from_fn},
};

const LEASE: Duration = Duration::from_millis(100);

/// The length of a text; texts with `fail` fail as long as they are told to.
fn model(fails: &'static str) -> Bulk<Plain<impl Inference<Input = String, Output = usize> + use<>>> {
    Bulk::new(from_fn(move |text: &String| match text.contains("fail") && !fails.is_empty() {
        true => Err(Error::invalid_input(fails).into()),
        false => Ok(text.len()),
    }))
    .workers(1)
}

pub(super) struct Case {
    pub(super) folder: TempDir,
    pub(super) store: Planted,
    pub(super) url: String,
}

impl Case {
    pub(super) fn new(bucket: &str, piece: u64) -> Self {
        let folder = tempdir().unwrap();
        let text: String = (0..35)
            .map(|row| format!("{} {row} {}\n", if row % 13 == 5 { "fail" } else { "line" }, "x".repeat(row % 7)))
            .collect();
        fs::write(folder.path().join("texts.txt"), text).unwrap();
        Self { folder, store: Planted::new(bucket, piece), url: format!("s3://{bucket}/jobs/out") }
    }

    pub(super) fn job(&self, out: impl AsRef<LocalPath>) -> FileJob {
        let description = Description { model_fingerprint: "length".to_owned().into(), ..Description::default() };
        FileJob::new(out, &description)
            .input(self.folder.path().join("texts.txt"))
            .rows_per_shard(10)
            .column(Column::new("length", ColumnType::Integer))
            .start(Start::Resume)
            .lease(LEASE)
    }

    /// Runs a job into a local folder; returns its files.
    pub(super) fn local(
        &self,
        name: &str,
        make: impl Fn(FileJob) -> FileJob,
        fails: &'static str,
    ) -> BTreeMap<String, Vec<u8>> {
        let out = self.folder.path().join(name);
        run(&make(self.job(&out)), fails).unwrap();
        contents(&out, "")
    }

    /// All objects.
    pub(super) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        objects(&self.store)
    }

    pub(super) fn remove_all(&self) {
        let keys = self.objects().into_keys().map(|key| Ok(Path::from(format!("jobs/out/{key}")))).collect();
        let store = self.store.objects.clone();
        wait(&CancelToken::new(), async move {
            let mut removed = object_store::ObjectStore::delete_stream(&*store, stream(keys));
            while next(&mut removed).await.is_some() {}
        })
        .unwrap();
    }

    /// The URL of its inputs after they were put into the store.
    fn put(&self, key: &'static str, bytes: Vec<u8>) {
        let store = self.store.objects.clone();
        wait(&CancelToken::new(), async move { store.put(&Path::from(key), bytes.into()).await.unwrap() }).unwrap();
    }
}

pub(super) fn run(job: &FileJob, fails: &'static str) -> Result<Summary> {
    run_by(job, &model(fails))
}

fn run_by(
    job: &FileJob,
    bulk: &Bulk<Plain<impl Inference<Input = String, Output = usize> + 'static>>,
) -> Result<Summary> {
    job.run(bulk, |row| row.text("text"), |length| Ok(vec![Cell::Integer(length as i64)]))
}

pub(super) fn contents(folder: &LocalPath, below: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => files.extend(contents(&path, &format!("{name}/"))),
            false => drop(files.insert(name, fs::read(&path).unwrap())),
        }
    }
    files
}

pub(super) fn objects(store: &Planted) -> BTreeMap<String, Vec<u8>> {
    let store = store.objects.clone();
    wait(&CancelToken::new(), async move {
        let (mut found, mut list) = (BTreeMap::new(), object_store::ObjectStore::list(&*store, None));
        while let Some(meta) = next(&mut list).await {
            let key = meta.unwrap().location;
            let bytes = store.get(&key).await.unwrap().bytes().await.unwrap();
            found.insert(key.as_ref().trim_start_matches("jobs/out/").to_owned(), bytes.to_vec());
        }
        found
    })
    .unwrap()
}

#[track_caller]
pub(super) fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in a {
        assert!(bytes == &b[name], "{name}: {}\n{}", String::from_utf8_lossy(bytes), String::from_utf8_lossy(&b[name]));
    }
}

#[test]
fn the_objects_are_the_files_of_a_local_folder() {
    // Objects that are written at once, and in pieces of a few bytes.
    for (bucket, piece) in [("same-whole", 1 << 20), ("same-pieces", 50)] {
        let case = Case::new(bucket, piece);
        type Make = fn(FileJob) -> FileJob;
        let makes: [Make; 3] = [
            |job| job,
            |job| job.leave_out_failed(),
            |job| {
                let vector = ColumnType::Vector { dtype: crate::DType::F32, width: 1 };
                job.write_as(Format::Npy).column(Column::new("vector", vector))
            },
        ];
        for (number, make) in makes.into_iter().enumerate() {
            let local = case.folder.path().join(number.to_string());
            let run = |job: &FileJob| {
                job.run(
                    &model("no"),
                    |row| row.text("text"),
                    |length| {
                        let vector = Cell::Vector((length as f32).to_le_bytes().to_vec());
                        Ok([Cell::Integer(length as i64), vector]
                            .into_iter()
                            .take(if number == 2 { 2 } else { 1 })
                            .collect())
                    },
                )
            };
            run(&make(case.job(&local))).unwrap();
            let summary = run(&make(case.job(&case.url))).unwrap();
            assert!(summary.is_complete() && summary.ran == 35 && summary.failed == 3, "{summary:?}");
            assert_same(&case.objects(), &contents(&local, ""));
            let complete = verify_complete(&case.url).unwrap();
            assert_eq!((complete.rows, complete.failed, complete.parts), (35, 3, 4));
            compare(&local, &case.url).unwrap();
            compare(&case.url, &local).unwrap();
            assert_eq!(run(&make(case.job(&case.url))).unwrap().ran, 0);
            assert!(run(&make(case.job(&case.url)).start(Start::New)).unwrap_err().to_string().contains("holds a job"));
            assert_same(&case.objects(), &contents(&local, ""));
            assert!(case.store.uploads.lock().unwrap().is_empty());
            case.remove_all();
        }
    }
}

#[test]
fn a_retry_without_a_change_leaves_what_was_there() {
    let case = Case::new("same-retry", 1 << 20);
    run(&case.job(&case.url), "no").unwrap();
    let expected = case.objects();
    assert_eq!(run(&case.job(&case.url).start(Start::RetryErrors), "no").unwrap().ran, 3);
    assert_same(&case.objects(), &expected);
    run(&case.job(&case.url).start(Start::RetryErrors), "otherwise").unwrap();
    assert_eq!(verify_complete(&case.url).unwrap().failed, 3);
    run(&case.job(&case.url).start(Start::RetryErrors), "no").unwrap();
    assert_same(&case.objects(), &expected);
}

#[test]
fn jobs_of_one_folder_share_its_shards() {
    let case = Case::new("shared", 1 << 20);
    let expected = case.local("alone", |job| job, "no");
    let ran = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let slow = Bulk::new(from_fn(|text: &String| {
                    thread::sleep(Duration::from_millis(4));
                    match text.contains("fail") {
                        true => Err(Error::invalid_input("no").into()),
                        false => Ok(text.len()),
                    }
                }));
                // A thread that is not scheduled for a while keeps its claims.
                let job = case.job(&case.url).lease(Duration::from_secs(30));
                let summary = run_by(&job, &slow.chunk_size(2).window(2).workers(1)).unwrap();
                assert!(summary.is_complete(), "{summary:?}");
                ran.fetch_add(summary.ran as usize, SeqCst);
            });
        }
    });
    assert_eq!(ran.load(SeqCst), 35);
    assert_same(&case.objects(), &expected);
}

#[test]
fn shares_of_one_folder_and_of_several_are_put_together() {
    let case = Case::new("shares", 60);
    let expected = case.local("alone", |job| job, "no");
    let path = |name: &str| case.folder.path().join(name);
    let summary = run(&case.job(&case.url).shard(0, 2), "no").unwrap();
    assert!(!summary.is_complete() && summary.finished_parts == 2, "{summary:?}");
    assert!(verify_complete(&case.url).unwrap_err().to_string().contains("is not finished"));
    run(&case.job(path("second")).shard(1, 2), "no").unwrap();
    // Into a local folder, and into the store.
    merge(&[LocalPath::new(&case.url), &path("second")], path("merged")).unwrap();
    assert_same(&contents(&path("merged"), ""), &expected);
    merge(&[path("second")], &case.url).unwrap();
    assert_same(&case.objects(), &expected);
    run(&case.job(path("other")).option("prompt", "query"), "no").unwrap();
    let error = merge(&[path("other")], &case.url).unwrap_err().to_string();
    assert!(error.contains("it is another job"), "{error}");
}

#[test]
fn what_was_changed_is_made_again() {
    let case = Case::new("changed", 1 << 20);
    run(&case.job(&case.url).shard(0, 2), "no").unwrap();
    // Of a job that goes on the ETag tells, of one that ended the size.
    case.put("jobs/out/part-00000-of-00004.jsonl", b"{\"text\":\"line 0 \",\"length\":99}\n".to_vec());
    assert_eq!(run(&case.job(&case.url), "no").unwrap().ran, 25);
    let expected = case.local("alone", |job| job, "no");
    assert_same(&case.objects(), &expected);
    case.put("jobs/out/part-00003-of-00004.jsonl", b"{}\n".to_vec());
    assert!(verify_complete(&case.url).unwrap_err().to_string().contains("its size or its hash"));
    assert_eq!(run(&case.job(&case.url), "no").unwrap().ran, 5);
    assert_same(&case.objects(), &expected);
}

#[test]
fn what_no_job_can_be_written_to_is_refused() {
    let case = Case::new("refused", 1 << 20);
    let refusal = |job: FileJob| run(&job, "no").unwrap_err().to_string();
    let error = refusal(case.job(&case.url).start(Start::RetryErrors));
    assert!(error.contains("s3://refused/jobs/out holds no job"), "{error}");
    case.put("jobs/out/thesis.txt", b"dear".to_vec());
    let error = refusal(case.job(&case.url));
    assert!(error.contains("s3://refused/jobs/out holds other files"), "{error}");
    let error = refusal(case.job("s3://refused/jobs/out").input("s3://refused/jobs/out/thesis.txt"));
    assert!(error.contains("is in the folder s3://refused/jobs/out, which the job writes"), "{error}");
    let error = refusal(case.job("s3://refused/jobs/out/new").input("s3://refused/jobs"));
    assert!(error.contains("is in the folder s3://refused/jobs of the inputs"), "{error}");
    case.store.set(Plan { ignores_conditions: true, ..Plan::default() });
    let error = refusal(case.job("s3://refused/new"));
    assert!(error.contains("does not write on conditions") && error.contains("local folder"), "{error}");
    assert!(verify_complete("s3://refused/none").unwrap_err().to_string().contains("holds no job"));
}

#[test]
fn another_job_is_refused_with_what_changed() {
    let case = Case::new("another", 1 << 20);
    run(&case.job(&case.url), "no").unwrap();
    let error = run(&case.job(&case.url).option("prompt", "query"), "no").unwrap_err().to_string();
    assert!(error.contains("option prompt was absent, is `query`"), "{error}");
    run(&case.job(&case.url).option("prompt", "query").insist(), "no").unwrap();
    let plan = String::from_utf8(case.objects()["_gristmill/plan.json"].clone()).unwrap();
    assert!(plan.contains(r#""earlier":[{"#), "{plan}");
}

#[test]
fn a_stop_does_not_wait_for_a_store() {
    for before in [0, 12, 20] {
        let case = Case::new(&format!("hangs-{before}"), 60);
        let token = CancelToken::new();
        let (stop, store) = (token.clone(), case.store.clone());
        let stopper = thread::spawn(move || {
            while store.asked.load(SeqCst) < before {
                thread::sleep(Duration::from_micros(50));
            }
            store.set(Plan { hangs: true, ..Plan::default() });
            thread::sleep(Duration::from_millis(100));
            stop.cancel();
            Instant::now()
        });
        let summary = run(&case.job(&case.url).cancel(token), "no").unwrap();
        let took = stopper.join().unwrap().elapsed();
        assert!(summary.stopped && !summary.is_complete(), "{summary:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        case.store.set(Plan::default());
        run(&case.job(&case.url), "no").unwrap();
        assert_same(&case.objects(), &case.local("local", |job| job, "no"));
    }
}

#[test]
fn a_stop_gives_its_parts_up_at_once() {
    let case = Case::new("stopped", 60);
    let job = |lease| case.job(&case.url).lease(Duration::from_secs(lease));
    run(&job(60), "no").unwrap();
    let (expected, requests) = (case.objects(), case.store.asked.load(SeqCst));
    let mut stopped = 0;
    for at in 0..requests {
        case.remove_all();
        case.store.set(Plan { late_at: Some(at), ..Plan::default() });
        let token = CancelToken::new();
        let (stop, store) = (token.clone(), case.store.clone());
        let stopper = thread::spawn(move || {
            while store.asked.load(SeqCst) <= at {
                thread::sleep(Duration::from_micros(50));
            }
            stop.cancel();
        });
        let summary = run(&job(60).cancel(token), "no").unwrap();
        stopper.join().unwrap();
        stopped += usize::from(summary.stopped);
        assert!(case.store.uploads.lock().unwrap().is_empty(), "{at}: {summary:?}");
        case.store.set(Plan::default());
        let started = Instant::now();
        assert!(run(&job(60), "no").unwrap().is_complete(), "{at}");
        assert!(started.elapsed() < Duration::from_secs(30), "{at}: {summary:?}");
        assert_same(&case.objects(), &expected);
    }
    // A stop near the end comes too late.
    assert!(stopped > requests / 2, "{stopped} of {requests}");
}

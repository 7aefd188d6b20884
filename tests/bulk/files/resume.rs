//! Stopped, resumed and shared jobs end with the same bytes.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use gristmill::{
    bulk::{Bulk, CancelToken},
    files::{Column, ColumnType, Format, Keep, Start, compare, merge, verify_complete},
    from_fn,
};
use tempfile::tempdir;

use super::{assert_same, contents, job, lines, model, resumed, run, run_by};

#[test]
fn a_stopped_job_goes_on_to_the_same_bytes() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 95);
    let whole = folder.path().join("whole");
    run(&job(&input, &whole)).unwrap();
    let expected = contents(&whole);
    assert_eq!(expected.len(), 12, "{:?}", expected.keys());
    for stop_after in [0, 1, 9, 10, 31, 94] {
        let out = folder.path().join(format!("stopped-{stop_after}"));
        let token = CancelToken::new();
        let (stop, seen) = (token.clone(), AtomicUsize::new(0));
        let stopping = Bulk::new(from_fn(move |text: &String| {
            if seen.fetch_add(1, SeqCst) == stop_after {
                stop.cancel();
            }
            Ok(text.len())
        }));
        let summary = run_by(&job(&input, &out).cancel(token), &stopping.chunk_size(1).workers(2)).unwrap();
        assert!(summary.stopped && !summary.is_complete(), "{summary:?}");
        assert!(verify_complete(&out).unwrap_err().to_string().contains("is not finished"));
        let finished = summary.finished_parts;
        let summary = run_by(&resumed(&job(&input, &out)), &model().workers(1)).unwrap();
        assert!(summary.is_complete() && summary.ran == 95 - 10 * finished as u64, "{summary:?}");
        assert_same(&contents(&out), &expected);
        compare(&whole, &out).unwrap();
    }
    // Another go has nothing to do.
    assert_eq!(run(&resumed(&job(&input, &whole))).unwrap().ran, 0);
    assert_same(&contents(&whole), &expected);
}

#[test]
fn what_a_killed_process_leaves_does_not_count() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 40);
    let out = folder.path().join("out");
    run(&job(&input, &out)).unwrap();
    let expected = contents(&out);
    let inner = out.join("_gristmill");
    // The last line of the manifest is cut off, and a part lies half written.
    let manifest = fs::read(inner.join("manifest.jsonl")).unwrap();
    fs::write(inner.join("manifest.jsonl"), &manifest[..manifest.len() - 9]).unwrap();
    fs::create_dir_all(inner.join("temporary")).unwrap();
    fs::write(inner.join("temporary/part-00003-of-00004.jsonl"), "{\"text").unwrap();
    fs::remove_file(out.join("part-00001-of-00004.jsonl")).unwrap();
    let summary = run(&resumed(&job(&input, &out))).unwrap();
    assert_eq!(summary.ran, 20);
    assert_same(&contents(&out), &expected);
}

#[test]
fn another_job_is_refused_with_what_changed() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 20);
    let out = folder.path().join("out");
    let usual = job(&input, &out).option("prompt", "query");
    run(&usual).unwrap();
    let expected = contents(&out);
    let refused = |job| run(&job).unwrap_err().to_string();
    let error = refused(usual.clone());
    assert!(error.contains("holds a job already; resume it"), "{error}");
    let error = refused(resumed(&usual).option("prompt", "document").rows_per_shard(7));
    assert!(error.contains("option prompt was `query`, is `document`"), "{error}");
    assert!(error.contains("rows per shard was `10`, is `7`"), "{error}");
    // Who insists goes on, and the plan says so.
    run(&resumed(&usual).option("prompt", "document").insist()).unwrap();
    let plan = String::from_utf8(contents(&out)["_gristmill/plan.json"].clone()).unwrap();
    assert!(plan.contains(r#""earlier":[{"#) && plan.contains(r#""option prompt":"document""#), "{plan}");
    run(&resumed(&usual).insist()).unwrap();
    fs::write(&input, "other lines\n").unwrap();
    let error = refused(resumed(&usual).insist());
    assert!(error.contains("over other inputs: the input texts.txt had"), "{error}");
    // What all parts share is not up to whoever insists.
    for (job, what) in [
        (usual.clone().rows_per_shard(7), "rows per shard was `10`"),
        #[cfg(feature = "parquet")]
        (usual.clone().write_as(Format::Parquet), "format of parts was"),
        (usual.clone().keep(Keep::Nothing), "kept columns was"),
        (usual.clone().leave_out_failed(), "failed rows was"),
        (usual.clone().column(Column::new("other", ColumnType::Integer)), "columns was"),
        (usual.clone().read_as(Format::Jsonl), "format of inputs was"),
    ] {
        let error = refused(resumed(&job).insist());
        assert!(error.contains(what) && error.ends_with("name a new folder"), "{error}");
    }
    let parts = |files: std::collections::BTreeMap<String, Vec<u8>>| {
        files.into_iter().filter(|(name, _)| name.starts_with("part-")).collect::<Vec<_>>()
    };
    assert_eq!(parts(contents(&out)), parts(expected));
}

#[test]
fn folders_that_would_harm_each_other_are_refused() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 20);
    let refused = |job| run(&job).unwrap_err().to_string();
    let error = refused(job(&input, folder.path()));
    assert!(error.contains("is in the folder"), "{error}");
    let error = refused(job(folder.path(), &folder.path().join("out/new")));
    assert!(error.contains("is in the folder"), "{error}");
    let error = refused(job(&input, &input));
    assert!(error.contains("texts.txt"), "{error}");
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "dear").unwrap();
    let error = refused(job(&input, &other));
    assert!(error.contains("holds other files"), "{error}");
    assert_eq!(contents(&other).len(), 1);
    let error = refused(job(&folder.path().join("absent.txt"), &folder.path().join("new")));
    assert!(error.contains("opening") && error.contains("absent.txt"), "{error}");
    assert!(!folder.path().join("new").exists());
}

#[test]
fn jobs_of_one_folder_share_its_shards() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 400);
    let (alone, out) = (folder.path().join("alone"), folder.path().join("out"));
    run(&job(&input, &alone)).unwrap();
    let ran: Vec<u64> = thread::scope(|scope| {
        let slow = || {
            Bulk::new(from_fn(|text: &String| {
                thread::sleep(std::time::Duration::from_micros(200));
                Ok(text.len())
            }))
        };
        let job = resumed(&job(&input, &out));
        let run = |_| {
            let job = job.clone();
            scope.spawn(move || {
                let summary = run_by(&job, &slow().chunk_size(5).window(5)).unwrap();
                assert!(summary.is_complete(), "{summary:?}");
                summary.ran
            })
        };
        let running: Vec<_> = (0..3).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ran.iter().sum::<u64>(), 400, "{ran:?}");
    assert_same(&contents(&out), &contents(&alone));
}

#[test]
fn shards_that_are_dealt_out_are_merged() {
    let folder = tempdir().unwrap();
    let input = lines(folder.path(), 72);
    fs::write(&input, fs::read_to_string(&input).unwrap().replace("line 33", "fail 33")).unwrap();
    let path = |name: &str| folder.path().join(name);
    run(&job(&input, &path("alone"))).unwrap();
    for index in 0..3 {
        let summary = run(&job(&input, &path(&index.to_string())).shard(index, 3)).unwrap();
        assert_eq!((summary.finished_parts, summary.is_complete()), ([3, 3, 2][index], false));
    }
    merge(&[path("0"), path("1")], path("merged")).unwrap();
    assert!(verify_complete(path("merged")).unwrap_err().to_string().contains("is not finished"));
    merge(&[path("2"), path("0")], path("merged")).unwrap();
    assert_eq!(verify_complete(path("merged")).unwrap().failed, 1);
    assert_same(&contents(&path("merged")), &contents(&path("alone")));
    run(&job(&input, &path("other")).option("prompt", "query")).unwrap();
    let error = merge(&[path("0"), path("other")], path("wrong")).unwrap_err().to_string();
    assert!(error.contains("it is another job"), "{error}");
    assert!(run(&job(&input, &path("x")).shard(3, 3)).is_err());
    assert_eq!(run(&job(&input, &path("alone")).start(Start::RetryErrors)).unwrap().ran, 1);
}

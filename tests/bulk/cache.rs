//! Results kept on disk: found again, never mixed up, shared by processes, whole after a kill, mended after damage.

use std::{
    env, fs,
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{
    Description, Error, ErrorKind, Inference, Result, Slots,
    bulk::{Bulk, Cache, Report},
    from_fn,
};

#[cfg(feature = "hugging-face")]
use crate::support::data::data;
use crate::support::process;

/// A model that counts what it runs: each number's text, long enough to be worth keeping.
fn texts(
    cache: &Cache,
    name: &str,
    runs: &Arc<AtomicUsize>,
) -> Bulk<impl gristmill::bulk::Stages<u64, Output = String> + use<>> {
    let runs = runs.clone();
    let model = from_fn(move |&number: &u64| {
        runs.fetch_add(1, SeqCst);
        if number % 1000 == 999 { Err(Error::invalid_input("bad").into()) } else { Ok(text(number)) }
    });
    Bulk::new(model).cached(cache, name)
}

fn text(number: u64) -> String {
    format!("{number} ").repeat(50 + number as usize % 100)
}

/// Runs a job and checks every result; what was run, and the report.
fn check(cache: &Cache, name: &str, items: std::ops::Range<u64>) -> (usize, Report) {
    let runs = Arc::default();
    let mut results = texts(cache, name, &runs).map(items.clone());
    for (number, result) in items.zip(results.by_ref()) {
        match result {
            Ok(result) => assert_eq!(result, text(number)),
            Err(error) => assert_eq!((number % 1000, error.source.kind()), (999, ErrorKind::InvalidInput)),
        }
    }
    (runs.load(SeqCst), results.report())
}

fn hits(cache: &Cache, name: &str, items: std::ops::Range<u64>) -> usize {
    let count = items.clone().count();
    let (runs, report) = check(cache, name, items);
    assert_eq!((report.items, runs + report.cache_hits), (count, count));
    report.cache_hits
}

/// Writes what waits; a job may hold a clone for a moment longer than its results are held.
fn close(cache: Cache) {
    cache.flush();
}

#[test]
fn a_second_job_takes_what_the_first_has_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = Cache::open(&path, 64 << 20).unwrap();
    assert_eq!(hits(&cache, "a", 0..3000), 0);
    // Errors are run again.
    assert_eq!(hits(&cache, "a", 0..3000), 2997);
    // Another name is another model.
    assert_eq!(hits(&cache, "b", 0..100), 0);
    assert_eq!(hits(&cache, "a", 2900..3100), 99);
    close(cache);
    let cache = Cache::open(&path, 64 << 20).unwrap();
    assert_eq!(hits(&cache, "a", 0..3000), 2997);
    assert_eq!(hits(&cache, "b", 50..150), 50);
}

/// A model that says what it is.
struct Named(Description);

impl Inference for Named {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        chunk.iter().enumerate().for_each(|(place, &&number)| out.set(place, number + 1));
        Ok(())
    }
    fn describe(&self) -> Description {
        self.0.clone()
    }
}

#[test]
fn whatever_decides_a_result_tells_results_apart() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("cache"), 1 << 20).unwrap();
    let mut base = Description::default();
    base.model_fingerprint = "f".to_owned().into();
    let run = |description: &Description, name: &str| {
        let mut results = Bulk::new(Named(description.clone())).cached(&cache, name).map([1_u64, 2]);
        assert_eq!(results.by_ref().map(Result::unwrap).collect::<Vec<_>>(), [2, 3]);
        results.report()
    };
    assert_eq!(run(&base, "").cache_hits, 0);
    assert_eq!(run(&base, "").cache_hits, 2);
    let changes: [fn(&mut Description); 5] = [
        |model| model.model_fingerprint = "g".to_owned().into(),
        |model| model.device = "gpu".into(),
        |model| model.kernel_set = "portable".into(),
        |model| model.precision = "bf16".into(),
        |model| model.options = "128 tokens".into(),
    ];
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert_eq!(run(&other, "").cache_hits, 0, "{other:?}");
    }
    assert_eq!(run(&base, "x").cache_hits, 0);
    let mut unsettled = base.clone();
    unsettled.precision = "auto".into();
    assert_eq!([run(&unsettled, "").cache_hits, run(&unsettled, "").cache_hits], [0, 0]);
    for fingerprint in ["", "unknown: the file has changed since it was read"] {
        let mut unknown = Description::default();
        unknown.model_fingerprint = fingerprint.to_owned().into();
        for _ in 0..2 {
            let report = run(&unknown, "");
            assert_eq!(report.cache_hits, 0);
            assert!(report.notes.iter().any(|note| note.starts_with("nothing was cached")), "{:?}", report.notes);
        }
    }
}

#[test]
fn the_file_stays_within_its_size_and_the_oldest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let most = 8 << 20;
    let cache = Cache::open(&path, most).unwrap();
    for start in (0..24_000).step_by(1000) {
        check(&cache, "m", start..start + 1000);
        cache.flush();
        let len = fs::metadata(&path).unwrap().len();
        assert!(len <= most, "{len} bytes after {} items", start + 1000);
    }
    assert_eq!(hits(&cache, "m", 23_900..23_999), 99);
    assert_eq!(hits(&cache, "m", 0..1000), 0);
}

#[test]
fn a_file_that_is_no_cache_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thesis.txt");
    fs::write(&path, "ten years of work").unwrap();
    let error = Cache::open(&path, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("is no cache"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"ten years of work");
    let missing = Cache::open(folder.path().join("no/such/folder"), 1 << 20).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);

    let other = folder.path().join("other.redb");
    let database = redb_of_somebody_else(&other);
    drop(database);
    let error = Cache::open(&other, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("is no cache"), "{error}");
}

fn redb_of_somebody_else(path: &Path) -> redb::Database {
    let database = redb::Database::create(path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    write.commit().unwrap();
    database
}

#[test]
fn a_damaged_file_gives_no_wrong_result_and_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = Cache::open(&path, 64 << 20).unwrap();
    check(&cache, "m", 0..900);
    close(cache);
    let whole = fs::read(&path).unwrap();
    let damage: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(9),
        |bytes| bytes[9..4096].fill(0xff),
        |bytes| bytes[4096..].fill(0x5a),
        |bytes| bytes.iter_mut().skip(5000).step_by(977).for_each(|byte| *byte ^= 0x10),
    ];
    let mut told = 0;
    for (number, damage) in damage.into_iter().enumerate() {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let cache = Cache::open(&path, 64 << 20).unwrap();
        let (_, report) = check(&cache, "m", 0..900);
        // Where nothing was lost there is nothing to tell.
        let tells = report.notes.iter().any(|note| note.contains("damaged"));
        assert!(tells || report.cache_hits == 900, "damage {number}: {:?}", report.notes);
        told += usize::from(tells);
        close(cache);
        // What has come of it is whole, and so it stays.
        let cache = Cache::open(&path, 64 << 20).unwrap();
        check(&cache, "m", 0..900);
        close(cache);
        let cache = Cache::open(&path, 64 << 20).unwrap();
        assert_eq!(hits(&cache, "m", 0..900), 900, "damage {number}");
    }
    assert!(told >= 3, "{told}");
}

#[cfg(feature = "hugging-face")]
#[test]
fn vectors_of_a_text_model_are_kept_to_the_bit_and_apart_by_its_options() {
    use gristmill::{
        Device,
        text::{Embedder, EmbedderOptions},
    };

    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("cache"), 64 << 20).unwrap();
    let model = data("minilm");
    let texts = fs::read_to_string(data("glosses.txt")).unwrap();
    // Each comes twice.
    let texts: Vec<String> = texts.lines().take(60).cycle().take(120).map(str::to_owned).collect();
    let embedder = Embedder::open(&model, Device::Cpu).unwrap();
    let plain: Vec<Vec<f32>> = embedder.map(texts.clone()).map(Result::unwrap).collect();
    for (hits, duplicates) in [(0, 60), (60, 60)] {
        let mut results = embedder.bulk().cached(&cache, "").dedupe().map(texts.clone());
        assert!(results.by_ref().map(Result::unwrap).eq(plain.iter().cloned()));
        assert_eq!((results.report().cache_hits, results.report().duplicates), (hits, duplicates));
    }
    let short = Embedder::open_with(&model, &EmbedderOptions::on(Device::Cpu).max_tokens(5)).unwrap();
    let mut results = short.bulk().cached(&cache, "").map(texts.clone());
    assert_ne!(results.by_ref().map(Result::unwrap).collect::<Vec<_>>(), plain);
    assert_eq!(results.report().cache_hits, 0);
}

/// The body of the processes below.
#[test]
fn child() {
    let (Ok(path), Ok(start)) = (env::var("GRISTMILL_CACHE"), env::var("GRISTMILL_START")) else { return };
    let start: u64 = start.parse().unwrap();
    let cache = Cache::open(path, 256 << 20).unwrap();
    for part in 0..8 {
        let from = start + part * 500;
        let (_, report) = check(&cache, "m", from..from + 500);
        cache.flush();
        assert!(report.notes.iter().all(|note| !note.contains("cache")), "{:?}", report.notes);
    }
}

fn start_child(path: &Path, start: u64) -> Child {
    process::test(module_path!(), "child")
        .env("GRISTMILL_CACHE", path)
        .env("GRISTMILL_START", start.to_string())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_share_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let own = Cache::open(&path, 256 << 20).unwrap();
    let mut children = [start_child(&path, 0), start_child(&path, 4000), start_child(&path, 2000)];
    // This process has the file open all the while, and sees what comes.
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(hits(&own, "m", 0..8000), 8000 - 8);
    assert_eq!(check(&own, "m", 0..10).1.notes, Vec::<String>::new());
}

#[test]
fn a_kill_in_the_middle_of_writing_leaves_the_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    for round in 0..12 {
        let mut child = start_child(&path, 0);
        thread::sleep(Duration::from_millis(20 + 37 * round % 250));
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = Cache::open(&path, 256 << 20).unwrap();
        let (_, report) = check(&cache, "m", 0..500);
        assert!(report.notes.iter().all(|note| !note.contains("cache")), "{:?}", report.notes);
        close(cache);
        // What was written stays, and there is something to kill in the middle of again.
        let cache = Cache::open(&path, 256 << 20).unwrap();
        assert_eq!(hits(&cache, "m", 0..500), 500);
        close(cache);
        if round % 3 == 2 {
            fs::remove_file(&path).unwrap();
        }
    }
}

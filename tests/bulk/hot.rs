//! Models replaced while jobs run, and files replaced while they are read.

use std::{
    collections::HashSet,
    env,
    error::Error as StdError,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use gristmill::{
    Description, Error, ErrorKind, Inference, Pipeline, Result, Slots,
    bulk::{Bulk, Hot, publish, publish_folder, read_published},
};

use crate::support::process;

/// Adds a number that its file holds; counts how many of its kind are alive.
struct Add {
    number: u64,
    alive: Arc<AtomicUsize>,
}

impl Drop for Add {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

impl Inference for Add {
    type Input = u64;
    type Output = u64;
    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        (0..chunk.len()).for_each(|place| out.set(place, *chunk[place] + self.number));
        Ok(())
    }
    fn describe(&self) -> Description {
        let mut description = Description::default();
        description.model_fingerprint = self.number.to_string().into();
        description
    }
}

fn load(
    alive: &Arc<AtomicUsize>,
) -> impl Fn(&Path) -> Result<Add, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static {
    let alive = alive.clone();
    move |path| {
        let text = fs::read_to_string(path).map_err(|error| Error::io(error, "reading the number"))?;
        assert_ne!(text, "panic", "a loader that panics");
        let number = text.trim().parse().map_err(Error::user)?;
        alive.fetch_add(1, SeqCst);
        Ok(Add { number, alive: alive.clone() })
    }
}

/// What callers rely on here: that small numbers stay small.
fn signature(model: &Add) -> String {
    if model.number < 1_000_000 { "small".into() } else { "large".into() }
}

#[test]
fn jobs_keep_their_version_while_a_thousand_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    fs::write(&path, "1000").unwrap();
    let alive = Arc::new(AtomicUsize::new(0));
    let hot = Arc::new(Hot::open(&path, load(&alive), signature).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (bulk, stop) = (Bulk::hot(hot.clone()).workers(2), stop.clone());
            thread::spawn(move || {
                let mut jobs = 0;
                let mut latest = 0;
                while !stop.load(SeqCst) || jobs == 0 {
                    let mut results = bulk.map(0..500_u64);
                    let sums: Vec<u64> = results.by_ref().map(Result::unwrap).collect();
                    let version = sums[0];
                    assert!(sums.iter().zip(version..).all(|(&sum, due)| sum == due), "mixed or lost results");
                    assert_eq!((sums.len(), results.report().model_fingerprint), (500, version.to_string().into()));
                    assert!(version >= latest, "an old version came back");
                    latest = version;
                    jobs += 1;
                }
                jobs
            })
        })
        .collect();
    for version in 2..=1001_u64 {
        publish(&path, |file| Ok(write!(file, "{}", 999 + version)?)).unwrap();
        assert_eq!(hot.reload(&path).unwrap(), version);
    }
    stop.store(true, SeqCst);
    assert!(consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum::<usize>() > 2);
    assert_eq!((hot.version(), hot.describe().model_fingerprint.as_str()), (1001, "2000"));
    drop(hot);
    for _ in 0..200 {
        if alive.load(SeqCst) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{alive:?} models are still alive");
}

#[test]
fn a_bad_successor_changes_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    fs::write(&path, "1").unwrap();
    let alive = Arc::new(AtomicUsize::new(0));
    let hot = Arc::new(Hot::open(&path, load(&alive), signature).unwrap());
    let bulk = Bulk::hot(hot.clone());
    for (content, part, kind) in [
        ("x", "invalid digit", ErrorKind::User),
        ("2000000", "`large`", ErrorKind::InvalidModel),
        ("panic", "a loader that panics", ErrorKind::Panic),
    ] {
        fs::write(&path, content).unwrap();
        let error = hot.reload(&path).unwrap_err();
        assert!(error.to_string().contains(part) && error.to_string().contains("reloading"), "{error}");
        assert_eq!((error.kind(), hot.version()), (kind, 1));
        assert_eq!(bulk.map([5_u64]).next().unwrap().unwrap(), 6);
    }
    assert!(Hot::open(folder.path().join("absent"), load(&alive), signature).is_err());
    assert_eq!(alive.load(SeqCst), 1);
}

#[test]
fn pipelines_can_be_hot_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    fs::write(&path, "1").unwrap();
    let load = load(&Arc::default());
    let pipeline = move |path: &Path| Ok(Pipeline::new(load(path)?).prepare(|text: &str| Ok(text.parse::<u64>()?)));
    let hot = Arc::new(Hot::open_pipeline(&path, pipeline, signature).unwrap());
    let bulk = Bulk::hot(hot.clone());
    let mut running = bulk.map(["1", "2"]);
    fs::write(&path, "10").unwrap();
    assert_eq!(hot.reload(&path).unwrap(), 2);
    assert_eq!(running.by_ref().map(Result::unwrap).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(bulk.map(["1"]).next().unwrap().unwrap(), 11);
}

#[test]
fn readers_never_see_half_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    let content = |letter: u8| vec![letter; 100_000];
    fs::write(&path, content(b'a')).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2_u8)
            .map(|writer| {
                let (path, content) = (&path, &content);
                scope.spawn(move || {
                    for round in 0..30 {
                        publish(path, |file| {
                            // In pieces, so that a half could be seen.
                            for piece in content(b'b' + writer * 8 + round % 8).chunks(10_000) {
                                file.write_all(piece).map_err(|error| Error::io(error, "writing"))?;
                            }
                            Ok(())
                        })
                        .unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let seen = fs::read(&path).unwrap();
                assert!(seen.len() == 100_000 && seen.iter().all(|&byte| byte == seen[0]));
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, SeqCst);
    });
    let before = fs::read(&path).unwrap();
    let failed = publish(&path, |file| {
        file.write_all(b"half").map_err(|error| Error::io(error, "writing"))?;
        Err("the rest is missing".into())
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!folder.path().join("content.new").exists());
}

/// Publishes a folder of two files with the same number in both.
fn publish_pair(folder: &Path, number: u32) {
    publish_folder(folder, |new| {
        for name in ["weights", "config"] {
            fs::write(new.join(name), number.to_string()).map_err(|error| Error::io(error, "writing a half"))?;
            thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    })
    .unwrap();
}

/// Opens such a folder: its number.
fn open_pair(folder: &Path) -> Result<u64, Box<dyn StdError + Send + Sync>> {
    let read = |name| fs::read_to_string(folder.join(name)).map_err(|error| Error::io(error, "reading a half"));
    let weights = read("weights")?;
    thread::sleep(Duration::from_micros(500));
    let config = read("config")?;
    assert_eq!(weights, config, "two halves");
    Ok(weights.parse()?)
}

/// Of the test below, in a process of its own: writes or reads the folder until the last number.
fn other_process(role: &str, folder: &Path) {
    if role == "write" {
        (1..=LAST_PAIR).for_each(|number| publish_pair(folder, number));
    } else {
        while read_published(folder, open_pair).unwrap() < u64::from(LAST_PAIR) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

const LAST_PAIR: u32 = 100;

#[test]
fn readers_in_any_process_never_see_half_a_folder() {
    const ROLE: &str = "GRISTMILL_TEST_ROLE";
    const FOLDER: &str = "GRISTMILL_TEST_FOLDER";
    if let (Ok(role), Some(folder)) = (env::var(ROLE), env::var_os(FOLDER)) {
        return other_process(&role, Path::new(&folder));
    }
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    fs::create_dir(&folder).unwrap();
    // Put there by somebody who does not publish.
    ["weights", "config"].iter().for_each(|name| fs::write(folder.join(name), "0").unwrap());
    let processes: Vec<_> = ["read", "write", "read"]
        .into_iter()
        .map(|role| {
            process::test(module_path!(), "readers_in_any_process_never_see_half_a_folder")
                .envs([(ROLE, OsStr::new(role)), (FOLDER, folder.as_os_str())])
                .spawn()
                .unwrap()
        })
        .collect();
    let load = |path: &Path| Ok(Add { number: open_pair(path)?, alive: Arc::default() });
    let hot = Hot::open(&folder, load, signature).unwrap();
    let mut seen = HashSet::new();
    thread::scope(|scope| {
        let reader = scope.spawn(|| other_process("read", &folder));
        while hot.describe().model_fingerprint.as_str() != LAST_PAIR.to_string() {
            hot.reload(&folder).unwrap();
            seen.insert(hot.describe().model_fingerprint.as_str().to_owned());
            thread::sleep(Duration::from_millis(1));
        }
        reader.join().unwrap();
    });
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    assert!(seen.len() >= 5, "only {seen:?}");
    let failed = publish_folder(&folder, |new| {
        fs::write(new.join("weights"), "half").unwrap();
        Err("the rest is missing".into())
    });
    assert!(failed.is_err());
    // A writer that was ended between its two steps.
    fs::rename(&folder, parent.path().join("model.old")).unwrap();
    assert_eq!(read_published(&folder, open_pair).unwrap(), u64::from(LAST_PAIR));
    let mut left: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["model", "model.lock", "model.writing"]);
}

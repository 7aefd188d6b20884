//! How commands end: their exit codes, and what lies in the folder afterwards.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    folder::{self, Folder, Kind, Weights},
    npy, onnx_writer,
    process::example,
};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");
pub const OLD: &[u8] = b"what was there before";

/// A text model, and a folder for inputs and outputs.
pub struct Place {
    model: tempfile::TempDir,
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let model = Folder::new(Kind::Bert, Weights::F32).temporary();
        let place = Self { model, folder: tempfile::tempdir().unwrap() };
        fs::write(place.path("texts.txt"), "one\ntwo words\nthree words here\n").unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn embed(&self, texts: &Path, out: &Path) -> Command {
        let mut command = example("embed");
        command.args(["--device", "cpu", "--model"]).arg(self.model.path()).arg(texts).arg("--out").arg(out);
        command
    }

    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// The bytes of files under construction, if there are any.
    pub fn part(&self) -> Option<u64> {
        part(self.folder.path())
    }
}

/// The bytes of the file under construction in a folder, if there is one.
pub fn part(folder: &Path) -> Option<u64> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let is_part = |name: &str| name.starts_with(".gristmill-") && name.ends_with(".part");
    let mut parts = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_part));
    parts.next().and_then(|entry| entry.metadata().ok()).map(|found| found.len())
}

/// Waits until a file under construction holds so many bytes.
pub fn await_part(folder: &Path, bytes: u64) {
    let started = Instant::now();
    while part(folder).is_none_or(|len| len < bytes) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is written");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal; the process may have ended.
pub fn signal(child: &Child, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).output().unwrap();
}

/// Waits for the end, and kills what does not end in time.
pub fn ended(mut child: Child, limit: Duration) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < limit || child.kill().is_err(), "it goes on after the signal");
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// The exit code, and what was said on stderr.
pub fn told(command: &mut Command) -> (i32, String) {
    let output = command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_code_tells_how_a_command_ended() {
    let place = Place::new();
    let (texts, out) = (place.path("texts.txt"), place.path("out.npy"));
    let (code, said) = told(&mut place.embed(&texts, &out));
    assert_eq!(code, 0, "{said}");
    assert_eq!(npy::rows(&out).0.len(), 3);

    for (command, due) in [
        (&mut example("embed"), "--model DIR is missing; see --help"),
        (example("embed").arg("--nonsense"), "invalid option '--nonsense'; see --help"),
        (
            example("embed").args(["--max-tokens", "x"]),
            "cannot parse argument \"x\": invalid digit found in string; see --help",
        ),
        (example("embed").args(["--workers", "0"]), "--workers must be at least 1"),
        (&mut example("identify"), "no PATH given"),
        (&mut example("run"), "usage: run "),
        (&mut example("inspect"), "usage: inspect "),
        (&mut example("conformance"), "usage: conformance "),
        (&mut example("verify"), "usage: verify "),
    ] {
        let (code, said) = told(command);
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with(due), "{said}");
    }

    for (texts, due) in [
        (place.path("absent"), "absent: No such file"),
        (place.folder.path().to_owned(), "is a folder; TEXTS is a file of lines"),
        // A file that cannot be read from its start.
        #[cfg(target_os = "linux")]
        ("/proc/self/mem".into(), "reading /proc/self/mem after line 0: "),
    ] {
        fs::write(&out, OLD).unwrap();
        let (code, said) = told(&mut place.embed(&texts, &out));
        assert!(code == 1 && said.contains(due), "{code}: {said}");
        assert!(fs::read(&out).unwrap() == OLD && place.part().is_none());
    }
    let (code, said) = told(&mut place.embed(&texts, &place.path("absent/out.npy")));
    assert!(code == 1 && said.contains("writing ") && said.contains("absent/out.npy: "), "{code}: {said}");

    fs::write(place.path("lines.json"), "{\"text\": \"one\"}\nnone\n").unwrap();
    let (code, said) = told(place.embed(&place.path("lines.json"), &out).args(["--field", "text"]));
    assert!(code == 3 && said.contains("line 2: ") && said.contains("1 of 2 failed"), "{code}: {said}");
    let (rows, _) = npy::rows(&out);
    assert!(rows.len() == 2 && rows[0].iter().all(|value| value.is_finite()) && rows[1].iter().all(|x| x.is_nan()));
    let (code, said) = told(example("identify").arg(place.path("absent")));
    assert!(code == 3 && said.contains("all items failed"), "{code}: {said}");
}

#[test]
fn an_output_replaces_nothing_that_is_read() {
    let place = Place::new();
    let texts = place.path("texts.txt");
    let [link, hard] = ["link.txt", "hard.txt"].map(|name| place.path(name));
    symlink("texts.txt", &link).unwrap();
    fs::hard_link(&texts, &hard).unwrap();
    let weights = place.model.path().join("model.safetensors");
    let around = place.folder.path().join("..").join(place.folder.path().file_name().unwrap()).join("new.npy");
    let new = place.path("new.npy");
    let model = place.path("model.onnx");
    fs::copy(MODEL, &model).unwrap();
    // The entries of a model whose weights are in another file; one that lies beside and is not named there may go.
    let [apart, data] = ["apart.onnx", "weights.bin"].map(|name| place.path(name));
    let tensor = onnx_writer::external("w", onnx_writer::FLOAT, &[2, 1], &[("location", "weights.bin")]);
    let draft = onnx_writer::Draft::new()
        .input(onnx_writer::value("x", onnx_writer::FLOAT, &["n", "2"]))
        .initializer(tensor)
        .node(onnx_writer::node("MatMul", "sum", &["x", "w"], &["y"]))
        .output(onnx_writer::value("y", onnx_writer::FLOAT, &["n", "1"]));
    fs::write(&apart, draft.bytes()).unwrap();
    // The same with the entry across the end of the first piece that is read, a little more than a mebibyte.
    let far = place.path("far.onnx");
    let at = draft.bytes().windows(10).position(|bytes| bytes == b"\x0a\x08location").unwrap();
    let front = onnx_writer::Message::new().text(6, &" ".repeat((1 << 20) + 6 - at));
    fs::write(&far, [front.0, draft.bytes()].concat()).unwrap();
    fs::write(&data, [0; 8]).unwrap();
    let kept = [&texts, &weights, &model, &data].map(|path| (path, fs::read(path).unwrap()));
    let with = |name: &str, words: &[&dyn AsRef<std::ffi::OsStr>]| {
        let mut command = example(name);
        command.args(words);
        command
    };
    for mut command in [
        place.embed(&texts, &texts),
        place.embed(&texts, &link),
        place.embed(&link, &texts),
        place.embed(&texts, &hard),
        place.embed(&texts, &weights),
        with("identify", &[&texts, &"--jsonl", &link]),
        with("identify", &[&texts, &"--report", &hard]),
        with("inspect", &[&model, &"--svg", &model]),
        with("inspect", &[&apart, &"--svg", &data]),
        with("inspect", &[&far, &"--svg", &data]),
        with("run", &[&apart, &"--in", &texts, &"--out", &data]),
        with("run", &[&model, &"--in", &texts, &"--out", &link]),
        with("run", &[&model, &"--in", &texts, &"--out", &model]),
        with("run", &[&model, &"--in", &texts, &"--out", &new, &"--report", &around]),
    ] {
        let (code, said) = told(&mut command);
        assert!(code == 1 && said.contains("which this command reads or writes too"), "{command:?} {code}: {said}");
    }
    // What an earlier run wrote into the model's folder may be written again.
    for _ in 0..2 {
        let (code, said) = told(&mut place.embed(&texts, &place.model.path().join("out.npy")));
        assert_eq!(code, 0, "{said}");
    }
    for report in [&texts, &weights, &new, &around] {
        let (code, said) = told(place.embed(&texts, &new).arg("--report").arg(report));
        assert!(code == 1 && said.contains("which this command reads or writes too"), "{code}: {said}");
    }
    for (path, bytes) in kept {
        assert!(fs::read(path).unwrap() == bytes, "{} has changed", path.display());
    }
    assert!(!new.exists() && place.part().is_none());
    fs::write(&new, OLD).unwrap();
    let (code, said) = told(&mut with("inspect", &[&apart, &"--svg", &new]));
    assert!(code == 0 && fs::read(&new).unwrap().starts_with(b"<svg "), "{said}");
}

#[test]
fn a_pipe_is_written_in_place_and_a_link_is_followed() {
    let place = Place::new();
    let texts = place.path("texts.txt");
    let fifo = place.fifo("fifo");
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    let (code, said) = told(example("identify").arg(&texts).arg("--jsonl").arg(&fifo));
    assert_eq!(code, 0, "{said}");
    assert!(reader.join().unwrap().contains("\"label\""));
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    // A file that needs to be sought cannot be a pipe.
    let mut held = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let (code, said) = told(&mut place.embed(&texts, &fifo));
    assert!(code == 1 && said.contains("it is a pipe; this format needs a file"), "{code}: {said}");
    held.write_all(b"").unwrap();
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    fs::create_dir(place.path("below")).unwrap();
    let (link, target) = (place.path("link.npy"), place.path("below/real.npy"));
    fs::write(&target, OLD).unwrap();
    symlink("below/real.npy", &link).unwrap();
    let before = fs::metadata(&target).unwrap().ino();
    let (code, said) = told(&mut place.embed(&texts, &link));
    assert_eq!(code, 0, "{said}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(npy::rows(&target).0.len(), 3);
    // The old file is never written to.
    assert_ne!(fs::metadata(&target).unwrap().ino(), before);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let place = Place::new();
    let mut child = example("identify")
        .args(["--device", "cpu"])
        .arg(place.path("texts.txt"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = ended(child, Duration::from_secs(60));
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(141), ""));
}

#[test]
fn texts_and_messages_are_plain() {
    let place = Place::new();
    let [marked, plain, out] = ["marked.txt", "plain.txt", "out.npy"].map(|name| place.path(name));
    fs::write(&marked, "\u{feff}a text\n").unwrap();
    fs::write(&plain, "a text\n").unwrap();
    let vectors = [&marked, &plain].map(|texts| {
        assert_eq!(told(&mut place.embed(texts, &out)).0, 0);
        npy::rows(&out).0
    });
    assert_eq!(vectors[0], vectors[1]);
    let (code, said) = told(place.embed(&plain, &out).args(["--workers", "1000000"]));
    assert!(code == 0 && said.contains("--workers 1000000: ") && said.contains(" are used"), "{said}");
    let name = place.path("a\u{1b}[31m\nb");
    fs::write(&name, "text").unwrap();
    let output = example("identify").arg(&name).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.contains("a\\u{1b}[31m\\nb: ") && !line.contains('\u{1b}') && line.lines().count() == 1, "{line}");
    let (code, said) = told(&mut place.embed(&name.join("\u{1b}"), &out));
    assert!(code == 1 && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_signal_is_heard_while_nothing_comes() {
    let _turn = crate::turn();
    for (name, code, from_stdin) in [("INT", 130, true), ("TERM", 143, true), ("TERM", 143, false)] {
        let place = Place::new();
        let out = place.path("out.npy");
        fs::write(&out, OLD).unwrap();
        let texts = if from_stdin { "-".into() } else { place.fifo("texts") };
        let mut child = place.embed(&texts, &out).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut source: Box<dyn Write> = match from_stdin {
            true => Box::new(child.stdin.take().unwrap()),
            false => Box::new(OpenOptions::new().write(true).open(&texts).unwrap()),
        };
        source.write_all(b"one\ntwo\nthree\n").unwrap();
        await_part(place.folder.path(), 0);
        thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        let output = ended(child, Duration::from_secs(1));
        drop(source);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("stopping: "), "{said}");
        // What has been read is written.
        let (rows, columns) = npy::rows(&out);
        assert!(rows.len() == 3 && columns == folder::HIDDEN, "{} rows", rows.len());
        assert!(place.part().is_none());
    }
    // No line has been read to its end: nothing is replaced.
    for endless in [false, true] {
        let place = Place::new();
        let out = place.path("out.npy");
        fs::write(&out, OLD).unwrap();
        let mut child = place.embed(Path::new("-"), &out).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let source = child
            .stdin
            .take_if(|_| endless)
            .map(|mut texts| thread::spawn(move || while texts.write_all(b"a word, then another").is_ok() {}));
        await_part(place.folder.path(), 0);
        thread::sleep(Duration::from_millis(200));
        signal(&child, "INT");
        let output = ended(child, Duration::from_secs(1));
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        source.into_iter().for_each(|source| source.join().unwrap());
        assert!(fs::read(&out).unwrap() == OLD && place.part().is_none());
    }
}

/// Whether this process ignores a signal, which the processes that it starts inherit.
fn is_ignored(number: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[test]
fn a_signal_at_any_moment_leaves_the_old_file_or_a_whole_one() {
    let _turn = crate::turn();
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        if is_ignored(number) {
            println!("skipped: whoever started the tests ignores SIG{name}, and so do their processes");
            continue;
        }
        for wait in [0, 5, 10, 20, 40, 60, 100, 200, 400, 600] {
            let place = Place::new();
            let out = place.path("out.npy");
            fs::write(&out, OLD).unwrap();
            let mut child =
                place.embed(Path::new("-"), &out).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut texts = child.stdin.take().unwrap();
            let source = thread::spawn(move || while texts.write_all(b"a word or two\n").is_ok() {});
            thread::sleep(Duration::from_millis(wait));
            signal(&child, name);
            let mut said = child.stderr.take().unwrap();
            let output = ended(child, Duration::from_secs(20));
            source.join().unwrap();
            let mut text = String::new();
            said.read_to_string(&mut text).unwrap();
            use std::os::unix::process::ExitStatusExt;
            let status = output.status;
            assert!(status.code() == Some(128 + number) || status.signal() == Some(number), "{status}: {text}");
            assert!(place.part().is_none(), "after {wait} ms: {text}");
            if fs::read(&out).unwrap() != OLD {
                let (rows, columns) = npy::rows(&out);
                assert!(!rows.is_empty() && columns == folder::HIDDEN, "{} rows of {columns}", rows.len());
            }
        }
    }
}

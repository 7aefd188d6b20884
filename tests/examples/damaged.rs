//! Real files, damaged: a command ends by itself, in bounded time and memory, and says why without a panic.
//!
//! `GRISTMILL_FULL=1` tries a thousand files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use gristmill::DType;

use crate::support::{
    npz::{self, Header},
    process::example,
    random::Random,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MOST_TIME: Duration = Duration::from_secs(10);
/// Resident memory at any time, in KiB.
const MOST_MEMORY: u64 = 1 << 20;

/// What damages files.
struct Damage(Random);

impl Damage {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn span(&mut self, len: usize, most: usize) -> (usize, usize) {
        let start = self.below(len);
        (start, (start + 1 + self.below(most)).min(len))
    }

    /// Damage as a broken disk, a cut download or somebody without scruples would do it.
    fn apply(&mut self, bytes: &mut Vec<u8>, json: bool) {
        for _ in 0..=self.below(3) {
            let len = bytes.len();
            let (start, end) = self.span(len, 64);
            match self.below(if json { 9 } else { 5 }) {
                0 => bytes.truncate(start),
                1 => drop(bytes.drain(start..end)),
                2 => bytes[start] ^= 1 << self.below(8),
                3 => bytes[start..end].fill(0xff),
                4 => {
                    let again = bytes[start..end].repeat(1 + self.below(2000));
                    bytes.splice(start..start, again);
                }
                5 => self.replace_number(bytes),
                6 => drop(bytes.splice(start..start, b"[".repeat(1 + self.below(100_000)))),
                7 => drop(bytes.splice(start..start, br#"{"a":"#.repeat(1 + self.below(20_000)))),
                _ => self.replace_string(bytes),
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Replaces one of the numbers of a text.
    fn replace_number(&mut self, bytes: &mut Vec<u8>) {
        const NUMBERS: &[&str] =
            &["0", "-1", "1e308", "4294967295", "18446744073709551615", "1000000000", "0.5", "null"];
        let from = self.below(bytes.len());
        let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|place| from + place) else { return };
        let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS[self.below(NUMBERS.len())];
        bytes.splice(start..start + len, number.bytes());
    }

    /// Replaces one of the strings of a text.
    fn replace_string(&mut self, bytes: &mut Vec<u8>) {
        let quotes: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place] == b'"').take(4000).collect();
        let Some(pair) = quotes.chunks_exact(2).nth(self.below(quotes.len() / 2)) else { return };
        let patterns = ["", "(a|b|ab)*c", "(?=(\\\\w+))\\\\1", "x", "\\u0000", "../../config.json"];
        let string = patterns[self.below(patterns.len())].repeat(1 + self.below(100));
        bytes.splice(pair[0] + 1..pair[1], string.bytes());
    }
}

/// A kind of file: the folder that a command reads, the file in it that is damaged, and the command.
struct Kind {
    name: &'static str,
    file: PathBuf,
    json: bool,
    command: fn(&Path) -> Command,
}

fn run(folder: &Path) -> Command {
    let mut command = example("run");
    command.arg(folder.join("model.onnx")).args(["--device", "cpu", "--workers", "2", "--in"]);
    command.arg(folder.join("in.npz")).arg("--out").arg(folder.join("out.npz"));
    command
}

fn embed(folder: &Path) -> Command {
    let mut command = example("embed");
    command.args(["--device", "cpu", "--workers", "2", "--model"]).arg(folder).arg(folder.join("texts.txt"));
    command.arg("--out").arg(folder.join("out.npy"));
    command
}

/// A folder with everything that a command needs.
fn sound(kind: &Kind) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = kind.file.parent().unwrap();
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    fs::write(folder.path().join("texts.txt"), "a text\nanother, of more words\n").unwrap();
    let header = Header { name: "bytes".into(), dtype: DType::I32, shape: vec![2, 2048], width: 0 };
    let input = fs::File::create(folder.path().join("in.npz")).unwrap();
    npz::write(input, [(&header, &vec![0; 2 * 2048 * 4][..])]).unwrap();
    folder
}

/// Runs a command to its end, and says what is wrong with how it ended.
fn fault(mut command: Command) -> Option<String> {
    let started = Instant::now();
    let stderr = tempfile::NamedTempFile::new().unwrap();
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(resident(child.id()));
        if started.elapsed() > MOST_TIME {
            child.kill().unwrap();
            child.wait().unwrap();
            return Some("it takes too long".into());
        }
        thread::sleep(Duration::from_millis(2));
    };
    let said = String::from_utf8_lossy(&fs::read(stderr.path()).unwrap()).into_owned();
    let sound = matches!(status.code(), Some(0..=3)) && !said.contains("panicked") && !said.contains("internal error");
    (!sound || peak > MOST_MEMORY).then(|| format!("{status}, {peak} KiB: {said}"))
}

/// The most resident memory of a process so far, in KiB; 0 where the system does not tell.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn damaged_files_end_a_command_soon_and_plainly() {
    let _turn = crate::turn();
    let each = if std::env::var_os("GRISTMILL_FULL").is_some() { 250 } else { 6 };
    let encoders = Path::new(ROOT).join("tests/goldens/encoders");
    let magika = Path::new(ROOT).join("examples/models/magika/model.onnx");
    let mut families: Vec<PathBuf> =
        fs::read_dir(&encoders).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    families.sort();
    let mut faults = Vec::new();
    let mut damage = Damage(Random(0x9e37_79b9_7f4a_7c15));
    for round in 0..each {
        let family = &families[round % families.len()];
        let kinds = [
            Kind { name: "model.onnx", file: magika.clone(), json: false, command: run },
            Kind { name: "in.npz", file: magika.clone(), json: false, command: run },
            Kind { name: "config.json", file: family.join("config.json"), json: true, command: embed },
            Kind { name: "tokenizer.json", file: family.join("tokenizer.json"), json: true, command: embed },
        ];
        for kind in &kinds {
            let folder = sound(kind);
            let path = folder.path().join(kind.name);
            let mut bytes = fs::read(&path).unwrap();
            damage.apply(&mut bytes, kind.json);
            fs::write(&path, &bytes).unwrap();
            if let Some(fault) = fault((kind.command)(folder.path())) {
                faults.push(format!("{} of round {round} ({}): {fault}", kind.name, family.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

//! The example `run`: rows that are run in blocks give what they give in one.

use std::{fs, path::PathBuf, process::Output};

use gristmill::{DType, Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::{
    data,
    npz::{self, Header},
    onnx_writer::{Draft, FLOAT, Message, int, node, value},
    process::example,
};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");
/// Of 8 KiB each: a block and a part of one.
const ROWS: usize = 150;

/// A folder with the inputs of `ROWS` files in `in.npz`.
struct Job {
    folder: tempfile::TempDir,
    features: Vec<i32>,
}

impl Job {
    fn new() -> Self {
        let features: Vec<i32> = data::elements(&data::arrays("magika.npz"), "features");
        let features = features.iter().copied().cycle().take(ROWS * 2048).collect();
        let job = Self { folder: tempfile::tempdir().unwrap(), features };
        let header = Header { name: "bytes".into(), dtype: DType::I32, shape: vec![ROWS, 2048], width: 0 };
        let bytes: Vec<u8> = job.features.iter().flat_map(|value| value.to_le_bytes()).collect();
        npz::write(fs::File::create(job.path("in.npz")).unwrap(), [(&header, &bytes[..])]).unwrap();
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, flags: &[&str]) -> Output {
        let mut command = example("run");
        command.args([MODEL, "--device", "cpu", "--in"]).arg(self.path("in.npz")).arg("--out");
        command.arg(self.path("out.npz")).args(flags).env_remove("RUST_BACKTRACE").output().unwrap()
    }

    /// What the run says about why it failed; it leaves no output.
    fn failure(&self) -> String {
        let output = self.run(&["--workers", "1"]);
        assert!(!output.status.success());
        let left: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["in.npz"]);
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn blocks_of_rows_are_run_as_they_are_read() {
    let _turn = crate::turn();
    let job = Job::new();
    let session = Model::open(MODEL).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap();
    let whole = Tensors::from([("bytes", Tensor::new([ROWS, 2048], &job.features).unwrap())]);
    let whole = session.run(&whole).unwrap();
    let (name, whole) = whole.iter().next().unwrap();
    for (flags, blocks) in
        [(&["--workers", "1"][..], 17), (&["--chunk", "7", "--workers", "2"], 22), (&["--chunk", "150"], 1)]
    {
        let output = job.run(flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains(&format!("{blocks} items in")), "{said}");
        let results = npz::read(&job.path("out.npz")).unwrap();
        assert_eq!((results.len(), results.get(name).unwrap()), (1, whole), "{flags:?}");
    }
}

/// What `run` says of a model on arrays, and its results.
fn run(model: &Draft, arrays: &[(&str, &[usize], &[f32])], flags: &[&str]) -> (String, Tensors) {
    let _turn = crate::turn();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("model.onnx"), model.bytes()).unwrap();
    let header =
        |name: &str, shape: &[usize]| Header { name: name.into(), dtype: DType::F32, shape: shape.into(), width: 0 };
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let arrays: Vec<_> = arrays.iter().map(|(name, shape, values)| (header(name, shape), bytes(values))).collect();
    let arrays = arrays.iter().map(|(header, bytes)| (header, &bytes[..]));
    npz::write(fs::File::create(path("in.npz")).unwrap(), arrays).unwrap();
    let mut command = example("run");
    let command = command.arg(path("model.onnx")).arg("--in").arg(path("in.npz")).arg("--out").arg(path("out.npz"));
    let output = command.args(["--device", "cpu"]).args(flags).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (said, npz::read(&path("out.npz")).unwrap())
}

#[test]
fn sizes_of_one_name_may_differ() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "n"]))
        .input(value("z", FLOAT, &["n", "n"]))
        .node(node("Concat", "joined", &["x", "z"], &["y"]).message(5, &int("axis", 0)))
        .output(value("y", FLOAT, &["", ""]));
    let (said, results) =
        run(&model, &[("x", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), ("z", &[1, 2], &[3.0, 4.0])], &[]);
    assert!(said.contains("gives one name to sizes that differ"), "{said}");
    let want = Tensor::new([4, 2], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 3.0, 4.0]).unwrap();
    assert_eq!(results.get("y").unwrap(), &want);
}

#[test]
fn the_number_of_dimensions_is_that_of_the_arrays_where_the_file_has_none() {
    let bare =
        |name: &str| Message::new().text(1, name).message(2, &Message::new().message(1, &Message::new().int(1, FLOAT)));
    let model = Draft::new().input(bare("x")).node(node("Neg", "negated", &["x"], &["y"])).output(bare("y"));
    let (_, results) = run(&model, &[("x", &[2, 1], &[1.0, -2.0])], &[]);
    assert_eq!(results.get("y").unwrap(), &Tensor::new([2, 1], &[-1.0_f32, 2.0]).unwrap());
}

#[test]
fn what_no_sizes_but_those_of_the_arrays_tell_is_opened_for_them() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "c", "h"]))
        .input(value("w", FLOAT, &["m", "c", "k"]))
        .node(node("Conv", "sums", &["x", "w"], &["y"]))
        .output(value("y", FLOAT, &["n", "m", "l"]));
    let (said, results) = run(&model, &[("x", &[1, 1, 3], &[3.0, 4.0, 6.0]), ("w", &[1, 1, 2], &[1.0, 10.0])], &[]);
    assert!(said.contains("opened for the sizes of the arrays alone") && said.contains("`sums` (Conv)"), "{said}");
    assert_eq!(results.get("y").unwrap(), &Tensor::new([1, 1, 2], &[43.0_f32, 64.0]).unwrap());
}

#[test]
fn the_arrays_of_a_sequence_are_written_by_their_places() {
    let model = Draft::new()
        .input(value("x", FLOAT, &["n", "2"]))
        .node(node("Neg", "negated", &["x"], &["z"]))
        .node(node("SequenceConstruct", "pair", &["x", "z"], &["y"]))
        .output(Message::new().text(1, "y"))
        .output(value("z", FLOAT, &["n", "2"]));
    let numbers = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let (_, results) = run(&model, &[("x", &[3, 2], &numbers)], &[]);
    let names: Vec<_> = results.iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["z", "y.0", "y.1"]);
    let times = |sign: f32| Tensor::new([3, 2], &numbers.map(|value: f32| sign * value)).unwrap();
    assert_eq!((results.get("y.0").unwrap(), results.get("y.1").unwrap()), (&times(1.0), &times(-1.0)));
}

#[test]
fn rows_that_a_model_mixes_run_apart_where_asked() {
    // The scale is that of all rows of a run.
    let rows = |name: &str| value(name, FLOAT, &["batch", "2"]);
    let model = Draft::new()
        .input(rows("x"))
        .node(node("DynamicQuantizeLinear", "there", &["x"], &["bytes", "scale", "zero"]))
        .node(node("DequantizeLinear", "back", &["bytes", "scale", "zero"], &["y"]))
        .output(rows("y"));
    let x = [0.0_f32, 255.0, 0.0, 2.55, 1.0, 0.3];
    for (flags, want) in [(&[][..], [2.55_f32.round(), 0.0]), (&["--rows-apart"], [2.55, 0.3])] {
        let (_, results) = run(&model, &[("x", &[3, 2], &x)], flags);
        let y = results.get("y").unwrap();
        let values = y.as_slice::<f32>().unwrap();
        let near = |at: usize, want: f32| (values[at] - want).abs() < 2e-3;
        assert!(y.shape() == [3, 2] && near(1, 255.0) && near(3, want[0]) && near(5, want[1]), "{flags:?}: {values:?}");
    }
}

#[test]
fn a_damaged_file_leaves_no_output() {
    let _turn = crate::turn();
    let job = Job::new();
    let path = job.path("in.npz");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let said = job.failure();
    // Where the check is made the last block is read.
    assert!(said.contains("in.npz: array `bytes`: ") && said.contains("rows 144 to 149"), "{said}");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(job.failure().contains("in.npz"));
}

#[cfg(all(unix, feature = "hugging-face"))]
#[test]
fn a_signal_leaves_the_rows_that_are_done() {
    use std::{process::Stdio, thread, time::Duration};

    use crate::ends::{await_part, ended, part, signal};

    const MANY: usize = 8000;
    let _turn = crate::turn();
    let job = Job::new();
    let header = Header { name: "bytes".into(), dtype: DType::I32, shape: vec![MANY, 2048], width: 0 };
    let row: Vec<u8> = job.features[..2048].iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = fs::File::create(job.path("in.npz")).unwrap();
    npz::write(file, [(&header, &row.repeat(MANY)[..])]).unwrap();
    let mut command = example("run");
    command.args([MODEL, "--device", "cpu", "--workers", "1", "--chunk", "1", "--in"]).arg(job.path("in.npz"));
    let child = command.arg("--out").arg(job.path("out.npz")).stderr(Stdio::piped()).spawn().unwrap();
    await_part(job.folder.path(), 0);
    thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    // What has been read ahead is finished, however busy the machine is.
    let output = ended(child, Duration::from_secs(60));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let results = npz::read(&job.path("out.npz")).unwrap();
    let (_, results) = results.iter().next().unwrap();
    let done = results.shape()[0];
    assert!(0 < done && done < MANY && said.contains(" of 8,000 rows"), "{done}: {said}");
    let values = results.as_slice::<f32>().unwrap();
    assert!(values.chunks(values.len() / done).all(|row| row == &values[..values.len() / done]));
    assert!(part(job.folder.path()).is_none());
}

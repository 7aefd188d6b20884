//! The example `run`: rows that are run in blocks give what they give in one.

use std::{fs, path::PathBuf, process::Output};

use gristmill::{DType, Device, Model, SessionOptions, Tensor, Tensors};

use crate::support::{
    data,
    npz::{self, Header},
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
        npz::write(&job.path("in.npz"), [(&header, &bytes[..])]).unwrap();
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
        let output = self.run(&[]);
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
    for (flags, blocks) in [(&[][..], 2), (&["--chunk", "7", "--workers", "2"], 22), (&["--chunk", "150"], 1)] {
        let output = job.run(flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains(&format!("{blocks} items in")), "{said}");
        let results = npz::read(&job.path("out.npz")).unwrap();
        assert_eq!((results.len(), results.get(name).unwrap()), (1, whole), "{flags:?}");
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
    assert!(said.contains("in.npz: array `bytes`: ") && said.contains("rows 128 to 149"), "{said}");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(job.failure().contains("in.npz"));
}

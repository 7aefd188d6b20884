//! Instructions that the AVX2 kernels take, counted by callgrind: the same however busy the machine is, so a kernel that
//! loses its vectors, its tiles or its fused epilogue is seen. `cargo bench --bench instructions` fails past a bound.

use std::{
    env,
    process::{Command, ExitCode},
};

use gristmill::{
    Device, KernelSet, Model, SessionOptions, Tensor, Tensors,
    testing::kernels::{
        Activation,
        attention::{PackedAttention, packed_attention, packed_attention_len},
        gemm::{Epilogue, Layout, Packed, Rows, Segment, gemm},
        norm::{LayerNorm, layer_norm_rows},
        softmax::softmax_rows,
    },
};

const JOB: &str = "GRISTMILL_INSTRUCTIONS_JOB";

/// What is counted, and the most instructions that one run may take: the count when the bound was set, and a
/// quarter: how a compiler cuts the crate up moves it by a tenth, and what has lost its vectors takes several times as many.
const JOBS: [(&str, u64); 5] = [
    ("product", 15_100_000),
    ("attention", 1_150_000),
    ("layer norm", 440_000),
    ("softmax", 800_000),
    ("magika", 126_000_000),
];

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Makes a job ready; what comes back runs it once.
fn prepare(job: &str) -> Box<dyn FnMut()> {
    let set = KernelSet::named("avx2").unwrap();
    match job {
        "product" => {
            let (m, n, k) = (64, 1536, 384);
            let (a, bias, mut c) = (numbers(m * k, 1), numbers(n, 3), vec![0.0; m * n]);
            let packed = Packed::new(set, &numbers(k * n, 2), k, n, Layout::RowMajor).unwrap();
            Box::new(move || {
                let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Gelu, ..Epilogue::default() };
                let segments = [Segment { offset: 0, len: k }];
                let rows = Rows { data: &a[..], rows: m, stride: k, segments: &segments };
                gemm(set, &rows, &packed, &epilogue, &mut c, n).unwrap();
            })
        }
        "attention" => {
            let (heads, head_dim, offsets) = (12, 32, [0, 17, 33, 66]);
            let (qkv, mut out) = (numbers(66 * 3 * 384, 1), vec![0.0; 66 * 384]);
            let mut scratch = vec![0.0; packed_attention_len(set, 33, head_dim).unwrap()];
            Box::new(move || {
                let attention = PackedAttention {
                    qkv: &qkv,
                    offsets: &offsets,
                    heads,
                    head_dim,
                    scale: 0.177,
                    ..PackedAttention::default()
                };
                packed_attention(set, &attention, &mut out, &mut scratch).unwrap();
            })
        }
        "layer norm" => {
            let (mut x, scale, bias) = (numbers(256 * 384, 1), numbers(384, 2), numbers(384, 3));
            Box::new(move || {
                let norm = LayerNorm { scale: &scale, bias: Some(&bias), epsilon: 1e-5 };
                layer_norm_rows(set, &mut x, &norm).unwrap();
            })
        }
        "softmax" => {
            let (x, mut out) = (numbers(256 * 384, 1), vec![0.0; 256 * 384]);
            Box::new(move || softmax_rows(set, &x, &mut out, 384).unwrap())
        }
        _ => {
            let bytes = include_bytes!("../examples/models/magika/model.onnx");
            let tokens: Vec<i32> = (0..2048).map(|place| (place * 31) % 257).collect();
            let item = Tensors::new().with("bytes", Tensor::new([1, 2048], &tokens).unwrap());
            let options = SessionOptions::on(Device::Cpu).kernel_set(set);
            let session = Model::from_bytes(bytes).unwrap().session(&options).unwrap();
            Box::new(move || drop(session.run(&item).unwrap()))
        }
    }
}

/// Instructions of a process that runs the model so many times.
fn count(job: &str, times: u32) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .env(JOB, format!("{job}/{times}"))
        // The address of what is on the stack depends on it, and so a little of what is counted.
        .env_remove("RUST_BACKTRACE")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{job}: {text}{}", String::from_utf8_lossy(&output.stdout));
    let line = text.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

fn main() -> ExitCode {
    if let Ok(job) = env::var(JOB) {
        let (name, times) = job.split_once('/').unwrap();
        let mut run = prepare(name);
        for _ in 0..times.parse().unwrap() {
            run();
        }
        return ExitCode::SUCCESS;
    }
    if KernelSet::named("avx2").is_err() || Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("SKIPPED: it takes valgrind and a CPU with AVX2");
        return ExitCode::SUCCESS;
    }
    let mut code = ExitCode::SUCCESS;
    for (job, most) in JOBS {
        let (first, third) = (count(job, 1).unwrap(), count(job, 3).unwrap());
        let one = (third - first) / 2;
        // Far below the bound it would guard nothing.
        let verdict = if (most / 2..=most).contains(&one) { "as expected" } else { "OUT OF BOUNDS" };
        println!("{job}: {one} instructions a run, expected are {} to {most}: {verdict}", most / 2);
        if verdict != "as expected" {
            code = ExitCode::FAILURE;
        }
    }
    code
}

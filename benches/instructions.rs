//! Instructions that the AVX2 kernels take, counted by callgrind: the same however busy the machine is, so a kernel that
//! loses its vectors, its tiles or its fused epilogue is seen. `cargo bench --bench instructions` fails past a bound.

use std::{
    env,
    process::{Command, ExitCode},
    sync::Arc,
};

use gristmill::{
    DType, Device, Model, Session, SessionOptions, Tensor, Tensors,
    cpu::{Activation, KernelSet},
    graph::Graph,
    ops::{Operator, attention::PackedAttention, layer_norm::LayerNorm, linear::Linear, softmax::Softmax},
    shape::{Dim, Shape},
};

const JOB: &str = "GRISTMILL_INSTRUCTIONS_JOB";

/// What is counted, and the most instructions that one run may take: the count when the bound was set, and a tenth.
const JOBS: [(&str, u64); 5] = [
    ("product", 7_000_000),
    ("attention", 4_000_000),
    ("layer norm", 400_000),
    ("softmax", 900_000),
    ("magika", 160_000_000),
];

fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::new(shape, &values).unwrap()
}

/// A model of one operator on rows, with constants behind them, or an input of offsets.
fn one(op: impl Operator, x: Tensor, constants: &[Option<Tensor>], offsets: Option<&[i32]>) -> (Session, Tensors) {
    let mut graph = Graph::new("one operator");
    let symbolic = |graph: &mut Graph, name: &str, rest: &[usize]| -> Shape {
        std::iter::once(Dim::symbol(graph.symbol(name))).chain(rest.iter().map(|&dim| Dim::from(dim))).collect()
    };
    let shape = symbolic(&mut graph, "rows", &x.shape()[1..]);
    let mut inputs = vec![Some(graph.input("x", DType::F32, shape))];
    let mut item = Tensors::new().with("x", x);
    if let Some(offsets) = offsets {
        let shape = symbolic(&mut graph, "ends", &[]);
        inputs.push(Some(graph.input("offsets", DType::I32, shape)));
        item.insert("offsets", Tensor::new([offsets.len()], offsets).unwrap());
    }
    for (index, constant) in constants.iter().enumerate() {
        inputs.push(constant.clone().map(|tensor| graph.constant(format!("c{index}"), tensor)));
    }
    let outputs = graph.node("node", Arc::new(op), inputs).unwrap();
    graph.output("y", outputs[0]);
    (Session::load(graph, &options()).unwrap(), item)
}

fn options() -> SessionOptions {
    SessionOptions::on(Device::Cpu).kernel_set(KernelSet::named("avx2").unwrap())
}

fn model(job: &str) -> (Session, Tensors) {
    let line = |size: usize, seed| Some(numbers(&[size], seed));
    match job {
        "product" => {
            let linear = Linear { activation: Activation::Gelu, layer_norm: None };
            one(linear, numbers(&[64, 384], 1), &[Some(numbers(&[384, 1536], 2)), line(1536, 3)], None)
        }
        "attention" => {
            let attention = PackedAttention { heads: 12, scale: 0.177 };
            one(attention, numbers(&[66, 3 * 384], 1), &[], Some(&[0, 17, 33, 66]))
        }
        "layer norm" => {
            let norm = LayerNorm { axes: vec![1], epsilon: 1e-5 };
            one(norm, numbers(&[256, 384], 1), &[line(384, 2), line(384, 3)], None)
        }
        "softmax" => one(Softmax { axis: -1, log: false, to_end: false }, numbers(&[256, 384], 1), &[], None),
        _ => {
            let bytes = include_bytes!("../examples/models/magika/model.onnx");
            let tokens: Vec<i32> = (0..2048).map(|place| (place * 31) % 257).collect();
            let item = Tensors::new().with("bytes", Tensor::new([1, 2048], &tokens).unwrap());
            (Model::from_bytes(bytes).unwrap().session(&options()).unwrap(), item)
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
        let (session, item) = model(name);
        for _ in 0..times.parse().unwrap() {
            session.run(&item).unwrap();
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

//! What a job costs in memory, each figure taken in a process of its own: this binary, run again.

use std::env;

use gristmill::{Device, Inference, Model, Result, Session, SessionOptions, Slots, Tensor, Tensors, bulk::Bulk};

use crate::support::process;

const JOB: &str = "GRISTMILL_MEMORY_JOB";
/// Beyond its scratch a worker costs a stack and what the allocator keeps for its thread.
const WORKER: u64 = 2 << 20;

fn magika() -> Session {
    let bytes = include_bytes!("../../examples/models/magika/model.onnx");
    Model::from_bytes(bytes).unwrap().session(&SessionOptions::on(Device::Cpu)).unwrap()
}

/// Gives back what it is given, and says how large that is.
struct Echo;

impl Inference for Echo {
    type Input = Vec<u8>;
    type Output = Vec<u8>;

    fn infer(&self, chunk: &[&Vec<u8>], out: &mut Slots<'_, Vec<u8>>) -> Result<()> {
        for (place, bytes) in chunk.iter().enumerate() {
            out.set(place, bytes.to_vec());
        }
        Ok(())
    }
    fn input_bytes(&self, input: &Vec<u8>) -> usize {
        input.len()
    }
    fn output_bytes(&self, output: &Vec<u8>) -> usize {
        output.len()
    }
}

fn item(index: usize) -> Tensors {
    let tokens: Vec<i32> = (0..2048).map(|place| ((place * 31 + index * 7) % 257) as i32).collect();
    Tensors::from([("bytes", Tensor::new([1, 2048], &tokens).unwrap())])
}

/// Runs `workers items kind` and prints peak memory, scratch a worker, and weights.
#[test]
fn job() {
    let Ok(job) = env::var(JOB) else { return };
    let mut words = job.split(' ');
    let mut next = || words.next().unwrap();
    let (workers, items, kind): (usize, usize, &str) = (next().parse().unwrap(), next().parse().unwrap(), next());
    let report = match kind {
        "magika" => {
            let bulk = Bulk::new(magika()).workers(workers);
            let mut results = bulk.map((0..items).map(item));
            results.by_ref().for_each(|result| drop(result.unwrap()));
            results.report()
        }
        // Large items and results, and next to no work: what is kept shows.
        "echo" => {
            let bulk = Bulk::new(Echo).workers(workers).memory_limit(16 << 20);
            let mut results = bulk.map((0..items).map(|index| vec![index as u8; 16 << 10]));
            results.by_ref().for_each(|result| drop(result.unwrap()));
            results.report()
        }
        other => panic!("no job {other}"),
    };
    assert_eq!(report.items, items);
    println!("MEMORY {} {}", report.peak_rss_bytes.unwrap(), report.scratch_bytes_per_worker);
}

/// Peak memory and scratch a worker of a job in a process of its own.
fn measure(workers: usize, items: usize, kind: &str) -> (u64, u64) {
    let output = process::test(module_path!(), "job").env(JOB, format!("{workers} {items} {kind}")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once("MEMORY ")).map(|(_, figures)| figures);
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let mut figures = line.split(' ').map(|figure| figure.trim().parse().unwrap());
    (figures.next().unwrap(), figures.next().unwrap())
}

#[test]
fn a_further_worker_costs_its_scratch_alone() {
    // Enough items that each worker meets a largest chunk.
    let (one, scratch) = measure(1, 300, "magika");
    let (four, _) = measure(4, 300, "magika");
    let more = four.saturating_sub(one);
    println!("1 worker {one}, 4 workers {four}, scratch a worker {scratch}");
    assert!(scratch > 0, "a session reports its scratch");
    assert!(more <= 3 * (scratch + WORKER), "three more workers cost {more}, their scratch is {scratch} each");
}

#[test]
fn memory_is_flat_however_long_the_job() {
    let full = env::var_os("GRISTMILL_FULL").is_some();
    let (few, many) = if full { (10_000, 100_000) } else { (300, 1_500) };
    let (short, _) = measure(2, few, "magika");
    let (long, _) = measure(2, many, "magika");
    println!("{few} items {short}, {many} items {long}");
    // On a busy machine the short job may end before its chunks are as large as they get. The operands of the further
    // items take more than twice the allowance.
    const CHUNKS: f64 = 4e6;
    assert!(long as f64 <= short as f64 * 1.05 + CHUNKS, "{short} for {few} items, {long} for {many}");
}

#[test]
fn a_memory_limit_holds_for_items_that_outrun_their_consumer() {
    // 3 GiB pass through a limit of 16 MiB; the allocator keeps some more.
    let (peak, _) = measure(2, 100_000, "echo");
    println!("100,000 items of 16 KiB under a limit of 16 MiB: {peak}");
    assert!(peak <= 64 << 20, "{peak}");
}

#[test]
fn packing_replaces_the_weights() {
    // The file's weights, once; a session with a second copy would hold twice as much.
    let file = include_bytes!("../../examples/models/magika/model.onnx").len();
    let weights = magika().weight_bytes();
    assert!(weights < file + file / 4, "{weights} bytes of weights from a file of {file}");
}

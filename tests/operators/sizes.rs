//! Sizes that a run binds: one model with symbolic sizes gives, in runs of many sizes, what the same nodes give where
//! all sizes are declared as numbers.

mod draw;

use std::collections::BTreeMap;

use gristmill::{Device, Model, Session, SessionOptions, Tensor, Tensors};

use crate::support::onnx_writer::{Draft, FLOAT, value};
use draw::{Drawn, Random};

/// The reasons for which a model is refused because its sizes are no numbers.
const REFUSALS: [&str; 3] = [
    // A shape or an axis that depends on data, here the sum of symbolic sizes that must be a number.
    "must be known when the model is loaded",
    "depends on an input's shape",
    "without `axes`",
];

/// The model with these input dimensions, and all drawn values as outputs.
fn bytes(drawn: &Drawn, dims: impl Fn(usize, usize) -> String) -> Vec<u8> {
    let mut draft: Draft = drawn.draft.clone();
    for (index, axes) in drawn.inputs.iter().enumerate() {
        let dims: Vec<String> = (0..axes.len()).map(|axis| dims(index, axis)).collect();
        let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
        draft = draft.input(value(&format!("x{index}"), FLOAT, &dims));
    }
    for name in &drawn.values {
        draft = draft.output(Drawn::open_output(name));
    }
    draft.bytes()
}

fn load(bytes: &[u8]) -> Result<Session, String> {
    let model = Model::from_bytes(bytes).map_err(|error| error.to_string())?;
    model.session(&SessionOptions::on(Device::Cpu)).map_err(|error| error.to_string())
}

fn inputs(drawn: &Drawn, sizes: &BTreeMap<String, usize>) -> Tensors {
    let mut all = Tensors::new();
    for (index, axes) in drawn.inputs.iter().enumerate() {
        let shape: Vec<usize> = axes.iter().map(|axis| axis.size(sizes)).collect();
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|at| ((at * 37 + index * 11) % 19) as f32 / 4.0 - 2.0).collect();
        all.insert(format!("x{index}"), Tensor::new(shape, &numbers).unwrap());
    }
    all
}

/// Whether two results are equal, up to the order of sums.
fn same(a: &Tensor, b: &Tensor) -> bool {
    let close = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * b.abs().max(1.0);
    match (a.as_slice::<f32>(), b.as_slice::<f32>()) {
        (Ok(left), Ok(right)) => a.shape() == b.shape() && left.iter().zip(right).all(close),
        _ => a == b,
    }
}

#[derive(Debug, Default)]
struct Tally {
    models: usize,
    refused: usize,
    runs: usize,
    agree: usize,
    fail_alike: usize,
    empty: usize,
}

/// Runs a drawn model with symbolic sizes in several sizes; what differs from the fixed sizes.
fn check(drawn: &Drawn, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
    tally.models += 1;
    let symbolic = match load(&bytes(drawn, |index, axis| drawn.inputs[index][axis].declared())) {
        Ok(session) => session,
        Err(error) => {
            let fixed = load(&bytes(drawn, |index, axis| drawn.inputs[index][axis].drawn_size().to_string()));
            if fixed.is_err() || REFUSALS.iter().any(|reason| error.contains(reason)) {
                tally.refused += 1;
                return Ok(());
            }
            return Err(format!("refused: {error}"));
        }
    };
    for turn in 0..4 {
        let sizes = drawn.sizes(random, turn);
        let tensors = inputs(drawn, &sizes);
        let fixed = bytes(drawn, |index, axis| drawn.inputs[index][axis].size(&sizes).to_string());
        let want = load(&fixed).and_then(|session| session.run(&tensors).map_err(|error| error.to_string()));
        let got = symbolic.run(&tensors).map_err(|error| error.to_string());
        tally.runs += 1;
        match (got, want) {
            (Ok(got), Ok(want)) => {
                for (name, want) in want.iter() {
                    let got = got.get(name).unwrap();
                    // A dimension that is inferred from no elements may be any number.
                    let nothing = got.is_empty() && want.is_empty();
                    if !nothing && !same(got, want) {
                        return Err(format!("{sizes:?}: `{name}` is {got:?}, fixed {want:?}"));
                    }
                }
                tally.agree += 1;
            }
            (Err(_), Err(_)) => tally.fail_alike += 1,
            // Shapes take an axis that is cut or copied to be not empty.
            (Err(_), Ok(_)) | (Ok(_), Err(_)) if sizes.values().any(|&size| size == 0) => tally.empty += 1,
            (Err(got), Ok(_)) => return Err(format!("{sizes:?}: only symbolic sizes fail: {got}")),
            (Ok(_), Err(want)) => return Err(format!("{sizes:?}: only fixed sizes fail: {want}")),
        }
    }
    Ok(())
}

#[test]
fn symbolic_sizes_give_what_fixed_ones_give() {
    let count = std::env::var("GRISTMILL_RANDOM_GRAPHS").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    let first = std::env::var("GRISTMILL_RANDOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    for seed in first..first + count {
        let mut random = Random::new(seed);
        let drawn = Drawn::new(&mut random);
        if let Err(what) = check(&drawn, &mut random, &mut tally) {
            failures.push(format!("seed {seed}: {what}\n  {}", drawn.text()));
        }
    }
    println!("{tally:?}");
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(tally.agree * 2 > tally.runs, "too few runs tell anything: {tally:?}");
    assert!(tally.refused * 10 < tally.models, "too many models are refused: {tally:?}");
}

//! Random numbers, from the definition of their generator.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::random::{
            bernoulli::Bernoulli,
            draw::{Distribution, Draw},
            multinomial::Multinomial,
        },
    },
};

use super::{
    Oracle, input, op,
    pointwise::{floats, of_floats},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("Bernoulli", bernoulli),
    ("Multinomial", multinomial),
    ("RandomNormal", draw),
    ("RandomNormalLike", draw),
    ("RandomUniform", draw),
    ("RandomUniformLike", draw),
];

/// The state of SplitMix64 after some steps, mixed.
fn bits(seed: u64, place: u64) -> u64 {
    let steps = |state: u64, count: u128| (u128::from(state) + count * 0x9e37_79b9_7f4a_7c15) as u64;
    let mixed = |state: u64| {
        let state = u128::from(state ^ (state >> 30)) * 0xbf58_476d_1ce4_e5b9;
        let state = u128::from(state as u64 ^ (state as u64 >> 27)) * 0x94d0_49bb_1331_11eb;
        state as u64 ^ (state as u64 >> 31)
    };
    mixed(steps(mixed(steps(seed, 1)), u128::from(place) + 1))
}

/// The first binary digits of a draw, as a fraction.
fn fraction(seed: u64, place: usize, digits: i32) -> f64 {
    let kept = bits(seed, place as u64) / 2u64.pow(64 - digits as u32);
    kept as f64 * 0.5f64.powi(digits)
}

fn draw(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let op = op::<Draw>(operator);
    let (shape, dtype): (Vec<usize>, _) = match &op.shape {
        Some(shape) => (shape.iter().map(|size| size.as_fixed().unwrap() as usize).collect(), op.dtype.unwrap()),
        None => (input(inputs, 0).shape().to_vec(), op.dtype.unwrap_or(input(inputs, 0).dtype())),
    };
    let digits = match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        _ => 8,
    };
    let number = |place: usize| match op.distribution {
        Distribution::Uniform { low, high } => low + fraction(op.seed, place, digits) * (high - low),
        Distribution::Normal { mean, deviation } => {
            let [first, second] = [2 * place, 2 * place + 1].map(|place| fraction(op.seed, place, 53));
            mean + deviation * (-2.0 * (1.0 - first).ln()).sqrt() * (2.0 * std::f64::consts::PI * second).cos()
        }
    };
    let count = shape.iter().product();
    vec![of_floats(dtype, &shape, &(0..count).map(number).collect::<Vec<_>>())]
}

fn bernoulli(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Bernoulli>(operator), input(inputs, 0));
    let drawn = floats(from).into_iter().enumerate().map(|(place, own)| fraction(op.seed, place, 53) < own);
    let drawn: Vec<bool> = drawn.collect();
    vec![match op.dtype.unwrap_or(from.dtype()) {
        DType::Bool => Tensor::from_bools(from.shape(), &drawn).unwrap(),
        DType::I64 => Tensor::new(from.shape(), &drawn.iter().map(|&one| i64::from(one)).collect::<Vec<_>>()).unwrap(),
        dtype => of_floats(dtype, from.shape(), &drawn.iter().map(|&one| f64::from(u8::from(one))).collect::<Vec<_>>()),
    }]
}

fn multinomial(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, from) = (op::<Multinomial>(operator), input(inputs, 0));
    let &[rows, classes] = from.shape() else { panic!("rows of classes") };
    let (logarithms, mut drawn) = (floats(from), Vec::new());
    for row in 0..rows {
        let weights: Vec<f64> = logarithms[row * classes..][..classes].iter().map(|own| own.exp()).collect();
        for _ in 0..op.samples {
            let bound = fraction(op.seed, drawn.len(), 53) * weights.iter().sum::<f64>();
            let upto = |class: usize| weights[..=class].iter().sum::<f64>();
            drawn.push((0..classes).find(|&class| upto(class) > bound).unwrap() as i64);
        }
    }
    vec![match op.dtype {
        DType::I64 => Tensor::new([rows, op.samples], &drawn).unwrap(),
        _ => Tensor::new([rows, op.samples], &drawn.iter().map(|&class| class as i32).collect::<Vec<_>>()).unwrap(),
    }]
}

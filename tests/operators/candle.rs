//! The operators that candle has too, on the same cases: an oracle that nobody here wrote.

use candle_core::{D, Device as CandleDevice, Result as CandleResult, Tensor as Candle};
use gristmill::{
    DType, Device, KernelSet, Session, SessionOptions, Tensor, Tensors,
    testing::{
        kernels::Activation,
        op::{Case, CaseInput},
        ops::{
            self,
            conv::{Conv, Layout},
            norm::{layer_norm::LayerNorm, softmax::Softmax},
            pool::window::Pads,
            reduce::{Reduce, ReduceFunction},
        },
    },
};

/// What candle makes of a case; `None` where it lacks the case.
type Oracle = fn(&Case, &[Candle]) -> CandleResult<Option<Candle>>;

fn one(result: CandleResult<Candle>) -> CandleResult<Option<Candle>> {
    result.map(Some)
}

macro_rules! plain {
    ($($name:literal => $method:ident,)*) => {
        &[$(($name, |_, x| one(x[0].$method()))),*]
    };
}

const UNARY: &[(&str, Oracle)] = plain! {
    "Abs" => abs,
    "Ceil" => ceil,
    "Cos" => cos,
    "Erf" => erf,
    "Exp" => exp,
    "Floor" => floor,
    "Gelu" => gelu_erf,
    "GeluTanh" => gelu,
    "Log" => log,
    "Neg" => neg,
    "Reciprocal" => recip,
    "Relu" => relu,
    "Sign" => sign,
    "Silu" => silu,
    "Sin" => sin,
    "Sqrt" => sqrt,
    "Tanh" => tanh,
};

const OTHERS: &[(&str, Oracle)] = &[
    ("Add", |_, x| one(x[0].broadcast_add(&x[1]))),
    ("Sub", |_, x| one(x[0].broadcast_sub(&x[1]))),
    ("Mul", |_, x| one(x[0].broadcast_mul(&x[1]))),
    ("Div", |_, x| one(x[0].broadcast_div(&x[1]))),
    ("Max", |_, x| if x.len() == 2 { one(x[0].broadcast_maximum(&x[1])) } else { Ok(None) }),
    ("Min", |_, x| if x.len() == 2 { one(x[0].broadcast_minimum(&x[1])) } else { Ok(None) }),
    ("Pow", |_, x| one(x[0].broadcast_pow(&x[1]))),
    ("MatMul", |_, x| if x[0].rank() > 1 && x[1].rank() > 1 { one(x[0].broadcast_matmul(&x[1])) } else { Ok(None) }),
    ("Softmax", softmax),
    ("LogSoftmax", softmax),
    ("LayerNormalization", layer_norm),
    ("ReduceSum", reduce),
    ("ReduceMean", reduce),
    ("ReduceMax", reduce),
    ("ReduceMin", reduce),
    ("Conv", conv),
];

fn op<T: gristmill::testing::op::Operator>(case: &Case) -> &T {
    case.op.downcast_ref().expect("an oracle is called for its own operator")
}

fn softmax(case: &Case, x: &[Candle]) -> CandleResult<Option<Candle>> {
    let softmax = op::<Softmax>(case);
    if softmax.to_end {
        return Ok(None);
    }
    let axis = if softmax.axis < 0 { softmax.axis + x[0].rank() as i64 } else { softmax.axis } as usize;
    let shifted = x[0].broadcast_sub(&x[0].max_keepdim(axis)?)?;
    let powers = shifted.exp()?;
    let sum = powers.sum_keepdim(axis)?;
    one(if softmax.log { shifted.broadcast_sub(&sum.log()?) } else { powers.broadcast_div(&sum) })
}

fn layer_norm(case: &Case, x: &[Candle]) -> CandleResult<Option<Candle>> {
    let norm = op::<LayerNorm>(case);
    let last = norm.axes.last().is_some_and(|&last| last + 1 == x[0].rank());
    if x.len() != 3 || !last {
        return Ok(None);
    }
    let centred = x[0].broadcast_sub(&x[0].mean_keepdim(norm.axes.clone())?)?;
    let variance = centred.sqr()?.mean_keepdim(norm.axes.clone())?;
    let deviation = (variance + f64::from(norm.epsilon))?.sqrt()?;
    one(centred.broadcast_div(&deviation)?.broadcast_mul(&x[1])?.broadcast_add(&x[2]))
}

fn reduce(case: &Case, x: &[Candle]) -> CandleResult<Option<Candle>> {
    let reduce = op::<Reduce>(case);
    let rank = x[0].rank() as i64;
    let axes: Vec<usize> = match &reduce.axes {
        Some(axes) => axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis } as usize).collect(),
        None => (0..rank as usize).collect(),
    };
    if axes.is_empty() {
        return Ok(None);
    }
    let mut kept = x[0].clone();
    for &axis in &axes {
        kept = match reduce.function {
            ReduceFunction::Sum => kept.sum_keepdim(axis)?,
            ReduceFunction::Mean => kept.mean_keepdim(axis)?,
            ReduceFunction::Max => kept.max_keepdim(axis)?,
            _ => kept.min_keepdim(axis)?,
        };
    }
    if reduce.keep_dims {
        return Ok(Some(kept));
    }
    let left: Vec<usize> =
        (0..rank as usize).filter(|axis| !axes.contains(axis)).map(|axis| x[0].dims()[axis]).collect();
    one(kept.reshape(left))
}

fn conv(case: &Case, x: &[Candle]) -> CandleResult<Option<Candle>> {
    let conv = op::<Conv>(case);
    let same = |all: &[usize]| all.windows(2).all(|pair| pair[0] == pair[1]);
    let Pads::Explicit(pads) = &conv.pads else { return Ok(None) };
    let pads: Vec<usize> = pads.iter().flat_map(|&(before, behind)| [before, behind]).collect();
    let alike = same(&pads) && same(&conv.strides) && same(&conv.dilations);
    if !alike || conv.layout != Layout::ChannelsFirst || conv.activation != Activation::None || conv.global_max {
        return Ok(None);
    }
    let (pad, stride, dilation) = (pads[0], conv.strides[0], conv.dilations[0]);
    // Candle panics where a window is wider than what it lies over.
    let sizes = x[0].dims()[2..].iter().zip(&conv.kernel);
    if sizes.into_iter().any(|(&size, &taps)| (taps - 1) * dilation >= size + 2 * pad) {
        return Ok(None);
    }
    let sums = match conv.kernel.len() {
        1 => x[0].conv1d(&x[1], pad, stride, dilation, conv.groups)?,
        2 => x[0].conv2d(&x[1], pad, stride, dilation, conv.groups)?,
        _ => return Ok(None),
    };
    let Some(bias) = x.get(2) else { return Ok(Some(sums)) };
    let mut shape = vec![1; sums.rank()];
    shape[1] = bias.dim(D::Minus1)?;
    one(sums.broadcast_add(&bias.reshape(shape)?))
}

fn tensors(case: &Case) -> Option<Vec<&Tensor>> {
    let tensors: Option<Vec<&Tensor>> = case
        .inputs
        .iter()
        .map(|input| match input {
            CaseInput::Value(tensor) | CaseInput::Constant(tensor) => Some(tensor),
            CaseInput::Absent => None,
        })
        .collect();
    // What candle makes of NaN, of infinities and of nothing is its own affair.
    tensors.filter(|all| {
        all.iter().all(|tensor| {
            let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
            tensor.dtype() == DType::F32 && !tensor.is_empty() && tensor.as_slice().is_ok_and(finite)
        })
    })
}

fn run(case: &Case, kernel_set: KernelSet) -> Tensor {
    let options = SessionOptions::on(Device::Cpu).kernel_set(kernel_set);
    let session = Session::load(case.graph().unwrap(), &options).unwrap();
    let mut inputs = Tensors::new();
    for (index, input) in case.inputs.iter().enumerate() {
        if let CaseInput::Value(tensor) = input {
            inputs.insert(format!("x{index}"), tensor.clone());
        }
    }
    session.run(&inputs).unwrap().get("y0").unwrap().clone()
}

#[test]
fn candle_agrees() {
    let mut failures = Vec::new();
    for (name, oracle) in UNARY.iter().chain(OTHERS) {
        let def =
            ops::all().iter().find(|def| def.name == *name).unwrap_or_else(|| panic!("{name} is not in the list"));
        let mut compared = 0;
        for case in (def.cases)() {
            let Some(own) = tensors(&case) else { continue };
            let theirs: Vec<Candle> = own
                .iter()
                .map(|own| Candle::from_slice(own.as_slice::<f32>().unwrap(), own.shape(), &CandleDevice::Cpu).unwrap())
                .collect();
            let Some(want) = oracle(&case, &theirs).unwrap_or_else(|error| panic!("{name} {}: {error}", case.name))
            else {
                continue;
            };
            compared += 1;
            let shape = want.dims().to_vec();
            let want = want.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let scale = want.iter().filter(|value| value.is_finite()).fold(0f32, |max, value| max.max(value.abs()));
            for kernel_set in KernelSet::available() {
                let got = run(&case, kernel_set);
                assert_eq!(got.shape(), shape, "{name} {}", case.name);
                let pairs = got.as_slice::<f32>().unwrap().iter().zip(&want).enumerate();
                for (index, (&got, &want)) in pairs {
                    let near = (got - want).abs() <= 2e-6 + 2e-5 * want.abs().max(scale * 0.1);
                    if !(near || got == want || (got.is_nan() && want.is_nan())) {
                        let place = format!("{name} `{}` on {}, element {index}", case.name, kernel_set.name());
                        failures.push(format!("{place}: {got:e} instead of candle's {want:e}"));
                        break;
                    }
                }
            }
        }
        assert!(compared > 0, "{name} was never compared");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

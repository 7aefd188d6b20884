//! Pointwise functions in double precision and wide integers, each written out.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::pointwise::{Binary, BinaryFunction as B, ChainStep, PointwiseChain, Unary, UnaryFunction as U},
    },
};
use half::{bf16, f16};

use super::{Oracle, flat, indices, input, op};

/// The oracle of a row of the tables.
pub fn find(name: &str) -> Option<Oracle> {
    let def = gristmill::testing::ops::all().iter().find(|def| def.name == name)?;
    let case = (def.cases)().into_iter().next()?;
    if case.op.downcast_ref::<Unary>().is_some() {
        Some(unary)
    } else if case.op.downcast_ref::<Binary>().is_some() {
        Some(binary)
    } else {
        case.op.downcast_ref::<PointwiseChain>().map(|_| chain as Oracle)
    }
}

/// The elements of a floating-point tensor.
pub fn floats(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().unwrap().iter().map(|&x| f64::from(x)).collect(),
        DType::F64 => tensor.as_slice::<f64>().unwrap().to_vec(),
        DType::F16 => tensor.as_slice::<f16>().unwrap().iter().map(|x| x.to_f64()).collect(),
        DType::BF16 => tensor.as_slice::<bf16>().unwrap().iter().map(|x| x.to_f64()).collect(),
        other => panic!("{other} is no floating-point type"),
    }
}

/// A tensor of these numbers, rounded to its type.
pub fn of_floats(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    match dtype {
        DType::F32 => Tensor::new(shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::new(shape, values),
        DType::F16 => Tensor::new(shape, &values.iter().map(|&x| f16::from_f64(x)).collect::<Vec<_>>()),
        DType::BF16 => Tensor::new(shape, &values.iter().map(|&x| bf16::from_f64(x)).collect::<Vec<_>>()),
        other => panic!("{other} is no floating-point type"),
    }
    .unwrap()
}

/// The elements of an integer or boolean tensor.
pub fn integers(tensor: &Tensor) -> Vec<i128> {
    match tensor.dtype() {
        DType::U64 => tensor.as_slice::<u64>().unwrap().iter().map(|&x| i128::from(x)).collect(),
        _ => tensor.to_i64().unwrap().into_iter().map(i128::from).collect(),
    }
}

/// A tensor of the lowest bits of these integers.
pub fn of_integers(dtype: DType, shape: &[usize], values: &[i128]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()[..dtype.size()].to_vec()).collect();
    Tensor::from_bytes(dtype, shape, &bytes).unwrap()
}

/// The error function: Simpson's rule on its integral.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    // Past 7 no double is nearer than 1.
    if x.abs() > 7.0 {
        return x.signum();
    }
    let steps = 4000;
    let at = |step: usize| (-(x * step as f64 / f64::from(steps)).powi(2)).exp();
    let inner: f64 = (1..steps as usize).map(|step| at(step) * if step % 2 == 1 { 4.0 } else { 2.0 }).sum();
    2.0 / std::f64::consts::PI.sqrt() * x / f64::from(steps) / 3.0 * (at(0) + inner + at(steps as usize))
}

fn real(function: U, x: f64) -> f64 {
    let below = x == f64::NEG_INFINITY;
    let wide = |x: f32| f64::from(x);
    match function {
        U::Abs => {
            if x < 0.0 {
                -x
            } else {
                x + 0.0
            }
        }
        U::Acos => x.acos(),
        U::Acosh => x.acosh(),
        U::Asin => x.asin(),
        U::Asinh => x.asinh(),
        U::Atan => x.atan(),
        U::Atanh => x.atanh(),
        U::Ceil => -((-x).floor()),
        U::Celu { alpha } => {
            if x >= 0.0 {
                x
            } else {
                wide(alpha) * ((x / wide(alpha)).exp() - 1.0)
            }
        }
        U::Clip { low, high } => {
            if x < wide(low) {
                wide(low)
            } else if x > wide(high) {
                wide(high)
            } else {
                x
            }
        }
        U::Cos => x.cos(),
        U::Cosh => x.cosh(),
        U::Elu { alpha } => {
            if x >= 0.0 {
                x
            } else {
                wide(alpha) * (x.exp() - 1.0)
            }
        }
        U::Erf => erf(x),
        U::Exp => x.exp(),
        U::Floor => x.floor(),
        U::Gelu | U::GeluTanh | U::HardSwish | U::Mish | U::Silu if below => 0.0,
        U::Gelu => x / 2.0 * (1.0 + erf(x / 2f64.sqrt())),
        U::GeluTanh => x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
        U::HardSigmoid { alpha, beta } => real(U::Clip { low: 0.0, high: 1.0 }, wide(alpha) * x + wide(beta)),
        U::HardSwish => x * real(U::Clip { low: 0.0, high: 6.0 }, x + 3.0) / 6.0,
        U::LeakyRelu { alpha } => {
            if x < 0.0 {
                wide(alpha) * x
            } else {
                x
            }
        }
        U::Log => x.ln(),
        U::Mish => x * if x > 30.0 { 1.0 } else { (1.0 + x.exp()).ln().tanh() },
        U::Neg => -x,
        U::Reciprocal => 1.0 / x,
        U::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        U::Requantized { zero, scale, .. } if x.is_nan() => -wide(zero) * wide(scale),
        U::Requantized { scale, zero, least, most } => {
            let byte = real(U::Round, x / wide(scale)) + wide(zero);
            (byte.clamp(wide(least), wide(most)) - wide(zero)) * wide(scale)
        }
        U::Round => {
            let (down, up) = (x.floor(), x.floor() + 1.0);
            let even = if down % 2.0 == 0.0 { down } else { up };
            if x == down || !x.is_finite() {
                x
            } else if x - down < up - x {
                down
            } else if up - x < x - down {
                up
            } else {
                even
            }
        }
        U::Selu { alpha, gamma } => wide(gamma) * if x > 0.0 { x } else { wide(alpha) * (x.exp() - 1.0) },
        U::Shrink { bias, lambda } => {
            if x < -wide(lambda) {
                x + wide(bias)
            } else if x > wide(lambda) {
                x - wide(bias)
            } else {
                0.0 * x
            }
        }
        U::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        U::Sign => {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        }
        U::Silu => x / (1.0 + (-x).exp()),
        U::Sin => x.sin(),
        U::Sinh => x.sinh(),
        U::Softplus => {
            if x > 30.0 {
                x
            } else {
                (1.0 + x.exp()).ln()
            }
        }
        U::Softsign => x / (1.0 + x.abs()),
        U::Sqrt => x.sqrt(),
        U::Tan => x.tan(),
        U::Tanh => x.tanh(),
        U::ThresholdedRelu { alpha } => {
            if x <= wide(alpha) {
                0.0
            } else {
                x
            }
        }
        other => panic!("{other:?} is no function of real numbers"),
    }
}

pub fn unary(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let function = op::<Unary>(operator).function;
    let from = input(inputs, 0);
    let bound = |index: usize| inputs.get(index).and_then(Option::as_ref);
    let truths = |values: Vec<bool>| Tensor::from_bools(from.shape(), &values).unwrap();
    let result = match function {
        U::IsNaN => truths(floats(from).into_iter().map(|x| x.is_nan()).collect()),
        U::IsInf { negative, positive } => truths(
            floats(from).into_iter().map(|x| x.is_infinite() && if x < 0.0 { negative } else { positive }).collect(),
        ),
        U::Not => truths(integers(from).into_iter().map(|x| x == 0).collect()),
        U::BitwiseNot => {
            of_integers(from.dtype(), from.shape(), &integers(from).iter().map(|x| !x).collect::<Vec<_>>())
        }
        _ if !from.dtype().is_float() => {
            let values: Vec<i128> = integers(from)
                .into_iter()
                .map(|x| match function {
                    U::Abs => x.abs(),
                    U::Neg => -x,
                    U::Relu => x.max(0),
                    U::Sign => x.signum(),
                    U::Clip { low, high } => {
                        // A finite attribute is cut to an integer; an infinite one bounds nothing.
                        let low =
                            bound(1).map_or(if low.is_finite() { low as i128 } else { i128::MIN }, |t| integers(t)[0]);
                        let high = bound(2)
                            .map_or(if high.is_finite() { high as i128 } else { i128::MAX }, |t| integers(t)[0]);
                        x.max(low).min(high)
                    }
                    other => panic!("{other:?} of integers"),
                })
                .collect();
            of_integers(from.dtype(), from.shape(), &values)
        }
        _ => {
            let function = match function {
                U::Clip { low, high } => U::Clip {
                    low: bound(1).map_or(low, |t| floats(t)[0] as f32),
                    high: bound(2).map_or(high, |t| floats(t)[0] as f32),
                },
                other => other,
            };
            let values: Vec<f64> = floats(from).into_iter().map(|x| real(function, x)).collect();
            of_floats(from.dtype(), from.shape(), &values)
        }
    };
    vec![result]
}

fn real_pair(function: B, dtype: DType, a: f64, b: f64) -> f64 {
    let either_is_nan = a.is_nan() || b.is_nan();
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    match function {
        // A sum, quotient or product in double precision, rounded to single, is the one rounded once.
        B::Add | B::Sum | B::Mean => a + b,
        B::Sub => a - b,
        B::Mul => a * b,
        B::Div => a / b,
        B::Max => {
            if either_is_nan {
                f64::NAN
            } else {
                high
            }
        }
        B::Min => {
            if either_is_nan {
                f64::NAN
            } else {
                low
            }
        }
        B::Mod { truncated: false } if dtype == DType::F32 => {
            let (rest, b) = (a as f32 % b as f32, b as f32);
            // The remainder has the sign of the divisor.
            f64::from(if rest * b.signum() < 0.0 { rest + b } else { rest })
        }
        B::Mod { .. } if dtype == DType::F32 => f64::from(a as f32 % b as f32),
        B::Mod { .. } => a % b,
        B::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        B::Pow => a.powf(b),
        other => panic!("{other:?} of real numbers"),
    }
}

fn integer_pair(function: B, dtype: DType, a: i128, b: i128) -> i128 {
    let width = 8 * dtype.size() as i128;
    match function {
        B::Add | B::Sum | B::Mean => a + b,
        B::Sub => a - b,
        B::Mul => a.wrapping_mul(b),
        B::Div => a / b,
        B::Max => a.max(b),
        B::Min => a.min(b),
        B::Mod { truncated: true } => a % b,
        B::Mod { truncated: false } => ((a % b) + b) % b,
        B::PRelu => {
            if a < 0 {
                a.wrapping_mul(b)
            } else {
                a
            }
        }
        B::Pow if b < 0 => (a as f64).powf(b as f64) as i128,
        B::Pow => (0..b).fold(1, |product: i128, _| product.wrapping_mul(a)),
        B::BitShift { left: true } => {
            if (0..width).contains(&b) {
                a << b
            } else {
                0
            }
        }
        B::BitShift { left: false } => {
            if (0..width).contains(&b) {
                a >> b
            } else {
                // The sign alone is left.
                a >> 127
            }
        }
        B::BitwiseAnd | B::And => a & b,
        B::BitwiseOr | B::Or => a | b,
        B::BitwiseXor | B::Xor => a ^ b,
        other => panic!("{other:?} of integers"),
    }
}

/// The shape that all broadcast to.
pub fn broadcast(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap();
    let mut result = vec![1; rank];
    for shape in shapes {
        for (axis, &size) in shape.iter().enumerate() {
            let at = axis + rank - shape.len();
            if size != 1 {
                result[at] = size;
            }
        }
    }
    result
}

/// Where an operand is read for an index of the shape that it broadcasts to.
pub fn position(shape: &[usize], index: &[usize]) -> usize {
    let own: Vec<usize> = shape
        .iter()
        .zip(&index[index.len() - shape.len()..])
        .map(|(&size, &index)| if size == 1 { 0 } else { index })
        .collect();
    flat(shape, &own)
}

/// A binary function of two tensors.
fn pair(function: B, a: &Tensor, b: &Tensor) -> Tensor {
    let shape = broadcast(&[a.shape(), b.shape()]);
    let at: Vec<(usize, usize)> =
        indices(&shape).map(|index| (position(a.shape(), &index), position(b.shape(), &index))).collect();
    let is_float = a.dtype().is_float();
    if function.is_comparison() {
        let compare = |order: Option<std::cmp::Ordering>| match function {
            B::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            B::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            B::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            B::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            _ => order.is_some_and(std::cmp::Ordering::is_ge),
        };
        let values: Vec<bool> = if is_float {
            let (a, b) = (floats(a), floats(b));
            at.iter().map(|&(i, j)| compare(a[i].partial_cmp(&b[j]))).collect()
        } else {
            let (a, b) = (integers(a), integers(b));
            at.iter().map(|&(i, j)| compare(Some(a[i].cmp(&b[j])))).collect()
        };
        return Tensor::from_bools(shape, &values).unwrap();
    }
    if function == B::Pow && a.dtype() != b.dtype() {
        let wide = |tensor: &Tensor| {
            if tensor.dtype().is_float() {
                floats(tensor)
            } else {
                integers(tensor).iter().map(|&x| x as f64).collect()
            }
        };
        let values: Vec<f64> = at.iter().map(|&(i, j)| wide(a)[i].powf(wide(b)[j])).collect();
        if is_float {
            return of_floats(a.dtype(), &shape, &values);
        }
        return of_integers(a.dtype(), &shape, &values.iter().map(|&x| x as i128).collect::<Vec<_>>());
    }
    if is_float {
        let (own, other) = (floats(a), floats(b));
        let values: Vec<f64> = at.iter().map(|&(i, j)| real_pair(function, a.dtype(), own[i], other[j])).collect();
        of_floats(a.dtype(), &shape, &values)
    } else {
        let (own, other) = (integers(a), integers(b));
        let values: Vec<i128> = at.iter().map(|&(i, j)| integer_pair(function, a.dtype(), own[i], other[j])).collect();
        of_integers(a.dtype(), &shape, &values)
    }
}

pub fn binary(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let function = op::<Binary>(operator).function;
    let mut result = input(inputs, 0).clone();
    for index in 1..inputs.len() {
        result = pair(function, &result, input(inputs, index));
    }
    if function == B::Mean {
        let count = inputs.len() as f64;
        result = if result.dtype().is_float() {
            let values: Vec<f64> = floats(&result).iter().map(|x| x / count).collect();
            of_floats(result.dtype(), result.shape(), &values)
        } else {
            let values: Vec<i128> = integers(&result).iter().map(|x| x / inputs.len() as i128).collect();
            of_integers(result.dtype(), result.shape(), &values)
        };
    }
    vec![result]
}

pub fn chain(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let mut result = input(inputs, 0).clone();
    for step in &op::<PointwiseChain>(operator).steps {
        result = match *step {
            ChainStep::Unary(function) => unary(&Unary { function }, &[Some(result)]).remove(0),
            ChainStep::Binary { function, operand, swapped: false } => pair(function, &result, input(inputs, operand)),
            ChainStep::Binary { function, operand, swapped: true } => pair(function, input(inputs, operand), &result),
        };
    }
    vec![result]
}

//! Operators whose results' sizes depend on the operands' elements.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::index::{compress::Compress, non_max_suppression::NonMaxSuppression, unique::Unique},
    },
};

use super::{Oracle, flat, indices, input, op, pick};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] =
    &[("Compress", compress), ("NonMaxSuppression", non_max_suppression), ("NonZero", non_zero), ("Unique", unique)];

fn list(numbers: &[i64]) -> Tensor {
    Tensor::new([numbers.len()], numbers).unwrap()
}

/// The elements as numbers.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().unwrap().iter().map(|&value| f64::from(value)).collect(),
        _ => tensor.to_i64().unwrap().iter().map(|&value| value as f64).collect(),
    }
}

fn non_zero(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let data = input(inputs, 0);
    let values = numbers(data);
    let found: Vec<_> = indices(data.shape()).filter(|index| values[flat(data.shape(), index)] != 0.0).collect();
    let rank = data.shape().len();
    let by_axis: Vec<i64> = (0..rank).flat_map(|axis| found.iter().map(move |index| index[axis] as i64)).collect();
    vec![Tensor::new([rank, found.len()], &by_axis).unwrap()]
}

/// The operand and the axis that count; both flat without an axis.
fn along(data: &Tensor, axis: Option<i64>) -> (Tensor, usize) {
    match axis {
        Some(axis) if axis < 0 => (data.clone(), (axis + data.shape().len() as i64) as usize),
        Some(axis) => (data.clone(), axis as usize),
        None => (data.clone().reshape([data.len()]).unwrap(), 0),
    }
}

/// These slices of an axis.
fn slices(data: &Tensor, axis: usize, picked: &[usize]) -> Tensor {
    let mut shape = data.shape().to_vec();
    shape[axis] = picked.len();
    pick(data, &shape, |index| {
        let mut own = index.to_vec();
        own[axis] = picked[index[axis]];
        flat(data.shape(), &own)
    })
}

fn compress(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, axis) = along(input(inputs, 0), op::<Compress>(operator).axis);
    let flags = input(inputs, 1).bytes();
    let picked: Vec<usize> = (0..data.shape()[axis]).filter(|&at| flags.get(at) == Some(&1)).collect();
    vec![slices(&data, axis, &picked)]
}

fn unique(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let Unique { axis, sorted } = op::<Unique>(operator);
    let (data, axis) = along(input(inputs, 0), *axis);
    let slice = |at: usize| numbers(&slices(&data, axis, &[at]));
    let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
    let mut firsts: Vec<usize> = Vec::new();
    for at in 0..data.shape()[axis] {
        if !firsts.iter().any(|&first| same(&slice(first), &slice(at))) {
            firsts.push(at);
        }
    }
    if *sorted {
        firsts.sort_by(|&a, &b| {
            let (a, b) = (slice(a), slice(b));
            let differs = a.iter().zip(&b).find(|(a, b)| !same(&[**a], &[**b]));
            differs.map_or(std::cmp::Ordering::Equal, |(a, b)| {
                a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            })
        });
    }
    let place = |at: usize| firsts.iter().position(|&first| same(&slice(first), &slice(at))).unwrap() as i64;
    let inverse: Vec<i64> = (0..data.shape()[axis]).map(place).collect();
    let counts: Vec<i64> =
        (0..firsts.len()).map(|own| inverse.iter().filter(|&&at| at == own as i64).count() as i64).collect();
    let places: Vec<i64> = firsts.iter().map(|&first| first as i64).collect();
    vec![slices(&data, axis, &firsts), list(&places), list(&inverse), list(&counts)]
}

fn non_max_suppression(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let centred = op::<NonMaxSuppression>(operator).centred;
    let (boxes, scores) = (input(inputs, 0), input(inputs, 1));
    let given = |index: usize| inputs.get(index).and_then(Option::as_ref).map(|tensor| numbers(tensor)[0]);
    let most = given(2).unwrap_or(0.0) as usize;
    let overlap = given(3).unwrap_or(0.0);
    let [batch, classes, count] = scores.shape() else { panic!("scores of {:?}", scores.shape()) };
    let (corners, scores) = (numbers(boxes), numbers(scores));
    // The bounds of a box along both axes.
    let bounds = |item: usize, own: usize| -> [(f64, f64); 2] {
        let b = &corners[(item * count + own) * 4..][..4];
        let ends = |a: f64, b: f64| (a.min(b), a.max(b));
        match centred {
            true => [ends(b[0] - b[2] / 2.0, b[0] + b[2] / 2.0), ends(b[1] - b[3] / 2.0, b[1] + b[3] / 2.0)],
            false => [ends(b[0], b[2]), ends(b[1], b[3])],
        }
    };
    let area = |b: [(f64, f64); 2]| (b[0].1 - b[0].0) * (b[1].1 - b[1].0);
    let shared = |a: [(f64, f64); 2], b: [(f64, f64); 2]| {
        let side = |axis: usize| (a[axis].1.min(b[axis].1) - a[axis].0.max(b[axis].0)).max(0.0);
        side(0) * side(1)
    };
    let mut selected = Vec::new();
    for item in 0..*batch {
        for class in 0..*classes {
            let score = |own: usize| scores[(item * classes + class) * count + own];
            let mut left: Vec<usize> =
                (0..*count).filter(|&own| given(4).is_none_or(|least| score(own) > least)).collect();
            let mut taken = Vec::new();
            while taken.len() < most && !left.is_empty() {
                let best =
                    left.iter().copied().fold(left[0], |best, own| if score(own) > score(best) { own } else { best });
                taken.push(best);
                selected.extend([item as i64, class as i64, best as i64]);
                left.retain(|&own| {
                    let (a, b) = (bounds(item, best), bounds(item, own));
                    let both = shared(a, b);
                    own != best && (area(a) <= 0.0 || area(b) <= 0.0 || both / (area(a) + area(b) - both) <= overlap)
                });
            }
        }
    }
    vec![Tensor::new([selected.len() / 3, 3], &selected).unwrap()]
}

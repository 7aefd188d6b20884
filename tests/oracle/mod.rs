//! Naive loops that say what each operator means; too plain to be wrong, and shared with no kernel.

#![allow(dead_code, reason = "each test binary uses a part")]

mod cast;
pub mod compare;
mod indexed;
mod moves;
mod norms;
mod pointwise;
mod products;
mod shapes;

use gristmill::{Tensor, testing::op::Operator};

/// One operator's meaning: attributes and operands to results.
pub type Oracle = fn(&dyn Operator, &[Option<Tensor>]) -> Vec<Tensor>;

/// The oracle of the operator called `name`.
pub fn find(name: &str) -> Option<Oracle> {
    let all: &[(&str, Oracle)] = &[
        ("ArgMax", indexed::arg_reduce),
        ("ArgMin", indexed::arg_reduce),
        ("Attention", products::attention),
        ("AveragePool", products::pool),
        ("BatchNormalization", norms::channel_norm),
        ("Cast", cast::cast),
        ("Concat", moves::concat),
        ("ConstantOfShape", shapes::constant_of_shape),
        ("Conv", products::conv),
        ("CumSum", indexed::cum_sum),
        ("DepthToSpace", indexed::depth_to_space),
        ("Expand", moves::expand),
        ("EyeLike", indexed::eye_like),
        ("Gather", moves::gather),
        ("GatherElements", indexed::gather_elements),
        ("GatherND", indexed::gather_nd),
        ("Gemm", products::gemm),
        ("GlobalAveragePool", products::global_pool),
        ("GlobalMaxPool", products::global_pool),
        ("GroupNormalization", norms::channel_norm),
        ("Identity", moves::identity),
        ("L2Normalize", norms::l2_normalize),
        ("InstanceNormalization", norms::channel_norm),
        ("LayerNormalization", norms::layer_norm),
        ("Linear", products::linear),
        ("LinearInPlace", products::linear_in_place),
        ("LogSoftmax", norms::softmax),
        ("LpNormalization", norms::lp_normalize),
        ("MatMul", products::matmul),
        ("MaxPool", products::pool),
        ("OneHot", indexed::one_hot),
        ("PackedAttention", products::packed_attention),
        ("Pad", moves::pad),
        ("RMSNormalization", norms::rms_norm),
        ("Range", shapes::range),
        ("Reshape", moves::reshape),
        ("ScatterElements", indexed::scatter_elements),
        ("ScatterND", indexed::scatter_nd),
        ("SegmentPool", products::segment_pool),
        ("Shape", shapes::shape_of),
        ("Size", shapes::size),
        ("Slice", moves::slice),
        ("Softmax", norms::softmax),
        ("SpaceToDepth", indexed::space_to_depth),
        ("Split", moves::split),
        ("Tile", moves::tile),
        ("TopK", indexed::top_k),
        ("Transpose", moves::transpose),
        ("Trilu", indexed::trilu),
        ("Where", moves::choose),
    ];
    let named = all.iter().find(|(own, _)| *own == name).map(|(_, oracle)| *oracle);
    named.or_else(|| name.starts_with("Reduce").then_some(norms::reduce as Oracle)).or_else(|| pointwise::find(name))
}

/// An operator as its own type.
pub fn op<T: Operator>(op: &dyn Operator) -> &T {
    op.downcast_ref().expect("an oracle is called for its own operator")
}

/// Operand `index`.
pub fn input(inputs: &[Option<Tensor>], index: usize) -> &Tensor {
    inputs[index].as_ref().expect("the operand is there")
}

/// Every index of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count = shape.iter().product::<usize>();
    (0..count).map(move |mut flat| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = flat % shape[axis];
            flat /= shape[axis];
        }
        index
    })
}

/// The position of an index in row-major order.
pub fn flat(shape: &[usize], index: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (&index, &dim)| flat * dim + index)
}

/// A tensor of the same type made by picking, for each output index, a position of `from`.
pub fn pick(from: &Tensor, shape: &[usize], at: impl Fn(&[usize]) -> usize) -> Tensor {
    let size = from.dtype().size();
    let mut bytes = Vec::new();
    for index in indices(shape) {
        let position = at(&index);
        bytes.extend_from_slice(&from.bytes()[position * size..(position + 1) * size]);
    }
    Tensor::from_bytes(from.dtype(), shape, &bytes).expect("one element an index")
}

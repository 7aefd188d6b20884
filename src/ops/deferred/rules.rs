//! The types and numbers of dimensions of results whose sizes only a run tells.

use crate::{
    error::{Error, Result},
    op::{Attribute, Inputs},
    ops::deferred::Deferred,
    shape::{Dim, normalize_axis},
    tensor::DType,
};

/// The type of a result, and each of its sizes that is known.
pub(super) type Sized = (DType, Vec<Option<Dim>>);

/// The results of an operator, from the shapes of its operands alone.
pub(super) type Rule = fn(&Deferred, &Inputs<'_>) -> Result<Vec<Sized>>;

/// Operators with the first operand that their decoders need at load.
const RULES: &[(&str, usize, Rule)] = &[
    ("AffineGrid", 1, affine_grid),
    ("BlackmanWindow", 0, window),
    ("CenterCropPad", 1, center_crop_pad),
    ("Col2Im", 1, col2im),
    ("ConstantOfShape", 0, constant_of_shape),
    ("CumProd", 1, like_first),
    ("CumSum", 1, like_first),
    ("DFT", 1, any_sizes),
    ("Expand", 1, expand),
    ("HammingWindow", 0, window),
    ("HannWindow", 0, window),
    ("MaxUnpool", 2, any_sizes),
    ("MelWeightMatrix", 0, mel_weight_matrix),
    ("OneHot", 1, one_hot),
    ("Pad", 1, pad),
    ("Range", 0, range),
    ("ReduceL1", 1, reduce),
    ("ReduceL2", 1, reduce),
    ("ReduceLogSum", 1, reduce),
    ("ReduceLogSumExp", 1, reduce),
    ("ReduceMax", 1, reduce),
    ("ReduceMean", 1, reduce),
    ("ReduceMin", 1, reduce),
    ("ReduceProd", 1, reduce),
    ("ReduceSum", 1, reduce),
    ("ReduceSumSquare", 1, reduce),
    ("Reshape", 1, reshape),
    ("Resize", 1, resize),
    ("STFT", 1, stft),
    ("Slice", 1, slice),
    ("Split", 1, split),
    ("Squeeze", 1, squeeze),
    ("Tile", 1, tile),
    ("TopK", 1, top_k),
    ("Trilu", 1, like_first),
    ("Unsqueeze", 1, unsqueeze),
    ("Upsample", 1, resize),
];

/// The first operand that the decoder of an operator needs at load, and its rule.
pub(super) fn find(op_type: &str) -> Option<(usize, Rule)> {
    RULES.iter().find(|(name, ..)| *name == op_type).map(|(_, first, rule)| (*first, *rule))
}

/// Refuses operands that say sizes or axes and are no lists of integers.
pub(super) fn check_lists(op_type: &str, first: usize, inputs: &Inputs<'_>) -> Result<()> {
    for index in first..inputs.len() {
        let is_value = match op_type {
            "MelWeightMatrix" | "OneHot" | "Range" | "Resize" | "Upsample" => true,
            "Pad" | "STFT" => index == 2,
            _ => false,
        };
        if let Some(fact) = inputs.fact(index)
            && !is_value
            && (!fact.dtype.is_integer() || fact.shape.rank() > 1)
        {
            return Err(Error::invalid_model(format!("operand {index} is {fact}, expected a list of integers")));
        }
    }
    Ok(())
}

/// The number of elements of an operand that is a list, 0 where it is absent.
fn length(inputs: &Inputs<'_>, index: usize) -> Result<usize> {
    let Some(fact) = inputs.fact(index) else { return Ok(0) };
    match fact.shape.dims() {
        [] => Ok(1),
        [length] => length.as_fixed().and_then(|length| usize::try_from(length).ok()).ok_or_else(|| {
            Error::unsupported(format!("operand {index} is {fact}; its length, a number of dimensions, must be fixed"))
        }),
        _ => Err(Error::invalid_model(format!("operand {index} is {fact}, expected a list"))),
    }
}

/// The elements of an operand or attribute, if they are known numbers.
fn known(op: &Deferred, inputs: &Inputs<'_>, name: &str, index: usize) -> Option<Vec<i64>> {
    let operand = || inputs.integers(index)?.iter().map(Dim::as_fixed).collect();
    op.ints(name).map(<[i64]>::to_vec).or_else(operand)
}

/// The sizes of operand 0, of which those along `axes` are open.
fn open(inputs: &Inputs<'_>, axes: Option<Vec<i64>>) -> Result<Sized> {
    let input = inputs.required(0)?;
    let rank = input.shape.rank();
    let Some(axes) = axes else { return Ok((input.dtype, vec![None; rank])) };
    let mut dims: Vec<_> = input.shape.dims().iter().cloned().map(Some).collect();
    for axis in axes {
        dims[normalize_axis(axis, rank)?] = None;
    }
    Ok((input.dtype, dims))
}

fn like_first(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![open(inputs, Some(Vec::new()))?])
}

fn reshape(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![(inputs.required(0)?.dtype, vec![None; length(inputs, 1)?])])
}

fn tile(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    inputs.expect(2, 2)?;
    Ok(vec![open(inputs, None)?])
}

fn expand(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let input = inputs.required(0)?;
    let length = length(inputs, 1)?;
    // Axes that the new shape does not reach stay as they are.
    let kept = input.shape.dims()[..input.shape.rank().saturating_sub(length)].iter().cloned().map(Some);
    Ok(vec![(input.dtype, kept.chain(vec![None; length]).collect())])
}

fn constant_of_shape(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let value = op.attributes.iter().find_map(|(name, value)| match value {
        Attribute::Tensor(value) if name == "value" => Some(value.dtype()),
        _ => None,
    });
    Ok(vec![(value.unwrap_or(DType::F32), vec![None; length(inputs, 0)?])])
}

fn center_crop_pad(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![open(inputs, op.ints("axes").map(<[i64]>::to_vec))?])
}

fn affine_grid(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let length = length(inputs, 1)?;
    let axes = length.checked_sub(2).map(Dim::from);
    let axes = axes.ok_or_else(|| Error::invalid_model(format!("{length} sizes of an image")))?;
    Ok(vec![(inputs.required(0)?.dtype, [vec![None; length - 1], vec![Some(axes)]].concat())])
}

fn col2im(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let input = inputs.required(0)?;
    let batch = input.shape.dims().first().cloned();
    Ok(vec![(input.dtype, [vec![batch, None], vec![None; length(inputs, 1)?]].concat())])
}

fn resize(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![open(inputs, op.ints("axes").map(<[i64]>::to_vec))?])
}

fn any_sizes(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![open(inputs, None)?])
}

fn stft(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let signal = inputs.required(0)?;
    Ok(vec![(signal.dtype, vec![signal.shape.dims().first().cloned(), None, None, Some(Dim::from(2))])])
}

fn mel_weight_matrix(op: &Deferred, _: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![(output_dtype(op)?, vec![None; 2])])
}

fn window(op: &Deferred, _: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![(output_dtype(op)?, vec![None])])
}

/// The type that an attribute names.
fn output_dtype(op: &Deferred) -> Result<DType> {
    let dtype = op.int("output_datatype").map_or(Some(DType::F32), DType::from_onnx);
    dtype.ok_or_else(|| Error::unsupported("`output_datatype` is a type that is not built here"))
}

fn slice(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let axes = match (op.ints("axes"), inputs.fact(3)) {
        // The first ones, or any where a run tells how many.
        (None, None) => length(inputs, 1).ok().map(|length| (0..length as i64).collect()),
        _ => known(op, inputs, "axes", 3),
    };
    Ok(vec![open(inputs, axes)?])
}

fn pad(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let axes = inputs.fact(3).and_then(|_| known(op, inputs, "axes", 3));
    Ok(vec![open(inputs, axes)?])
}

fn one_hot(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let mut dims: Vec<_> = inputs.required(0)?.shape.dims().iter().cloned().map(Some).collect();
    dims.insert(normalize_axis(op.int("axis").unwrap_or(-1), dims.len() + 1)?, None);
    Ok(vec![(inputs.required(2)?.dtype, dims)])
}

fn top_k(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let (dtype, dims) = open(inputs, Some(vec![op.int("axis").unwrap_or(-1)]))?;
    Ok(vec![(dtype, dims.clone()), (DType::I64, dims)])
}

fn split(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![open(inputs, Some(vec![op.int("axis").unwrap_or(0)]))?; op.output_count])
}

fn range(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    Ok(vec![(inputs.required(0)?.dtype, vec![None])])
}

fn squeeze(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let input = inputs.required(0)?;
    inputs.required(1)?;
    let rank = input.shape.rank().checked_sub(length(inputs, 1)?);
    let rank = rank.ok_or_else(|| Error::invalid_model(format!("more axes are dropped than {input} has")))?;
    Ok(vec![(input.dtype, vec![None; rank])])
}

fn unsqueeze(_: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let input = inputs.required(0)?;
    Ok(vec![(input.dtype, vec![None; input.shape.rank() + length(inputs, 1)?])])
}

fn reduce(op: &Deferred, inputs: &Inputs<'_>) -> Result<Vec<Sized>> {
    let input = inputs.required(0)?;
    let rank = input.shape.rank();
    if op.int("keepdims").unwrap_or(1) != 0 {
        return Ok(vec![(input.dtype, vec![None; rank])]);
    }
    let count = length(inputs, 1)?;
    let whole = count == 0 && op.int("noop_with_empty_axes").unwrap_or(0) == 0;
    let left = rank.checked_sub(if whole { rank } else { count });
    let left = left.ok_or_else(|| Error::invalid_model(format!("more axes are reduced than {input} has")))?;
    Ok(vec![(input.dtype, vec![None; left])])
}

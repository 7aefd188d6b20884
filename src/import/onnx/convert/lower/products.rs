//! Products and convolutions with what follows them, and products with weights of few bits.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::Lower,
    tensor::{DType, Tensor},
};

/// `alpha a b` with either operand transposed, and an activation.
pub(super) fn matmul(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let alpha = lower.read(|node| node.float("alpha"))?.unwrap_or(1.0);
    let mut sides = [lower.required(0)?, lower.required(1)?];
    for (side, names) in sides.iter_mut().zip([["transA", "transBatchA"], ["transB", "transBatchB"]]) {
        let (last, batch) = lower.read(|node| Ok((node.flag(names[0], false)?, node.flag(names[1], false)?)))?;
        let rank = lower.rank(*side);
        // As in ONNX Runtime, a vector has nothing to transpose.
        if rank < 2 || !(last || batch) {
            continue;
        }
        let mut order: Vec<usize> = (0..rank).collect();
        if batch {
            // The rows of the matrices come first, before the batch.
            order[..rank - 1].rotate_left(1);
        }
        if last {
            order.swap(rank - 2, rank - 1);
        }
        *side = lower.transpose(*side, &order)?;
    }
    let mut made = lower.op("MatMul", &sides)?;
    if alpha != 1.0 {
        let alpha = lower.number(alpha, lower.dtype(made))?;
        made = lower.op("Mul", &[made, alpha])?;
    }
    let (name, parameters) = activation(lower)?;
    Ok(vec![lower.activated(made, &name, &parameters)?])
}

/// The activation of a node and its parameters, in either form of attributes.
fn activation(lower: &mut Lower<'_, '_, '_, '_>) -> Result<(String, Vec<f32>)> {
    lower.read(|node| {
        let name = node.string("activation")?.unwrap_or_default();
        let mut parameters = node.floats("activation_params")?.unwrap_or_default();
        let names = ["activation_alpha", "activation_beta", "activation_gamma"];
        let single = names.map(|name| node.float(name));
        for value in single {
            parameters.extend(value?);
        }
        Ok((name, parameters))
    })
}

/// `Gemm` and an activation.
pub(super) fn gemm(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (name, parameters) = activation(lower)?;
    let attributes = std::mem::take(&mut lower.attributes);
    let inputs = lower.inputs.clone();
    let made = lower.many("Gemm", attributes, &inputs, 1)?[0];
    Ok(vec![lower.activated(made, &name, &parameters)?])
}

/// `x w`, a bias, and the gelu by the hyperbolic tangent.
pub(super) fn gemm_fast_gelu(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let made = lower.op("MatMul", &[lower.required(0)?, lower.required(1)?])?;
    let made = lower.plus(made, lower.optional(2))?;
    Ok(vec![lower.op_with("Gelu", vec![super::text("approximate", "tanh")], &[made])?])
}

/// `Conv`, what is added to it, and an activation.
pub(super) fn conv(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (name, parameters) = activation(lower)?;
    let attributes = std::mem::take(&mut lower.attributes);
    let inputs = [Some(lower.required(0)?), Some(lower.required(1)?), lower.optional(2)];
    let made = lower.many("Conv", attributes, &inputs, 1)?[0];
    let made = lower.plus(made, lower.optional(3))?;
    Ok(vec![lower.activated(made, &name, &parameters)?])
}

/// A product with weights of 2, 4 or 8 bits, which are read as f32.
pub(super) fn few_bits(lower: &mut Lower<'_, '_, '_, '_>) -> Result<Vec<ValueId>> {
    let (rows, columns) = (lower.size("K", None)?, lower.size("N", None)?);
    let (bits, block) = (lower.size("bits", Some(4))?, lower.size("block_size", None)?);
    // How accurately the product may be computed at least.
    lower.read(|node| node.int("accuracy_level"))?;
    if lower.read(|node| node.int("weight_prepacked"))?.unwrap_or(0) != 0 {
        return Err(Error::unsupported(
            "weights in the order of a processor, which ONNX Runtime has written; export them anew",
        ));
    }
    lower.expect(6)?;
    let weights = FewBits { rows, columns, bits, block }.read(lower)?;
    let weights = lower.constant(weights);
    let x = lower.required(0)?;
    let dtype = lower.dtype(x);
    let x = lower.cast(x, DType::F32)?;
    let made = lower.op("MatMul", &[x, weights])?;
    let made = lower.cast(made, dtype)?;
    Ok(vec![lower.plus(made, lower.optional(5))?])
}

/// Weights as ONNX Runtime stores them: each column in blocks along its rows, packed from the
/// lowest bits on, with a scale and a zero point for each block.
struct FewBits {
    rows: usize,
    columns: usize,
    bits: usize,
    block: usize,
}

impl FewBits {
    /// The weights, `[rows, columns]`.
    fn read(&self, lower: &Lower<'_, '_, '_, '_>) -> Result<Tensor> {
        let Self { rows, columns, bits, block } = *self;
        if !matches!(bits, 2 | 4 | 8) || !block.is_power_of_two() || block < 16 {
            return Err(Error::unsupported(format!("weights of {bits} bits in blocks of {block}")));
        }
        let known = |index: usize| {
            let id = lower.optional(index);
            let tensor = id.map(|id| lower.converter.graph.constant_of(id).cloned());
            let missing = || Error::unsupported(format!("operand {index} must be constant"));
            tensor.map(|tensor| tensor.ok_or_else(missing)).transpose()
        };
        let misfit = |what: &str| Error::invalid_model(format!("{what} for {rows} x {columns} weights of {bits} bits"));
        let missing = || Error::invalid_model("the weights or their scales are missing");
        let (bytes, scales) = (known(1)?.ok_or_else(missing)?, known(2)?.ok_or_else(missing)?);
        let blocks = rows.div_ceil(block);
        let packed = (block / 8).checked_mul(bits).and_then(|size| size.checked_mul(blocks));
        let due = packed.and_then(|size| size.checked_mul(columns));
        // The size of the result is bounded by that of the file.
        if bytes.dtype() != DType::U8 || due != Some(bytes.len()) {
            return Err(misfit("packed bytes that do not fit"));
        }
        let packed = packed.unwrap_or_default();
        let scales = numbers(&scales).filter(|all| all.len() == blocks * columns);
        let scales = scales.ok_or_else(|| misfit("scales that do not fit"))?;
        let zeros = match known(3)? {
            None => vec![(1 << (bits - 1)) as f32; blocks * columns],
            Some(zeros) if zeros.dtype() == DType::U8 => {
                let size = (blocks * bits).div_ceil(8);
                if zeros.len() != size * columns {
                    return Err(misfit("zero points that do not fit"));
                }
                let of = |column: usize| &zeros.bytes()[column * size..][..size];
                (0..blocks * columns).map(|at| field(of(at / blocks), at % blocks, bits)).collect()
            }
            Some(zeros) => numbers(&zeros)
                .filter(|all| all.len() == blocks * columns)
                .ok_or_else(|| misfit("zero points that do not fit"))?,
        };
        let groups = match known(4)? {
            None => (0..rows).map(|row| row / block).collect(),
            Some(groups) => {
                let all = groups.to_i64()?.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
                all.ok()
                    .filter(|all| all.len() >= rows && all.iter().all(|&group| group < blocks))
                    .ok_or_else(|| misfit("groups that do not fit"))?
            }
        };
        let mut values = vec![0f32; rows * columns];
        for column in 0..columns {
            let (own, first) = (&bytes.bytes()[column * packed..][..packed], column * blocks);
            for row in 0..rows {
                let at = first + groups[row];
                values[row * columns + column] = (field(own, row, bits) - zeros[at]) * scales[at];
            }
        }
        Tensor::new([rows, columns], &values)
    }
}

/// The number of `bits` bits at a place.
fn field(bytes: &[u8], at: usize, bits: usize) -> f32 {
    let of_byte = 8 / bits;
    let byte = bytes[at / of_byte] >> (at % of_byte * bits);
    f32::from(byte & (0xff >> (8 - bits)))
}

/// The elements of a tensor of floats.
fn numbers(tensor: &Tensor) -> Option<Vec<f32>> {
    match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().ok().map(<[f32]>::to_vec),
        DType::F16 => tensor.as_slice::<half::f16>().ok().map(|all| all.iter().map(|x| x.to_f32()).collect()),
        DType::BF16 => tensor.as_slice::<half::bf16>().ok().map(|all| all.iter().map(|x| x.to_f32()).collect()),
        _ => None,
    }
}

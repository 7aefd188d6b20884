//! `Gemm`: with packed weights if the right side is constant, else with unpacked operands.

use crate::{
    backend::gpu::{
        kernel::{KernelDef, Made},
        kernels::{
            held::Held,
            linear::{self, Epilogue},
            matmul,
            product::Tile,
            weights::{PackedProduct, pack},
        },
        operand::Operand,
        request::GpuRequest,
    },
    error::{Error, Result},
    op::Packing,
    ops::product::gemm::Gemm,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "gemm", make };

/// The kernel is packed if the right side is constant, and the summand is absent or a constant row.
fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let op: &Gemm = request.op()?;
    let (Some(b), false) = (request.constant(1), op.trans_a) else {
        return matmul::of_gemm(request, op);
    };
    let (k, n) = match (b.shape(), op.trans_b) {
        (&[n, k], true) | (&[k, n], false) => (k, n),
        _ => return Err(Error::internal("an operand that is no matrix was not refused")),
    };
    let row = |shape: &[usize]| matches!(shape, &[own] | &[1, own] if own == n);
    match (request.inputs().fact(2), request.constant(2)) {
        (None, _) => {}
        (Some(_), Some(c)) if row(c.shape()) => {}
        _ => return matmul::of_gemm(request, op),
    }
    let tile = Tile::of(n);
    let held = Held::of(request.format, b.as_slice::<f32>()?.iter().map(|value| op.alpha * value));
    let columns = tile.columns_of_part(request, held, k)?;
    let parameter = (columns as u64) << 33 | u64::from(op.alpha.to_bits()) << 1 | u64::from(op.trans_b);
    let parts = request.take_weight(1, Packing { name: "scaled product", parameter }, |tensor| {
        let values = tensor.as_slice::<f32>()?;
        let at = |row: usize, column: usize| {
            op.alpha * if op.trans_b { values[column * k + row] } else { values[row * n + column] }
        };
        Ok(pack(tile, held, (k, n), columns, at))
    })?;
    let scale = Packing { name: "scaled row", parameter: u64::from(op.beta.to_bits()) };
    let summand = request.take_weight(2, scale, |tensor| {
        let scaled: Vec<f32> = tensor.as_slice::<f32>()?.iter().map(|value| op.beta * value).collect();
        Ok(vec![bytemuck::cast_slice(&scaled).to_vec()])
    })?;
    let bias = summand.and_then(|parts| parts.first().map(|&id| Operand::Weight(id)));
    let follow = Epilogue { activation: "v", bias, residual: false };
    linear::kernel(request, tile, (k, n), parts.map(|parts| PackedProduct { held, parts, columns }), &follow, None)
}

//! `Experts`: a mixture of experts, of which each row has a few.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        Activation, KernelSet,
        gemm::{Epilogue, Packed, gemm_dense, rounded_len},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Packing,
        Shapes, scratch_numbers,
    },
    ops::product::matmul::pack_all,
    shape::{Dim, Shape},
    tensor::DType,
};

/// The rows that an expert is given at once.
const BLOCK: usize = 128;

/// Two products with an activation between them, by the experts that have the largest weights for a row; the sum of their
/// results times their weights.
///
/// Operands: `x [rows, K]`, the constants `up [experts, K, M]` and `down [experts, M, N]`, `weights [rows, experts]`,
/// and optionally `bias [N]`, which is added once. Result: `[rows, N]`. Of equal weights the first counts. Made by
/// importers only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// The number of experts of each row.
    pub chosen: usize,
    /// Applied to the first product.
    pub activation: Activation,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Experts",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("mixtures of experts have no shader yet"),
};

impl Operator for Experts {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(4, 5)?;
        let (x, up, down, weights) =
            (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?, inputs.required(3)?);
        let misfit = || Error::invalid_model(format!("experts {up} and {down} with weights {weights} for {x}"));
        let ([rows, k], [count, up_k, m], [down_count, down_m, n], [weight_rows, each]) =
            (x.shape.dims(), up.shape.dims(), down.shape.dims(), weights.shape.dims())
        else {
            return Err(misfit());
        };
        let bias = inputs.fact(4);
        let all = [Some(x), Some(up), Some(down), Some(weights), bias];
        let fits = all.into_iter().flatten().all(|fact| fact.dtype == DType::F32)
            && [(k, up_k), (count, down_count), (count, each), (m, down_m), (rows, weight_rows)]
                .iter()
                .all(|(a, b)| a == b)
            && bias.is_none_or(|bias| bias.shape.dims() == [n.clone()])
            && count.as_fixed().is_some_and(|count| (1..=count).contains(&(self.chosen as i64)));
        if !fits {
            return Err(misfit());
        }
        Ok(vec![Fact::new(DType::F32, Shape::new(vec![rows.clone(), n.clone()]))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let others_depend = axes.iter().enumerate().any(|(index, axis)| !matches!(index, 0 | 3) && axis.is_some());
        (!others_depend && axes[0] == Some(0) && axes.get(3) == Some(&Some(0))).then(|| vec![Some(0)])
    }
}

struct Kernel {
    op: Experts,
    set: KernelSet,
    up: Arc<[Packed]>,
    down: Arc<[Packed]>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let set = request.kernel_set();
    let pack = |index: usize| {
        let packed =
            request.take_packed(index, Packing { name: "experts", parameter: 0 }, |tensor| match *tensor.shape() {
                [_, k, n] => pack_all(set, request.product_factors(k), tensor.as_slice()?, k, n),
                _ => Err(Error::internal("experts that are no matrices were not refused")),
            })?;
        packed.ok_or_else(|| Error::unsupported("experts whose weights are not constant"))
    };
    Ok(Box::new(Kernel { op: *request.op()?, set, up: pack(1)?, down: pack(2)? }))
}

impl Kernel {
    /// Scratch numbers for rounding a block's rows.
    fn rounding(&self) -> usize {
        let of = |packed: &Packed| rounded_len(packed.factors(), BLOCK, packed.k());
        of(&self.up[0]).max(of(&self.down[0]))
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, _shapes: &Shapes<'_>) -> usize {
        let (up, down) = (&self.up[0], &self.down[0]);
        let block = BLOCK.saturating_mul(up.k().saturating_add(up.n()).saturating_add(down.n()));
        block.saturating_add(self.rounding()).saturating_mul(size_of::<f32>())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (x, weights) = (io.input(0)?, io.input(3)?);
        let (&[rows, k], &[_, count]) = (x.shape, weights.shape) else {
            return Err(Error::internal("rows that are no matrix"));
        };
        let (x, weights) = (x.slice::<f32>()?, weights.slice::<f32>()?);
        let bias = io.inputs.get(4).copied().flatten().map(|view| view.slice::<f32>()).transpose()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("experts have no result"))?;
        let output: &mut [f32] = output.slice()?;
        let (m, n) = (self.up[0].n(), self.down[0].n());
        match bias {
            Some(bias) => output.chunks_exact_mut(n.max(1)).for_each(|row| row.copy_from_slice(bias)),
            None => output.fill(0.0),
        }
        let scratch = scratch_numbers(io.scratch);
        let (gathered, scratch) = scratch.split_at_mut(BLOCK * k);
        let (inner, scratch) = scratch.split_at_mut(BLOCK * m);
        let (results, rounding) = scratch.split_at_mut(BLOCK * n);
        if k * m * n * count == 0 {
            return Ok(());
        }
        let first = Epilogue { activation: self.op.activation, ..Epilogue::default() };
        // Experts in their order, so that a row's sum does not depend on other rows.
        for (expert, (up, down)) in self.up.iter().zip(&*self.down).enumerate() {
            let is_chosen = |row: &usize| {
                let own = &weights[row * count..(row + 1) * count];
                let ahead = |(other, weight): (usize, &f32)| match weight.total_cmp(&own[expert]) {
                    std::cmp::Ordering::Greater => true,
                    std::cmp::Ordering::Equal => other < expert,
                    std::cmp::Ordering::Less => false,
                };
                own.iter().enumerate().filter(|&(other, weight)| ahead((other, weight))).count() < self.op.chosen
            };
            let mut chosen = (0..rows).filter(is_chosen);
            loop {
                let mut block = [0; BLOCK];
                let mut len = 0;
                for (place, row) in block.iter_mut().zip(chosen.by_ref()) {
                    *place = row;
                    gathered[len * k..(len + 1) * k].copy_from_slice(&x[row * k..(row + 1) * k]);
                    len += 1;
                }
                if len == 0 {
                    break;
                }
                gemm_dense(self.set, &gathered[..len * k], len, up.into(), &first, &mut inner[..len * m], rounding)?;
                let second = Epilogue::default();
                gemm_dense(self.set, &inner[..len * m], len, down.into(), &second, &mut results[..len * n], rounding)?;
                for (&row, result) in block[..len].iter().zip(results.chunks_exact(n)) {
                    let weight = weights[row * count + expert];
                    let sums = &mut output[row * n..(row + 1) * n];
                    sums.iter_mut().zip(result).for_each(|(sum, number)| *sum += weight * number);
                }
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str, chosen, activation, [rows, k, m, n, count]: [usize; 5]| {
        Case::new(name, Experts { chosen, activation })
            .value(&[rows, k], Fill::Spread)
            .constant(&[count, k, m], Fill::Spread)
            .constant(&[count, m, n], Fill::Spread)
            .value(&[rows, count], Fill::Spread)
    };
    vec![
        case("two of five", 2, Activation::Gelu, [37, 6, 9, 5, 5]).constant(&[5], Fill::Spread),
        case("more rows than a block", 1, Activation::None, [300, 3, 4, 17, 3]),
        case("all", 3, Activation::Silu, [4, 5, 3, 2, 3]).constant(&[2], Fill::Spread),
        case("no row", 1, Activation::Gelu, [0, 3, 4, 2, 2]),
    ]
}

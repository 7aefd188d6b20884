//! `MatMul`: matrix products with NumPy's broadcasting of leading dimensions.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        gemm::{Epilogue, Factors, Layout, Matrix, Packed, PackedRef, gemm_dense, pack_into, pack_len, rounded_len},
    },
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, Form, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef,
        Operator, Shapes, case::filled, scratch_numbers,
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// `[..., M, K]` times `[..., K, N]`; an operand of one dimension is a row on the left and a column on the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatMul {}

pub(crate) static DEF: OpDef = OpDef {
    name: "MatMul",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("matmul"),
};

fn decode(_node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(MatMul {}))
}

impl Operator for MatMul {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (a, b) = (inputs.required(0)?, inputs.required(1)?);
        if a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(Error::unsupported(format!("a product of {a} and {b}; only f32 is")));
        }
        let misfit = || Error::invalid_model(format!("{} times {}: the shapes do not fit", a.shape, b.shape));
        let ([.., a_k], [.., b_last]) = (a.shape.dims(), b.shape.dims()) else { return Err(misfit()) };
        let (b_k, column) = match b.shape.dims() {
            [.., k, n] => (k, Some(n)),
            _ => (b_last, None),
        };
        if a_k.as_fixed().zip(b_k.as_fixed()).is_some_and(|(a, b)| a != b) {
            return Err(misfit());
        }
        let leading = |shape: &Shape| Shape::new(&shape.dims()[..shape.rank().saturating_sub(2)]);
        let mut dims = leading(&a.shape).broadcast(&leading(&b.shape)).map_err(|_| misfit())?.dims().to_vec();
        if let [.., m, _] = a.shape.dims() {
            dims.push(m.clone());
        }
        dims.extend(column.cloned());
        Ok(vec![Fact::new(DType::F32, Shape::new(dims))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let (a, b) = (&inputs.fact(0)?.shape, &inputs.fact(1)?.shape);
        // Axes counted among the leading dimensions from the right, M and N apart.
        #[derive(PartialEq, Clone, Copy)]
        enum Place {
            Leading(usize),
            Row,
            Column,
        }
        let place = |axis: usize, rank: usize, left: bool| match rank - 1 - axis {
            0 if left || rank == 1 => None,
            0 => Some(Place::Column),
            1 if left => Some(Place::Row),
            1 => None,
            leading => Some(Place::Leading(leading)),
        };
        let own = match (axes[0], axes[1]) {
            (None, None) => return Some(vec![None]),
            (Some(own), None) => place(own, a.rank(), true)?,
            (None, Some(own)) => place(own, b.rank(), false)?,
            (Some(left), Some(right)) => {
                let left = place(left, a.rank(), true)?;
                (Some(left) == place(right, b.rank(), false)).then_some(left)?
            }
        };
        let removed = usize::from(a.rank() == 1) + usize::from(b.rank() == 1);
        let rank = a.rank().max(2).max(b.rank()) - removed;
        match own {
            Place::Row => Some(vec![Some(rank - 2 + usize::from(b.rank() == 1))]),
            Place::Column => Some(vec![Some(rank - 1)]),
            Place::Leading(from_end) => {
                // The other operand must not hold something of its own for each item.
                let alike = |shape: &Shape, axis: Option<usize>| {
                    axis.is_some()
                        || shape.rank() <= from_end
                        || shape[shape.rank() - 1 - from_end].as_fixed() == Some(1)
                };
                let apart = alike(a, axes[0]) && alike(b, axes[1]);
                apart.then(|| vec![Some(rank + removed - 1 - from_end)])
            }
        }
    }
}

/// The sizes of a product.
pub(crate) struct Sizes<'a> {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Leading dimensions.
    pub a: &'a [usize],
    pub b: &'a [usize],
}

impl<'a> Sizes<'a> {
    /// # Errors
    /// When the operands do not fit.
    pub fn of(a: &'a [usize], b: &'a [usize]) -> Result<Self> {
        let misfit = || Error::invalid_input(format!("{a:?} times {b:?}: the shapes do not fit"));
        let (leading_a, m, k) = match a {
            [leading @ .., m, k] => (leading, *m, *k),
            [k] => (&a[..0], 1, *k),
            [] => return Err(misfit()),
        };
        let (leading_b, b_k, n) = match b {
            [leading @ .., k, n] => (leading, *k, *n),
            [k] => (&b[..0], *k, 1),
            [] => return Err(misfit()),
        };
        if k != b_k {
            return Err(misfit());
        }
        Ok(Self { m, k, n, a: leading_a, b: leading_b })
    }

    /// The leading dimensions of a result of shape `y`.
    ///
    /// # Errors
    /// When those of an operand are not broadcast to them.
    pub fn leading<'y>(&self, a: &[usize], b: &[usize], y: &'y [usize]) -> Result<&'y [usize]> {
        let trailing = usize::from(a.len() > 1) + usize::from(b.len() > 1);
        let whole = &y[..y.len() - trailing];
        for own in [self.a, self.b] {
            let fits = |(own, whole): (&usize, &usize)| own == whole || *own == 1;
            if !own.iter().rev().zip(whole.iter().rev()).all(fits) {
                return Err(Error::invalid_input(format!("{a:?} times {b:?}: the shapes do not fit")));
            }
        }
        Ok(whole)
    }
}

/// Which matrix of an operand with the leading dimensions `own` the product number `flat` of those of `whole` takes.
fn broadcast_index(mut flat: usize, whole: &[usize], own: &[usize]) -> usize {
    let (mut index, mut step) = (0, 1);
    for (axis, &dim) in whole.iter().enumerate().rev() {
        if let Some(own) = (axis + own.len()).checked_sub(whole.len()).map(|axis| own[axis]) {
            index += if own == 1 { 0 } else { flat % dim * step };
            step *= own;
        }
        flat /= dim;
    }
    index
}

struct Kernel {
    set: KernelSet,
    factors: Factors,
    /// The matrices of a constant right operand, and its shape.
    constant: Option<(Arc<[Packed]>, Vec<usize>)>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (set, factors) = (request.kernel_set(), request.factors());
    let shape = request.constant(1).map(|tensor| tensor.shape().to_vec());
    let packed = request.take_packed(1, Form { name: "product", parameter: 0 }, |tensor| {
        let (k, n) = match *tensor.shape() {
            [.., k, n] => (k, n),
            [k] => (k, 1),
            [] => return Err(Error::internal("a product with a scalar was not refused")),
        };
        pack_all(set, factors, tensor.as_slice()?, k, n)
    })?;
    Ok(Box::new(Kernel { set, factors, constant: packed.zip(shape) }))
}

/// Packs `K x N` matrices that lie one behind another.
pub(crate) fn pack_all(set: KernelSet, factors: Factors, data: &[f32], k: usize, n: usize) -> Result<Vec<Packed>> {
    let pack = |data: &[f32]| Packed::with_factors(set, factors, &Matrix::new(data, k, n, Layout::RowMajor), k);
    if k * n == 0 {
        // As many as are asked for are alike; one stands for all.
        return Ok(vec![pack(&[])?]);
    }
    data.chunks_exact(k * n).map(pack).collect()
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let numbers = match (shapes.inputs[1], shapes.inputs[0]) {
            (Some(&[.., k, n]), _) => pack_len(self.set, k, n).unwrap_or(usize::MAX),
            (Some(&[k]), _) => pack_len(self.set, k, 1).unwrap_or(usize::MAX),
            (_, Some(a)) => rounded_len(self.factors, a.iter().product()),
            _ => 0,
        };
        numbers.saturating_mul(4)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let set = self.set;
        let a = io.input(0)?;
        let (packed, b_shape, b) = match &self.constant {
            Some((packed, shape)) => (Some(packed), shape.as_slice(), &[][..]),
            None => {
                let b = io.input(1)?;
                (None, b.shape, b.slice::<f32>()?)
            }
        };
        let sizes = Sizes::of(a.shape, b_shape)?;
        let Sizes { m, k, n, .. } = sizes;
        let a_shape = a.shape;
        let a: &[f32] = a.slice()?;
        let scratch = scratch_numbers(io.scratch);
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a product has no result"))?;
        let whole_shape = sizes.leading(a_shape, b_shape, output.shape)?;
        let c: &mut [f32] = output.slice()?;
        let epilogue = Epilogue::default();
        // One matrix on the right: all rows of the left at once.
        let single = sizes.b.iter().all(|&dim| dim == 1);
        let (batches, m) =
            if single { (1, m * sizes.a.iter().product::<usize>()) } else { (whole_shape.iter().product(), m) };
        let (packing, rounding) = if packed.is_some() { (&mut [][..], scratch) } else { (scratch, &mut [][..]) };
        let mut batch = 0;
        while batch < batches && m * n > 0 {
            let of = |batch: usize, own: &[usize]| if single { 0 } else { broadcast_index(batch, whole_shape, own) };
            let index = of(batch, sizes.b);
            let right: PackedRef<'_> = match packed {
                Some(packed) => (&packed[index.min(packed.len() - 1)]).into(),
                None => {
                    pack_into(set, &Matrix::new(&b[index * k * n..][..k * n], k, n, Layout::RowMajor), &mut *packing)?
                }
            };
            while batch < batches && of(batch, sizes.b) == index {
                let rows = &a[of(batch, sizes.a) * m * k..][..m * k];
                gemm_dense(set, rows, m, right, &epilogue, &mut c[batch * m * n..][..m * n], rounding)?;
                batch += 1;
            }
        }
        Ok(())
    }
}

/// Ordinary numbers, but for a NaN in the second and an infinity in the third block along `axis`.
pub(crate) fn with_specials(shape: &[usize], axis: usize) -> Tensor {
    let mut tensor = filled(shape, Fill::Spread, 0);
    let block: usize = shape[axis..].iter().skip(1).product();
    let values = tensor.as_mut_slice::<f32>().expect("made as f32");
    values[block + block / 2] = f32::NAN;
    values[2 * block] = f32::INFINITY;
    tensor
}

fn cases() -> Vec<Case> {
    let case = |name: &str| Case::new(name, MatMul {});
    let spread = Fill::Spread;
    vec![
        case("constant").value(&[13, 37], spread).constant(&[37, 45], spread),
        case("batched by a constant").value(&[2, 3, 5, 19], spread).constant(&[19, 33], spread),
        case("deep").value(&[3, 1500], spread).constant(&[1500, 70], spread),
        case("one row").value(&[1, 64], spread).constant(&[64, 257], spread),
        case("one column").value(&[31, 64], spread).constant(&[64, 1], spread),
        case("batch of constants").value(&[3, 5, 8], spread).constant(&[3, 8, 6], spread),
        case("run time").value(&[15, 18], spread).value(&[18, 20], spread),
        case("run time, batched").value(&[2, 3, 7, 9], spread).value(&[2, 3, 9, 5], spread),
        case("broadcast left").value(&[1, 7, 9], spread).value(&[4, 9, 5], spread),
        case("broadcast both").value(&[2, 1, 7, 9], spread).value(&[3, 9, 5], spread),
        case("broadcast right").value(&[2, 3, 7, 9], spread).value(&[9, 5], spread),
        case("constant left").constant(&[7, 9], spread).value(&[2, 9, 5], spread),
        case("row vector").value(&[9], spread).value(&[2, 9, 5], spread),
        case("column vector").value(&[2, 4, 9], spread).constant(&[9], spread),
        case("two vectors").value(&[9], spread).value(&[9], spread),
        case("specials").tensor(with_specials(&[9, 24], 0)).constant(&[24, 40], spread),
        case("large").value(&[9, 24], Fill::Large).constant(&[24, 40], Fill::Large),
        case("empty sum").value(&[3, 0], spread).value(&[0, 4], spread),
        case("empty sum, constant").value(&[3, 0], spread).constant(&[0, 4], spread),
        case("no rows").value(&[0, 5], spread).constant(&[5, 4], spread),
        case("no columns").value(&[3, 5], spread).value(&[5, 0], spread),
        case("no batch").value(&[0, 3, 5], spread).value(&[1, 5, 2], spread),
    ]
}

//! Weights of bytes, multiplied with numbers that become bytes by their range.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, quantize::quantize},
    op::{Inputs, KernelRequest},
    ops::{
        quantized::{
            dynamic::range_of,
            product::{Left, Right},
        },
        recurrent::Recurrent,
    },
    shape::Shape,
    tensor::{DType, Tensor},
};

/// One matrix, `[rows, columns]`, less its zero points.
pub(super) struct Bytes {
    values: Right,
    columns: usize,
    /// One, or one for each column.
    scales: Vec<f32>,
}

impl Bytes {
    /// The matrices of each way of a constant operand; the operand with its scales is followed by
    /// that with its zero points.
    pub(super) fn all(request: &KernelRequest<'_>, operand: usize, scale: usize) -> Result<Vec<Self>> {
        let known = |index: usize| {
            let tensor = request.take_constant(index).cloned();
            tensor.ok_or_else(|| Error::unsupported(format!("operand {index} must be constant")))
        };
        let (weights, scales, zeros) = (known(operand)?, known(scale)?, known(scale + 1)?);
        let (values, zeros) = (wide(&weights)?, wide(&zeros)?);
        let &[ways, rows, columns] = weights.shape() else {
            return Err(Error::internal("weights of another rank were not refused"));
        };
        let scales = scales.as_slice::<f32>()?;
        let part = |all: usize| all / ways.max(1);
        let of_way = |way: usize| {
            let zeros = &zeros[way * part(zeros.len())..][..part(zeros.len())];
            let values = &values[way * rows * columns..][..rows * columns];
            let less = |row: usize, column: usize| values[row * columns + column] - zeros[column % zeros.len()];
            Ok(Self {
                values: Right::new(request.kernel_set(), rows, columns, less)?,
                columns,
                scales: scales[way * part(scales.len())..][..part(scales.len())].to_vec(),
            })
        };
        (0..ways).map(of_way).collect()
    }

    /// The product with `rows` rows, which become bytes by the range of them all, plus a bias.
    ///
    /// # Errors
    /// `Internal` if a length does not fit.
    pub(super) fn product(
        &self,
        set: KernelSet,
        x: &[f32],
        rows: usize,
        bias: Option<&[f32]>,
        to: &mut [f32],
    ) -> Result<()> {
        let columns = self.columns;
        let (scale, zero) = range_of(set, x);
        let (mut bytes, mut sums) = (vec![0; x.len()], vec![0; rows * columns]);
        quantize(set, x, scale, zero, &mut bytes);
        self.values.multiply(set, &Left::of(set, &bytes, zero), 0, &mut sums)?;
        for (at, (to, sum)) in to.iter_mut().zip(sums).enumerate() {
            let column = at % columns;
            let own = scale * self.scales[column % self.scales.len()];
            *to = sum as f32 * own + bias.map_or(0.0, |bias| bias[column]);
        }
        Ok(())
    }

    pub(super) fn byte_len(&self) -> usize {
        self.values.bytes() + self.scales.len() * size_of::<f32>()
    }
}

fn wide(tensor: &Tensor) -> Result<Vec<i16>> {
    match tensor.dtype() {
        DType::I8 => Ok(tensor.as_slice::<i8>()?.iter().map(|&x| x.into()).collect()),
        DType::U8 => Ok(tensor.as_slice::<u8>()?.iter().map(|&x| x.into()).collect()),
        other => Err(Error::internal(format!("weights of {other} were not refused"))),
    }
}

impl Recurrent {
    /// Checks the types of weights of bytes, and their scales and zero points.
    pub(super) fn check_bytes(&self, inputs: &Inputs<'_>, ways: usize, columns: usize) -> Result<()> {
        let groups = [Shape::fixed(&[ways]), Shape::fixed(&[ways, columns])];
        for (weights, scale) in [(1, 8), (2, 10)] {
            let (weights, scale, zero) =
                (inputs.required(weights)?, inputs.required(scale)?, inputs.required(scale + 1)?);
            let fits = |fact: &Fact| groups.contains(&fact.shape);
            let is_bytes = matches!(weights.dtype, DType::I8 | DType::U8) && zero.dtype == weights.dtype;
            if !is_bytes || !fits(scale) || !fits(zero) {
                return Err(Error::invalid_model(format!(
                    "weights {weights} with scales {scale} and zero points {zero}"
                )));
            }
        }
        Ok(())
    }
}

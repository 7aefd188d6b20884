//! Products of bytes less their zero points, with a right operand that is packed once.
//!
//! Where a kernel set multiplies bytes, operands stay bytes, and what their zero points add to a sum
//! is subtracted behind the product: `sum (a - p)(b + q)`, with `q` of a column and `p` of a row, is
//! `sum a b - p sum b + q sum (a - p)`.

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{Epilogue, Factors, Integer, PackedIntegers, Rows, Segment, Sums},
        integers,
        norm::layer_norm_rows,
        simd::map_in_place,
    },
    op::KernelRequest,
    ops::quantized::centered::centered,
    tensor::{DType, View},
    threads::split,
};

/// Rows of bytes, as the kernel set multiplies them.
pub(in crate::ops) enum Left<'a> {
    /// Bytes without a sign, and the zero point of all rows or of each.
    Bytes(Cow<'a, [u8]>, Vec<i32>),
    /// Bytes less their zero points.
    Words(Cow<'a, [i16]>),
}

impl<'a> Left<'a> {
    /// The bytes of `view`, which has a zero point for each of `groups` rows of `len`, or one for all.
    pub(in crate::ops) fn new(
        set: KernelSet,
        view: View<'a>,
        zero_points: Option<View<'_>>,
        groups: usize,
        len: usize,
    ) -> Result<Self> {
        if Factors::integers(set.for_integers()) == Factors::Words {
            return Ok(Self::Words(centered(view, zero_points, groups, len)?.into()));
        }
        let bytes = unsigned(view)?;
        let zeros = match zero_points {
            Some(view) => unsigned(view)?.iter().map(|&zero| zero.into()).collect(),
            None => vec![if view.dtype == DType::I8 { 128 } else { 0 }],
        };
        if zeros.len() != 1 && zeros.len() != groups {
            let (count, shape) = (zeros.len(), view.shape);
            return Err(Error::invalid_input(format!("{count} zero points for an operand of shape {shape:?}")));
        }
        Ok(Self::Bytes(bytes, zeros))
    }

    /// Bytes with one zero point.
    pub(in crate::ops) fn of(set: KernelSet, bytes: &'a [u8], zero_point: u8) -> Self {
        match Factors::integers(set.for_integers()) {
            Factors::Words => Self::Words(bytes.iter().map(|&byte| i16::from(byte) - i16::from(zero_point)).collect()),
            _ => Self::Bytes(bytes.into(), vec![zero_point.into()]),
        }
    }
}

/// What a row of bytes lacks of its zero points: the sum of `zero - byte`.
fn lack(zero: i32, row: &[u8]) -> i32 {
    let sum = row.iter().fold(0_i32, |sum, &byte| sum.wrapping_add(byte.into()));
    zero.wrapping_mul(row.len() as i32).wrapping_sub(sum)
}

/// Bytes without a sign: those with one plus 128.
fn unsigned(view: View<'_>) -> Result<Cow<'_, [u8]>> {
    match view.dtype {
        DType::U8 => Ok(view.bytes.into()),
        DType::I8 => Ok(view.bytes.iter().map(|byte| byte ^ 0x80).collect()),
        other => Err(Error::internal(format!("a product of {other} was not refused"))),
    }
}

/// A constant operand of bytes, taken by the kernel, and its zero points; `None` unless all of it is constant.
pub(super) fn constant<'r>(
    request: &KernelRequest<'r>,
    operand: usize,
    zero: usize,
) -> Option<(View<'r>, Option<View<'r>>)> {
    let zero_points = request.constant(zero);
    if zero_points.is_none() && request.inputs().fact(zero).is_some() {
        return None;
    }
    Some((request.take_constant(operand)?.view(), zero_points.map(|tensor| tensor.view())))
}

/// The matrices of a right operand, packed for products.
pub(super) struct Matrices {
    pub(super) all: Vec<Right>,
    /// The operand's shape.
    pub(super) shape: Vec<usize>,
}

impl Matrices {
    /// Those of operand `b`, if it and its zero points are constant.
    pub(super) fn constant(request: &KernelRequest<'_>, b: usize, zero: usize) -> Result<Option<Self>> {
        let known = constant(request, b, zero);
        known.map(|(b, zero_points)| Self::new(request.kernel_set(), b, zero_points)).transpose()
    }

    /// Packs the matrices of `b`.
    pub(super) fn new(set: KernelSet, b: View<'_>, zero_points: Option<View<'_>>) -> Result<Self> {
        let (k, n) = match *b.shape {
            [.., k, n] => (k, n),
            [k] => (k, 1),
            [] => return Err(Error::internal("a product with a scalar was not refused")),
        };
        let numbers = centered(b, zero_points, n, 1)?;
        let shape = b.shape.to_vec();
        if k * n == 0 {
            // All are empty; one stands for all.
            return Ok(Self { all: vec![Right::new(set, k, n, |_, _| 0)?], shape });
        }
        let pack = |matrix: &[i16]| Right::new(set, k, n, |row, column| matrix[row * n + column]);
        Ok(Self { all: numbers.chunks_exact(k * n).map(pack).collect::<Result<_>>()?, shape })
    }

    /// Memory used in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.all.iter().map(Right::bytes).sum()
    }
}

/// A matrix of bytes less their zero points, packed for products.
pub(in crate::ops) struct Right {
    packed: PackedIntegers,
    k: usize,
    n: usize,
    /// A row of K numbers.
    whole: [Segment; 1],
    /// The sum of each packed column.
    sums: Vec<i32>,
    /// What each packed column lacks; empty if none lacks anything.
    shifts: Vec<i32>,
}

impl Right {
    /// Packs the `k x n` matrix whose elements `at` tells by row and column: a byte less another.
    ///
    /// # Errors
    /// `Limit` if the packed size overflows.
    pub(in crate::ops) fn new(set: KernelSet, k: usize, n: usize, at: impl Fn(usize, usize) -> i16) -> Result<Self> {
        let set = set.for_integers();
        let mut shifts = vec![0_i16; n];
        if Factors::integers(set) == Factors::Bytes {
            let ends_of = |column: usize| {
                let column = (0..k).map(|row| at(row, column));
                column.fold((0, 0), |(least, most): (i16, i16), x| (least.min(x), most.max(x)))
            };
            let ends: Vec<(i16, i16)> = (0..n).map(ends_of).collect();
            let (least, most) = ends.iter().fold((0, 0), |(least, most), own| (own.0.min(least), own.1.max(most)));
            for (shift, own) in shifts.iter_mut().zip(ends) {
                // Bytes less one of them span no more than 255. One shift for all columns is cheaper.
                *shift = match most - least {
                    ..=255 if least >= -128 && most <= 127 => 0,
                    ..=255 => least + 128,
                    _ if own.0 >= -128 && own.1 <= 127 => 0,
                    _ => own.0 + 128,
                };
            }
        }
        let packed = PackedIntegers::new(set, k, n, |row, column| at(row, column) - shifts[column])?;
        let sum =
            |column: usize| (0..k).fold(0_i32, |sum, row| sum.wrapping_add((at(row, column) - shifts[column]).into()));
        let sums = (0..n).map(sum).collect();
        let shifts = if shifts.iter().all(|&shift| shift == 0) { Vec::new() } else { shifts };
        let whole = [Segment { offset: 0, len: k }];
        Ok(Self { packed, k, n, whole, sums, shifts: shifts.into_iter().map(i32::from).collect() })
    }

    /// Memory used in bytes.
    pub(in crate::ops) fn bytes(&self) -> usize {
        self.packed.bytes() + size_of_val(self.sums.as_slice()) + size_of_val(self.shifts.as_slice())
    }

    /// Writes the product with the rows of `left` from element `start` on to `c`, as many as it has room for.
    ///
    /// # Errors
    /// `Internal` if a length does not fit.
    pub(in crate::ops) fn multiply(&self, set: KernelSet, left: &Left<'_>, start: usize, c: &mut [i32]) -> Result<()> {
        if self.n == 0 {
            return Ok(());
        }
        match left {
            Left::Words(words) => self.packed.multiply(&self.rows(words, start, c.len())?, c),
            Left::Bytes(bytes, zeros) => {
                let rows = self.rows(bytes, start, c.len())?;
                self.packed.multiply(&rows, c)?;
                let Self { k, n, sums, shifts, .. } = self;
                if zeros.iter().all(|&zero| zero == 0) && shifts.is_empty() {
                    return Ok(());
                }
                for (row, c) in c.chunks_exact_mut(*n).enumerate() {
                    let zero = if let [zero] = zeros[..] { zero } else { zeros[row] };
                    integers::subtract_scaled(set, c, zero, sums);
                    if !shifts.is_empty() {
                        integers::subtract_scaled(set, c, lack(zero, &rows.data[row * k..][..*k]), shifts);
                    }
                }
                Ok(())
            }
        }
    }

    /// Writes the product with all rows of `left`, as numbers: sums times the scale of their column, and an epilogue.
    ///
    /// # Errors
    /// `Internal` if a length does not fit.
    pub(in crate::ops) fn multiply_numbers(
        &self,
        set: KernelSet,
        left: &Left<'_>,
        scales: &[f32],
        epilogue: Epilogue<'_>,
        to: &mut [f32],
    ) -> Result<()> {
        let &Self { n, k, .. } = self;
        if n == 0 {
            return Ok(());
        }
        if scales.len() != n || epilogue.bias.is_some_and(|bias| bias.len() != n) {
            return Err(Error::internal(format!("{} scales, or a bias, of {n} columns", scales.len())));
        }
        let dressed = |columns, rows| Epilogue { sums: Some(Sums { scales, columns, rows }), ..epilogue };
        match left {
            Left::Words(words) => {
                let rows = self.rows(words, 0, to.len())?;
                self.packed.multiply_numbers(&rows, &dressed(&vec![0; n], &[]), to)
            }
            Left::Bytes(bytes, zeros) if zeros.len() == 1 && self.shifts.windows(2).all(|pair| pair[0] == pair[1]) => {
                let (rows, zero) = (self.rows(bytes, 0, to.len())?, zeros[0]);
                let columns: Vec<i32> = self.sums.iter().map(|sum| sum.wrapping_mul(zero)).collect();
                let mut of_rows = Vec::new();
                if let Some(shift) = self.shifts.first() {
                    of_rows.resize(rows.rows, 0);
                    let parts = split::parts(rows.rows.saturating_mul(k));
                    split::each_of(&mut of_rows, 1, parts, &|first, of_rows: &mut [i32]| {
                        for (row, of_row) in (first..).zip(of_rows) {
                            *of_row = lack(zero, &rows.data[row * k..][..k]).wrapping_mul(*shift);
                        }
                    });
                }
                self.packed.multiply_numbers(&rows, &dressed(&columns, &of_rows), to)
            }
            left => {
                self.multiply(set, left, 0, bytemuck::cast_slice_mut(&mut *to))?;
                for row in to.chunks_exact_mut(n) {
                    for (column, (to, scale)) in row.iter_mut().zip(scales).enumerate() {
                        let number = to.to_bits().cast_signed() as f32 * scale;
                        *to = epilogue.bias.map_or(number, |bias| number + bias[column]);
                    }
                }
                map_in_place(set, epilogue.activation, to);
                if let Some(residual) = epilogue.residual {
                    to.iter_mut().zip(residual).for_each(|(to, residual)| *to += residual);
                }
                epilogue.layer_norm.map_or(Ok(()), |norm| layer_norm_rows(set, to, &norm))
            }
        }
    }

    /// As many rows of `data` from element `start` on as a result of `len` elements has.
    fn rows<'r, T: Integer>(&'r self, data: &'r [T], start: usize, len: usize) -> Result<Rows<'r, T>> {
        let rows = len / self.n.max(1);
        let data = rows.checked_mul(self.k).and_then(|count| data.get(start..)?.get(..count));
        let data = data.ok_or_else(|| Error::internal(format!("{rows} rows of {} bytes are not there", self.k)))?;
        Ok(Rows { data, rows, stride: self.k, segments: &self.whole })
    }
}

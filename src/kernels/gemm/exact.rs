//! Products of integers as they are: exact sums, which wrap at 32 bits.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        gemm::{
            epilogue::Epilogue,
            factor::Factors,
            integers::Integer,
            packed::{Packed, PackedRef},
            product::Product,
            rows::Rows,
        },
    },
};

/// A matrix of integers, packed for exact products.
#[derive(Clone, Debug)]
pub(crate) struct PackedIntegers(Packed);

impl PackedIntegers {
    /// Packs the `k x n` matrix whose elements `at` tells by row and column.
    ///
    /// They fit 8 bits where `set` multiplies bytes ([`Factors::integers`]), else 16.
    ///
    /// # Errors
    /// `Limit` if the packed size overflows.
    pub(crate) fn new(set: KernelSet, k: usize, n: usize, at: impl Fn(usize, usize) -> i16) -> Result<Self> {
        Packed::of_integers(set, Factors::integers(set), k, n, at).map(Self)
    }

    /// Memory used in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Writes the sums of products to `c`, of as many rows as `a` has, dense.
    ///
    /// # Errors
    /// `Internal` if a length or the type of A does not fit.
    pub(crate) fn multiply<T: Integer>(&self, a: &Rows<'_, T>, c: &mut [i32]) -> Result<()> {
        self.compute(a, &Epilogue::default(), bytemuck::cast_slice_mut(c))
    }

    /// Writes the sums of products, turned into numbers, to `c`, of as many rows as `a` has, dense.
    ///
    /// # Errors
    /// `Internal` if a length or the type of A does not fit, or `epilogue` lacks what turns sums into numbers.
    pub(crate) fn multiply_numbers<T: Integer>(
        &self,
        a: &Rows<'_, T>,
        epilogue: &Epilogue<'_>,
        c: &mut [f32],
    ) -> Result<()> {
        if epilogue.sums.is_none() {
            return Err(Error::internal("sums without scales as numbers"));
        }
        self.compute(a, epilogue, c)
    }

    fn compute<T: Integer>(&self, a: &Rows<'_, T>, epilogue: &Epilogue<'_>, c: &mut [f32]) -> Result<()> {
        let b = PackedRef::from(&self.0);
        let n = b.n();
        if a.rows.checked_mul(n) != Some(c.len()) {
            return Err(Error::internal(format!("{} sums of {} x {n} products", c.len(), a.rows)));
        }
        Product::exact(self.0.set(), a, b, epilogue, c, n)?.compute();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{
        Activation,
        gemm::{Segment, Sums},
        norm::{LayerNorm, layer_norm_rows},
        simd::map_in_place,
    };

    fn sets() -> Vec<KernelSet> {
        let mut sets = KernelSet::available_int8();
        #[cfg(target_arch = "x86_64")]
        sets.extend(KernelSet::amx_for_tests());
        sets
    }

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0).collect()
    }

    /// The product by plain loops, its epilogue by passes of their own.
    fn naive(set: KernelSet, a: &[i64], b: &[i64], [m, n, k]: [usize; 3], epilogue: &Epilogue<'_>) -> Vec<f32> {
        let sums = epilogue.sums.expect("sums become numbers");
        let mut all = Vec::new();
        for row in 0..m {
            for column in 0..n {
                let sum: i64 = (0..k).map(|at| a[row * k + at] * b[at * n + column]).sum();
                let of_row = sums.rows.get(row).copied().unwrap_or(0);
                let number = (sum as i32).wrapping_sub(sums.columns[column]).wrapping_sub(of_row) as f32;
                let number = number * sums.scales[column];
                all.push(epilogue.bias.map_or(number, |bias| number + bias[column]));
            }
        }
        map_in_place(set, epilogue.activation, &mut all);
        if let Some(residual) = epilogue.residual {
            all.iter_mut().zip(residual).for_each(|(x, residual)| *x += residual);
        }
        if let Some(norm) = epilogue.layer_norm {
            layer_norm_rows(set, &mut all, &norm).unwrap();
        }
        all
    }

    fn check<T: Integer>(set: KernelSet, [m, n, k]: [usize; 3], to: impl Fn(u8) -> T) {
        let bytes: Vec<u8> = (0..m * k).map(|at| (at * 97 % 256) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|at| (at * 131 % 256) as u8 as i8).collect();
        let a: Vec<T> = bytes.iter().map(|&byte| to(byte)).collect();
        let packed = PackedIntegers::new(set, k, n, |row, column| b[row * n + column].into()).unwrap();
        let segments = [Segment { offset: 0, len: k }];
        let rows = Rows { data: &a, rows: m, stride: k, segments: &segments };
        let wide = [bytes.iter().map(|&x| x.into()).collect::<Vec<i64>>(), b.iter().map(|&x| x.into()).collect()];
        let (mut scales, bias, residual) = (numbers(n, 1), numbers(n, 2), numbers(m * n, 3));
        let columns: Vec<i32> = (0..n as i32).map(|at| at * 977 - 5000).collect();
        let of_rows: Vec<i32> = (0..m as i32).map(|at| 300 - at * 7717).collect();
        let norm = LayerNorm { scale: &numbers(n, 4), bias: Some(&numbers(n, 5)), epsilon: 1e-5 };
        for hostile in [false, true] {
            if hostile {
                for (scale, own) in scales.iter_mut().zip([f32::INFINITY, 0.0, f32::NAN, -1e-42, 3e38]) {
                    *scale = own;
                }
            }
            for (activation, dressed) in
                [(Activation::None, false), (Activation::Gelu, true), (Activation::GeluTanh, true)]
            {
                let sums = Sums { scales: &scales, columns: &columns, rows: if dressed { &of_rows } else { &[] } };
                let epilogue = Epilogue {
                    bias: dressed.then_some(&bias),
                    activation,
                    residual: dressed.then_some(&residual),
                    layer_norm: (activation == Activation::Gelu).then_some(norm),
                    sums: Some(sums),
                    ..Epilogue::default()
                };
                let mut c = vec![7.0_f32; m * n];
                packed.multiply_numbers(&rows, &epilogue, &mut c).unwrap();
                let want = naive(set, &wide[0], &wide[1], [m, n, k], &epilogue);
                let same = c.iter().zip(&want).all(|(x, y)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()));
                assert!(same, "{m}x{n}x{k} {set} {activation:?} {hostile}");
                let short = Epilogue { sums: Some(Sums { columns: &columns[..n - 1], ..sums }), ..epilogue };
                assert!(packed.multiply_numbers(&rows, &short, &mut c).is_err());
                assert!(packed.multiply_numbers(&rows, &Epilogue { sums: None, ..epilogue }, &mut c).is_err());
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "long loops, and instructions that an interpreter lacks")]
    fn sums_become_numbers_as_by_passes_of_their_own() {
        for set in sets() {
            for sizes in [[1, 1, 1], [3, 5, 7], [32, 32, 64], [33, 65, 66], [70, 31, 257], [14, 40, 4301], [2, 6, 0]] {
                match Factors::integers(set) {
                    Factors::Bytes => check::<u8>(set, sizes, |byte| byte),
                    _ => check::<i16>(set, sizes, i16::from),
                }
            }
        }
    }
}

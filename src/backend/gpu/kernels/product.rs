//! What the tiled products share: tiles, packed weights, generated registers.

use std::{fmt::Write, sync::Arc};

use half::f16;

use crate::{
    backend::gpu::{kernels::functions::unary, operand::WeightFormat, program::Program, request::GpuRequest},
    error::{Error, Result},
    kernels::Activation,
    ops::pointwise::UnaryFunction as U,
};

/// The results that a workgroup computes, `bm x bn`, each invocation `tm x tn` of them, `bk` summands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub bm: usize,
    pub bn: usize,
    pub bk: usize,
    pub tm: usize,
    pub tn: usize,
}

/// The most rows of a run that is computed in tiles of few rows.
const FEW_ROWS: usize = 16;

const LARGE: Tile = Tile { bm: 128, bn: 128, bk: 16, tm: 8, tn: 8 };
const MIDDLE: Tile = Tile { bm: 64, bn: 64, bk: 16, tm: 4, tn: 4 };
const SMALL: Tile = Tile { bm: 32, bn: 32, bk: 8, tm: 4, tn: 4 };

impl Tile {
    /// The tile for products with `n` columns. It depends on nothing that changes from run to run, so that a session
    /// always sums alike.
    pub fn of(n: usize) -> Self {
        match n {
            0..=32 => SMALL,
            33..=256 => MIDDLE,
            _ => LARGE,
        }
    }

    /// The tile for runs of few rows, for weights packed alike. Each sum is worked out in the same order, so that a row's
    /// bits do not depend on how many there are.
    fn of_few_rows(&self) -> Self {
        Self { bm: 8, bn: self.bn.min(64), bk: self.bk, tm: 1, tn: 4 }
    }

    pub fn threads(&self) -> usize {
        (self.bm / self.tm) * (self.bn / self.tn)
    }

    /// The values that `shaders/shared/product.wgsl` takes, and the workgroup's size.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let Tile { bm, bn, bk, tm, tn } = *self;
        let threads = self.threads();
        let columns = tn / 4;
        let (mut zeros, mut multiply, mut store) = (String::new(), String::new(), String::new());
        let line = |text: &mut String, line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for column in 0..columns {
            line(&mut multiply, format!("            let b{column} = b_tile[b_first + {column}u];"));
        }
        for row in 0..tm {
            line(&mut multiply, format!("            let a{row} = vec4<f32>(a_tile[a_first + {row}u]);"));
            for column in 0..columns {
                let sum = format!("sum_{row}_{column}");
                line(&mut zeros, format!("    var {sum} = vec4<f32>();"));
                line(&mut multiply, format!("            {sum} = fma(a{row}, b{column}, {sum});"));
                for (place, name) in ["x", "y", "z", "w"].into_iter().enumerate() {
                    let at = column * 4 + place;
                    let put =
                        format!("put(first_row + own_row + {row}u, first_column + own_column + {at}u, {sum}.{name});");
                    line(&mut store, format!("    {put}"));
                }
            }
        }
        vec![
            ("bm", bm.to_string()),
            ("bn", bn.to_string()),
            ("bk", bk.to_string()),
            ("tm", tm.to_string()),
            ("tn", tn.to_string()),
            ("threads", threads.to_string()),
            ("workgroup", threads.to_string()),
            ("zeros", zeros),
            ("multiply", multiply),
            ("store", store),
        ]
    }

    /// How often an invocation goes round loops in a product of `k` summands.
    pub fn turns(&self, k: usize) -> usize {
        let loads = (self.bm * self.bk / 4).div_ceil(self.threads()) + (self.bk * self.bn / 4).div_ceil(self.threads());
        k.div_ceil(self.bk) * (self.bk + loads + 1)
    }

    /// Rows and columns of weights `k x n` with the zeros that make whole tiles.
    pub fn padded(&self, k: usize, n: usize) -> (usize, usize) {
        (k.next_multiple_of(self.bk), n.next_multiple_of(self.bn))
    }

    /// Weights with zeros behind them: `k x n` of which `at(row, column)` tells the elements.
    pub fn pack(&self, held: Held, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) -> Vec<u8> {
        let (rows, columns) = self.padded(k, n);
        let mut packed = vec![0; rows * columns * held.bytes()];
        for (row, packed) in packed.chunks_exact_mut((columns * held.bytes()).max(1)).enumerate().take(k) {
            for (column, bytes) in packed.chunks_exact_mut(held.bytes()).enumerate().take(n) {
                held.write(at(row, column), bytes);
            }
        }
        packed
    }

    /// Columns of the widest part of weights with `k` rows that one binding takes.
    pub fn columns_of_part(&self, request: &GpuRequest<'_>, held: Held, k: usize) -> Result<usize> {
        let column = (self.padded(k, 0).0.max(1) * held.bytes()) as u64;
        let columns = (request.binding_limit / column) as usize / self.bn * self.bn;
        if columns == 0 {
            let limit = request.binding_limit;
            return Err(Error::limit(format!("weights of {k} rows, where this device binds at most {limit} bytes")));
        }
        Ok(columns)
    }
}

/// How the weights of one product are held: rounded or not, and times a power of two, which moves the largest of them
/// to the top of f16's range. So none overflows, and what is lost at the other end is 2^-29 of the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    format: WeightFormat,
    exponent: i32,
}

/// Magnitudes stay below 2 to this, half of where f16 ends.
const TOP: i32 = 15;

impl Held {
    /// Weights that are not packed.
    pub const AS_THEY_ARE: Self = Self { format: WeightFormat::F32, exponent: 0 };

    /// These weights in the format. Those that are not finite are what they are in every format.
    pub fn of(format: WeightFormat, weights: impl Iterator<Item = f32>) -> Self {
        let largest = match format {
            WeightFormat::F32 => 0.0,
            WeightFormat::F16 => {
                weights.filter(|weight| weight.is_finite()).fold(0f32, |most, own| most.max(own.abs()))
            }
        };
        // The bound is that of the exponents which f32 has for the factor and its inverse.
        let exponent = if largest > 0.0 { TOP - 1 - largest.log2().floor() as i32 } else { 0 };
        Self { format, exponent: exponent.clamp(-126, 126) }
    }

    fn bytes(self) -> usize {
        match self.format {
            WeightFormat::F32 => 4,
            WeightFormat::F16 => 2,
        }
    }

    fn write(self, weight: f32, to: &mut [u8]) {
        match self.format {
            WeightFormat::F32 => to.copy_from_slice(&weight.to_ne_bytes()),
            WeightFormat::F16 => {
                let scaled = f16::from_f64(f64::from(weight) * f64::from(self.exponent).exp2());
                to.copy_from_slice(&scaled.to_ne_bytes());
            }
        }
    }

    /// The word by which a shader multiplies sums.
    pub fn factor(self) -> u32 {
        (-self.exponent as f32).exp2().to_bits()
    }

    /// The WGSL type of four weights.
    pub fn kind(self) -> &'static str {
        match self.format {
            WeightFormat::F32 => "vec4<f32>",
            WeightFormat::F16 => HALVES,
        }
    }

    /// The lines that return the four weights at number `at` of the buffer `w`.
    pub fn load(self, at: &str) -> String {
        match self.format {
            WeightFormat::F32 => format!("    return w[{at}];"),
            WeightFormat::F16 => unpack("w", at),
        }
    }
}

/// The WGSL type of four numbers in f16.
pub(super) const HALVES: &str = "vec2<u32>";

/// The lines that return the four numbers in f16 at number `at` of `buffer`.
pub(super) fn unpack(buffer: &str, at: &str) -> String {
    format!(
        "    let halves = {buffer}[{at}];\n    \
         return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));"
    )
}

/// The shaders of one product: for many rows, and for few.
pub(super) struct Tiled {
    many: (Tile, Arc<Program>),
    few: (Tile, Arc<Program>),
}

impl Tiled {
    /// The shaders that `make` makes with the values of their tiles.
    pub fn new(tile: Tile, make: impl Fn(Vec<(&'static str, String)>) -> Result<Arc<Program>>) -> Result<Self> {
        let few = tile.of_few_rows();
        Ok(Self { many: (tile, make(tile.values())?), few: (few, make(few.values())?) })
    }

    /// The tile that the weights are packed for.
    pub fn packed(&self) -> Tile {
        self.many.0
    }

    /// The tile and shader of a run with so many rows.
    pub fn of_rows(&self, rows: usize) -> (Tile, &Program) {
        let (tile, program) = if rows <= FEW_ROWS { &self.few } else { &self.many };
        (*tile, program)
    }
}

/// An activation of the f32 `x`.
pub(super) fn activation(activation: Activation, x: &str) -> Option<String> {
    let function = match activation {
        Activation::None => return Some(x.to_owned()),
        Activation::Relu => U::Relu,
        Activation::LeakyRelu { slope } => U::LeakyRelu { alpha: slope },
        Activation::Clip { low, high } => U::Clip { low, high },
        Activation::Gelu => U::Gelu,
        Activation::GeluTanh => U::GeluTanh,
        Activation::Tanh => U::Tanh,
        Activation::Sigmoid => U::Sigmoid,
        Activation::Silu => U::Silu,
        Activation::HardSigmoid { alpha, beta } => U::HardSigmoid { alpha, beta },
        Activation::HardSwish => U::HardSwish,
        Activation::Exp => U::Exp,
        Activation::Erf => U::Erf,
        Activation::Abs => U::Abs,
        Activation::Neg => U::Neg,
        Activation::Sqrt => U::Sqrt,
        Activation::Reciprocal => U::Reciprocal,
    };
    unary(function, x)
}

/// Declares bindings one behind another: name, WGSL type of an element, whether it is written.
pub(super) fn bindings(all: &[(&str, &str, bool)]) -> String {
    let mut text = String::new();
    for (number, (name, kind, written)) in all.iter().enumerate() {
        let access = if *written { "read_write" } else { "read" };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "@group(0) @binding({number}) var<storage, {access}> {name}: array<{kind}>;");
    }
    text
}

/// A number for each of three dimensions, of a list for the last ones of them.
pub(super) fn space(list: &[usize]) -> String {
    let mut whole = [1usize; 3];
    whole[3 - list.len()..].copy_from_slice(list);
    format!("{}u, {}u, {}u", whole[0], whole[1], whole[2])
}

/// Values as `expand` takes them.
pub(super) fn borrowed<'a>(values: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    values.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

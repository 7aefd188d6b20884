//! Products by cooperative matrices: rows are made f16, multiplied where they lie, and what follows the sums comes last.

use std::{fmt::Write, sync::Arc};

use crate::{
    backend::gpu::{
        cooperative::Matrices,
        kernel::{GpuRequest, Operand, Recorder, WeightFormat, word},
        kernels::product::{bindings, borrowed},
        shader::Program,
    },
    error::Result,
};

/// Rows and columns of a matrix, and summands of one step.
const SIDE: usize = 16;
/// Rows and columns that a workgroup makes.
const TILE: usize = 64;
/// Fewer columns are not worth a tile of so many.
const LEAST_COLUMNS: usize = 33;

/// The shaders of one product.
pub(super) struct Cooperative {
    way: Matrices,
    halves: Arc<Program>,
    matrices: Arc<Program>,
    follow: Arc<Program>,
    k: usize,
    n: usize,
}

/// What follows a product, as WGSL.
pub(super) struct Follow<'a> {
    pub activation: &'a str,
    pub bias: bool,
    pub residual: bool,
}

/// One part of the weights: its operand, its first column, its columns, and those of a row as it is packed.
pub(super) struct Part {
    pub weights: Operand,
    pub first: usize,
    pub columns: usize,
    pub width: usize,
}

impl Cooperative {
    /// For a product with packed weights `k x n`, where the session multiplies so and the sizes are of whole matrices.
    pub fn new(request: &GpuRequest<'_>, (k, n): (usize, usize), follow: &Follow<'_>) -> Result<Option<Self>> {
        let Some(way) = request.matrices.filter(|_| request.format == WeightFormat::F16) else { return Ok(None) };
        if !n.is_multiple_of(SIDE) || n < LEAST_COLUMNS || k < SIDE {
            return Ok(None);
        }
        let mut bound = vec![("y", "f32", true)];
        let mut also = |name, is_bound: bool| bound.extend(is_bound.then_some((name, "f32", false)));
        also("bias", follow.bias);
        also("residual", follow.residual);
        let values = [
            ("bindings", bindings(&bound)),
            ("activation", follow.activation.to_owned()),
            ("bias", if follow.bias { " + bias[own]" } else { "" }.to_owned()),
            ("residual", if follow.residual { " + residual[at]" } else { "" }.to_owned()),
        ];
        Ok(Some(Self {
            way,
            halves: request.program("halves", &[])?,
            matrices: request.program("cooperative", &borrowed(&values_of(way)))?,
            follow: request.program("follow", &borrowed(&values))?,
            k,
            n,
        }))
    }

    /// Numbers of a row of f16: whole matrices.
    pub fn width(&self) -> usize {
        self.k.next_multiple_of(SIDE)
    }

    /// Bytes of so many rows of f16.
    pub fn scratch_bytes(&self, rows: usize) -> u64 {
        (rows * self.width() * 2) as u64
    }

    /// Whether so many rows fill a matrix.
    pub fn takes(&self, rows: usize) -> bool {
        rows >= SIDE
    }

    /// Makes the rows f16, which go to the scratch.
    pub fn round(&self, run: &mut Recorder<'_>, rows: usize) -> Result<()> {
        let words = [word(rows)?, word(self.k)?, word(self.width() / 2)?];
        let groups = (rows * self.width() / 2).div_ceil(256);
        run.dispatch(&self.halves, &[("x", Operand::Input(0)), ("y", Operand::Scratch)], &words, groups)
    }

    /// The sums of a part of the columns, from rows that were rounded.
    pub fn multiply(&self, run: &mut Recorder<'_>, rows: usize, part: &Part) -> Result<()> {
        let k = self.width();
        let steps = k / SIDE;
        run.loops(match self.way {
            Matrices::Instructions => steps,
            Matrices::Loops => steps * (1 + (TILE / SIDE).pow(2) * EACH) + (TILE / SIDE).pow(2) * EACH,
        })?;
        let tiles = part.columns.div_ceil(TILE);
        let groups = rows.div_ceil(TILE) * tiles;
        let mut words = Vec::with_capacity(8);
        for number in [rows, k, self.n, tiles.max(1), part.first, part.columns, part.width, groups] {
            words.push(word(number)?);
        }
        let operands = [("x", Operand::Scratch), ("w", part.weights), ("y", Operand::Output(0))];
        run.dispatch(&self.matrices, &operands, &words, groups)
    }

    /// What follows, on the sums of all columns.
    pub fn finish(&self, run: &mut Recorder<'_>, rows: usize, factor: u32, others: &[(&str, Operand)]) -> Result<()> {
        let count = rows * self.n;
        let words = [word(count)?, word(self.n)?, factor];
        let mut operands = vec![("y", Operand::Output(0))];
        operands.extend_from_slice(others);
        run.dispatch(&self.follow, &operands, &words, count.div_ceil(256))
    }
}

/// Results of an invocation where loops stand for a matrix's instructions.
const EACH: usize = SIDE * SIDE / 32;

/// The values that `shaders/cooperative.wgsl` takes.
fn values_of(way: Matrices) -> Vec<(&'static str, String)> {
    let side = TILE / SIDE;
    let (mut zeros, mut multiply, mut store) = (String::new(), String::new(), String::new());
    let line = |text: &mut String, line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let sums = match way {
        Matrices::Instructions => "coop_mat16x16<f32, C>",
        Matrices::Loops => "Sums",
    };
    for part in 0..side {
        let at = part * SIDE;
        let (a, b) = (format!("row_of(first_row + {at}u) * p.k + k"), format!("k * p.width + first_column + {at}u"));
        let [a, b] = match way {
            Matrices::Instructions => [
                format!("coopLoadT<coop_mat16x16<f16, A>>(&x[{a}], p.k)"),
                format!("coopLoadT<coop_mat16x16<f16, B>>(&w[{b}], p.width)"),
            ],
            Matrices::Loops => [a, b],
        };
        line(&mut multiply, format!("        let a{part} = {a};\n        let b{part} = {b};"));
    }
    for row in 0..side {
        for column in 0..side {
            let sum = format!("sum_{row}_{column}");
            line(&mut zeros, format!("    var {sum} = {sums}();"));
            let (product, kept) = match way {
                Matrices::Instructions => {
                    (format!("coopMultiplyAdd(a{row}, b{column}, {sum})"), format!("coopStoreT({sum}, &y[at], p.n)"))
                }
                Matrices::Loops => {
                    (format!("product(a{row}, b{column}, {sum}, lane)"), format!("keep({sum}, at, lane)"))
                }
            };
            line(&mut multiply, format!("        {sum} = {product};"));
            let (down, right) = (row * SIDE, column * SIDE);
            line(
                &mut store,
                format!(
                    "    if first_row + {down}u < p.m && first_column + {right}u < p.columns {{\n        \
                     let at = row_of(first_row + {down}u) * p.n + p.first + first_column + {right}u;\n        \
                     {kept};\n    }}"
                ),
            );
        }
    }
    let (enable, kind, functions) = match way {
        Matrices::Instructions => ("enable f16;\nenable wgpu_cooperative_matrix;", "f16", String::new()),
        Matrices::Loops => ("", "u32", loops()),
    };
    vec![
        ("enable", enable.to_owned()),
        ("bindings", bindings(&[("x", kind, false), ("w", kind, false), ("y", "f32", true)])),
        ("functions", functions),
        ("zeros", zeros),
        ("multiply", multiply),
        ("store", store),
    ]
}

/// What stands for the instructions: the same sums by loops, so that all around them runs on adapters without them.
fn loops() -> String {
    let mut text = String::new();
    for (name, buffer) in [("left", "x"), ("right", "w")] {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "fn {name}(at: u32) -> f32 {{\n    let both = unpack2x16float({buffer}[at / 2u]);\n    \
             return select(both.x, both.y, at % 2u == 1u);\n}}"
        );
    }
    let summands: Vec<String> =
        (0..SIDE).map(|k| format!("left(own + {k}u) * right(other + {k}u * p.width)")).collect();
    let place =
        format!("let i = lane * {EACH}u + j;\n        let row = i / {SIDE}u;\n        let column = i % {SIDE}u;");
    let _written = write!(
        text,
        "alias Sums = array<f32, {EACH}>;\n\
         fn product(a: u32, b: u32, sums: Sums, lane: u32) -> Sums {{\n    var all = sums;\n    \
         for (var j = 0u; j < {EACH}u; j++) {{\n        {place}\n        \
         let own = a + row * p.k;\n        let other = b + column;\n        all[j] += {};\n    }}\n    return all;\n}}\n\
         fn keep(sums: Sums, at: u32, lane: u32) {{\n    var all = sums;\n    \
         for (var j = 0u; j < {EACH}u; j++) {{\n        {place}\n        \
         y[at + row * p.n + column] = all[j];\n    }}\n}}\n",
        summands.join(" + ")
    );
    text
}

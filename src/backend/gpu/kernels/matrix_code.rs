//! The generated parts of `shaders/cooperative.wgsl`.

use std::fmt::Write;

use crate::backend::gpu::{cooperative::Matrices, kernels::code::bindings};

/// Rows and columns of a matrix, and summands of one step.
pub(super) const SIDE: usize = 16;
/// Rows and columns of results of a workgroup.
pub(super) const TILE: usize = 64;
/// Results of an invocation if loops emulate the instructions.
pub(super) const EACH: usize = SIDE * SIDE / 32;

/// Generates the values of `shaders/cooperative.wgsl`.
pub(super) fn values_of(way: Matrices) -> Vec<(&'static str, String)> {
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

/// Generates loops that emulate the instructions, to test the rest on adapters without them.
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

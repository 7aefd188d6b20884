//! `Linear` and `Gemm`: tiled products with what follows them.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, GpuRequest, Made, Operand, Recorder, WeightId, word},
        kernels::{
            cooperative::{Cooperative, Follow as After, Part},
            matmul,
            norm::{Norm, Rows},
            product::{HALVES, Held, Tile, Tiled, activation, bindings, borrowed, unpack},
        },
    },
    error::{Error, Result},
    op::{Packing, Shapes},
    ops::product::{gemm::Gemm, linear::Linear},
};

struct Kernel {
    shaders: Tiled,
    k: usize,
    n: usize,
    /// None where the weights are an operand.
    weights: Option<Packed>,
    bias: Option<Operand>,
    residual: bool,
    norm: Option<Norm>,
    matrices: Option<Cooperative>,
}

/// What is made of the shader: the operand's shapes as far as they are known, and what follows the product.
struct Follow<'a> {
    activation: &'a str,
    bias: Option<Operand>,
    residual: bool,
}

pub(super) fn make(request: &GpuRequest<'_>) -> Result<Made> {
    if let Ok(op) = request.op::<Gemm>() {
        return gemm(request, op);
    }
    let op: &Linear = request.op()?;
    let inputs = request.inputs();
    let Some(activation) = activation(op.activation, "v") else {
        return Ok(Made::Host("an activation that its shader has not"));
    };
    let (k, n) = match request.input(1)?.shape.as_fixed().as_deref() {
        Some(&[k, n]) => (k, n),
        _ => return Ok(Made::Host("weights of a size that is known only when it runs")),
    };
    let tile = Tile::of(n);
    let weights = take(request, tile, (k, n))?;
    let bias = inputs.fact(2).map(|_| Operand::Input(2));
    let follow = Follow { activation: &activation, bias, residual: inputs.fact(3).is_some() };
    let norm = match op.layer_norm {
        Some(epsilon) => Some(Norm::behind(request, epsilon, [Some(4), inputs.id(5).map(|_| 5)])?),
        None => None,
    };
    kernel(request, tile, (k, n), weights, &follow, norm)
}

/// The product with a constant `k x n` matrix and nothing that follows.
pub(super) fn packed(request: &GpuRequest<'_>, k: usize, n: usize) -> Result<Made> {
    let tile = Tile::of(n);
    let weights = take(request, tile, (k, n))?;
    let follow = Follow { activation: "v", bias: None, residual: false };
    kernel(request, tile, (k, n), weights, &follow, None)
}

/// Packed weights.
struct Packed {
    held: Held,
    parts: Arc<[WeightId]>,
    /// Columns of each part but the last.
    columns: usize,
}

/// A constant right side `k x n`, packed.
fn take(request: &GpuRequest<'_>, tile: Tile, (k, n): (usize, usize)) -> Result<Option<Packed>> {
    let Some(tensor) = request.constant(1) else { return Ok(None) };
    let held = Held::of(request.format, tensor.as_slice::<f32>()?.iter().copied());
    let columns = tile.columns_of_part(request, held, k)?;
    let parts = request.take_weight(1, Packing { name: "product", parameter: columns as u64 }, |tensor| {
        let values = tensor.as_slice::<f32>()?;
        Ok(pack(tile, held, (k, n), columns, |row, column| values[row * n + column]))
    })?;
    Ok(parts.map(|parts| Packed { held, parts, columns }))
}

/// Weights in parts of `columns` columns.
fn pack(
    tile: Tile,
    held: Held,
    (k, n): (usize, usize),
    columns: usize,
    at: impl Fn(usize, usize) -> f32,
) -> Vec<Vec<u8>> {
    let part = |first: usize| tile.pack(held, k, columns.min(n - first), |row, column| at(row, first + column));
    (0..n).step_by(columns).map(part).collect()
}

/// ONNX's product, where its right side and its summand are constant and the summand is a row.
fn gemm(request: &GpuRequest<'_>, op: &Gemm) -> Result<Made> {
    let (Some(b), false) = (request.constant(1), op.trans_a) else {
        return matmul::make_gemm(request, op);
    };
    let (k, n) = match (b.shape(), op.trans_b) {
        (&[n, k], true) | (&[k, n], false) => (k, n),
        _ => return Err(Error::internal("an operand that is no matrix was not refused")),
    };
    let row = |shape: &[usize]| matches!(shape, &[own] | &[1, own] if own == n);
    match (request.inputs().fact(2), request.constant(2)) {
        (None, _) => {}
        (Some(_), Some(c)) if row(c.shape()) => {}
        _ => return matmul::make_gemm(request, op),
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
    let follow = Follow { activation: "v", bias, residual: false };
    kernel(request, tile, (k, n), parts.map(|parts| Packed { held, parts, columns }), &follow, None)
}

fn kernel(
    request: &GpuRequest<'_>,
    tile: Tile,
    (k, n): (usize, usize),
    weights: Option<Packed>,
    follow: &Follow<'_>,
    norm: Option<Norm>,
) -> Result<Made> {
    let after = After { activation: follow.activation, bias: follow.bias.is_some(), residual: follow.residual };
    let matrices = weights.as_ref().map(|_| Cooperative::new(request, (k, n), &after)).transpose()?.flatten();
    let by_four = k.is_multiple_of(4);
    let x = match matrices {
        Some(_) => HALVES,
        None if by_four => "vec4<f32>",
        None => "f32",
    };
    let mut bound = vec![("x", x, false)];
    bound.push(("w", weights.as_ref().map_or("f32", |own| own.held.kind()), false));
    bound.push(("y", "f32", true));
    if follow.bias.is_some() {
        bound.push(("bias", "f32", false));
    }
    if follow.residual {
        bound.push(("residual", "f32", false));
    }
    let each = |of: &str| -> String {
        let one = |place: usize| of.replace('#', &place.to_string());
        format!("    return vec4<f32>({}, {}, {}, {});", one(0), one(1), one(2), one(3))
    };
    let load_a = if matrices.is_some() {
        format!("    if k >= p.k {{\n        return vec4<f32>();\n    }}\n{}", unpack("x", "at / 4u"))
    } else if by_four {
        "    if k >= p.k {\n        return vec4<f32>();\n    }\n    return x[at / 4u];".to_owned()
    } else {
        // An index past the row is moved into the buffer, and what is there is not used.
        each("select(0.0, x[select(0u, at + #u, k + #u < p.k)], k + #u < p.k)")
    };
    let load_b = match &weights {
        Some(own) => own.held.load("(k * p.width + column) / 4u"),
        None => {
            let inside = "k < p.k && column + #u < p.n";
            each(&format!("select(0.0, w[select(0u, k * p.n + column + #u, {inside})], {inside})"))
        }
    };
    let shaders = Tiled::new(tile, |mut values| {
        values.push(("bindings", bindings(&bound)));
        values.push(("load_a", load_a.clone()));
        values.push(("load_b", load_b.clone()));
        values.push(("bias", if follow.bias.is_some() { " + bias[own]" } else { "" }.to_owned()));
        values.push(("activation", follow.activation.to_owned()));
        values.push(("residual", if follow.residual { " + residual[at]" } else { "" }.to_owned()));
        request.program("linear", &borrowed(&values))
    })?;
    Made::kernel(Kernel { shaders, k, n, weights, bias: follow.bias, residual: follow.residual, norm, matrices })
}

impl GpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> u64 {
        let rows = |x: &[usize]| x.iter().rev().skip(1).product();
        let x = shapes.inputs.first().copied().flatten();
        self.matrices.as_ref().map_or(0, |matrices| matrices.scratch_bytes(x.map_or(0, rows)))
    }

    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let x = run.input(0)?;
        let k = x.last().copied().ok_or_else(|| Error::internal("an operand without axes"))?;
        if k != self.k {
            return Err(Error::invalid_input(format!("rows of {k} numbers times a matrix of {} rows", self.k)));
        }
        let m: usize = x[..x.len() - 1].iter().product();
        let n = self.n;
        if self.residual && run.input(3)? != run.output(0)? {
            let (own, due) = (run.input(3)?, run.output(0)?);
            return Err(Error::invalid_input(format!("a residual of shape {own:?} for a result of {due:?}")));
        }
        let whole = [(Operand::Input(1), 0, n)];
        let (held, parts): (Held, Vec<(Operand, usize, usize)>) = match &self.weights {
            None => (Held::AS_THEY_ARE, whole.to_vec()),
            Some(Packed { held, parts, columns }) => {
                let part = |(index, &id): (usize, &WeightId)| {
                    let first = index * columns;
                    (Operand::Weight(id), first, (*columns).min(n - first))
                };
                (*held, parts.iter().enumerate().map(part).collect())
            }
        };
        let width = |columns: usize| self.shaders.packed().padded(0, columns).1;
        let mut others = Vec::new();
        if let Some(bias) = self.bias {
            others.push(("bias", bias));
        }
        if self.residual {
            others.push(("residual", Operand::Input(3)));
        }
        if let Some(matrices) = &self.matrices {
            matrices.round(run, m)?;
            if matrices.takes(m) {
                for (weights, first, columns) in parts {
                    matrices.multiply(run, m, &Part { weights, first, columns, width: width(columns) })?;
                }
                matrices.finish(run, m, held.factor(), &others)?;
                return self.normalise(run, m);
            }
        }
        let (x, k) = match &self.matrices {
            Some(matrices) => (Operand::Scratch, matrices.width()),
            None => (Operand::Input(0), k),
        };
        let (tile, program) = self.shaders.of_rows(m);
        run.loops(tile.turns(k))?;
        for (weights, first, columns) in parts {
            let tiles = columns.div_ceil(tile.bn);
            let groups = m.div_ceil(tile.bm) * tiles;
            let width = width(columns);
            let sizes = [word(m)?, word(k)?, word(n)?, word(tiles)?, word(first)?, word(width)?, word(groups)?];
            let words: Vec<u32> = sizes.into_iter().chain([held.factor()]).collect();
            let mut operands = vec![("x", x), ("w", weights), ("y", Operand::Output(0))];
            operands.extend_from_slice(&others);
            run.dispatch(program, &operands, &words, groups)?;
        }
        self.normalise(run, m)
    }
}

impl Kernel {
    fn normalise(&self, run: &mut Recorder<'_>, rows: usize) -> Result<()> {
        match &self.norm {
            Some(norm) => norm.record(run, &Rows { rows, axis: self.n, inner: 1 }),
            None => Ok(()),
        }
    }
}

//! `Linear`: tiled products with constant weights and an epilogue.

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            code::{bindings, borrowed},
            cooperative::{Cooperative, EpilogueCode, Part},
            functions::activation,
            held::{HALVES, Held, unpack},
            norm::{Norm, Rows},
            product::{Tile, Tiled},
            weights::{PackedProduct, take},
        },
        operand::{Operand, WeightId},
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    op::Shapes,
    ops::product::linear::Linear,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "linear", make };

const SHADER: Shader = wgsl!("linear");

struct Kernel {
    shaders: Tiled,
    k: usize,
    n: usize,
    /// `None` if the weights are an operand.
    weights: Option<PackedProduct>,
    bias: Option<Operand>,
    residual: bool,
    norm: Option<Norm>,
    matrices: Option<Cooperative>,
}

/// The epilogue of a product; the activation is a WGSL expression of `v`.
pub(super) struct Epilogue<'a> {
    pub activation: &'a str,
    pub bias: Option<Operand>,
    pub residual: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
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
    let follow = Epilogue { activation: &activation, bias, residual: inputs.fact(3).is_some() };
    let norm = match op.layer_norm {
        Some(epsilon) => Some(Norm::behind(request, epsilon, [Some(4), inputs.id(5).map(|_| 5)])?),
        None => None,
    };
    kernel(request, tile, (k, n), weights, &follow, norm)
}

/// The kernel of a product with a constant `k x n` matrix, without an epilogue.
pub(super) fn packed(request: &GpuRequest<'_>, k: usize, n: usize) -> Result<Made> {
    let tile = Tile::of(n);
    let weights = take(request, tile, (k, n))?;
    let follow = Epilogue { activation: "v", bias: None, residual: false };
    kernel(request, tile, (k, n), weights, &follow, None)
}

/// The kernel of a product with `k x n` weights, an epilogue and a norm.
pub(super) fn kernel(
    request: &GpuRequest<'_>,
    tile: Tile,
    (k, n): (usize, usize),
    weights: Option<PackedProduct>,
    follow: &Epilogue<'_>,
    norm: Option<Norm>,
) -> Result<Made> {
    let after = EpilogueCode { activation: follow.activation, bias: follow.bias.is_some(), residual: follow.residual };
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
        // Indices past the row are clamped into the buffer, and the loaded value is replaced by 0.
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
        request.program(&SHADER, &borrowed(&values))
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
        run.work(2 * m * self.k * n);
        let whole = [(Operand::Input(1), 0, n)];
        let (held, parts): (Held, Vec<(Operand, usize, usize)>) = match &self.weights {
            None => (Held::AS_THEY_ARE, whole.to_vec()),
            Some(PackedProduct { held, parts, columns }) => {
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
    /// Records the norm that follows, if any.
    fn normalise(&self, run: &mut Recorder<'_>, rows: usize) -> Result<()> {
        match &self.norm {
            Some(norm) => norm.record(run, &Rows { rows, axis: self.n, inner: 1 }),
            None => Ok(()),
        }
    }
}

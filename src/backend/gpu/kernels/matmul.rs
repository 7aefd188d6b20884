//! `MatMul`, and `Gemm` without packed weights: products of unpacked operands.

use std::fmt::Write;

use crate::{
    backend::gpu::{
        kernel::{GpuKernel, KernelDef, Made},
        kernels::{
            code::{bindings, borrowed},
            linear,
            product::{Tile, Tiled},
        },
        operand::Operand,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    ops::product::{
        gemm::Gemm,
        matmul::{MatMul, Sizes},
    },
    shape::Shape,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "matmul", make };

const SHADER: Shader = wgsl!("matmul");

/// Maximum number of leading axes, by the immediate data of the shader.
const MAX_LEADING: usize = 4;

/// Columns assumed for the tile of a product whose columns are known only at run time.
const COLUMNS: usize = 64;

struct Kernel {
    shaders: Tiled,
    /// `None` for NumPy's product.
    gemm: Option<Gemm>,
    summand: bool,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    request.op::<MatMul>()?;
    let (a, b) = (&request.input(0)?.shape, &request.input(1)?.shape);
    if request.constant(1).is_some() {
        // A single constant matrix on the right is packed.
        match b.as_fixed().as_deref() {
            Some(&[k]) => return linear::packed(request, k, 1),
            Some([leading @ .., k, n]) if leading.iter().all(|&size| size == 1) => {
                return linear::packed(request, *k, *n);
            }
            _ => {}
        }
    }
    let leading = |shape: &Shape| shape.rank().saturating_sub(2);
    if leading(a).max(leading(b)) > MAX_LEADING {
        return Ok(Made::Host("more axes than its shader walks"));
    }
    let columns = if b.rank() > 1 { b.dims().last().and_then(|dim| dim.as_fixed()) } else { Some(1) };
    kernel(request, columns, None, false)
}

/// The kernel of a `Gemm` without packed operands.
pub(super) fn of_gemm(request: &GpuRequest<'_>, op: &Gemm) -> Result<Made> {
    let columns = request.output(0)?.shape[1].as_fixed();
    kernel(request, columns, Some(op.clone()), request.inputs().fact(2).is_some())
}

fn kernel(request: &GpuRequest<'_>, columns: Option<i64>, gemm: Option<Gemm>, summand: bool) -> Result<Made> {
    let tile = Tile::of(columns.and_then(|columns| usize::try_from(columns).ok()).unwrap_or(COLUMNS));
    let mut bound = vec![("a", "f32", false), ("b", "f32", false), ("y", "f32", true)];
    let result = match (&gemm, summand) {
        (None, _) => "sum",
        (Some(_), false) => "p.alpha * sum",
        (Some(_), true) => "p.alpha * sum + p.beta * c[row * p.c_row + column * p.c_column]",
    };
    if summand {
        bound.push(("c", "f32", false));
    }
    let mut leading = String::new();
    for axis in 0..if gemm.is_some() { 0 } else { MAX_LEADING } {
        let step = |name: &str| format!("{name}_start += (rest % p.size[{axis}]) * p.{name}_step[{axis}];");
        writeln!(leading, "    {} {}\n    rest = rest / p.size[{axis}];", step("a"), step("b"))
            .map_err(|error| Error::internal(error.to_string()))?;
    }
    let shaders = Tiled::new(tile, |mut values| {
        values.extend([("bindings", bindings(&bound)), ("result", result.to_owned()), ("leading", leading.clone())]);
        request.program(&SHADER, &borrowed(&values))
    })?;
    Made::kernel(Kernel { shaders, gemm, summand })
}

/// Sizes and strides of one run.
struct Strides {
    m: usize,
    k: usize,
    n: usize,
    matrices: usize,
    /// Strides along rows and columns of `a`, `b` and the summand.
    steps: [usize; 6],
    /// Size, and strides in `a` and `b`, of each leading axis.
    leading: Vec<[usize; 3]>,
}

impl Kernel {
    fn walk(&self, run: &Recorder<'_>) -> Result<Strides> {
        let (a, b, y) = (run.input(0)?, run.input(1)?, run.output(0)?);
        match &self.gemm {
            Some(op) => gemm(op, a, b, if self.summand { Some(run.input(2)?) } else { None }),
            None => numpy(a, b, y),
        }
    }
}

fn gemm(op: &Gemm, a: &[usize], b: &[usize], c: Option<&[usize]>) -> Result<Strides> {
    let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a, b) else {
        return Err(Error::internal("an operand that is no matrix was not refused"));
    };
    let (m, k) = if op.trans_a { (a_columns, a_rows) } else { (a_rows, a_columns) };
    let (b_k, n) = if op.trans_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if k != b_k {
        return Err(Error::invalid_input(format!("rows of {k} numbers times a matrix of {b_k} rows")));
    }
    let (height, width) = match *c.unwrap_or(&[]) {
        [] => (1, 1),
        [width] => (1, width),
        [height, width] => (height, width),
        _ => return Err(Error::internal("a summand that is no matrix was not refused")),
    };
    if (height != 1 && height != m) || (width != 1 && width != n) {
        return Err(Error::invalid_input(format!("{c:?} is not broadcast to {m} rows of {n} numbers")));
    }
    let [a_row, a_k] = if op.trans_a { [1, a_columns] } else { [a_columns, 1] };
    let [b_k, b_column] = if op.trans_b { [1, b_columns] } else { [b_columns, 1] };
    let (c_row, c_column) = (if height == 1 { 0 } else { width }, usize::from(width != 1));
    Ok(Strides { m, k, n, matrices: 1, steps: [a_row, a_k, b_k, b_column, c_row, c_column], leading: Vec::new() })
}

fn numpy(a: &[usize], b: &[usize], y: &[usize]) -> Result<Strides> {
    let sizes = Sizes::of(a, b)?;
    let whole = sizes.leading(a, b, y)?;
    let Sizes { m, k, n, .. } = sizes;
    // With one matrix on the right, all rows on the left are one matrix.
    let single = sizes.b.iter().all(|&size| size == 1);
    let (m, whole) = if single { (m * sizes.a.iter().product::<usize>(), &[][..]) } else { (m, whole) };
    let mut leading: Vec<[usize; 3]> = whole.iter().map(|&size| [size, 0, 0]).collect();
    if !single {
        for (column, (own, matrix)) in [(sizes.a, m * k), (sizes.b, k * n)].into_iter().enumerate() {
            let mut step = matrix;
            for (axis, &size) in own.iter().rev().enumerate() {
                if size != 1 {
                    leading[whole.len() - 1 - axis][column + 1] = step;
                }
                step *= size;
            }
        }
    }
    Ok(Strides { m, k, n, matrices: whole.iter().product(), steps: [k, 1, n, 1, 0, 0], leading })
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let Strides { m, k, n, matrices, steps, leading } = self.walk(run)?;
        run.work(2 * m * k * n * matrices);
        let (tile, program) = self.shaders.of_rows(m);
        let tiles = n.div_ceil(tile.bn);
        let tiles_of_matrix = m.div_ceil(tile.bm) * tiles;
        let groups = tiles_of_matrix * matrices;
        let mut words = Vec::with_capacity(26);
        for number in [m, k, n, tiles.max(1), tiles_of_matrix.max(1), groups].into_iter().chain(steps) {
            words.push(word(number)?);
        }
        let (alpha, beta) = self.gemm.as_ref().map_or((1.0, 0.0), |op| (op.alpha, op.beta));
        words.extend([alpha.to_bits(), beta.to_bits()]);
        for column in 0..3 {
            for axis in 0..MAX_LEADING {
                let own = leading.iter().rev().nth(axis).copied().unwrap_or([1, 0, 0]);
                words.push(word(own[column])?);
            }
        }
        run.loops(tile.turns(k))?;
        let mut operands = vec![("a", Operand::Input(0)), ("b", Operand::Input(1)), ("y", Operand::Output(0))];
        if self.summand {
            operands.push(("c", Operand::Input(2)));
        }
        run.dispatch(program, &operands, &words, groups)
    }
}

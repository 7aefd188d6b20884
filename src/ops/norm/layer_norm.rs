//! Layer normalization over adjacent axes, the last ones or others.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, broadcast::Broadcast, map::update, norm},
    op::{
        Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        Shapes,
    },
    ops::norm::layer_norm_statistics,
    shape::{Dim, Shape},
    tensor::{DType, View},
};

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` over some axes together.
///
/// The variance divides by n, not n - 1.
///
/// Operands: `x`, `scale`, `bias`; `scale` and `bias` may be absent and broadcast to the shape of
/// the normalized axes. ONNX's `LayerNormalization` normalizes the last axes.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// The normalized axes, adjacent and ascending.
    pub axes: Vec<usize>,
    /// Added to the variance.
    pub epsilon: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "LayerNormalization",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("norm"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let shape = node.inputs().required(0)?.shape.clone();
    let axis = shape.axis(node.int("axis")?.unwrap_or(-1))?;
    let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
    if let Some(stash @ 0..=i64::MAX) = node.int("stash_type")?
        && stash != 1
    {
        return Err(Error::unsupported(format!("`stash_type` is {stash}, expected 1 (f32)")));
    }
    if node.output_count() > 1 {
        return Ok(layer_norm_statistics::made(axis, epsilon));
    }
    Ok(Arc::new(LayerNorm { axes: (axis..shape.rank()).collect(), epsilon }))
}

impl LayerNorm {
    /// The shape of the normalized axes.
    fn normalized(&self, shape: &Shape) -> Result<Shape> {
        let neighbours = self.axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        match self.axes.last() {
            Some(&last) if neighbours && last < shape.rank() => {
                Ok(self.axes.iter().map(|&axis| shape[axis].clone()).collect())
            }
            _ => Err(Error::invalid_model(format!("axes {:?} of {shape} are not neighbours", self.axes))),
        }
    }
}

impl Operator for LayerNorm {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 3)?;
        let input = inputs.required(0)?;
        let normalized = self.normalized(&input.shape)?;
        if input.dtype != DType::F32 {
            return Err(Error::unsupported(format!("layer norm of elements of type {}", input.dtype)));
        }
        for weight in [1, 2].into_iter().filter_map(|index| inputs.fact(index)) {
            if weight.dtype != DType::F32 || weight.shape.rank() > input.shape.rank() {
                return Err(Error::invalid_model(format!("a weight {weight} of layer norm over {normalized}")));
            }
            // Further axes of size 1 change nothing.
            let extra = weight.shape.rank().saturating_sub(normalized.rank());
            let extra = weight.shape.dims()[..extra].iter().take_while(|dim| dim.as_fixed() == Some(1)).count();
            inputs.broadcast_into(&Shape::new(&weight.shape.dims()[extra..]), &normalized)?;
        }
        Ok(vec![Fact::new(input.dtype, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = axes[1..].iter().all(Option::is_none) && axes[0].is_none_or(|batch| !self.axes.contains(&batch));
        apart.then(|| vec![axes[0]])
    }
}

/// Elements of rows that are normalized together.
const PART: usize = 4096;

struct Kernel {
    /// The normalized axes are `from..to`.
    from: usize,
    to: usize,
    /// Whether further axes follow them.
    middle: bool,
    epsilon: f32,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<LayerNorm>()?;
    let (Some(&from), Some(&last)) = (op.axes.first(), op.axes.last()) else {
        return Err(Error::internal("layer norm over no axes"));
    };
    let middle = last + 1 < request.input(0)?.shape.rank();
    Ok(Box::new(Kernel { from, to: last + 1, middle, epsilon: op.epsilon, set: request.kernel_set() }))
}

/// A weight of the normalized axes' size, broadcast into `whole` where needed.
fn weight<'a>(view: Option<View<'a>>, axes: &[usize], whole: &'a mut [f32], absent: f32) -> Result<&'a [f32]> {
    match view {
        Some(view) if view.bytes.len() == size_of_val(whole) => view.slice(),
        Some(view) => {
            let shape = &view.shape[view.shape.len().saturating_sub(axes.len())..];
            update(&Broadcast::new(axes, &[shape])?, whole, view.slice::<f32>()?, &|_, weight| weight);
            Ok(whole)
        }
        None => {
            whole.fill(absent);
            Ok(whole)
        }
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let axes = shapes.outputs.first().map_or(&[][..], |shape| &shape[self.from..self.to]);
        2 * size_of::<f32>() * axes.iter().product::<usize>()
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let weights = [1, 2].map(|index| io.inputs.get(index).copied().flatten());
        let axes = &input.shape[self.from..self.to];
        let len: usize = axes.iter().product();
        let scratch = bytemuck::cast_slice_mut::<u8, f32>(&mut io.scratch[..2 * size_of::<f32>() * len]);
        let (first, second) = scratch.split_at_mut(len);
        let scale = weight(weights[0], axes, first, 1.0)?;
        let bias = weight(weights[1], axes, second, 0.0)?;
        let inner = if self.middle { input.shape[self.to..].iter().product() } else { 1 };
        let Some(output) = io.outputs.first_mut() else { return Ok(()) };
        let (from, to) = (input.slice::<f32>()?, output.slice::<f32>()?);
        let norm = norm::LayerNorm { scale, bias: Some(bias), epsilon: self.epsilon };
        // A part is copied and normalized while it is in the cache.
        let part = if self.middle { len * inner } else { len * (PART / len.max(1)).max(1) };
        if part == 0 {
            return Ok(());
        }
        for (from, to) in from.chunks(part).zip(to.chunks_mut(part)) {
            to.copy_from_slice(from);
            if self.middle {
                norm::layer_norm_columns(self.set, to, inner, &norm)?;
            } else {
                norm::layer_norm_rows(self.set, to, &norm)?;
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let over = |name: &str, axes: &[usize]| Case::new(name, LayerNorm { axes: axes.to_vec(), epsilon: 1e-5 });
    let whole = |case: Case, x: &[usize], w: &[usize]| {
        case.value(x, Fill::Spread).constant(w, Fill::Spread).constant(w, Fill::Spread)
    };
    vec![
        whole(over("rows", &[1]), &[5, 77], &[77]),
        whole(over("last axis", &[2]), &[2, 3, 384], &[384]),
        whole(over("last two", &[1, 2]), &[3, 4, 5], &[4, 5]),
        whole(over("stretched", &[1, 2]), &[3, 4, 5], &[5]),
        whole(over("further axes", &[2]), &[3, 4, 5], &[1, 1, 5]),
        whole(over("stretched, further axes", &[2]), &[3, 4, 5], &[1, 1, 1]),
        whole(over("middle", &[1]), &[2, 37, 19], &[37]),
        whole(over("first", &[0]), &[37, 3], &[37]),
        over("no bias", &[1]).value(&[3, 17], Fill::Spread).value(&[17], Fill::Spread),
        over("no weights", &[1]).value(&[3, 17, 4], Fill::Spread),
        over("only a bias", &[1]).value(&[3, 17], Fill::Spread).absent().constant(&[17], Fill::Spread),
        over("large", &[1]).value(&[3, 33], Fill::Large),
        over("one", &[1]).value(&[4, 1], Fill::Spread),
        over("none", &[1]).value(&[0, 4], Fill::Spread),
        over("empty", &[1]).value(&[4, 0], Fill::Spread),
    ]
}

//! `ChannelsLastPool`: a pool of `[batch, spatial..., channels]`.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        pool::{RowFold, fold_rows},
    },
    op::{Accuracy, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, Shapes, first_result},
    ops::pool::{Pool, PoolFunction, by_axis::ByAxis, cases, run::empty},
    shape::Dim,
    tensor::DType,
};

/// A [`Pool`] by maximum or mean whose operand and result are `[batch, spatial..., channels]`.
///
/// Made on the CPU from a pool between channels-last convolutions.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelsLastPool(pub Pool);

pub(crate) static DEF: OpDef = OpDef {
    name: "ChannelsLastPool",
    onnx: None,
    cases: cases::channels_last_cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host("made for the CPU alone"),
};

impl Operator for ChannelsLastPool {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = inputs.required(0)?;
        if input.dtype != DType::F32 {
            return Err(Error::unsupported(format!("a channels-last pool of {input}; only f32 is")));
        }
        Ok(vec![self.0.result(inputs, 1)?])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].is_none_or(|axis| axis == 0).then(|| vec![axes[0]])
    }
}

struct Kernel {
    pool: Pool,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let ChannelsLastPool(pool) = request.op()?;
    Ok(Box::new(Kernel { pool: pool.clone(), set: request.kernel_set() }))
}

impl Kernel {
    fn by_axis(&self, x: &[usize], y: &[usize]) -> Option<ByAxis> {
        let channels = x.last().copied().filter(|&channels| channels > 0)?;
        self.pool.by_axis(self.pool.axes(x, y, 1), channels)
    }
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        let [Some(x)] = shapes.inputs[..] else { return 0 };
        self.by_axis(x, shapes.outputs[0]).map_or(0, |pool| pool.scratch_bytes())
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let Self { pool, set } = self;
        let x = io.input(0)?;
        if let Some(pool) = self.by_axis(x.shape, io.output(0)?.shape) {
            let Io { outputs, scratch, .. } = io;
            return pool.run(*set, x.slice()?, first_result(outputs)?.slice()?, scratch);
        }
        let y = io.output(0)?;
        let axes = pool.axes(x.shape, y.shape, 1);
        let [depth, height, width] = axes;
        let channels = x.shape.last().copied().unwrap_or(0);
        let size = depth.size * height.size * width.size * channels;
        let out = depth.out * height.out * width.out * channels;
        let (x, y): (&[f32], &mut [f32]) = (x.slice()?, y.slice()?);
        if out == 0 || size == 0 {
            // Without input every window is empty.
            y.fill(empty(pool.function));
            return Ok(());
        }
        let mut starts: SmallVec<[usize; 16]> = SmallVec::new();
        // Windows of a line with all their taps are computed at once.
        let whole = width.whole_windows();
        let step = width.stride.saturating_mul(channels);
        for (x, y) in x.chunks_exact(size).zip(y.chunks_exact_mut(out)) {
            for (line, to) in y.chunks_exact_mut(width.out * channels).enumerate() {
                let mut column = 0;
                while column < width.out {
                    let count = if column == whole.start { whole.len().max(1) } else { 1 };
                    let at = [line / height.out, line % height.out, column];
                    starts.clear();
                    for plane in depth.taps(at[0]) {
                        for row in height.taps(at[1]) {
                            let line = depth.position(at[0], plane) * height.size + height.position(at[1], row);
                            let taps = width.taps(at[2]);
                            starts.extend(taps.map(|tap| (line * width.size + width.position(at[2], tap)) * channels));
                        }
                    }
                    let fold = match pool.function {
                        PoolFunction::Max => RowFold::Max,
                        PoolFunction::Average { count_include_pad } => {
                            let counts = axes.iter().zip(at).map(|(axis, at)| axis.counted(at, count_include_pad));
                            RowFold::Mean(counts.product::<usize>() as f32)
                        }
                        PoolFunction::Lp(_) => return Err(Error::internal("a channels-last pool by a norm")),
                    };
                    let to = &mut to[column * channels..][..count * channels];
                    fold_rows(*set, fold, x, &starts, step, channels, to)?;
                    column += count;
                }
            }
        }
        Ok(())
    }
}

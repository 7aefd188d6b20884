//! `L2Normalize`: vectors scaled to length 1.

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{KernelSet, norm::l2_normalize_rows},
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OpDef, Operator},
    shape::Dim,
    tensor::DType,
};

/// `x / max(|x|, epsilon)` with the Euclidean length `|x|` over the last axis. Made by importers
/// and rewrites only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L2Normalize {
    /// The smallest divisor.
    pub epsilon: f32,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "L2Normalize",
    onnx: None,
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Kernel("norm"),
};

impl Operator for L2Normalize {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let x = inputs.required(0)?;
        if x.dtype != DType::F32 || x.shape.rank() == 0 {
            return Err(Error::invalid_model(format!("vectors {x}: expected f32 with at least one axis")));
        }
        Ok(vec![Fact::new(x.dtype, x.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let last = inputs.fact(0)?.shape.rank() - 1;
        (axes[0] != Some(last)).then(|| vec![axes[0]])
    }
}

struct Kernel {
    epsilon: f32,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { epsilon: request.op::<L2Normalize>()?.epsilon, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let x = io.input(0)?;
        let columns = x.shape.last().copied().unwrap_or(1);
        let output = io.output(0)?;
        output.bytes.copy_from_slice(x.bytes);
        l2_normalize_rows(self.set, output.slice()?, columns, self.epsilon)
    }
}

fn cases() -> Vec<Case> {
    let case = |name: &str, epsilon: f32| Case::new(name, L2Normalize { epsilon });
    vec![
        case("vectors", 1e-12).value(&[7, 77], Fill::Spread),
        case("three axes", 1e-12).value(&[2, 3, 384], Fill::Spread),
        case("one vector", 1e-12).value(&[5], Fill::Spread),
        case("large", 1e-12).value(&[3, 33], Fill::Large),
        case("short beside epsilon", 100.0).value(&[3, 17], Fill::Spread),
        case("one column", 1e-12).value(&[4, 1], Fill::Spread),
        case("no vectors", 1e-12).value(&[0, 4], Fill::Spread),
        case("no columns", 1e-12).value(&[4, 0], Fill::Spread),
    ]
}

//! `StringConcat`: pairs of strings joined.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::broadcast::Broadcast,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OpDef, Operator, first_result},
    ops::{
        pointwise::broadcast::{broadcast_batch_axes, broadcast_shape},
        strings::ON_THE_HOST,
    },
    shape::Dim,
    tensor::{DType, Tensor},
};

/// Each string of operand 0 followed by that of operand 1; both broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct StringConcat;

pub(crate) static DEF: OpDef = OpDef {
    name: "StringConcat",
    onnx: Some(|_| Ok(Arc::new(StringConcat))),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

impl Operator for StringConcat {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (first, second) = (inputs.required(0)?, inputs.required(1)?);
        if first.dtype != DType::String || second.dtype != DType::String {
            return Err(Error::invalid_model(format!("{first} and {second} are not both strings")));
        }
        Ok(vec![Fact::new(DType::String, broadcast_shape(inputs)?)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        broadcast_batch_axes(inputs, axes, size)
    }
}

struct Kernel;

fn kernel(_request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (first, second) = (io.input(0)?, io.input(1)?);
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?;
        let walk = Broadcast::new(output.shape, &[first.shape, second.shape])?;
        let (first, second, output) = (first.slice::<u64>()?, second.slice::<u64>()?, output.slice::<u64>()?);
        let steps = [0, 1].map(|operand| usize::from(walk.moves(operand)));
        let mut joined = String::new();
        walk.for_each_run(|position, starts| {
            for (index, to) in output[position..position + walk.run_len()].iter_mut().enumerate() {
                let [a, b] = [0, 1].map(|operand| starts[operand] + index * steps[operand]);
                joined.clear();
                for number in [first[a], second[b]] {
                    joined.push_str(strings.get(number).map_or("", |text| text));
                }
                *to = strings.intern(&joined);
            }
        });
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |shape: &[usize], texts: &[&str]| Tensor::from_strings(shape, texts).expect("as many as the shape says");
    let case = |name: &str| Case::new(name, StringConcat);
    vec![
        case("pairs").tensor(of(&[3], &["a", "", "的"])).tensor(of(&[3], &["b", "c", "é"])),
        case("broadcast").tensor(of(&[2, 1], &["a", "b"])).tensor(of(&[3], &["x", "y", ""])),
        case("constant").tensor(of(&[2], &["a", "b"])).constant_tensor(of(&[], &["!"])),
        case("empty").tensor(of(&[0], &[])).tensor(of(&[1], &["a"])),
    ]
}

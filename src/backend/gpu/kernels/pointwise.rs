//! Pointwise functions, chains of them, `Cast` and `Where`: one generated expression per element.

use std::sync::Arc;

use crate::{
    backend::gpu::{
        buffer::carrier,
        kernel::{GpuKernel, KernelDef, Made},
        kernels::expression::{Expression, expression},
        operand::Operand,
        program::Program,
        recorder::{Recorder, word},
        request::GpuRequest,
        shader::{Shader, wgsl},
    },
    error::{Error, Result},
    shape::strides,
    tensor::DType,
};

/// The entry in the list of kernels.
pub(super) const KERNEL: KernelDef = KernelDef { name: "pointwise", make };

const SHADER: Shader = wgsl!("pointwise");

/// Maximum number of operands, by the limit on bindings.
const MAX_OPERANDS: usize = 7;
/// Maximum number of words of immediate data.
const MAX_WORDS: usize = 32;

struct Kernel {
    program: Arc<Program>,
    /// Positions of the operands that are present, with how each is indexed.
    walks: Vec<(usize, Indexing)>,
    rank: usize,
}

/// How the element of an operand is found from that of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indexing {
    /// At the same index.
    Same,
    /// The operand has one element.
    One,
    /// The shape of the operand is a suffix of the result's: the operand repeats.
    Repeated,
    /// By a stride along each axis.
    Steps,
}

fn make(request: &GpuRequest<'_>) -> Result<Made> {
    let inputs = request.inputs();
    let output = request.output(0)?;
    let rank = output.shape.rank();
    let Some(Expression { body, result }) = expression(request)? else {
        return Ok(Made::Host("a function or type that its shader has not"));
    };
    let mut walks = Vec::with_capacity(inputs.len());
    let mut words = 1;
    for index in (0..inputs.len()).filter(|&index| inputs.id(index).is_some()) {
        let shape = &request.input(index)?.shape;
        let suffix =
            rank.checked_sub(shape.rank()).is_some_and(|skipped| output.shape.dims()[skipped..] == *shape.dims());
        let walk = match () {
            () if shape == &output.shape => Indexing::Same,
            () if shape.elements().as_fixed() == Some(1) => Indexing::One,
            () if suffix => Indexing::Repeated,
            () => Indexing::Steps,
        };
        words += match walk {
            Indexing::Same | Indexing::One => 0,
            Indexing::Repeated => 1,
            Indexing::Steps => rank,
        };
        walks.push((index, walk));
    }
    let steps: Vec<usize> =
        walks.iter().filter(|(_, walk)| *walk == Indexing::Steps).map(|(index, _)| *index).collect();
    if !steps.is_empty() {
        words += rank;
    }
    if walks.len() > MAX_OPERANDS || words > MAX_WORDS {
        return Ok(Made::Host("more operands or axes than a shader has words for"));
    }
    let (mut fields, mut bindings, mut operands) = (String::new(), String::new(), String::new());
    if !steps.is_empty() {
        for axis in 0..rank {
            fields.push_str(&format!("    d{axis}: u32,\n"));
        }
        operands.push_str("    var rest = i;\n");
        for index in &steps {
            operands.push_str(&format!("    var at{index} = 0u;\n"));
        }
        for axis in (0..rank).rev() {
            operands.push_str(&format!("    let i{axis} = rest % p.d{axis};\n    rest = rest / p.d{axis};\n"));
            for index in &steps {
                operands.push_str(&format!("    at{index} += i{axis} * p.s{index}_{axis};\n"));
            }
        }
    }
    for (number, (index, walk)) in walks.iter().enumerate() {
        let at = match walk {
            Indexing::Same => "i".to_owned(),
            Indexing::One => "0u".to_owned(),
            Indexing::Repeated => {
                fields.push_str(&format!("    n{index}: u32,\n"));
                format!("i % p.n{index}")
            }
            Indexing::Steps => {
                for axis in 0..rank {
                    fields.push_str(&format!("    s{index}_{axis}: u32,\n"));
                }
                format!("at{index}")
            }
        };
        let kind = type_of(request.input(*index)?.dtype)?;
        bindings.push_str(&format!("@group(0) @binding({number}) var<storage, read> a{index}: array<{kind}>;\n"));
        operands.push_str(&format!("    let x{index} = a{index}[{at}];\n"));
    }
    let kind = type_of(output.dtype)?;
    let count = walks.len();
    bindings.push_str(&format!("@group(0) @binding({count}) var<storage, read_write> y: array<{kind}>;\n"));
    let values =
        [("fields", &*fields), ("bindings", &bindings), ("operands", &operands), ("body", &body), ("result", &result)];
    Made::kernel(Kernel { program: request.program(&SHADER, &values)?, walks, rank })
}

/// The WGSL type of elements of `dtype`.
fn type_of(dtype: DType) -> Result<&'static str> {
    carrier(dtype).ok_or_else(|| Error::internal(format!("a shader of elements of type {dtype}")))
}

impl GpuKernel for Kernel {
    fn record(&self, run: &mut Recorder<'_>) -> Result<()> {
        let output = run.output(0)?;
        let count: usize = output.iter().product();
        let mut words = vec![word(count)?];
        if self.walks.iter().any(|(_, walk)| *walk == Indexing::Steps) {
            for &size in output {
                words.push(word(size)?);
            }
        }
        for &(index, walk) in &self.walks {
            let shape = run.input(index)?;
            let misfit =
                || Error::invalid_input(format!("operand {index} of shape {shape:?} is not broadcast to {output:?}"));
            let skipped = output.len().checked_sub(shape.len()).ok_or_else(misfit)?;
            if shape.iter().zip(&output[skipped..]).any(|(&own, &size)| own != 1 && own != size) {
                return Err(misfit());
            }
            match walk {
                Indexing::Same if shape != output => return Err(misfit()),
                Indexing::Same | Indexing::One => {}
                Indexing::Repeated => words.push(word(shape.iter().product::<usize>().max(1))?),
                Indexing::Steps => {
                    let own = strides(shape);
                    for axis in 0..self.rank {
                        let step = match axis.checked_sub(skipped) {
                            Some(own_axis) if shape[own_axis] != 1 => own[own_axis],
                            _ => 0,
                        };
                        words.push(word(step)?);
                    }
                }
            }
        }
        let names: Vec<(String, usize)> = self.walks.iter().map(|&(index, _)| (format!("a{index}"), index)).collect();
        let mut operands: Vec<(&str, Operand)> =
            names.iter().map(|(name, index)| (name.as_str(), Operand::Input(*index))).collect();
        operands.push(("y", Operand::Output(0)));
        run.dispatch(&self.program, &operands, &words, count.div_ceil(256))
    }
}

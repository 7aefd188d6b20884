//! Evaluates one node on constants, for folding.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    graph::{Graph, Node, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuState, Io, KernelRequest, PackedConstants, Shapes},
    tensor::{AlignedBytes, DType, RunStrings, Tensor, View, ViewMut, byte_count},
};

/// The most bytes of scratch for one node.
const MAX_SCRATCH: usize = 512 << 20;

/// The most bytes of strings of one node.
const MAX_STRINGS: usize = 512 << 20;

/// The results of a node whose operands are all constants, from its portable kernel.
///
/// # Errors
/// When the node has no kernel, an operand is no constant, a size is not fixed, or the kernel
/// fails. The caller adds which node it was.
pub(crate) fn evaluate(graph: &Graph, node: &Node) -> Result<Vec<Arc<Tensor>>> {
    evaluate_by(graph, node, KernelSet::PORTABLE)
}

/// As [`evaluate`], by the kernel of `kernel_set`.
///
/// # Errors
/// As [`evaluate`].
pub(crate) fn evaluate_by(graph: &Graph, node: &Node, kernel_set: KernelSet) -> Result<Vec<Arc<Tensor>>> {
    let make = match node.op.def().cpu {
        CpuState::Kernel(make) => make,
        CpuState::View => return viewed(graph, node),
        CpuState::Folded | CpuState::Session | CpuState::Values(_) => {
            return Err(Error::unsupported("no kernel on the CPU"));
        }
    };
    // Nothing is shared with other nodes: what the kernel packs is dropped with it.
    let packed = PackedConstants::default();
    let request = KernelRequest::new(graph, node, kernel_set, Factors::F32, &packed);
    let kernel = make(&request)?;
    let taken = request.taken();
    let operand = |(position, id): (usize, &Option<ValueId>)| -> Result<Option<&Tensor>> {
        let Some(id) = id.filter(|_| !taken.contains(&position)) else { return Ok(None) };
        let constant = graph.constant_of(id).map(|tensor| &**tensor);
        constant.map(Some).ok_or_else(|| Error::internal(format!("operand {position} is no constant")))
    };
    let operands = node.inputs.iter().enumerate().map(operand).collect::<Result<SmallVec<[_; 6]>>>()?;
    if graph.is_measured(node) {
        return Ok(kernel.compute(&operands)?.into_iter().map(Arc::new).collect());
    }
    let mut strings = RunStrings::new(Arc::new(packed.take_strings()));
    strings.restart(MAX_STRINGS);
    // Elements of strings are numbers of this evaluation.
    let numbers = operands.iter().map(|tensor| tensor.map_or(Ok(None), |tensor| strings.numbers_of(tensor)));
    let numbers = numbers.collect::<Result<SmallVec<[_; 6]>>>()?;
    let mut outputs = node.outputs.iter().map(|&id| Output::of(graph, id)).collect::<Result<SmallVec<[_; 2]>>>()?;
    let scratch_bytes = kernel.scratch_bytes(&Shapes {
        inputs: operands.iter().map(|operand| operand.map(Tensor::shape)).collect(),
        outputs: outputs.iter().map(|output| &*output.shape).collect(),
    });
    if scratch_bytes > MAX_SCRATCH {
        return Err(Error::limit(format!("needs {scratch_bytes} bytes of scratch; folding allows {MAX_SCRATCH}")));
    }
    let mut scratch = AlignedBytes::try_zeroed(scratch_bytes)?;
    kernel.run(&mut Io {
        inputs: operands.iter().zip(&numbers).map(|(operand, numbers)| operand.map(|own| view(own, numbers))).collect(),
        outputs: outputs.iter_mut().map(Output::view).collect(),
        scratch: &mut scratch,
        bindings: graph.fixed_symbols(),
        strings: &mut strings,
    })?;
    strings.check()?;
    outputs
        .into_iter()
        .map(|Output { dtype, shape, data }| match dtype {
            DType::String => strings.tensor(shape, bytemuck::cast_slice(&data)).map(Arc::new),
            _ => Tensor::from_aligned(dtype, shape, data).map(Arc::new),
        })
        .collect()
}

/// The operand of a node that moves no data, under the shape of its result.
fn viewed(graph: &Graph, node: &Node) -> Result<Vec<Arc<Tensor>>> {
    let operand = node.inputs.first().copied().flatten().and_then(|id| graph.constant_of(id));
    let operand = operand.ok_or_else(|| Error::internal("operand 0 is no constant"))?;
    let shape = graph.result_of(node, 0)?.shape.as_fixed();
    let shape = shape.ok_or_else(|| Error::internal("a folded node has symbolic sizes"))?;
    Ok(vec![Arc::new((**operand).clone().reshape(shape)?)])
}

/// A tensor with its own bytes, or those of its strings' numbers.
fn view<'a>(tensor: &'a Tensor, numbers: &'a Option<AlignedBytes>) -> View<'a> {
    match numbers {
        Some(bytes) => View { bytes, ..tensor.view() },
        None => tensor.view(),
    }
}

/// Memory for one result.
struct Output {
    dtype: DType,
    shape: Vec<usize>,
    data: AlignedBytes,
}

impl Output {
    fn of(graph: &Graph, id: ValueId) -> Result<Self> {
        let fact = graph.fact(id);
        let shape = fact.shape.as_fixed().ok_or_else(|| Error::internal("a folded node has symbolic sizes"))?;
        let bytes = byte_count(fact.dtype, &shape).ok_or_else(|| Error::limit("a folded constant is too large"))?;
        Ok(Self { dtype: fact.dtype, shape, data: AlignedBytes::try_zeroed(bytes)? })
    }

    fn view(&mut self) -> ViewMut<'_> {
        ViewMut { dtype: self.dtype, shape: &self.shape, bytes: &mut self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::cpu,
        op::{Case, CaseInput},
        ops::{self, conv::Conv},
        plan::RunCap,
    };

    /// The case's graph with every operand constant.
    fn of_constants(mut case: Case) -> Graph {
        for input in &mut case.inputs {
            if let CaseInput::Value(tensor) = input {
                *input = CaseInput::Constant(tensor.clone());
            }
        }
        case.graph().unwrap()
    }

    /// Whether f32 results differ by rounding at most, relative to the largest number.
    fn are_near(got: &[Tensor], want: &[Tensor]) -> bool {
        got.len() == want.len()
            && got.iter().zip(want).all(|(got, want)| {
                let (Ok(numbers), Ok(others)) = (got.as_slice::<f32>(), want.as_slice::<f32>()) else { return false };
                let largest = others.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
                got.shape() == want.shape() && numbers.iter().zip(others).all(|(a, b)| (a - b).abs() <= 1e-5 * largest)
            })
    }

    #[test]
    fn every_case_gives_the_bits_of_a_session() {
        let (mut count, mut absent, mut taken) = (0, 0, 0);
        for def in ops::all().iter().filter(|def| matches!(def.cpu, CpuState::Kernel(_))) {
            for case in (def.cases)() {
                let what = format!("{} {}", def.name, case.name);
                let graph = of_constants(case);
                let node = &graph.nodes()[0];
                let got = evaluate(&graph, node).unwrap_or_else(|error| panic!("{what}: {error}"));
                let session = cpu::load(graph.clone(), KernelSet::PORTABLE, Factors::F32, RunCap::default()).unwrap();
                let want: Vec<Tensor> = session
                    .run_to(&|_| Ok(()), &|_, _, _| Ok(()), &|_| None, |outputs| {
                        let read = |(at, &id): (usize, &ValueId)| {
                            let (shape, bytes) = outputs.get(at);
                            let view = View { dtype: graph.fact(id).dtype, shape, bytes };
                            outputs.strings().unwrap().own(view)
                        };
                        graph.outputs().iter().enumerate().map(read).collect()
                    })
                    .unwrap();
                let got: Vec<Tensor> = got.iter().map(|tensor| (**tensor).clone()).collect();
                // Sessions turn convolutions to channels last, where those of 3 x 3 taps may go by tiles.
                let may_differ = node.op::<Conv>().is_some_and(|conv| conv.kernel == [3, 3] && conv.strides == [1, 1]);
                match may_differ {
                    true => assert!(got == want || are_near(&got, &want), "{what}: {got:?} {want:?}"),
                    false => assert_eq!(got, want, "{what}"),
                }
                let constants = |graph: &Graph| graph.values.iter().filter(|value| value.constant.is_some()).count();
                count += 1;
                absent += usize::from(node.inputs.iter().any(Option::is_none));
                taken += usize::from(constants(session.graph()) < constants(&graph));
            }
        }
        assert!(
            count > 500 && absent > 0 && taken > 20,
            "{count} cases, {absent} with absent operands, {taken} with taken ones"
        );
    }

    #[test]
    fn an_operand_that_is_no_constant_is_refused() {
        let case = (ops::all().iter().find(|def| def.name == "Add").unwrap().cases)().remove(0);
        let graph = case.graph().unwrap();
        assert!(evaluate(&graph, &graph.nodes()[0]).is_err());
    }
}

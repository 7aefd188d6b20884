//! `RegexFullMatch`: whether whole strings match a pattern.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::strings::{ON_THE_HOST, only_strings},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// Bytes that a compiled pattern may take.
const MOST_PATTERN: usize = 4 << 20;

/// True where a string matches the pattern from its start to its end.
#[derive(Clone, Debug)]
pub struct RegexFullMatch {
    /// The pattern, of both ends.
    pub pattern: Regex,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "RegexFullMatch",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

/// Compiles a pattern of a file.
pub(super) fn compile(pattern: &str) -> Result<Regex> {
    let compiled = RegexBuilder::new(pattern).size_limit(MOST_PATTERN).build();
    compiled.map_err(|error| Error::invalid_model(format!("the pattern `{pattern}`: {error}")))
}

/// Compiles a pattern that must match to both ends.
fn whole(pattern: &str) -> Result<Regex> {
    // By itself first, so that brackets of the pattern cannot close the group.
    compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))
}

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let pattern = node.string("pattern")?.unwrap_or_default();
    Ok(Arc::new(RegexFullMatch { pattern: whole(&pattern)? }))
}

impl Operator for RegexFullMatch {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = only_strings(inputs)?;
        Ok(vec![Fact::new(DType::Bool, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    pattern: Regex,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { pattern: request.op::<RegexFullMatch>()?.pattern.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<u64>()?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?;
        for (&number, to) in input.iter().zip(output.bytes.iter_mut()) {
            *to = u8::from(strings.get(number).is_some_and(|text| self.pattern.is_match(text)));
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let of = |pattern: &str| RegexFullMatch { pattern: whole(pattern).expect("the pattern is right") };
    let texts = || Tensor::from_strings([2, 3], &["www.a.com", "www.b.org", "a", "aa", "", "ab"]).expect("six strings");
    vec![
        Case::new("address", of(r"www\.[\w.-]+\.com")).tensor(texts()),
        Case::new("either", of("a|ab")).tensor(texts()),
        Case::new("empty", of("")).tensor(texts()),
    ]
}

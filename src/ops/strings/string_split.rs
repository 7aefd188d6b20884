//! `StringSplit`: the parts of strings between delimiters.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::{
        strings::{ON_THE_HOST, only_strings},
        tracked,
    },
    shape::Shape,
    tensor::{DType, Tensor},
};

/// The parts of each string, filled up with empty strings, and their numbers.
///
/// The parts lie along a new last axis, as long as the most parts of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringSplit {
    /// What parts two parts; any white space where it is absent, also at both ends.
    pub delimiter: Option<String>,
    /// The most splits of a string, from the left.
    pub most: Option<usize>,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "StringSplit",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let delimiter = node.string("delimiter")?.filter(|delimiter| !delimiter.is_empty());
    // A negative number is no limit, as in the reference.
    let most = node.int("maxsplit")?.and_then(|most| usize::try_from(most).ok());
    Ok(Arc::new(StringSplit { delimiter, most }))
}

impl StringSplit {
    fn parts<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match (&self.delimiter, self.most) {
            (Some(delimiter), None) => text.split(delimiter).collect(),
            (Some(delimiter), Some(most)) => text.splitn(most.saturating_add(1), delimiter).collect(),
            (None, most) => words(text, most.unwrap_or(usize::MAX)),
        }
    }
}

/// The words of a text; after `most` of them the rest, without white space before it.
fn words(text: &str, most: usize) -> Vec<&str> {
    // Python counts the four separators of ASCII as white space.
    let is_space = |letter: char| letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}');
    let (mut words, mut rest) = (Vec::new(), text.trim_start_matches(is_space));
    while !rest.is_empty() {
        let end = rest.find(is_space).filter(|_| words.len() < most).unwrap_or(rest.len());
        words.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    words
}

impl Operator for StringSplit {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(1)
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = only_strings(inputs)?;
        if let Some(facts) = tracked::computed(inputs, |inputs| self.compute(inputs))? {
            return Ok(facts);
        }
        let dims = input.shape.dims().iter().cloned().chain([inputs.measured(0)?]);
        Ok(vec![Fact::new(DType::String, dims.collect::<Shape>()), Fact::new(DType::I64, input.shape.clone())])
    }
}

impl StringSplit {
    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let &[Some(input)] = inputs else { return Err(Error::internal("StringSplit has one operand")) };
        let parts: Vec<Vec<&str>> = input.as_strings()?.into_iter().map(|text| self.parts(text)).collect();
        let width = parts.iter().map(Vec::len).max().unwrap_or(0);
        let too_large = || Error::limit(format!("{} strings of up to {width} parts", parts.len()));
        let count = parts.len().checked_mul(width).ok_or_else(too_large)?;
        let mut filled = Vec::new();
        filled.try_reserve_exact(count).map_err(|_| too_large())?;
        for parts in &parts {
            filled.extend(parts.iter().copied().chain(std::iter::repeat_n("", width - parts.len())));
        }
        let shape: Vec<usize> = input.shape().iter().copied().chain([width]).collect();
        let counts: Vec<i64> = parts.iter().map(|parts| parts.len() as i64).collect();
        Ok(vec![Tensor::from_strings(shape, &filled)?, Tensor::new(input.shape(), &counts)?])
    }
}

struct Kernel(StringSplit);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<StringSplit>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        io.fill_by(|inputs| self.0.compute(inputs))
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        self.0.compute(inputs)
    }
}

fn cases() -> Vec<Case> {
    let of = |delimiter: Option<&str>, most| StringSplit { delimiter: delimiter.map(str::to_owned), most };
    let texts = || Tensor::from_strings([2, 3], &["a,b,,c", "", ",", " x  y z ", "one", "é, 東"]).expect("six strings");
    let none = Tensor::from_strings::<&str>([0, 2], &[]).expect("no strings");
    vec![
        Case::new("words", of(None, None)).tensor(texts()),
        Case::new("words at most", of(None, Some(1))).tensor(texts()),
        Case::new("delimiter", of(Some(","), None)).tensor(texts()),
        Case::new("delimiter at most", of(Some(","), Some(2))).tensor(texts()),
        Case::new("longer delimiter", of(Some(", "), Some(0))).tensor(texts()),
        Case::new("empty", of(None, None)).tensor(none),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_in_python() {
        assert_eq!(words("  a  b c  ", usize::MAX), ["a", "b", "c"]);
        assert_eq!(words("  a  b c  ", 1), ["a", "b c  "]);
        assert_eq!(words(" a b ", 0), ["a b "]);
        assert!(words(" \u{1c} ", 3).is_empty());
    }
}

//! `Tokenizer`: strings cut into tokens by patterns.

use std::{collections::HashSet, fmt::Write, sync::Arc};

use regex::Regex;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::{
        strings::{ON_THE_HOST, only_strings, regex_full_match::compile},
        tokens,
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// For each string the list of its tokens, in one element.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// How strings are cut.
    pub cut: Cut,
    /// Characters of a token at least.
    pub least: usize,
    /// Tokens that are left out.
    pub stop_words: Vec<String>,
    /// What ONNX fills rows up with.
    pub padding: String,
}

/// How strings are cut into tokens.
#[derive(Clone, Debug)]
pub enum Cut {
    /// Matches of a pattern are tokens.
    Tokens(Regex),
    /// Between the matches of patterns, each applied to the parts that the ones before left.
    Between(Vec<Regex>),
    /// Each character is a token.
    Characters,
}

pub(crate) static DEF: OpDef = OpDef {
    name: tokens::TOKENIZER,
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    if node.int("mark")?.unwrap_or(0) != 0 {
        return Err(Error::unsupported("marks at both ends of a text"));
    }
    let least = node.int("mincharnum")?.unwrap_or(1);
    let least = usize::try_from(least).map_err(|_| Error::invalid_model(format!("`mincharnum` is {least}")))?;
    let padding = node.string("pad_value")?.unwrap_or_default();
    let stop_words = node.strings("stopwords")?.unwrap_or_default();
    let separators = node.strings("separators")?.filter(|all| !all.is_empty());
    let cut = match (node.string("tokenexp")?.filter(|pattern| !pattern.is_empty()), separators) {
        (Some(pattern), None) => Cut::Tokens(compile(&pattern)?),
        (None, Some(separators)) if separators == [""] => Cut::Characters,
        (None, Some(separators)) => {
            Cut::Between(separators.iter().map(|pattern| compile(pattern)).collect::<Result<_>>()?)
        }
        _ => return Err(Error::invalid_model("one of `tokenexp` and `separators` must be given")),
    };
    Ok(Arc::new(Tokenizer { cut, least, stop_words, padding }))
}

impl Operator for Tokenizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = only_strings(inputs)?;
        let dims = input.shape.dims().iter().cloned().chain([Dim::from(1)]);
        Ok(vec![Fact::new(DType::String, dims.collect::<Shape>())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    op: Tokenizer,
    stop_words: HashSet<String>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &Tokenizer = request.op()?;
    Ok(Box::new(Kernel { stop_words: op.stop_words.iter().cloned().collect(), op: op.clone() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<u64>()?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?.slice::<u64>()?;
        let mut list = String::new();
        for (&number, to) in input.iter().zip(output) {
            let text: Arc<str> = strings.get(number).cloned().unwrap_or_default();
            list.clear();
            for token in self.op.cut.tokens(&text) {
                if token.chars().count() < self.op.least || self.stop_words.contains(token) {
                    continue;
                }
                let space = if list.is_empty() { "" } else { " " };
                write!(list, "{space}{}", strings.intern(token)).map_err(|_| Error::internal("a list of tokens"))?;
            }
            *to = strings.intern(&list);
        }
        Ok(())
    }
}

impl Cut {
    /// The tokens of a text, empty ones left out.
    fn tokens<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut parts = match self {
            Self::Tokens(pattern) => pattern.find_iter(text).map(|found| found.as_str()).collect(),
            Self::Characters => text.char_indices().map(|(at, own)| &text[at..at + own.len_utf8()]).collect(),
            Self::Between(patterns) => patterns
                .iter()
                .fold(vec![text], |parts, pattern| parts.iter().flat_map(|part| pattern.split(part)).collect()),
        };
        parts.retain(|part| !part.is_empty());
        parts
    }
}

fn cases() -> Vec<Case> {
    let of = |cut, least, stop_words: &[&str]| Tokenizer {
        cut,
        least,
        stop_words: stop_words.iter().map(|word| (*word).to_owned()).collect(),
        padding: "#".into(),
    };
    let pattern = |pattern: &str| compile(pattern).expect("the pattern is right");
    // No token: the list is empty, whichever numbers tokens have.
    let none = || Tensor::from_strings([2, 1], &["", "..."]).expect("two strings");
    vec![
        Case::new("words", of(Cut::Tokens(pattern("[a-z]+")), 1, &[])).tensor(none()),
        Case::new("stop words", of(Cut::Between(vec![pattern("x")]), 1, &["..."])).tensor(none()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut() {
        let words = Cut::Tokens(compile("[a-z]+").unwrap());
        assert_eq!(words.tokens("one, two three_4"), ["one", "two", "three"]);
        let between = Cut::Between(vec![compile(" ").unwrap(), compile(",").unwrap()]);
        assert_eq!(between.tokens(" a b,c,, d"), ["a", "b", "c", "d"]);
        assert_eq!(Cut::Characters.tokens("aé東"), ["a", "é", "東"]);
    }
}

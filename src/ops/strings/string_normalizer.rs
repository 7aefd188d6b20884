//! `StringNormalizer`: strings in upper or lower case, without some words.

use std::{collections::HashSet, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::{
        strings::{ON_THE_HOST, only_strings},
        tracked,
    },
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// The case of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// As it is.
    Unchanged,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
}

/// Strings in another case, by Unicode's own mapping, which depends on no locale.
///
/// With stop words the operand is `[count]` or `[1, count]`, and the result has as many elements as
/// are left, or an empty string if none is.
#[derive(Clone, Debug, PartialEq)]
pub struct StringNormalizer {
    /// The case of the result.
    pub case: LetterCase,
    /// Strings that are left out.
    pub stop_words: Vec<String>,
    /// Whether only strings in the case of a stop word are left out.
    pub case_sensitive: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "StringNormalizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let case = match node.string("case_change_action")?.as_deref() {
        None | Some("NONE") => LetterCase::Unchanged,
        Some("LOWER") => LetterCase::Lower,
        Some("UPPER") => LetterCase::Upper,
        Some(other) => return Err(Error::invalid_model(format!("the case change `{other}`"))),
    };
    let case_sensitive = node.flag("is_case_sensitive", false)?;
    // Every locale but Turkish and its like maps letters as Unicode does.
    match node.string("locale")?.as_deref() {
        Some(locale) if ["tr", "az", "lt"].iter().any(|own| locale.starts_with(own)) => {
            return Err(Error::unsupported(format!("the case of letters in the locale `{locale}`")));
        }
        _ => {}
    }
    let stop_words = node.strings("stopwords")?.unwrap_or_default();
    Ok(Arc::new(StringNormalizer { case, stop_words, case_sensitive }))
}

impl StringNormalizer {
    /// The strings that are left, in the case of the result.
    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        let &[Some(input)] = inputs else { return Err(Error::internal("StringNormalizer has one operand")) };
        let (&[_] | &[1, _]) = input.shape() else {
            let shape = input.shape();
            return Err(Error::invalid_input(format!("strings {shape:?}, expected [count] or [1, count]")));
        };
        let folded = |text: &str| if self.case_sensitive { text.to_owned() } else { text.to_lowercase() };
        let stop_words: HashSet<String> = self.stop_words.iter().map(|word| folded(word)).collect();
        let left = input.as_strings()?.into_iter().filter(|text| !stop_words.contains(&folded(text)));
        let mut left: Vec<String> = left.map(|text| self.case.of(text)).collect();
        if left.is_empty() {
            left.push(String::new());
        }
        let mut shape = input.shape().to_vec();
        let last = shape.len() - 1;
        shape[last] = left.len();
        Ok(vec![Tensor::from_strings(shape, &left)?])
    }
}

impl LetterCase {
    fn of(self, text: &str) -> String {
        match self {
            Self::Unchanged => text.to_owned(),
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
        }
    }
}

impl Operator for StringNormalizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn measures(&self, _inputs: &Inputs<'_>) -> Result<usize> {
        Ok(usize::from(!self.stop_words.is_empty()))
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = only_strings(inputs)?;
        if !self.stop_words.is_empty() {
            if let Some(facts) = tracked::computed(inputs, |inputs| self.compute(inputs))? {
                return Ok(facts);
            }
            let mut dims = input.shape.dims().to_vec();
            let is_row = match &dims[..] {
                [_] => true,
                [one, _] => one.as_fixed().is_none_or(|one| one == 1),
                _ => false,
            };
            if !is_row {
                return Err(Error::invalid_model(format!("{input} with stop words, expected [count] or [1, count]")));
            }
            if let [one, _] = &mut dims[..] {
                inputs.assume(Condition::equal("the first axis", one, &Dim::from(1)))?;
                *one = Dim::from(1);
            }
            let last = dims.len() - 1;
            dims[last] = inputs.measured(0)?;
            return Ok(vec![Fact::new(DType::String, Shape::new(dims))]);
        }
        Ok(vec![Fact::new(DType::String, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].filter(|_| self.stop_words.is_empty()).map(|axis| vec![Some(axis)])
    }
}

struct Kernel(StringNormalizer);

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel(request.op::<StringNormalizer>()?.clone())))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        if !self.0.stop_words.is_empty() {
            return io.fill_by(|inputs| self.0.compute(inputs));
        }
        let input = io.input(0)?.slice::<u64>()?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?.slice::<u64>()?;
        for (&from, to) in input.iter().zip(output) {
            let text = strings.get(from).map_or("", |text| text);
            *to = match self.0.case {
                LetterCase::Unchanged => from,
                case => {
                    let text = case.of(text);
                    strings.intern(&text)
                }
            };
        }
        Ok(())
    }

    fn compute(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>> {
        self.0.compute(inputs)
    }
}

fn cases() -> Vec<Case> {
    let texts = || Tensor::from_strings([1, 4], &["Monday", "", "ÉCOLE straße", "東京"]).expect("four strings");
    let of = |case, stop_words: &[&str], case_sensitive| StringNormalizer {
        case,
        stop_words: stop_words.iter().map(|word| (*word).to_owned()).collect(),
        case_sensitive,
    };
    let list = |texts: &[&str]| Tensor::from_strings([texts.len()], texts).expect("as many strings");
    let mut cases = [LetterCase::Unchanged, LetterCase::Lower, LetterCase::Upper]
        .map(|case| Case::new(format!("{case:?}"), of(case, &[], false)).tensor(texts()))
        .to_vec();
    cases.push(Case::new("stop words", of(LetterCase::Upper, &["monday", ""], false)).tensor(texts()));
    let exact = of(LetterCase::Lower, &["monday"], true);
    cases.push(Case::new("exact stop words", exact.clone()).tensor(list(&["Monday", "monday", "b"])));
    cases.push(Case::new("nothing left", exact).tensor(list(&["monday", "monday"])));
    cases
}

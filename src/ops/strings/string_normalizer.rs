//! `StringNormalizer`: strings in upper or lower case.

use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq)]
pub struct StringNormalizer {
    /// The case of the result.
    pub case: LetterCase,
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
    // Concerns stop words alone.
    node.int("is_case_sensitive")?;
    // Every locale but Turkish and its like maps letters as Unicode does.
    match node.string("locale")?.as_deref() {
        Some(locale) if ["tr", "az", "lt"].iter().any(|own| locale.starts_with(own)) => {
            return Err(Error::unsupported(format!("the case of letters in the locale `{locale}`")));
        }
        _ => {}
    }
    if node.strings("stopwords")?.is_some_and(|words| !words.is_empty()) {
        return Err(Error::unsupported("stop words: the size of the result depends on the data"));
    }
    Ok(Arc::new(StringNormalizer { case }))
}

impl Operator for StringNormalizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let input = only_strings(inputs)?;
        Ok(vec![Fact::new(DType::String, input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    case: LetterCase,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { case: request.op::<StringNormalizer>()?.case }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<u64>()?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?.slice::<u64>()?;
        for (&from, to) in input.iter().zip(output) {
            let text = strings.get(from).map_or("", |text| text);
            *to = match self.case {
                LetterCase::Unchanged => from,
                LetterCase::Lower => strings.intern(&text.to_lowercase()),
                LetterCase::Upper => strings.intern(&text.to_uppercase()),
            };
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let texts = || Tensor::from_strings([1, 4], &["Monday", "", "ÉCOLE straße", "東京"]).expect("four strings");
    [LetterCase::Unchanged, LetterCase::Lower, LetterCase::Upper]
        .map(|case| Case::new(format!("{case:?}"), StringNormalizer { case }).tensor(texts()))
        .to_vec()
}

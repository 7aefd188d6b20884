//! `OneHotEncoder`: 1 at the position of each element's category.

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{Labels, ON_THE_HOST, elements},
    shape::{Dim, Shape},
    tensor::{DType, Tensor, View},
};

/// A row of zeros for each element, with 1 at its category.
///
/// A number is cut off to an integer first.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHotEncoder {
    /// The categories.
    pub categories: Labels,
    /// Whether an element of no category has a row of zeros; otherwise it is an error.
    pub takes_others: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.OneHotEncoder",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let takes_others = node.int("zeros")?.unwrap_or(1) != 0;
    Ok(Arc::new(OneHotEncoder { categories: Labels::decode(node, "cats_int64s", "cats_strings")?, takes_others }))
}

impl Operator for OneHotEncoder {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let fits = match self.categories {
            Labels::Integers(_) => matches!(input.dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64),
            Labels::Strings(_) => input.dtype == DType::String,
        };
        if !fits {
            return Err(Error::invalid_model(format!("categories of {} for {input}", self.categories.dtype())));
        }
        let dims = input.shape.dims().iter().cloned().chain([Dim::from(self.categories.len())]);
        Ok(vec![Fact::new(DType::F32, dims.collect::<Shape>())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    places: HashMap<u64, usize>,
    count: usize,
    takes_others: bool,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &OneHotEncoder = request.op()?;
    let categories = op.categories.elements(request);
    let (count, mut places) = (categories.len(), HashMap::new());
    for (place, category) in categories.into_iter().enumerate() {
        places.entry(category).or_insert(place);
    }
    Ok(Box::new(Kernel { places, count, takes_others: op.takes_others }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?.slice::<f32>()?;
        output.fill(0.0);
        let mut other = None;
        for (from, to) in input.bytes.chunks_exact(input.dtype.size()).zip(output.chunks_exact_mut(self.count)) {
            let category = category(from, input);
            match self.places.get(&category) {
                Some(&place) => to[place] = 1.0,
                None => other = other.or(Some(category)),
            }
        }
        match other.filter(|_| !self.takes_others) {
            None => Ok(()),
            Some(text) if input.dtype == DType::String => {
                Err(Error::invalid_input(format!("`{}` is no category of the model", io.text(text)?)))
            }
            Some(number) => Err(Error::invalid_input(format!("{} is no category of the model", number.cast_signed()))),
        }
    }
}

/// An element as an integer or as the number of a string.
fn category(bytes: &[u8], of: View<'_>) -> u64 {
    let bits = elements::read(bytes);
    match of.dtype {
        DType::F32 => (f32::from_bits(bits as u32) as i64).cast_unsigned(),
        DType::F64 => (f64::from_bits(bits) as i64).cast_unsigned(),
        DType::I32 => i64::from((bits as u32).cast_signed()).cast_unsigned(),
        _ => bits,
    }
}

fn cases() -> Vec<Case> {
    let numbers = |takes_others| OneHotEncoder { categories: Labels::Integers(vec![-1, 5, 7]), takes_others };
    let strings = OneHotEncoder { categories: Labels::Strings(vec!["a".into(), "".into()]), takes_others: true };
    let texts = Tensor::from_strings([2, 2], &["a", "", "b", "a"]).expect("four strings");
    vec![
        Case::new("integers", numbers(true)).integers(&[4], &[7, 6, -1, 5]),
        Case::new("all known", numbers(false)).integers(&[2, 1], &[7, -1]),
        Case::new("floats", numbers(true)).tensor(Tensor::new([3], &[5.9f32, -1.0, f32::INFINITY]).expect("three")),
        Case::new("doubles", numbers(true)).tensor(Tensor::new([2], &[7.0f64, 0.0]).expect("two numbers")),
        Case::new("small", numbers(true)).tensor(Tensor::new([2], &[-1i32, 8]).expect("two integers")),
        Case::new("strings", strings).tensor(texts),
        Case::new("empty", numbers(true)).integers(&[0, 1], &[]),
    ]
}

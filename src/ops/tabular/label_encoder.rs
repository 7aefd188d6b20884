//! `LabelEncoder`: elements replaced by those of a list.

use std::{collections::HashMap, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{ON_THE_HOST, elements},
    shape::Dim,
    tensor::{DType, Tensor},
};

/// Each element that is a key replaced by its value, any other by the default.
///
/// Of equal keys the first counts; NaN is equal to NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelEncoder {
    /// What is replaced.
    pub keys: Tensor,
    /// What replaces each.
    pub values: Tensor,
    /// What replaces all else: one element.
    pub default: Tensor,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.LabelEncoder",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

/// The types that are encoded.
const TYPES: [DType; 6] = [DType::F64, DType::F32, DType::String, DType::I16, DType::I32, DType::I64];

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let default_string = node.string("default_string")?.unwrap_or_else(|| "_Unused".into());
    let default_int = node.int("default_int64")?.unwrap_or(-1);
    if let Some(classes) = node.strings("classes_strings")? {
        return classes_of(node, &classes, &default_string, default_int);
    }
    let default_float = node.float("default_float")?.unwrap_or(-0.0);
    let default_tensor = node.tensor("default_tensor")?;
    let keys = list(node, "keys")?;
    let values = list(node, "values")?;
    if keys.len() != values.len() {
        return Err(Error::invalid_model(format!("{} keys and {} values", keys.len(), values.len())));
    }
    let default = match (default_tensor, values.dtype()) {
        (Some(tensor), dtype) if tensor.len() == 1 && tensor.dtype() == dtype => (*tensor).clone().reshape([1])?,
        (Some(tensor), dtype) => return Err(Error::invalid_model(format!("{tensor:?} is no default of {dtype}"))),
        (None, DType::String) => Tensor::from_strings([1], &[default_string])?,
        (None, DType::F32) => Tensor::new([1], &[default_float])?,
        (None, DType::F64) => Tensor::new([1], &[f64::from(default_float)])?,
        (None, DType::I16) => Tensor::new([1], &[default_int as i16])?,
        (None, DType::I32) => Tensor::new([1], &[default_int as i32])?,
        (None, _) => Tensor::new([1], &[default_int])?,
    };
    Ok(Arc::new(LabelEncoder { keys, values, default }))
}

/// The encoder of the first version, between strings and their positions, whichever the operand is.
fn classes_of(
    node: &OnnxNode<'_>,
    classes: &[String],
    default_string: &str,
    default_int: i64,
) -> Result<Arc<dyn Operator>> {
    let strings = Tensor::from_strings([classes.len()], classes)?;
    let positions = Tensor::new([classes.len()], &(0..classes.len() as i64).collect::<Vec<_>>())?;
    Ok(Arc::new(match node.inputs().required(0)?.dtype {
        DType::String => LabelEncoder { keys: strings, values: positions, default: Tensor::new([1], &[default_int])? },
        _ => LabelEncoder { keys: positions, values: strings, default: Tensor::from_strings([1], &[default_string])? },
    }))
}

/// The keys or values: one of the lists of each type.
fn list(node: &mut OnnxNode<'_>, name: &str) -> Result<Tensor> {
    let mut given = Vec::new();
    if let Some(list) = node.strings(&format!("{name}_strings"))? {
        given.push(Tensor::from_strings([list.len()], &list)?);
    }
    if let Some(list) = node.ints(&format!("{name}_int64s"))? {
        given.push(Tensor::new([list.len()], &list)?);
    }
    if let Some(list) = node.floats(&format!("{name}_floats"))? {
        given.push(Tensor::new([list.len()], &list)?);
    }
    if let Some(tensor) = node.tensor(&format!("{name}_tensor"))? {
        let count = tensor.len();
        given.push((*tensor).clone().reshape([count])?);
    }
    given.retain(|list| !list.is_empty());
    match <[Tensor; 1]>::try_from(given) {
        Ok([list]) if TYPES.contains(&list.dtype()) => Ok(list),
        Ok([list]) => Err(Error::invalid_model(format!("`{name}` of {}", list.dtype()))),
        Err(given) => Err(Error::invalid_model(format!("{} lists of `{name}`, expected one", given.len()))),
    }
}

impl Operator for LabelEncoder {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if input.dtype != self.keys.dtype() {
            return Err(Error::invalid_model(format!("keys of {} for {input}", self.keys.dtype())));
        }
        Ok(vec![Fact::new(self.values.dtype(), input.shape.clone())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        axes[0].map(|axis| vec![Some(axis)])
    }
}

struct Kernel {
    values: HashMap<u64, u64>,
    default: u64,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &LabelEncoder = request.op()?;
    let keys = elements::of(&op.keys, request)?;
    let mut values = HashMap::with_capacity(keys.len());
    for (key, value) in keys.into_iter().zip(elements::of(&op.values, request)?) {
        values.entry(elements::key(key, op.keys.dtype())).or_insert(value);
    }
    Ok(Box::new(Kernel { values, default: elements::of(&op.default, request)?[0] }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let output = io.output(0)?;
        let (from, to) = (input.dtype.size(), output.dtype.size());
        for (from, to) in input.bytes.chunks_exact(from).zip(output.bytes.chunks_exact_mut(to)) {
            let key = elements::key(elements::read(from), input.dtype);
            let value = self.values.get(&key).copied().unwrap_or(self.default);
            elements::write(value, to);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        self.values.capacity() * 2 * size_of::<u64>()
    }
}

fn cases() -> Vec<Case> {
    let strings = |all: &[&str]| Tensor::from_strings([all.len()], all).expect("as many as there are");
    let integers = |all: &[i64]| Tensor::new([all.len()], all).expect("as many as there are");
    let floats = |all: &[f32]| Tensor::new([all.len()], all).expect("as many as there are");
    let of = |keys: Tensor, values: Tensor, default: Tensor| LabelEncoder { keys, values, default };
    let names = || strings(&["b", "a", "", "b"]);
    let small = Tensor::new([3], &[5i16, -7, 9]).expect("three integers");
    vec![
        Case::new("strings", of(names(), integers(&[1, 2, 3, 4]), integers(&[-1])))
            .tensor(strings(&["a", "b", "c", "", "a"]).reshape([5, 1]).expect("five")),
        Case::new("to strings", of(integers(&[3, -4]), strings(&["x", "y"]), strings(&["other"])))
            .integers(&[2, 2], &[3, -4, 5, 3]),
        Case::new("floats", of(floats(&[f32::NAN, 0.0, 1.5]), floats(&[1.0, 2.0, 3.0]), floats(&[-0.0])))
            .tensor(floats(&[1.5, -0.0, f32::NAN, 0.5])),
        Case::new("between strings", of(strings(&["a"]), strings(&["b"]), strings(&["?"])))
            .tensor(strings(&["a", "q"])),
        Case::new("small", of(small.clone(), integers(&[1, 2, 3]), integers(&[0]))).tensor(small),
        Case::new("empty", of(integers(&[1]), floats(&[1.0]), floats(&[0.0]))).integers(&[0, 2], &[]),
    ]
}

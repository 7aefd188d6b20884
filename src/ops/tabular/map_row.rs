//! `DictVectorizer`, and what `CastMap` is made of: a map as a row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    ops::tabular::{Labels, ON_THE_HOST, elements},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The values of a map as one row; operand 0 is its keys, operand 1 the value of each.
#[derive(Clone, Debug, PartialEq)]
pub struct MapRow {
    /// Where each value goes.
    pub columns: Columns,
    /// What columns without a value hold: one element.
    pub default: Tensor,
}

/// The columns of a row made of a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Columns {
    /// One for each of these keys; values of other keys are left out.
    Keys(Labels),
    /// As many as said, numbered by the keys; values of larger keys are left out.
    Numbered(usize),
    /// One for each key of the map, in ascending order.
    Sorted,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.DictVectorizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let columns = Columns::Keys(Labels::decode(node, "int64_vocabulary", "string_vocabulary")?);
    let default = Tensor::zeros(node.inputs().required(1)?.dtype, [1])?;
    Ok(Arc::new(MapRow { columns, default }))
}

impl Operator for MapRow {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(2, 2)?;
        let (keys, values) = (inputs.required(0)?, inputs.required(1)?);
        let (due, columns) = match &self.columns {
            Columns::Keys(labels) => (labels.dtype(), Dim::from(labels.len())),
            Columns::Numbered(count) => (DType::I64, Dim::from(*count)),
            Columns::Sorted => (DType::I64, keys.shape.elements()),
        };
        if keys.dtype != due || values.dtype != self.default.dtype() {
            let default = self.default.dtype();
            return Err(Error::invalid_model(format!("keys {keys} and values {values} for {due} and {default}")));
        }
        if keys.shape.rank() != 1 || keys.shape != values.shape {
            return Err(Error::invalid_model(format!("keys {keys} for values {values}")));
        }
        Ok(vec![Fact::new(values.dtype, Shape::new([Dim::from(1), columns]))])
    }

    // A map is one row, whatever its size.
    fn batch_axes(&self, _inputs: &Inputs<'_>, _axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        None
    }
}

struct Kernel {
    places: Places,
    default: u64,
}

/// Where the value of a key goes.
enum Places {
    Keys(HashMap<u64, Vec<usize>>),
    Numbered,
    Sorted,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &MapRow = request.op()?;
    let places = match &op.columns {
        Columns::Keys(labels) => {
            let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
            for (place, key) in labels.elements(request).into_iter().enumerate() {
                places.entry(key).or_default().push(place);
            }
            Places::Keys(places)
        }
        Columns::Numbered(_) => Places::Numbered,
        Columns::Sorted => Places::Sorted,
    };
    Ok(Box::new(Kernel { places, default: elements::of(&op.default, request)?[0] }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (keys, values) = (io.input(0)?, io.input(1)?);
        let (key_size, size) = (keys.dtype.size(), values.dtype.size());
        let mut map = BTreeMap::new();
        for (key, value) in keys.bytes.chunks_exact(key_size).zip(values.bytes.chunks_exact(size)) {
            // In the order of integers; that of strings does not matter.
            let key = elements::read(key);
            if map.insert(key.cast_signed(), value).is_some() {
                let name =
                    if keys.dtype == DType::String { io.text(key)?.to_string() } else { key.cast_signed().to_string() };
                return Err(Error::invalid_input(format!("the key {name} stands in the map twice")));
            }
        }
        let output = io.output(0)?;
        output.bytes.chunks_exact_mut(size).for_each(|element| elements::write(self.default, element));
        let mut put = |place: usize, value: &[u8]| {
            if let Some(to) = output.bytes.get_mut(place * size..(place + 1) * size) {
                to.copy_from_slice(value);
            }
        };
        match &self.places {
            Places::Sorted => map.values().enumerate().for_each(|(place, value)| put(place, value)),
            Places::Keys(places) => {
                for (key, value) in map {
                    places.get(&key.cast_unsigned()).into_iter().flatten().for_each(|&place| put(place, value));
                }
            }
            Places::Numbered => {
                let columns = output.shape.iter().product::<usize>();
                for (key, value) in map {
                    let place = usize::try_from(key)
                        .map_err(|_| Error::invalid_input(format!("the key {key} of the map is negative")))?;
                    if place < columns {
                        put(place, value);
                    }
                }
            }
        }
        Ok(())
    }
}

fn cases() -> Vec<Case> {
    let strings = |all: &[&str]| Tensor::from_strings([all.len()], all).expect("as many as there are");
    let floats = |all: &[f32]| Tensor::new([all.len()], all).expect("as many as there are");
    let named = |all: &[&str]| Columns::Keys(Labels::Strings(all.iter().map(|&name| name.into()).collect()));
    let numbered = || Columns::Keys(Labels::Integers(vec![5, 2, 1]));
    let zero = || floats(&[0.0]);
    let of = |name: &str, columns, default| Case::new(name, MapRow { columns, default });
    let texts = || strings(&["x", "", "x"]);
    vec![
        of("names", named(&["c", "b", "a", "a"]), zero()).tensor(strings(&["a", "c", "zz"])).tensor(floats(&[
            1.5,
            f32::NAN,
            7.0,
        ])),
        of("integers", numbered(), strings(&[""])).integers(&[3], &[1, -9, 5]).tensor(texts()),
        of("whole numbers", numbered(), Tensor::new([1], &[0i64]).expect("one"))
            .integers(&[2], &[5, 1])
            .integers(&[2], &[7, -8]),
        of("numbered", Columns::Numbered(6), strings(&["0.f"])).integers(&[3], &[3, 1, i64::MAX]).tensor(texts()),
        of("sorted", Columns::Sorted, zero()).integers(&[3], &[3, -1, 2]).tensor(floats(&[1.0, 2.0, 3.0])),
        of("empty", named(&["a"]), zero()).tensor(strings(&[])).tensor(floats(&[])),
    ]
}

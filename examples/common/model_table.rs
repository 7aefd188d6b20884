//! Any ONNX model over the rows of tables: a column for each input, and one for each output.

use std::path::Path;

use gristmill::{
    DType, Error, Fact, Model, Result, Session, Tensor, Tensors,
    bulk::Bulk,
    files::{Cell, Column, ColumnType, Row},
};
use half::{bf16, f16};
use serde_json::Value;

use super::common::{Common, Outcome, file_job::FileFlags};

/// Runs the job in `--out-dir`.
pub fn run(files: &FileFlags, common: &Common, [model, table]: [&Path; 2]) -> Outcome {
    let session = Model::open(model)?.session(&common.options())?;
    let own = ModelTable::of(&session);
    let job = files.job(common, [model, table], &gristmill::Inference::describe(&session), own.columns())?;
    files.run(common, job, Bulk::new(session), |row: &Row<'_>| own.read(row), |outputs| own.write(&outputs))
}

/// The columns of a model's inputs and outputs.
pub struct ModelTable {
    inputs: Vec<(String, Fact)>,
    outputs: Vec<(String, ColumnType)>,
}

impl ModelTable {
    /// The columns of a loaded model.
    pub fn of(session: &Session) -> Self {
        let inputs = session.inputs().map(|(name, fact)| (name.to_owned(), fact.clone())).collect();
        Self { inputs, outputs: columns(session) }
    }

    /// The columns that are written.
    pub fn columns(&self) -> Vec<Column> {
        self.outputs.iter().map(|(name, kind)| Column::new(name, *kind)).collect()
    }

    /// The inputs in a row.
    pub fn read(&self, row: &Row<'_>) -> Result<Tensors> {
        let mut inputs = self.inputs.iter();
        inputs
            .try_fold(Tensors::new(), |tensors, (name, fact)| Ok(tensors.with(name.as_str(), tensor(row, name, fact)?)))
    }

    /// The values of the columns.
    pub fn write(&self, outputs: &Tensors) -> Result<Vec<Cell>> {
        self.outputs.iter().map(|(name, kind)| cell(outputs.get(name), name, *kind)).collect()
    }
}

/// The sizes of a value in the run of one row; `None` where only the row tells.
fn sizes(fact: &Fact) -> Vec<Option<usize>> {
    let dims = fact.shape.dims().iter().map(|dim| dim.as_fixed().and_then(|size| usize::try_from(size).ok()));
    // The first size is that of the rows, unless the model says otherwise.
    dims.enumerate().map(|(place, size)| if place == 0 { size.or(Some(1)) } else { size }).collect()
}

/// The columns for the outputs: a number, numbers of a known count, or a list as JSON.
fn columns(session: &Session) -> Vec<(String, ColumnType)> {
    let column = |(name, fact): (&str, &Fact)| {
        let sizes: Option<Vec<usize>> = sizes(fact).into_iter().collect();
        let width = sizes.map_or(0, |sizes| sizes.iter().product());
        let kind = match (fact.dtype, width) {
            (DType::F32, 1) => ColumnType::Float,
            (DType::I64 | DType::I32, 1) => ColumnType::Integer,
            (DType::Bool, 1) => ColumnType::Bool,
            (dtype @ (DType::F32 | DType::F16 | DType::I8 | DType::U8), 2..) => ColumnType::Vector { dtype, width },
            _ => ColumnType::Json,
        };
        (name.to_owned(), kind)
    };
    session.outputs().map(column).collect()
}

/// The input of that name from its column.
fn tensor(row: &Row<'_>, name: &str, fact: &Fact) -> Result<Tensor> {
    if fact.dtype == DType::String {
        let shape = vec![1; fact.shape.dims().len()];
        return Tensor::from_strings(shape, &[row.text(name)?]);
    }
    let numbers = row.numbers(name)?;
    let mut sizes = sizes(fact);
    let known: usize = sizes.iter().flatten().product();
    let open = sizes.iter().filter(|size| size.is_none()).count();
    if open == 1 && known > 0 && numbers.len() % known == 0 {
        sizes.iter_mut().filter(|size| size.is_none()).for_each(|size| *size = Some(numbers.len() / known));
    }
    let shape: Option<Vec<usize>> = sizes.iter().copied().collect();
    let shape = shape.filter(|shape| shape.iter().product::<usize>() == numbers.len()).ok_or_else(|| {
        Error::invalid_input(format!("the column `{name}` has {} numbers, which are no {fact}", numbers.len()))
    })?;
    macro_rules! whole {
        ($type:ty) => {{
            // Past 2^53 a number is no longer told from its neighbours.
            let is_exact = |number: f64| number.abs() < 9_007_199_254_740_992.0 && number as $type as f64 == number;
            let exact = |&number: &f64| is_exact(number).then_some(number as $type);
            let numbers: Option<Vec<$type>> = numbers.iter().map(exact).collect();
            let no_fit = || {
                Error::invalid_input(format!(
                    "the column `{name}` has a number that {} has not, or one of 2^53 or more",
                    fact.dtype
                ))
            };
            Tensor::new(shape, &numbers.ok_or_else(no_fit)?)
        }};
    }
    match fact.dtype {
        DType::F32 => Tensor::new(shape, &numbers.iter().map(|&number| number as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::new(shape, &numbers),
        DType::F16 => Tensor::new(shape, &numbers.iter().map(|&number| f16::from_f64(number)).collect::<Vec<_>>()),
        DType::BF16 => Tensor::new(shape, &numbers.iter().map(|&number| bf16::from_f64(number)).collect::<Vec<_>>()),
        DType::I8 => whole!(i8),
        DType::I16 => whole!(i16),
        DType::I32 => whole!(i32),
        DType::I64 => whole!(i64),
        DType::U8 => whole!(u8),
        DType::U16 => whole!(u16),
        DType::U32 => whole!(u32),
        DType::U64 => whole!(u64),
        DType::Bool => Tensor::from_bools(shape, &numbers.iter().map(|&number| number != 0.0).collect::<Vec<_>>()),
        other => Err(Error::invalid_input(format!("an input of type {other} is in no column"))),
    }
}

/// The value of an output's column.
fn cell(tensor: Option<&Tensor>, name: &str, kind: ColumnType) -> Result<Cell> {
    let tensor = tensor.ok_or_else(|| Error::invalid_input(format!("the model gave no tensor `{name}`")))?;
    Ok(match kind {
        ColumnType::Float => Cell::Float(tensor.as_slice::<f32>()?[0]),
        ColumnType::Integer => Cell::Integer(tensor.to_i64()?[0]),
        ColumnType::Bool => Cell::Bool(tensor.bytes()[0] != 0),
        ColumnType::Vector { .. } => Cell::Vector(tensor.bytes().to_vec()),
        _ => Cell::Json(Value::from(json(tensor, name)?).to_string()),
    })
}

/// The elements of a tensor, one after another.
fn json(tensor: &Tensor, name: &str) -> Result<Vec<Value>> {
    // JSON has no number for what is not finite.
    let finite = |value: Value, number: f64| match number.is_finite() {
        true => Ok(value),
        false => Err(Error::invalid_input(format!("`{name}` has the number {number}, which JSON has not"))),
    };
    let single = |number: f32| finite(number.into(), number.into());
    match tensor.dtype() {
        DType::String => Ok(tensor.as_strings()?.into_iter().map(Value::from).collect()),
        DType::F16 => tensor.as_slice::<f16>()?.iter().map(|number| single(number.to_f32())).collect(),
        DType::BF16 => tensor.as_slice::<bf16>()?.iter().map(|number| single(number.to_f32())).collect(),
        DType::F32 => tensor.as_slice::<f32>()?.iter().map(|&number| single(number)).collect(),
        DType::F64 => tensor.as_slice::<f64>()?.iter().map(|&number| finite(number.into(), number)).collect(),
        DType::Bool => Ok(tensor.bytes().iter().map(|&byte| (byte != 0).into()).collect()),
        DType::U64 => Ok(tensor.as_slice::<u64>()?.iter().map(|&number| number.into()).collect()),
        _ => Ok(tensor.to_i64()?.into_iter().map(Value::from).collect()),
    }
}

//! Columns as a model's tensors, and its results as columns.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeListArray, LargeStringArray, cast::AsArray, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field};
use gristmill::{DType, Error, ErrorKind, Result, Tensor};

use super::texts::Column as TextColumn;

/// Element types that both sides have, in the same bytes; booleans are bits in Arrow.
const TYPES: [(DType, DataType); 11] = [
    (DType::I8, DataType::Int8),
    (DType::I16, DataType::Int16),
    (DType::I32, DataType::Int32),
    (DType::I64, DataType::Int64),
    (DType::U8, DataType::UInt8),
    (DType::U16, DataType::UInt16),
    (DType::U32, DataType::UInt32),
    (DType::U64, DataType::UInt64),
    (DType::F16, DataType::Float16),
    (DType::F32, DataType::Float32),
    (DType::F64, DataType::Float64),
];

/// An error of Arrow's library.
pub(super) fn arrow_error(error: arrow_schema::ArrowError) -> Error {
    Error::invalid_input(format!("Arrow data: {error}"))
}

/// A column as elements in a row, each row of one shape.
pub(super) struct Column {
    pub dtype: DType,
    /// The shape of a row.
    pub shape: Vec<usize>,
    elements: Elements,
}

enum Elements {
    Bytes(Buffer),
    /// Of a row each.
    Texts(TextColumn),
}

/// The bytes of a buffer, for a tensor over them.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Column {
    /// The elements of an array, in place; booleans are unpacked.
    ///
    /// # Errors
    /// If the type is none that tensors have.
    pub(super) fn of(name: &str, array: &ArrayRef) -> Result<Self> {
        if let DataType::FixedSizeList(_, _) = array.data_type() {
            let list = array.as_fixed_size_list();
            let mut inner = Self::of(name, list.values())?;
            if let Elements::Texts(_) = inner.elements {
                return Err(unknown(name, array));
            }
            inner.shape.insert(0, list.value_length() as usize);
            return Ok(inner);
        }
        let (dtype, elements) = match array.data_type() {
            DataType::Boolean => {
                let bytes: Vec<u8> = array.as_boolean().values().iter().map(u8::from).collect();
                (DType::Bool, Elements::Bytes(Buffer::from_vec(bytes)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                (DType::String, Elements::Texts(TextColumn::of(array)?))
            }
            own => {
                let known = TYPES.iter().find(|(_, data_type)| data_type == own);
                let (dtype, _) = known.ok_or_else(|| unknown(name, array))?;
                let data = array.to_data();
                let (start, len) = (data.offset() * dtype.size(), data.len() * dtype.size());
                (*dtype, Elements::Bytes(data.buffers()[0].slice_with_length(start, len)))
            }
        };
        Ok(Self { dtype, shape: Vec::new(), elements })
    }

    /// The tensor of consecutive rows, of `shape`.
    pub(super) fn tensor(&self, rows: Range<usize>, shape: Vec<usize>) -> Result<Tensor> {
        match &self.elements {
            Elements::Bytes(buffer) => {
                let row = self.shape.iter().product::<usize>() * self.dtype.size();
                let bytes = buffer.slice_with_length(rows.start * row, rows.len() * row);
                Tensor::from_owner(self.dtype, shape, Shared(bytes))
            }
            Elements::Texts(texts) => {
                let texts: Vec<&str> = texts.slice(rows).map(|text| text.unwrap_or_default()).collect();
                Tensor::from_strings(shape, &texts)
            }
        }
    }
}

fn unknown(name: &str, array: &ArrayRef) -> Error {
    Error::invalid_input(format!(
        "column `{name}` is of {}; numbers, booleans, texts and fixed-size lists of numbers are taken",
        array.data_type()
    ))
}

/// The rows of an array without a null, in it or in a list's elements; `None` if all are.
pub(super) fn present(array: &ArrayRef) -> Option<NullBuffer> {
    let own = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let DataType::FixedSizeList(_, _) = array.data_type() else { return own };
    let list = array.as_fixed_size_list();
    let size = list.value_length() as usize;
    let inner = present(list.values()).map(|nulls| {
        let row = |row: usize| (row * size..(row + 1) * size).all(|place| nulls.is_valid(place));
        NullBuffer::new(BooleanBuffer::collect_bool(list.len(), row))
    });
    NullBuffer::union(own.as_ref(), inner.as_ref())
}

/// A column that is made of the rows of results.
pub(super) struct Builder<'a> {
    pub name: &'a str,
    dtype: DType,
    /// The shape of a row, once one is known.
    shape: Option<Vec<usize>>,
    bytes: Vec<u8>,
    texts: Vec<String>,
    valid: Vec<bool>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(name: &'a str, dtype: DType, shape: Option<Vec<usize>>, rows: usize) -> Self {
        Self { name, dtype, shape, bytes: Vec::new(), texts: Vec::new(), valid: Vec::with_capacity(rows) }
    }

    /// Adds `rows` rows of the shape `row`.
    ///
    /// # Errors
    /// If earlier rows have another shape.
    pub(super) fn push(&mut self, tensor: &Tensor, rows: usize, row: &[usize]) -> Result<()> {
        match &self.shape {
            Some(shape) if shape == row => {}
            Some(shape) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "rows of output `{}` are of unlike shapes, {shape:?} and {row:?}, which no Arrow column of \
                         fixed-size lists has; take the results as NumPy's arrays",
                        self.name
                    ),
                ));
            }
            None => {
                self.shape = Some(row.to_vec());
                // Rows before it had none.
                self.pad(self.valid.len());
            }
        }
        match self.dtype {
            DType::String => self.texts.extend(tensor.as_strings()?.into_iter().map(str::to_owned)),
            _ => self.bytes.extend_from_slice(tensor.bytes()),
        }
        self.valid.resize(self.valid.len() + rows, true);
        Ok(())
    }

    /// Adds rows without a value.
    pub(super) fn push_null(&mut self, rows: usize) {
        if self.shape.is_some() {
            self.pad(rows);
        }
        self.valid.resize(self.valid.len() + rows, false);
    }

    fn pad(&mut self, rows: usize) {
        let elements = rows * self.shape.iter().flatten().product::<usize>();
        match self.dtype {
            DType::String => self.texts.resize(self.texts.len() + elements, String::new()),
            dtype => self.bytes.resize(self.bytes.len() + elements * dtype.size(), 0),
        }
    }

    /// The column.
    pub(super) fn finish(mut self) -> Result<ArrayRef> {
        if self.shape.is_none() {
            self.shape = Some(vec![]);
            self.pad(self.valid.len());
        }
        let shape = self.shape.take().unwrap_or_default();
        let rows = self.valid.len();
        let nulls = (!self.valid.iter().all(|valid| *valid)).then(|| NullBuffer::from(self.valid));
        let (inner, outer) = if shape.is_empty() { (nulls, None) } else { (None, nulls) };
        let elements = rows * shape.iter().product::<usize>();
        let mut array: ArrayRef = match self.dtype {
            DType::Bool => {
                let bits = BooleanBuffer::collect_bool(elements, |place| self.bytes[place] != 0);
                Arc::new(BooleanArray::new(bits, inner))
            }
            DType::String => {
                let texts = LargeStringArray::from_iter_values(&self.texts);
                let (offsets, values, _) = texts.into_parts();
                Arc::new(LargeStringArray::new(offsets, values, inner))
            }
            dtype => {
                let known = TYPES.iter().find(|(own, _)| *own == dtype);
                let (_, data_type) = known.ok_or_else(|| {
                    let message = format!("output `{}` has elements of type {dtype}, which Arrow lacks", self.name);
                    Error::new(ErrorKind::Unsupported, message)
                })?;
                let buffer = Buffer::from_vec(self.bytes);
                let data = ArrayData::builder(data_type.clone()).len(elements).add_buffer(buffer).nulls(inner);
                make_array(data.align_buffers(true).build().map_err(arrow_error)?)
            }
        };
        let mut outer = outer;
        for (axis, &size) in shape.iter().enumerate().rev() {
            let lists = rows * shape[..axis].iter().product::<usize>();
            let field = Arc::new(Field::new("item", array.data_type().clone(), true));
            let size = i32::try_from(size).map_err(|_| Error::invalid_input("a list is too long for Arrow"))?;
            let nulls = if axis == 0 { outer.take() } else { None };
            array = Arc::new(
                FixedSizeListArray::try_new_with_length(field, size, array, nulls, lists).map_err(arrow_error)?,
            );
        }
        Ok(array)
    }
}

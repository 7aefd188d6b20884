//! `CastMap`: the values of a map as a row, in another type.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::{
        call::Call,
        composed::{Composer, attributes, operand},
    },
    ops::tabular::map_row::{Columns, MapRow},
    tensor::{DType, Tensor},
};

/// A row of the values in the order of their keys, or (`SPARSE`) with each where its key says.
pub(super) fn cast_map(own: &mut Composer<'_>, call: &Call<'_>) -> Result<Vec<ValueId>> {
    let (to, columns) = attributes(call, |node| {
        let to = match node.string("cast_to")?.as_deref() {
            None | Some("TO_FLOAT") => DType::F32,
            Some("TO_INT64") => DType::I64,
            Some("TO_STRING") => DType::String,
            Some(other) => return Err(Error::invalid_model(format!("`cast_to` is {other:?}"))),
        };
        let most = node.int("max_map")?.unwrap_or(1);
        let columns = match node.string("map_form")?.as_deref() {
            None | Some("DENSE") => Columns::Sorted,
            Some("SPARSE") => match usize::try_from(most) {
                Ok(most) if most > 0 => Columns::Numbered(most),
                _ => return Err(Error::invalid_model(format!("`max_map` is {most}; a row has a column at least"))),
            },
            Some(other) => return Err(Error::invalid_model(format!("`map_form` is {other:?}"))),
        };
        Ok((to, columns))
    })?;
    let (keys, values) = (operand(call, 0)?, operand(call, 1)?);
    let default = match (own.dtype(values), to) {
        (DType::F32, DType::String) => {
            return Err(Error::unsupported("numbers of a map as strings; cast them to numbers, or give strings"));
        }
        // ONNX Runtime's filling, which the standard does not name.
        (DType::String, DType::String) => Tensor::from_strings([1], &["0.f"])?,
        (DType::String, _) => Tensor::from_strings([1], &["0"])?,
        (DType::F32, _) => Tensor::new([1], &[0f32])?,
        (other, _) => return Err(Error::invalid_model(format!("values of {other}, expected f32 or strings"))),
    };
    let name = own.name;
    let row = own.graph().apply(name, MapRow { columns, default }, &[keys, values])?;
    Ok(vec![own.cast(row, to)?])
}

//! The tensors of a checkpoint, from what its pickle made.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use crate::{
    error::{Context, Error, Result},
    import::weight_file::{
        TensorInfo,
        checkpoint::values::{Pickled, Value},
    },
    tensor::DType,
};

/// The numbers of tensors.
#[derive(Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    dtype: DType,
    count: u64,
}

/// The tensors of a dictionary, with the places of their numbers; `place` finds a storage's in the file.
pub(super) fn tensors(
    pickled: &Pickled,
    mut place: impl FnMut(Storage<'_>) -> Result<Range<u64>>,
) -> Result<BTreeMap<String, TensorInfo>> {
    let Value::Dictionary(entries) = &pickled.values[pickled.root] else {
        return Err(Error::unsupported("holds no dictionary of tensors; save the model as `model.safetensors`"));
    };
    let mut tensors = BTreeMap::new();
    for &(name, value) in entries {
        let name = text(pickled, name)?;
        let info = tensor(pickled, value, &mut place).context(|| format!("`{name}`"))?;
        if tensors.insert(name.to_owned(), info).is_some() {
            return Err(Error::invalid_model(format!("the name `{name}` comes twice")));
        }
    }
    Ok(tensors)
}

fn tensor(
    pickled: &Pickled,
    value: usize,
    place: &mut impl FnMut(Storage<'_>) -> Result<Range<u64>>,
) -> Result<TensorInfo> {
    let Value::Tensor { storage, first, shape, strides } = &pickled.values[value] else {
        return Err(Error::unsupported("is no tensor; save the model as `model.safetensors`"));
    };
    let storage = storage_of(pickled, *storage)?;
    let outside = || Error::invalid_model(format!("{shape:?} from number {first} on is not in its storage"));
    if shape.len() != strides.len() {
        return Err(Error::invalid_model(format!("has the shape {shape:?} and the strides {strides:?}")));
    }
    let mut count = 1_u64;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        // What is not there, and what is there once, may have any stride.
        if size > 1 && stride != count && !shape.contains(&0) {
            return Err(Error::unsupported(format!(
                "has the shape {shape:?} and the strides {strides:?}, so its numbers are not in a row; save the model as \
                 `model.safetensors`"
            )));
        }
        count = count.checked_mul(size).ok_or_else(outside)?;
    }
    let end = first.checked_add(count).filter(|end| *end <= storage.count).ok_or_else(outside)?;
    let own = place(storage)?;
    let size = storage.dtype.size() as u64;
    // The numbers of a storage are counted twice: in the pickle, and by the bytes that the file has for it.
    let at = |number: u64| number.checked_mul(size)?.checked_add(own.start).filter(|byte| *byte <= own.end);
    let bytes = at(*first).zip(at(end)).map(|(start, end)| start..end).ok_or_else(outside)?;
    let shape = shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>().map_err(|_| outside())?;
    Ok(TensorInfo { dtype: storage.dtype, shape, bytes })
}

fn storage_of(pickled: &Pickled, value: usize) -> Result<Storage<'_>> {
    match pickled.values[value] {
        Value::Storage { key, dtype, count } => Ok(Storage { key: text(pickled, key)?, dtype, count }),
        _ => Err(Error::invalid_model("a tensor without a storage")),
    }
}

fn text(pickled: &Pickled, value: usize) -> Result<&str> {
    match &pickled.values[value] {
        Value::Text(text) => Ok(text),
        _ => Err(Error::invalid_model("has a name that is no text")),
    }
}

/// The types of all storages, by their keys.
pub(super) fn storages(pickled: &Pickled) -> Result<HashMap<&str, DType>> {
    let mut types = HashMap::new();
    for value in &pickled.values {
        if let Value::Storage { key, dtype, .. } = *value {
            let key = text(pickled, key)?;
            if types.insert(key, dtype).is_some_and(|other| other != dtype) {
                return Err(Error::invalid_model(format!("the storage {key:?} has two types")));
            }
        }
    }
    Ok(types)
}

/// The texts of a list.
pub(super) fn texts(pickled: &Pickled) -> Result<Vec<&str>> {
    match &pickled.values[pickled.root] {
        Value::Row(row) => row.iter().map(|&item| text(pickled, item)).collect(),
        _ => Err(Error::invalid_model("lists no storages")),
    }
}

/// Whether the machine that wrote a checkpoint had this byte order.
pub(super) fn is_little_endian(system: &Pickled) -> Result<bool> {
    let Value::Dictionary(entries) = &system.values[system.root] else {
        return Err(Error::invalid_model("does not describe the machine that wrote it"));
    };
    let is_order = |name: usize| matches!(&system.values[name], Value::Text(name) if name == "little_endian");
    let order = entries.iter().find(|(name, _)| is_order(*name));
    Ok(order.is_none_or(|(_, value)| !matches!(system.values[*value], Value::Flag(false))))
}

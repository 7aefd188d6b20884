//! Tensors as keys and values of a cache.

use crate::{
    bulk::{CacheKey, CacheValue, KeyHasher, cache::value::take},
    tensor::{DType, SmallType, Tensor, Tensors, Value},
};

impl CacheKey for Tensor {
    fn feed(&self, hasher: &mut KeyHasher) {
        number(self.dtype()).feed(hasher);
        self.shape().feed(hasher);
        match self.as_strings() {
            Ok(texts) => texts.iter().for_each(|text| text.feed(hasher)),
            Err(_) => hasher.bytes(self.bytes()),
        }
    }
}

/// The order of the tensors counts.
impl CacheKey for Tensors {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.len().feed(hasher);
        for (name, tensor) in self.iter() {
            name.feed(hasher);
            tensor.feed(hasher);
        }
        for (name, value) in self.others() {
            name.feed(hasher);
            let mut bytes = Vec::new();
            encode_value(value, &mut bytes);
            hasher.bytes(&bytes);
        }
    }
}

/// Marks the number of tensors where values that are no tensors follow.
const OTHERS: usize = 1 << 31;

/// The deepest nesting of a value that is read back.
const MAX_DEPTH: usize = 4;

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Tensor(tensor) => {
            0u8.encode(out);
            tensor.encode(out);
        }
        Value::Sequence(values) => {
            1u8.encode(out);
            values.len().encode(out);
            values.iter().for_each(|value| encode_value(value, out));
        }
        Value::Optional(None) => 2u8.encode(out),
        Value::Optional(Some(value)) => {
            3u8.encode(out);
            encode_value(value, out);
        }
    }
}

fn decode_value(bytes: &mut &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    Some(match u8::decode(bytes)? {
        0 => Value::Tensor(Tensor::decode(bytes)?),
        1 => {
            let mut values = Vec::new();
            for _ in 0..usize::decode(bytes)? {
                values.push(decode_value(bytes, depth)?);
            }
            Value::Sequence(values)
        }
        2 => Value::Optional(None),
        3 => Value::Optional(Some(Box::new(decode_value(bytes, depth)?))),
        _ => return None,
    })
}

impl CacheValue for Tensor {
    fn encode(&self, out: &mut Vec<u8>) {
        number(self.dtype()).encode(out);
        self.shape().to_vec().encode(out);
        if let Ok(texts) = self.as_strings() {
            let texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
            return texts.encode(out);
        }
        self.bytes().len().encode(out);
        out.extend_from_slice(self.bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let dtype = *DTYPES.get(usize::from(u8::decode(bytes)?))?;
        let shape = Vec::<usize>::decode(bytes)?;
        if dtype == DType::String {
            return Tensor::from_strings(shape, &Vec::<String>::decode(bytes)?).ok();
        }
        let len = usize::decode(bytes)?;
        Tensor::from_bytes(dtype, shape, take(bytes, len)?).ok()
    }
}

impl CacheValue for Tensors {
    fn encode(&self, out: &mut Vec<u8>) {
        let others = self.others().count();
        (if others > 0 { self.len() | OTHERS } else { self.len() }).encode(out);
        for (name, tensor) in self.iter() {
            name.to_owned().encode(out);
            tensor.encode(out);
        }
        if others > 0 {
            others.encode(out);
        }
        for (name, value) in self.others() {
            name.to_owned().encode(out);
            encode_value(value, out);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut tensors = Tensors::new();
        let count = usize::decode(bytes)?;
        for _ in 0..count & !OTHERS {
            let name = String::decode(bytes)?;
            tensors.insert(name, Tensor::decode(bytes)?);
        }
        if count & OTHERS != 0 {
            for _ in 0..usize::decode(bytes)? {
                let name = String::decode(bytes)?;
                tensors.insert_value(name, decode_value(bytes, MAX_DEPTH)?);
            }
        }
        Some(tensors)
    }
}

/// Element types by their number in cache files: append only.
const DTYPES: [DType; 26] = [
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
    DType::String,
    DType::Small(SmallType::F8E4M3FN),
    DType::Small(SmallType::F8E4M3FNUZ),
    DType::Small(SmallType::F8E5M2),
    DType::Small(SmallType::F8E5M2FNUZ),
    DType::Small(SmallType::F8E8M0),
    DType::Small(SmallType::F6E2M3),
    DType::Small(SmallType::F6E3M2),
    DType::Small(SmallType::F4E2M1),
    DType::Small(SmallType::I4),
    DType::Small(SmallType::U4),
    DType::Small(SmallType::I2),
    DType::Small(SmallType::U2),
];

/// The number of an element type in cache files.
fn number(dtype: DType) -> u8 {
    DTYPES.iter().position(|other| *other == dtype).map_or(u8::MAX, |number| number as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::cache::value::tests::round;

    #[test]
    fn tensors_are_read_back_and_truncated_ones_are_not() {
        let tensor = |dtype| Tensor::zeros(dtype, [2, 0, 3]).unwrap();
        DTYPES.into_iter().for_each(|dtype| round(tensor(dtype)));
        let tensors = Tensors::new().with("a", Tensor::new([2, 2], &[1_i64, -2, 3, 4]).unwrap());
        let mut tensors = tensors.with("b", Tensor::scalar(2.5_f64));
        round(tensors.clone());
        let sequence = Value::Sequence(vec![Tensor::scalar(1_i64).into(), Tensor::scalar(2_i64).into()]);
        tensors.insert_value("c", Value::Optional(Some(Box::new(sequence))));
        tensors.insert_value("d", Value::Optional(None));
        round(tensors);
    }

    #[test]
    fn wrong_lengths_are_no_tensors() {
        let mut bytes = Vec::new();
        usize::MAX.encode(&mut bytes);
        assert_eq!(Tensors::decode(&mut bytes.as_slice()), None);
    }

    #[test]
    fn tensors_of_other_shapes_have_other_keys() {
        let key = |shape: [usize; 2]| {
            let mut hasher = KeyHasher::new(&[1; 32]);
            Tensor::new(shape, &[1.0_f32, 2.0]).unwrap().feed(&mut hasher);
            hasher.key()
        };
        assert_ne!(key([1, 2]), key([2, 1]));
        let key = |values: &[i64]| {
            let mut tensors = Tensors::new();
            tensors
                .insert_value("s", Value::Sequence(values.iter().map(|&value| Tensor::scalar(value).into()).collect()));
            let mut hasher = KeyHasher::new(&[1; 32]);
            tensors.feed(&mut hasher);
            hasher.key()
        };
        assert_ne!(key(&[1, 2]), key(&[2, 1]));
        assert_ne!(key(&[]), key(&[1]));
    }
}

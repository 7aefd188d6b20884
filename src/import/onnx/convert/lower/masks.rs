//! Masks as numbers that are added to the scores.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::onnx::convert::lower::Lower,
    shape::Dim,
    tensor::DType,
};

impl Lower<'_, '_, '_, '_> {
    /// `filter` at keys that do not count, else 0; four dimensions.
    ///
    /// The mask is `[batch]`, the numbers of keys that count; `[2 batch]`, the ends and then the
    /// starts of those; `[batch, keys]` or `[batch, queries, keys]`, above 0 where they count.
    pub(super) fn key_mask(&mut self, mask: ValueId, batch: &Dim, keys: ValueId, filter: f32) -> Result<ValueId> {
        let shape = self.fact(mask).shape.clone();
        let counts = match shape.dims() {
            [items] => self.within_lengths(mask, items, batch, keys)?,
            [_, _] => {
                let counts = self.above_zero(mask)?;
                self.unsqueeze(counts, &[1, 2])?
            }
            [_, _, _] => {
                let counts = self.above_zero(mask)?;
                self.unsqueeze(counts, &[1])?
            }
            _ => return Err(Error::unsupported(format!("a mask of shape {shape}"))),
        };
        let (zero, filter) = (self.number(0.0, DType::F32)?, self.number(filter, DType::F32)?);
        self.op("Where", &[counts, zero, filter])
    }

    fn above_zero(&mut self, mask: ValueId) -> Result<ValueId> {
        if self.dtype(mask) == DType::Bool {
            return Ok(mask);
        }
        let zero = self.number(0.0, self.dtype(mask))?;
        self.op("Greater", &[mask, zero])
    }

    /// Whether keys are below their item's end, and from its start on.
    fn within_lengths(&mut self, mask: ValueId, items: &Dim, batch: &Dim, keys: ValueId) -> Result<ValueId> {
        let both = &(batch * &Dim::from(2)) == items && items.as_fixed() != Some(0);
        if !both && items.as_fixed().zip(batch.as_fixed()).is_some_and(|(items, batch)| items != batch) {
            return Err(Error::unsupported(format!("a mask of {items} numbers for {batch} items")));
        }
        let places = self.positions(keys, 2)?;
        let mut mask = self.cast(mask, DType::I64)?;
        let mut start = None;
        if both {
            let halves = self.reshape(mask, &[Dim::from(2), batch.clone()])?;
            let parts = self.split(halves, 0, &[1, 1])?;
            let axes = self.integers(&[0])?;
            mask = self.op("Squeeze", &[parts[0], axes])?;
            start = Some(self.op("Squeeze", &[parts[1], axes])?);
        }
        let end = self.unsqueeze(mask, &[1])?;
        let mut counts = self.op("Less", &[places, end])?;
        if let Some(start) = start {
            let start = self.unsqueeze(start, &[1])?;
            let from = self.op("GreaterOrEqual", &[places, start])?;
            counts = self.op("And", &[counts, from])?;
        }
        self.unsqueeze(counts, &[1, 2])
    }

    /// The least number at keys after their query, else 0; `[1, 1, queries, keys]`.
    ///
    /// The last query has the last key.
    pub(super) fn causal_mask(&mut self, queries: ValueId, keys: ValueId) -> Result<ValueId> {
        let (rows, columns) = (self.positions(queries, 2)?, self.positions(keys, 2)?);
        let ends = [queries, keys].map(|id| self.size_at(id, 2));
        let [own, all] = ends;
        let earlier = self.op("Sub", &[all?, own?])?;
        let rows = self.op("Add", &[rows, earlier])?;
        let rows = self.unsqueeze(rows, &[1])?;
        let later = self.op("Greater", &[columns, rows])?;
        let (zero, least) = (self.number(0.0, DType::F32)?, self.number(f32::MIN, DType::F32)?);
        let mask = self.op("Where", &[later, least, zero])?;
        self.unsqueeze(mask, &[0, 1])
    }

    /// The size of an axis, one number in a list.
    pub(super) fn size_at(&mut self, id: ValueId, axis: i64) -> Result<ValueId> {
        self.op_with("Shape", vec![super::int("start", axis), super::int("end", axis + 1)], &[id])
    }
}

//! One run of `LinearAttention`: position after position, each head by itself.

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    op::Io,
    ops::{product::linear_attention::LinearAttention, wide},
    tensor::{DType, View, ViewMut},
};

/// The elements of an operand as f32, in which all is computed.
fn numbers(view: View<'_>) -> Result<Cow<'_, [f32]>> {
    match view.dtype {
        DType::F32 => view.slice().map(Cow::Borrowed),
        _ => Ok(wide::read(view)?.into_iter().map(|x| x as f32).collect()),
    }
}

fn write(to: &mut ViewMut<'_>, numbers: &[f32]) -> Result<()> {
    wide::write(to, &numbers.iter().map(|&x| f64::from(x)).collect::<Vec<_>>())
}

pub(super) fn run(op: &LinearAttention, io: &mut Io<'_>) -> Result<()> {
    let optional = |index: usize| io.inputs.get(index).copied().flatten();
    let [query, key, value] = [io.input(0)?, io.input(1)?, io.input(2)?];
    let &[batch, positions, all] = query.shape else { return Err(Error::internal("queries of other axes")) };
    let keys = all / op.query_heads;
    let width = value.shape[2] / op.heads;
    let [query, key, value] = [numbers(query)?, numbers(key)?, numbers(value)?];
    let decay = optional(4).map(numbers).transpose()?;
    let rate = optional(5).map(numbers).transpose()?;
    let mut states = match optional(3) {
        Some(past) => numbers(past)?.into_owned(),
        None => vec![0f32; batch * op.heads * keys * width],
    };
    let mut results = vec![0f32; batch * positions * op.query_heads * width];
    let group = op.query_heads / op.heads;
    let scale = if op.scale == 0.0 { 1.0 / (keys as f32).sqrt() } else { op.scale };
    let mut corrected = vec![0f32; width];
    for (index, state) in states.chunks_mut((keys * width).max(1)).enumerate() {
        let (item, head) = (index / op.heads, index % op.heads);
        for position in item * positions..(item + 1) * positions {
            let key = &key[(position * op.heads + head) * keys..][..keys];
            if let Some(decay) = &decay {
                // One for all keys of a head, or one for each.
                let own = decay.len() / (batch * positions * op.heads);
                let own = &decay[(position * op.heads + head) * own..][..own];
                for (row, at) in state.chunks_mut(width.max(1)).zip(0..) {
                    let factor = own[if own.len() == 1 { 0 } else { at }].exp();
                    row.iter_mut().for_each(|x| *x *= factor);
                }
            }
            corrected.copy_from_slice(&value[(position * op.heads + head) * width..][..width]);
            if let Some(rate) = &rate {
                for (row, &key) in state.chunks(width.max(1)).zip(key) {
                    corrected.iter_mut().zip(row).for_each(|(to, &x)| *to -= key * x);
                }
                let own = rate.len() / (batch * positions);
                let rate = rate[position * own + if own == 1 { 0 } else { head }];
                corrected.iter_mut().for_each(|x| *x *= rate);
            }
            for (row, &key) in state.chunks_mut(width.max(1)).zip(key) {
                row.iter_mut().zip(&corrected).for_each(|(x, &value)| *x += key * value);
            }
            for own in head * group..(head + 1) * group {
                let query = &query[(position * op.query_heads + own) * keys..][..keys];
                let result = &mut results[(position * op.query_heads + own) * width..][..width];
                for (row, &query) in state.chunks(width.max(1)).zip(query) {
                    result.iter_mut().zip(row).for_each(|(to, &x)| *to += query * x);
                }
                result.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
    write(io.output(0)?, &results)?;
    write(io.output(1)?, &states)
}

//! `ScatterElements` and `ScatterND`: a copy of the data with elements replaced or joined with
//! others.

pub(crate) mod elements;
pub(crate) mod nd;

use bytemuck::Pod;

pub use elements::ScatterElements;
pub use nd::ScatterNd;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::number::{Number, with_number},
    op::{Inputs, Io, OnnxNode},
    ops::index::{Indices, check_index_type, check_number, not_numbers},
    tensor::DType,
};

/// How an update is combined with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The update; the last of several.
    Replace,
    /// Their sum.
    Add,
    /// Their product.
    Mul,
    /// The larger, NaN where either is.
    Max,
    /// The smaller, NaN where either is.
    Min,
}

impl Join {
    fn decode(node: &mut OnnxNode<'_>) -> Result<Self> {
        Ok(match node.string("reduction")?.as_deref() {
            None | Some("none") => Self::Replace,
            Some("add") => Self::Add,
            Some("mul") => Self::Mul,
            Some("max") => Self::Max,
            Some("min") => Self::Min,
            Some(other) => return Err(Error::unsupported(format!("the reduction `{other}`"))),
        })
    }

    fn check(self, dtype: DType) -> Result<()> {
        if self == Self::Replace { Ok(()) } else { check_number(dtype) }
    }

    fn of<T: Number>(self, old: T, new: T) -> T {
        match self {
            Self::Replace => new,
            Self::Add => old.plus(new),
            Self::Mul => old.times(new),
            Self::Max => old.larger(new),
            Self::Min => old.smaller(new),
        }
    }
}

fn operands<'a>(inputs: &Inputs<'a>, join: Join) -> Result<[&'a Fact; 3]> {
    inputs.expect(3, 3)?;
    let [data, indices, updates] = [inputs.required(0)?, inputs.required(1)?, inputs.required(2)?];
    check_index_type(indices.dtype)?;
    join.check(data.dtype)?;
    if updates.dtype != data.dtype {
        return Err(Error::invalid_model(format!("updates {updates} of {data}")));
    }
    Ok([data, indices, updates])
}

pub(crate) fn same_shape(indices: &[usize], updates: &[usize]) -> Result<()> {
    if indices == updates {
        return Ok(());
    }
    Err(Error::invalid_input(format!("updates {updates:?} where the indices need {indices:?}")))
}

/// Copies the data, then joins each update with its element.
fn scatter(
    io: &mut Io<'_>,
    join: Join,
    places: impl FnOnce(&[usize], &Indices<'_>, &mut dyn FnMut(usize, usize)) -> Result<()>,
) -> Result<()> {
    let (data, indices, updates) = (io.input(0)?, Indices::of(io.input(1)?)?, io.input(2)?);
    let output = io.output(0)?;
    output.bytes.copy_from_slice(data.bytes);
    fn replace<T: Pod>(updates: &[u8], output: &mut [u8]) -> impl FnMut(usize, usize) {
        let (updates, output): (&[T], &mut [T]) = (bytemuck::cast_slice(updates), bytemuck::cast_slice_mut(output));
        |update, place| output[place] = updates[update]
    }
    if join == Join::Replace {
        return match data.dtype.size() {
            1 => places(data.shape, &indices, &mut replace::<u8>(updates.bytes, output.bytes)),
            2 => places(data.shape, &indices, &mut replace::<u16>(updates.bytes, output.bytes)),
            4 => places(data.shape, &indices, &mut replace::<u32>(updates.bytes, output.bytes)),
            _ => places(data.shape, &indices, &mut replace::<u64>(updates.bytes, output.bytes)),
        };
    }
    with_number!(data.dtype, T => {
        let (updates, output) = (updates.slice::<T>()?, output.slice::<T>()?);
        places(data.shape, &indices, &mut |update, place| output[place] = join.of(output[place], updates[update]))
    }, else Err(not_numbers()))
}

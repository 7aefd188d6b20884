//! `RotaryEmbedding`: pairs of numbers turned by the angle of their position.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::Dim,
    tensor::DType,
};

/// Pairs of numbers of each head turned by an angle.
///
/// Operands: the numbers, `[batch, heads, length, size]` or `[batch, length, heads size]`; the
/// cosines and the sines, `[batch, length, pairs]`, or `[positions, pairs]` with the positions
/// `[batch, length]` as the fourth operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotaryEmbedding {
    /// Whether pairs are neighbours, rather than of the first and the second half.
    pub interleaved: bool,
    /// The leading numbers of a head that are turned; all where 0.
    pub turned: usize,
    /// The heads, of an operand with three dimensions.
    pub heads: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "RotaryEmbedding",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(|request| function_kernel::<RotaryEmbedding>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mut count = |name: &str| {
        let value = node.int(name)?.unwrap_or(0);
        usize::try_from(value).map_err(|_| Error::invalid_model(format!("`{name}` is {value}")))
    };
    let (turned, heads) = (count("rotary_embedding_dim")?, count("num_heads")?);
    Ok(Arc::new(RotaryEmbedding { interleaved: node.flag("interleaved", false)?, turned, heads }))
}

impl Operator for RotaryEmbedding {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 4)?;
        let (x, cosines, sines) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        if [x, cosines, sines].iter().any(|fact| !fact.dtype.is_float()) {
            return Err(Error::unsupported(format!("a rotation of {x} by {cosines} and {sines}")));
        }
        let size = match x.shape.dims() {
            [.., size] if x.shape.rank() == 4 => size.as_fixed(),
            [.., width] if x.shape.rank() == 3 && self.heads > 0 => {
                width.exact_div(&Dim::from(self.heads)).and_then(|size| size.as_fixed())
            }
            _ => return Err(Error::invalid_model(format!("a rotation of {x} with {} heads", self.heads))),
        };
        let size = size.ok_or_else(|| Error::unsupported(format!("a rotation of {x}, of unknown width")))? as usize;
        let turned = if self.turned == 0 { size } else { self.turned };
        let rank = if inputs.fact(3).is_some() { 2 } else { 3 };
        let pairs = [cosines, sines].iter().all(|fact| {
            fact.shape.rank() == rank && fact.shape[rank - 1].as_fixed().is_none_or(|own| own as usize == turned / 2)
        });
        if turned > size || !turned.is_multiple_of(2) || !pairs || cosines.shape != sines.shape {
            return Err(Error::invalid_model(format!("a rotation of {turned} of {x} by {cosines} and {sines}")));
        }
        if inputs.fact(3).is_some_and(|places| places.dtype != DType::I64 || places.shape.rank() != 2) {
            return Err(Error::invalid_model("positions that are no [batch, length] of i64"));
        }
        Ok(vec![Fact::new(x.dtype, x.shape.clone())])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let angles = if inputs.id(3).is_some() { None } else { Some(0) };
        let apart = axes[0] == Some(0) && axes[1..3] == [angles, angles] && axes[3..].iter().all(|own| *own == Some(0));
        apart.then(|| vec![Some(0)])
    }
}

fn run(op: &RotaryEmbedding, io: &mut Io<'_>) -> Result<()> {
    let x = io.input(0)?;
    let (cosines, sines) = (io.input(1)?, io.input(2)?);
    let places = io.inputs.get(3).copied().flatten();
    // A row for each head of each position; `order` gives its item and position.
    let (batch, heads, length, size, late) = match *x.shape {
        [batch, heads, length, size] => (batch, heads, length, size, false),
        [batch, length, width] => (batch, op.heads, length, width / op.heads, true),
        _ => return Err(Error::internal("a rotation of another rank was not refused")),
    };
    let pairs = cosines.shape[cosines.shape.len() - 1];
    let due = if places.is_some() { None } else { Some([batch, length, pairs]) };
    let misfit = || Error::invalid_input(format!("angles of shape {:?} for {:?}", cosines.shape, x.shape));
    if sines.shape != cosines.shape || due.is_some_and(|due| cosines.shape != due) {
        return Err(misfit());
    }
    if places.is_some_and(|places| places.shape != [batch, length]) {
        return Err(misfit());
    }
    let places = places.map(|places| places.slice::<i64>()).transpose()?;
    let mut numbers = wide::read(x)?;
    let (cosine_shape, cosines, sines) = (cosines.shape, wide::read(cosines)?, wide::read(sines)?);
    for (row, numbers) in numbers.chunks_exact_mut(size.max(1)).enumerate() {
        let (item, at) = match late {
            true => (row / heads / length, row / heads % length),
            false => (row / length / heads, row % length),
        };
        let place = match places {
            Some(places) => {
                let place = places[item * length + at];
                let known = usize::try_from(place).ok().filter(|&place| place < cosine_shape[0]);
                known.ok_or_else(|| Error::invalid_input(format!("position {place} of {}", cosine_shape[0])))?
            }
            None => item * length + at,
        };
        for pair in 0..pairs {
            let (a, b) = if op.interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
            let (cosine, sine) = (cosines[place * pairs + pair], sines[place * pairs + pair]);
            let (real, imaginary) = (numbers[a], numbers[b]);
            numbers[a] = cosine * real - sine * imaginary;
            numbers[b] = sine * real + cosine * imaginary;
        }
    }
    wide::write(io.output(0)?, &numbers)
}

fn cases() -> Vec<Case> {
    let of = |interleaved, turned, heads| RotaryEmbedding { interleaved, turned, heads };
    let spread = Fill::Spread;
    vec![
        Case::new("halves", of(false, 0, 0))
            .value(&[2, 3, 4, 8], spread)
            .value(&[2, 4, 4], spread)
            .value(&[2, 4, 4], spread),
        Case::new("neighbours", of(true, 6, 0))
            .value(&[2, 3, 4, 8], spread)
            .value(&[2, 4, 3], spread)
            .value(&[2, 4, 3], spread),
        Case::new("three dimensions", of(false, 4, 3))
            .value(&[2, 4, 18], spread)
            .constant(&[7, 2], spread)
            .constant(&[7, 2], spread)
            .integers(&[2, 4], &[0, 1, 2, 3, 6, 5, 4, 3]),
    ]
}

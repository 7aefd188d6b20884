//! The first layer of an image encoder: rows of patches, their product and their positions.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::hugging_face::encoder::{
        Encoder,
        tensors::{PatchTensors, Tensors},
    },
    ops::{
        index::gather::{Gather, OutOfRange},
        product::linear::Linear,
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

impl Encoder<'_> {
    /// The product of each patch, and the vector of its place.
    ///
    /// The rows in front of the patches have numbers of 0: all of it stands in the table of places, as does the bias.
    pub(super) fn patches(&mut self, patches: &PatchTensors, tensors: &Tensors) -> Result<ValueId> {
        let tokens = self.tokens;
        let width: usize = patches.weight.shape().iter().skip(1).product();
        let table = self.places(patches, tensors)?;
        let weights = self.builder.weights();
        let matrix = weights.transposed(&[(&patches.weight.as_matrix(), 0..self.config.hidden)])?;
        let graph = &mut self.builder.graph;
        let rows = Shape::new(vec![Dim::symbol(tokens), Dim::from(width)]);
        let rows = graph.input("patches", DType::F32, rows);
        let ids = graph.input("position_ids", DType::I32, Shape::new(vec![Dim::symbol(tokens)]));
        let table = graph.constant("embeddings.places", table);
        let gather = Gather { axis: 0, outside: OutOfRange::Error };
        let places = graph.apply("embeddings.position_ids", gather, &[table, ids])?;
        let matrix = graph.constant(patches.weight.name(), matrix);
        let operands = vec![Some(rows), Some(matrix), None, Some(places)];
        self.position_ids = Some(ids);
        match graph.node("embeddings.patches", Arc::new(Linear::default()), operands)?[..] {
            [result] => Ok(result),
            _ => Err(Error::internal("a product has one result")),
        }
    }

    /// What is added for each place, `[places, hidden]`.
    fn places(&mut self, patches: &PatchTensors, tensors: &Tensors) -> Result<Tensor> {
        let (Some(kind), Some(positions)) = (self.config.patches, &tensors.positions) else {
            return Err(Error::internal("patches without places"));
        };
        let (hidden, weights) = (self.config.hidden, self.builder.weights());
        let positions = weights.plain(positions)?;
        let (class, behind) = positions.as_slice::<f32>()?.split_at(usize::from(kind.class) * hidden);
        let (from, to) = (kind.grid(kind.image), kind.grid(kind.given));
        let mut table = class.to_vec();
        if let Some(class) = &patches.class {
            let class = weights.plain(class)?;
            table.iter_mut().zip(class.as_slice::<f32>()?).for_each(|(sum, number)| *sum += number);
        }
        if let Some(registers) = &patches.registers {
            table.extend_from_slice(weights.plain(registers)?.as_slice::<f32>()?);
        }
        let front = table.len();
        table.extend(match from == to {
            true => behind.to_vec(),
            false => {
                interpolated(behind, hidden, [0, 1].map(|axis| taps(from[axis], to[axis], kind.antialiased)), from[1])
            }
        });
        if let Some(bias) = &patches.bias {
            let bias = weights.plain(bias)?;
            let bias = bias.as_slice::<f32>()?;
            for row in table[front..].chunks_exact_mut(hidden) {
                row.iter_mut().zip(bias).for_each(|(sum, number)| *sum += number);
            }
        }
        Tensor::new([table.len() / hidden, hidden], &table)
    }
}

/// The old places that a new one is made of, and their weights.
type Taps = Vec<(usize, f32)>;

/// A table of places of `columns` columns for another grid.
fn interpolated(table: &[f32], hidden: usize, [down, across]: [Vec<Taps>; 2], columns: usize) -> Vec<f32> {
    let mut new = Vec::with_capacity(down.len() * across.len() * hidden);
    for row in &down {
        for column in &across {
            let start = new.len();
            new.resize(start + hidden, 0.0);
            for (y, row_weight) in row {
                for (x, weight) in column {
                    let old = &table[(y * columns + x) * hidden..][..hidden];
                    let weight = row_weight * weight;
                    new[start..].iter_mut().zip(old).for_each(|(sum, number)| *sum += weight * number);
                }
            }
        }
    }
    new
}

/// What each new place is made of, as in PyTorch's bicubic interpolation without aligned corners.
fn taps(from: usize, to: usize, antialiased: bool) -> Vec<Taps> {
    let a: f32 = if antialiased { -0.5 } else { -0.75 };
    let near = |x: f32| ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
    if antialiased {
        let weight = |x: f32| match x.abs() {
            x if x < 1.0 => near(x),
            x if x < 2.0 => far(x),
            _ => 0.0,
        };
        let scale = from as f32 / to as f32;
        let wide = scale.max(1.0);
        let one = |index: usize| {
            let center = scale * (index as f32 + 0.5);
            let first = (center - 2.0 * wide + 0.5).max(0.0) as usize;
            let end = ((center + 2.0 * wide + 0.5) as usize).min(from);
            let weights: Vec<f32> = (first..end).map(|old| weight((old as f32 - center + 0.5) / wide)).collect();
            let sum: f32 = weights.iter().sum();
            (first..end).zip(weights.into_iter().map(|weight| weight / sum)).collect()
        };
        return (0..to).map(one).collect();
    }
    let scale = from as f32 / to as f32;
    let one = |index: usize| {
        let place = scale * (index as f32 + 0.5) - 0.5;
        let (first, t) = (place.floor(), place - place.floor());
        let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        let old = |tap: usize| (first as i64 - 1 + tap as i64).clamp(0, from as i64 - 1) as usize;
        weights.into_iter().enumerate().map(|(tap, weight)| (old(tap), weight)).collect()
    };
    (0..to).map(one).collect()
}

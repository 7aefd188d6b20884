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
    shape::{Dim, Shape, Symbol},
    tensor::{DType, Tensor},
};

impl Encoder<'_> {
    /// The product of each patch, and the vector of its place.
    ///
    /// The row in front of the patches has numbers of 0: all of it stands in the table of places, as does the bias.
    pub(super) fn patches(&mut self, patches: &PatchTensors, tensors: &Tensors, tokens: Symbol) -> Result<ValueId> {
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
        let (front, behind) = positions.as_slice::<f32>()?.split_at(usize::from(kind.class) * hidden);
        let (from, to) = (kind.grid(kind.image), kind.grid(kind.given));
        let mut table = front.to_vec();
        table.extend(if from == to { behind.to_vec() } else { interpolated(behind, hidden, from, to) });
        if let Some(class) = &patches.class {
            let class = weights.plain(class)?;
            table.iter_mut().zip(class.as_slice::<f32>()?).for_each(|(sum, number)| *sum += number);
        }
        if let Some(bias) = &patches.bias {
            let bias = weights.plain(bias)?;
            let bias = bias.as_slice::<f32>()?;
            for row in table[front.len()..].chunks_exact_mut(hidden) {
                row.iter_mut().zip(bias).for_each(|(sum, number)| *sum += number);
            }
        }
        Tensor::new([table.len() / hidden, hidden], &table)
    }
}

/// A table of places for another grid, as PyTorch's bicubic interpolation without aligned corners makes it.
fn interpolated(table: &[f32], hidden: usize, from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let [down, across] = [0, 1].map(|axis| taps(from[axis], to[axis]));
    let mut new = Vec::with_capacity(to[0] * to[1] * hidden);
    for row in &down {
        for column in &across {
            let start = new.len();
            new.resize(start + hidden, 0.0);
            for (y, row_weight) in row {
                for (x, weight) in column {
                    let old = &table[(y * from[1] + x) * hidden..][..hidden];
                    let weight = row_weight * weight;
                    new[start..].iter_mut().zip(old).for_each(|(sum, number)| *sum += weight * number);
                }
            }
        }
    }
    new
}

/// For each new place its four old ones and their weights.
fn taps(from: usize, to: usize) -> Vec<[(usize, f32); 4]> {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let scale = from as f32 / to as f32;
    let one = |index: usize| {
        let place = scale * (index as f32 + 0.5) - 0.5;
        let (first, t) = (place.floor(), place - place.floor());
        let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        [0, 1, 2, 3].map(|tap| {
            let old = (first as i64 - 1 + tap as i64).clamp(0, from as i64 - 1);
            (old as usize, weights[tap])
        })
    };
    (0..to).map(one).collect()
}

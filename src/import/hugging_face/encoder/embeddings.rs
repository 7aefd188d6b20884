//! The sum of the vectors that tokens begin with.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::hugging_face::{
        encoder::{Encoder, adapter::Table, positions, tensors::Tensors},
        weights::Found,
    },
    ops::{
        index::gather::{Gather, OutOfRange},
        pointwise::{Binary, BinaryFunction},
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

impl Encoder<'_> {
    /// The sum of the vectors of words, token types and positions.
    pub(super) fn embeddings(&mut self, input: &str, words: &Table, tensors: &Tensors) -> Result<ValueId> {
        let tokens = self.tokens;
        let per_token = || Shape::new(vec![Dim::symbol(tokens)]);
        let graph = &mut self.builder.graph;
        let ids = graph.input(input, DType::I32, per_token());
        let words = self.builder.table(words)?;
        let mut x = self.look_up(input, words, ids)?;
        if self.config.embedding_scale != 1.0 {
            let [scale, scaled] = ["scale", "scaled"].map(|part| self.builder.name(&format!("embeddings.{part}")));
            let graph = &mut self.builder.graph;
            let scale = graph.constant(scale, Tensor::new([1], &[self.config.embedding_scale])?);
            x = graph.apply(&scaled, Binary { function: BinaryFunction::Mul }, &[x, scale])?;
        }
        if let Some(table) = &tensors.task_types {
            let rows = self.builder.weights().plain(table)?;
            let width = rows.shape()[1];
            let first = Tensor::new([width], &rows.as_slice::<f32>()?[..width])?;
            let first = self.builder.graph.constant("embeddings.task_type", first);
            x = self.builder.add("embeddings.add_task_type", x, first)?;
        }
        if let Some(table) = &tensors.token_types {
            let ids = self.builder.graph.input("token_type_ids", DType::I32, per_token());
            let table = self.builder.table(table)?;
            let types = self.look_up("token_type_ids", table, ids)?;
            x = self.builder.add("embeddings.add_token_type", x, types)?;
        }
        if self.config.has_position_ids() {
            let graph = &mut self.builder.graph;
            let ids = *self.position_ids.get_or_insert_with(|| graph.input("position_ids", DType::I32, per_token()));
            if let Some(table) = &tensors.positions {
                let table = self.builder.plain(table)?;
                let positions = self.look_up("position_ids", table, ids)?;
                x = self.builder.add(&self.builder.name("embeddings.add_position"), x, positions)?;
            }
        }
        Ok(x)
    }

    /// The numbers for each head and distance that a table of buckets stands for.
    pub(super) fn relative(&mut self, name: &str, table: &Found) -> Result<ValueId> {
        let relative = self.config.relative.ok_or_else(|| Error::internal("a table without its buckets"))?;
        let table = positions::relative(&self.builder.weights().plain(table)?, relative)?;
        Ok(self.builder.graph.constant(name, table))
    }

    fn look_up(&mut self, input: &str, table: ValueId, ids: ValueId) -> Result<ValueId> {
        let gather = Gather { axis: 0, outside: OutOfRange::Error };
        let name = self.builder.name(&format!("embeddings.{input}"));
        self.builder.graph.apply(&name, gather, &[table, ids])
    }

    pub(super) fn embedding_norm(&mut self, tensors: &Tensors, x: ValueId) -> Result<ValueId> {
        match &tensors.norm {
            Some(norm) => self.builder.norm(&self.builder.name("embeddings.LayerNorm"), norm, x),
            None => Ok(x),
        }
    }
}

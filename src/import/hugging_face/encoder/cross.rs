//! A decoder's attention to the encoder's results.

use crate::{
    error::{Error, Result},
    graph::ValueId,
    import::hugging_face::{
        config::{LayerKind, Placement},
        encoder::{Encoder, Summands, builder::CrossWeights, tensors::Cross},
    },
    kernels::{Activation, attention::Reach},
    ops::moves::concat::Concat,
};

impl Encoder<'_> {
    /// Each row's attention to the encoder's rows of the same text, added to it.
    ///
    /// The decoder reads as many tokens as the encoder, so that queries stand beside keys and values of the same rows.
    pub(super) fn cross(
        &mut self,
        name: impl Fn(&str) -> String,
        tensors: &Cross,
        products: &CrossWeights,
        x: ValueId,
    ) -> Result<ValueId> {
        let memory = self.memory.ok_or_else(|| Error::internal("a decoder without an encoder"))?;
        let input = match self.config.placement {
            Placement::After => x,
            _ => self.builder.norm(&name("cross.norm"), &tensors.norm, x)?,
        };
        let query = self.builder.linear(&name("cross.query"), &products.query, Activation::None, input, None)?;
        let keys = self.builder.linear(&name("cross.key_value"), &products.memory, Activation::None, memory, None)?;
        let joined = self.builder.graph.apply(&name("cross.query_key_value"), Concat { axis: -1 }, &[query, keys])?;
        let kind = LayerKind { reach: Reach::ALL, rotary: None };
        let mixed = self.attention(&name("cross"), kind, joined, Summands { relative: None, vectors: None })?;
        self.half(&name("cross.output"), (&products.attention, None), Some(&tensors.norm), mixed, x)
    }
}

//! Packed constants, shared by all nodes that use them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::Result,
    graph::ValueId,
    kernels::gemm::Packed,
    tensor::{StringTable, Tensor},
};

/// Identifies how a constant was packed; nodes share equal packings of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// The kind of packing.
    pub name: &'static str,
    /// Further parameters of the packing, encoded in a number.
    pub parameter: u64,
}

type ByPacking = HashMap<(ValueId, Packing), Arc<[Packed]>>;

/// The packed constants and the strings of one session while it is loaded.
#[derive(Default)]
pub(crate) struct PackedConstants(Mutex<ByPacking>, Mutex<StringTable>);

impl PackedConstants {
    /// No packed constants yet, and strings that have numbers already.
    pub(crate) fn with_strings(strings: StringTable) -> Self {
        Self(Mutex::default(), Mutex::new(strings))
    }

    /// The constant `id` in `packing`, made by `pack` on first use.
    pub(crate) fn get(
        &self,
        id: ValueId,
        packing: Packing,
        tensor: &Tensor,
        pack: impl FnOnce(&Tensor) -> Result<Vec<Packed>>,
    ) -> Result<Arc<[Packed]>> {
        if let Some(packed) = self.lock().get(&(id, packing)) {
            return Ok(packed.clone());
        }
        // Packed outside the lock, so that threads pack at the same time; the first of equals is
        // kept.
        let packed: Arc<[Packed]> = pack(tensor)?.into();
        Ok(self.lock().entry((id, packing)).or_insert(packed).clone())
    }

    /// The number of a string of the model.
    pub(crate) fn string(&self, text: &str) -> u64 {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).intern(text)
    }

    /// The strings of the model so far.
    pub(crate) fn take_strings(&self) -> StringTable {
        std::mem::take(&mut self.1.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, ByPacking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of all packed constants.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().values().flat_map(|packed| packed.iter()).map(Packed::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        backend::cpu::CpuSession,
        graph::Graph,
        kernels::{KernelSet, gemm::Factors},
        ops::product::{linear::Linear, matmul::MatMul},
        shape::Shape,
        tensor::{DType, Tensor},
    };

    #[test]
    fn nodes_share_a_packed_constant_and_the_original_is_dropped() {
        let mut graph = Graph::new("shared");
        let x = graph.input("x", DType::F32, Shape::fixed(&[2, 64]));
        let w = graph.constant("w", Tensor::new([64, 64], &vec![1.0f32; 64 * 64]).unwrap());
        let a = graph.node("a", Arc::new(Linear::default()), vec![Some(x), Some(w)]).unwrap();
        let b = graph.node("b", Arc::new(MatMul {}), vec![Some(a[0]), Some(w)]).unwrap();
        graph.output("y", b[0]);
        for set in KernelSet::available() {
            for (factors, bytes) in [(Factors::F32, 4), (Factors::Bf16, 2)] {
                let session = CpuSession::load(graph.clone(), set, factors).unwrap();
                assert_eq!(session.weight_bytes(), 64 * 64 * bytes, "{set} {factors:?}");
            }
        }
    }
}

//! Adapters for tasks: the product of two small matrices that is added to a weight.
//!
//! Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2022).

use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    import::hugging_face::weights::{Found, Weights},
};

/// What stands in the names of adapted weights, between the layer's name and the tensor's.
pub(super) const ADAPTED: &str = ".parametrizations.weight.";

/// The adapter of a weight.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    /// `[tasks, rank, inputs]`, or `[tasks, rows, rank]` of a table.
    pub(super) first: Found,
    /// `[tasks, outputs, rank]`, or `[tasks, rank, width]` of a table.
    pub(super) second: Found,
    /// The task.
    pub(super) task: usize,
    /// The factor of the product.
    pub(super) scale: f32,
    /// Whether the weight is a table of vectors.
    pub(super) is_table: bool,
}

/// A table of vectors, and what is added to it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) found: Found,
    pub(super) adapter: Option<Adapter>,
}

impl Adapter {
    /// Adds the product to a weight `[inputs, outputs]` or a table `[rows, width]`, in parallel on a pool.
    pub(super) fn add(&self, weights: &Weights, values: &mut [f32]) -> Result<()> {
        let [first, second] = [weights.plain(&self.first)?, weights.plain(&self.second)?];
        let (&[tasks, one, other], &[_, left, right]) = (first.shape(), second.shape()) else {
            return Err(Error::internal("an adapter that is no list of matrices"));
        };
        let of_task = |numbers: &[f32]| -> Vec<f32> {
            let size = numbers.len() / tasks.max(1);
            numbers[self.task * size..(self.task + 1) * size].to_vec()
        };
        let (first, second) = (of_task(first.as_slice()?), of_task(second.as_slice()?));
        // As `[inputs, rank]` times `[rank, outputs]`.
        let (rank, outputs) = if self.is_table { (other, right) } else { (one, left) };
        let (first, second) = match self.is_table {
            true => (first, second),
            false => (transposed(&first, other), transposed(&second, rank)),
        };
        if outputs == 0 || rank == 0 {
            return Ok(());
        }
        values.par_chunks_exact_mut(outputs).zip(first.par_chunks_exact(rank)).for_each_init(
            || vec![0f32; outputs],
            |sums, (row, factors)| {
                sums.fill(0.0);
                for (factor, numbers) in factors.iter().zip(second.chunks_exact(outputs)) {
                    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += factor * number);
                }
                row.iter_mut().zip(&*sums).for_each(|(value, sum)| *value += sum * self.scale);
            },
        );
        Ok(())
    }
}

/// A matrix of rows of `columns`, transposed.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns.max(1)).copied()).collect()
}

//! Heads of packed rows, normalized and turned by their positions.

use crate::error::{Error, Result};

/// How the heads of queries and keys are prepared; the values stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct RotaryHeads<'a> {
    /// Number of heads of queries, at the front of a row.
    pub heads: usize,
    /// Number of heads of keys, behind those of queries.
    pub key_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Factors of the columns of a query's and a key's head divided by its root mean square.
    pub scales: Option<(&'a [f32], &'a [f32])>,
    /// Added to the mean square.
    pub epsilon: f32,
    /// For each position the cosines, then the sines, of the angles of its pairs of columns.
    pub tables: Option<(&'a [f32], &'a [f32])>,
    /// Columns of a head that are turned, in pairs of the first and the second half.
    pub turned: usize,
}

impl RotaryHeads<'_> {
    /// Prepares the heads of a row at `position`, in place.
    ///
    /// # Errors
    /// `InvalidInput` if the position has no row in the tables, `Internal` if a length does not fit.
    pub fn prepare(&self, row: &mut [f32], position: i32) -> Result<()> {
        let &Self { heads, key_heads, head_dim, scales, epsilon, tables, turned } = self;
        let pairs = turned / 2;
        let fits = scales.is_none_or(|(query, key)| query.len() == head_dim && key.len() == head_dim);
        if !fits || turned > head_dim || row.len() < (heads + key_heads) * head_dim {
            return Err(Error::internal(format!("heads of {head_dim} in a row of {}", row.len())));
        }
        let angles = match tables {
            Some((cosines, sines)) => {
                let start = usize::try_from(position).ok().and_then(|position| position.checked_mul(pairs));
                let own = start.and_then(|start| Some(start..start.checked_add(pairs)?));
                let own = own.filter(|own| own.end <= cosines.len().min(sines.len()));
                let own = own.ok_or_else(|| Error::invalid_input(format!("there is no position {position}")))?;
                Some((&cosines[own.clone()], &sines[own]))
            }
            None => None,
        };
        for (index, head) in row.chunks_exact_mut(head_dim).take(heads + key_heads).enumerate() {
            if let Some((query, key)) = scales {
                normalize(head, if index < heads { query } else { key }, epsilon);
            }
            if let Some((cosines, sines)) = angles {
                turn(&mut head[..turned], cosines, sines);
            }
        }
        Ok(())
    }
}

/// `x / sqrt(mean(x^2) + epsilon) * scale`
fn normalize(head: &mut [f32], scale: &[f32], epsilon: f32) {
    let sum: f64 = head.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let factor = (1.0 / (sum / head.len() as f64 + f64::from(epsilon)).sqrt()) as f32;
    for (x, &scale) in head.iter_mut().zip(scale) {
        *x = *x * factor * scale;
    }
}

/// Turns the pairs of columns `i` and `i + n / 2` by their angles.
fn turn(columns: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (first, second) = columns.split_at_mut(cosines.len());
    for ((a, b), (&cosine, &sine)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
        (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
    }
}

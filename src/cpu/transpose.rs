//! A matrix turned over.

/// Writes `from`, `rows` rows of `columns` numbers that begin `from_stride` apart, as `columns` rows of `rows` numbers
/// that begin `to_stride` apart.
///
/// # Panics
/// When a row lies outside of its slice.
pub fn transpose(from: &[f32], from_stride: usize, rows: usize, columns: usize, to: &mut [f32], to_stride: usize) {
    /// A block's lines stay in the first-level cache.
    const BLOCK: usize = 16;
    for row in (0..rows).step_by(BLOCK) {
        let height = BLOCK.min(rows - row);
        for column in (0..columns).step_by(BLOCK) {
            let width = BLOCK.min(columns - column);
            for inner in column..column + width {
                let to = &mut to[inner * to_stride + row..][..height];
                let from = &from[row * from_stride + inner..];
                for (index, to) in to.iter_mut().enumerate() {
                    *to = from[index * from_stride];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_become_columns() {
        for (rows, columns) in [(0, 3), (1, 1), (3, 40), (17, 33), (32, 16)] {
            let from: Vec<f32> = (0..rows * (columns + 2)).map(|value| value as f32).collect();
            let mut to = vec![-1.0; columns * (rows + 1)];
            super::transpose(&from, columns + 2, rows, columns, &mut to, rows + 1);
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(to[column * (rows + 1) + row], from[row * (columns + 2) + column]);
                }
            }
            // What lies between the rows is left alone.
            assert!((0..columns).all(|column| to[column * (rows + 1) + rows] == -1.0));
        }
    }
}

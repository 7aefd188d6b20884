//! Iteration over operands that are broadcast to one shape by NumPy's rules.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    kernels::simd::Side,
};

/// Positions of dense operands while a result is written in order.
///
/// Axes that all operands step through alike are merged, so that the innermost is as long as
/// possible.
#[derive(Debug)]
pub(crate) struct Broadcast {
    /// Sizes of the merged axes, innermost first; at least one.
    sizes: SmallVec<[usize; 6]>,
    /// For each merged axis the step of each operand, in elements; the innermost axis' are 0 or 1.
    steps: SmallVec<[usize; 18]>,
    operands: usize,
}

impl Broadcast {
    /// The iteration over a result of shape `output`.
    ///
    /// # Errors
    /// `InvalidInput` if an operand does not broadcast to it.
    pub(crate) fn new(output: &[usize], operands: &[&[usize]]) -> Result<Self> {
        let mut this = Self { sizes: SmallVec::new(), steps: SmallVec::new(), operands: operands.len() };
        let mut strides: SmallVec<[usize; 6]> = SmallVec::from_elem(1, operands.len());
        let refuse =
            |shape: &[usize]| Error::invalid_input(format!("shape {shape:?} does not broadcast to {output:?}"));
        if let Some(shape) = operands.iter().find(|shape| shape.len() > output.len()) {
            return Err(refuse(shape));
        }
        let mut own: SmallVec<[usize; 6]> = SmallVec::new();
        for back in 0..output.len() {
            let size = output[output.len() - 1 - back];
            own.clear();
            for (shape, stride) in operands.iter().zip(&mut strides) {
                let dim = shape.len().checked_sub(back + 1).map_or(1, |axis| shape[axis]);
                if dim != size && dim != 1 {
                    return Err(refuse(shape));
                }
                own.push(if dim == 1 { 0 } else { *stride });
                *stride *= dim;
            }
            if size == 1 {
                continue;
            }
            let merges = this.sizes.last().is_some_and(|&inner| {
                let last = &this.steps[this.steps.len() - own.len()..];
                last.iter().zip(&own).all(|(&step, &outer)| outer == step * inner)
            });
            if merges && let Some(inner) = this.sizes.last_mut() {
                *inner *= size;
            } else {
                this.sizes.push(size);
                this.steps.extend_from_slice(&own);
            }
        }
        if this.sizes.is_empty() {
            this.sizes.push(1);
            this.steps.extend(std::iter::repeat_n(0, operands.len()));
        }
        Ok(this)
    }

    /// Elements of a run: the size of the innermost axis.
    pub(crate) fn run_len(&self) -> usize {
        self.sizes[0]
    }

    /// Whether an operand moves along a run; if not, it repeats one element.
    pub(crate) fn moves(&self, operand: usize) -> bool {
        self.steps[operand] != 0
    }

    /// An operand's elements `skipped..skipped + count` of the run that starts at `start`.
    pub(crate) fn side<'a, T: Copy>(
        &self,
        operand: usize,
        from: &'a [T],
        start: usize,
        skipped: usize,
        count: usize,
    ) -> Side<'a, T> {
        if self.moves(operand) {
            let first = start + skipped;
            Side::Each(&from[first..first + count])
        } else {
            Side::One(from[start])
        }
    }

    /// Calls `run` for every run in order, with its start in the result and in each operand.
    pub(crate) fn for_each_run(&self, mut run: impl FnMut(usize, &[usize])) {
        if self.sizes.contains(&0) {
            return;
        }
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, self.sizes.len());
        let mut starts: SmallVec<[usize; 6]> = SmallVec::from_elem(0, self.operands);
        let mut position = 0;
        loop {
            run(position, &starts);
            position += self.sizes[0];
            let mut axis = 1;
            loop {
                let Some(&size) = self.sizes.get(axis) else { return };
                let steps = &self.steps[axis * self.operands..(axis + 1) * self.operands];
                index[axis] += 1;
                if index[axis] < size {
                    starts.iter_mut().zip(steps).for_each(|(start, step)| *start += step);
                    break;
                }
                index[axis] = 0;
                starts.iter_mut().zip(steps).for_each(|(start, step)| *start -= step * (size - 1));
                axis += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(output: &[usize], operands: &[&[usize]]) -> (usize, Vec<(usize, Vec<usize>)>) {
        let walk = Broadcast::new(output, operands).unwrap();
        let mut runs = Vec::new();
        walk.for_each_run(|position, starts| runs.push((position, starts.to_vec())));
        (walk.run_len(), runs)
    }

    #[test]
    fn axes_walked_alike_are_merged() {
        assert_eq!(runs(&[2, 3, 4], &[&[2, 3, 4], &[2, 3, 4]]), (24, vec![(0, vec![0, 0])]));
        assert_eq!(runs(&[2, 3], &[&[2, 3], &[]]), (6, vec![(0, vec![0, 0])]));
        assert_eq!(runs(&[2, 1, 3], &[&[2, 1, 3], &[3]]), (3, vec![(0, vec![0, 0]), (3, vec![3, 0])]));
    }

    #[test]
    fn outer_axes_return_to_where_they_began() {
        let (len, starts) = runs(&[2, 2, 3], &[&[2, 1, 3], &[1, 2, 1]]);
        assert_eq!(len, 3);
        assert_eq!(starts, [(0, vec![0, 0]), (3, vec![0, 1]), (6, vec![3, 0]), (9, vec![3, 1])]);
    }

    #[test]
    fn nothing_is_walked_where_nothing_is_written() {
        assert!(runs(&[0, 3], &[&[1, 3]]).1.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Broadcast::new(&[2, 3], &[&[2]]).is_err());
        assert!(Broadcast::new(&[3], &[&[1, 3]]).is_err());
    }
}

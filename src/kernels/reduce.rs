//! Reductions over any axes.
//!
//! The order in which a result is combined depends on the reduced lengths alone.

mod fold;

pub(crate) use fold::{Fold, Largest, Magnitudes, Product, Smallest, Squares, Sum};
use smallvec::SmallVec;

use crate::kernels::{
    KernelSet,
    number::Number,
    simd::{Kernel, Simd},
};

/// Runs of axes that are all reduced or all kept: the size of each, and whether it is reduced.
pub(crate) type Groups = SmallVec<[(usize, bool); 8]>;

/// Groups the axes of `shape`; the grouping does not depend on the sizes.
pub(crate) fn groups(shape: &[usize], is_reduced: impl Fn(usize) -> bool) -> Groups {
    let mut groups = Groups::new();
    for (axis, &size) in shape.iter().enumerate() {
        let reduced = is_reduced(axis);
        match groups.last_mut() {
            Some((own, flag)) if *flag == reduced => *own *= size,
            _ => groups.push((size, reduced)),
        }
    }
    groups
}

/// Number of elements combined into each result.
pub(crate) fn reduced_len(groups: &Groups) -> usize {
    groups.iter().filter(|(_, reduced)| *reduced).map(|(size, _)| size).product()
}

/// Calls `part` for every contiguous part of the input, in order.
///
/// Arguments: the first element, the length, the first result, and whether each element has a
/// result of its own; if not, all go into that one.
#[inline(always)]
fn for_each_part(groups: &[(usize, bool)], part: &mut impl FnMut(usize, usize, usize, bool)) {
    let count = |groups: &[(usize, bool)], kept_only: bool| {
        groups.iter().filter(|(_, reduced)| !(kept_only && *reduced)).map(|(size, _)| size).product::<usize>()
    };
    let Some((&(len, reduced), outer)) = groups.split_last() else {
        part(0, 1, 0, true);
        return;
    };
    let runs = count(outer, false);
    let width = if reduced { 1 } else { len };
    for run in 0..runs {
        // The first result of this run: its index along the kept groups.
        let (mut rest, mut result, mut step) = (run, 0, width);
        for &(size, reduced) in outer.iter().rev() {
            if !reduced {
                result += rest % size * step;
                step *= size;
            }
            rest /= size;
        }
        part(run * len, len, result, !reduced);
    }
}

/// Independent accumulators of a row.
const LANES: usize = 32;

/// Folds a row: lane by lane, then the lanes by halves.
#[inline(always)]
fn fold_row(row: &[f32], fold: impl Fold<f32>) -> f32 {
    let mut lanes = [fold.start(); LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = fold.combine(*lane, fold.enter(x));
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = fold.combine(*lane, fold.enter(x));
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = fold.combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Writes the reduction of `input`, whose shape is `groups`, to `output`.
#[inline(always)]
fn reduce(groups: &Groups, input: &[f32], output: &mut [f32], fold: impl Fold<f32>) {
    output.fill(fold.start());
    for_each_part(groups, &mut |from, len, to, own| {
        let input = &input[from..from + len];
        if own {
            for (to, &x) in output[to..to + len].iter_mut().zip(input) {
                *to = fold.combine(*to, fold.enter(x));
            }
        } else {
            output[to] = fold.combine(output[to], fold_row(input, fold));
        }
    });
}

/// Operands of a reduction, without the function.
pub(crate) struct Task<'a, T> {
    /// The groups of the input's axes.
    pub(crate) groups: &'a Groups,
    /// The elements.
    pub(crate) input: &'a [T],
    /// The results.
    pub(crate) output: &'a mut [T],
}

/// Implementation of a [`Task`], generic over the function.
pub(crate) trait Reducer<T> {
    /// Writes the reduction by `fold`.
    fn reduce(self, fold: impl Fold<T>);
}

impl<T: Number> Reducer<T> for Task<'_, T> {
    fn reduce(self, fold: impl Fold<T>) {
        self.output.fill(fold.start());
        self.combine(&|result, x| fold.combine(result, fold.enter(x)));
    }
}

impl<T: Number> Task<'_, T> {
    /// Replaces each result by `f` of it and each of its elements, in order.
    fn combine(self, f: &dyn Fn(T, T) -> T) {
        for_each_part(self.groups, &mut |from, len, to, own| {
            for (index, &x) in self.input[from..from + len].iter().enumerate() {
                let to = &mut self.output[if own { to + index } else { to }];
                *to = f(*to, x);
            }
        });
    }
}

/// A reduction of `f32` with a kernel set's instructions.
pub(crate) struct VectorTask<'a>(pub(crate) KernelSet, pub(crate) Task<'a, f32>);

impl Reducer<f32> for VectorTask<'_> {
    fn reduce(self, fold: impl Fold<f32>) {
        struct Reduce<'a, F>(Task<'a, f32>, F);
        impl<F: Fold<f32>> Kernel for Reduce<'_, F> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                reduce(self.0.groups, self.0.input, self.0.output, self.1);
            }
        }
        self.0.run(Reduce(self.1, fold));
    }
}

/// Writes `ln sum e^x`, without intermediate overflow; `largest` is scratch as long as the output.
pub(crate) fn log_sum_exp<T: Number>(task: Task<'_, T>, largest: &mut [T]) {
    let Task { groups, input, output } = task;
    Task { groups, input, output: &mut *largest }.reduce(Largest);
    for largest in &mut *largest {
        if !largest.wide().is_finite() {
            *largest = T::ZERO;
        }
    }
    output.fill(T::ZERO);
    for_each_part(groups, &mut |from, len, to, own| {
        for (index, &x) in input[from..from + len].iter().enumerate() {
            let to = if own { to + index } else { to };
            output[to] = output[to].plus(T::narrow((x.wide() - largest[to].wide()).exp()));
        }
    });
    for (sum, largest) in output.iter_mut().zip(largest) {
        *sum = T::narrow(sum.wide().ln() + largest.wide());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_alike_are_one_group() {
        let found = groups(&[2, 3, 4, 5], |axis| axis == 1 || axis == 2);
        assert_eq!(found.as_slice(), [(2, false), (12, true), (5, false)]);
        assert_eq!(reduced_len(&found), 12);
    }

    #[test]
    fn a_row_depends_on_its_length_alone() {
        let values: Vec<f32> = (0..700).map(|i| (i as f32 * 0.37).sin() * 1e3).collect();
        let alone = &mut [0.0];
        reduce(&groups(&[70], |_| true), &values[140..210], alone, Sum);
        let mut rows = [0.0; 10];
        reduce(&groups(&[10, 70], |axis| axis == 1), &values, &mut rows, Sum);
        assert_eq!(alone[0].to_bits(), rows[2].to_bits());
    }
}

//! Cases of the pools.

use crate::{
    op::{Case, Fill},
    ops::pool::{GlobalPool, Pool, PoolFunction, channels_last::ChannelsLastPool, window::Pads},
};

/// Cases of `MaxPool`.
pub(super) fn max_cases() -> Vec<Case> {
    pool_cases(PoolFunction::Max, Fill::Hostile)
}

/// Cases of `AveragePool`.
pub(super) fn average_cases() -> Vec<Case> {
    let mut cases = pool_cases(PoolFunction::Average { count_include_pad: false }, Fill::Spread);
    cases.extend(pool_cases(PoolFunction::Average { count_include_pad: true }, Fill::Spread));
    cases
}

/// Cases of `LpPool`.
pub(super) fn lp_cases() -> Vec<Case> {
    [1, 2, 3].into_iter().flat_map(|order| pool_cases(PoolFunction::Lp(order), Fill::Spread)).collect()
}

/// Cases of [`ChannelsLastPool`].
pub(super) fn channels_last_cases() -> Vec<Case> {
    let pool = |function, kernel: &[usize], pads: &[(usize, usize)]| {
        ChannelsLastPool(Pool {
            pads: Pads::Explicit(pads.to_vec()),
            strides: vec![2; kernel.len()],
            ..Pool::new(function, kernel.to_vec())
        })
    };
    let average = |count_include_pad| PoolFunction::Average { count_include_pad };
    let two = [(0, 0), (0, 0)];
    let ragged = [(1, 1), (1, 2)];
    let past_the_end = Pool { ceil_mode: true, ..pool(PoolFunction::Max, &[3, 3], &[(1, 0), (0, 1)]).0 };
    let same = Pool { pads: Pads::SameUpper, ..pool(average(false), &[3, 2], &[]).0 };
    let dilated = Pool { dilations: vec![2, 3], ..pool(average(true), &[2, 3], &[(1, 1), (2, 2)]).0 };
    let large = |function, strides: (usize, usize), dilations: (usize, usize)| {
        ChannelsLastPool(Pool {
            pads: Pads::Explicit(vec![(2, 7), (4, 3)]),
            strides: vec![strides.0, strides.1],
            dilations: vec![dilations.0, dilations.1],
            ..Pool::new(function, vec![8, 10])
        })
    };
    vec![
        Case::new("one dimension", pool(PoolFunction::Max, &[3], &[(1, 1)])).value(&[2, 19, 3], Fill::Hostile),
        Case::new("two by two", pool(PoolFunction::Max, &[2, 2], &two)).value(&[2, 9, 40, 33], Fill::Hostile),
        Case::new("padded", pool(PoolFunction::Max, &[3, 3], &ragged)).value(&[1, 8, 9, 16], Fill::Hostile),
        Case::new("past the end", ChannelsLastPool(past_the_end)).value(&[1, 8, 6, 5], Fill::Hostile),
        Case::new("mean", pool(average(false), &[3, 3], &ragged)).value(&[2, 8, 9, 17], Fill::Spread),
        Case::new("mean with padding", pool(average(true), &[3, 3], &ragged)).value(&[2, 8, 9, 17], Fill::Spread),
        Case::new("same", ChannelsLastPool(same)).value(&[1, 7, 8, 2], Fill::Spread),
        Case::new("dilated", ChannelsLastPool(dilated)).value(&[1, 8, 11, 2], Fill::Spread),
        Case::new("three dimensions", pool(average(false), &[2, 3, 2], &[(0, 1), (1, 1), (0, 0)]))
            .value(&[1, 4, 5, 6, 2], Fill::Spread),
        Case::new("large", ChannelsLastPool(Pool::new(PoolFunction::Max, vec![5, 5])))
            .value(&[2, 9, 8, 17], Fill::Hostile),
        Case::new("large with pads", large(PoolFunction::Max, (1, 1), (1, 1))).value(&[1, 7, 9, 5], Fill::Spread),
        Case::new("large with strides", large(PoolFunction::Max, (2, 3), (1, 1))).value(&[1, 9, 31, 5], Fill::Spread),
        Case::new("large mean with strides", large(average(true), (2, 3), (1, 1))).value(&[1, 9, 23, 5], Fill::Spread),
        Case::new("large mean", large(average(false), (1, 1), (1, 1))).value(&[2, 7, 9, 3], Fill::Spread),
        Case::new("large mean with padding", large(average(true), (1, 2), (2, 2))).value(&[1, 9, 14, 3], Fill::Spread),
        Case::new("no channels", pool(PoolFunction::Max, &[2, 2], &two)).value(&[1, 4, 4, 0], Fill::Spread),
        Case::new("empty", pool(PoolFunction::Max, &[2, 2], &two)).value(&[0, 4, 4, 3], Fill::Spread),
    ]
}

fn pool_cases(function: PoolFunction, fill: Fill) -> Vec<Case> {
    let pool = |kernel: &[usize]| Pool::new(function, kernel.to_vec());
    let padded = |kernel: &[usize], pads: &[(usize, usize)]| Pool {
        pads: Pads::Explicit(pads.to_vec()),
        strides: vec![2; kernel.len()],
        ..pool(kernel)
    };
    vec![
        Case::new("one dimension", pool(&[3])).value(&[2, 3, 19], fill),
        Case::new("two by two", padded(&[2, 2], &[(0, 0), (0, 0)])).value(&[2, 3, 9, 40], fill),
        Case::new("padded", padded(&[3, 3], &[(1, 1), (1, 2)])).value(&[1, 3, 8, 9], fill),
        Case::new("past the end", Pool { ceil_mode: true, ..padded(&[3, 3], &[(1, 0), (0, 1)]) })
            .value(&[1, 3, 8, 6], fill),
        Case::new("dilated", Pool { dilations: vec![2, 3], ..padded(&[2, 3], &[(1, 1), (2, 2)]) })
            .value(&[1, 2, 8, 11], fill),
        Case::new("larger than the input", Pool { ceil_mode: true, strides: vec![20, 30], ..pool(&[20, 30]) })
            .value(&[1, 2, 7, 30], fill),
        Case::new("same", Pool { pads: Pads::SameUpper, ..padded(&[3, 2], &[]) }).value(&[1, 2, 7, 8], fill),
        Case::new("same lower", Pool { pads: Pads::SameLower, ..padded(&[4], &[]) }).value(&[1, 2, 7], fill),
        Case::new("three dimensions", padded(&[2, 3, 2], &[(0, 1), (1, 1), (0, 0)])).value(&[1, 2, 4, 5, 6], fill),
        Case::new("large", Pool { strides: vec![1, 1], ..padded(&[5, 9], &[(2, 2), (4, 4)]) })
            .value(&[2, 2, 6, 37], fill),
        Case::new("large with strides", Pool { strides: vec![2, 3], ..padded(&[5, 7], &[(2, 1), (5, 2)]) })
            .value(&[1, 2, 9, 50], fill),
        Case::new("strides beyond the window", Pool { strides: vec![1, 5], ..padded(&[4, 3], &[(0, 0), (2, 1)]) })
            .value(&[1, 2, 5, 23], fill),
        Case::new("mostly padding", Pool { strides: vec![1], ..padded(&[80], &[(40, 45)]) }).value(&[1, 2, 3], fill),
        Case::new("empty", pool(&[2, 2])).value(&[0, 3, 4, 4], fill),
    ]
}

/// Cases of `GlobalMaxPool`.
pub(super) fn global_max_cases() -> Vec<Case> {
    global_cases(PoolFunction::Max, Fill::Hostile)
}

/// Cases of `GlobalAveragePool`.
pub(super) fn global_average_cases() -> Vec<Case> {
    global_cases(PoolFunction::Average { count_include_pad: false }, Fill::Spread)
}

/// Cases of `GlobalLpPool`.
pub(super) fn global_lp_cases() -> Vec<Case> {
    [1, 2, 5].into_iter().flat_map(|order| global_cases(PoolFunction::Lp(order), Fill::Spread)).collect()
}

fn global_cases(function: PoolFunction, fill: Fill) -> Vec<Case> {
    let pool = GlobalPool { function };
    vec![
        Case::new("one dimension", pool).value(&[2, 3, 45], fill),
        Case::new("two dimensions", pool).value(&[2, 5, 7, 7], fill),
        Case::new("one position", pool).value(&[2, 5, 1], fill),
        Case::new("no positions", pool).value(&[2, 5, 0], fill),
        Case::new("none", pool).value(&[2, 5], fill),
        Case::new("empty", pool).value(&[0, 5, 3], fill),
    ]
}

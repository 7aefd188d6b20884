//! An item's lines of results in bands, one for each worker.

use crate::threads::split;

/// Lines of results, the scratch of their worker, and what came of them.
struct Band<'a, R> {
    first: usize,
    output: &'a mut [f32],
    scratch: &'a mut [f32],
    result: Option<R>,
}

/// Calls `run` with the first line, the results and the scratch of each of at most `parts` bands; what each gave, in order.
///
/// `output` has `lines` lines of `line` numbers, and perhaps less in the last; a band has `own` numbers of scratch.
pub(super) fn in_bands<R: Send>(
    parts: usize,
    [lines, line, own]: [usize; 3],
    output: &mut [f32],
    scratch: &mut [f32],
    run: &(impl Fn(usize, &mut [f32], &mut [f32]) -> R + Sync),
) -> Vec<R> {
    let share = lines.div_ceil(parts);
    let bands = output.chunks_mut(share * line).zip(scratch.chunks_exact_mut(own)).enumerate();
    let mut bands: Vec<_> =
        bands.map(|(at, (output, scratch))| Band { first: at * share, output, scratch, result: None }).collect();
    let count = bands.len();
    split::each_of(&mut bands, 1, count, &|_, bands: &mut [Band<'_, R>]| {
        for band in bands {
            band.result = Some(run(band.first, band.output, band.scratch));
        }
    });
    bands.into_iter().filter_map(|band| band.result).collect()
}

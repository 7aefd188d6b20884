//! Strided copies, which slices, concatenations, repeats and permutations reduce to.

use bytemuck::Pod;
use smallvec::SmallVec;

/// One axis of a copy: its size, and the step on either side, in elements.
///
/// A step of 0 reads one element repeatedly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Number of elements.
    pub(crate) count: usize,
    /// Step in the source.
    pub(crate) from: isize,
    /// Step in the destination.
    pub(crate) to: isize,
}

/// Row-major steps of a shape, in elements.
pub(crate) fn steps(shape: &[usize]) -> SmallVec<[isize; 8]> {
    let mut steps: SmallVec<[isize; 8]> = SmallVec::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis].wrapping_mul(shape[axis] as isize);
    }
    steps
}

/// The same copy in as few axes as possible; `None` if an axis is empty.
pub(crate) fn join(axes: impl IntoIterator<Item = Axis>) -> Option<SmallVec<[Axis; 8]>> {
    let mut joined: SmallVec<[Axis; 8]> = SmallVec::new();
    for axis in axes {
        match (axis.count, joined.last_mut()) {
            (0, _) => return None,
            (1, _) => {}
            // Two axes without a gap between them on either side are merged.
            (count, Some(outer))
                if outer.from == axis.from * count as isize && outer.to == axis.to * count as isize =>
            {
                *outer = Axis { count: outer.count * count, ..axis };
            }
            _ => joined.push(axis),
        }
    }
    Some(joined)
}

/// Copies a block of elements of `size` bytes (1, 2, 4 or 8).
///
/// `axes` are outermost first; the copy starts at element `from_start` of `from` and element
/// `to_start` of `to`.
///
/// # Panics
/// If the block leaves either array.
pub(crate) fn copy(
    size: usize,
    axes: impl IntoIterator<Item = Axis>,
    from: &[u8],
    from_start: usize,
    to: &mut [u8],
    to_start: usize,
) {
    let Some(joined) = join(axes) else { return };
    let (from_start, to_start) = (from_start as isize, to_start as isize);
    match size {
        1 => walk::<u8>(&joined, from, from_start, to, to_start),
        2 => walk::<u16>(&joined, bytemuck::cast_slice(from), from_start, bytemuck::cast_slice_mut(to), to_start),
        4 => walk::<u32>(&joined, bytemuck::cast_slice(from), from_start, bytemuck::cast_slice_mut(to), to_start),
        _ => walk::<u64>(&joined, bytemuck::cast_slice(from), from_start, bytemuck::cast_slice_mut(to), to_start),
    }
}

fn walk<T: Pod>(axes: &[Axis], from: &[T], mut at: isize, to: &mut [T], mut place: isize) {
    match axes {
        [] => to[place as usize] = from[at as usize],
        [Axis { count, from: 1, to: 1 }] => {
            let (at, place) = (at as usize, place as usize);
            to[place..place + count].copy_from_slice(&from[at..at + count]);
        }
        [Axis { count, from: 0, to: 1 }] => to[place as usize..][..*count].fill(from[at as usize]),
        [axis] => {
            for _ in 0..axis.count {
                to[place as usize] = from[at as usize];
                at += axis.from;
                place += axis.to;
            }
        }
        [axis, rest @ ..] => {
            for _ in 0..axis.count {
                walk(rest, from, at, to, place);
                at += axis.from;
                place += axis.to;
            }
        }
    }
}

/// Fills `to` with the element `value`.
///
/// # Panics
/// If `to` is not a whole number of elements.
pub(crate) fn fill(value: &[u8], to: &mut [u8]) {
    let count = to.len() / value.len();
    copy(value.len(), [Axis { count, from: 0, to: 1 }], value, 0, to, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_without_gaps_are_copied_in_one_piece() {
        let from: Vec<u8> = (0..24).collect();
        let mut to = vec![0; 24];
        let axes = [(2, 12, 12), (3, 4, 4), (4, 1, 1)].map(|(count, from, to)| Axis { count, from, to });
        copy(1, axes, &from, 0, &mut to, 0);
        assert_eq!(from, to);
    }

    #[test]
    fn steps_may_be_negative_or_zero() {
        let from: Vec<u16> = (0..6).collect();
        let mut to = vec![9u16; 6];
        let axes = [Axis { count: 2, from: 0, to: 3 }, Axis { count: 3, from: -2, to: 1 }];
        copy(2, axes, bytemuck::cast_slice(&from), 5, bytemuck::cast_slice_mut(&mut to), 0);
        assert_eq!(to, [5, 3, 1, 5, 3, 1]);
        copy(2, [Axis { count: 0, from: 1, to: 1 }], &[], 0, bytemuck::cast_slice_mut(&mut to), 0);
        assert_eq!(to, [5, 3, 1, 5, 3, 1]);
    }
}

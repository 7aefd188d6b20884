//! Which scale and zero point an element has.

use std::ops::Range;

use crate::{
    error::{Error, Result},
    graph::Fact,
    shape::{Dim, Shape, normalize_axis},
    tensor::{DType, SmallType, View},
};

/// The scale of an element of `[outer, size, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// Elements of the axis that share a scale; 0 where all elements do.
    block: usize,
    size: usize,
    inner: usize,
}

impl Grouping {
    /// For elements of shape `of`, whose scales have shape `scales`.
    ///
    /// # Errors
    /// When the scales do not fit.
    pub(super) fn new(of: &[usize], scales: &[usize], axis: i64, block: usize) -> Result<Self> {
        if block == 0 && scales.iter().product::<usize>() == 1 {
            return Ok(Self { block: 0, size: 1, inner: 1 });
        }
        let misfit = || Error::invalid_input(format!("scales of shape {scales:?} for elements of shape {of:?}"));
        let axis = normalize_axis(axis, of.len())?;
        let (size, inner) = (of[axis], of[axis + 1..].iter().product());
        if block == 0 {
            return (scales == [size]).then_some(Self { block: 1, size, inner }).ok_or_else(misfit);
        }
        let mut due = of.to_vec();
        due[axis] = size.div_ceil(block);
        (scales == due).then_some(Self { block, size, inner }).ok_or_else(misfit)
    }

    /// Calls `run` with each stretch of elements of one scale: where it begins, its length, the
    /// scale's position, and the distance between the scales of neighbours.
    pub(super) fn each(&self, len: usize, blocked: bool, mut run: impl FnMut(usize, usize, usize, usize)) {
        if self.block == 0 {
            return run(0, len, 0, 0);
        }
        let step = usize::from(blocked);
        for (row, start) in (0..len).step_by(self.inner.max(1)).enumerate() {
            let (outer, at) = (row / self.size, row % self.size);
            let scale = match blocked {
                true => (outer * self.size.div_ceil(self.block) + at / self.block) * self.inner,
                false => at,
            };
            run(start, self.inner, scale, step);
        }
    }
}

impl Grouping {
    /// Calls `run` with each stretch of elements that share a scale, and the scale's position.
    pub(super) fn each_alike(&self, len: usize, blocked: bool, mut run: impl FnMut(Range<usize>, usize)) {
        self.each(len, blocked, |start, len, scale, step| {
            if step == 0 {
                return run(start..start + len, scale);
            }
            for index in 0..len {
                run(start + index..start + index + 1, scale + index * step);
            }
        });
    }
}

/// Refuses zero points of another shape than their scales; a single one may have other axes of size 1.
pub(super) fn check_zero_points(zero_point: Option<View<'_>>, scale: View<'_>, block: usize) -> Result<()> {
    let Some(zero_point) = zero_point else { return Ok(()) };
    let is_one = |shape: &[usize]| shape.iter().product::<usize>() == 1;
    let (own, due) = (zero_point.shape, scale.shape);
    if own == due || (block == 0 && is_one(own) && is_one(due)) {
        return Ok(());
    }
    Err(Error::invalid_input(format!("zero points of shape {own:?} for scales of shape {due:?}")))
}

/// Refuses scales that cannot fit, as far as sizes are known.
pub(super) fn check(of: &Fact, scale: &Fact, zero_point: Option<&Fact>, axis: i64, block: usize) -> Result<()> {
    if !scale.dtype.is_float() && scale.dtype != DType::Small(SmallType::F8E8M0) {
        return Err(Error::unsupported(format!("scales of elements of type {}", scale.dtype)));
    }
    let is_one = |fact: &Fact| fact.shape.elements().as_fixed() == Some(1);
    let one = is_one(scale);
    if let Some(zero_point) = zero_point
        && zero_point.shape.rank() != scale.shape.rank()
        && !(one && block == 0 && is_one(zero_point))
    {
        return Err(Error::invalid_model(format!("zero points {zero_point} for scales {scale}")));
    }
    if block == 0 && one {
        return Ok(());
    }
    let axis = of.shape.axis(axis)?;
    let rank = if block == 0 { 1 } else { of.shape.rank() };
    if scale.shape.rank() != rank {
        return Err(Error::invalid_model(format!("scales {scale} for {of}")));
    }
    let own = &scale.shape[if block == 0 { 0 } else { axis }];
    let due = of.shape[axis]
        .as_fixed()
        .map(|size| if block == 0 { size } else { (size as u64).div_ceil(block as u64) as i64 });
    if own.as_fixed().zip(due).is_some_and(|(own, due)| own != due) {
        return Err(Error::invalid_model(format!("scales {scale} for {of}")));
    }
    Ok(())
}

/// The items' axis of the result, where every element keeps its scale.
pub(super) fn batch_axes(
    of: &Shape,
    scale: &Shape,
    axis: i64,
    block: usize,
    axes: &[Option<usize>],
) -> Option<Vec<Option<usize>>> {
    let own = axes[0]?;
    let one = block == 0 && scale.elements() == Dim::from(1);
    let apart = axes[1..].iter().all(Option::is_none) && (one || (block == 0 && of.axis(axis).ok()? != own));
    apart.then(|| vec![Some(own)])
}

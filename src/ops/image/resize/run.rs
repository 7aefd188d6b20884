//! The CPU kernel of `Resize`: one axis after another.

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    kernels::number::{Number, with_number},
    op::{CpuKernel, Io, KernelRequest, function_kernel},
    ops::image::resize::{Coordinates, Mode, Resize, integers, taps::Taps},
    shape::Dim,
    tensor::{DType, Element, View},
};

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    function_kernel::<Resize>(request, run)
}

fn run(op: &Resize, io: &mut Io<'_>) -> Result<()> {
    let input = io.input(0)?;
    let region = io.inputs.get(1).copied().flatten().map(numbers).transpose()?;
    let output = io.output(0)?;
    let taps = taps(op, input.shape, output.shape, region.as_deref())?;
    if output.bytes.is_empty() {
        return Ok(());
    }
    if op.mode == Mode::Nearest && op.coordinates != Coordinates::Crop {
        nearest(input, &taps, output.shape, output.bytes);
        return Ok(());
    }
    match input.dtype {
        DType::U8 => integers::linear::<u8>(&taps, input, output),
        DType::I8 => integers::linear::<i8>(&taps, input, output),
        DType::I32 => integers::linear::<i32>(&taps, input, output),
        DType::F32 => resize::<f32, f32>(op, input, &taps, output.slice()?),
        DType::F64 => resize::<f64, f64>(op, input, &taps, output.slice()?),
        DType::F16 => resize::<half::f16, f32>(op, input, &taps, output.slice()?),
        DType::BF16 => resize::<half::bf16, f32>(op, input, &taps, output.slice()?),
        other => Err(Error::internal(format!("a resize of {other} was not refused"))),
    }
}

/// The numbers of a small operand.
fn numbers(view: View<'_>) -> Result<Vec<f64>> {
    with_number!(view.dtype, T => Ok(view.slice::<T>()?.iter().map(|x| x.wide()).collect()),
        else Err(Error::internal("a region of booleans was not refused")))
}

/// The taps of every axis; `None` where an axis stays as it is.
fn taps(op: &Resize, from: &[usize], to: &[usize], region: Option<&[f64]>) -> Result<Vec<Option<Taps>>> {
    let common = op.common_scale(&from.iter().map(|&size| Dim::from(size)).collect())?;
    let of = |axis: usize| {
        let own = op.region.iter().position(|&own| own == axis);
        let region = own.zip(region).map(|(at, region)| (region[at], region[at + op.region.len()]));
        op.taps(axis, (from[axis], to[axis]), common, region)
    };
    (0..to.len()).map(of).collect()
}

/// Copies the nearest element for each of the output.
fn nearest(input: View<'_>, taps: &[Option<Taps>], shape: &[usize], to: &mut [u8]) {
    let size = input.dtype.size();
    // The last axes that stay as they are move together.
    let moved = taps.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let run = shape[moved..].iter().product::<usize>() * size;
    let mut index = vec![0; moved];
    for to in to.chunks_exact_mut(run) {
        let at = |(axis, &own): (usize, &usize)| taps[axis].as_ref().map_or(own, |taps| taps.of(own)[0].0);
        let places = index.iter().enumerate().map(at);
        let from = places.zip(input.shape).fold(0, |flat, (at, size)| flat * size + at);
        to.copy_from_slice(&input.bytes[from * run..][..run]);
        for axis in (0..moved).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Resizes along each axis in turn, in numbers of `W`.
fn resize<T: Number + Element, W: Number>(
    op: &Resize,
    input: View<'_>,
    taps: &[Option<Taps>],
    to: &mut [T],
) -> Result<()> {
    let mut shape = input.shape.to_vec();
    let mut data: Cow<'_, [W]> = if T::DTYPE == W::DTYPE {
        Cow::Borrowed(bytemuck::cast_slice(input.bytes))
    } else {
        input.slice::<T>()?.iter().map(|x| W::narrow(x.wide())).collect()
    };
    for (axis, taps) in taps.iter().enumerate() {
        let Some(taps) = taps else { continue };
        let (outer, from) = (shape[..axis].iter().product::<usize>(), shape[axis]);
        let inner = shape[axis + 1..].iter().product::<usize>();
        shape[axis] = taps.outside.len();
        let mut next = vec![W::ZERO; outer * shape[axis] * inner];
        if !next.is_empty() {
            let blocks = data.chunks_exact(from * inner);
            for (from, to) in blocks.zip(next.chunks_exact_mut(shape[axis] * inner)) {
                along(taps, W::narrow(op.outside.into()), from, inner, to);
            }
        }
        data = Cow::Owned(next);
    }
    to.iter_mut().zip(data.iter()).for_each(|(to, x)| *to = T::narrow(x.wide()));
    Ok(())
}

/// One block along its axis, in rows of `inner`.
fn along<W: Number>(taps: &Taps, outside: W, from: &[W], inner: usize, to: &mut [W]) {
    for (at, row) in to.chunks_exact_mut(inner).enumerate() {
        if taps.outside[at] {
            row.fill(outside);
            continue;
        }
        for &(position, weight) in taps.of(at) {
            let weight = W::narrow(weight);
            for (to, &x) in row.iter_mut().zip(&from[position * inner..][..inner]) {
                *to = to.plus(x.times(weight));
            }
        }
    }
}

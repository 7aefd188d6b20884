//! The CPU kernel of `Conv` in double precision: line by line, the products of each channel's taps
//! one after another.

use std::ops::Range;

use crate::{
    error::Result,
    op::{CpuKernel, Io},
    ops::conv::{Conv, geometry::Geometry},
};

pub(super) struct Kernel {
    pub(super) op: Conv,
    /// The weights' dimensions.
    pub(super) shape: Vec<usize>,
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (x, weights) = (io.input(0)?, io.input(1)?.slice::<f64>()?);
        let bias = io.inputs.get(2).copied().flatten().map(|bias| bias.slice::<f64>()).transpose()?;
        let geometry = Geometry::unflattened(&self.op, x.shape, &self.shape)?;
        let x = x.slice::<f64>()?;
        let output = io.output(0)?.slice::<f64>()?;
        let (channels, filters) = (geometry.group_channels(), geometry.group_filters());
        let taps = geometry.kernel.iter().product::<usize>();
        let (size, out) = (geometry.positions(), geometry.out_positions());
        if out == 0 {
            return Ok(());
        }
        for (index, to) in output.chunks_exact_mut(out).enumerate() {
            let (item, filter) = (index / geometry.filters, index % geometry.filters);
            to.fill(bias.map_or(0.0, |bias| bias[filter]));
            for channel in 0..channels {
                let plane = item * geometry.channels + filter / filters * channels + channel;
                let weights = &weights[(filter * channels + channel) * taps..][..taps];
                add(&geometry, &x[plane * size..][..size], weights, to);
            }
        }
        Ok(())
    }
}

/// Adds the products of one channel and its taps to all positions of a filter.
fn add(geometry: &Geometry, x: &[f64], weights: &[f64], to: &mut [f64]) {
    let [_, height, width] = geometry.size;
    let [depths, lines, columns] = geometry.out;
    let [_, heights, widths] = geometry.kernel;
    for (tap, &weight) in weights.iter().enumerate() {
        let at = [tap / (heights * widths), tap / widths % heights, tap % widths];
        let within = windows(geometry, 2, at[2]);
        let first = (within.start * geometry.strides[2] + at[2] * geometry.dilations[2]).wrapping_sub(geometry.pads[2]);
        for index in 0..depths * lines {
            let Some(plane) = position(geometry, 0, index / lines, at[0]) else { continue };
            let Some(line) = position(geometry, 1, index % lines, at[1]) else { continue };
            let to = &mut to[index * columns..][..columns][within.clone()];
            let from = x[(plane * height + line) * width..][..width].get(first..).unwrap_or_default();
            for (to, x) in to.iter_mut().zip(from.iter().step_by(geometry.strides[2])) {
                *to += weight * x;
            }
        }
    }
}

/// The windows along an axis whose tap is within the input.
fn windows(geometry: &Geometry, axis: usize, tap: usize) -> Range<usize> {
    let (offset, stride) = (tap * geometry.dilations[axis], geometry.strides[axis]);
    let first = geometry.pads[axis].saturating_sub(offset).div_ceil(stride);
    let end = (geometry.size[axis] + geometry.pads[axis]).saturating_sub(offset).div_ceil(stride);
    let end = end.min(geometry.out[axis]);
    first.min(end)..end
}

/// The input's position under a tap of a window, if it is within the input.
fn position(geometry: &Geometry, axis: usize, window: usize, tap: usize) -> Option<usize> {
    let at = window * geometry.strides[axis] + tap * geometry.dilations[axis];
    at.checked_sub(geometry.pads[axis]).filter(|&at| at < geometry.size[axis])
}

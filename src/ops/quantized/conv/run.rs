//! The CPU kernel of convolutions of bytes: products of the weights with the windows' columns.

use crate::{
    error::{Error, Result},
    kernels::{KernelSet, integers},
    op::{CpuKernel, Io, KernelRequest},
    ops::quantized::{centered::centered, conv::QuantizedConv, requantize::Requantize},
};

/// Numbers of the windows that are copied at once.
const BLOCK: usize = 1 << 17;

struct Kernel {
    op: QuantizedConv,
    set: KernelSet,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: request.op::<QuantizedConv>()?.clone(), set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let inputs = io.inputs.clone();
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let [w, x_zero, w_zero] = self.op.places();
        let (x, w) = (io.input(0)?, io.input(w)?);
        let (filters, channels, groups) = (w.shape[0], w.shape[1], self.op.conv.groups);
        if x.shape[1] != channels * groups {
            let (own, due) = (x.shape[1], channels * groups);
            return Err(Error::invalid_input(format!("an input of {own} channels where {due} are due")));
        }
        let taps: usize = w.shape[2..].iter().product();
        let numbers = centered(x, optional(x_zero), 1, 1)?;
        let weights = centered(w, optional(w_zero), filters, channels * taps)?;
        let bias = optional(8).map(|view| view.slice::<i32>()).transpose()?;
        let requantize = match self.op.scaled {
            true => Some(Requantize::new(io.input(1)?, io.input(4)?, [1, filters], io.input(6)?, optional(7))?),
            false => None,
        };
        let output = io.output(0)?;
        let columns = Columns::new(&self.op, &x.shape[2..], &output.shape[2..]);
        let (from, to): (usize, usize) = (x.shape[2..].iter().product(), output.shape[2..].iter().product());
        let (rows, own) = (channels * taps, filters / groups);
        let block = (BLOCK / rows.max(1)).clamp(1, to.max(1));
        let (mut windows, mut sums) = (vec![0; rows * block], vec![0; own * block]);
        for index in 0..output.shape[0] * groups {
            let (group, plane) = (index % groups, &numbers[index * channels * from..][..channels * from]);
            for start in (0..to).step_by(block) {
                let count = (to - start).min(block);
                columns.copy(plane, start, count, &mut windows);
                let weights = &weights[group * own * rows..][..own * rows];
                integers::product(self.set, weights, &windows, [own, rows, count], &mut sums);
                for (filter, sums) in sums.chunks_exact_mut(count).take(own).enumerate() {
                    let channel = group * own + filter;
                    if let Some(bias) = bias {
                        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(bias[channel]));
                    }
                    let at = (index * own + filter) * to + start;
                    match &requantize {
                        None => output.slice::<i32>()?[at..][..count].copy_from_slice(sums),
                        Some(requantize) => requantize.write(sums, at, output, |_| (0, channel))?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where the taps of positions lie in a plane; three axes, the missing ones of size 1.
struct Columns {
    from: [usize; 3],
    to: [usize; 3],
    taps: [usize; 3],
    strides: [usize; 3],
    dilations: [usize; 3],
    pads: [usize; 3],
}

impl Columns {
    fn new(op: &QuantizedConv, from: &[usize], to: &[usize]) -> Self {
        let missing = 3 - from.len();
        let whole = |own: &dyn Fn(usize) -> usize, absent: usize| {
            std::array::from_fn(|axis: usize| axis.checked_sub(missing).map_or(absent, own))
        };
        let window = op.conv.window();
        Self {
            from: whole(&|axis| from[axis], 1),
            to: whole(&|axis| to[axis], 1),
            taps: whole(&|axis| window.kernel[axis], 1),
            strides: whole(&|axis| window.strides[axis], 1),
            dilations: whole(&|axis| window.dilations[axis], 1),
            pads: whole(&|axis| window.pads_at(axis, from[axis]).0, 0),
        }
    }

    /// Copies the windows of `count` positions from `start` on: a row for each channel and tap.
    fn copy(&self, plane: &[i16], start: usize, count: usize, to: &mut [i16]) {
        let size: usize = self.from.iter().product();
        let [_, height, width] = self.to;
        let taps: usize = self.taps.iter().product();
        for (row, to) in to.chunks_exact_mut(count).take(plane.len() / size.max(1) * taps).enumerate() {
            let (channel, tap) = (row / taps, row % taps);
            let tap = [tap / (self.taps[1] * self.taps[2]), tap / self.taps[2] % self.taps[1], tap % self.taps[2]];
            let channel = &plane[channel * size..][..size];
            for (at, to) in to.iter_mut().enumerate() {
                let position = start + at;
                let position = [position / (height * width), position / width % height, position % width];
                let place = |axis: usize| {
                    let at = position[axis] * self.strides[axis] + tap[axis] * self.dilations[axis];
                    at.checked_sub(self.pads[axis]).filter(|&at| at < self.from[axis])
                };
                // A zero stands for the zero point.
                *to = match (place(0), place(1), place(2)) {
                    (Some(depth), Some(line), Some(column)) => {
                        channel[(depth * self.from[1] + line) * self.from[2] + column]
                    }
                    _ => 0,
                };
            }
        }
    }
}

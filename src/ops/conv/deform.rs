//! `DeformConv`: convolutions whose taps are moved by an operand.

mod cases;

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::{
        pool::window::{Pads, Window, decode_kernel, decode_list, decode_pads, positive},
        wide,
    },
    shape::{Condition, Dim, Shape},
    tensor::DType,
};

/// A convolution of `[batch, channels, height, width]`, each tap of which is read at a place of its
/// own, between pixels.
///
/// Operands: the images; the weights `[M, channels / groups, kernel...]`; the distances of the taps
/// from their places, `[batch, offset groups * taps * 2, out...]`, down and right; the bias `[M]`
/// and a factor for each tap, `[batch, offset groups * taps, out...]`, which may be absent. Places
/// past the image count as zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct DeformConv {
    /// Taps along each spatial axis.
    pub kernel: Vec<usize>,
    /// The distance between windows.
    pub strides: Vec<usize>,
    /// The distance between taps.
    pub dilations: Vec<usize>,
    /// Zeros around the input.
    pub pads: Pads,
    /// The number of groups of channels, each convolved on its own.
    pub groups: usize,
    /// The number of groups of channels with places of their own.
    pub offset_groups: usize,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "DeformConv",
    onnx: Some(decode),
    cases: cases::cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<DeformConv>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let kernel = decode_kernel(node, 1)?;
    let rank = kernel.len();
    let (groups, offset_groups) = (node.int("group")?.unwrap_or(1), node.int("offset_group")?.unwrap_or(1));
    Ok(Arc::new(DeformConv {
        strides: decode_list(node, "strides", rank)?,
        dilations: decode_list(node, "dilations", rank)?,
        pads: decode_pads(node, rank)?,
        groups: positive("group", &[groups])?[0],
        offset_groups: positive("offset_group", &[offset_groups])?[0],
        kernel,
    }))
}

impl DeformConv {
    fn window(&self) -> Window<'_> {
        let Self { kernel, strides, dilations, pads, .. } = self;
        Window { kernel, strides, dilations, pads, ceil: false }
    }
}

impl Operator for DeformConv {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(3, 5)?;
        let (x, weights) = (inputs.required(0)?, inputs.required(1)?);
        if !matches!(x.dtype, DType::F32 | DType::F64) || self.kernel.len() != 2 {
            return Err(Error::unsupported(format!("a deformed convolution of {x} by {:?}", self.kernel)));
        }
        self.window().check(2)?;
        let ([batch, channels, height, width], [made, ..]) = (x.shape.dims(), weights.shape.dims()) else {
            return Err(Error::invalid_model(format!("a deformed convolution of {x} with {weights}")));
        };
        let mut out = Vec::new();
        for (axis, size) in [height, width].into_iter().enumerate() {
            inputs.assume(self.window().fits(axis, size))?;
            out.push(self.window().outputs(axis, size));
        }
        let number = |size: usize| Dim::from(size);
        let whole = |size: &Dim, groups: usize| &size.floor_div(&number(groups)) * &number(groups);
        inputs.assume(Condition::equal("the channels in groups", channels, &whole(channels, self.groups)))?;
        inputs.assume(Condition::equal("the filters in groups", made, &whole(made, self.groups)))?;
        inputs.assume(Condition::equal("the moved channels", channels, &whole(channels, self.offset_groups)))?;
        let taps = &number(self.offset_groups) * &(&number(self.kernel[0]) * &number(self.kernel[1]));
        let moved = |rows: Dim| vec![batch.clone(), rows, out[0].clone(), out[1].clone()];
        let of_group = channels.floor_div(&number(self.groups));
        let expected = [
            vec![made.clone(), of_group, number(self.kernel[0]), number(self.kernel[1])],
            moved(&taps * &number(2)),
            vec![made.clone()],
            moved(taps),
        ];
        for (index, expected) in (1..).zip(expected) {
            let Some(own) = inputs.fact(index) else { continue };
            let expected = Shape::new(expected);
            let misfit = || Error::invalid_model(format!("operand {index} is {own}, expected {}{expected}", x.dtype));
            if own.dtype != x.dtype || own.shape.rank() != expected.rank() {
                return Err(misfit());
            }
            for (size, expected) in own.shape.dims().iter().zip(expected.dims()) {
                inputs.assume(Condition::equal("an operand's axis", size, expected)).map_err(|_| misfit())?;
            }
        }
        inputs.required(2)?;
        Ok(vec![Fact::new(x.dtype, Shape::new([batch.clone(), made.clone(), out[0].clone(), out[1].clone()]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let of_items = |index: usize| axes.get(index).copied().flatten() == Some(0);
        let constant = |index: usize| axes.get(index).copied().flatten().is_none();
        let masked = inputs.id(4).is_none() || of_items(4);
        (of_items(0) && constant(1) && of_items(2) && constant(3) && masked).then(|| vec![Some(0)])
    }
}

/// The element of a plane at a place between pixels, from the four around it; zeros outside.
fn between(plane: &[f64], [height, width]: [usize; 2], y: f64, x: f64) -> f64 {
    let (top, left) = (y.floor(), x.floor());
    let pixel = |row: f64, column: f64| {
        let inside = row >= 0.0 && row < height as f64 && column >= 0.0 && column < width as f64;
        if inside { plane[row as usize * width + column as usize] } else { 0.0 }
    };
    let (down, right) = (y - top, x - left);
    // A place that is no number, or far away, is outside.
    if !(down.is_finite() && right.is_finite()) {
        return 0.0;
    }
    (1.0 - down) * ((1.0 - right) * pixel(top, left) + right * pixel(top, left + 1.0))
        + down * ((1.0 - right) * pixel(top + 1.0, left) + right * pixel(top + 1.0, left + 1.0))
}

fn run(op: &DeformConv, io: &mut Io<'_>) -> Result<()> {
    let optional = |index: usize| io.inputs.get(index).copied().flatten().map(wide::read).transpose();
    let (bias, mask) = (optional(3)?, optional(4)?);
    let (x, weights, offsets) = (io.input(0)?, wide::read(io.input(1)?)?, wide::read(io.input(2)?)?);
    let &[batch, channels, height, width] = x.shape else { return Err(Error::internal("images have four axes")) };
    let numbers = wide::read(x)?;
    let output = io.output(0)?;
    let &[_, made, rows, columns] = output.shape else { return Err(Error::internal("images have four axes")) };
    let (taps, places) = (op.kernel[0] * op.kernel[1], rows * columns);
    let before = [op.window().pads_at(0, height).0, op.window().pads_at(1, width).0];
    let (of_group, filters) = (channels / op.groups, made / op.groups);
    let mut results = vec![0.0; batch * made * places];
    // The taps of all channels at one place.
    let mut read = vec![0.0; channels * taps];
    for item in 0..batch {
        for place in 0..places {
            let start = |axis: usize, at: usize| (at * op.strides[axis]) as f64 - before[axis] as f64;
            let (top, left) = (start(0, place / columns), start(1, place % columns));
            for (at, to) in read.iter_mut().enumerate() {
                let (channel, tap) = (at / taps, at % taps);
                let row = (item * op.offset_groups + channel / (channels / op.offset_groups)) * taps + tap;
                let moved = |axis: usize| offsets[(row * 2 + axis) * places + place];
                let y = top + (tap / op.kernel[1] * op.dilations[0]) as f64 + moved(0);
                let x = left + (tap % op.kernel[1] * op.dilations[1]) as f64 + moved(1);
                let plane = &numbers[(item * channels + channel) * height * width..][..height * width];
                let factor = mask.as_ref().map_or(1.0, |mask| mask[row * places + place]);
                *to = factor * between(plane, [height, width], y, x);
            }
            for filter in 0..made {
                let own = &weights[filter * of_group * taps..][..of_group * taps];
                let read = &read[filter / filters * of_group * taps..][..of_group * taps];
                let sum: f64 = own.iter().zip(read).map(|(a, b)| a * b).sum();
                results[(item * made + filter) * places + place] = sum + bias.as_ref().map_or(0.0, |bias| bias[filter]);
            }
        }
    }
    wide::write(output, &results)
}

//! The CPU kernel of convolutions of bytes: products of windows with packed weights.

use crate::{
    error::{Error, Result},
    kernels::KernelSet,
    op::{CpuKernel, Io, KernelRequest},
    ops::quantized::{
        centered::centered,
        conv::{QuantizedConv, taps::Taps},
        product::{Left, Right, constant},
        requantize::Requantize,
    },
    tensor::{DType, Element, View},
};

/// Bytes of the windows that are copied at once.
const BLOCK: usize = 1 << 17;

struct Kernel {
    op: QuantizedConv,
    set: KernelSet,
    /// Constant weights, and their shape.
    constant: Option<(Filters, Vec<usize>)>,
}

/// The weights as products read them.
enum Filters {
    /// A matrix for each group: a column for each filter.
    Packed(Vec<Right>),
    /// Of filters that see one channel each, less their zero points.
    Depthwise(Vec<i16>),
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let (op, set) = (request.op::<QuantizedConv>()?.clone(), request.kernel_set());
    let [w, _, zero] = op.places();
    let known = constant(request, w, zero);
    let pack = |(w, zero_points): (View<'_>, _)| Ok((Filters::new(&op, set, w, zero_points)?, w.shape.to_vec()));
    let constant = known.map(pack).transpose()?;
    Ok(Box::new(Kernel { op, set, constant }))
}

impl Filters {
    fn new(op: &QuantizedConv, set: KernelSet, w: View<'_>, zero_points: Option<View<'_>>) -> Result<Self> {
        let (filters, k, groups) = (w.shape[0], w.shape[1..].iter().product::<usize>(), op.conv.groups);
        let weights = centered(w, zero_points, filters, k)?;
        if w.shape[1] == 1 && groups > 1 {
            return Ok(Self::Depthwise(weights));
        }
        let own = filters / groups;
        let of_group = |group: usize| Right::new(set, k, own, |at, filter| weights[(group * own + filter) * k + at]);
        (0..groups).map(of_group).collect::<Result<_>>().map(Self::Packed)
    }
}

impl CpuKernel for Kernel {
    fn packed_bytes(&self) -> usize {
        match &self.constant {
            Some((Filters::Packed(all), _)) => all.iter().map(Right::bytes).sum(),
            Some((Filters::Depthwise(all), _)) => size_of_val(all.as_slice()),
            None => 0,
        }
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let inputs = io.inputs.clone();
        let optional = |index: usize| inputs.get(index).copied().flatten();
        let [w, x_zero, w_zero] = self.op.places();
        let x = io.input(0)?;
        let made;
        let (filters, w_shape) = match &self.constant {
            Some((filters, shape)) => (filters, shape.as_slice()),
            None => {
                let w = io.input(w)?;
                made = Filters::new(&self.op, self.set, w, optional(w_zero))?;
                (&made, w.shape)
            }
        };
        let (count, channels, groups) = (w_shape[0], w_shape[1], self.op.conv.groups);
        if x.shape[1] != channels * groups {
            let (own, due) = (x.shape[1], channels * groups);
            return Err(Error::invalid_input(format!("an input of {own} channels where {due} are due")));
        }
        let bias = optional(8).map(|view| view.slice::<i32>()).transpose()?;
        if !count.is_multiple_of(groups) || bias.is_some_and(|bias| bias.len() != count) {
            let summands = bias.map_or(0, <[i32]>::len);
            let message = format!("{count} filters in {groups} groups, with {summands} summands");
            return Err(Error::invalid_input(message));
        }
        let requantize = match self.op.scaled {
            true => Some(Requantize::new(io.input(1)?, io.input(4)?, [1, count], io.input(6)?, optional(7))?),
            false => None,
        };
        let output = io.output(0)?;
        let taps = Taps::new(&self.op, &x.shape[2..], &output.shape[2..]);
        let convolution = Convolution { set: self.set, filters, channels, groups, count, taps, bias, requantize };
        match output.dtype {
            DType::I8 => convolution.run(x, optional(x_zero), output.slice::<i8>()?),
            DType::U8 => convolution.run(x, optional(x_zero), output.slice::<u8>()?),
            _ => convolution.run(x, optional(x_zero), output.slice::<i32>()?),
        }
    }
}

/// An element of a result: sums, or bytes of another scale.
trait Made: Element + Default {
    /// Turns rows of sums, with a column for each filter from `first` on, into results.
    fn made(
        set: KernelSet,
        sums: &[i32],
        requantize: Option<&Requantize<'_>>,
        columns: [usize; 2],
        to: &mut [Self],
    ) -> Result<()>;
}

impl Made for i32 {
    fn made(_: KernelSet, sums: &[i32], _: Option<&Requantize<'_>>, _: [usize; 2], to: &mut [Self]) -> Result<()> {
        to.copy_from_slice(sums);
        Ok(())
    }
}

macro_rules! made {
    ($($byte:ty),*) => {$(
        impl Made for $byte {
            fn made(
                set: KernelSet,
                sums: &[i32],
                requantize: Option<&Requantize<'_>>,
                [first, columns]: [usize; 2],
                to: &mut [Self],
            ) -> Result<()> {
                let requantize = requantize.ok_or_else(|| Error::internal("sums without a scale as bytes"))?;
                // One scale for all needs no rows.
                let shape = if columns == 1 { [1, sums.len()] } else { [sums.len() / columns.max(1), columns] };
                requantize.columns(first, columns).write_as(set, sums, shape, to)
            }
        }
    )*};
}
made!(i8, u8);

/// A convolution of bytes.
struct Convolution<'a> {
    set: KernelSet,
    filters: &'a Filters,
    /// Channels of a group.
    channels: usize,
    groups: usize,
    /// Filters of all groups.
    count: usize,
    taps: Taps,
    bias: Option<&'a [i32]>,
    requantize: Option<Requantize<'a>>,
}

impl Convolution<'_> {
    fn run<C: Made>(&self, x: View<'_>, zero_point: Option<View<'_>>, output: &mut [C]) -> Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let items = x.shape[0];
        match self.filters {
            Filters::Packed(groups) => match Left::new(self.set, x, zero_point, 1, 1)? {
                Left::Bytes(bytes, zeros) => self.windows(&bytes, zeros[0] as u8, items, groups, output, |windows| {
                    Left::Bytes(windows.into(), zeros.clone())
                }),
                Left::Words(words) => {
                    self.windows(&words, 0, items, groups, output, |windows| Left::Words(windows.into()))
                }
            },
            Filters::Depthwise(weights) => self.depthwise(&centered(x, zero_point, 1, 1)?, items, weights, output),
        }
    }

    /// By windows copied to rows, `zero` past the edges.
    fn windows<T: Copy, C: Made>(
        &self,
        x: &[T],
        zero: T,
        items: usize,
        packed: &[Right],
        output: &mut [C],
        left: impl Fn(&[T]) -> Left<'_>,
    ) -> Result<()> {
        let &Self { channels, groups, count, ref taps, .. } = self;
        let (k, own) = (channels * taps.count(), count / groups);
        let (from, to) = (taps.input_len(), taps.output_len());
        let block = (BLOCK / k.max(1)).clamp(1, to.max(1));
        let mut windows = vec![zero; k * block];
        let mut sums = vec![0; own * block];
        let mut made = vec![C::default(); own * block];
        for index in 0..items * groups {
            let (group, x) = (index % groups, &x[index * channels * from..][..channels * from]);
            for start in (0..to).step_by(block) {
                let positions = (to - start).min(block);
                taps.copy(x, zero, start, positions, &mut windows[..positions * k]);
                let sums = &mut sums[..positions * own];
                packed[group].multiply(self.set, &left(&windows[..positions * k]), 0, sums)?;
                if let Some(bias) = self.bias {
                    for sums in sums.chunks_exact_mut(own) {
                        sums.iter_mut()
                            .zip(&bias[group * own..])
                            .for_each(|(sum, bias)| *sum = sum.wrapping_add(*bias));
                    }
                }
                let made = &mut made[..positions * own];
                C::made(self.set, sums, self.requantize.as_ref(), [group * own, own], made)?;
                for filter in 0..own {
                    let to = &mut output[(index * own + filter) * to + start..][..positions];
                    to.iter_mut().zip(made[filter..].iter().step_by(own)).for_each(|(to, made)| *to = *made);
                }
            }
        }
        Ok(())
    }

    /// By filters that see one channel each.
    fn depthwise<C: Made>(&self, x: &[i16], items: usize, weights: &[i16], output: &mut [C]) -> Result<()> {
        let &Self { groups, count, ref taps, .. } = self;
        let own = count / groups;
        let (from, to) = (taps.input_len(), taps.output_len());
        let mut sums = vec![0; to];
        for index in 0..items * count {
            let filter = index % count;
            let channel = index / count * groups + filter / own.max(1);
            sums.fill(self.bias.map_or(0, |bias| bias[filter]));
            let weights = &weights[filter * taps.count()..][..taps.count()];
            taps.add(self.set, &x[channel * from..][..from], weights, &mut sums);
            let output = &mut output[index * to..][..to];
            C::made(self.set, &sums, self.requantize.as_ref(), [filter, 1], output)?;
        }
        Ok(())
    }
}

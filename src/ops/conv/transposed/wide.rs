//! The CPU kernel of `ConvTranspose` in double precision: each number of the input times each weight.

use crate::{
    error::{Error, Result},
    op::{CpuKernel, Io},
    ops::conv::transposed::{ConvTranspose, check_channels, run::Spread},
};

pub(super) struct Kernel {
    pub(super) op: ConvTranspose,
    /// The weights' dimensions.
    pub(super) shape: Vec<usize>,
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let (x, weights) = (io.input(0)?, io.input(1)?.slice::<f64>()?);
        let bias = io.inputs.get(2).copied().flatten().map(|bias| bias.slice::<f64>()).transpose()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a ConvTranspose has no result"))?;
        check_channels(x.shape[1], self.shape[0])?;
        let spread = Spread::new(&self.op, &x.shape[2..], &output.shape[2..]);
        let (all_channels, filters) = (self.shape[0], self.shape[1]);
        let channels = all_channels / self.op.groups;
        let taps = self.op.kernel.iter().product::<usize>();
        let (from, to) = (x.shape[2..].iter().product::<usize>(), output.shape[2..].iter().product::<usize>());
        if to == 0 {
            return Ok(());
        }
        let (x, output) = (x.slice::<f64>()?, output.slice::<f64>()?);
        for (index, to) in output.chunks_exact_mut(to).enumerate() {
            let (item, filter) = (index / (filters * self.op.groups), index % (filters * self.op.groups));
            to.fill(bias.map_or(0.0, |bias| bias[filter]));
            for channel in 0..channels {
                let own = filter / filters * channels + channel;
                let weights = &weights[(own * filters + filter % filters) * taps..][..taps];
                let x = &x[(item * all_channels + own) * from..][..from];
                for (position, x) in x.iter().enumerate() {
                    spread.window(position, |tap, place| to[place] += x * weights[tap]);
                }
            }
        }
        Ok(())
    }
}

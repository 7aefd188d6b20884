//! The CPU kernel of `Reduce`.

use crate::{
    error::{Error, Result},
    kernels::{
        KernelSet,
        number::{Number, with_integer},
        reduce::{self, Groups, Reducer, Task, VectorTask},
    },
    op::{CpuKernel, Io, KernelRequest, Shapes},
    ops::reduce::{Reduce, ReduceFunction as F},
    tensor::DType,
};

struct Kernel {
    function: F,
    reduced: Vec<bool>,
    set: KernelSet,
}

pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op = request.op::<Reduce>()?;
    let reduced = op.reduced(request.input(0)?.shape.rank())?;
    Ok(Box::new(Kernel { function: op.function, reduced, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        match self.function {
            F::LogSumExp => shapes.outputs[0].iter().product::<usize>() * size_of::<f64>(),
            _ => 0,
        }
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let groups = &reduce::groups(input.shape, |axis| self.reduced[axis]);
        match input.dtype {
            DType::F32 if self.function == F::LogSumExp => self.log_sum_exp::<f32>(groups, io),
            DType::F64 if self.function == F::LogSumExp => self.log_sum_exp::<f64>(groups, io),
            DType::F32 => {
                let output = io.output(0)?.slice::<f32>()?;
                let task = Task { groups, input: input.slice()?, output: &mut *output };
                self.reduce(VectorTask(self.set, task))?;
                self.finish(groups, output)
            }
            DType::F64 => self.numbers::<f64>(groups, io),
            DType::Bool => self.numbers::<u8>(groups, io),
            dtype => with_integer!(dtype, T => self.numbers::<T>(groups, io),
                else Err(Error::internal(format!("a reduction was given {dtype}")))),
        }
    }
}

impl Kernel {
    fn log_sum_exp<T: Number>(&self, groups: &Groups, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<T>()?;
        let output = io.outputs.first_mut().ok_or_else(|| Error::internal("a reduction has no result"))?;
        let largest = bytemuck::cast_slice_mut(&mut io.scratch[..output.bytes.len()]);
        reduce::log_sum_exp(Task { groups, input, output: output.slice::<T>()? }, largest);
        Ok(())
    }

    fn numbers<T: Number>(&self, groups: &Groups, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?.slice::<T>()?;
        let output = io.output(0)?.slice::<T>()?;
        self.reduce(Task { groups, input, output: &mut *output })?;
        self.finish(groups, output)
    }

    fn reduce<T: Number>(&self, task: impl Reducer<T>) -> Result<()> {
        match self.function {
            F::Sum | F::Mean | F::LogSum => task.reduce(reduce::Sum),
            F::L1 => task.reduce(reduce::Magnitudes),
            F::L2 | F::SumSquare => task.reduce(reduce::Squares),
            F::Prod => task.reduce(reduce::Product),
            F::Max => task.reduce(reduce::Largest),
            F::Min => task.reduce(reduce::Smallest),
            F::LogSumExp => return Err(Error::internal("ReduceLogSumExp was given integers")),
        }
        Ok(())
    }

    /// Turns the reduced values into the function's results.
    fn finish<T: Number>(&self, groups: &Groups, output: &mut [T]) -> Result<()> {
        match self.function {
            F::Mean => {
                let count = reduce::reduced_len(groups);
                if T::INTEGER && count == 0 && !output.is_empty() {
                    return Err(Error::invalid_input("the mean of no integers is undefined"));
                }
                let count = T::narrow(count as f64);
                output.iter_mut().for_each(|sum| *sum = sum.over(count));
            }
            F::L2 => output.iter_mut().for_each(|sum| *sum = T::narrow(sum.wide().sqrt())),
            F::LogSum => output.iter_mut().for_each(|sum| *sum = T::narrow(sum.wide().ln())),
            _ => {}
        }
        Ok(())
    }
}

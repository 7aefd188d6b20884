//! Kernels without state of their own.

use crate::{
    error::Result,
    op::{CpuKernel, Io, KernelRequest, Operator},
};

/// What a kernel without state computes: a run's results from its operands.
type Run<T> = fn(&T, &mut Io<'_>) -> Result<()>;

struct FunctionKernel<T> {
    op: T,
    run: Run<T>,
}

/// A kernel that keeps nothing but its operator's attributes.
///
/// # Errors
/// When the node is of another operator.
pub(crate) fn function_kernel<T: Operator + Clone>(
    request: &KernelRequest<'_>,
    run: Run<T>,
) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(FunctionKernel { op: request.op::<T>()?.clone(), run }))
}

impl<T: Operator> CpuKernel for FunctionKernel<T> {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        (self.run)(&self.op, io)
    }
}

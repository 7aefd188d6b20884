//! Floating-point operands in double precision, for operators that are seldom the hot part of a
//! model.

use crate::{
    error::{Error, Result},
    kernels::number::{Number, with_number},
    tensor::{View, ViewMut},
};

/// The numbers of an operand.
///
/// # Errors
/// When they are booleans.
pub(crate) fn read(view: View<'_>) -> Result<Vec<f64>> {
    with_number!(view.dtype, T => Ok(view.slice::<T>()?.iter().map(|x| x.wide()).collect()),
        else Err(Error::internal("booleans were not refused as numbers")))
}

/// Writes numbers, rounded once.
///
/// # Errors
/// When the result is of booleans, or of another size.
pub(crate) fn write(to: &mut ViewMut<'_>, numbers: &[f64]) -> Result<()> {
    with_number!(to.dtype, T => {
        let to = to.slice::<T>()?;
        if to.len() != numbers.len() {
            return Err(Error::internal(format!("{} numbers for a result of {}", numbers.len(), to.len())));
        }
        to.iter_mut().zip(numbers).for_each(|(to, &x)| *to = T::narrow(x));
        Ok(())
    }, else Err(Error::internal("booleans were not refused as results")))
}

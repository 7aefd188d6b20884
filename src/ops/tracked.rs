//! Tracked elements, through operators that move them.

use smallvec::SmallVec;

use crate::{
    error::Result,
    graph::{Fact, MAX_TRACKED},
    op::{CpuKernel, Inputs, Io},
    shape::{Bindings, Dim, Shape},
    tensor::{DType, RunStrings, Tensor, View, ViewMut},
};

/// The tracked elements of a result of `shape`, moved there by the operator's `kernel`.
///
/// The kernel moves the elements' positions instead. `None` where an element or a size is unknown,
/// or the kernel fails.
pub(crate) fn moved(
    operands: &[&Fact],
    shape: &Shape,
    kernel: impl FnOnce(&[View<'_>], &mut ViewMut<'_>) -> Result<()>,
) -> Option<Vec<Dim>> {
    let shape = shape.as_fixed()?;
    let count = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
    if count > MAX_TRACKED {
        return None;
    }
    let mut pool: Vec<&Dim> = Vec::new();
    let mut numbers: Vec<(Vec<usize>, Vec<i64>)> = Vec::with_capacity(operands.len());
    for fact in operands {
        let elements = fact.elements.as_ref()?;
        numbers.push((fact.shape.as_fixed()?, (pool.len() as i64..).take(elements.len()).collect()));
        pool.extend(elements);
    }
    let views: Vec<View<'_>> = numbers.iter().map(|(shape, numbers)| view(shape, numbers)).collect();
    let mut output = vec![0i64; count];
    kernel(&views, &mut ViewMut { dtype: DType::I64, shape: &shape, bytes: bytemuck::cast_slice_mut(&mut output) })
        .ok()?;
    output.into_iter().map(|number| pool.get(number as usize).map(|&dim| dim.clone())).collect()
}

/// The tracked elements of a result of `shape`, moved there by a kernel whose operand 1 is `indices`.
///
/// `data` are the kernel's other operands. `None` as for [`moved`], and where an index is unknown.
pub(crate) fn indexed(kernel: &dyn CpuKernel, data: &[&Fact], indices: &Fact, shape: &Shape) -> Option<Vec<Dim>> {
    let (of, numbers) = numbers(indices)?;
    moved(data, shape, |views, output| {
        let (bindings, mut strings) = (Bindings::default(), RunStrings::default());
        let mut inputs: SmallVec<_> = views.iter().copied().map(Some).collect();
        inputs.insert(1, Some(view(&of, &numbers)));
        let output = ViewMut { dtype: output.dtype, shape: output.shape, bytes: &mut *output.bytes };
        let outputs = std::iter::once(output).collect();
        kernel.run(&mut Io { inputs, outputs, scratch: &mut [], bindings: &bindings, strings: &mut strings })
    })
}

/// The shape of an operand and its elements, if all are known numbers.
pub(crate) fn numbers(fact: &Fact) -> Option<(Vec<usize>, Vec<i64>)> {
    let elements = fact.elements.as_ref()?.iter().map(Dim::as_fixed).collect::<Option<_>>()?;
    Some((fact.shape.as_fixed()?, elements))
}

/// A view of integers for a kernel.
pub(crate) fn view<'a>(shape: &'a [usize], integers: &'a [i64]) -> View<'a> {
    View { dtype: DType::I64, shape, bytes: bytemuck::cast_slice(integers) }
}

/// The tensor of a value whose elements are all tracked, fixed, and fit their type.
pub(crate) fn tensor(fact: &Fact) -> Option<Tensor> {
    let integers = fact.elements.as_ref()?.iter().map(Dim::as_fixed).collect::<Option<Vec<_>>>()?;
    let shape = fact.shape.as_fixed()?;
    let tensor = match fact.dtype {
        DType::I64 => Tensor::new(shape, &integers),
        DType::I32 => {
            let narrow = integers.iter().map(|&integer| i32::try_from(integer).ok()).collect::<Option<Vec<_>>>()?;
            Tensor::new(shape, &narrow)
        }
        DType::Bool => Tensor::from_bools(shape, &integers.iter().map(|&integer| integer != 0).collect::<Vec<_>>()),
        _ => return None,
    };
    tensor.ok()
}

/// The facts of the results that `compute` makes of operands which are all known at load.
///
/// `None` where an operand is not.
///
/// # Errors
/// As `compute`.
pub(crate) fn computed(
    inputs: &Inputs<'_>,
    compute: impl FnOnce(&[Option<&Tensor>]) -> Result<Vec<Tensor>>,
) -> Result<Option<Vec<Fact>>> {
    let mut operands = Vec::with_capacity(inputs.len());
    for index in 0..inputs.len() {
        let known = match (inputs.constant(index), inputs.fact(index)) {
            (Some(tensor), _) => Some((**tensor).clone()),
            (None, None) => None,
            (None, Some(fact)) => match tensor(fact) {
                Some(tensor) => Some(tensor),
                None => return Ok(None),
            },
        };
        operands.push(known);
    }
    let operands: Vec<_> = operands.iter().map(Option::as_ref).collect();
    Ok(Some(compute(&operands)?.iter().map(Fact::of).collect()))
}

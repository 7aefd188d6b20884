//! `MaxPool` with a second result: the place of each window's largest element.

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OpDef, Operator, function_kernel},
    ops::pool::{Pool, PoolFunction, run::PoolNumber, window::Pads},
    tensor::DType,
};

/// The results of a pool by [`PoolFunction::Max`], and the place of each in the operand.
///
/// Places count all elements of the operand; of equal elements the first counts.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPoolWithIndices {
    /// The pool.
    pub pool: Pool,
    /// Whether the first spatial axis counts fastest within a channel, otherwise the last.
    pub first_fastest: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "MaxPoolWithIndices",
    onnx: None,
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(|request| function_kernel::<MaxPoolWithIndices>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

impl Operator for MaxPoolWithIndices {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let [values] =
            <[Fact; 1]>::try_from(self.pool.infer(inputs)?).map_err(|_| Error::internal("a pool has one result"))?;
        let places = Fact::new(DType::I64, values.shape.clone());
        Ok(vec![values, places])
    }
}

fn run(op: &MaxPoolWithIndices, io: &mut Io<'_>) -> Result<()> {
    match io.input(0)?.dtype {
        DType::F64 => run_on::<f64>(op, io),
        _ => run_on::<f32>(op, io),
    }
}

fn run_on<T: PoolNumber>(op: &MaxPoolWithIndices, io: &mut Io<'_>) -> Result<()> {
    let x = io.input(0)?;
    let shape = io.output(0)?.shape;
    let axes = op.pool.axes(x.shape, shape, 2);
    let [depth, height, width] = axes;
    let (size, out) = (depth.size * height.size * width.size, depth.out * height.out * width.out);
    let numbers = x.slice::<T>()?;
    let place = |plane: usize, [d, h, w]: [usize; 3]| {
        let within = match op.first_fastest {
            true => d + depth.size * (h + height.size * w),
            false => (d * height.size + h) * width.size + w,
        };
        (plane * size + within) as i64
    };
    let [values, places] = io.outputs.as_mut_slice() else {
        return Err(Error::internal("a pool with places has two results"));
    };
    let (values, places) = (values.slice::<T>()?, places.slice::<i64>()?);
    for (at, (value, index)) in values.iter_mut().zip(places).enumerate() {
        let (plane, window) = (at / out, at % out);
        let (d, h, w) = (window / (height.out * width.out), window / width.out % height.out, window % width.out);
        let mut best: Option<(T, [usize; 3])> = None;
        for plane_tap in depth.taps(d) {
            for row in height.taps(h) {
                for column in width.taps(w) {
                    let at = [depth.position(d, plane_tap), height.position(h, row), width.position(w, column)];
                    let own = numbers[plane * size + (at[0] * height.size + at[1]) * width.size + at[2]];
                    // The first of equal elements, or of those that are no numbers.
                    let is_better = best.is_none_or(|(best, _)| !best.is_unknown() && (own > best || own.is_unknown()));
                    if is_better {
                        best = Some((own, at));
                    }
                }
            }
        }
        let (own, at) = best.ok_or_else(|| Error::invalid_input("a window without elements has no largest one"))?;
        (*value, *index) = (own, place(plane, at));
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let of = |kernel: &[usize]| {
        let pool = Pool { strides: vec![2; kernel.len()], ..Pool::new(PoolFunction::Max, kernel.to_vec()) };
        MaxPoolWithIndices { pool, first_fastest: false }
    };
    let padded = |op: MaxPoolWithIndices, pads: &[(usize, usize)]| {
        let pool = Pool { pads: Pads::Explicit(pads.to_vec()), ..op.pool };
        MaxPoolWithIndices { pool, ..op }
    };
    let equal = crate::Tensor::new([1, 1, 4], &[1f32; 4]).expect("four numbers");
    vec![
        Case::new("lines", of(&[3])).value(&[2, 3, 9], Fill::Spread),
        Case::new("images", padded(of(&[3, 2]), &[(1, 1), (0, 1)])).value(&[2, 2, 5, 6], Fill::Hostile),
        Case::new("columns first", MaxPoolWithIndices { first_fastest: true, ..of(&[2, 2]) })
            .value(&[1, 2, 4, 6], Fill::Spread),
        Case::new("space", MaxPoolWithIndices { first_fastest: true, ..of(&[2, 2, 2]) })
            .value(&[1, 2, 4, 3, 2], Fill::Spread),
        Case::new("equal", of(&[2])).tensor(equal),
        Case::new("empty", of(&[2])).value(&[0, 3, 4], Fill::Spread),
    ]
}

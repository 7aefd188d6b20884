//! `MelWeightMatrix`: weights that bring the frequencies of a transform to the mel scale.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::Shape,
    tensor::DType,
};

/// The matrix `[frequencies, bins]` whose columns rise and fall over neighbouring bins of the mel
/// scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MelWeightMatrix {
    /// The number of columns.
    pub bins: usize,
    /// The length of the transform, of which one more than the half are rows.
    pub length: usize,
    /// The samples per second.
    pub rate: usize,
    /// The first frequency, per second.
    pub lower: f64,
    /// The last frequency, per second.
    pub upper: f64,
    /// The type of the weights; integers are truncated.
    pub dtype: DType,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "MelWeightMatrix",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(|request| function_kernel::<MelWeightMatrix>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let dtype = node.dtype("output_datatype")?.unwrap_or(DType::F32);
    let missing = |index: usize| Error::invalid_model(format!("operand {index} is missing or no single number"));
    let mut edge = |index: usize| -> Result<f64> {
        let tensor = node.take_constant(index)?.ok_or_else(|| missing(index))?;
        match *wide::read(tensor.view())? {
            [number] => Ok(number),
            _ => Err(missing(index)),
        }
    };
    let (upper, lower) = (edge(4)?, edge(3)?);
    let mut size = |index: usize| -> Result<usize> {
        let numbers = node.take_numbers(index)?.ok_or_else(|| missing(index))?;
        let &[number] = numbers.as_slice() else { return Err(missing(index)) };
        let fits = (1..1 << 31).contains(&number).then_some(number as usize);
        fits.ok_or_else(|| Error::invalid_model(format!("operand {index} is {number}, expected a positive number")))
    };
    let (rate, length, bins) = (size(2)?, size(1)?, size(0)?);
    Ok(Arc::new(MelWeightMatrix { bins, length, rate, lower, upper, dtype }))
}

impl MelWeightMatrix {
    fn rows(&self) -> usize {
        self.length / 2 + 1
    }

    /// The row at which each column starts to rise, and, shifted by one and two, those at which it
    /// falls and ends.
    fn edge(&self, at: usize) -> usize {
        let mel = |frequency: f64| 2595.0 * (1.0 + frequency / 700.0).log10();
        let (low, high) = (mel(self.lower), mel(self.upper));
        let own = low + at as f64 * (high - low) / (self.bins + 2) as f64;
        let frequency = 700.0 * (10f64.powf(own / 2595.0) - 1.0);
        ((self.length + 1) as f64 * frequency / self.rate as f64) as usize
    }
}

impl Operator for MelWeightMatrix {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        if !self.dtype.is_number() {
            return Err(Error::invalid_model(format!("weights of type {}", self.dtype)));
        }
        // The highest edge is that of the last column.
        let falls = self.edge(self.bins);
        let fits = self.lower >= 0.0 && self.upper >= self.lower && falls < self.rows();
        if !fits || self.edge(self.bins + 1) > self.rows() {
            return Err(Error::invalid_model(format!(
                "frequencies from {} to {} of a transform of {} samples, {} per second",
                self.lower, self.upper, self.length, self.rate
            )));
        }
        Ok(vec![Fact::new(self.dtype, Shape::fixed(&[self.rows(), self.bins]))])
    }
}

fn run(op: &MelWeightMatrix, io: &mut Io<'_>) -> Result<()> {
    let output = io.output(0)?;
    let mut weights = vec![0.0; op.rows() * op.bins];
    for bin in 0..op.bins {
        let (start, top, end) = (op.edge(bin), op.edge(bin + 1), op.edge(bin + 2));
        let mut set = |row: usize, weight: f64| weights[row * op.bins + bin] = weight;
        if start == top {
            set(top, 1.0);
        } else {
            (start..=top).for_each(|row| set(row, (row - start) as f64 / (top - start) as f64));
        }
        (top..end).for_each(|row| set(row, (end - row) as f64 / (end - top) as f64));
    }
    wide::write(output, &weights)
}

fn cases() -> Vec<Case> {
    let base = MelWeightMatrix { bins: 8, length: 64, rate: 16000, lower: 0.0, upper: 8000.0, dtype: DType::F32 };
    vec![
        Case::new("whole", base),
        Case::new("part", MelWeightMatrix { bins: 5, length: 101, rate: 8192, lower: 20.0, upper: 4000.0, ..base }),
        Case::new("narrow", MelWeightMatrix { bins: 40, ..base }),
        Case::new("f64", MelWeightMatrix { dtype: DType::F64, ..base }),
        Case::new("integers", MelWeightMatrix { dtype: DType::I8, ..base }),
    ]
}

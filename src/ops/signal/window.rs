//! `HannWindow`, `HammingWindow` and `BlackmanWindow`: weights that fall off at both ends.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Condition, Dim, Shape},
    tensor::DType,
};

/// The weights `a - b * cos(x) + c * cos(2 * x)`, where `x` goes around the circle once.
///
/// One that is not periodic, of a single weight, is NaN, as ONNX's formulas have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The form of the window.
    pub form: WindowForm,
    /// The number of weights.
    pub size: Dim,
    /// Whether the last weight is followed by the first, otherwise equal to it.
    pub periodic: bool,
    /// The type of the weights; integers are truncated.
    pub dtype: DType,
}

/// The form of a [`Window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the windows")]
pub enum WindowForm {
    Blackman,
    Hamming,
    Hann,
}

macro_rules! def {
    ($constant:ident, $name:literal, $form:ident) => {
        pub(crate) static $constant: OpDef = OpDef {
            name: $name,
            onnx: Some(|node: &mut OnnxNode<'_>| decode(node, WindowForm::$form)),
            cases: || cases(WindowForm::$form),
            accuracy: Accuracy::Pointwise,
            cpu: CpuState::Kernel(|request| function_kernel::<Window>(request, run)),
            gpu: GpuState::Host("no shader yet"),
        };
    };
}
def!(BLACKMAN, "BlackmanWindow", Blackman);
def!(HAMMING, "HammingWindow", Hamming);
def!(HANN, "HannWindow", Hann);

fn decode(node: &mut OnnxNode<'_>, form: WindowForm) -> Result<Arc<dyn Operator>> {
    let (periodic, dtype) = (node.flag("periodic", true)?, node.dtype("output_datatype")?.unwrap_or(DType::F32));
    let size = node.take_integers(0)?.map(<[Dim; 1]>::try_from);
    let Some(Ok([size])) = size else {
        return Err(Error::invalid_model("the size of the window must be one integer"));
    };
    Ok(Arc::new(Window { form, size, periodic, dtype }))
}

impl Operator for Window {
    fn def(&self) -> &'static OpDef {
        match self.form {
            WindowForm::Blackman => &BLACKMAN,
            WindowForm::Hamming => &HAMMING,
            WindowForm::Hann => &HANN,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(0, 0)?;
        if !self.dtype.is_number() {
            return Err(Error::invalid_model(format!("a window of elements of type {}", self.dtype)));
        }
        inputs.assume(Condition::at_least("the size of the window", &self.size, &Dim::from(0)))?;
        Ok(vec![Fact::new(self.dtype, Shape::new([self.size.clone()]))])
    }
}

fn run(op: &Window, io: &mut Io<'_>) -> Result<()> {
    let output = io.output(0)?;
    let size = output.shape[0];
    let around = if op.periodic { size as f64 } else { size as f64 - 1.0 };
    let [a, b, c] = match op.form {
        WindowForm::Blackman => [0.42, 0.5, 0.08],
        WindowForm::Hamming => [25.0 / 46.0, 21.0 / 46.0, 0.0],
        WindowForm::Hann => [0.5, 0.5, 0.0],
    };
    let weight = |at: usize| {
        let turn = std::f64::consts::TAU * at as f64 / around;
        a - b * turn.cos() + c * (2.0 * turn).cos()
    };
    wide::write(output, &(0..size).map(weight).collect::<Vec<_>>())
}

fn cases(form: WindowForm) -> Vec<Case> {
    let of = |size: usize, periodic, dtype| Window { form, size: Dim::from(size), periodic, dtype };
    vec![
        Case::new("periodic", of(10, true, DType::F32)),
        Case::new("symmetric", of(11, false, DType::F32)),
        Case::new("f64", of(7, true, DType::F64)),
        Case::new("integers", of(9, false, DType::I32)),
        Case::new("one", of(1, true, DType::F32)),
        Case::new("no number", of(1, false, DType::F32)),
        Case::new("empty", of(0, true, DType::F32)),
    ]
}

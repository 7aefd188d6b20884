//! `Resize`: grids sampled at other distances; `Upsample` is decoded as it.

mod cases;
mod coordinates;
mod decode;
mod integers;
mod run;
mod taps;

pub use coordinates::{Coordinates, Mode, Nearest};
pub(crate) use decode::decode_upsample;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, CpuState, GpuState, Inputs, OpDef, Operator},
    shape::{Dim, Shape},
};

/// How the size of an axis changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Not at all.
    Keep,
    /// To the size times a factor, rounded down.
    Scale(f32),
    /// To that size.
    Size(Dim),
}

/// What the sizes of all axes together must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Nothing.
    Stretch,
    /// The ratio of sizes, none larger than asked for.
    NotLarger,
    /// The ratio of sizes, none smaller than asked for.
    NotSmaller,
}

/// The operand sampled on a grid of another size, axis by axis.
///
/// Operands: the grid, and for [`Coordinates::Crop`] the region: the first and the last position
/// of each axis, as parts of its length; of the axes listed alone where there are some.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// How samples between positions are made.
    pub mode: Mode,
    /// Which position [`Mode::Nearest`] takes.
    pub nearest: Nearest,
    /// Where in the operand a position of the result is.
    pub coordinates: Coordinates,
    /// The change of each axis.
    pub changes: Vec<Change>,
    /// What the sizes keep of each other, of the axes whose [`Change`] is a size.
    pub aspect: Aspect,
    /// Whether a smaller result averages over what lies between its positions.
    pub antialias: bool,
    /// Whether positions outside have no weight, instead of the border's value.
    pub exclude_outside: bool,
    /// The sample outside of the operand, for [`Coordinates::Crop`].
    pub outside: f32,
    /// The axes that the region names, in its order.
    pub region: Vec<usize>,
    /// Whether [`Coordinates::AlignCorners`] and [`Coordinates::Crop`] take the result's size for its length, instead of the
    /// operand's times the factor, which need not be whole.
    pub whole_lengths: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "Resize",
    onnx: Some(decode::decode),
    cases: cases::cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(run::kernel),
    gpu: GpuState::Kernel("resize"),
};

impl Resize {
    /// A resize of half-pixel coordinates that stretches.
    pub fn new(mode: Mode, changes: Vec<Change>) -> Self {
        Self {
            mode,
            nearest: Nearest::RoundDown,
            coordinates: Coordinates::HalfPixel,
            changes,
            aspect: Aspect::Stretch,
            antialias: false,
            exclude_outside: false,
            outside: 0.0,
            region: Vec::new(),
            whole_lengths: false,
        }
    }

    /// The factor of every axis, where the sizes keep their ratio.
    pub(crate) fn common_scale(&self, shape: &Shape) -> Result<Option<f64>> {
        let larger = match self.aspect {
            Aspect::Stretch => return Ok(None),
            Aspect::NotLarger => false,
            Aspect::NotSmaller => true,
        };
        let mut found: Option<f64> = None;
        for (change, size) in self.changes.iter().zip(shape.dims()) {
            let Change::Size(to) = change else { continue };
            let (Some(to), Some(size)) = (to.as_fixed(), size.as_fixed()) else {
                let what = format!("sizes that keep the ratio of {shape}, which differs from run to run");
                return Err(Error::unsupported(what));
            };
            let own = to as f64 / size.max(1) as f64;
            found = Some(found.map_or(own, |best| if larger { best.max(own) } else { best.min(own) }));
        }
        Ok(found)
    }

    fn sizes(&self, shape: &Shape) -> Result<Vec<Dim>> {
        let common = self.common_scale(shape)?;
        let size = |(change, size): (&Change, &Dim)| match (change, common) {
            (Change::Keep, _) => Ok(size.clone()),
            (Change::Scale(scale), _) => scaled(size, *scale),
            (Change::Size(_), Some(scale)) => {
                // Halves up, as the definition has it.
                let size = size.as_fixed().unwrap_or(0) as f64;
                Ok(Dim::number((size * scale + 0.5).floor() as i64))
            }
            (Change::Size(to), None) => Ok(to.clone()),
        };
        self.changes.iter().zip(shape.dims()).map(size).collect()
    }
}

/// `floor(size * scale)`.
fn scaled(size: &Dim, scale: f32) -> Result<Dim> {
    if !scale.is_finite() || scale <= 0.0 {
        return Err(Error::invalid_model(format!("a scale of {scale}, expected a positive number")));
    }
    if let Some(size) = size.as_fixed() {
        return Ok(Dim::number((size as f32 * scale) as i64));
    }
    let divisors = 1..=1024i64;
    let ratio = divisors.map(|below| ((f64::from(scale) * below as f64).round() as i64, below));
    let exact = |(above, below): &(i64, i64)| *above > 0 && *above as f32 / *below as f32 == scale;
    match ratio.into_iter().find(exact) {
        Some((above, below)) => Ok((size * &Dim::number(above)).floor_div(&Dim::number(below))),
        None => Err(Error::unsupported(format!("a scale of {scale} along an axis of size {size}"))),
    }
}

impl Operator for Resize {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 2)?;
        let input = inputs.required(0)?;
        if self.changes.len() != input.shape.rank() {
            let count = self.changes.len();
            return Err(Error::invalid_model(format!("{count} sizes or scales for an operand of {}", input.shape)));
        }
        let sizes = self.sizes(&input.shape)?;
        if self.mode != Mode::Nearest && !input.dtype.is_float() && !self.samples_integers(input, &sizes) {
            return Err(Error::unsupported(format!("numbers of {} between two samples", input.dtype)));
        }
        if self.coordinates == Coordinates::Crop {
            let region = inputs.required(1)?;
            let due = 2 * self.region.len() as i64;
            if !region.dtype.is_float() || region.shape.elements().as_fixed() != Some(due) {
                return Err(Error::invalid_model(format!("a region {region}, expected {due} numbers")));
            }
            if !input.dtype.is_float() {
                return Err(Error::unsupported(format!("a region of elements of type {}", input.dtype)));
            }
        }
        Ok(vec![Fact::new(input.dtype, Shape::new(sizes))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let own = axes[0]?;
        let kept = match self.changes.get(own)? {
            Change::Keep => true,
            Change::Scale(scale) => *scale == 1.0,
            Change::Size(to) => *to == inputs.fact(0)?.shape[own],
        };
        let symbol = size.as_symbol()?;
        let depends =
            |(axis, change): (usize, &Change)| axis != own && matches!(change, Change::Size(to) if to.mentions(symbol));
        let apart = axes[1..].iter().all(Option::is_none) && !self.changes.iter().enumerate().any(depends);
        let cropped = self.coordinates == Coordinates::Crop && self.region.contains(&own);
        (kept && apart && !cropped).then(|| vec![Some(own)])
    }
}

//! The samples of the operand that a position of the result is made of.

use crate::{
    error::{Error, Result},
    ops::image::resize::{Change, Coordinates, Mode, Nearest, Resize, coordinates::Axis},
};

/// For each position of an axis of the result: positions of the operand and their weights.
pub(crate) struct Taps {
    /// Where the taps of each position begin, then the end.
    starts: Vec<usize>,
    taps: Vec<(usize, f64)>,
    /// Whether the position lies outside of the operand.
    pub(super) outside: Vec<bool>,
}

impl Taps {
    /// The taps of an axis; the operand has positions there.
    pub(super) fn new(op: &Resize, nearest: Nearest, axis: &Axis) -> Self {
        let mut this = Self { starts: vec![0], taps: Vec::new(), outside: Vec::with_capacity(axis.to) };
        for at in 0..axis.to {
            let x = op.coordinates.of(at, axis);
            let inside = x >= 0.0 && x <= axis.from as f64 - 1.0;
            let outside = op.coordinates == Coordinates::Crop && !inside;
            this.outside.push(outside);
            // Beyond the border there is the border's element: so its weight is one number.
            let x = if op.mode == Mode::Linear && !op.antialias && !op.exclude_outside && !outside {
                x.clamp(0.0, axis.from as f64 - 1.0)
            } else {
                x
            };
            match op.mode {
                _ if outside => {}
                Mode::Nearest => this.taps.push((nearest.of(x, axis), 1.0)),
                Mode::Linear => this.weighted(op, axis, x, 1, &|x| (1.0 - x.abs()).max(0.0)),
                Mode::Cubic { coefficient } => this.weighted(op, axis, x, 2, &|x| cubic(x.abs(), coefficient.into())),
            }
            this.starts.push(this.taps.len());
        }
        this
    }

    /// Adds the taps within `reach` of `x`, weighted by their distance.
    fn weighted(&mut self, op: &Resize, axis: &Axis, x: f64, reach: i64, weight: &dyn Fn(f64) -> f64) {
        let scale = if op.antialias { axis.scale.min(1.0) } else { 1.0 };
        let (first, last) = (1 - (reach as f64 / scale).ceil() as i64, (reach as f64 / scale).ceil() as i64);
        // The position before, so that `x` lies in the half-open interval up to the next.
        let base = x.ceil() as i64 - 1;
        let begin = self.taps.len();
        for tap in first..=last {
            let position = base.saturating_add(tap);
            let own = weight(scale * (position as f64 - x));
            let clamped = position.clamp(0, axis.from as i64 - 1);
            let counts = !op.exclude_outside || clamped == position;
            if own != 0.0 && counts {
                self.taps.push((clamped as usize, own));
            }
        }
        let sum: f64 = self.taps[begin..].iter().map(|tap| tap.1).sum();
        if op.antialias || op.exclude_outside {
            self.taps[begin..].iter_mut().for_each(|tap| tap.1 /= sum);
        }
    }

    /// The taps of a position.
    pub(crate) fn of(&self, at: usize) -> &[(usize, f64)] {
        &self.taps[self.starts[at]..self.starts[at + 1]]
    }
}

impl Resize {
    /// The taps of an axis from and to so many positions; `None` where it stays as it is.
    ///
    /// `common` is the factor of all axes whose [`Change`] is a size, where their sizes keep their ratio. `region` holds
    /// the first and the last position for [`Coordinates::Crop`], as parts of the length.
    pub(crate) fn taps(
        &self,
        axis: usize,
        (from, to): (usize, usize),
        common: Option<f64>,
        region: Option<(f64, f64)>,
    ) -> Result<Option<Taps>> {
        let scale = match self.changes[axis] {
            Change::Keep => 1.0,
            Change::Scale(scale) => f64::from(scale),
            Change::Size(_) => common.unwrap_or(to as f64 / from.max(1) as f64),
        };
        if scale == 1.0 && !(self.coordinates == Coordinates::Crop && region.is_some()) {
            return Ok(None);
        }
        if from == 0 && to > 0 {
            return Err(Error::invalid_input(format!("axis {axis} of no elements is resized to {to}")));
        }
        let length = if self.whole_lengths { to as f64 } else { scale * from as f64 };
        let region = region.unwrap_or((0.0, 1.0));
        Ok(Some(Taps::new(self, self.nearest, &Axis { from, to, scale, length, region })))
    }
}

/// Cubic convolution at a distance.
fn cubic(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

impl Nearest {
    fn of(self, x: f64, axis: &Axis) -> usize {
        // Rounded once, so that what should be a whole number is one.
        let x = f64::from(x as f32);
        let nearest = match self {
            Self::RoundDown => (x - 0.5).ceil(),
            Self::RoundUp => (x + 0.5).floor(),
            Self::ByScale if axis.scale < 1.0 => x.ceil(),
            Self::Floor | Self::ByScale => x.floor(),
            Self::Ceil => x.ceil(),
        };
        (nearest.max(0.0) as usize).min(axis.from - 1)
    }
}

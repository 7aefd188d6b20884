//! Where in the operand a position of the result is.

/// How a sample between positions is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// The nearest position's.
    Nearest,
    /// On the line between the two neighbours.
    Linear,
    /// From four neighbours, by cubic convolution.
    Cubic {
        /// The coefficient of the cubic.
        coefficient: f32,
    },
}

/// Which position is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearest {
    /// Halves down.
    RoundDown,
    /// Halves up.
    RoundUp,
    /// The one before.
    Floor,
    /// The one after.
    Ceil,
    /// As in opset 10: the one before, and on an axis that shrinks the one after.
    ByScale,
}

/// Where in the operand a position of the result is; ONNX's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `half_pixel`
    HalfPixel,
    /// `half_pixel_symmetric`
    HalfPixelSymmetric,
    /// `pytorch_half_pixel`
    HalfPixelUnlessOne,
    /// `align_corners`
    AlignCorners,
    /// `asymmetric`
    Asymmetric,
    /// `tf_half_pixel_for_nn`
    HalfPixelForNearest,
    /// `tf_crop_and_resize`
    Crop,
}

/// An axis of a resize.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The operand's size.
    pub(super) from: usize,
    /// The result's size.
    pub(super) to: usize,
    /// The result's size over the operand's, before it is rounded.
    pub(super) scale: f64,
    /// The result's length that [`Coordinates::AlignCorners`] and [`Coordinates::Crop`] take.
    pub(super) length: f64,
    /// The first and last position, as parts of the length.
    pub(super) region: (f64, f64),
}

impl Coordinates {
    /// The position in the operand of position `at` of the result.
    pub(super) fn of(self, at: usize, axis: &Axis) -> f64 {
        let (x, from) = (at as f64, axis.from as f64);
        let half_pixel = (x + 0.5) / axis.scale - 0.5;
        match self {
            Self::HalfPixel => half_pixel,
            Self::HalfPixelSymmetric => from / 2.0 * (1.0 - axis.to as f64 / (axis.scale * from)) + half_pixel,
            Self::HalfPixelUnlessOne if axis.to == 1 => 0.0,
            Self::HalfPixelUnlessOne => half_pixel,
            Self::AlignCorners if axis.to == 1 => 0.0,
            Self::AlignCorners => x * (from - 1.0) / (axis.length - 1.0),
            Self::Asymmetric => x / axis.scale,
            Self::HalfPixelForNearest => (x + 0.5) / axis.scale,
            Self::Crop => {
                let (start, end) = axis.region;
                let within = if axis.to == 1 { 0.5 * (end - start) } else { x * (end - start) / (axis.length - 1.0) };
                (start + within) * (from - 1.0)
            }
        }
    }
}

//! Sliding windows over the spatial dimensions, for convolutions and pools.

use crate::{
    error::{Error, Result},
    op::OnnxNode,
    shape::{Condition, Dim},
};

/// The padding of the spatial dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pads {
    /// The numbers before and after each spatial axis.
    Explicit(Vec<(usize, usize)>),
    /// Padding for `ceil(size / stride)` results; an odd position goes after the axis.
    SameUpper,
    /// Padding for `ceil(size / stride)` results; an odd position goes before the axis.
    SameLower,
}

/// The window of an operator, with one number per spatial axis.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Taps.
    pub kernel: &'a [usize],
    /// The distance between windows.
    pub strides: &'a [usize],
    /// The distance between taps.
    pub dilations: &'a [usize],
    /// The padding around the input.
    pub pads: &'a Pads,
    /// Whether a last window may extend beyond the padding, if it begins before the padding's end.
    pub ceil: bool,
}

impl Window<'_> {
    /// The extent of a window along `axis`, dilation included.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis].saturating_sub(1)).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// Checks the lists: `rank` numbers each, none zero, none over 2^31.
    ///
    /// # Errors
    /// When a list is invalid.
    pub fn check(&self, rank: usize) -> Result<()> {
        const MOST: usize = 1 << 31;
        let pads = match self.pads {
            Pads::Explicit(pads) => pads.len() == rank && pads.iter().all(|pad| pad.0.max(pad.1) <= MOST),
            Pads::SameUpper | Pads::SameLower => true,
        };
        let fits = |list: &[usize]| list.len() == rank && list.iter().all(|size| (1..=MOST).contains(size));
        if !pads || ![self.kernel, self.strides, self.dilations].into_iter().all(fits) {
            return Err(Error::invalid_model(format!(
                "a window of {:?} taps, strides {:?}, dilations {:?} and pads {:?} over {rank} spatial dimensions",
                self.kernel, self.strides, self.dilations, self.pads
            )));
        }
        Ok(())
    }

    /// The number of windows along an axis of that size.
    pub fn outputs(&self, axis: usize, size: &Dim) -> Dim {
        let (one, stride) = (Dim::from(1), Dim::from(self.strides[axis]));
        let Pads::Explicit(pads) = self.pads else { return size.ceil_div(&stride) };
        let (before, behind) = (Dim::from(pads[axis].0), Dim::from(pads[axis].1));
        let room = &(&(size + &before) + &behind) - &Dim::from(self.extent(axis));
        if self.ceil {
            let begins_inside = (&(size + &before) - &one).floor_div(&stride);
            &Dim::min(&room.ceil_div(&stride), &begins_inside) + &one
        } else {
            &room.floor_div(&stride) + &one
        }
    }

    /// That the padded axis of that size holds a window.
    pub(crate) fn fits(&self, axis: usize, size: &Dim) -> Condition {
        let Pads::Explicit(pads) = self.pads else {
            return Condition::at_least("an axis that is padded as needed", size, &Dim::from(1));
        };
        let padded = &(size + &Dim::from(pads[axis].0)) + &Dim::from(pads[axis].1);
        // A window that may extend beyond the padding is of any size, as long as the stride is.
        let least =
            if self.ceil { (self.extent(axis) + 1).saturating_sub(self.strides[axis]) } else { self.extent(axis) };
        Condition::at_least("the padded axis under the window", &padded, &Dim::from(least))
    }

    /// The padding before and after an axis of that size.
    pub fn pads_at(&self, axis: usize, size: usize) -> (usize, usize) {
        let total = || {
            let outputs = size.div_ceil(self.strides[axis]);
            (outputs.saturating_sub(1) * self.strides[axis] + self.extent(axis)).saturating_sub(size)
        };
        match self.pads {
            Pads::Explicit(pads) => pads[axis],
            Pads::SameUpper => (total() / 2, total().div_ceil(2)),
            Pads::SameLower => (total().div_ceil(2), total() / 2),
        }
    }
}

/// Decodes the taps along each spatial axis: `kernel_shape`, or else the shape of operand `weights`.
///
/// # Errors
/// When a number is not positive, or neither is known when the model is loaded.
pub(crate) fn decode_kernel(node: &mut OnnxNode<'_>, weights: usize) -> Result<Vec<usize>> {
    let weights = node.inputs().required(weights)?.shape.clone();
    match node.ints("kernel_shape")? {
        Some(kernel) => positive("kernel_shape", &kernel),
        None => weights.as_fixed().and_then(|dims| dims.get(2..).map(<[usize]>::to_vec)).ok_or_else(|| {
            Error::unsupported(format!("weights of shape {weights}, which must be known when the model is loaded"))
        }),
    }
}

/// Decodes a list of one number per spatial axis; all 1 where absent.
///
/// # Errors
/// When it has another length, or a number is not positive.
pub(crate) fn decode_list(node: &mut OnnxNode<'_>, name: &str, rank: usize) -> Result<Vec<usize>> {
    let list = node.ints(name)?.map_or_else(|| Ok(vec![1; rank]), |list| positive(name, &list))?;
    if list.len() == rank {
        return Ok(list);
    }
    Err(Error::invalid_model(format!("`{name}` {list:?} for {rank} spatial dimensions")))
}

/// Converts the numbers of an attribute, which must be positive.
///
/// # Errors
/// When one is not positive.
pub(crate) fn positive(name: &str, list: &[i64]) -> Result<Vec<usize>> {
    let size = |&value: &i64| usize::try_from(value).ok().filter(|&value| value > 0);
    let sizes = list.iter().map(size).collect::<Option<Vec<_>>>();
    sizes.ok_or_else(|| Error::invalid_model(format!("`{name}` {list:?}: expected positive numbers")))
}

/// Decodes ONNX's `auto_pad` and `pads`.
///
/// # Errors
/// When they have another form, or a number is negative.
pub(crate) fn decode_pads(node: &mut OnnxNode<'_>, rank: usize) -> Result<Pads> {
    let pads = node.ints("pads")?.unwrap_or_else(|| vec![0; 2 * rank]);
    match node.string("auto_pad")?.as_deref() {
        None | Some("NOTSET") => {}
        Some("VALID") => return Ok(Pads::Explicit(vec![(0, 0); rank])),
        Some("SAME_UPPER") => return Ok(Pads::SameUpper),
        Some("SAME_LOWER") => return Ok(Pads::SameLower),
        Some(other) => return Err(Error::invalid_model(format!("`auto_pad` is `{other}`"))),
    }
    let sizes = pads.iter().map(|&pad| usize::try_from(pad).ok()).collect::<Option<Vec<_>>>();
    match sizes {
        Some(sizes) if sizes.len() == 2 * rank => {
            Ok(Pads::Explicit((0..rank).map(|axis| (sizes[axis], sizes[axis + rank])).collect()))
        }
        _ => Err(Error::invalid_model(format!("`pads` {pads:?} for {rank} spatial dimensions"))),
    }
}

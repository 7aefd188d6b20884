//! Vectors in fewer bytes, as sentence-transformers' `quantize_embeddings` makes them.

use half::f16;

use crate::error::{Error, Result};

/// How the numbers of a vector are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorFormat {
    /// 4 bytes a number, little-endian.
    #[default]
    F32,
    /// 2 bytes a number, little-endian, rounded to the nearest.
    F16,
    /// A signed byte a number: its place in the range of its column.
    Int8,
    /// A byte a number: its place in the range of its column.
    Uint8,
    /// A bit a number, 1 where it is above 0, the first one highest; each byte less 128, as a signed byte.
    Binary,
    /// A bit a number, 1 where it is above 0, the first one highest.
    Ubinary,
}

impl VectorFormat {
    /// The bytes of a vector of `width` numbers.
    pub fn bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => width.saturating_mul(4),
            Self::F16 => width.saturating_mul(2),
            Self::Int8 | Self::Uint8 => width,
            Self::Binary | Self::Ubinary => width.div_ceil(8),
        }
    }

    /// Whether the ranges of the columns are needed.
    pub fn needs_ranges(self) -> bool {
        matches!(self, Self::Int8 | Self::Uint8)
    }
}

/// The smallest and the largest number of each column.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    least: Vec<f32>,
    most: Vec<f32>,
}

impl Ranges {
    /// The ranges of no vectors of `width` numbers.
    pub fn none(width: usize) -> Self {
        Self { least: vec![f32::INFINITY; width], most: vec![f32::NEG_INFINITY; width] }
    }

    /// Ranges that are known.
    ///
    /// # Errors
    /// If they differ in length, or one is not finite or ends before it begins.
    pub fn new(least: Vec<f32>, most: Vec<f32>) -> Result<Self> {
        if least.len() != most.len() {
            let (least, most) = (least.len(), most.len());
            return Err(Error::invalid_input(format!("{least} beginnings of ranges and {most} ends")));
        }
        let is_range = |(least, most): (&f32, &f32)| least.is_finite() && most.is_finite() && least <= most;
        match least.iter().zip(&most).position(|range| !is_range(range)) {
            Some(at) => {
                let (least, most) = (least[at], most[at]);
                Err(Error::invalid_input(format!("the range of column {at} is {least} to {most}")))
            }
            None => Ok(Self { least, most }),
        }
    }

    /// The smallest number of each column.
    pub fn least(&self) -> &[f32] {
        &self.least
    }

    /// The largest number of each column.
    pub fn most(&self) -> &[f32] {
        &self.most
    }

    /// Widens the ranges to a vector.
    ///
    /// # Errors
    /// If the vector has another length, or a number that is not finite.
    pub fn include(&mut self, vector: &[f32]) -> Result<()> {
        self.check(vector)?;
        if let Some(number) = vector.iter().find(|number| !number.is_finite()) {
            return Err(Error::invalid_input(format!("the number {number} of a vector is in no range")));
        }
        self.least.iter_mut().zip(vector).for_each(|(least, number)| *least = least.min(*number));
        self.most.iter_mut().zip(vector).for_each(|(most, number)| *most = most.max(*number));
        Ok(())
    }

    /// Widens the ranges to those of other vectors.
    ///
    /// # Errors
    /// If they have another length.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check(&other.least)?;
        self.least.iter_mut().zip(&other.least).for_each(|(least, number)| *least = least.min(*number));
        self.most.iter_mut().zip(&other.most).for_each(|(most, number)| *most = most.max(*number));
        Ok(())
    }

    fn check(&self, vector: &[f32]) -> Result<()> {
        let (own, other) = (self.least.len(), vector.len());
        match own == other {
            true => Ok(()),
            false => Err(Error::invalid_input(format!("a vector of {other} numbers and ranges of {own} columns"))),
        }
    }
}

/// Writes vectors in a format.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantizer {
    format: VectorFormat,
    /// Beginning and step of each column, for formats that need them.
    steps: Vec<(f32, f32)>,
}

impl Quantizer {
    /// A quantizer to a format.
    ///
    /// # Errors
    /// If the format needs ranges and there are none, or those of no vector.
    pub fn new(format: VectorFormat, ranges: Option<&Ranges>) -> Result<Self> {
        if !format.needs_ranges() {
            return Ok(Self { format, steps: Vec::new() });
        }
        let ranges = ranges.ok_or_else(|| Error::invalid_input(format!("{format:?} vectors without ranges")))?;
        let ranges = Ranges::new(ranges.least.clone(), ranges.most.clone())?;
        let step = |(&least, &most): (&f32, &f32)| match (most - least) / 255.0 {
            0.0 => (least, 1.0),
            step => (least, step),
        };
        Ok(Self { format, steps: ranges.least.iter().zip(&ranges.most).map(step).collect() })
    }

    /// The format.
    pub fn format(&self) -> VectorFormat {
        self.format
    }

    /// Appends the bytes of a vector; a number outside of the range of its column counts as the range's end.
    ///
    /// # Errors
    /// If the vector has another length than the ranges, and for numbers that are none, but in f32 and f16.
    pub fn append(&self, vector: &[f32], out: &mut Vec<u8>) -> Result<()> {
        let is_float = matches!(self.format, VectorFormat::F32 | VectorFormat::F16);
        if !is_float && vector.iter().any(|number| number.is_nan()) {
            return Err(Error::invalid_input("a vector with a number that is none"));
        }
        if self.format.needs_ranges() && vector.len() != self.steps.len() {
            let (own, other) = (self.steps.len(), vector.len());
            return Err(Error::invalid_input(format!("a vector of {other} numbers and ranges of {own} columns")));
        }
        let places = vector.iter().zip(&self.steps).map(|(number, (start, step))| {
            // Between 0 and 255, so nothing is lost.
            ((number - start) / step).floor().clamp(0.0, 255.0) as u8
        });
        let bits = vector.chunks(8).map(|numbers| {
            numbers.iter().enumerate().fold(0u8, |byte, (bit, number)| byte | (u8::from(*number > 0.0) << (7 - bit)))
        });
        match self.format {
            VectorFormat::F32 => out.extend(vector.iter().flat_map(|number| number.to_le_bytes())),
            VectorFormat::F16 => out.extend(vector.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes())),
            VectorFormat::Uint8 => out.extend(places),
            VectorFormat::Int8 => out.extend(places.map(|place| place.wrapping_sub(128))),
            VectorFormat::Ubinary => out.extend(bits),
            VectorFormat::Binary => out.extend(bits.map(|byte| byte.wrapping_sub(128))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(format: VectorFormat, ranges: Option<&Ranges>, vector: &[f32]) -> Vec<u8> {
        let mut out = Vec::new();
        Quantizer::new(format, ranges).unwrap().append(vector, &mut out).unwrap();
        assert_eq!(out.len(), format.bytes(vector.len()));
        out
    }

    /// The values are those of sentence-transformers' `quantize_embeddings`.
    #[test]
    fn formats_are_those_of_sentence_transformers() {
        let rows =
            [[0.1f32, -0.5, 0.0, 2.0, 7.0, -1.0, 0.3, 0.2, 0.9], [0.2, 0.25, -0.0, 1.0, 7.0, 1.0, -0.1, 0.4, -0.9]];
        let third = [0.13f32, 0.0, 0.5, 1.5, 7.5, 0.0, 0.1, 0.3, 0.0];
        let mut ranges = Ranges::none(9);
        rows.iter().for_each(|row| ranges.include(row).unwrap());
        let signed = |bytes: Vec<u8>| bytes.into_iter().map(|byte| byte as i8).collect::<Vec<_>>();
        assert_eq!(bytes(VectorFormat::Uint8, Some(&ranges), &third), [76, 170, 0, 127, 0, 127, 127, 127, 127]);
        assert_eq!(
            signed(bytes(VectorFormat::Int8, Some(&ranges), &rows[0])),
            [-128, -128, -128, 126, -128, -128, 127, -128, 127]
        );
        assert_eq!(bytes(VectorFormat::Ubinary, None, &rows[0]), [0b1001_1011, 0b1000_0000]);
        assert_eq!(signed(bytes(VectorFormat::Binary, None, &rows[0])), [27, 0]);
        assert_eq!(signed(bytes(VectorFormat::Binary, None, &rows[1])), [93, -128]);
        assert_eq!(bytes(VectorFormat::F16, None, &[1.0, -2.0, 1e9]), [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x7c]);
        assert_eq!(bytes(VectorFormat::F32, None, &[1.5]), 1.5f32.to_le_bytes());
    }

    #[test]
    fn ranges_of_parts_are_those_of_the_whole() {
        let rows = [[1.0f32, 5.0], [-2.0, 4.0], [0.5, 9.0]];
        let of = |rows: &[[f32; 2]]| {
            let mut ranges = Ranges::none(2);
            rows.iter().for_each(|row| ranges.include(row).unwrap());
            ranges
        };
        let mut parts = of(&rows[..1]);
        parts.merge(&of(&rows[1..])).unwrap();
        assert_eq!(parts, of(&rows));
        assert_eq!((parts.least(), parts.most()), (&[-2.0, 4.0][..], &[1.0, 9.0][..]));
    }

    #[test]
    fn what_has_no_range_is_refused() {
        let ranges = Ranges::new(vec![0.0], vec![1.0]).unwrap();
        let quantizer = Quantizer::new(VectorFormat::Int8, Some(&ranges)).unwrap();
        assert!(quantizer.append(&[0.0, 1.0], &mut Vec::new()).is_err());
        assert!(quantizer.append(&[f32::NAN], &mut Vec::new()).is_err());
        assert!(Quantizer::new(VectorFormat::Uint8, None).is_err());
        assert!(Quantizer::new(VectorFormat::Uint8, Some(&Ranges::none(3))).is_err());
        assert!(Ranges::none(1).include(&[f32::INFINITY]).is_err());
        assert!(Ranges::none(1).include(&[]).is_err());
        for (least, most) in [(vec![1.0], vec![0.0]), (vec![f32::NAN], vec![0.0]), (vec![0.0], vec![])] {
            assert!(Ranges::new(least, most).is_err());
        }
    }
}

//! The markers of a JPEG file, of which the decoder passes over some that it would need.

use crate::error::{Error, Result};

/// Refuses a file that ends before its image does, and forms that the decoder reads wrongly.
///
/// Source: ITU-T T.81, annex B.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let cut = || Error::invalid_input("the image does not decode: the file ends before its image");
    let mut frame = Frame::default();
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // Entropy-coded data, and whatever stands between segments, goes on up to the next marker.
        let at = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7));
        let Some(at) = at else { return Err(cut()) };
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xd9 => return Ok(()),
            // Without a length: a temporary marker, and the start of an image.
            0x01 | 0xd8 => continue,
            _ => {}
        }
        let length = rest.get(..2).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let segment = length.filter(|length| *length >= 2).and_then(|length| rest.get(2..length));
        let Some(segment) = segment else { return Err(cut()) };
        match marker {
            0xc0..=0xc2 => frame = Frame::read(marker, segment),
            0xda => frame.check_scan(segment)?,
            _ => {}
        }
        rest = &rest[2 + segment.len()..];
    }
}

/// What a frame's header says.
#[derive(Default)]
struct Frame {
    is_progressive: bool,
    /// Samples across and down of each colour.
    sampling: Vec<[u8; 2]>,
}

impl Frame {
    fn read(marker: u8, segment: &[u8]) -> Self {
        let colours = segment.get(6..).unwrap_or_default().chunks_exact(3);
        let sampling = colours.map(|colour| [colour[1] >> 4, colour[1] & 15]).collect();
        Self { is_progressive: marker == 0xc2, sampling }
    }

    fn check_scan(&self, segment: &[u8]) -> Result<()> {
        let refuse = |what: &str| Err(Error::unsupported(format!("a JPEG image {what}; save it again")));
        let Some(&[across, down]) = self.sampling.first() else { return Ok(()) };
        let even = self.sampling.iter().all(|own| *own == [across, down]);
        let count = segment.first().map_or(0, |count| usize::from(*count));
        if !self.is_progressive && !even && count < self.sampling.len() {
            return refuse("whose colours stand one behind the other in unlike sizes");
        }
        if self.sampling.iter().any(|own| own[0] > across || own[1] > down) {
            return refuse("whose first colour is stored more coarsely than another");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers of an image of three colours, its last segment a scan of `scanned` of them.
    fn image(start: u8, sampling: [u8; 3], scanned: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, start, 0, 17, 8, 0, 8, 0, 8, 3];
        (1..).zip(sampling).for_each(|(colour, sampling)| bytes.extend([colour, sampling, 0]));
        bytes.extend([0xff, 0xda, 0, 6 + 2 * scanned, scanned]);
        (0..scanned).for_each(|colour| bytes.extend([colour + 1, 0]));
        bytes.extend([0, 63, 0, 12, 0xff, 0, 0xff, 0xd3, 34, 0xff, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn files_that_end_early_are_told() {
        let whole = image(0xc0, [0x22, 0x11, 0x11], 3);
        check(&whole).unwrap();
        for end in 0..whole.len() {
            let error = check(&whole[..end]).unwrap_err();
            assert!(error.to_string().contains("ends before its image"), "{end}: {error}");
        }
        check(&[&whole[..], b"behind"].concat()).unwrap();
    }

    #[test]
    fn forms_that_are_read_wrongly_are_refused() {
        for (start, sampling, scanned, right) in [
            (0xc0, [0x11, 0x11, 0x11], 1, true),
            (0xc0, [0x22, 0x11, 0x11], 1, false),
            (0xc2, [0x22, 0x11, 0x11], 1, true),
            (0xc0, [0x11, 0x21, 0x11], 3, false),
        ] {
            assert_eq!(check(&image(start, sampling, scanned)).is_ok(), right, "{start:x} {sampling:x?} {scanned}");
        }
    }
}

//! The first frame of a GIF, as PIL has it.

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::{
    error::{Error, Result},
    vision::decode::{Pixels, check_size},
};

/// Decodes a file of at most `most` pixels.
///
/// The image is as large as the screen and the frame together, and has the transparent color, or the first of the frame's
/// palette, where the frame has none.
pub(super) fn decode(bytes: &[u8], most: u64) -> Result<Pixels> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(of_decoder)?;
    let screen = [decoder.width(), decoder.height()].map(usize::from);
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(of_decoder)?;
    let frame = frame.ok_or_else(|| Error::invalid_input("an image without pixels"))?;
    let [left, top, own_width, own_height] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let (width, height) = (screen[0].max(left + own_width), screen[1].max(top + own_height));
    check_size(width as u64, height as u64, most)?;
    // One in which each number stands for its own gray is none in PIL.
    let is_own = |palette: &Vec<u8>| palette.iter().enumerate().any(|(place, &part)| place / 3 != usize::from(part));
    let palette = frame.palette.clone().or(global).filter(is_own);
    let outside = color(palette.as_deref(), frame.transparent.unwrap_or(0));
    let mut rgb = outside.repeat(width * height);
    let mut places = vec![0; own_width * own_height];
    decoder.read_into_buffer(&mut places).map_err(of_decoder)?;
    for (row, places) in places.chunks_exact(own_width.max(1)).enumerate() {
        let to = &mut rgb[3 * ((top + row) * width + left)..];
        for (to, &place) in to.chunks_exact_mut(3).zip(places) {
            to.copy_from_slice(&color(palette.as_deref(), place));
        }
    }
    Ok(Pixels { width, height, rgb })
}

/// The color at a place of a palette: gray without one, black behind its end.
fn color(palette: Option<&[u8]>, place: u8) -> [u8; 3] {
    match palette {
        Some(palette) => {
            palette.get(3 * usize::from(place)..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; 3])
        }
        None => [place; 3],
    }
}

fn of_decoder(error: DecodingError) -> Error {
    Error::invalid_input(format!("the image does not decode: {error}"))
}

#[cfg(test)]
mod tests {
    use ::gif::{Encoder, Frame};

    use super::*;

    const PALETTE: [u8; 6] = [10, 20, 30, 40, 50, 60];

    /// A file of one frame.
    fn file(screen: [u16; 2], palette: &[u8], frame: &Frame<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, screen[0], screen[1], palette).unwrap().write_frame(frame).unwrap();
        bytes
    }

    fn frame(place: [u16; 2], size: [u16; 2], indices: &[u8]) -> Frame<'_> {
        let (left, top, width, height) = (place[0], place[1], size[0], size[1]);
        Frame { left, top, width, height, buffer: indices.into(), ..Frame::default() }
    }

    /// The number of each pixel's color, and the width.
    fn decoded(bytes: &[u8]) -> (Vec<u8>, usize) {
        let pixels = decode(bytes, 1000).unwrap();
        assert_eq!(pixels.rgb.len(), 3 * pixels.width * pixels.height);
        let number = |rgb: &[u8]| PALETTE.chunks_exact(3).position(|color| color == rgb).unwrap() as u8;
        (pixels.rgb.chunks_exact(3).map(number).collect(), pixels.width)
    }

    #[test]
    fn a_frame_is_placed_upon_the_screen() {
        let small = frame([1, 1], [2, 1], &[1, 0]);
        assert_eq!(decoded(&file([4, 3], &PALETTE, &small)), (vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 4));
        let transparent = Frame { transparent: Some(1), ..small.clone() };
        assert_eq!(decoded(&file([4, 3], &PALETTE, &transparent)), (vec![1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1], 4));
        let own = Frame { palette: Some(PALETTE.to_vec()), ..small.clone() };
        assert_eq!(decoded(&file([4, 1], &[1, 2, 3, 4, 5, 6], &own)), (vec![0, 0, 0, 0, 0, 1, 0, 0], 4));
        // One beyond the screen makes it larger.
        assert_eq!(decoded(&file([1, 1], &PALETTE, &small)), (vec![0, 0, 0, 0, 1, 0], 3));
    }

    #[test]
    fn colors_without_a_palette_are_gray() {
        let bytes = file([2, 1], &[0, 0, 0, 1, 1, 1], &frame([0, 0], [2, 1], &[1, 0]));
        assert_eq!(decode(&bytes, 1000).unwrap().rgb, [1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_frame_of_any_size_is_bounded() {
        let mut bytes = file([2, 1], &PALETTE, &frame([0, 0], [2, 1], &[1, 0]));
        let place = bytes.iter().position(|&byte| byte == b',').unwrap() + 5;
        bytes[place..place + 4].fill(0xff);
        let error = decode(&bytes, 1000).err().unwrap().to_string();
        assert!(error.contains("65535 x 65535 pixels; the limit is 1000"), "{error}");
        let error = decode(&bytes[..20], 1000).err().unwrap().to_string();
        assert!(error.contains("does not decode"), "{error}");
    }
}

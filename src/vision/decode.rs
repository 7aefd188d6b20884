//! Decoding of image files into red, green and blue, as PIL's `convert("RGB")` makes them.

mod gif;
mod jpeg;

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::error::{Error, ErrorKind, Result};

/// The longest side, which JPEG allows at most.
const MAX_SIDE: u32 = u16::MAX as u32;

/// The most bytes of a pixel in any format, and of what decoders hold beside them.
const PIXEL_BYTES: u64 = 16;

/// Where a PNG file has its bits of a sample, and behind them its type of color, 0 being gray.
const PNG_DEPTH: usize = 24;

/// The pixels of an image, row by row, three bytes each.
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
}

/// Decodes a file of at most `most` pixels.
pub(crate) fn decode(bytes: &[u8], most: u64) -> Result<Pixels> {
    let format = image::guess_format(bytes).map_err(|_| unknown_format())?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif)
    {
        return Err(unknown_format());
    }
    if format == ImageFormat::Gif {
        return gif::decode(bytes, most);
    }
    if format == ImageFormat::Jpeg {
        jpeg::check(bytes)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(most.saturating_mul(PIXEL_BYTES).max(1 << 20));
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(of_decoder)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), most)?;
    // What the header of a PNG file says: a color that is to be transparent is no channel of its own in PIL.
    let is_gray = format == ImageFormat::Png && bytes.get(PNG_DEPTH..PNG_DEPTH + 2) == Some(&[16, 0]);
    let decoded = DynamicImage::from_decoder(decoder).map_err(of_decoder)?;
    let decoded = match decoded {
        DynamicImage::ImageLumaA16(image) if is_gray => DynamicImage::ImageLumaA16(image).into_luma16().into(),
        decoded => decoded,
    };
    Ok(Pixels { width: width as usize, height: height as usize, rgb: rgb(decoded)? })
}

/// Refuses an image without pixels, or with more than `most`.
fn check_size(width: u64, height: u64, most: u64) -> Result<()> {
    let pixels = width * height;
    if pixels > most {
        return Err(Error::limit(format!(
            "an image of {width} x {height} pixels; the limit is {most}, which the option max_pixels sets"
        )));
    }
    match pixels {
        0 => Err(Error::invalid_input("an image without pixels")),
        _ => Ok(()),
    }
}

/// Alpha is dropped; of 16 bits the upper 8 count, but gray without alpha is cut off at 255.
fn rgb(decoded: DynamicImage) -> Result<Vec<u8>> {
    let upper = |number: u16| (number >> 8) as u8;
    let gray = |number: u8| [number; 3];
    Ok(match decoded {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageRgba8(image) => image.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        DynamicImage::ImageLuma8(image) => image.pixels().flat_map(|pixel| gray(pixel[0])).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|pixel| gray(pixel[0])).collect(),
        DynamicImage::ImageRgb16(image) => image.pixels().flat_map(|pixel| pixel.0.map(upper)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.pixels().flat_map(|pixel| [upper(pixel[0]), upper(pixel[1]), upper(pixel[2])]).collect()
        }
        DynamicImage::ImageLuma16(image) => image.pixels().flat_map(|pixel| gray(pixel[0].min(255) as u8)).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|pixel| gray(upper(pixel[0]))).collect(),
        other => return Err(Error::unsupported(format!("an image of {:?} pixels", other.color()))),
    })
}

fn unknown_format() -> Error {
    Error::unsupported("the bytes do not begin as a PNG, JPEG, WebP, BMP or GIF file does")
}

fn of_decoder(error: ImageError) -> Error {
    let kind = match &error {
        ImageError::Limits(_) => ErrorKind::Limit,
        ImageError::Unsupported(_) => ErrorKind::Unsupported,
        _ => ErrorKind::InvalidInput,
    };
    Error::new(kind, format!("the image does not decode: {error}"))
}

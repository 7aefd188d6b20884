//! Classifies images with an ONNX model: the best class of each file, in bulk.
//!
//! ```sh
//! cargo run --release --example classify_images -- MODEL.onnx IMAGE.ppm...
//! ```
//!
//! The model takes one input `f32 [batch, 3, height, width]` and returns scores `f32 [batch, classes]`, as exported
//! classifiers for ImageNet do. Images are binary PPM files (`convert photo.jpg photo.ppm`), which need no decoder
//! library; for other formats replace [`read_ppm`], for example by a call to the `image` crate.

use std::{
    env,
    error::Error as StdError,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use gristmill::{Error, Model, Pipeline, Result, SessionOptions, Tensor, Tensors, bulk::Bulk};

/// Mean and standard deviation of the channels on ImageNet, for colours between 0 and 1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Pixels in rows, three bytes each: red, green, blue.
struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

fn main() -> Result<(), Box<dyn StdError>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let model = arguments.next().ok_or("usage: classify_images MODEL.onnx IMAGE.ppm...")?;
    let images: Vec<PathBuf> = arguments.collect();

    // The weights are loaded once; all workers share the session.
    let session = Model::open(model)?.session(&SessionOptions::default())?;
    let (name, info) = session.inputs().next().ok_or("the model has no input")?;
    let name = name.to_owned();
    // Exporters fix height and width; where they are left open, 224 is the usual size.
    let side =
        |axis: usize| info.shape.dims().get(axis).and_then(|dim| dim.as_fixed()).map_or(224, |size| size as usize);
    let (height, width) = (side(2), side(3));

    // The steps around the model run on the workers too, item by item: read and resize before, pick a class after.
    let pipeline = Pipeline::new(session)
        .prepare(move |path: &PathBuf| {
            let numbers = normalized(&read_ppm(path)?, height, width);
            Ok(Tensors::from([(name.as_str(), Tensor::new([1, 3, height, width], &numbers)?)]))
        })
        .finish(|_, outputs: Tensors| {
            let (_, scores) = outputs.iter().next().ok_or("the model has no output")?;
            let scores = scores.as_slice::<f32>()?;
            let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            best.map(|(class, &score)| (class, score)).ok_or_else(|| "the model has no classes".into())
        });

    // Results arrive in the order of the paths. An unreadable image fails alone.
    let mut results = Bulk::pipeline(pipeline).map(images.clone());
    let mut out = io::stdout().lock();
    for (path, result) in images.iter().zip(results.by_ref()) {
        match result {
            Ok((class, score)) => writeln!(out, "{}: class {class}, score {score:.3}", path.display())?,
            Err(error) => writeln!(out, "{}: failed in {}: {}", path.display(), error.stage, error.source)?,
        }
    }
    // Where nobody can read it any more, all is done all the same.
    let _ = writeln!(io::stderr(), "{}", results.report());
    Ok(())
}

/// The image at the model's size, `[3, height, width]`: nearest pixels, each channel normalized.
fn normalized(image: &Image, height: usize, width: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        for y in 0..height {
            for x in 0..width {
                let pixel = y * image.height / height * image.width + x * image.width / width;
                let colour = f32::from(image.pixels[pixel * 3 + channel]) / 255.0;
                numbers.push((colour - MEAN[channel]) / DEVIATION[channel]);
            }
        }
    }
    numbers
}

/// Reads a binary PPM file: `P6`, width, height, 255, one white-space byte, then the pixels.
fn read_ppm(path: &Path) -> Result<Image> {
    let bytes = fs::read(path).map_err(|error| Error::io(error, "reading the image"))?;
    let invalid = || Error::invalid_input("not a binary PPM file with 8 bits per colour");
    let (mut fields, mut rest) = (Vec::new(), bytes.as_slice());
    while fields.len() < 4 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace).ok_or_else(invalid)?;
        match rest[0] {
            // A comment, up to the end of its line.
            b'#' => rest = &rest[rest.iter().position(|&byte| byte == b'\n').ok_or_else(invalid)?..],
            _ => {
                fields.push(str::from_utf8(&rest[..end]).map_err(|_| invalid())?);
                rest = &rest[end..];
            }
        }
    }
    let [width, height] = [1, 2].map(|field| fields[field].parse::<usize>().ok().filter(|&size| size > 0));
    let (Some(width), Some(height), "P6", "255") = (width, height, fields[0], fields[3]) else { return Err(invalid()) };
    let count = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3)).ok_or_else(invalid)?;
    let pixels = rest.get(1..).and_then(|pixels| pixels.get(..count)).ok_or_else(invalid)?;
    Ok(Image { width, height, pixels: pixels.to_vec() })
}

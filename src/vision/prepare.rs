//! From an image to the patches that an encoder takes.

use std::{ops::Range, sync::Arc};

use crate::{
    error::{Error, Result},
    import::hugging_face::{Filter, ImageFolder, ImageSettings, ImageSize},
    tensor::{Tensor, Tensors},
    vision::{
        decode::Pixels,
        image::Image,
        resize::{part, resize},
    },
};

/// Turns images into a model's inputs.
pub(super) struct Prepare {
    settings: ImageSettings,
    /// The number that each byte of each colour becomes.
    numbers: [[f32; 256]; 3],
    patch: [usize; 2],
    grid: [usize; 2],
    /// The rows of zeros in front of the patches.
    front: usize,
    max_pixels: u64,
    names: [Arc<str>; 2],
}

/// What is kept of a side.
struct Kept {
    /// The part of the resized side.
    part: Range<usize>,
    /// The number of zeros in front.
    front: usize,
}

impl Kept {
    /// `kept` of `side` from the middle; zeros around it where there are fewer.
    fn middle(side: usize, kept: usize) -> Self {
        match side.checked_sub(kept) {
            Some(more) => Self { part: more / 2..more / 2 + kept, front: 0 },
            None => Self { part: 0..side, front: (kept - side).div_ceil(2) },
        }
    }
}

impl Prepare {
    pub(super) fn new(images: &ImageFolder, max_pixels: u64) -> Self {
        let ImageFolder { settings, patch, grid, front, .. } = images;
        Self {
            numbers: settings.numbers(),
            settings: settings.clone(),
            patch: *patch,
            grid: *grid,
            front: *front,
            max_pixels,
            names: ["patches", "position_ids"].map(Arc::from),
        }
    }

    /// The inputs of an image.
    pub(super) fn tensors(&self, image: &Image) -> Result<Tensors> {
        let pixels = image.pixels(self.max_pixels)?;
        let (height, width) = (pixels.height, pixels.width);
        let size = self.settings.resize.map_or([height, width], |(size, _)| resized([height, width], size));
        if size.contains(&0) {
            return Err(Error::invalid_input(format!("an image of {width} x {height} pixels, of which none is left")));
        }
        let [rows, columns] = match self.settings.crop {
            Some(crop) => [0, 1].map(|side| Kept::middle(size[side], crop[side])),
            None => size.map(|side| Kept { part: 0..side, front: 0 }),
        };
        let kept = match self.settings.resize {
            Some((_, filter)) => self.resize(&pixels, size, filter, &rows, &columns),
            None => part(&pixels, columns.part.clone(), rows.part.clone()),
        };
        self.patches(&kept, [rows.front, columns.front])
    }

    fn resize(&self, pixels: &Pixels, size: [usize; 2], filter: Filter, rows: &Kept, columns: &Kept) -> Pixels {
        resize(pixels, (size[1], size[0]), filter, columns.part.clone(), rows.part.clone())
    }

    /// The numbers of `pixels`, which stand at `front` among zero bytes, patch by patch.
    fn patches(&self, pixels: &Pixels, front: [usize; 2]) -> Result<Tensors> {
        let ([height, width], [rows, columns]) = (self.patch, self.grid);
        let patch = 3 * height * width;
        let count = rows * columns + self.front;
        let mut numbers = Vec::with_capacity(count * patch);
        numbers.resize(self.front * patch, 0.0);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for colour in 0..3 {
                let table = &self.numbers[colour];
                for y in row * height..(row + 1) * height {
                    let own = y.checked_sub(front[0]).filter(|y| *y < pixels.height);
                    numbers.extend((column * width..(column + 1) * width).map(|x| {
                        let x = x.checked_sub(front[1]).filter(|x| *x < pixels.width);
                        let byte = own.zip(x).map_or(0, |(y, x)| pixels.rgb[3 * (y * pixels.width + x) + colour]);
                        table[usize::from(byte)]
                    }));
                }
            }
        }
        let places: Vec<i32> = (0..count).map(|place| place as i32).collect();
        let [patches, position] = &self.names;
        Ok(Tensors::new()
            .with(patches.clone(), Tensor::new([count, patch], &numbers)?)
            .with(position.clone(), Tensor::new([count], &places)?))
    }
}

/// Height and width of an image of these sides when it is resized, as transformers computes them.
fn resized([height, width]: [usize; 2], size: ImageSize) -> [usize; 2] {
    let (edge, most) = match size {
        ImageSize::Sides(sides) => return sides,
        ImageSize::Shorter(edge, most) => (edge, most),
    };
    let (shorter, longer) = (height.min(width), height.max(width));
    let ratio =
        |edge: f64, numerator: usize, denominator: usize| (edge * numerator as f64 / denominator as f64) as usize;
    let new = match most {
        None => [edge, ratio(edge as f64, longer, shorter)],
        Some(most) => {
            let (shortest, longest) = (shorter as f64, longer as f64);
            let raw = (longest / shortest * edge as f64 > most as f64).then(|| most as f64 * shortest / longest);
            let edge = raw.map_or(edge, |raw| raw.round_ties_even() as usize);
            if shorter == edge { [shorter, longer] } else { [edge, ratio(raw.unwrap_or(edge as f64), longer, shorter)] }
        }
    };
    if height <= width { new } else { [new[1], new[0]] }
}

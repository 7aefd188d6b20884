//! `AffineGrid`: the positions at which an affine map reads an image.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{Accuracy, Case, CpuState, Fill, GpuState, Inputs, Io, OnnxNode, OpDef, Operator, function_kernel},
    ops::wide,
    shape::{Condition, Dim, Shape},
    tensor::{DType, Tensor},
};

/// Positions `[batch, spatial..., axes]`, as `GridSample` takes them, of the maps
/// `[batch, axes, axes + 1]`.
///
/// Positions run from -1 to 1 over each axis, the last axis first.
#[derive(Clone, Debug, PartialEq)]
pub struct AffineGrid {
    /// Batch, channels and spatial dimensions of the image to make.
    pub sizes: Vec<Dim>,
    /// Whether -1 and 1 are the centers of the corners, rather than their outer edges.
    pub align_corners: bool,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "AffineGrid",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Reduction,
    cpu: CpuState::Kernel(|request| function_kernel::<AffineGrid>(request, run)),
    gpu: GpuState::Host("no shader yet"),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let align_corners = node.flag("align_corners", false)?;
    let sizes = node.take_integers(1)?.ok_or_else(|| Error::invalid_model("the sizes are missing"))?;
    Ok(Arc::new(AffineGrid { sizes, align_corners }))
}

impl Operator for AffineGrid {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let maps = inputs.required(0)?;
        let misfit = || Error::invalid_model(format!("the maps {maps} for images of the sizes {:?}", self.sizes));
        if !matches!(maps.dtype, DType::F32 | DType::F64) {
            return Err(Error::unsupported(format!("maps {maps}; only f32 and f64 are")));
        }
        let ([count, rows, columns], [batch, _, spatial @ ..]) = (maps.shape.dims(), self.sizes.as_slice()) else {
            return Err(misfit());
        };
        let axes = spatial.len();
        if !(2..=3).contains(&axes) {
            return Err(misfit());
        }
        for (size, expected) in [(rows, axes), (columns, axes + 1)] {
            inputs.assume(Condition::equal("an affine map", size, &Dim::from(expected))).map_err(|_| misfit())?;
        }
        for size in spatial {
            inputs.assume(Condition::at_least("a size of the image", size, &Dim::from(0)))?;
        }
        let batch = inputs.equal("the maps", batch, count).map_err(|_| misfit())?;
        let dims = [batch].into_iter().chain(spatial.iter().cloned()).chain([Dim::from(axes)]);
        Ok(vec![Fact::new(maps.dtype, dims.collect::<Shape>())])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], size: &Dim) -> Option<Vec<Option<usize>>> {
        let symbol = size.as_symbol()?;
        let mentioned = self.sizes[1..].iter().any(|size| size.mentions(symbol));
        let apart = axes[0] == Some(0) && self.sizes[0] == *size && !mentioned;
        apart.then(|| vec![Some(0)])
    }
}

impl AffineGrid {
    /// Position `at` of an axis of that size.
    fn position(&self, at: usize, size: usize) -> f64 {
        let (at, size) = (at as f64, size as f64);
        match self.align_corners {
            // As in onnxruntime; ONNX's definition divides by 0.
            true if size == 1.0 => 1.0,
            true => 2.0 * at / (size - 1.0) - 1.0,
            false => (2.0 * at + 1.0) / size - 1.0,
        }
    }
}

fn run(op: &AffineGrid, io: &mut Io<'_>) -> Result<()> {
    let maps = io.input(0)?;
    let output = io.output(0)?;
    let axes = maps.shape[1];
    let sizes = &output.shape[1..=axes];
    let places: usize = sizes.iter().product();
    let mut results = Vec::with_capacity(output.shape.iter().product());
    for map in wide::read(maps)?.chunks_exact(axes * (axes + 1)) {
        for place in 0..places {
            // The last axis is the first coordinate.
            let (mut rest, mut position) = (place, [0.0; 3]);
            for (coordinate, &size) in position.iter_mut().zip(sizes.iter().rev()) {
                *coordinate = op.position(rest % size, size);
                rest /= size;
            }
            results.extend(map.chunks_exact(axes + 1).map(|row| {
                let factors = row.iter().zip(&position[..axes]);
                factors.map(|(factor, coordinate)| factor * coordinate).sum::<f64>() + row[axes]
            }));
        }
    }
    wide::write(output, &results)
}

fn cases() -> Vec<Case> {
    let of = |sizes: &[usize], align_corners| AffineGrid {
        sizes: sizes.iter().copied().map(Dim::from).collect(),
        align_corners,
    };
    let double = Tensor::new([1, 2, 3], &[1f64, 0.5, -0.1, 0.2, -1.0, 0.3]).expect("six numbers");
    vec![
        Case::new("images", of(&[2, 3, 4, 5], false)).value(&[2, 2, 3], Fill::Spread),
        Case::new("corners", of(&[2, 3, 4, 5], true)).value(&[2, 2, 3], Fill::Spread),
        Case::new("space", of(&[1, 1, 2, 3, 4], false)).value(&[1, 3, 4], Fill::Spread),
        Case::new("space by corners", of(&[1, 1, 2, 3, 4], true)).value(&[1, 3, 4], Fill::Spread),
        Case::new("one row", of(&[1, 1, 1, 4], true)).value(&[1, 2, 3], Fill::Spread),
        Case::new("f64", of(&[1, 1, 2, 3], false)).tensor(double),
        Case::new("empty", of(&[0, 1, 2, 3], false)).value(&[0, 2, 3], Fill::Spread),
        Case::new("no rows", of(&[1, 1, 0, 3], false)).value(&[1, 2, 3], Fill::Spread),
    ]
}

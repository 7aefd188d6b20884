//! Images read at other places, images made of blocks, and determinants.

use gristmill::{
    DType, Tensor,
    testing::{
        op::Operator,
        ops::{
            image::{affine_grid::AffineGrid, col2im::Col2Im, roi_align::RoiAlign},
            pool::window::Pads,
        },
    },
};

use super::{
    Oracle, flat, indices, input, op,
    pointwise::{floats, integers, of_floats, of_integers},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] =
    &[("AffineGrid", affine_grid), ("Col2Im", col2im), ("Det", det), ("RoiAlign", roi_align)];

fn affine_grid(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, maps) = (op::<AffineGrid>(operator), input(inputs, 0));
    let sizes: Vec<usize> = op.sizes.iter().map(|size| size.as_fixed().unwrap() as usize).collect();
    let (values, axes) = (floats(maps), sizes.len() - 2);
    let mut shape = vec![sizes[0]];
    shape.extend_from_slice(&sizes[2..]);
    shape.push(axes);
    let coordinate = |at: usize, size: usize| {
        let pixel = 2.0 / size as f64;
        match op.align_corners {
            true if size == 1 => 1.0,
            true => -1.0 + at as f64 * (2.0 / (size as f64 - 1.0)),
            false => -1.0 + pixel / 2.0 + pixel * at as f64,
        }
    };
    let at = |index: Vec<usize>| {
        let weight = |column: usize| values[flat(maps.shape(), &[index[0], index[axes + 1], column])];
        let own = |axis: usize| weight(axis) * coordinate(index[axes - axis], sizes[2 + axes - 1 - axis]);
        (0..axes).map(own).sum::<f64>() + weight(axes)
    };
    vec![of_floats(maps.dtype(), &shape, &indices(&shape).map(at).collect::<Vec<_>>())]
}

/// The pixel under each element of the blocks, `None` where that is padding.
fn pixels(op: &Col2Im, image: &[usize]) -> Vec<Option<Vec<usize>>> {
    let Pads::Explicit(pads) = &op.pads else { panic!("the cases have explicit pads") };
    // All places at which a whole block is in the padded image.
    let places = |axis: usize| {
        let padded = image[axis] + pads[axis].0 + pads[axis].1;
        let fits = |place: &usize| place * op.strides[axis] + (op.block[axis] - 1) * op.dilations[axis] < padded;
        (0..padded).take_while(fits).count()
    };
    let places: Vec<usize> = (0..image.len()).map(places).collect();
    let mut all = Vec::new();
    for tap in indices(&op.block) {
        for place in indices(&places) {
            let own = (0..image.len()).map(|axis| {
                let at = place[axis] * op.strides[axis] + tap[axis] * op.dilations[axis];
                at.checked_sub(pads[axis].0).filter(|&at| at < image[axis])
            });
            all.push(own.collect());
        }
    }
    all
}

fn col2im(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, blocks) = (op::<Col2Im>(operator), input(inputs, 0));
    let image: Vec<usize> = op.image.iter().map(|size| size.as_fixed().unwrap() as usize).collect();
    let mut shape = vec![blocks.shape()[0], blocks.shape()[1] / op.block.iter().product::<usize>()];
    shape.extend_from_slice(&image);
    let pixels = pixels(op, &image);
    // The elements that go into each pixel.
    let members = indices(&shape).map(|index| {
        let start = (index[0] * shape[1] + index[1]) * pixels.len();
        let here = pixels.iter().enumerate().filter(|(_, pixel)| pixel.as_deref() == Some(&index[2..]));
        here.map(|(at, _)| start + at).collect::<Vec<_>>()
    });
    if blocks.dtype().is_float() {
        let values = floats(blocks);
        let sums: Vec<f64> = members.map(|own| own.iter().map(|&at| values[at]).sum()).collect();
        return vec![of_floats(blocks.dtype(), &shape, &sums)];
    }
    let values = integers(blocks);
    let sums: Vec<i128> = members.map(|own| own.iter().map(|&at| values[at]).sum()).collect();
    vec![of_integers(blocks.dtype(), &shape, &sums)]
}

/// A determinant by the minors of the first row.
fn minors(matrix: &[Vec<f64>]) -> f64 {
    let Some((first, rest)) = matrix.split_first() else { return 1.0 };
    let minor = |column: usize| -> Vec<Vec<f64>> {
        rest.iter()
            .map(|row| row.iter().enumerate().filter(|(at, _)| *at != column).map(|(_, &x)| x).collect())
            .collect()
    };
    let signed = |(column, &x): (usize, &f64)| if column % 2 == 0 { x } else { -x } * minors(&minor(column));
    first.iter().enumerate().map(signed).sum()
}

fn det(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let x = input(inputs, 0);
    let (outer, size) = (&x.shape()[..x.shape().len() - 2], x.shape()[x.shape().len() - 1]);
    let values = floats(x);
    let of = |index: Vec<usize>| {
        let start = flat(outer, &index) * size * size;
        let rows: Vec<Vec<f64>> = (0..size).map(|row| values[start + row * size..][..size].to_vec()).collect();
        minors(&rows)
    };
    vec![of_floats(x.dtype(), outer, &indices(outer).map(of).collect::<Vec<_>>())]
}

fn roi_align(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (op, x, regions) = (op::<RoiAlign>(operator), input(inputs, 0), input(inputs, 1));
    let (values, edges, images) = (floats(x), floats(regions), input(inputs, 2).to_i64().unwrap());
    let (height, width) = (x.shape()[2] as f64, x.shape()[3] as f64);
    let shape = [images.len(), x.shape()[1], op.rows, op.columns];
    let at = |index: Vec<usize>| {
        let edge = |at: usize| edges[index[0] * 4 + at] * f64::from(op.scale) - if op.half_pixel { 0.5 } else { 0.0 };
        let length = |low: usize| {
            let length = edge(low + 2) - edge(low);
            if op.half_pixel { length } else { length.max(1.0) }
        };
        let cell = [length(1) / op.rows as f64, length(0) / op.columns as f64];
        let count = cell.map(|cell| if op.sampling > 0 { op.sampling } else { cell.ceil().max(0.0) as usize });
        let mut taken = Vec::new();
        for point in indices(&count) {
            let place = |axis: usize| {
                let within = (point[axis] as f64 + 0.5) / count[axis] as f64;
                edge(1 - axis) + (index[2 + axis] as f64 + within) * cell[axis]
            };
            let (y, x_at) = (place(0), place(1));
            let inside = y >= -1.0 && y <= height && x_at >= -1.0 && x_at <= width;
            // A point between the border's pixels and the edge reads the border.
            let (y, x_at) = (y.clamp(0.0, height - 1.0), x_at.clamp(0.0, width - 1.0));
            let mut weighted: Vec<f64> = indices(&x.shape()[2..])
                .map(|pixel| {
                    let weight = |at: usize, place: f64| (1.0 - (at as f64 - place).abs()).max(0.0);
                    let weight = weight(pixel[0], y) * weight(pixel[1], x_at);
                    (weight, values[flat(x.shape(), &[images[index[0]] as usize, index[1], pixel[0], pixel[1]])])
                })
                .filter(|(weight, _)| *weight > 0.0 && inside)
                .map(|(weight, value)| weight * value)
                .collect();
            // Of the four corners, those without a weight count as zeros.
            weighted.resize(4, 0.0);
            taken.push(weighted);
        }
        let all = || taken.iter().flatten().copied();
        match op.max {
            true => all().reduce(f64::max).unwrap_or(0.0),
            false => all().sum::<f64>() / taken.len().max(1) as f64,
        }
    };
    let made: Vec<f64> = indices(&shape).map(at).collect();
    assert!(matches!(x.dtype(), DType::F32 | DType::F64));
    vec![of_floats(x.dtype(), &shape, &made)]
}

//! Fuses what turns the sums of products of bytes into numbers.

use crate::{
    error::Result,
    ops::{
        pointwise::BinaryFunction,
        quantized::{matmul::QuantizedMatMul, scaled::ScaledIntegerProduct},
    },
    rewrite::rewriter::Rewriter,
};

/// Operand of `ScaledIntegerProduct`.
const BIAS: usize = 5;

/// Turns sums that are converted to f32 and multiplied with scales into one operator.
pub(super) fn scaled_product(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (sums, scale) in rewriter.both_orders(index, BinaryFunction::Mul) {
        let Some(product) = rewriter.below_cast_to_f32(sums).filter(|&id| rewriter.used_once(id)) else { continue };
        let Some((QuantizedMatMul { scaled: false }, inputs)) = rewriter.made_by(product) else { continue };
        if !rewriter.used_once(sums) {
            continue;
        }
        let mut inputs = inputs.to_vec();
        inputs.resize(BIAS - 1, None);
        inputs.push(Some(scale));
        return rewriter.replace(index, ScaledIntegerProduct, inputs);
    }
    Ok(())
}

/// Fuses the addition of a row.
pub(super) fn bias(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (product, row) in rewriter.both_orders(index, BinaryFunction::Add) {
        let Some((ScaledIntegerProduct, inputs)) = rewriter.made_by(product) else { continue };
        if inputs.len() > BIAS || !rewriter.used_once(product) {
            continue;
        }
        let mut inputs = inputs.to_vec();
        inputs.push(Some(row));
        return rewriter.replace(index, ScaledIntegerProduct, inputs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Graph,
        ops::pointwise::{Binary, cast::Cast},
        rewrite::optimize,
        shape::Shape,
        tensor::{DType, Tensor},
    };

    /// Sums as f32, times scales of one shape, plus a row; optionally the sums are an output too.
    fn graph(scales: &[usize], keeps_sums: bool) -> Graph {
        let mut graph = Graph::new("product of bytes");
        let a = graph.input("a", DType::U8, Shape::fixed(&[2, 3]));
        let zero = graph.input("zero", DType::U8, Shape::scalar());
        let scale = graph.input("scale", DType::F32, Shape::fixed(scales));
        let b = graph.constant("b", Tensor::new([3, 4], &[1i8; 12]).unwrap());
        let row = graph.constant("row", Tensor::new([4], &[0.5f32; 4]).unwrap());
        let sums = graph.apply("product", QuantizedMatMul { scaled: false }, &[a, b, zero]).unwrap();
        let numbers = graph.apply("cast", Cast { to: DType::F32 }, &[sums]).unwrap();
        let scaled = graph.apply("scale", Binary { function: BinaryFunction::Mul }, &[scale, numbers]).unwrap();
        let y = graph.apply("add", Binary { function: BinaryFunction::Add }, &[scaled, row]).unwrap();
        graph.output("y", y);
        if keeps_sums {
            graph.output("sums", sums);
        }
        graph
    }

    #[test]
    fn sums_of_bytes_become_numbers_in_one_operator() {
        for scales in [&[][..], &[1], &[4]] {
            let mut graph = graph(scales, false);
            optimize(&mut graph).unwrap();
            let [node] = graph.nodes() else { panic!("{} nodes", graph.nodes().len()) };
            assert!(node.op::<ScaledIntegerProduct>().is_some(), "{}", node.describe());
        }
        // A scale for each row, and sums that somebody reads, stay apart.
        for (scales, keeps_sums) in [(&[2, 1][..], false), (&[], true)] {
            let mut graph = graph(scales, keeps_sums);
            optimize(&mut graph).unwrap();
            assert!(graph.nodes().iter().all(|node| node.op::<ScaledIntegerProduct>().is_none()), "{scales:?}");
        }
    }
}

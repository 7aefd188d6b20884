//! Fuses what turns the sums of products of bytes into numbers.

use crate::{
    error::Result,
    ops::{
        pointwise::BinaryFunction,
        quantized::{matmul::QuantizedMatMul, scaled::ScaledIntegerProduct},
    },
    rewrite::rewriter::Rewriter,
};

/// The operand of `ScaledIntegerProduct` that holds the scales.
const SCALE: usize = 4;

/// Turns sums that are converted to f32 and multiplied with scales into one operator.
pub(super) fn scaled_product(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (sums, scale) in rewriter.both_orders(index, BinaryFunction::Mul) {
        let Some(product) = rewriter.below_cast_to_f32(sums).filter(|&id| rewriter.used_once(id)) else { continue };
        let Some((QuantizedMatMul { scaled: false }, inputs)) = rewriter.made_by(product) else { continue };
        if !rewriter.used_once(sums) {
            continue;
        }
        let mut inputs = inputs.to_vec();
        inputs.resize(SCALE, None);
        inputs.push(Some(scale));
        return rewriter.replace(index, ScaledIntegerProduct::default(), inputs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        backend::{cpu::CpuSession, device::RunOutputs},
        graph::Graph,
        kernels::{KernelSet, gemm::Factors},
        ops::{
            norm::layer_norm::LayerNorm,
            pointwise::{Binary, Unary, UnaryFunction, cast::Cast},
            quantized::dynamic::DynamicQuantize,
        },
        rewrite::optimize,
        shape::{Dim, Shape},
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

    /// Numbers quantized with a scale of their own, times `weights`, with all that a layer of a text encoder adds.
    fn layer(weights: Tensor, zero: Tensor) -> Graph {
        let mut graph = Graph::new("layer");
        let rows = Dim::symbol(graph.symbol("rows"));
        let x = graph.input("x", DType::F32, Shape::new(vec![rows, Dim::from(70)]));
        let numbers = |count: usize, by: f32| {
            let all: Vec<f32> = (0..count).map(|at| ((at * 37 % 101) as f32 / 50.0 - 1.0) * by).collect();
            Tensor::new([count], &all).unwrap()
        };
        let mut y = x;
        for (name, activation) in [("first", Some(UnaryFunction::Gelu)), ("second", None)] {
            let whole = graph.node(name, Arc::new(DynamicQuantize), vec![Some(y)]).unwrap();
            let (b, b_zero) = (graph.constant("b", weights.clone()), graph.constant("b zero", zero.clone()));
            let product = QuantizedMatMul { scaled: false };
            let sums = graph.apply(name, product, &[whole[0], b, whole[2], b_zero]).unwrap();
            let cast = graph.apply(name, Cast { to: DType::F32 }, &[sums]).unwrap();
            let own = graph.constant("scale", Tensor::scalar(0.02f32));
            let mul = Binary { function: BinaryFunction::Mul };
            let scale = graph.apply(name, mul, &[whole[1], own]).unwrap();
            let scaled = graph.apply(name, mul, &[cast, scale]).unwrap();
            let bias = graph.constant("bias", numbers(70, 0.3));
            let add = Binary { function: BinaryFunction::Add };
            let mut dressed = graph.apply(name, add, &[scaled, bias]).unwrap();
            if let Some(function) = activation {
                dressed = graph.apply(name, Unary { function }, &[dressed]).unwrap();
            }
            let residual = graph.apply(name, add, &[dressed, y]).unwrap();
            let (scale, bias) =
                (graph.constant("norm", numbers(70, 2.0)), graph.constant("norm bias", numbers(70, 0.1)));
            y = graph.apply(name, LayerNorm { axes: vec![1], epsilon: 1e-5 }, &[residual, scale, bias]).unwrap();
        }
        graph.output("y", y);
        graph
    }

    fn bits(graph: &Graph, set: KernelSet, x: &[f32]) -> Vec<u8> {
        let session = CpuSession::load(graph.clone(), set, Factors::F32).unwrap();
        let bind = |bindings: &mut crate::shape::Bindings| {
            bindings.bind(crate::shape::Symbol(0), x.len() / 70);
            Ok(())
        };
        let write = |_: usize, bytes: &mut [u8], _: &mut crate::tensor::RunStrings| {
            bytes.copy_from_slice(bytemuck::cast_slice(x));
            Ok(())
        };
        session.run(bind, write, |outputs| Ok(outputs.get(0).1.to_vec())).unwrap()
    }

    #[test]
    fn a_fused_layer_has_the_bits_of_its_operators() {
        let bytes: Vec<u8> = (0..70 * 70).map(|at| (at * 97 % 256) as u8).collect();
        let signed: Vec<i8> = bytes.iter().map(|&x| x as i8).collect();
        let zeros: Vec<u8> = (0..70).map(|at| if at % 2 == 0 { 3 } else { 250 }).collect();
        let shape = [70, 70];
        let cases = [
            (Tensor::new(shape, &signed).unwrap(), Tensor::scalar(0i8)),
            (Tensor::new(shape, &signed).unwrap(), Tensor::scalar(-5i8)),
            (Tensor::new(shape, &bytes).unwrap(), Tensor::scalar(119u8)),
            (Tensor::new(shape, &bytes).unwrap(), Tensor::new([70], &zeros).unwrap()),
        ];
        for (weights, zero) in cases {
            let graph = layer(weights, zero);
            let mut fused = graph.clone();
            optimize(&mut fused).unwrap();
            let names: Vec<_> = fused.nodes().iter().map(|node| node.op.def().name).collect();
            let one = ["DynamicQuantizeLinear", "Mul", "ScaledIntegerProduct"];
            assert_eq!(names, [one, one].concat());
            for set in KernelSet::available() {
                for rows in [1, 5, 33] {
                    let x: Vec<f32> = (0..rows * 70).map(|at| ((at * 53 % 211) as f32 / 70.0 - 1.2).powi(3)).collect();
                    assert_eq!(bits(&graph, set, &x), bits(&fused, set, &x), "{rows} rows, {set}");
                }
            }
        }
    }
}

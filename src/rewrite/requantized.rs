//! Numbers that are quantized and dequantized at once, without bytes between.

use crate::{
    error::Result,
    graph::ValueId,
    ops::{
        pointwise::{Unary, UnaryFunction},
        quantized::{dequantize::Dequantize, quantize::Quantize},
    },
    rewrite::rewriter::Rewriter,
    tensor::DType,
};

/// Turns a `DequantizeLinear` of a `QuantizeLinear` with the same constants into one function of numbers.
pub(super) fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((&Dequantize { block: 0, to: DType::F32, .. }, back)) = rewriter.is::<Dequantize>(index) else {
        return Ok(());
    };
    // Bytes that others read are made anyway.
    let Some(bytes) = back[0].filter(|&bytes| rewriter.used_once(bytes)) else { return Ok(()) };
    let Some((&Quantize { block: 0, to, .. }, there)) = rewriter.made_by::<Quantize>(bytes) else { return Ok(()) };
    let (least, most) = match to {
        DType::U8 => (u8::MIN.into(), u8::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        _ => return Ok(()),
    };
    let constants = |inputs: &[Option<ValueId>]| {
        let zero = match inputs.get(2).copied().flatten() {
            Some(id) => match rewriter.constant(id)?.to_i64().ok()?[..] {
                [zero] => zero,
                _ => return None,
            },
            None => 0,
        };
        Some((rewriter.scalar(inputs[1]?)?, zero as f32))
    };
    let (Some(x), Some(own)) = (there[0], constants(there)) else { return Ok(()) };
    let (scale, zero) = own;
    let moderate = (2e-18..1e18).contains(&scale);
    if Some(own) != constants(back) || !moderate || rewriter.fact(x).dtype != DType::F32 {
        return Ok(());
    }
    let function = UnaryFunction::Requantized { scale, zero, least, most };
    rewriter.replace(index, Unary { function }, vec![Some(x)])
}

#[cfg(test)]
mod tests {
    use crate::{
        backend::{
            Session,
            options::{Device, SessionOptions},
        },
        graph::Graph,
        ops::{
            pointwise::Unary,
            quantized::{dequantize::Dequantize, quantize::Quantize},
        },
        shape::{Dim, Shape},
        tensor::{DType, Tensor, Tensors},
    };

    fn graph(scale: f32, back: f32, zero: Tensor) -> Graph {
        let mut graph = Graph::new("through bytes");
        let rows = Dim::symbol(graph.symbol("rows"));
        let x = graph.input("x", DType::F32, Shape::new(vec![rows]));
        let to = zero.dtype();
        let scales = [scale, back].map(|scale| graph.constant("scale", Tensor::scalar(scale)));
        let zero = graph.constant("zero", zero);
        let quantize = Quantize { axis: 0, block: 0, to, saturate: true };
        let bytes = graph.apply("there", quantize, &[x, scales[0], zero]).unwrap();
        let dequantize = Dequantize { axis: 0, block: 0, to: DType::F32 };
        let y = graph.apply("back", dequantize, &[bytes, scales[1], zero]).unwrap();
        graph.output("y", y);
        graph
    }

    #[test]
    fn numbers_through_bytes_keep_their_bits() {
        let mut x = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, 1e-42];
        x.extend((-3_000..3_000).map(|half| half as f32 * 0.05));
        x.extend((0..3_000).map(|at| (at * 7919 % 2003) as f32 / 20.0 - 50.0));
        let inputs = Tensors::from([("x", Tensor::new([x.len()], &x).unwrap())]);
        for (back, zero) in [(0.1, Tensor::scalar(13u8)), (0.1, Tensor::scalar(-7i8)), (0.2, Tensor::scalar(13u8))] {
            let options = SessionOptions::on(Device::Cpu);
            let run = |options: &SessionOptions| {
                let session = Session::load(graph(0.1, back, zero.clone()), options).unwrap();
                let fused = session.graph().nodes().iter().any(|node| node.op::<Unary>().is_some());
                (fused, session.run(&inputs).unwrap().get("y").unwrap().clone())
            };
            let (fused, y) = run(&options);
            assert_eq!(fused, back == 0.1);
            let (fused, apart) = run(&options.keep_graph());
            assert!(!fused && y.bytes() == apart.bytes(), "{zero:?}");
        }
    }
}

//! Chains of convolutions whose intermediate results stay in the cache.

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    ops::{
        conv::{
            Conv,
            chain::{ConvChain, SUMMAND, WEIGHTS},
        },
        pointwise::BinaryFunction,
    },
    rewrite::rewriter::{self, Rewriter},
    tensor::DType,
};

/// Joins each depthwise convolution with the convolutions of one tap around it, and with a sum behind them. For the CPU,
/// after its convolutions have their channels last.
///
/// # Errors
/// When the pass leaves an inconsistent graph.
pub(super) fn run(graph: &mut Graph) -> Result<()> {
    if !graph.nodes().iter().any(|node| node.op::<Conv>().is_some_and(|conv| conv.groups > 1)) {
        return Ok(());
    }
    rewriter::apply(graph, &[before, behind, sum])?;
    graph.verify()
}

/// The operands of a convolution of f32 with constant weights, and those weights' dimensions.
fn of_constants(rewriter: &Rewriter<'_>, inputs: &[Option<ValueId>]) -> Option<([Option<ValueId>; 3], Vec<usize>)> {
    let (&[x, weights], bias) = inputs.split_first_chunk::<2>()?;
    let shape = rewriter.constant(weights?)?.shape().to_vec();
    let is_f32 = rewriter.fact(x?).dtype == DType::F32 && !shape.contains(&0);
    is_f32.then(|| ([x, weights, bias.first().copied().flatten()], shape))
}

/// A convolution of one tap that makes a value with a single use.
fn single_tap(rewriter: &Rewriter<'_>, value: ValueId) -> Option<(Conv, [Option<ValueId>; 3])> {
    let (conv, inputs) = rewriter.made_by::<Conv>(value)?;
    let fits = ConvChain::is_single_tap(conv) && rewriter.used_once(value);
    fits.then(|| Some((conv.clone(), of_constants(rewriter, inputs)?.0)))?
}

/// Joins the depthwise convolution `index` with the one before it.
fn before(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((depthwise, [x, weights, bias])) = depthwise(rewriter, index) else { return Ok(()) };
    let Some((before, own)) = x.and_then(|x| single_tap(rewriter, x)) else { return Ok(()) };
    let [x, own_weights, own_bias] = own;
    let chain = ConvChain { before: Some(before), depthwise, behind: None };
    rewriter.replace(index, chain, vec![x, own_weights, own_bias, weights, bias])
}

/// The depthwise convolution of node `index`.
fn depthwise(rewriter: &Rewriter<'_>, index: usize) -> Option<(Conv, [Option<ValueId>; 3])> {
    let (conv, inputs) = rewriter.is::<Conv>(index)?;
    let (inputs, shape) = of_constants(rewriter, inputs)?;
    ConvChain::is_depthwise(conv, &shape).then(|| (conv.clone(), inputs))
}

/// Joins a depthwise convolution, or a chain that ends with it, with the convolution `index` behind it.
fn behind(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let Some((conv, inputs)) = rewriter.is::<Conv>(index) else { return Ok(()) };
    let fits = ConvChain::is_single_tap(conv) && rewriter.fact(output).dtype == DType::F32;
    let Some(([Some(x), weights, bias], _)) = of_constants(rewriter, inputs).filter(|_| fits) else { return Ok(()) };
    let behind = Some(conv.clone());
    if !rewriter.used_once(x) {
        return Ok(());
    }
    let (chain, mut inputs) = match rewriter.made_by::<ConvChain>(x) {
        Some((chain, inputs)) if chain.behind.is_none() => (ConvChain { behind, ..chain.clone() }, inputs.to_vec()),
        _ => {
            let Some(producer) = rewriter.producer(x) else { return Ok(()) };
            let Some((depthwise, [x, weights, bias])) = depthwise(rewriter, producer) else { return Ok(()) };
            (ConvChain { before: None, depthwise, behind }, vec![x, None, None, weights, bias])
        }
    };
    inputs.resize(WEIGHTS[2], None);
    inputs.extend([weights, bias]);
    rewriter.replace(index, chain, inputs)
}

/// Takes up the sum `index` of a chain's result and a value like it.
fn sum(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    for (value, summand) in rewriter.both_orders(index, BinaryFunction::Add) {
        let Some((chain, inputs)) = rewriter.made_by::<ConvChain>(value) else { continue };
        let (own, other) = (rewriter.fact(value), rewriter.fact(summand));
        let alike = own.shape == other.shape && other.dtype == DType::F32;
        if !alike || inputs.len() > SUMMAND || chain.behind.is_none() || !rewriter.used_once(value) {
            continue;
        }
        let (chain, mut inputs) = (chain.clone(), inputs.to_vec());
        inputs.resize(SUMMAND, None);
        inputs.push(Some(summand));
        return rewriter.replace(index, chain, inputs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::{conv::Layout, pointwise::Binary, pool::window::Pads},
        shape::{Dim, Shape},
        tensor::Tensor,
    };

    /// The operators of an inverted residual; `read_twice` makes a further use of what is between two convolutions.
    fn residual(read_twice: bool) -> Vec<&'static str> {
        let mut graph = Graph::new("residual");
        let batch = Dim::symbol(graph.symbol("batch"));
        let sizes = [8, 9, 4].map(Dim::from);
        let x = graph.input("x", DType::F32, Shape::new(std::iter::once(batch).chain(sizes).collect::<Vec<_>>()));
        let mut constant = |shape: [usize; 4]| {
            let count = shape.iter().product();
            graph.constant("weights", Tensor::new(shape, &vec![0.5_f32; count]).unwrap())
        };
        let (widening, taps, narrowing) = (constant([6, 4, 1, 1]), constant([6, 1, 3, 3]), constant([4, 6, 1, 1]));
        let last = |kernel: [usize; 2]| Conv { layout: Layout::ChannelsLast, ..Conv::new(kernel.to_vec()) };
        let depthwise = Conv { groups: 6, pads: Pads::Explicit(vec![(1, 1); 2]), ..last([3, 3]) };
        let wide = graph.apply("wide", last([1, 1]), &[x, widening]).unwrap();
        let inner = graph.apply("inner", depthwise, &[wide, taps]).unwrap();
        let narrow = graph.apply("narrow", last([1, 1]), &[inner, narrowing]).unwrap();
        let y = graph.apply("y", Binary { function: BinaryFunction::Add }, &[x, narrow]).unwrap();
        graph.output("y", y);
        if read_twice {
            graph.output("inner", inner);
        }
        run(&mut graph).unwrap();
        graph.nodes().iter().map(|node| node.op.def().name).collect()
    }

    #[test]
    fn an_inverted_residual_is_one_chain() {
        assert_eq!(residual(false), ["ConvChain"]);
    }

    #[test]
    fn a_value_that_others_read_is_kept() {
        assert_eq!(residual(true), ["ConvChain", "Conv", "Add"]);
    }
}

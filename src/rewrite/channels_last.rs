//! Convolutions over `[batch, spatial..., channels]`, and what lies between them.
//!
//! Windows of such data are read in place, so nothing is turned around between one convolution and
//! the next. A result that is wanted channels first is a transposition of the channels-last one:
//! its twin. Each rule here reads twins, makes a twin, and leaves the transposition to whoever
//! still needs it.

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    ops::{
        conv::{Conv, Layout},
        image::resize::{Coordinates, Resize},
        moves::{concat::Concat, reshape::Reshape, transpose::Transpose},
        pointwise::{Binary, PointwiseChain, Unary},
        pool::{GlobalPool, Pool, PoolFunction, channels_last::ChannelsLastPool},
        reduce::{Reduce, ReduceFunction},
    },
    rewrite::{
        SIMPLIFY, dead, fold,
        rewriter::{self, Rewriter},
    },
    shape::{Dim, Shape},
    tensor::DType,
};

/// Makes convolutions channels-last. For the CPU, whose kernels read that layout fastest.
///
/// # Errors
/// When a pass leaves an inconsistent graph.
pub(super) fn run(graph: &mut Graph) -> Result<()> {
    if !graph.nodes().iter().any(|node| node.op::<Conv>().is_some()) {
        return Ok(());
    }
    rewriter::apply(graph, &[rule])?;
    rewriter::apply(graph, SIMPLIFY)?;
    fold::run(graph)?;
    dead::run(graph);
    graph.verify()
}

/// Gives the result of node `index` a twin, if it is a convolution or reads one.
fn rule(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let [output] = rewriter.node(index).outputs[..] else { return Ok(()) };
    let rank = rewriter.fact(output).shape.rank();
    let inputs = rewriter.node(index).inputs.clone();
    let Some(first) = inputs.first().copied().flatten() else { return Ok(()) };
    if let Some((conv, _)) = rewriter.is::<Conv>(index) {
        let conv = conv.clone();
        // A maximum over all positions is taken from blocks of any layout.
        if conv.layout == Layout::ChannelsLast || conv.global_max || rewriter.fact(first).dtype != DType::F32 {
            return Ok(());
        }
        let x = match twin(rewriter, first) {
            Some(twin) => twin,
            None => rewriter.insert(index, to_back(rank), vec![Some(first)])?,
        };
        return convolution(rewriter, index, conv, inputs, x);
    }
    let twins: Vec<_> = inputs.iter().map(|id| id.and_then(|id| twin(rewriter, id))).collect();
    if twins.iter().all(Option::is_none) {
        return Ok(());
    }
    let pointwise = rewriter.is::<Unary>(index).is_some()
        || rewriter.is::<Binary>(index).is_some()
        || rewriter.is::<PointwiseChain>(index).is_some();
    let value = if pointwise {
        let Some(operands) = operands(rewriter, index, &inputs, rank)? else { return Ok(()) };
        rewriter.insert_like(index, operands)?
    } else if let Some((pool, _)) = rewriter.is::<Pool>(index) {
        if matches!(pool.function, PoolFunction::Lp(_)) {
            return Ok(());
        }
        let pool = ChannelsLastPool(pool.clone());
        rewriter.insert(index, pool, vec![twins[0]])?
    } else if let Some((&GlobalPool { function }, _)) = rewriter.is::<GlobalPool>(index) {
        let function = match function {
            PoolFunction::Max => ReduceFunction::Max,
            PoolFunction::Average { .. } => ReduceFunction::Mean,
            PoolFunction::Lp(_) => return Ok(()),
        };
        let axes = Some((1..rank as i64 - 1).collect());
        rewriter.insert(index, Reduce { function, axes, keep_dims: true }, vec![twins[0]])?
    } else if let Some((reduce, _)) = rewriter.is::<Reduce>(index) {
        let reduce = reduce.clone();
        let own = rewriter.fact(first).shape.rank();
        let reduced = reduce.reduced(own)?;
        let axes = (0..own).filter(|&axis| reduced[axis]).map(|axis| behind(axis, own) as i64).collect();
        let twin = Reduce { axes: Some(axes), ..reduce.clone() };
        if !reduce.keep_dims {
            // Without the channels, or without all positions, the order of the rest is the same.
            let same = reduced[1] || reduced[2..].iter().all(|&reduced| reduced);
            return if same { rewriter.replace(index, twin, vec![twins[0]]) } else { Ok(()) };
        }
        rewriter.insert(index, twin, vec![twins[0]])?
    } else if let Some((concat, _)) = rewriter.is::<Concat>(index) {
        let axis = behind(rewriter.fact(output).shape.axis(concat.axis)?, rank) as i64;
        let Some(operands) = operands(rewriter, index, &inputs, rank)? else { return Ok(()) };
        rewriter.insert(index, Concat { axis }, operands)?
    } else if let Some((resize, _)) = rewriter.is::<Resize>(index) {
        if matches!(resize.coordinates, Coordinates::Crop) || resize.changes.len() != rank {
            return Ok(());
        }
        let changes = order_behind(rank).into_iter().map(|axis| resize.changes[axis].clone()).collect();
        let resize = Resize { changes, ..resize.clone() };
        rewriter.insert(index, resize, vec![twins[0]])?
    } else {
        return Ok(());
    };
    rewriter.replace(index, to_front(rank), vec![Some(value)])
}

/// Reads a channels-last input directly instead of its transposition.
pub(super) fn direct(rewriter: &mut Rewriter<'_>, index: usize) -> Result<()> {
    let Some((conv, inputs)) = rewriter.is::<Conv>(index) else { return Ok(()) };
    let is_f32 = |id: &ValueId| rewriter.fact(*id).dtype == DType::F32;
    let Some(x) = inputs[0].filter(is_f32).and_then(|id| twin(rewriter, id)) else { return Ok(()) };
    let (conv, inputs) = (conv.clone(), inputs.to_vec());
    if conv.layout == Layout::ChannelsLast { Ok(()) } else { convolution(rewriter, index, conv, inputs, x) }
}

/// Lets a convolution read the channels-last `x`.
fn convolution(
    rewriter: &mut Rewriter<'_>,
    index: usize,
    conv: Conv,
    mut inputs: Vec<Option<ValueId>>,
    x: ValueId,
) -> Result<()> {
    let output = rewriter.fact(rewriter.node(index).outputs[0]).shape.clone();
    let (rank, global_max) = (output.rank(), conv.global_max);
    inputs[0] = Some(x);
    let value = rewriter.insert(index, Conv { layout: Layout::ChannelsLast, ..conv }, inputs)?;
    if global_max {
        return rewriter.replace(index, Reshape::to(&output), vec![Some(value)]);
    }
    rewriter.replace(index, to_front(rank), vec![Some(value)])
}

/// The operands of a node that treats all its axes alike, channels last.
fn operands(
    rewriter: &mut Rewriter<'_>,
    index: usize,
    inputs: &[Option<ValueId>],
    rank: usize,
) -> Result<Option<Vec<Option<ValueId>>>> {
    let fits = |id: &Option<ValueId>| {
        id.is_some_and(|id| {
            let own = rewriter.fact(id).shape.rank();
            own == rank || own < rank && (rewriter.constant(id).is_some() || own == 0)
        })
    };
    if !inputs.iter().all(fits) {
        return Ok(None);
    }
    let mut operands = Vec::with_capacity(inputs.len());
    for &id in inputs {
        let Some(id) = id else { continue };
        let shape = rewriter.fact(id).shape.clone();
        let operand = match twin(rewriter, id) {
            Some(twin) => twin,
            None if shape.dims().iter().all(|dim| *dim == Dim::from(1)) => id,
            None => {
                let ones = std::iter::repeat_n(Dim::from(1), rank - shape.rank());
                let full: Shape = ones.chain(shape.dims().iter().cloned()).collect();
                let full = rewriter.insert(index, Reshape::to(&full), vec![Some(id)])?;
                rewriter.insert(index, to_back(rank), vec![Some(full)])?
            }
        };
        operands.push(Some(operand));
    }
    Ok(Some(operands))
}

/// The channels-last value of which `id` is the transposition.
fn twin(rewriter: &Rewriter<'_>, id: ValueId) -> Option<ValueId> {
    let (transpose, &[Some(below)]) = rewriter.made_by::<Transpose>(id)? else { return None };
    let rank = rewriter.fact(below).shape.rank();
    (rank > 2 && transpose.perm == to_front(rank).perm).then_some(below)
}

/// The channels from the last axis to the second.
fn to_front(rank: usize) -> Transpose {
    Transpose { perm: Some([0, rank - 1].into_iter().chain(1..rank - 1).collect()) }
}

/// The channels from the second axis to the last.
fn to_back(rank: usize) -> Transpose {
    Transpose { perm: Some(order_behind(rank)) }
}

/// The axes in channels-last order.
fn order_behind(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// Where an axis is in channels-last order.
fn behind(axis: usize, rank: usize) -> usize {
    match axis {
        0 => 0,
        1 => rank - 1,
        _ => axis - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{
            Session,
            options::{Device, SessionOptions},
        },
        kernels::Activation,
        ops::{
            pointwise::{BinaryFunction, UnaryFunction},
            pool::window::Pads,
        },
        tensor::{Tensor, Tensors},
    };

    fn numbers(shape: &[usize], seed: usize) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect();
        Tensor::new(shape.to_vec(), &values).unwrap()
    }

    /// Convolutions with all that may lie between them.
    fn network() -> Graph {
        let mut graph = Graph::new("network");
        let n = graph.symbol("n");
        let height = graph.symbol("height");
        let dims = vec![Dim::symbol(n), Dim::from(3), Dim::symbol(height), Dim::from(11)];
        let x = graph.input("x", DType::F32, Shape::new(dims));
        let padded = |kernel: usize| Conv {
            pads: Pads::Explicit(vec![(kernel / 2, kernel / 2); 2]),
            ..Conv::new(vec![kernel; 2])
        };
        let w = graph.constant("w", numbers(&[20, 3, 3, 3], 1));
        let first = graph.apply("first", Conv { activation: Activation::Relu, ..padded(3) }, &[x, w]).unwrap();
        let pool = Pool { strides: vec![2, 2], ..Pool::new(PoolFunction::Max, vec![2, 2]) };
        let pooled = graph.apply("pooled", pool, &[first]).unwrap();
        let w = graph.constant("depthwise", numbers(&[20, 1, 3, 3], 2));
        let depthwise = graph.apply("depthwise", Conv { groups: 20, ..padded(3) }, &[pooled, w]).unwrap();
        let mean = GlobalPool { function: PoolFunction::Average { count_include_pad: false } };
        let squeezed = graph.apply("squeezed", mean, &[depthwise]).unwrap();
        let w = graph.constant("excite", numbers(&[20, 20, 1, 1], 3));
        let excited = graph.apply("excited", Conv::new(vec![1, 1]), &[squeezed, w]).unwrap();
        let gate = graph.apply("gate", Unary { function: UnaryFunction::Sigmoid }, &[excited]).unwrap();
        let gated = graph.apply("gated", Binary { function: BinaryFunction::Mul }, &[depthwise, gate]).unwrap();
        let row = graph.constant("row", numbers(&[20, 1, 1], 4));
        let moved = graph.apply("moved", Binary { function: BinaryFunction::Add }, &[gated, row]).unwrap();
        let added = graph.apply("added", Binary { function: BinaryFunction::Add }, &[moved, pooled]).unwrap();
        let joined = graph.apply("joined", Concat { axis: 1 }, &[added, pooled]).unwrap();
        let w = graph.constant("last", numbers(&[5, 40, 3, 3], 5));
        let last = graph.apply("last", padded(3), &[joined, w]).unwrap();
        graph.output("y", last);
        let reduce = Reduce { function: ReduceFunction::Max, axes: Some(vec![2, -1]), keep_dims: false };
        let most = graph.apply("most", reduce, &[joined]).unwrap();
        graph.output("most", most);
        graph
    }

    fn kinds(graph: &Graph) -> Vec<&'static str> {
        graph.nodes().iter().map(|node| node.op.def().name).collect()
    }

    #[test]
    fn nothing_is_turned_between_convolutions() {
        let mut graph = network();
        run(&mut graph).unwrap();
        let conv = |node: &crate::graph::Node| node.op::<Conv>().map(|conv| conv.layout);
        assert!(graph.nodes().iter().filter_map(conv).all(|layout| layout == Layout::ChannelsLast));
        let turned = kinds(&graph).into_iter().filter(|name| *name == "Transpose").count();
        assert_eq!(turned, 2, "the model's operand and its result alone: {:?}", kinds(&graph));
    }

    #[test]
    fn the_results_are_those_of_the_layout_of_the_file() {
        let run = |graph: Graph, count: usize| {
            let session = Session::load(graph, &SessionOptions::on(Device::Cpu)).unwrap();
            let x = numbers(&[count, 3, 9, 11], 9);
            let y = session.run(&Tensors::from([("x", x)])).unwrap();
            ["y", "most"].map(|name| y.get(name).unwrap().as_slice::<f32>().unwrap().to_vec())
        };
        // Where every value is an output too, each is turned back.
        let mut plain = network();
        let ids: Vec<_> = plain.nodes().iter().map(|node| node.outputs[0]).collect();
        for (index, id) in ids.into_iter().enumerate() {
            plain.output(format!("value {index}"), id);
        }
        let [found, wanted] = [run(network(), 3), run(plain, 3)];
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {wanted:?}");
        }
        let [alone, _] = run(network(), 1);
        assert_eq!(alone, found[0][..alone.len()]);
    }
}

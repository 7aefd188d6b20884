//! A row's, item's or sequence's result is the same bits whatever else is in the batch, in every form.

use gristmill::{
    DType, Device, Inference, KernelSet, Session, SessionOptions, Tensor, Tensors,
    bulk::Bulk,
    testing::{
        graph::Graph,
        kernels::Activation,
        op::Operator,
        ops::{
            conv::{Conv, Layout, chain::ConvChain, transposed::ConvTranspose},
            image::resize::{Change, Mode, Resize},
            moves::segment_windows::SegmentWindows,
            pool::{
                GlobalPool, Pool, PoolFunction,
                segment_pool::{SegmentPool, SegmentPoolMode},
                window::Pads,
            },
            product::{
                attention::{Attention, PackedAttention},
                gemm::Gemm,
                linear::{Linear, LinearInPlace},
                matmul::MatMul,
            },
            recurrent::{Cell, Recurrent},
        },
        shape::{Dim, Shape},
    },
};
use std::sync::Arc;

use crate::support::forms::forms;

/// Numbers from -2 to 2 that depend on `seed` and their position.
fn numbers(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 22) as f32 - 2.0
        })
        .collect();
    Tensor::new(shape, &values).unwrap()
}

/// Rows `from..to` of a tensor.
fn rows(tensor: &Tensor, from: usize, to: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let row = tensor.bytes().len() / shape[0];
    shape[0] = to - from;
    Tensor::from_bytes(tensor.dtype(), shape, &tensor.bytes()[from * row..to * row]).unwrap()
}

/// An operand: given with each run and cut along the first axis, or a constant.
#[derive(Clone)]
enum Operand {
    Batched(Tensor),
    Constant(Tensor),
    Absent,
}
use Operand::{Absent, Batched, Constant};

/// A model of one operator whose batched operands may have any first dimension.
fn load(op: impl Operator, operands: &[Operand], options: &SessionOptions) -> Session {
    let mut graph = Graph::new("one operator");
    let inputs = operands
        .iter()
        .enumerate()
        .map(|(index, operand)| match operand {
            Batched(tensor) => {
                let name = if tensor.dtype() == DType::F32 { "rows" } else { "offsets" };
                let symbol = Dim::symbol(graph.symbol(name));
                let rest = tensor.shape()[1..].iter().map(|&dim| Dim::from(dim));
                let shape: Shape = std::iter::once(symbol).chain(rest).collect();
                Some(graph.input(format!("x{index}"), tensor.dtype(), shape))
            }
            Constant(tensor) => Some(graph.constant(format!("c{index}"), tensor.clone())),
            Absent => None,
        })
        .collect();
    let outputs = graph.node("node", Arc::new(op), inputs).unwrap();
    graph.output("y", outputs[0]);
    Session::load(graph, options).unwrap()
}

fn run(session: &Session, operands: &[Operand], cut: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let mut inputs = Tensors::new();
    for (index, operand) in operands.iter().enumerate() {
        if let Batched(tensor) = operand {
            inputs.insert(format!("x{index}"), cut(tensor));
        }
    }
    session.run(&inputs).unwrap().get("y").unwrap().clone()
}

/// Runs all rows at once and parts of them on their own.
fn check(name: &str, op: impl Operator + Clone, operands: &[Operand]) {
    let count = operands
        .iter()
        .find_map(|operand| match operand {
            Batched(tensor) => Some(tensor.shape()[0]),
            _ => None,
        })
        .unwrap();
    for form in forms() {
        let session = load(op.clone(), operands, &form);
        let set = session.describe();
        let set = format!("{} in {}", set.kernel_set, set.precision);
        let whole = run(&session, operands, Tensor::clone);
        assert!(whole.as_slice::<f32>().unwrap().iter().any(|&value| value != 0.0), "{name}: nothing was computed");
        for len in [1, 2, 5, 13, 14, 15, count - 1] {
            for from in (0..count).step_by(len).filter(|from| from + len <= count) {
                let part = run(&session, operands, |tensor| rows(tensor, from, from + len));
                let expected = rows(&whole, from, from + len);
                assert_eq!(part.shape(), expected.shape(), "{name} on {set}");
                let same = part.bytes() == expected.bytes();
                assert!(same, "{name} on {set}: rows {from}..{} differ when run alone", from + len);
            }
        }
    }
}

#[test]
fn items_of_recurrent_layers_stand_alone() {
    let cells = [
        Cell::Lstm { coupled: false },
        Cell::Lstm { coupled: true },
        Cell::Gru { linear_before_reset: false },
        Cell::Gru { linear_before_reset: true },
        Cell::Rnn,
    ];
    // Fewer items than there are rows in two tiles, and more than go through the steps at a time.
    for (cell, items) in cells.into_iter().flat_map(|cell| [(cell, 17), (cell, 103)]) {
        let (gates, size) = (cell.gates(), 33);
        let op = Recurrent { batch_first: true, ..Recurrent::new(cell) };
        let weights = |columns: usize, seed| Constant(numbers(&[1, gates * size, columns], seed));
        let x = Batched(numbers(&[items, 5, 9], 1));
        check(&format!("{cell:?}"), op, &[x, weights(9, 2), weights(size, 3), weights_of_bias(2 * gates * size)]);
    }
}

fn weights_of_bias(len: usize) -> Operand {
    Constant(numbers(&[1, len], 4))
}

#[test]
fn items_of_larger_grids_stand_alone() {
    let op = ConvTranspose { strides: vec![2, 2], ..ConvTranspose::new(vec![3, 3]) };
    check("ConvTranspose", op, &[Batched(numbers(&[17, 5, 6, 7], 1)), Constant(numbers(&[5, 4, 3, 3], 2))]);
    let changes = vec![Change::Keep, Change::Keep, Change::Scale(2.0), Change::Size(Dim::from(5))];
    check("Resize", Resize::new(Mode::Linear, changes), &[Batched(numbers(&[17, 2, 6, 7], 1))]);
}

#[test]
fn rows_of_products_stand_alone() {
    let full = Linear { activation: Activation::Gelu, layer_norm: Some(1e-5), ..Linear::default() };
    for (k, n) in [(384, 1536), (1537, 70), (7, 3), (5000, 33)] {
        let x = || Batched(numbers(&[37, k], 1));
        let w = || Constant(numbers(&[k, n], 2));
        let line = |seed| Constant(numbers(&[n], seed));
        check("Linear", Linear::default(), &[x(), w()]);
        check("Linear with all", full.clone(), &[x(), w(), line(3), Batched(numbers(&[37, n], 4)), line(5), line(6)]);
        check("Linear with a norm", full.clone(), &[x(), w(), Absent, Absent, line(5)]);
        check(
            "LinearInPlace",
            LinearInPlace(full.clone()),
            &[x(), Constant(numbers(&[n, k], 2)), Absent, Absent, line(5)],
        );
        check("MatMul", MatMul {}, &[Batched(numbers(&[37, 3, k], 1)), w()]);
        let gemm = Gemm { alpha: 0.7, beta: 1.3, trans_a: false, trans_b: false };
        check("Gemm", gemm, &[x(), w(), line(3)]);
    }
    check("run-time MatMul", MatMul {}, &[Batched(numbers(&[17, 5, 65], 1)), Batched(numbers(&[17, 65, 40], 2))]);
}

#[test]
fn items_of_convolutions_and_pools_stand_alone() {
    let pads = Pads::Explicit(vec![(1, 1), (1, 1)]);
    let conv = |kernel: &[usize]| Conv { activation: Activation::Gelu, ..Conv::new(kernel.to_vec()) };
    let weights = |shape: &[usize]| Constant(numbers(shape, 2));
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for global_max in [false, true] {
            let shape = |channels: usize, spatial: &[usize]| {
                let mut shape = vec![17];
                shape.extend_from_slice(spatial);
                shape.insert(if layout == Layout::ChannelsFirst { 1 } else { shape.len() }, channels);
                Batched(numbers(&shape, 1))
            };
            let given = |conv: Conv| Conv { layout, global_max, ..conv };
            check("line", given(conv(&[5])), &[shape(24, &[45]), weights(&[40, 24, 5]), Constant(numbers(&[40], 3))]);
            check("one tap", given(conv(&[1, 1])), &[shape(24, &[5, 7]), weights(&[40, 24, 1, 1])]);
            let padded = Conv { pads: pads.clone(), ..conv(&[3, 3]) };
            check("gathered", given(padded.clone()), &[shape(40, &[6, 5]), weights(&[48, 40, 3, 3])]);
            check("copied", given(padded.clone()), &[shape(18, &[6, 5]), weights(&[7, 18, 3, 3])]);
            let groups = Conv { groups: 2, ..padded.clone() };
            check("large groups", given(groups), &[shape(32, &[6, 5]), weights(&[12, 16, 3, 3])]);
            let groups = Conv { groups: 4, ..padded.clone() };
            check("groups", given(groups), &[shape(8, &[6, 5]), weights(&[12, 2, 3, 3])]);
            let depthwise = Conv { groups: 24, ..padded };
            check("depthwise", given(depthwise), &[shape(24, &[6, 5]), weights(&[24, 1, 3, 3])]);
        }
    }
    for function in [PoolFunction::Max, PoolFunction::Average { count_include_pad: false }] {
        let pool = Pool { pads: pads.clone(), ..Pool::new(function, vec![3, 3]) };
        check("pool", pool, &[Batched(numbers(&[17, 3, 6, 5], 1))]);
        check("global pool", GlobalPool { function }, &[Batched(numbers(&[17, 3, 6, 5], 1))]);
    }
}

/// A convolution of 3 x 3 taps over large images, which goes by tiles.
fn tiled() -> Conv {
    let pads = Pads::Explicit(vec![(1, 1), (1, 1)]);
    Conv { pads, layout: Layout::ChannelsLast, activation: Activation::Relu, ..Conv::new(vec![3, 3]) }
}

#[test]
fn items_of_convolutions_by_tiles_stand_alone() {
    let mut x = numbers(&[17, 11, 18, 19], 1);
    let weights = || Constant(numbers(&[24, 19, 3, 3], 2));
    check("tiles", tiled(), &[Batched(x.clone()), weights(), Constant(numbers(&[24], 3))]);
    // What is not finite is computed in another way, and no other item is.
    let size = 11 * 18 * 19;
    let values = x.as_mut_slice::<f32>().unwrap();
    (values[3 * size + 5 * 19], values[8 * size + 100]) = (f32::INFINITY, f32::NEG_INFINITY);
    check("tiles of infinities", tiled(), &[Batched(x), weights()]);
}

/// A depthwise convolution between two of one tap, with their operands over images of `shape`.
fn chain(shape: [usize; 4]) -> (ConvChain, [Operand; 7]) {
    let last = |kernel: [usize; 2]| Conv { layout: Layout::ChannelsLast, ..Conv::new(kernel.to_vec()) };
    let before = Conv { activation: Activation::Relu, ..last([1, 1]) };
    let pads = Pads::Explicit(vec![(1, 1), (1, 1)]);
    let depthwise = Conv { groups: 96, pads, activation: Activation::HardSwish, ..last([3, 3]) };
    let constant = |shape: &[usize], seed| Constant(numbers(shape, seed));
    let operands = [
        Batched(numbers(&shape, 1)),
        constant(&[96, shape[3], 1, 1], 2),
        constant(&[96], 3),
        constant(&[96, 1, 3, 3], 4),
        constant(&[96], 5),
        constant(&[40, 96, 1, 1], 6),
        constant(&[40], 7),
    ];
    (ConvChain { before: Some(before), depthwise, behind: Some(last([1, 1])) }, operands)
}

#[test]
fn items_of_chains_stand_alone() {
    for (name, size) in [("wide", [9, 31]), ("narrow", [6, 5])] {
        let (op, operands) = chain([17, size[0], size[1], 24]);
        check(name, op, &operands);
    }
}

#[test]
fn a_chain_has_the_bits_of_its_convolutions() {
    for shape in [[3, 21, 40, 24], [2, 9, 11, 24]] {
        let (op, operands) = chain(shape);
        for form in forms() {
            let whole = run(&load(op.clone(), &operands, &form), &operands, Tensor::clone);
            let mut x = operands[0].clone();
            let stages = [op.before.clone(), Some(op.depthwise.clone()), op.behind.clone()];
            for (conv, own) in stages.into_iter().flatten().zip(operands[1..].chunks(2)) {
                let own = [std::slice::from_ref(&x), own].concat();
                x = Batched(run(&load(conv, &own, &form), &own, Tensor::clone));
            }
            let Batched(x) = x else { unreachable!() };
            assert!(x.bytes() == whole.bytes(), "{shape:?} in {form:?}");
        }
    }
}

/// One item on several workers.
fn check_split(op: impl Operator + Clone, operands: &[Operand]) {
    for form in forms() {
        let session = Arc::new(load(op.clone(), operands, &form));
        let Batched(x) = &operands[0] else { unreachable!() };
        let item = Tensors::from([("x0", x.clone())]);
        let run = |workers: usize| {
            let (results, _) = Bulk::new(session.clone()).workers(workers).run(std::slice::from_ref(&item));
            results.into_iter().next().unwrap().unwrap().get("y").unwrap().bytes().to_vec()
        };
        let alone = run(1);
        for workers in [2, 3, 5] {
            assert!(run(workers) == alone, "{form:?}: {workers} workers");
        }
    }
}

#[test]
fn a_large_image_is_split_over_workers_with_the_same_bits() {
    check_split(tiled(), &[Batched(numbers(&[1, 61, 83, 32], 1)), Constant(numbers(&[40, 32, 3, 3], 2))]);
    let (op, operands) = chain([1, 61, 83, 24]);
    check_split(op, &operands);
}

#[test]
fn items_of_attention_stand_alone() {
    let heads = |length, width, seed| Batched(numbers(&[16, 3, length, width], seed));
    let mask = Batched(numbers(&[16, 1, 1, 65], 4));
    check("attention", Attention { scale: 0.2 }, &[heads(15, 32, 1), heads(65, 32, 2), heads(65, 20, 3), mask]);
}

#[test]
fn sequences_of_packed_batches_stand_alone() {
    let lengths = [1usize, 5, 64, 17, 0, 128, 14, 3];
    let mut offsets = vec![0usize];
    offsets.extend(lengths.iter().scan(0, |end, len| {
        *end += len;
        Some(*end)
    }));
    let total = offsets[lengths.len()];
    let starts = |offsets: &[usize]| {
        let first = offsets[0];
        let starts: Vec<i32> = offsets.iter().map(|&offset| (offset - first) as i32).collect();
        Tensor::new([starts.len()], &starts).unwrap()
    };
    let attention: (&str, Arc<dyn Operator>, usize) = ("attention", Arc::new(PackedAttention::new(3, 0.25)), 3 * 96);
    let pools = [
        SegmentPoolMode::Mean,
        SegmentPoolMode::Cls,
        SegmentPoolMode::Max,
        SegmentPoolMode::MeanSqrtLength,
        SegmentPoolMode::WeightedMean,
        SegmentPoolMode::Last,
    ];
    let pools = pools.map(|mode| ("pool", Arc::new(SegmentPool { mode }) as Arc<dyn Operator>, 37));
    let windows: Arc<dyn Operator> = Arc::new(SegmentWindows { before: 2, after: 3 });
    for (name, op, width) in [attention, ("windows", windows, 37)].into_iter().chain(pools) {
        let x = numbers(&[total, width], 1);
        for set in KernelSet::available() {
            let mut graph = Graph::new(name);
            let (tokens, marks) = (Dim::symbol(graph.symbol("tokens")), Dim::symbol(graph.symbol("marks")));
            let rows_in = graph.input("x", DType::F32, Shape::new(vec![tokens, Dim::from(width)]));
            let offsets_in = graph.input("offsets", DType::I32, Shape::new(vec![marks]));
            let outputs = graph.node(name, op.clone(), vec![Some(rows_in), Some(offsets_in)]).unwrap();
            graph.output("y", outputs[0]);
            let session = Session::load(graph, &SessionOptions::on(Device::Cpu).kernel_set(set)).unwrap();
            let run = |from: usize, to: usize| {
                let x = rows(&x, offsets[from], offsets[to]);
                let inputs = Tensors::new().with("x", x).with("offsets", starts(&offsets[from..=to]));
                session.run(&inputs).unwrap().get("y").unwrap().clone()
            };
            let whole = run(0, lengths.len());
            let per_token = whole.shape()[0] == total;
            for count in 1..lengths.len() {
                for from in 0..=lengths.len() - count {
                    let part = run(from, from + count);
                    let range = if per_token { (offsets[from], offsets[from + count]) } else { (from, from + count) };
                    let same = part.bytes() == rows(&whole, range.0, range.1).bytes();
                    assert!(same, "{name} on {set}: sequences {from}..{} differ when run alone", from + count);
                }
            }
            for wrong in [vec![0, 7], vec![0, 9, 8, total as i32], vec![1, total as i32], vec![0, -1, total as i32]] {
                let wrong = Tensor::new([wrong.len()], &wrong).unwrap();
                let error = session.run(&Tensors::new().with("x", x.clone()).with("offsets", wrong)).unwrap_err();
                assert!(error.to_string().contains("offset"), "{error}");
            }
        }
    }
}

/// An item with more rows than stay in cache is several runs, on several workers where there are some.
#[test]
fn a_large_item_is_cut_into_runs_of_the_same_bits() {
    let count = 4099;
    let operands = [Batched(numbers(&[count, 96], 1)), Constant(numbers(&[96, 512], 2)), Constant(numbers(&[512], 3))];
    for set in KernelSet::available() {
        let linear = Linear { activation: Activation::Relu, ..Linear::default() };
        let session = Arc::new(load(linear, &operands, &SessionOptions::on(Device::Cpu).kernel_set(set)));
        let whole = run(&session, &operands, Tensor::clone);
        assert_eq!(whole.shape(), [count, 512]);
        // All rows at once would take four times as much.
        let scratch = session.describe().scratch_bytes_per_worker;
        assert!(scratch < (count * (96 + 512)) as u64, "{scratch} bytes of scratch");
        for (from, to) in [(0, 1), (1, 400), (1998, 2003), (4090, count)] {
            let part = run(&session, &operands, |tensor| rows(tensor, from, to));
            assert!(part.bytes() == rows(&whole, from, to).bytes(), "{set}: rows {from}..{to} differ when run alone");
        }
        let Batched(x) = &operands[0] else { unreachable!() };
        let item = Tensors::from([("x0", x.clone())]);
        for workers in [1, 2, 5] {
            let (results, _) = Bulk::new(session.clone()).workers(workers).run(std::slice::from_ref(&item));
            let result = results.into_iter().next().unwrap().unwrap();
            assert!(result.get("y").unwrap().bytes() == whole.bytes(), "{set}: {workers} workers");
        }
    }
}

//! Sessions on the device: what they compute, limits, steps on the host.

use std::sync::Arc;

use gristmill::{
    DType, Device, ErrorKind, GpuOptions, HostOperator, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::Graph,
        ops::{
            generate::{constant_of_shape::ConstantOfShape, range::Range},
            index::{
                gather::{Gather, OutOfRange},
                gather_elements::GatherElements,
                gather_nd::GatherNd,
            },
            moves::{
                pad::{Pad, PadMode},
                slice::{Part, Slice},
            },
            norm::softmax::Softmax,
            pointwise::{Binary, BinaryFunction, Unary, UnaryFunction, cast::Cast},
            pool::segment_pool::{SegmentPool, SegmentPoolMode},
            product::{attention::PackedAttention, gemm::Gemm, matmul::MatMul},
            reduce::{arg_reduce::ArgReduce, cum_sum::CumSum},
        },
        shape::{Dim, Shape},
    },
};
use libtest_mimic::Trial;

use crate::{Outcome, differ, is_software, on_adapter, options};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("sessions::more_than_65535_groups", many_groups),
        Trial::test("sessions::a_table_past_the_binding_limit_is_cut", cut_table),
        Trial::test("sessions::a_constant_past_the_binding_limit_is_an_error", large_constant),
        Trial::test("sessions::an_index_outside_names_its_node", outside),
        Trial::test("sessions::nothing_is_picked_from_empty_data", from_nothing),
        Trial::test("sessions::wide_integers_are_refused", wide),
        Trial::test("sessions::wide_constants_are_left_to_the_host", wide_constant),
        Trial::test("sessions::steps_on_the_host_are_told", on_host),
        Trial::test("sessions::two_runs_give_the_same_bits", twice),
        Trial::test("sessions::limits_of_functions", limits),
        Trial::test("sessions::products_of_few_rows_have_the_same_bits", few_rows),
        Trial::test("sessions::sizes_of_a_run_reach_the_shaders", sizes_of_a_run),
        Trial::test("sessions::long_loops_are_refused_where_they_would_end", long_loops),
        Trial::test("sessions::runs_are_profiled", profiled),
        Trial::test("sessions::loops_are_as_long_as_a_sequence", short_sequences),
    ]
}

pub fn of_one(dtype: DType, shape: &[Dim], make: impl FnOnce(&mut Graph, gristmill::testing::graph::ValueId)) -> Graph {
    let mut graph = Graph::new("one");
    let x = graph.input("x", dtype, Shape::new(shape.to_vec()));
    make(&mut graph, x);
    graph
}

pub fn unary(function: UnaryFunction, shape: &[usize]) -> Graph {
    let dims: Vec<Dim> = shape.iter().map(|&dim| Dim::from(dim)).collect();
    of_one(DType::F32, &dims, |graph, x| {
        let y = graph.apply("f", Unary { function }, &[x]).unwrap();
        graph.output("y", y);
    })
}

/// A session that keeps the adapter under test open, with these options.
pub fn holder(gpu: &GpuOptions) -> gristmill::Result<Session> {
    Session::load(unary(UnaryFunction::Relu, &[1]), &options(gpu.clone()))
}

pub fn numbers(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i % 1013) as f32 / 100.0 - 5.0).collect();
    Tensor::new(shape, &values).unwrap()
}

fn many_groups() -> Outcome {
    // Of 256 elements a group, and a group a row.
    let x = numbers(&[65_536 * 256 + 777]);
    let graph = unary(UnaryFunction::Relu, x.shape());
    let got = Session::load(graph, &options(on_adapter()))?.run(&Tensors::from([("x", x.clone())]))?;
    let got = got.get("y").unwrap().as_slice::<f32>()?;
    if let Some(at) = x.as_slice::<f32>()?.iter().zip(got).position(|(x, y)| x.max(0.0) != *y) {
        return Err(format!("element {at} is {}", got[at]).into());
    }
    let x = numbers(&[66_000, 3]);
    let graph = of_one(DType::F32, &[Dim::from(66_000), Dim::from(3)], |graph, x| {
        let y = graph.apply("softmax", Softmax::over(-1), &[x]).unwrap();
        graph.output("y", y);
    });
    let inputs = Tensors::from([("x", x)]);
    let got = Session::load(graph.clone(), &options(on_adapter()))?.run(&inputs)?;
    let want = Session::load(graph, &SessionOptions::on(Device::Cpu))?.run(&inputs)?;
    let (got, want) = (got.get("y").unwrap().as_slice::<f32>()?, want.get("y").unwrap().as_slice::<f32>()?);
    if differ(got, want, 1e-5) { Err("rows differ".into()) } else { Ok(()) }
}

pub fn lookup(rows: usize) -> Graph {
    let mut graph = Graph::new("lookup");
    let symbol = Dim::symbol(graph.symbol("tokens"));
    let x = graph.input("x", DType::I64, Shape::new(vec![symbol]));
    let table = graph.constant("table", numbers(&[rows, 16]));
    let y = graph.apply("lookup", Gather { axis: 0, outside: OutOfRange::Error }, &[table, x]).unwrap();
    graph.output("y", y);
    graph
}

fn cut_table() -> Outcome {
    let indices: Vec<i64> = (0..500).map(|i| (i * 37) % 1000 - 500).collect();
    let inputs = Tensors::from([("x", Tensor::new([500], &indices)?)]);
    let want = Session::load(lookup(500), &SessionOptions::on(Device::Cpu))?.run(&inputs)?;
    // 500 rows of 64 bytes in parts of 31, 32 KiB being what the results need.
    let session = Session::load(lookup(500), &options(on_adapter().binding_limit(32_000)))?;
    let got = session.run(&inputs)?;
    if session.weight_bytes() < 32_000 || got != want {
        return Err("a table in parts is read otherwise than in one".into());
    }
    let small = Session::load(lookup(1500), &options(on_adapter().binding_limit(40_000)))?;
    let want = Session::load(lookup(1500), &SessionOptions::on(Device::Cpu))?.run(&inputs)?;
    if small.run(&inputs)? != want { Err("a table in three parts".into()) } else { Ok(()) }
}

fn large_constant() -> Outcome {
    let mut graph = Graph::new("large");
    let x = graph.input("x", DType::F32, Shape::fixed(&[100, 100]));
    let c = graph.constant("c", numbers(&[100, 100]));
    let function = gristmill::testing::ops::pointwise::BinaryFunction::Add;
    let y = graph.apply("add", gristmill::testing::ops::pointwise::Binary { function }, &[x, c]).unwrap();
    graph.output("y", y);
    match Session::load(graph, &options(on_adapter().binding_limit(10_000))) {
        Err(error) if error.kind() == ErrorKind::Limit && error.to_string().contains("10000") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn outside() -> Outcome {
    let session = Session::load(lookup(50), &options(on_adapter()))?;
    let run = |indices: &[i64]| session.run(&Tensors::from([("x", Tensor::new([indices.len()], indices).unwrap())]));
    match run(&[3, 50]) {
        Err(error) if error.to_string().contains("lookup") && error.to_string().contains("range") => {}
        other => return Err(format!("{other:?}").into()),
    }
    // What one run met is not the next one's.
    run(&[3, 49, -50])?;
    Ok(())
}

fn from_nothing() -> Outcome {
    let graph = |tuples: bool| {
        let mut graph = Graph::new("nothing");
        let rows = Dim::symbol(graph.symbol("rows"));
        let x = graph.input("x", DType::F32, Shape::new(vec![rows, Dim::from(300)]));
        let at = graph.input("at", DType::I64, Shape::fixed(if tuples { &[5, 1] } else { &[2, 300] }));
        let y = match tuples {
            true => graph.apply("pick", GatherNd { batch_dims: 0 }, &[x, at]),
            false => graph.apply("pick", GatherElements { axis: 0 }, &[x, at]),
        };
        graph.output("y", y.unwrap());
        graph
    };
    for tuples in [true, false] {
        let session = Session::load(graph(tuples), &options(on_adapter()))?;
        let shape: &[usize] = if tuples { &[5, 1] } else { &[2, 300] };
        let at = Tensor::new(shape, &vec![0i64; shape.iter().product()])?;
        let run = |rows: usize| session.run(&Tensors::from([("x", numbers(&[rows, 300])), ("at", at.clone())]));
        run(3)?;
        match run(0) {
            // Told before a shader reads what is not there: one that did would only say that an index is outside.
            Err(error) if error.kind() == ErrorKind::InvalidInput && error.to_string().contains("shape [0, 300]") => {
                if !error.to_string().contains("pick") {
                    return Err(error.to_string().into());
                }
            }
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

fn wide() -> Outcome {
    let session = Session::load(lookup(50), &options(on_adapter()))?;
    match session.run(&Tensors::from([("x", Tensor::new([1], &[1i64 << 33])?)])) {
        Err(error) if error.to_string().contains("8589934592") && error.to_string().contains("`x`") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn wide_constant() -> Outcome {
    let mut graph = Graph::new("bounded");
    let symbol = Dim::symbol(graph.symbol("tokens"));
    let x = graph.input("x", DType::I64, Shape::new(vec![symbol]));
    let most = graph.constant("most", Tensor::new([1], &[i64::MAX])?);
    let least = graph.constant("least", Tensor::new([1], &[3i64])?);
    let bounded = graph.apply("bounded", Binary { function: BinaryFunction::Min }, &[x, most]).unwrap();
    let index = graph.apply("index", Binary { function: BinaryFunction::Max }, &[bounded, least]).unwrap();
    let table = graph.constant("table", numbers(&[9, 4]));
    let y = graph.apply("lookup", Gather { axis: 0, outside: OutOfRange::Error }, &[table, index]).unwrap();
    graph.output("y", y);
    let session = Session::load(graph, &options(on_adapter()))?;
    let got = session.run(&Tensors::from([("x", Tensor::new([3], &[0i64, 8, 5])?)]))?;
    let (got, table) = (got.get("y").unwrap(), numbers(&[9, 4]));
    let rows: Vec<&[f32]> = table.as_slice::<f32>()?.chunks(4).collect();
    if got.as_slice::<f32>()? != [rows[3], rows[8], rows[5]].concat() {
        return Err(format!("{got:?}").into());
    }
    match session.host_operators()[..] {
        [HostOperator { operator: "Min", reason, .. }] if reason.contains("32 bits") => Ok(()),
        ref other => Err(format!("{other:?}").into()),
    }
}

fn on_host() -> Outcome {
    let mut graph = Graph::new("mixed");
    let x = graph.input("x", DType::F32, Shape::fixed(&[7, 40]));
    let a = graph.apply("a", Unary { function: UnaryFunction::Neg }, &[x]).unwrap();
    let half = graph.apply("half", Cast { to: DType::F16 }, &[a]).unwrap();
    let whole = graph.apply("whole", Cast { to: DType::F32 }, &[half]).unwrap();
    let b = graph.apply("b", Softmax::over(-1), &[whole]).unwrap();
    graph.output("y", b);
    let inputs = Tensors::from([("x", numbers(&[7, 40]))]);
    let session = Session::load(graph.clone(), &options(on_adapter()))?;
    let got = session.run(&inputs)?;
    let want = Session::load(graph, &SessionOptions::on(Device::Cpu))?.run(&inputs)?;
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    let (own, cpu) = (got.get("y").unwrap(), want.get("y").unwrap());
    if !own.as_slice::<f32>()?.iter().zip(cpu.as_slice::<f32>()?).all(near) {
        return Err("results with a step on the host differ".into());
    }
    if session.host_operators().iter().map(|host| host.operator).ne(["Cast"]) {
        return Err(format!("{:?}", session.host_operators()).into());
    }
    let notes = gristmill::Inference::describe(&session).notes.join("\n");
    // 7 x 40 numbers down, and as many up.
    if notes.contains("Cast") && notes.contains("1120 bytes down, 1120 bytes up") { Ok(()) } else { Err(notes.into()) }
}

fn twice() -> Outcome {
    let graph = of_one(DType::F32, &[Dim::from(33), Dim::from(401)], |graph, x| {
        let y = graph.apply("softmax", Softmax::over(-1), &[x]).unwrap();
        graph.output("y", y);
    });
    let session = Session::load(graph, &options(on_adapter()))?;
    let inputs = Tensors::from([("x", numbers(&[33, 401]))]);
    let first = session.run(&inputs)?;
    if (0..3).any(|_| session.run(&inputs).ok().as_ref() != Some(&first)) { Err("other bits".into()) } else { Ok(()) }
}

fn few_rows() -> Outcome {
    // A packed product in each tile, and one of two run-time operands.
    let graph = |columns: usize| {
        let mut graph = Graph::new("products");
        let rows = Dim::symbol(graph.symbol("rows"));
        let x = graph.input("x", DType::F32, Shape::new(vec![rows, Dim::from(70)]));
        let w = graph.constant("w", numbers(&[70, columns]));
        let packed = graph.apply("packed", MatMul {}, &[x, w]).unwrap();
        graph.output("packed", packed);
        let v = graph.input("v", DType::F32, Shape::fixed(&[columns, 70]));
        let turned = Gemm { alpha: 0.5, beta: 0.0, trans_a: false, trans_b: true };
        let free = graph.apply("free", turned, &[x, v]).unwrap();
        graph.output("free", free);
        graph
    };
    let row = |outputs: &Tensors, name: &str, row: usize, columns: usize| {
        let all = outputs.get(name).unwrap().as_slice::<f32>().unwrap();
        all[row * columns..(row + 1) * columns].to_vec()
    };
    for columns in [20, 100, 300] {
        let session = Session::load(graph(columns), &options(on_adapter()))?;
        // Only the tile of few rows has one row an invocation.
        let gpu = on_adapter().testing(|hooks| hooks.plant("const TM = 1u;", "const TM = 2u;"));
        let planted = Session::load(graph(columns), &options(gpu))?;
        let all = numbers(&[40, 70]);
        let v = numbers(&[columns, 70]);
        let together = session.run(&Tensors::from([("x", all.clone()), ("v", v.clone())]))?;
        let mut differs = false;
        for few in [1, 3, 16] {
            let x = Tensor::new([few, 70], &all.as_slice::<f32>()?[..few * 70])?;
            let inputs = Tensors::from([("x", x), ("v", v.clone())]);
            let (alone, wrong) = (session.run(&inputs)?, planted.run(&inputs)?);
            for name in ["packed", "free"] {
                for at in 0..few {
                    let due = row(&together, name, at, columns);
                    if row(&alone, name, at, columns) != due {
                        return Err(format!("{name}: row {at} of {few}, {columns} columns, has other bits").into());
                    }
                    differs |= row(&wrong, name, at, columns) != due;
                }
            }
        }
        if !differs {
            return Err("the tile of few rows is not used".into());
        }
    }
    Ok(())
}

fn limits() -> Outcome {
    use UnaryFunction as U;
    let cases = [
        (U::Tanh, 1000.0, 1.0),
        (U::Tanh, -1000.0, -1.0),
        (U::Erf, 50.0, 1.0),
        (U::Gelu, -1e30, 0.0),
        (U::GeluTanh, f32::NEG_INFINITY, 0.0),
        (U::Sigmoid, -1e30, 0.0),
        (U::Silu, f32::NEG_INFINITY, 0.0),
    ];
    for (function, x, want) in cases {
        let session = Session::load(unary(function, &[1]), &options(on_adapter()))?;
        let got = session.run(&Tensors::from([("x", Tensor::new([1], &[x])?)]))?;
        let got = got.get("y").unwrap().as_slice::<f32>()?[0];
        if differ(&[got], &[want], 1e-6) {
            return Err(format!("{function:?} of {x} is {got}").into());
        }
    }
    Ok(())
}

/// A model whose operators' attributes are the sizes of a run.
fn graph_of_sizes() -> Graph {
    let mut graph = Graph::new("sizes");
    let n = Dim::symbol(graph.symbol("n"));
    let x = graph.input("x", DType::F32, Shape::new(vec![n.clone(), Dim::from(3)]));
    let two = Dim::from(2);
    let part = Part { axis: 0, start: &n - &two, end: n.clone(), step: 1 };
    let last = graph.apply("slice", Slice { parts: vec![part] }, &[x]).unwrap();
    graph.output("last", last);
    let (before, behind) = (vec![n.clone(), Dim::from(0)], vec![Dim::from(1), Dim::from(2)]);
    let padded = graph.apply("pad", Pad { mode: PadMode::Wrap, before, behind, value: None }, &[x]).unwrap();
    graph.output("padded", padded);
    let value = Arc::new(Tensor::scalar(-1.5f32));
    let filled = graph.apply("fill", ConstantOfShape { shape: vec![n.clone(), two], value }, &[]).unwrap();
    graph.output("filled", filled);
    let range = Range { start: Dim::from(7), limit: &Dim::from(7) - &n, step: -1, dtype: DType::I64 };
    let range = graph.apply("range", range, &[]).unwrap();
    graph.output("range", range);
    graph
}

fn sizes_of_a_run() -> Outcome {
    let session = Session::load(graph_of_sizes(), &options(on_adapter()))?;
    if !session.host_operators().is_empty() {
        return Err(format!("on the host: {:?}", session.host_operators()).into());
    }
    let cpu = Session::load(graph_of_sizes(), &SessionOptions::on(Device::Cpu))?;
    for n in [2, 9, 300] {
        let inputs = Tensors::from([("x", numbers(&[n, 3]))]);
        if session.run(&inputs)? != cpu.run(&inputs)? {
            return Err(format!("{n} rows differ").into());
        }
    }
    // The same operators with a mistake in their shaders.
    for (from, to) in
        [("p.a + i * p.b", "p.a + i"), ("y[i] = p.a;", "y[i] = p.b;"), ("y[y_at] = x[x_at]", "y[y_at] = x[i]")]
    {
        let gpu = on_adapter().testing(|hooks| hooks.plant(from, to));
        let inputs = Tensors::from([("x", numbers(&[9, 3]))]);
        if Session::load(graph_of_sizes(), &options(gpu))?.run(&inputs)? == cpu.run(&inputs)? {
            return Err(format!("`{to}` in place of `{from}` changes nothing").into());
        }
    }
    Ok(())
}

fn profiled() -> Outcome {
    let graph = || {
        of_one(DType::F32, &[Dim::from(20), Dim::from(64)], |graph, x| {
            let w = graph.constant("w", numbers(&[64, 64]));
            let y = graph.apply("product", MatMul {}, &[x, w]).unwrap();
            graph.output("y", y);
        })
    };
    let inputs = Tensors::from([("x", numbers(&[20, 64]))]);
    let session = Session::load(graph(), &options(on_adapter().testing(|hooks| hooks.profiled = true)))?;
    let plain = Session::load(graph(), &options(on_adapter()))?;
    if session.run(&inputs)? != session.run(&inputs)? || session.run(&inputs)? != plain.run(&inputs)? {
        return Err("a profile changes the results".into());
    }
    let profile = session.profile().ok_or("there is no profile")?;
    let [step] = &profile.steps[..] else { return Err(format!("{profile:?}").into()) };
    // The rows, the weights and the result, in each of three runs.
    let bytes = 4 * (20 * 64 + 64 * 64 + 20 * 64);
    let counts = (profile.runs, profile.submissions, step.dispatches, step.bytes, step.flop);
    if counts != (3, 3, 3, 3 * bytes, 3 * 2 * 20 * 64 * 64) {
        return Err(format!("{profile:?}").into());
    }
    if (profile.bytes_up, profile.bytes_down) != (3 * 4 * 20 * 64, 3 * 4 * 20 * 64) {
        return Err(format!("{profile:?}").into());
    }
    if profile.is_timed == (step.nanoseconds == 0) || plain.profile().is_some() {
        return Err(format!("{profile:?}").into());
    }
    Ok(())
}

fn long_loops() -> Outcome {
    // Running sums are cut into as many dispatches as it takes; a search cannot be.
    let size = 150_000;
    let sums = of_one(DType::F32, &[Dim::from(size)], |graph, x| {
        let y = graph.apply("sums", CumSum { axis: 0, exclusive: false, reverse: true }, &[x]).unwrap();
        graph.output("y", y);
    });
    let inputs = Tensors::from([("x", Tensor::new([size], &vec![1f32; size])?)]);
    let got = Session::load(sums, &options(on_adapter()))?.run(&inputs)?;
    if got.get("y").unwrap().as_slice::<f32>()?.iter().rev().enumerate().any(|(at, &sum)| sum != (at + 1) as f32) {
        return Err("a long sum is cut wrongly".into());
    }
    let size = 64 * 65_536;
    let search = of_one(DType::F32, &[Dim::from(size)], |graph, x| {
        let op = ArgReduce { largest: true, axis: 0, keep_dims: true, select_last: false };
        let y = graph.apply("search", op, &[x]).unwrap();
        graph.output("y", y);
    });
    let session = Session::load(search, &options(on_adapter()))?;
    match session.run(&Tensors::from([("x", numbers(&[size]))])) {
        Err(error) if error.kind() == ErrorKind::Limit && error.to_string().contains("rounds") => Ok(()),
        Ok(_) if !is_software() => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn short_sequences() -> Outcome {
    let mut graph = Graph::new("packed");
    let symbol = |graph: &mut Graph, name: &str| Dim::symbol(graph.symbol(name));
    let (rows, ends) = (symbol(&mut graph, "rows"), symbol(&mut graph, "ends"));
    let qkv = graph.input("qkv", DType::F32, Shape::new(vec![rows, Dim::from(12)]));
    let offsets = graph.input("offsets", DType::I32, Shape::new(vec![ends]));
    let attention = PackedAttention::new(1, 0.5);
    let attended = graph.apply("attention", attention, &[qkv, offsets]).unwrap();
    let pool = SegmentPool { mode: SegmentPoolMode::Mean };
    let y = graph.apply("pool", pool, &[attended, offsets]).unwrap();
    graph.output("y", y);
    let there = Session::load(graph.clone(), &options(on_adapter()))?;
    let here = Session::load(graph, &SessionOptions::on(Device::Cpu))?;
    let inputs = |length: usize| -> gristmill::Result<Tensors> {
        let ends: Vec<i32> = (0..=70_000 / length).map(|at| (at * length) as i32).collect();
        Ok(Tensors::from([("qkv", numbers(&[70_000, 12])), ("offsets", Tensor::new([ends.len()], &ends)?)]))
    };
    let (got, want) = (there.run(&inputs(7)?)?, here.run(&inputs(7)?)?);
    if differ(got.get("y").unwrap().as_slice::<f32>()?, want.get("y").unwrap().as_slice::<f32>()?, 1e-4) {
        return Err("sequences of 7 rows differ".into());
    }
    match there.run(&inputs(70_000)?) {
        Err(error) if error.kind() == ErrorKind::Limit && error.to_string().contains("rounds") => Ok(()),
        Ok(_) if !is_software() => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

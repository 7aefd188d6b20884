//! Sessions on the device: adapters, limits, faults, steps on the host.

use std::sync::Arc;

use gristmill::{
    DType, Device, ErrorKind, GpuOptions, Session, SessionOptions, Tensor, Tensors, gpu,
    graph::Graph,
    ops::{
        arg_reduce::ArgReduce,
        attention::PackedAttention,
        cast::Cast,
        constant_of_shape::ConstantOfShape,
        cum_sum::CumSum,
        gather::{Gather, OutOfRange},
        gather_elements::GatherElements,
        gather_nd::GatherNd,
        gemm::Gemm,
        matmul::MatMul,
        pad::{Pad, PadMode},
        pointwise::{Binary, BinaryFunction, Unary, UnaryFunction},
        range::Range,
        segment_pool::{SegmentPool, SegmentPoolMode},
        slice::{Part, Slice},
        softmax::Softmax,
    },
    shape::{Dim, Shape},
};
use libtest_mimic::Trial;

use crate::{Outcome, adapter, differ, on_adapter, options};

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
        Trial::test("sessions::loops_are_as_long_as_a_sequence", short_sequences),
        Trial::test("sessions::a_lost_device_is_opened_again_then_left", lost),
        Trial::test("sessions::a_job_outlives_its_device", lost_job),
        Trial::test("sessions::a_job_outlives_runs_that_take_too_long", too_long),
        Trial::test("sessions::an_adapter_without_a_limit_is_left", without_limit),
        Trial::test("sessions::runs_without_memory_are_halved", halved),
        Trial::test("sessions::staging_buffers_are_used_again", staging),
        Trial::test("sessions::what_the_host_keeps_is_counted", kept_on_host),
        Trial::test("sessions::auto_takes_no_software_adapter", auto_software),
        Trial::test("sessions::auto_takes_the_device_that_was_measured_to_be_faster", auto_measures),
    ]
}

/// What is promised where there is no adapter as well.
pub fn without_adapter() -> Vec<Trial> {
    vec![Trial::test("sessions::an_adapter_that_is_not_there_is_an_error", no_adapter)]
}

fn of_one(dtype: DType, shape: &[Dim], make: impl FnOnce(&mut Graph, gristmill::graph::ValueId)) -> Graph {
    let mut graph = Graph::new("one");
    let x = graph.input("x", dtype, Shape::new(shape.to_vec()));
    make(&mut graph, x);
    graph
}

fn unary(function: UnaryFunction, shape: &[usize]) -> Graph {
    let dims: Vec<Dim> = shape.iter().map(|&dim| Dim::from(dim)).collect();
    of_one(DType::F32, &dims, |graph, x| {
        let y = graph.apply("f", Unary { function }, &[x]).unwrap();
        graph.output("y", y);
    })
}

/// A session that keeps the adapter under test open.
pub fn holder() -> gristmill::Result<Session> {
    Session::load(unary(UnaryFunction::Relu, &[1]), &options(on_adapter()))
}

fn numbers(shape: &[usize]) -> Tensor {
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

fn lookup(rows: usize) -> Graph {
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
    let function = gristmill::ops::pointwise::BinaryFunction::Add;
    let y = graph.apply("add", gristmill::ops::pointwise::Binary { function }, &[x, c]).unwrap();
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
        [("Min", why)] if why.contains("32 bits") => Ok(()),
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
    if session.host_operators().iter().map(|(name, _)| *name).ne(["Cast"]) {
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
        let mut gpu = on_adapter();
        // Only the tile of few rows has one row an invocation.
        gpu.planted = Some(("const TM = 1u;".to_owned(), "const TM = 2u;".to_owned()));
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
        let mut gpu = on_adapter();
        gpu.planted = Some((from.to_owned(), to.to_owned()));
        let inputs = Tensors::from([("x", numbers(&[9, 3]))]);
        if Session::load(graph_of_sizes(), &options(gpu))?.run(&inputs)? == cpu.run(&inputs)? {
            return Err(format!("`{to}` in place of `{from}` changes nothing").into());
        }
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
        Ok(_) if !gpu::adapters().iter().any(|own| own.kind == gpu::AdapterType::Software) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn short_sequences() -> Outcome {
    let mut graph = Graph::new("packed");
    let symbol = |graph: &mut Graph, name: &str| Dim::symbol(graph.symbol(name));
    let (rows, ends) = (symbol(&mut graph, "rows"), symbol(&mut graph, "ends"));
    let qkv = graph.input("qkv", DType::F32, Shape::new(vec![rows, Dim::from(12)]));
    let offsets = graph.input("offsets", DType::I32, Shape::new(vec![ends]));
    let attention = PackedAttention { heads: 1, scale: 0.5, rounded: false };
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
        Ok(_) if !gpu::adapters().iter().any(|own| own.kind == gpu::AdapterType::Software) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn auto_software() -> Outcome {
    let session = Session::load(unary(UnaryFunction::Relu, &[1]), &SessionOptions::on(Device::Auto))?;
    let told = gristmill::Inference::describe(&session);
    let others = gristmill::gpu::adapters().into_iter().any(|own| own.kind != gristmill::gpu::AdapterType::Software);
    // Where there is another one the choice is still open.
    let reason = told.notes.iter().any(|note| note.contains("software adapter is taken by name only"));
    let fits = if others { told.device == "auto" } else { told.device == "cpu" && reason };
    if fits { Ok(()) } else { Err(format!("{told:?}").into()) }
}

/// Rows of numbers, and what the CPU makes of them.
fn rows_and_results(count: usize) -> gristmill::Result<(Vec<Tensors>, Vec<Tensors>)> {
    let row = |item: usize| {
        let values: Vec<f32> = (0..40).map(|i| ((item * 41 + i) % 97) as f32 / 20.0 - 2.0).collect();
        Ok(Tensors::from([("x", Tensor::new([1, 40], &values)?)]))
    };
    let items = (0..count).map(row).collect::<gristmill::Result<Vec<_>>>()?;
    let cpu = Session::load(graph_of_rows(), &SessionOptions::on(Device::Cpu))?;
    let results = items.iter().map(|item| cpu.run(item)).collect::<gristmill::Result<_>>()?;
    Ok((items, results))
}

/// Whether results are there in order, and near to what is due.
fn near(
    got: Vec<std::result::Result<Tensors, gristmill::ItemError>>,
    due: &[Tensors],
) -> std::result::Result<(), String> {
    if got.len() != due.len() {
        return Err(format!("{} results of {} items", got.len(), due.len()));
    }
    for (index, (got, due)) in got.into_iter().zip(due).enumerate() {
        let got = got.map_err(|error| error.to_string())?;
        let slices = got.get("y").zip(due.get("y")).map(|(got, due)| (got.as_slice::<f32>(), due.as_slice::<f32>()));
        let Some((Ok(got), Ok(due))) = slices else { return Err(format!("item {index} has no numbers")) };
        if differ(got, due, 1e-5) {
            return Err(format!("item {index} differs"));
        }
    }
    Ok(())
}

fn auto_measures() -> Outcome {
    let (items, due) = rows_and_results(300)?;
    // A named adapter is measured, be it a software one. Rows of 40 numbers are no work for it.
    for (favoured, on_gpu) in [(None, false), (Some(u32::MAX), true)] {
        let mut gpu = on_adapter();
        gpu.favoured = favoured;
        let options = SessionOptions::on(Device::Auto).gpu(gpu);
        let session = Arc::new(Session::load(graph_of_rows(), &options)?);
        if gristmill::Inference::describe(&*session).device != "auto" {
            return Err("the device is chosen before anything is measured".into());
        }
        let weights = session.weight_bytes();
        let (got, report) = gristmill::bulk::Bulk::new(session.clone()).workers(2).run(&items);
        near(got, &due)?;
        let told = report.to_json();
        if report.device.starts_with("gpu") != on_gpu || !(on_gpu || report.device == "cpu") {
            return Err(format!("on {}: {told}", report.device).into());
        }
        let note = report.notes.iter().find(|note| note.starts_with("device auto: "));
        let whole = |note: &&String| {
            let speeds = note.contains("inputs/s on the cpu (one thread's speed times 2,");
            speeds
                && note.contains(&adapter())
                && note.starts_with(if on_gpu { "device auto: gpu" } else { "device auto: cpu" })
        };
        if note.filter(whole).is_none() || weights < session.weight_bytes() {
            return Err(told.into());
        }
        // Settled for good: the next job begins with it.
        let (got, report) = gristmill::bulk::Bulk::new(session).workers(2).run(&items);
        near(got, &due)?;
        if (report.driver_busy.len(), report.device.starts_with("gpu")) != (if on_gpu { 2 } else { 0 }, on_gpu) {
            return Err(report.to_json().into());
        }
    }
    // A device that computes something else is not taken, however fast it is.
    let mut gpu = on_adapter();
    gpu.favoured = Some(u32::MAX);
    gpu.planted = Some(("let own = x[start + i * p.inner] - largest".to_owned(), "let own = f32(i)".to_owned()));
    let session = Session::load(graph_of_rows(), &SessionOptions::on(Device::Auto).gpu(gpu))?;
    let (got, report) = gristmill::bulk::Bulk::new(session).run(&items);
    near(got, &due)?;
    let reason = report.notes.iter().any(|note| note.contains("the gpu's outputs are not the cpu's"));
    if report.device == "cpu" && reason { Ok(()) } else { Err(report.to_json().into()) }
}

fn no_adapter() -> Outcome {
    let gpu = GpuOptions::adapter("no such adapter");
    match Session::load(unary(UnaryFunction::Relu, &[1]), &options(gpu)) {
        Err(error) if error.kind() == ErrorKind::Device && error.to_string().contains("there are:") => {}
        other => return Err(format!("{other:?}").into()),
    }
    // Left to itself the session runs on the CPU, and says why.
    let auto = SessionOptions::on(Device::Auto).gpu(GpuOptions::adapter("no such adapter"));
    let told = gristmill::Inference::describe(&Session::load(unary(UnaryFunction::Relu, &[1]), &auto)?);
    let reason = told.notes.iter().any(|note| note.contains("no such adapter"));
    if told.device == "cpu" && reason { Ok(()) } else { Err(format!("{told:?}").into()) }
}

fn graph_of_rows() -> Graph {
    let mut graph = Graph::new("rows");
    let batch = Dim::symbol(graph.symbol("batch"));
    let x = graph.input("x", DType::F32, Shape::new(vec![batch, Dim::from(40)]));
    let y = graph.apply("f", Unary { function: UnaryFunction::Gelu }, &[x]).unwrap();
    let y = graph.apply("softmax", Softmax::over(-1), &[y]).unwrap();
    graph.output("y", y);
    graph
}

fn losing(run: u64) -> GpuOptions {
    let mut gpu = on_adapter();
    gpu.lost_in_run = Some(run);
    gpu
}

fn lost() -> Outcome {
    let session = Session::load(graph_of_rows(), &options(losing(2)))?;
    let cpu = Session::load(graph_of_rows(), &SessionOptions::on(Device::Cpu))?;
    for run in 1..=5 {
        let inputs = Tensors::from([("x", numbers(&[run, 40]))]);
        let (got, want) = (session.run(&inputs)?, cpu.run(&inputs)?);
        let (got, want) = (got.get("y").unwrap().as_slice::<f32>()?, want.get("y").unwrap().as_slice::<f32>()?);
        if differ(got, want, 1e-5) {
            return Err(format!("run {run} differs").into());
        }
        // The second run is repeated on the device opened again; the third is its second, and the CPU's.
        let told = gristmill::Inference::describe(&session);
        let notes = told.notes.join("; ");
        let (again, left) = (notes.contains("opened again"), notes.contains("the rest ran on the cpu"));
        let on_cpu = told.device == "cpu";
        if (again, left, on_cpu) != (run >= 2, run >= 3, run >= 3) {
            return Err(format!("run {run} on {}: {notes}", told.device).into());
        }
    }
    Ok(())
}

fn lost_job() -> Outcome {
    let (items, due) = rows_and_results(200)?;
    let job = |session| gristmill::bulk::Bulk::new(session).chunk_size(7).workers(3);
    let session = Arc::new(Session::load(graph_of_rows(), &options(losing(5)))?);
    let (got, report) = job(session.clone()).run(&items);
    near(got, &due)?;
    let told = report.to_json();
    if report.items != 200 || !told.contains("the gpu was lost") {
        return Err(told.into());
    }
    // Each item is found on one device: before the loss, on the device opened again, or on the CPU.
    let named: Vec<&str> = report.devices.iter().map(|share| share.device.as_str()).collect();
    let [first, again, "cpu"] = named[..] else { return Err(told.into()) };
    if !first.starts_with("gpu") || again != format!("{first}, opened again") || report.device != "cpu" {
        return Err(told.into());
    }
    let counted: Vec<usize> = report
        .devices
        .iter()
        .map(|share| (0..200).filter(|&index| report.device_of(index) == Some(&share.device)).count())
        .collect();
    let items_there: Vec<usize> = report.devices.iter().map(|share| share.items).collect();
    // The fifth run of each opening is lost; one more chunk may have been under way beside it.
    let bounds = [21..=28, 21..=28, 144..=158];
    let fits = items_there.iter().zip(&bounds).all(|(items, bounds)| bounds.contains(items));
    if counted != items_there || items_there.iter().sum::<usize>() != 200 || !fits || report.devices[0].ranges.len() > 8
    {
        return Err(told.into());
    }
    let lines = report.to_string();
    if !lines.contains("ran on cpu: ") || !told.contains("\"ranges_left_out\":0") {
        return Err(lines.into());
    }
    // A job that runs on what is left from beginning to end has nothing to tell apart, and no drivers.
    let (got, report) = job(session).run(&items);
    near(got, &due)?;
    let whole = report.devices.is_empty() && report.driver_busy.is_empty() && report.device == "cpu";
    if whole { Ok(()) } else { Err(report.to_json().into()) }
}

fn too_long() -> Outcome {
    // Rows that no device is done with in a nanosecond.
    let columns = 100_000;
    let graph = || {
        of_one(DType::F32, &[Dim::from(40), Dim::from(columns)], |graph, x| {
            let y = graph.apply("softmax", Softmax::over(-1), &[x]).unwrap();
            graph.output("y", y);
        })
    };
    let items: Vec<Tensors> = (0..4)
        .map(|item| {
            let values: Vec<f32> = (0..40 * columns).map(|i| ((item * 41 + i) % 97) as f32 / 20.0 - 2.0).collect();
            Tensors::from([("x", Tensor::new([40, columns], &values).unwrap())])
        })
        .collect();
    let job = |session| gristmill::bulk::Bulk::new(session).chunk_size(1).run(&items);
    let gpu = on_adapter().timeout(std::time::Duration::from_nanos(1));
    let (got, report) = job(Session::load(graph(), &options(gpu))?);
    let (want, _) = job(Session::load(graph(), &SessionOptions::on(Device::Cpu))?);
    if got.len() != items.len() {
        return Err(format!("{} results of {} items", got.len(), items.len()).into());
    }
    for (index, (got, want)) in got.into_iter().zip(want).enumerate() {
        let (got, want) = (got.map_err(|error| error.to_string())?, want.map_err(|error| error.to_string())?);
        let (got, want) = (got.get("y").unwrap().as_slice::<f32>()?, want.get("y").unwrap().as_slice::<f32>()?);
        if differ(got, want, 1e-7) {
            return Err(format!("item {index} differs").into());
        }
    }
    let told = report.to_json();
    let due = ["was not done after 1ns", "lost and opened again", "the rest ran on the cpu"];
    match due.into_iter().find(|due| !told.contains(due)) {
        Some(missing) => Err(format!("`{missing}` is missing in {told}").into()),
        None => Ok(()),
    }
}

fn without_limit() -> Outcome {
    let mut gpu = on_adapter();
    gpu.invocation_limit = Some(128);
    match Session::load(graph_of_rows(), &options(gpu.clone())) {
        Err(error) if error.kind() == ErrorKind::Device && error.to_string().contains("128 invocations") => {}
        other => return Err(format!("{other:?}").into()),
    }
    // Left to itself the job is the CPU's.
    let session = Session::load(graph_of_rows(), &SessionOptions::on(Device::Auto).gpu(gpu))?;
    let items: Vec<Tensors> = (1..5).map(|rows| Tensors::from([("x", numbers(&[rows, 40]))])).collect();
    let (got, report) = gristmill::bulk::Bulk::new(session).run(&items);
    let told = report.to_json();
    let done = got.iter().all(Result::is_ok) && report.device == "cpu";
    if done && told.contains("shaders need 256") { Ok(()) } else { Err(told.into()) }
}

fn halved() -> Outcome {
    // Rows of 160 bytes, of which there is memory for six at once; 20 items of three rows are one run at first.
    let mut gpu = on_adapter();
    gpu.memory_limit = Some(1000);
    let session = Arc::new(Session::load(graph_of_rows(), &options(gpu.clone()))?);
    let (rows, due) = rows_and_results(60)?;
    let items: Vec<Tensors> = (0..20).map(|item| joined(&rows[item * 3..item * 3 + 3], "x")).collect();
    let due: Vec<Tensors> = (0..20).map(|item| joined(&due[item * 3..item * 3 + 3], "y")).collect();
    let mut told = Vec::new();
    for job in 0..3 {
        let (got, report) = gristmill::bulk::Bulk::new(session.clone()).chunk_size(20).run(&items);
        near(got, &due).map_err(|error| format!("job {job}: {error}"))?;
        let note = report.notes.iter().find(|note| note.contains("the gpu refused")).cloned();
        told.push(note.ok_or_else(|| report.to_json())?);
    }
    // Refused are 20, 10 and 5 items, and what is left of them down to two: said once, and learned from.
    let refused: usize = told[0].split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
    if !(4..=12).contains(&refused) || !told[0].contains("halved") || !told[0].contains("out of memory") {
        return Err(told[0].clone().into());
    }
    if told[1] != told[0] || told[2] != told[0] {
        return Err(format!("runs that were refused are tried again: {told:?}").into());
    }
    // An item that there is no memory for is that item's error.
    let session = Session::load(graph_of_rows(), &options(gpu))?;
    match session.run(&Tensors::from([("x", numbers(&[7, 40]))])) {
        Err(error) if error.kind() == ErrorKind::Limit => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn staging() -> Outcome {
    let (items, due) = rows_and_results(600)?;
    let session = Arc::new(Session::load(graph_of_rows(), &options(on_adapter()))?);
    let job = || gristmill::bulk::Bulk::new(session.clone()).chunk_size(10).run(&items);
    // Two runs are under way at once: two buffers there, and two back.
    for number in 0..4 {
        let (got, report) = job();
        near(got, &due)?;
        let made = session.staging_buffers();
        if !(2..=4).contains(&made) || report.chunks != 60 {
            return Err(format!("{made} staging buffers after job {number} of {} chunks", report.chunks).into());
        }
    }
    // Larger runs need larger buffers, once; smaller ones take what is there.
    let large = joined(&[&items[..], &items[..], &items[..]].concat(), "x");
    let (before, first) = (session.staging_buffers(), session.run(&large)?);
    let made = session.staging_buffers() - before;
    if !(1..=2).contains(&made)
        || session.run(&large)? != first
        || job().0.len() != 600
        || session.run(&large)? != first
    {
        return Err(format!("{made} staging buffers for a large run").into());
    }
    let after = session.staging_buffers() - before;
    // The job's second driver may take the turn of the large buffers, and the large run that of its small ones.
    if after > 4 {
        return Err(format!("{after} staging buffers, of which {made} for a large run").into());
    }
    // A run that sends in between has the buffers of each of its parts.
    let mut graph = Graph::new("mixed");
    let x = graph.input("x", DType::F32, Shape::fixed(&[7, 40]));
    let half = graph.apply("half", Cast { to: DType::F16 }, &[x]).unwrap();
    let whole = graph.apply("whole", Cast { to: DType::F32 }, &[half]).unwrap();
    let y = graph.apply("y", Softmax::over(-1), &[whole]).unwrap();
    graph.output("y", y);
    let session = Session::load(graph, &options(on_adapter()))?;
    let inputs = Tensors::from([("x", numbers(&[7, 40]))]);
    let first = session.run(&inputs)?;
    let made = session.staging_buffers();
    for _ in 0..5 {
        if session.run(&inputs)? != first || session.staging_buffers() != made {
            return Err(format!("{} staging buffers after {made}", session.staging_buffers()).into());
        }
    }
    Ok(())
}

fn kept_on_host() -> Outcome {
    // A table of 20,000 rows of 64 bytes, which is on the device and, for a lost one, on the host.
    let session = Session::load(lookup(20_000), &options(on_adapter()))?;
    let notes = gristmill::Inference::describe(&session).notes.join("; ");
    let told = notes.contains("besides those on the gpu 1280000 bytes of weights stay in host memory, in case");
    if told { Ok(()) } else { Err(notes.into()) }
}

/// Rows one below another.
fn joined(rows: &[Tensors], name: &str) -> Tensors {
    let all: Vec<f32> =
        rows.iter().flat_map(|row| row.get(name).unwrap().as_slice::<f32>().unwrap().to_vec()).collect();
    Tensors::new().with(name, Tensor::new([rows.len(), 40], &all).unwrap())
}

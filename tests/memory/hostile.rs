//! Small files that ask for much memory do not get it. Its process is its own, so that the peak is.

use std::fs;

use gristmill::{Device, ErrorKind, Model, SessionOptions, Tensor, Tensors};

use crate::support::{onnx_writer::*, process::alone};

/// Lets the peak start again from what the process holds now, where the system can.
fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that the process has held, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn repeated(field: u64, count: usize, message: &Message) -> Message {
    let one = Message::new().message(field, message);
    Message(one.0.repeat(count))
}

#[test]
fn small_files_take_little_memory() {
    if !alone(module_path!(), "small_files_take_little_memory", &[]) {
        return;
    }
    const MANY: usize = 2_000_000;
    let empty = Message::new();
    let graph = |more: Message| Message(Draft::graph(&small()).0.into_iter().chain(more.0).collect());
    let model = |graph: &Message| {
        let opset = Message::new().int(2, 17);
        Message::new().int(1, 8).message(7, graph).message(8, &opset)
    };
    let in_graph = |more: Message| model(&graph(more));
    let in_node = |more: Message| {
        let turn = node("Transpose", "many", &["x"], &["q"]);
        in_graph(Message::new().message(1, &Message(turn.0.into_iter().chain(more.0).collect())))
    };
    let in_model = |more: Message| Message(model(&small().graph()).0.into_iter().chain(more.0).collect());
    let in_tensor = |more: Message| {
        let claim = tensor("claim", FLOAT, &[]);
        in_graph(Message::new().message(5, &Message(claim.0.into_iter().chain(more.0).collect())))
    };
    let turned = node("Transpose", "", &["x"], &[]);
    let chain = (0..200_000).fold(Draft::graph(&small()), |own, index| {
        let (from, to) = (if index == 0 { "shape".to_owned() } else { format!("{index}") }, format!("{}", index + 1));
        own.message(1, &node("Reshape", "", &[&from, "shape1"], &[&to]))
    });
    let chain = chain.message(5, &integers("shape1", &[1], &[1]));
    let same = (0..100_000).fold(Draft::graph(&small()), |own, index| {
        let (from, to) = (if index == 0 { "many".to_owned() } else { format!("{index}") }, format!("{}", index + 1));
        own.message(1, &node("Identity", "", &[&from], &[&to]))
    });
    let same = same.message(5, &tensor("many", INT64, &[1024]).bytes(9, vec![1; 8192]));
    let files = [
        ("empty nodes", in_graph(repeated(1, MANY, &empty))),
        ("nodes without outputs", in_graph(repeated(1, MANY / 10, &turned))),
        ("empty tensors", in_graph(repeated(5, MANY, &empty))),
        ("empty inputs", in_graph(repeated(11, MANY, &empty))),
        ("empty outputs", in_graph(repeated(12, MANY, &empty))),
        ("empty inner values", in_graph(repeated(13, MANY, &empty))),
        ("empty operands", in_node(repeated(1, MANY, &empty))),
        ("empty results", in_node(repeated(2, MANY, &empty))),
        ("empty attributes", in_node(repeated(5, MANY, &empty))),
        ("integers", in_node(Message::new().message(5, &Message::new().text(1, "perm").bytes(8, vec![0; MANY])))),
        ("empty strings", in_node(Message::new().message(5, &repeated(9, MANY, &empty)))),
        ("empty operator sets", in_model(repeated(8, MANY, &empty))),
        ("empty functions", in_model(repeated(25, MANY, &empty))),
        ("dimensions", in_tensor(Message::new().bytes(1, vec![1; MANY]))),
        ("external keys", in_tensor(repeated(13, MANY, &empty))),
        ("a claim", in_tensor(Message::new().int(1, 1 << 37).bytes(9, vec![0; 100]))),
        ("a claim of integers", in_graph(Message::new().message(5, &tensor("c", INT64, &[1 << 37]).packed(7, &[1])))),
        ("a long chain", model(&chain)),
        ("a long chain of many integers", model(&same)),
    ];
    for (what, file) in files {
        let bytes = file.0;
        reset_peak();
        let before = peak();
        let result = Model::from_bytes(&bytes).and_then(|model| model.session(&SessionOptions::on(Device::Cpu)));
        let text = match &result {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string().chars().take(120).collect(),
        };
        let more = peak().saturating_sub(before) >> 20;
        println!("{what}: {} MB, {more} MB more at the peak: {text}", bytes.len() >> 20);
        assert!(more < 200, "{what} took {more} MB");
    }
}

/// The message of the first error of loading a model and running it on zeros; `sizes` are its symbolic dimensions.
fn refusal(bytes: &[u8], options: &SessionOptions, size: usize) -> gristmill::Error {
    let session = match Model::from_bytes(bytes).and_then(|model| model.session(options)) {
        Ok(session) => session,
        Err(error) => return error,
    };
    let zeros = |fact: &gristmill::Fact| {
        let dims = fact.shape.dims().iter();
        Tensor::zeros(fact.dtype, dims.map(|dim| dim.as_fixed().map_or(size, |size| size as usize)).collect::<Vec<_>>())
    };
    let inputs = session.inputs().fold(Tensors::new(), |all, (name, fact)| all.with(name, zeros(fact).unwrap()));
    session.run(&inputs).expect_err("past the cap")
}

#[test]
fn a_run_past_the_cap_is_refused_before_it_takes_memory() {
    if !alone(module_path!(), "a_run_past_the_cap_is_refused_before_it_takes_memory", &[]) {
        return;
    }
    let expanded = |name: &str, shape: &[&str], sizes: &[i64]| {
        Draft::new()
            .input(value("x", FLOAT, shape))
            .node(node("Expand", name, &["x", "sizes"], &[name]))
            .initializer(integers("sizes", &[sizes.len() as i64], sizes))
            .output(Message::new().text(1, name))
            .bytes()
    };
    let wide = expanded("wide", &["1", "1"], &[1 << 20, 1 << 20, 1, 1]);
    // Each run of a few rows is small; the outputs of all of them are not.
    let tall = expanded("tall", &["N", "1"], &[1, 1 << 24]);
    let padded = transposing()
        .input(value("image", FLOAT, &["N", "1", "H", "W"]))
        .initializer(floats("filter", &[1, 1, 3, 3], &[1.0; 9]))
        .node(node("Conv", "padded", &["image", "filter"], &["padded"]).message(5, &ints("pads", &[100_000; 4])))
        .output(Message::new().text(1, "padded"))
        .bytes();
    let only = |name: &str, options: SessionOptions| options.outputs([name]);
    for (file, name, size, what) in [
        (&wide, "wide", 1, "node `wide` (Expand)"),
        (&tall, "tall", 100_000, "output `tall`"),
        (&padded, "padded", 8, "node `padded` (Conv)"),
    ] {
        for options in [SessionOptions::on(Device::Cpu), SessionOptions::on(Device::Cpu).max_run_bytes(300 << 20)] {
            reset_peak();
            let before = peak();
            let error = refusal(file, &only(name, options), size);
            let more = peak().saturating_sub(before) >> 20;
            println!("{more} MB more: {error}");
            assert_eq!(error.kind(), ErrorKind::Limit);
            let text = error.to_string();
            assert!(text.contains(what) && text.contains("SessionOptions::max_run_bytes"), "{text}");
            assert!(more < 100, "{name} took {more} MB");
        }
    }
}

#[test]
fn folding_neither_takes_memory_nor_time_without_end() {
    if !alone(module_path!(), "folding_neither_takes_memory_nor_time_without_end", &[]) {
        return;
    }
    let large = || small().initializer(integers("large", &[2], &[1 << 12, 1 << 12]));
    let filled = |index: usize| {
        let name = format!("f{index}");
        node("ConstantOfShape", &name, &["large"], &[&name])
    };
    let with_many = |op: &str, operands: &[&str], count: usize, attribute: Option<Message>| {
        (0..count).fold(large().node(filled(0)), |own, index| {
            let name = format!("many{index}");
            let made = node(op, &name, operands, &[&name]);
            let made = attribute.iter().fold(made, |made, attribute| made.message(5, attribute));
            own.node(made)
        })
    };
    let files = [
        ("sums", with_many("ReduceSum", &["f0"], 50_000, Some(int("keepdims", 0)))),
        ("products", with_many("MatMul", &["f0", "f0"], 3, None)),
    ];
    for (what, file) in files {
        reset_peak();
        let (before, started) = (peak(), std::time::Instant::now());
        let error = refusal(&file.bytes(), &SessionOptions::on(Device::Cpu), 2);
        let (more, seconds) = (peak().saturating_sub(before) >> 20, started.elapsed().as_secs_f64());
        println!("{what}: {more} MB more, {seconds:.1} s: {error}");
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("node `"), "{error}");
        assert!(more < 1_000 && seconds < 20.0, "{what}: {more} MB, {seconds} s");
    }
}

#[cfg(feature = "hugging-face")]
#[test]
fn long_lines_without_spaces_take_little_memory_and_time() {
    if !alone(module_path!(), "long_lines_without_spaces_take_little_memory_and_time", &[]) {
        return;
    }
    let embedder = gristmill::text::Embedder::open(crate::support::data::data("minilm"), Device::Cpu).unwrap();
    let line = |letters: &str| letters.repeat(15_000_000 / letters.len());
    let lines = || [line("日本語中文"), line("一二三四五"), line("天地玄黄宇宙洪荒"), line("水")];
    reset_peak();
    let started = std::time::Instant::now();
    let (vectors, report) = embedder.bulk().workers(2).run(&lines());
    let (most, seconds) = (peak() >> 20, started.elapsed().as_secs_f64());
    println!("{most} MB at the peak, {seconds:.2} s");
    assert_eq!(report.truncated, 4);
    for (vector, line) in vectors.into_iter().zip(lines()) {
        let beginning: String = line.chars().take(300).collect();
        assert_eq!(vector.unwrap(), embedder.embed(&[beginning]).unwrap()[0]);
    }
    assert!(most < 256, "{most} MB");
    assert!(seconds < 2.0, "{seconds} s");
}

//! Products whose weights are held in f16, and look-up tables.

use gristmill::{
    DType, Device, GpuOptions, Inference, Precision, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::Graph,
        kernels::Activation,
        op::{Case, CaseInput, OpDef},
        ops::{
            self,
            product::{linear::Linear, matmul::MatMul},
        },
        shape::{Dim, Shape},
    },
    text::{Embedder, EmbedderOptions},
};
use libtest_mimic::Trial;

use crate::{
    Outcome,
    models::{cosine, glosses},
    on_adapter, options,
    oracle::compare::{Tolerance, difference, expected, inputs_of},
    sessions::lookup,
    support::data,
};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("precision::products_of_f16_weights_agree", products),
        Trial::test("precision::weights_are_rounded_and_no_more", rounded_once),
        Trial::test("precision::weights_of_any_magnitude_are_held", magnitudes),
        Trial::test("precision::f16_weights_past_the_binding_limit_are_cut", cut),
        Trial::test("precision::tables_are_rounded_and_no_more", tables),
        Trial::test("precision::vectors_in_f16_are_close_to_f32", vectors),
        Trial::test("precision::products_by_matrices_agree", matrices),
        Trial::test("precision::what_follows_products_by_matrices_agrees", followed),
        Trial::test("precision::matrices_that_are_missing_or_wrong_are_not_used", not_used),
        Trial::test("precision::vectors_by_matrices_are_close_to_f32", vectors_by_matrices),
        Trial::test("precision::auto_measures_f16", auto_precision),
        Trial::test("precision::auto_without_a_gpu_says_why_it_is_f32", auto_device),
    ]
}

fn in_f16(gpu: GpuOptions) -> SessionOptions {
    options(gpu).precision(Precision::F16)
}

/// To the eleven significant bits that an f16 has, ties to even.
fn eleven_bits(number: f32) -> f32 {
    let bits = number.to_bits();
    let half = (1 << 12) - 1 + (bits >> 13 & 1);
    if number.is_finite() { f32::from_bits((bits + half) & !0x1fff) } else { number }
}

/// The case with constants that f16 holds.
fn held(case: &Case) -> Case {
    let mut case = case.clone();
    for input in &mut case.inputs {
        if let CaseInput::Constant(tensor) = input
            && tensor.dtype() == DType::F32
        {
            let values: Vec<f32> = tensor.as_slice::<f32>().unwrap().iter().copied().map(eleven_bits).collect();
            *tensor = Tensor::new(tensor.shape().to_vec(), &values).unwrap();
        }
    }
    case
}

/// What is wrong with the first result that is.
fn misfit(def: &OpDef, case: &Case, gpu: &GpuOptions) -> Option<String> {
    let session = Session::load(case.graph().ok()?, &in_f16(gpu.clone()));
    let outputs = session.and_then(|session| session.run(&inputs_of(case)));
    // A factor before the weights takes them off the eleven bits again.
    let relative = if def.name == "Gemm" { 1e-3 } else { 1e-4 };
    let tolerance = Tolerance::Sums { absolute: 1e-5, relative };
    let what = match outputs {
        Ok(outputs) => {
            let want = expected(case);
            outputs.iter().zip(&want).find_map(|((_, got), want)| difference(got, want, tolerance))?
        }
        Err(error) => error.to_string(),
    };
    Some(format!("{} `{}`: {what}", def.name, case.name))
}

/// The products whose constant weights are packed.
fn with_weights() -> impl Iterator<Item = &'static OpDef> {
    let named = ["Conv", "Gemm", "Linear", "MatMul"];
    ops::all().iter().copied().filter(move |def| named.contains(&def.name))
}

fn products() -> Outcome {
    let mistaken = on_adapter().testing(|hooks| hooks.plant("unpack2x16float(halves.y)", "unpack2x16float(halves.x)"));
    for def in with_weights() {
        let cases: Vec<Case> = (def.cases)().iter().map(held).collect();
        let failures: Vec<String> = cases.iter().filter_map(|case| misfit(def, case, &on_adapter())).collect();
        if !failures.is_empty() {
            return Err(failures.join("\n").into());
        }
        if !cases.iter().any(|case| misfit(def, case, &mistaken).is_some()) {
            return Err(format!("{} passes with a mistake in how its weights are read", def.name).into());
        }
    }
    Ok(())
}

fn product(k: usize, n: usize, weight: impl Fn(usize) -> f32) -> Graph {
    let mut graph = Graph::new("product");
    let rows = Dim::symbol(graph.symbol("rows"));
    let x = graph.input("x", DType::F32, Shape::new(vec![rows, Dim::from(k)]));
    let weights: Vec<f32> = (0..k * n).map(weight).collect();
    let w = graph.constant("w", Tensor::new([k, n], &weights).unwrap());
    let y = graph.apply("product", MatMul {}, &[x, w]).unwrap();
    graph.output("y", y);
    graph
}

fn rows(count: usize, k: usize) -> Tensors {
    let values: Vec<f32> = (0..count * k).map(|i| (i * 7919 % 1013) as f32 / 500.0 - 1.0).collect();
    Tensors::from([("x", Tensor::new([count, k], &values).unwrap())])
}

/// The one output of a graph.
fn result(graph: Graph, inputs: &Tensors, options: &SessionOptions) -> gristmill::Result<Vec<f32>> {
    let outputs = Session::load(graph, options)?.run(inputs)?;
    outputs.get("y").expect("it is there").as_slice::<f32>().map(<[f32]>::to_vec)
}

/// The results of the product on the CPU in f32 of weights that `change` has changed, and on the device in f16.
fn both(
    (m, k, n): (usize, usize, usize),
    gpu: &GpuOptions,
    weight: impl Fn(usize) -> f32 + Copy,
    change: impl Fn(f32) -> f32,
) -> gristmill::Result<[Vec<f32>; 2]> {
    let changed = product(k, n, |i| change(weight(i)));
    let want = result(changed, &rows(m, k), &SessionOptions::on(Device::Cpu))?;
    Ok([want, result(product(k, n, weight), &rows(m, k), &in_f16(gpu.clone()))?])
}

/// The squared differences over the squares.
fn error_of([want, got]: &[Vec<f32>; 2]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = want.iter().zip(got).map(|(want, got)| square(want - got)).sum();
    apart / want.iter().copied().map(square).sum::<f64>()
}

fn waves(i: usize) -> f32 {
    ((i * 104_729 % 10_007 + 1) as f32).sin() / 8.0
}

fn rounded_once() -> Outcome {
    for (m, k, n) in [(1, 1, 1), (5, 63, 33), (17, 130, 65), (40, 384, 300), (129, 65, 257)] {
        let sizes = format!("{m} x {k} x {n}");
        let exact = error_of(&both((m, k, n), &on_adapter(), waves, eleven_bits)?);
        let apart = error_of(&both((m, k, n), &on_adapter(), waves, |weight| weight)?);
        // NaN is not below.
        if !(exact < 1e-11 && apart < 5e-7) {
            return Err(format!("{sizes}: {exact:e} from rounded weights, {apart:e} from the model's").into());
        }
        if k * n > 100 && apart < 1e-9 {
            return Err(format!("{sizes}: {apart:e} from the model's weights: they are not rounded").into());
        }
    }
    Ok(())
}

fn magnitudes() -> Outcome {
    for magnitude in [1e-37f32, 3e-12, 1e-6, 1.0, 65_504.0, 1e6, 3e30] {
        let weight = |i: usize| waves(i) * magnitude;
        let [mut want, got] = both((20, 70, 40), &on_adapter(), weight, |weight| weight)?;
        // A driver may store zeros for denormals.
        let flushed = |(want, &got): (&mut f32, &f32)| {
            if want.is_subnormal() && got == 0.0 {
                *want = 0.0;
            }
        };
        want.iter_mut().zip(&got).for_each(flushed);
        let apart = error_of(&[want, got]);
        if !(apart < 5e-7 || magnitude < 1e-30 && apart < 1e-5) {
            return Err(format!("weights about {magnitude:e}: {apart:e} from the model's").into());
        }
    }
    // One that no format holds, and a matrix of nothing.
    let [want, got] = both((3, 8, 4), &on_adapter(), |i| if i == 5 { f32::INFINITY } else { waves(i) }, |own| own)?;
    let same = want
        .iter()
        .zip(&got)
        .all(|(want, got)| (want - got).abs() < 1e-3 || (want.is_nan() && got.is_nan()) || want == got);
    let [_, zeros] = both((3, 8, 4), &on_adapter(), |_| 0.0, |own| own)?;
    if same && zeros.iter().all(|&zero| zero == 0.0) { Ok(()) } else { Err(format!("{got:?}, {zeros:?}").into()) }
}

fn cut() -> Outcome {
    // Columns of 384 rows take 768 bytes each.
    let gpu = on_adapter().binding_limit(100 << 10);
    let apart = error_of(&both((9, 384, 300), &gpu, waves, eleven_bits)?);
    let bytes = |gpu: &GpuOptions, precision: Precision| -> gristmill::Result<usize> {
        let session = Session::load(product(384, 300, waves), &options(gpu.clone()).precision(precision))?;
        Ok(session.weight_bytes())
    };
    let (half, whole) = (bytes(&on_adapter(), Precision::F16)?, bytes(&on_adapter(), Precision::F32)?);
    // 300 columns are three tiles of 128.
    if whole - half != 384 * 384 * 2 {
        return Err(format!("{half} bytes of weights where f32 takes {whole}").into());
    }
    if apart < 1e-11 { Ok(()) } else { Err(format!("{apart:e} from weights in one part").into()) }
}

fn tables() -> Outcome {
    let indices: Vec<i64> = (0..500).map(|i| (i * 37) % 1000 - 500).collect();
    let inputs = Tensors::from([("x", Tensor::new([500], &indices)?)]);
    let want = result(lookup(500), &inputs, &SessionOptions::on(Device::Cpu))?;
    let want: Vec<f32> = want.into_iter().map(eleven_bits).collect();
    // In one part, and in parts of 62 rows of 32 bytes.
    for gpu in [on_adapter(), on_adapter().binding_limit(32_000)] {
        let session = |precision| Session::load(lookup(500), &options(gpu.clone()).precision(precision));
        let (half, whole) = (session(Precision::F16)?, session(Precision::F32)?);
        let got = half.run(&inputs)?;
        if got.get("y").unwrap().as_slice::<f32>()? != want {
            return Err("the table is not rounded to f16, or more than that".into());
        }
        if half.weight_bytes() * 2 > whole.weight_bytes() + 2048 {
            return Err(format!("{} bytes where f32 takes {}", half.weight_bytes(), whole.weight_bytes()).into());
        }
    }
    Ok(())
}

fn vectors() -> Outcome {
    let texts = glosses(if crate::models::is_full() { 200 } else { 16 })?;
    let embed = |options: SessionOptions| -> Result<_, libtest_mimic::Failed> {
        let embedder = Embedder::open_with(data::data("minilm"), &EmbedderOptions::default().session(options))?;
        let (vectors, report) = embedder.bulk().run(&texts);
        Ok((vectors.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?, report))
    };
    let (exact, _) = embed(SessionOptions::on(Device::Cpu))?;
    let (rounded, report) = embed(in_f16(on_adapter()))?;
    if report.precision != "f16" {
        return Err(format!("the report says {}", report.precision).into());
    }
    let cosines: Vec<f64> = exact.iter().zip(&rounded).map(|(own, other)| cosine(own, other)).collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    let least = cosines.iter().copied().fold(1.0, f64::min);
    println!("cosines of {} vectors: mean {mean:.7}, least {least:.7}", cosines.len());
    if mean >= 0.9995 && least >= 0.999 { Ok(()) } else { Err(format!("mean {mean}, least {least}").into()) }
}

/// Cooperative matrices, with loops in place of their instructions.
fn by_matrices() -> GpuOptions {
    on_adapter().cooperative_matrices().testing(|hooks| hooks.emulated_matrices = true)
}

/// The kernel set and the notes of a session for that product.
fn told(graph: Graph, options: &SessionOptions) -> gristmill::Result<(String, String)> {
    let told = Session::load(graph, options)?.describe();
    Ok((told.kernel_set, told.notes.join("\n")))
}

fn matrices() -> Outcome {
    let (gpu, cpu) = (by_matrices(), SessionOptions::on(Device::Cpu));
    // The device stays open, and tested.
    let _held = Session::load(product(64, 64, waves), &in_f16(gpu.clone()))?;
    // Fewer rows than a matrix has, as many, some past its end, some past that of a tile; a few columns or summands more.
    for (m, k, n) in [(1, 16, 48), (15, 40, 80), (16, 16, 64), (17, 33, 48), (70, 130, 272), (129, 65, 144)] {
        let sizes = format!("{m} x {k} x {n}");
        let (set, notes) = told(product(k, n, waves), &in_f16(gpu.clone()))?;
        if !set.ends_with("cooperative matrices") {
            return Err(format!("{sizes} ran with `{set}`: {notes}").into());
        }
        let x = rows(m, k);
        let rounded: Vec<f32> = x.get("x").unwrap().as_slice::<f32>()?.iter().copied().map(eleven_bits).collect();
        let rounded = Tensors::from([("x", Tensor::new([m, k], &rounded)?)]);
        let want = result(product(k, n, |i| eleven_bits(waves(i))), &rounded, &cpu)?;
        let got = result(product(k, n, waves), &x, &in_f16(gpu.clone()))?;
        let apart = error_of(&[want, got.clone()]);
        if apart.is_nan() || apart >= 1e-11 {
            return Err(format!("{sizes}: {apart:e} from rounded factors").into());
        }
        // A row alone is not multiplied by matrices, but of the same factors.
        let first = Tensors::from([("x", Tensor::new([1, k], &x.get("x").unwrap().as_slice::<f32>()?[..k])?)]);
        let alone = result(product(k, n, waves), &first, &in_f16(gpu.clone()))?;
        if crate::differ(&alone, &got[..n], 1e-5) {
            return Err(format!("{sizes}: its neighbours change a row").into());
        }
    }
    // Sizes that are not of whole matrices are left to the tiled kernel.
    let (set, notes) = told(product(40, 50, waves), &in_f16(gpu))?;
    if set.contains("cooperative") || !notes.contains("no product fits") { Err((set + &notes).into()) } else { Ok(()) }
}

fn followed() -> Outcome {
    let (m, k, n) = (37usize, 50usize, 96usize);
    let numbers = |shape: &[usize], step: usize| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (i * step % 251) as f32 / 125.0 - 1.0).collect();
        Tensor::new(shape, &values).unwrap()
    };
    let graph = |layer_norm: Option<f32>| {
        let mut graph = Graph::new("followed");
        let rows = Dim::symbol(graph.symbol("rows"));
        let x = graph.input("x", DType::F32, Shape::new(vec![rows.clone(), Dim::from(k)]));
        let residual = graph.input("residual", DType::F32, Shape::new(vec![rows, Dim::from(n)]));
        let mut operands = vec![x, graph.constant("w", numbers(&[k, n], 37))];
        operands.extend([graph.constant("bias", numbers(&[n], 11)), residual]);
        if layer_norm.is_some() {
            operands.push(graph.constant("scale", numbers(&[n], 7)));
        }
        let y = graph.apply("y", Linear { activation: Activation::Gelu, layer_norm, rounded: false }, &operands);
        graph.output("y", y.unwrap());
        graph
    };
    let inputs = Tensors::from([("x", numbers(&[m, k], 17)), ("residual", numbers(&[m, n], 23))]);
    for layer_norm in [None, Some(1e-5)] {
        let want = result(graph(layer_norm), &inputs, &SessionOptions::on(Device::Cpu))?;
        for mistake in [None, Some(("+ bias[own]", "+ bias[0]")), Some(("+ residual[at]", ""))] {
            let gpu = by_matrices()
                .testing(|hooks| hooks.planted = mistake.map(|(from, to)| (from.to_owned(), to.to_owned())));
            let got = result(graph(layer_norm), &inputs, &in_f16(gpu))?;
            let apart = error_of(&[want.clone(), got]);
            if (apart < 1e-6) != mistake.is_none() {
                return Err(format!("{apart:e} from the cpu's, with {mistake:?} and a norm {layer_norm:?}").into());
            }
        }
    }
    Ok(())
}

fn not_used() -> Outcome {
    let graph = || product(64, 64, waves);
    let (set, notes) = told(graph(), &in_f16(on_adapter().cooperative_matrices()))?;
    let used = set.contains("cooperative");
    if !used && !notes.contains("cooperative matrices are not used: ") {
        return Err(format!("{set}: {notes}").into());
    }
    println!("cooperative matrices: {}", if used { "used" } else { &notes });
    let gpu = by_matrices().testing(|hooks| hooks.plant("all[j] +=", "all[j] ="));
    let (set, notes) = told(graph(), &in_f16(gpu.clone()))?;
    if set.contains("cooperative") || !notes.contains("self-test failed") {
        return Err(format!("{set}: {notes}").into());
    }
    let apart = error_of(&both((40, 64, 64), &gpu, waves, eleven_bits)?);
    if apart.is_nan() || apart >= 1e-11 {
        return Err(format!("{apart:e} without matrices").into());
    }
    let (set, notes) = told(graph(), &options(by_matrices()))?;
    let said = notes.contains("they multiply f16") && !set.contains("cooperative");
    if said { Ok(()) } else { Err(format!("{set}: {notes}").into()) }
}

fn vectors_by_matrices() -> Outcome {
    let texts = glosses(if crate::models::is_full() { 50 } else { 2 })?;
    let embed = |options: SessionOptions| -> Result<_, libtest_mimic::Failed> {
        let embedder = Embedder::open_with(data::data("minilm"), &EmbedderOptions::default().session(options))?;
        Ok(embedder.embed(&texts).map_err(|error| error.to_string())?)
    };
    let (exact, rounded) = (embed(SessionOptions::on(Device::Cpu))?, embed(in_f16(by_matrices()))?);
    let least = exact.iter().zip(&rounded).map(|(own, other)| cosine(own, other)).fold(1.0, f64::min);
    println!("cosines of {} vectors: least {least:.7}", texts.len());
    if least >= 0.9995 { Ok(()) } else { Err(format!("a cosine of {least}").into()) }
}

fn auto_precision() -> Outcome {
    let items: Vec<Tensors> = (0..40).map(|_| rows(3, 64)).collect();
    let settled = |min_cosine: f32, device: Device| -> Result<_, libtest_mimic::Failed> {
        let gpu = on_adapter().testing(|hooks| hooks.favoured = Some(1_000_000));
        let options = SessionOptions::on(device).gpu(gpu).precision(Precision::Auto { min_cosine });
        let bulk = gristmill::bulk::Bulk::new(Session::load(product(64, 64, waves), &options)?);
        let (results, report) = bulk.run(&items);
        if results.iter().any(Result::is_err) || !report.device.starts_with("gpu") {
            return Err(format!("{}: {:?}", report.device, report.notes).into());
        }
        let own: Vec<String> = report.notes.into_iter().filter(|note| note.starts_with("precision auto: ")).collect();
        Ok((report.precision, own.join("\n")))
    };
    for device in [Device::Gpu, Device::Auto] {
        let (precision, why) = settled(0.9, device)?;
        // Which one is faster here is not for a test to say.
        let taken = why.starts_with("precision auto: f16, cosine") && precision == "f16";
        let left = why.starts_with("precision auto: f32: f16, cosine") && precision == "f32";
        if !taken && !left {
            return Err(format!("{precision}: {why}").into());
        }
    }
    let (precision, why) = settled(1.0, Device::Gpu)?;
    if precision == "f32" && why.contains("f16 gives a cosine") { Ok(()) } else { Err((precision + &why).into()) }
}

fn auto_device() -> Outcome {
    // A device that is asked for and not there is an error, one that may be is not.
    let auto = SessionOptions::on(Device::Auto).gpu(GpuOptions::adapter("no such adapter")).precision(Precision::F16);
    let session = Session::load(product(8, 4, waves), &auto)?;
    let told = session.describe();
    let noted = told.notes.iter().any(|note| note.contains("f16 is built on a gpu only"));
    if !noted || told.precision != "f32" || session.precision() != Some(Precision::F32) {
        return Err(format!("{} {:?}", told.precision, told.notes).into());
    }
    let cpu = Session::load(product(8, 4, waves), &SessionOptions::on(Device::Cpu).precision(Precision::F16));
    match cpu {
        Err(error) if error.to_string().contains("on a gpu only") => Ok(()),
        Err(error) => Err(error.to_string().into()),
        Ok(_) => Err("a cpu takes f16".into()),
    }
}

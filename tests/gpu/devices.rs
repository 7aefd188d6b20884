//! Which device a job runs on, and what becomes of it where the device is lost, late or short of memory.

use std::sync::Arc;

use gristmill::{
    DType, Device, ErrorKind, GpuOptions, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::Graph,
        ops::{
            norm::softmax::Softmax,
            pointwise::{Unary, UnaryFunction, cast::Cast},
        },
        shape::{Dim, Shape},
    },
};
use libtest_mimic::Trial;

use crate::{
    Outcome, adapter, differ, on_adapter, options,
    sessions::{lookup, numbers, of_one, unary},
};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("devices::a_lost_device_is_opened_again_then_left", lost),
        Trial::test("devices::a_job_outlives_its_device", lost_job),
        Trial::test("devices::a_job_outlives_runs_that_take_too_long", too_long),
        Trial::test("devices::an_adapter_without_a_limit_is_left", without_limit),
        Trial::test("devices::runs_without_memory_are_halved", halved),
        Trial::test("devices::several_share_the_chunks_of_a_job", several),
        Trial::test("devices::staging_buffers_are_used_again", staging),
        Trial::test("devices::what_the_host_keeps_is_counted", kept_on_host),
        Trial::test("devices::auto_takes_no_software_adapter", auto_software),
        Trial::test("devices::auto_takes_the_device_that_was_measured_to_be_faster", auto_measures),
    ]
}

/// What is promised where there is no adapter as well.
pub fn without_adapter() -> Vec<Trial> {
    vec![Trial::test("devices::an_adapter_that_is_not_there_is_an_error", no_adapter)]
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

fn several() -> Outcome {
    let (items, due) = rows_and_results(400)?;
    let session = Session::load(graph_of_rows(), &options(GpuOptions::adapter(format!("{0}, {0}", adapter()))))?;
    let one = Session::load(graph_of_rows(), &options(on_adapter()))?;
    if session.weight_bytes() != 2 * one.weight_bytes() {
        return Err(
            format!("{} bytes of weights instead of twice {}", session.weight_bytes(), one.weight_bytes()).into()
        );
    }
    let (got, report) = gristmill::bulk::Bulk::new(Arc::new(session)).workers(2).chunk_size(7).run(&items);
    near(got, &due)?;
    let of = |second: bool| report.devices.iter().find(|own| own.device.ends_with(", session 2") == second);
    let (Some(first), Some(second)) = (of(false), of(true)) else { return Err(report.to_json().into()) };
    let told = [format!("{}, session 2", first.device), format!("{} + {}", first.device, second.device)];
    let fits = told == [second.device.clone(), report.device.clone()]
        && first.items + second.items == items.len()
        && first.items.min(second.items) > 0
        && report.notes.iter().any(|note| note.starts_with("2 sessions share the chunks"));
    if fits { Ok(()) } else { Err(report.to_json().into()) }
}

fn auto_measures() -> Outcome {
    let (items, due) = rows_and_results(300)?;
    // A named adapter is measured, be it a software one.
    for (favoured, on_gpu) in [(0, false), (u32::MAX, true)] {
        let gpu = on_adapter().testing(|hooks| hooks.favoured = Some(favoured));
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
                && note.to_lowercase().contains(&adapter().to_lowercase())
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
    let gpu = on_adapter().testing(|hooks| {
        hooks.favoured = Some(u32::MAX);
        hooks.plant("let own = x[start + i * p.inner] - largest", "let own = f32(i)");
    });
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
    on_adapter().testing(|hooks| hooks.lost_in_run = Some(run))
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
    let gpu = on_adapter().testing(|hooks| hooks.invocation_limit = Some(128));
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
    let gpu = on_adapter().testing(|hooks| hooks.memory_limit = Some(1000));
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

//! The CPU: both jobs with more and more workers, each in a process that is pinned to as many processors.

use std::{env, process::Command, time::Instant};

use gristmill::{Device, Model, Precision, SessionOptions, bulk::Bulk};
use serde_json::Value;

use crate::{
    Failure, Kit, Outcome, figure,
    steps::{
        embedder, encoders, glosses,
        identify::{MODEL, files},
        peers,
        texts::job,
    },
};

pub fn run(kit: &Kit) -> Outcome {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let counts: Vec<usize> = [1, 2, 4, 8, 16].into_iter().filter(|&count| count <= most).collect();
    for (name, precision) in [("embed", "f32"), ("identify", "f32"), ("embed", "bf16"), ("identify", "bf16")] {
        let mut first = None;
        for &count in &counts {
            let speed = match pinned(kit, &format!("{name},{precision},{count}"), count) {
                Ok(speed) => speed,
                Err(error) => {
                    figure::note(format!("{name}, {precision}, {count} workers: {error}"));
                    continue;
                }
            };
            let row = format!("{name}, {precision}");
            figure::cell("items/s by workers", &row, &count.to_string(), speed);
            let first = *first.get_or_insert(speed);
            figure::cell("times that of one worker", &row, &count.to_string(), speed / first);
        }
    }
    peers::onnxruntime(kit, &counts)
}

/// The items a second of one process on `count` processors.
fn pinned(kit: &Kit, what: &str, count: usize) -> Result<f64, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["step", &format!("scaling={what}")]).arg(&kit.folder).args(kit.tiny.then_some("--tiny"));
    pin(&mut command, count);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let speed = text.lines().filter_map(figure::of_line).find_map(|figure| figure["value"].as_f64());
    speed.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Binds a process to the first `count` of this one's processors, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn pin(_: &mut Command, _: usize) {}

/// Binds a process to the first `count` of this one's processors.
#[cfg(target_os = "linux")]
pub fn pin(command: &mut Command, count: usize) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the call is made between fork and exec, allocates nothing, and writes to a set of its own.
    unsafe {
        command.pre_exec(move || {
            let (mut all, mut own): (libc::cpu_set_t, libc::cpu_set_t) = (std::mem::zeroed(), std::mem::zeroed());
            let size = size_of::<libc::cpu_set_t>();
            if libc::sched_getaffinity(0, size, &mut all) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let mut left = count;
            for cpu in 0..libc::CPU_SETSIZE as usize {
                if left > 0 && libc::CPU_ISSET(cpu, &all) {
                    libc::CPU_SET(cpu, &mut own);
                    left -= 1;
                }
            }
            match libc::sched_setaffinity(0, size, &own) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

/// One job in this process: `JOB,PRECISION,WORKERS`.
pub fn one(kit: &Kit, what: &str) -> Outcome {
    let [name, precision, workers] = what.split(',').collect::<Vec<_>>()[..] else {
        return Err(format!("`{what}` is not JOB,PRECISION,WORKERS").into());
    };
    let (precision, workers): (Precision, usize) = (precision.parse()?, workers.parse()?);
    let options = SessionOptions::on(Device::Cpu).precision(precision);
    // About a second of work on any number of workers.
    let mut items = kit.pick(64 * workers, 4);
    loop {
        let started = Instant::now();
        let report = match name {
            "embed" => {
                let [minilm, _] = encoders(kit);
                let embedder = embedder(kit, &minilm, options.clone(), 256)?;
                let texts = glosses(kit, items)?;
                embedder.bulk().workers(workers).run(&texts[..texts.len().min(16)]);
                embedder.bulk().workers(workers).run(&texts).1
            }
            _ => {
                let bulk = Bulk::new(Model::from_bytes(MODEL)?.session(&options)?).workers(workers);
                let files = files(items)?;
                bulk.run(&files[..files.len().min(16)]);
                bulk.run(&files).1
            }
        };
        let report = job(&report, what)?;
        if report.seconds > 0.5 || kit.tiny || started.elapsed().as_secs_f64() > 3.0 {
            let speed: Value = report.items_per_second.into();
            figure::cell("items/s", what, "", speed);
            return Ok(());
        }
        items = (items as f64 * (0.8 / report.seconds.max(0.01)).clamp(1.5, 50.0)) as usize;
    }
}

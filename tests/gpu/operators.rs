//! Every operator on every case.

use std::collections::BTreeSet;

use gristmill::{
    DType, GpuOptions, Result, Session, Tensor,
    testing::{
        op::{Case, CaseInput, CpuState, GpuState, OpDef},
        ops,
    },
};
use libtest_mimic::Trial;

use crate::{
    Outcome, is_software, on_adapter, options,
    oracle::compare::{Tolerance, difference, expected, expected_of, inputs_of, nearer, without_denormals},
    sessions::holder,
};

pub fn trials() -> Vec<Trial> {
    let listed = ops::all().iter().filter(|def| !matches!(def.cpu, CpuState::Folded));
    let mut trials: Vec<Trial> =
        listed.map(|&def| Trial::test(format!("operator::{}", def.name), move || agrees(def))).collect();
    trials.push(Trial::test("operators::a_planted_wrong_shader_is_rejected", planted));
    trials.push(Trial::test("operators::rows_are_worked_along_with_and_without_subgroups", by_subgroups));
    trials.push(Trial::test("operators::checked_and_unchecked_shaders_agree", checked));
    trials
}

/// The results of a case, and whether its operator ran on the device.
fn run(case: &Case, gpu: &GpuOptions) -> Result<(Vec<Tensor>, bool)> {
    let session = Session::load(case.graph()?, &options(gpu.clone()))?;
    let outputs = session.run(&inputs_of(case))?;
    Ok((outputs.iter().map(|(_, tensor)| tensor.clone()).collect(), session.host_operators().is_empty()))
}

/// What moves elements moves them bit for bit; the rest is held to what GPUs round.
fn tolerance(def: &OpDef) -> Tolerance {
    match def.gpu {
        GpuState::Kernel(
            "arg_reduce" | "fill" | "gather" | "gather_elements" | "gather_nd" | "move" | "pad" | "segment_windows"
            | "top_k",
        ) => Tolerance::Exact,
        GpuState::Kernel("pointwise") => Tolerance::Each { absolute: 1e-5, relative: 1e-4 },
        GpuState::Kernel(_) => Tolerance::Sums { absolute: 1e-5, relative: 1e-4 },
        _ => Tolerance::of(def.accuracy),
    }
}

/// Whether an operand of the run holds an integer that a GPU does not carry.
fn is_wide(case: &Case) -> bool {
    case.inputs.iter().any(|input| match input {
        CaseInput::Value(tensor) if tensor.dtype() == DType::I64 => {
            tensor.as_slice::<i64>().unwrap().iter().any(|&integer| i32::try_from(integer).is_err())
        }
        _ => false,
    })
}

/// Whether the case has strings, which a GPU does not hold.
fn has_strings(case: &Case) -> bool {
    let Ok(graph) = case.graph() else { return false };
    let mut ids = graph.inputs().iter().chain(graph.outputs());
    ids.any(|&id| graph.fact(id).dtype == DType::String)
}

fn agrees(def: &OpDef) -> Outcome {
    let mut failures = Vec::new();
    let mut on_device = 0;
    for case in (def.cases)() {
        let case_failed = |what: String| format!("`{}`: {what}", case.name);
        match run(&case, &on_adapter()) {
            Ok((got, here)) => {
                let want = expected(&case);
                on_device += usize::from(here);
                let tolerance = if here { tolerance(def) } else { Tolerance::of(def.accuracy) };
                if got.len() != want.len() {
                    failures.push(case_failed(format!("{} results instead of {}", got.len(), want.len())));
                }
                // A driver may take denormals for zeros.
                let flushed = expected_of(&case, |_, tensor| without_denormals(tensor));
                let due = got.iter().zip(want).zip(&flushed).map(|((got, want), other)| nearer(got, want, other));
                let differences = got.iter().zip(due).filter_map(|(got, want)| difference(got, &want, tolerance));
                failures.extend(differences.map(case_failed));
            }
            Err(error) if is_wide(&case) && error.to_string().contains("32 bits") => {}
            Err(error) if has_strings(&case) && error.to_string().contains("strings") => {}
            Err(error) => failures.push(case_failed(format!("failed: {error}"))),
        }
    }
    if matches!(def.gpu, GpuState::Kernel(_)) && on_device == 0 {
        failures.push("no case ran on the device".to_owned());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// Whether every case of the operator passes with a text of the shaders replaced.
fn passes_planted(name: &str, from: &str, to: &str) -> bool {
    let def = ops::all().iter().find(|def| def.name == name).expect("the operator is in the list");
    let gpu = on_adapter().testing(|hooks| hooks.plant(from, to));
    let _held = holder(&gpu);
    (def.cases)().iter().all(|case| match run(case, &gpu) {
        Ok((got, _)) => {
            got.iter().zip(&expected(case)).all(|(got, want)| difference(got, want, tolerance(def)).is_none())
        }
        Err(error) => is_wide(case) && error.to_string().contains("32 bits"),
    })
}

fn planted() -> Outcome {
    let mistakes = [
        ("Softmax", "exp(own) / sum", "exp(own) / (sum * 1.001)"),
        ("LayerNormalization", "+ p.epsilon", "+ 0.01"),
        ("Transpose", "y[y_at] = x[x_at]", "y[y_at] = x[x_at] ^ 1u"),
        ("Gather", "index += i32(p.rows)", "index += 0"),
        ("Gelu", "0.70710678", "0.7072"),
        ("ArgMax", "bits | 0x80000000u, ~bits", "bits | 0x80000000u, bits"),
        ("BatchNormalization", "+ p.epsilon", "+ 0.01"),
        ("CumSum", "sum + x[own]", "x[own]"),
        ("DepthToSpace", "y[y_at] = x[x_at]", "y[y_at] = x[i]"),
        ("GatherElements", "index + i32(size)", "index"),
        ("GatherND", "p.size_0, p.step) * p.x_step_0", "p.size_0, p.step)"),
        ("InstanceNormalization", "+ p.epsilon", "+ 0.1"),
        ("MatMul", "row * p.a_row + k * p.a_k", "row * p.a_row"),
        ("MaxPool", "first.y + b * DILATION.y", "first.y + b"),
        ("Mod", "left = large.exponent", "left = large.exponent - 1"),
        ("OneHot", "i32(row) - i32(p.outer)", "i32(row)"),
        ("Pad", "select(period - at, at, at < size)", "at"),
        ("Pow", "odd && ", "false && "),
        ("ReduceLogSumExp", "log_of(total) + largest", "log_of(total)"),
        ("ScatterElements", "(old + next)", "next"),
        ("Sin", "high >> 30u", "high >> 29u"),
        ("TopK", "a.key > b.key", "a.key >= b.key"),
        ("Trilu", "column) >= i32(row", "column) > i32(row"),
        ("ConvTranspose", "(first - distance) % stride != 0u", "false"),
        ("DisentangledAttention", "distance_place(first + j, row)", "distance_place(row, first + j)"),
        ("PackedAttention", "distance_place(row, first + j)", "distance_place(first + j, row)"),
        ("PackedAttention", "row - key > p.before", "row - key >= p.before"),
        ("PackedAttention", "min(keys_end, start + seen)", "keys_end"),
        ("Resize", "2u * tap_1", "2u * tap_0"),
        ("SegmentWindows", "own < end", "own <= end"),
        ("RotaryHeads", "select(sine, -sine", "select(-sine, sine"),
    ];
    let names: BTreeSet<&str> = mistakes.iter().map(|(name, ..)| *name).collect();
    if let Some(name) = names.into_iter().find(|name| !passes_planted(name, "no such text", "")) {
        return Err(format!("{name} fails without a mistake").into());
    }
    for (name, from, to) in mistakes {
        if passes_planted(name, from, to) {
            return Err(format!("{name} passes with `{to}` in place of `{from}`").into());
        }
    }
    Ok(())
}

/// The shaders that work along rows, in the variant that is asked for.
fn by_subgroups() -> Outcome {
    let along_rows: Vec<&OpDef> = ops::all()
        .iter()
        .copied()
        .filter(|def| matches!(def.gpu, GpuState::Kernel("norm" | "reduce" | "softmax")))
        .collect();
    let passes = |asked: bool, planted: Option<(&str, &str)>| -> std::result::Result<(), String> {
        let mut gpu =
            on_adapter().testing(|hooks| hooks.planted = planted.map(|(from, to)| (from.to_owned(), to.to_owned())));
        gpu.subgroups = Some(asked);
        let _held = holder(&gpu);
        for def in &along_rows {
            for case in (def.cases)() {
                let session = Session::load(case.graph().map_err(|error| error.to_string())?, &options(gpu.clone()));
                let session = session.map_err(|error| error.to_string())?;
                let told = gristmill::Inference::describe(&session).kernel_set;
                if (told == "wgsl with subgroups") != asked {
                    return Err(format!("{} `{}` ran with `{told}`", def.name, case.name));
                }
                let outputs = session.run(&inputs_of(&case));
                let outputs = match outputs {
                    Err(error) if is_wide(&case) && error.to_string().contains("32 bits") => continue,
                    outputs => outputs.map_err(|error| error.to_string())?,
                };
                for ((_, got), want) in outputs.iter().zip(&expected(&case)) {
                    if let Some(what) = difference(got, want, tolerance(def)) {
                        return Err(format!("{} `{}`: {what}", def.name, case.name));
                    }
                }
            }
        }
        Ok(())
    };
    passes(false, None)?;
    match passes(true, None) {
        // An adapter may have none.
        Err(what) if what.contains("has no subgroups") => return Ok(()),
        result => result?,
    }
    if passes(true, Some(("total += row_part[i]", "total = row_part[i]"))).is_ok() {
        return Err("a mistake in the sum of subgroups is not noticed".into());
    }
    if passes(true, Some(("larger(largest, row_part[i])", "row_part[i]"))).is_ok() {
        return Err("a mistake in the largest of subgroups is not noticed".into());
    }
    Ok(())
}

fn checked() -> Outcome {
    let mut compared = 0;
    let _held = holder(&on_adapter().checked_shaders());
    for def in ops::all().iter().filter(|def| matches!(def.gpu, GpuState::Kernel(_))) {
        for case in (def.cases)() {
            if is_wide(&case) {
                continue;
            }
            let (fast, here) = run(&case, &on_adapter())?;
            if !here {
                continue;
            }
            let (slow, _) = run(&case, &on_adapter().checked_shaders())?;
            // A driver may contract multiplications and additions otherwise where there are checks between them.
            let tolerance = if is_software() { Tolerance::Exact } else { tolerance(def) };
            let same = |a: &Tensor, b: &Tensor| difference(a, b, tolerance);
            if let Some(what) = fast.iter().zip(&slow).find_map(|(a, b)| same(a, b)) {
                return Err(format!("{} `{}`: {what} with checks", def.name, case.name).into());
            }
            compared += 1;
        }
    }
    if compared < 100 { Err(format!("only {compared} cases were compared").into()) } else { Ok(()) }
}

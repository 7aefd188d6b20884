//! Other programs on the same work, where Python and they are there.

use std::process::{Command, Stdio};

use crate::{
    Kit, Outcome, figure,
    steps::{identify::MODEL, scaling::pin},
};

/// PyTorch on the card.
pub fn torch(kit: &Kit) -> Outcome {
    python(kit, "torch_peer.py", "torch", &[if kit.tiny { "tiny" } else { "real" }.to_owned()], None)
}

/// ONNX Runtime on the processor, with as many threads as workers.
pub fn onnxruntime(kit: &Kit, counts: &[usize]) -> Outcome {
    let model = kit.folder.join("data/magika.onnx");
    std::fs::write(&model, MODEL)?;
    for &count in counts {
        let words = [model.display().to_string(), count.to_string(), kit.pick("256", "4").to_owned()];
        python(kit, "onnx_peer.py", "onnxruntime", &words, Some(count))?;
    }
    Ok(())
}

/// Runs a script of the kit if Python has the module; its figures are this step's.
fn python(kit: &Kit, script: &str, module: &str, words: &[String], count: Option<usize>) -> Outcome {
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        figure::note(format!("{module} is not there"));
        return Ok(());
    }
    let mut command = Command::new("python3");
    command.arg(kit.folder.join(script)).args(words);
    if let Some(count) = count {
        pin(&mut command, count);
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{script} ended with {status}").into()) }
}

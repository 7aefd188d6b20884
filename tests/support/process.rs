//! Further processes: single tests of this binary, and the examples.

use std::{env, path::Path, process::Command};

/// Tells a test that it is in a process of its own.
const ALONE: &str = "GRISTMILL_TEST_ALONE";

/// This binary, running only one test of the module that `module_path!()` names.
pub fn test(module: &str, name: &str) -> Command {
    let (_, module) = module.split_once("::").expect("a module of a room");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{name}"), "--nocapture", "--test-threads=1"]);
    command
}

/// Whether the calling test is in a process of its own. If not, it is run in one here, with more in its environment.
pub fn alone(module: &str, name: &str, environment: &[(&str, &str)]) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let output = test(module, name).env(ALONE, "1").envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// An example, as `cargo test` has built it.
pub fn example(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    Command::new(example)
}

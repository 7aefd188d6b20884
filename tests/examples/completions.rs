//! Completions for shells: each flag of `--help` is in them, and the shells that are here accept them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::support::process::example;

fn printed(arguments: &[&str]) -> String {
    let output = example("embed").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_flag_is_completed() {
    let help = printed(&["--help"]);
    let starts = |line: &&str| line.starts_with("  --");
    let flags: Vec<&str> = help.lines().filter(starts).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(flags.len() > 30 && flags.contains(&"--out-dir") && flags.contains(&"--report"), "{flags:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["--completions", shell]);
        for flag in flags.iter().copied().chain(["--dimensions"]) {
            let name = if shell == "fish" { format!("-l {} ", &flag[2..]) } else { flag.to_owned() };
            assert!(script.contains(&name), "{flag} of {shell}");
        }
        assert!(script.contains("auto cpu gpu"), "{shell}");
        // Its own parser, where the shell is here.
        if let Ok(mut child) = Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let output = example("embed").args(["--completions", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
#[cfg(unix)]
fn bash_completes_flags_and_words() {
    let script = printed(&["--completions", "bash"]);
    let complete = |words: &str, last: usize| {
        let ask = format!("{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}; _embed; echo \"${{COMPREPLY[@]}}\"");
        let Ok(output) = Command::new("bash").args(["-c", &ask]).output() else { return None };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let cases = [("embed --out-", 1, "--out-dir"), ("embed --device g", 2, "gpu"), ("embed texts.", 1, "")];
    for (words, last, due) in cases {
        assert!(complete(words, last).is_none_or(|found| found == due), "{words}: {:?}", complete(words, last));
    }
}

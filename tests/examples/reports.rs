//! Reports of commands: as JSON, and as pages that are looked at in a browser where there is one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::process::example;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/words/model2vec");

/// A name that would be markup.
const NAME: &str = "a<b onclick='x'>&\".txt";

fn place() -> TempDir {
    place_of(3000)
}

/// So many texts, and a line that is none.
fn place_of(texts: usize) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let mut text: Vec<u8> = (0..texts).flat_map(|line| format!("one word and {line} more\n").into_bytes()).collect();
    text.extend(b"\xff\xfe is no text\n");
    fs::write(place.path().join(NAME), text).unwrap();
    place
}

fn embed(place: &TempDir) -> Command {
    let mut command = example("embed");
    command.args(["--device", "cpu", "--model", MODEL]).arg(place.path().join(NAME)).stderr(Stdio::piped());
    command
}

/// Runs a command in which a row fails; returns what is in the report.
fn report(command: &mut Command, path: &Path) -> String {
    let output = command.arg("--report").arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_name_of_a_report_tells_its_form() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let out = ["--out", path("out.npy").to_str().unwrap()].map(str::to_owned);
    let json = report(embed(&place).args(&out), &path("report.json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["items"], &json["errors"]), (&3001.into(), &1.into()));
    let page = report(embed(&place).args(&out), &path("report.HTML"));
    for part in
        ["<h1>embed</h1>", "3,001 items", "1 failed.", "<td>read</td>", "a&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;.txt"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<b onclick"), "{page}");
}

#[test]
#[cfg(feature = "files")]
fn a_report_of_a_job_over_files_names_rows() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let page = report(embed(&place).arg("--out-dir").arg(path("out")).args(["--rows", "1000"]), &path("report.html"));
    let row = "a&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;.txt, row ";
    for part in [row, ">4 of 4<", ">3001 of 3001<", "failed rows of the whole job"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

/// A browser without a window, where there is one.
fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.is_file())
}

/// `GRISTMILL_SHOTS=DIR` keeps the pictures.
#[test]
fn a_browser_shows_a_page() {
    let Some(browser) = browser() else {
        eprintln!("SKIPPED: there is no Chromium");
        return;
    };
    // Long enough for several measures over time.
    let place = place_of(300_000);
    let path = place.path().join("report.html");
    report(embed(&place).args(["--out", place.path().join("out.npy").to_str().unwrap()]), &path);
    let shots = std::env::var_os("GRISTMILL_SHOTS").map_or(place.path().to_owned(), PathBuf::from);
    let see = |more: &[&str]| {
        let mut command = Command::new(&browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]);
        let profile = place.path().join("profile");
        command.arg(format!("--user-data-dir={}", profile.display())).args(more);
        let output = command.arg(format!("file://{}", path.display())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let page = see(&["--dump-dom"]);
    // What the browser made of it has each part, and nothing of the name has become markup.
    for part in ["300,001 items", "<svg", "Throughput", "Chunk sizes", "a&lt;b onclick='x'&gt;&amp;\".txt"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    for (name, size, dark) in [("wide", "1100,1500", false), ("phone", "500,2400", false), ("dark", "1100,1500", true)]
    {
        let picture = shots.join(format!("report-{name}.png"));
        let shot = format!("--screenshot={}", picture.display());
        let theme =
            if dark { "--blink-settings=preferredColorScheme=0" } else { "--blink-settings=preferredColorScheme=1" };
        see(&[&shot, &format!("--window-size={size}"), theme]);
        assert!(fs::metadata(&picture).unwrap().len() > 20_000, "{name}");
    }
}

/// What drivers write that are only asked whether they are there would be noise of every command.
#[test]
fn looking_for_a_device_says_nothing() {
    let place = place();
    let mut command = example("embed");
    command.args(["--device", "auto", "--model", MODEL]).arg(place.path().join(NAME));
    command.arg("--out").arg(place.path().join("out.npy"));
    for variable in ["XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "DISPLAY", "NODEVICE_SELECT"] {
        command.env_remove(variable);
    }
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    let own = ["line 3001: ", "1 lines failed", "1 of 3001 failed", "3001 items in ", "note: "];
    for line in said.lines() {
        let is_own = own.iter().any(|start| line.starts_with(start))
            || line.contains(" vectors of ")
            || line.contains("; loaded in ")
            || line.contains(" workers ");
        assert!(is_own, "{line}");
    }
}

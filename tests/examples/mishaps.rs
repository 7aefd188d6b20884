//! What goes wrong around a command: signals, closed pipes, a full disk, too few threads, names that are made to mislead.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    ends::{OLD, Place, await_part, ended, signal, told},
    support::{npy, process::example},
};

/// A command under limits of the shell.
fn limited(command: &Command, limits: &str) -> Command {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(command.get_program()).args(command.get_args());
    shell
}

#[test]
fn a_second_signal_leaves_nothing_behind() {
    let _turn = crate::turn();
    for _ in 0..5 {
        let place = Place::new();
        let out = place.path("out.npy");
        fs::write(&out, OLD).unwrap();
        let mut child = place.embed("-".as_ref(), &out).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut texts = child.stdin.take().unwrap();
        let line = "a word or two ".repeat(500) + "\n";
        let source = thread::spawn(move || while texts.write_all(line.as_bytes()).is_ok() {});
        await_part(place.folder.path(), 1);
        let both = format!("kill -INT {0}; kill -TERM {0}", child.id());
        Command::new("sh").args(["-c", &both]).output().unwrap();
        let output = ended(child, Duration::from_secs(20));
        source.join().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(130 | 143)), "{}: {said}", output.status);
        assert!(place.part().is_none(), "{said}");
        assert!(fs::read(&out).unwrap() == OLD || !npy::rows(&out).0.is_empty());
    }
}

#[test]
fn who_may_use_a_file_stays_as_it_was() {
    let place = Place::new();
    let (texts, out) = (place.path("texts.txt"), place.path("out.npy"));
    for mode in [0o600, 0o640, 0o666] {
        fs::write(&out, OLD).unwrap();
        fs::set_permissions(&out, Permissions::from_mode(mode)).unwrap();
        let (code, said) = told(&mut place.embed(&texts, &out));
        assert_eq!(code, 0, "{said}");
        assert_eq!(npy::rows(&out).0.len(), 3);
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn the_work_goes_on_where_nobody_reads_stderr() {
    let place = Place::new();
    let lines = place.path("lines.json");
    fs::write(&lines, "{\"text\": \"one\"}\nnone\n").unwrap();
    let out = place.path("out.npy");
    let mut embed = place.embed(&lines, &out);
    embed.args(["--field", "text", "--workers", "1000000"]);
    let mut identify = example("identify");
    identify.arg(place.path("absent")).arg(&lines).env("RUST_LOG", "gristmill=debug");
    for mut command in [embed, identify] {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        let output = ended(child, Duration::from_secs(60));
        assert_eq!(output.status.code(), Some(3), "{command:?}");
        assert!(command.get_program().to_string_lossy().contains("embed") || output.stdout.ends_with(b" %)\n"));
    }
    assert_eq!(npy::rows(&out).0.len(), 2);
    // A command that fails, and has nobody to tell.
    let mut child = place.embed(&place.path("absent"), &out).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(ended(child, Duration::from_secs(60)).status.code(), Some(1));
}

#[test]
fn a_pipe_without_a_reader_is_waited_for_and_said() {
    let _turn = crate::turn();
    let place = Place::new();
    let (texts, fifo) = (place.path("texts.txt"), place.fifo("fifo"));
    let identify = || {
        let mut command = example("identify");
        command.args(["--device", "cpu"]).arg(&texts).arg("--jsonl").arg(&fifo).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    // Reads up to the end of the line.
    let waits = |child: &mut std::process::Child| {
        let (mut said, mut byte) = (Vec::new(), [0]);
        let stderr = child.stderr.as_mut().unwrap();
        while stderr.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
            said.push(byte[0]);
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.ends_with("fifo: waiting for somebody to read this pipe"), "{said}");
    };
    let mut child = identify();
    waits(&mut child);
    signal(&child, "INT");
    assert_eq!(ended(child, Duration::from_secs(1)).status.code(), Some(130));

    let mut child = identify();
    waits(&mut child);
    let lines = fs::read_to_string(&fifo).unwrap();
    assert_eq!(ended(child, Duration::from_secs(20)).status.code(), Some(0));
    assert!(lines.lines().count() == 1 && lines.contains("\"label\""), "{lines}");

    // A format that cannot be written into a pipe is refused before the model is opened.
    let child = place.embed(&texts, &fifo).stderr(Stdio::piped()).spawn().unwrap();
    let output = ended(child, Duration::from_secs(20));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("it is a pipe; this format needs a file"), "{said}");
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
}

#[test]
fn a_report_that_cannot_be_written_is_refused_first() {
    let place = Place::new();
    let (texts, out) = (place.path("texts.txt"), place.path("out.npy"));
    for (report, due) in [(place.path("absent/report.json"), "No such file"), (place.path("."), "it is a folder")] {
        for mut command in [place.embed(&texts, &out), example("process_pool"), {
            let mut identify = example("identify");
            identify.arg(&texts);
            identify
        }] {
            let output = command.arg("--report").arg(&report).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(1) && said.contains("writing ") && said.contains(due), "{said}");
            assert!(output.stdout.is_empty() && said.lines().count() == 1 && !out.exists(), "{said}");
        }
    }
}

#[test]
fn names_forge_no_lines() {
    let place = Place::new();
    let out = place.path("out.npy");
    let name = "a\nforged: 9 of 9 failed\u{1b}[2J";
    let (texts, lines) = (place.path("texts.txt"), place.path("lines.json"));
    fs::write(&lines, "{\"text\": \"one\"}\n").unwrap();
    let mut field = place.embed(&lines, &out);
    field.args(["--field", name]).env("RUST_LOG", "gristmill=debug");
    let mut identify = example("identify");
    identify.arg(place.path(name)).env("RUST_LOG", "gristmill=debug");
    for (mut command, due) in [
        (place.embed(&place.path(name), &out), 1),
        (place.embed(&texts, &place.path(name).join("out.npy")), 1),
        (field, 3),
        (identify, 3),
        (
            {
                let mut unknown = example("embed");
                unknown.arg(format!("--{name}"));
                unknown
            },
            2,
        ),
        (
            {
                let mut device = example("embed");
                device.args(["--device", name]);
                device
            },
            2,
        ),
    ] {
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert_eq!(output.status.code(), Some(due), "{command:?}: {said}");
        assert!(
            said.lines().all(|line| !line.starts_with("forged")) && !said.contains('\u{1b}'),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn too_few_threads_are_a_failure() {
    let _turn = crate::turn();
    let place = Place::new();
    let (texts, out) = (place.path("texts.txt"), place.path("out.npy"));
    fs::write(&out, OLD).unwrap();
    // Stacks of a size that no system has.
    let mut pool = example("process_pool");
    pool.env("RUST_MIN_STACK", (1_u64 << 46).to_string());
    let mut identify = example("identify");
    identify.args(["--device", "cpu", "--workers", "8"]).arg(&texts).arg("--jsonl").arg(&out);
    let mut embed = place.embed(&texts, &out);
    embed.args(["--workers", "8"]);
    // Memory for a process, but not for these stacks.
    let little = |command| {
        let mut command = limited(&command, "ulimit -v 7000000");
        command.env("RUST_MIN_STACK", (1_u64 << 30).to_string());
        command
    };
    for mut command in [pool, little(identify), little(embed)] {
        let (code, said) = told(&mut command);
        assert!(code == 1 && said.contains("starting 8 worker threads: "), "{code}: {said}");
        assert!(fs::read(&out).unwrap() == OLD && place.part().is_none(), "{said}");
    }
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let place = Place::new();
    let (texts, out, json) = (place.path("texts.txt"), place.path("out.npy"), place.path("out.json"));
    fs::write(&texts, "one\ntwo words\n".repeat(500)).unwrap();
    let mut identify = example("identify");
    identify.args(vec![&texts; 200]).arg("--jsonl").arg(&json);
    for (command, file) in [(place.embed(&texts, &out), &out), (identify, &json)] {
        fs::write(file, OLD).unwrap();
        let (code, said) = told(&mut limited(&command, "ulimit -f 4"));
        let due = format!("writing {}: File too large", file.display());
        assert!(code == 1 && said.contains(&due), "{code}: {said}");
        assert!(fs::read(file).unwrap() == OLD && place.part().is_none(), "{said}");
        assert_eq!(told(&mut limited(&command, "ulimit -f 40000")).0, 0);
    }
}

#[test]
fn too_few_open_files_are_a_failure_that_says_so() {
    let place = Place::new();
    let (texts, out) = (place.path("texts.txt"), place.path("out.npy"));
    let mut refused = 0;
    for limit in 4..20 {
        fs::write(&out, OLD).unwrap();
        let (code, said) = told(&mut limited(&place.embed(&texts, &out), &format!("ulimit -n {limit}")));
        match code {
            0 => assert_eq!(npy::rows(&out).0.len(), 3),
            // The loader of programs needs some itself.
            127 => {}
            _ => {
                assert!(code == 1 && said.contains("Too many open files"), "{limit}: {code}: {said}");
                assert!(fs::read(&out).unwrap() == OLD && place.part().is_none(), "{limit}: {said}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

/// A disk of its own in the namespace of one process; not every system lets its users make one.
#[test]
fn a_small_disk_keeps_the_old_file() {
    let place = Place::new();
    let (texts, disk) = (place.path("texts.txt"), place.path("disk"));
    fs::write(&texts, "one\ntwo words\n".repeat(500)).unwrap();
    fs::create_dir(&disk).unwrap();
    let out = disk.join("out.npy");
    let within = |size: &str| {
        let command = place.embed(&texts, &out);
        let mut shell = Command::new("unshare");
        shell.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        // The old file, the command and its code, what the folder holds then, and whether the old file is still there.
        shell.arg(format!(
            "mount -t tmpfs -o size={size} tmpfs '{0}' || exit 77; printf old > '{1}'; \"$0\" \"$@\"; \
             echo \"code $? holds $(ls -A '{0}') old $(grep -c '^old$' '{1}')\"",
            disk.display(),
            out.display()
        ));
        shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        shell.output().ok().filter(|output| output.status.code() != Some(77) && !output.stdout.is_empty())
    };
    let Some(full) = within("16k") else {
        println!("SKIPPED: no file system of one's own here");
        return;
    };
    let said = String::from_utf8_lossy(&full.stderr);
    assert!(said.contains(&format!("writing {}: No space left on device", out.display())), "{said}");
    assert!(String::from_utf8_lossy(&full.stdout).ends_with("code 1 holds out.npy old 1\n"), "{full:?}");
    let whole = within("8m").unwrap();
    assert!(String::from_utf8_lossy(&whole.stdout).ends_with("code 0 holds out.npy old 0\n"), "{whole:?}");
}

//! Proofs that a folder is complete, and that two are alike.

use std::{
    collections::BTreeSet,
    io::{self, Read, Seek},
    path::Path,
};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Folder, hash, letters_name, reading},
        format::Format,
        manifest::Finished,
        plan::Shard,
        prepare::open,
        sink::count,
    },
};

/// What a complete folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complete {
    /// Rows of all inputs.
    pub rows: u64,
    /// Rows that failed; their dead letters are in the folder.
    pub failed: u64,
    /// Parts.
    pub parts: usize,
}

/// Proves that a folder holds a whole job: every part of the plan with the rows, size and hash of the manifest, a dead
/// letter for each failed row, and nothing else.
///
/// # Errors
/// With all that is missing or wrong, up to twenty things.
pub fn verify_complete(folder: impl AsRef<Path>) -> Result<Complete> {
    let root = folder.as_ref();
    let (folder, plan, manifest) = open(root)?;
    let mut faults = Vec::new();
    let mut expected: BTreeSet<String> = ["_gristmill".to_owned()].into();
    let (mut rows, mut failed) = (0, 0);
    for shard in &plan.shards {
        expected.insert(shard.name.clone());
        let Some(part) = manifest.finished.get(&shard.name) else {
            faults.push(format!("{} is not finished", shard.name));
            continue;
        };
        (rows, failed) = (rows + part.rows, failed + part.failed);
        if part.failed > 0 {
            expected.insert(letters_name(&part.name));
        }
        let leaves_out = plan.settings.get("failed rows").is_some_and(|how| how == "left out");
        let written = part.rows.saturating_sub(if leaves_out { part.failed } else { 0 });
        if let Err(error) = check(&*folder, shard, part, written) {
            faults.push(error.to_string());
        }
    }
    let names: BTreeSet<_> = plan.shards.iter().map(|shard| &shard.name).collect();
    faults.extend(
        manifest.finished.keys().filter(|name| !names.contains(name)).map(|name| format!("no shard is {name}")),
    );
    for name in folder.names()? {
        if !expected.contains(&name) {
            faults.push(format!("{name} belongs to no shard"));
        }
    }
    match faults.is_empty() {
        true => Ok(Complete { rows, failed, parts: plan.shards.len() }),
        false => Err(found(root, &faults)),
    }
}

fn check(folder: &dyn Folder, shard: &Shard, part: &Finished, written: u64) -> Result<()> {
    let name = &part.name;
    let fault = |what: &str| Err(Error::invalid_input(format!("{name}: {what}")));
    if part.rows != shard.rows {
        return fault(&format!("{} rows in the manifest, {} in the plan", part.rows, shard.rows));
    }
    let path = folder.path(name);
    let fail = |error| reading(&path, error);
    let mut file = folder.open(name)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
    if hash(&mut file, &CancelToken::new()).map_err(fail)? != (part.bytes, part.blake3.clone()) {
        return fault("its size or its hash is not that of the manifest");
    }
    let counted = count(file, Format::of(&path).unwrap_or(Format::Jsonl)).map_err(fail)?;
    if counted != written {
        return fault(&format!("{counted} rows, not {written}"));
    }
    let name = letters_name(name);
    let fail = |error| reading(&folder.path(&name), error);
    match folder.open(&name)? {
        Some(mut letters) => {
            let found = hash(&mut letters, &CancelToken::new()).map_err(fail)?.1;
            letters.rewind().map_err(fail)?;
            if lines(letters).map_err(fail)? != part.failed || found != part.errors_blake3 {
                return fault("its dead letters are not those of the manifest");
            }
        }
        None if part.failed == 0 => {}
        None => return Err(fail(io::ErrorKind::NotFound.into())),
    }
    Ok(())
}

/// The number of lines of a file.
fn lines(mut file: impl Read) -> io::Result<u64> {
    let (mut lines, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            read => lines += buffer[..read].iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}

/// Compares two folders: their plans, and the rows, failures and hashes of their parts.
///
/// # Errors
/// With what differs, up to twenty things.
pub fn compare(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<()> {
    let (a, b) = (a.as_ref(), b.as_ref());
    let ((_, plan, parts), (_, other_plan, other_parts)) = (open(a)?, open(b)?);
    let mut faults = plan.settings_changed(&other_plan.settings);
    faults.extend(plan.inputs_changed(&other_plan.inputs));
    if plan.shards != other_plan.shards {
        faults.push("the shards differ".to_owned());
    }
    let names: BTreeSet<_> = parts.finished.keys().chain(other_parts.finished.keys()).collect();
    for name in names {
        match (parts.finished.get(name), other_parts.finished.get(name)) {
            (Some(part), Some(other)) if part == other => {}
            (Some(part), Some(other)) if part.blake3 == other.blake3 => {
                faults
                    .push(format!("{name}: {} rows failed, and {}, or their errors differ", part.failed, other.failed));
            }
            (Some(_), Some(_)) => faults.push(format!("{name} differs")),
            (Some(_), None) => faults.push(format!("{name} is finished in {} alone", a.display())),
            (None, _) => faults.push(format!("{name} is finished in {} alone", b.display())),
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(found(b, &faults)),
    }
}

/// One error of several faults.
fn found(root: &Path, faults: &[String]) -> Error {
    const MOST: usize = 20;
    let more = match faults.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let faults = faults.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join("; ");
    Error::invalid_input(format!("{}: {faults}{more}", root.display()))
}

//! Proofs that a folder is complete, and that two are alike.

use std::{collections::BTreeSet, fs, io, path::Path};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{hash_file, stem},
        format::Format,
        manifest::Finished,
        plan::Shard,
        prepare::planned,
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
    let (folder, plan, manifest) = planned(root)?;
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
            expected.insert(format!("{}.errors.jsonl", stem(&part.name)));
        }
        let leaves_out = plan.settings.get("failed rows").is_some_and(|how| how == "left out");
        let written = part.rows.saturating_sub(if leaves_out { part.failed } else { 0 });
        if let Err(error) = check(&folder, shard, part, written) {
            faults.push(error.to_string());
        }
    }
    let names: BTreeSet<_> = plan.shards.iter().map(|shard| &shard.name).collect();
    faults.extend(
        manifest.finished.keys().filter(|name| !names.contains(name)).map(|name| format!("no shard is {name}")),
    );
    let entries = fs::read_dir(root).map_err(|error| Error::io(error, format!("reading {}", root.display())))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::io(error, format!("reading {}", root.display())))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !expected.contains(&name) {
            faults.push(format!("{name} belongs to no shard"));
        }
    }
    match faults.is_empty() {
        true => Ok(Complete { rows, failed, parts: plan.shards.len() }),
        false => Err(found(root, &faults)),
    }
}

fn check(folder: &super::folder::Folder, shard: &Shard, part: &Finished, written: u64) -> Result<()> {
    let name = &part.name;
    let fault = |what: &str| Err(Error::invalid_input(format!("{name}: {what}")));
    if part.rows != shard.rows {
        return fault(&format!("{} rows in the manifest, {} in the plan", part.rows, shard.rows));
    }
    let path = folder.part(name);
    if hash_file(&path, &CancelToken::new())? != (part.bytes, part.blake3.clone()) {
        return fault("its size or its hash is not that of the manifest");
    }
    let format = Format::of(&path).unwrap_or(Format::Jsonl);
    let counted = count(&path, format).map_err(|error| Error::io(error, format!("reading {}", path.display())))?;
    if counted != written {
        return fault(&format!("{counted} rows, not {written}"));
    }
    let letters = folder.letters(name);
    match fs::read(&letters) {
        Ok(text) => {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
            if lines != part.failed || hash_file(&letters, &CancelToken::new())?.1 != part.errors_blake3 {
                return fault("its dead letters are not those of the manifest");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && part.failed == 0 => {}
        Err(error) => return Err(Error::io(error, format!("reading {}", letters.display()))),
    }
    Ok(())
}

/// Compares two folders: their plans, and the rows, failures and hashes of their parts.
///
/// # Errors
/// With what differs, up to twenty things.
pub fn compare(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<()> {
    let (a, b) = (a.as_ref(), b.as_ref());
    let ((_, plan, parts), (_, other_plan, other_parts)) = (planned(a)?, planned(b)?);
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

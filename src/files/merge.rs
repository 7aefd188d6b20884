//! One folder of several, whose processes ran shards of one job.

use std::{io, path::Path};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Claim, Folder, Publishing, Written, letters_name, reading},
        folders,
        manifest::Finished,
        prepare::{open, planned},
    },
};

/// Copies the finished parts of folders of one job into `out`, which may hold parts of the job already.
///
/// Their plans must be equal. Parts that several folders have must be equal too. [`verify_complete`] tells whether `out`
/// is complete.
///
/// [`verify_complete`]: super::verify_complete
///
/// # Errors
/// If a plan differs, a part is not as its manifest says, or `out` cannot be written.
pub fn merge<P: AsRef<Path>>(folders: &[P], out: impl AsRef<Path>) -> Result<()> {
    let out = folders::open(out.as_ref(), &CancelToken::new(), folders::LEASE)?;
    let first = folders.first().ok_or_else(|| Error::invalid_input("no folder to merge"))?;
    let (_, plan, _) = open(first.as_ref())?;
    out.make()?;
    let lock = out.lock()?;
    let text = plan.text()?;
    loop {
        match planned(&*out)? {
            None if out.write_plan(&text, None)? => break,
            None => {}
            Some(own) if own == plan => break,
            Some(_) => return Err(differs(&out.path(""))),
        }
    }
    drop(lock);
    out.check_writes(&out.plan()?.unwrap_or_default())?;
    let mut merged = out.manifest()?;
    for root in folders {
        let (folder, other, manifest) = open(root.as_ref())?;
        if other != plan {
            return Err(differs(root.as_ref()));
        }
        // In the order of the plan, whose names are those of files in the folder.
        for part in plan.shards.iter().filter_map(|shard| manifest.finished.get(&shard.name)) {
            if let Some(own) = merged.finished.get(&part.name) {
                if own != part {
                    let (name, root) = (&part.name, root.as_ref().display());
                    return Err(Error::invalid_input(format!("{name} of {root} differs from that of another folder")));
                }
                continue;
            }
            copy_part(&*folder, &*out, part)?;
            merged.finished.insert(part.name.clone(), part.clone());
        }
    }
    merged.refresh()?;
    if merged.is_complete(&plan) {
        merged.complete()?;
    }
    Ok(())
}

fn differs(root: &Path) -> Error {
    Error::invalid_input(format!(
        "the plan of {} differs from that of the first folder: it is another job",
        root.display()
    ))
}

/// Copies a part with its dead letters.
fn copy_part(from: &dyn Folder, out: &dyn Folder, part: &Finished) -> Result<()> {
    let taken = |out: &dyn Folder| {
        let place = out.path(&part.name);
        Error::invalid_input(format!("{} is being written by another process; wait until it ends", place.display()))
    };
    let claim = out.claim(&part.name)?.ok_or_else(|| taken(out))?;
    let file = copy(from, &*claim, &part.name)?;
    let letters = match part.failed {
        0 => None,
        _ => Some(copy(from, &*claim, &letters_name(&part.name))?),
    };
    let mut written = Written { finished: part.clone(), file, letters };
    written.seal().map_err(|error| claim.writing(&part.name, error))?;
    if written.finished != *part {
        let place = from.path(&part.name);
        return Err(Error::invalid_input(format!("{} is not as its manifest says", place.display())));
    }
    let finished = match claim.publish(written)? {
        Publishing::Ended(finished) => finished,
        Publishing::Running(thread) => {
            thread.join().map_err(|_| Error::internal("writing a part into a store panicked"))??
        }
    };
    finished.map(drop).ok_or_else(|| taken(out))
}

fn copy(from: &dyn Folder, claim: &dyn Claim, name: &str) -> Result<std::fs::File> {
    let place = from.path(name);
    let mut source = from.open(name)?.ok_or_else(|| reading(&place, io::ErrorKind::NotFound.into()))?;
    let mut file = claim.begin(name)?;
    io::copy(&mut source, &mut file).map_err(|error| claim.writing(name, error))?;
    Ok(file)
}

//! One folder of several, whose processes ran shards of one job.

use std::{fs, fs::File, io, path::Path};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::{Folder, hash_file, writing},
        manifest::Manifest,
        plan::Plan,
        prepare::planned,
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
    let out = Folder::new(out.as_ref())?;
    let cancel = CancelToken::new();
    let first = folders.first().ok_or_else(|| Error::invalid_input("no folder to merge"))?;
    let (_, plan, _) = planned(first.as_ref())?;
    out.make()?;
    let lock = out.lock(&cancel)?;
    match Plan::read(&out)? {
        None => plan.write(&out)?,
        Some(own) if own == plan => {}
        Some(_) => return Err(differs(out.root())),
    }
    let mut merged = Manifest::read(&out)?;
    for root in folders {
        let (folder, other, manifest) = planned(root.as_ref())?;
        if other != plan {
            return Err(differs(root.as_ref()));
        }
        for (name, part) in &manifest.finished {
            if let Some(own) = merged.finished.get(name) {
                if own != part {
                    let root = folder.root().display();
                    return Err(Error::invalid_input(format!("{name} of {root} differs from that of another folder")));
                }
                continue;
            }
            if part.failed > 0 {
                copy(&folder.letters(name), &out, &out.letters(name), &part.errors_blake3)?;
            }
            copy(&folder.part(name), &out, &out.part(name), &part.blake3)?;
            Manifest::add(&out, &lock, part.clone())?;
            merged.finished.insert(name.clone(), part.clone());
        }
    }
    if merged.is_complete(&plan) {
        merged.write(&out, &lock)?;
        drop(lock);
        out.tidy();
    }
    Ok(())
}

fn differs(root: &Path) -> Error {
    Error::invalid_input(format!(
        "the plan of {} differs from that of the first folder: it is another job",
        root.display()
    ))
}

/// Copies a file that has this hash.
fn copy(from: &Path, out: &Folder, place: &Path, blake3: &str) -> Result<()> {
    let mut source = File::open(from).map_err(|error| Error::io(error, format!("opening {}", from.display())))?;
    let mut file = out.begin(place)?;
    io::copy(&mut source, &mut file).map_err(|error| writing(place, error))?;
    if hash_file(&out.temporary(place), &CancelToken::new())?.1 != blake3 {
        let _ = fs::remove_file(out.temporary(place));
        return Err(Error::invalid_input(format!("{} is not as its manifest says", from.display())));
    }
    out.publish(&file, place)
}

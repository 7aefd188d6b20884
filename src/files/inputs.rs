//! The files that a job reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    bulk::CancelToken,
    error::{Error, Result},
    files::{
        folder::hash,
        format::Format,
        place::{Opened, Place},
        plan::PlannedInput,
        url::Url,
    },
};

/// A file that a job reads.
#[derive(Clone, Debug)]
pub(in crate::files) struct Input {
    /// Its path, or its URL.
    pub(in crate::files) path: PathBuf,
    /// Its name, for a folder's file its path within: the same wherever the folder is.
    pub(in crate::files) name: String,
    pub(in crate::files) format: Format,
    pub(in crate::files) place: Place,
}

impl Input {
    pub(in crate::files) fn open(&self) -> io::Result<Opened> {
        self.place.open(&self.path)
    }

    /// Fails if the file was changed since the job began.
    pub(in crate::files) fn check_unchanged(&self) -> Result<()> {
        match self.place.is_unchanged(&self.path).map_err(|error| opening(&self.path, error))? {
            true => Ok(()),
            false => Err(Error::invalid_input(format!(
                "{} was changed while the job read it; finished parts are of the file as it was planned",
                self.path.display()
            ))),
        }
    }

    /// What a plan has of the file, without its rows.
    pub(in crate::files) fn planned(&self, cancel: &CancelToken) -> Result<PlannedInput> {
        let (bytes, blake3, etag) = match self.place.etag() {
            Some((bytes, etag)) => (bytes, String::new(), etag.to_owned()),
            None => {
                let mut file = self.open().map_err(|error| opening(&self.path, error))?;
                let read = hash(&mut file, cancel);
                let (bytes, blake3) =
                    read.map_err(|error| Error::io(error, format!("reading {}", self.path.display())))?;
                (bytes, blake3, String::new())
            }
        };
        Ok(PlannedInput { name: self.name.clone(), bytes, blake3, etag, rows: 0 })
    }
}

/// The files that paths name: files, folders with all files in them, and patterns such as `texts/*.jsonl`; and the same as
/// URLs of stores.
///
/// Files of a folder or a pattern are in the order of their names.
pub(in crate::files) fn find(
    given: &[PathBuf],
    format: Option<Format>,
    out: &Path,
    cancel: &CancelToken,
) -> Result<Vec<Input>> {
    let out_url = Url::of(out)?;
    let mut inputs: Vec<Input> = Vec::new();
    for path in given {
        if let Some(url) = Url::of(path)? {
            let found = stored(&url, format, cancel)?;
            let is_folder = !(url.key.contains(['*', '?', '[']) || found.iter().any(|input| input.path == *path));
            if is_folder && out_url.as_ref().is_some_and(|out| url.holds(out)) {
                return Err(out_within(path, out));
            }
            inputs.extend(found);
            continue;
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                let mut files = Vec::new();
                below(path, &mut files)?;
                files.sort();
                if files.is_empty() {
                    return Err(Error::invalid_input(format!("the folder {} has no files", path.display())));
                }
                if out_url.is_none() && place(path).zip(place(out)).is_some_and(|(folder, out)| out.starts_with(folder))
                {
                    return Err(out_within(path, out));
                }
                for file in files {
                    inputs.push(input(&file, name_within(path, &file), format)?);
                }
            }
            Ok(_) => inputs.push(input(path, name(path), format)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let files = matching(path, error)?;
                for file in files {
                    inputs.push(input(&file, name(&file), format)?);
                }
            }
            Err(error) => return Err(opening(path, error)),
        }
    }
    let Some(first) = inputs.first() else { return Err(Error::invalid_input("no input is named")) };
    if let Some(other) = inputs.iter().find(|input| input.format != first.format) {
        let (first, other) = ((&first.name, first.format), (&other.name, other.format));
        let message = format!("{} is {}, {} is {}; one job reads one format", first.0, first.1, other.0, other.1);
        return Err(Error::invalid_input(message));
    }
    for input in &inputs {
        let is_within = match (&input.place, &out_url) {
            (Place::Local(_), None) => {
                place(&input.path).zip(place(out)).is_some_and(|(input, out)| input.starts_with(&out))
            }
            (Place::Local(_), Some(_)) => false,
            #[cfg(feature = "stores")]
            (Place::Stored(_), out) => {
                out.as_ref().zip(Url::of(&input.path)?).is_some_and(|(out, url)| out.holds(&url))
            }
        };
        if is_within {
            let (path, out) = (input.path.display(), out.display());
            return Err(Error::invalid_input(format!("the input {path} is in the folder {out}, which the job writes")));
        }
    }
    Ok(inputs)
}

/// The files that a URL names.
#[cfg(feature = "stores")]
fn stored(url: &Url, format: Option<Format>, cancel: &CancelToken) -> Result<Vec<Input>> {
    let found = crate::files::store::find(url, cancel)?.into_iter();
    found.map(|(path, name, object)| of_format(path, name, format, Place::Stored(Box::new(object)))).collect()
}

/// Without stores no URL comes so far.
#[cfg(not(feature = "stores"))]
fn stored(_: &Url, _: Option<Format>, _: &CancelToken) -> Result<Vec<Input>> {
    Err(Error::internal("a URL without a store"))
}

fn input(path: &Path, name: String, format: Option<Format>) -> Result<Input> {
    let found = fs::metadata(path).map_err(|error| opening(path, error))?;
    if !found.is_file() {
        let path = path.display();
        return Err(Error::invalid_input(format!("{path} is no file; a job reads its inputs more than once")));
    }
    of_format(path.to_owned(), name, format, Place::local(&found))
}

fn of_format(path: PathBuf, name: String, format: Option<Format>, place: Place) -> Result<Input> {
    let format = format.or_else(|| Format::of(Path::new(&name))).ok_or_else(|| {
        let path = path.display();
        Error::invalid_input(format!(
            "the name of {path} tells no format that is known; name the format, or other files"
        ))
    })?;
    if !format.is_read() {
        let why = if format.is_table() { "needs the feature `parquet`" } else { "is only written" };
        return Err(Error::unsupported(format!("{}: {format} {why}", path.display())));
    }
    Ok(Input { path, name, format, place })
}

/// All files below a folder but those with a name that begins with `.` or `_`.
fn below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |error| opening(folder, error);
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".")
            || entry.file_name().as_encoded_bytes().starts_with(b"_")
        {
            continue;
        }
        match entry.file_type().map_err(fail)?.is_dir() {
            true => below(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

/// The files that a pattern matches, or the error of opening a file of that name.
fn matching(path: &Path, error: io::Error) -> Result<Vec<PathBuf>> {
    let pattern = path.to_str().filter(|path| path.contains(['*', '?', '[']));
    let Some(pattern) = pattern else { return Err(opening(path, error)) };
    // As in a shell, `*` matches no name that begins with a dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let found = glob::glob_with(pattern, options)
        .map_err(|error| Error::invalid_input(format!("{pattern} is no file and no pattern: {error}")))?;
    let files = found.collect::<Result<Vec<_>, _>>();
    let mut files = files.map_err(|error| Error::invalid_input(format!("looking for {pattern}: {error}")))?;
    files.retain(|file| file.is_file());
    files.sort();
    match files.is_empty() {
        true => Err(Error::invalid_input(format!("no file matches {pattern}"))),
        false => Ok(files),
    }
}

fn out_within(folder: &Path, out: &Path) -> Error {
    let (folder, out) = (folder.display(), out.display());
    Error::invalid_input(format!("the folder {out} to write is in the folder {folder} of the inputs"))
}

/// Where a path leads, also if nothing is there yet.
fn place(path: &Path) -> Option<PathBuf> {
    if let Ok(place) = fs::canonicalize(path) {
        return Some(place);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The folders above may be missing too.
    match folder == path {
        true => None,
        false => Some(place(folder)?.join(path.file_name()?)),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The path of a file within a folder, the same on every system.
fn name_within(folder: &Path, file: &Path) -> String {
    let within = file.strip_prefix(folder).unwrap_or(file);
    within.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn opening(path: &Path, error: io::Error) -> Error {
    Error::io(error, format!("opening {}", path.display()))
}

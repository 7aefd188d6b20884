//! Files that are written whole or not at all.
//!
//! A regular file is written beside its place under a random name, synced, and renamed over its place at the end; a link is
//! followed first. What is neither a file nor absent, such as a pipe or a device, is written in place and never replaced.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use tempfile::NamedTempFile;

use super::{
    failure::{Failure, writing},
    plain_path, stop,
};

/// The files that lie beside their places, for an end without destructors.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes what lies beside its place; none begins afterwards.
pub fn remove_parts() {
    let parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
    // One may be whole and renamed, or removed, by now.
    parts.iter().for_each(|part| drop(fs::remove_file(part)));
    std::mem::forget(parts);
}

/// A file under construction; without [`finish`](Self::finish) it leaves nothing behind.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Renamed over the path at the end.
    Beside(NamedTempFile, PathBuf),
    /// A pipe, a device, or the like.
    InPlace(File),
}

impl OutputFile {
    /// Begins a file.
    ///
    /// # Errors
    /// If the path is one of `inputs`, a folder, or cannot be written.
    pub fn create(path: &Path, inputs: &[&Path]) -> Result<Self, Failure> {
        refuse_same(path, inputs)?;
        let fail = |error: io::Error| writing(path, &error);
        let target = match find(path)? {
            Found::Special => Target::InPlace(open_in_place(path)?),
            Found::File(place, permissions) => beside(place, Some(permissions)).map_err(fail)?,
            Found::Nothing => beside(path.to_owned(), None).map_err(fail)?,
        };
        Ok(Self { path: path.to_owned(), target })
    }

    /// Makes the file appear under its name.
    ///
    /// # Errors
    /// If it cannot be synced or renamed; the file that was there before is untouched then.
    pub fn finish(self) -> Result<(), Failure> {
        let Self { path, target } = self;
        let fail = |error: io::Error| writing(&path, &error);
        match target {
            Target::InPlace(mut file) => file.flush().map_err(fail),
            Target::Beside(file, place) => {
                file.as_file().sync_all().map_err(fail)?;
                file.persist(&place).map_err(|error| fail(error.error))?;
                sync_folder(folder_of(&place)).map_err(fail)
            }
        }
    }

    /// The name under which it lies beside its place, for a walk that may meet it.
    pub fn part(&self) -> Option<&OsStr> {
        match &self.target {
            Target::Beside(file, _) => file.path().file_name(),
            Target::InPlace(_) => None,
        }
    }

    fn file(&mut self) -> &mut File {
        match &mut self.target {
            Target::Beside(file, _) => file.as_file_mut(),
            Target::InPlace(file) => file,
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file().seek(to).map_err(|error| match error.kind() {
            io::ErrorKind::NotSeekable => io::Error::new(error.kind(), NOT_SEEKABLE),
            _ => error,
        })
    }
}

/// What is at the path of an output.
enum Found {
    Nothing,
    /// A file, by its own path where the output's is a link, and who may use it.
    File(PathBuf, fs::Permissions),
    /// A pipe, a device, or the like.
    Special,
}

fn find(path: &Path) -> Result<Found, Failure> {
    let fail = |error: io::Error| writing(path, &error);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Failure::new(format!("writing {}: it is a folder", path.display()))),
        Ok(found) if !found.is_file() => Ok(Found::Special),
        Ok(found) => Ok(Found::File(fs::canonicalize(path).map_err(fail)?, found.permissions())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => Ok(Found::Nothing),
        Err(error) => Err(fail(error)),
    }
}

/// Refuses, before the work begins, an output that is one of the inputs or of the other outputs, whatever their paths are
/// called, and one that cannot be written.
pub fn check(path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    refuse_same(path, inputs)?;
    let folder = match find(path)? {
        Found::Special => return Ok(()),
        Found::File(place, _) => folder_of(&place).to_owned(),
        Found::Nothing => folder_of(path).to_owned(),
    };
    // Has no name where the system can make such files.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| writing(path, &error))
}

/// Refuses a pipe, for a format that goes back to the start of its file.
pub fn check_seekable(path: &Path) -> Result<(), Failure> {
    match is_pipe(path) {
        true => Err(writing(path, &io::Error::new(io::ErrorKind::NotSeekable, NOT_SEEKABLE))),
        false => Ok(()),
    }
}

const NOT_SEEKABLE: &str = "it is a pipe; this format needs a file";

fn refuse_same(path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    match inputs.iter().find(|input| is_same(path, input)) {
        Some(input) => {
            let (path, input) = (path.display(), input.display());
            Err(Failure::new(format!("writing {path}: it is the file {input}, which this command reads or writes too")))
        }
        None => Ok(()),
    }
}

/// The files of a model: those of its folder, or an ONNX file and those of `outputs` that are its external data.
pub fn model_files(model: &Path, outputs: &[&Path]) -> Vec<PathBuf> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = vec![model.to_owned()];
    if model.is_dir() {
        // What an earlier run may have written there is none of the model's.
        let written =
            |file: &PathBuf| file.extension().is_some_and(|kind| kind == "npy" || kind == "svg" || kind == "html");
        files.extend(below(model).filter(|file| !written(file)));
        return files;
    }
    let replaced = below(folder_of(model)).filter(|file| outputs.iter().any(|output| is_same(output, file)));
    let mut replaced = replaced.filter_map(|file| Some((entry(&file)?, file))).peekable();
    // A model may be large: it is read only if there is a file to look for.
    if replaced.peek().is_some() {
        // What cannot be read is told when the model is opened.
        let _ = find_entries(model, replaced.collect(), &mut files);
    }
    files
}

/// The bytes of an entry `location` of external data with the name of that file, in an ONNX model.
fn entry(file: &Path) -> Option<Vec<u8>> {
    let name = file.file_name()?.as_encoded_bytes();
    let len = u8::try_from(name.len()).ok()?;
    // A length above 127 takes a second byte.
    let len = if len < 128 { vec![len] } else { vec![len, 1] };
    Some([&b"\x0a\x08location\x12"[..], &len, name].concat())
}

/// Moves the files whose entries the model has to `found`.
fn find_entries(model: &Path, mut entries: Vec<(Vec<u8>, PathBuf)>, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let overlap = entries.iter().map(|(entry, _)| entry.len()).max().unwrap_or(0);
    let (mut model, mut piece, mut kept) = (File::open(model)?, vec![0; overlap + (1 << 20)], 0);
    loop {
        let read = model.read(&mut piece[kept..])?;
        if read == 0 {
            return Ok(());
        }
        let filled = kept + read;
        let has = |(entry, _): &mut (Vec<u8>, PathBuf)| memchr::memmem::find(&piece[..filled], entry).is_some();
        found.extend(entries.extract_if(.., has).map(|(_, file)| file));
        // An entry may begin in one piece and end in the next.
        kept = filled.min(overlap);
        piece.copy_within(filled - kept..filled, 0);
    }
}

/// The folder that holds a file of that path.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        // One device may well be read and written, as a terminal is.
        let is_plain = !a.file_type().is_char_device() && !a.file_type().is_block_device();
        return is_plain && a.dev() == b.dev() && a.ino() == b.ino();
    }
    let place = |path: &Path| Some((fs::canonicalize(folder_of(path)).ok()?, path.file_name()?.to_owned()));
    fs::canonicalize(a).ok().zip(fs::canonicalize(b).ok()).is_some_and(|(a, b)| a == b)
        || place(a).zip(place(b)).is_some_and(|(a, b)| a == b)
}

/// A file beside its place, with the permissions of the file that it replaces.
fn beside(place: PathBuf, permissions: Option<fs::Permissions>) -> io::Result<Target> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gristmill-").suffix(".part");
    #[cfg(unix)]
    if permissions.is_none() {
        // As the process's mask allows, instead of private.
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let mut parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
    let file = builder.tempfile_in(folder_of(&place))?;
    parts.push(file.path().to_owned());
    drop(parts);
    #[cfg(unix)]
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    Ok(Target::Beside(file, place))
}

/// Makes the names in a folder last through a crash of the machine.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems cannot.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

/// Opens what is neither a file nor absent; a pipe that nobody reads yet is waited for, until a signal comes.
fn open_in_place(path: &Path) -> Result<File, Failure> {
    let fail = |error: io::Error| writing(path, &error);
    #[cfg(unix)]
    if is_pipe(path) {
        use std::os::unix::fs::OpenOptionsExt;
        let mut told = false;
        // Kept until the pipe is open for good: while somebody writes, a reader sees no end.
        let _probe = loop {
            match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {}
                opened => break opened.map_err(fail)?,
            }
            if !std::mem::replace(&mut told, true) {
                say!("{}: waiting for somebody to read this pipe", plain_path(path));
            }
            if let Some(code) = stop::asked() {
                return Err(Failure::silent(code));
            }
            thread::sleep(stop::LOOK);
        };
        return OpenOptions::new().write(true).open(path).map_err(fail);
    }
    OpenOptions::new().write(true).open(path).map_err(fail)
}

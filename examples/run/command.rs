//! The command `run`: any ONNX model on named arrays.

use std::{
    collections::HashMap,
    io::Seek,
    path::{Path, PathBuf},
};

use gristmill::{
    Batching, DType, Error, ErrorKind, ImportOptions, ItemError, Model, Session, Tensor, Tensors, Value, bulk::Bulk,
};
use indicatif::HumanCount;
use lexopt::Parser;

use super::common::{
    self, Common, Failure, Flag, Outcome,
    failure::{whole, writing},
    file_job::FileFlags,
    npz::{self, Header},
    output::{self, OutputFile},
    plain_path, say,
};
#[cfg(feature = "files")]
use super::model_table;

const USAGE: &str = "\
usage: run [FLAGS] MODEL.onnx --in IN.npz --out OUT.npz
       run [FLAGS] MODEL.onnx TABLE... --out-dir DIR

Runs the model on arrays; or on each row of tables, whose columns have the names of the inputs, as a job over files.

  --in IN.npz    the inputs, one array each, under the inputs' names
  --out OUT.npz  where to write the outputs; the arrays of a sequence are NAME.0, NAME.1 and so on
  --rows-apart   run each row of the arrays alone, where the model would let rows mix: quantized by one scale, for one";

/// Bytes of the inputs of a block; a larger block delays the first result.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that a worker has at least, if there are as many rows, so that none waits long for the others at the end.
const LEAST_BLOCKS: usize = 16;
/// Inputs with larger rows are run in one call.
const MOST_ROW_BYTES: usize = 64 << 20;

/// Runs the command.
pub fn run(command_line: Parser) -> Outcome {
    let (mut model, mut input, mut output, mut apart) = (None, None, None, false);
    let mut files = FileFlags::default();
    let usage = format!("{USAGE}\n{}", common::file_job::FLAGS);
    let common = Common::parse(command_line, &usage, |flag, parser| {
        let slot = match flag {
            Flag::Value(path) if model.is_none() => {
                model = Some(PathBuf::from(path));
                return Ok(true);
            }
            Flag::Named("in") => &mut input,
            Flag::Named("out") => &mut output,
            Flag::Named("rows-apart") => {
                apart = true;
                return Ok(true);
            }
            Flag::Value(path) => {
                files.more.push(PathBuf::from(path));
                return Ok(true);
            }
            flag => return files.take(&flag, parser),
        };
        *slot = Some(PathBuf::from(parser.value()?));
        Ok(true)
    })?;
    files.check()?;
    #[cfg(feature = "files")]
    if let (Some(_), Some(model)) = (&files.out, &model) {
        if input.is_some() || output.is_some() || apart || files.more.is_empty() {
            return Err(Failure::usage(USAGE));
        }
        let table = files.more.remove(0);
        return model_table::run(&files, &common, [model, &table]);
    }
    let (Some(model), Some(input), Some(output)) = (model, input, output) else {
        return Err(Failure::usage(USAGE));
    };
    let outputs: Vec<&Path> =
        [Some(&output), common.report.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    let mut read = output::model_files(&model, &outputs);
    read.push(input.clone());
    let mut read: Vec<&Path> = read.iter().map(PathBuf::as_path).collect();
    output::check(&output, &read)?;
    output::check_seekable(&output)?;
    read.push(&output);
    common.check_report(&read)?;
    let arrays = npz::headers(&input)?;
    let mut options = ImportOptions::default();
    options.ranks = arrays.iter().map(|own| (own.name.clone(), own.shape.len())).collect();
    let load = |options: &ImportOptions| open(&model, &arrays, options)?.session(&common.options());
    let mut session = match load(&options) {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidModel | ErrorKind::Limit | ErrorKind::Unsupported) => {
            let Some((session, sized)) = for_sizes(&arrays, &options, &load) else { return Err(error.into()) };
            say!("{error}; opened for the sizes of the arrays alone");
            options = sized;
            session
        }
        loaded => loaded?,
    };
    if sizes_differ(&session, &arrays) {
        say!("{}: gives one name to sizes that differ here; each is taken for itself", plain_path(&model));
        options.names_apart = true;
        session = load(&options)?;
    }
    check_names(&session, &arrays, &input)?;
    if let Some((rows, proven)) = independent_rows(&session, &arrays, apart)? {
        let block =
            if proven { common.chunk.unwrap_or_else(|| rows_per_block(&arrays, rows, common.workers)) } else { 1 };
        if block < rows {
            // The blocks are already the chunks that `--chunk` asks for.
            let bulk = common.bulk(Bulk::new(session));
            let bulk = if common.chunk.is_some() { bulk.chunk_size(1) } else { bulk };
            let stop = common.stop();
            let mut out = OutputFile::create(&output, &[])?;
            out.stream_position().map_err(|error| writing(&output, &error))?;
            return npz::in_blocks(&input, &arrays, block, |blocks| {
                let mut results = bulk.map_results(stop.until(blocks));
                let (outputs, done) = put_together(&mut results, block, rows)?;
                if done < rows {
                    let (done, rows) = (HumanCount(done as u64), HumanCount(rows as u64));
                    say!("{}: {done} of {rows} rows", plain_path(&output));
                }
                // What was there before is worth more than no rows.
                if done > 0 {
                    write(&output, out, &outputs)?;
                }
                common.end(&results.report())
            })?;
        }
    }
    let (mut results, report) = common.bulk(Bulk::new(session)).run(&[npz::read(&input)?]);
    if let Some(result) = results.pop() {
        let (outputs, _) = put_together(std::iter::once(result), 1, 1)?;
        // From here on a signal leaves no half file.
        common.stop();
        write(&output, OutputFile::create(&output, &[])?, &outputs)?;
    }
    common.end(&report)
}

/// Opens the model; inputs that the arrays give are not left at the file's defaults.
fn open(path: &Path, arrays: &[Header], options: &ImportOptions) -> Result<Model, Error> {
    let model = Model::open_with(path, options)?;
    let given: Vec<&String> =
        model.defaults().iter().filter(|name| arrays.iter().any(|own| own.name == **name)).collect();
    if given.is_empty() {
        return Ok(model);
    }
    Model::open_with(path, &given.into_iter().fold(options.clone(), ImportOptions::no_default))
}

/// What `load` opens for the sizes of the arrays: for any number of rows if it can, else for as many.
fn for_sizes(
    arrays: &[Header],
    options: &ImportOptions,
    load: &dyn Fn(&ImportOptions) -> Result<Session, Error>,
) -> Option<(Session, ImportOptions)> {
    [1, 0].into_iter().find_map(|first| {
        let with = |options: ImportOptions, own: &Header| {
            let sizes = own.shape.iter().enumerate().map(|(axis, &size)| (axis >= first).then_some(size));
            options.input_shape(&own.name, sizes.collect::<Vec<_>>())
        };
        let options = arrays.iter().fold(options.clone(), with);
        Some((load(&options).ok()?, options))
    })
}

/// Whether sizes to which the file gives one name differ in the arrays: to other engines names are hints, and exporters
/// reuse them.
fn sizes_differ(session: &Session, arrays: &[Header]) -> bool {
    let mut sizes = HashMap::new();
    session.inputs().any(|(name, fact)| {
        let dims = fact.shape.dims();
        let given = arrays.iter().find(|own| own.name == name && own.shape.len() == dims.len());
        let mut named =
            dims.iter().zip(given.map_or(&[][..], |own| &own.shape)).filter(|(dim, _)| dim.as_fixed().is_none());
        named.any(|(dim, size)| sizes.insert(dim.clone(), *size).is_some_and(|other| other != *size))
    })
}

fn write(path: &Path, out: OutputFile, outputs: &Outputs) -> Result<(), Failure> {
    let out = npz::write(out, outputs.iter().map(|(header, bytes)| (header, &bytes[..])));
    out.map_err(|error| writing(path, &error))?.finish()
}

/// The number of rows, if they can be read in blocks, and whether the model keeps rows of one run independent; otherwise they
/// are only `apart` as asked.
fn independent_rows(session: &Session, arrays: &[Header], apart: bool) -> Result<Option<(usize, bool)>, String> {
    let proven = matches!(session.batching(), Batching::Rows { .. });
    if !proven && !apart {
        return Ok(None);
    }
    let rows = arrays.first().and_then(Header::rows).map(|(rows, _)| rows);
    let rows = rows.filter(|rows| {
        arrays.iter().all(|array| {
            array.dtype != DType::Bool
                && array.rows().is_some_and(|(own, bytes)| own == *rows && bytes <= MOST_ROW_BYTES)
        })
    });
    match rows {
        None if apart => {
            Err("--rows-apart: the arrays have no equal numbers of rows that can be read apart".to_owned())
        }
        rows => Ok(rows.map(|rows| (rows, proven))),
    }
}

/// The number of rows that fit a worker's cache, and that leave enough blocks for all workers.
fn rows_per_block(arrays: &[Header], rows: usize, workers: Option<usize>) -> usize {
    let row: usize = arrays.iter().filter_map(Header::rows).map(|(_, bytes)| bytes).sum();
    let workers = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    (BLOCK_BYTES / row.max(1)).min(rows / workers.saturating_mul(LEAST_BLOCKS)).max(1)
}

/// Headers of arrays and their elements as native-endian bytes.
type Outputs = Vec<(Header, Vec<u8>)>;

/// Concatenates the outputs of all blocks of `block` rows; also returns how many of the `rows` were reached.
fn put_together(
    results: impl Iterator<Item = Result<Tensors, ItemError>>,
    block: usize,
    rows: usize,
) -> Result<(Outputs, usize), String> {
    let mut outputs = Outputs::new();
    let mut done = 0;
    for result in results {
        let last = (done + block).min(rows);
        let part = result.map_err(|error| match rows {
            1 => whole(&error.source),
            _ => format!("rows {done} to {}: {}", last - 1, whole(&error.source)),
        })?;
        let tensors = tensors(&part)?;
        if done > 0 && tensors.len() != outputs.len() {
            return Err(format!("row {last}: {} arrays behind rows with {}", tensors.len(), outputs.len()));
        }
        for (index, (name, tensor)) in tensors.into_iter().enumerate() {
            match outputs.get_mut(index) {
                Some((header, bytes)) => {
                    let (own, due) = (tensor.shape(), &header.shape);
                    if own.is_empty() || own.len() != due.len() || own[1..] != due[1..] {
                        return Err(format!(
                            "row {last}: the output `{name}` of shape {own:?} is no row behind {due:?}"
                        ));
                    }
                    header.shape[0] += tensor.shape()[0];
                    npz::append(header, bytes, tensor);
                }
                None => {
                    let (shape, dtype) = (tensor.shape().to_vec(), tensor.dtype());
                    let mut header = Header { name, dtype, shape, width: 0 };
                    let mut bytes = Vec::new();
                    npz::append(&mut header, &mut bytes, tensor);
                    outputs.push((header, bytes));
                }
            }
        }
        done = last;
    }
    Ok((outputs, done))
}

/// The arrays of a result: those of a sequence are named by their places in it, and a value that is absent has none.
fn tensors(result: &Tensors) -> Result<Vec<(String, &Tensor)>, String> {
    let mut named: Vec<_> = result.iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    let mut pending: Vec<_> = result.others().map(|(name, value)| (name.to_owned(), value)).collect();
    pending.reverse();
    while let Some((name, value)) = pending.pop() {
        match value {
            Value::Tensor(tensor) => named.push((name, tensor)),
            Value::Sequence(values) => {
                pending
                    .extend(values.iter().enumerate().rev().map(|(place, value)| (format!("{name}.{place}"), value)));
            }
            Value::Optional(value) => pending.extend(value.as_deref().map(|value| (name, value))),
            _ => return Err(format!("the output `{name}` is of a kind that no array holds")),
        }
    }
    Ok(named)
}

/// Compares the arrays with the model's inputs; one message names all differences.
fn check_names(session: &Session, arrays: &[Header], path: &Path) -> Result<(), String> {
    let missing = session.inputs().filter(|(name, _)| arrays.iter().all(|array| array.name != *name));
    let missing: Vec<_> = missing.map(|(name, fact)| format!("`{name}`, {fact}, is missing")).collect();
    let unknown = arrays.iter().filter(|array| session.inputs().all(|(own, _)| own != array.name));
    let unknown: Vec<_> = unknown.map(|array| format!("`{}` is not an input of the model", array.name)).collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!("{}: {}", path.display(), [missing, unknown].concat().join("; ")))
}

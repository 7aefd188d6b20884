//! Runs an ONNX model over the rows of a CSV file: one line of outputs for each row, in order.
//!
//! ```sh
//! cargo run --release --example score_table -- MODEL.onnx TABLE.csv > SCORES.csv
//! ```
//!
//! The model takes one input `f32 [batch, columns]`, as models for tables do. The first line of the file holds the
//! names of the columns, each further line one row of numbers; quoted fields are not read. The file may be larger than
//! memory. A row that fails gives an empty line, and a message on stderr with the row's number.

use std::{
    env,
    error::Error as StdError,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
};

use gristmill::{Error, Model, Pipeline, Result, SessionOptions, Tensor, Tensors, bulk::Bulk};

fn main() -> Result<(), Box<dyn StdError>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(model), Some(table), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: score_table MODEL.onnx TABLE.csv".into());
    };
    let session = Model::open(model)?.session(&SessionOptions::default())?;
    let (input, info) = session.inputs().next().ok_or("the model has no input")?;
    // Where nobody can read it any more, the work goes on all the same.
    let _ = writeln!(io::stderr(), "input `{input}`: {info}");
    let input = input.to_owned();

    let mut lines = BufReader::new(File::open(table)?).lines();
    let header = lines.next().ok_or("the table is empty")??;
    let columns = header.split(',').count();

    // Parsing runs on the workers, next to the model.
    let pipeline = Pipeline::new(session)
        .prepare(move |line: &str| {
            let numbers = parse(line, columns)?;
            Ok(Tensors::from([(input.as_str(), Tensor::new([1, columns], &numbers)?)]))
        })
        .finish(|_, outputs: Tensors| Ok(outputs.iter().map(|(_, tensor)| text(tensor)).collect::<Result<Vec<_>>>()?))
        // Lets the memory limit count the text of a line, not only the size of its handle.
        .item_bytes(|line: &str| line.len());

    // `map_results` takes a source that can fail: a line that cannot be read is an error of its row.
    let mut results = Bulk::pipeline(pipeline).map_results(lines);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = 0;
    for result in results.by_ref() {
        match result {
            Ok(fields) => writeln!(out, "{}", fields.join(","))?,
            Err(error) => {
                failed += 1;
                let _ = writeln!(io::stderr(), "row {}: failed in {}: {}", error.index + 1, error.stage, error.source);
                writeln!(out)?;
            }
        }
    }
    out.flush()?;
    let _ = writeln!(io::stderr(), "{}", results.report());
    if failed > 0 {
        return Err(format!("{failed} rows failed").into());
    }
    Ok(())
}

/// The numbers of one line.
fn parse(line: &str, columns: usize) -> Result<Vec<f32>> {
    let number = |field: &str| {
        let field = field.trim();
        field.parse::<f32>().map_err(|_| Error::invalid_input(format!("`{field}` is not a number")))
    };
    let numbers = line.split(',').map(number).collect::<Result<Vec<_>>>()?;
    match numbers.len() {
        count if count == columns => Ok(numbers),
        count => Err(Error::invalid_input(format!("{count} fields; the header has {columns}"))),
    }
}

/// The elements of an output as CSV fields: floating-point scores, or integer classes.
fn text(tensor: &Tensor) -> Result<String> {
    let fields: Vec<String> = if tensor.dtype().is_float() {
        tensor.as_slice::<f32>()?.iter().map(f32::to_string).collect()
    } else {
        tensor.to_i64()?.iter().map(i64::to_string).collect()
    };
    Ok(fields.join(","))
}

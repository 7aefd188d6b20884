//! The command `verify_job`: proofs about the folders of jobs over files.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use gristmill::files::{compare, merge, verify_complete};
use lexopt::Parser;

use super::common::{Common, Failure, Flag, Outcome, plain_path};

const USAGE: &str = "\
usage: verify_job A B
       verify_job --complete DIR...
       verify_job --merge OUT DIR...

Compares the parts of two folders; or proves that folders hold all rows of their plans, each part as its manifest says; or
copies the parts of folders of one job into OUT. A folder may be a URL of s3://, gs:// or az:// where those are built in.
Prints what was found, and exits with 1 where something differs or is missing.";

/// Runs the command.
pub fn verify(command_line: Parser) -> Outcome {
    let (mut folders, mut complete, mut out) = (Vec::new(), false, None);
    Common::parse(command_line, USAGE, |flag, parser| {
        match flag {
            Flag::Named("complete") => complete = true,
            Flag::Named("merge") => out = Some(PathBuf::from(parser.value()?)),
            Flag::Value(folder) => folders.push(PathBuf::from(folder)),
            Flag::Named(_) => return Ok(false),
        }
        Ok(true)
    })?;
    let mut stdout = io::stdout();
    match (complete, out, folders.as_slice()) {
        (true, None, [_, ..]) => {
            for folder in &folders {
                let found = verify_complete(folder)?;
                let (rows, failed, parts) = (found.rows, found.failed, found.parts);
                writeln!(stdout, "{}: complete: {parts} parts, {rows} rows, {failed} failed", plain_path(folder))?;
            }
        }
        (false, Some(out), [_, ..]) => {
            merge(&folders, &out)?;
            writeln!(stdout, "{}: {} folders put together", plain_path(&out), folders.len())?;
        }
        (false, None, [a, b]) => {
            compare(a, b)?;
            writeln!(stdout, "{} and {} are alike", plain_path(a), plain_path(b))?;
        }
        _ => return Err(Failure::usage("two folders, --complete or --merge are needed; see --help")),
    }
    Ok(0)
}

//! Closures fail with any error, which keeps its type and its causes.

use std::{error::Error as StdError, fmt, fs, io, num::ParseIntError, path::Path};

use gristmill::{
    Error, ErrorKind, ItemError, PerWorker, Pipeline, Stage,
    bulk::{Bulk, Hot, publish, read_published},
    from_fn,
};

/// An error of the caller's own, with a cause.
#[derive(Debug)]
struct Own(ParseIntError);

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an own error")
    }
}

impl StdError for Own {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

type Boxed = Box<dyn StdError + Send + Sync>;

/// Fails in the way of this number.
fn fail(number: u64) -> Result<u64, Boxed> {
    let inner = || Bulk::new(from_fn(|_: &u64| Err::<u64, _>("inner".into()))).map([0]).next().unwrap();
    match number {
        0 => Err(Own("x".parse::<u8>().unwrap_err()))?,
        1 => Err(io::Error::other("the disk is gone"))?,
        2 => Err("a text".to_owned())?,
        3 => Err(Error::new(ErrorKind::Limit, "too long"))?,
        4 => Ok(inner()?),
        5 => Err(Boxed::from("in a box"))?,
        number => Ok(number),
    }
}

fn check(results: Vec<Result<u64, ItemError>>, stage: Stage) {
    use ErrorKind::{Io, Limit, User};
    let due = [
        (User, "an own error"),
        (Io, "the disk is gone"),
        (User, "a text"),
        (Limit, "too long"),
        (User, "item 0 failed in run: inner"),
        (User, "in a box"),
    ];
    assert_eq!(results[6].as_ref().unwrap(), &6);
    for (result, due) in results.iter().zip(due) {
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.source.kind(), error.source.to_string().as_str(), error.stage), (due.0, due.1, stage));
    }
    let error = |place: usize| &results[place].as_ref().unwrap_err().source;
    assert!(error(0).downcast_ref::<Own>().is_some() && error(0).source().unwrap().is::<ParseIntError>());
    assert!(error(1).downcast_ref::<io::Error>().is_some() && error(4).downcast_ref::<ItemError>().is_some());
    assert!(format!("{:?}", error(0)).ends_with("an own error: invalid digit found in string"));
}

#[test]
fn any_error_is_taken() {
    let run = |number: &u64| fail(*number);
    check(Bulk::new(from_fn(run)).map(0..7).collect(), Stage::Run);
    check(Bulk::new(PerWorker::new(|_| Ok(()), move |(), number| run(number))).map(0..7).collect(), Stage::Run);
    let same = || from_fn(|number: &u64| Ok(*number));
    check(Bulk::pipeline(Pipeline::new(same()).prepare(run)).map(0..7).collect(), Stage::Prepare);
    let finishing = Pipeline::new(same()).prepare(|number: &u64| Ok(*number)).finish(|_, number| fail(number));
    check(Bulk::pipeline(finishing).map(0..7).collect(), Stage::Finish);
    let mut results = Bulk::new(from_fn(run)).map([0]);
    assert!(results.next().unwrap().is_err());
    assert!(results.report().notes.iter().any(|note| note.ends_with("an own error: invalid digit found in string")));
}

#[test]
fn so_it_is_where_models_are_loaded_and_files_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    let error = publish(&path, |_| Ok(fs::write(folder.path(), "")?)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    publish(&path, |file| Ok(io::Write::write_all(file, b"x")?)).unwrap();
    let error = read_published(&path, |path| Ok(fs::read_to_string(path)?.parse::<u64>()?)).unwrap_err();
    assert!(error.downcast_ref::<ParseIntError>().is_some(), "{error}");
    let load = |path: &Path| {
        let factor: u64 = fs::read_to_string(path)?.parse()?;
        Ok(from_fn(move |number: &u64| Ok(number * factor)))
    };
    let error = Hot::open(&path, load, |_| String::new()).unwrap_err();
    assert_eq!((error.kind(), error.downcast_ref::<ParseIntError>().is_some()), (ErrorKind::User, true));
}

#[test]
fn anyhow_takes_and_prints_errors_once() {
    use anyhow::Context as _;

    fn quota(number: u64) -> anyhow::Result<u64> {
        number.checked_sub(10).context("quota")
    }
    let bulk = Bulk::new(from_fn(|number: &u64| Ok(quota(*number)?)));
    let first =
        |bulk: &Bulk<_>, number: u64| -> anyhow::Result<u64> { Ok(bulk.map([number]).next().context("none")??) };
    assert_eq!(first(&bulk, 12).unwrap(), 2);
    let error = first(&bulk, 9).unwrap_err();
    let printed = format!("{error:#}");
    assert_eq!(printed.matches("quota").count(), 1, "{printed}");
    assert_eq!(error.downcast_ref::<ItemError>().unwrap().index, 0);
    let wrapped = first(&bulk, 9).context("the nightly run").unwrap_err();
    assert_eq!(format!("{wrapped:#}"), format!("the nightly run: {printed}"));
}

//! Items that were not reached: their stage, their error, and what the report says.

use gristmill::{
    ErrorKind, Inference, ItemError, Pipeline, Stage,
    bulk::{Bulk, CancelToken},
    from_fn,
};

use crate::support::process::alone;

fn squares() -> impl Inference<Input = u64, Output = u64> + 'static {
    from_fn(|number: &u64| Ok(number * number))
}

#[test]
fn they_have_the_stage_that_they_waited_for() {
    let token = CancelToken::new();
    token.cancel();
    let all = |errors: Vec<Result<u64, ItemError>>, stage| {
        for (index, error) in errors.into_iter().map(Result::unwrap_err).enumerate() {
            assert_eq!((error.index, error.stage, error.source.kind()), (index, stage, ErrorKind::Cancelled));
            let again = error.clone();
            assert_eq!(again.to_string(), error.to_string());
        }
    };
    let bulk = || Bulk::new(squares()).cancel(token.clone());
    all(bulk().run(&[1, 2, 3]).0, Stage::Run);
    all(bulk().dedupe().run(&[1, 2, 1]).0, Stage::Run);
    let pipeline = Pipeline::new(squares()).prepare(|text: &str| Ok(text.len() as u64));
    all(Bulk::pipeline(pipeline).cancel(token.clone()).run(&["a", "b"]).0, Stage::Prepare);
}

#[test]
fn a_job_that_cannot_start_is_no_success() {
    // Stacks of a size that no system has.
    if !alone(module_path!(), "a_job_that_cannot_start_is_no_success", &[("RUST_MIN_STACK", "70368744177664")]) {
        return;
    }
    let bulk = Bulk::new(squares()).workers(3);
    let mut results = bulk.map(0..5);
    for taken in [false, true] {
        let report = results.report();
        assert_eq!((report.items, report.errors, report.workers), (1, 1, 0));
        assert!(report.to_string().contains("the job did not start: starting 3 worker threads: "), "{report}");
        if !taken {
            let error = results.next().unwrap().unwrap_err();
            assert_eq!((error.index, error.stage, error.source.kind()), (0, Stage::Run, ErrorKind::Io));
        }
    }
    assert!(results.next().is_none());
    let mut distinct = bulk.clone().dedupe().map(0..5);
    assert!(distinct.next().unwrap().is_err() && distinct.report().errors == 1 && distinct.report().workers == 0);
    let (results, report) = bulk.run(&[1, 2]);
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.source.kind() == ErrorKind::Io)));
    assert_eq!((results.len(), report.items, report.errors, report.workers), (2, 2, 2, 0));
}

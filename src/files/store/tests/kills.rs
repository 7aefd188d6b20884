//! Requests that fail: after each of them the job goes on to the same objects.

use std::sync::atomic::Ordering::SeqCst;

use super::{
    super::lease::Text,
    jobs::{Case, assert_same, contents, run},
    planted::{Fault, Plan},
};
use crate::files::{FileJob, Start, verify_complete};

/// The uploads that are named in claims.
fn named(case: &Case) -> Vec<String> {
    let claims = case.objects().into_iter().filter(|(key, _)| key.contains("/claims/"));
    let texts = claims.map(|(_, bytes)| serde_json::from_slice::<Text>(&bytes).unwrap());
    texts.flat_map(|text| text.uploads).map(|upload| upload.id).collect()
}

/// Runs a job whose requests end at each of them in turn, and resumes it; returns the number of requests, and that of the
/// uploads that the ends left named in claims.
fn killed_everywhere(
    case: &Case,
    make: impl Fn(FileJob) -> FileJob,
    fails: &'static str,
    start: impl Fn(),
) -> (usize, usize) {
    start();
    let expected = {
        case.store.set(Plan::default());
        run(&make(case.job(&case.url)), fails).unwrap();
        case.objects()
    };
    let (requests, mut uploads) = (case.store.asked.load(SeqCst), 0);
    for at in 0..requests {
        for fault in [Fault::Refused, Fault::Silent] {
            case.remove_all();
            start();
            case.store.set(Plan { dies_at: Some((at, fault)), ..Plan::default() });
            // The last requests remove what no finished job needs, and may fail.
            let died = run(&make(case.job(&case.url)), fails);
            case.store.set(Plan::default());
            let named = named(case);
            let resumed = run(&make(case.job(&case.url)), fails);
            let summary = resumed.unwrap_or_else(|error| panic!("{at} {fault:?}: {error} after {died:?}"));
            assert!(summary.is_complete(), "{at} {fault:?}: {summary:?}");
            assert_same(&case.objects(), &expected);
            verify_complete(&case.url).unwrap();
            // Whoever takes a claim over has given its uploads up.
            let left = case.store.uploads.lock().unwrap().clone();
            assert!(!named.iter().any(|id| left.contains(id)), "{at} {fault:?}: {named:?} {left:?}");
            uploads += named.len();
        }
    }
    (requests, uploads)
}

#[test]
fn a_job_that_is_killed_between_any_two_requests_goes_on() {
    let case = Case::new("killed", 1 << 20);
    let (requests, _) = killed_everywhere(&case, |job| job, "no", || ());
    assert!(requests > 30, "{requests}");
    assert_same(&case.objects(), &case.local("local", |job| job, "no"));
}

#[test]
fn uploads_of_a_job_that_is_killed_are_given_up() {
    let case = Case::new("killed-pieces", 60);
    let (_, uploads) = killed_everywhere(&case, |job| job.rows_per_shard(18), "no", || ());
    assert!(uploads > 20, "{uploads}");
}

#[test]
fn a_retry_that_is_killed_between_any_two_requests_goes_on() {
    let case = Case::new("killed-retry", 1 << 20);
    let start = || {
        case.store.set(Plan::default());
        run(&case.job(&case.url), "no").unwrap();
    };
    let (requests, _) = killed_everywhere(&case, |job| job.start(Start::RetryErrors), "", start);
    assert!(requests > 20, "{requests}");
    let local = case.folder.path().join("local");
    run(&case.job(&local), "no").unwrap();
    run(&case.job(&local).start(Start::RetryErrors), "").unwrap();
    assert_same(&case.objects(), &contents(&local, ""));
}

#[test]
fn an_answer_that_is_lost_does_no_harm() {
    let case = Case::new("silent", 60);
    run(&case.job(&case.url), "no").unwrap();
    let (expected, requests) = (case.objects(), case.store.asked.load(SeqCst));
    for at in 0..requests {
        case.remove_all();
        case.store.set(Plan { silent_at: Some(at), ..Plan::default() });
        let summary = run(&case.job(&case.url), "no").unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(summary.is_complete() && summary.ran == 35, "{at}: {summary:?}");
        assert_same(&case.objects(), &expected);
    }
}

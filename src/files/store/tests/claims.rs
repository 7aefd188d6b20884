//! Two owners of one part: whoever is late writes over nothing.

use std::{io::Write, thread, time::Duration};

use super::{
    super::{folder::StoredFolder, lease::Text},
    planted::{Plan, Planted},
};
use crate::{
    bulk::CancelToken,
    files::{
        folder::{Claim, Folder, Publishing, Written, letters_name},
        manifest::{Finished, Manifest},
        url::{Scheme, Url},
    },
};

const PART: &str = "part-00000-of-00001.jsonl";
const LEASE: Duration = Duration::from_millis(100);

fn folder(bucket: &str) -> StoredFolder {
    folder_for(bucket, LEASE)
}

fn folder_for(bucket: &str, lease: Duration) -> StoredFolder {
    let url = Url { scheme: Scheme::S3, root: bucket.to_owned(), key: "out".to_owned() };
    StoredFolder::open(&url, &CancelToken::new(), lease).unwrap()
}

/// A folder as another process sees it.
fn claim(bucket: &str) -> (StoredFolder, Option<Box<dyn Claim>>) {
    let folder = folder(bucket);
    let claim = folder.claim(PART).unwrap();
    (folder, claim)
}

/// Asks for a part until it can be had.
fn claim_in_time(folder: &StoredFolder) -> Box<dyn Claim> {
    for _ in 0..200 {
        if let Some(claim) = folder.claim(PART).unwrap() {
            return claim;
        }
        thread::sleep(LEASE / 5);
    }
    panic!("a claim that is not renewed is never free");
}

fn written(claim: &dyn Claim, rows: &str, letters: &str) -> Written {
    let file = |name: &str, text: &str| {
        let mut file = claim.begin(name).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let finished = Finished {
        name: PART.to_owned(),
        rows: 1,
        failed: letters.lines().count() as u64,
        bytes: 0,
        blake3: String::new(),
        errors_blake3: String::new(),
        source_blake3: String::new(),
    };
    let letters = (!letters.is_empty()).then(|| file(&letters_name(PART), letters));
    Written { finished, file: file(PART, rows), letters }
}

fn publish(claim: Box<dyn Claim>, rows: &str, letters: &str) -> crate::Result<Option<Finished>> {
    let written = written(&*claim, rows, letters);
    match claim.publish(written)? {
        Publishing::Ended(finished) => Ok(finished),
        Publishing::Running(thread) => thread.join().unwrap(),
    }
}

fn object(store: &Planted, name: &str) -> Option<String> {
    let bytes = super::jobs::objects(store).remove(&format!("out/{name}"))?;
    Some(String::from_utf8(bytes).unwrap())
}

fn finished(folder: &StoredFolder) -> Manifest {
    folder.manifest().unwrap()
}

#[test]
fn a_part_has_one_owner() {
    let _store = Planted::new("one-owner", 1 << 20);
    let lease = Duration::from_secs(3);
    let first = folder_for("one-owner", lease).claim(PART).unwrap().unwrap();
    // It is renewed, so that it stands for longer than its lease.
    let other = folder_for("one-owner", lease);
    for _ in 0..16 {
        assert!(other.claim(PART).unwrap().is_none());
        thread::sleep(lease / 8);
    }
    assert!(!first.is_lost());
    drop(first);
    drop(claim_in_time(&other));
}

#[test]
fn of_many_claimers_one_wins() {
    let _store = Planted::new("many", 1 << 20);
    let won: usize = thread::scope(|scope| {
        let claims: Vec<_> = (0..8).map(|_| scope.spawn(|| claim("many").1)).collect();
        let claims: Vec<_> = claims.into_iter().map(|claim| claim.join().unwrap()).collect();
        claims.iter().flatten().count()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_claim_that_ended_is_taken_over_by_one() {
    let store = Planted::new("over", 1 << 20);
    let (_, first) = claim("over");
    let mut first = first.unwrap();
    let other = folder("over");
    store.set(Plan { waits_at: Some(0), ..Plan::default() });
    let second = claim_in_time(&other);
    assert!(publish(second, "of the second\n", "").unwrap().is_some());
    store.go_on();
    // The first one, which does not know, writes nothing.
    first.reopen().unwrap();
    assert!(publish(first, "of the first\n", "letter\n").unwrap().is_none());
    assert_eq!(object(&store, PART).unwrap(), "of the second\n");
    assert_eq!(object(&store, &letters_name(PART)), None);
    assert_eq!(finished(&other).finished[PART].failed, 0);
}

/// A process that stands still after a number of requests of its last act, and goes on when another one has finished.
#[test]
fn one_that_goes_on_late_writes_over_nothing() {
    for piece in [1 << 20, 4] {
        let mut stopped = 0;
        for at in 0..60 {
            let bucket = format!("late-{piece}-{at}");
            let store = Planted::new(&bucket, piece);
            let (_, first) = claim(&bucket);
            let first = first.unwrap();
            let other = folder(&bucket);
            assert!(other.claim(PART).unwrap().is_none());
            store.set(Plan { waits_at: Some(at), ..Plan::default() });
            let late = thread::spawn(move || publish(first, "of the first\n", "letter\n"));
            let stands_still = store.stands_still(Duration::from_millis(400));
            if !stands_still {
                assert!(late.join().unwrap().unwrap().is_some());
                break;
            }
            stopped += 1;
            let second = claim_in_time(&other);
            let own = publish(second, "of the second\n", "").unwrap();
            store.go_on();
            let late = late.join().unwrap();
            // Whoever is noted as the one that made the part did.
            let manifest = finished(&other);
            let part = &manifest.finished[PART];
            let rows = object(&store, PART).unwrap();
            assert_eq!(part.blake3, blake3::hash(rows.as_bytes()).to_hex().to_string(), "{at}: {own:?} {late:?}");
            if part.failed > 0 {
                let letters = object(&store, &letters_name(PART)).unwrap();
                assert_eq!(part.errors_blake3, blake3::hash(letters.as_bytes()).to_hex().to_string(), "{at}");
            }
            let late_won = own.is_none();
            assert!(!late_won || matches!(late, Ok(Some(_))), "{at}: {own:?} {late:?}");
            assert_eq!(rows, if late_won { "of the first\n" } else { "of the second\n" }, "{at}: {late:?}");
            assert!(late_won == (part.failed > 0), "{at}");
            assert!(store.uploads.lock().unwrap().is_empty(), "{at}");
        }
        assert!(stopped > 5, "{stopped}");
    }
}

#[test]
fn a_damaged_claim_ends_too() {
    let store = Planted::new("damaged", 1 << 20);
    let text = Text {
        owner: "x".to_owned(),
        renewed: 0,
        // Nobody can ask others to wait for ever.
        stands_ms: 50,
        is_free: false,
        uploads: Vec::new(),
    };
    for bytes in [b"{\"own".to_vec(), serde_json::to_vec(&text).unwrap()] {
        let key = object_store::path::Path::from(format!("out/_gristmill/work-0/claims/{PART}.json"));
        let objects = store.objects.clone();
        super::wait(&CancelToken::new(), async move {
            object_store::ObjectStoreExt::put(&*objects, &key, bytes.into()).await.unwrap()
        })
        .unwrap();
        let other = folder("damaged");
        assert!(other.claim(PART).unwrap().is_none());
        drop(claim_in_time(&other));
        other.leave();
    }
}

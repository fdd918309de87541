use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn identity() -> Identity {
    Identity {
        stage: "toy".to_owned(),
        version: 1,
        label: "toy of the tests".to_owned(),
        parameters: json!({"rate": 0.1, "nested": {"b": 1, "a": [1, 2]}}),
        inputs: BTreeMap::from([("data".to_owned(), Input::external("d1".to_owned()))]),
    }
}

fn make(store: &Store, identity: Identity, text: &str) -> Artifact {
    let write = |transaction: &Transaction| -> Result<Value, StoreError> {
        fill(transaction, text);
        Ok(json!({"lines": 1}))
    };
    store.make(&identity, &AtomicBool::new(false), write).unwrap().unwrap()
}

fn fill(transaction: &Transaction, text: &str) {
    std::fs::create_dir_all(transaction.dir().join("sub")).unwrap();
    std::fs::write(transaction.dir().join("sub/file.txt"), text).unwrap();
}

fn open(store: &Store) -> Transaction {
    match store.begin(identity()).unwrap() {
        Begin::Open(transaction) => *transaction,
        Begin::Done(_) => panic!("it is there"),
        Begin::Busy(_) => panic!("another one works on it"),
    }
}

#[test]
fn whatever_can_change_the_output_is_in_the_key() {
    let base = identity();
    let mut others = vec![base.clone(); 6];
    others[0].stage = "other".to_owned();
    others[1].version = 2;
    others[2].parameters["rate"] = json!(0.2);
    others[3].parameters["nested"]["a"] = json!([2, 1]);
    others[4].inputs.insert("data".to_owned(), Input::external("d2".to_owned()));
    others[5].inputs.insert("tokenizer".to_owned(), Input::external("d1".to_owned()));
    let keys: std::collections::BTreeSet<Key> = others.iter().map(Identity::key).chain([base.key()]).collect();
    assert_eq!(keys.len(), 7);
}

#[test]
fn what_cannot_change_the_output_is_not_in_the_key() {
    let mut other = identity();
    other.label = "somewhere else".to_owned();
    other.parameters = json!({"nested": {"a": [1, 2], "b": 1}, "rate": 0.1});
    if let Some(input) = other.inputs.get_mut("data") {
        input.stage = Some("normalize".to_owned());
    }
    assert_eq!(other.key(), identity().key());
}

#[test]
fn an_artifact_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let transaction = open(&store);
    std::fs::write(transaction.dir().join("half.txt"), "half").unwrap();
    drop(transaction);
    assert!(store.lookup(&identity()).unwrap().is_none());
    let artifact = make(&store, identity(), "whole");
    assert_eq!(std::fs::read_to_string(artifact.dir.join("sub/file.txt")).unwrap(), "whole");
    assert_eq!(artifact.manifest.files.len(), 1);
    assert!(store.find_garbage(false).unwrap().garbage.is_empty());
    assert_eq!(store.verify().unwrap(), (1, vec![]));
    // Made once: the second `begin` finds it.
    assert!(matches!(store.begin(identity()).unwrap(), Begin::Done(_)));
}

#[test]
fn a_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let artifact = make(&store, identity(), "whole");
    std::fs::write(artifact.dir.join("sub/file.txt"), "whole!").unwrap();
    let (files, problems) = store.verify().unwrap();
    assert_eq!((files, problems.len()), (1, 1));
    assert!(problems[0].path.ends_with("sub/file.txt"));
}

#[test]
fn scratch_outlives_a_crash_and_goes_with_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let transaction = open(&store);
    let scratch = transaction.scratch().own().to_owned();
    std::fs::create_dir_all(&scratch).unwrap();
    std::fs::write(scratch.join("checkpoint"), "step 10").unwrap();
    // In work, it is nobody's garbage.
    let other = Store::new(dir.path());
    assert!(other.find_garbage(false).unwrap().garbage.is_empty());
    drop(transaction);
    assert!(scratch.join("checkpoint").exists());
    assert!(store.find_garbage(true).unwrap().garbage.is_empty());
    assert_eq!(store.find_garbage(false).unwrap().garbage.len(), 1);
    // The next try takes over the directory of one that has ended.
    let transaction = open(&store);
    assert_eq!(std::fs::read_to_string(transaction.scratch().own().join("checkpoint")).unwrap(), "step 10");
    drop(transaction);
    make(&store, identity(), "whole");
    assert!(!scratch.parent().unwrap().exists());
}

#[test]
fn explain_names_the_parameter_and_the_input_that_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    assert_eq!(store.history().unwrap().explain(&identity()), Explanation::New);
    make(&store, identity(), "whole");
    assert_eq!(store.history().unwrap().explain(&identity()), Explanation::Present);
    let mut wanted = identity();
    wanted.parameters["nested"]["a"] = json!([1, 3]);
    wanted.inputs.insert("data".to_owned(), Input::external("d2".to_owned()));
    let Explanation::Differs { differences, .. } = store.history().unwrap().explain(&wanted) else {
        panic!("it differs")
    };
    let names: Vec<&str> = differences.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(names, ["parameter nested.a.1", "input data"]);
}

#[test]
fn two_threads_on_one_key_make_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let made = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let make = |transaction: &Transaction| -> Result<Value, StoreError> {
                    made.fetch_add(1, Ordering::SeqCst);
                    fill(transaction, "x");
                    std::thread::sleep(Duration::from_millis(20));
                    Ok(json!(null))
                };
                store.make(&identity(), &AtomicBool::new(false), make).unwrap().unwrap();
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

/// What `Transaction::commit` does in a process whose lease was taken over while it slept.
#[test]
fn the_first_commit_stays_and_the_second_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (Store::new(dir.path()), Store::new(dir.path()));
    let slow = open(&store);
    fill(&slow, "slow");
    // As if the slow one's machine had been silent for too long.
    let identity = identity();
    let lease = match other.leases().claim("another lease").unwrap() {
        Claimed::Mine(lease) => lease,
        Claimed::Busy(_) => panic!("nobody holds it"),
    };
    let quick = Transaction::open(&other, identity.clone(), identity.key(), lease).unwrap();
    assert_ne!(quick.dir(), slow.dir());
    fill(&quick, "quick");
    let Committed::Ours(first) = quick.commit(json!(1)).unwrap() else { panic!("it was first") };
    let Committed::Theirs(second) = slow.commit(json!(2)).unwrap() else { panic!("it was second") };
    assert_eq!((first.dir.as_path(), &first.manifest), (second.dir.as_path(), &second.manifest));
    assert_eq!(std::fs::read_to_string(first.dir.join("sub/file.txt")).unwrap(), "quick");
    assert_eq!(store.verify().unwrap(), (1, vec![]));
    assert_eq!(store.find_garbage(false).unwrap().garbage, []);
}

#[test]
fn outputs_that_were_swept_away_do_not_hide_what_another_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (Store::new(dir.path()), Store::new(dir.path()));
    let slow = open(&store);
    std::fs::remove_dir_all(slow.dir()).unwrap();
    assert!(slow.commit(json!(1)).is_err());
    let slow = open(&store);
    std::fs::remove_dir_all(slow.dir()).unwrap();
    let Claimed::Mine(lease) = other.leases().claim("another lease").unwrap() else { panic!("nobody holds it") };
    let quick = Transaction::open(&other, identity(), identity().key(), lease).unwrap();
    fill(&quick, "quick");
    quick.commit(json!(1)).unwrap();
    assert!(matches!(slow.commit(json!(2)).unwrap(), Committed::Theirs(_)));
}

#[test]
fn nothing_in_an_artifacts_place_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let place = dir.path().join("artifacts/toy").join(identity().key().as_str());
    // Of a directory that somebody has emptied, nothing can be lost.
    std::fs::create_dir_all(&place).unwrap();
    let artifact = make(&store, identity(), "whole");
    std::fs::remove_file(artifact.dir.join("manifest.json")).unwrap();
    let Err(error) = store.begin(identity()) else { panic!("something stands in the way") };
    let message = error.to_string();
    assert!(message.contains("has no manifest; remove it") && message.contains(identity().key().as_str()), "{message}");
    assert_eq!(std::fs::read_to_string(artifact.dir.join("sub/file.txt")).unwrap(), "whole");
}

#[test]
fn garbage_goes_by_who_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (Store::new(dir.path()), Store::new(dir.path()));
    let working = open(&other);
    std::fs::create_dir_all(working.scratch().own()).unwrap();
    for left in ["artifacts/.tmp/toy-old~3~nobody-1-0", "scratch/toy/old/3", "locks"] {
        std::fs::create_dir_all(dir.path().join(left)).unwrap();
    }
    let stop = AtomicBool::new(false);
    let found = store.find_garbage(false).unwrap();
    assert_eq!((found.garbage.len(), found.living), (2, 1), "who works there is told of a look as well");
    let swept = store.collect_garbage(false, &stop, |_| panic!("all are of this machine")).unwrap().unwrap();
    assert_eq!((swept.garbage.len(), swept.living, swept.leases), (2, 1, 0));
    assert!(working.dir().is_dir() && working.scratch().own().is_dir() && !dir.path().join("locks").exists());
    drop((working, other));
    let swept = store.collect_garbage(false, &stop, |_| panic!("all are of this machine")).unwrap().unwrap();
    assert_eq!((swept.garbage.len(), swept.living), (1, 0));
    drop(store);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "artifacts" || name == "scratch"), "{left:?}");
}

/// Work that a process on another mount has committed and not swept up: its checkpoints belong to nobody.
#[test]
fn checkpoints_of_work_that_is_done_go_whoever_did_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    std::fs::create_dir_all(dir.path().join("scratch/toy/old/1")).unwrap();
    std::fs::create_dir_all(dir.path().join("leases")).unwrap();
    let elsewhere = Token::of_this_process(dir.path()).posing("elsewhere", 1, "elsewhere", 0);
    let line = [elsewhere.line(), b"done digest\n".to_vec()].concat();
    std::fs::write(dir.path().join("leases/toy-old.1"), line).unwrap();
    let swept =
        store.collect_garbage(false, &AtomicBool::new(false), |_| panic!("nobody has a beat")).unwrap().unwrap();
    assert_eq!((swept.garbage.len(), swept.leases), (1, 1));
    assert!(!dir.path().join("scratch/toy/old").exists());
}

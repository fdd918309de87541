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
    match store.begin(identity, || ()).unwrap() {
        Begin::Done(artifact) => *artifact,
        Begin::Open(transaction) => {
            std::fs::create_dir_all(transaction.dir().join("sub")).unwrap();
            std::fs::write(transaction.dir().join("sub/file.txt"), text).unwrap();
            transaction.commit(json!({"lines": 1})).unwrap()
        }
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
    let Begin::Open(transaction) = store.begin(identity(), || ()).unwrap() else { panic!("nothing was there") };
    std::fs::write(transaction.dir().join("half.txt"), "half").unwrap();
    drop(transaction);
    assert!(store.lookup(&identity()).unwrap().is_none());
    let artifact = make(&store, identity(), "whole");
    assert_eq!(std::fs::read_to_string(artifact.dir.join("sub/file.txt")).unwrap(), "whole");
    assert_eq!(artifact.manifest.files.len(), 1);
    assert!(store.collect_garbage(true, false).unwrap().is_empty());
    assert_eq!(store.verify().unwrap(), (1, vec![]));
    // Made once: the second `begin` finds it.
    assert!(matches!(store.begin(identity(), || ()).unwrap(), Begin::Done(_)));
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
    let Begin::Open(transaction) = store.begin(identity(), || ()).unwrap() else { panic!("nothing was there") };
    let scratch = transaction.scratch().to_owned();
    std::fs::create_dir_all(&scratch).unwrap();
    std::fs::write(scratch.join("checkpoint"), "step 10").unwrap();
    drop(transaction);
    assert!(scratch.join("checkpoint").exists());
    assert!(store.collect_garbage(true, true).unwrap().is_empty());
    assert_eq!(store.collect_garbage(true, false).unwrap().len(), 1);
    make(&store, identity(), "whole");
    assert!(!scratch.exists());
}

#[test]
fn explain_names_the_parameter_and_the_input_that_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    assert_eq!(store.explain(&identity()).unwrap(), Explanation::New);
    make(&store, identity(), "whole");
    assert_eq!(store.explain(&identity()).unwrap(), Explanation::Present);
    let mut wanted = identity();
    wanted.parameters["nested"]["a"] = json!([1, 3]);
    wanted.inputs.insert("data".to_owned(), Input::external("d2".to_owned()));
    let Explanation::Differs { differences, .. } = store.explain(&wanted).unwrap() else { panic!("it differs") };
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
                if let Begin::Open(transaction) = store.begin(identity(), || ()).unwrap() {
                    made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::fs::write(transaction.dir().join("file.txt"), "x").unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    transaction.commit(json!(null)).unwrap();
                }
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

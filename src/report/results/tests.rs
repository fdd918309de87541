use std::collections::BTreeMap;

use super::super::fixture;
use super::*;
use arrow::array::AsArray;
use arrow::datatypes::{UInt32Type, UInt64Type};

/// Bytes of every file below `root`, stamps included.
fn bytes(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut pending = vec![root.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { drop(files.insert(path.clone(), fs::read(path).unwrap())) }
        }
    }
    files
}

fn published(results: &StudyResults, view: &Path) -> Result<Published, ReportError> {
    publish(results, view, &Leases::new(&view.join("..")), &AtomicBool::new(false))
}

#[test]
fn a_second_run_writes_nothing_and_a_fresh_one_writes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let results = fixture::results(dir.path());
    let (view, other) = (dir.path().join("results"), dir.path().join("other"));
    let first = published(&results, &view).unwrap();
    assert_eq!(first, Published { written: true, files: 21 });
    let before = bytes(&view);
    assert_eq!(published(&results, &view).unwrap(), Published { written: false, files: 21 });
    let mut shuffled = results.clone();
    shuffled.cells.reverse();
    assert!(!published(&shuffled, &view).unwrap().written);
    assert_eq!(bytes(&view), before);
    published(&shuffled, &other).unwrap();
    let fresh: Vec<_> = bytes(&other).into_values().collect();
    assert_eq!(fresh, before.into_values().collect::<Vec<_>>());
}

#[test]
fn every_input_is_in_the_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let results = fixture::results(dir.path());
    let base = digest(&results);
    let changes: [fn(&mut Cell); 9] = [
        |c| c.at.target = "other".parse().unwrap(),
        |c| c.at.row.push('x'),
        |c| c.at.seed += 1,
        |c| c.score_key.push('x'),
        |c| c.predict_key.push('x'),
        |c| c.model_key.push('x'),
        |c| c.tokenizer_digest.push('x'),
        |c| drop(c.data_keys.insert("more".to_owned(), "k".to_owned())),
        |c| c.parameters = json!({"learning_rate": 1}),
    ];
    for change in changes {
        let mut changed = results.clone();
        change(&mut changed.cells[0]);
        assert_ne!(digest(&changed), base);
    }
    let mut changed = results.clone();
    changed.tables.get_mut(&ResultsTable::Profiles).unwrap()[0].key.push('x');
    assert_ne!(digest(&changed), base);
    changed = results.clone();
    changed.tables.remove(&ResultsTable::Overlap);
    assert_ne!(digest(&changed), base);
    changed = results.clone();
    changed.code_version.push('x');
    assert_ne!(digest(&changed), base);
    changed = results.clone();
    changed.study.title.push('x');
    assert_ne!(digest(&changed), base);
}

#[test]
fn a_view_that_lost_a_file_is_built_again_and_leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let results = fixture::results(dir.path());
    let view = dir.path().join("results");
    published(&results, &view).unwrap();
    let before = bytes(&view);
    fs::remove_file(view.join("scores/study=small/target=xquad").join(PART)).unwrap();
    fs::create_dir_all(view.join(".building/small/1~gone/scores")).unwrap();
    fs::write(view.join(".building/small/1~gone/scores/junk"), "half").unwrap();
    assert!(published(&results, &view).unwrap().written);
    assert_eq!(bytes(&view), before);
}

#[test]
fn a_target_that_left_the_study_leaves_the_view() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = fixture::results(dir.path());
    let view = dir.path().join("results");
    published(&results, &view).unwrap();
    results.cells.retain(|cell| cell.at.target == "xnli");
    assert_eq!(published(&results, &view).unwrap(), Published { written: true, files: 9 });
    assert!(!view.join("scores/study=small/target=xquad").exists());
}

#[test]
fn a_broken_input_is_named_and_leaves_the_old_view() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = fixture::results(dir.path());
    let view = dir.path().join("results");
    published(&results, &view).unwrap();
    let before = bytes(&view);
    results.cells[0].score_key.push('x');
    fs::write(results.cells[0].score_table(ResultsTable::Scores), "PAR1").unwrap();
    let message = published(&results, &view).unwrap_err().to_string();
    assert!(message.contains("scores.parquet"), "{message}");
    assert_eq!(bytes(&view), before);
}

#[test]
fn runs_tell_steps_tasks_and_keys() {
    let dir = tempfile::tempdir().unwrap();
    let results = fixture::results(dir.path());
    let view = dir.path().join("results");
    published(&results, &view).unwrap();
    let path = view.join("runs/study=small/target=xnli").join(PART);
    let (_, batches) = shard::read_table(&path).unwrap();
    let batch = &batches[0];
    let rows: Vec<&str> = batch["row"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(rows, ["chance", "none", "none", "mnli", "mnli"]);
    assert_eq!(batch["seed"].as_primitive::<UInt64Type>().values(), &[0, 1, 2, 1, 2]);
    assert_eq!(batch["intermediate_steps"].as_primitive::<UInt32Type>().values(), &[0, 0, 0, 40, 40]);
    assert_eq!(batch["target_steps"].as_primitive::<UInt32Type>().values(), &[0, 40, 40, 40, 40]);
    assert_eq!(batch["intermediate_tasks"].as_list::<i32>().value_length(3), 1);
    assert_eq!(batch["score_key"].as_string::<i32>().value(3), "score-xnli-mnli-1");
}

#[test]
fn results_in_another_form_are_refused_with_the_command_that_publishes_them() {
    let dir = tempfile::tempdir().unwrap();
    let results = fixture::results(dir.path());
    let view = dir.path().join("results");
    published(&results, &view).unwrap();
    let older = |study: &str| {
        let path = view.join(format!("runs/study={study}/target=xnli")).join(PART);
        let (schema, batches) = shard::read_table(&view.join("runs/study=small/target=xnli").join(PART)).unwrap();
        shard::write_table(&path, &schema, &[(VERSION_ENTRY, "4")], &batches).unwrap();
        path
    };
    for (study, remedy) in [(crate::task::IMPORTED, "`trestle import`"), ("small", "`trestle run small`")] {
        let path = older(study);
        let message = super::super::runs(&view, None).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.contains(remedy), "{message}");
        fs::remove_dir_all(view.join("runs").join(format!("study={study}"))).unwrap();
    }
}

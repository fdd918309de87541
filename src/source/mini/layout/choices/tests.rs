use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::source::mini::generated;

#[test]
fn commonsenseqa_has_answers_in_train_and_dev_only_and_little_overlap() {
    let dir = generated("commonsenseqa", 1.0, 1);
    let rows = |split: &str| -> Vec<Value> {
        let text = fs::read_to_string(dir.path().join(format!("{split}.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let question = |row: &Value| {
        let mut choices: Vec<_> =
            row["question"]["choices"].as_array().unwrap().iter().map(|c| c["text"].to_string()).collect();
        choices.sort();
        format!("{} {choices:?}", row["question"]["stem"])
    };
    let [train, development, test] = COMMONSENSE_QA.map(|(split, _)| rows(split));
    assert!(train.iter().chain(&development).all(|row| LETTERS.contains(&row["answerKey"].as_str().unwrap())));
    assert!(test.iter().all(|row| row.get("answerKey").is_none()));
    let seen: HashSet<_> = train.iter().map(question).collect();
    let overlap = development.iter().filter(|row| seen.contains(&question(row))).count();
    assert!(overlap * 20 <= development.len(), "{overlap} of {} questions are in the training file", development.len());
}

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::source::mini::generated;

fn rows(dir: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Premise, hypothesis and label of the decided pairs.
fn decided(rows: &[Value]) -> Vec<(String, String, String)> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let pairs = rows.iter().map(|r| (text(r, "sentence1"), text(r, "sentence2"), text(r, "gold_label")));
    pairs.filter(|pair| pair.2 != "-").collect()
}

/// Share of `test` that a naive Bayes classifier (add-one smoothing), trained on `train`, labels rightly; `words` says
/// what it sees.
fn naive_bayes(
    train: &[(String, String, String)],
    test: &[(String, String, String)],
    words: impl Fn(&str, &str) -> Vec<String>,
) -> f64 {
    let mut counts: BTreeMap<&str, (f64, HashMap<String, f64>, f64)> = BTreeMap::new();
    let mut vocabulary = HashSet::new();
    for (premise, hypothesis, label) in train {
        let (examples, seen, total) = counts.entry(label).or_default();
        *examples += 1.0;
        for word in words(premise, hypothesis) {
            vocabulary.insert(word.clone());
            *seen.entry(word).or_default() += 1.0;
            *total += 1.0;
        }
    }
    let right = test.iter().filter(|(premise, hypothesis, label)| {
        let score = |(examples, seen, total): &(f64, HashMap<String, f64>, f64)| {
            let word = |w| ((seen.get(&w).unwrap_or(&0.0) + 1.0) / (total + vocabulary.len() as f64)).ln();
            examples.ln() + words(premise, hypothesis).into_iter().map(word).sum::<f64>()
        };
        let best = counts.iter().max_by(|a, b| score(a.1).total_cmp(&score(b.1))).unwrap();
        best.0 == label
    });
    right.count() as f64 / test.len() as f64
}

#[test]
fn the_hypothesis_alone_does_not_give_the_label_away() {
    let dir = generated("multinli_1.0", 1.0, 1);
    let train = decided(&rows(dir.path(), "multinli_1.0_train.jsonl"));
    let test = decided(&rows(dir.path(), "multinli_1.0_dev_matched.jsonl"));
    let alone = naive_bayes(&train, &test, |_, hypothesis| hypothesis.split(' ').map(str::to_owned).collect());
    assert!(alone < 0.42, "{alone} from the words of the hypothesis; chance is 0.33");
    // The same classifier does find what is there to find: which words the other sentence lacks.
    let difference = |a: &str, b: &str, mark: &str| -> Vec<String> {
        a.split(' ').filter(|w| !b.split(' ').any(|o| o == *w)).map(|w| format!("{mark}{w}")).collect()
    };
    let compared = naive_bayes(&train, &test, |premise, hypothesis| {
        [difference(premise, hypothesis, "-"), difference(hypothesis, premise, "+")].concat()
    });
    assert!(compared > 0.5, "{compared} from the words that differ");
}

#[test]
fn labels_are_balanced_and_some_pairs_undecided() {
    let dir = generated("multinli_1.0", 0.5, 2);
    let rows = rows(dir.path(), "multinli_1.0_train.jsonl");
    let share = |label: &str| rows.iter().filter(|r| r["gold_label"] == label).count() as f64 / rows.len() as f64;
    for label in Label::ALL {
        assert!((0.29..0.37).contains(&share(label.name())), "{} {}", label.name(), share(label.name()));
    }
    assert!((0.005..0.04).contains(&share("-")), "{}", share("-"));
}

#[test]
fn development_labels_are_majorities_and_genres_stay_apart() {
    let dir = generated("multinli_1.0", 0.1, 3);
    let [train, matched, mismatched] =
        ["train", "dev_matched", "dev_mismatched"].map(|s| rows(dir.path(), &format!("multinli_1.0_{s}.jsonl")));
    let genres = |rows: &[Value]| -> HashSet<String> { rows.iter().map(|r| r["genre"].to_string()).collect() };
    assert!(genres(&matched).is_subset(&genres(&train)) && genres(&mismatched).is_disjoint(&genres(&train)));
    for row in matched.iter().chain(&mismatched) {
        let labels = row["annotator_labels"].as_array().unwrap();
        let votes = labels.iter().filter(|label| **label == row["gold_label"]).count();
        assert_eq!(labels.len(), 5);
        assert!(votes >= 3 || row["gold_label"] == "-", "{row}");
    }
}

#[test]
fn xnli_is_parallel_and_unseen_in_training() {
    let train_dir = generated("multinli_1.0", 1.0, 1);
    let train = decided(&rows(train_dir.path(), "multinli_1.0_train.jsonl"));
    let seen: HashSet<_> =
        train.iter().map(|(premise, hypothesis, _)| (premise.as_str(), hypothesis.as_str())).collect();
    let dir = generated("XNLI-1.0", 1.0, 1);
    for file in ["xnli.dev.tsv", "xnli.test.tsv"] {
        let text = fs::read_to_string(dir.path().join(file)).unwrap();
        let mut by_language: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
        let columns = text.lines().next().unwrap().split('\t').count();
        assert_eq!(columns, 19);
        for row in text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
            assert_eq!(row.len(), columns);
            by_language.entry(row[0]).or_default().push(row);
        }
        assert_eq!(by_language.len(), spoken(&XNLI_LANGUAGES).count());
        let english = &by_language["en"];
        for rows in by_language.values() {
            // Everything but the language, the sentences and their tokens is the same.
            let shared = |rows: &[Vec<&str>]| -> Vec<String> {
                rows.iter().map(|r| format!("{} {}", r[1], r[8..16].join(" "))).collect()
            };
            assert_eq!(shared(rows), shared(english));
        }
        assert!(english.iter().all(|row| !seen.contains(&(row[6], row[7]))), "{file} repeats training pairs");
    }
}

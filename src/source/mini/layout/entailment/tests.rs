use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::bayes;
use super::*;
use crate::source::mini::generated;

fn rows(dir: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Premise, hypothesis and label.
type Decided = (String, String, String);

/// The decided pairs.
fn decided(rows: &[Value]) -> Vec<Decided> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let pairs = rows.iter().map(|r| (text(r, "sentence1"), text(r, "sentence2"), text(r, "gold_label")));
    pairs.filter(|pair| pair.2 != "-").collect()
}

/// Share of `test` that naive Bayes, trained on `train`, labels rightly when it sees what `words` makes of a pair.
fn naive_bayes(train: &[Decided], test: &[Decided], words: impl Fn(&str, &str) -> Vec<String>) -> f64 {
    let examples = |pairs: &[Decided]| -> Vec<bayes::Example> {
        pairs.iter().map(|(premise, hypothesis, label)| (words(premise, hypothesis), label.clone())).collect()
    };
    bayes::accuracy(&examples(train), &examples(test))
}

/// The words that one of the two lacks, each marked with which.
fn difference(premise: &str, hypothesis: &str) -> Vec<String> {
    let lacking = |a: &str, b: &str, mark: &str| -> Vec<String> {
        a.split(' ').filter(|w| !b.split(' ').any(|o| o == *w)).map(|w| format!("{mark}{w}")).collect()
    };
    [lacking(premise, hypothesis, "-"), lacking(hypothesis, premise, "+")].concat()
}

#[test]
fn the_hypothesis_alone_does_not_give_the_label_away() {
    let dir = generated("multinli_1.0", 1.0, 1);
    let train = decided(&rows(dir.path(), "multinli_1.0_train.jsonl"));
    let test = decided(&rows(dir.path(), "multinli_1.0_dev_matched.jsonl"));
    let alone = naive_bayes(&train, &test, |_, hypothesis| bayes::words(hypothesis));
    assert!(alone < 0.42, "{alone} from the words of the hypothesis; chance is 0.33");
    // The same classifier does find what is there to find: which words the other sentence lacks.
    let compared = naive_bayes(&train, &test, difference);
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

#[test]
fn snli_has_unique_pairs_and_none_of_its_training_pairs_is_for_evaluation() {
    let dir = generated("snli_1.0", 1.0, 1);
    let [train, development, test] = SNLI.map(|(split, _)| rows(dir.path(), &format!("snli_1.0_{split}.jsonl")));
    let identifiers: HashSet<_> =
        [&train, &development, &test].into_iter().flatten().map(|r| r["pairID"].to_string()).collect();
    assert_eq!(identifiers.len(), train.len() + development.len() + test.len());
    let undecided = train.iter().filter(|row| row["gold_label"] == "-").count();
    assert!((50..250).contains(&undecided), "{undecided}");
    for row in train.iter().chain(&development).chain(&test) {
        let (caption, pair) = (row["captionID"].as_str().unwrap(), row["pairID"].as_str().unwrap());
        assert!(pair.starts_with(caption) && caption.contains(".jpg#"), "{row}");
        let votes = row["annotator_labels"].as_array().unwrap().iter().filter(|l| **l == row["gold_label"]).count();
        assert!(row["gold_label"] == "-" || votes >= 1, "{row}");
    }
    let [train, development, test] = [train, development, test].map(|rows| decided(&rows));
    // Nor is any of XNLI's, whose pairs are of the same kind.
    let xnli = generated("XNLI-1.0", 1.0, 1);
    let xnli = ["dev", "test"].map(|split| fs::read_to_string(xnli.path().join(format!("xnli.{split}.tsv"))).unwrap());
    let xnli: Vec<_> =
        xnli.iter().flat_map(|text| text.lines().skip(1)).map(|l| l.split('\t').collect::<Vec<_>>()).collect();
    let mut evaluated: HashSet<_> = development.iter().chain(&test).map(|(p, h, _)| (p.as_str(), h.as_str())).collect();
    evaluated.extend(xnli.iter().filter(|row| row[0] == "en").map(|row| (row[6], row[7])));
    assert!(train.iter().all(|(premise, hypothesis, _)| !evaluated.contains(&(premise.as_str(), hypothesis.as_str()))));
    let alone = naive_bayes(&train, &development, |_, hypothesis| bayes::words(hypothesis));
    assert!(alone < 0.42, "{alone} from the words of the hypothesis; chance is 0.33");
}

#[test]
fn each_round_of_anli_is_harder_than_the_one_before() {
    let dir = generated("anli_v1.0", 1.5, 1);
    let pairs = |round: usize, split: &str| -> Vec<Decided> {
        let rows = rows(dir.path(), &format!("R{round}/{split}.jsonl"));
        assert!(rows.iter().all(|r| r["tag"] == format!("r{round}_{split}") && r["uid"].as_str().unwrap().len() == 36));
        assert!(split == "train" || rows.iter().all(|r| r["label"] != r["model_label"]));
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        rows.iter().map(|r| (text(r, "context"), text(r, "hypothesis"), text(r, "label"))).collect()
    };
    let mut seen = HashSet::new();
    let accuracies = [1, 2, 3].map(|round| {
        let [train, development, test] = ["train", "dev", "test"].map(|split| pairs(round, split));
        let evaluation = [development, test].concat();
        assert!(train.iter().chain(&evaluation).all(|pair| ["e", "n", "c"].contains(&pair.2.as_str())));
        assert!(train.iter().chain(&evaluation).all(|pair| seen.insert((pair.0.clone(), pair.1.clone()))));
        let alone = naive_bayes(&train, &evaluation, |_, hypothesis| bayes::words(hypothesis));
        assert!(alone < 0.42, "{alone} from the words of the hypothesis; chance is 0.33");
        naive_bayes(&train, &evaluation, difference)
    });
    assert!(accuracies.is_sorted_by(|a, b| a > b), "{accuracies:?} from the words that differ");
}

#[test]
fn translations_are_multinlis_decided_training_pairs() {
    let (translations, original) = (generated("XNLI-MT-1.0", 0.1, 4), generated("multinli_1.0", 0.1, 4));
    let original = decided(&rows(original.path(), "multinli_1.0_train.jsonl"));
    let spaceless = |text: &str| text.replace(' ', "");
    for language in spoken(&XNLI_LANGUAGES) {
        let path = translations.path().join(format!("multinli/multinli.train.{}.tsv", language.code));
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("premise\thypo\tlabel"));
        let rows: Vec<Vec<_>> = lines.map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows.len(), original.len());
        for (row, (premise, hypothesis, label)) in rows.iter().zip(&original) {
            assert_eq!(row[2], if label == "contradiction" { "contradictory" } else { label });
            if language.code == "en" {
                assert_eq!([row[0], row[1]].map(spaceless), [premise, hypothesis].map(|text| spaceless(text)));
            }
        }
    }
}

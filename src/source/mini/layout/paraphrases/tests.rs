use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use super::super::bayes;
use super::*;
use crate::source::mini::generated;

/// The rows of a file without quoting, under its header; those that a line end cuts in two are left out.
fn rows(path: &Path, header: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(header));
    let columns = header.split('\t').count();
    let rows = lines.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    rows.filter(|row| row.len() == columns && row.iter().all(|field| !field.is_empty())).collect()
}

/// Share of the majority's label, and the accuracy from the words of one column.
fn given_away(train: &[Vec<String>], test: &[Vec<String>], column: usize, label: usize) -> (f64, f64) {
    let examples = |rows: &[Vec<String>]| -> Vec<bayes::Example> {
        rows.iter().map(|row| (bayes::words(&row[column]), row[label].clone())).collect()
    };
    let positive = test.iter().filter(|row| row[label] == "1").count() as f64 / test.len() as f64;
    (positive.max(1.0 - positive), bayes::accuracy(&examples(train), &examples(test)))
}

#[test]
fn qqp_is_written_without_quoting_and_neither_question_tells_the_label() {
    const LABELLED: &str = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate";
    let dir = generated("QQP", 1.0, 1);
    let train = rows(&dir.path().join("train.tsv"), LABELLED);
    let development = rows(&dir.path().join("dev.tsv"), LABELLED);
    let test = rows(&dir.path().join("test.tsv"), "id\tquestion1\tquestion2");
    let broken = QQP[0].1 - train.len();
    assert!((1..30).contains(&broken), "{broken} rows of the training file are cut in two");
    assert!(development.len() + 10 > QQP[1].1 && test.len() + 10 > QQP[2].1);
    // A reader that believes in quoting loses rows: that is how the original is.
    let mut quoting = csv::ReaderBuilder::new().delimiter(b'\t').from_path(dir.path().join("train.tsv")).unwrap();
    assert!(quoting.records().filter(|row| row.as_ref().is_ok_and(|row| row.len() == 6)).count() < train.len());
    let duplicates = train.iter().filter(|row| row[5] == "1").count() as f64 / train.len() as f64;
    assert!((0.34..0.41).contains(&duplicates), "{duplicates}");
    let mut pairs = HashSet::new();
    for row in &train {
        assert_ne!(row[3], row[4]);
        pairs.insert([&row[3], &row[4]]);
    }
    for row in &development {
        assert!(!pairs.contains(&[&row[3], &row[4]]) && !pairs.contains(&[&row[4], &row[3]]), "{row:?}");
    }
    for column in [3, 4] {
        let (majority, alone) = given_away(&train, &development, column, 5);
        assert!(alone < majority + 0.05, "{alone} from one question; the majority is {majority}");
    }
}

#[test]
fn paws_x_is_parallel_and_its_pairs_have_the_same_words() {
    const HEADER: &str = "id\tsentence1\tsentence2\tlabel";
    let dir = generated("x-final", 1.0, 1);
    let english = |split: &str| rows(&dir.path().join(format!("en/{split}.tsv")), HEADER);
    let (train, development, test) = (english("train"), english("dev_2k"), english("test_2k"));
    assert_eq!((train.len(), development.len(), test.len()), (PAWS[0].1, PAWS[1].1, PAWS[2].1));
    let sorted = |text: &str| {
        let mut words = bayes::words(&text.to_lowercase());
        words.sort();
        words
    };
    // Without the synonyms: each label's pairs have the same words as often.
    let mut same: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in &train {
        let (same, all) = same.entry(&row[3]).or_default();
        *same += f64::from(u8::from(sorted(&row[1]) == sorted(&row[2])));
        *all += 1.0;
    }
    let shares: Vec<_> = same.values().map(|(same, all)| same / all).collect();
    assert!(shares.iter().all(|share| *share > 0.8) && (shares[0] - shares[1]).abs() < 0.05, "{shares:?}");
    for evaluation in [&development, &test] {
        let pairs: HashSet<_> = train.iter().map(|row| [&row[1], &row[2]]).collect();
        assert!(
            evaluation.iter().all(|row| !pairs.contains(&[&row[1], &row[2]]) && !pairs.contains(&[&row[2], &row[1]]))
        );
        for column in [1, 2] {
            let (majority, alone) = given_away(&train, evaluation, column, 3);
            assert!(alone < majority + 0.07, "{alone} from one sentence; the majority is {majority}");
        }
    }
    for language in spoken(&PAWS_LANGUAGES).filter(|language| language.code != "en") {
        for (name, original) in [("translated_train", &train), ("dev_2k", &development), ("test_2k", &test)] {
            let translated = rows(&dir.path().join(format!("{}/{name}.tsv", language.code)), HEADER);
            let labels =
                |rows: &[Vec<String>]| rows.iter().map(|row| [row[0].clone(), row[3].clone()]).collect::<Vec<_>>();
            assert_eq!(labels(&translated), labels(original));
            assert!(translated.iter().all(|row| row[1] != row[2]), "{} {name}", language.code);
        }
    }
}

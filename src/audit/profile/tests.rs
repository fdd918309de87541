use super::super::fixture::*;
use super::*;
use crate::error::ExitCode;
use crate::progress::Quiet;
use arrow::array::ListBuilder;
use arrow::datatypes::DataType;
use std::sync::Arc;

fn described(format: Format, labels: &[&str], tokens: Option<&[TokenCounts]>, columns: Vec<ArrayRef>) -> Profile {
    let dir = tempfile::tempdir().unwrap();
    let path = table(&dir.path().join("table.parquet"), format, "de", columns);
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    let tables = [(Split::Test, "de".to_owned(), path)];
    let request = ProfileRequest { task: "toy", format, labels: &labels, tables: &tables, tokens };
    let stop = AtomicBool::new(false);
    let outcome = profile(&request, &dir.path().join("out"), &[("stage", "profile")], &Quiet, &stop).unwrap();
    let file = read_batches(&dir.path().join("out/profiles.parquet")).unwrap();
    assert_eq!(file.metadata("trestle.schema"), Some("profiles"));
    assert_eq!(file.metadata("stage"), Some("profile"));
    let rows = shard::table_rows(&dir.path().join("out/profiles.parquet")).unwrap();
    assert_eq!(rows.collect::<Result<Vec<Profile>, _>>().unwrap(), outcome.profiles);
    outcome.profiles.into_iter().next().unwrap()
}

#[test]
fn pairs_are_counted_by_hand() {
    let columns = vec![
        texts(&["Der Hund schläft.", "der HUND: schläft", "Ja", "Der Hund schläft."]),
        texts(&["Er ist müde.", "Er ist müde", "nein", "Er ist wach."]),
        maybe(&[Some("neutral"), Some("neutral"), Some("entailment"), None]),
    ];
    let profile = described(Format::PairClassification, &["entailment", "neutral", "contradiction"], None, columns);
    assert_eq!((profile.task.as_str(), profile.split, profile.language.as_str()), ("toy", Split::Test, "de"));
    assert_eq!((profile.examples, profile.words, profile.characters), (4, 20, 29 + 28 + 6 + 29));
    assert_eq!((profile.length_median, profile.length_p95, profile.length_max), (28, 29, 29));
    assert!((profile.length_mean - 23.0).abs() < 1e-12);
    // The second differs from the first in case and punctuation alone; the fourth in a word.
    assert_eq!(profile.duplicates, 1);
    assert_eq!(profile.labels.0, [("entailment".to_owned(), 1), ("neutral".to_owned(), 2)]);
    assert_eq!((profile.answerable_share, profile.tokens), (None, None));
}

#[test]
fn tagged_words_are_the_words() {
    let columns = vec![lists(&[&["Kim", "’s", "."], &["我们", "。"]]), lists(&[&["N", "P", "."], &["P", "."]])];
    let profile = described(Format::WordTagging, &["N", "P", "."], None, columns);
    assert_eq!((profile.words, profile.characters, profile.length_max), (5, 9, 6));
    let counts: Vec<(&str, u64)> = profile.labels.0.iter().map(|(label, count)| (label.as_str(), *count)).collect();
    assert_eq!(counts, [("N", 1), ("P", 2), (".", 2)]);
}

#[test]
fn answers_are_shares() {
    let numbers = {
        let mut lists = ListBuilder::new(arrow::array::UInt32Builder::new()).with_field(Field::new(
            "item",
            DataType::UInt32,
            false,
        ));
        [vec![Some(0)], vec![], vec![], vec![]].into_iter().for_each(|starts| lists.append_value(starts));
        Arc::new(lists.finish())
    };
    let columns = vec![
        texts(&["Ein Kontext"; 4]),
        texts(&["Was?", "Wer?", "Wo?", "was"]),
        lists(&[&["Ein"], &[], &[], &[]]),
        numbers,
        booleans(&[true, false, false, false]),
    ];
    let profile = described(Format::SpanExtraction, &[], None, columns);
    assert_eq!(profile.answerable_share, Some(0.25));
    assert_eq!((profile.examples, profile.duplicates, profile.words), (4, 1, 12));
}

#[test]
fn the_two_sides_of_retrieval_are_no_duplicates() {
    let columns =
        vec![texts(&["query", "index", "index"]), texts(&["Tom", "Tom", "tom!"]), maybe(&[Some("row-1"), None, None])];
    assert_eq!(described(Format::SentenceRetrieval, &[], None, columns).duplicates, 1);
}

#[test]
fn fertility_leaves_special_tokens_out_and_counts_what_choices_repeat() {
    let counts = |instances, tokens, framing| {
        [TokenCounts {
            split: Split::Test,
            language: "de".to_owned(),
            instances,
            tokens,
            framing,
            unknown_tokens: 3,
            truncated_examples: 1,
        }]
    };
    let pairs = vec![texts(&["a b", "c"]), texts(&["d", "e f"]), maybe(&[None, None])];
    let profile = described(Format::PairClassification, &["x"], Some(&counts(2, 20, 4)), pairs);
    let tokens = profile.tokens.unwrap();
    assert_eq!((tokens.instances, tokens.tokens), (2, 12));
    assert_eq!((tokens.tokens_per_word, tokens.unknown_share, tokens.truncated_share), (2.0, 0.25, 0.5));
    // One question of two words before three choices of one word: nine words in three sequences.
    let choices = vec![maybe(&[None]), maybe(&[Some("what now")]), lists(&[&["a", "b", "c"]]), numbers(&[Some(2)])];
    let profile = described(Format::MultipleChoice, &[], Some(&counts(1, 30, 4)), choices);
    let tokens = profile.tokens.unwrap();
    assert_eq!((profile.words, tokens.tokens, tokens.tokens_per_word), (5, 18, 2.0));
    assert_eq!(profile.labels.0, [("2".to_owned(), 1)]);
}

#[test]
fn a_foreign_table_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = table(&dir.path().join("lines.parquet"), Format::Text, "de", vec![texts(&["x"])]);
    let tables = [(Split::Train, "de".to_owned(), path)];
    let request =
        ProfileRequest { task: "toy", format: Format::WordTagging, labels: &[], tables: &tables, tokens: None };
    let error = profile(&request, dir.path(), &[], &Quiet, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.exit(), ExitCode::Data);
    assert!(error.to_string().contains("lines.parquet") && error.to_string().contains("`words`"), "{error}");
    let stopped = profile(&request, dir.path(), &[], &Quiet, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(stopped.exit(), ExitCode::Interrupted);
}

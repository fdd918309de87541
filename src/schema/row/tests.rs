use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::audit::{Labels, Overlap, Profile, TokenProfile};
use crate::evaluate::{ScoreRow, Setting};
use arrow::array::AsArray;

table_row! {
    /// Every kind of cell.
    #[derive(Debug, Clone, PartialEq)]
    struct Everything {
        text: String,
        maybe_text: Option<String>,
        flag: bool,
        signed: Option<i32>,
        short: u32,
        long: Option<u64>,
        single: f32,
        double: Option<f64>,
        texts: Vec<String>,
        numbers: Option<Vec<f64>>,
        lists: Vec<Vec<u32>>,
        split: Split,
        maybe_split: Option<Split>,
        pair: Pair,
        maybe_pair: Option<Pair>,
    }
}

table_row! {
    #[derive(Debug, Clone, PartialEq)]
    struct Pair {
        left: u32,
        right: Option<String>,
    }
}

table_row! {
    /// Two of its columns without copies.
    #[derive(Debug, Clone, PartialEq)]
    struct Borrowed<'b> {
        text: &'b str,
        maybe_text: Option<&'b str>,
    }
}

/// The arrays of `rows`, and the rows that come back from them.
fn round_trip(rows: &[Everything]) -> (Vec<ArrayRef>, Vec<Everything>) {
    let mut arrays = Vec::new();
    Everything::arrays(rows.iter().map(Some), &mut arrays);
    let bound = Everything::bind(&mut arrays.iter()).unwrap();
    let back = (0..rows.len()).map(|row| Everything::get(&bound, row).unwrap()).collect();
    (arrays, back)
}

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![Just(Split::Train), Just(Split::Validation), Just(Split::Test)]
}

fn pair() -> impl Strategy<Value = Pair> {
    (any::<u32>(), any::<Option<String>>()).prop_map(|(left, right)| Pair { left, right })
}

prop_compose! {
    fn everything()(
        (text, maybe_text, flag, signed, short) in any::<(String, Option<String>, bool, Option<i32>, u32)>(),
        (long, single, double) in (any::<Option<u64>>(), -1e30f32..1e30, proptest::option::of(-1e300f64..1e300)),
        texts in vec(any::<String>(), 0..4),
        numbers in proptest::option::of(vec(-1e3f64..1e3, 0..4)),
        lists in vec(vec(any::<u32>(), 0..4), 0..4),
        (split, maybe_split) in (split(), proptest::option::of(split())),
        (pair, maybe_pair) in (pair(), proptest::option::of(pair())),
    ) -> Everything {
        Everything {
            text, maybe_text, flag, signed, short, long, single, double, texts, numbers, lists, split, maybe_split, pair,
            maybe_pair,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_from_their_columns(rows in vec(everything(), 0..20)) {
        let (arrays, back) = round_trip(&rows);
        prop_assert_eq!(&back, &rows);
        let mut fields = Vec::new();
        Everything::fields("", &mut fields);
        prop_assert_eq!(fields.len(), arrays.len());
        for (field, array) in fields.iter().zip(&arrays) {
            prop_assert_eq!(field.data_type(), array.data_type());
            prop_assert!(field.is_nullable() || array.null_count() == 0, "{}", field.name());
        }
    }
}

#[test]
fn a_struct_within_stands_for_its_columns() {
    let mut fields = Vec::new();
    Everything::fields("", &mut fields);
    let last: Vec<(&str, bool)> =
        fields[13..].iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    assert_eq!(last, [("left", false), ("right", true), ("left", true), ("right", true)]);
}

#[test]
fn texts_can_be_borrowed() {
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["a", "b"])), Arc::new(StringArray::from(vec![None, Some("c")]))];
    let bound = Borrowed::bind(&mut arrays.iter()).unwrap();
    assert_eq!(Borrowed::get(&bound, 0).unwrap(), Borrowed { text: "a", maybe_text: None });
    let second = Borrowed::get(&bound, 1).unwrap();
    assert_eq!(second, Borrowed { text: "b", maybe_text: Some("c") });
    assert_eq!(second.text.as_ptr(), arrays[0].as_string::<i32>().value(1).as_ptr());
}

#[test]
fn columns_of_other_types_are_not_bound() {
    let arrays: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["a"])), Arc::new(Int32Array::from(vec![1]))];
    assert!(Borrowed::bind(&mut arrays.iter()).is_none());
    assert!(Borrowed::bind(&mut arrays[..1].iter()).is_none());
}

fn score(language: &str) -> ScoreRow {
    ScoreRow {
        task: "xnli".to_owned(),
        split: Split::Test.name().to_owned(),
        language: language.to_owned(),
        setting: Setting { layer: Some(2), pooling: None },
        metric: "accuracy".to_owned(),
        value: 50.0,
        ci_low: 40.0,
        ci_high: 60.0,
        examples: 10,
        threshold: None,
    }
}

#[test]
fn a_batch_is_of_its_table_and_no_other_is_read() {
    let rows = [score("de"), score("sw")];
    let batch = ScoreRow::batch(&rows);
    assert_eq!(batch.schema(), ScoreRow::table().schema);
    assert_eq!(ScoreRow::rows(&batch).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), rows);
    let message = Overlap::rows(&batch).err().unwrap().to_string();
    assert!(message.contains("overlap") && message.contains("source_task"), "{message}");
}

#[test]
fn profiles_come_back_with_and_without_tokens() {
    let tokens =
        TokenProfile { instances: 3, tokens: 30, tokens_per_word: 1.5, unknown_share: 0.0, truncated_share: 0.5 };
    let profile = |labels: &[(&str, u64)], tokens| Profile {
        task: "xnli".to_owned(),
        split: Split::Test,
        language: "de".to_owned(),
        examples: 3,
        words: 20,
        characters: 100,
        length_mean: 33.0,
        length_median: 30,
        length_p95: 40,
        length_max: 40,
        duplicates: 0,
        labels: Labels(labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()),
        answerable_share: None,
        tokens,
    };
    let rows = [profile(&[("neutral", 1), ("entailment", 2)], Some(tokens)), profile(&[], None)];
    let batch = Profile::batch(&rows);
    assert_eq!(Profile::rows(&batch).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), rows);
}

#[test]
fn a_cell_that_is_not_of_its_type_is_named_by_column_and_row() {
    let rows = ["test", "train", "tset"].map(|split| Overlap {
        source_task: "mnli".to_owned(),
        source_split: Split::Train,
        task: "xnli".to_owned(),
        split: Split::named(split).unwrap_or(Split::Test),
        language: "en".to_owned(),
        field: "example".to_owned(),
        kind: "exact".to_owned(),
        compared: 10,
        found: 1,
        share: 0.1,
        example: None,
    });
    let batch = Overlap::batch(&rows);
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of("split").unwrap()] = Arc::new(StringArray::from(vec!["test", "train", "tset"]));
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let read: Vec<Result<Overlap, SchemaError>> = Overlap::rows(&batch).unwrap().collect();
    assert!(read[0].is_ok() && read[1].is_ok());
    let message = read[2].as_ref().unwrap_err().to_string();
    assert!(message.contains("overlap") && message.contains("`split`, row 3: `tset` is unknown"), "{message}");
}

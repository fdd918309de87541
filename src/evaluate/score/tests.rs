use super::*;
use crate::evaluate::prediction::{Prediction, prediction_batch};
use crate::shard::write_table;
use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder, UInt32Array};
use arrow::datatypes::{Float64Type, Int32Type};
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;

fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn lists(rows: &[&str]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        builder.append_value(row.split(' ').map(Some));
    }
    Arc::new(builder.finish())
}

/// Canonical tables and predictions on disk.
struct Fixture {
    dir: TempDir,
    gold: Vec<(String, PathBuf)>,
    predictions: Vec<(String, PathBuf)>,
    development: Vec<(String, PathBuf)>,
    known: Vec<String>,
    split: &'static str,
    parallel: bool,
}

impl Fixture {
    fn new() -> Self {
        Fixture {
            dir: tempfile::tempdir().unwrap(),
            gold: Vec::new(),
            predictions: Vec::new(),
            development: Vec::new(),
            known: Vec::new(),
            split: "test",
            parallel: false,
        }
    }

    fn gold(&mut self, language: &str, columns: Vec<(&str, ArrayRef)>) {
        let path = self.dir.path().join(format!("gold-{language}.parquet"));
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
        self.gold.push((language.to_owned(), path));
    }

    fn labels(&mut self, language: &str, rows: &[(&str, &str)]) {
        let columns = vec![
            ("example_id", strings(rows.iter().map(|row| row.0))),
            ("label", strings(rows.iter().map(|row| row.1))),
        ];
        self.gold(language, columns);
    }

    fn predict(&mut self, language: &str, rows: &[(&str, Option<i32>, &str)]) {
        let rows: Vec<Prediction> = rows
            .iter()
            .map(|&(id, layer, prediction)| Prediction {
                layer,
                ..Prediction::new(id.to_owned(), prediction.to_owned(), 0.5)
            })
            .collect();
        self.predict_rows(language, &[("test", &rows)]);
    }

    fn predict_rows(&mut self, language: &str, splits: &[(&str, &[Prediction])]) {
        let path = self.dir.path().join(format!("predictions-{language}.parquet"));
        let batches: Vec<RecordBatch> =
            splits.iter().map(|(split, rows)| prediction_batch("task", split, language, rows)).collect();
        write_table(&path, &batches[0].schema(), &[], &batches).unwrap();
        self.predictions.push((language.to_owned(), path));
    }

    /// A retrieval table: index sentences, then queries with their gold.
    fn sentences(&mut self, language: &str, index: &[&str], queries: &[(&str, Option<&str>)]) {
        let sides = std::iter::repeat_n("index", index.len()).chain(std::iter::repeat_n("query", queries.len()));
        let gold = index.iter().map(|_| None).chain(queries.iter().map(|query| query.1));
        let columns = vec![
            ("example_id", strings(index.iter().copied().chain(queries.iter().map(|query| query.0)))),
            ("side", strings(sides)),
            ("gold", Arc::new(gold.collect::<StringArray>()) as ArrayRef),
        ];
        self.gold(language, columns);
    }

    fn score(&self, format: &str, metric: &str) -> Result<(RecordBatch, RecordBatch), EvaluateError> {
        let tables = score(&ScoreRequest {
            task: "task",
            split: self.split,
            format,
            metric,
            predictions: self.predictions.clone(),
            gold: self.gold.clone(),
            labels: &self.known,
            development: self.development.clone(),
            parallel: self.parallel,
            languages: BTreeMap::new(),
            source: crate::task::SourceLanguage::default(),
            seed: 1,
            resamples: 100,
        })?;
        Ok((tables.scores, tables.summaries))
    }

    fn fails(&self, format: &str, metric: &str) -> String {
        let message = self.score(format, metric).unwrap_err().to_string();
        message.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// `name value` of each row.
fn shown(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let name = |column: &str, row| batch[column].as_string::<i32>().value(row).to_owned();
    let layer =
        |row| batch["layer"].as_primitive_opt::<Int32Type>().map(|l| (l.null_count() == 0).then(|| l.value(row)));
    (0..batch.num_rows())
        .map(|row| {
            let mut parts: Vec<String> = columns.iter().map(|column| name(column, row)).collect();
            parts.extend(layer(row).flatten().map(|layer| layer.to_string()));
            parts.push(format!("{:.1}", batch["value"].as_primitive::<Float64Type>().value(row)));
            parts.join(" ")
        })
        .collect()
}

#[test]
fn languages_and_groups_of_them() {
    let mut fixture = Fixture::new();
    fixture.labels("en", &[("1", "yes"), ("2", "no")]);
    fixture.labels("sw", &[("1", "yes"), ("2", "no"), ("3", "no"), ("4", "no")]);
    fixture.labels("de", &[("1", "yes")]);
    fixture.predict("sw", &[("4", None, "no"), ("3", None, "yes"), ("2", None, "yes"), ("1", None, "no")]);
    fixture.predict("en", &[("1", None, "yes"), ("2", None, "no")]);
    fixture.predict("de", &[("1", None, "yes")]);
    let (scores, summaries) = fixture.score("pair-classification", "accuracy").unwrap();
    assert_eq!(shown(&scores, &["language", "metric"]), ["de accuracy 100.0", "en accuracy 100.0", "sw accuracy 25.0"]);
    assert_eq!(shown(&summaries, &["group"]), ["all 75.0", "non-english 62.5", "english 100.0", "english-gap 37.5"]);
    let (low, high) = (&scores["ci_low"], &scores["ci_high"]);
    let interval = |row| (low.as_primitive::<Float64Type>().value(row), high.as_primitive::<Float64Type>().value(row));
    assert_eq!(interval(0), (100.0, 100.0));
    assert!(interval(2).0 < 25.0 && interval(2).1 > 25.0, "{:?}", interval(2));
}

#[test]
fn every_value_of_a_metric_is_a_row() {
    let mut fixture = Fixture::new();
    fixture.gold("fi", vec![("example_id", strings(["a"])), ("tags", lists(&["NOUN NOUN VERB"]))]);
    fixture.predict("fi", &[("a", None, "NOUN VERB VERB")]);
    let (scores, _) = fixture.score("word-tagging", "span-f1").unwrap();
    let rows = [
        "f1 0.0",
        "precision 0.0",
        "recall 0.0",
        "token_accuracy 66.7",
        "strict_f1 0.0",
        "strict_precision 0.0",
        "strict_recall 0.0",
    ];
    assert_eq!(shown(&scores, &["metric"]), rows);
    let (scores, _) = fixture.score("word-tagging", "accuracy").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["accuracy 66.7"]);
}

#[test]
fn answers_by_two_definitions() {
    let mut fixture = Fixture::new();
    fixture.gold("de", vec![("example_id", strings(["q"])), ("answer_texts", lists(&["«Haus»"]))]);
    fixture.predict("de", &[("q", None, "das Haus")]);
    let (scores, _) = fixture.score("span-extraction", "squad").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["exact_match 0.0", "f1 0.0", "mean of f1 and exact_match 0.0"]);
    let (scores, _) = fixture.score("span-extraction", "mlqa").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["exact_match 100.0", "f1 100.0", "mean of f1 and exact_match 100.0"]);
}

#[test]
fn retrieval_is_scored_layer_by_layer() {
    let mut fixture = Fixture::new();
    let gold: ArrayRef = Arc::new(StringArray::from(vec![None, None, Some("0"), Some("1")]));
    let columns = vec![
        ("example_id", strings(["0", "1", "en-0", "en-1"])),
        ("side", strings(["index", "index", "query", "query"])),
        ("gold", gold),
    ];
    fixture.gold("ta", columns);
    let rows = [("en-0", Some(7), "0"), ("en-1", Some(7), "1"), ("en-1", Some(3), "0"), ("en-0", Some(3), "0")];
    fixture.predict("ta", &rows);
    let (scores, summaries) = fixture.score("sentence-retrieval", "accuracy").unwrap();
    assert_eq!(shown(&scores, &["language"]), ["ta 3 50.0", "ta 7 100.0"]);
    assert_eq!(
        shown(&summaries, &["group"]),
        ["all 3 50.0", "non-english 3 50.0", "all 7 100.0", "non-english 7 100.0"]
    );
    fixture.predictions.clear();
    fixture.predict("ta", &rows[..3]);
    let missing = "predictions-ta.parquet: no prediction for example `en-0` at layer 3; predict the whole split again";
    assert_eq!(fixture.fails("sentence-retrieval", "accuracy"), missing);
    fixture.predictions.clear();
    fixture.predict("ta", &[("en-0", None, "0"), ("en-1", None, "en-1")]);
    let wrong = "predictions-ta.parquet: example `en-1`: `en-1` is not the id of an index sentence";
    assert_eq!(fixture.fails("sentence-retrieval", "accuracy"), wrong);
}

#[test]
fn what_does_not_match_is_named() {
    let fails = |rows: &[(&str, Option<i32>, &str)]| {
        let mut fixture = Fixture::new();
        fixture.labels("en", &[("1", "yes"), ("2", "no")]);
        fixture.predict("en", rows);
        fixture.fails("classification", "accuracy")
    };
    assert_eq!(
        fails(&[("1", None, "yes")]),
        "predictions-en.parquet: no prediction for example `2`; predict the whole split again"
    );
    assert_eq!(fails(&[]), "predictions-en.parquet: no prediction for example `1`; predict the whole split again");
    let unknown = fails(&[("1", None, "yes"), ("2", None, "no"), ("9", None, "no")]);
    assert!(unknown.starts_with("predictions-en.parquet: example `9`: is not in the gold, "), "{unknown}");
    assert_eq!(
        fails(&[("1", None, "yes"), ("1", None, "no")]),
        "predictions-en.parquet: example `1`: is predicted twice; keep one row for each example"
    );
}

#[test]
fn a_language_on_one_side_only_is_refused() {
    let mut fixture = Fixture::new();
    fixture.labels("en", &[("1", "yes")]);
    fixture.labels("fi", &[("1", "yes")]);
    fixture.predict("en", &[("1", None, "yes")]);
    let message = "language `fi` has gold but no predictions; give predictions and gold once for each language";
    assert_eq!(fixture.fails("classification", "accuracy"), message);
    fixture.gold.remove(0);
    assert!(fixture.fails("classification", "accuracy").contains("`fi` has gold but no predictions"));
    fixture.predict("fi", &[("1", None, "yes")]);
    assert!(fixture.fails("classification", "accuracy").contains("`en` has predictions but no gold"));
}

#[test]
fn gold_and_predictions_that_can_not_be_read_are_refused() {
    let mut fixture = Fixture::new();
    let blank: ArrayRef = Arc::new(StringArray::from(vec![Some("yes"), None]));
    fixture.gold("en", vec![("example_id", strings(["1", "2"])), ("label", blank)]);
    fixture.predict("en", &[("1", None, "yes"), ("2", None, "no")]);
    let blanked = "gold-en.parquet: example `2`: has no gold; score a split whose gold is published";
    assert_eq!(fixture.fails("classification", "accuracy"), blanked);

    let mut fixture = Fixture::new();
    fixture.gold("en", vec![("example_id", strings(["1"])), ("tags", lists(&["X X"]))]);
    fixture.predict("en", &[("1", None, "X")]);
    let short = "predictions-en.parquet: example `1`: has 1 predicted tags for 2 words; give one a word";
    assert_eq!(fixture.fails("word-tagging", "span-f1"), short);

    let mut fixture = Fixture::new();
    let labels: ArrayRef = Arc::new(UInt32Array::from(vec![1]));
    fixture.gold("en", vec![("example_id", strings(["1"])), ("choices", lists(&["a b"])), ("label", labels)]);
    fixture.predict("en", &[("1", None, "2")]);
    let outside = "predictions-en.parquet: example `1`: `2` is not the index of one of its 2 choices";
    assert_eq!(fixture.fails("multiple-choice", "accuracy"), outside);
}

#[test]
fn the_interval_of_a_mean_over_translations_is_as_wide_as_that_of_one_language() {
    let mut fixture = Fixture::new();
    let ids: Vec<String> = (0..200).map(|id| format!("{id:03}")).collect();
    for language in ["de", "fi", "sw", "zh"] {
        fixture.labels(language, &ids.iter().map(|id| (id.as_str(), "yes")).collect::<Vec<_>>());
        let says = |id: &str| if id < "100" { "yes" } else { "no" };
        fixture.predict(language, &ids.iter().map(|id| (id.as_str(), None, says(id))).collect::<Vec<_>>());
    }
    let width = |table: &RecordBatch| {
        let of = |column: &str| table[column].as_primitive::<Float64Type>().value(0);
        of("ci_high") - of("ci_low")
    };
    let (scores, apart) = fixture.score("classification", "accuracy").unwrap();
    fixture.parallel = true;
    let (same, together) = fixture.score("classification", "accuracy").unwrap();
    assert_eq!(scores, same, "a language by itself has its own draws");
    let (one, apart, together) = (width(&scores), width(&apart), width(&together));
    assert!((apart / one - 0.5).abs() < 0.1 && (together / one - 1.0).abs() < 0.15, "{one} {apart} {together}");
}

/// Sentences found for a query, best first.
fn found(query: &str, sentences: &[&str]) -> Vec<Prediction> {
    let one = |(place, sentence): (usize, &&str)| Prediction {
        rank: i32::try_from(place + 1).ok(),
        ..Prediction::new(query.to_owned(), (*sentence).to_owned(), 0.5)
    };
    sentences.iter().enumerate().map(one).rev().collect()
}

#[test]
fn all_languages_answer_a_question() {
    let mut fixture = Fixture::new();
    fixture.sentences("de", &["s1", "s2"], &[("q", Some("s1")), ("r", Some("s2"))]);
    fixture.sentences("en", &["s1", "s2"], &[("q", Some("s2")), ("r", Some("s1"))]);
    fixture.sentences("fi", &["s1"], &[]);
    let rows = [found("q", &["en:s2", "fi:s1", "de:s1"]), found("r", &["de:s1", "de:s2"])].concat();
    fixture.predict_rows("de", &[("test", &rows)]);
    let rows = [found("q", &["de:s1", "en:s2"]), found("r", &["en:s1", "de:s2"])].concat();
    fixture.predict_rows("en", &[("test", &rows)]);
    let (scores, _) = fixture.score("sentence-retrieval", "mean-average-precision").unwrap();
    // 1 and 2/3, halved; 1/2, halved.
    assert_eq!(shown(&scores, &["language"]), ["de 54.2", "en 100.0"]);
    let (scores, _) = fixture.score("sentence-retrieval", "reciprocal-rank").unwrap();
    // Any language's sentence of the right id will do: the second ones, and the second and the first.
    assert_eq!(shown(&scores, &["language", "metric"]), ["de map@20 50.0", "en map@20 75.0"]);
    fixture.predictions.pop();
    let plain = [found("q", &["s1"]), found("r", &["de:s1"])].concat();
    fixture.predict_rows("en", &[("test", &plain)]);
    let message = fixture.fails("sentence-retrieval", "reciprocal-rank");
    assert!(message.contains("example `q`: `s1` is not the id of an index sentence with its language"), "{message}");
    fixture.predictions.pop();
    let twice = [found("q", &["de:s1", "de:s1"]), found("r", &["de:s1"])].concat();
    fixture.predict_rows("en", &[("test", &twice)]);
    let message = fixture.fails("sentence-retrieval", "mean-average-precision");
    assert!(message.ends_with("example `q`: `de:s1` is ranked twice; rank each sentence once"), "{message}");
}

fn mined(pairs: &[(&str, &str, f32)]) -> Vec<Prediction> {
    pairs
        .iter()
        .map(|(query, sentence, margin)| Prediction::new((*query).to_owned(), (*sentence).to_owned(), *margin))
        .collect()
}

#[test]
fn the_threshold_of_mined_pairs_comes_from_development_gold() {
    let mut fixture = Fixture::new();
    let queries = [("a", Some("x")), ("b", Some("y")), ("c", None)];
    fixture.sentences("de", &["x", "y", "z"], &queries);
    fixture.development = fixture.gold.clone();
    let development = mined(&[("a", "x", 1.5), ("c", "z", 1.0), ("b", "z", 0.5)]);
    // A pair that stands twice counts once, with its higher margin.
    let test = mined(&[("a", "x", 1.25), ("a", "x", 1.0), ("b", "y", 1.125), ("c", "z", 1.5)]);
    fixture.predict_rows("de", &[("validation", &development), ("test", &test)]);
    let (scores, _) = fixture.score("sentence-retrieval", "bitext-f1").unwrap();
    assert_eq!(scores["threshold"].as_primitive::<Float64Type>().values(), &[1.25; 3]);
    assert_eq!(shown(&scores, &["metric"]), ["f1 50.0", "precision 50.0", "recall 50.0"]);
    fixture.split = "validation";
    fixture.development.clear();
    let (scores, _) = fixture.score("sentence-retrieval", "bitext-f1").unwrap();
    assert_eq!(shown(&scores, &["metric"])[1..], ["precision 100.0", "recall 50.0"]);
    fixture.split = "test";
    let message = "predictions-de.parquet: there is no gold of the split `validation` to choose the threshold on; normalize that split as well, or leave its predictions out";
    assert_eq!(fixture.fails("sentence-retrieval", "bitext-f1"), message);
    // Pairs of somebody else's choice all count.
    fixture.development = fixture.gold.clone();
    fixture.predictions.clear();
    fixture.predict_rows("de", &[("test", &test)]);
    let (scores, _) = fixture.score("sentence-retrieval", "bitext-f1").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["f1 80.0", "precision 66.7", "recall 100.0"]);
    assert_eq!(scores["threshold"].null_count(), 3);
}

#[test]
fn each_of_several_counterparts_is_right() {
    let mut fixture = Fixture::new();
    fixture.sentences("de", &["x", "y", "z"], &[("a", Some("x y")), ("b", Some("z")), ("c", None)]);
    let rank = |rank: i32, (query, sentence, margin): (&str, &str, f32)| Prediction {
        rank: Some(rank),
        ..mined(&[(query, sentence, margin)]).remove(0)
    };
    let pairs = [rank(1, ("a", "x", 1.5)), rank(2, ("a", "y", 1.5)), rank(1, ("c", "z", 1.25))];
    fixture.predict_rows("de", &[("test", &pairs)]);
    // Two of three pairs are right, and two of three right ones are found.
    let (scores, _) = fixture.score("sentence-retrieval", "bitext-f1").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["f1 66.7", "precision 66.7", "recall 66.7"]);
    // On the gold itself the threshold lies between the right pairs and the wrong one.
    fixture.development = fixture.gold.clone();
    fixture.predictions.clear();
    fixture.predict_rows("de", &[("validation", &pairs), ("test", &pairs)]);
    let (scores, _) = fixture.score("sentence-retrieval", "bitext-f1").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["f1 80.0", "precision 100.0", "recall 66.7"]);

    let mut fixture = Fixture::new();
    fixture.sentences("de", &["x", "y", "z"], &[("a", Some("x y")), ("b", Some("z"))]);
    fixture.predict_rows("de", &[("test", &[found("a", &["de:z", "de:y", "de:x"]), found("b", &["de:z"])].concat())]);
    let (scores, _) = fixture.score("sentence-retrieval", "mean-average-precision").unwrap();
    // (1/2 + 2/3) / 2 and 1.
    assert_eq!(shown(&scores, &["metric"]), ["map@20 79.2"]);
    let (scores, _) = fixture.score("sentence-retrieval", "reciprocal-rank").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["map@20 75.0"]);
    fixture.predictions.clear();
    fixture.predict_rows("de", &[("test", &mined(&[("a", "y", 0.5), ("b", "y", 0.5)]))]);
    let (scores, _) = fixture.score("sentence-retrieval", "accuracy").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["accuracy 50.0"]);
}

#[test]
fn no_answer_has_rows_and_thresholds_of_its_own() {
    let mut fixture = Fixture::new();
    let ids = ["1", "2", "3", "4"];
    let mut answers = ListBuilder::new(StringBuilder::new());
    for own in [&["red house"][..], &["roof"], &[], &[]] {
        answers.append_value(own.iter().map(Some));
    }
    fixture.gold("en", vec![("example_id", strings(ids)), ("answer_texts", Arc::new(answers.finish()))]);
    let row = |id: &str, text: &str, span: &str, difference: f32| Prediction {
        best_span: Some(span.to_owned()),
        null_score_difference: Some(difference),
        ..Prediction::new(id.to_owned(), text.to_owned(), 0.5)
    };
    let rows = [
        row("1", "", "red house", 0.5),
        row("2", "the roof", "the roof", -2.0),
        row("3", "a door", "a door", -0.5),
        row("4", "", "wall", 3.0),
    ];
    fixture.predict_rows("en", &[("test", &rows)]);
    let (scores, _) = fixture.score("span-extraction", "squad-v2").unwrap();
    let expected = [
        "exact_match 50.0",
        "f1 50.0",
        "has_answer_exact_match 50.0",
        "has_answer_f1 50.0",
        "no_answer_accuracy 50.0",
        // Any answer below -1 only, or none from 1 on: three right either way, and the lower threshold is kept.
        "best_exact_match 75.0",
        "best_f1 75.0",
        "mean of f1 and exact_match 50.0",
    ];
    assert_eq!(shown(&scores, &["metric"]), expected);
    let thresholds = scores["threshold"].as_primitive::<Float64Type>();
    assert_eq!(thresholds.iter().collect::<Vec<_>>()[4..], [None, Some(-2.0), Some(-2.0), None]);
}

#[test]
fn labels_have_a_positive_one_and_are_all_known() {
    let mut fixture = Fixture::new();
    fixture.known = ["no", "yes"].map(str::to_owned).to_vec();
    fixture.labels("en", &[("1", "yes"), ("2", "yes"), ("3", "no"), ("4", "no")]);
    fixture.predict("en", &[("1", None, "yes"), ("2", None, "no"), ("3", None, "no"), ("4", None, "no")]);
    let (scores, _) = fixture.score("pair-classification", "binary-f1").unwrap();
    let expected =
        ["accuracy 75.0", "f1 66.7", "precision 100.0", "recall 50.0", "mcc 57.7", "mean of accuracy and f1 70.8"];
    assert_eq!(shown(&scores, &["metric"]), expected);
    let (scores, _) = fixture.score("pair-classification", "mcc").unwrap();
    assert_eq!(shown(&scores, &["metric"]), ["mcc 57.7"]);
    fixture.predictions.clear();
    fixture.predict("en", &[("1", None, "yes"), ("2", None, "maybe"), ("3", None, "no"), ("4", None, "no")]);
    for metric in ["accuracy", "binary-f1", "mcc"] {
        let message = "predictions-en.parquet: example `2`: `maybe` is none of the task's labels, no, yes; predict with the labels of the task file";
        assert_eq!(fixture.fails("classification", metric), message);
    }
    fixture.known.push("maybe".to_owned());
    let message = "metric `binary-f1` is not defined for 3 labels; it needs two, the positive one last";
    assert_eq!(fixture.fails("classification", "binary-f1"), message);

    let mut fixture = Fixture::new();
    fixture.known = ["X", "Y"].map(str::to_owned).to_vec();
    fixture.gold("en", vec![("example_id", strings(["1"])), ("tags", lists(&["X Z"]))]);
    fixture.predict("en", &[("1", None, "X Z")]);
    assert!(fixture.score("word-tagging", "span-f1").is_ok(), "gold may have what training had not");
    fixture.predictions.clear();
    fixture.predict("en", &[("1", None, "X NN")]);
    assert!(fixture.fails("word-tagging", "span-f1").contains("example `1`: `NN` is none of the task's labels, X, Y;"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn the_order_of_rows_changes_nothing(answers in proptest::collection::vec("[ab]( [ab]){0,3}", 2..12), shift in 0usize..12) {
        let ids: Vec<String> = (0..answers.len()).map(|i| i.to_string()).collect();
        let rows: Vec<(&str, Option<i32>, &str)> = ids.iter().map(|id| (id.as_str(), None, "a b a")).collect();
        let table = |order: &[usize]| {
            let mut fixture = Fixture::new();
            let texts: Vec<&str> = order.iter().map(|&i| answers[i].as_str()).collect();
            let columns = vec![
                ("example_id", strings(order.iter().map(|&i| ids[i].as_str()))),
                ("answer_texts", lists(&texts)),
            ];
            fixture.gold("en", columns);
            fixture.predict("en", &order.iter().rev().map(|&i| rows[i]).collect::<Vec<_>>());
            fixture.score("span-extraction", "squad").unwrap()
        };
        let mut order: Vec<usize> = (0..answers.len()).collect();
        let straight = table(&order);
        order.rotate_left(shift % answers.len());
        prop_assert_eq!(straight, table(&order));
    }
}

//! The score stage: predictions and gold in, scores and their means over languages out.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use super::EvaluateError;
use super::bootstrap::{self, Sample};
use super::gold::{self, Gold, GoldTable};
use super::metric::{self, Normalization, Statistics, total};
use super::prediction::{self, ByExample, Setting};
use crate::task::{Language, Metric};
use table::{Of, Scored};

/// What to score.
#[derive(Debug, Clone)]
pub struct ScoreRequest<'a> {
    /// The task that the predictions are for, as their column `task` has it.
    pub task: &'a str,
    /// The task's format.
    pub format: &'a str,
    /// The task's metric: one of [`Metric::name`].
    pub metric: &'a str,
    /// The split that is scored, as the predictions' column `split` has it.
    pub split: &'a str,
    /// A prediction table for each language.
    pub predictions: Vec<(String, PathBuf)>,
    /// A canonical table for each language: the same languages.
    pub gold: Vec<(String, PathBuf)>,
    /// The languages that the task has: a mean that lacks one of them says so.
    pub languages: Vec<Language>,
    /// Seeds the bootstrap.
    pub seed: u64,
    /// Resamples behind each interval; 1,000 will do.
    pub resamples: usize,
}

/// The tables that scoring makes (`schemas/`), sorted by layer, pooling and language.
#[derive(Debug, Clone)]
pub struct ScoreTables {
    /// `scores`: each value of the metric in each language.
    pub scores: RecordBatch,
    /// `summaries`: means over groups of languages.
    pub summaries: RecordBatch,
    /// `example-scores`: what each example contributes.
    pub examples: RecordBatch,
}

/// Scores every language and layer, and the means over groups of languages.
///
/// Fails if predictions and gold are not of the same languages, layers and examples, if gold is missing, if a
/// prediction can't be read as its format asks, or if the metric isn't defined for the format or a language.
pub fn score(request: &ScoreRequest<'_>) -> Result<ScoreTables, EvaluateError> {
    let metric = Metric::for_format(request.metric, request.format)?;
    if request.resamples == 0 {
        return Err(EvaluateError::NoResamples);
    }
    let mut scored = Vec::new();
    let mut settings: Option<Vec<Setting>> = None;
    for (language, predictions, gold) in paired(request)? {
        let normalization = normalization(metric, language)?;
        let gold = gold::read(gold, request.format, metric == Metric::SquadV2)?;
        let mut by_setting = prediction::read(predictions, request.task, request.split, language)?;
        if by_setting.is_empty() {
            by_setting.insert(Setting::default(), ByExample::new());
        }
        let found: Vec<_> = by_setting.keys().cloned().collect();
        let expected = settings.get_or_insert_with(|| found.clone());
        if *expected != found {
            let (path, found, expected) = (predictions.to_owned(), listed(&found), listed(expected));
            return Err(EvaluateError::Layers { path, found, expected });
        }
        for (setting, by_example) in by_setting {
            let statistics = statistics(metric, &normalization, &gold, &by_example, predictions, setting.layer)?;
            let examples: Vec<String> = gold.examples.keys().cloned().collect();
            let sample = Sample { language, ids: &examples, runs: vec![&statistics] };
            scored.push(Scored {
                language: language.to_owned(),
                setting,
                values: metric.combine(&total(&statistics)),
                resamples: bootstrap::values(metric, sample, request.seed, request.resamples),
                examples,
                statistics,
            });
        }
    }
    scored.sort_by(|a, b| (&a.setting, &a.language).cmp(&(&b.setting, &b.language)));
    let of = Of { task: request.task, split: request.split };
    Ok(ScoreTables {
        scores: table::scores(of, metric, &scored),
        summaries: table::summaries(of, metric, &scored, request),
        examples: table::examples(of, &scored),
    })
}

/// The languages in order, each with its predictions and its gold.
fn paired<'a>(request: &'a ScoreRequest<'_>) -> Result<Vec<(&'a str, &'a Path, &'a Path)>, EvaluateError> {
    let problem = |language: &str, problem| EvaluateError::Language { language: language.to_owned(), problem };
    let by_language = |files: &'a [(String, PathBuf)]| {
        let mut map: BTreeMap<&str, &Path> = BTreeMap::new();
        for (language, path) in files {
            if map.insert(language, path).is_some() {
                return Err(problem(language, "is given twice"));
            }
        }
        Ok(map)
    };
    let (predictions, gold) = (by_language(&request.predictions)?, by_language(&request.gold)?);
    if let Some(language) = gold.keys().find(|language| !predictions.contains_key(*language)) {
        return Err(problem(language, "has gold but no predictions"));
    }
    predictions
        .into_iter()
        .map(|(language, predictions)| match gold.get(language) {
            Some(gold) => Ok((language, predictions, *gold)),
            None => Err(problem(language, "has predictions but no gold")),
        })
        .collect()
}

/// How answers in `language` are normalised; of no consequence where the metric compares none.
fn normalization(metric: Metric, language: &str) -> Result<Normalization, EvaluateError> {
    if metric != Metric::Mlqa {
        return Ok(Normalization::SQUAD);
    }
    Normalization::mlqa(language).ok_or_else(|| EvaluateError::Undefined {
        metric: metric.name(),
        what: format!("language `{language}`"),
        remedy: "use `squad`, or leave the language out",
    })
}

fn listed(settings: &[Setting]) -> String {
    settings.iter().map(Setting::to_string).collect::<Vec<_>>().join(", ")
}

/// What each gold example contributes, in the order of ids.
fn statistics(
    metric: Metric,
    normalization: &Normalization,
    gold: &GoldTable,
    predictions: &ByExample,
    path: &Path,
    layer: Option<i32>,
) -> Result<Vec<Statistics>, EvaluateError> {
    if let Some(id) = predictions.keys().find(|id| !gold.examples.contains_key(*id)) {
        let problem = format!("is not in the gold, {}; score the split that was predicted", gold.path.display());
        return Err(EvaluateError::example(path, id, problem));
    }
    let one = |(id, answer): (&String, &Gold)| {
        let Some(predicted) = predictions.get(id) else {
            return Err(EvaluateError::MissingPrediction { path: path.to_owned(), example: id.clone(), layer });
        };
        contribution(metric, normalization, answer, predicted, &gold.sentences)
            .map_err(|problem| EvaluateError::example(path, id, problem))
    };
    gold.examples.iter().map(one).collect()
}

fn contribution(
    metric: Metric,
    normalization: &Normalization,
    gold: &Gold,
    predicted: &str,
    sentences: &BTreeSet<String>,
) -> Result<Statistics, String> {
    Ok(match gold {
        Gold::Label(label) => metric::accuracy(label == predicted),
        Gold::Choice { answer, choices } => match predicted.parse::<u32>() {
            Ok(index) if index < *choices => metric::accuracy(index == *answer),
            _ => return Err(format!("`{predicted}` is not the index of one of its {choices} choices")),
        },
        Gold::Sentence(id) if sentences.contains(predicted) => metric::accuracy(id == predicted),
        Gold::Sentence(_) => return Err(format!("`{predicted}` is not the id of an index sentence")),
        Gold::Tags(tags) => {
            let predicted: Vec<&str> = predicted.split_ascii_whitespace().collect();
            if predicted.len() != tags.len() {
                return Err(format!(
                    "has {} predicted tags for {} words; give one a word",
                    predicted.len(),
                    tags.len()
                ));
            }
            match metric {
                Metric::SpanF1 => metric::span_f1(tags, &predicted),
                _ => metric::token_accuracy(tags, &predicted),
            }
        }
        Gold::Answers(answers) if metric == Metric::SquadV2 => metric::answer_or_none(answers, predicted),
        Gold::Answers(answers) => metric::answer(normalization, answers, predicted),
    })
}

#[cfg(test)]
mod tests {
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
        languages: Vec<Language>,
    }

    impl Fixture {
        fn new() -> Self {
            let (gold, predictions, languages) = (Vec::new(), Vec::new(), Vec::new());
            Fixture { dir: tempfile::tempdir().unwrap(), gold, predictions, languages }
        }

        fn gold(&mut self, language: &str, columns: Vec<(&str, ArrayRef)>) {
            let path = self.dir.path().join(format!("gold-{language}.parquet"));
            let batch =
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
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
            let path = self.dir.path().join(format!("predictions-{language}.parquet"));
            let rows: Vec<Prediction> = rows
                .iter()
                .map(|&(id, layer, prediction)| Prediction {
                    layer,
                    ..Prediction::new(id.to_owned(), prediction.to_owned(), 0.5)
                })
                .collect();
            let batch = prediction_batch("task", "test", language, &rows);
            write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
            self.predictions.push((language.to_owned(), path));
        }

        fn score(&self, format: &str, metric: &str) -> Result<(RecordBatch, RecordBatch), EvaluateError> {
            let tables = score(&ScoreRequest {
                task: "task",
                split: "test",
                format,
                metric,
                predictions: self.predictions.clone(),
                gold: self.gold.clone(),
                languages: self.languages.clone(),
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
        assert_eq!(
            shown(&scores, &["language", "metric"]),
            ["de accuracy 100.0", "en accuracy 100.0", "sw accuracy 25.0"]
        );
        let groups = ["all 75.0", "non-english 62.5", "english 100.0", "english-gap 37.5"];
        assert_eq!(shown(&summaries, &["group"]), groups);
        let (low, high) = (&scores["ci_low"], &scores["ci_high"]);
        let interval =
            |row| (low.as_primitive::<Float64Type>().value(row), high.as_primitive::<Float64Type>().value(row));
        assert_eq!(interval(0), (100.0, 100.0));
        assert!(interval(2).0 < 25.0 && interval(2).1 > 25.0, "{:?}", interval(2));
    }

    #[test]
    fn every_value_of_a_metric_is_a_row() {
        let mut fixture = Fixture::new();
        fixture.gold("fi", vec![("example_id", strings(["a"])), ("tags", lists(&["NOUN NOUN VERB"]))]);
        fixture.predict("fi", &[("a", None, "NOUN VERB VERB")]);
        let (scores, _) = fixture.score("word-tagging", "span-f1").unwrap();
        assert_eq!(shown(&scores, &["metric"]), ["f1 0.0", "precision 0.0", "recall 0.0", "token_accuracy 66.7"]);
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
        let missing =
            "predictions-ta.parquet: no prediction for example `en-0` at layer 3; predict the whole split again";
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
}

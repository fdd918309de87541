//! Scores in other projects' result files.
//!
//! Values are from 0 to 1 where the other project has them so (MTEB, lm-evaluation-harness), and from 0 to 100 in a model
//! card, whose metric says it. Nothing is computed here but that division: each value is a score row, its interval beside it.
//! The protocols are not the same where a name is (MTEB trains a classifier on embeddings, the harness asks a language model):
//! a file says in its own words that it is Trestle's.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::task::{Format, Languages, Metric, Task};

/// One score row.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRecord {
    /// ISO 639-1 code.
    pub language: String,
    /// The value's name.
    pub metric: String,
    /// 0 to 100.
    pub value: f64,
    /// Lower end of the 95% bootstrap interval.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// Number of examples.
    pub examples: u32,
}

/// The scores of one task.
#[derive(Debug, Clone)]
pub struct TaskScores<'a> {
    /// The task.
    pub task: &'a Task,
    /// The canonical tables' digest: which data these are.
    pub data: String,
    /// The score artifact's key.
    pub key: String,
    /// The key of the model that predicted; that of the predictions where none of ours did.
    pub model: String,
    /// The metrics whose mean stands for the task.
    pub headline: &'static [&'static str],
    /// The rows, of one hidden state.
    pub scores: Vec<ScoreRecord>,
}

/// Whose scores they are.
#[derive(Debug, Clone)]
pub struct System {
    /// A name for people: `mini/mnli/seed-1`.
    pub name: String,
    /// A digest of what predicted: a row has a model for each target, whose keys stand beside the targets' scores
    /// ([`TaskScores::model`]).
    pub revision: String,
    /// The version of the code.
    pub code_version: String,
}

impl TaskScores<'_> {
    fn languages(&self) -> Vec<&str> {
        let mut languages: Vec<&str> = self.scores.iter().map(|score| score.language.as_str()).collect();
        languages.dedup();
        languages
    }

    /// The metric's own values in `language`. The mean that stands for a target in tables is no metric of other projects: where
    /// they have a place for it, it is [`TaskScores::main_score`].
    fn of(&self, language: &str) -> impl Iterator<Item = &ScoreRecord> {
        let metrics = self.task.metric.map_or(&[][..], Metric::rows);
        self.scores.iter().filter(move |score| score.language == language && metrics.contains(&score.metric.as_str()))
    }

    /// The mean of the headline metrics in `language`.
    fn main_score(&self, language: &str) -> f64 {
        let values: Vec<f64> = self
            .of(language)
            .filter(|score| self.headline.contains(&score.metric.as_str()))
            .map(|score| score.value)
            .collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }
}

/// The result file of one task as `mteb` 2 writes it (class `TaskResult`): a list of scores for each split, an entry a
/// language, from 0 to 1, with the model's key beside them (the file's own fields have no place for it). Languages are
/// ISO 639-3 with the script's ISO 15924 code. There is no evaluation time: the same scores give the same bytes.
pub fn mteb(scores: &TaskScores<'_>, languages: &Languages) -> Value {
    let entries: Vec<Value> = scores
        .languages()
        .into_iter()
        .map(|code| {
            let mut entry = Map::new();
            for score in scores.of(code) {
                entry.insert(score.metric.clone(), json!(score.value / 100.0));
                entry.insert(format!("{}_ci_low", score.metric), json!(score.ci_low / 100.0));
                entry.insert(format!("{}_ci_high", score.metric), json!(score.ci_high / 100.0));
                entry.insert("examples".to_owned(), json!(score.examples));
            }
            entry.insert("main_score".to_owned(), json!(scores.main_score(code) / 100.0));
            entry.insert("model_key".to_owned(), json!(scores.model));
            entry.insert("hf_subset".to_owned(), json!(code));
            let known = languages.get(code);
            let name = known
                .map_or(code.to_owned(), |language| format!("{}-{}", language.iso3, script_code(&language.script)));
            entry.insert("languages".to_owned(), json!([name]));
            Value::Object(entry)
        })
        .collect();
    json!({
        "dataset_revision": scores.data, "task_name": format!("trestle/{}", scores.task.id), "mteb_version": null,
        "scores": { scores.task.evaluate.name(): entries }, "evaluation_time": null, "kg_co2_emissions": null,
    })
}

/// `model_meta.json` beside the files of [`mteb`].
pub fn mteb_model(system: &System) -> Value {
    json!({"name": format!("trestle/{}", system.name.replace('/', "__")), "revision": system.revision})
}

/// ISO 15924 code of a script in `data/languages.toml`.
fn script_code(script: &str) -> &str {
    match script {
        "Arabic" => "Arab",
        "Bengali" => "Beng",
        "Cyrillic" => "Cyrl",
        "Devanagari" => "Deva",
        "Georgian" => "Geor",
        "Greek" => "Grek",
        "Gujarati" => "Gujr",
        "Gurmukhi" => "Guru",
        "Han" => "Hani",
        "Hangul" => "Hang",
        "Hebrew" => "Hebr",
        "Japanese" => "Jpan",
        "Latin" => "Latn",
        "Malayalam" => "Mlym",
        "Myanmar" => "Mymr",
        "Tamil" => "Taml",
        "Telugu" => "Telu",
        "Thai" => "Thai",
        _ => "Zyyy",
    }
}

/// All tasks as lm-evaluation-harness 0.4 writes its results: a task for each language, named `TASK_LANGUAGE`, values from 0 to
/// 1 under `METRIC,none`. Standard errors are `N/A` (the harness's own word for none): intervals are bootstrapped, and stand
/// beside the values.
pub fn lm_eval(system: &System, all: &[TaskScores<'_>]) -> Value {
    let (mut results, mut versions, mut shots) = (Map::new(), Map::new(), Map::new());
    let (mut better, mut samples, mut configs) = (Map::new(), Map::new(), Map::new());
    let mut subtasks = Map::new();
    for scores in all {
        let mut names = Vec::new();
        for code in scores.languages() {
            let name = format!("{}_{code}", scores.task.id);
            let (mut values, mut higher) = (Map::new(), Map::new());
            values.insert("alias".to_owned(), json!(name));
            let mut examples = 0;
            for score in scores.of(code) {
                values.insert(format!("{},none", score.metric), json!(score.value / 100.0));
                values.insert(format!("{}_stderr,none", score.metric), json!("N/A"));
                values.insert(format!("{}_ci_low,none", score.metric), json!(score.ci_low / 100.0));
                values.insert(format!("{}_ci_high,none", score.metric), json!(score.ci_high / 100.0));
                higher.insert(score.metric.clone(), json!(true));
                examples = score.examples;
            }
            results.insert(name.clone(), Value::Object(values));
            versions.insert(name.clone(), json!(scores.data));
            shots.insert(name.clone(), json!(0));
            better.insert(name.clone(), Value::Object(higher));
            samples.insert(name.clone(), json!({"original": examples, "effective": examples}));
            let config = json!({
                "task": name, "test_split": scores.task.evaluate.name(), "num_fewshot": 0,
                "metadata": {"score_key": scores.key, "model_key": scores.model, "license": scores.task.license},
            });
            configs.insert(name.clone(), config);
            names.push(name);
        }
        subtasks.insert(scores.task.id.clone(), json!(names));
    }
    json!({
        "results": results, "group_subtasks": subtasks, "configs": configs, "versions": versions, "n-shot": shots,
        "higher_is_better": better, "n-samples": samples,
        "config": {"model": "trestle", "model_args": system.name, "model_revision": system.revision},
        "git_hash": system.code_version,
    })
}

/// The metadata of a Hugging Face model card (`model-index`), as YAML between two lines of dashes: an entry a task and language, a
/// metric a score row. Strings are written as JSON, which YAML contains.
pub fn model_index(system: &System, all: &[TaskScores<'_>]) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut out = format!("---\nmodel-index:\n- name: {}\n  results:\n", text(&system.name));
    for scores in all {
        let split = scores.task.evaluate.name();
        for code in scores.languages() {
            let dataset = format!("{} ({code}, {split})", scores.task.id);
            let _ = write!(
                out,
                "  - task:\n      type: {}\n    dataset:\n      name: {}\n      type: {}\n      config: {}\n      split: {}\n      \
                 revision: {}\n    metrics:\n",
                task_type(scores.task.format),
                text(&dataset),
                text(&scores.task.id),
                text(code),
                text(split),
                text(&scores.data),
            );
            for score in scores.of(code) {
                let name = format!("{}, 0 to 100", score.metric);
                let _ = write!(
                    out,
                    "    - type: {}\n      value: {:?}\n      name: {}\n      verified: false\n",
                    text(&score.metric),
                    score.value,
                    text(&name),
                );
            }
        }
    }
    out + "---\n"
}

/// The hub's name of a kind of task.
fn task_type(format: Format) -> &'static str {
    match format {
        Format::Classification | Format::PairClassification => "text-classification",
        Format::MultipleChoice => "multiple-choice",
        Format::SpanExtraction => "question-answering",
        Format::WordTagging => "token-classification",
        Format::SentenceRetrieval => "sentence-similarity",
        Format::Text => "fill-mask",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Registry;

    fn record(language: &str, metric: &str, value: f64) -> ScoreRecord {
        let (language, metric) = (language.to_owned(), metric.to_owned());
        ScoreRecord { language, metric, value, ci_low: value - 5.0, ci_high: value + 5.0, examples: 40 }
    }

    fn system() -> System {
        let (name, revision) = ("mini/mnli/seed-1".to_owned(), "abc".to_owned());
        System { name, revision, code_version: "0.1.0".to_owned() }
    }

    #[test]
    fn values_are_shares_and_the_main_score_is_the_mean_of_the_headline() {
        let registry = Registry::load(&[]).unwrap();
        let mean = "mean of f1 and exact_match";
        let scores = vec![
            record("de", "exact_match", 40.0),
            record("de", "f1", 60.0),
            record("de", mean, 50.0),
            record("zh", "f1", 10.0),
        ];
        let scores = TaskScores {
            task: registry.task("xquad", "").unwrap(),
            data: "d".to_owned(),
            key: "k".to_owned(),
            model: "m".to_owned(),
            headline: &["f1", "exact_match"],
            scores,
        };
        let file = mteb(&scores, registry.languages());
        let german = &file["scores"]["test"][0];
        assert_eq!((german["main_score"].as_f64(), german["f1"].as_f64()), (Some(0.5), Some(0.6)));
        assert_eq!(german["languages"], json!(["deu-Latn"]));
        assert_eq!(file["scores"]["test"][1]["languages"], json!(["cmn-Hani"]));
        let harness = lm_eval(&system(), std::slice::from_ref(&scores));
        assert_eq!(harness["results"]["xquad_de"]["f1,none"], json!(0.6));
        assert_eq!(harness["n-samples"]["xquad_zh"]["effective"], json!(40));
        assert_eq!(
            (&german["model_key"], &harness["configs"]["xquad_de"]["metadata"]["model_key"]),
            (&json!("m"), &json!("m"))
        );
        let card = model_index(&system(), &[scores]);
        for text in [file.to_string(), harness.to_string(), card.clone()] {
            assert!(text.contains("exact_match") && !text.contains("mean of"), "{text}");
        }
        assert!(card.contains("name: \"mini/mnli/seed-1\"") && card.contains("value: 60.0"), "{card}");
    }

    #[test]
    fn every_script_has_a_code() {
        let registry = Registry::load(&[]).unwrap();
        assert!(registry.languages().iter().all(|language| script_code(&language.script) != "Zyyy"));
    }
}

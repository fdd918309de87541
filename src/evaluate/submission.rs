//! Scores of a folder in XTREME's layout, whoever made it: what XTREME's own `evaluate.py` says of it.
//!
//! A submission is `TASK/test-LANGUAGE.tsv` (`.json` for question answering) with the labels in a folder of the same
//! shape. Labels, tags (a blank line between sentences), Tatoeba's line numbers and BUCC's pairs stand one a line;
//! answers in a JSON object by question id. The rules are evaluate.py's (Hu et al. 2020,
//! <https://github.com/google-research/xtreme>, at 838c13b6): every language of a task must be there, the average over
//! them is unweighted, an unanswered question scores 0, answers to unknown questions are ignored, and tagging is scored
//! by seqeval 0.0.12. Where evaluate.py would score tags against the wrong words, this refuses.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::EvaluateError;
use super::metric::{self, Normalization, Statistics, precision_recall_f1, total};
use crate::error::IoContext;
use crate::task::Metric;

/// One value of a task's metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmissionScore {
    /// The task's folder.
    pub task: String,
    /// The value's name: accuracy, f1, precision, recall, exact_match.
    pub metric: &'static str,
    /// The value in each language, 0 to 100, in evaluate.py's order of languages.
    pub languages: Vec<(String, f64)>,
    /// The unweighted mean over the languages.
    pub average: f64,
}

/// How a task's files are read and compared.
#[derive(Clone, Copy)]
enum Scoring {
    Lines,
    Tags,
    Pairs,
    Squad,
    Mlqa,
}

/// The tasks: folder, scoring, languages.
const TASKS: [(&str, Scoring, &str); 9] = [
    ("pawsx", Scoring::Lines, "de en es fr ja ko zh"),
    ("xnli", Scoring::Lines, "ar bg de el en es fr hi ru sw th tr ur vi zh"),
    (
        "panx",
        Scoring::Tags,
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk \
         tr et fi hu",
    ),
    (
        "udpos",
        Scoring::Tags,
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    ),
    ("bucc2018", Scoring::Pairs, "de fr ru zh"),
    (
        "tatoeba",
        Scoring::Lines,
        "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu",
    ),
    ("xquad", Scoring::Squad, "en es de el ru tr ar vi th zh hi"),
    ("mlqa", Scoring::Mlqa, "en es de ar hi vi zh"),
    ("tydiqa", Scoring::Squad, "en ar bn fi id ko ru sw te"),
];

/// The folder names of all tasks that [`score_submission`] knows.
pub fn submission_tasks() -> Vec<&'static str> {
    TASKS.iter().map(|(folder, ..)| *folder).collect()
}

/// Scores `tasks` (folder names: pawsx, xnli, panx, udpos, bucc2018, tatoeba, xquad, mlqa, tydiqa) of the submission in
/// `predictions` against `labels`: one entry for each task and value of its metric.
///
/// A missing file of any of a task's languages is an error, as are lines too many or too few.
pub fn score_submission(
    predictions: &Path,
    labels: &Path,
    tasks: &[&str],
) -> Result<Vec<SubmissionScore>, EvaluateError> {
    let mut scores = Vec::new();
    for &task in tasks {
        let Some(&(_, scoring, languages)) = TASKS.iter().find(|(folder, ..)| *folder == task) else {
            let known = TASKS.map(|(folder, ..)| folder).join(", ");
            return Err(EvaluateError::Unknown { kind: "task", name: task.to_owned(), known });
        };
        let names: &[&'static str] = match scoring {
            Scoring::Lines => &["accuracy"],
            Scoring::Tags | Scoring::Pairs => &["f1", "precision", "recall"],
            Scoring::Squad | Scoring::Mlqa => &["exact_match", "f1"],
        };
        let languages: Vec<&str> = languages.split_ascii_whitespace().collect();
        let mut values = Vec::new();
        for language in &languages {
            let place = |folder: &Path| folder.join(task).join(format!("test-{language}.{}", suffix(scoring)));
            let files = Files { predictions: place(predictions), labels: place(labels) };
            values.push(files.score(scoring, language)?);
        }
        for (row, metric) in names.iter().enumerate() {
            let languages: Vec<(String, f64)> =
                languages.iter().zip(&values).map(|(language, values)| ((*language).to_owned(), values[row])).collect();
            let average = languages.iter().map(|(_, value)| value).sum::<f64>() / languages.len() as f64;
            scores.push(SubmissionScore { task: task.to_owned(), metric, languages, average });
        }
    }
    Ok(scores)
}

fn suffix(scoring: Scoring) -> &'static str {
    match scoring {
        Scoring::Lines | Scoring::Tags | Scoring::Pairs => "tsv",
        Scoring::Squad | Scoring::Mlqa => "json",
    }
}

/// The two files of one language.
struct Files {
    predictions: PathBuf,
    labels: PathBuf,
}

impl Files {
    /// The metric's values, in the order of their names; at most three.
    fn score(&self, scoring: Scoring, language: &str) -> Result<metric::Values, EvaluateError> {
        Ok(match scoring {
            Scoring::Lines => Metric::Accuracy.combine(&self.lines()?),
            Scoring::Tags => Metric::SpanF1.combine(&self.tags()?),
            Scoring::Pairs => self.pairs()?,
            Scoring::Squad => Metric::Squad.combine(&self.answers(&Normalization::SQUAD)?),
            Scoring::Mlqa => {
                let normalization =
                    Normalization::mlqa(language).expect("the languages of the task are those of its normalisation");
                Metric::Mlqa.combine(&self.answers(&normalization)?)
            }
        })
    }

    fn lines(&self) -> Result<Statistics, EvaluateError> {
        let (labels, predictions) = (read(&self.labels)?, read(&self.predictions)?);
        let (labels, predictions): (Vec<_>, Vec<_>) = (trimmed(&labels).collect(), trimmed(&predictions).collect());
        self.same_count("lines", predictions.len(), labels.len())?;
        Ok(metric::token_accuracy(&labels, &predictions))
    }

    fn tags(&self) -> Result<Statistics, EvaluateError> {
        let (labels, predictions) = (read(&self.labels)?, read(&self.predictions)?);
        let (labels, predictions) = (sentences(&labels), sentences(&predictions));
        self.same_count("sentences", predictions.len(), labels.len())?;
        let mut statistics = Vec::with_capacity(labels.len());
        for (number, (gold, predicted)) in labels.iter().zip(&predictions).enumerate() {
            self.same_count(&format!("tags in sentence {}", number + 1), predicted.len(), gold.len())?;
            statistics.push(metric::span_f1(gold, predicted));
        }
        Ok(total(&statistics))
    }

    fn pairs(&self) -> Result<metric::Values, EvaluateError> {
        let (labels, predictions) = (read(&self.labels)?, read(&self.predictions)?);
        let (labels, predictions): (BTreeSet<_>, BTreeSet<_>) =
            (trimmed(&labels).collect(), trimmed(&predictions).collect());
        let correct = labels.intersection(&predictions).count() as f64;
        let (precision, recall, f1) = precision_recall_f1(correct, predictions.len() as f64, labels.len() as f64);
        Ok(metric::padded([f1, precision, recall]))
    }

    fn answers(&self, normalization: &Normalization) -> Result<Statistics, EvaluateError> {
        let labels: Labels = json(&self.labels, "SQuAD's layout: data, paragraphs, qas, answers")?;
        let predictions: HashMap<String, String> = json(&self.predictions, "one object of question id to answer")?;
        let paragraphs = labels.data.iter().flat_map(|article| &article.paragraphs);
        let score = |question: &Question| {
            let answers: Vec<&str> = question.answers.iter().map(|answer| answer.text.as_str()).collect();
            match predictions.get(&question.id) {
                _ if answers.is_empty() => {
                    let problem = "has no answer in the labels; take labels that are not blanked";
                    Err(EvaluateError::example(&self.labels, &question.id, problem))
                }
                Some(predicted) => Ok(metric::answer(normalization, &answers, predicted)),
                None => Ok(metric::padded([0.0, 0.0, 1.0])),
            }
        };
        let statistics: Vec<Statistics> =
            paragraphs.flat_map(|paragraph| &paragraph.qas).map(score).collect::<Result<_, _>>()?;
        Ok(total(&statistics))
    }

    fn same_count(&self, unit: &str, found: usize, expected: usize) -> Result<(), EvaluateError> {
        if found == expected {
            return Ok(());
        }
        let (predictions, labels) = (self.predictions.clone(), self.labels.clone());
        Err(EvaluateError::Count { predictions, labels, unit: unit.to_owned(), found, expected })
    }
}

/// SQuAD's JSON, as much of it as scoring needs.
#[derive(Deserialize)]
struct Labels {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    qas: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

fn read(path: &Path) -> Result<String, EvaluateError> {
    Ok(fs::read_to_string(path).at("read", path)?)
}

fn json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, EvaluateError> {
    serde_json::from_str(&read(path)?).map_err(|source| {
        let (path, message) = (path.to_owned(), source.to_string());
        EvaluateError::Json { path, message, expected }
    })
}

fn trimmed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim)
}

/// The tags of each sentence. A blank line ends a sentence, be it empty; so does the end of the file, unless empty.
fn sentences(text: &str) -> Vec<Vec<&str>> {
    let mut sentences = Vec::new();
    let mut sentence = Vec::new();
    for line in trimmed(text) {
        if line.is_empty() {
            sentences.push(std::mem::take(&mut sentence));
        } else {
            sentence.push(line);
        }
    }
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A submission of `task` with the same text in every language, changed by `edit`.
    fn submission(task: &str, labels: &str, edit: impl Fn(&Path)) -> Result<Vec<SubmissionScore>, EvaluateError> {
        let dir = tempfile::tempdir().unwrap();
        let (scoring, languages) = TASKS.iter().find(|t| t.0 == task).map(|t| (t.1, t.2)).unwrap();
        for side in ["labels", "predictions"] {
            let folder = dir.path().join(side).join(task);
            fs::create_dir_all(&folder).unwrap();
            for language in languages.split(' ') {
                fs::write(folder.join(format!("test-{language}.{}", suffix(scoring))), labels).unwrap();
            }
        }
        edit(&dir.path().join("predictions").join(task));
        score_submission(&dir.path().join("predictions"), &dir.path().join("labels"), &[task])
    }

    fn message(result: Result<Vec<SubmissionScore>, EvaluateError>) -> String {
        let message = result.unwrap_err().to_string();
        let words: Vec<&str> = message.split(' ').map(|word| word.rsplit('/').next().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn pairs_are_a_set() {
        let scores = submission("bucc2018", "a\tx\nb\ty\nc\tz\n", |folder| {
            fs::write(folder.join("test-fr.tsv"), "c\tz\na\tx\na\tx\nb\tx\nd\tx\n").unwrap();
        })
        .unwrap();
        let french: Vec<f64> = scores.iter().map(|score| score.languages[1].1).collect();
        for (value, expected) in french.iter().zip([400.0 / 7.0, 50.0, 200.0 / 3.0]) {
            assert!((value - expected).abs() < 1e-9, "{french:?}");
        }
        assert!((scores[1].average - 87.5).abs() < 1e-9);
    }

    #[test]
    fn an_unanswered_question_scores_nothing() {
        let labels = r#"{"data": [{"paragraphs": [{"context": "", "qas": [
            {"id": "1", "answers": [{"text": "x", "answer_start": 0}]},
            {"id": "2", "answers": [{"text": "y z", "answer_start": 0}]}]}]}]}"#;
        let answer = |text: &'static str| {
            submission("tydiqa", labels, move |folder| {
                for entry in fs::read_dir(folder).unwrap() {
                    fs::write(entry.unwrap().path(), text).unwrap();
                }
            })
        };
        let scores = answer(r#"{"2": "The Y.", "3": "not asked"}"#).unwrap();
        assert_eq!((scores[0].average, scores[0].metric), (0.0, "exact_match"));
        assert!((scores[1].average - 100.0 / 3.0).abs() < 1e-9);
        let wrong = message(answer(r#"{"2": 5}"#));
        assert!(wrong.starts_with("test-en.json: invalid type: integer `5`, expected a string"), "{wrong}");
    }

    #[test]
    fn lines_and_tags_must_match_the_labels() {
        let short = submission("pawsx", "0\n1\n1\n", |folder| fs::write(folder.join("test-ja.tsv"), "0\n1\n").unwrap());
        assert_eq!(message(short), "test-ja.tsv: 2 lines, but 3 in test-ja.tsv; give one prediction for each");
        let long = submission("udpos", "X\nX\n\nX\n", |folder| {
            fs::write(folder.join("test-fi.tsv"), "X\nX\n\nX\nX\n").unwrap();
        });
        let expected = "test-fi.tsv: 2 tags in sentence 2, but 1 in test-fi.tsv; give one prediction for each";
        assert_eq!(message(long), expected);
        let missing = submission("xnli", "neutral\n", |folder| fs::remove_file(folder.join("test-sw.tsv")).unwrap());
        assert!(message(missing).starts_with("failed to read test-sw.tsv: "));
        let unknown = score_submission(Path::new("a"), Path::new("b"), &["glue"]).unwrap_err().to_string();
        assert!(unknown.starts_with("unknown task `glue`; choose one of pawsx, "), "{unknown}");
    }

    #[test]
    #[ignore = "needs TRESTLE_SHARED"]
    fn the_mock_submission_scores_as_evaluate_py_scores_it() {
        let mock = PathBuf::from(std::env::var_os("TRESTLE_SHARED").unwrap()).join("real/xtreme_mock");
        let text = fs::read_to_string(mock.join("expected_scores.seqeval-0.0.12.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let mut compared = 0;
        for (task, ..) in TASKS {
            let scores = score_submission(&mock.join("predictions"), &mock.join("labels"), &[task]).unwrap();
            let expected = expected["xtreme"][task].as_object().unwrap();
            let count = scores[0].languages.len();
            assert_eq!(expected.len(), count + 1, "{task}");
            for score in &scores {
                let average = (format!("_avg_over_{count}_languages"), score.average);
                for (language, value) in score.languages.iter().chain([&average]) {
                    let expected = expected[language][score.metric].as_f64().unwrap();
                    assert!((value - expected).abs() < 1e-9, "{task} {language} {}: {value} {expected}", score.metric);
                    compared += 1;
                }
            }
            let first = &scores[0].languages[0].0;
            assert_eq!(expected[first].as_object().unwrap().len(), scores.len(), "{task}");
        }
        // (7 + 15 + 36 + 3) accuracies, (40 + 33 + 4 + 3) × 3 of tags and pairs, (11 + 7 + 9 + 3) × 2 of answers.
        assert_eq!(compared, 61 + 240 + 60);
    }
}

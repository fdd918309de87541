//! The score stage: predictions and gold in, scores and their means over languages out.

mod contribution;
mod pairs;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use super::EvaluateError;
use super::bootstrap::{self, Sample};
use super::gold::{GoldFile, GoldTable, Open};
use super::metric::{Normalization, Statistics, total};
use super::prediction::{PredictionFile, Setting};
use crate::task::{Metric, SourceLanguage, Traits};
use contribution::{Index, Scorer, Thresholds};
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
    /// The labels that may be predicted, in the task's order; empty for formats without labels.
    pub labels: &'a [String],
    /// The split that is scored, as the predictions' column `split` has it.
    pub split: &'a str,
    /// A prediction table for each language.
    pub predictions: Vec<(String, PathBuf)>,
    /// A canonical table for each language: the same languages. Where queries search the sentences of all languages, one may
    /// have sentences only; it is not scored then and needs no predictions.
    pub gold: Vec<(String, PathBuf)>,
    /// The languages that the task has: a mean that lacks one of them says so.
    pub languages: BTreeMap<String, Traits>,
    /// The one that what predicted was trained in.
    pub source: SourceLanguage,
    /// Whether their examples are translations of one another ([`crate::task::Task::parallel`]).
    pub parallel: bool,
    /// A canonical table of the split `validation` for each language, where a threshold is chosen on it
    /// ([`Metric::BitextF1`]) and the predictions have rows of that split; where they have none, every pair counts.
    pub development: Vec<(String, PathBuf)>,
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

/// The split that thresholds are chosen on.
const DEVELOPMENT: &str = "validation";

/// Scores every language and layer, and the means over groups of languages.
///
/// Fails if predictions and gold are not of the same languages, layers and examples, if gold is missing, if a
/// prediction can't be read as its format asks, or if the metric isn't defined for the format, the labels or a language.
pub fn score(request: &ScoreRequest<'_>) -> Result<ScoreTables, EvaluateError> {
    let metric = Metric::for_format(request.metric, request.format)?;
    check_labels(metric, request.labels)?;
    if request.resamples == 0 {
        return Err(EvaluateError::NoResamples);
    }
    let open = Open { unanswerable: metric == Metric::SquadV2, unmatched: metric == Metric::BitextF1 };
    let shared = metric.searches_all_languages();
    let gold = by_language(&request.gold)?;
    // Where all languages are searched, all must be there; elsewhere one is read after the other.
    let mut files = BTreeMap::new();
    if shared {
        for (language, path) in &gold {
            files.insert(*language, GoldFile::read(path, request.format)?);
        }
    }
    let mut tables = BTreeMap::new();
    for (language, file) in &files {
        tables.insert(*language, file.table(open)?);
    }
    let index = shared.then(|| Index::new(&tables));
    let predictions = by_language(&request.predictions)?;
    let searched_only = |language: &str| tables.get(language).is_some_and(|table| table.examples.is_empty());
    let development = by_language(&request.development)?;
    let mut scored = Vec::new();
    let mut settings: Option<Vec<Setting>> = None;
    for (language, gold_path) in &gold {
        if searched_only(language) {
            continue;
        }
        let Some(path) = predictions.get(language) else {
            return Err(EvaluateError::language(language, "has gold but no predictions"));
        };
        let own = if shared { None } else { Some(GoldFile::read(gold_path, request.format)?) };
        let own = own.as_ref().map(|file| file.table(open)).transpose()?;
        let gold = own
            .as_ref()
            .or_else(|| tables.get(language))
            .ok_or_else(|| EvaluateError::language(language, "has no gold"))?;
        if gold.examples.is_empty() {
            return Err(EvaluateError::Empty { path: gold.path.to_owned() });
        }
        let file = PredictionFile::read(path)?;
        let mut sets = file.sets(request.task, request.split, language)?;
        if sets.is_empty() {
            sets.insert(Setting::default(), Vec::new());
        }
        let found: Vec<_> = sets.keys().cloned().collect();
        let expected = settings.get_or_insert_with(|| found.clone());
        if *expected != found {
            let (path, found, expected) = ((*path).to_owned(), listed(&found), listed(expected));
            return Err(EvaluateError::Layers { path, found, expected });
        }
        let tuned = metric == Metric::BitextF1 && request.split != DEVELOPMENT;
        let mut tuning = None;
        if tuned {
            let sets = file.sets(request.task, DEVELOPMENT, language)?;
            tuning = match development.get(language) {
                // Pairs that come without any of the development split were chosen by whoever predicted them.
                _ if sets.is_empty() => None,
                Some(gold) => Some((GoldFile::read(gold, request.format)?, sets)),
                None => return Err(EvaluateError::NoDevelopment { path: (*path).to_owned() }),
            };
        }
        let tuning = match &tuning {
            Some((gold, sets)) => Some((gold.table(open)?, sets)),
            None => None,
        };
        let normalization = normalization(metric, language)?;
        for (setting, rows) in &sets {
            let scorer = Scorer {
                metric,
                labels: request.labels,
                normalization,
                gold,
                index: index.as_ref(),
                path,
                layer: setting.layer,
            };
            let (statistics, thresholds) = match metric {
                Metric::BitextF1 => {
                    let tuning = match &tuning {
                        Some((gold, sets)) => Some((gold, sets.get(setting).map(Vec::as_slice).unwrap_or_default())),
                        None => (!tuned).then_some((gold, rows.as_slice())),
                    };
                    pairs::statistics(&scorer, rows, tuning)?
                }
                _ => scorer.statistics(rows)?,
            };
            scored.push(row(request, metric, language, setting, gold, (statistics, thresholds)));
        }
    }
    if let Some(language) = predictions.keys().find(|language| !gold.contains_key(*language)) {
        return Err(EvaluateError::language(language, "has predictions but no gold"));
    }
    scored.sort_by(|a, b| (&a.setting, &a.language).cmp(&(&b.setting, &b.language)));
    let of = Of { task: request.task, split: request.split };
    Ok(ScoreTables {
        scores: table::scores(of, metric, &scored),
        summaries: table::summaries(of, metric, &scored, request),
        examples: table::examples(of, &scored),
    })
}

fn row(
    request: &ScoreRequest<'_>,
    metric: Metric,
    language: &str,
    setting: &Setting,
    gold: &GoldTable<'_>,
    (statistics, thresholds): (Vec<Statistics>, Thresholds),
) -> Scored {
    let examples: Vec<String> = gold.examples.iter().map(|(id, _)| (*id).to_owned()).collect();
    let sample = Sample { language, ids: &examples, runs: vec![&statistics] };
    Scored {
        language: language.to_owned(),
        setting: setting.clone(),
        values: metric.combine(&total(&statistics)),
        thresholds,
        resamples: bootstrap::values(metric, &[sample], request.parallel, request.seed, request.resamples).remove(0),
        examples,
        statistics,
    }
}

/// Metrics of labels need so many of them.
fn check_labels(metric: Metric, labels: &[String]) -> Result<(), EvaluateError> {
    let (fits, remedy) = match metric {
        Metric::BinaryF1 => (labels.len() == 2, "it needs two, the positive one last"),
        Metric::Mcc => ((2..=3).contains(&labels.len()), "it needs two or three"),
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    Err(EvaluateError::Undefined { metric: metric.name(), what: format!("{} labels", labels.len()), remedy })
}

/// The tables in the order of languages.
fn by_language(files: &[(String, PathBuf)]) -> Result<BTreeMap<&str, &Path>, EvaluateError> {
    let mut map: BTreeMap<&str, &Path> = BTreeMap::new();
    for (language, path) in files {
        if map.insert(language, path).is_some() {
            return Err(EvaluateError::language(language, "is given twice"));
        }
    }
    Ok(map)
}

/// How answers in `language` are normalised; of no consequence where the metric compares none.
pub(super) fn normalization(metric: Metric, language: &str) -> Result<Normalization, EvaluateError> {
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

#[cfg(test)]
mod tests;

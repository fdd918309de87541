//! What each example contributes to the metric.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::evaluate::EvaluateError;
use crate::evaluate::gold::{Counterparts, Gold, GoldTable};
use crate::evaluate::hash::IdMap;
use crate::evaluate::metric::{self, Alternative, Answers, Chunker, Normalization, Statistics};
use crate::evaluate::prediction::Row;
use crate::task::Metric;

/// The threshold behind each value of a metric, where one was chosen.
pub(super) type Thresholds = [Option<f64>; 8];

/// Examples that are scored one after the other.
const BLOCK: usize = 1_024;

/// The sentences of all languages, where queries search them all: a prediction is `LANGUAGE:ID` then.
pub(super) struct Index<'a> {
    sentences: BTreeMap<&'a str, &'a IdMap<'a, ()>>,
    /// The right sentences of a query, in every language that has the query. The same question has the same id in all.
    gold: IdMap<'a, Vec<(&'a str, &'a str)>>,
}

impl<'a> Index<'a> {
    pub fn new(tables: &'a BTreeMap<&'a str, GoldTable<'a>>) -> Self {
        let mut gold: IdMap<'a, Vec<(&str, &str)>> = IdMap::default();
        for (language, table) in tables {
            for (id, right) in &table.examples {
                if let Gold::Sentences(Some(sentences)) = right {
                    gold.entry(id).or_default().extend(sentences.iter().map(|sentence| (*language, sentence)));
                }
            }
        }
        Self { sentences: tables.iter().map(|(language, table)| (*language, &table.sentences)).collect(), gold }
    }

    /// The language and the id that a prediction names.
    fn sentence<'p>(&self, prediction: &'p str) -> Result<(&'p str, &'p str), String> {
        let parts = prediction.split_once(':');
        let known = |(language, id): &(&str, &str)| {
            self.sentences.get(language).is_some_and(|sentences| sentences.contains_key(id))
        };
        parts.filter(known).ok_or_else(|| {
            format!("`{prediction}` is not the id of an index sentence with its language before it, as in `en:7`")
        })
    }
}

/// Scores the predictions of one set in one language.
pub(super) struct Scorer<'a> {
    pub metric: Metric,
    pub labels: &'a [String],
    pub normalization: Normalization,
    pub gold: &'a GoldTable<'a>,
    pub index: Option<&'a Index<'a>>,
    /// The predictions' file.
    pub path: &'a Path,
    pub layer: Option<i32>,
}

/// An example with its predictions, best first.
type Matched<'m> = (&'m str, Gold<'m>, &'m [Row<'m>]);

impl Scorer<'_> {
    /// What each gold example contributes, in their order. `rows` are in the order of ids.
    pub fn statistics(&self, rows: &[Row<'_>]) -> Result<(Vec<Statistics>, Thresholds), EvaluateError> {
        let ranked = matches!(self.metric, Metric::MeanAveragePrecision | Metric::ReciprocalRank);
        let matched = self.matched(rows, ranked)?;
        let choices = if self.metric == Metric::SquadV2 { self.null_thresholds(&matched) } else { [None; 2] };
        let block = |examples: &[Matched<'_>]| {
            let mut answers = Answers::new(self.normalization);
            let one = |(id, gold, rows): &Matched<'_>| {
                let scored = match gold {
                    Gold::Sentences(Some(right)) if ranked => self.ranked(id, *right, rows),
                    Gold::Answers(texts) if self.metric == Metric::SquadV2 => {
                        let row = &rows[0];
                        let predicted = metric::answer_or_none(&mut answers, texts.iter(), row.prediction);
                        let has_answer = texts.len() > 0;
                        let mut best = |choice: Option<f64>| match (choice, row.null_score_difference, row.best_span) {
                            (Some(threshold), Some(difference), Some(span)) => {
                                let span = (f64::from(difference) <= threshold).then_some(span);
                                metric::span_or_none(&mut answers, texts.iter(), span)
                            }
                            _ => predicted,
                        };
                        let best = (best(choices[0]).0, best(choices[1]).1);
                        Ok(metric::answered(predicted, has_answer, best))
                    }
                    gold => self.single(gold, rows[0].prediction, &mut answers),
                };
                scored.map_err(|problem| EvaluateError::example(self.path, id, problem))
            };
            examples.iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        let blocks: Vec<Vec<Statistics>> = matched.par_chunks(BLOCK).map(block).collect::<Result<_, _>>()?;
        let mut thresholds = Thresholds::default();
        [thresholds[5], thresholds[6]] = choices;
        Ok((blocks.concat(), thresholds))
    }

    /// Each gold example with its rows: all of them where they are `ranked`, else the one of rank 1.
    pub fn matched<'m>(&'m self, rows: &'m [Row<'m>], ranked: bool) -> Result<Vec<Matched<'m>>, EvaluateError> {
        let missing = |id: &str| EvaluateError::MissingPrediction {
            path: self.path.to_owned(),
            example: id.to_owned(),
            layer: self.layer,
        };
        let mut matched = Vec::with_capacity(self.gold.examples.len());
        let mut groups = rows.chunk_by(|a, b| a.example_id == b.example_id).peekable();
        for (id, gold) in &self.gold.examples {
            if let Some(rows) = groups.next_if(|rows| rows[0].example_id < *id) {
                return Err(self.not_in_gold(rows[0].example_id));
            }
            let Some(rows) = groups.next_if(|rows| rows[0].example_id == *id) else { return Err(missing(id)) };
            if rows.windows(2).any(|pair| pair[0].rank == pair[1].rank) {
                let problem = "is predicted twice; keep one row for each example";
                return Err(EvaluateError::example(self.path, id, problem));
            }
            if !ranked && rows[0].rank != 1 {
                return Err(missing(id));
            }
            matched.push((*id, *gold, rows));
        }
        match groups.next() {
            Some(rows) => Err(self.not_in_gold(rows[0].example_id)),
            None => Ok(matched),
        }
    }

    fn not_in_gold(&self, id: &str) -> EvaluateError {
        let problem = format!("is not in the gold, {}; score the split that was predicted", self.gold.path.display());
        EvaluateError::example(self.path, id, problem)
    }

    fn single(&self, gold: &Gold<'_>, predicted: &str, answers: &mut Answers) -> Result<Statistics, String> {
        Ok(match gold {
            Gold::Label(label) => match self.metric {
                Metric::BinaryF1 => metric::binary(self.place(label)? == 1, self.place(predicted)? == 1),
                Metric::Mcc => metric::matthews(self.place(label)?, self.place(predicted)?),
                _ => {
                    if *label != predicted && !self.labels.is_empty() {
                        self.place(predicted)?;
                    }
                    metric::accuracy(*label == predicted)
                }
            },
            Gold::Choice { answer, choices } => match predicted.parse::<u32>() {
                Ok(index) if index < *choices => metric::accuracy(index == *answer),
                _ => return Err(format!("`{predicted}` is not the index of one of its {choices} choices")),
            },
            Gold::Sentences(right) if self.gold.sentences.contains_key(predicted) => {
                metric::accuracy(right.is_some_and(|right| right.contains(predicted)))
            }
            Gold::Sentences(_) => return Err(format!("`{predicted}` is not the id of an index sentence")),
            Gold::Tags(tags) => {
                let found = predicted.split_ascii_whitespace();
                if found.clone().count() != tags.len() {
                    let (found, words) = (found.count(), tags.len());
                    return Err(format!("has {found} predicted tags for {words} words; give one a word"));
                }
                let pairs = tags.iter().zip(found);
                if !self.labels.is_empty() {
                    for (_, tag) in pairs.clone().filter(|(gold, tag)| gold != tag) {
                        self.place(tag)?;
                    }
                }
                match self.metric {
                    Metric::SpanF1 => metric::span_f1(&mut Chunker::between(), pairs),
                    _ => metric::token_accuracy(pairs),
                }
            }
            Gold::Answers(texts) => metric::answer(answers, texts.iter(), predicted),
        })
    }

    /// The place of a label among the task's.
    fn place(&self, label: &str) -> Result<usize, String> {
        self.labels.iter().position(|known| known == label).ok_or_else(|| {
            let shown: Vec<&str> = self.labels.iter().take(20).map(String::as_str).collect();
            format!(
                "`{label}` is none of the task's labels, {}; predict with the labels of the task file",
                shown.join(", ")
            )
        })
    }

    fn ranked(&self, id: &str, right: Counterparts<'_>, rows: &[Row<'_>]) -> Result<Statistics, String> {
        let Some(index) = self.index else { return Err("there is no shared index".to_owned()) };
        let mut known = IdMap::default();
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            if known.insert(row.prediction, ()).is_some() {
                return Err(format!("`{}` is ranked twice; rank each sentence once", row.prediction));
            }
            found.push(index.sentence(row.prediction)?);
        }
        Ok(metric::ranked(match self.metric {
            Metric::MeanAveragePrecision => {
                let gold = index.gold.get(id).map_or(&[][..], Vec::as_slice);
                metric::average_precision(found.iter().map(|sentence| gold.contains(sentence)), gold.len())
            }
            // An entity is described in one language, whichever that is.
            _ => metric::reciprocal_rank(found.iter().map(|(_, id)| right.contains(id))),
        }))
    }

    /// The best thresholds of exact match and of F1, where every prediction says what else it could have been.
    fn null_thresholds(&self, matched: &[Matched<'_>]) -> [Option<f64>; 2] {
        let block = |examples: &[Matched<'_>]| -> Option<Vec<[Alternative; 2]>> {
            let mut answers = Answers::new(self.normalization);
            let one = |(_, gold, rows): &Matched<'_>| {
                let Gold::Answers(texts) = gold else { return None };
                let row = &rows[0];
                let difference = f64::from(row.null_score_difference?);
                let span = metric::span_or_none(&mut answers, texts.iter(), Some(row.best_span?));
                let none = metric::span_or_none(&mut answers, texts.iter(), None);
                Some([
                    Alternative { difference, span: span.0, none: none.0 },
                    Alternative { difference, span: span.1, none: none.1 },
                ])
            };
            examples.iter().map(one).collect()
        };
        let all: Option<Vec<Vec<[Alternative; 2]>>> = matched.par_chunks(BLOCK).map(block).collect();
        let Some(all) = all else { return [None; 2] };
        let all = all.concat();
        [0, 1].map(|place| {
            let mut questions: Vec<Alternative> = all.iter().map(|both| both[place]).collect();
            metric::null_threshold(&mut questions)
        })
    }
}

//! The two files of one language: read, compared, scored.
//!
//! A million predictions are no rare thing, so nothing is copied that a slice of the file can stand for, and examples are
//! scored in blocks side by side. Blocks have a fixed size and their sums are added in order: the number of threads changes no
//! digit.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::Shape;
use super::json::{self, Answer, Entries, Question, Text};
use super::text::{Lines, is_number, line_error, line_of, pairs, read, read_lines, sentences, shown};
use crate::evaluate::EvaluateError;
use crate::evaluate::hash::IdMap;
use crate::evaluate::metric::{self, Answers, Chunker, Normalization, Statistics, Values, total};
use crate::evaluate::score::normalization;
use crate::task::{Format, Metric, SuiteTask, Task};

/// Examples that are scored one after the other.
const BLOCK: usize = 4_096;

/// How a task's files are read and compared.
#[derive(Debug, Clone)]
pub(super) enum Scoring<'a> {
    /// One of these labels a line.
    Labels(Vec<&'a str>),
    /// A line number a line.
    Numbers,
    /// A tag a line, of these.
    Tags(Vec<&'a str>),
    /// Two ids a line.
    Pairs,
    /// An object with a choice a line, of so many where all examples have as many.
    Choices(Option<usize>),
    /// Answers by the SQuAD script.
    Squad,
    /// Answers by MLQA's.
    Mlqa,
    /// The ids found for each query, of which one is right.
    ReciprocalRank,
    /// The ids found for each query, of which several may be right.
    AveragePrecision,
}

impl<'a> Scoring<'a> {
    /// That of `task`, which stands in a suite as `of_suite`.
    ///
    /// # Errors
    /// A task whose metric can't be computed from files of the layout.
    pub fn of(of_suite: &'a SuiteTask, task: &'a Task) -> Result<Self, EvaluateError> {
        let labels = || task.labels.iter().chain(&of_suite.other_labels).map(String::as_str).collect();
        let choices = Some(task.normalize.choices.len()).filter(|choices| *choices > 0);
        Ok(match (task.metric, task.format) {
            (Some(Metric::Accuracy), Format::Classification | Format::PairClassification) => Scoring::Labels(labels()),
            (Some(Metric::Accuracy), Format::MultipleChoice) => Scoring::Choices(choices),
            (Some(Metric::Accuracy), Format::SentenceRetrieval) => Scoring::Numbers,
            (Some(Metric::SpanF1), _) => Scoring::Tags(labels()),
            (Some(Metric::BitextF1), _) => Scoring::Pairs,
            (Some(Metric::Squad), _) => Scoring::Squad,
            (Some(Metric::Mlqa), _) => Scoring::Mlqa,
            (Some(Metric::ReciprocalRank), _) => Scoring::ReciprocalRank,
            (Some(Metric::MeanAveragePrecision), _) => Scoring::AveragePrecision,
            (metric, _) => {
                return Err(EvaluateError::Undefined {
                    metric: metric.map_or("", Metric::name),
                    what: format!("files of task `{}` in XTREME's layout", task.id),
                    remedy: "choose other tasks of the suite with --task",
                });
            }
        })
    }

    /// What its files hold.
    pub fn shape(&self) -> Shape {
        match self {
            Scoring::Labels(_) => Shape::Labels,
            Scoring::Numbers => Shape::Numbers,
            Scoring::Tags(_) => Shape::Tags,
            Scoring::Pairs => Shape::Pairs,
            Scoring::Choices(_) => Shape::Choices,
            Scoring::Squad | Scoring::Mlqa => Shape::Answers,
            Scoring::ReciprocalRank | Scoring::AveragePrecision => Shape::Ranking,
        }
    }

    /// The metric whose values these are.
    pub fn metric(&self) -> Metric {
        match self {
            Scoring::Labels(_) | Scoring::Numbers | Scoring::Choices(_) => Metric::Accuracy,
            Scoring::Tags(_) => Metric::SpanF1,
            Scoring::Pairs => Metric::BitextF1,
            Scoring::Squad => Metric::Squad,
            Scoring::Mlqa => Metric::Mlqa,
            Scoring::ReciprocalRank => Metric::ReciprocalRank,
            Scoring::AveragePrecision => Metric::MeanAveragePrecision,
        }
    }

    /// The metric's values that evaluate.py has: the first ones.
    pub fn names(&self) -> &'static [&'static str] {
        let names = self.metric().rows();
        &names[..names.len().min(3)]
    }
}

/// The two files of one language.
pub(super) struct Files<'a> {
    pub task: &'a str,
    pub predictions: PathBuf,
    pub labels: PathBuf,
}

/// What they give.
pub(super) struct Scored {
    /// The metric's values, in the order of their names.
    pub values: Values,
    /// Examples without a prediction.
    pub unanswered: usize,
    /// The time it took when both files had been read.
    pub time: Duration,
}

/// The sum of what the examples contribute.
struct Sum {
    statistics: Statistics,
    unanswered: usize,
    /// When both files had been read.
    begun: Instant,
}

impl Sum {
    /// That of examples which all have a prediction.
    fn whole(statistics: Statistics, begun: Instant) -> Self {
        Self { statistics, unanswered: 0, begun }
    }
}

impl Files<'_> {
    /// Scores the predictions. Questions without an answer are an error unless `allow_missing`.
    pub fn score(&self, scoring: &Scoring<'_>, language: &str, allow_missing: bool) -> Result<Scored, EvaluateError> {
        let sum = match scoring {
            Scoring::Labels(labels) => self.lines(Some(&Known::new(labels)))?,
            Scoring::Numbers => self.lines(None)?,
            Scoring::Tags(labels) => self.tags(&Known::new(labels))?,
            Scoring::Pairs => self.pairs()?,
            Scoring::Choices(choices) => self.choices(*choices)?,
            Scoring::Squad | Scoring::Mlqa => {
                self.answers(normalization(scoring.metric(), language)?, allow_missing)?
            }
            Scoring::ReciprocalRank | Scoring::AveragePrecision => self.ranked(scoring, allow_missing)?,
        };
        let values = scoring.metric().combine(&sum.statistics);
        Ok(Scored { values, unanswered: sum.unanswered, time: sum.begun.elapsed() })
    }

    /// Both files' texts, labels first.
    fn texts(&self, shape: Shape) -> Result<(String, String), EvaluateError> {
        let (labels, predictions) =
            rayon::join(|| read_lines(&self.labels, shape), || read_lines(&self.predictions, shape));
        Ok((labels?, predictions?))
    }

    fn lines(&self, known: Option<&Known<'_>>) -> Result<Sum, EvaluateError> {
        let (labels, predictions) = self.texts(Shape::Labels)?;
        let begun = Instant::now();
        let (mut correct, mut count) = (0_u64, 0_usize);
        let mut gold = Lines(&labels);
        let mut predicted = Lines(&predictions);
        let (mut missing, mut extra) = (0, 0);
        loop {
            match (gold.next(), predicted.next()) {
                (Some(label), Some(prediction)) => {
                    count += 1;
                    correct += u64::from(label == prediction);
                    if !is_known(label, known) {
                        return Err(self.blanked(&labels, label));
                    }
                    if label != prediction && !is_known(prediction, known) {
                        return Err(self.unknown(&predictions, prediction, known));
                    }
                }
                (Some(_), None) => missing += 1,
                (None, Some(_)) => extra += 1,
                (None, None) => break,
            }
        }
        self.same_count("lines", count + extra, count + missing)?;
        Ok(Sum::whole(metric::padded([correct as f64, count as f64]), begun))
    }

    /// The error about a line of the labels that holds none.
    fn blanked(&self, text: &str, label: &str) -> EvaluateError {
        let problem = format!("`{}` is no label of {}; take labels that are not blanked", shown(label), self.task);
        line_error(&self.labels, line_of(text, label), problem)
    }

    /// The error about a prediction that is no label.
    fn unknown(&self, text: &str, label: &str, known: Option<&Known<'_>>) -> EvaluateError {
        let remedy = match known {
            Some(known) => format!("write one of {}", known.labels.join(", ")),
            None => "write the number of the line that was found, counted from 0".to_owned(),
        };
        let problem = format!("`{}` is no label of {}; {remedy}", shown(label), self.task);
        line_error(&self.predictions, line_of(text, label), problem)
    }

    fn tags(&self, known: &Known<'_>) -> Result<Sum, EvaluateError> {
        let (labels, predictions) = self.texts(Shape::Tags)?;
        let begun = Instant::now();
        let (gold, predicted) = rayon::join(|| sentences(&labels), || sentences(&predictions));
        self.same_count("sentences", predicted.len(), gold.len())?;
        let sentence = |chunker: &mut Chunker, number: usize| {
            let mut gold = Lines(&labels[gold[number].clone()]);
            let mut predicted = Lines(&predictions[predicted[number].clone()]);
            let mut pairs = Vec::with_capacity(64);
            loop {
                match (gold.next(), predicted.next()) {
                    (Some(label), Some(_)) if !known.has(label) => return Err(self.blanked(&labels, label)),
                    (Some(label), Some(tag)) if tag != label && !known.has(tag) => {
                        return Err(self.unknown(&predictions, tag, Some(known)));
                    }
                    (Some(label), Some(tag)) => pairs.push((label, tag)),
                    (None, None) => break,
                    (label, tag) => {
                        let rest = |one: Option<&str>, others: Lines<'_>| usize::from(one.is_some()) + others.count();
                        let (missing, extra) = (rest(label, gold), rest(tag, predicted));
                        let unit = format!("tags in sentence {}", number + 1);
                        self.same_count(&unit, pairs.len() + extra, pairs.len() + missing)?;
                        break;
                    }
                }
            }
            // What evaluate.py has of the metric; the rest of its places stays empty.
            let chunks = chunker.count(pairs.into_iter());
            Ok(metric::padded([chunks.correct as f64, chunks.predicted as f64, chunks.gold as f64]))
        };
        let numbers: Vec<usize> = (0..gold.len()).collect();
        let blocks = numbers.par_chunks(BLOCK).map(|numbers| {
            let mut chunker = Chunker::between();
            let sum = numbers.iter().map(|number| sentence(&mut chunker, *number)).collect::<Result<Vec<_>, _>>()?;
            Ok((total(&sum), chunker.stray()))
        });
        let blocks: Vec<(Statistics, bool)> = blocks.collect::<Result<_, EvaluateError>>()?;
        if !blocks.iter().any(|(_, stray)| *stray) {
            return Ok(Sum::whole(total(blocks.iter().map(|(statistics, _)| statistics)), begun));
        }
        // A chunk that never began looks back into earlier sentences, so they must come one after the other.
        let mut chunker = Chunker::new();
        let all: Vec<Statistics> =
            numbers.iter().map(|number| sentence(&mut chunker, *number)).collect::<Result<_, _>>()?;
        Ok(Sum::whole(total(&all), begun))
    }

    fn pairs(&self) -> Result<Sum, EvaluateError> {
        let (labels, predictions) = self.texts(Shape::Pairs)?;
        let begun = Instant::now();
        let (labels, predictions) =
            rayon::join(|| pair_set(&self.labels, &labels), || pair_set(&self.predictions, &predictions));
        let (labels, predictions) = (labels?, predictions?);
        let mut others = predictions.iter().peekable();
        let correct = labels.iter().filter(|pair| {
            while others.next_if(|other| other < pair).is_some() {}
            others.next_if_eq(pair).is_some()
        });
        let statistics = metric::pairs(correct.count(), predictions.len(), labels.len());
        Ok(Sum::whole(statistics, begun))
    }

    fn choices(&self, choices: Option<usize>) -> Result<Sum, EvaluateError> {
        let labels = read(&self.labels)?;
        let predictions = read(&self.predictions)?;
        let gold = json::line_labels(&self.labels, &labels)?;
        let predicted = json::line_labels(&self.predictions, &predictions)?;
        let begun = Instant::now();
        self.same_count("lines", predicted.len(), gold.len())?;
        let is_one = |label: u32| choices.is_none_or(|choices| (label as usize) < choices);
        let mut correct = 0_u32;
        for (&(gold_line, gold), &(line, choice)) in gold.iter().zip(&predicted) {
            if !is_one(gold) {
                let problem = format!("`{gold}` is no label of {}; take labels that are not blanked", self.task);
                return Err(line_error(&self.labels, gold_line, problem));
            }
            if !is_one(choice) {
                let numbers: Vec<String> = (0..choices.unwrap_or_default()).map(|number| number.to_string()).collect();
                let problem = format!("`{choice}` is no choice of {}; write {}", self.task, numbers.join(" or "));
                return Err(line_error(&self.predictions, line, problem));
            }
            correct += u32::from(gold == choice);
        }
        Ok(Sum::whole(metric::padded([f64::from(correct), gold.len() as f64]), begun))
    }

    fn answers(&self, normalization: Normalization, allow_missing: bool) -> Result<Sum, EvaluateError> {
        let (labels, predictions) = rayon::join(|| read(&self.labels), || read(&self.predictions));
        let (labels, predictions) = (labels?, predictions?);
        let (questions, answers) = rayon::join(
            || json::questions(&self.labels, &labels),
            || json::entries::<Text<'_>>(&self.predictions, &predictions, Shape::Answers),
        );
        let (questions, answers) = (questions?, answers?);
        let begun = Instant::now();
        let ids = questions.iter().map(|question| &question.id);
        let places = self.matched(ids, &answers, "question", allow_missing)?;
        let block = |(questions, places): (&[Question<'_>], &[Option<usize>])| {
            let mut scorer = Answers::new(normalization);
            let score = |(question, place): (&Question<'_>, &Option<usize>)| {
                let gold = question.answers.iter().map(|answer: &Answer<'_>| answer.text.as_ref());
                if gold.len() == 0 {
                    let problem = "has no answer in the labels; take labels that are not blanked";
                    return Err(EvaluateError::example(&self.labels, &question.id, problem));
                }
                Ok(match place {
                    Some(place) => metric::answer(&mut scorer, gold, &answers.0[*place].1.0),
                    None => metric::padded([0.0, 0.0, 1.0]),
                })
            };
            let all: Vec<Statistics> = questions.iter().zip(places).map(score).collect::<Result<_, _>>()?;
            Ok(total(&all))
        };
        let blocks = questions.par_chunks(BLOCK).zip(places.par_chunks(BLOCK)).map(block);
        let blocks: Vec<Statistics> = blocks.collect::<Result<_, EvaluateError>>()?;
        let unanswered = places.iter().filter(|place| place.is_none()).count();
        Ok(Sum { statistics: total(&blocks), unanswered, begun })
    }

    fn ranked(&self, scoring: &Scoring<'_>, allow_missing: bool) -> Result<Sum, EvaluateError> {
        type Found<'a> = Vec<Text<'a>>;
        let (labels, predictions) = (read(&self.labels)?, read(&self.predictions)?);
        let gold: Entries<'_, Found<'_>> = json::entries(&self.labels, &labels, Shape::Ranking)?;
        let found: Entries<'_, Found<'_>> = json::entries(&self.predictions, &predictions, Shape::Ranking)?;
        let begun = Instant::now();
        gold.index(&self.labels)?;
        let places = self.matched(gold.0.iter().map(|(id, _)| id), &found, "query", allow_missing)?;
        let query = |((id, right), place): (&(Cow<'_, str>, Found<'_>), &Option<usize>)| {
            let Some(first) = right.first() else {
                let problem = "has no gold in the labels; take labels that are not blanked";
                return Err(EvaluateError::example(&self.labels, id, problem));
            };
            let list: &[Text<'_>] = place.map_or(&[], |place| &found.0[place].1);
            let mut known = IdMap::with_capacity_and_hasher(list.len(), Default::default());
            if let Some(twice) = list.iter().find(|one| known.insert(one.0.as_ref(), ()).is_some()) {
                let problem = format!("`{}` stands twice in its list; rank each once", shown(&twice.0));
                return Err(EvaluateError::example(&self.predictions, id, problem));
            }
            let value = match scoring {
                Scoring::AveragePrecision => {
                    let is_right = |one: &Text<'_>| right.iter().any(|other| other.0 == one.0);
                    metric::average_precision(list.iter().map(is_right), right.len())
                }
                _ => metric::reciprocal_rank(list.iter().map(|one| one.0 == first.0.trim())),
            };
            Ok(metric::ranked(value))
        };
        let queries = gold.0.par_iter().zip(&places).map(query);
        let queries: Vec<Statistics> = queries.collect::<Result<_, EvaluateError>>()?;
        let unanswered = places.iter().filter(|place| place.is_none()).count();
        Ok(Sum { statistics: total(&queries), unanswered, begun })
    }

    /// Where each of `ids` stands among the predictions. A prediction for no id is an error, and so is an id without one unless
    /// `allow_missing`.
    fn matched<'a, T>(
        &self,
        ids: impl Iterator<Item = &'a Cow<'a, str>>,
        predictions: &Entries<'_, T>,
        kind: &str,
        allow_missing: bool,
    ) -> Result<Vec<Option<usize>>, EvaluateError> {
        let index = predictions.index(&self.predictions)?;
        let mut taken = vec![false; predictions.0.len()];
        let mut places = Vec::new();
        for id in ids {
            let place = index.get(id.as_ref()).copied();
            match place {
                Some(place) => taken[place] = true,
                None if allow_missing => {}
                None => {
                    let problem = format!(
                        "has no prediction; give every {kind} one (an empty answer is one), or count it as wrong with \
                         --allow-missing"
                    );
                    return Err(EvaluateError::example(&self.predictions, id, problem));
                }
            }
            places.push(place);
        }
        if let Some(extra) = taken.iter().position(|taken| !taken) {
            let problem = format!("is no {kind} of {}; score the split that was predicted", self.labels.display());
            return Err(EvaluateError::example(&self.predictions, &predictions.0[extra].0, problem));
        }
        Ok(places)
    }

    fn same_count(&self, unit: &str, found: usize, expected: usize) -> Result<(), EvaluateError> {
        if found == expected {
            return Ok(());
        }
        let (predictions, labels) = (self.predictions.clone(), self.labels.clone());
        Err(EvaluateError::Count { predictions, labels, unit: unit.to_owned(), found, expected })
    }
}

/// The labels of a task, each where its ends and its length put it, so that looking one up is one comparison.
struct Known<'a> {
    labels: &'a [&'a str],
    places: [&'a str; 64],
}

impl<'a> Known<'a> {
    fn new(labels: &'a [&'a str]) -> Self {
        let mut places = [""; 64];
        for label in labels {
            places[Self::place(label)] = label;
        }
        Self { labels, places }
    }

    fn has(&self, label: &str) -> bool {
        // Of two at one place the other is found among all.
        !label.is_empty() && (self.places[Self::place(label)] == label || self.labels.contains(&label))
    }

    fn place(label: &str) -> usize {
        let bytes = label.as_bytes();
        let end = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(*byte));
        (end(bytes.first()) + 5 * end(bytes.last()) + bytes.len()) % 64
    }
}

/// Whether `label` is one of `known`; a number, if any will do.
fn is_known(label: &str, known: Option<&Known<'_>>) -> bool {
    match known {
        Some(known) => known.has(label),
        None => is_number(label),
    }
}

/// The pairs of a file, sorted, each once.
fn pair_set<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, EvaluateError> {
    let mut pairs = pairs(path, text)?;
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

//! What a study will cost, before it is run: examples, tokens, floating-point operations, bytes, seconds.
//!
//! Every number knows what it rests on ([`Basis`]), and a number that nothing is known of is none, never a guess in silence. The best that
//! is known counts: what the store holds of this study; what the mini edition's generator will write; published counts, limits and
//! declared means of task files; defaults of a format. From there it is arithmetic: `text` makes tokens of words, `training` steps of
//! examples, `encoder` operations of tokens, `speed` seconds of operations. Padding is left out; a training is counted to its last
//! step, though it may stop early; operations on text (normalise, tokenise, score) are not counted.
//!
//! Nothing here opens a file: [`Known`] and [`Done`] are what was found out before.

mod bytes;
mod encoder;
mod number;
mod speed;
mod tables;
mod text;
mod training;

pub use number::{Basis, Estimate};
pub use speed::{Speed, SpeedSource};
pub use tables::{Done, Read, Table};

use serde::Serialize;

use super::graph::{Graph, Node};
use super::stage::{OfTask, Work, analyze, baseline, normalize, train, view};
use crate::source::mini::MiniOptions;
use crate::task::{EncoderSizes, Model, Registry, Role, SourceLanguage, Split, Study, Task};
use speed::Rates;
use tables::{sum_of, total_tokens};
use text::Fertility;
use training::{Mixed, Training, training};

/// What a stage takes and leaves; of a stage that is done, what it took and left. A number is none where nobody knows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Rows read or, by a training, instances learnt from.
    pub examples: Option<Estimate>,
    /// Tokens that an encoder or a tokenizer goes through, special tokens included, padding left out.
    pub tokens: Option<Estimate>,
    /// Floating-point operations of an encoder or a search; an addition and a multiplication are two.
    pub flops: Option<Estimate>,
    /// Bytes of the artifact.
    pub bytes: Option<Estimate>,
    /// Time on its device or, where it has none, on its share of the cores.
    pub seconds: Option<Estimate>,
}

impl Cost {
    /// A stage that goes through so many rows, without an encoder.
    fn of_rows(examples: Option<Estimate>, bytes: Option<Estimate>) -> Self {
        let none = Some(Estimate::ZERO);
        Self { examples, tokens: none, flops: none, bytes, seconds: None }
    }
}

/// What is known of a study without its data.
pub struct Known<'a> {
    /// Tasks.
    pub registry: &'a Registry,
    /// The study.
    pub study: &'a Study,
    /// Its model.
    pub model: &'a Model,
    /// The options of the mini edition, where raw files are generated.
    pub mini: Option<MiniOptions>,
    /// The encoder's sizes, and what they are known from.
    pub encoder: Option<(EncoderSizes, Basis)>,
}

/// What a study will cost.
pub struct Outlook {
    /// One a node, in the graph's order.
    pub costs: Vec<Cost>,
    /// How fast its device is; none where nobody said and nothing was trained yet.
    pub speed: Option<Speed>,
}

/// The cost of every stage of `graph`; `done` has what the store holds of each, `given` is a device's speed in FLOP/s.
pub fn outlook(known: &Known, graph: &Graph, done: &[Option<Done>], given: Option<f64>) -> Outlook {
    let mut tables: Vec<Vec<Table>> = Vec::with_capacity(graph.nodes.len());
    let mut costs: Vec<Cost> = Vec::with_capacity(graph.nodes.len());
    for (node, done) in graph.nodes.iter().zip(done) {
        let (cost, held) = known.stage(node, &tables, done.as_ref());
        let cost = match done {
            Some(done) => Cost {
                bytes: Some(Estimate::new(done.bytes as f64, Basis::Measured)),
                seconds: Some(Estimate::new(done.seconds, Basis::Measured)),
                ..cost
            },
            None => cost,
        };
        costs.push(cost);
        tables.push(held);
    }
    let rates = Rates::of(graph.nodes.iter().zip(&costs), given);
    for (node, cost) in graph.nodes.iter().zip(&mut costs) {
        cost.seconds = cost.seconds.or_else(|| rates.seconds(&node.work, cost));
    }
    Outlook { costs, speed: rates.speed() }
}

impl Known<'_> {
    /// What `node` costs, timing left out, and the tables that it leaves; `held` are those of the nodes before it.
    fn stage(&self, node: &Node, held: &[Vec<Table>], done: Option<&Done>) -> (Cost, Vec<Table>) {
        let input = |name: &str| node.needs.get(name).map_or(&[][..], |&need| held[need].as_slice());
        let all = || node.needs.values().flat_map(move |&need| &held[need]);
        let task = |name: &str| self.registry.task(name, "").ok();
        match &node.work {
            Work::Generate(_) => (Cost::of_rows(Some(Estimate::ZERO), None), Vec::new()),
            Work::Normalize(normalize::Plan { task: name, languages }) => {
                let expected = task(name).map_or_else(Vec::new, |task| {
                    let asked = languages.iter().flat_map(|(split, codes)| codes.iter().map(|code| (*split, code)));
                    asked.map(|(split, code)| self.canonical(task, split, code)).collect()
                });
                let tables = Table::with_counts(expected, done);
                (Cost::of_rows(sum_of(&tables, |t| t.examples), bytes::canonical(&tables)), tables)
            }
            Work::View(view::Plan { task: name, splits }) => {
                let read = all().filter(|table| splits.is_empty() || splits.contains(&table.split));
                let mut expected = Table::merged(read);
                // What a transform leaves of them is not known before: so many at most.
                if task(name).is_some_and(|task| task.transform().is_some()) {
                    for table in &mut expected {
                        table.examples = table.examples.map(|examples| examples.resting_on(Basis::Limited));
                    }
                }
                let tables = Table::with_counts(expected, done);
                (Cost::of_rows(sum_of(&tables, |t| t.examples), bytes::canonical(&tables)), tables)
            }
            Work::Tokenizer(()) => {
                let vocabulary = self.encoder.map(|(sizes, basis)| Estimate::new(sizes.vocab_size as f64, basis));
                (Cost::of_rows(sum_of(input("text"), |t| t.examples), bytes::tokenizer(vocabulary)), Vec::new())
            }
            Work::Tokenize(OfTask { task: name }) => {
                let fertility = Fertility::of(&self.model.tokenizer);
                let expected = input("canonical").iter().filter_map(|table| {
                    let task = task(name)?;
                    Some(table.tokenized(task.format, choices(task), fertility, &self.model.lengths))
                });
                let tables = Table::with_tokens(expected.collect(), done);
                let tokens = total_tokens(tables.iter());
                let cost = Cost::of_rows(sum_of(&tables, |t| t.examples), bytes::tokenized(tokens, tables.len()));
                (Cost { tokens, ..cost }, tables)
            }
            Work::Profile(_) => (Cost::of_rows(sum_of(input("canonical"), |t| t.examples), bytes::REPORT), Vec::new()),
            Work::Overlap(_) => {
                let examples = Estimate::sum(all().map(|table| table.examples));
                (Cost::of_rows(examples, bytes::REPORT), Vec::new())
            }
            Work::Train(train::Plan { tasks, hyperparameters, .. }) => {
                let smoothing = hyperparameters.language_smoothing;
                let mixed: Vec<Mixed> = tasks
                    .iter()
                    .filter_map(|name| {
                        Some(mixed(task(name)?, &self.study.source, input(&format!("tokens:{name}")), smoothing))
                    })
                    .collect();
                let steps = done.and_then(|done| done.steps);
                let Training { instances, tokens, flops, .. } = training(hyperparameters, &mixed, self.encoder, steps);
                let cost = Cost::of_rows(instances, bytes::model(self.encoder));
                (Cost { tokens, flops, ..cost }, Vec::new())
            }
            Work::Predict(OfTask { task: name }) => {
                let read = self.predicted(task(name), input("tokens"));
                let examples = sum_of(&read, |t| t.examples);
                (self.encoded(&read, Cost::of_rows(examples, bytes::predictions(examples, read.len()))), Vec::new())
            }
            Work::Embed(OfTask { task: name }) => {
                let read = self.predicted(task(name), input("tokens"));
                let examples = sum_of(&read, |t| t.examples);
                let vectors = bytes::vectors(examples, self.encoder, self.model.retrieval.layers.len());
                (self.encoded(&read, Cost::of_rows(examples, vectors)), read)
            }
            Work::Retrieve(OfTask { task: name }) => {
                let vectors = input("embeddings");
                let examples = sum_of(vectors, |t| t.examples);
                let shared = task(name).is_some_and(Task::shares_index);
                let flops = self.searched(vectors, shared);
                (Cost { flops, ..Cost::of_rows(examples, bytes::predictions(examples, vectors.len())) }, Vec::new())
            }
            Work::Baseline(baseline::Plan { task: name, .. }) | Work::Score(OfTask { task: name }) => {
                let gold = self.predicted(task(name), input("gold"));
                let examples = sum_of(&gold, |t| t.examples);
                let is_score = matches!(node.work, Work::Score(_));
                let left = if is_score { bytes::scores(examples) } else { bytes::predictions(examples, gold.len()) };
                (Cost::of_rows(examples, left), Vec::new())
            }
            Work::Analyze(analyze::Plan { cells }) => {
                (Cost::of_rows(Some(Estimate::ZERO), bytes::analysis(cells.len())), Vec::new())
            }
        }
    }

    /// What is expected of one split and language of a task.
    fn canonical(&self, task: &Task, split: Split, language: &str) -> Table {
        let layout = task.source.directory.as_ref().map_or("", |source| source.layout.as_str());
        let published = || Some(Estimate::new(task.expect.get(&split)?.of(language)? as f64, Basis::Published));
        let declared = || Some(Estimate::new(*task.estimate.examples.get(&split)? as f64, Basis::Declared));
        let (examples, words) = match &self.mini {
            Some(options) => (tables::generated(layout, options, split), crate::source::mini::words(layout)),
            None => (published().or_else(declared), task.estimate.words),
        };
        let limit = self.study.limits_of(&task.id).get(&split).map(|limit| *limit as f64);
        let examples = match (examples, limit) {
            (Some(examples), Some(limit)) => Some(examples.map(|examples| examples.min(limit))),
            (None, Some(limit)) => Some(Estimate::new(limit, Basis::Limited)),
            (examples, None) => examples,
        };
        let words = words.map(|words| Estimate::new(words, Basis::Declared));
        let words = words.unwrap_or_else(|| text::default_words(task.format));
        Table { split, language: language.to_owned(), examples, words, read: None }
    }

    /// The tables of `all` that `task` is predicted on.
    fn predicted(&self, task: Option<&Task>, all: &[Table]) -> Vec<Table> {
        let splits = task.map_or_else(Vec::new, Task::predicted_splits);
        all.iter().filter(|table| splits.contains(&table.split)).cloned().collect()
    }

    /// `cost`, with one forward pass over `tables`.
    fn encoded(&self, tables: &[Table], cost: Cost) -> Cost {
        let flops = self.encoder.and_then(|(sizes, basis)| {
            let one = |table: &Table| {
                let read = table.read?;
                let tokens = read.instances?.times(read.tokens);
                Some(tokens.map(|tokens| sizes.forward(tokens, read.row)).resting_on(basis))
            };
            Estimate::sum(tables.iter().map(one))
        });
        Cost { tokens: total_tokens(tables.iter()), flops, ..cost }
    }

    /// A search among vectors: each query with each sentence of its index, in each of the layers. How rows are divided between
    /// the two is taken to be by halves, which is the most that the product can be.
    fn searched(&self, vectors: &[Table], shared: bool) -> Option<Estimate> {
        let (sizes, basis) = self.encoder?;
        let product = |rows: Estimate| rows.map(|rows| rows * rows / 4.0 * 2.0 * sizes.hidden_size as f64);
        let products = if shared {
            product(sum_of(vectors, |t| t.examples)?)
        } else {
            Estimate::sum(vectors.iter().map(|table| table.examples.map(product)))?
        };
        Some(products.map(|flops| flops * self.model.retrieval.layers.len() as f64).resting_on(basis))
    }
}

/// How many choices an example of `task` has, as far as its file says; a few, where it does not.
fn choices(task: &Task) -> usize {
    match task.normalize.choices.len() {
        0 => 4,
        choices => choices,
    }
}

/// `task` as a training of a study of this source language reads it from `tokens`, languages drawn by their size to the power
/// `smoothing`.
fn mixed(task: &Task, source: &SourceLanguage, tokens: &[Table], smoothing: f64) -> Mixed {
    let languages = task.training_languages(source);
    let of = |split: Split| {
        let tables = tokens.iter().filter(move |table| table.split == split);
        tables.filter(|table| languages.contains(&table.language)).filter_map(|table| table.read).collect::<Vec<Read>>()
    };
    let (train, validation) = (of(Split::Train), of(Split::Validation));
    let count = |tables: &[Read]| Estimate::sum(tables.iter().map(|read| read.instances));
    let (tokens, row) = tables::mean(&train, smoothing).unzip();
    Mixed {
        id: task.id.clone(),
        instances: count(&train).filter(|_| !train.is_empty()),
        validation: count(&validation),
        tokens,
        row: row.unwrap_or(0.0),
        masked: task.role == Role::Text,
    }
}

#[cfg(test)]
mod tests;

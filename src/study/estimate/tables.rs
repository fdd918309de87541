//! Tables of a task before they are made: by split and language, how many rows, and what an encoder reads of a row.

use std::collections::BTreeMap;

use super::number::{Basis, Estimate};
use super::text::{Fertility, Shape};
use crate::source::mini::{self, MiniOptions, MiniSize};
use crate::task::{Format, Lengths, Split};

/// One split and language of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The split.
    pub split: Split,
    /// The language.
    pub language: String,
    /// Rows of the canonical table.
    pub examples: Option<Estimate>,
    /// Mean words of an English example.
    pub words: Estimate,
    /// What tokenising makes of it; none before.
    pub read: Option<Read>,
}

/// What an encoder reads of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Read {
    /// Rows of the tokenised table.
    pub instances: Option<Estimate>,
    /// Mean tokens of an instance, in all its rows.
    pub tokens: Estimate,
    /// Mean tokens of a row.
    pub row: f64,
}

/// What the store holds of a stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Done {
    /// Bytes of its files.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Rows of its tables by split and language.
    pub rows: BTreeMap<(Split, String), u64>,
    /// Instances and tokens of its tables, where it tokenised.
    pub tokens: BTreeMap<(Split, String), (u64, u64)>,
    /// Steps that it took, where it trained.
    pub steps: Option<u64>,
}

impl Table {
    /// `expected`, or what a stage that is `done` holds instead: of a language that turned out to have no file nothing is left.
    pub(super) fn with_counts(expected: Vec<Table>, done: Option<&Done>) -> Vec<Table> {
        let Some(done) = done else { return expected };
        let counted = |table: Table| {
            let rows = *done.rows.get(&(table.split, table.language.clone()))?;
            Some(Table { examples: Some(Estimate::new(rows as f64, Basis::Measured)), ..table })
        };
        expected.into_iter().filter_map(counted).collect()
    }

    /// The same for a stage that tokenised.
    pub(super) fn with_tokens(expected: Vec<Table>, done: Option<&Done>) -> Vec<Table> {
        let Some(done) = done else { return expected };
        let counted = |table: Table| {
            let (instances, tokens) = *done.tokens.get(&(table.split, table.language.clone()))?;
            let read = table.read?;
            let rows = read.tokens.value / read.row.max(1.0);
            let mean = tokens as f64 / instances.max(1) as f64;
            let instances = Some(Estimate::new(instances as f64, Basis::Measured));
            let read = Read { instances, tokens: Estimate::new(mean, Basis::Measured), row: mean / rows.max(1.0) };
            Some(Table { read: Some(read), ..table })
        };
        expected.into_iter().filter_map(counted).collect()
    }

    /// The tables of several tasks as those of one.
    pub(super) fn merged<'a>(parts: impl Iterator<Item = &'a Table>) -> Vec<Table> {
        let mut merged: BTreeMap<(Split, &str), Vec<&Table>> = BTreeMap::new();
        for part in parts {
            merged.entry((part.split, &part.language)).or_default().push(part);
        }
        let whole = |((split, language), parts): ((Split, &str), Vec<&Table>)| {
            let examples = Estimate::sum(parts.iter().map(|part| part.examples));
            let weight = |part: &Table| examples.and(part.examples).map_or(1.0, |examples| examples.value);
            let total: f64 = parts.iter().map(|part| weight(part)).sum();
            let mean = Estimate::sum(parts.iter().map(|part| Some(part.words.map(|words| words * weight(part)))));
            let words = mean.unwrap_or(Estimate::ZERO).map(|words| words / total.max(f64::MIN_POSITIVE));
            Table { split, language: language.to_owned(), examples, words, read: None }
        };
        merged.into_iter().map(whole).collect()
    }

    /// The table as it will be tokenised.
    pub(super) fn tokenized(&self, format: Format, choices: usize, fertility: Fertility, lengths: &Lengths) -> Table {
        let shape = Shape::of(format, choices, self.words, &self.language, fertility, lengths);
        let instances = self.examples.map(|examples| examples.map(|examples| examples * shape.windows));
        Table { read: Some(Read { instances, tokens: shape.tokens, row: shape.row }), ..self.clone() }
    }
}

/// The sum of a number of each table.
pub(super) fn sum_of(tables: &[Table], number: impl Fn(&Table) -> Option<Estimate>) -> Option<Estimate> {
    Estimate::sum(tables.iter().map(number))
}

/// Tokens of tokenised tables.
pub(super) fn total_tokens<'a>(tables: impl Iterator<Item = &'a Table>) -> Option<Estimate> {
    Estimate::sum(tables.map(|table| {
        let read = table.read?;
        Some(read.instances?.times(read.tokens))
    }))
}

/// Mean tokens of an instance and of a row of several languages, each weighted by its size to the power `smoothing`; all alike
/// where the size of one is not known. None of no table.
pub(super) fn mean(tables: &[Read], smoothing: f64) -> Option<(Estimate, f64)> {
    let known = tables.iter().all(|read| read.instances.is_some());
    let weight = |read: &Read| match read.instances.filter(|_| known) {
        Some(instances) => instances.value.powf(smoothing),
        None => 1.0,
    };
    let total: f64 = tables.iter().map(weight).sum();
    if total <= 0.0 {
        return None;
    }
    let tokens =
        Estimate::sum(tables.iter().map(|read| Some(read.tokens.map(|tokens| tokens * weight(read) / total))))?;
    Some((tokens, tables.iter().map(|read| read.row * weight(read) / total).sum()))
}

/// Rows that the mini edition will write.
pub(super) fn generated(layout: &str, options: &MiniOptions, split: Split) -> Option<Estimate> {
    let size = mini::size(layout, options, split)?;
    let basis = match size {
        MiniSize::Exactly(_) => Basis::Generated,
        MiniSize::About(_) => Basis::Declared,
    };
    Some(Estimate::new(size.examples(), basis))
}

//! Tokenised shards in memory: the instances that a training draws its batches from, and that prediction walks through.

use std::path::Path;

use arrow::array::{Array, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{Int32Type, UInt32Type};

use super::TrainError;
use crate::error::{Error, Result};
use crate::model::{Encoder, EncoderConfig, HeadKind, TokenBatch};
use crate::shard::{Columns, read_batches};
use crate::task::Format;

/// Lists of different lengths in one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged<T> {
    values: Vec<T>,
    ends: Vec<usize>,
}

impl<T> Default for Ragged<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Ragged<T> {
    /// Appends a list.
    pub fn push(&mut self, list: &[T]) {
        self.values.extend_from_slice(list);
        self.ends.push(self.values.len());
    }

    /// The items of all lists, one after another.
    pub fn items(&self) -> &[T] {
        &self.values
    }

    /// The list at `index`.
    pub fn get(&self, index: usize) -> &[T] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.values[start..self.ends[index]]
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Where an answer lies in a window, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First token of the answer; 0 where this window has none.
    pub start: u32,
    /// Last token of the answer; 0 where this window has none.
    pub end: u32,
    /// First token of the context.
    pub context_begin: u32,
    /// The token after the context.
    pub context_end: u32,
}

/// What is to be learnt from each instance.
#[derive(Debug, Clone)]
pub enum Targets {
    /// A label for each.
    Classes(Vec<i32>),
    /// The right one of `choices` rows.
    Choices {
        /// Rows an instance.
        choices: usize,
        /// The right row, from 0.
        labels: Vec<i32>,
    },
    /// A span of tokens for each.
    Spans(Vec<Span>),
    /// A label for each word.
    Words {
        /// Token of each word's first sub-word.
        positions: Ragged<u32>,
        /// Label of each word, -1 where unknown.
        labels: Ragged<i32>,
    },
    /// The text itself.
    Text,
}

/// Instances of one task: windows of examples, with what is to be learnt from them.
#[derive(Debug, Clone)]
pub struct Instances {
    ids: Ragged<u32>,
    types: Ragged<u8>,
    /// What is to be learnt.
    pub targets: Targets,
}

/// Limits that every row must keep, for the model that will read it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Ids must be below this.
    pub vocabulary: usize,
    /// Longest row in tokens.
    pub positions: usize,
    /// Rows of the token type table.
    pub types: usize,
}

impl Limits {
    /// Those of an encoder.
    pub fn of(config: &EncoderConfig) -> Self {
        Self { vocabulary: config.vocab_size, positions: config.max_positions(), types: config.type_vocab_size }
    }
}

/// The head that a format is trained with; none for retrieval, which is not trained.
pub fn head_of(format: Format) -> Option<HeadKind> {
    match format {
        Format::Classification | Format::PairClassification => Some(HeadKind::SequenceClassification),
        Format::MultipleChoice => Some(HeadKind::MultipleChoice),
        Format::SpanExtraction => Some(HeadKind::Span),
        Format::WordTagging => Some(HeadKind::TokenClassification),
        Format::Text => Some(HeadKind::MaskedLm),
        Format::SentenceRetrieval => None,
    }
}

impl Instances {
    /// No instances of `format`.
    pub fn empty(format: Format) -> Self {
        let targets = match format {
            Format::Classification | Format::PairClassification => Targets::Classes(Vec::new()),
            Format::MultipleChoice => Targets::Choices { choices: 0, labels: Vec::new() },
            Format::SpanExtraction => Targets::Spans(Vec::new()),
            Format::WordTagging => Targets::Words { positions: Ragged::default(), labels: Ragged::default() },
            Format::Text | Format::SentenceRetrieval => Targets::Text,
        };
        Self { ids: Ragged::default(), types: Ragged::default(), targets }
    }

    /// Appends the rows of the shard at `path`; rows without a label are left out where `labelled` is set. Stops at `limit`
    /// instances.
    ///
    /// # Errors
    /// When the shard can't be read, lacks a column, or a row does not fit `limits`.
    pub fn read(&mut self, path: &Path, limits: Limits, labelled: bool, limit: usize) -> Result<()> {
        let mut row = 0;
        for batch in read_batches(path)? {
            if self.len() >= limit {
                break;
            }
            let batch = batch?;
            self.append(path, &batch, row, limits, labelled)?;
            row += batch.num_rows();
        }
        self.truncate(limit);
        Ok(())
    }

    /// Appends the rows of `batch`, whose first row is `first_row` of the shard at `path`.
    ///
    /// # Errors
    /// As [`Instances::read`].
    pub fn append(
        &mut self,
        path: &Path,
        batch: &RecordBatch,
        first_row: usize,
        limits: Limits,
        labelled: bool,
    ) -> Result<()> {
        let columns = Columns::new(path, batch);
        let reader = Reader { path, first_row, limits };
        let Self { ids, types, targets } = self;
        if let Targets::Choices { choices, labels } = targets {
            return reader.choices(&columns, ids, types, choices, labels, labelled);
        }
        let (id_lists, type_lists) = (columns.list("input_ids")?, columns.list("type_ids")?);
        let mut tokens = |row: usize| -> Result<usize> {
            reader.tokens(row, &uint32s(id_lists, row), &uint32s(type_lists, row), ids, types)
        };
        match targets {
            Targets::Classes(labels) => {
                let column = columns.int32("label")?;
                for row in (0..batch.num_rows()).filter(|row| !labelled || column.value(*row) >= 0) {
                    tokens(row)?;
                    labels.push(column.value(row));
                }
            }
            Targets::Spans(spans) => {
                let [starts, ends] = [columns.uint32("start_position")?, columns.uint32("end_position")?];
                let [begins, stops] = [columns.uint32("context_begin")?, columns.uint32("context_end")?];
                for row in 0..batch.num_rows() {
                    let length = tokens(row)?;
                    let span = Span {
                        start: starts.value(row),
                        end: ends.value(row),
                        context_begin: begins.value(row),
                        context_end: stops.value(row),
                    };
                    let inside = [span.start, span.end].iter().all(|position| (*position as usize) < length);
                    if !inside || span.end < span.start || span.context_end as usize > length {
                        return Err(reader.wrong(row, format!("the span {span:?} is not inside {length} tokens")));
                    }
                    spans.push(span);
                }
            }
            Targets::Words { positions, labels } => {
                let (places, tags) = (columns.list("word_positions")?, columns.list("labels")?);
                for row in 0..batch.num_rows() {
                    let (places, tags) = (uint32s(places, row), int32s(tags, row));
                    if labelled && tags.iter().all(|tag| *tag < 0) {
                        continue;
                    }
                    let length = tokens(row)?;
                    if places.len() != tags.len() || places.iter().any(|place| *place as usize >= length) {
                        let problem =
                            format!("{} word positions and {} labels for {length} tokens", places.len(), tags.len());
                        return Err(reader.wrong(row, problem));
                    }
                    positions.push(&places);
                    labels.push(&tags);
                }
            }
            Targets::Text => {
                for row in 0..batch.num_rows() {
                    tokens(row)?;
                }
            }
            Targets::Choices { .. } => unreachable!("handled above"),
        }
        Ok(())
    }

    /// # Errors
    /// When a label of `task` is not below `labels`.
    pub fn check_labels(&self, task: &str, labels: usize) -> Result<(), TrainError> {
        let highest = match &self.targets {
            Targets::Classes(classes) => classes.iter().max(),
            Targets::Words { labels, .. } => labels.values.iter().max(),
            Targets::Choices { .. } | Targets::Spans(_) | Targets::Text => None,
        };
        match highest {
            Some(highest) if *highest >= labels as i32 => Err(TrainError::Request {
                problem: format!(
                    "the shards of task {task} hold label {highest}, but it has {labels} labels: tokenise again"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Number of instances.
    pub fn len(&self) -> usize {
        self.ids.len() / self.rows_each()
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[cfg(test)]
    pub(super) fn push_row(&mut self, ids: &[u32]) {
        self.ids.push(ids);
        self.types.push(&[]);
    }

    /// Every token id, row after row.
    pub fn ids(&self) -> &[u32] {
        self.ids.items()
    }

    /// Replaces every token id.
    pub fn map_ids(&mut self, map: impl Fn(u32) -> u32) {
        self.ids.values.iter_mut().for_each(|id| *id = map(*id));
    }

    /// Tokens of the longest row of an instance.
    pub fn length(&self, index: usize) -> usize {
        let rows = self.rows_each();
        (index * rows..(index + 1) * rows).map(|row| self.ids.get(row).len()).max().unwrap_or(0)
    }

    /// The rows of the instances at `indices`, padded with the encoder's padding token to a width that suits its device.
    pub fn tokens(&self, indices: &[u32], encoder: &Encoder) -> TokenBatch {
        let each = self.rows_each();
        let rows: Vec<usize> =
            indices.iter().flat_map(|index| (0..each).map(move |row| *index as usize * each + row)).collect();
        let types: Vec<Vec<u32>> =
            rows.iter().map(|row| self.types.get(*row).iter().map(|kind| u32::from(*kind)).collect()).collect();
        TokenBatch::new(
            rows.iter().zip(&types).map(|(row, types)| (self.ids.get(*row), types.as_slice())),
            encoder.config.pad_token_id,
            encoder.width_multiple(),
            encoder.config.max_positions(),
        )
    }

    fn rows_each(&self) -> usize {
        match &self.targets {
            Targets::Choices { choices, .. } => (*choices).max(1),
            _ => 1,
        }
    }

    fn truncate(&mut self, limit: usize) {
        if self.len() <= limit {
            return;
        }
        let rows = limit * self.rows_each();
        fn cut<T>(ragged: &mut Ragged<T>, lists: usize) {
            ragged.ends.truncate(lists);
            ragged.values.truncate(ragged.ends.last().copied().unwrap_or(0));
        }
        cut(&mut self.ids, rows);
        cut(&mut self.types, rows);
        match &mut self.targets {
            Targets::Classes(labels) | Targets::Choices { labels, .. } => labels.truncate(limit),
            Targets::Spans(spans) => spans.truncate(limit),
            Targets::Words { positions, labels } => {
                cut(positions, limit);
                cut(labels, limit);
            }
            Targets::Text => {}
        }
    }
}

/// Where a row comes from and what it must keep to.
struct Reader<'a> {
    path: &'a Path,
    first_row: usize,
    limits: Limits,
}

impl Reader<'_> {
    fn wrong(&self, row: usize, problem: String) -> Error {
        TrainError::Row { path: self.path.to_path_buf(), row: self.first_row + row, problem }.into()
    }

    fn tokens(
        &self,
        row: usize,
        tokens: &[u32],
        kinds: &[u32],
        ids: &mut Ragged<u32>,
        types: &mut Ragged<u8>,
    ) -> Result<usize> {
        let Limits { vocabulary, positions, types: known } = self.limits;
        if tokens.is_empty() || tokens.len() > positions {
            let problem = format!("{} tokens, but the encoder takes 1 to {positions}", tokens.len());
            return Err(self.wrong(row, problem));
        }
        if let Some(id) = tokens.iter().find(|id| **id as usize >= vocabulary) {
            let problem = format!(
                "token id {id} is outside the encoder's vocabulary of {vocabulary}; tokenise with its own tokenizer"
            );
            return Err(self.wrong(row, problem));
        }
        // Encoders with one token type ignore the types that a tokenizer writes.
        let kinds: Vec<u8> =
            if known > 1 { kinds.iter().map(|kind| (*kind).min(255) as u8).collect() } else { Vec::new() };
        if let Some(kind) = kinds.iter().find(|kind| usize::from(**kind) >= known) {
            return Err(self.wrong(row, format!("token type {kind}, but the encoder knows {known}")));
        }
        ids.push(tokens);
        types.push(&kinds);
        Ok(tokens.len())
    }

    fn choices(
        &self,
        columns: &Columns<'_>,
        ids: &mut Ragged<u32>,
        types: &mut Ragged<u8>,
        choices: &mut usize,
        labels: &mut Vec<i32>,
        labelled: bool,
    ) -> Result<()> {
        let (id_lists, type_lists) = (columns.list("choice_input_ids")?, columns.list("choice_type_ids")?);
        let column = columns.int32("label")?;
        for row in (0..column.len()).filter(|row| !labelled || column.value(*row) >= 0) {
            let (inputs, kinds) = (id_lists.value(row), type_lists.value(row));
            let (Some(inputs), Some(kinds)) = (inputs.as_list_opt::<i32>(), kinds.as_list_opt::<i32>()) else {
                return Err(self.wrong(row, "choice_input_ids is not a list of lists".into()));
            };
            if *choices == 0 {
                *choices = inputs.len();
            }
            if inputs.len() != *choices || kinds.len() != *choices || inputs.is_empty() {
                return Err(self.wrong(row, format!("{} choices, but the rows before have {choices}", inputs.len())));
            }
            if column.value(row) >= inputs.len() as i32 {
                return Err(self.wrong(row, format!("label {} of {} choices", column.value(row), inputs.len())));
            }
            for choice in 0..inputs.len() {
                self.tokens(row, &uint32s(inputs, choice), &uint32s(kinds, choice), ids, types)?;
            }
            labels.push(column.value(row));
        }
        Ok(())
    }
}

/// The list of `uint32` at `row`; empty where the items have another type, which the schema of a shard excludes.
pub(crate) fn uint32s(list: &ListArray, row: usize) -> Vec<u32> {
    let items = list.value(row);
    items.as_primitive_opt::<UInt32Type>().map(|items| items.values().to_vec()).unwrap_or_default()
}

fn int32s(list: &ListArray, row: usize) -> Vec<i32> {
    let items = list.value(row);
    items.as_primitive_opt::<Int32Type>().map(|items| items.values().to_vec()).unwrap_or_default()
}

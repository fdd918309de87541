//! What the formats share: where a row stands, what is counted, and the columns that every tokenised table has.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, ListBuilder, StringArray, StringBuilder, UInt32Builder};
use arrow::datatypes::{DataType, Field};

use super::tokenizer::Template;
use super::{RowProblem, TokenizeError, TokenizeRequest};

/// A builder of `list<uint32>` columns, as the schemas have them.
pub(super) type IdsBuilder = ListBuilder<UInt32Builder>;

/// An empty [`IdsBuilder`].
pub(super) fn ids_builder() -> IdsBuilder {
    ListBuilder::new(UInt32Builder::new()).with_field(Field::new("item", DataType::UInt32, false))
}

/// A count or position as the schemas have it. Arrow addresses strings and lists by 31 bits, so none is larger.
pub(super) fn uint32(number: usize) -> u32 {
    u32::try_from(number).expect("positions within an Arrow column fit 31 bits")
}

/// The items of one row of a `list<utf8>` column.
pub(super) fn items(list: &ListArray, row: usize) -> impl ExactSizeIterator<Item = &str> {
    let strings: &StringArray = list.values().as_string();
    let ends = list.value_offsets();
    (ends[row] as usize..ends[row + 1] as usize).map(|item| strings.value(item))
}

/// What is counted; see [`TableOutcome`](super::TableOutcome).
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub examples: u64,
    pub tokens: u64,
    pub words: u64,
    pub unknown_tokens: u64,
    pub truncated_examples: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        self.examples += other.examples;
        self.tokens += other.tokens;
        self.words += other.words;
        self.unknown_tokens += other.unknown_tokens;
        self.truncated_examples += other.truncated_examples;
    }
}

/// A batch's place in its table, for errors.
pub(super) struct Place<'a> {
    pub path: &'a Path,
    pub example_ids: &'a StringArray,
    pub first_row: u64,
}

impl Place<'_> {
    pub(super) fn error(&self, row: usize, problem: RowProblem) -> TokenizeError {
        TokenizeError::Row {
            path: self.path.to_owned(),
            row: self.first_row + row as u64,
            example: self.example_ids.value(row).to_owned(),
            problem: Box::new(problem),
        }
    }

    /// The index of `label`; -1 where there is none, or where it is none of an open set's.
    pub(super) fn label(
        &self,
        row: usize,
        field: &'static str,
        label: Option<&str>,
        request: &TokenizeRequest,
    ) -> Result<i32, TokenizeError> {
        let Some(label) = label else { return Ok(-1) };
        let labels = request.labels;
        let index = labels.iter().position(|known| known == label).and_then(|index| i32::try_from(index).ok());
        let problem = || RowProblem::Label { field, label: label.to_owned(), labels: labels.to_vec() };
        match index {
            None if request.open_labels => Ok(-1),
            index => index.ok_or_else(|| self.error(row, problem())),
        }
    }
}

/// The first two columns of every tokenised table: which example, which of its windows.
#[derive(Default)]
pub(super) struct Names {
    example_ids: StringBuilder,
    windows: UInt32Builder,
}

impl Names {
    pub(super) fn push(&mut self, example: &str, window: usize) {
        self.example_ids.append_value(example);
        self.windows.append_value(uint32(window));
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        vec![Arc::new(self.example_ids.finish()), Arc::new(self.windows.finish())]
    }
}

/// The columns `input_ids` and `type_ids`.
pub(super) struct Sequences {
    ids: IdsBuilder,
    type_ids: IdsBuilder,
}

impl Sequences {
    pub(super) fn new() -> Self {
        Self { ids: ids_builder(), type_ids: ids_builder() }
    }

    /// Appends a row: `first` and, where the template is a pair's, `second` in their frame.
    pub(super) fn push(&mut self, template: &Template, first: &[u32], second: &[u32], counts: &mut Counts) {
        counts.tokens += write(template, first, second, self.ids.values(), self.type_ids.values()) as u64;
        self.ids.append(true);
        self.type_ids.append(true);
    }

    pub(super) fn finish(mut self) -> [ArrayRef; 2] {
        [Arc::new(self.ids.finish()), Arc::new(self.type_ids.finish())]
    }
}

/// Appends one framed sequence to `ids` and `type_ids`; its length.
pub(super) fn write(
    template: &Template,
    first: &[u32],
    second: &[u32],
    ids: &mut UInt32Builder,
    type_ids: &mut UInt32Builder,
) -> usize {
    for part in [&template.before.ids[..], first, &template.between.ids, second, &template.after.ids] {
        ids.append_slice(part);
    }
    type_ids.append_slice(&template.before.type_ids);
    type_ids.append_value_n(template.first_type, first.len());
    type_ids.append_slice(&template.between.type_ids);
    type_ids.append_value_n(template.second_type, second.len());
    type_ids.append_slice(&template.after.type_ids);
    template.specials() + first.len() + second.len()
}

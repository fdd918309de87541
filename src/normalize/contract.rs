//! The contract: from the SQL's columns to a canonical table's, checked row by row. Whatever leaves this module is what
//! `schemas/` promises: labels and tags are in the task's set, answers stand where they are said to stand, words and
//! tags pair up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, UInt32Array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, interleave};
use arrow::datatypes::{DataType, Field, Int64Type, UInt32Type};

use super::sql::Selected;
use super::{NormalizeError, Terms, answers};
use crate::schema::{Table, canonical};
use crate::shard::{KeyColumns, join};
use crate::task::{Format, OffsetUnit, SourceLanguage};

/// Where rows come from, for defaults and errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The raw file.
    pub path: &'a Path,
    /// The `row` of its first row.
    pub first_row: i64,
    /// The language in its path.
    pub language: Option<&'a str>,
}

/// The column of an example's second language, which a table may have.
const LANGUAGE_B: &str = KeyColumns::LANGUAGE_B;

/// What the tables of one task must be.
pub(super) struct Contract<'a> {
    terms: Terms<'a>,
    answer_offsets: OffsetUnit,
    table: &'static Table,
    labels: BTreeSet<&'a str>,
}

/// Rows under way, by column name.
struct Rows<'a> {
    place: Place<'a>,
    origin: &'a Int64Array,
    columns: BTreeMap<&'a str, ArrayRef>,
}

impl Rows<'_> {
    fn column(&self, name: &str) -> &ArrayRef {
        &self.columns[name]
    }

    fn text(&self, name: &str) -> &StringArray {
        self.column(name).as_string::<i32>()
    }

    /// An error about the row at `index`.
    fn wrong(&self, index: usize, message: impl Into<String>) -> NormalizeError {
        let example = match self.columns.get("example_id").and_then(|c| c.as_string_opt::<i32>()) {
            Some(ids) if ids.is_valid(index) => ids.value(index).to_owned(),
            _ => "without id".to_owned(),
        };
        NormalizeError::Row {
            path: self.place.path.to_owned(),
            row: self.origin.value(index) - self.place.first_row,
            example,
            message: message.into(),
        }
    }
}

impl<'a> Contract<'a> {
    /// The contract of `terms`, for raw rows whose answer offsets count `answer_offsets`.
    pub(super) fn new(terms: Terms<'a>, answer_offsets: OffsetUnit) -> Self {
        Self {
            terms,
            answer_offsets,
            table: canonical(terms.format),
            labels: terms.labels.iter().map(String::as_str).collect(),
        }
    }

    /// The canonical table.
    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    /// The canonical rows of what the SQL gave.
    pub(super) fn assemble(&self, selected: &Selected, place: Place) -> Result<RecordBatch, NormalizeError> {
        let columns = self.take_columns(selected, place)?;
        let mut rows = Rows { place, origin: &selected.rows, columns };
        for field in self.table.schema.fields() {
            let column = self.conform(&rows, field)?;
            rows.columns.insert(field.name(), column);
        }
        if self.terms.format == Format::SpanExtraction {
            let starts = self.byte_starts(&rows)?;
            rows.columns.insert("answer_starts", starts);
        }
        self.check(&rows)?;
        if let Some(languages) = selected.columns.column_by_name(LANGUAGE_B) {
            let ids = self.with_second_language(&rows, languages)?;
            rows.columns.insert("example_id", ids);
        }
        let columns = self.table.schema.fields().iter().map(|field| rows.column(field.name()).clone()).collect();
        RecordBatch::try_new(self.table.schema.clone(), columns).map_err(|e| self.wrong_columns(place, e.to_string()))
    }

    /// The ids of `rows` with the second language of each before it: one of the task's.
    fn with_second_language(&self, rows: &Rows, languages: &ArrayRef) -> Result<ArrayRef, NormalizeError> {
        let wrong =
            |found: &str| format!("`{LANGUAGE_B}` is {found}; expected one of {}", self.terms.languages.join(" "));
        let Some(languages) = languages.as_string_opt::<i32>() else {
            return Err(self.wrong_columns(rows.place, wrong("no text")));
        };
        let ids = rows.text("example_id");
        let one = |row: usize| match languages.is_valid(row).then(|| languages.value(row)) {
            Some(code) if self.terms.languages.iter().any(|known| known == code) => Ok(join(code, ids.value(row))),
            Some(code) => Err(rows.wrong(row, wrong(&format!("`{code}`")))),
            None => Err(rows.wrong(row, wrong("null"))),
        };
        let joined = (0..ids.len()).map(one).collect::<Result<Vec<String>, _>>()?;
        Ok(Arc::new(StringArray::from_iter_values(joined)))
    }

    /// An error about the row at `index` of `rows`, which [`Self::assemble`] made of `selected`.
    pub(super) fn wrong(
        rows: &RecordBatch,
        selected: &Selected,
        place: Place,
        index: usize,
        message: String,
    ) -> NormalizeError {
        let columns = BTreeMap::from([("example_id", rows.column(0).clone())]);
        Rows { place, origin: &selected.rows, columns }.wrong(index, message)
    }

    fn wrong_columns(&self, place: Place, message: impl Into<String>) -> NormalizeError {
        NormalizeError::Columns {
            task: self.terms.id.to_owned(),
            format: self.terms.format.name(),
            path: place.path.to_owned(),
            message: message.into(),
        }
    }

    /// The canonical columns as the SQL gave them, with defaults for those it may leave out.
    fn take_columns<'t>(
        &'t self,
        selected: &Selected,
        place: Place,
    ) -> Result<BTreeMap<&'t str, ArrayRef>, NormalizeError> {
        let given = &selected.columns;
        let parts = self.terms.choices;
        let keys = KeyColumns::of(given.schema_ref());
        let known = |name: &str| {
            let own = self.table.schema.field_with_name(name).is_ok() || parts.iter().any(|part| part == name);
            own || (keys.has(name) && self.table.optional.iter().any(|field| field.name() == name))
        };
        if let Some(extra) = given.schema().fields().iter().find(|field| !known(field.name())) {
            let known = self.table.schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
            return Err(
                self.wrong_columns(place, format!("it has no column `{}`; its columns are {known}", extra.name()))
            );
        }
        let rows = given.num_rows();
        let mut columns = BTreeMap::new();
        for field in self.table.schema.fields() {
            let name = field.name().as_str();
            let column = match (given.column_by_name(name), name) {
                (Some(column), _) => column.clone(),
                (None, "choices") if !parts.is_empty() => self.gather(given, parts, place)?,
                (None, "example_id") => Arc::new(selected.rows.clone()) as ArrayRef,
                (None, "language") => {
                    // Files that no language tells apart are in English, as the datasets are that have such files.
                    let language = place.language.unwrap_or(SourceLanguage::DEFAULT);
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(language, rows)))
                }
                (None, "answerable") => match given.column_by_name("answer_texts").and_then(|c| c.as_list_opt::<i32>())
                {
                    Some(texts) => {
                        Arc::new((0..rows).map(|i| Some(texts.value_length(i) > 0)).collect::<BooleanArray>())
                    }
                    None => new_null_array(&DataType::Boolean, rows),
                },
                (None, _) if field.is_nullable() => new_null_array(field.data_type(), rows),
                (None, _) => {
                    return Err(
                        self.wrong_columns(place, format!("column `{name}` is missing; add it to the SELECT list"))
                    );
                }
            };
            columns.insert(name, column);
        }
        Ok(columns)
    }

    /// One list of the columns `parts`, row by row.
    fn gather(&self, given: &RecordBatch, parts: &[String], place: Place) -> Result<ArrayRef, NormalizeError> {
        let mut columns = Vec::with_capacity(parts.len());
        for part in parts {
            let column = given.column_by_name(part);
            let column = column.ok_or_else(|| {
                self.wrong_columns(place, format!("`choices` names column `{part}`, which the SELECT list lacks"))
            })?;
            columns.push(cast(column, &DataType::Utf8).map_err(|e| self.wrong_columns(place, e))?);
        }
        let order: Vec<(usize, usize)> =
            (0..given.num_rows()).flat_map(|row| (0..columns.len()).map(move |part| (part, row))).collect();
        let arrays: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        let values = interleave(&arrays, &order).map_err(|e| self.wrong_columns(place, e.to_string()))?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), given.num_rows()));
        let field = Arc::new(Field::new("item", DataType::Utf8, true));
        Ok(Arc::new(ListArray::new(field, offsets, values, None)))
    }

    /// The column for `field` in its type, with nulls only where they may be.
    fn conform(&self, rows: &Rows, field: &Field) -> Result<ArrayRef, NormalizeError> {
        let name = field.name().as_str();
        let column = rows.column(name);
        if !field.is_nullable()
            && let Some(index) = (0..column.len()).find(|&index| column.is_null(index))
        {
            return Err(rows.wrong(index, format!("column `{name}` must not be null")));
        }
        let numbered = !self.labels.is_empty() && matches!(name, "label" | "tags");
        // Casts work on whole columns; where one fails, the first row that fails alone is the one to name.
        let unfit = |fits: &dyn Fn(usize) -> bool, e: String| match (0..column.len()).find(|&index| !fits(index)) {
            Some(index) => rows.wrong(index, format!("column `{name}` is not {}: {e}", field.data_type())),
            None => self.wrong_columns(rows.place, format!("column `{name}` is not {}: {e}", field.data_type())),
        };
        let DataType::List(item) = field.data_type() else {
            let mut column = column.clone();
            if numbered && column.data_type().is_integer() {
                column = self.names(&column, |index| rows.wrong(index, self.no_such_number(name)))?;
            }
            let fits = |index| cast(&column.slice(index, 1), field.data_type()).is_ok();
            return cast(&column, field.data_type()).map_err(|e| unfit(&fits, e));
        };
        if column.data_type() == &DataType::Null {
            return Ok(new_null_array(field.data_type(), column.len()));
        }
        let list = column.as_list_opt::<i32>();
        let list = list.ok_or_else(|| self.wrong_columns(rows.place, format!("column `{name}` is not a list")))?;
        if let Some(index) = (0..list.len()).find(|&i| list.is_valid(i) && list.value(i).null_count() > 0) {
            return Err(rows.wrong(index, format!("column `{name}` holds a list with a null in it")));
        }
        let mut values = list.values().clone();
        if numbered && values.data_type().is_integer() {
            values = self.names(&values, |value| {
                let after = list.offsets().partition_point(|&begin| begin as usize <= value);
                rows.wrong(after.saturating_sub(1), self.no_such_number(name))
            })?;
        }
        let fits = |index| cast(&list.value(index), item.data_type()).is_ok();
        let values = cast(&values, item.data_type()).map_err(|e| unfit(&fits, e))?;
        let list = ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned());
        Ok(Arc::new(list.map_err(|e| self.wrong_columns(rows.place, format!("column `{name}`: {e}")))?))
    }

    fn no_such_number(&self, name: &str) -> String {
        format!("column `{name}` holds a number that is no index into the task's {} labels", self.labels.len())
    }

    /// Label numbers as label names.
    fn names(&self, numbers: &ArrayRef, wrong: impl Fn(usize) -> NormalizeError) -> Result<ArrayRef, NormalizeError> {
        let numbers = cast(numbers, &DataType::Int64).map_err(|_| wrong(0))?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let name = |(index, number): (usize, Option<i64>)| match number {
            None => Ok(None),
            Some(number) => {
                let label = usize::try_from(number).ok().and_then(|number| self.terms.labels.get(number));
                label.map(|label| Some(label.as_str())).ok_or_else(|| wrong(index))
            }
        };
        let names = numbers.iter().enumerate().map(name).collect::<Result<StringArray, _>>()?;
        Ok(Arc::new(names))
    }

    /// `answer_starts` in bytes; each answer must stand where it is said to.
    fn byte_starts(&self, rows: &Rows) -> Result<ArrayRef, NormalizeError> {
        let contexts = rows.text("context");
        let texts = rows.column("answer_texts").as_list::<i32>();
        let starts = rows.column("answer_starts").as_list::<i32>();
        let mut bytes = Vec::with_capacity(starts.values().len());
        let mut lengths = Vec::with_capacity(rows.origin.len());
        for index in 0..rows.origin.len() {
            let (texts, starts) = (texts.value(index), starts.value(index));
            let (texts, starts) = (texts.as_string::<i32>(), starts.as_primitive::<UInt32Type>());
            if texts.len() != starts.len() {
                let message = format!("{} answer texts, but {} starts", texts.len(), starts.len());
                return Err(rows.wrong(index, message));
            }
            let texts: Vec<&str> = texts.iter().map(Option::unwrap_or_default).collect();
            let found = answers::stand(contexts.value(index), &texts, starts.values(), self.answer_offsets);
            bytes.extend(found.map_err(|message| rows.wrong(index, message))?);
            lengths.push(texts.len());
        }
        let field = Arc::new(Field::new("item", DataType::UInt32, false));
        let values = Arc::new(UInt32Array::from(bytes));
        Ok(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, None)))
    }

    fn check(&self, rows: &Rows) -> Result<(), NormalizeError> {
        let (ids, languages) = (rows.text("example_id"), rows.text("language"));
        for index in 0..rows.origin.len() {
            if ids.value(index).is_empty() {
                return Err(rows.wrong(index, "its example_id is empty"));
            }
            let language = languages.value(index);
            if !self.terms.languages.iter().any(|known| known == language) {
                let known = self.terms.languages.join(" ");
                return Err(rows.wrong(index, format!("language `{language}` is none of the task's ({known})")));
            }
        }
        let texts: &[&str] = match self.terms.format {
            Format::Classification => &["text_a"],
            Format::PairClassification => &["text_a", "text_b"],
            Format::SpanExtraction => &["context", "question"],
            Format::SentenceRetrieval | Format::Text => &["text"],
            Format::MultipleChoice | Format::WordTagging => &[],
        };
        for name in texts {
            if let Some(index) = rows.text(name).iter().position(|text| text.is_none_or(|t| t.trim().is_empty())) {
                let message =
                    format!("column `{name}` is blank; take such rows out with WHERE if they are meant to be there");
                return Err(rows.wrong(index, message));
            }
        }
        match self.terms.format {
            Format::Classification | Format::PairClassification => self.check_labels(rows),
            Format::MultipleChoice => check_choices(rows),
            Format::SpanExtraction => check_answerable(rows),
            Format::WordTagging => self.check_tags(rows),
            Format::SentenceRetrieval => check_sides(rows),
            Format::Text => Ok(()),
        }
    }

    fn check_labels(&self, rows: &Rows) -> Result<(), NormalizeError> {
        if self.terms.open_labels {
            return Ok(());
        }
        for (index, label) in rows.text("label").iter().enumerate() {
            if let Some(label) = label.filter(|label| !self.labels.contains(label)) {
                let known = self.terms.labels.join(", ");
                return Err(rows.wrong(index, format!("label \"{label}\" is none of the task's ({known})")));
            }
        }
        Ok(())
    }

    fn check_tags(&self, rows: &Rows) -> Result<(), NormalizeError> {
        let (words, tags) = (rows.column("words").as_list::<i32>(), rows.column("tags").as_list::<i32>());
        for index in 0..rows.origin.len() {
            let sentence = words.value(index);
            if sentence.is_empty() {
                return Err(rows.wrong(index, "it has no words"));
            }
            if let Some(at) =
                sentence.as_string::<i32>().iter().position(|word| word.is_none_or(|w| w.trim().is_empty()))
            {
                return Err(rows.wrong(index, format!("word {} is blank", at + 1)));
            }
            if tags.is_null(index) {
                continue;
            }
            let tags = tags.value(index);
            if tags.len() != sentence.len() {
                return Err(rows.wrong(index, format!("{} words, but {} tags", sentence.len(), tags.len())));
            }
            let foreign = |tag: &&str| !self.terms.open_labels && !self.labels.contains(tag);
            let unknown = tags.as_string::<i32>().iter().flatten().find(foreign);
            if let Some(tag) = unknown {
                let known = self.terms.labels.join(", ");
                return Err(rows.wrong(index, format!("tag \"{tag}\" is none of the task's ({known})")));
            }
        }
        Ok(())
    }
}

fn check_choices(rows: &Rows) -> Result<(), NormalizeError> {
    let choices = rows.column("choices").as_list::<i32>();
    let labels = rows.column("label").as_primitive::<UInt32Type>();
    for (index, label) in labels.iter().enumerate() {
        let count = choices.value(index).len();
        if count < 2 {
            return Err(rows.wrong(index, format!("{count} choices, should be 2 or more")));
        }
        if let Some(label) = label.filter(|&label| label as usize >= count) {
            return Err(rows.wrong(index, format!("label {label} is no index into its {count} choices")));
        }
    }
    Ok(())
}

fn check_answerable(rows: &Rows) -> Result<(), NormalizeError> {
    let answers = rows.column("answer_texts").as_list::<i32>();
    for (index, answerable) in rows.column("answerable").as_boolean().iter().enumerate() {
        let has_answers = answers.value_length(index) > 0;
        if answerable != Some(has_answers) {
            let there = if has_answers { "has answers" } else { "has no answer" };
            return Err(rows.wrong(index, format!("it {there}, but `answerable` says otherwise")));
        }
    }
    Ok(())
}

fn check_sides(rows: &Rows) -> Result<(), NormalizeError> {
    let golds = rows.text("gold");
    for (index, side) in rows.text("side").iter().enumerate() {
        match side {
            Some("query") => {}
            Some("index") if golds.is_null(index) => {}
            Some("index") => return Err(rows.wrong(index, "a row of side `index` can't have `gold`")),
            _ => {
                let message = format!("side \"{}\" is neither `query` nor `index`", side.unwrap_or_default());
                return Err(rows.wrong(index, message));
            }
        }
    }
    Ok(())
}

/// `column` as `want`; a value that does not fit is an error, not a null.
fn cast(column: &ArrayRef, want: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, want, &options).map_err(|e| e.to_string())
}

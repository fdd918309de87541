//! The texts of a canonical batch, column by column.

use std::borrow::Cow;
use std::path::Path;

use arrow::array::{AsArray, ListArray, RecordBatch, StringArray};

use super::AuditError;
use super::fold::{Folder, Kind, sequence, text_hash};
use crate::error::Error;
use crate::schema;
use crate::shard::Columns;
use crate::task::Format;

/// The texts of a whole example, taken together, as a field.
pub(super) const EXAMPLE: &str = "example";

/// One text a row.
pub(super) struct TextColumn<'a> {
    /// The name of the field in tables.
    pub field: &'static str,
    /// Whether the texts are worth comparing on their own. (A choice such as "yes" is not.)
    pub alone: bool,
    /// A row's text; none where the row has none.
    pub texts: Vec<Option<Cow<'a, str>>>,
}

impl<'a> TextColumn<'a> {
    fn plain(field: &'static str, texts: &'a StringArray) -> Self {
        Self { field, alone: true, texts: texts.iter().map(|text| text.map(Cow::Borrowed)).collect() }
    }

    fn joined(field: &'static str, alone: bool, lists: &'a ListArray) -> Self {
        let values = lists.values().as_string::<i32>();
        let ranges = lists.offsets().windows(2).map(|pair| pair[0] as usize..pair[1] as usize);
        let join = |range: std::ops::Range<usize>| {
            let texts: Vec<&str> = range.map(|index| values.value(index)).collect();
            Some(Cow::Owned(texts.join(" ")))
        };
        Self { field, alone, texts: ranges.map(join).collect() }
    }

    fn side(field: &'static str, sides: &StringArray, texts: &'a StringArray) -> Self {
        let pick = |(side, text): (Option<&str>, Option<&'a str>)| text.filter(|_| side == Some(field));
        Self { field, alone: true, texts: sides.iter().zip(texts).map(pick).map(|t| t.map(Cow::Borrowed)).collect() }
    }
}

/// The texts of `batch`, a part of the canonical table `path` of `format`, in the order of the schema's columns.
pub(super) fn text_columns<'a>(
    format: Format,
    path: &'a Path,
    batch: &'a RecordBatch,
) -> Result<Vec<TextColumn<'a>>, Error> {
    schema::canonical(format)
        .check(batch)
        .map_err(|source| AuditError::Table { path: path.to_owned(), source: Box::new(source) })?;
    let columns = Columns::new(path, batch);
    let plain = |name: &'static str| columns.text(name).map(|texts| TextColumn::plain(name, texts));
    Ok(match format {
        Format::Classification => vec![plain("text_a")?],
        Format::PairClassification => vec![plain("text_a")?, plain("text_b")?],
        Format::MultipleChoice => {
            vec![plain("context")?, plain("question")?, TextColumn::joined("choices", false, columns.list("choices")?)]
        }
        Format::SpanExtraction => vec![plain("context")?, plain("question")?],
        Format::WordTagging => vec![TextColumn::joined("words", true, columns.list("words")?)],
        Format::SentenceRetrieval => {
            let (sides, texts) = (columns.text("side")?, columns.text("text")?);
            vec![TextColumn::side("query", sides, texts), TextColumn::side("index", sides, texts)]
        }
        Format::Text => vec![plain("text")?],
    })
}

/// Whether an example of `format` has several texts, so that [`EXAMPLE`] says more than its fields.
pub(super) fn has_example(format: Format) -> bool {
    matches!(format, Format::PairClassification | Format::MultipleChoice | Format::SpanExtraction)
}

/// Folds each text of `columns`, tells `each` its column, row, hash and folded words, and returns the hash of each row's
/// texts together. A text that stands in the row before as well, as the context of several questions does, is folded once,
/// and told with no words.
pub(super) fn fold_rows(
    columns: &[TextColumn],
    folder: &mut Folder,
    mut each: impl FnMut(&TextColumn, usize, u64, Option<&[u64]>),
) -> Vec<u64> {
    let rows = columns.first().map_or(0, |column| column.texts.len());
    let mut hashes = vec![0; rows * columns.len()];
    for (place, column) in columns.iter().enumerate() {
        let mut previous: Option<(&str, u64)> = None;
        for (row, text) in column.texts.iter().enumerate() {
            let Some(text) = text.as_deref() else { continue };
            let hash = match previous {
                Some((before, hash)) if text == before => {
                    each(column, row, hash, None);
                    hash
                }
                _ => {
                    let words = folder.fold(text);
                    let hash = text_hash(text, words);
                    each(column, row, hash, Some(words));
                    hash
                }
            };
            previous = Some((text, hash));
            hashes[row * columns.len() + place] = hash;
        }
    }
    hashes.chunks(columns.len().max(1)).map(|row| sequence(row.iter().copied(), Kind::Example)).collect()
}

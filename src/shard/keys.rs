//! Names of rows that have a second language in them.
//!
//! In a file each language is a column of its own: of an example in two languages `language_b` beside `example_id`; of a sentence
//! found among those of all languages `prediction_language` beside `prediction`. In memory a name is one text, so that whatever
//! joins, sorts and draws by names need not know: readers put the two together (`en/5a1`, `de:5a1`), writers take them apart.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};

use super::ShardError;

/// Which of these columns a file has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyColumns {
    /// Examples in two languages.
    pub language_b: bool,
    /// Sentences found among those of all languages.
    pub prediction_language: bool,
}

/// The column of a language, that of the name it belongs to, and what stands between the two in memory.
const COLUMNS: [(&str, &str, char); 2] =
    [(KeyColumns::LANGUAGE_B, "example_id", '/'), ("prediction_language", "prediction", ':')];

impl KeyColumns {
    /// The column of an example's second language.
    pub const LANGUAGE_B: &'static str = "language_b";

    /// Those of a file of this schema.
    pub fn of(schema: &Schema) -> Self {
        let has = |name: &str| schema.field_with_name(name).is_ok();
        Self { language_b: has(COLUMNS[0].0), prediction_language: has(COLUMNS[1].0) }
    }

    /// Those of a file of this schema that can be put together with their names: texts, like the names beside them.
    pub(super) fn joinable(schema: &Schema) -> Self {
        let is_text = |name: &str| schema.field_with_name(name).is_ok_and(|field| *field.data_type() == DataType::Utf8);
        let [language_b, prediction_language] = COLUMNS.map(|(language, name, _)| is_text(language) && is_text(name));
        Self { language_b, prediction_language }
    }

    /// Whether the column called `name` is one of them, and there.
    pub fn has(self, name: &str) -> bool {
        (self.language_b && name == COLUMNS[0].0) || (self.prediction_language && name == COLUMNS[1].0)
    }

    /// Their names, for readers that choose columns.
    pub fn names() -> [&'static str; 2] {
        COLUMNS.map(|(language, ..)| language)
    }
}

/// The name of an example whose second language is `language`.
pub fn join(language: &str, id: &str) -> String {
    format!("{language}{}{id}", COLUMNS[0].2)
}

/// The name of a sentence in `language` that was found among those of all languages.
pub fn join_found(language: &str, id: &str) -> String {
    format!("{language}{}{id}", COLUMNS[1].2)
}

/// `schema` of a file that has these columns as it is in memory.
pub(super) fn joined_schema(schema: &SchemaRef, keys: KeyColumns) -> SchemaRef {
    let kept = schema.fields().iter().filter(|field| !keys.has(field.name()));
    Arc::new(Schema::new_with_metadata(kept.cloned().collect::<Vec<FieldRef>>(), schema.metadata().clone()))
}

/// A batch of a file as it is in memory.
pub(super) fn joined(batch: RecordBatch) -> RecordBatch {
    let mut columns: Vec<(FieldRef, ArrayRef)> =
        batch.schema().fields().iter().cloned().zip(batch.columns().iter().cloned()).collect();
    for (language, name, between) in COLUMNS {
        let place = |wanted: &str, columns: &[(FieldRef, ArrayRef)]| {
            let is = |(field, column): &(FieldRef, ArrayRef)| {
                field.name() == wanted && column.as_string_opt::<i32>().is_some()
            };
            columns.iter().position(is)
        };
        let (Some(from), Some(to)) = (place(language, &columns), place(name, &columns)) else { continue };
        let (languages, names) = (columns[from].1.as_string::<i32>(), columns[to].1.as_string::<i32>());
        let one = |(language, name): (Option<&str>, Option<&str>)| match language {
            Some(language) => name.map(|name| format!("{language}{between}{name}")),
            None => name.map(str::to_owned),
        };
        let names: StringArray = languages.iter().zip(names).map(one).collect();
        columns[to].1 = Arc::new(names);
        columns.remove(from);
    }
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new_with_metadata(fields, batch.schema().metadata().clone()));
    RecordBatch::try_new(schema, columns).expect("every column has the batch's length")
}

/// A batch in memory as a batch of a file of `schema`.
pub(super) fn split(path: &Path, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ShardError> {
    let mut columns = batch.columns().to_vec();
    for (language, name, between) in COLUMNS {
        if schema.field_with_name(language).is_err() || batch.column_by_name(language).is_some() {
            continue;
        }
        let wrong = || ShardError::Column {
            path: path.to_owned(),
            column: name.to_owned(),
            expected: "utf8 with a language before each name",
        };
        let place = batch.schema().index_of(name).map_err(|_| wrong())?;
        let names = columns[place].as_string_opt::<i32>().ok_or_else(wrong)?;
        let parts: Option<Vec<(&str, &str)>> = names.iter().map(|name| name?.split_once(between)).collect();
        let (languages, names): (Vec<&str>, Vec<&str>) = parts.ok_or_else(wrong)?.into_iter().unzip();
        let (languages, names) = (StringArray::from(languages), StringArray::from(names));
        columns[place] = Arc::new(names);
        columns.push(Arc::new(languages));
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| ShardError::write(path, e.into()))
}

#[cfg(test)]
mod tests {
    use super::super::{Writer, read_as_filed, read_batches};
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn languages_stand_apart_in_files_and_before_names_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let own = Arc::new(Schema::new(vec![text("example_id"), text("prediction")]));
        let whole =
            Schema::new(vec![text("example_id"), text("prediction"), text("language_b"), text("prediction_language")]);
        let strings = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let rows =
            RecordBatch::try_new(own, vec![strings(["en/a/1", "de/a:2"]), strings(["zh:x/y", "fi:a:b"])]).unwrap();
        let mut writer = Writer::create(&path, &whole, &[]).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        let file = read_as_filed(&path).unwrap().next().unwrap().unwrap();
        let column = |name: &str| file[name].as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            (column("example_id"), column("language_b")),
            (vec!["a/1".into(), "a:2".into()], vec!["en".into(), "de".into()])
        );
        assert_eq!(
            (column("prediction"), column("prediction_language")),
            (vec!["x/y".into(), "a:b".into()], vec!["zh".into(), "fi".into()])
        );
        let mut batches = read_batches(&path).unwrap();
        assert_eq!(batches.keys(), KeyColumns { language_b: true, prediction_language: true });
        assert_eq!(batches.schema().fields(), rows.schema().fields());
        assert_eq!(batches.next().unwrap().unwrap().columns(), rows.columns());
        // A name without a language is not written.
        let bare = RecordBatch::try_new(rows.schema(), vec![strings(["a", "b"]), strings(["zh:x", "fi:a"])]).unwrap();
        let mut writer = Writer::create(&path, &whole, &[]).unwrap();
        assert!(writer.write(&bare).unwrap_err().to_string().contains("example_id"));
    }
}

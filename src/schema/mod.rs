//! The contract between stages, and with analysts: `schemas/*.json`, one table a file, with id and version.
//!
//! A stage writes batches of exactly the schema it declares ([`Table::check`]); the file's footer names it
//! ([`Table::metadata`]). A schema may not change without a new version.

mod error;
pub(crate) mod row;

pub use error::SchemaError;
pub use row::{Columnar, Scalar, TableRow, Unreadable};

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use serde::Deserialize;

use crate::task::Format;

const FILES: &[&str] = &[
    include_str!("../../schemas/classification.json"),
    include_str!("../../schemas/pair-classification.json"),
    include_str!("../../schemas/multiple-choice.json"),
    include_str!("../../schemas/span-extraction.json"),
    include_str!("../../schemas/word-tagging.json"),
    include_str!("../../schemas/sentence-retrieval.json"),
    include_str!("../../schemas/text.json"),
    include_str!("../../schemas/tokenized-classification.json"),
    include_str!("../../schemas/tokenized-multiple-choice.json"),
    include_str!("../../schemas/tokenized-span-extraction.json"),
    include_str!("../../schemas/tokenized-word-tagging.json"),
    include_str!("../../schemas/tokenized-sentence-retrieval.json"),
    include_str!("../../schemas/tokenized-text.json"),
    include_str!("../../schemas/embeddings.json"),
    include_str!("../../schemas/predictions.json"),
    include_str!("../../schemas/neighbours.json"),
    include_str!("../../schemas/mined-pairs.json"),
    include_str!("../../schemas/scores.json"),
    include_str!("../../schemas/summaries.json"),
    include_str!("../../schemas/example-scores.json"),
    include_str!("../../schemas/comparisons.json"),
    include_str!("../../schemas/aggregates.json"),
    include_str!("../../schemas/training-log.json"),
    include_str!("../../schemas/profiles.json"),
    include_str!("../../schemas/overlap.json"),
    include_str!("../../schemas/runs.json"),
    include_str!("../../schemas/results-keys.json"),
    include_str!("../../schemas/languages.json"),
    include_str!("../../schemas/reference.json"),
];

static TABLES: LazyLock<Vec<Table>> =
    LazyLock::new(|| FILES.iter().map(|text| Table::parse(text).expect("schemas/ is tested")).collect());

/// One table's contract.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name, the file's stem.
    pub id: String,
    /// Raised with every change.
    pub version: u32,
    /// What a row is.
    pub description: String,
    /// Columns that every file of the table has.
    pub schema: SchemaRef,
    /// Columns that a file may have after those.
    pub optional: Vec<FieldRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    id: String,
    version: u32,
    description: String,
    fields: Vec<FieldFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldFile {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    description: String,
    #[serde(default)]
    optional: bool,
}

/// The types that are not lists, as schemas name them.
const SCALARS: [(&str, DataType); 7] = [
    ("utf8", DataType::Utf8),
    ("bool", DataType::Boolean),
    ("int32", DataType::Int32),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
];

fn data_type(name: &str) -> Option<DataType> {
    if let Some(item) = name.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Some(DataType::List(Arc::new(Field::new("item", data_type(item)?, false))));
    }
    SCALARS.into_iter().find(|(known, _)| *known == name).map(|(_, data_type)| data_type)
}

/// The name that schemas have for a column's type; of others, Arrow's.
pub fn type_name(data_type: &DataType) -> String {
    if let DataType::List(item) = data_type {
        return format!("list<{}>", type_name(item.data_type()));
    }
    let known = SCALARS.into_iter().find(|(_, known)| known == data_type);
    known.map_or_else(|| data_type.to_string(), |(name, _)| name.to_owned())
}

/// What a column holds, as its schema tells.
pub fn described(field: &Field) -> &str {
    field.metadata().get("description").map_or("", String::as_str)
}

impl Table {
    fn parse(text: &str) -> Result<Self, SchemaError> {
        let file: TableFile = serde_json::from_str(text).map_err(|e| SchemaError::File(e.to_string()))?;
        let (mut fields, mut optional) = (Vec::new(), Vec::new());
        for field in file.fields {
            let data_type = data_type(&field.data_type)
                .ok_or_else(|| SchemaError::File(format!("{}: unknown type `{}`", file.id, field.data_type)))?;
            let description = ("description".to_owned(), field.description);
            let column = Field::new(field.name, data_type, field.nullable)
                .with_metadata(std::collections::HashMap::from([description]));
            if field.optional { optional.push(Arc::new(column)) } else { fields.push(column) }
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { id: file.id, version: file.version, description: file.description, schema, optional })
    }

    /// The schema of a file that has some of the optional columns as well.
    pub fn schema_with(&self, has: impl Fn(&str) -> bool) -> SchemaRef {
        let own = self.schema.fields().iter();
        let more = self.optional.iter().filter(|field| has(field.name()));
        Arc::new(Schema::new(own.chain(more).cloned().collect::<Vec<FieldRef>>()))
    }

    /// The footer entries that name this schema.
    pub fn metadata(&self) -> [(&'static str, String); 2] {
        [("trestle.schema", self.id.clone()), ("trestle.schema_version", self.version.to_string())]
    }

    /// Whether `batch` has exactly this table's columns, types and (where it is forbidden) no nulls.
    pub fn check(&self, batch: &RecordBatch) -> Result<(), SchemaError> {
        let found = batch.schema();
        for (index, want) in self.schema.fields().iter().enumerate() {
            let have = found.fields().get(index).filter(|have| have.name() == want.name());
            let Some(have) = have else {
                return Err(SchemaError::Column {
                    table: self.id.clone(),
                    column: want.name().clone(),
                    found: found.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "),
                });
            };
            if have.data_type() != want.data_type() {
                return Err(SchemaError::Type {
                    table: self.id.clone(),
                    column: want.name().clone(),
                    want: want.data_type().to_string(),
                    found: have.data_type().to_string(),
                });
            }
            if !want.is_nullable() && batch.column(index).null_count() > 0 {
                return Err(SchemaError::Null { table: self.id.clone(), column: want.name().clone() });
            }
        }
        let more = &found.fields()[self.schema.fields().len()..];
        for have in more {
            let Some(want) = self.optional.iter().find(|own| own.name() == have.name()) else {
                return Err(SchemaError::Extra { table: self.id.clone(), column: have.name().clone() });
            };
            if have.data_type() != want.data_type() {
                return Err(SchemaError::Type {
                    table: self.id.clone(),
                    column: want.name().clone(),
                    want: want.data_type().to_string(),
                    found: have.data_type().to_string(),
                });
            }
        }
        Ok(())
    }
}

/// The table called `id`.
///
/// # Panics
/// Where `schemas/` has no such file: ids are written in code, and a test looks up each.
pub fn table(id: &str) -> &'static Table {
    TABLES.iter().find(|table| table.id == id).expect("schemas/ holds every table that code names")
}

/// The canonical table of a format.
pub fn canonical(format: Format) -> &'static Table {
    table(format.name())
}

/// The tokenised table of a format.
pub fn tokenized(format: Format) -> &'static Table {
    match format {
        Format::Classification | Format::PairClassification => table("tokenized-classification"),
        Format::MultipleChoice => table("tokenized-multiple-choice"),
        Format::SpanExtraction => table("tokenized-span-extraction"),
        Format::WordTagging => table("tokenized-word-tagging"),
        Format::SentenceRetrieval => table("tokenized-sentence-retrieval"),
        Format::Text => table("tokenized-text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray};

    #[test]
    fn every_file_parses_and_every_format_has_its_tables() {
        for format in Format::ALL {
            assert_eq!(canonical(format).schema.field(0).name(), "example_id");
            assert_eq!(tokenized(format).schema.field(1).name(), "window");
        }
        for id in [
            "embeddings",
            "predictions",
            "scores",
            "summaries",
            "example-scores",
            "comparisons",
            "aggregates",
            "training-log",
            "profiles",
            "overlap",
        ] {
            assert!(table(id).version >= 1);
        }
    }

    #[test]
    fn types_have_one_name() {
        for name in ["utf8", "uint64", "list<float64>", "list<list<uint32>>"] {
            assert_eq!(type_name(&data_type(name).unwrap()), name);
        }
        assert_eq!(data_type("list<text>"), None);
    }

    #[test]
    fn summaries_describe_every_group() {
        let languages = crate::task::Languages::parse(include_str!("../../data/languages.toml"), "languages").unwrap();
        let known = ["en", "de"].map(|code| (code.to_owned(), languages.get(code).unwrap().traits())).into();
        let described = &table("summaries").schema.field_with_name("group").unwrap().metadata()["description"];
        // Descriptions are part of tables that are there: groups of studies from other languages are described elsewhere.
        for (source, text) in [("en", described.as_str()), ("de", include_str!("../../docs/analysis.md"))] {
            for group in crate::evaluate::groups(&["en", "de"], &known, &source.into()) {
                let kind = group.name.split_inclusive('=').next().unwrap();
                let trait_of = source != "en" && kind.ends_with('=');
                assert!(trait_of || text.contains(&format!("`{kind}`")), "{kind} is not in: {text}");
            }
        }
    }

    #[test]
    fn a_batch_of_another_shape_is_refused_with_the_column_named() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let batch = RecordBatch::try_from_iter([("example_id", text.clone()), ("tongue", text.clone())]).unwrap();
        let message = table("text").check(&batch).unwrap_err().to_string();
        assert!(message.contains("example_id"), "{message}");
        let full: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("example_id", full), ("tongue", text)]).unwrap();
        let message = table("text").check(&batch).unwrap_err().to_string();
        assert!(message.contains("language") && message.contains("tongue"), "{message}");
    }
}

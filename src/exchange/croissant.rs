//! Canonical tables with Croissant metadata: a folder that any tool of that standard opens.
//!
//! A task becomes a folder of one Parquet file a split (its languages one after the other; the rows have a column
//! `language`) and `croissant.json`: JSON-LD of Croissant 1.0 (<http://mlcommons.org/croissant/1.0>), with each file's sha256
//! and size, a record set a split, and a field a column, described in the words of `schemas/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ExchangeError;
use crate::error::IoContext;
use crate::schema::{self, Table};
use crate::shard::{Writer, read_batches};
use crate::task::{Split, Task};

/// Writes the canonical tables of `task` and their metadata into the directory `out`. `digest` is that of the artifact that the
/// tables come from.
pub fn write_croissant(
    task: &Task,
    tables: &[(Split, String, PathBuf)],
    digest: &str,
    out: &Path,
) -> Result<(), ExchangeError> {
    let table = schema::canonical(task.format);
    let mut splits: BTreeMap<Split, Vec<(&str, &Path)>> = BTreeMap::new();
    for (split, language, path) in tables {
        splits.entry(*split).or_default().push((language, path));
    }
    let (mut distribution, mut records) = (Vec::new(), Vec::new());
    for (split, parts) in &splits {
        let name = format!("{}.parquet", split.name());
        let path = out.join(&name);
        let metadata = table.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut writer = Writer::create(&path, &table.schema, &metadata)?;
        for (_, part) in parts {
            for batch in read_batches(part)? {
                let batch = batch?;
                let rows = table.check(&batch).map(|()| batch);
                writer.write(&rows.map_err(|e| ExchangeError::content(part, e.to_string()))?)?;
            }
        }
        writer.finish()?;
        let bytes = std::fs::metadata(&path).at("read", &path)?.len();
        let languages: Vec<&str> = parts.iter().map(|(language, _)| *language).collect();
        distribution.push(json!({
            "@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name,
            "description": format!("Split {split} in {}.", languages.join(", ")),
            "encodingFormat": "application/x-parquet", "contentSize": format!("{bytes} B"), "sha256": sha256(&path)?,
        }));
        records.push(record_set(table, split.name(), &name));
    }
    let metadata = json!({
        "@context": context(), "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": task.id, "description": description(task, table), "version": "1.0.0", "license": task.license,
        "citeAs": task.citation, "url": "./", "keywords": task.domain,
        "inLanguage": languages(tables), "alternateName": format!("{} ({})", task.id, &digest[..12.min(digest.len())]),
        "distribution": distribution, "recordSet": records,
    });
    let path = out.join("croissant.json");
    let text = serde_json::to_string_pretty(&metadata).unwrap_or_default() + "\n";
    Ok(std::fs::write(&path, text).at("write", &path)?)
}

fn languages(tables: &[(Split, String, PathBuf)]) -> Vec<&str> {
    let mut languages: Vec<&str> = tables.iter().map(|(_, language, _)| language.as_str()).collect();
    languages.sort_unstable();
    languages.dedup();
    languages
}

fn description(task: &Task, table: &Table) -> String {
    let mut text = format!("Task {} in Trestle's canonical form `{}`: {}", task.id, task.format, table.description);
    if !task.labels.is_empty() {
        let _ = write!(text, " Labels: {}.", task.labels.join(", "));
    }
    text
}

fn record_set(table: &Table, split: &str, file: &str) -> Value {
    let fields: Vec<Value> = table
        .schema
        .fields()
        .iter()
        .map(|field| {
            let mut described = json!({
                "@type": "cr:Field", "@id": format!("{split}/{}", field.name()), "name": field.name(),
                "description": field.metadata().get("description"), "dataType": data_type(field.data_type()),
                "source": {"fileObject": {"@id": file}, "extract": {"column": field.name()}},
            });
            if matches!(field.data_type(), DataType::List(_)) {
                described["repeated"] = json!(true);
            }
            described
        })
        .collect();
    json!({"@type": "cr:RecordSet", "@id": split, "name": split, "description": table.description, "field": fields})
}

/// The type of a column, or of a list's items, in schema.org's words.
fn data_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::List(item) => self::data_type(item.data_type()),
        DataType::Boolean => "sc:Boolean",
        DataType::Float32 | DataType::Float64 => "sc:Float",
        DataType::Int32 | DataType::UInt32 | DataType::UInt64 => "sc:Integer",
        _ => "sc:Text",
    }
}

fn sha256(path: &Path) -> Result<String, ExchangeError> {
    let mut file = std::fs::File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut HashWriter(&mut hasher)).at("read", path)?;
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A hash that bytes are copied into.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The context that Croissant 1.0 asks for.
fn context() -> Value {
    json!({
        "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
        "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
        "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
        "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
        "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
        "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
        "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
        "transform": "cr:transform", "samplingRate": "cr:samplingRate", "equivalentProperty": "cr:equivalentProperty",
    })
}

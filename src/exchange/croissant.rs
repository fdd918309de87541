//! Canonical tables with Croissant metadata: a folder that any tool of that standard opens.
//!
//! A task becomes a folder of one Parquet file a split (its languages one after the other; the rows have a column
//! `language`) and `croissant.json`: JSON-LD of Croissant 1.0 (<http://mlcommons.org/croissant/1.0>), with each file's sha256
//! and size, a record set a split, and a field a column, described in the words of `schemas/`. Licence, creator, date
//! and URL are what the task file says of the dataset: what it does not say is left out, though Croissant asks for it. Rows of the
//! mini edition are not that dataset's, and say so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ExchangeError;
use crate::error::IoContext;
use crate::schema::{self, Table};
use crate::shard::{Writer, keys_of, read_batches};
use crate::task::{Split, Task};

/// The canonical tables of a task.
pub struct CanonicalData<'a> {
    /// Split, language, file.
    pub tables: &'a [(Split, String, PathBuf)],
    /// The digest of all of them.
    pub digest: &'a str,
    /// Whether the rows are of the mini edition: in the layout of what the task file cites, but not by its authors.
    pub mini: bool,
}

/// Writes the canonical tables of `task` and their metadata into the directory `out`.
pub fn write_croissant(task: &Task, data: &CanonicalData<'_>, out: &Path) -> Result<(), ExchangeError> {
    let table = schema::canonical(task.format);
    let mut splits: BTreeMap<Split, Vec<(&str, &Path)>> = BTreeMap::new();
    for (split, language, path) in data.tables {
        splits.entry(*split).or_default().push((language, path));
    }
    let (mut distribution, mut records) = (Vec::new(), Vec::new());
    for (split, parts) in &splits {
        let name = format!("{}.parquet", split.name());
        let path = out.join(&name);
        let metadata = table.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let keys = parts.first().map(|(_, part)| keys_of(part)).transpose()?.unwrap_or_default();
        let mut writer = Writer::create(&path, &table.schema_with(|name| keys.has(name)), &metadata)?;
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
    let mut metadata = json!({
        "@context": context(), "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": task.id, "description": description(task, table, data.mini), "version": version(table, data.digest),
        "inLanguage": languages(data.tables), "distribution": distribution, "recordSet": records,
    });
    for (name, value) in if data.mini { facts_of_mini() } else { facts(task) } {
        metadata[name] = value;
    }
    let path = out.join("croissant.json");
    let text = serde_json::to_string_pretty(&metadata).unwrap_or_default() + "\n";
    Ok(std::fs::write(&path, text).at("write", &path)?)
}

/// The form is that of the schema; the content is another with each digest, which semantic versioning has as build metadata.
fn version(table: &Table, digest: &str) -> String {
    format!("{}.0.0+{}", table.version, &digest[..12.min(digest.len())])
}

/// What the task file says of the dataset; nothing where it says nothing.
fn facts(task: &Task) -> Vec<(&'static str, Value)> {
    // A URL is one as it is; other words are the name of a work.
    let is_url = task.license.starts_with("https://") || task.license.starts_with("http://");
    let license = if is_url { json!(task.license) } else { json!({"@type": "sc:CreativeWork", "name": task.license}) };
    let mut facts = vec![("license", license), ("keywords", json!(task.domain))];
    if !task.citation.is_empty() {
        facts.push(("citeAs", json!(task.citation)));
    }
    if !task.authors.is_empty() {
        let person = |name: &String| json!({"@type": "sc:Person", "name": name});
        facts.push(("creator", task.authors.iter().map(person).collect()));
    }
    if !task.published.is_empty() {
        facts.push(("datePublished", json!(task.published)));
    }
    match &task.source.hub {
        _ if !task.homepage.is_empty() => facts.push(("url", json!(task.homepage))),
        Some(hub) => facts.push(("url", json!(format!("https://huggingface.co/datasets/{}", hub.repo)))),
        None => (),
    }
    facts
}

/// The mini edition's text and licence are Trestle's own, whatever the task file says of the original.
fn facts_of_mini() -> Vec<(&'static str, Value)> {
    vec![
        ("license", json!("https://spdx.org/licenses/Apache-2.0")),
        ("creator", json!({"@type": "sc:Organization", "name": "Trestle"})),
    ]
}

fn languages(tables: &[(Split, String, PathBuf)]) -> Vec<&str> {
    let mut languages: Vec<&str> = tables.iter().map(|(_, language, _)| language.as_str()).collect();
    languages.sort_unstable();
    languages.dedup();
    languages
}

fn description(task: &Task, table: &Table, mini: bool) -> String {
    let mut text = if mini { "Invented text of Trestle's mini edition. ".to_owned() } else { String::new() };
    let _ = write!(text, "Task {} in Trestle's canonical form `{}`: {}", task.id, task.format, table.description);
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
    // What `schemas/` says to be unique within a split.
    let key = ["language", "example_id"].map(|name| json!({"@id": format!("{split}/{name}")}));
    json!({
        "@type": "cr:RecordSet", "@id": split, "name": split, "description": table.description, "key": key, "field": fields,
    })
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

/// The context that Croissant 1.0 asks for. Names and descriptions are in English, whatever the data are in.
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

//! What an artifact is: the parts of its key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{FileError, IoContext};

/// A blake3 hash in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// The key that is written `text`, in a table of results.
    pub(super) fn written(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12.min(self.0.len())]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One input of a stage: the digest of its content and, where it is an artifact, which one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// blake3 of the content.
    pub digest: String,
    /// The stage that made it; absent for files from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The artifact's key; absent for files from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

impl Input {
    /// A file from outside the store.
    pub fn external(digest: String) -> Self {
        Self { digest, stage: None, key: None }
    }
}

/// Everything that can change a stage's output, and a label for people (which can't, and is not in the key).
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The stage's name.
    pub stage: String,
    /// Raised whenever the stage's code changes its output for the same parameters and inputs.
    pub version: u32,
    /// Which place in a study it has, for people and for [`super::History::explain`]: `target xnli after mnli, seed 1`.
    pub label: String,
    /// All parameters. Nothing that can't be written as JSON may be one.
    pub parameters: Value,
    /// All inputs by name.
    pub inputs: BTreeMap<String, Input>,
}

impl Identity {
    /// blake3 of stage, version, parameters and the digests of the inputs.
    pub fn key(&self) -> Key {
        let inputs: serde_json::Map<String, Value> =
            self.inputs.iter().map(|(name, input)| (name.clone(), Value::from(input.digest.clone()))).collect();
        let whole = serde_json::json!({
            "stage": self.stage, "version": self.version, "parameters": self.parameters, "inputs": inputs,
        });
        Key(digest_bytes(canonical_json(&whole).as_bytes()))
    }
}

/// JSON with object keys sorted and no white space, so that equal values have equal bytes.
fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical_json(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", items.join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// blake3 of `bytes`, in hexadecimal.
pub fn digest_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// blake3 of a file's content, in hexadecimal, read in pieces.
pub fn digest_file(path: &Path) -> Result<String, FileError> {
    let file = std::fs::File::open(path).at("open", path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).at("read", path)?;
    Ok(hasher.finalize().to_hex().to_string())
}

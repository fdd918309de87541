//! Models into directories.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::safetensors;
use super::{HEADS_FILE, HEADS_LIST, MODEL_FILE};
use crate::error::IoContext;
use crate::model::ModelError;
use crate::model::heads::{HeadSpec, Model};
use crate::model::layers::Slot;

/// Writes the model into `directory`, which must exist.
///
/// # Errors
/// When a file can't be written or the device fails to hand over a parameter.
pub fn save(model: &Model, directory: &Path) -> Result<(), ModelError> {
    save_in_shards(model, directory, u64::MAX)
}

/// As [`save`], with the encoder (and a single head) spread over files of at most `shard_size` bytes of parameters each, as far
/// as parameters are not larger by themselves: `model-00001-of-00003.safetensors`, with `model.safetensors.index.json`. What
/// fits into one file is one file, as transformers has it.
///
/// # Errors
/// As [`save`].
pub fn save_in_shards(model: &Model, directory: &Path, shard_size: u64) -> Result<(), ModelError> {
    write_config(model, directory)?;
    let mut model = model.clone();
    let mut encoder = Vec::new();
    let mut heads = Vec::new();
    for (name, slot) in model.parameters() {
        let target = if name.contains('/') { &mut heads } else { &mut encoder };
        target.push((name, slot));
    }
    write_shards(directory, encoder, shard_size)?;
    if !heads.is_empty() {
        safetensors::write(&directory.join(HEADS_FILE), heads)?;
    }
    if !model.heads.is_empty() {
        let specs: Vec<&HeadSpec> = model.heads.iter().map(|head| &head.spec).collect();
        write_json(&directory.join(HEADS_LIST), &json!(specs))?;
    }
    Ok(())
}

/// `config.json` with the class and the labels that transformers needs for a single head, or for the encoder by itself.
fn write_config(model: &Model, directory: &Path) -> Result<(), ModelError> {
    let mut config = model.encoder.config.clone();
    let class = config.model_type.class();
    config.architectures = match model.heads.as_slice() {
        [only] => vec![format!("{class}{}", only.spec.kind.class())],
        _ => vec![format!("{class}Model")],
    };
    config.id2label.clear();
    config.label2id.clear();
    if let [only] = model.heads.as_slice() {
        for (index, label) in only.spec.labels.iter().enumerate() {
            config.id2label.insert(index.to_string(), label.clone());
            config.label2id.insert(label.clone(), index as u32);
        }
    }
    config.write(directory)
}

fn write_shards(directory: &Path, parameters: Vec<(String, Slot<'_>)>, shard_size: u64) -> Result<(), ModelError> {
    let mut shards: Vec<Vec<(String, Slot<'_>)>> = vec![Vec::new()];
    let (mut numbers, mut in_shard) = (0, 0);
    for (name, slot) in parameters {
        let count = slot.shape().iter().product::<usize>() as u64;
        if in_shard > 0 && (in_shard + count) * 4 > shard_size {
            shards.push(Vec::new());
            in_shard = 0;
        }
        in_shard += count;
        numbers += count;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, slot));
        }
    }
    let count = shards.len();
    if count == 1 {
        return shards.into_iter().try_for_each(|shard| safetensors::write(&directory.join(MODEL_FILE), shard));
    }
    let mut places = BTreeMap::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{count:05}.safetensors", number + 1);
        places.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone())));
        safetensors::write(&directory.join(&file), shard)?;
    }
    let index = json!({"metadata": {"total_parameters": numbers, "total_size": numbers * 4}, "weight_map": places});
    write_json(&directory.join("model.safetensors.index.json"), &index)
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), ModelError> {
    let text = format!("{value:#}\n");
    std::fs::write(path, text).at("write", path)?;
    Ok(())
}

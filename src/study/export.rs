//! A trained model as a Hugging Face directory, with its tokenizer and a card that says where it comes from.

use std::path::Path;

use serde_json::{Value, json};

use super::StudyError;
use super::artifacts::{Kind, ModelDir, TokenizerFile, input, outcome, request};
use super::stage::train::{self, Train};
use crate::error::{FileError, IoContext, Result};
use crate::exchange::OutputDir;
use crate::model::weights::{Exported, ExportedHead, export as export_weights};
use crate::model::{Architecture, HeadKind};
use crate::store::{Artifact, Manifest, Store};
use crate::task::Registry;
use crate::tokenize::Tokenizer;

/// What to export, and how.
#[derive(Debug, Clone)]
pub struct ExportRequest<'a> {
    /// The artifact of a training.
    pub artifact: &'a Artifact,
    /// Which of its heads.
    pub head: ExportedHead,
    /// The directory to write, which must not exist.
    pub output: &'a Path,
    /// Most bytes of parameters in one weights file.
    pub shard_size: u64,
}

/// Writes a model directory that transformers loads unchanged: `config.json`, weights, `tokenizer.json` with
/// `tokenizer_config.json`, and a model card. The directory appears whole or not at all.
///
/// # Errors
/// When the artifact is no training's, its head is not there or not chosen, its tokenizer is not in the store, `output` exists,
/// or a file can't be read or written.
pub fn export(request: &ExportRequest, store: &Store, registry: &Registry) -> Result<Exported> {
    let manifest = &request.artifact.manifest;
    if !ModelDir::is(request.artifact) {
        return Err(StudyError::NoModel { label: manifest.label.clone(), stage: manifest.stage.clone() }.into());
    }
    let tokenizer = input(store, manifest, "tokenizer")?;
    let tokenizer = TokenizerFile::of(&tokenizer)?.path();
    let output = OutputDir::create(request.output)?;
    let dir = output.path();
    let exported = export_weights(&request.artifact.dir, &request.head, dir, request.shard_size)?;
    let copy = dir.join("tokenizer.json");
    std::fs::copy(&tokenizer, &copy).at("copy", &tokenizer)?;
    let inputs_of_model = match exported.config.model_type {
        Architecture::Bert => vec!["input_ids", "token_type_ids", "attention_mask"],
        Architecture::XlmRoberta => vec!["input_ids", "attention_mask"],
    };
    let settings = Tokenizer::load(&copy)?.transformers_config(exported.config.max_positions(), &inputs_of_model)?;
    write(&dir.join("tokenizer_config.json"), &format!("{settings:#}\n"))?;
    write(&dir.join("README.md"), &card(manifest, &exported, store, registry)?)?;
    output.finish()?;
    Ok(exported)
}

fn write(path: &Path, text: &str) -> Result<(), FileError> {
    std::fs::write(path, text).at("write", path)
}

/// The model card: what the model is, and everything that it was made from.
fn card(manifest: &Manifest, exported: &Exported, store: &Store, registry: &Registry) -> Result<String> {
    let class = exported.config.model_type.class();
    let class = exported.head.as_ref().map_or(format!("{class}Model"), |head| format!("{class}{}", head.kind.class()));
    let mut text = String::from("---\nlibrary_name: transformers\ntags:\n- trestle\n---\n\n");
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(&format!("# {}\n", manifest.label));
    match &exported.head {
        Some(head) => {
            let labels = match head.kind {
                HeadKind::SequenceClassification | HeadKind::TokenClassification => {
                    format!(", with {} labels", head.labels.len())
                }
                _ => String::new(),
            };
            line(&format!("`{class}`: encoder and the head for task `{}`{labels}.", head.task));
        }
        None => line(&format!("`{class}`: the encoder without a head.")),
    }
    if exported.head.is_none() && !exported.pooler {
        line("It has no pooler: load it with `AutoModel.from_pretrained(…, add_pooling_layer=False)`.");
    }
    line("Trained and exported by Trestle. Parameters are f32.\n");
    line("## Where it comes from\n");
    // The trainings from the last to the first, each with what it added.
    let mut steps = vec![manifest.clone()];
    while let Some(last) = steps.last()
        && last.inputs.contains_key("parent")
    {
        let parent = input(store, last, "parent")?.manifest;
        steps.push(parent);
    }
    for (number, step) in steps.iter().rev().enumerate() {
        line(&format!("{}. `{}`\n", number + 1, step.label));
        for (name, value) in facts(step, registry)? {
            line(&format!("   - {name}: {value}"));
        }
        for (name, input) in step.inputs.iter().filter(|(name, _)| *name != "parent") {
            line(&format!("   - input {name}: content blake3 `{}`", input.digest));
        }
        line("");
    }
    let newest = &manifest.key;
    line(&format!("Within the store that it was made in, `trestle explain {}` shows all of this.", newest.short()));
    Ok(text)
}

/// What a training's manifest says of it, by name.
fn facts(step: &Manifest, registry: &Registry) -> Result<Vec<(&'static str, String)>> {
    let train::Request { phase, tasks, hyperparameters, seed, encoder, device } = request::<Train>(step)?;
    let outcome = outcome::<Train>(step)?;
    let mut facts = vec![("key", format!("`{}`", step.key)), ("code", format!("trestle {}", step.tool_version))];
    let named = |task: &train::TrainedTask| {
        let license = registry.task(&task.id, "a model card").map(|task| task.license.clone());
        let license = license.map_or(String::new(), |license| format!("; licence {license}"));
        format!("`{}` ({}{license})", task.id, task.format)
    };
    facts.push(("tasks", tasks.iter().map(named).collect::<Vec<_>>().join(", ")));
    let quoted = |value: Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    facts.push(("phase", quoted(json!(phase))));
    facts.push(("seed", quoted(json!(seed))));
    if encoder != train::Parameters::Parent {
        facts.push(("encoder", quoted(json!(encoder))));
    }
    facts.push(("device", quoted(json!(device))));
    facts.push(("hyperparameters", quoted(json!(hyperparameters))));
    facts.push(("steps", outcome.steps.to_string()));
    facts.extend(outcome.best_step.map(|step| ("step that was kept", step.to_string())));
    facts.extend(outcome.best_score.map(|score| ("its development score", json!(score).to_string())));
    Ok(facts)
}

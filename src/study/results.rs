//! From a finished graph to what the report needs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::artifacts::{Kind, Predictions, Scores, TokenizerFile};
use super::graph::{Graph, GridCell};
use super::label::Label;
use super::stage::{Setup, StageName};
use crate::error::Result;
use crate::report::{Cell, ResultsTable, StudyFile, StudyResults};
use crate::store::Artifact;

/// The cells of `graph` whose predictions and scores are among `artifacts`, and what is known of its data.
pub fn collect(setup: &Setup, graph: &Graph, artifacts: &[Option<Artifact>]) -> Result<StudyResults> {
    let mut cells = Vec::new();
    for cell in &graph.cells {
        if let (Some(predict), Some(score)) = (&artifacts[cell.predict], &artifacts[cell.score]) {
            cells.push(one(setup, graph, artifacts, cell, predict, score)?);
        }
    }
    // Files by table, then by the place in the study of what made them.
    let mut files: BTreeMap<ResultsTable, BTreeMap<String, StudyFile>> = BTreeMap::new();
    for (node, artifact) in graph.nodes.iter().zip(artifacts) {
        let Some(artifact) = artifact else { continue };
        for table in ResultsTable::of_study() {
            let name = table.file_name();
            if artifact.manifest.files.iter().any(|file| file.path == name) {
                let file = StudyFile { key: artifact.manifest.key.to_string(), path: artifact.dir.join(name) };
                files.entry(table).or_default().insert(node.label.to_string(), file);
            }
        }
    }
    let tables = files.into_iter().map(|(table, files)| (table, files.into_values().collect())).collect();
    let code_version = env!("TRESTLE_VERSION").to_owned();
    Ok(StudyResults { study: setup.study.clone(), tables, cells, code_version })
}

fn one(
    setup: &Setup,
    graph: &Graph,
    artifacts: &[Option<Artifact>],
    cell: &GridCell,
    predict: &Artifact,
    score: &Artifact,
) -> Result<Cell> {
    let task = setup.registry.task(&cell.target, &format!("study {}", setup.study.id))?;
    let training = |node: &usize| Some((graph.nodes[*node].label.phase()?.name(), artifacts[*node].as_ref()?));
    let trainings: Vec<(&str, &Artifact)> = cell.trainings.iter().filter_map(training).collect();
    // Everything upstream of the score: data keys, and the tokenizer's digest.
    let label = &graph.nodes[cell.score].label;
    let mut data_keys = BTreeMap::new();
    let mut tokenizer_digest = String::new();
    for index in graph.closure(|node| node.label == *label) {
        let (node, Some(artifact)) = (&graph.nodes[index], &artifacts[index]) else { continue };
        match &node.label {
            Label::Generate(_) | Label::Normalize(_) | Label::Tokenize(_) => {
                data_keys.insert(node.label.to_string(), artifact.manifest.key.to_string());
                // Raw files that no stage made, by BLAKE3 digest; a file from the hub is named as in the lock file.
                for (name, input) in artifact.manifest.inputs.iter().filter(|(name, _)| name.starts_with("raw:")) {
                    data_keys.insert(name.clone(), input.digest.clone());
                }
            }
            Label::Tokenizer => tokenizer_digest = TokenizerFile::of(artifact)?.digest().to_owned(),
            _ => {}
        }
    }
    // A search knows no model: what embedded its sentences does.
    let embed = graph.nodes[cell.predict].needs.get("embeddings").and_then(|node| artifacts[*node].as_ref());
    let is_model = predict.manifest.stage != StageName::Baseline.name();
    let (predictions, scores) = (Predictions::of(predict)?, Scores::of(score)?);
    let phases: serde_json::Map<String, Value> = trainings
        .iter()
        .map(|(phase, artifact)| {
            let described = json!({
                "key": artifact.manifest.key, "parameters": artifact.manifest.parameters,
                "statistics": artifact.manifest.statistics,
            });
            ((*phase).to_owned(), described)
        })
        .collect();
    Ok(Cell {
        study: setup.study.id.clone(),
        target: cell.target.clone(),
        row: cell.row.clone(),
        seed: cell.seed,
        metric: task.metric.map_or(&[], |metric| metric.headline()),
        edition: Some(setup.study.edition),
        layer: setup.headline_setting(task).map(|(layer, _)| layer).filter(|_| is_model),
        score_dir: scores.dir().to_owned(),
        predictions: predictions.tables(),
        training_logs: trainings
            .iter()
            .map(|(phase, artifact)| ((*phase).to_owned(), artifact.dir.join("training_log.parquet")))
            .collect(),
        predict_key: predict.manifest.key.to_string(),
        score_key: score.manifest.key.to_string(),
        model_key: match (trainings.last(), is_model) {
            (Some((_, artifact)), true) => artifact.manifest.key.to_string(),
            // An encoder from outside, used as it is: the digest of its weights.
            (None, true) => embed
                .unwrap_or(predict)
                .manifest
                .inputs
                .iter()
                .find(|(name, _)| name.starts_with("encoder:") && !name.ends_with(".json"))
                .map(|(_, input)| input.digest.clone())
                .unwrap_or_default(),
            (_, false) => String::new(),
        },
        tokenizer_digest: if is_model { tokenizer_digest } else { String::new() },
        data_keys,
        parameters: json!({
            "embed": embed.map(|artifact| &artifact.manifest.parameters), "predict": predict.manifest.parameters, "score": score.manifest.parameters,
            "model": setup.model, "trainings": phases,
        }),
    })
}

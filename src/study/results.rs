//! From a finished graph to what the report needs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::graph::{Graph, GridCell, Work};
use super::stage::{Setup, prediction_tables};
use crate::error::Result;
use crate::report::{Cell, DataTable, StudyResults};
use crate::store::Artifact;

/// The cells of `graph` whose predictions and scores are among `artifacts`, and what is known of its data.
pub fn collect(setup: &Setup, graph: &Graph, artifacts: &[Option<Artifact>]) -> Result<StudyResults> {
    let mut cells = Vec::new();
    for cell in &graph.cells {
        if let (Some(predict), Some(score)) = (&artifacts[cell.predict], &artifacts[cell.score]) {
            cells.push(one(setup, graph, artifacts, cell, predict, score)?);
        }
    }
    let mut profiles = BTreeMap::new();
    let (mut overlap, mut comparisons, mut aggregates) = (None, None, None);
    for (node, artifact) in graph.nodes.iter().zip(artifacts) {
        let Some(artifact) = artifact else { continue };
        let table = |name: &str| DataTable { key: artifact.manifest.key.to_string(), path: artifact.dir.join(name) };
        match &node.work {
            Work::Profile { task } => drop(profiles.insert(task.clone(), table("profiles.parquet"))),
            Work::Overlap { .. } => overlap = Some(table("overlap.parquet")),
            Work::Analyze { .. } => {
                comparisons = Some(table("comparisons.parquet"));
                aggregates = Some(table("aggregates.parquet"));
            }
            _ => {}
        }
    }
    let code_version = env!("TRESTLE_VERSION").to_owned();
    Ok(StudyResults { study: setup.study.clone(), profiles, overlap, comparisons, aggregates, cells, code_version })
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
    let trainings: Vec<(&str, &Artifact)> =
        cell.trainings.iter().filter_map(|(phase, node)| Some((phase.name(), artifacts[*node].as_ref()?))).collect();
    // Everything upstream of the score: data keys, and the tokenizer's digest.
    let label = &graph.nodes[cell.score].label;
    let mut data_keys = BTreeMap::new();
    let mut tokenizer_digest = String::new();
    for index in graph.closure(|node| node.label == *label) {
        let (node, Some(artifact)) = (&graph.nodes[index], &artifacts[index]) else { continue };
        match node.work.stage() {
            "generate" | "normalize" | "compose" | "tokenize" => {
                data_keys.insert(node.label.clone(), artifact.manifest.key.to_string());
                // Raw files that no stage made, by BLAKE3 digest; a file from the hub is named as in the lock file.
                for (name, input) in artifact.manifest.inputs.iter().filter(|(name, _)| name.starts_with("raw:")) {
                    data_keys.insert(name.clone(), input.digest.clone());
                }
            }
            "tokenizer" => {
                let file = artifact.manifest.files.iter().find(|file| file.path == "tokenizer.json");
                tokenizer_digest = file.map(|file| file.blake3.clone()).unwrap_or_default();
            }
            _ => {}
        }
    }
    // A search knows no model: what embedded its sentences does.
    let embed = graph.nodes[cell.predict].needs.get("embeddings").and_then(|node| artifacts[*node].as_ref());
    let is_model = !predict.manifest.stage.starts_with("baseline");
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
        intermediate: cell.intermediate.clone(),
        seed: cell.seed,
        metric: task.metric.map_or(&[], |metric| metric.headline()),
        edition: Some(setup.study.edition),
        layer: setup.headline_setting(task).layer.filter(|_| is_model),
        scores: score.dir.join("scores.parquet"),
        summaries: score.dir.join("summaries.parquet"),
        example_scores: score.dir.join("example-scores.parquet"),
        predictions: prediction_tables(predict),
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

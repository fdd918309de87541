//! Finds out what a study's estimate of costs rests on: the mini edition's options, the encoder's sizes, what the store holds.

use super::artifacts::outcome;
use super::estimate::{Basis, Done, Known, Outlook, outlook};
use super::graph::{Graph, Node};
use super::stage::{Raw, Setup, Work, generate, tokenize, tokenizer, train};
use crate::error::Result;
use crate::model::EncoderConfig;
use crate::source::mini::MiniOptions;
use crate::store::Artifact;
use crate::task::{EncoderSizes, EncoderSource, Split, TokenizerSource};

/// Entries of XLM-R's vocabulary: those of a tokenizer that is a file, until it was read.
const VOCABULARY: usize = 250_002;

/// What every stage of `graph` will cost, or has cost; `artifacts` are those that [`super::inspect()`] found, and `speed` is a device's, in
/// floating-point operations a second.
///
/// # Errors
/// A manifest of another version of its stage.
pub fn cost(setup: &Setup, graph: &Graph, artifacts: &[Option<Artifact>], speed: Option<f64>) -> Result<Outlook> {
    let mini = graph.nodes.iter().find_map(|node| match &node.work {
        Work::Generate(generate::Request { options, .. }) => Some(options.clone()),
        _ => None,
    });
    let mini = matches!(setup.raw, Raw::Mini).then(|| mini.unwrap_or_else(MiniOptions::default));
    let known = Known {
        registry: setup.registry,
        study: setup.study,
        model: setup.model,
        mini,
        encoder: encoder(setup, graph, artifacts),
    };
    let done = graph.nodes.iter().zip(artifacts);
    let done = done.map(|(node, artifact)| artifact.as_ref().map(|artifact| self::done(node, artifact)).transpose());
    let done = done.collect::<Result<Vec<_>>>()?;
    Ok(outlook(&known, graph, &done, speed))
}

/// The encoder's sizes: its own configuration where that is here, else the model file's.
fn encoder(setup: &Setup, graph: &Graph, artifacts: &[Option<Artifact>]) -> Option<(EncoderSizes, Basis)> {
    let declared = setup.model.sizes.map(|sizes| (sizes, Basis::Published));
    let directory = match (&setup.model.encoder, &setup.raw) {
        (EncoderSource::FromScratch(sizes), _) => {
            let (vocabulary, basis) = vocabulary(setup, graph, artifacts);
            return Some((EncoderSizes::of_scratch(sizes, vocabulary), basis));
        }
        (EncoderSource::Directory(directory), _) => Some(directory.clone()),
        (EncoderSource::Hub { repo, revision }, Raw::Hub(hub)) => hub.model_dir(repo, revision).ok(),
        (EncoderSource::Hub { .. }, _) => None,
    };
    let config = directory.and_then(|directory| EncoderConfig::read(&directory).ok());
    config.map(|config| (EncoderSizes::of_config(&config), Basis::Measured)).or(declared)
}

/// How many entries the tokenizer has.
fn vocabulary(setup: &Setup, graph: &Graph, artifacts: &[Option<Artifact>]) -> (usize, Basis) {
    let made = graph.nodes.iter().zip(artifacts).find(|(node, _)| matches!(node.work, Work::Tokenizer(())));
    let made = made.and_then(|(_, artifact)| outcome::<tokenizer::Tokenizer>(&artifact.as_ref()?.manifest).ok());
    let made = made.map(|outcome| outcome.vocabulary());
    match (made, &setup.model.tokenizer) {
        (Some(entries), _) => (entries, Basis::Measured),
        (None, TokenizerSource::Train { vocabulary, .. }) => (*vocabulary as usize, Basis::Generated),
        (None, _) => (VOCABULARY, Basis::Assumed),
    }
}

/// What the artifact of `node` holds, from its manifest.
fn done(node: &Node, artifact: &Artifact) -> Result<Done> {
    let manifest = &artifact.manifest;
    let rows = manifest.files.iter().filter_map(|file| {
        let mut parts = file.path.split('/');
        let split = Split::named(parts.next()?.strip_prefix("split=")?)?;
        Some(((split, parts.next()?.strip_prefix("language=")?.to_owned()), file.rows?))
    });
    let mut done = Done {
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        seconds: manifest.seconds,
        rows: rows.collect(),
        ..Done::default()
    };
    match node.work {
        Work::Tokenize(_) => {
            let counts = outcome::<tokenize::Tokenize>(manifest)?.tables.into_iter();
            done.tokens = counts.map(|t| ((t.split, t.language), (t.instances, t.tokens))).collect();
        }
        Work::Train(_) => done.steps = Some(outcome::<train::Train>(manifest)?.steps),
        _ => {}
    }
    Ok(done)
}

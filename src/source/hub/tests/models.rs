//! Model repositories.

use super::*;

const INDEX: &str = "model.safetensors.index.json";

/// A hub with the model `o/model`; files named like weights are large.
fn with(files: &[(&str, &str)]) -> HubServer {
    let server = HubServer::start();
    for (path, text) in files {
        let large = path.ends_with(".safetensors") || path.ends_with(".bin");
        server.add("models/o/model", path, text.as_bytes(), large);
    }
    server
}

fn index(shards: &[&str]) -> String {
    let places: BTreeMap<String, &str> =
        shards.iter().enumerate().map(|(number, shard)| (format!("p{number}"), *shard)).collect();
    serde_json::json!({ "weight_map": places }).to_string()
}

/// The names of the files in the model's directory.
fn names(hub: &Hub) -> Result<Vec<String>, SourceError> {
    let dir = hub.model_dir("o/model", "main")?;
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    Ok(names)
}

#[test]
fn a_model_becomes_a_directory() {
    let files = [("config.json", "{}"), ("model.safetensors", "weights"), ("tokenizer.json", "{\"a\": 1}")];
    let (place, server) = (Place::new(), with(&files));
    let dir = place.at(&server).model_dir("o/model", "main").unwrap();
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), text);
    }
    assert_eq!(place.hub(&server.endpoint, |o| o.offline = true).model_dir("o/model", "main").unwrap(), dir);
    assert!(place.lock().contains("kind = \"model\""));
}

#[test]
fn of_several_kinds_of_weights_one_is_fetched() {
    let shards = index(&["model-1.safetensors", "model-2.safetensors"]);
    let mut files = vec![
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("pytorch_model.bin", "zip"),
        (INDEX, shards.as_str()),
        ("model-1.safetensors", "1"),
        ("model-2.safetensors", "2"),
        ("model.safetensors", "whole"),
        ("model-3.safetensors", "of nobody"),
    ];
    let took = |files: &[(&str, &str)]| names(&Place::new().at(&with(files))).unwrap();
    assert_eq!(took(&files), ["config.json", "model.safetensors", "tokenizer.json"]);
    files.retain(|(name, _)| *name != "model.safetensors");
    assert_eq!(took(&files), ["config.json", "model-1.safetensors", "model-2.safetensors", INDEX, "tokenizer.json"]);
    files.retain(|(name, _)| *name != INDEX);
    assert_eq!(took(&files), ["config.json", "pytorch_model.bin", "tokenizer.json"]);
}

#[test]
fn shards_are_pinned_and_checked_one_by_one() {
    let shards = index(&["pytorch_model-1.bin", "pytorch_model-2.bin"]);
    let files = [
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("pytorch_model.bin.index.json", shards.as_str()),
        ("pytorch_model-1.bin", "one"),
        ("pytorch_model-2.bin", "two"),
    ];
    let (place, server) = (Place::new(), with(&files));
    server.fault(&sha256(b"two"), Fault::WrongBytes);
    let error = names(&place.at(&server)).unwrap_err();
    assert_eq!(error.exit(), ExitCode::Mismatch);
    assert!(error.to_string().starts_with("o/model/pytorch_model-2.bin came with sha256"), "{error}");
    // What came is there; without the network the rest can't be had, and nothing is taken for whole.
    let offline = place.hub(&server.endpoint, |o| o.offline = true);
    let error = names(&offline).unwrap_err();
    assert!(matches!(&error, SourceError::Offline { what, .. } if what.contains("pytorch_model-")), "{error}");
    let error = names(&place.hub(&server.endpoint, |o| o.locked = true)).unwrap_err();
    assert!(matches!(&error, SourceError::NotLocked { what, .. } if what.contains("pytorch_model-")), "{error}");

    let all = names(&place.at(&server)).unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(place.lock().matches("[[file]]").count(), 5);
    assert!(place.lock().contains(&sha256(b"two")));
    server.requests();
    assert_eq!(names(&place.hub(&server.endpoint, |o| o.offline = true)).unwrap(), all);
    assert!(server.requests().is_empty());
}

#[test]
fn a_repository_without_what_a_model_needs_says_what() {
    let said = |files: &[(&str, &str)]| names(&Place::new().at(&with(files))).unwrap_err().to_string();
    let weightless = said(&[("config.json", "{}"), ("tokenizer.json", "{}"), ("tf_model.h5", "x")]);
    assert!(weightless.contains("the hub has no weights (model.safetensors, "), "{weightless}");
    assert!(weightless.contains("pytorch_model.bin.index.json) in o/model at main"), "{weightless}");
    let wordless = said(&[("config.json", "{}"), ("model.safetensors", "x")]);
    assert!(wordless.contains("the hub has no tokenizer.json in o/model at main"), "{wordless}");
    let indexed = |index: &str| said(&[("config.json", "{}"), ("tokenizer.json", "{}"), (INDEX, index)]);
    let absent = indexed(&index(&["model-1.safetensors"]));
    assert!(absent.contains("the hub has no model-1.safetensors in o/model at main"), "{absent}");
    let outside = indexed(&index(&["../../model.safetensors"]));
    assert!(outside.starts_with("o/model/model.safetensors.index.json: it places p0 in"), "{outside}");
}

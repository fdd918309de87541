//! Model directories between Trestle and transformers, both ways, for each head of both families. Ignored unless
//! `TRESTLE_PYTHON` names a Python that has torch, transformers and safetensors (`make test-transformers PYTHON=…`).

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};
use support::Trestle;
use trestle::model::layers::Slot;
use trestle::model::weights::{ExportedHead, HeadSource, export, initialize, load, save};
use trestle::model::{Architecture, Dropout, EncoderConfig, HeadKind, HeadSpec, Model, TokenBatch};

const KINDS: [HeadKind; 5] = [
    HeadKind::SequenceClassification,
    HeadKind::MultipleChoice,
    HeadKind::Span,
    HeadKind::TokenClassification,
    HeadKind::MaskedLm,
];

/// The script's answer to `request`.
fn python(mode: &str, request: &Value) -> Value {
    let python = std::env::var("TRESTLE_PYTHON").expect("these tests need TRESTLE_PYTHON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/exchange.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that fails says why on its standard error.
    let _ = child.stdin.take().unwrap().write_all(request.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The configuration of a small encoder, as transformers names its fields.
fn small(architecture: Architecture) -> Value {
    let (model_type, pad, types) = match architecture {
        Architecture::Bert => ("bert", 0, 2),
        Architecture::XlmRoberta => ("xlm-roberta", 1, 1),
    };
    json!({
        "model_type": model_type, "pad_token_id": pad, "type_vocab_size": types, "vocab_size": 60, "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 24,
        "layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu",
    })
}

/// Four rows of different lengths, for Trestle and for transformers.
fn batch(architecture: Architecture) -> (TokenBatch, Value) {
    let pad = small(architecture)["pad_token_id"].as_u64().unwrap() as u32;
    let bert = architecture == Architecture::Bert;
    let rows: Vec<(Vec<u32>, Vec<u32>)> = [9u32, 12, 4, 12]
        .iter()
        .enumerate()
        .map(|(row, length)| {
            let ids = (0..*length).map(|place| 5 + (place * 7 + row as u32 * 13) % 55).collect();
            (ids, (0..*length).map(|place| u32::from(bert && place > 5)).collect())
        })
        .collect();
    let batch = TokenBatch::new(rows.iter().map(|(ids, types)| (&ids[..], &types[..])), pad, 4, 20);
    assert_eq!((batch.rows, batch.width), (4, 12));
    let table = |values: &[i32]| values.chunks(batch.width).map(<[i32]>::to_vec).collect::<Vec<_>>();
    let mask: Vec<Vec<u32>> =
        batch.lengths.iter().map(|length| (0..batch.width).map(|place| u32::from(place < *length)).collect()).collect();
    let mut inputs = json!({"input_ids": table(&batch.ids), "attention_mask": mask});
    if bert {
        inputs["token_type_ids"] = json!(table(&batch.type_ids));
    }
    (batch, inputs)
}

/// What a model makes of a batch: its logits, or the last hidden state where it has no head.
fn logits(model: &Model, batch: &TokenBatch) -> Vec<f32> {
    let off = &mut Dropout::off();
    let hidden = model.encoder.forward(batch, off);
    let result = match model.heads.first() {
        None => hidden,
        Some(head) => match head.spec.kind {
            HeadKind::SequenceClassification | HeadKind::MultipleChoice => {
                head.head.rows(&model.encoder, hidden, batch.rows, off)
            }
            _ => head.head.tokens(&model.encoder, hidden, None, off),
        },
    };
    result.try_into_vec_as::<f32>().unwrap()
}

fn assert_same(ours: &[f32], theirs: &Value, what: &str) {
    let theirs: Vec<f64> = theirs.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let spread = theirs.iter().fold(0.0f64, |spread, value| spread.max(value.abs()));
    assert!(spread > 0.01, "{what}: all numbers are near 0: {theirs:?}");
    let worst = ours.iter().zip(&theirs).map(|(our, their)| (f64::from(*our) - their).abs()).fold(0.0, f64::max);
    assert!(worst <= 1e-5, "{what}: off by {worst}");
}

fn spec(kind: HeadKind) -> HeadSpec {
    let labelled = matches!(kind, HeadKind::SequenceClassification | HeadKind::TokenClassification);
    let labels = if labelled { vec!["yes".to_owned(), "no".into(), "perhaps".into()] } else { Vec::new() };
    HeadSpec::new(format!("{kind:?}").to_lowercase(), kind, labels)
}

/// A model whose biases and LayerNorm weights are no more 0 and 1 than a trained one's.
fn model(architecture: Architecture, heads: &[HeadSpec]) -> Model {
    let mut config: EncoderConfig = serde_json::from_value(small(architecture)).unwrap();
    config.initializer_range = 0.2;
    let mut model = initialize(&config, heads, 7, &Device::flex());
    for (number, (_, slot)) in model.parameters().into_iter().enumerate() {
        if let Slot::Vector(tensor) = slot {
            let [count] = tensor.dims();
            let values: Vec<f32> =
                (0..count).map(|place| ((place * 31 + number * 17) % 101) as f32 / 101.0 - 0.4).collect();
            *tensor = tensor.clone() + Tensor::from_data(TensorData::new(values, [count]), &Device::flex());
        }
    }
    model
}

#[test]
#[ignore = "needs TRESTLE_PYTHON"]
fn transformers_loads_what_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
        let (batch, inputs) = batch(architecture);
        let mut add = |source: &Model, head: &ExportedHead, shard_size: u64, name: &str| {
            let place = folder.path().join(format!("{architecture:?}-{name}"));
            let (stored, output) = (place.join("stored"), place.join("exported"));
            std::fs::create_dir_all(&stored).unwrap();
            std::fs::create_dir_all(&output).unwrap();
            save(source, &stored).unwrap();
            let exported = export(&stored, head, &output, shard_size).unwrap();
            let mut chosen = source.clone();
            chosen.heads.retain(|head| exported.head.as_ref() == Some(&head.spec));
            let kind = exported.head.as_ref().map(|head| head.kind);
            let pooler = kind.is_some() || exported.pooler;
            requests.push(json!({"directory": output, "kind": kind, "pooler": pooler, "batch": inputs}));
            expected.push((format!("{architecture:?} {name}"), exported.head, logits(&chosen, &batch)));
        };
        for kind in KINDS {
            add(&model(architecture, &[spec(kind)]), &ExportedHead::Only, u64::MAX, &format!("{kind:?}"));
        }
        let several = model(architecture, &KINDS.map(spec));
        for kind in KINDS {
            add(&several, &ExportedHead::Of(spec(kind).task), 8_000, &format!("several-{kind:?}"));
        }
        add(&several, &ExportedHead::None, u64::MAX, "with-pooler");
        add(&model(architecture, &[]), &ExportedHead::Only, 8_000, "without-pooler");
    }
    let answer = python("read", &json!({"models": requests, "tokenizers": []}));
    for ((name, head, logits), answer) in expected.iter().zip(answer["models"].as_array().unwrap()) {
        assert_eq!(answer["problems"], json!({}), "{name}");
        assert_same(logits, &answer["logits"], name);
        let class = head.as_ref().map_or("Model", |head| head.kind.class());
        assert!(answer["class"].as_str().unwrap().ends_with(class), "{name}: {}", answer["class"]);
        if let Some(head) = head.as_ref().filter(|head| !head.labels.is_empty()) {
            assert_eq!(answer["labels"], json!(head.labels), "{name}");
        }
    }
    assert_eq!(expected.len(), 24);
}

#[test]
#[ignore = "needs TRESTLE_PYTHON"]
fn what_transformers_saves_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut requests, mut cases) = (Vec::new(), Vec::new());
    for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
        let (_, inputs) = batch(architecture);
        let kinds = KINDS.into_iter().map(Some).chain([None]);
        let each = ["whole", "shards", "bin", "bin-shards", "old-bin"];
        // What does not depend on the head is seen with one of them.
        let once = ["f16", "bf16", "legacy-bin"].map(|variant| (Some(HeadKind::Span), variant));
        for (kind, variant) in kinds.flat_map(|kind| each.map(|variant| (kind, variant))).chain(once) {
            let directory = folder.path().join(format!("{architecture:?}-{kind:?}-{variant}"));
            let mut config = small(architecture);
            config["num_labels"] = json!(kind.map_or(0, |kind| spec(kind).labels.len()).max(2));
            requests.push(json!({
                "directory": directory, "kind": kind, "variant": variant, "config": config, "batch": inputs,
                "seed": requests.len(),
            }));
            cases.push((architecture, kind, variant, directory));
        }
    }
    let answer = python("write", &json!({"models": requests}));
    for ((architecture, kind, variant, directory), answer) in cases.iter().zip(answer["models"].as_array().unwrap()) {
        let what = format!("{architecture:?} {kind:?} {variant}");
        let heads: Vec<HeadSpec> = kind.iter().map(|kind| spec(*kind)).collect();
        let loaded = load(directory, &heads, HeadSource::Stored, &Device::flex());
        if *variant == "legacy-bin" {
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains("torch.save(torch.load(path, weights_only=True), path)"), "{what}: {error}");
            continue;
        }
        let loaded = loaded.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(loaded.new.is_empty() && loaded.dropped.is_empty(), "{what}: {loaded:?}");
        assert_same(&logits(&loaded.model, &batch(*architecture).0), &answer["logits"], &what);
    }
    assert_eq!(cases.len(), 66);
}

#[test]
#[ignore = "needs TRESTLE_PYTHON"]
fn transformers_loads_the_tokenizer_beside_a_model() {
    let trestle = Trestle::new();
    trestle.ok(&["train", "tiny", "--phase", "pretrain", "--device", "flex"]);
    let output = trestle.dir.path().join("model");
    let directory = output.to_str().unwrap();
    trestle.ok(&["export", "model", "pretrain", "--study", "tiny", "--output", directory]);
    let (first, second) = ("The old boats lie near the bridge.", "Die Brücke ist alt; 桥很旧。");
    let case = json!({"directory": directory, "first": first, "second": second});
    let answer = python("read", &json!({"models": [], "tokenizers": [case]}));
    let answer = &answer["tokenizers"][0];
    let library = tokenizers::Tokenizer::from_file(output.join("tokenizer.json")).unwrap();
    let ids = library.encode((first, second), true).unwrap().get_ids().to_vec();
    assert_eq!(answer["ids"], json!(ids));
    assert_eq!(answer["inputs"], json!(["attention_mask", "input_ids"]));
    assert_eq!(answer["longest"], json!(96));
    let special = ["<s>", "</s>", "<pad>", "<mask>", "<unk>"].map(|token| library.token_to_id(token).unwrap());
    assert_eq!(answer["special"], json!(special));
}

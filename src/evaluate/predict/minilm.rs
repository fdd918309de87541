//! Retrieval with real pretrained weights: all-MiniLM-L6-v2 over aligned Tatoeba, every hidden state, against the accuracies
//! that transformers gives. `TRESTLE_MINILM` names the model's directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};
use tokenizers::{Tokenizer, TruncationParams};

use super::{EmbedRequest, embed};
use crate::evaluate::retrieval::{Method, RetrieveRequest, retrieve};
use crate::model::{DeviceChoice, device};
use crate::progress::Quiet;
use crate::schema::tokenized;
use crate::shard::{PART, read_table, table_path, write_table};
use crate::task::{Format, Pooling, Split};

/// The longest input that the reference values were computed with.
const MAX_LENGTH: usize = 128;

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// A shard with the English lines as queries `en-{row}` and the others as index `{row}`.
fn shard(path: &Path, tokenizer: &Tokenizer, english: &[String], foreign: &[String]) {
    let sides = [("query", "en-", english), ("index", "", foreign)];
    let (mut ids, mut kinds, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for (side, prefix, lines) in sides {
        for (row, line) in lines.iter().enumerate() {
            ids.push(format!("{prefix}{row}"));
            kinds.push(side);
            tokens.push(tokenizer.encode(line.as_str(), true).unwrap().get_ids().to_vec());
        }
    }
    let list = |values: Vec<u32>| -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths(tokens.iter().map(Vec::len));
        let item = Arc::new(Field::new("item", DataType::UInt32, false));
        Arc::new(arrow::array::ListArray::new(item, offsets, Arc::new(UInt32Array::from(values)), None))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(ids)),
        Arc::new(UInt32Array::from(vec![0; kinds.len()])),
        list(tokens.concat()),
        list(vec![0; tokens.iter().map(Vec::len).sum()]),
        Arc::new(StringArray::from(kinds)),
    ];
    let table = tokenized(Format::SentenceRetrieval);
    write_table(path, &table.schema, &[], &[RecordBatch::try_new(table.schema.clone(), columns).unwrap()]).unwrap();
}

#[test]
#[ignore = "needs TRESTLE_SHARED and TRESTLE_MINILM"]
fn every_layer_retrieves_as_transformers_does() {
    let shared = PathBuf::from(std::env::var("TRESTLE_SHARED").unwrap());
    let model_dir = PathBuf::from(std::env::var("TRESTLE_MINILM").unwrap());
    let expected = std::fs::read(shared.join("oracle/minilm/tatoeba.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let mut tokenizer = Tokenizer::from_file(model_dir.join("tokenizer.json")).unwrap();
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(Some(TruncationParams { max_length: MAX_LENGTH, ..TruncationParams::default() }))
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    for language in ["swh", "fin"] {
        let text = |code: &str| lines(&shared.join(format!("real/tatoeba/v1/tatoeba.{language}-eng.{code}")));
        let tokens = directory.path().join(format!("{language}.parquet"));
        shard(&tokens, &tokenizer, &text("eng"), &text(language));
        let (layers, pooling): (Vec<usize>, _) = ((0..=6).collect(), Pooling::Mean);
        let device = device::open(DeviceChoice::Flex).unwrap();
        let request = EmbedRequest {
            model_dir: model_dir.clone(),
            task: "tatoeba".into(),
            files: vec![(Split::Test, language.into(), tokens)],
            layers: layers.clone(),
            pooling,
            device: device.clone(),
        };
        let embedded = directory.path().join("embedded");
        embed(&request, &embedded, &[], &Quiet, &AtomicBool::new(false)).unwrap();
        let request = RetrieveRequest {
            task: "tatoeba".into(),
            files: vec![(Split::Test, language.into(), embedded.join(table_path("test", language)))],
            layers,
            pooling,
            method: Method::Nearest { count: 1 },
            shared_index: false,
            device,
            memory: 1 << 30,
        };
        retrieve(&request, directory.path(), &[], &Quiet, &AtomicBool::new(false)).unwrap();
        let path = directory.path().join(format!("language={language}")).join(PART);
        let mut right = [0u32; 7];
        for batch in read_table(&path).unwrap().1 {
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let layers = column("layer").as_primitive::<Int32Type>();
            let (ids, found) = (column("example_id").as_string::<i32>(), column("prediction").as_string::<i32>());
            for row in 0..batch.num_rows() {
                let hit = ids.value(row).strip_prefix("en-") == Some(found.value(row));
                right[layers.value(row) as usize] += u32::from(hit);
            }
        }
        let pairs = expected[language]["pairs"].as_f64().unwrap();
        for layer in expected[language]["layers"].as_array().unwrap() {
            let index = layer["layer"].as_u64().unwrap() as usize;
            let (found, wanted) =
                (100.0 * f64::from(right[index]) / pairs, layer["english_to_foreign"].as_f64().unwrap());
            assert!((found - wanted).abs() <= 0.2, "{language} layer {index}: {found}, not {wanted}");
        }
    }
}

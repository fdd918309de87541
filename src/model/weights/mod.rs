//! Models in and out of Hugging Face directories: `config.json` and weights under transformers' parameter names.
//!
//! Read are `model.safetensors` and `pytorch_model.bin`, in one file or in shards with an index, in transformers' order of
//! preference; numbers may be f32, f16 or bf16. Written is safetensors in f32. Neither way is a file ever in memory as a whole:
//! parameters pass one at a time, so that a model takes little more memory than its parameters.
//!
//! A model with one head is one such directory, as transformers would write it. A model with several heads keeps the encoder
//! alone in the model's files (under the prefix it has in a model with a head) and the heads in `heads.safetensors`, each
//! parameter named `{task}/{name}`. `heads.json` lists the heads of either kind: task, kind and labels, in order.

mod directory;
mod export;
mod parameter;
mod pickle;
mod safetensors;
mod stored;
mod table;
mod torch;
mod write;

pub use directory::{MODEL_FILE, ShardIndex, WEIGHT_FILES, directory_files};
pub use export::{Exported, ExportedHead, export};
pub use parameter::Parameter;
#[cfg(test)]
pub(crate) use parameter::f32s;
pub(crate) use parameter::{put, values};
pub(crate) use table::StoredTable;
pub use write::{save, save_in_shards};

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;

use self::directory::WeightFiles;
use self::parameter::{fill_new, put_stored};
use self::stored::{StoredTensor, StoredTensors};
use super::ModelError;
use super::config::EncoderConfig;
use super::heads::{HeadKind, HeadSpec, Model};
use crate::error::IoContext;

/// The heads of a model with several.
pub const HEADS_FILE: &str = "heads.safetensors";
/// What the heads are for.
pub const HEADS_LIST: &str = "heads.json";

/// The word embedding table, without the encoder's prefix.
pub const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";
/// First parts of the names that transformers gives to heads.
const HEAD_ROOTS: [&str; 4] = ["classifier.", "qa_outputs.", "lm_head.", "cls."];
/// Names in weight files that hold no parameter.
const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];
/// Names in weight files that repeat another parameter, with that parameter.
const TIED: [(&str, &str); 4] = [
    ("lm_head.decoder.weight", WORD_EMBEDDINGS),
    ("lm_head.decoder.bias", "lm_head.bias"),
    ("cls.predictions.decoder.weight", WORD_EMBEDDINGS),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
];

/// Where the parameters of the heads come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSource {
    /// Made new. A masked-LM head is taken from the file where it has one, since it belongs to the pretrained model.
    New {
        /// Seeds the new parameters.
        seed: u64,
    },
    /// All read from the files.
    Stored,
}

/// A model and what happened to the names in its files.
#[derive(Debug)]
pub struct Loaded {
    /// The model, not tracked.
    pub model: Model,
    /// Parameters made new, by name.
    pub new: Vec<String>,
    /// Names of heads in the file that were left behind.
    pub dropped: Vec<String>,
}

/// A model from nothing: matrices from the normal distribution with the configuration's `initializer_range`, LayerNorm 1 and
/// 0, biases 0, the padding row 0, as transformers does. The same `seed` gives the same bytes.
pub fn initialize(config: &EncoderConfig, heads: &[HeadSpec], seed: u64, device: &Device) -> Model {
    let mut model = Model::new(config, heads, false, device);
    for (name, slot) in model.parameters() {
        fill_new(&name, slot, config, seed, device);
    }
    model
}

/// Reads the model in `directory` onto `device` and gives it `heads`.
///
/// # Errors
/// When a file can't be read, a shape differs from `config.json`, a parameter of the encoder (or, with
/// [`HeadSource::Stored`], of a head) is missing, or the file holds names that belong neither to the encoder nor to a head.
pub fn load(directory: &Path, heads: &[HeadSpec], source: HeadSource, device: &Device) -> Result<Loaded, ModelError> {
    load_rows(directory, heads, source, None, device)
}

/// As [`load`], with only these rows of the word embeddings, in order: the others never leave the file. The model's
/// configuration counts the rows that it has. Not for a masked-LM head, whose decoder needs them all.
///
/// # Errors
/// As [`load`].
pub fn load_rows(
    directory: &Path,
    heads: &[HeadSpec],
    source: HeadSource,
    rows: Option<&[u32]>,
    device: &Device,
) -> Result<Loaded, ModelError> {
    let mut config = EncoderConfig::read(directory)?;
    let whole_table = [config.vocab_size, config.hidden_size];
    if let Some(rows) = rows {
        config.vocab_size = rows.len();
    }
    let files = WeightFiles::find(directory)?;
    let stored = files.open()?;
    let heads_path = directory.join(HEADS_FILE);
    let (mut stored_heads, mut left_heads) = (None, None);
    if source == HeadSource::Stored && heads.len() > 1 {
        stored_heads = Some(WeightFiles::single(heads_path).open()?);
    } else if source != HeadSource::Stored && heads_path.exists() {
        left_heads = Some(WeightFiles::single(heads_path).open()?);
    }

    let mut model = Model::new(&config, heads, stored.names.contains_key("pooler.dense.weight"), device);
    let pretrained: Vec<bool> = heads.iter().map(|spec| spec.kind == HeadKind::MaskedLm).collect();
    let mut new = Vec::new();
    let mut missing = Vec::new();
    let mut used = BTreeSet::new();
    for (name, slot) in model.parameters() {
        let (task, local) = name.split_once('/').map_or((None, name.as_str()), |(task, local)| (Some(task), local));
        let local = local.strip_prefix(config.model_type.prefix()).unwrap_or(local);
        let of_head = is_of_head(local);
        let (holder, key) = match &stored_heads {
            Some(stored_heads) if task.is_some() => (stored_heads, name.as_str()),
            _ => (&stored, local),
        };
        let head_index = task.map_or(0, |task| heads.iter().position(|spec| spec.task == task).unwrap_or(0));
        let read = match source {
            HeadSource::Stored => true,
            HeadSource::New { .. } => !of_head || pretrained[head_index],
        };
        let may_be_new = matches!(source, HeadSource::New { .. }) && (of_head || local.starts_with("pooler."));
        // A file may have the parameter under the name of one that is tied to it alone.
        let mut keys = std::iter::once(key).chain(TIED.iter().filter(|(_, of)| *of == key).map(|(tied, _)| *tied));
        match keys.find_map(|key| holder.names.get_key_value(key)).filter(|_| read) {
            Some((key, tensor)) => {
                used.insert(key.clone());
                match rows.filter(|_| local == WORD_EMBEDDINGS) {
                    Some(rows) => {
                        check_shape(holder, tensor, &name, &whole_table)?;
                        put_stored(slot, device, || holder.read_rows(tensor, rows))?;
                    }
                    None => {
                        check_shape(holder, tensor, &name, &safetensors::file_shape(&slot))?;
                        put_stored(slot, device, || holder.read(tensor))?;
                    }
                }
            }
            None if may_be_new => {
                let HeadSource::New { seed } = source else { unreachable!("only new heads may be new") };
                fill_new(&name, slot, &config, seed, device);
                new.push(name);
            }
            None => missing.push(name),
        }
    }

    let (mut dropped, mut unexpected) = (Vec::new(), Vec::new());
    for (name, tensor) in stored.names.iter().filter(|(name, _)| !used.contains(*name)) {
        let repeated = TIED.iter().find(|(tied, _)| tied == name).map(|(_, original)| *original);
        match repeated.and_then(|original| stored.names.get(original)) {
            // Of a head that is left behind, it does not matter.
            Some(original) if used.iter().any(|name| is_of_masked_lm(name)) => check_tied(&stored, tensor, original)?,
            Some(_) => {}
            None if BUFFERS.contains(&name.as_str()) => {}
            None if is_of_head(name) => dropped.push(name.clone()),
            None => unexpected.push(name.clone()),
        }
    }
    dropped.extend(left_heads.iter().flat_map(|left| left.names.keys().cloned()));
    let head_names = stored_heads.iter().flat_map(|stored_heads| stored_heads.names.keys());
    unexpected.extend(head_names.filter(|name| !used.contains(*name)).cloned());
    if missing.is_empty() && unexpected.is_empty() {
        Ok(Loaded { model, new, dropped })
    } else {
        Err(ModelError::Mismatch { path: files.main().to_path_buf(), missing, unexpected })
    }
}

fn is_of_head(name: &str) -> bool {
    HEAD_ROOTS.iter().any(|root| name.starts_with(root))
}

fn is_of_masked_lm(name: &str) -> bool {
    name.starts_with("lm_head.") || name.starts_with("cls.predictions.")
}

fn check_shape(
    stored: &StoredTensors,
    tensor: &StoredTensor,
    name: &str,
    expected: &[usize],
) -> Result<(), ModelError> {
    if tensor.shape == expected {
        return Ok(());
    }
    let problem = format!("{name} has shape {:?}, config.json asks for {expected:?}", tensor.shape);
    Err(ModelError::Weights { path: stored.path(tensor).to_path_buf(), problem })
}

/// A masked-LM head decodes with the word embeddings; a file may repeat them, but not have others.
fn check_tied(stored: &StoredTensors, tensor: &StoredTensor, original: &StoredTensor) -> Result<(), ModelError> {
    if stored.equal(tensor, original)? {
        return Ok(());
    }
    let problem = format!(
        "{} differs from {}; only masked-LM heads that share them can be used (tie_word_embeddings)",
        tensor.name, original.name
    );
    Err(ModelError::Weights { path: stored.path(tensor).to_path_buf(), problem })
}

/// Reads the model in `directory` with all the heads that `heads.json` lists; with none where there is no such file.
///
/// # Errors
/// As [`load`], and when `heads.json` is malformed.
pub fn load_stored(directory: &Path, device: &Device) -> Result<Model, ModelError> {
    let path = directory.join(HEADS_LIST);
    let heads: Vec<HeadSpec> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| ModelError::Config { path: path.clone(), problem: error.to_string() })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).at("read", &path).map_err(ModelError::from),
    };
    Ok(load(directory, &heads, HeadSource::Stored, device)?.model)
}

/// The word embedding table of the model in `directory`, row-major, on the host.
///
/// # Errors
/// When the files can't be read or hold no such table.
pub fn word_embeddings(directory: &Path) -> Result<Vec<f32>, ModelError> {
    let config = EncoderConfig::read(directory)?;
    let files = WeightFiles::find(directory)?;
    let stored = files.open()?;
    let tied = TIED.iter().filter(|(_, of)| *of == WORD_EMBEDDINGS).map(|(tied, _)| *tied);
    let table = std::iter::once(WORD_EMBEDDINGS).chain(tied).find_map(|name| stored.names.get(name));
    let table = table.ok_or_else(|| ModelError::Weights {
        path: files.main().to_path_buf(),
        problem: format!("it holds no {WORD_EMBEDDINGS}; download or export it again"),
    })?;
    check_shape(&stored, table, WORD_EMBEDDINGS, &[config.vocab_size, config.hidden_size])?;
    stored.read(table)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::model::Architecture;
    use crate::model::config::tests::tiny;
    use crate::model::layers::Slot;

    fn spec(task: &str, kind: HeadKind, labels: &[&str]) -> HeadSpec {
        HeadSpec::new(task, kind, labels.iter().map(|label| (*label).to_owned()).collect())
    }

    fn parameters(model: &Model) -> Vec<(String, Parameter)> {
        let mut model = model.clone();
        model.parameters().into_iter().map(|(name, slot)| (name, Parameter::read(slot).unwrap())).collect()
    }

    #[test]
    fn what_is_saved_is_loaded_with_one_head_and_with_several() {
        let several = [
            spec("mnli", HeadKind::SequenceClassification, &["yes", "no"]),
            spec("squad", HeadKind::Span, &[]),
            spec("csqa", HeadKind::MultipleChoice, &[]),
            spec("pos", HeadKind::TokenClassification, &["N", "V", "X"]),
            spec("text", HeadKind::MaskedLm, &[]),
        ];
        for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
            for heads in several.iter().map(std::slice::from_ref).chain([&several[..], &[]]) {
                let directory = tempfile::tempdir().unwrap();
                let model = initialize(&tiny(architecture), heads, 5, &Device::flex());
                save(&model, directory.path()).unwrap();
                let back = load_stored(directory.path(), &Device::flex()).unwrap();
                assert_eq!(parameters(&model), parameters(&back));
                assert_eq!(back.heads.iter().map(|head| head.spec.clone()).collect::<Vec<_>>(), heads);
                assert_eq!(directory_files(directory.path()).unwrap().len(), 2 + heads.len().min(2));
            }
        }
    }

    #[test]
    fn what_is_made_new_and_what_is_left_behind_is_listed() {
        let directory = tempfile::tempdir().unwrap();
        let heads = [spec("squad", HeadKind::Span, &[]), spec("pos", HeadKind::TokenClassification, &["N", "V"])];
        let device = Device::flex();
        save(&initialize(&tiny(Architecture::Bert), &heads, 5, &device), directory.path()).unwrap();
        let next = [spec("csqa", HeadKind::MultipleChoice, &[])];
        let loaded = load(directory.path(), &next, HeadSource::New { seed: 1 }, &device).unwrap();
        let new = ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"];
        assert_eq!(loaded.new, new);
        let dropped =
            ["pos/classifier.bias", "pos/classifier.weight", "squad/qa_outputs.bias", "squad/qa_outputs.weight"];
        assert_eq!(loaded.dropped, dropped);
    }

    #[test]
    fn repeated_parameters_must_be_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let device = Device::flex();
        let config = tiny(Architecture::XlmRoberta);
        let head = [spec("text", HeadKind::MaskedLm, &[])];
        let model = initialize(&config, &head, 5, &device);
        config.write(directory.path()).unwrap();
        let with_decoder = |decoder: &mut Tensor<2>, bias: &str| {
            let mut model = model.clone();
            let mut parameters: Vec<(String, Slot)> = model
                .parameters()
                .into_iter()
                .map(|(name, slot)| (if name == "lm_head.bias" { bias.to_owned() } else { name }, slot))
                .collect();
            parameters.push(("lm_head.decoder.weight".to_owned(), Slot::Table(decoder)));
            safetensors::write(&directory.path().join(MODEL_FILE), parameters).unwrap();
            load(directory.path(), &head, HeadSource::Stored, &device)
        };
        // Old files have the bias under the decoder's name alone.
        for bias in ["lm_head.bias", "lm_head.decoder.bias"] {
            let loaded = with_decoder(&mut model.encoder.word_embeddings(), bias).unwrap();
            assert_eq!(parameters(&loaded.model), parameters(&model));
            assert!(loaded.dropped.is_empty());
        }
        let error = with_decoder(&mut model.encoder.word_embeddings().neg(), "lm_head.bias").unwrap_err().to_string();
        assert!(error.contains("lm_head.decoder.weight differs from roberta.embeddings.word_embeddings"), "{error}");
        // Where the head is left behind, its decoder is of no interest.
        load(directory.path(), &[], HeadSource::Stored, &device).unwrap();
    }

    #[test]
    fn new_parameters_depend_on_the_seed_and_their_names_alone() {
        let config = tiny(Architecture::XlmRoberta);
        let head = [spec("a", HeadKind::SequenceClassification, &["x", "y"])];
        let model = |heads: &[HeadSpec], seed| parameters(&initialize(&config, heads, seed, &Device::flex()));
        assert_eq!(model(&head, 1), model(&head, 1));
        assert_ne!(model(&head, 1), model(&head, 2));
        let words = &model(&head, 1)[0].1;
        assert_eq!(words.values[16..32], [0.0; 16], "the row of the padding token");
        assert_ne!(words.values[..16], [0.0; 16]);
    }

    #[test]
    fn a_file_that_does_not_match_the_configuration_says_how() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = tiny(Architecture::Bert);
        save(&initialize(&config, &[], 1, &Device::flex()), directory.path()).unwrap();
        let failure = |config: &EncoderConfig| {
            config.write(directory.path()).unwrap();
            load(directory.path(), &[], HeadSource::Stored, &Device::flex()).unwrap_err().to_string()
        };
        config.num_hidden_layers = 3;
        assert!(
            failure(&config).contains("missing: encoder.layer.2.attention.self.query.weight"),
            "{}",
            failure(&config)
        );
        config.num_hidden_layers = 1;
        assert!(failure(&config).contains("unexpected: encoder.layer.1."), "{}", failure(&config));
        config.num_hidden_layers = 2;
        config.vocab_size = 61;
        assert!(failure(&config).contains("has shape [60, 16], config.json asks for [61, 16]"), "{}", failure(&config));
        std::fs::write(directory.path().join(MODEL_FILE), b"not tensors").unwrap();
        assert!(failure(&config).contains("not a safetensors file"), "{}", failure(&config));
    }
}

//! Models in and out of Hugging Face directories: `config.json` and `model.safetensors`, with transformers' parameter names.
//!
//! A model with one head is one such directory, as transformers would write it. A model with several heads keeps the encoder
//! alone in `model.safetensors` (under the prefix it has in a model with a head) and the heads in `heads.safetensors`, each
//! parameter named `{task}/{name}`. `heads.json` lists the heads of either kind: task, kind and labels, in order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData, bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use super::ModelError;
use super::config::{Architecture, EncoderConfig};
use super::heads::{HeadKind, HeadSpec, Model};
use super::layers::Slot;
use super::random::{normal, stream};
use crate::error::IoContext;

/// The weights of the encoder and of a single head.
pub const MODEL_FILE: &str = "model.safetensors";
/// The heads of a model with several.
pub const HEADS_FILE: &str = "heads.safetensors";
/// What the heads are for.
pub const HEADS_LIST: &str = "heads.json";

/// The word embedding table, without the encoder's prefix.
pub const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";
/// First parts of the names that transformers gives to heads.
const HEAD_ROOTS: [&str; 4] = ["classifier.", "qa_outputs.", "lm_head.", "cls."];
/// Names in weight files that repeat another parameter or hold no parameter at all.
const REDUNDANT: [&str; 6] = [
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
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

/// As [`load`], with only these rows of the word embeddings, in order: the others never reach the device. The model's
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
    let vocabulary = config.vocab_size;
    if let Some(rows) = rows {
        config.vocab_size = rows.len();
    }
    let path = directory.join(MODEL_FILE);
    let bytes = std::fs::read(&path).at("read", &path)?;
    let file = WeightsFile::parse(&path, &bytes)?;
    let heads_path = directory.join(HEADS_FILE);
    let several = source == HeadSource::Stored && heads.len() > 1;
    let head_bytes = if several { std::fs::read(&heads_path).at("read", &heads_path)? } else { Vec::new() };
    let head_file = if several { Some(WeightsFile::parse(&heads_path, &head_bytes)?) } else { None };

    let mut model = Model::new(&config, heads, file.names.contains_key("pooler.dense.weight"), device);
    let pretrained: Vec<bool> = heads.iter().map(|spec| spec.kind == HeadKind::MaskedLm).collect();
    let mut new = Vec::new();
    let mut missing = Vec::new();
    let mut used = BTreeSet::new();
    for (name, slot) in model.parameters() {
        let (task, local) = name.split_once('/').map_or((None, name.as_str()), |(task, local)| (Some(task), local));
        let local = local.strip_prefix(config.model_type.prefix()).unwrap_or(local);
        let of_head = HEAD_ROOTS.iter().any(|root| local.starts_with(root));
        let (holder, key) = match &head_file {
            Some(head_file) if task.is_some() => (head_file, name.as_str()),
            _ => (&file, local),
        };
        let head_index = task.map_or(0, |task| heads.iter().position(|spec| spec.task == task).unwrap_or(0));
        let read = match source {
            HeadSource::Stored => true,
            HeadSource::New { .. } => !of_head || pretrained[head_index],
        };
        let may_be_new = matches!(source, HeadSource::New { .. }) && (of_head || local.starts_with("pooler."));
        match holder.names.get(key).filter(|_| read) {
            Some(view) => {
                used.insert(key.to_owned());
                match rows.filter(|_| local == WORD_EMBEDDINGS) {
                    Some(rows) => put(slot, holder.rows(view, rows, [vocabulary, config.hidden_size])?, device),
                    None => holder.fill(&name, view, slot, device)?,
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
    for name in file.names.keys().filter(|name| !used.contains(*name) && !REDUNDANT.contains(&name.as_str())) {
        let of_head = HEAD_ROOTS.iter().any(|root| name.starts_with(root));
        if of_head { &mut dropped } else { &mut unexpected }.push(name.clone());
    }
    let head_names = head_file.iter().flat_map(|head_file| head_file.names.keys());
    unexpected.extend(head_names.filter(|name| !used.contains(*name)).cloned());
    if missing.is_empty() && unexpected.is_empty() {
        Ok(Loaded { model, new, dropped })
    } else {
        Err(ModelError::Mismatch { path, missing, unexpected })
    }
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
    let path = directory.join(MODEL_FILE);
    let bytes = std::fs::read(&path).at("read", &path)?;
    let file = WeightsFile::parse(&path, &bytes)?;
    let view = file.names.get(WORD_EMBEDDINGS).ok_or_else(|| ModelError::Weights {
        path: path.clone(),
        problem: format!("it holds no {WORD_EMBEDDINGS}; download or export it again"),
    })?;
    let all: Vec<u32> = (0..config.vocab_size as u32).collect();
    file.rows(view, &all, [config.vocab_size, config.hidden_size])
}

/// The files in `directory` that decide what a model computes, for keys.
///
/// # Errors
/// When `config.json` or `model.safetensors` is not there.
pub fn directory_files(directory: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut files = Vec::new();
    for (name, needed) in [("config.json", true), (MODEL_FILE, true), (HEADS_LIST, false), (HEADS_FILE, false)] {
        let path = directory.join(name);
        match std::fs::metadata(&path) {
            Ok(_) => files.push(path),
            Err(error) if needed => return Err(error).at("read", &path).map_err(ModelError::from),
            Err(_) => {}
        }
    }
    Ok(files)
}

/// Writes the model into `directory`, which must exist.
///
/// # Errors
/// When a file can't be written or the device fails to hand over a parameter.
pub fn save(model: &Model, directory: &Path) -> Result<(), ModelError> {
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
    config.write(directory)?;
    let mut model = model.clone();
    let mut encoder = Vec::new();
    let mut heads = Vec::new();
    for (name, slot) in model.parameters() {
        let target = if name.contains('/') { &mut heads } else { &mut encoder };
        target.push((name, Parameter::read(slot)?));
    }
    write_tensors(&directory.join(MODEL_FILE), encoder)?;
    if !heads.is_empty() {
        write_tensors(&directory.join(HEADS_FILE), heads)?;
    }
    if !model.heads.is_empty() {
        let path = directory.join(HEADS_LIST);
        let specs: Vec<&HeadSpec> = model.heads.iter().map(|head| &head.spec).collect();
        let mut text = serde_json::to_string_pretty(&specs).expect("names and labels serialise");
        text.push('\n');
        std::fs::write(&path, text).at("write", &path)?;
    }
    Ok(())
}

/// A parameter on the host, in the layout of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// As in the file: a linear map is `[outputs, inputs]`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Copies a parameter from the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read(slot: Slot<'_>) -> Result<Self, ModelError> {
        let shape = slot.shape();
        match slot {
            Slot::Vector(tensor) => Ok(Self { values: values(tensor.clone())?, shape }),
            Slot::Table(tensor) => Ok(Self { values: values(tensor.clone())?, shape }),
            Slot::Map(tensor) => Ok(Self {
                values: transpose(&values(tensor.clone())?, shape[0], shape[1]),
                shape: vec![shape[1], shape[0]],
            }),
        }
    }
}

/// The elements of a tensor on the host.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor
        .without_autodiff()
        .try_into_vec_as::<f32>()
        .map_err(|error| ModelError::Execution { doing: "reading a tensor", problem: error.to_string() })
}

/// Puts host values in memory layout into `slot`.
pub(crate) fn put(slot: Slot<'_>, values: Vec<f32>, device: &Device) {
    let shape = slot.shape();
    let data = TensorData::new(values, shape);
    match slot {
        Slot::Vector(tensor) => *tensor = Tensor::from_data(data, (device, DType::F32)),
        Slot::Table(tensor) | Slot::Map(tensor) => *tensor = Tensor::from_data(data, (device, DType::F32)),
    }
}

fn fill_new(name: &str, slot: Slot<'_>, config: &EncoderConfig, seed: u64, device: &Device) {
    let shape = slot.shape();
    if let Slot::Vector(_) = slot {
        return; // biases are made 0 and LayerNorm weights 1
    }
    let mut values = normal(&mut stream(seed, name, &[]), shape.iter().product(), config.initializer_range);
    let padded = name.ends_with("word_embeddings.weight")
        || (name.ends_with("position_embeddings.weight") && config.model_type == Architecture::XlmRoberta);
    if padded {
        let start = config.pad_token_id as usize * shape[1];
        values[start..start + shape[1]].fill(0.0);
    }
    put(slot, values, device);
}

/// `[rows, columns]` to `[columns, rows]`, in blocks that stay in the cache.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut result = vec![0.0; values.len()];
    for row_start in (0..rows).step_by(BLOCK) {
        for column_start in (0..columns).step_by(BLOCK) {
            for row in row_start..(row_start + BLOCK).min(rows) {
                for column in column_start..(column_start + BLOCK).min(columns) {
                    result[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    result
}

/// A parsed safetensors file, its names without the encoder's prefix.
struct WeightsFile<'data> {
    path: PathBuf,
    names: BTreeMap<String, TensorView<'data>>,
}

impl<'data> WeightsFile<'data> {
    fn parse(path: &Path, bytes: &'data [u8]) -> Result<Self, ModelError> {
        let parsed = SafeTensors::deserialize(bytes).map_err(|error| ModelError::Weights {
            path: path.to_path_buf(),
            problem: format!("not a safetensors file ({error}); download or export it again"),
        })?;
        let prefixes = [Architecture::Bert.prefix(), Architecture::XlmRoberta.prefix()];
        let names = parsed
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let bare = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name).to_owned();
                (bare, view)
            })
            .collect();
        Ok(Self { path: path.to_path_buf(), names })
    }

    /// These rows of a table whose shape must be `shape`.
    fn rows(&self, view: &TensorView<'_>, rows: &[u32], shape: [usize; 2]) -> Result<Vec<f32>, ModelError> {
        let problem = |problem: String| ModelError::Weights { path: self.path.clone(), problem };
        if view.shape() != shape {
            let problem =
                problem(format!("{WORD_EMBEDDINGS} has shape {:?}, config.json asks for {shape:?}", view.shape()));
            return Err(problem);
        }
        let width = view.data().len() / shape[0].max(1);
        let bytes: Vec<u8> = rows
            .chunk_by(|a, b| a + 1 == *b)
            .flat_map(|run| &view.data()[run[0] as usize * width..(run[run.len() - 1] as usize + 1) * width])
            .copied()
            .collect();
        let view = TensorView::new(view.dtype(), vec![rows.len(), shape[1]], &bytes)
            .map_err(|error| problem(format!("{WORD_EMBEDDINGS}: {error}")))?;
        to_f32(&view).ok_or_else(|| {
            problem(format!("{WORD_EMBEDDINGS} is of type {:?}; expected F32, F16 or BF16", view.dtype()))
        })
    }

    fn fill(&self, name: &str, view: &TensorView<'_>, slot: Slot<'_>, device: &Device) -> Result<(), ModelError> {
        let problem = |problem: String| ModelError::Weights { path: self.path.clone(), problem };
        let memory = slot.shape();
        let expected = match slot {
            Slot::Map(_) => vec![memory[1], memory[0]],
            Slot::Vector(_) | Slot::Table(_) => memory.clone(),
        };
        if view.shape() != expected {
            return Err(problem(format!("{name} has shape {:?}, config.json asks for {expected:?}", view.shape())));
        }
        let values = to_f32(view)
            .ok_or_else(|| problem(format!("{name} is of type {:?}; expected F32, F16 or BF16", view.dtype())))?;
        let values = match slot {
            Slot::Map(_) => transpose(&values, expected[0], expected[1]),
            Slot::Vector(_) | Slot::Table(_) => values,
        };
        put(slot, values, device);
        Ok(())
    }
}

fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let pairs = || view.data().chunks_exact(2).map(|bytes| [bytes[0], bytes[1]]);
    match view.dtype() {
        Dtype::F32 => Some(f32s(view.data())),
        Dtype::F16 => Some(pairs().map(|bytes| f16::from_le_bytes(bytes).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|bytes| bf16::from_le_bytes(bytes).to_f32()).collect()),
        _ => None,
    }
}

pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

impl View for Parameter {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

fn write_tensors(path: &Path, tensors: Vec<(String, Parameter)>) -> Result<(), ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|error| ModelError::Weights { path: path.to_path_buf(), problem: error.to_string() })?;
    std::fs::write(path, bytes).at("write", path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::tiny;

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

    #[test]
    fn half_precision_is_widened() {
        let values = [1.5f32, -0.25, 1024.0];
        let halves: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let brains: Vec<u8> = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        for (kind, bytes) in [(Dtype::F16, halves), (Dtype::BF16, brains)] {
            assert_eq!(to_f32(&TensorView::new(kind, vec![3], &bytes).unwrap()).unwrap(), values);
        }
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let values: Vec<f32> = (0..70 * 45).map(|value| value as f32).collect();
        let turned = transpose(&values, 70, 45);
        assert_eq!(turned[70], values[1]);
        assert_eq!(transpose(&turned, 45, 70), values);
    }
}

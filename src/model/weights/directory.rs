//! Which files in a model directory hold the weights, in transformers' order of preference, and what an index says of shards.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::stored::{StoredTensor, StoredTensors};
use super::{safetensors, torch};
use crate::error::{FileError, IoContext};
use crate::model::ModelError;

/// The weights of the encoder and of a single head.
pub const MODEL_FILE: &str = "model.safetensors";
/// The end of the name of an index beside the name of the file that it stands for.
const INDEX: &str = ".index.json";

/// How a set of weight files is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Safetensors,
    Torch,
}

/// The names of weight files that are looked for; the first one that is there is taken, as transformers does.
pub const WEIGHT_FILES: [&str; 4] =
    [MODEL_FILE, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// An index of weights that are spread over several files (shards).
#[derive(Debug, Deserialize)]
pub struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Whether `name` is that of an index.
    pub fn is_name(name: &str) -> bool {
        name.ends_with(INDEX)
    }

    /// Parses an index. The names of shards are names of files beside it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let index: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("not an index of weight files ({error})"))?;
        if index.weight_map.is_empty() {
            return Err("not an index of weight files (its weight_map is empty)".to_owned());
        }
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '\\']) && name != "." && name != "..";
        match index.weight_map.iter().find(|(_, shard)| !plain(shard)) {
            Some((name, shard)) => Err(format!("it places {name} in {shard:?}, which is no file beside it")),
            None => Ok(index),
        }
    }

    /// The names of the shards, in order.
    pub fn shards(&self) -> Vec<&str> {
        let mut shards: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).at("read", path)?;
        let wrong = |problem: String| ModelError::Weights { path: path.to_path_buf(), problem };
        Self::parse(&bytes).map_err(|problem| wrong(format!("{problem}; download or export it again")))
    }

    /// Checks that `tensors`, read from the shards `paths`, are those that the index places there.
    fn check(&self, paths: &[PathBuf], tensors: &[StoredTensor]) -> Result<(), ModelError> {
        let shard = |tensor: &StoredTensor| paths[tensor.file].file_name().unwrap_or_default().to_string_lossy();
        let wrong = |tensor: &StoredTensor, problem: String| {
            let problem = format!("{problem}; the files are of different models: download them again");
            Err(ModelError::Weights { path: paths[tensor.file].clone(), problem })
        };
        let mut found = BTreeMap::new();
        for tensor in tensors {
            match self.weight_map.get(&tensor.name) {
                Some(placed) if *placed == shard(tensor) => {}
                Some(placed) => {
                    return wrong(tensor, format!("holds {}, which the index places in {placed}", tensor.name));
                }
                None => return wrong(tensor, format!("holds {}, of which the index says nothing", tensor.name)),
            }
            found.insert(tensor.name.as_str(), ());
        }
        match self.weight_map.iter().find(|(name, _)| !found.contains_key(name.as_str())) {
            Some((name, placed)) => {
                let path = paths.iter().find(|path| path.ends_with(placed)).cloned().unwrap_or_default();
                let problem = format!("lacks {name}, which the index places there; download it again");
                Err(ModelError::Weights { path, problem })
            }
            None => Ok(()),
        }
    }
}

/// The weight files of a model directory.
#[derive(Debug)]
pub(super) struct WeightFiles {
    format: Format,
    index: Option<PathBuf>,
    /// One file, or the shards in order.
    files: Vec<PathBuf>,
}

impl WeightFiles {
    /// Looks for the weights in `directory`.
    ///
    /// # Errors
    /// When there are none, or an index is malformed.
    pub(super) fn find(directory: &Path) -> Result<Self, ModelError> {
        let there = WEIGHT_FILES.into_iter().find(|name| directory.join(name).exists());
        let Some(name) = there else {
            return Err(ModelError::NoWeights { directory: directory.to_path_buf() });
        };
        let format = if name.starts_with(MODEL_FILE) { Format::Safetensors } else { Format::Torch };
        let path = directory.join(name);
        if !ShardIndex::is_name(name) {
            return Ok(Self { format, index: None, files: vec![path] });
        }
        let files = ShardIndex::read(&path)?.shards().iter().map(|shard| directory.join(shard)).collect();
        Ok(Self { format, index: Some(path), files })
    }

    /// One safetensors file by its name.
    pub(super) fn single(path: PathBuf) -> Self {
        Self { format: Format::Safetensors, index: None, files: vec![path] }
    }

    /// Every file, the index first.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.index.iter().chain(&self.files)
    }

    /// The index, or the one file: what messages name.
    pub(super) fn main(&self) -> &Path {
        self.index.as_ref().unwrap_or(&self.files[0])
    }

    /// Opens the files and lists their tensors.
    ///
    /// # Errors
    /// When a file can't be read, is damaged, or is not as the index says.
    pub(super) fn open(&self) -> Result<StoredTensors, ModelError> {
        let mut files = Vec::with_capacity(self.files.len());
        let mut tensors = Vec::new();
        for (number, path) in self.files.iter().enumerate() {
            let file = match (File::open(path), &self.index) {
                (Err(error), Some(index)) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(ModelError::NoShard { path: path.clone(), index: index.clone() });
                }
                (opened, _) => opened.at("open", path)?,
            };
            tensors.extend(match self.format {
                Format::Safetensors => safetensors::tensors(path, &file, number)?,
                Format::Torch => torch::tensors(path, &file, number)?,
            });
            files.push((path.clone(), file));
        }
        if let Some(index) = &self.index {
            ShardIndex::read(index)?.check(&self.files, &tensors)?;
        }
        StoredTensors::new(files, tensors)
    }
}

/// The files in `directory` that decide what a model computes, for keys.
///
/// # Errors
/// When `config.json` or the weights are not there.
pub fn directory_files(directory: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let config = directory.join("config.json");
    std::fs::metadata(&config).at("read", &config)?;
    let mut files = vec![config];
    let weights = WeightFiles::find(directory)?;
    for path in weights.paths() {
        std::fs::metadata(path).map_err(|error| FileError::new("read", path, error))?;
        files.push(path.clone());
    }
    for name in [super::HEADS_LIST, super::HEADS_FILE] {
        files.extend(Some(directory.join(name)).filter(|path| path.exists()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use serde_json::{Value, json};

    use super::super::{HeadSource, initialize, load, save, save_in_shards};
    use super::*;
    use crate::error::ExitCode;
    use crate::model::Architecture;
    use crate::model::config::tests::tiny;

    const INDEX_FILE: &str = "model.safetensors.index.json";

    /// A directory of some shards.
    fn sharded() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let model = initialize(&tiny(Architecture::Bert), &[], 1, &Device::flex());
        save_in_shards(&model, directory.path(), 8_000).unwrap();
        directory
    }

    fn failure(directory: &Path) -> ModelError {
        load(directory, &[], HeadSource::Stored, &Device::flex()).unwrap_err()
    }

    #[test]
    fn shards_hold_what_the_index_says_and_no_more_than_was_asked_for() {
        let directory = sharded();
        let index: Value = serde_json::from_slice(&std::fs::read(directory.path().join(INDEX_FILE)).unwrap()).unwrap();
        let files = directory_files(directory.path()).unwrap();
        assert_eq!(files.len(), 2 + 4, "{files:?}");
        assert_eq!(files[1].file_name().unwrap(), INDEX_FILE);
        assert_eq!(files[5].file_name().unwrap(), "model-00004-of-00004.safetensors");
        let mut total = 0;
        for path in &files[2..] {
            let tensors = safetensors::tensors(path, &File::open(path).unwrap(), 0).unwrap();
            let numbers: usize = tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
            assert!(numbers * 4 <= 8_000, "{path:?}");
            total += numbers;
        }
        assert_eq!(index["metadata"], json!({"total_parameters": total, "total_size": total * 4}));
        assert!(!directory.path().join(MODEL_FILE).exists());
        load(directory.path(), &[], HeadSource::Stored, &Device::flex()).unwrap();
    }

    #[test]
    fn shards_that_differ_from_the_index_are_named() {
        let directory = sharded();
        let path = directory.path().join(INDEX_FILE);
        let index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let with = |change: &dyn Fn(&mut Value)| {
            let mut changed = index.clone();
            change(&mut changed["weight_map"]);
            std::fs::write(&path, changed.to_string()).unwrap();
            failure(directory.path()).to_string()
        };
        let word = "embeddings.word_embeddings.weight";
        let last = "model-00004-of-00004.safetensors";
        let moved = with(&|places| places[word] = last.into());
        assert!(moved.contains(&format!("holds {word}, which the index places in {last}")), "{moved}");
        let unknown = with(&|places| drop(places.as_object_mut().unwrap().remove(word)));
        assert!(unknown.contains(&format!("holds {word}, of which the index says nothing")), "{unknown}");
        let absent = with(&|places| places["more"] = last.into());
        assert!(absent.contains(last) && absent.contains("lacks more"), "{absent}");
        let outside = with(&|places| places[word] = "../weights".into());
        assert!(outside.contains("which is no file beside it"), "{outside}");
        std::fs::write(&path, "{}").unwrap();
        assert!(failure(directory.path()).to_string().contains("not an index of weight files"));

        std::fs::write(&path, index.to_string()).unwrap();
        std::fs::remove_file(directory.path().join(last)).unwrap();
        let error = failure(directory.path());
        assert_eq!(error.exit(), ExitCode::Missing);
        assert!(error.to_string().contains(last) && error.to_string().contains(INDEX_FILE), "{error}");
    }

    #[test]
    fn the_first_kind_of_file_that_is_there_is_taken() {
        let directory = sharded();
        // Not read, since safetensors are there.
        std::fs::write(directory.path().join("pytorch_model.bin"), b"").unwrap();
        load(directory.path(), &[], HeadSource::Stored, &Device::flex()).unwrap();
        let other = initialize(&tiny(Architecture::Bert), &[], 2, &Device::flex());
        save(&other, directory.path()).unwrap();
        assert_eq!(directory_files(directory.path()).unwrap()[1], directory.path().join(MODEL_FILE));
        std::fs::remove_file(directory.path().join(MODEL_FILE)).unwrap();
        std::fs::remove_file(directory.path().join(INDEX_FILE)).unwrap();
        assert!(failure(directory.path()).to_string().contains("pytorch_model.bin: not a PyTorch file"));
        std::fs::remove_file(directory.path().join("pytorch_model.bin")).unwrap();
        let error = failure(directory.path());
        assert_eq!(error.exit(), ExitCode::Missing);
        assert!(error.to_string().contains("expected one of model.safetensors, "), "{error}");
    }
}

//! The state of a training on disk: enough to go on as if nothing had happened.
//!
//! One safetensors file holds parameters, moments, the best parameters so far and the log, and in its metadata the counters;
//! it is written beside and renamed over the old one, so that there is always a whole one. Random numbers need no place in
//! it: each depends on the seed and the step alone ([`crate::model::random`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::optimizer::{AdamW, Moments};
use super::scaler::LossScale;
use crate::error::{IoContext, Result};
use crate::model::Model;
use crate::model::layers::Slot;
use crate::model::weights::{f32s, put, values};

/// The file's name in the scratch directory.
pub const FILE: &str = "checkpoint.safetensors";

/// One measurement on the validation split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// After this many steps.
    pub step: u64,
    /// Of this task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// Its value.
    #[serde(with = "bits")]
    pub value: f64,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After this many steps.
    pub step: u64,
    /// Mean score over tasks, from 0 to 1.
    #[serde(with = "bits")]
    pub score: f64,
}

/// Numbers as their bits: decimal digits would come back as a neighbour now and then.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// The counters of a training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Every evaluation so far.
    pub evaluations: Vec<Evaluation>,
    /// The best evaluation.
    pub best: Option<Best>,
    /// Evaluations since the best.
    pub stale: u32,
    /// The scale of the loss; none in a training in f32.
    #[serde(default)]
    pub scale: Option<LossScale>,
    /// Loss of each step; kept beside the parameters, not in the metadata.
    #[serde(skip)]
    pub losses: Vec<f32>,
    /// Gradient norm of each step, likewise.
    #[serde(skip)]
    pub norms: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    state: State,
    moment_steps: Vec<Option<u32>>,
}

struct Flat(Vec<usize>, Vec<f32>);

impl View for Flat {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.1.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.1.len() * size_of::<f32>()
    }
}

/// Writes the training's state into `directory`, which is made where it is not there. `identity` tells this training from others.
///
/// # Errors
/// When the directory can't be written or the device fails.
pub fn write(
    directory: &Path,
    identity: &str,
    model: &Model,
    best: Option<&Model>,
    optimizer: &AdamW,
    state: &State,
) -> Result<()> {
    let mut tensors = vec![
        ("log/loss".to_owned(), Flat(vec![state.losses.len()], state.losses.clone())),
        ("log/norm".to_owned(), Flat(vec![state.norms.len()], state.norms.clone())),
    ];
    for (kind, model) in [("model", Some(model)), ("best", best)] {
        let Some(mut model) = model.cloned() else { continue };
        for (name, slot) in model.parameters() {
            tensors.push((format!("{kind}/{name}"), Flat(slot.shape(), in_memory(slot)?)));
        }
    }
    for (index, moments) in optimizer.moments.iter().enumerate() {
        for (kind, tensor) in
            moments.iter().flat_map(|moments| [("first", &moments.first), ("second", &moments.second)])
        {
            let values = values(tensor.clone())?;
            tensors.push((format!("{kind}/{index}"), Flat(vec![values.len()], values)));
        }
    }
    let header = Header {
        identity: identity.to_owned(),
        state: state.clone(),
        moment_steps: optimizer.moments.iter().map(|moments| moments.as_ref().map(|moments| moments.steps)).collect(),
    };
    let header = serde_json::to_string(&header).expect("counters and names serialise");
    let path = directory.join(FILE);
    let bytes = safetensors::serialize(tensors, Some(HashMap::from([("state".to_owned(), header)])))
        .map_err(|error| TrainError::Checkpoint { path: path.clone(), problem: error.to_string() })?;
    std::fs::create_dir_all(directory).at("create directory", directory)?;
    let unfinished = directory.join(format!("{FILE}.unfinished"));
    let mut file = File::create(&unfinished).at("create", &unfinished)?;
    file.write_all(&bytes).at("write", &unfinished)?;
    file.sync_all().at("sync", &unfinished)?;
    std::fs::rename(&unfinished, &path).at("rename", &unfinished)?;
    File::open(directory).and_then(|directory| directory.sync_all()).at("sync", directory)?;
    Ok(())
}

/// Reads the state in `directory` into `model` (not tracked) and `optimizer`; none where there is no checkpoint. The second
/// model is the best so far, on the host.
///
/// # Errors
/// When the file can't be read or is of another training.
pub fn read(
    directory: &Path,
    identity: &str,
    model: &mut Model,
    optimizer: &mut AdamW,
) -> Result<Option<(State, Option<Model>)>> {
    let path = directory.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("read", &path).map_err(Into::into),
    };
    let wrong = |problem: String| TrainError::Checkpoint { path: path.clone(), problem };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| wrong(error.to_string()))?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get("state"));
    let header: Header = header
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| wrong("it holds no state of a training".into()))?;
    let mut state = header.state;
    if header.identity != identity || header.moment_steps.len() != optimizer.moments.len() {
        return Err(wrong("it belongs to another training".into()).into());
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let find = |name: &str| -> Result<Vec<f32>> {
        Ok(tensors.tensor(name).map(|view| f32s(view.data())).map_err(|error| wrong(error.to_string()))?)
    };
    state.losses = find("log/loss")?;
    state.norms = find("log/norm")?;
    let device = model.encoder.device.clone();
    let fill = |kind: &str, model: &mut Model| -> Result<()> {
        let device = model.encoder.device.clone();
        for (name, slot) in model.parameters() {
            let values = find(&format!("{kind}/{name}"))?;
            if values.len() != slot.shape().iter().product::<usize>() {
                return Err(wrong(format!("{name} has another size")).into());
            }
            put(slot, values, &device);
        }
        Ok(())
    };
    let mut best = None;
    if state.best.is_some() {
        let mut model = model.clone().moved(&Device::flex());
        fill("best", &mut model)?;
        best = Some(model);
    }
    fill("model", model)?;
    for (index, steps) in header.moment_steps.into_iter().enumerate() {
        let Some(steps) = steps else { continue };
        let tensor = |kind: &str| -> Result<Tensor<1>> {
            let values = find(&format!("{kind}/{index}"))?;
            let shape = [values.len()];
            Ok(Tensor::from_data(TensorData::new(values, shape), (&device, DType::F32)))
        };
        optimizer.moments[index] = Some(Moments { steps, first: tensor("first")?, second: tensor("second")? });
    }
    Ok(Some((state, best)))
}

/// The values of a parameter as they lie in memory.
fn in_memory(slot: Slot<'_>) -> Result<Vec<f32>> {
    Ok(match slot {
        Slot::Vector(tensor) => values(tensor.clone())?,
        Slot::Table(tensor) | Slot::Map(tensor) => values(tensor.clone())?,
    })
}

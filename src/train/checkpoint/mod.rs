//! The state of a training on disk: enough to go on as if nothing had happened.
//!
//! A checkpoint ([`file`]) holds parameters, moments, the best parameters so far and the log, and in its metadata the
//! counters. It is written beside its place, brought to the disk and renamed, so that one under its name is whole; the two
//! newest are kept, and where storage has damaged the newest one, the one before is taken. A training that goes on from an
//! earlier try reads that one's checkpoints and writes to a directory of its own: the earlier one may only have seemed dead. Random numbers need no place in
//! it: each depends on the seed and the step alone ([`crate::model::random`]).

mod file;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use self::file::{Reader, Writer};
use super::TrainError;
use super::optimizer::{AdamW, Moments};
use super::scaler::LossScale;
use crate::error::{IoContext, Result};
use crate::fs::settle;
use crate::model::Model;
use crate::model::layers::Slot;
use crate::model::weights::{put, values};
use crate::store::Scratch;

/// Checkpoints that are kept.
const KEPT: usize = 2;
/// Where a checkpoint is written before it gets its name.
const UNFINISHED: &str = "checkpoint.unfinished";

/// When checkpoints are written. It decides how much a killed training repeats, never what it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointEvery {
    /// After every so many steps.
    Steps(u64),
    /// After this time, but never so often that writing takes more than a tenth of the time.
    Time(Duration),
}

impl Default for CheckpointEvery {
    fn default() -> Self {
        CheckpointEvery::Time(Duration::from_secs(30))
    }
}

impl FromStr for CheckpointEvery {
    type Err = String;

    /// A number of steps (`500`), or a time (`90s`, `10m`, `1h`).
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number of steps (500) nor a time (90s, 10m, 1h)");
        let (digits, seconds) = match text.strip_suffix(['s', 'm', 'h']) {
            None => (text, None),
            Some(digits) => (
                digits,
                Some(if text.ends_with('s') {
                    1
                } else if text.ends_with('m') {
                    60
                } else {
                    3600
                }),
            ),
        };
        let number: u64 = digits.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
        match seconds {
            None => Ok(CheckpointEvery::Steps(number)),
            Some(unit) => {
                number.checked_mul(unit).map(Duration::from_secs).map(CheckpointEvery::Time).ok_or_else(wrong)
            }
        }
    }
}

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

/// What happened in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLog {
    /// Mean loss.
    pub loss: f32,
    /// Global gradient norm before clipping.
    pub norm: f32,
    /// Tokens that are not padding.
    pub tokens: u32,
    /// Micro-batches that the step was computed in.
    pub micro_batches: u32,
    /// What the loss was multiplied by; 1 in a training in f32.
    pub scale: f32,
}

impl StepLog {
    /// Whether the step was left out because its gradients were not finite under the scale of its loss.
    pub fn skipped(&self) -> bool {
        !self.norm.is_finite()
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
    /// Most padded tokens a micro-batch: as asked for, or lower where the device's memory was too small.
    pub micro_batch_tokens: Option<usize>,
    /// The scale of the loss; none in a training in f32.
    pub scale: Option<LossScale>,
    /// Each step; kept beside the parameters, not in the metadata.
    #[serde(skip)]
    pub log: Vec<StepLog>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    state: State,
    moment_steps: Vec<Option<u32>>,
}

/// The checkpoints of one training.
pub struct Checkpoints {
    scratch: Scratch,
    identity: String,
    every: CheckpointEvery,
    /// When the last one was written, or the training began.
    last: Instant,
    /// How long that took.
    took: Duration,
    /// Files that turned out to be damaged.
    damaged: Vec<PathBuf>,
}

impl Checkpoints {
    /// Those in `scratch` of the training that `identity` tells from others.
    pub fn new(scratch: &Scratch, identity: String, every: CheckpointEvery) -> Self {
        let (scratch, damaged) = (scratch.clone(), Vec::new());
        Self { scratch, identity, every, last: Instant::now(), took: Duration::ZERO, damaged }
    }

    /// Whether it is time for another, `step` steps being done.
    pub fn due(&self, step: u64) -> bool {
        match self.every {
            CheckpointEvery::Steps(steps) => step.is_multiple_of(steps),
            CheckpointEvery::Time(time) => self.last.elapsed() >= pause(time, self.took),
        }
    }

    /// Writes the training's state, then removes all but the newest two. `best`: the best parameters so far.
    ///
    /// # Errors
    /// When the directory can't be written or the device fails; the older checkpoints are as they were.
    pub fn write(&mut self, model: &Model, best: Option<&Model>, optimizer: &AdamW, state: &State) -> Result<()> {
        let started = Instant::now();
        let directory = self.scratch.own().to_owned();
        std::fs::create_dir_all(&directory).at("create directory", &directory)?;
        let unfinished = directory.join(UNFINISHED);
        if let Err(error) = self.fill(&unfinished, model, best, optimizer, state) {
            // What is there of it only takes the room that was too little.
            let _ = std::fs::remove_file(&unfinished);
            return Err(error);
        }
        let path = directory.join(format!("checkpoint-{:010}.safetensors", state.step));
        settle(&unfinished, &path)?;
        let damaged = std::mem::take(&mut self.damaged);
        let good = self.found()?.into_iter().filter(|path| !damaged.contains(path)).skip(KEPT);
        for path in damaged.iter().filter(|damaged| **damaged != path).cloned().chain(good) {
            match std::fs::remove_file(&path) {
                // Removed by a later try of this training, which took this one for dead.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.at("remove", &path)?,
            }
        }
        (self.took, self.last) = (started.elapsed(), Instant::now());
        Ok(())
    }

    fn fill(&self, path: &Path, model: &Model, best: Option<&Model>, optimizer: &AdamW, state: &State) -> Result<()> {
        let mut models: Vec<(&str, Model)> = vec![("model", model.clone())];
        models.extend(best.map(|best| ("best", best.clone())));
        let mut sections = Vec::new();
        for (kind, model) in &mut models {
            sections.extend(
                model.parameters().into_iter().map(|(name, slot)| (format!("{kind}/{name}"), Dtype::F32, slot.shape())),
            );
        }
        let moments = || {
            let known = optimizer.moments.iter().enumerate();
            known
                .filter_map(|(index, moments)| Some((index, moments.as_ref()?)))
                .flat_map(|(index, moments)| [(index, "first", &moments.first), (index, "second", &moments.second)])
        };
        sections.extend(moments().map(|(index, kind, t)| (format!("{kind}/{index}"), Dtype::F32, t.dims().to_vec())));
        let steps = state.log.len();
        let log = [
            ("loss", Dtype::F32),
            ("norm", Dtype::F32),
            ("scale", Dtype::F32),
            ("tokens", Dtype::U32),
            ("micro_batches", Dtype::U32),
        ];
        sections.extend(log.map(|(name, kind)| (format!("log/{name}"), kind, vec![steps])));
        let header = Header {
            identity: self.identity.clone(),
            state: state.clone(),
            moment_steps: optimizer.moments.iter().map(|moments| moments.as_ref().map(|m| m.steps)).collect(),
        };
        let header = serde_json::to_string(&header).expect("counters and names serialise");
        let mut writer = Writer::create(path, sections, header)?;
        for (_, model) in &mut models {
            for (_, slot) in model.parameters() {
                writer.numbers(&in_memory(slot)?)?;
            }
        }
        for (_, _, tensor) in moments() {
            writer.numbers(&values(tensor.clone())?)?;
        }
        let column = |value: fn(&StepLog) -> f32| state.log.iter().map(value).collect::<Vec<_>>();
        writer.numbers(&column(|step| step.loss))?;
        writer.numbers(&column(|step| step.norm))?;
        writer.numbers(&column(|step| step.scale))?;
        let column = |value: fn(&StepLog) -> u32| state.log.iter().map(value).collect::<Vec<_>>();
        writer.numbers(&column(|step| step.tokens))?;
        writer.numbers(&column(|step| step.micro_batches))?;
        Ok(writer.finish()?)
    }

    /// The files of this try's checkpoints and of earlier ones', the newest first; of two of one step, this try's.
    fn found(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for directory in self.scratch.all() {
            let entries = match std::fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).at("read directory", directory).map_err(Into::into),
            };
            for entry in entries {
                let path = entry.at("read directory", directory)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name.starts_with("checkpoint-") && name.ends_with(".safetensors") {
                    found.push((name, path));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Reads the newest whole checkpoint into `model` (not tracked) and `optimizer`; none where there is no checkpoint. The
    /// second model is the best so far. `warn` is told of each damaged file.
    ///
    /// # Errors
    /// When every file is damaged, or the newest whole one is of another training.
    pub fn read(
        &mut self,
        model: &mut Model,
        optimizer: &mut AdamW,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<(State, Option<Model>)>> {
        let found = self.found()?;
        let mut problems = Vec::new();
        for path in &found {
            match Reader::open(path) {
                Ok(mut reader) => {
                    problems.iter().for_each(|problem: &String| warn(problem));
                    let taken = take(&mut reader, &self.identity, model, optimizer)
                        .map_err(|problem| TrainError::Checkpoint { path: path.clone(), problem })?;
                    return Ok(Some(taken));
                }
                Err(problem) => {
                    problems.push(format!("{}: {problem}; taking the checkpoint before it", path.display()));
                    self.damaged.push(path.clone());
                }
            }
        }
        match found.first() {
            None => Ok(None),
            Some(newest) => {
                let problem = Reader::open(newest).err().unwrap_or_default();
                let problem = format!("no checkpoint is whole ({}: {problem})", newest.display());
                Err(TrainError::Checkpoint { path: self.scratch.own().to_owned(), problem }.into())
            }
        }
    }
}

/// The least time between two checkpoints of which the last one took `took`.
fn pause(asked: Duration, took: Duration) -> Duration {
    asked.max(took * 9)
}

/// Takes the training's state out of `reader`.
fn take(
    reader: &mut Reader,
    identity: &str,
    model: &mut Model,
    optimizer: &mut AdamW,
) -> std::result::Result<(State, Option<Model>), String> {
    let header: Header = reader
        .state()
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or("it holds no state of a training that this version knows")?;
    let mut state = header.state;
    if header.identity != identity || header.moment_steps.len() != optimizer.moments.len() {
        return Err("it belongs to another training".into());
    }
    let (losses, norms) = (reader.numbers::<f32>("log/loss")?, reader.numbers::<f32>("log/norm")?);
    let scales = reader.numbers::<f32>("log/scale")?;
    let (tokens, parts) = (reader.numbers::<u32>("log/tokens")?, reader.numbers::<u32>("log/micro_batches")?);
    if [norms.len(), scales.len(), tokens.len(), parts.len()] != [losses.len(); 4] {
        return Err("its log is not of one length".into());
    }
    state.log = (0..losses.len())
        .map(|step| StepLog {
            loss: losses[step],
            norm: norms[step],
            tokens: tokens[step],
            micro_batches: parts[step],
            scale: scales[step],
        })
        .collect();
    let device = model.encoder.device.clone();
    let mut fill = |kind: &str, model: &mut Model| -> std::result::Result<(), String> {
        let device = model.encoder.device.clone();
        for (name, slot) in model.parameters() {
            let values: Vec<f32> = reader.numbers(&format!("{kind}/{name}"))?;
            if values.len() != slot.shape().iter().product::<usize>() {
                return Err(format!("{name} has another size"));
            }
            put(slot, values, &device);
        }
        Ok(())
    };
    let mut best = None;
    if state.best.is_some() {
        let mut held = model.clone().moved(&Device::flex()).map_err(|error| error.to_string())?;
        fill("best", &mut held)?;
        best = Some(held);
    }
    fill("model", model)?;
    for (index, steps) in header.moment_steps.into_iter().enumerate() {
        let Some(steps) = steps else { continue };
        let mut tensor = |kind: &str| -> std::result::Result<Tensor<1>, String> {
            let values: Vec<f32> = reader.numbers(&format!("{kind}/{index}"))?;
            let shape = [values.len()];
            Ok(Tensor::from_data(TensorData::new(values, shape), (&device, DType::F32)))
        };
        optimizer.moments[index] = Some(Moments { steps, first: tensor("first")?, second: tensor("second")? });
    }
    Ok((state, best))
}

/// The values of a parameter as they lie in memory.
fn in_memory(slot: Slot<'_>) -> Result<Vec<f32>> {
    Ok(match slot {
        Slot::Vector(tensor) => values(tensor.clone())?,
        Slot::Table(tensor) | Slot::Map(tensor) => values(tensor.clone())?,
    })
}

#[cfg(test)]
mod tests;

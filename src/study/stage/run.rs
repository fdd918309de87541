//! What a process has to perform jobs with, and where one of them writes.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::{DeviceKind, StageName};
use crate::error::Result;
use crate::model::{ChosenDevice, OpenDevice};
use crate::progress::Progress;
use crate::schema;
use crate::shard::{KeyColumns, Writer};
use crate::store::{Scratch, Store};
use crate::study::artifacts::TokenizerFile;
use crate::study::{StudyError, StudyLabel};
use crate::tokenize::Tokenizer;
use crate::train::Upkeep;

/// What it takes to perform a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Where it computes with tensors, if it does. A GPU is one stage's at a time.
    pub device: Option<DeviceKind>,
    /// How many threads it can keep busy.
    pub threads: Threads,
    /// Bytes that its vectors may take in memory, of a stage that is told how many; what is more lies in a file meanwhile.
    pub memory: Option<u64>,
}

/// How many threads a stage can keep busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One.
    One,
    /// As many as it is given.
    Many,
}

impl Resources {
    /// Those of a stage that streams tables on the CPU.
    pub(super) fn cpu(threads: Threads) -> Self {
        Self { device: None, threads, memory: None }
    }

    /// Those of a stage that computes with tensors.
    pub(super) fn tensors(device: DeviceKind) -> Self {
        Self { device: Some(device), threads: Threads::Many, memory: None }
    }
}

/// What the jobs of one process share. Any process can make one.
pub struct Run<'a> {
    /// Where inputs are.
    pub store: &'a Store,
    /// What trainings do beside computing; event files go below its directory, by study and label.
    pub upkeep: Upkeep,
    device: &'a ChosenDevice,
    /// The last tokenizer that a stage needed: reading a large one takes longer than tokenising a small task.
    tokenizer: Mutex<Option<(String, Arc<Tokenizer>)>>,
}

impl<'a> Run<'a> {
    /// Jobs over `store` that train and predict on `device`.
    pub fn new(store: &'a Store, device: &'a ChosenDevice) -> Self {
        Self { store, upkeep: Upkeep::default(), device, tokenizer: Mutex::new(None) }
    }

    /// Where this process computes.
    pub fn device_kind(&self) -> DeviceKind {
        self.device.kind()
    }

    /// The device of `kind`, opened by the first stage that asks for it. An executor gives a GPU to one stage at a time.
    ///
    /// # Errors
    /// [`StudyError::Device`] where this process has another.
    pub(super) fn device(&self, kind: DeviceKind) -> Result<OpenDevice> {
        let has = self.device_kind();
        if has != kind {
            return Err(StudyError::Device { wanted: kind.name(), has: has.name() }.into());
        }
        Ok(self.device.open()?)
    }

    /// The tokenizer in `file`.
    pub(super) fn tokenizer(&self, file: TokenizerFile<'_>) -> Result<Arc<Tokenizer>> {
        let mut last = self.tokenizer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((digest, tokenizer)) = &*last
            && digest == file.digest()
        {
            return Ok(Arc::clone(tokenizer));
        }
        let loaded = Arc::new(Tokenizer::load(&file.path())?);
        *last = Some((file.digest().to_owned(), Arc::clone(&loaded)));
        Ok(loaded)
    }
}

/// Where one stage writes, and who watches it.
pub struct Output<'a> {
    /// The directory of its files.
    pub dir: &'a Path,
    /// Directories that outlive a crash, for checkpoints.
    pub scratch: &'a Scratch,
    /// The key of what it makes.
    pub key: &'a str,
    /// The stage.
    pub stage: StageName,
    /// Its place in a study.
    pub label: &'a StudyLabel,
    /// Told how far it is.
    pub progress: &'a dyn Progress,
    /// Set when it is to stop.
    pub stop: &'a AtomicBool,
}

impl Output<'_> {
    /// What the footer of every table says of where it comes from.
    pub fn metadata(&self) -> [(&str, &str); 2] {
        [("trestle.key", self.key), ("trestle.stage", self.stage.name())]
    }

    /// Writes a table of schema `id` as `<id>.parquet`.
    pub fn table(&self, id: &str, batch: &RecordBatch) -> Result<()> {
        self.table_with(id, batch, KeyColumns::default())
    }

    /// The same with the columns `keys` of a second language.
    pub fn table_with(&self, id: &str, batch: &RecordBatch, keys: KeyColumns) -> Result<()> {
        self.write(id, &self.dir.join(format!("{id}.parquet")), batch, keys)
    }

    /// Writes the predictions in one language.
    pub fn predictions(&self, language: &str, batch: &RecordBatch, keys: KeyColumns) -> Result<()> {
        let path = self.dir.join(format!("language={language}")).join(crate::shard::PART);
        self.write("predictions", &path, batch, keys)
    }

    fn write(&self, id: &str, path: &Path, batch: &RecordBatch, keys: KeyColumns) -> Result<()> {
        let table = schema::table(id);
        table.check(batch)?;
        let mut writer = Writer::create(path, &table.schema_with(|name| keys.has(name)), &self.metadata())?;
        writer.write(batch)?;
        writer.finish()?;
        Ok(())
    }
}

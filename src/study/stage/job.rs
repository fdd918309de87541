//! A stage to perform, as data: whoever has the store, and the files from outside that it names, can do it.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inputs::Sources;
use super::{Inputs, Output, Resources, Run, Stage, StageName};
use crate::error::Result;
use crate::progress::Progress;
use crate::store::{Identity, Transaction};
use crate::study::{StudyError, StudyLabel};

/// One stage whose inputs are there: what it is (its key), and what else a process needs to perform it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The stage.
    pub stage: StageName,
    /// The version of its code.
    pub version: u32,
    /// Its place in a study.
    pub label: StudyLabel,
    /// The stage's request, as JSON.
    pub request: Value,
    /// What the stage must be told beside, and no output depends on.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub unkeyed: Value,
    /// What it is made from, by name.
    pub inputs: Sources,
}

impl Job {
    /// The job of stage `S` that performs `request`.
    pub fn new<S: Stage>(
        label: StudyLabel,
        request: &S::Request,
        unkeyed: &S::Unkeyed,
        inputs: Sources,
    ) -> Result<Self> {
        let of = |value: serde_json::Result<Value>| {
            value.map_err(|e| StudyError::Job { label: label.to_string(), message: e.to_string() })
        };
        let (request, unkeyed) = (of(serde_json::to_value(request))?, of(serde_json::to_value(unkeyed))?);
        Ok(Self { stage: S::NAME, version: S::VERSION, label, request, unkeyed, inputs })
    }

    /// What it makes.
    pub fn identity(&self) -> Identity {
        Identity {
            stage: self.stage.name().to_owned(),
            version: self.version,
            label: self.label.to_string(),
            parameters: self.request.clone(),
            inputs: self.inputs.iter().map(|(name, source)| (name.clone(), source.as_input())).collect(),
        }
    }

    /// What it takes to perform it.
    pub fn needs(&self) -> Result<Resources> {
        self.stage.needs(self)
    }

    /// Performs it into the directory of `transaction`; returns the outcome for the manifest.
    ///
    /// # Errors
    /// The stage's own; [`StudyError::Job`] where this is another version of the stage, or the job is none of its; an input that is
    /// not in the store.
    pub fn perform(
        &self,
        transaction: &Transaction,
        run: &Run<'_>,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Value> {
        let out = Output {
            dir: transaction.dir(),
            scratch: transaction.scratch(),
            key: transaction.key().as_str(),
            stage: self.stage,
            label: &self.label,
            progress,
            stop,
        };
        self.perform_into(&out, run)
    }

    /// As [`Self::perform`], into `out`.
    pub fn perform_into(&self, out: &Output<'_>, run: &Run<'_>) -> Result<Value> {
        if self.version != self.stage.version() {
            let (wanted, has) = (self.version, self.stage.version());
            return Err(self.refused(format!("it is for version {wanted} of stage {}; this is {has}", self.stage)));
        }
        let inputs = Inputs::load(run.store, &self.label, &self.inputs)?;
        self.stage.perform(self, &inputs, out, run)
    }

    pub(super) fn needs_of<S: Stage>(&self) -> Result<Resources> {
        Ok(S::needs(&self.read(&self.request)?))
    }

    pub(super) fn perform_as<S: Stage>(&self, inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<Value> {
        let (request, unkeyed) = (self.read(&self.request)?, self.read(&self.unkeyed)?);
        let outcome = S::perform(request, unkeyed, inputs, out, run)?;
        serde_json::to_value(outcome).map_err(|e| self.refused(e.to_string()))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, value: &Value) -> Result<T> {
        T::deserialize(value).map_err(|e| self.refused(e.to_string()))
    }

    fn refused(&self, message: String) -> crate::error::Error {
        StudyError::Job { label: self.label.to_string(), message }.into()
    }
}

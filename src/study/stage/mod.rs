//! The stages: each kind of work in a file of its own, and here what they have in common.
//!
//! A [`Stage`] has a *request*, everything that decides its output beside its inputs. The request is the key: what a
//! manifest calls parameters is the request as JSON, and there is no second list. Its *outcome* is what others read of it
//! in the manifest, by type ([`super::artifacts`]). A [`Planned`] stage also knows how its request follows from a study,
//! its task and model files, and its inputs.
//!
//! [`stages!`] below is the only list: names, versions, [`Work`] and how a [`Job`] is performed come from it.

mod inputs;
mod job;
mod run;
mod setup;

pub mod analyze;
pub mod baseline;
pub mod embed;
pub mod generate;
pub mod import;
pub mod normalize;
pub mod overlap;
pub mod predict;
pub mod profile;
pub mod retrieve;
pub mod score;
pub mod tokenize;
pub mod tokenizer;
pub mod train;
pub mod view;

pub use crate::model::DeviceKind;
pub use inputs::{Inputs, Source};
pub use job::Job;
pub use run::{Output, Resources, Run, Threads};
pub(in crate::study) use setup::task_languages;
pub use setup::{Raw, Setup};

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;

/// Resamples of each bootstrap interval.
pub const RESAMPLES: usize = 1_000;
/// Seed of each bootstrap, and of each randomisation.
pub const BOOTSTRAP_SEED: u64 = 1;
/// Trials behind each p-value: the smallest, 1 in 10,000, can stand a correction for 499 comparisons.
pub const TRIALS: usize = 9_999;

/// One kind of work.
pub trait Stage {
    /// Which of the list it is.
    const NAME: StageName;

    /// Raised when a change of code changes the output of the same request and inputs.
    const VERSION: u32;

    /// Everything that decides the output beside the inputs. Its JSON is part of the key, so a field that is added must be left
    /// out of it where its value is what was done before, or the version be raised.
    type Request: Serialize + DeserializeOwned;

    /// What a process must be told beside, and no output depends on: which input is what, what is refused.
    type Unkeyed: Serialize + DeserializeOwned;

    /// What others may read of it: the statistics in the manifest.
    type Outcome: Serialize + DeserializeOwned;

    /// What it takes to perform `request`.
    fn needs(request: &Self::Request) -> Resources;

    /// Writes what `request` asks for into `out`.
    fn perform(
        request: Self::Request,
        unkeyed: Self::Unkeyed,
        inputs: &Inputs,
        out: &Output<'_>,
        run: &Run<'_>,
    ) -> Result<Self::Outcome>;
}

/// A stage that studies are planned of.
pub trait Planned: Stage {
    /// What the planner says of a node.
    type Plan: fmt::Debug + Clone + PartialEq;

    /// The request that `plan` comes to in the study of `setup`, once its inputs are there. Files from outside are added to
    /// `inputs`.
    fn request(plan: &Self::Plan, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Self::Request, Self::Unkeyed)>;
}

/// What the planner says of a stage of which each task has one, or a cell one for its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfTask {
    /// The task.
    pub task: String,
}

/// The stages by file: those that studies are planned of, and those that a command asks for by itself.
macro_rules! stages {
    (
        planned: $($(#[$docs:meta])+ $stage:ident in $module:ident,)+
        asked: $($(#[$other_docs:meta])+ $other:ident in $other_module:ident,)+
    ) => {
        /// The name of a stage: that of its file here and of its folder in the store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum StageName {
            $($(#[$docs])+ $stage,)+
            $($(#[$other_docs])+ $other,)+
        }

        impl StageName {
            /// Every stage.
            pub const ALL: &'static [StageName] = &[$(StageName::$stage,)+ $(StageName::$other,)+];

            /// As it is written.
            pub fn name(self) -> &'static str {
                match self {
                    $(StageName::$stage => stringify!($module),)+
                    $(StageName::$other => stringify!($other_module),)+
                }
            }

            /// The version of its code.
            pub fn version(self) -> u32 {
                match self {
                    $(StageName::$stage => <$module::$stage as Stage>::VERSION,)+
                    $(StageName::$other => <$other_module::$other as Stage>::VERSION,)+
                }
            }

            /// [`Stage::needs`] of the stage of this name.
            fn needs(self, job: &Job) -> Result<Resources> {
                match self {
                    $(StageName::$stage => job.needs_of::<$module::$stage>(),)+
                    $(StageName::$other => job.needs_of::<$other_module::$other>(),)+
                }
            }

            /// [`Stage::perform`] of the stage of this name; its outcome as JSON.
            fn perform(self, job: &Job, inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<Value> {
                match self {
                    $(StageName::$stage => job.perform_as::<$module::$stage>(inputs, out, run),)+
                    $(StageName::$other => job.perform_as::<$other_module::$other>(inputs, out, run),)+
                }
            }
        }

        /// What a node of a graph does: a stage, and what the planner says of it.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Work {
            $($(#[$docs])+ $stage(<$module::$stage as Planned>::Plan),)+
        }

        impl Work {
            /// Its stage.
            pub fn stage(&self) -> StageName {
                match self {
                    $(Work::$stage(_) => StageName::$stage,)+
                }
            }

            /// The job that it comes to in the study of `setup`, once its inputs are there.
            fn job(&self, setup: &Setup<'_>, inputs: Inputs) -> Result<Job> {
                match self {
                    $(Work::$stage(plan) => setup.job_of::<$module::$stage>(plan, inputs),)+
                }
            }
        }
    };
}

stages! {
    planned:
    /// Writes one original dataset's raw files in the mini edition.
    Generate in generate,
    /// Raw files to canonical tables.
    Normalize in normalize,
    /// Canonical tables of other canonical tables.
    View in view,
    /// Trains a Unigram tokenizer, or takes one from a file.
    Tokenizer in tokenizer,
    /// Canonical tables to model inputs.
    Tokenize in tokenize,
    /// Describes a task's tables, and what the tokenizer makes of them.
    Profile in profile,
    /// Looks for evaluation data of all tasks in their training data.
    Overlap in overlap,
    /// Trains an encoder on some tasks.
    Train in train,
    /// Embeds the sentences of a retrieval target.
    Embed in embed,
    /// Searches among them: the predictions of such a target.
    Retrieve in retrieve,
    /// Predicts a target's evaluation split in every language.
    Predict in predict,
    /// Predicts it without a model: the majority, or chance.
    Baseline in baseline,
    /// Scores predictions against gold.
    Score in score,
    /// Compares a study's rows, and aggregates them over its seeds.
    Analyze in analyze,
    asked:
    /// Takes in another system's predictions.
    Import in import,
}

impl StageName {
    /// The stage that is written `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.name() == name)
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

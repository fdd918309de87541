//! A model's predictions of a target's evaluation split, in every language.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DeviceKind, Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName};
use crate::error::Result;
use crate::evaluate::predict::{PredictFile, PredictOutcome, PredictRequest, predict};
use crate::study::artifacts::{Canonical, Tokens};
use crate::task::{Format, Split};

/// The stage.
pub struct Predict;

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target.
    pub task: String,
    /// Its format.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// The split that is predicted.
    pub split: Split,
    /// Where it runs.
    pub device: DeviceKind,
    /// The task whose training split it is fine-tuned on.
    pub trained_as: Option<String>,
    /// Whether the prediction may be that there is no answer.
    pub unanswerable: bool,
}

impl Stage for Predict {
    const NAME: StageName = StageName::Predict;
    const VERSION: u32 = 3;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = PredictOutcome;

    fn needs(request: &Request) -> Resources {
        Resources::tensors(request.device)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<PredictOutcome> {
        let device = run.device(request.device)?;
        let gold: BTreeMap<String, PathBuf> =
            inputs.get::<Canonical>("gold")?.of_split(request.split).into_iter().collect();
        let tokens = inputs.get::<Tokens>("tokens")?.of_split(request.split);
        let file = |(language, tokens): (String, PathBuf)| {
            Some(PredictFile { canonical: gold.get(&language)?.clone(), language, tokens })
        };
        let wanted = PredictRequest {
            model_dir: inputs.model_dir("model")?,
            task: request.task,
            trained_as: request.trained_as,
            format: request.format,
            unanswerable: request.unanswerable,
            labels: request.labels,
            files: tokens.into_iter().filter_map(file).collect(),
            split: request.split,
            device,
        };
        predict(&wanted, out.dir, out.progress, out.stop)
    }
}

impl Planned for Predict {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        if inputs.artifact("model").is_none() {
            setup.add_encoder(inputs)?;
        }
        let request = Request {
            task: task.id.clone(),
            format: task.format,
            labels: inputs.get::<Tokens>("tokens")?.labels(task)?,
            split: task.evaluate,
            device: setup.device(),
            trained_as: task.training_task().map(str::to_owned),
            unanswerable: task.unanswerable,
        };
        Ok((request, ()))
    }
}

//! The predictions of a retrieval target: a search among its sentence vectors.

use serde::{Deserialize, Serialize};

use super::{DeviceKind, Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName};
use crate::error::Result;
use crate::evaluate::retrieval::{Method, RetrieveOutcome, RetrieveRequest, retrieve};
use crate::study::artifacts::Embeddings;
use crate::task::Pooling;

/// Bytes that a search may take for vectors; what is more lies in a file meanwhile.
const MEMORY: u64 = 4 << 30;

/// The stage.
pub struct Retrieve;

/// What is looked for where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target.
    pub task: String,
    /// What is looked for.
    pub method: Method,
    /// Whether queries search the sentences of all languages.
    pub shared_index: bool,
    /// Whether the language of a sentence that is found is a column of its own: where the index is shared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prediction_language: bool,
    /// The hidden states, each searched on its own.
    pub layers: Vec<usize>,
    /// What of them stands for a sentence.
    pub pooling: Pooling,
    /// Where it runs.
    pub device: DeviceKind,
}

impl Stage for Retrieve {
    const NAME: StageName = StageName::Retrieve;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = RetrieveOutcome;

    fn needs(request: &Request) -> Resources {
        Resources { memory: Some(MEMORY), ..Resources::tensors(request.device) }
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<RetrieveOutcome> {
        let device = run.device(request.device)?;
        let wanted = RetrieveRequest {
            task: request.task,
            files: inputs.get::<Embeddings>("embeddings")?.tables(),
            layers: request.layers,
            pooling: request.pooling,
            method: request.method,
            shared_index: request.shared_index,
            device,
            memory: MEMORY,
        };
        retrieve(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Retrieve {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, _inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let retrieval = &setup.model.retrieval;
        let request = Request {
            task: task.id.clone(),
            method: Method::of(task.metric),
            shared_index: task.shares_index(),
            prediction_language: task.shares_index(),
            layers: retrieval.layers.clone(),
            pooling: retrieval.pooling,
            device: setup.device(),
        };
        Ok((request, ()))
    }
}

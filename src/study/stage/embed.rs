//! Sentence vectors of a retrieval target.

use serde::{Deserialize, Serialize};

use super::{DeviceKind, Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName};
use crate::error::Result;
use crate::evaluate::predict::{EmbedOutcome, EmbedRequest, embed};
use crate::study::artifacts::Tokens;
use crate::task::{Pooling, Split};

/// The stage.
pub struct Embed;

/// What of the model stands for a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target.
    pub task: String,
    /// The splits whose sentences are embedded.
    pub splits: Vec<Split>,
    /// The hidden states, each on its own.
    pub layers: Vec<usize>,
    /// What of a hidden state.
    pub pooling: Pooling,
    /// Where it runs.
    pub device: DeviceKind,
}

impl Stage for Embed {
    const NAME: StageName = StageName::Embed;
    const VERSION: u32 = 1;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = EmbedOutcome;

    fn needs(request: &Request) -> Resources {
        Resources::tensors(request.device)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<EmbedOutcome> {
        let device = run.device(request.device)?;
        let wanted = EmbedRequest {
            model_dir: inputs.model_dir("model")?,
            task: request.task,
            files: inputs.get::<Tokens>("tokens")?.of_splits(&request.splits),
            layers: request.layers,
            pooling: request.pooling,
            device,
        };
        embed(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Embed {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        if inputs.artifact("model").is_none() {
            setup.add_encoder(inputs)?;
        }
        let retrieval = &setup.model.retrieval;
        let request = Request {
            task: task.id.clone(),
            splits: task.predicted_splits(),
            layers: retrieval.layers.clone(),
            pooling: retrieval.pooling,
            device: setup.device(),
        };
        Ok((request, ()))
    }
}

//! A task's canonical tables to model inputs.

use serde::{Deserialize, Serialize};

use super::{Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::error::Result;
use crate::study::artifacts::{Canonical, TokenizerFile};
use crate::task::Format;
use crate::tokenize::{TokenizeOutcome, TokenizeRequest, tokenize};

/// The stage.
pub struct Tokenize;

/// How rows become instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The shape of the rows.
    pub format: Format,
    /// The labels, in head order.
    pub labels: Vec<String>,
    /// Whether another label is unknown instead of an error.
    pub open_labels: bool,
    /// Longest instance in tokens.
    pub max_length: usize,
    /// Tokens that neighbouring windows share.
    pub stride: usize,
    /// Longest question in tokens.
    pub question: usize,
}

impl Stage for Tokenize {
    const NAME: StageName = StageName::Tokenize;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = TokenizeOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<TokenizeOutcome> {
        let tokenizer = run.tokenizer(inputs.get::<TokenizerFile>("tokenizer")?)?;
        let tables = inputs.get::<Canonical>("canonical")?.tables();
        let wanted = TokenizeRequest {
            format: request.format,
            labels: &request.labels,
            open_labels: request.open_labels,
            tokenizer: &tokenizer,
            max_length: request.max_length,
            stride: request.stride,
            max_question: request.question,
            tables: &tables,
        };
        tokenize(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Tokenize {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let lengths = &setup.model.lengths;
        let request = Request {
            format: task.format,
            labels: inputs.get::<Canonical>("canonical")?.labels(task)?,
            open_labels: task.open_labels,
            max_length: lengths.of(task.format),
            stride: lengths.stride,
            question: lengths.question,
        };
        Ok((request, ()))
    }
}

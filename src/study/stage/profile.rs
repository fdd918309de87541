//! What a task's tables hold, and what the tokenizer makes of them.

use serde::{Deserialize, Serialize};

use super::{Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::audit::{ProfileOutcome, ProfileRequest, TokenCounts, profile};
use crate::error::Result;
use crate::study::artifacts::{Canonical, Tokens};
use crate::task::Format;
use crate::tokenize::TableOutcome;

/// The stage.
pub struct Profile;

/// What is described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task.
    pub task: String,
    /// The shape of its rows.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
}

impl Stage for Profile {
    const NAME: StageName = StageName::Profile;
    const VERSION: u32 = 1;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = ProfileOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<ProfileOutcome> {
        let tables = inputs.get::<Canonical>("canonical")?.tables();
        let counts = inputs.find::<Tokens>("tokens")?.map(token_counts).transpose()?;
        let wanted = ProfileRequest {
            task: &request.task,
            format: request.format,
            labels: &request.labels,
            tables: &tables,
            tokens: counts.as_deref(),
        };
        profile(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Profile {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let labels = inputs.get::<Canonical>("canonical")?.labels(task)?;
        Ok((Request { task: task.id.clone(), format: task.format, labels }, ()))
    }
}

/// What tokenising gave.
fn token_counts(tokens: Tokens<'_>) -> Result<Vec<TokenCounts>> {
    let outcome = tokens.outcome()?;
    let counts = |table: TableOutcome| TokenCounts {
        split: table.split,
        language: table.language,
        instances: table.instances,
        tokens: table.tokens,
        framing: outcome.framing,
        unknown_tokens: table.unknown_tokens,
        truncated_examples: table.truncated_examples,
    };
    Ok(outcome.tables.into_iter().map(counts).collect())
}

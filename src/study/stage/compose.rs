//! A composed task: the canonical tables of its parts, one after the other.

use serde::{Deserialize, Serialize};

use super::{Inputs, OfTask, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::error::Result;
use crate::normalize::{ComposeRequest, NormalizeOutcome, Terms, compose};
use crate::study::artifacts::Canonical;
use crate::task::Format;

/// The stage.
pub struct Compose;

/// What is put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The composed task.
    pub task: String,
    /// The shape of its rows.
    pub format: Format,
    /// Its labels in head order; none where the set is open, or the format has none.
    pub labels: Vec<String>,
    /// Its parts, in order.
    pub parts: Vec<String>,
}

/// The name of the input that is the canonical tables of `part`.
pub fn part_input(part: &str) -> String {
    format!("part:{part}")
}

impl Stage for Compose {
    const NAME: StageName = StageName::Compose;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = NormalizeOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(
        request: Request,
        (): (),
        inputs: &Inputs,
        out: &Output<'_>,
        _run: &Run<'_>,
    ) -> Result<NormalizeOutcome> {
        let tables = |part: &String| Ok((part.clone(), inputs.get::<Canonical>(&part_input(part))?.tables()));
        let parts: Vec<_> = request.parts.iter().map(tables).collect::<Result<_>>()?;
        let terms = Terms {
            id: &request.task,
            format: request.format,
            labels: &request.labels,
            open_labels: request.format.is_labelled() && request.labels.is_empty(),
            choices: &[],
            languages: &[],
        };
        compose(&ComposeRequest { terms, parts: &parts }, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Compose {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, _inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let (labels, parts) = (task.labels.clone(), task.parts.clone());
        Ok((Request { task: task.id.clone(), format: task.format, labels, parts }, ()))
    }
}

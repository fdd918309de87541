//! Which evaluation texts of all tasks stand in training data.

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::audit::{AuditTable, OverlapOutcome, OverlapRequest, overlap};
use crate::error::Result;
use crate::study::artifacts::Canonical;
use crate::task::{Format, Role};

/// The stage.
pub struct Overlap;

/// Which tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The tasks.
    pub tasks: Vec<String>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The tasks, in order.
    pub tasks: Vec<AuditedTask>,
}

/// One of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedTask {
    /// The task.
    pub id: String,
    /// The shape of its rows.
    pub format: Format,
    /// Whether it is looked for in the others.
    pub role: Role,
}

/// The name of the input that is the canonical tables of `task`.
pub fn canonical_input(task: &str) -> String {
    format!("canonical:{task}")
}

impl Stage for Overlap {
    const NAME: StageName = StageName::Overlap;
    const VERSION: u32 = 1;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = OverlapOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<OverlapOutcome> {
        let mut tables = Vec::new();
        for AuditedTask { id, format, role } in request.tasks {
            for (split, language, path) in inputs.get::<Canonical>(&canonical_input(&id))?.tables() {
                tables.push(AuditTable { task: id.clone(), format, role, split, language, path });
            }
        }
        overlap(&OverlapRequest { tables: &tables }, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for Overlap {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, _inputs: &mut Inputs) -> Result<(Request, ())> {
        let audited = |name: &String| {
            setup.task(name).map(|task| AuditedTask { id: task.id.clone(), format: task.format, role: task.role })
        };
        Ok((Request { tasks: plan.tasks.iter().map(audited).collect::<Result<_>>()? }, ()))
    }
}

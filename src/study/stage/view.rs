//! A view: canonical tables of canonical tables.

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::error::Result;
use crate::normalize::{AnyTransform, Terms, ViewOutcome, ViewRequest, make_view};
use crate::study::artifacts::Canonical;
use crate::task::{Format, Split};

/// The stage.
pub struct View;

/// Which view, and of what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The view.
    pub task: String,
    /// The splits that are read; none: all that there are.
    pub splits: Vec<Split>,
}

/// What is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The view.
    pub task: String,
    /// The shape of its rows.
    pub format: Format,
    /// Its labels in head order; none where the set is open, or the format has none.
    pub labels: Vec<String>,
    /// How its rows are made.
    pub transform: AnyTransform,
    /// The tasks whose rows they are made of, in order.
    pub of: Vec<String>,
    /// The splits that are read; none: all that there are.
    pub splits: Vec<Split>,
}

/// The name of the input that is the canonical tables of `part`.
pub fn part_input(part: &str) -> String {
    format!("part:{part}")
}

impl Stage for View {
    const NAME: StageName = StageName::View;
    const VERSION: u32 = 1;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = ViewOutcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<ViewOutcome> {
        let tables = |part: &String| {
            let mut tables = inputs.get::<Canonical>(&part_input(part))?.tables();
            tables.retain(|(split, _, _)| request.splits.is_empty() || request.splits.contains(split));
            Ok((part.clone(), tables))
        };
        let parts: Vec<_> = request.of.iter().map(tables).collect::<Result<_>>()?;
        let terms = Terms {
            id: &request.task,
            format: request.format,
            labels: &request.labels,
            open_labels: request.format.is_labelled() && request.labels.is_empty(),
            choices: &[],
            languages: &[],
        };
        let wanted = ViewRequest { terms, transform: &request.transform, parts: &parts };
        make_view(&wanted, out.dir, &out.metadata(), out.progress, out.stop)
    }
}

impl Planned for View {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, _inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let of = task.made_of();
        let transform = AnyTransform::of(task, &of.iter().map(|part| setup.task(part)).collect::<Result<Vec<_>>>()?)?;
        let (labels, splits) = (task.labels.clone(), plan.splits.clone());
        Ok((Request { task: task.id.clone(), format: task.format, labels, transform, of, splits }, ()))
    }
}

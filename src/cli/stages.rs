use clap::Args;

use super::run::{TrainingArgs, Workers, perform};
use super::study_args::{Resolved, StudyArgs, TaskChoice};
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::report;
use crate::study::{Node, Outcome, Phase, StudyError, Work, collect};
use crate::train::Upkeep;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle normalize mini --task mnli,xnli\n  \
    trestle normalize --edition mini\n  trestle normalize --suite xtreme --data ~/datasets")]
pub struct NormalizeArgs {
    #[command(flatten)]
    stage: TaskStageArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle tokenize mini --task xnli\n  trestle tokenize --edition mini\n  \
    trestle tokenize --data ~/datasets --task xnli,xquad --tokenizer xlmr/tokenizer.json")]
pub struct TokenizeArgs {
    #[command(flatten)]
    stage: TaskStageArgs,
}

/// What the commands that work on tasks take.
#[derive(Debug, Args)]
pub struct TaskStageArgs {
    #[command(flatten)]
    choice: TaskChoice,
    #[command(flatten)]
    workers: Workers,
    /// Prints the artifacts' manifests as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle train mini --phase pretrain\n  trestle train mini --intermediate mnli --target xnli"
)]
pub struct TrainArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// Only this phase.
    #[arg(long, value_parser = ["pretrain", "intermediate", "target"])]
    phase: Option<String>,
    #[command(flatten)]
    cell: CellArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  trestle embed retrieval --encoder ~/models/all-MiniLM-L6-v2 --data ~/datasets --layers 5,6"
)]
pub struct EmbedArgs {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    cell: CellArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle predict mini --intermediate mnli --target xnli")]
pub struct PredictArgs {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    cell: CellArgs,
}

/// What every stage command takes.
#[derive(Debug, Args)]
pub struct StageArgs {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    workers: Workers,
    #[command(flatten)]
    training: TrainingArgs,
    /// Prints the artifacts' manifests (or the scores) as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Rows and columns of the study's grid.
#[derive(Debug, Args)]
pub struct CellArgs {
    /// Only this row of the study.
    #[arg(long, value_name = "ROW")]
    intermediate: Option<String>,
    /// Only this column of the study.
    #[arg(long, value_name = "TASK")]
    target: Option<String>,
}

impl CellArgs {
    /// Whether `label` (`target/xnli/mnli/seed-1`, `intermediate/mnli/seed-1`, …) is in the chosen rows and columns.
    pub fn picks(&self, label: &str) -> bool {
        let parts: Vec<&str> = label.split('/').collect();
        let (target, row) = match parts.as_slice() {
            ["intermediate", row, ..] => (None, Some(*row)),
            ["target" | "embed" | "predict" | "score", target, row, ..] => (Some(*target), Some(*row)),
            ["baseline", target] => (Some(*target), Some(crate::task::CHANCE)),
            _ => (None, None),
        };
        let fits =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        fits(&self.target, target) && fits(&self.intermediate, row)
    }
}

pub fn normalize(context: &Context, args: &NormalizeArgs) -> Result<ExitCode> {
    of_tasks(context, &args.stage, |work| match work {
        Work::Normalize { task, .. } | Work::Compose { task } => Some(task),
        _ => None,
    })
}

pub fn tokenize(context: &Context, args: &TokenizeArgs) -> Result<ExitCode> {
    of_tasks(context, &args.stage, |work| match work {
        Work::Tokenize { task } | Work::Profile { task } => Some(task),
        _ => None,
    })
}

/// Runs the nodes for which `task_of` gives a task that is wanted.
fn of_tasks(context: &Context, args: &TaskStageArgs, task_of: fn(&Work) -> Option<&String>) -> Result<ExitCode> {
    let resolved = args.choice.resolve(context)?;
    let wanted = |node: &Node| task_of(&node.work).is_some_and(|task| args.choice.picks(context, task));
    let what = args.choice.task.join(",");
    let outcome = perform_picked(context, &resolved, (&args.workers, Upkeep::default()), args.json, &what, wanted)?;
    let results = collect(&resolved.setup(context)?, &resolved.graph, &outcome.artifacts)?;
    // A study's results are published when all of it is there.
    if args.choice.study.is_none() && !results.profiles.is_empty() {
        report::publish(&results, &resolved.store.results_dir())?;
    }
    Ok(ExitCode::Success)
}

pub fn train(context: &Context, args: &TrainArgs) -> Result<ExitCode> {
    stage(context, &args.stage, "that training", |node| match &node.work {
        Work::Train { phase, .. } => {
            args.phase.as_deref().is_none_or(|wanted| wanted == phase.name())
                && (*phase == Phase::Pretrain && args.cell.intermediate.is_none() && args.cell.target.is_none()
                    || args.cell.picks(&node.label))
        }
        _ => false,
    })
}

pub fn embed(context: &Context, args: &EmbedArgs) -> Result<ExitCode> {
    stage(context, &args.stage, "those embeddings", |node| {
        matches!(node.work, Work::Embed { .. }) && args.cell.picks(&node.label)
    })
}

pub fn predict(context: &Context, args: &PredictArgs) -> Result<ExitCode> {
    stage(context, &args.stage, "that prediction", |node| {
        matches!(node.work, Work::Predict { .. } | Work::Retrieve { .. } | Work::Baseline { .. })
            && args.cell.picks(&node.label)
    })
}

/// Runs the nodes of a study that `wanted` picks.
pub fn stage(context: &Context, args: &StageArgs, what: &str, wanted: impl Fn(&Node) -> bool) -> Result<ExitCode> {
    let resolved = args.study.resolve(context)?;
    perform_picked(context, &resolved, (&args.workers, args.training.upkeep()), args.json, what, wanted)?;
    Ok(ExitCode::Success)
}

/// Runs the nodes that `wanted` picks, with everything they need, and prints where their artifacts are.
fn perform_picked(
    context: &Context,
    resolved: &Resolved,
    (workers, upkeep): (&Workers, Upkeep),
    json: bool,
    what: &str,
    wanted: impl Fn(&Node) -> bool,
) -> Result<Outcome> {
    let picked: Vec<usize> = (0..resolved.graph.nodes.len()).filter(|&i| wanted(&resolved.graph.nodes[i])).collect();
    if picked.is_empty() {
        return Err(StudyError::NoSuchNode { study: resolved.study.id.clone(), name: what.to_owned() }.into());
    }
    let outcome = perform(context, resolved, &resolved.graph.closure(&wanted), workers, upkeep)?;
    let made: Vec<_> = picked.iter().filter_map(|&i| Some((i, outcome.artifacts[i].as_ref()?))).collect();
    if json {
        print_json(&made.iter().map(|(_, artifact)| &artifact.manifest).collect::<Vec<_>>());
    } else {
        for (index, artifact) in made {
            print(&format!("{}  {}", resolved.graph.nodes[index].label, artifact.dir.display()));
        }
    }
    Ok(outcome)
}

use std::collections::BTreeSet;

use clap::Args;

use super::run::{TrainingArgs, Workers, perform};
use super::study_args::{Resolved, StudyArgs, TaskChoice};
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::report::{self, ResultsTable};
use crate::study::{Label, Node, Outcome, StudyError, collect};
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
    after_help = "Examples:\n  trestle train mini --phase pretrain\n  trestle train mini --row mnli --target xnli"
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
#[command(after_help = "Example:\n  trestle predict mini --row mnli --target xnli")]
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
    row: Option<String>,
    /// Only this column of the study.
    #[arg(long, value_name = "TASK")]
    target: Option<String>,
}

impl CellArgs {
    /// Whether `label` is in the chosen rows and columns.
    fn picks(&self, label: &Label) -> bool {
        let fits =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        fits(&self.target, label.target()) && fits(&self.row, label.row())
    }

    /// The error of a choice that picks none of a study's nodes of one kind, which have these labels.
    fn nothing<'a>(&self, study: &str, what: &str, labels: impl Iterator<Item = &'a Label>) -> StudyError {
        let (mut targets, mut rows) = (BTreeSet::new(), BTreeSet::new());
        for label in labels {
            targets.extend(label.target());
            rows.extend(label.row());
        }
        let options = |targets: Vec<&str>, rows: Vec<&str>| {
            let named = [("--target", targets), ("--row", rows)].into_iter().filter(|(_, names)| !names.is_empty());
            named.map(|(option, names)| format!("{option} {}", names.join(", "))).collect::<Vec<_>>().join(" and ")
        };
        StudyError::NothingPicked {
            study: study.to_owned(),
            what: what.to_owned(),
            asked: options(
                self.target.iter().map(String::as_str).collect(),
                self.row.iter().map(String::as_str).collect(),
            ),
            known: options(targets.into_iter().collect(), rows.into_iter().collect()),
        }
    }
}

pub fn normalize(context: &Context, args: &NormalizeArgs) -> Result<ExitCode> {
    of_tasks(context, &args.stage, |label| match label {
        Label::Normalize(task) => Some(task),
        _ => None,
    })
}

pub fn tokenize(context: &Context, args: &TokenizeArgs) -> Result<ExitCode> {
    of_tasks(context, &args.stage, |label| match label {
        Label::Tokenize(task) | Label::Profile(task) => Some(task),
        _ => None,
    })
}

/// Runs the nodes for which `task_of` gives a task that is wanted.
fn of_tasks(context: &Context, args: &TaskStageArgs, task_of: fn(&Label) -> Option<&String>) -> Result<ExitCode> {
    let resolved = args.choice.resolve(context)?;
    let wanted = |node: &Node| task_of(&node.label).is_some_and(|task| args.choice.picks(context, task));
    if !resolved.graph.nodes.iter().any(wanted) {
        let name = args.choice.task.join(",");
        return Err(StudyError::NoSuchNode { study: resolved.study.id.clone(), name }.into());
    }
    let outcome = perform_picked(context, &resolved, (&args.workers, Upkeep::default()), args.json, wanted)?;
    let results = collect(&resolved.setup(context)?, &resolved.graph, &outcome.artifacts)?;
    // A study's results are published when all of it is there.
    if args.choice.study.is_none() && results.tables.contains_key(&ResultsTable::Profiles) {
        report::publish(&results, &resolved.store.results_dir(), resolved.store.leases(), &context.stop)?;
    }
    Ok(ExitCode::Success)
}

pub fn train(context: &Context, args: &TrainArgs) -> Result<ExitCode> {
    let what = args.phase.as_ref().map_or("trainings".to_owned(), |phase| format!("trainings of phase {phase}"));
    stage(context, &args.stage, &args.cell, &what, |label| {
        label.phase().is_some_and(|phase| args.phase.as_deref().is_none_or(|wanted| wanted == phase.name()))
    })
}

pub fn embed(context: &Context, args: &EmbedArgs) -> Result<ExitCode> {
    stage(context, &args.stage, &args.cell, "embeddings", |label| matches!(label, Label::Embed(_)))
}

pub fn predict(context: &Context, args: &PredictArgs) -> Result<ExitCode> {
    stage(context, &args.stage, &args.cell, "predictions", |label| {
        matches!(label, Label::Predict(_) | Label::Baseline(_))
    })
}

/// Runs the nodes of a study that do the kind of work that is called `what`, in the rows and columns of `cell`.
pub fn stage(
    context: &Context,
    args: &StageArgs,
    cell: &CellArgs,
    what: &str,
    is_kind: impl Fn(&Label) -> bool,
) -> Result<ExitCode> {
    let resolved = args.study.resolve(context)?;
    let picked = |node: &Node| is_kind(&node.label) && cell.picks(&node.label);
    if !resolved.graph.nodes.iter().any(picked) {
        let of_kind = resolved.graph.nodes.iter().filter(|node| is_kind(&node.label));
        return Err(cell.nothing(&resolved.study.id, what, of_kind.map(|node| &node.label)).into());
    }
    perform_picked(context, &resolved, (&args.workers, args.training.upkeep()), args.json, picked)?;
    Ok(ExitCode::Success)
}

/// Runs the nodes that `wanted` picks, with everything they need, and prints where their artifacts are.
fn perform_picked(
    context: &Context,
    resolved: &Resolved,
    (workers, upkeep): (&Workers, Upkeep),
    json: bool,
    wanted: impl Fn(&Node) -> bool,
) -> Result<Outcome> {
    let picked: Vec<usize> = (0..resolved.graph.nodes.len()).filter(|&i| wanted(&resolved.graph.nodes[i])).collect();
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

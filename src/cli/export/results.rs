use std::path::PathBuf;

use clap::Args;

use crate::cli::{Context, SUITE, print};
use crate::error::{ExitCode, Result};
use crate::exchange::results::{System, TaskScores};
use crate::exchange::{OutputDir, results, write_new};
use crate::study::{PublishedCell, export_croissant, export_submission, published, system};
use crate::task::Task;

/// A row of a study's published results.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle export mteb mini --row mnli --output ~/results/mini-mnli\n  \
    trestle export lm-eval mini --row mnli --seed 1 --output results.json\n  \
    trestle export model-index imported --row laser --output card.md")]
pub struct RowArgs {
    /// The study; `imported` for other systems.
    #[arg(value_name = "STUDY")]
    study: String,
    /// The row: an intermediate task, `none`, `chance`, or an imported system.
    #[arg(long, value_name = "ROW")]
    row: String,
    /// The repetition [default: the only one].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What to write; nothing may be there.
    #[arg(long, short, value_name = "PATH")]
    output: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The folder has predictions/TASK/test-LANGUAGE.tsv (.json for questions and rankings, .jsonl for xcopa). Lines are in the order of the \
    canonical tables, which is that of the raw files.\n\n\
    Examples:\n  trestle export submission mini --row mnli --output ~/submission\n  \
    trestle export submission mini --row mnli --with-labels --output both && \\\n    \
    trestle score --predictions both/predictions --labels both/labels --suite xtreme --task xnli"
)]
pub struct SubmissionArgs {
    #[command(flatten)]
    row: RowArgs,
    /// Whose tasks.
    #[arg(long, default_value = SUITE)]
    suite: String,
    /// Writes the gold beside the predictions, in labels/.
    #[arg(long)]
    with_labels: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Each task becomes a folder of a Parquet file a split and croissant.json (Croissant 1.0).\n\n\
    Example:\n  trestle export croissant --task xnli,xquad --output ~/datasets")]
pub struct CroissantArgs {
    /// The tasks, whose canonical tables must be in the store.
    #[arg(long, value_name = "TASK", value_delimiter = ',', required = true)]
    task: Vec<String>,
    /// The directory to write; it must not exist.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

impl RowArgs {
    fn cells<'a>(&self, context: &'a Context) -> Result<Vec<PublishedCell<'a>>> {
        published(&context.existing_store()?, &context.registry, &self.study, &self.row, self.seed)
    }

    /// Hands the row's scores to `write`.
    fn with_scores(
        &self,
        context: &Context,
        write: impl FnOnce(&System, &[TaskScores<'_>]) -> Result<()>,
    ) -> Result<ExitCode> {
        let cells = self.cells(context)?;
        let scores = cells.iter().map(PublishedCell::task_scores).collect::<Result<Vec<_>>>()?;
        if let Some(system) = system(&cells) {
            write(&system, &scores)?;
            print(&format!("{}  {} tasks of {}", self.output.display(), scores.len(), system.name));
        }
        Ok(ExitCode::Success)
    }
}

pub fn submission(context: &Context, args: &SubmissionArgs) -> Result<ExitCode> {
    let suite = context.registry.suite(&args.suite, "--suite")?;
    let cells = args.row.cells(context)?;
    let done = export_submission(&cells, &context.registry, suite, args.with_labels, &args.row.output)?;
    for (task, languages) in &done.written {
        print(&format!("{task}: {}", languages.join(" ")));
    }
    if !done.missing.is_empty() {
        print(&format!("not in this study: {}", done.missing.join(", ")));
    }
    print(&args.row.output.display().to_string());
    Ok(ExitCode::Success)
}

pub fn mteb(context: &Context, args: &RowArgs) -> Result<ExitCode> {
    args.with_scores(context, |system, all| {
        let dir = OutputDir::create(&args.output)?;
        let file = |name: &str, value: &serde_json::Value| write_new(&dir.path().join(name), &pretty(value));
        file("model_meta.json", &results::mteb_model(system))?;
        for scores in all {
            file(&format!("{}.json", scores.task.id), &results::mteb(scores, context.registry.languages()))?;
        }
        Ok(dir.finish()?)
    })
}

pub fn lm_eval(context: &Context, args: &RowArgs) -> Result<ExitCode> {
    args.with_scores(context, |system, all| Ok(write_new(&args.output, &pretty(&results::lm_eval(system, all)))?))
}

pub fn model_index(context: &Context, args: &RowArgs) -> Result<ExitCode> {
    args.with_scores(context, |system, all| Ok(write_new(&args.output, &results::model_index(system, all))?))
}

pub fn croissant(context: &Context, args: &CroissantArgs) -> Result<ExitCode> {
    let tasks: Vec<&Task> = args.task.iter().map(|id| context.registry.task(id, "--task")).collect::<Result<_, _>>()?;
    for task in export_croissant(&context.existing_store()?, &tasks, &args.output)? {
        print(&args.output.join(task).join("croissant.json").display().to_string());
    }
    Ok(ExitCode::Success)
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

use std::path::PathBuf;

use clap::Args;

use super::stages::{CellArgs, StageArgs, stage};
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::evaluate::{score_submission, submission_tasks};
use crate::study::Work;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle score mini --target xnli\n  \
    trestle score --predictions predictions --labels labels --suite xtreme --task xnli,udpos")]
pub struct ScoreArgs {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    cell: CellArgs,
    #[command(flatten)]
    submission: Submission,
}

/// Scoring of a folder instead of a study.
#[derive(Debug, Args)]
#[command(next_help_heading = "Folder in XTREME's layout, instead of a study")]
struct Submission {
    /// Predictions: `TASK/test-LANGUAGE.tsv` (`.json` for question answering).
    #[arg(long, value_name = "DIR", requires = "labels")]
    predictions: Option<PathBuf>,
    /// Labels in the same layout.
    #[arg(long, value_name = "DIR", requires = "predictions")]
    labels: Option<PathBuf>,
    /// Whose rules.
    #[arg(long, value_parser = ["xtreme"], default_value = "xtreme")]
    suite: String,
    /// Only these tasks.
    #[arg(long, value_name = "TASK", value_delimiter = ',', requires = "predictions")]
    task: Vec<String>,
}

pub fn run(context: &Context, args: &ScoreArgs) -> Result<ExitCode> {
    if let (Some(predictions), Some(labels)) = (&args.submission.predictions, &args.submission.labels) {
        let chosen: Vec<&str> = args.submission.task.iter().map(String::as_str).collect();
        let tasks = if chosen.is_empty() { submission_tasks() } else { chosen };
        let scores = score_submission(predictions, labels, &tasks)?;
        if args.stage.json {
            print_json(&scores);
            return Ok(ExitCode::Success);
        }
        for score in &scores {
            print(&format!(
                "{:<10} {:<12} {:8.4}  over {} languages",
                score.task,
                score.metric,
                score.average,
                score.languages.len()
            ));
        }
        return Ok(ExitCode::Success);
    }
    stage(context, &args.stage, "that score", |node| {
        matches!(node.work, Work::Score { .. }) && args.cell.picks(&node.label)
    })
}

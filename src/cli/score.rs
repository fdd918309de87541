use std::path::PathBuf;

use clap::Args;

use super::stages::{CellArgs, StageArgs, stage};
use super::{Context, SUITE, print, print_json};
use crate::error::{ExitCode, Result};
use crate::evaluate::{Submission, SubmissionRequest, score_submission};
use crate::study::Label;
use crate::task::ALL_TASKS;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle score mini --target xnli\n  \
    trestle score --predictions predictions --labels labels --suite xtreme --task xnli,udpos")]
pub struct ScoreArgs {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    cell: CellArgs,
    #[command(flatten)]
    submission: SubmissionArgs,
}

/// What says something of a study's stages and nothing of a folder. `--offline` is no contradiction: a folder is scored so, and
/// the environment may set it for everything.
const OF_A_STUDY: [&str; 19] = [
    "study",
    "data",
    "tokenizer",
    "encoder",
    "layers",
    "pooling",
    "mini_size",
    "limit",
    "languages",
    "seed",
    "device",
    "allow_count_drift",
    "lock",
    "locked",
    "workers",
    "checkpoint_every",
    "tensorboard",
    "row",
    "target",
];

/// Scoring of a folder instead of a study.
#[derive(Debug, Args)]
#[command(next_help_heading = "Folder in XTREME's layout, instead of a study")]
struct SubmissionArgs {
    /// Predictions: `TASK/test-LANGUAGE.tsv` (`.json` for question answering, mewslix and lareqa, `.jsonl` for xcopa).
    #[arg(long, value_name = "DIR", requires = "labels", conflicts_with_all = OF_A_STUDY)]
    predictions: Option<PathBuf>,
    /// Labels in the same layout.
    #[arg(long, value_name = "DIR", requires = "predictions")]
    labels: Option<PathBuf>,
    /// Whose tasks, languages and averages.
    #[arg(long, default_value = SUITE, requires = "predictions")]
    suite: String,
    /// Only these tasks.
    #[arg(long, value_name = "TASK", value_delimiter = ',', requires = "predictions")]
    task: Vec<String>,
    /// Average over the tasks, languages and answers that there are, and say which are missing.
    #[arg(long, requires = "predictions")]
    allow_missing: bool,
}

pub fn run(context: &Context, args: &ScoreArgs) -> Result<ExitCode> {
    if let (Some(predictions), Some(labels)) = (&args.submission.predictions, &args.submission.labels) {
        let tasks: Vec<&str> = args.submission.task.iter().map(String::as_str).collect();
        let allow_missing = args.submission.allow_missing;
        let registry = &context.registry;
        let suite = registry.suite(&args.submission.suite, "--suite")?;
        let request = SubmissionRequest { predictions, labels, registry, suite, tasks: &tasks, allow_missing };
        let submission = score_submission(&request)?;
        if args.stage.json {
            print_json(&submission);
        } else {
            print(&table(&submission));
        }
        return Ok(ExitCode::Success);
    }
    stage(context, &args.stage, &args.cell, "scores", |label| matches!(label, Label::Score(_)))
}

/// A line for each score and mean; what lacks stands below, by the number of its line's mark.
fn table(submission: &Submission) -> String {
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    let mut mark = |missing: &[String], unanswered: usize| {
        let mut parts = Vec::new();
        if !missing.is_empty() {
            parts.push(format!("without {}", missing.join(", ")));
        }
        if unanswered > 0 {
            parts.push(format!("{unanswered} without a prediction count as wrong"));
        }
        if parts.is_empty() {
            return String::new();
        }
        let note = parts.join("; ");
        let number = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        format!(" [{}]", number + 1)
    };
    for score in &submission.scores {
        let mark = mark(&score.missing, score.unanswered);
        let languages = score.languages.len();
        lines.push(format!(
            "{:<14} {:<12} {:8.4}  over {languages} languages{mark}",
            score.task, score.metric, score.average
        ));
    }
    for mean in &submission.means {
        let mark = mark(&mean.missing, 0);
        let name = if mean.group == ALL_TASKS { &submission.suite } else { &mean.group };
        lines.push(format!("{name:<14} {:<12} {:8.4}  over {} tasks{mark}", "mean", mean.value, mean.tasks));
    }
    lines.extend(notes.iter().enumerate().map(|(number, note)| format!("[{}] {note}", number + 1)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn nothing_of_a_study_is_taken_with_a_folder() {
        let command = ScoreArgs::augment_args(clap::Command::new("score"));
        let predictions = command.get_arguments().find(|arg| arg.get_id() == "predictions").unwrap();
        let refused: Vec<&str> =
            command.get_arg_conflicts_with(predictions).into_iter().map(|arg| arg.get_id().as_str()).collect();
        let of_a_folder = ["predictions", "labels", "suite", "task", "allow_missing", "json", "offline"];
        for arg in command.get_arguments().map(|arg| arg.get_id().as_str()) {
            assert_ne!(refused.contains(&arg), of_a_folder.contains(&arg), "{arg}");
        }
    }
}

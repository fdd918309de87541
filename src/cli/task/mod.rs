mod check;
mod new;
mod show;

use clap::{Args, Subcommand};

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::task::Task;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle task list\n  trestle task show xnli\n  trestle task check --all --edition mini\n  \
    trestle task new toy_nli --format pair-classification"
)]
pub struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Lists every task.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes a task file to start from.
    New(new::NewArgs),
    /// Shows one task: what its file says, and, once its rows are loaded, counts, lengths and samples.
    Show(show::ShowArgs),
    /// Loads tasks' rows and checks them: schema, labels, offsets, ids, counts, duplicates, evaluation texts in training
    /// data.
    Check(check::CheckArgs),
}

pub fn run(context: &Context, args: &TaskArgs) -> Result<ExitCode> {
    match &args.command {
        TaskCommand::List { json: true } => {
            print_json(&context.registry.tasks().map(|task| listed(context, task)).collect::<Vec<_>>())
        }
        TaskCommand::List { json: false } => {
            let mut table = comfy_table::Table::new();
            table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
            table.set_header(["task", "role", "format", "metric", "languages", "trained on"]);
            for task in context.registry.tasks() {
                let role = serde_json::to_value(task.role).unwrap_or_default();
                table.add_row([
                    task.id.clone(),
                    role.as_str().unwrap_or_default().to_owned(),
                    task.format.to_string(),
                    task.metric.map_or("", |metric| metric.name()).to_owned(),
                    task.languages.len().to_string(),
                    task.training_task().unwrap_or("").to_owned(),
                ]);
            }
            print(&table.to_string());
        }
        TaskCommand::New(args) => return new::run(context, args),
        TaskCommand::Show(args) => return show::run(context, args),
        TaskCommand::Check(args) => return check::run(context, args),
    }
    Ok(ExitCode::Success)
}

/// A task with all suites that it is of, those that have a file of their own as well.
fn listed(context: &Context, task: &Task) -> Task {
    Task { suites: context.registry.suites_of(task).map(str::to_owned).collect(), ..task.clone() }
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let groups = (first > 0).then(|| digits[..first].into()).into_iter().chain(groups);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        let numbers = [0, 7, 999, 1_000, 12_345, 392_702, 1_104_934].map(super::grouped);
        assert_eq!(numbers, ["0", "7", "999", "1,000", "12,345", "392,702", "1,104,934"]);
    }
}

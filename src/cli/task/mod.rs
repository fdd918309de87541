mod new;

use clap::{Args, Subcommand};

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle task list\n  trestle task show xnli\n  trestle task list --json")]
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
    /// Shows one task: format, labels, sources, licence, published counts.
    Show {
        /// The task's id.
        id: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(context: &Context, args: &TaskArgs) -> Result<ExitCode> {
    match &args.command {
        TaskCommand::List { json: true } => print_json(&context.registry.tasks().collect::<Vec<_>>()),
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
        TaskCommand::Show { id, json: true } => print_json(context.registry.task(id, "the command line")?),
        TaskCommand::Show { id, json: false } => {
            let task = context.registry.task(id, "the command line")?;
            print(toml::to_string_pretty(task).unwrap_or_default().trim_end());
        }
    }
    Ok(ExitCode::Success)
}

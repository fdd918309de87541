use clap::Args;

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle verify && echo every byte is as it was written")]
pub struct VerifyArgs {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle gc --dry-run")]
pub struct GcArgs {
    /// Removes nothing, says what would go.
    #[arg(long)]
    dry_run: bool,
    /// Keeps the checkpoints of interrupted trainings.
    #[arg(long)]
    keep_checkpoints: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode> {
    let (files, problems) = context.existing_store()?.verify()?;
    if args.json {
        print_json(&serde_json::json!({"files": files, "problems": problems}));
    } else {
        for problem in &problems {
            print(&format!("{}: {}", problem.path.display(), problem.message));
        }
        print(&format!("{files} files, {} problems", problems.len()));
    }
    Ok(if problems.is_empty() { ExitCode::Success } else { ExitCode::Mismatch })
}

pub fn gc(context: &Context, args: &GcArgs) -> Result<ExitCode> {
    let garbage = context.existing_store()?.collect_garbage(args.dry_run, args.keep_checkpoints)?;
    if args.json {
        print_json(&garbage);
        return Ok(ExitCode::Success);
    }
    for found in &garbage {
        print(&format!("{} ({} bytes)", found.path.display(), found.bytes));
    }
    let verb = if args.dry_run { "would go" } else { "removed" };
    print(&format!("{} directories {verb}", garbage.len()));
    Ok(ExitCode::Success)
}

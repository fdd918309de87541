use std::io::Write as _;

use clap::Args;

use super::{Context, print, print_json};
use crate::error::{Error, ExitCode, Result};
use crate::store::{Digests, Token};

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
    let store = context.existing_store()?;
    let (mut files, mut problems) = store.verify()?;
    let (outside, altered) = Digests::of(&store).verify();
    files += outside;
    problems.extend(altered);
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
    let store = context.existing_store()?;
    let swept = if args.dry_run {
        store.find_garbage(args.keep_checkpoints)?
    } else {
        let seconds = store.leases().silence().as_secs();
        let waiting = |workers: &[Token]| {
            let names: Vec<String> =
                workers.iter().map(|worker| format!("{} on {}", worker.pid, worker.host)).collect();
            let note = format!("waiting up to {seconds} s for a sign of life of process {}", names.join(", "));
            let _ = writeln!(std::io::stderr(), "{note}");
        };
        store.collect_garbage(args.keep_checkpoints, &context.stop, waiting)?.ok_or(Error::Interrupted)?
    };
    if args.json {
        print_json(&swept.garbage);
        return Ok(ExitCode::Success);
    }
    for found in &swept.garbage {
        print(&format!("{} ({} bytes)", found.path.display(), found.bytes));
    }
    let verb = if args.dry_run { "would go" } else { "removed" };
    print(&format!("{} directories {verb}", swept.garbage.len()));
    if swept.leases > 0 {
        print(&format!("records of work that is over, removed: {}", swept.leases));
    }
    if swept.living > 0 {
        print(&format!(
            "other processes at work here: {}; what they own stays, and so do the records of who works on what",
            swept.living
        ));
    }
    Ok(ExitCode::Success)
}

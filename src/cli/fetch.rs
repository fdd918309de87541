use std::collections::BTreeMap;

use clap::Args;

use super::study_args::StudyArgs;
use super::watch::Terminal;
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::source::hub;
use crate::study::{Raw, StudyError, Watcher as _, Work};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle fetch intermediate\n  trestle fetch intermediate --task xnli --locked")]
pub struct FetchArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// Only these tasks.
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    task: Vec<String>,
    /// Prints the lock file's entries as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &FetchArgs) -> Result<ExitCode> {
    let resolved = args.study.resolve(context)?;
    let setup = resolved.setup(context)?;
    let Raw::Hub(hub) = &setup.raw else {
        return Err(StudyError::NothingToFetch { study: resolved.study.id.clone() }.into());
    };
    let watcher = Terminal::new(resolved.graph.nodes.len(), context.quiet);
    let mut entries = Vec::new();
    for node in &resolved.graph.nodes {
        let Work::Normalize { task, languages } = &node.work else { continue };
        if !args.task.is_empty() && !args.task.contains(task) {
            continue;
        }
        let task = context.registry.task(task, &resolved.study.id)?;
        let progress = watcher.begin(node);
        let mut wanted = BTreeMap::new();
        for (split, codes) in languages {
            let chosen: Vec<_> =
                codes.iter().map(|code| context.registry.language(code, &task.id)).collect::<Result<_, _>>()?;
            wanted.insert(*split, chosen);
        }
        entries.extend(hub::fetch(task, hub, &wanted, progress.as_ref(), &context.stop)?);
    }
    if args.json {
        print_json(&entries);
    } else {
        let bytes: u64 = entries.iter().map(|file| file.entry.bytes).sum();
        print(&format!("{} files, {bytes} bytes, pinned in {}", entries.len(), args.study.changes.lock.display()));
    }
    Ok(ExitCode::Success)
}

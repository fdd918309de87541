use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::study_args::{StudyChanges, TaskChoice};
use super::watch::Terminal;
use super::{Context, print, print_json};
use crate::error::{Error, ExitCode, Result};
use crate::source::SourceError;
use crate::source::hub::{self, FetchedFile};
use crate::study::{Raw, StudyError, Work};
use crate::task::EncoderSource;

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args(["study", "task", "suite", "all"]),
    after_help = "Files are pinned by commit and sha256 in the lock file; a file that differs from its entry is refused. \
        A download that was cut goes on where it stopped. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.\
        \n\nExamples:\n  trestle fetch intermediate\n  trestle fetch intermediate --task xnli --locked\n  \
        trestle fetch --task xnli,udpos\n  trestle fetch --suite xtreme --languages de,fi\n  trestle fetch --all --json"
)]
pub struct FetchArgs {
    /// The study whose tasks, and whose encoder, to fetch.
    #[arg(value_name = "STUDY")]
    study: Option<String>,
    /// Only these tasks; without a study, every split and language of them.
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    task: Vec<String>,
    /// Only tasks of this suite, in its languages (intermediate, xtreme, xtreme-r, …).
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Every task that is on the hub.
    #[arg(long, conflicts_with_all = ["study", "task", "suite"])]
    all: bool,
    #[command(flatten)]
    changes: StudyChanges,
    /// Prints what was fetched, file by file, as JSON.
    #[arg(long)]
    json: bool,
}

/// What was fetched of a task or for an encoder.
#[derive(Debug, Serialize)]
struct Fetched {
    name: String,
    /// How many bytes its files have.
    bytes: u64,
    /// How many bytes were transferred now.
    transferred: u64,
    /// How many files were there before.
    already_here: usize,
    files: Vec<FetchedFile>,
}

impl Fetched {
    fn new(name: String, files: Vec<FetchedFile>) -> Self {
        Self {
            name,
            bytes: files.iter().map(|file| file.entry.bytes).sum(),
            transferred: files.iter().map(|file| file.transferred).sum(),
            already_here: files.iter().filter(|file| file.already_here).count(),
            files,
        }
    }
}

pub fn run(context: &Context, args: &FetchArgs) -> Result<ExitCode> {
    let choice = TaskChoice {
        study: args.study.clone(),
        task: args.task.clone(),
        suite: args.suite.clone(),
        edition: Some("full".to_owned()),
        model: None,
        changes: args.changes.clone(),
    };
    let elsewhere = if args.study.is_none() { not_on_hub(context, &choice)? } else { Vec::new() };
    let resolved = choice.resolve(context)?;
    let setup = resolved.setup(context)?;
    let Raw::Hub(hub) = &setup.raw else {
        return Err(StudyError::NothingToFetch { study: resolved.study.id.clone() }.into());
    };
    let watcher = Terminal::new(resolved.graph.nodes.len(), context.quiet);
    let mut fetched = Vec::new();
    let mut failure: Option<SourceError> = None;
    let mut done = |name: String, result: Result<Vec<FetchedFile>, SourceError>| match result {
        Ok(files) => {
            let new = Fetched::new(name, files);
            watcher.line(&format!(
                "{}: {} files, {} downloaded",
                new.name,
                new.files.len(),
                mebibytes(new.transferred)
            ));
            fetched.push(new);
            Ok(())
        }
        // One dataset that can't be had is no reason to go without the others.
        Err(e @ (SourceError::Refused { .. } | SourceError::NotOnHub { .. })) => {
            watcher.line(&format!("{name}: {e}"));
            failure.get_or_insert(e);
            Ok(())
        }
        Err(e) => Err(Error::from(e)),
    };
    for node in &resolved.graph.nodes {
        let Work::Normalize(plan) = &node.work else { continue };
        let (task, languages) = (&plan.task, &plan.languages);
        if !is_wanted(context, &choice, task) {
            continue;
        }
        let task = context.registry.task(task, &resolved.study.id)?;
        let mut wanted = BTreeMap::new();
        for (split, codes) in languages {
            let chosen: Vec<_> =
                codes.iter().map(|code| context.registry.language(code, &task.id)).collect::<Result<_, _>>()?;
            wanted.insert(*split, chosen);
        }
        let progress = watcher.bar(&task.id);
        done(task.id.clone(), hub::fetch(task, hub, &wanted, progress.as_ref(), &context.stop))?;
    }
    if let (EncoderSource::Hub { repo, revision }, true) = (&resolved.model.encoder, args.study.is_some()) {
        let progress = watcher.bar(repo);
        done(repo.clone(), hub.model(repo, revision, progress.as_ref(), &context.stop).map(|(_, files)| files))?;
    }
    if args.json {
        print_json(&fetched);
    } else {
        print(&table(&fetched));
        if !elsewhere.is_empty() {
            print(&format!("not on the hub, read with --data: {}", elsewhere.join(", ")));
        }
        print(&format!("pinned in {}", args.changes.lock.display()));
    }
    failure.map_or(Ok(ExitCode::Success), |e| Err(e.into()))
}

/// Whether a task of the graph was asked for, by itself or as what another is made of.
fn is_wanted(context: &Context, choice: &TaskChoice, id: &str) -> bool {
    let views = || choice.tasks(context).into_iter().flatten();
    choice.picks(context, id) || views().any(|task| context.registry.is_made_of(task, id))
}

/// The tasks among those asked for that have no source on the hub; an error if one of them was asked for by name.
fn not_on_hub(context: &Context, choice: &TaskChoice) -> Result<Vec<String>> {
    let tasks = choice.tasks(context)?;
    let without = tasks.into_iter().filter(|task| task.source.hub.is_none() && !task.is_view());
    let without: Vec<String> = without.map(|task| task.id.clone()).collect();
    match without.first().filter(|_| !choice.task.is_empty()) {
        Some(task) => {
            let other = "a data directory (--data)";
            Err(SourceError::NoSource { task: task.clone(), kind: "hub", other }.into())
        }
        None => Ok(without),
    }
}

fn table(fetched: &[Fetched]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["task", "files", "size", "already here", "downloaded"]);
    for row in fetched {
        table.add_row([
            row.name.clone(),
            row.files.len().to_string(),
            mebibytes(row.bytes),
            row.already_here.to_string(),
            mebibytes(row.transferred),
        ]);
    }
    table.to_string()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

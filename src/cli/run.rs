use std::path::PathBuf;

use clap::Args;

use super::study_args::{Resolved, StudyArgs};
use super::watch::Terminal;
use super::{Context, print};
use crate::error::{ExitCode, Result};
use crate::report;
use crate::study::{Executor as _, LocalThreads, Outcome, collect};
use crate::train::{CheckpointEvery, Upkeep};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle run mini\n  trestle run mini --workers 2 --mini-size 2\n  \
    trestle run real --data ~/datasets --tokenizer xlmr/tokenizer.json --limit train=2000")]
pub struct RunArgs {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    workers: Workers,
    #[command(flatten)]
    training: TrainingArgs,
    /// Hashes weights and tokenizers again, though their size and time are those of the last time.
    #[arg(long)]
    verify: bool,
    /// Prints the results table as JSON.
    #[arg(long)]
    json: bool,
}

/// How many stages run side by side.
#[derive(Debug, Default, Args)]
pub struct Workers {
    /// Runs this many stages side by side; each gets its share of the cores [default: one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

impl Workers {
    /// Threads of this process.
    pub fn executor(&self) -> LocalThreads {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        LocalThreads { workers: self.workers.map_or_else(cores, usize::from) }
    }
}

/// What trainings do beside computing. None of it changes a result, so a run may go on with other settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArgs {
    /// Writes a checkpoint after every N steps, or after a time (90s, 10m, 1h) [default: 30s, and at most a tenth of the
    /// time].
    #[arg(long, value_name = "N|TIME")]
    checkpoint_every: Option<CheckpointEvery>,
    /// Writes TensorBoard event files below DIR, one folder a training.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

impl TrainingArgs {
    pub fn upkeep(&self) -> Upkeep {
        Upkeep { checkpoint_every: self.checkpoint_every.unwrap_or_default(), tensorboard: self.tensorboard.clone() }
    }
}

pub fn run(context: &Context, args: &RunArgs) -> Result<ExitCode> {
    let mut resolved = args.study.resolve(context)?;
    resolved.verify = args.verify;
    let wanted: Vec<usize> = (0..resolved.graph.nodes.len()).collect();
    let outcome = perform(context, &resolved, &wanted, &args.workers, args.training.upkeep())?;
    let results = collect(&resolved.setup(context)?, &resolved.graph, &outcome.artifacts)?;
    let dir = resolved.store.results_dir();
    report::publish(&results, &dir, resolved.store.leases(), &context.stop)?;
    let page = dir.join(format!("report-{}.html", resolved.study.id));
    let html = report::render(&results)?;
    if std::fs::read_to_string(&page).ok().as_deref() != Some(html.as_str()) {
        report::write_text(&html, &page)?;
    }
    let table = report::study_table(&results)?;
    if args.json {
        print(&table.to_json());
    } else {
        print(&table.to_terminal(super::colours()));
        print(&format!("results: {}\nreport:  {}", dir.display(), page.display()));
    }
    Ok(ExitCode::Success)
}

/// Runs the nodes in `wanted` and says what was made and what was found.
pub fn perform(
    context: &Context,
    resolved: &Resolved,
    wanted: &[usize],
    workers: &Workers,
    upkeep: Upkeep,
) -> Result<Outcome> {
    // A GPU that was asked for and is not here is told now, not after an hour of other stages.
    let device = resolved.device.description()?;
    let mut setup = resolved.setup(context)?;
    setup.run.upkeep = upkeep;
    let watcher = Terminal::new(wanted.len(), context.quiet);
    watcher.line(&format!("study {}: {} stages on {device}", resolved.study.id, wanted.len()));
    let outcome = workers.executor().execute(&setup, &resolved.graph, wanted, &watcher, &context.stop)?;
    watcher.line(&format!("{} stages run, {} found in {}", outcome.made, outcome.found, context.home.display()));
    Ok(outcome)
}

//! The command line: arguments in, exit code out. One file a command; no logic lives here.
//!
//! Arguments are parsed in two steps: what was typed ([`Cli`]), then one fallible conversion that opens files and
//! resolves defaults (`StudyArgs::resolve`), so that no stage ever sees a string from the command line.

mod compare;
mod completions;
mod devices;
mod explain;
mod export;
mod fetch;
mod import;
mod maintenance;
mod mine;
mod named;
mod plan;
mod query;
mod report;
mod rescore;
mod retrieve;
mod run;
mod score;
mod search_args;
mod stages;
mod status;
mod study_args;
mod task;
mod watch;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, Subcommand};

use crate::error::{ExitCode, Result};
use crate::store::Store;
use crate::task::Registry;

/// Does training a multilingual encoder on an English intermediate task first make it transfer better, zero-shot, to
/// other languages? Trestle runs the whole study: raw datasets to canonical tables, to model inputs, to trained
/// encoders, to predictions and scores in many languages, to a report.
#[derive(Debug, Parser)]
#[command(name = "trestle", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Examples:\n  trestle run mini                       \
    the whole study on the data that Trestle writes itself\n  trestle plan mini                      \
    what that would do, without doing it\n  trestle query \"SELECT * FROM summaries\"\n\n\
    Exit codes: 0 success, 1 bug, 2 command line, 3 configuration, 4 data, 5 missing input, 6 storage, 7 network,\n\
    8 training, 9 difference found, 130 interrupted.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// The store: artifacts, downloads, results.
    #[arg(long, global = true, value_name = "DIR", env = "TRESTLE_HOME", default_value = "work")]
    home: PathBuf,
    /// Adds or overrides task files (and suite, model and study files, in `suites/`, `models/` and `studies/` below it).
    #[arg(long, global = true, value_name = "DIR")]
    tasks: Vec<PathBuf>,
    /// Shows no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a study from raw data to report; goes on where it was cut off.
    Run(run::RunArgs),
    /// Lists a study's stages, which of them have to run, and what they will take.
    Plan(plan::PlanArgs),
    /// Shows what the store holds.
    Status(status::StatusArgs),
    /// Says what a stage is made from, and why it has to run.
    Explain(explain::ExplainArgs),
    /// Downloads raw files from the hub and pins them in the lock file.
    Fetch(fetch::FetchArgs),
    /// Makes canonical tables of a study's tasks.
    Normalize(stages::NormalizeArgs),
    /// Makes model inputs of a study's tasks.
    Tokenize(stages::TokenizeArgs),
    /// Trains models of a study.
    Train(stages::TrainArgs),
    /// Embeds the sentences of a study's retrieval targets.
    Embed(stages::EmbedArgs),
    /// Predicts targets of a study.
    Predict(stages::PredictArgs),
    /// Scores a study's predictions, or a folder of predictions in XTREME's layout.
    Score(score::ScoreArgs),
    /// Finds nearest neighbours among embeddings in files.
    Retrieve(retrieve::RetrieveArgs),
    /// Mines translation pairs from embeddings in files.
    Mine(mine::MineArgs),
    /// Hands results on: models, submissions, scores, data, in other projects' forms.
    Export(export::ExportArgs),
    /// Takes other systems' predictions in and scores them.
    Import(import::ImportArgs),
    /// Runs SQL over results and canonical tables.
    Query(query::QueryArgs),
    /// Writes a study's report: HTML, or a table.
    Report(report::ReportArgs),
    /// Says what got better or worse from one row, study or scoring to another.
    Compare(compare::CompareArgs),
    /// Computes every score again from stored predictions and reports any difference.
    Rescore(rescore::RescoreArgs),
    /// Lists tasks, or shows one.
    Task(task::TaskArgs),
    /// Lists the devices that training can run on.
    Devices(devices::DevicesArgs),
    /// Checks every byte in the store against its manifests.
    Verify(maintenance::VerifyArgs),
    /// Removes what interrupted runs left behind.
    Gc(maintenance::GcArgs),
    /// Writes a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// The suite where none is named.
const SUITE: &str = "xtreme";

/// What a command works with.
struct Context {
    home: PathBuf,
    registry: Registry,
    quiet: bool,
    stop: Arc<AtomicBool>,
}

impl Context {
    /// The store, which may have to be made.
    fn store(&self) -> Store {
        Store::new(&self.home)
    }

    /// The store, for a command that has nothing to say without one.
    fn existing_store(&self) -> Result<Store> {
        Ok(Store::existing(&self.home)?)
    }
}

/// Parses the process's arguments, runs the command, reports a failure on standard error, and returns the exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success };
            // A closed pipe is no reason to fail.
            let _ = error.print();
            return code as u8;
        }
    };
    match run(cli) {
        Ok(code) => code as u8,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            error.exit() as u8
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // The first signal asks for a clean end; a second one ends the process at once.
    let handler = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(ExitCode::Interrupted as u8));
        }
        let _ = writeln!(std::io::stderr(), "stopping: checkpoints are being written; once more to stop at once");
    });
    // Without a handler a signal ends the process; the store survives that as well.
    let _ = handler;
    if let Command::Completions(args) = &cli.command {
        return completions::run(args);
    }
    Store::check_environment()?;
    let registry = Registry::load(&cli.global.tasks)?;
    let context = Context { home: cli.global.home, registry, quiet: cli.global.quiet, stop };
    match cli.command {
        Command::Run(args) => run::run(&context, &args),
        Command::Plan(args) => plan::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Explain(args) => explain::run(&context, &args),
        Command::Fetch(args) => fetch::run(&context, &args),
        Command::Normalize(args) => stages::normalize(&context, &args),
        Command::Tokenize(args) => stages::tokenize(&context, &args),
        Command::Train(args) => stages::train(&context, &args),
        Command::Embed(args) => stages::embed(&context, &args),
        Command::Retrieve(args) => retrieve::run(&context, &args),
        Command::Mine(args) => mine::run(&context, &args),
        Command::Predict(args) => stages::predict(&context, &args),
        Command::Score(args) => score::run(&context, &args),
        Command::Export(args) => export::run(&context, &args),
        Command::Import(args) => import::run(&context, &args),
        Command::Query(args) => query::run(&context, &args),
        Command::Report(args) => report::run(&context, &args),
        Command::Compare(args) => compare::run(&context, &args),
        Command::Rescore(args) => rescore::run(&context, &args),
        Command::Task(args) => task::run(&context, &args),
        Command::Devices(args) => devices::run(&args),
        Command::Verify(args) => maintenance::verify(&context, &args),
        Command::Gc(args) => maintenance::gc(&context, &args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Writes `text` and a line break to standard output; a closed pipe ends the output, not the command.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Whether results may be coloured: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a value as JSON to standard output.
fn print_json(value: &impl serde::Serialize) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
}

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::exchange::Layout;
use crate::report;
use crate::study::{ImportRequest, import, imported_results};
use crate::task::IMPORTED;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle import predictions ~/submission/predictions --name baseline")]
pub struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Scores a folder of another system's predictions and publishes them in study `imported`.
    Predictions(PredictionsArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Gold is the newest canonical table of each task in the store (`trestle normalize --task …` makes it). \
    Every gold example must be answered once, and nothing else. Nothing is kept where a file is wrong. \
    Exit codes: 3 another suite's folder, 4 a wrong file, 5 a missing prediction, file or gold.\n\n\
    Examples:\n  trestle import predictions ~/submission/predictions --name baseline --suite xtreme\n  \
    trestle import predictions tables --name mine --layout table --task xnli --note \"their repository\"\n  \
    trestle report imported"
)]
struct PredictionsArgs {
    /// The folder: TASK/test-LANGUAGE.tsv (.json for questions), or TASK/LANGUAGE.parquet (or .csv) with --layout table.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the system is called: its row in tables.
    #[arg(long, value_name = "SYSTEM")]
    name: String,
    /// How predictions lie in the folder.
    #[arg(long, value_enum, default_value_t = LayoutName::Xtreme)]
    layout: LayoutName,
    /// Whose tasks.
    #[arg(long, value_parser = ["xtreme", "xtreme-r"], default_value = "xtreme")]
    suite: String,
    /// Only these tasks [default: all that have a folder].
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    task: Vec<String>,
    /// Which repetition they are, of a system with several.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where they come from; `trestle explain` shows it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutName {
    /// XTREME's folder layout.
    Xtreme,
    /// A Parquet or CSV table a language, with columns `example_id` and `prediction`.
    Table,
}

pub fn run(context: &Context, args: &ImportArgs) -> Result<ExitCode> {
    let What::Predictions(args) = &args.what;
    let store = context.store()?;
    let request = ImportRequest {
        folder: &args.folder,
        layout: match args.layout {
            LayoutName::Xtreme => Layout::Xtreme,
            LayoutName::Table => Layout::Table,
        },
        suite: &args.suite,
        tasks: &args.task,
        name: &args.name,
        seed: args.seed,
        note: &args.note,
    };
    let scored = import(&store, &context.registry, &request)?;
    let results = imported_results(&store, &context.registry)?;
    report::publish(&results, &store.results_dir())?;
    if args.json {
        let keys: serde_json::Map<String, serde_json::Value> =
            scored.iter().map(|(task, score)| (task.clone(), score.manifest.key.as_str().into())).collect();
        print_json(&serde_json::json!({"study": IMPORTED, "row": args.name, "seed": args.seed, "scores": keys}));
        return Ok(ExitCode::Success);
    }
    for (task, score) in &scored {
        print(&format!(
            "{task}: score {}  (trestle explain {IMPORTED}/{task}/{})",
            score.manifest.key.short(),
            args.name
        ));
    }
    print(&format!("results: {}  (trestle report {IMPORTED})", store.results_dir().display()));
    Ok(ExitCode::Success)
}

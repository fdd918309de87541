use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::run::{Workers, perform};
use super::study_args::{StudyChanges, TaskChoice};
use super::{Context, SUITE, print, print_json};
use crate::error::{ExitCode, Result};
use crate::exchange::{Layout, system_files};
use crate::report;
use crate::store::Artifact;
use crate::study::{ImportRequest, Label, Node, import, imported_results};
use crate::task::IMPORTED;
use crate::train::Upkeep;

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
    after_help = "Gold is the newest canonical table of each task in the store (`trestle normalize --task …` makes it), or with --data or \
    --edition that of those data. \
    Every gold example must be answered once, and nothing else. Nothing is kept where a file is wrong. \
    Exit codes: 3 another suite's folder, 4 a wrong file, 5 a missing prediction, file or gold.\n\n\
    Examples:\n  trestle import predictions ~/submission/predictions --name baseline --suite xtreme\n  \
    trestle import predictions tables --name mine --layout table --task xnli --note \"their repository\"\n  \
    trestle report imported"
)]
struct PredictionsArgs {
    /// The folder: TASK/test-LANGUAGE.tsv (.json for questions and rankings, .jsonl for xcopa), or
    /// TASK/LANGUAGE.parquet (or .csv) with --layout table.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the system is called: its row in tables.
    #[arg(long, value_name = "SYSTEM")]
    name: String,
    /// How predictions lie in the folder.
    #[arg(long, value_enum, default_value_t = LayoutName::Xtreme)]
    layout: LayoutName,
    /// Whose tasks and languages.
    #[arg(long, default_value = SUITE)]
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
    /// Makes the gold of the original distributions below DIR, instead of taking what is in the store.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Makes the gold of this edition (full: of what was fetched from the hub).
    #[arg(long, value_parser = ["mini", "full"])]
    edition: Option<String>,
    /// Takes numbers of examples other than the published ones, where gold is made.
    #[arg(long)]
    allow_count_drift: bool,
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
    let store = context.store();
    let layout = match args.layout {
        LayoutName::Xtreme => Layout::Xtreme,
        LayoutName::Table => Layout::Table,
    };
    let suite = context.registry.suite(&args.suite, "--suite")?;
    let found = system_files(&args.folder, layout, &context.registry, suite, &args.task)?;
    let request = ImportRequest {
        suite,
        layout,
        gold: gold(context, args, found.iter().map(|(task, _)| task.id.clone()).collect())?,
        files: found,
        name: &args.name,
        seed: args.seed,
        note: &args.note,
    };
    let scored = import(&store, &context.registry, &request, &context.stop)?;
    let results = imported_results(&store, &context.registry)?;
    report::publish(&results, &store.results_dir(), store.leases(), &context.stop)?;
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

/// The gold that is asked for instead of what the store has: made, or found in the store as made of the same.
fn gold(context: &Context, args: &PredictionsArgs, tasks: Vec<String>) -> Result<BTreeMap<String, Artifact>> {
    if args.data.is_none() && args.edition.is_none() {
        return Ok(BTreeMap::new());
    }
    let changes =
        StudyChanges { allow_count_drift: args.allow_count_drift, ..StudyChanges::of_data(args.data.clone()) };
    let (suite, edition) = (Some(args.suite.clone()), args.edition.clone());
    let choice = TaskChoice { study: None, task: tasks, suite, edition, model: None, changes };
    let resolved = choice.resolve(context)?;
    let of_task = |node: &Node| match &node.label {
        Label::Normalize(task) if choice.task.contains(task) => Some(task.clone()),
        _ => None,
    };
    let wanted = resolved.graph.closure(|node| of_task(node).is_some());
    let outcome = perform(context, &resolved, &wanted, &Workers::default(), Upkeep::default())?;
    let nodes = resolved.graph.nodes.iter().zip(outcome.artifacts);
    Ok(nodes.filter_map(|(node, artifact)| Some((of_task(node)?, artifact?))).collect())
}

use std::path::PathBuf;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{grouped, listed};
use crate::audit::Profile;
use crate::cli::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::normalize::AnyTransform;
use crate::shard::{read_batches, table_path, table_rows};
use crate::store::Artifact;
use crate::study::{StageName, canonical_artifacts};
use crate::task::{Expected, Registry, SourceLanguage, Split, Task};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle task show xnli\n  trestle task show xnli --json")]
pub struct ShowArgs {
    /// The task's id.
    id: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Sample rows of each of two languages.
const SAMPLES: usize = 2;
/// Most characters of a sample's field.
const WIDTH: usize = 100;

/// What is known of a task.
#[derive(Serialize)]
struct Card {
    #[serde(flatten)]
    task: Task,
    /// Its tables, where its rows were loaded and profiled.
    tables: Vec<Profile>,
    /// Rows of the split that scores are computed on.
    samples: Vec<Map<String, Value>>,
}

/// The fields of a row that are not null, by name, in the order of the schema.
type Sample = Vec<(String, String)>;

pub fn run(context: &Context, args: &ShowArgs) -> Result<ExitCode> {
    let task = context.registry.task(&args.id, "the command line")?;
    let made_of: Vec<&Task> =
        task.made_of().iter().map(|name| context.registry.task(name, &task.id)).collect::<Result<_, _>>()?;
    AnyTransform::of(task, &made_of)?;
    let artifacts = context.store().list()?;
    let canonical = canonical_artifacts(&artifacts).remove(&task.id);
    let (tables, samples) = match canonical {
        Some(canonical) => (profile(&artifacts, canonical)?, samples(task, canonical)?),
        None => (Vec::new(), Vec::new()),
    };
    if args.json {
        let object = |sample: Sample| sample.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
        print_json(&Card { task: listed(context, task), tables, samples: samples.into_iter().map(object).collect() });
        return Ok(ExitCode::Success);
    }
    for (name, text) in facts(&context.registry, task) {
        print(&format!("{name:<12} {text}"));
    }
    if canonical.is_none() {
        print(&format!(
            "\nno rows are loaded yet: `trestle task check {} --data DIR` (or --edition mini) does",
            task.id
        ));
        return Ok(ExitCode::Success);
    }
    if tables.is_empty() {
        print(&format!("\nits rows are not profiled yet: `trestle task check {}` does", task.id));
    } else {
        print(&table(&tables).to_string());
    }
    for sample in samples {
        print("");
        for (name, text) in sample {
            print(&format!("  {name:<14} {}", cut(&text)));
        }
    }
    Ok(ExitCode::Success)
}

/// What the task's file and those of its suites say, by name.
fn facts(registry: &Registry, task: &Task) -> Vec<(&'static str, String)> {
    let role = serde_json::to_value(task.role).unwrap_or_default();
    let mut facts = vec![
        ("task", task.id.clone()),
        ("format", task.format.to_string()),
        ("role", role.as_str().unwrap_or_default().to_owned()),
    ];
    let mut add = |name, text: String| {
        if !text.is_empty() {
            facts.push((name, text));
        }
    };
    add("suites", registry.suites_of(task).collect::<Vec<_>>().join(", "));
    add("labels", if task.open_labels { "those of the training split".to_owned() } else { task.labels.join(", ") });
    add("metric", task.metric.map(|metric| format!("{}, on {}", metric.name(), task.evaluate)).unwrap_or_default());
    add("languages", format!("{}: {}", task.languages.len(), task.languages.join(" ")));
    for suite in registry.suites() {
        let added = suite.languages(&task.id).iter().filter(|code| !task.languages.contains(code));
        match added.map(String::as_str).collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => {}
            codes => add("", format!("{} adds {codes}", suite.title)),
        }
    }
    add("trained on", task.training_task().filter(|train| *train != task.id).unwrap_or_default().to_owned());
    add("made of", task.made_of().join(", "));
    add("domain", task.domain.join(", "));
    add("licence", task.license.clone());
    add("citation", task.citation.clone());
    add("authors", task.authors.join(", "));
    add("date", task.published.clone());
    add("homepage", task.homepage.clone());
    if let Some(source) = &task.source.directory {
        for (split, files) in &source.files {
            add("files", format!("{split}: {}", below(&source.layout, &files.paths())));
        }
    }
    if let Some(source) = &task.source.hub {
        add("hub", format!("{} @ {}", source.repo, source.revision));
    }
    for (split, expected) in &task.expect {
        add(
            "published",
            match expected {
                Expected::Each(count) => format!("{split}: {} in each language", grouped(*count)),
                Expected::ByLanguage(counts) => {
                    let counts = counts.iter().map(|(code, count)| format!("{code} {}", grouped(*count)));
                    format!("{split}: {}", counts.collect::<Vec<_>>().join(", "))
                }
            },
        );
    }
    facts
}

/// `paths` below the folder `layout`.
fn below(layout: &str, paths: &[&str]) -> String {
    paths.iter().map(|path| format!("{layout}/{path}")).collect::<Vec<_>>().join(" + ")
}

/// The profile of exactly these canonical tables, with a tokenizer's counts where there are some.
fn profile(artifacts: &[Artifact], canonical: &Artifact) -> Result<Vec<Profile>> {
    let of_these = artifacts.iter().filter(|artifact| {
        let input = artifact.manifest.inputs.get("canonical");
        artifact.manifest.stage == StageName::Profile.name()
            && input.is_some_and(|input| input.digest == canonical.manifest.digest)
    });
    let Some(found) = of_these.max_by_key(|artifact| artifact.manifest.inputs.len()) else { return Ok(Vec::new()) };
    Ok(table_rows(&found.dir.join("profiles.parquet"))?.collect::<Result<_, _>>()?)
}

fn table(tables: &[Profile]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "split",
        "language",
        "rows",
        "words",
        "length",
        "p95",
        "longest",
        "tokens/word",
        "cut",
        "labels",
    ]);
    for row in tables {
        let total: u64 = row.labels.0.iter().map(|(_, count)| count).sum();
        let mut labels: Vec<&(String, u64)> = row.labels.0.iter().collect();
        if labels.len() > 5 {
            labels.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        let share = |count: u64| format!("{:.0}%", 100.0 * count as f64 / total.max(1) as f64);
        let shown: Vec<String> =
            labels.iter().take(5).map(|(label, count)| format!("{label} {}", share(*count))).collect();
        let more = if labels.len() > 5 { format!(", {} more", labels.len() - 5) } else { String::new() };
        let tokens = row.tokens.map_or_else(
            || [String::new(), String::new()],
            |tokens| [format!("{:.2}", tokens.tokens_per_word), format!("{:.1}%", 100.0 * tokens.truncated_share)],
        );
        let lengths = [row.length_median, row.length_p95, row.length_max].map(|length| grouped(u64::from(length)));
        let numbers = [grouped(row.examples), grouped(row.words)].into_iter().chain(lengths).chain(tokens);
        let numbers = numbers.map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        let names = [Cell::new(row.split), Cell::new(&row.language)];
        table.add_row(names.into_iter().chain(numbers).chain([Cell::new(shown.join(", ") + &more)]));
    }
    table
}

/// The first rows in the language that studies train in, where they name no other, and in one more, of the split that scores are
/// computed on or the first there is.
fn samples(task: &Task, canonical: &Artifact) -> Result<Vec<Sample>> {
    let here = |split: Split, language: &str| -> Option<PathBuf> {
        let path = canonical.dir.join(table_path(split.name(), language));
        path.is_file().then_some(path)
    };
    let mut languages = task.languages.clone();
    languages.sort_by_key(|code| code != SourceLanguage::DEFAULT);
    let splits = [task.evaluate, Split::Train, Split::Validation, Split::Test];
    let of_split = |split: &Split| -> Vec<PathBuf> { languages.iter().filter_map(|code| here(*split, code)).collect() };
    let paths = splits.iter().map(of_split).find(|paths| !paths.is_empty()).unwrap_or_default();
    let mut samples = Vec::new();
    for path in paths.iter().take(2) {
        if let Some(batch) = read_batches(path)?.next().transpose()? {
            samples.extend((0..batch.num_rows().min(SAMPLES)).map(|row| sample(&batch, row)));
        }
    }
    Ok(samples)
}

fn sample(batch: &RecordBatch, row: usize) -> Sample {
    let options = FormatOptions::default();
    let field = |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &arrow::array::ArrayRef)| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).ok()?;
        let text = column.is_valid(row).then(|| formatter.value(row).to_string());
        Some((field.name().clone(), text?))
    };
    batch.schema_ref().fields().iter().zip(batch.columns()).filter_map(field).collect()
}

/// `text` on one line, at most [`WIDTH`] characters.
fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\t', '\r'], " ");
    if line.chars().count() <= WIDTH { line } else { line.chars().take(WIDTH - 1).chain(['…']).collect() }
}

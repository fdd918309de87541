use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Context;
use crate::error::{ExitCode, Result};
use crate::report::{self, OutputFormat, QueryTable, Rows};
use crate::store::Artifact;
use crate::study::canonical_artifacts;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle query \"SELECT target, intermediate, value FROM summaries WHERE \\\"group\\\" = 'non-english'\"\n  \
    trestle query \"SHOW TABLES\"\n  trestle query \"SELECT * FROM canonical_xnli LIMIT 5\" --format json\n  \
    trestle query \"SELECT * FROM scores JOIN languages USING (language)\" --output scores.parquet"
)]
pub struct QueryArgs {
    /// One statement in Polars' SQL. Tables: those of results (SHOW TABLES lists them), reference (published scores),
    /// languages, and canonical_TASK.
    sql: String,
    /// How to write the rows [default: what the name of --output ends in; table without one].
    #[arg(long, value_enum)]
    format: Option<QueryFormat>,
    /// Most rows that a table shows.
    #[arg(long, default_value_t = 200)]
    rows: usize,
    /// Writes to FILE instead of printing; it appears whole, in the place of what was there.
    #[arg(long, value_name = "FILE", required_if_eq("format", "parquet"))]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum QueryFormat {
    /// For the eye.
    Table,
    /// Comma-separated, with a header.
    Csv,
    /// An array of objects.
    Json,
    /// For other engines; needs --output.
    Parquet,
}

pub fn run(context: &Context, args: &QueryArgs) -> Result<ExitCode> {
    let store = context.store()?;
    let mut tables = report::results_tables(&store.results_dir())?;
    tables.push(report::reference_table()?);
    tables.push(report::languages_table(context.registry.languages()));
    tables.extend(canonical_tables(&store.list()?));
    let rows = report::query(&args.sql, &tables)?;
    let suffix = args.output.as_ref().and_then(|path| path.extension()?.to_str());
    let format = args.format.or_else(|| QueryFormat::from_str(suffix?, true).ok()).unwrap_or(QueryFormat::Table);
    let format = match format {
        QueryFormat::Table => OutputFormat::Table { limit: args.rows },
        QueryFormat::Csv => OutputFormat::Csv,
        QueryFormat::Json => OutputFormat::Json,
        QueryFormat::Parquet => {
            let path = args.output.as_ref().expect("the parser asks for --output with --format parquet");
            report::write_parquet(&rows, path)?;
            return Ok(ExitCode::Success);
        }
    };
    if let Some(path) = &args.output {
        report::write_file(&rows, format, path)?;
        return Ok(ExitCode::Success);
    }
    let mut text = Vec::new();
    report::write_rows(&rows, format, &mut text)?;
    super::print(String::from_utf8_lossy(&text).trim_end());
    Ok(ExitCode::Success)
}

/// The canonical tables of each task.
fn canonical_tables(artifacts: &[Artifact]) -> Vec<QueryTable> {
    canonical_artifacts(artifacts)
        .into_iter()
        .map(|(task, artifact)| QueryTable {
            name: format!("canonical_{}", task.replace('-', "_")),
            rows: Rows::Files {
                root: artifact.dir.clone(),
                files: artifact.manifest.files.iter().map(|file| artifact.dir.join(&file.path)).collect(),
            },
        })
        .collect()
}

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Context;
use crate::error::{ExitCode, Result};
use crate::report::{self, OutputFormat, QueryTable, ReportError};
use crate::store::Artifact;
use crate::study::canonical_artifacts;
use crate::task::Registry;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle query \"SELECT target, row, value FROM summaries WHERE \\\"group\\\" = 'non-english'\"\n  \
    trestle query \"SHOW TABLES\"\n  trestle query \"DESCRIBE scores\"\n  trestle query \"SELECT * FROM canonical_xnli LIMIT 5\" --format json\n  \
    trestle query \"SELECT * FROM scores JOIN languages USING (language)\" --output scores.parquet"
)]
pub struct QueryArgs {
    /// One statement in Polars' SQL. Tables: those of results (SHOW TABLES lists them), reference (published scores),
    /// languages, and canonical_TASK.
    sql: String,
    /// How to write the rows [default: what the name of --output ends in; table without --output].
    #[arg(long, value_enum)]
    format: Option<QueryFormat>,
    /// Most rows that a table shows [default: 200 when printed, all in a file].
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Writes to FILE instead of printing; it appears whole, in the place of what was there. Its name ends in .csv, .json or
    /// .parquet, or --format says what it is.
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

/// Rows of a table that are printed where nothing else is said.
const PRINTED_ROWS: usize = 200;

impl QueryArgs {
    /// What to write, which a file's name may tell.
    fn format(&self) -> Result<QueryFormat, ReportError> {
        let Some(path) = &self.output else { return Ok(self.format.unwrap_or(QueryFormat::Table)) };
        if path.is_dir() {
            return Err(ReportError::place(path, "is a directory; name a file in it"));
        }
        let suffix = path.extension().unwrap_or_default().to_ascii_lowercase();
        match (self.format, suffix.to_str()) {
            (Some(format), _) => Ok(format),
            (None, Some("csv")) => Ok(QueryFormat::Csv),
            (None, Some("json")) => Ok(QueryFormat::Json),
            (None, Some("parquet")) => Ok(QueryFormat::Parquet),
            _ => Err(ReportError::place(
                path,
                "ends in none of .csv, .json and .parquet; rename it, or choose with --format",
            )),
        }
    }
}

pub fn run(context: &Context, args: &QueryArgs) -> Result<ExitCode> {
    let format = args.format()?;
    let store = context.existing_store()?;
    let mut tables = report::results_tables(&store.results_dir())?;
    tables.push(report::reference_table()?);
    tables.push(report::languages_table(context.registry.languages()));
    tables.extend(canonical_tables(&context.registry, &store.list()?));
    let rows = report::query(&args.sql, &tables)?;
    let format = match format {
        QueryFormat::Table => {
            let limit = if args.output.is_some() { usize::MAX } else { PRINTED_ROWS };
            OutputFormat::Table { limit: args.rows.unwrap_or(limit) }
        }
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
fn canonical_tables(registry: &Registry, artifacts: &[Artifact]) -> Vec<QueryTable> {
    let table = |(task, artifact): (String, &Artifact)| {
        let format = registry.task(&task, "a query").ok().map(|task| task.format);
        let files = artifact.manifest.files.iter().map(|file| artifact.dir.join(&file.path)).collect();
        report::canonical_table(&task, format, artifact.dir.clone(), files)
    };
    canonical_artifacts(artifacts).into_iter().map(table).collect()
}

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::study_args::StudyArgs;
use super::{Context, print};
use crate::error::{ExitCode, Result};
use crate::report::{self, StudyResults};
use crate::study::{StudyError, collect, imported_results, inspect};
use crate::task::IMPORTED;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle report mini\n  trestle report mini --format html --output report.html\n  \
    trestle report mini --format latex --output table.tex"
)]
pub struct ReportArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
    /// Writes to FILE instead of standard output. The file appears whole or not at all.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// A table for the eye.
    Table,
    /// The whole report: one page that needs nothing else.
    Html,
    /// A table for a document.
    Markdown,
    /// A table for a paper, with booktabs.
    Latex,
    /// A line for each row and target.
    Csv,
    /// The table with all it holds.
    Json,
}

pub fn run(context: &Context, args: &ReportArgs) -> Result<ExitCode> {
    let results = results(context, &args.study)?;
    if results.cells.is_empty() {
        return Err(StudyError::NoResults { study: results.study.id }.into());
    }
    let table = || report::study_table(&results);
    let text = match args.format {
        ReportFormat::Html => report::render(&results)?,
        ReportFormat::Table => table()?.to_terminal(args.output.is_none() && super::colours()),
        ReportFormat::Markdown => table()?.to_markdown(),
        ReportFormat::Latex => table()?.to_latex(),
        ReportFormat::Csv => table()?.to_csv()?,
        ReportFormat::Json => table()?.to_json(),
    };
    let text = text.trim_end();
    match &args.output {
        Some(path) => report::write_text(&format!("{text}\n"), path)?,
        None => print(text),
    }
    Ok(ExitCode::Success)
}

/// What there is of a study, or of everything imported.
fn results(context: &Context, study: &StudyArgs) -> Result<StudyResults> {
    if study.study == IMPORTED {
        return imported_results(&context.existing_store()?, &context.registry);
    }
    let resolved = study.resolve(context)?;
    let setup = resolved.setup_to_inspect(context)?;
    let (_, artifacts) = inspect(&setup, &resolved.graph)?;
    collect(&setup, &resolved.graph, &artifacts)
}

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::study_args::StudyArgs;
use super::{Context, print};
use crate::error::{ExitCode, IoContext, Result};
use crate::report::{self, StudyResults};
use crate::study::{StudyError, collect, imported_results, inspect};
use crate::task::IMPORTED;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle report mini\n  trestle report mini --format html --output report.html")]
pub struct ReportArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ReportFormat::Terminal)]
    format: ReportFormat,
    /// Writes to FILE instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// A table for the eye.
    Terminal,
    /// A table for a document.
    Markdown,
    /// The table's numbers.
    Json,
    /// The whole report, in one file that needs nothing else.
    Html,
}

pub fn run(context: &Context, args: &ReportArgs) -> Result<ExitCode> {
    let results = results(context, &args.study)?;
    if results.cells.is_empty() {
        return Err(StudyError::NoResults { study: results.study.id }.into());
    }
    let text = match args.format {
        ReportFormat::Html => report::render(&results)?,
        ReportFormat::Terminal => report::study_table(&results)?.to_terminal(args.output.is_none() && super::colours()),
        ReportFormat::Markdown => report::study_table(&results)?.to_markdown(),
        ReportFormat::Json => report::study_table(&results)?.to_json(),
    };
    match &args.output {
        Some(path) => std::fs::write(path, text + "\n").at("write", path)?,
        None => print(text.trim_end()),
    }
    Ok(ExitCode::Success)
}

/// What there is of a study, or of everything imported.
fn results(context: &Context, study: &StudyArgs) -> Result<StudyResults> {
    if study.study == IMPORTED {
        return imported_results(&context.store()?, &context.registry);
    }
    let resolved = study.resolve(context)?;
    let setup = resolved.setup(context)?;
    let (_, artifacts) = inspect(&setup, &resolved.graph)?;
    collect(&setup, &resolved.graph, &artifacts)
}

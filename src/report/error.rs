use std::path::{Path, PathBuf};

use crate::error::{ExitCode, FileError};
use crate::evaluate::EvaluateError;
use crate::shard::ShardError;
use crate::task::{CHECK, IMPORTED, TASKS, TaskError, study_folder, study_of};

/// What goes wrong with tables, queries and reports.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Ctrl-C or SIGTERM while another process publishes the same study.
    #[error("interrupted")]
    Interrupted,
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Parquet file.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The language table.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A cell's summaries lack a row that a table needs.
    #[error("{} has no `{metric}` row{}: score {target} again", path.display(), of_layer(*layer))]
    Summary {
        /// The summaries.
        path: PathBuf,
        /// The target task.
        target: String,
        /// The metric asked for.
        metric: String,
        /// The hidden state asked for, in retrieval.
        layer: Option<i32>,
    },
    /// Two runs that can't be compared.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Nothing was published of a study.
    #[error("study {study} has no results below {}; `trestle run {study}` makes and publishes them", dir.display())]
    NotPublished {
        /// The study.
        study: String,
        /// The results directory.
        dir: PathBuf,
    },
    /// Results that other code published in another form.
    #[error(
        "{}: published in form {found} of the results, and this is form {wanted}; {} publishes them again, making only what \
         lacks, or remove the folders `{}` below the results",
        path.display(),
        republish(path),
        study_folder(study_of(path).unwrap_or("STUDY"))
    )]
    View {
        /// The file.
        path: PathBuf,
        /// The version of the view in its footer.
        found: String,
        /// The version that this code reads and writes.
        wanted: u32,
    },
    /// A row that a study's results do not have.
    #[error("the results of study {study} have no row `{row}`; choose one of {known}")]
    NoRow {
        /// The study.
        study: String,
        /// The row asked for.
        row: String,
        /// The rows there are.
        known: String,
    },
    /// A choice that none of two operands has.
    #[error("neither {a} (A) nor {b} (B) has {what} `{name}`; there is: {known}")]
    NeitherHas {
        /// The first operand.
        a: String,
        /// The second.
        b: String,
        /// `target` or `language`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is in its place.
        known: String,
    },
    /// A whole study against one of a study's rows.
    #[error("{study} is a whole study and {other} is not: name a row of it, {study}/ROW, or compare two studies")]
    WholeAndPart {
        /// The study.
        study: String,
        /// What it was to be compared with.
        other: String,
    },
    /// Two operands that have nothing in common.
    #[error("{a} (A) and {b} (B) can't be compared: {problem}")]
    NothingShared {
        /// The first operand.
        a: String,
        /// The second.
        b: String,
        /// What they lack, and the remedy.
        problem: String,
    },
    /// A run's parameters are not what a study publishes.
    #[error(
        "the parameters of a run of study {study} are broken ({message}); `trestle run {study}` publishes it again"
    )]
    Run {
        /// The study.
        study: String,
        /// The parser's words.
        message: String,
    },
    /// SQL that can't be run.
    #[error("the query failed: {message}; tables: {tables}")]
    Sql {
        /// The engine's words.
        message: String,
        /// The tables there are.
        tables: String,
    },
    /// A place that no result can be written to.
    #[error("{}: {problem}", path.display())]
    Place {
        /// The place.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: &'static str,
    },
    /// A result that the output format can't hold.
    #[error("the result can't be written as {format}: {message}")]
    Output {
        /// `csv`, `json` or `table`.
        format: &'static str,
        /// The writer's words.
        message: String,
    },
    /// The report's template and its data do not fit: a bug.
    #[error("the report could not be rendered: {0}")]
    Render(String),
}

/// The command that publishes the study again in whose partition `path` lies.
fn republish(path: &Path) -> String {
    let study = study_of(path).unwrap_or("STUDY");
    match study {
        IMPORTED => "the next `trestle import`".to_owned(),
        CHECK => "`trestle task check --all`".to_owned(),
        TASKS => "`trestle normalize` of those tasks".to_owned(),
        study => format!("`trestle run {study}`"),
    }
}

fn of_layer(layer: Option<i32>) -> String {
    layer.map(|layer| format!(" of layer {layer}")).unwrap_or_default()
}

impl ReportError {
    pub(crate) fn place(path: &Path, problem: &'static str) -> Self {
        ReportError::Place { path: path.to_owned(), problem }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ReportError::File(e) => e.exit(),
            ReportError::Shard(e) => e.exit(),
            ReportError::Task(e) => e.exit(),
            ReportError::Evaluate(e) => e.exit(),
            ReportError::NotPublished { .. } | ReportError::NothingShared { .. } | ReportError::View { .. } => {
                ExitCode::Missing
            }
            ReportError::NoRow { .. } | ReportError::NeitherHas { .. } => ExitCode::Config,
            ReportError::Summary { .. } | ReportError::Run { .. } => ExitCode::Data,
            ReportError::WholeAndPart { .. }
            | ReportError::Sql { .. }
            | ReportError::Place { .. }
            | ReportError::Output { .. } => ExitCode::Usage,
            ReportError::Render(_) => ExitCode::Internal,
            ReportError::Interrupted => ExitCode::Interrupted,
        }
    }
}

use std::path::{Path, PathBuf};

use crate::error::{ExitCode, FileError};
use crate::shard::ShardError;

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Parquet file.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// No metric, format or task of that name.
    #[error("unknown {kind} `{name}`; choose one of {known}")]
    Unknown {
        /// What was named: metric, format, task.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The metric isn't defined for what it was asked to score.
    #[error("metric `{metric}` is not defined for {what}; {remedy}")]
    Undefined {
        /// The metric.
        metric: &'static str,
        /// The format or language it was asked for.
        what: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A baseline that learns from the training split was given none.
    #[error(
        "the baseline of format `{format}` needs the training split in the source language, and none has {what}; normalize it first"
    )]
    NoTraining {
        /// The format.
        format: String,
        /// What the training rows lack.
        what: &'static str,
    },
    /// A model that was not trained for what it should predict.
    #[error("model {} has {problem} task `{task}`; predict with a model that was trained for it", model.display())]
    Head {
        /// The model's directory.
        model: PathBuf,
        /// The task.
        task: String,
        /// What its heads are.
        problem: &'static str,
    },
    /// A hidden state that the model does not have.
    #[error("model {} has hidden states 0 to {has}, not {layer}; correct retrieval.layers in the model file", model.display())]
    Layer {
        /// The model's directory.
        model: PathBuf,
        /// The hidden state asked for.
        layer: usize,
        /// The last that it has.
        has: usize,
    },
    /// Runs that can't be compared example by example.
    #[error("{what} can't be compared: {problem}; compare runs of the same data")]
    Unpaired {
        /// The target and the runs.
        what: String,
        /// The first difference.
        problem: String,
    },
    /// Intervals were asked for without resamples to take them from.
    #[error("bootstrap intervals need at least one resample; ask for 1000 or so")]
    NoResamples,
    /// A language is not once on both sides.
    #[error("language `{language}` {problem}; give predictions and gold once for each language")]
    Language {
        /// The language.
        language: String,
        /// Which side it lacks or has twice.
        problem: &'static str,
    },
    /// A threshold is to be chosen on development examples, and they have no gold.
    #[error(
        "{}: there is no gold of the split `validation` to choose the threshold on; normalize that split as well, or leave its predictions out",
        path.display()
    )]
    NoDevelopment {
        /// The predictions.
        path: PathBuf,
    },
    /// A gold table has no row to score.
    #[error("{}: no example to score; is it the right split?", path.display())]
    Empty {
        /// The gold table.
        path: PathBuf,
    },
    /// A search without anything to look for, or to look among.
    #[error("there is no vector on one of the sides; nothing can be searched")]
    NoVectors,
    /// More neighbours are asked for than there is memory for.
    #[error(
        "the lists of neighbours need --memory {}MB, and have {}MB; give that much, or ask for fewer",
        needed.div_ceil(1_000_000),
        given / 1_000_000
    )]
    Neighbours {
        /// Bytes that the search would have to be given.
        needed: u64,
        /// Bytes that it was given.
        given: u64,
    },
    /// Sentences that repeat so often that not all of their pairs can be written.
    #[error(
        "sentences that repeat make {pairs} pairs: `{query}` stands for {} equal queries, `{index}` for {} equal index sentences; leave repeats out of the task's data",
        counts[0], counts[1]
    )]
    Repeats {
        /// The first of the queries that make the most.
        query: String,
        /// The first of their counterparts.
        index: String,
        /// How many of each there are.
        counts: [u64; 2],
        /// All pairs.
        pairs: u64,
    },
    /// An output that can't be one.
    #[error("{}: the output {problem}; name another file", path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An option for tables, where there is none.
    #[error("{option} is for Parquet tables, and both files are safetensors; leave it out")]
    NoTable {
        /// The option.
        option: &'static str,
    },
    /// Vectors of two sides that can't be compared.
    #[error("queries have {queries} numbers and index vectors {index}; embed both with the same model and layer")]
    Widths {
        /// Numbers of a query.
        queries: usize,
        /// Numbers of an index vector.
        index: usize,
    },
    /// A file that holds no vectors, or not the ones asked for.
    #[error("{}: {problem}", path.display())]
    Embeddings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A row of a table is not what it should be.
    #[error("{}: example `{example}`: {problem}", path.display())]
    Example {
        /// The table.
        path: PathBuf,
        /// The row's `example_id`.
        example: String,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A gold example without a prediction.
    #[error(
        "{}: no prediction for example `{example}`{}; predict the whole split again",
        path.display(),
        layer.map(|layer| format!(" at layer {layer}")).unwrap_or_default()
    )]
    MissingPrediction {
        /// The predictions.
        path: PathBuf,
        /// The gold example's `example_id`.
        example: String,
        /// The layer that lacks it, where predictions are per layer.
        layer: Option<i32>,
    },
    /// Languages of one task were predicted at different layers.
    #[error("{}: predictions for layers {found}, but {expected} in the languages before; predict all at the same layers", path.display())]
    Layers {
        /// The predictions.
        path: PathBuf,
        /// The layers of this file.
        found: String,
        /// The layers of the first file.
        expected: String,
    },
    /// A suite's mean over fewer tasks or languages than it has.
    #[error(
        "{suite} lacks {missing}; add them, choose tasks with --task, or average over what else there is with --allow-missing"
    )]
    Incomplete {
        /// The suite.
        suite: String,
        /// Tasks, and languages as `TASK/LANGUAGE`.
        missing: String,
    },
    /// A folder that holds none of a suite's tasks.
    #[error("{}: no folder of a task of {suite} (it has {found}); give the folder that holds {known}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The suite.
        suite: String,
        /// The folders found.
        found: String,
        /// The folders that the suite's tasks have.
        known: String,
    },
    /// A line of a submission's or a label file.
    #[error("{}: line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A submission's file doesn't have the lines that the labels have.
    #[error("{}: {found} {unit}, but {expected} in {}; give one prediction for each", predictions.display(), labels.display())]
    Count {
        /// The submission's file.
        predictions: PathBuf,
        /// The labels' file.
        labels: PathBuf,
        /// What is counted: lines, sentences, tags in a sentence.
        unit: String,
        /// How many the submission has.
        found: usize,
        /// How many the labels have.
        expected: usize,
    },
    /// A submission's or a label file's JSON.
    #[error("{}: {message}; expected {expected}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        message: String,
        /// The shape it should have.
        expected: &'static str,
    },
}

impl EvaluateError {
    pub(super) fn example(path: &Path, example: &str, problem: impl Into<String>) -> Self {
        EvaluateError::Example { path: path.to_owned(), example: example.to_owned(), problem: problem.into() }
    }

    pub(super) fn language(language: &str, problem: &'static str) -> Self {
        EvaluateError::Language { language: language.to_owned(), problem }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            EvaluateError::File(e) => e.exit(),
            EvaluateError::Shard(e) => e.exit(),
            EvaluateError::Unknown { .. }
            | EvaluateError::Undefined { .. }
            | EvaluateError::Head { .. }
            | EvaluateError::Layer { .. } => ExitCode::Config,
            EvaluateError::NoResamples
            | EvaluateError::Neighbours { .. }
            | EvaluateError::Output { .. }
            | EvaluateError::NoTable { .. } => ExitCode::Usage,
            EvaluateError::MissingPrediction { .. }
            | EvaluateError::Incomplete { .. }
            | EvaluateError::Folder { .. }
            | EvaluateError::Language { .. }
            | EvaluateError::NoTraining { .. }
            | EvaluateError::NoDevelopment { .. }
            | EvaluateError::Layers { .. } => ExitCode::Missing,
            EvaluateError::Empty { .. }
            | EvaluateError::Unpaired { .. }
            | EvaluateError::NoVectors
            | EvaluateError::Repeats { .. }
            | EvaluateError::Widths { .. }
            | EvaluateError::Embeddings { .. }
            | EvaluateError::Example { .. }
            | EvaluateError::Line { .. }
            | EvaluateError::Count { .. }
            | EvaluateError::Json { .. } => ExitCode::Data,
        }
    }
}

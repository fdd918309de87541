use super::NoLabel;
use crate::error::{ExitCode, FileError};
use crate::task::IMPORTED;

/// What goes wrong with studies.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A text that is no label.
    #[error(transparent)]
    Label(#[from] NoLabel),
    /// Nothing to evaluate in.
    #[error("study {study}: no language is left for task `{task}`; widen `languages`")]
    NoLanguages {
        /// The study.
        study: String,
        /// The task.
        task: String,
    },
    /// Tasks were asked for without a study, and none of them can be read.
    #[error("none of these tasks has data here in the languages asked for; `trestle task list` shows what there is")]
    NoTasks,
    /// A task is used for what it is not made for.
    #[error("study {study} uses task `{task}` against its role; see `trestle task show {task}`")]
    Role {
        /// The study.
        study: String,
        /// The task.
        task: String,
    },
    /// A target that Trestle reads but has no metric for.
    #[error(
        "study {study}: task `{task}` has no metric yet, so a study can't score it; its data can be normalised and tokenised"
    )]
    NoMetric {
        /// The study.
        study: String,
        /// The task.
        task: String,
    },
    /// A task whose training data are in one language, which is not the study's.
    #[error(
        "study {study} trains in `{language}`, and task `{task}` has training data in `{has}` alone; name a task that has some in \
         `{language}`, or set `source = \"{has}\"`"
    )]
    Source {
        /// The study.
        study: String,
        /// Its source language.
        language: String,
        /// The task.
        task: String,
        /// The language of its training data.
        has: String,
    },
    /// A task whose files turned out to hold no training data in the languages that it is to be trained in.
    #[error(
        "study {study}: task `{task}` has no training data in {wanted}, but in {has}; name a task that has some, or another `source`"
    )]
    NoTraining {
        /// The study.
        study: String,
        /// The task.
        task: String,
        /// The languages that it is to be trained in.
        wanted: String,
        /// Those of its training tables.
        has: String,
    },
    /// A limit of a view, whose rows are another task's.
    #[error("study {study}: [task_limits] names the view `{view}`; limit what it is made of, {made_of}")]
    LimitedView {
        /// The study.
        study: String,
        /// The view.
        view: String,
        /// The tasks that it is made of.
        made_of: String,
    },
    /// The mini edition does not write this task's layout.
    #[error("study {study}: the mini edition has no data for task `{task}`; use `edition = \"full\"` or leave it out")]
    NoMini {
        /// The study.
        study: String,
        /// The task.
        task: String,
    },
    /// Hyperparameters do not parse.
    #[error("study {study}: {part}: {message}")]
    Hyperparameters {
        /// The study.
        study: String,
        /// The phase, row or target.
        part: String,
        /// The parser's words.
        message: String,
    },
    /// The model needs pretraining text, and the study has none.
    #[error("study {study}: its model trains its own {what}, so the study needs [pretrain]")]
    NoPretraining {
        /// The study.
        study: String,
        /// `encoder` or `tokenizer`.
        what: &'static str,
    },
    /// The encoder's weights can't be had.
    #[error(
        "model {model}: its encoder is not here; give a model directory with --encoder DIR (from the hub it is only taken without --data)"
    )]
    NoEncoder {
        /// The model.
        model: String,
    },
    /// Tasks that can't share a head.
    #[error("study {study}: tasks `{one}` and `{other}` can't share head `{head}`: they differ in format or labels")]
    Heads {
        /// The study.
        study: String,
        /// The head.
        head: String,
        /// The first task.
        one: String,
        /// The task that differs from it.
        other: String,
    },
    /// The study's raw files are not on the hub.
    #[error("study {study} reads nothing from the hub; fetch is for studies of the full edition without --data")]
    NothingToFetch {
        /// The study.
        study: String,
    },
    /// A name that selects nothing.
    #[error("nothing in study {study} is called `{name}`; `trestle plan {study}` lists what there is")]
    NoSuchNode {
        /// The study.
        study: String,
        /// The name.
        name: String,
    },
    /// Rows and columns of a study in which nothing is done of what was asked for.
    #[error(
        "study {study} has no {what}{}{asked}; {}{}",
        if asked.is_empty() { "" } else { " with " },
        if known.is_empty() { "`trestle plan` lists what there is" } else { "there are some with " },
        known
    )]
    NothingPicked {
        /// The study.
        study: String,
        /// What a command makes, in the plural.
        what: String,
        /// The options that narrow it down.
        asked: String,
        /// The values that they may have.
        known: String,
    },
    /// A score row that is not in results.
    #[error("{}; there is: {known}", name.as_ref().map_or(format!("which {what}?"), |name| format!("no {what} {name} in results")))]
    NoSuchRow {
        /// The part of the name: study, target, row, seed, language, layer.
        what: &'static str,
        /// What it is called, if it is named at all.
        name: Option<String>,
        /// What there is in its place.
        known: String,
    },
    /// The name of a score row whose layer is none.
    #[error("the layer of a score row, after its `@`, must be a number, not `{layer}`; there is: {known}")]
    LayerName {
        /// What stands there.
        layer: String,
        /// The layers that there are.
        known: String,
    },
    /// The name of a score row that has two parts of one kind.
    #[error("a score row has one {what} at most, not `{one}` and `{other}`; leave one of them out")]
    TwoOf {
        /// `language or group`, or `metric`.
        what: &'static str,
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
    /// A task whose canonical tables are not in the store.
    #[error(
        "the store holds no canonical table {what}of task `{task}`; make it with `trestle normalize --task {task}` (and --data DIR for the real data)"
    )]
    NoCanonical {
        /// The task.
        task: String,
        /// Which of its tables, with a blank after it.
        what: String,
    },
    /// An artifact that was not made yet.
    #[error("{label} was not made yet; `trestle run {study}` makes it (`trestle train {study}` the models alone)")]
    NotMade {
        /// The study.
        study: String,
        /// The stage's label.
        label: String,
    },
    /// A name that is not exactly one score artifact's.
    #[error(
        "{} score artifacts in {} are called `{name}`; name one by the beginning of its key (column score_key of table runs)",
        if *found == 0 { "no".to_owned() } else { found.to_string() },
        home.display()
    )]
    NoScores {
        /// The name.
        name: String,
        /// The store.
        home: std::path::PathBuf,
        /// How many there are.
        found: usize,
    },
    /// An artifact that holds no model.
    #[error(
        "{label} is a {stage} artifact, not a model; name a pretraining or a training (`pretrain`, `intermediate/…`, `target/…`)"
    )]
    NoModel {
        /// The artifact's label.
        label: String,
        /// Its stage.
        stage: String,
    },
    /// What an artifact was made from is no longer in the store.
    #[error("{label}: its input `{input}` is not in this store; export from the store that it was made in")]
    InputGone {
        /// The artifact's label.
        label: String,
        /// The input's name.
        input: String,
    },
    /// Nothing to report.
    #[error("study {study} has no results yet; `trestle {}` makes them", if study == IMPORTED { "import predictions".to_owned() } else { format!("run {study}") })]
    NoResults {
        /// The study.
        study: String,
    },
    /// A manifest that was damaged, or is of an older version of a stage.
    #[error(
        "{label}: its manifest does not hold what stage {stage} writes: {message}; remove artifacts/{stage}/{key} from the store and run again"
    )]
    Manifest {
        /// The artifact's label.
        label: String,
        /// Its stage.
        stage: String,
        /// Its key.
        key: String,
        /// What is missing.
        message: String,
    },
    /// An artifact in the place of another.
    #[error("{label} is a {stage} artifact, where one of stage {wanted} belongs; plan the study again")]
    Kind {
        /// The artifact's label.
        label: String,
        /// Its stage.
        stage: String,
        /// The stages whose artifacts belong there.
        wanted: String,
    },
    /// A job that this program can't perform.
    #[error("{label}: the job can't be performed: {message}; plan it with this version of trestle")]
    Job {
        /// The job's label.
        label: String,
        /// What is wrong with it.
        message: String,
    },
    /// A job for another device.
    #[error("the job is for device {wanted}, and this process computes on {has}; start it with --device {wanted}")]
    Device {
        /// The device's kind.
        wanted: &'static str,
        /// The process's.
        has: &'static str,
    },
    /// A worker died of a bug.
    #[error("stage {label} stopped unexpectedly: {message}")]
    Panic {
        /// The node's label.
        label: String,
        /// What the panic said.
        message: String,
    },
}

impl StudyError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            StudyError::File(e) => e.exit(),
            StudyError::Panic { .. } => ExitCode::Internal,
            StudyError::NoResults { .. }
            | StudyError::NotMade { .. }
            | StudyError::NoCanonical { .. }
            | StudyError::InputGone { .. }
            | StudyError::NoScores { .. } => ExitCode::Missing,
            _ => ExitCode::Config,
        }
    }
}

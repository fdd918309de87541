//! Views: canonical tables made of canonical tables. A view is a task like any other: it can be trained on and predicted, and is
//! tokenised, profiled, scored and queried under its own name.
//!
//! A [`Transform`] is a file here and its line in [`transforms!`]. It turns rows into rows, a batch at a time; which tables are
//! read and written is decided here, once for all.

mod answerable;
mod compose;

pub use answerable::Answerable;
pub use compose::Compose;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::clock::{self, Clock, timed};
use super::tables::count_labels;
use super::{NormalizeError, NormalizeOutcome, NormalizedTable, Terms, label_set, labels_of};
use crate::error::{Error, IoContext};
use crate::progress::{self, Progress};
use crate::schema;
use crate::shard::{Writer, Written, keys_of, read_batches, table_path};
use crate::task::{Split, Task, TransformName};

/// How rows of a view are made. Everything that decides them is in the value, which is part of the view's key.
pub trait Transform: Sized {
    /// The names by which an id asks for it (`squad_v2~answerable`); none where task files declare it.
    const NAMES: &'static [&'static str];

    /// The transform that `name`, one of [`Self::NAMES`], asks for of the rows of `of`.
    ///
    /// # Errors
    /// Why it can't be: an argument that it does not take, rows of a format that it is not for.
    fn named(name: &TransformName, of: &Task) -> Result<Self, String>;

    /// What canonical rows of the task `part` become: rows of the same table, split and language.
    fn rows(&self, part: &str, rows: RecordBatch) -> Result<Made, NormalizeError>;
}

/// The rows of a view that a batch became.
pub struct Made {
    /// The rows.
    pub rows: RecordBatch,
    /// How many of the batch's became none.
    pub left_out: u64,
}

/// The transforms by file.
macro_rules! transforms {
    ($($(#[$docs:meta])+ $transform:ident,)+) => {
        /// Any of the transforms.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum AnyTransform {
            $($(#[$docs])+ $transform($transform),)+
        }

        impl AnyTransform {
            /// The names that ids may ask for.
            fn names() -> Vec<&'static str> {
                [$(<$transform as Transform>::NAMES),+].concat()
            }

            /// The transform that is called `name`, of the rows of `of`; none of that name.
            fn named(name: &TransformName, of: &Task) -> Option<Result<Self, String>> {
                $(if <$transform as Transform>::NAMES.contains(&name.name.as_str()) {
                    return Some($transform::named(name, of).map(Self::$transform));
                })+
                None
            }

            fn rows(&self, part: &str, rows: RecordBatch) -> Result<Made, NormalizeError> {
                match self {
                    $(Self::$transform(transform) => transform.rows(part, rows),)+
                }
            }
        }
    };
}

transforms! {
    /// Several tasks as one.
    Compose,
    /// Questions with an answer, or without.
    Answerable,
}

impl AnyTransform {
    /// How the view `task` is made of `of`, the tasks that it is made of.
    ///
    /// # Errors
    /// [`NormalizeError::View`] for a transform that there is not, or that can't be of those rows.
    pub fn of(task: &Task, of: &[&Task]) -> Result<Self, NormalizeError> {
        let Some(((_, name), of)) = task.transform().zip(of.first()) else {
            return Ok(Self::Compose(Compose));
        };
        let wrong = |message: String| NormalizeError::View { view: task.id.clone(), message };
        match Self::named(&name, of) {
            Some(transform) => transform.map_err(wrong),
            None => Err(wrong(format!(
                "there is no transform `{}`; there are: {}",
                name.name.escape_debug(),
                Self::names().join(", ")
            ))),
        }
    }
}

/// Split, language and file of a canonical table.
pub type PartTable = (Split, String, PathBuf);

/// What view to make.
pub struct ViewRequest<'a> {
    /// What its rows are to be.
    pub terms: Terms<'a>,
    /// How they are made.
    pub transform: &'a AnyTransform,
    /// The canonical tables that it is made of by task, in order.
    pub parts: &'a [(String, Vec<PartTable>)],
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewOutcome {
    /// As of every canonical table.
    #[serde(flatten)]
    pub normalized: NormalizeOutcome,
    /// How many rows that it is made of became none of it.
    pub left_out: u64,
    /// The languages of which it has no table, since none of their rows is left, by split.
    pub emptied: BTreeMap<Split, Vec<String>>,
}

/// Writes one canonical table a (split, language) below `output`: what the rows of every part that has one become, in order.
/// Where they become none, no table is written.
///
/// # Errors
/// A part's table that can't be read or is not canonical; a split that is left without rows; a failed write.
pub fn make_view(
    request: &ViewRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<ViewOutcome, Error> {
    let table = schema::canonical(request.terms.format);
    let schema_metadata = table.metadata();
    let metadata: Vec<(&str, &str)> =
        metadata.iter().copied().chain(schema_metadata.iter().map(|(key, value)| (*key, value.as_str()))).collect();
    let mut sources: BTreeMap<(Split, &str), Vec<(&str, &Path)>> = BTreeMap::new();
    for (part, tables) in request.parts {
        for (split, language, path) in tables {
            sources.entry((*split, language)).or_default().push((part, path));
        }
    }
    progress.start(0, "rows");
    let (clock, left_out) = (Clock::default(), AtomicU64::new(0));
    let sources: Vec<_> = sources.into_iter().collect();
    let mut tables = sources
        .par_iter()
        .map(|((split, language), parts)| {
            let path = table_path(split.name(), language);
            let keys = parts.first().map(|(_, file)| keys_of(file)).transpose()?.unwrap_or_default();
            let schema = table.schema_with(|name| keys.has(name));
            let mut writer = Writer::create(&output.join(&path), &schema, &metadata)?;
            let mut labels = BTreeMap::new();
            for (part, file) in parts {
                let mut batches = read_batches(file)?;
                while let Some(batch) = timed(&clock.read, || batches.next()) {
                    progress::check(stop)?;
                    let batch = batch?;
                    table.check(&batch)?;
                    let made = request.transform.rows(part, batch)?;
                    left_out.fetch_add(made.left_out, Ordering::Relaxed);
                    count_labels(&made.rows, &mut labels);
                    writer.write(&made.rows)?;
                }
            }
            let Written { rows, time } = writer.finish()?;
            clock::add(&clock.write, time);
            Ok(NormalizedTable { split: *split, language: (*language).to_owned(), rows, path, labels })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    progress.finish();
    let splits: Vec<Split> = tables.iter().map(|table| table.split).collect();
    let mut emptied: BTreeMap<Split, Vec<String>> = BTreeMap::new();
    for empty in tables.extract_if(.., |table| table.rows == 0) {
        emptied.entry(empty.split).or_default().push(empty.language);
        let path = output.join(empty.path);
        std::fs::remove_file(&path).at("remove", &path)?;
    }
    if let Some(split) = splits.into_iter().find(|split| tables.iter().all(|table| table.split != *split)) {
        let (view, message) = (
            request.terms.id.to_owned(),
            format!("it leaves no row of split {split}; take another transform, or what it is made of"),
        );
        return Err(NormalizeError::View { view, message }.into());
    }
    let (labels, label_set) = (labels_of(&tables), label_set(request.terms, &tables));
    let normalized = NormalizeOutcome { tables, labels, label_set, seconds: clock.seconds() };
    Ok(ViewOutcome { normalized, left_out: left_out.into_inner(), emptied })
}

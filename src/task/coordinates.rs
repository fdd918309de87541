//! Where a number stands: on which data, in which row, in which repetition. The one place that writes these and takes them
//! apart, for labels, partitions and the command line alike.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CHANCE;
use super::file::{Task, plain};

/// Where a number stands in the grid of a study. As text `xnli/mnli/seed-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// The column: what is predicted.
    pub target: DataId,
    /// The row: a name in the study's `order`, [`CHANCE`], or an imported system.
    pub row: String,
    /// The repetition.
    pub seed: u64,
}

/// A cell of the grid as labels name it: [`Coordinates`] where the row differs between repetitions. As text `xnli/mnli/seed-1`, or
/// `xnli/chance`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The column.
    pub target: DataId,
    /// The row.
    pub row: String,
    /// The repetition; none where the row is the same in all of them.
    pub seed: Option<u64>,
}

/// Which data: a task's, or those of a view, made of them by transforms one after the other. `squad_v2`,
/// `squad_v2~answerable`.
///
/// `~` and `.` stand for themselves in paths, labels, SQL strings and LaTeX; a colon would end a study's name in a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataId(String);

/// How a view is made: a transform's name and, after a dot, what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformName {
    /// The transform.
    pub name: String,
    /// What it is told: letters, digits, `_`, `-` and `+`.
    pub argument: Option<String>,
}

/// A text that names no data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` names no data; expected a task, and for a view of it `~` and a transform: `squad_v2~answerable`",
    .0.escape_debug()
)]
pub struct NoData(String);

/// Between a transform and what it is told.
const ARGUMENT: char = '.';

/// What repetitions begin with in labels.
const SEED: &str = "seed-";

/// What the folder of a study's part of a results table begins with, and that of a target's part in it.
const PARTITIONS: [&str; 2] = ["study=", "target="];

/// The folder of a study's part of a results table: `study=mini`.
pub fn study_folder(study: &str) -> String {
    format!("{}{study}", PARTITIONS[0])
}

/// The folder of a target's part in it: `target=xnli`.
pub fn target_folder(target: &str) -> String {
    format!("{}{target}", PARTITIONS[1])
}

/// The study whose partition `path` lies in.
pub fn study_of(path: &Path) -> Option<&str> {
    path.iter().find_map(|part| part.to_str()?.strip_prefix(PARTITIONS[0]))
}

/// The target whose partition `path` is.
pub fn target_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix(PARTITIONS[1])
}

impl Place {
    /// The cell of `target` in the row that predicts without a model.
    pub fn chance(target: DataId) -> Self {
        Self { target, row: CHANCE.to_owned(), seed: None }
    }

    /// Of the parts of a text between slashes.
    pub fn parse(parts: &[&str]) -> Option<Self> {
        let (target, row, seed) = match parts {
            [target, row] => (target, row, None),
            [target, row, seed] => (target, row, Some(parse_seed(seed)?)),
            _ => return None,
        };
        Some(Self { target: target.parse().ok()?, row: (*row).to_owned(), seed })
    }
}

/// The repetition that `text`, as labels write it, names.
pub fn parse_seed(text: &str) -> Option<u64> {
    text.strip_prefix(SEED)?.parse().ok()
}

/// As labels write the repetition `seed`.
pub fn print_seed(seed: u64) -> String {
    format!("{SEED}{seed}")
}

impl From<&Coordinates> for Place {
    fn from(at: &Coordinates) -> Self {
        Self { target: at.target.clone(), row: at.row.clone(), seed: Some(at.seed) }
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Place::from(self).fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.row)?;
        self.seed.map_or(Ok(()), |seed| write!(f, "/{}", print_seed(seed)))
    }
}

impl DataId {
    /// Between what a view is made of and how.
    pub const VIEW: char = '~';

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The task whose data they are, or are made of.
    pub fn task(&self) -> &str {
        self.0.split(Self::VIEW).next().unwrap_or_default()
    }

    /// Of a view: what it is made of, and how.
    pub fn view(&self) -> Option<(DataId, TransformName)> {
        let (of, transform) = self.0.rsplit_once(Self::VIEW)?;
        let (name, argument) = transform.split_once(ARGUMENT).map_or((transform, None), |(name, of)| (name, Some(of)));
        let transform = TransformName { name: name.to_owned(), argument: argument.map(str::to_owned) };
        Some((DataId(of.to_owned()), transform))
    }
}

impl FromStr for DataId {
    type Err = NoData;

    fn from_str(text: &str) -> Result<Self, NoData> {
        let mut parts = text.split(Self::VIEW);
        let is_task = parts.next().is_some_and(plain);
        let is_transform = |part: &str| {
            let (name, argument) = part.split_once(ARGUMENT).map_or((part, None), |(name, of)| (name, Some(of)));
            plain(name) && argument.is_none_or(|argument| argument.split('+').all(plain))
        };
        if is_task && parts.all(is_transform) { Ok(Self(text.to_owned())) } else { Err(NoData(text.to_owned())) }
    }
}

impl From<&Task> for DataId {
    fn from(task: &Task) -> Self {
        // Ids are checked when task files are read, and when views are asked for.
        Self(task.id.clone())
    }
}

impl PartialEq<str> for DataId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for DataId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for DataId {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

impl AsRef<str> for DataId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DataId {
    type Error = NoData;

    fn try_from(text: String) -> Result<Self, NoData> {
        text.parse()
    }
}

impl From<DataId> for String {
    fn from(id: DataId) -> Self {
        id.0
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TransformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.argument.as_ref().map_or(Ok(()), |argument| write!(f, "{ARGUMENT}{argument}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_view_is_taken_apart_from_behind() {
        let id: DataId = "xnli~pair.de+en~keyboard.2".parse().unwrap();
        let (of, keyboard) = id.view().unwrap();
        assert_eq!((id.task(), of.as_str(), keyboard.to_string().as_str()), ("xnli", "xnli~pair.de+en", "keyboard.2"));
        assert_eq!((keyboard.name.as_str(), keyboard.argument.as_deref()), ("keyboard", Some("2")));
        let (of, pair) = of.view().unwrap();
        assert_eq!((of.view(), pair.argument.as_deref()), (None, Some("de+en")));
    }

    #[test]
    fn other_texts_name_no_data() {
        for text in ["", "~a", "a~", "a~b.", "a~.b", "a~b.c.d", "a~b:2", "a/b", "A", "a~~b", "a~b+c", "a.b"] {
            assert_eq!(text.parse::<DataId>(), Err(NoData(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn cells_and_partitions_are_written_as_they_are_read() {
        let at = Coordinates { target: "squad_v2~answerable".parse().unwrap(), row: "mnli".to_owned(), seed: u64::MAX };
        let text = "squad_v2~answerable/mnli/seed-18446744073709551615";
        assert_eq!(at.to_string(), text);
        assert_eq!(Place::parse(&text.split('/').collect::<Vec<_>>()), Some(Place::from(&at)));
        let chance = Place::chance(at.target.clone());
        assert_eq!(chance.to_string(), "squad_v2~answerable/chance");
        assert_eq!(Place::parse(&["squad_v2~answerable", "chance"]), Some(chance));
        for parts in [&["xnli"][..], &["xnli", "mnli", "1"], &["x/", "mnli"], &["xnli", "mnli", "seed-1", "de"]] {
            assert_eq!(Place::parse(parts), None, "{parts:?}");
        }
        let folder = Path::new("runs").join(study_folder("mini")).join(target_folder(at.target.as_str()));
        assert_eq!(folder, Path::new("runs/study=mini/target=squad_v2~answerable"));
        assert_eq!((study_of(&folder), target_of(&folder)), (Some("mini"), Some("squad_v2~answerable")));
        assert_eq!((study_of(Path::new("a")), target_of(Path::new("study=mini"))), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_can_stand_in_a_path(text in "[a-z0-9_-]{1,6}(~[a-z0-9_-]{1,4}([.][a-z0-9_-]{1,3}([+][a-z0-9_-]{1,3})?)?){0,3}") {
            let id: DataId = text.parse().unwrap();
            prop_assert_eq!(id.to_string(), text.clone());
            let mut transforms = 0;
            let mut of = id.clone();
            while let Some((inner, transform)) = of.view() {
                prop_assert_eq!(of.to_string(), format!("{inner}~{transform}"));
                of = inner;
                transforms += 1;
            }
            prop_assert_eq!(of.as_str(), id.task());
            prop_assert_eq!(transforms, text.matches('~').count());
            prop_assert!(!text.contains(['/', '\\', ':', '=', ' ']));
        }
    }
}

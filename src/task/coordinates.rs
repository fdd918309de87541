//! Where a number stands: on which data, in which row, in which repetition. The one place that writes these and takes them
//! apart, for labels, partitions and the command line alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::file::plain;

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

//! BUCC 2018: sentences of a language, English sentences and the pairs of them that are translations, in three files, as
//! `id`, `side`, `text` and `gold`. Foreign sentences are the queries; most have no counterpart. In memory are only the pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, StringBuilder};

use super::{Batches, Lines, NormalizeError, RawPart, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `foreign` and `english` (`id TAB text` a line), paired by `gold` (`id TAB id` a line).
pub(super) fn open(foreign: &RawPart, english: &RawPart, gold: &RawPart) -> Result<Batches, NormalizeError> {
    let mut pairs = Pairs::read(gold)?;
    let mut queries = Lines::open(foreign)?;
    let mut index = Lines::open(english)?;
    let (gold, mut side) = (gold.path.clone(), "query");
    Ok(batches(move || {
        let mut columns: [StringBuilder; 4] = std::array::from_fn(|_| StringBuilder::new());
        while columns[0].len() < BATCH_ROWS {
            let lines = if side == "query" { &mut queries } else { &mut index };
            let Some(line) = lines.next()? else {
                if side == "index" {
                    break;
                }
                side = "index";
                continue;
            };
            let Some((id, text)) = line.split_once('\t') else {
                return Err(lines.wrong("should be an id, a tab and a sentence"));
            };
            let counterparts = if side == "query" { pairs.of_foreign.remove(id) } else { None };
            if side == "index" {
                pairs.english.remove(id);
            }
            for (column, value) in columns.iter_mut().zip([id, side, text]) {
                column.append_value(value);
            }
            columns[3].append_option(counterparts);
        }
        if columns[0].is_empty() {
            pairs.check_used(&gold)?;
        }
        let names = ["id", "side", "text", "gold"];
        let columns = columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        Ok(batch(names.into_iter().map(str::to_owned).zip(columns).collect()))
    }))
}

/// The pairs whose sentences have not been seen yet.
struct Pairs {
    /// English ids by foreign id, separated by spaces where there are several.
    of_foreign: BTreeMap<String, String>,
    english: BTreeSet<String>,
}

impl Pairs {
    fn read(gold: &RawPart) -> Result<Self, NormalizeError> {
        let mut lines = Lines::open(gold)?;
        let mut pairs = Self { of_foreign: BTreeMap::new(), english: BTreeSet::new() };
        while let Some(line) = lines.next()? {
            let ids = line.split_once('\t').map(|(foreign, english)| (foreign.trim(), english.trim()));
            let plain = |id: &str| !id.is_empty() && !id.contains(char::is_whitespace);
            let Some((foreign, english)) = ids.filter(|(foreign, english)| plain(foreign) && plain(english)) else {
                return Err(lines.wrong("should be a foreign sentence's id, a tab and an English sentence's id"));
            };
            let counterparts = pairs.of_foreign.entry(foreign.to_owned()).or_default();
            if counterparts.split(' ').any(|known| known == english) {
                return Err(lines.wrong("has a pair that stands in an earlier line; keep one of them"));
            }
            if !counterparts.is_empty() {
                counterparts.push(' ');
            }
            counterparts.push_str(english);
            pairs.english.insert(english.to_owned());
        }
        Ok(pairs)
    }

    fn check_used(&self, gold: &Path) -> Result<(), NormalizeError> {
        match self.of_foreign.keys().chain(&self.english).next() {
            Some(id) => {
                let message = format!("pairs sentence {id}, which the sentence files beside it lack");
                Err(NormalizeError::content(gold, message))
            }
            None => Ok(()),
        }
    }
}

//! The study's table as text: for a terminal, for Markdown, and as JSON.

use std::cmp::Ordering;
use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Color, Table, presets};

use super::{Change, Entry, Row, StudyTable};

/// What stands where there is no number.
pub(super) const NOTHING: &str = "–";

impl StudyTable {
    /// A table of box-drawing characters with its notes below; escape sequences only where `color` asks for them.
    pub fn to_terminal(&self, color: bool) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL);
        if color {
            table.enforce_styling();
        }
        let heads = self.columns.iter().map(|column| {
            let layer = column.layer.map(|layer| format!(", layer {layer}")).unwrap_or_default();
            format!("{}\n{}{layer}", column.target, short_metric(&column.metric))
        });
        let heads = std::iter::once("row".to_owned()).chain(heads).chain(["average".to_owned()]);
        table.set_header(heads);
        for row in &self.rows {
            let mut cells = vec![Cell::new(&row.name)];
            for entry in &row.entries {
                cells.push(
                    entry
                        .as_ref()
                        .map_or_else(|| Cell::new(NOTHING), |entry| terminal_cell(entry, self.source.code(), color)),
                );
            }
            cells.push(Cell::new(average(row)));
            let numbers = cells
                .into_iter()
                .enumerate()
                .map(|(index, cell)| if index == 0 { cell } else { cell.set_alignment(CellAlignment::Right) });
            table.add_row(numbers);
        }
        let notes: String = self.notes.iter().map(|note| format!("\n{note}")).collect();
        format!("{}\n{table}{notes}\n", self.heading())
    }

    /// A Markdown table with its notes below.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("**{}**\n\n| row |", escape(&self.heading()));
        for column in &self.columns {
            let layer = column.layer.map(|layer| format!(", layer {layer}")).unwrap_or_default();
            // Writing to a string can't fail.
            let _ = write!(text, " {} ({}{layer}) |", escape(&column.target), escape(&column.metric));
        }
        text.push_str(" average |\n|---|");
        text.push_str(&"---:|".repeat(self.columns.len() + 1));
        for row in &self.rows {
            let _ = write!(text, "\n| {} |", escape(&row.name));
            for entry in &row.entries {
                let _ = write!(
                    text,
                    " {} |",
                    entry.as_ref().map_or(NOTHING.to_owned(), |entry| markdown_cell(entry, self.source.code()))
                );
            }
            let change = row.average.and_then(|average| average.change);
            let change = change.map(|change| format!(" ({})", signed(change))).unwrap_or_default();
            let value = row.average.map_or(NOTHING.to_owned(), |average| one(average.value));
            let _ = write!(text, " {value}{change} |");
        }
        text.push('\n');
        for note in &self.notes {
            let _ = write!(text, "\n- {}", note.replace('*', "\\*").replace('~', "\\~"));
        }
        text.push('\n');
        text
    }

    /// The table as indented JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the table holds only strings, numbers and lists")
    }

    fn heading(&self) -> String {
        if self.title.is_empty() { self.study.clone() } else { format!("{}: {}", self.study, self.title) }
    }
}

pub(super) fn short_metric(metric: &str) -> &str {
    if metric == "mean of f1 and exact_match" { "(f1+em)/2" } else { metric }
}

/// One decimal; zero without a sign.
pub(super) fn one(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" { "0.0".to_owned() } else { text }
}

/// One decimal and a sign, a real minus; zero is `±0.0`.
pub(super) fn signed(value: f64) -> String {
    match format!("{value:+.1}").as_str() {
        "+0.0" | "-0.0" => "±0.0".to_owned(),
        text => text.replace('-', "−"),
    }
}

/// An interval of differences: ends have their sign, a zero has none.
pub(super) fn between(low: f64, high: f64) -> String {
    format!("[{}, {}]", signed(low), signed(high)).replace('±', "")
}

/// A p-value: three decimals, or what it is below.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// The sign of a change as [`signed`] shows it.
pub(super) fn sign(value: f64) -> Ordering {
    match signed(value).chars().next() {
        Some('+') => Ordering::Greater,
        Some('−') => Ordering::Less,
        _ => Ordering::Equal,
    }
}

fn with_mark(change: Change) -> String {
    format!("{}{}", signed(change.value), if change.clear { "*" } else { "" })
}

fn terminal_cell(entry: &Entry, source: &str, color: bool) -> Cell {
    let mut lines = Vec::new();
    match &entry.non_english {
        Some(estimate) => {
            let change = entry.change.map(|change| format!("{} ", with_mark(change))).unwrap_or_default();
            lines.push(format!("{change}{}", one(estimate.value)));
            lines.push(format!("[{}, {}]", one(estimate.ci_low), one(estimate.ci_high)));
        }
        None => lines.push(NOTHING.to_owned()),
    }
    lines.extend(details(entry, source));
    let cell = Cell::new(lines.join("\n"));
    match entry.change {
        Some(change) if color && change.clear => cell.fg(if change.sign().is_gt() { Color::Green } else { Color::Red }),
        _ => cell,
    }
}

fn markdown_cell(entry: &Entry, source: &str) -> String {
    let mut text = entry.non_english.as_ref().map_or(NOTHING.to_owned(), |estimate| one(estimate.value));
    if let Some(change) = entry.change {
        let _ = write!(text, " ({})", with_mark(change).replace('*', "\\*"));
    }
    if let Some(estimate) = &entry.non_english {
        let _ = write!(text, " [{}, {}]", one(estimate.ci_low), one(estimate.ci_high));
    }
    for detail in details(entry, source) {
        let _ = write!(text, "; {detail}");
    }
    text
}

/// The source language, and F1 where it is only a part of the value.
fn details(entry: &Entry, source: &str) -> Vec<String> {
    let english = entry.english.map(|english| format!("{source} {}", one(english)));
    let f1 = entry.parts.iter().find(|(metric, _)| metric == "f1").map(|(_, f1)| format!("f1 {}", one(*f1)));
    english.into_iter().chain(f1).collect()
}

fn average(row: &Row) -> String {
    let Some(average) = row.average else { return NOTHING.to_owned() };
    let change = average.change.map(|change| format!("{} ", signed(change))).unwrap_or_default();
    format!("{change}{}", one(average.value))
}

pub(super) fn escape(text: &str) -> String {
    text.chars().flat_map(|c| if "\\|*_~`<[".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, study_table};
    use super::*;

    fn table() -> StudyTable {
        let dir = tempfile::tempdir().unwrap();
        study_table(&fixture::results(dir.path())).unwrap()
    }

    #[test]
    fn the_terminal_shows_values_changes_intervals_and_english() {
        let text = table().to_terminal(false);
        for want in ["chance", "+6.0* 52.0", "[50.5, 53.5]", "en 67.0", "f1 52.0", "tatoeba", "layer 2", "+6.0 50.3"] {
            assert!(text.contains(want), "{want} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(table().to_terminal(true).contains("\u{1b}["));
    }

    #[test]
    fn a_marked_change_has_the_colour_of_what_was_tested() {
        let mut table = table();
        let green = |table: &StudyTable| table.to_terminal(true).contains("\u{1b}[38;5;10m");
        assert!(green(&table));
        for entry in table.rows.iter_mut().flat_map(|row| &mut row.entries).flatten() {
            entry.change.iter_mut().for_each(|change| change.value = -0.2);
        }
        assert!(green(&table), "the medians' difference is below zero, the mean difference is not");
    }

    #[test]
    fn markdown_has_a_cell_for_each_column_and_escapes() {
        let text = table().to_markdown();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.matches('|').count() == 6), "{text}");
        assert!(text.contains("\\<small>") && text.contains("(+6.0\\*)"), "{text}");
    }

    #[test]
    fn json_holds_every_number() {
        let json: serde_json::Value = serde_json::from_str(&table().to_json()).unwrap();
        assert_eq!(json["rows"][2]["entries"][0]["non_english"]["value"], 52.0);
        assert_eq!(json["rows"][2]["entries"][0]["change"]["clear"], true);
        assert_eq!(json["columns"][2]["layer"], 2);
    }

    #[test]
    fn small_p_values_are_told_to_be_small() {
        assert_eq!([0.0009, 0.001, 0.0499, 1.0].map(p_value), ["< 0.001", "0.001", "0.050", "1.000"]);
    }

    #[test]
    fn zero_has_no_misleading_sign() {
        assert_eq!(
            (one(-0.01), signed(-0.01), signed(-1.25), signed(0.06)),
            ("0.0".into(), "±0.0".into(), "−1.2".into(), "+0.1".into())
        );
        assert_eq!((between(-0.01, 0.04), between(-1.0, 2.0)), ("[0.0, 0.0]".into(), "[−1.0, +2.0]".into()));
        assert_eq!([-0.01, 0.04, -0.06].map(sign), [Ordering::Equal, Ordering::Equal, Ordering::Less]);
    }
}

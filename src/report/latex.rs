//! The study's table for a paper: LaTeX with booktabs.

use std::fmt::Write;

use super::terminal::{NOTHING, one, signed};
use super::{CHANCE, Entry, Row, StudyTable};

impl StudyTable {
    /// A `table*` of booktabs rules: each cell a value and its change against `none`, significant ones with an asterisk, the
    /// highest trained value of each column in bold; the notes stand in the caption. Needs `\usepackage{booktabs}` and an
    /// engine that reads UTF-8.
    pub fn to_latex(&self) -> String {
        let columns = self.columns.len() + 1;
        let mut text = format!(
            "% Needs \\usepackage{{booktabs}}.\n\\begin{{table*}}\n\\centering\n\\footnotesize\n\\setlength{{\\tabcolsep}}{{4pt}}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n",
            "r".repeat(columns)
        );
        // Writing to a string can't fail.
        let heads = self.columns.iter().map(|column| escape(&column.target)).chain(["average".to_owned()]);
        let _ = writeln!(text, "Intermediate & {} \\\\", heads.collect::<Vec<_>>().join(" & "));
        let metrics = self.columns.iter().map(|column| {
            let layer = column.layer.map(|layer| format!(", layer {layer}")).unwrap_or_default();
            format!("{{\\scriptsize {}{layer}}}", escape(super::terminal::short_metric(&column.metric)))
        });
        let metrics = metrics.chain(["{\\scriptsize over the targets}".to_owned()]);
        let _ = writeln!(text, " & {} \\\\\n\\midrule", metrics.collect::<Vec<_>>().join(" & "));
        for row in &self.rows {
            let cells = row.entries.iter().enumerate().map(|(place, entry)| match entry {
                Some(entry) => cell(entry, self.is_best(place, row)),
                None => NOTHING.to_owned(),
            });
            let cells: Vec<String> = cells.chain([average(row)]).collect();
            let _ = writeln!(text, "{} & {} \\\\", escape(&row.name), cells.join(" & "));
            if row.tasks.is_empty() && self.rows.last().is_some_and(|last| last.name != row.name) {
                text.push_str("\\midrule\n");
            }
        }
        let heading = if self.title.is_empty() { &self.study } else { &self.title };
        // The first note is of figures that this table leaves out: intervals and the source language.
        let notes: String = self.notes.iter().skip(1).map(|note| format!(" {}", escape(note))).collect();
        let _ = write!(
            text,
            "\\bottomrule\n\\end{{tabular}}\n\\caption{{{}. Means over the non-{} languages, on a scale of 0 to 100.{notes}}}\n\\label{{tab:{}}}\n\\end{{table*}}\n",
            escape(heading),
            self.source_name,
            self.study
        );
        text
    }

    /// Whether a trained row has the highest value of its column.
    fn is_best(&self, column: usize, row: &Row) -> bool {
        let trained = |row: &&Row| row.name != CHANCE;
        let value = |row: &Row| Some(row.entries[column].as_ref()?.non_english?.value);
        let best = self.rows.iter().filter(trained).filter_map(value).fold(f64::NEG_INFINITY, f64::max);
        trained(&row) && value(row).is_some_and(|own| own >= best)
    }
}

fn cell(entry: &Entry, best: bool) -> String {
    let Some(estimate) = &entry.non_english else { return NOTHING.to_owned() };
    let value = if best { format!("\\textbf{{{}}}", one(estimate.value)) } else { one(estimate.value) };
    let Some(change) = entry.change else { return value };
    let mark = if change.clear { "^{*}" } else { "" };
    format!("{value} {{\\scriptsize ${}{mark}$}}", mathematical(change.value))
}

fn average(row: &Row) -> String {
    let Some(average) = row.average else { return NOTHING.to_owned() };
    let change = average.change.map(|change| format!(" {{\\scriptsize ${}$}}", mathematical(change)));
    format!("{}{}", one(average.value), change.unwrap_or_default())
}

/// A signed number for math mode.
fn mathematical(value: f64) -> String {
    signed(value).replace('−', "-").replace('±', "\\pm ")
}

/// Text with LaTeX's own characters made harmless, and the few others that notes hold.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '“' => escaped.push_str("``"),
            // The straight one has no command that every font encoding knows.
            '”' | '"' => escaped.push_str("''"),
            '−' => escaped.push_str("$-$"),
            '±' => escaped.push_str("$\\pm$"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn every_row_has_a_cell_for_each_column_and_significance_is_marked() {
        let dir = tempfile::tempdir().unwrap();
        let text = study_table(&fixture::results(dir.path())).unwrap().to_latex();
        let rows: Vec<&str> = text.lines().filter(|line| line.ends_with("\\\\")).collect();
        assert_eq!(rows.len(), 5, "{text}");
        assert!(rows.iter().all(|row| row.matches(" & ").count() == 4), "{text}");
        assert!(rows[4].starts_with("mnli & \\textbf{52.0} {\\scriptsize $+6.0^{*}$}"), "{text}");
        assert!(
            rows[4].contains("\\textbf{52.0} {\\scriptsize $+6.0$}"),
            "retrieval's change is not significant: {text}"
        );
        assert!(text.contains("\\caption{A \\textless{}small\\textgreater{} study \\& its"), "{text}");
        let count = |word| text.matches(word).count();
        assert_eq!((count("\\begin{"), count("\\end{"), count("\\toprule"), count("\\bottomrule")), (2, 2, 1, 1));
    }

    #[test]
    fn the_highest_trained_value_is_bold_even_below_chance() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = study_table(&fixture::results(dir.path())).unwrap();
        table.rows[0].entries[0].as_mut().unwrap().non_english.as_mut().unwrap().value = 70.0;
        let text = table.to_latex();
        assert!(text.contains("chance & 70.0") && text.contains("mnli & \\textbf{52.0}"), "{text}");
    }

    #[test]
    fn no_character_is_left_that_latex_would_read() {
        let text = escape("50% of $x_1 & {y}^2 ~ #3 \\ <a|b> “−±” \"");
        assert_eq!(
            text,
            "50\\% of \\$x\\_1 \\& \\{y\\}\\textasciicircum{}2 \\textasciitilde{} \\#3 \\textbackslash{} \
             \\textless{}a\\textbar{}b\\textgreater{} ``$-$$\\pm$'' ''"
        );
    }
}

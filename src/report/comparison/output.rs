//! A comparison as text: for a terminal, Markdown, CSV and JSON.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Color, Table, presets};

use super::super::terminal::{NOTHING, between, escape, one, p_value, signed};
use super::{Compared, ComparisonReport, Verdict, by_seeds};

impl ComparisonReport {
    /// A table of box-drawing characters with notes below; escape sequences only where `color` asks for them.
    pub fn to_terminal(&self, color: bool) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        if color {
            table.enforce_styling();
        }
        table.set_header(self.head());
        for difference in &self.differences {
            let texts = self.texts(difference);
            let last = texts.len() - 1;
            let numbers = last - NUMBERS..last;
            let cell = |(place, text): (usize, String)| {
                let cell = Cell::new(text);
                let cell = if numbers.contains(&place) { cell.set_alignment(CellAlignment::Right) } else { cell };
                match difference.verdict {
                    Verdict::Better if color && place == last => cell.fg(Color::Green),
                    Verdict::Worse if color && place == last => cell.fg(Color::Red),
                    _ => cell,
                }
            };
            table.add_row(texts.into_iter().enumerate().map(cell).collect::<Vec<_>>());
        }
        let notes: String = self.notes().iter().map(|note| format!("\n{note}")).collect();
        format!("A: {}\nB: {}\n{table}{notes}\n", self.a, self.b)
    }

    /// A Markdown table with its notes below.
    pub fn to_markdown(&self) -> String {
        let head = self.head();
        let mut text =
            format!("**{}** (A) and **{}** (B)\n\n| {} |\n|", escape(&self.a), escape(&self.b), head.join(" | "));
        let first = head.len() - 1 - NUMBERS;
        text.extend(
            (0..head.len()).map(|place| if (first..first + NUMBERS).contains(&place) { "---:|" } else { "---|" }),
        );
        for difference in &self.differences {
            let cells: Vec<String> = self.texts(difference).iter().map(|text| escape(text)).collect();
            // Writing to a string can't fail.
            let _ = write!(text, "\n| {} |", cells.join(" | "));
        }
        text.push('\n');
        for note in self.notes() {
            let _ = write!(text, "\n- {}", escape(&note));
        }
        text.push('\n');
        text
    }

    /// One line a difference, with every column of it.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for difference in &self.differences {
            writer.serialize(Line::of(self, difference)).expect("a line holds texts and numbers only");
        }
        let bytes = writer.into_inner().expect("memory takes every byte");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All of it, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a comparison holds only strings, numbers and lists")
    }

    fn has_rows(&self) -> bool {
        self.differences.iter().any(|one| one.row.is_some())
    }

    fn head(&self) -> Vec<&'static str> {
        let row = self.has_rows().then_some("row");
        let numbers = ["A", "B", "difference", "95% interval", "p", "corrected", "detectable"];
        std::iter::once("target").chain(row).chain(["languages"]).chain(numbers).chain(["B is"]).collect()
    }

    fn texts(&self, difference: &Compared) -> Vec<String> {
        let layer = difference.layer.map(|layer| format!(", layer {layer}")).unwrap_or_default();
        let row = self.has_rows().then(|| difference.row.clone().unwrap_or_default());
        let interval = between(difference.numbers.ci_low, difference.numbers.ci_high);
        let numbers = [
            one(difference.numbers.a),
            one(difference.numbers.b),
            signed(difference.numbers.difference),
            interval,
            p_value(difference.numbers.p_value),
            p_value(difference.p_adjusted),
            // Runs that agree on every example say nothing of what would be found.
            if difference.numbers.minimum_detectable > 0.0 {
                one(difference.numbers.minimum_detectable)
            } else {
                NOTHING.to_owned()
            },
        ];
        std::iter::once(format!("{} ({}{layer})", difference.target, difference.metric))
            .chain(row)
            .chain([difference.numbers.scope.clone()])
            .chain(numbers)
            .chain([difference.verdict.words().to_owned()])
            .collect()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!("p: {}. B is better or worse where the corrected p is below 0.05.", self.method),
            "detectable: the smallest true difference, in points, that such a comparison finds four times out of five, before \
             correction."
                .to_owned(),
        ];
        let by_seeds = by_seeds(&self.differences);
        if let Some((1, cells)) = by_seeds.first() {
            let of = if by_seeds.len() > 1 { format!(" ({cells})") } else { String::new() };
            notes.push(format!(
                "One seed{of}: this is about these models, not about what another seed would have made."
            ));
        }
        notes.extend(self.not_compared.iter().map(|what| format!("not compared: {what}")));
        notes
    }
}

/// Columns of numbers, before the verdict.
const NUMBERS: usize = 7;

/// A line of CSV: a difference with the names of the operands.
#[derive(serde::Serialize)]
struct Line<'a> {
    a: &'a str,
    b: &'a str,
    target: &'a str,
    row: Option<&'a str>,
    layer: Option<i32>,
    pooling: Option<&'a str>,
    metric: &'a str,
    scope: &'a str,
    languages: usize,
    seeds: usize,
    examples: u64,
    value_a: f64,
    value_b: f64,
    difference: f64,
    ci_low: f64,
    ci_high: f64,
    p_value: f64,
    p_adjusted: f64,
    minimum_detectable: f64,
    verdict: Verdict,
}

impl<'a> Line<'a> {
    fn of(report: &'a ComparisonReport, one: &'a Compared) -> Self {
        Self {
            a: &report.a,
            b: &report.b,
            target: &one.target,
            row: one.row.as_deref(),
            layer: one.layer,
            pooling: one.pooling.as_deref(),
            metric: &one.metric,
            scope: &one.numbers.scope,
            languages: one.numbers.languages,
            seeds: one.numbers.seeds,
            examples: one.numbers.examples,
            value_a: one.numbers.a,
            value_b: one.numbers.b,
            difference: one.numbers.difference,
            ci_low: one.numbers.ci_low,
            ci_high: one.numbers.ci_high,
            p_value: one.numbers.p_value,
            p_adjusted: one.p_adjusted,
            minimum_detectable: one.numbers.minimum_detectable,
            verdict: one.verdict,
        }
    }
}

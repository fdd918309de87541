//! The report: one HTML file that needs nothing else, in light and dark, on a desk, on a phone and on paper.
//!
//! The page is whole without its script: every table, chart and key is in the markup, and numbers are links to where they
//! come from. The script adds sorting, filters, and a panel with a number's origin. It asks nothing of any server, and the
//! page's policy would not let it.

mod grid;
mod groups;
mod languages;
mod origin;
mod references;
mod words;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::chart::{self, Chart};
use super::data::{self, OverlapRow, TaskData};
use super::draw::{self, COLORS};
use super::numbers::Numbers;
use super::table::table_of;
use super::terminal::{one, sign, signed};
use super::{ReportError, StudyResults};
use crate::task::Languages;
use grid::{Grid, Statistics};
use groups::{Gaps, Groups};
use languages::HeatMap;
use origin::{Origin, Origins, RowCells, Training};
use references::{ReferenceTable, References};

/// The page's template; its name decides that every value is escaped. Its parts hold no includes, so they are joined here.
const TEMPLATE: (&str, &str) = (
    "report.html",
    concat!(
        include_str!("page/head.html"),
        "<style>{% raw %}",
        include_str!("page/style.css"),
        "{% endraw %}{% for hex, name in palette %}svg [fill=\"{{ hex }}\"]{fill:var(--{{ name }})}\
         svg [stroke=\"{{ hex }}\"]{stroke:var(--{{ name }})}{% endfor %}</style></head>",
        include_str!("page/results.html"),
        include_str!("page/languages.html"),
        include_str!("page/data.html"),
        include_str!("page/origin.html"),
        "<script>{% raw %}",
        include_str!("page/script.js"),
        "{% endraw %}</script></body></html>",
    ),
);

/// Everything the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    study: &'a str,
    /// The name of the source language.
    source: &'a str,
    code_version: &'a str,
    palette: Vec<(String, String)>,
    filters: Filters,
    findings: Vec<String>,
    grid: Grid,
    caveats: Vec<String>,
    references: Option<ReferenceTable>,
    heat_maps: Vec<HeatMap>,
    legend: Vec<(&'a str, usize)>,
    groups: Vec<Groups>,
    gaps: Option<Gaps>,
    charts: Vec<Chart>,
    data: Vec<TaskData>,
    overlaps: Vec<OverlapRow>,
    all_overlaps: usize,
    facts: Vec<(String, String)>,
    study_file: String,
    origins: Vec<Origin<'a>>,
    row_cells: Vec<RowCells<'a>>,
    trainings: Vec<Training<'a>>,
    /// Name and key, or digest.
    data_keys: Vec<(&'a str, &'a str)>,
}

/// What a reader can choose from.
#[derive(Serialize)]
struct Filters {
    targets: Vec<String>,
    rows: Vec<String>,
    /// Code and name.
    languages: Vec<(String, String)>,
    families: Vec<String>,
}

impl Filters {
    fn of(grid: &Grid, maps: &[HeatMap]) -> Self {
        let shown = || maps.iter().flat_map(|map| &map.languages);
        let mut languages: Vec<(String, String)> = shown().map(|row| (row.code.clone(), row.name.clone())).collect();
        let mut families: Vec<String> = shown().map(|row| row.family.clone()).filter(|name| !name.is_empty()).collect();
        languages.sort();
        languages.dedup();
        families.sort();
        families.dedup();
        Self {
            targets: grid.heads.iter().map(|head| head.target.clone()).collect(),
            rows: grid.rows.iter().map(|row| row.name.clone()).collect(),
            languages,
            families,
        }
    }
}

/// Renders the report of a study.
///
/// # Errors
/// Scores, summaries, statistics, profiles or training logs that are missing or broken, named.
pub fn render(results: &StudyResults) -> Result<String, ReportError> {
    let numbers = Numbers::read(results)?;
    let table = table_of(results, &numbers)?;
    let study = &results.study;
    let statistics = Statistics::read(results)?;
    let references = References::read(results, &table, &numbers)?;
    let known = Languages::parse(include_str!("../../../data/languages.toml"), "data/languages.toml")?;
    let (overlaps, all_overlaps) = data::overlaps(results)?;
    let Origins { cells: origins, trainings, data: data_keys } = origin::origins(results, &table);
    let grid = grid::grid(&table, &statistics);
    let heat_maps = languages::heat_maps(&table, &numbers, &statistics, &references, &known);
    let page = Page {
        title: if study.title.is_empty() { &study.id } else { &study.title },
        study: &study.id,
        source: &table.source_name,
        code_version: &results.code_version,
        palette: draw::palette(),
        filters: Filters::of(&grid, &heat_maps),
        findings: words::findings(&table, &grid),
        caveats: words::caveats(results, &table),
        references: references.table(&table, &numbers),
        legend: study.order.iter().enumerate().map(|(place, row)| (row.as_str(), place % COLORS)).collect(),
        groups: groups::groups(&table, &numbers)?,
        gaps: groups::gaps(&table, &numbers)?,
        charts: chart::charts(results)?,
        data: data::panels(results)?,
        overlaps,
        all_overlaps,
        facts: words::facts(results),
        study_file: toml::to_string(study).map_err(|e| ReportError::Render(e.to_string()))?,
        grid,
        heat_maps,
        origins,
        row_cells: origin::row_cells(&table),
        trainings,
        data_keys,
    };
    let failed = |e: minijinja::Error| ReportError::Render(e.to_string());
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("one", one);
    environment.add_filter("signed", signed);
    environment.add_filter("direction", |change: f64| words::direction(sign(change)));
    environment.add_filter("two", |value: f64| format!("{value:.2}"));
    // At most this share of the map's colour, so that text stays readable on it.
    environment.add_filter("percent", |share: f64| format!("{:.0}%", share * 55.0));
    environment.add_template(TEMPLATE.0, TEMPLATE.1).map_err(failed)?;
    let template = environment.get_template(TEMPLATE.0).map_err(failed)?;
    // A file ends with a line break, as what a command prints does.
    Ok(template.render(Value::from(Serde(page))).map_err(failed)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::{ResultsTable, fixture};
    use super::*;

    #[test]
    fn the_page_is_the_same_each_time_and_asks_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::aggregated(dir.path());
        let page = render(&results).unwrap();
        results.cells.reverse();
        assert_eq!(render(&results).unwrap(), page);
        let outside = ["http:", "https:", "src=", "@import", "url(", "<link", "fetch(", "XMLHttp"];
        for word in outside {
            assert!(!page.contains(word), "the page has {word}");
        }
    }

    #[test]
    fn everything_is_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::aggregated(dir.path());
        for cell in &mut results.cells {
            cell.parameters = serde_json::json!({"note": "<b onclick='x'>"});
            cell.model_key = "<i>key</i>".to_owned();
        }
        let page = render(&results).unwrap();
        assert!(page.contains("A &lt;small&gt; study &amp; its"), "the title is there, escaped");
        assert!(!page.contains("<small> study") && !page.contains("<b ") && !page.contains("<i>key"));
    }

    #[test]
    fn numbers_shares_and_keys_are_on_the_page() {
        let dir = tempfile::tempdir().unwrap();
        // Slashes are escaped as well.
        let page = render(&fixture::aggregated(dir.path())).unwrap().replace("&#x2f;", "/");
        let wanted = [
            "parallel share",
            "0.2",
            "code switched share",
            "0.3",
            "+6.0",
            "52.0",
            "Swahili",
            "score-xnli-mnli-1",
            "trestle explain small/xnli/mnli/seed-1",
            "<polyline",
            "okens per word",
            "1.25",
            "squad_v1 train",
            "50.0%",
            "another world",
            "Niger-Congo",
            "± 1.4, best 53.0 (seed 2)",
        ];
        for want in wanted {
            assert!(page.contains(want), "{want} is missing");
        }
    }

    #[test]
    fn what_shows_no_change_has_no_colour_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::aggregated(dir.path());
        results.tables.remove(&ResultsTable::Comparisons);
        // What `none` reaches, under another name.
        let none = results
            .cells
            .iter()
            .find(|cell| (cell.at.target.as_str(), cell.at.row.as_str()) == ("xnli", "none"))
            .unwrap()
            .clone();
        results.cells.retain(|cell| cell.at.target == "xnli");
        results.study.targets.truncate(1);
        for cell in results.cells.iter_mut().filter(|cell| cell.at.row != super::super::CHANCE) {
            cell.score_dir = none.score_dir.clone();
        }
        let page = render(&results).unwrap();
        assert_eq!(page.matches("<span class=\"change \">±0.0</span>").count(), 2, "of the target and the average");
        assert!(!page.contains("class=\"change up\"") && !page.contains("class=\"change down\""));
    }
}

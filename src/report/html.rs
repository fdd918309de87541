//! The report: one HTML file that needs nothing else, in light and dark, on a desk and on a phone.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::chart::{self, COLORS, Chart};
use super::data::{self, OverlapRow, TaskData};
use super::terminal::{one, signed};
use super::{CHANCE, Cell, NONE, ReportError, StudyResults, StudyTable, median, stage, study_table};
use crate::task::{Edition, Languages, Study};

/// The page's template; its name decides that every value is escaped.
const TEMPLATE: (&str, &str) = ("report.html", include_str!("template.html"));

/// Everything the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    study: &'a str,
    code_version: &'a str,
    facts: Vec<(String, String)>,
    study_file: String,
    findings: Vec<String>,
    table: &'a StudyTable,
    heat_maps: Vec<HeatMap>,
    legend: Vec<(&'a str, usize)>,
    charts: Vec<Chart>,
    chart_size: [f64; 2],
    data: Vec<TaskData>,
    bars: [f64; 2],
    thickness: f64,
    overlaps: Vec<OverlapRow>,
    all_overlaps: usize,
    caveats: Vec<String>,
    provenance: Vec<Provenance<'a>>,
}

/// Score by language and row for one target.
#[derive(Serialize)]
struct HeatMap {
    target: String,
    metric: String,
    layer: Option<i32>,
    rows: Vec<String>,
    languages: Vec<HeatRow>,
}

#[derive(Serialize)]
struct HeatRow {
    code: String,
    name: String,
    cells: Vec<Option<HeatCell>>,
}

#[derive(Serialize)]
struct HeatCell {
    value: f64,
    /// How deep the colour is: 0 for the lowest value that a trained row has in the map, 1 for the highest.
    depth: f64,
}

/// Where a cell's numbers come from.
#[derive(Serialize)]
struct Provenance<'a> {
    target: &'a str,
    intermediate: &'a str,
    seed: u64,
    keys: Vec<(&'a str, &'a str)>,
    data: Vec<(&'a str, &'a str)>,
    parameters: String,
}

/// Renders the report of a study.
///
/// # Errors
/// Summaries, scores or training logs that are missing or broken, named.
pub fn render(results: &StudyResults) -> Result<String, ReportError> {
    let table = study_table(results)?;
    let study = &results.study;
    let (overlaps, all_overlaps) = data::overlaps(results)?;
    let page = Page {
        title: if study.title.is_empty() { &study.id } else { &study.title },
        study: &study.id,
        code_version: &results.code_version,
        facts: facts(study),
        study_file: toml::to_string(study).map_err(|e| ReportError::Render(e.to_string()))?,
        findings: findings(&table),
        heat_maps: heat_maps(results, &table)?,
        legend: study.order.iter().enumerate().map(|(place, row)| (row.as_str(), place % COLORS)).collect(),
        charts: chart::charts(results)?,
        chart_size: [chart::WIDTH, chart::HEIGHT],
        data: data::panels(results)?,
        bars: data::PLOT,
        thickness: data::THICKNESS,
        overlaps,
        all_overlaps,
        caveats: caveats(results, &table),
        provenance: study.targets.iter().flat_map(|target| results.of_target(target)).map(provenance).collect(),
        table: &table,
    };
    let failed = |e: minijinja::Error| ReportError::Render(e.to_string());
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("one", one);
    environment.add_filter("signed", signed);
    environment.add_filter("two", |value: f64| format!("{value:.2}"));
    environment.add_filter("percent", |share: f64| format!("{:.0}%", share * 55.0));
    environment.add_template(TEMPLATE.0, TEMPLATE.1).map_err(failed)?;
    environment.get_template(TEMPLATE.0).and_then(|template| template.render(Value::from(Serde(page)))).map_err(failed)
}

/// What was run, in words.
fn facts(study: &Study) -> Vec<(String, String)> {
    let mut facts: Vec<(&str, String)> = Vec::new();
    let edition = match study.edition {
        Edition::Mini => "mini: a small multilingual world that the project writes itself, not natural text",
        Edition::Full => "full: the real datasets",
    };
    facts.push(("Edition", edition.to_owned()));
    let mini = study.mini.iter().map(|(key, value)| (format!("Mini: {}", key.replace('_', " ")), value.to_string()));
    let mini: Vec<(String, String)> = mini.collect();
    let mut rest = vec![("Model", study.model.clone())];
    if let Some(pretrain) = &study.pretrain {
        rest.push(("Pretraining", format!("masked language modelling on {}", pretrain.task)));
    }
    let rows = study.order.iter().map(|row| match study.intermediate[row].as_slice() {
        [] => format!("{row} (no intermediate training)"),
        [task] if task == row => row.clone(),
        tasks => format!("{row} ({})", tasks.join(" + ")),
    });
    rest.push(("Intermediate tasks", rows.collect::<Vec<_>>().join(", ")));
    rest.push(("Targets", study.targets.join(", ")));
    let languages = study.languages.as_ref().map(|languages| languages.join(" "));
    rest.push(("Languages", languages.unwrap_or_else(|| "all that the targets have".to_owned())));
    rest.push(("Seeds", study.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    facts.chain(mini).chain(rest.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
}

/// For each target: the best intermediate task, its change, and where chance lies.
fn findings(table: &StudyTable) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let of_row = |name: &str| {
            let row = table.rows.iter().find(|row| row.intermediate == name)?;
            row.entries[index].as_ref()?.non_english
        };
        let trained = table.rows.iter().filter(|row| ![CHANCE, NONE].contains(&row.intermediate.as_str()));
        let best = trained
            .filter_map(|row| {
                let entry = row.entries[index].as_ref()?;
                Some((row, entry.non_english?, entry.change?))
            })
            .max_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let Some((row, estimate, change)) = best else { continue };
        let verdict = match (change.clear, change.value > 0.0) {
            (false, _) => "no clear change",
            (true, true) => "a clear gain",
            (true, false) => "a clear loss",
        };
        let chance = of_row(CHANCE).map(|chance| {
            let above = if estimate.ci_low > chance.ci_high { "clearly above" } else { "not clearly above" };
            format!("; {above} chance ({})", one(chance.value))
        });
        findings.push(format!(
            "{}: {} does best among the intermediate tasks: {}, {} points against none ({verdict}){}",
            column.target,
            row.intermediate,
            one(estimate.value),
            signed(change.value),
            chance.unwrap_or_default()
        ));
    }
    findings
}

fn heat_maps(results: &StudyResults, table: &StudyTable) -> Result<Vec<HeatMap>, ReportError> {
    let known = Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml")?;
    let mut maps = Vec::new();
    for column in &table.columns {
        let mut columns: Vec<(String, Vec<(String, f64)>)> = Vec::new();
        for row in &table.rows {
            let cells = results.of_target(&column.target);
            let cells = cells.into_iter().filter(|cell| cell.intermediate == row.intermediate);
            let scores = cells.map(by_language).collect::<Result<Vec<_>, _>>()?.concat();
            columns.push((row.intermediate.clone(), medians(scores)));
        }
        // Guessing is so far below that it would leave the trained rows one colour.
        let trained = || columns.iter().filter(|(row, _)| row != CHANCE).flat_map(|(_, scores)| scores).map(|s| s.1);
        let (low, high) = (trained().fold(f64::INFINITY, f64::min), trained().fold(f64::NEG_INFINITY, f64::max));
        let depth = |value: f64| if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        let mut codes: Vec<&String> = columns.iter().flat_map(|(_, scores)| scores).map(|(code, _)| code).collect();
        codes.sort_by_key(|code| (*code != "en", *code));
        codes.dedup();
        let languages = codes.into_iter().map(|code| HeatRow {
            code: code.clone(),
            name: known.get(code).map(|language| language.name.clone()).unwrap_or_default(),
            cells: columns
                .iter()
                .map(|(_, scores)| scores.iter().find(|(of, _)| of == code))
                .map(|found| found.map(|(_, value)| HeatCell { value: *value, depth: depth(*value) }))
                .collect(),
        });
        let languages: Vec<HeatRow> = languages.collect();
        if !languages.is_empty() {
            let rows = columns.iter().map(|(row, _)| row.clone()).collect();
            let (target, metric) = (column.target.clone(), column.metric.clone());
            maps.push(HeatMap { target, metric, layer: column.layer, rows, languages });
        }
    }
    Ok(maps)
}

/// The mean of a cell's headline metrics in each language.
fn by_language(cell: &Cell) -> Result<Vec<(String, f64)>, ReportError> {
    let mut sums: Vec<(String, f64)> = Vec::new();
    for row in stage::scores(&cell.scores)? {
        if row.layer == cell.layer && cell.metric.contains(&row.metric.as_str()) {
            let part = row.value / cell.metric.len() as f64;
            match sums.iter_mut().find(|(language, _)| *language == row.of) {
                Some((_, sum)) => *sum += part,
                None => sums.push((row.of, part)),
            }
        }
    }
    Ok(sums)
}

/// The median of each language's scores (one a seed), by language.
fn medians(mut scores: Vec<(String, f64)>) -> Vec<(String, f64)> {
    scores.sort_by(|a, b| a.0.cmp(&b.0));
    let of_language = scores.chunk_by(|a, b| a.0 == b.0);
    of_language.filter_map(|seeds| Some((seeds[0].0.clone(), median(seeds.iter().map(|(_, v)| *v))?))).collect()
}

fn caveats(results: &StudyResults, table: &StudyTable) -> Vec<String> {
    let mut caveats = table.notes.clone();
    if results.study.edition == Edition::Mini {
        caveats.push(
            "The mini edition is synthetic and small. Its scores show that the pipeline learns and transfers; they say \
             nothing about real languages."
                .to_owned(),
        );
    }
    if !results.study.limits.is_empty() {
        caveats
            .push("Splits are cut to the limits in the study file: scores are not those of the full data.".to_owned());
    }
    if table.columns.iter().any(|column| column.target == "udpos") {
        caveats.push(
            "Part-of-speech F1 is seqeval's chunk F1 over bare tags, as XTREME computes it: lower than token accuracy."
                .to_owned(),
        );
    }
    if table.rows.iter().any(|row| row.intermediate == CHANCE) {
        caveats.push(
            "The row “chance” guesses without a model: the majority label or tag of the English training data, or a \
             random choice, span or sentence."
                .to_owned(),
        );
    }
    caveats
}

fn provenance(cell: &Cell) -> Provenance<'_> {
    let keys = [
        ("score", &cell.score_key),
        ("predict", &cell.predict_key),
        ("model", &cell.model_key),
        ("tokenizer", &cell.tokenizer_digest),
    ];
    Provenance {
        target: &cell.target,
        intermediate: &cell.intermediate,
        seed: cell.seed,
        keys: keys.into_iter().filter(|(_, key)| !key.is_empty()).map(|(name, key)| (name, key.as_str())).collect(),
        data: cell.data_keys.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect(),
        parameters: format!("{:#}", cell.parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_page_is_the_same_each_time_and_asks_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let page = render(&results).unwrap();
        results.cells.reverse();
        assert_eq!(render(&results).unwrap(), page);
        let outside = ["http:", "https:", "src=", "@import", "url(", "<link", "<script"];
        assert!(outside.iter().all(|word| !page.contains(word)), "the page refers to something outside");
    }

    #[test]
    fn everything_is_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
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
        let page = render(&fixture::results(dir.path())).unwrap();
        let wanted = [
            "parallel share",
            "0.2",
            "code switched share",
            "0.3",
            "+6.0",
            "52.0",
            "Swahili",
            "score-xnli-mnli-1",
            "<polyline",
            "tokens per word",
            "1.25",
            "squad_v1 train",
            "50.0%",
        ];
        for want in wanted {
            assert!(page.contains(want), "{want} is missing");
        }
    }

    #[test]
    fn findings_name_the_best_row_and_chance() {
        let dir = tempfile::tempdir().unwrap();
        let table = study_table(&fixture::results(dir.path())).unwrap();
        assert_eq!(
            findings(&table)[0],
            "xnli: mnli does best among the intermediate tasks: 52.0, +6.0 points against none (a clear gain); clearly \
             above chance (33.0)"
        );
    }

    #[test]
    fn a_heat_map_has_english_first_and_medians_over_seeds() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let maps = heat_maps(&results, &study_table(&results).unwrap()).unwrap();
        let codes: Vec<&str> = maps[0].languages.iter().map(|row| row.code.as_str()).collect();
        assert_eq!(codes, ["en", "de", "sw"]);
        let cell = maps[1].languages[0].cells[2].as_ref().unwrap();
        // XQuAD in English after mnli: F1 66 and 68, exact match ten lower.
        assert!((cell.value - 62.0).abs() < 1e-9 && (cell.depth - 1.0).abs() < 1e-9);
        assert_eq!(maps[2].languages.len(), 2);
    }
}

use std::collections::BTreeMap;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use super::study_args::StudyArgs;
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::store::Explanation;
use crate::study::estimate::{Basis, Cost, Estimate, Outlook, Speed, SpeedSource};
use crate::study::{Inspected, State, cost, inspect};

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is run, downloaded or opened: it works without the data, the encoder and the GPU. Numbers \
    after ~ are estimates, from published counts, declared mean lengths or defaults; of stages that are done they are what \
    these took. ? is not known, and a sum after ≥ lacks it. Padding is not counted, and trainings are counted to their last \
    step. In JSON each stage has `label`, `stage`, `needs`, `state` (done, due, waiting, missing) with what that state has \
    to say, and `cost`: `examples`, `tokens`, `flops`, `bytes` and `seconds`, each null or a `value` with its `basis` \
    (measured, generated, scaled, published, declared, limited, assumed: from the surest).\n\n\
    Examples:\n  trestle plan mini --mini-size 2\n  trestle plan intermediate --offline --speed 60\n  \
    trestle plan mini --json | jq '.[] | select(.state == \"due\")'\n  \
    trestle plan intermediate --json | jq 'map(.cost.flops.value // 0) | add'"
)]
pub struct PlanArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// Reckons hours with a device that does so many TFLOP/s, all told [default: as this study's own trainings did].
    #[arg(long, value_name = "TFLOPS", value_parser = parse_speed)]
    speed: Option<f64>,
    /// Hashes weights and tokenizers again, though their size and time are those of the last time.
    #[arg(long)]
    verify: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// One stage with everything that is known of it.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    stage: &'a Inspected,
    cost: &'a Cost,
}

pub fn run(context: &Context, args: &PlanArgs) -> Result<ExitCode> {
    let mut resolved = args.study.resolve(context)?;
    resolved.verify = args.verify;
    let setup = resolved.setup_to_inspect(context)?;
    let (states, artifacts) = inspect(&setup, &resolved.graph)?;
    let outlook = cost(&setup, &resolved.graph, &artifacts, args.speed.map(|teraflops| teraflops * 1e12))?;
    let planned: Vec<Planned> =
        states.iter().zip(&outlook.costs).map(|(stage, cost)| Planned { stage, cost }).collect();
    if args.json {
        print_json(&planned);
        return Ok(ExitCode::Success);
    }
    print(&stages(&planned).trim_fmt());
    print("");
    print(&totals(&planned).trim_fmt());
    print("");
    for line in notes(&planned, &outlook) {
        print(&line);
    }
    Ok(ExitCode::Success)
}

/// A speed in TFLOP/s.
fn parse_speed(text: &str) -> std::result::Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "must be a number of TFLOP/s, as in 60".to_owned())?;
    if speed > 0.0 && speed.is_finite() { Ok(speed) } else { Err("must be above 0".to_owned()) }
}

const NUMBERS: [&str; 5] = ["examples", "tokens", "FLOP", "disk", "time"];

/// A line a stage.
fn stages(planned: &[Planned]) -> Table {
    let mut table = new_table(["stage", "state"], Some("what is there, or missing"));
    for Planned { stage, cost } in planned {
        let (state, note) = describe(&stage.state);
        let numbers = cells(cost).map(|(number, unit)| number.map_or("?".to_owned(), |n| shown(n, unit)));
        table.add_row(row([&stage.label, state], numbers).chain([Cell::new(note)]));
    }
    table
}

/// What is still to be done, by kind of stage and together.
fn totals(planned: &[Planned]) -> Table {
    let mut kinds: Vec<(&str, Vec<&Planned>)> = Vec::new();
    for stage in planned {
        match kinds.iter_mut().find(|(kind, _)| *kind == stage.stage.stage.name()) {
            Some((_, stages)) => stages.push(stage),
            None => kinds.push((stage.stage.stage.name(), vec![stage])),
        }
    }
    kinds.push(("all", planned.iter().collect()));
    let mut table = new_table(["to do", "stages"], None);
    for (kind, stages) in kinds {
        let left: Vec<&Cost> = stages.iter().filter(|stage| !is_done(stage)).map(|stage| stage.cost).collect();
        let numbers: [String; 5] = std::array::from_fn(|column| {
            let of = |cost: &&Cost| cells(cost)[column].0;
            let known = Estimate::sum(left.iter().filter_map(of).map(Some)).unwrap_or(Estimate::ZERO);
            let text = shown(known, cells(&ZERO)[column].1);
            match left.iter().filter(|cost| of(cost).is_none()).count() {
                0 => text,
                lacking if lacking == left.len() || text.is_empty() => "?".to_owned(),
                _ => format!("≥ {}", text.trim_start_matches("~ ")),
            }
        });
        let count = if left.len() == stages.len() {
            left.len().to_string()
        } else {
            format!("{} of {}", left.len(), stages.len())
        };
        table.add_row(row([kind, &count], numbers));
    }
    table
}

const ZERO: Cost = Cost {
    examples: Some(Estimate::ZERO),
    tokens: Some(Estimate::ZERO),
    flops: Some(Estimate::ZERO),
    bytes: Some(Estimate::ZERO),
    seconds: Some(Estimate::ZERO),
};

fn new_table(names: [&str; 2], note: Option<&str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let head = names.into_iter().map(Cell::new);
    let numbers = NUMBERS.into_iter().map(|name| Cell::new(name).set_alignment(CellAlignment::Right));
    table.set_header(head.chain(numbers).chain(note.map(Cell::new)));
    table
}

fn row(names: [&str; 2], numbers: [String; 5]) -> impl Iterator<Item = Cell> {
    let numbers = numbers.into_iter().map(|number| Cell::new(number).set_alignment(CellAlignment::Right));
    names.map(Cell::new).into_iter().chain(numbers)
}

fn is_done(planned: &Planned) -> bool {
    matches!(planned.stage.state, State::Done { .. })
}

/// How many stages are in which state, and what the numbers rest on.
fn notes(planned: &[Planned], outlook: &Outlook) -> Vec<String> {
    let count = |wanted: fn(&State) -> bool| planned.iter().filter(|stage| wanted(&stage.stage.state)).count();
    let done = count(|state| matches!(state, State::Done { .. }));
    let due = count(|state| matches!(state, State::Due { .. }));
    let missing = count(|state| matches!(state, State::Missing { .. }));
    let waiting = planned.len() - done - due - missing;
    let lacking = if missing > 0 { format!(", {missing} without files that they read") } else { String::new() };
    let mut notes =
        vec![format!("{} stages: {done} done, {due} due, {waiting} waiting for inputs{lacking}", planned.len())];
    notes.push(match outlook.speed {
        Some(Speed { flops, source: SpeedSource::Given }) => format!("time at {} as given", speed(flops)),
        Some(Speed { flops, source: SpeedSource::Measured { trainings } }) => {
            format!("time at {}, measured in {trainings} of this study's trainings", speed(flops))
        }
        None => "time unknown without --speed TFLOPS, or a training of this study that is done".to_owned(),
    });
    let mut bases: BTreeMap<Basis, usize> = BTreeMap::new();
    for stage in planned.iter().filter(|stage| !is_done(stage)) {
        let numbers = cells(stage.cost).into_iter().filter_map(|(number, _)| number);
        if let Some(basis) = numbers.map(|number| number.basis).max() {
            *bases.entry(basis).or_default() += 1;
        }
    }
    let rests = bases.iter().filter(|(basis, _)| !basis.is_exact());
    let rests: Vec<String> = rests.map(|(basis, stages)| format!("{} ({stages} stages)", explained(*basis))).collect();
    if !rests.is_empty() {
        notes.push(format!("~ estimates, at their least sure: {}", rests.join("; ")));
    }
    notes
}

/// What a basis is, in words.
fn explained(basis: Basis) -> &'static str {
    match basis {
        Basis::Measured | Basis::Generated => "exact",
        Basis::Scaled => "scaled from what is done",
        Basis::Published => "published counts and sizes",
        Basis::Declared => "declared means",
        Basis::Limited => "the study's limits",
        Basis::Assumed => "defaults of the format",
    }
}

/// One line about a state, for those who ask for one stage.
pub fn describe_line(state: &State) -> String {
    let (state, note) = describe(state);
    format!("{state:8} {note}").trim_end().to_owned()
}

/// A word for a state, and what there is to say of it.
fn describe(state: &State) -> (&'static str, String) {
    match state {
        State::Done { key } => ("done", short(key).to_owned()),
        State::Due { reason: Explanation::Differs { differences, .. }, .. } => {
            let names: Vec<&str> = differences.iter().map(|d| d.what.as_str()).collect();
            ("due", format!("changed: {}", names.join(", ")))
        }
        State::Due { .. } => ("due", "never made".to_owned()),
        State::Waiting { inputs } => ("waiting", format!("for {}", some(inputs))),
        State::Missing { what, remedy } => ("missing", format!("{what}: {remedy}")),
    }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const MOST: usize = 4;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 1 => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

fn short(key: &str) -> &str {
    &key[..12.min(key.len())]
}

/// How a number is told.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    Seconds,
}

fn cells(cost: &Cost) -> [(Option<Estimate>, Unit); 5] {
    [
        (cost.examples, Unit::Count),
        (cost.tokens, Unit::Count),
        (cost.flops, Unit::Count),
        (cost.bytes, Unit::Bytes),
        (cost.seconds, Unit::Seconds),
    ]
}

/// `~ 1.2 T`, `340 M`, `12 GB`, `3.4 h`; nothing for none.
fn shown(number: Estimate, unit: Unit) -> String {
    if number.value == 0.0 {
        return String::new();
    }
    let text = match unit {
        Unit::Count => decimal(number.value, ["", " k", " M", " G", " T", " P", " E"]),
        Unit::Bytes => decimal(number.value, [" B", " kB", " MB", " GB", " TB", " PB", " EB"]),
        Unit::Seconds => duration(number.value),
    };
    if number.basis.is_exact() { text } else { format!("~ {text}") }
}

/// Three digits and a power of a thousand.
fn decimal(value: f64, units: [&str; 7]) -> String {
    let mut scaled = value;
    let mut power = 0;
    while scaled >= 999.5 && power + 1 < units.len() {
        scaled /= 1000.0;
        power += 1;
    }
    format!("{}{}", three(scaled), units[power])
}

fn three(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 || value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 99.5 => format!("{} s", three(seconds)),
        _ if seconds < 5_970.0 => format!("{} min", three(seconds / 60.0)),
        _ if seconds < 359_000.0 => format!("{} h", three(seconds / 3_600.0)),
        _ => format!("{} days", three(seconds / 86_400.0)),
    }
}

fn speed(flops: f64) -> String {
    decimal(flops, [" FLOP/s", " kFLOP/s", " MFLOP/s", " GFLOP/s", " TFLOP/s", " PFLOP/s", " EFLOP/s"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_three_digits_and_estimates_are_marked() {
        let told = |value, basis, unit| shown(Estimate::new(value, basis), unit);
        for (value, unit, says) in [
            (0.0, Unit::Count, ""),
            (7.0, Unit::Count, "7"),
            (392_702.0, Unit::Count, "393 k"),
            (1_104_934.0, Unit::Count, "1.10 M"),
            (999_700.0, Unit::Count, "1.00 M"),
            (7.1e16, Unit::Count, "71 P"),
            (2.24e9, Unit::Bytes, "2.24 GB"),
            (45.0, Unit::Seconds, "45 s"),
            (5_400.0, Unit::Seconds, "90 min"),
            (36_000.0, Unit::Seconds, "10 h"),
            (864_000.0, Unit::Seconds, "10 days"),
        ] {
            assert_eq!(told(value, Basis::Measured, unit), says);
            let estimate = if says.is_empty() { String::new() } else { format!("~ {says}") };
            assert_eq!(told(value, Basis::Assumed, unit), estimate);
        }
    }

    #[test]
    fn speeds_are_positive_numbers() {
        assert_eq!(parse_speed("1.5"), Ok(1.5));
        for wrong in ["", "fast", "0", "-1", "inf", "NaN"] {
            assert!(parse_speed(wrong).is_err(), "{wrong}");
        }
    }
}

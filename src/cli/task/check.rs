use std::collections::BTreeMap;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::super::run::Workers;
use super::super::study_args::{StudyChanges, TaskChoice};
use super::super::watch::Terminal;
use super::grouped;
use crate::audit::{Overlap, Profile};
use crate::cli::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::report::{self, ResultsTable};
use crate::study::{CheckRequest, Graph, Label, TaskCheck, Verdict, check, collect};
use crate::task::{CHECK, Split, Task};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  trestle task check --all --edition mini\n  \
    trestle task check xnli xquad --data ~/datasets\n  trestle task check --suite xtreme --data ~/datasets --json")]
pub struct CheckArgs {
    /// The tasks' ids.
    #[arg(value_name = "ID", required_unless_present_any = ["all", "suite"])]
    ids: Vec<String>,
    /// Every task; those whose files are not here are listed.
    #[arg(long, conflicts_with_all = ["ids", "suite"])]
    all: bool,
    /// Every task of this suite, in its languages.
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Which data to load [default: mini; full with --data].
    #[arg(long, value_parser = ["mini", "full"])]
    edition: Option<String>,
    #[command(flatten)]
    changes: StudyChanges,
    #[command(flatten)]
    workers: Workers,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &CheckArgs) -> Result<ExitCode> {
    let choice = TaskChoice {
        study: None,
        task: args.ids.clone(),
        suite: args.suite.clone(),
        edition: args.edition.clone(),
        model: None,
        changes: args.changes.clone(),
    };
    let tasks: Vec<&Task> = choice.tasks(context)?;
    let resolved = choice.resolve(context)?;
    let mut setup = resolved.setup(context)?;
    // Counts are compared here, for all tables, not at the first that differs.
    setup.check_counts = false;
    let mut graph = resolved.graph.clone();
    let watcher = Terminal::new(stages(&graph, &tasks), context.quiet);
    let request = CheckRequest { tasks: &tasks, counts: resolved.check_counts, executor: &args.workers.executor() };
    let outcome = check(&setup, &mut graph, &request, &watcher, &context.stop)?;
    let results = resolved.store.results_dir();
    let mut found = collect(&setup, &graph, &outcome.artifacts)?;
    CHECK.clone_into(&mut found.study.id);
    let loaded = found.tables.contains_key(&ResultsTable::Profiles);
    if loaded {
        report::publish(&found, &results, resolved.store.leases(), &context.stop)?;
    }
    if args.json {
        print_json(&outcome.tasks);
    } else {
        print(&table(&outcome.tasks).to_string());
        let views: Vec<&str> = tasks.iter().filter(|t| t.is_view()).map(|t| t.id.as_str()).collect();
        for note in outcome.tasks.iter().flat_map(|check| notes(check, &views)).chain(missing(&outcome.tasks)) {
            print(&note);
        }
        print(&summary(&outcome.tasks));
        if loaded {
            print(&format!("profiles and overlap: {}", results.display()));
        }
    }
    Ok(exit(&outcome.tasks, &args.ids))
}

/// How many stages will be run or looked up, if every task can be read.
fn stages(graph: &Graph, tasks: &[&Task]) -> usize {
    let mut audited = graph.clone();
    audited.narrow_audit(&tasks.iter().map(|task| task.id.clone()).collect());
    let of = |task: &&Task| graph.closure(|node| node.label == Label::Normalize(task.id.clone())).len();
    let audit = audited.closure(|node| matches!(node.label, Label::Profile(_) | Label::Overlap));
    tasks.iter().map(of).sum::<usize>() + audit.len()
}

/// The worst that was found: a broken contract, a difference, a named task without files, no files at all.
fn exit(checks: &[TaskCheck], named: &[String]) -> ExitCode {
    let bad = checks.iter().find_map(|check| match check.verdict {
        Verdict::Bad { exit, .. } => ExitCode::ALL.into_iter().map(|(code, _)| code).find(|code| *code as u8 == exit),
        _ => None,
    });
    let differs = checks.iter().any(|check| matches!(check.verdict, Verdict::Differs { .. }));
    let missing = |check: &TaskCheck| matches!(check.verdict, Verdict::Missing { .. });
    let named_missing = checks.iter().any(|check| missing(check) && named.contains(&check.task));
    match bad {
        Some(code) => code,
        None if differs => ExitCode::Mismatch,
        None if named_missing || checks.iter().all(missing) => ExitCode::Missing,
        None => ExitCode::Success,
    }
}

fn table(checks: &[TaskCheck]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["task", "train", "validation", "test", "duplicates", "verdict"]);
    for check in checks {
        let rows = |split| rows(&check.tables, split);
        let duplicates: u64 = check.tables.iter().map(|table| table.duplicates).sum();
        let verdict = match &check.verdict {
            Verdict::Fine => "fine",
            Verdict::Differs { .. } => "differs",
            Verdict::Bad { .. } => "bad",
            Verdict::Missing { .. } => "missing",
        };
        let numbers = [rows(Split::Train), rows(Split::Validation), rows(Split::Test)];
        let duplicates = if duplicates == 0 { String::new() } else { grouped(duplicates) };
        let numbers = numbers.into_iter().chain([duplicates]);
        let numbers = numbers.map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row([Cell::new(&check.task)].into_iter().chain(numbers).chain([Cell::new(verdict)]));
    }
    table
}

/// `392,702`, `15 × 2,490` or `37,112 in 13`: rows, and the languages that they are in.
fn rows(tables: &[Profile], split: Split) -> String {
    let counts: Vec<u64> = tables.iter().filter(|table| table.split == split).map(|table| table.examples).collect();
    match counts.as_slice() {
        [] => String::new(),
        [count] => grouped(*count),
        [first, others @ ..] if others.iter().all(|count| count == first) => {
            format!("{} × {}", counts.len(), grouped(*first))
        }
        _ => format!("{} in {}", grouped(counts.iter().sum()), counts.len()),
    }
}

/// What is to be said of a task beside its numbers: of the overlaps the most telling one of each split, since the table
/// in `results` holds all. Findings in `views` are those in what they are made of.
fn notes(check: &TaskCheck, views: &[&str]) -> Vec<String> {
    let task = &check.task;
    let mut notes = Vec::new();
    match &check.verdict {
        Verdict::Fine | Verdict::Missing { .. } => {}
        Verdict::Differs { counts } => notes.extend(counts.iter().map(|count| {
            let (found, expected) = (grouped(count.found), grouped(count.expected));
            format!("{task}: {} {} has {found} rows, but {expected} were published", count.split, count.language)
        })),
        Verdict::Bad { message, .. } => notes.push(format!("{task}: {message}")),
    }
    let absent = check.absent.iter();
    notes.extend(absent.map(|(split, codes)| format!("{task}: no {split} rows in {}", codes.join(" "))));
    let mut splits: BTreeMap<Split, Vec<&Overlap>> = BTreeMap::new();
    for row in check.overlap.iter().filter(|row| !views.contains(&row.source_task.as_str())) {
        splits.entry(row.split).or_default().push(row);
    }
    for (split, rows) in splits {
        notes.extend(rows.iter().max_by(|a, b| weight(a).total_cmp(&weight(b))).map(|row| {
            let (found, compared, share) = (grouped(row.found), grouped(row.compared), 100.0 * row.share);
            let what = format!("{task}: {split} {}: {found} of {compared} rows ({share:.1}%)", row.language);
            let source = format!("{} {}", row.source_task, row.source_split);
            let more = if rows.len() > 1 { format!(" (the first of {} findings)", rows.len()) } else { String::new() };
            format!("{what} share their {} ({}) with {source}{more}", row.field, row.kind)
        }));
    }
    notes
}

/// How much a finding tells of a pair of splits: a whole example more than a long run of words, that more than one of
/// several texts, which may be as short as "What happened?"; then the larger share.
fn weight(row: &Overlap) -> f64 {
    let class = match (row.field.as_str(), row.kind.as_str()) {
        ("example" | "words" | "query" | "index" | "text", "exact") => 2.0,
        (_, "13-gram") => 1.0,
        _ => 0.0,
    };
    class + row.share / 2.0
}

/// What was looked for in vain, and for which tasks.
fn missing(checks: &[TaskCheck]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for check in checks {
        if let Verdict::Missing { message } = &check.verdict {
            reasons.entry(message).or_default().push(&check.task);
        }
    }
    reasons.into_iter().map(|(reason, tasks)| format!("missing: {}: {reason}", tasks.join(", "))).collect()
}

fn summary(checks: &[TaskCheck]) -> String {
    let count = |of: fn(&Verdict) -> bool| checks.iter().filter(|check| of(&check.verdict)).count();
    format!(
        "{} task{}: {} fine, {} with other counts, {} bad, {} missing",
        checks.len(),
        if checks.len() == 1 { "" } else { "s" },
        count(|v| matches!(v, Verdict::Fine)),
        count(|v| matches!(v, Verdict::Differs { .. })),
        count(|v| matches!(v, Verdict::Bad { .. })),
        count(|v| matches!(v, Verdict::Missing { .. })),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(task: &str, verdict: Verdict) -> TaskCheck {
        let (task, absent) = (task.to_owned(), BTreeMap::new());
        TaskCheck { task, verdict, tables: Vec::new(), absent, overlap: Vec::new() }
    }

    #[test]
    fn the_worst_verdict_is_the_exit_code() {
        let bad = || Verdict::Bad { message: String::new(), exit: 4 };
        let missing = || Verdict::Missing { message: String::new() };
        let differs = || Verdict::Differs { counts: Vec::new() };
        let code = |verdicts: Vec<Verdict>, named: &[&str]| {
            let checks: Vec<TaskCheck> =
                verdicts.into_iter().zip(["a", "b", "c"]).map(|(verdict, id)| checked(id, verdict)).collect();
            exit(&checks, &named.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(code(vec![Verdict::Fine, missing()], &[]), ExitCode::Success);
        assert_eq!(code(vec![Verdict::Fine, missing()], &["a", "b"]), ExitCode::Missing);
        assert_eq!(code(vec![missing(), missing()], &[]), ExitCode::Missing);
        assert_eq!(code(vec![Verdict::Fine, differs(), missing()], &[]), ExitCode::Mismatch);
        assert_eq!(code(vec![differs(), bad(), Verdict::Fine], &[]), ExitCode::Data);
    }
}

//! What the command line says of itself: a change of it is seen in review.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::Trestle;

const COMMANDS: &[&str] = &[
    "run",
    "plan",
    "status",
    "explain",
    "fetch",
    "normalize",
    "tokenize",
    "train",
    "embed",
    "predict",
    "score",
    "retrieve",
    "mine",
    "export",
    "import",
    "query",
    "report",
    "compare",
    "rescore",
    "task",
    "devices",
    "verify",
    "gc",
    "completions",
];

#[test]
fn the_commands_are_listed() {
    let trestle = Trestle::new();
    insta::assert_snapshot!("help", trestle.ok(&["--help"]).out);
}

#[test]
fn each_command_explains_itself_with_an_example() {
    let trestle = Trestle::new();
    for command in COMMANDS {
        let help = trestle.ok(&[command, "--help"]).out;
        assert!(help.contains("Example"), "{command} has no example");
        insta::assert_snapshot!(format!("help-{command}"), help);
    }
}

#[test]
fn the_commands_for_tasks_explain_themselves_with_an_example() {
    let trestle = Trestle::new();
    for command in ["check", "new", "show"] {
        let help = trestle.ok(&["task", command, "--help"]).out;
        assert!(help.contains("Example"), "{command} has no example");
        insta::assert_snapshot!(format!("help-task-{command}"), help);
    }
}

#[test]
fn the_exports_and_imports_explain_themselves_with_an_example() {
    let trestle = Trestle::new();
    let exports = ["model", "submission", "mteb", "lm-eval", "model-index", "croissant"];
    let commands = exports.map(|what| ("export", what)).into_iter().chain([("import", "predictions")]);
    for (command, what) in commands {
        let help = trestle.ok(&[command, what, "--help"]).out;
        assert!(help.contains("Example"), "{command} {what} has no example");
        insta::assert_snapshot!(format!("help-{command}-{what}"), help);
    }
}

#[test]
fn completions_know_the_commands() {
    let trestle = Trestle::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = trestle.ok(&["completions", shell]).out;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn the_readme_lists_every_exit_code_and_command() {
    let readme = include_str!("../README.md");
    for (code, meaning) in trestle::error::ExitCode::ALL {
        assert!(readme.contains(&format!("| {} | {meaning} |", code as u8)), "{code:?}");
    }
    for command in COMMANDS.iter().filter(|command| **command != "completions") {
        assert!(readme.contains(*command), "{command}");
    }
}

#[test]
fn the_readme_lists_every_metric_with_its_score_rows() {
    let readme = include_str!("../README.md");
    let lines: Vec<Vec<&str>> = readme.lines().map(|line| line.split(" | ").collect()).collect();
    for metric in trestle::task::Metric::ALL {
        let name = format!("`{}`", metric.name());
        let line = lines.iter().find(|cells| cells.len() == 3 && cells[0].contains(&name));
        let rows: Vec<&str> = line.unwrap_or_else(|| panic!("{name}"))[1].split(", ").collect();
        let want: Vec<String> =
            trestle::evaluate::numbers(metric).into_iter().map(|number| format!("`{}`", number.name)).collect();
        assert_eq!(rows, want, "{name}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let trestle = Trestle::new();
    for arguments in [&["walk"][..], &["run", "mini", "--workers", "0"], &["run", "mini", "--limit", "train"]] {
        assert_eq!(trestle.run(arguments).code, 2, "{arguments:?}");
    }
}

//! `docs/adding-a-task.md`, replayed: every command on the page, and what it prints, over the files of
//! `tests/fixtures/physicaliqa-train-dev`.
//!
//! With `TRESTLE_UPDATE_DOCS` set, the page's outputs are written anew instead of compared.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = "docs/adding-a-task.md";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)
}

/// Runs a line of the page in `place`; what it prints, standard output first.
fn run(line: &str, place: &Path) -> String {
    let trestle = Path::new(env!("CARGO_BIN_EXE_trestle")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place).env("PATH", format!("{}:{path}", trestle.display()));
    for name in ["TRESTLE_HOME", "HF_HUB_OFFLINE", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT"] {
        command.env_remove(name);
    }
    let said = support::said(&command.output().unwrap());
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said.out + &said.err
}

/// The page with the outputs of its commands as they are now.
fn replayed(text: &str, place: &Path) -> String {
    let mut page = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(page, "{line}").unwrap();
        let block: Vec<&str> = match line {
            "```console" | "```toml" => lines.by_ref().take_while(|line| *line != "```").collect(),
            _ => continue,
        };
        if line == "```toml" {
            let file = block.join("\n") + "\n";
            assert!(file.lines().count() <= 25, "the task file has {} lines", file.lines().count());
            std::fs::write(place.join("tasks/piqa.toml"), &file).unwrap();
            page += &file;
        } else {
            for command in block.iter().filter(|line| line.starts_with("$ ")) {
                let said = run(&command[2..], place);
                writeln!(page, "{command}").unwrap();
                for line in said.lines() {
                    writeln!(page, "{}", line.trim_end()).unwrap();
                }
            }
        }
        page += "```\n";
    }
    page
}

#[test]
fn the_page_on_adding_a_task_is_true() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data/physicaliqa-train-dev");
    std::fs::create_dir_all(&data).unwrap();
    for file in std::fs::read_dir(support::fixtures().join("physicaliqa-train-dev")).unwrap().flatten() {
        std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    let text = std::fs::read_to_string(page()).unwrap();
    let replayed = replayed(&text, place.path());
    if std::env::var_os("TRESTLE_UPDATE_DOCS").is_some() {
        std::fs::write(page(), &replayed).unwrap();
        return;
    }
    let wrong = text.lines().zip(replayed.lines()).find(|(page, now)| page != now);
    assert!(text == replayed, "the page and the program differ; the first line that does: {wrong:?}");
}

//! Embeds the task, suite, model and study files of `pipeline/` into the binary, in path order, and the version of the code:
//! the package's, with the commit where git knows it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    embed_files();
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let version = commit.map_or(version.clone(), |commit| format!("{version}+{commit}"));
    println!("cargo::rustc-env=TRESTLE_VERSION={version}");
    println!("cargo::rerun-if-changed=src");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// What git prints; none without git, or outside a clone.
fn git(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git").args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn embed_files() {
    println!("cargo::rerun-if-changed=pipeline");
    let mut pending = vec![PathBuf::from("pipeline")];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in std::fs::read_dir(&folder).expect("pipeline/ is part of the source") {
            let path = entry.expect("pipeline/ is readable").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    // The text itself, not its path: clones of the project may share a target directory.
    let mut code =
        String::from("/// Path and text of every file, in path order.\npub const FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let text = std::fs::read_to_string(file).expect("pipeline/ is readable");
        writeln!(code, "    ({:?}, {text:?}),", file.display().to_string()).expect("writing to a string can't fail");
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("embedded.rs"), code).expect("OUT_DIR is writable");
}

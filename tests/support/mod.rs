//! What the integration tests share: the binary, a store of their own, the tiny study.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub mod browser;
pub mod hub;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A store in a temporary directory, and the binary to work with it.
pub struct Trestle {
    pub dir: tempfile::TempDir,
}

/// What a finished process said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its standard output, which is JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }
}

impl Trestle {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A store with the tiny study's results.
    pub fn tiny() -> Self {
        let trestle = Self::new();
        trestle.ok(&["run", "tiny", "--device", "flex", "--workers", "2", "--quiet"]);
        trestle
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The command with this store, and the task, model and study files of `tests/fixtures`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trestle"));
        command.args(arguments).arg("--home").arg(self.home()).arg("--tasks").arg(fixtures());
        for name in ["TRESTLE_HOME", "HF_HUB_OFFLINE", "HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(&self.command(arguments).output().unwrap())
    }

    /// Runs and expects success.
    pub fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?} failed:\n{}\n{}", said.out, said.err);
        said
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The rows that a query finds.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.ok(&["query", sql, "--format", "json"]).json()
    }

    /// The directories of all artifacts of a stage.
    pub fn artifacts(&self, stage: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home().join("artifacts").join(stage)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Content digests of all artifacts by stage and label: what must be equal wherever the same thing was made.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.manifests()
            .into_iter()
            .map(|m| {
                let name = format!("{} {} {}", m["stage"].as_str().unwrap(), m["label"].as_str().unwrap(), m["key"]);
                (name, m["digest"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    pub fn manifests(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let artifacts = self.home().join("artifacts");
        for stage in std::fs::read_dir(artifacts).into_iter().flatten().flatten() {
            if stage.file_name() == ".tmp" {
                continue;
            }
            for artifact in std::fs::read_dir(stage.path()).unwrap().flatten() {
                if let Ok(text) = std::fs::read_to_string(artifact.path().join("manifest.json")) {
                    found.push(serde_json::from_str(&text).unwrap());
                }
            }
        }
        found
    }

    /// The states of a study's stages by label.
    pub fn plan(&self, study: &str) -> BTreeMap<String, Value> {
        let states: Vec<Value> = self.ok(&["plan", study, "--json"]).json();
        states.into_iter().map(|s| (s["label"].as_str().unwrap().to_owned(), s)).collect()
    }
}

pub fn said(output: &Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The directory of real data and reference values; tests that ask for it are ignored unless it is set.
pub fn shared() -> PathBuf {
    PathBuf::from(std::env::var("TRESTLE_SHARED").expect("these tests need TRESTLE_SHARED"))
}

/// A small file system of its own, where the test may mount one.
#[cfg(target_os = "linux")]
pub struct Mounted(PathBuf);

#[cfg(target_os = "linux")]
impl Mounted {
    pub fn new(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        status.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    pub fn remount_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

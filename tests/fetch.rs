//! `trestle fetch` through the binary, against a hub on the loopback interface that misbehaves on demand.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::hub::{COMMIT, Fault, HubServer, sha256};
use support::{Said, Trestle, said};

/// A task of lines of text; ID and REPO are replaced.
const TASK: &str = r#"
id = "ID"
format = "pair-classification"
role = "intermediate"
suites = ["house"]
labels = ["yes", "no"]
license = "CC0-1.0"
[source.hub]
repo = "o/REPO"
reader = "jsonl"
files = { train = "train-*.jsonl" }
[normalize]
sql = "SELECT id AS example_id, a AS text_a, b AS text_b, label FROM raw"
"#;

const ROWS: &str = "{\"id\": \"1\", \"a\": \"x\", \"b\": \"y\", \"label\": \"yes\"}\n\
                    {\"id\": \"2\", \"a\": \"x\", \"b\": \"z\", \"label\": \"no\"}\n";

/// A store, task files and a hub.
struct House {
    trestle: Trestle,
    hub: HubServer,
}

impl House {
    /// With the task `toy` of one small file.
    fn new() -> Self {
        let house = Self { trestle: Trestle::new(), hub: HubServer::start() };
        house.task("toy", "toy");
        house.hub.add("datasets/o/toy", "train-0.jsonl", ROWS.as_bytes(), false);
        house
    }

    /// With the task `toy` of one large file.
    fn large(bytes: &[u8]) -> Self {
        let house = Self { trestle: Trestle::new(), hub: HubServer::start() };
        house.task("toy", "toy");
        house.hub.add("datasets/o/toy", "train-0.jsonl", bytes, true);
        house
    }

    fn task(&self, id: &str, repo: &str) {
        let tasks = self.root().join("tasks");
        std::fs::create_dir_all(&tasks).unwrap();
        std::fs::write(tasks.join(format!("{id}.toml")), TASK.replace("ID", id).replace("REPO", repo)).unwrap();
    }

    fn root(&self) -> &Path {
        self.trestle.dir.path()
    }

    fn lock(&self) -> PathBuf {
        self.root().join("sources.lock")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.trestle.command(arguments);
        command.arg("--tasks").arg(self.root().join("tasks")).arg("--lock").arg(self.lock());
        command.env("HF_ENDPOINT", &self.hub.endpoint).env("HF_HOME", self.root().join("huggingface"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&self.command(arguments).output().unwrap())
    }

    fn fetch(&self) -> Said {
        self.run(&["fetch", "--task", "toy"])
    }

    /// What a successful fetch says of its files.
    fn fetched(&self) -> Value {
        let said = self.run(&["fetch", "--task", "toy", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str::<Value>(&said.out).unwrap()[0].clone()
    }

    /// Files below `raw` and their sizes, without the guard of running transfers.
    fn raw(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut folders = vec![self.trestle.home().join("raw")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("fetch.lock") {
                    files.push((path, entry.metadata().unwrap().len()));
                }
            }
        }
        files
    }

    /// The size of the one file that came in part, 0 where there is none.
    fn partial(&self) -> u64 {
        self.raw()
            .into_iter()
            .find(|(path, _)| path.extension().is_some_and(|e| e == "bytes"))
            .map_or(0, |(_, size)| size)
    }

    /// Waits until `bytes` of the file are on the disk.
    fn wait_for(&self, bytes: u64) {
        while self.partial() < bytes {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(6_364_136_223_846_793_005) >> 33) as u8).collect()
}

#[test]
fn a_task_is_fetched_pinned_and_read() {
    let house = House::new();
    house.hub.add("datasets/o/toy", "train-1.jsonl", ROWS.replace("\"id\": \"", "\"id\": \"more-").as_bytes(), true);
    let first = house.fetch();
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.out.contains("already here") && first.out.contains("toy"), "{}", first.out);
    assert!(first.out.contains(&format!("pinned in {}", house.lock().display())), "{}", first.out);
    let lock = std::fs::read_to_string(house.lock()).unwrap();
    assert!(lock.contains(&sha256(ROWS.as_bytes())) && lock.contains(COMMIT), "{lock}");
    house.hub.sent();

    let again = house.fetched();
    assert_eq!((&again["transferred"], &again["already_here"]), (&Value::from(0), &Value::from(2)));
    assert_eq!(again["files"][0]["path"], "train-0.jsonl");
    assert_eq!(again["files"][0]["sha256"], sha256(ROWS.as_bytes()));
    assert_eq!(house.hub.sent(), 0);
    assert_eq!(std::fs::read_to_string(house.lock()).unwrap(), lock);

    // What was fetched can be read without a network.
    house.hub.requests();
    let made = house.run(&["normalize", "--task", "toy", "--edition", "full", "--offline", "--json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let sql = "SELECT COUNT(*) AS n FROM canonical_toy";
    let tasks = house.root().join("tasks");
    let counted = house.trestle.ok(&["query", sql, "--format", "csv", "--tasks", tasks.to_str().unwrap()]);
    assert_eq!(counted.out, "n\n4\n");
    assert!(house.hub.requests().is_empty());
}

#[test]
fn the_environment_of_hugging_face_is_honoured() {
    let house = House::new();
    house.hub.gate("hf_right");
    let refused = house.fetch();
    assert_eq!(refused.code, 7, "{}", refused.err);
    assert!(refused.err.contains("(401)") && refused.err.contains("set HF_TOKEN"), "{}", refused.err);
    let with =
        |name: &str, value: &str| said(&house.command(&["fetch", "--task", "toy"]).env(name, value).output().unwrap());
    let wrong = with("HF_TOKEN", "hf_wrong");
    assert!(wrong.code == 7 && wrong.err.contains("(403)"), "{}", wrong.err);
    assert!(!wrong.err.contains("hf_wrong"), "{}", wrong.err);
    assert!(!house.lock().exists());
    assert_eq!(with("HF_TOKEN", "hf_right").code, 0);

    // The token that `huggingface-cli login` leaves, and another file that holds one.
    for (file, variable) in [("huggingface/token", None), ("elsewhere", Some("HF_TOKEN_PATH"))] {
        let house = House::new();
        house.hub.gate("hf_right");
        let path = house.root().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "hf_right\n").unwrap();
        let mut command = house.command(&["fetch", "--task", "toy"]);
        if let Some(variable) = variable {
            command.env(variable, &path);
        }
        assert_eq!(said(&command.output().unwrap()).code, 0, "{file}");
    }

    for (name, value) in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "true")] {
        let house = House::new();
        let said = said(&house.command(&["fetch", "--task", "toy"]).env(name, value).output().unwrap());
        assert_eq!(said.code, 7, "{}", said.err);
        assert!(said.err.contains("the network is off"), "{}", said.err);
        assert!(house.hub.requests().is_empty());
    }
    let online = House::new();
    let said = said(&online.command(&["fetch", "--task", "toy"]).env("HF_HUB_OFFLINE", "0").output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    let nonsense = with("HF_ENDPOINT", "nonsense");
    assert!(nonsense.code == 7 && nonsense.err.contains("nonsense"), "{}", nonsense.err);
}

#[test]
fn offline_and_locked_keep_to_what_is_there() {
    let house = House::new();
    for (option, code, says) in [("--offline", 7, "the network is off"), ("--locked", 5, "has no entry for o/toy")] {
        let said = house.run(&["fetch", "--task", "toy", option]);
        assert_eq!(said.code, code, "{}", said.err);
        assert!(said.err.contains(says), "{}", said.err);
    }
    assert!(house.hub.requests().is_empty());
    assert_eq!(house.fetch().code, 0);
    house.hub.requests();
    for option in ["--offline", "--locked"] {
        assert_eq!(house.run(&["fetch", "--task", "toy", option]).code, 0);
    }
    assert!(house.hub.requests().is_empty());
    // Pinned, but not here: `--locked` gets it, from the pinned commit, though the branch has moved on.
    std::fs::remove_dir_all(house.trestle.home().join("raw")).unwrap();
    house.hub.move_branch("datasets/o/toy", "main");
    assert_eq!(house.run(&["fetch", "--task", "toy", "--offline"]).code, 7);
    assert_eq!(house.run(&["fetch", "--task", "toy", "--locked"]).code, 0);
    assert_eq!(house.hub.paths(), [format!("GET /datasets/o/toy/resolve/{COMMIT}/train-0.jsonl")]);
}

#[test]
fn a_killed_fetch_transfers_only_the_rest() {
    let all = bytes(4 << 20);
    let house = House::large(&all);
    house.hub.fault("store", Fault::Slow(64 << 10, Duration::from_millis(20)));
    let mut child =
        house.command(&["fetch", "--task", "toy"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    house.wait_for(1 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = house.partial();
    assert!((1 << 20..4 << 20).contains(&left), "{left}");
    let garbage = house.trestle.ok(&["gc", "--dry-run"]).out;
    assert!(garbage.contains(&house.trestle.home().join("raw/partial").display().to_string()), "{garbage}");
    assert!(!house.lock().exists());
    // The first connection may still be open: what it sends is not of the second run.
    while house.hub.busy() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    house.hub.sent();

    let second = house.fetched();
    let rest = (4 << 20) - left;
    assert_eq!((house.hub.sent(), second["transferred"].as_u64().unwrap()), (rest, rest));
    assert_eq!(second["files"][0]["sha256"], sha256(&all));
    let files = house.raw();
    let [(blob, _)] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(std::fs::read(blob).unwrap(), all);
}

#[cfg(unix)]
#[test]
fn an_interrupted_fetch_says_so_and_goes_on() {
    let house = House::large(&bytes(4 << 20));
    house.hub.fault("store", Fault::Slow(64 << 10, Duration::from_millis(20)));
    let mut child =
        house.command(&["fetch", "--task", "toy"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    house.wait_for(1 << 20);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("run the same command again to go on"), "{said}");
    let left = house.partial();
    assert!(left >= 1 << 20);
    assert_eq!(house.fetched()["transferred"].as_u64().unwrap(), (4 << 20) - left);
}

#[test]
fn faults_that_pass_don_t_stop_a_fetch() {
    let all = bytes(1 << 20);
    let house = House::large(&all);
    for (path, fault) in [
        ("revision", Fault::Status(500, "")),
        ("tree", Fault::Cut(20)),
        ("resolve", Fault::Status(429, "Retry-After: 1\r\n")),
        ("store", Fault::Cut(300_000)),
        ("store", Fault::Slow(100_000, Duration::from_millis(10))),
    ] {
        house.hub.fault(path, fault);
    }
    let fetched = house.fetched();
    assert_eq!((fetched["transferred"].as_u64(), house.hub.sent()), (Some(1 << 20), 1 << 20));
    assert_eq!(fetched["files"][0]["sha256"], sha256(&all));
}

#[test]
fn a_network_that_stays_broken_ends_in_7_and_leaves_nothing_half_written() {
    let house = House::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let said = said(&house.command(&["fetch", "--task", "toy"]).env("HF_ENDPOINT", &endpoint).output().unwrap());
    assert_eq!(said.code, 7, "{}", said.err);
    assert!(said.err.contains(&endpoint) && said.err.contains("(5 attempts)"), "{}", said.err);
    assert!(said.err.contains("check the network"), "{}", said.err);
    assert!(house.raw().is_empty() && !house.lock().exists());
}

#[test]
fn wrong_bytes_are_refused_and_what_was_pinned_stays() {
    let house = House::large(&bytes(1000));
    house.hub.fault("store", Fault::WrongBytes);
    let wrong = house.fetch();
    assert_eq!(wrong.code, 9, "{}", wrong.err);
    assert!(wrong.err.contains("o/toy/train-0.jsonl came with sha256"), "{}", wrong.err);
    assert!(house.raw().is_empty() && !house.lock().exists());

    assert_eq!(house.fetch().code, 0);
    let lock = std::fs::read_to_string(house.lock()).unwrap();
    std::fs::remove_dir_all(house.trestle.home().join("raw")).unwrap();
    house.hub.add("datasets/o/toy", "train-0.jsonl", &bytes(1001), true);
    let changed = house.fetch();
    assert_eq!(changed.code, 9, "{}", changed.err);
    assert!(changed.err.contains("take its entry out of the lock file if the change is wanted"), "{}", changed.err);
    assert!(house.raw().is_empty());
    assert_eq!(std::fs::read_to_string(house.lock()).unwrap(), lock);
}

#[test]
fn one_dataset_that_cannot_be_had_does_not_stop_the_others() {
    let house = House::new();
    house.task("gated", "gated");
    house.task("zoo", "zoo");
    house.hub.add("datasets/o/gated", "train-0.jsonl", b"x", false);
    house.hub.add("datasets/o/zoo", "train-0.jsonl", ROWS.as_bytes(), false);
    house.hub.fault("o/gated", Fault::Status(403, ""));
    let said = house.run(&["fetch", "--suite", "house"]);
    assert_eq!(said.code, 7, "{}", said.err);
    assert!(said.err.contains("the hub refuses o/gated at main (403)"), "{}", said.err);
    let lock = std::fs::read_to_string(house.lock()).unwrap();
    assert!(lock.contains("o/toy") && lock.contains("o/zoo") && !lock.contains("o/gated"), "{lock}");
    assert_eq!(house.run(&["fetch", "--suite", "house"]).code, 0);
}

#[test]
fn parts_are_fetched_for_the_whole() {
    let house = House::new();
    house.task("zoo", "zoo");
    house.hub.add("datasets/o/zoo", "train-0.jsonl", ROWS.as_bytes(), false);
    let whole = TASK[..TASK.find("[source").unwrap()].replace("ID", "whole") + "parts = [\"toy\", \"zoo\"]\n";
    std::fs::write(house.root().join("tasks/whole.toml"), whole).unwrap();
    let said = house.run(&["fetch", "--task", "whole", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let names: Vec<Value> = said.json();
    assert_eq!(names.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>(), ["toy", "zoo"]);
}

#[test]
fn what_cannot_be_fetched_is_said() {
    let house = House::new();
    for (arguments, code, says) in [
        (&["fetch"][..], 2, "--all"),
        (&["fetch", "--task", "ccg"][..], 3, "task ccg has no [source.hub]"),
        (&["fetch", "--task", "nonsense"][..], 3, "`nonsense`"),
        (&["fetch", "mini"][..], 3, "study mini reads nothing from the hub"),
        (&["fetch", "--all", "--suite", "house"][..], 2, "--suite"),
    ] {
        let said = house.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
    assert!(house.hub.requests().is_empty());
}

#[test]
fn two_processes_fetch_each_file_once() {
    let all = bytes(1 << 20);
    let house = House::large(&all);
    house.hub.fault("store", Fault::Slow(64 << 10, Duration::from_millis(20)));
    let start = || {
        let mut command = house.command(&["fetch", "--task", "toy"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for mut child in [start(), start()] {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(house.hub.sent(), 1 << 20);
    assert_eq!(std::fs::read_to_string(house.lock()).unwrap().matches("[[file]]").count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs the right to mount a file system (TRESTLE_SHARED's runs have it)"]
fn a_full_disk_is_named_and_left_clean() {
    let house = House::large(&bytes(4 << 20));
    let mounted = support::Mounted::new(&house.trestle.home(), "size=2m").expect("mounting needs root");
    let said = house.fetch();
    assert_eq!(said.code, 6, "{}", said.err);
    assert!(said.err.contains("free some space"), "{}", said.err);
    assert!(house.raw().is_empty() && !house.lock().exists());
    drop(mounted);
    assert_eq!(house.fetch().code, 0);
}

//! Jobs as data: what a study's nodes come to can be written down, and whoever has the store performs it to the same bytes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use trestle::model::{ChosenDevice, DeviceChoice};
use trestle::progress::{Progress, Quiet};
use trestle::store::{Artifact, Digests, FileEntry, Scratch, Store, Token, digest_file};
use trestle::study::{
    Executor, Graph, Job, Label, LocalThreads, Node, Output, Raw, RawOrigin, Run, Setup, StageName, Threads, Watcher,
    plan, plan_tasks,
};
use trestle::task::{Edition, Model, Registry, Study};

struct Silent;

impl Watcher for Silent {
    fn begin(&self, _node: &Node) -> Box<dyn Progress + '_> {
        Box::new(Quiet)
    }

    fn elsewhere(&self, _node: &Node, _holder: &Token) {}

    fn late(&self, _node: &Node, _took: Duration) {}

    fn end(&self, _node: &Node, _artifact: &Artifact, _took: Option<Duration>) {}
}

/// A study of the mini edition, made: its store, its graph, and the artifact of each node.
struct Made {
    dir: tempfile::TempDir,
    registry: Registry,
    study: Study,
    model: Model,
    graph: Graph,
    device: ChosenDevice,
}

impl Made {
    fn new(of: impl FnOnce(&Registry) -> (Study, Model, Graph)) -> Self {
        let registry = Registry::load(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")]).unwrap();
        let (study, model, graph) = of(&registry);
        let device = ChosenDevice::new(DeviceChoice::Flex);
        Self { dir: tempfile::tempdir().unwrap(), registry, study, model, graph, device }
    }

    /// The fixture study `id`.
    fn study(id: &str) -> Self {
        Self::new(|registry| {
            let study = registry.study(id, "the test").unwrap().clone();
            let model = registry.model(&study.model, "the test").unwrap().clone();
            let graph = plan(registry, &study, &model, RawOrigin::Mini).unwrap();
            (study, model, graph)
        })
    }

    /// One task by itself.
    fn task(id: &str) -> Self {
        Self::new(|registry| {
            let mut study = Study::of_tasks(Edition::Mini, "tiny", Some("text"));
            study.mini.insert("size".to_owned(), toml::Value::Float(0.05));
            let model = registry.model("tiny", "the test").unwrap().clone();
            let tasks = [registry.task(id, "the test").unwrap()];
            let graph = plan_tasks(registry, &study, &model, RawOrigin::Mini, &tasks, None).unwrap();
            (study, model, graph)
        })
    }

    fn store(&self) -> Store {
        Store::new(&self.dir.path().join("work"))
    }

    /// Every node's job with its artifact.
    fn jobs(&self) -> Vec<(Label, Job, Artifact)> {
        let store = self.store();
        let setup = Setup {
            registry: &self.registry,
            store: &store,
            study: &self.study,
            model: &self.model,
            raw: Raw::Mini,
            check_counts: false,
            digests: Digests::of(&store),
            run: Run::new(&store, &self.device),
        };
        let all: Vec<usize> = (0..self.graph.nodes.len()).collect();
        let made = LocalThreads { workers: 2 }
            .execute(&setup, &self.graph, &all, &Silent, &AtomicBool::new(false))
            .unwrap()
            .artifacts;
        let job = |(node, artifact): (&Node, &Option<Artifact>)| {
            let inputs = node.needs.iter().map(|(name, &need)| (name.clone(), made[need].clone().unwrap())).collect();
            (node.label.clone(), setup.job(node, inputs).unwrap(), artifact.clone().unwrap())
        };
        self.graph.nodes.iter().zip(&made).map(job).collect()
    }
}

/// Files and digests below `dir`.
fn digests(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(dir.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if dir.join(&path).is_dir() {
                pending.push(path);
            } else {
                found.insert(path.to_str().unwrap().to_owned(), digest_file(&dir.join(&path)).unwrap());
            }
        }
    }
    found
}

/// Performs `text`, a job, with nothing but the store at hand; the digests of what it writes.
fn performed(text: &str, store: &Store) -> BTreeMap<String, String> {
    let job: Job = serde_json::from_str(text).unwrap();
    let device = ChosenDevice::new(DeviceChoice::Flex);
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("out");
    std::fs::create_dir(&dir).unwrap();
    let key = job.identity().key().to_string();
    let out = Output {
        dir: &dir,
        scratch: &Scratch::alone(&scratch.path().join("scratch")),
        key: &key,
        stage: job.stage,
        label: &job.label,
        progress: &Quiet,
        stop: &AtomicBool::new(false),
    };
    job.perform_into(&out, &Run::new(store, &device)).unwrap();
    digests(&dir)
}

#[test]
fn a_job_that_was_written_down_gives_the_same_bytes() {
    let mut stages = BTreeSet::new();
    for made in [Made::study("tiny"), Made::task("anli_plus")] {
        let store = made.store();
        for (label, job, artifact) in made.jobs() {
            stages.insert(job.stage);
            let text = serde_json::to_string(&job).unwrap();
            let read: Job = serde_json::from_str(&text).unwrap();
            assert_eq!(read.identity().key(), artifact.manifest.key, "{label}");
            let entry = |file: &FileEntry| (file.path.clone(), file.blake3.clone());
            assert_eq!(performed(&text, &store), artifact.manifest.files.iter().map(entry).collect(), "{label}");
            let needs = read.needs().unwrap();
            let computes =
                matches!(job.stage, StageName::Train | StageName::Embed | StageName::Retrieve | StageName::Predict);
            assert_eq!(needs.device.is_some(), computes, "{label}");
            assert!(!computes || needs.threads == Threads::Many, "{label}");
        }
    }
    // What another system predicted comes to no node of a study.
    let planned = StageName::ALL.iter().copied().filter(|stage| *stage != StageName::Import);
    assert!(stages.iter().copied().eq(planned.collect::<BTreeSet<_>>()), "{stages:?}");
}

#[test]
fn a_job_is_refused_by_whoever_can_not_perform_it() {
    let made = Made::task("mnli");
    let (_, job, _) = made.jobs().into_iter().find(|(label, ..)| *label == Label::Tokenize("mnli".to_owned())).unwrap();
    let (store, elsewhere) = (made.store(), Store::new(&made.dir.path().join("elsewhere")));
    let refused = |job: &Job, store: &Store| {
        let device = ChosenDevice::new(DeviceChoice::Flex);
        let out = Output {
            dir: &made.dir.path().join("out"),
            scratch: &Scratch::alone(&made.dir.path().join("scratch")),
            key: "",
            stage: job.stage,
            label: &job.label,
            progress: &Quiet,
            stop: &AtomicBool::new(false),
        };
        job.perform_into(&out, &Run::new(store, &device)).unwrap_err().to_string()
    };
    let says = refused(&Job { version: 99, ..job.clone() }, &store);
    assert!(says.contains("tasks:tokenize/mnli") && says.contains("version 99 of stage tokenize"), "{says}");
    let says = refused(&job, &elsewhere);
    assert!(says.contains("input `canonical` is not in this store"), "{says}");
    let mut swapped = job.clone();
    swapped.inputs.insert("canonical".to_owned(), job.inputs["tokenizer"].clone());
    let says = refused(&swapped, &store);
    assert!(says.contains("is a tokenizer artifact, where one of stage normalize or view belongs"), "{says}");
    let mut lacking = job.clone();
    lacking.inputs.remove("tokenizer");
    assert!(refused(&lacking, &store).contains("it has no input `tokenizer`"));
    let mut unknown = job;
    unknown.request["max_lenght"] = 3.into();
    assert!(refused(&unknown, &store).contains("unknown field `max_lenght`"));
}

/// What keys are made of must not change unnoticed: a store of an older version is found whole by a newer one. Of stages whose
/// inputs come out of floating-point numbers, the request alone is the same on every processor.
#[test]
fn requests_and_keys_are_those_of_the_stores_that_are_there() {
    let mut text = String::new();
    let mut stages = BTreeSet::new();
    for made in [Made::study("tiny"), Made::task("anli_plus")] {
        for (label, job, _) in made.jobs() {
            if matches!(job.stage, StageName::Generate | StageName::Normalize | StageName::View) {
                writeln!(text, "{label} {}", job.identity().key()).unwrap();
            }
            if stages.insert(job.stage) {
                writeln!(text, "{label} version {} {:#}", job.version, job.request).unwrap();
            }
        }
    }
    insta::assert_snapshot!(text);
}

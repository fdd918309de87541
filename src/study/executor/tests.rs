use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::progress::Quiet;
use crate::study::{DeviceKind, Label, StageName, StudyLabel, Threads, Work};

/// Stages that sleep, and know who made what.
struct Sleeping {
    store: Store,
    nap: Duration,
    device: Option<DeviceKind>,
    /// Labels of what this one made.
    made: Mutex<Vec<String>>,
    /// Stages that compute at this moment, and the most that ever did.
    computing: Mutex<(usize, usize)>,
}

impl Sleeping {
    fn new(root: &std::path::Path, nap: u64) -> Self {
        let (store, nap) = (Store::new(root), Duration::from_millis(nap));
        Self { store, nap, device: None, made: Mutex::default(), computing: Mutex::default() }
    }

    fn run(&self, graph: &Graph, workers: usize) -> Outcome {
        let wanted: Vec<usize> = (0..graph.nodes.len()).collect();
        LocalThreads { workers }.execute(self, graph, &wanted, &Silent, &AtomicBool::new(false)).unwrap()
    }

    fn labels(&self) -> Vec<String> {
        self.made.lock().unwrap().clone()
    }
}

impl Stages for Sleeping {
    fn store(&self) -> &Store {
        &self.store
    }

    fn job(&self, node: &Node, _: BTreeMap<String, Artifact>) -> Result<Job> {
        Ok(Job {
            stage: StageName::Tokenizer,
            version: 1,
            label: StudyLabel { study: "sleep".to_owned(), label: node.label.clone() },
            request: json!(node.label.to_string()),
            unkeyed: Value::Null,
            inputs: BTreeMap::new(),
        })
    }

    fn needs(&self, _: &Job) -> Result<Resources> {
        Ok(Resources { device: self.device, threads: Threads::One, memory: None })
    }

    fn perform(&self, job: &Job, _: &Transaction, _: &dyn Progress, _: &AtomicBool) -> Result<Value> {
        {
            let mut computing = self.computing.lock().unwrap();
            computing.0 += 1;
            computing.1 = computing.1.max(computing.0);
        }
        std::thread::sleep(self.nap);
        self.computing.lock().unwrap().0 -= 1;
        self.made.lock().unwrap().push(job.label.to_string());
        Ok(Value::Null)
    }

    fn accept(&self, _: &Node, _: &Artifact) -> Result<()> {
        Ok(())
    }
}

struct Silent;

impl Watcher for Silent {
    fn begin(&self, _: &Node) -> Box<dyn Progress + '_> {
        Box::new(Quiet)
    }
    fn elsewhere(&self, _: &Node, _: &Token) {}
    fn late(&self, node: &Node, _: Duration) {
        panic!("{} was made twice", node.label);
    }
    fn end(&self, _: &Node, _: &Artifact, _: Option<Duration>) {}
}

/// So many nodes; all but the first `wide` need one before them.
fn graph(count: usize, wide: usize) -> Graph {
    let node = |index: usize| Node {
        label: Label::Normalize(format!("n{index}")),
        work: Work::Tokenizer(()),
        needs: index.checked_sub(wide).map(|need| ("before".to_owned(), need)).into_iter().collect(),
    };
    Graph { nodes: (0..count).map(node).collect(), cells: Vec::new() }
}

#[test]
fn two_processes_share_the_stages_of_one_study() {
    let dir = tempfile::tempdir().unwrap();
    let graph = graph(60, 20);
    let parties = [Sleeping::new(dir.path(), 40), Sleeping::new(dir.path(), 40)];
    let started = Instant::now();
    std::thread::scope(|scope| {
        for party in &parties {
            scope.spawn(|| party.run(&graph, 1));
        }
    });
    let took = started.elapsed();
    let made = parties.each_ref().map(Sleeping::labels);
    let mut all = made.concat();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), made[0].len() + made[1].len()), (60, 60), "each stage once");
    // Both were busy: what one of them made alone would have taken longer than all of it did.
    assert!(made.iter().all(|made| made.len() >= 20), "{} and {}", made[0].len(), made[1].len());
    assert!(took < Duration::from_millis(60 * 40), "{took:?}");
}

#[test]
fn a_gpu_is_one_stages_at_a_time_and_other_workers_end_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = Sleeping { device: Some(DeviceKind::Vulkan), ..Sleeping::new(dir.path(), 2) };
    assert_eq!(gpu.run(&graph(40, 8), 4).made, 40);
    assert_eq!(gpu.computing.into_inner().unwrap().1, 1);
    let cpu = Sleeping { device: Some(DeviceKind::Flex), ..Sleeping::new(&dir.path().join("other"), 5) };
    assert_eq!(cpu.run(&graph(40, 8), 4).made, 40);
    assert!(cpu.computing.into_inner().unwrap().1 > 1);
}

/// What an executor spends on a stage beside its work: `cargo test --release --lib ten_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_stages() {
    let dir = tempfile::tempdir().unwrap();
    let stages = Sleeping::new(dir.path(), 0);
    let graph = graph(10_000, 500);
    let started = Instant::now();
    assert_eq!(stages.run(&graph, 1).made, 10_000);
    let made = started.elapsed();
    let started = Instant::now();
    assert_eq!(stages.run(&graph, 1).found, 10_000);
    println!(
        "made: {:.3} ms a stage, found: {:.3} ms",
        made.as_secs_f64() / 10.0,
        started.elapsed().as_secs_f64() / 10.0
    );
}

//! Runs a graph's stages on some workers, each stage once its inputs are there; skips what the store already holds.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stage::Setup;
use super::{Graph, Node, StudyError};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::store::{Artifact, Begin};

/// Told what the executor does; shown on a terminal, or logged.
pub trait Watcher: Sync {
    /// A stage begins; its progress goes to what this returns.
    fn begin(&self, node: &Node) -> Box<dyn Progress + '_>;
    /// Another process works on the same stage: this one waits for it.
    fn waiting(&self, node: &Node);
    /// A stage is done: made in this time, or found in the store (`None`).
    fn end(&self, node: &Node, artifact: &Artifact, took: Option<Duration>);
}

/// What an execution did.
pub struct Outcome {
    /// The artifact of each node of the graph; none where the node was not wanted.
    pub artifacts: Vec<Option<Artifact>>,
    /// Stages run.
    pub made: usize,
    /// Stages found in the store.
    pub found: usize,
}

struct State {
    artifacts: Vec<Option<Artifact>>,
    ready: BTreeSet<(std::cmp::Reverse<usize>, usize)>,
    waiting_for: Vec<usize>,
    unfinished: usize,
    made: usize,
    failure: Option<Error>,
}

/// Runs the nodes in `wanted` (which holds every input of each of its nodes) with `workers` stages side by side.
///
/// # Errors
/// The first stage's failure. The other running stages are told to stop; trainings leave a checkpoint.
pub fn execute(
    setup: &Setup,
    graph: &Graph,
    wanted: &[usize],
    workers: usize,
    watcher: &dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let heights = heights(graph, wanted);
    let mut waiting_for = vec![0; graph.nodes.len()];
    for &index in wanted {
        waiting_for[index] = graph.nodes[index].needs.values().collect::<BTreeSet<_>>().len();
    }
    let ready = wanted.iter().filter(|&&i| waiting_for[i] == 0).map(|&i| (std::cmp::Reverse(heights[i]), i)).collect();
    let state = Mutex::new(State {
        artifacts: vec![None; graph.nodes.len()],
        ready,
        waiting_for,
        unfinished: wanted.len(),
        made: 0,
        failure: None,
    });
    let changed = Condvar::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / workers.max(1)).max(1);
    // Its own flag, so that one stage's failure stops the others without pretending that the user did.
    let halt = AtomicBool::new(false);
    let working = AtomicUsize::new(workers.max(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A signal handler only sets `stop`; busy stages look at `halt`.
            while working.load(Ordering::Relaxed) > 0 {
                if stop.load(Ordering::Relaxed) {
                    halt.store(true, Ordering::Relaxed);
                    changed.notify_all();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                while let Some(index) = next(&state, &changed, &halt) {
                    let node = &graph.nodes[index];
                    let inputs = inputs(&state, node);
                    let done = match &pool {
                        Ok(pool) => pool.install(|| guarded(setup, node, &inputs, watcher, &halt)),
                        Err(_) => guarded(setup, node, &inputs, watcher, &halt),
                    };
                    let mut state = lock(&state);
                    match done {
                        Ok((artifact, took)) => {
                            state.made += usize::from(took.is_some());
                            watcher.end(node, &artifact, took);
                            finish(&mut state, graph, wanted, &heights, index, artifact);
                        }
                        Err(error) => {
                            halt.store(true, Ordering::Relaxed);
                            if state.failure.is_none() || matches!(state.failure, Some(Error::Interrupted)) {
                                state.failure = Some(error);
                            }
                        }
                    }
                    changed.notify_all();
                }
                working.fetch_sub(1, Ordering::Relaxed);
                changed.notify_all();
            });
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failure {
        return Err(error);
    }
    if state.unfinished > 0 {
        return Err(Error::Interrupted);
    }
    Ok(Outcome { artifacts: state.artifacts, made: state.made, found: wanted.len() - state.made })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ready node that the most work waits for; none when all is done, failed or stopped.
fn next(state: &Mutex<State>, changed: &Condvar, halt: &AtomicBool) -> Option<usize> {
    let mut state = lock(state);
    loop {
        if state.unfinished == 0 || halt.load(Ordering::Relaxed) {
            return None;
        }
        if let Some((_, index)) = state.ready.pop_first() {
            return Some(index);
        }
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn inputs(state: &Mutex<State>, node: &Node) -> std::collections::BTreeMap<String, Artifact> {
    let state = lock(state);
    let input = |(name, &index): (&String, &usize)| Some((name.clone(), state.artifacts[index].clone()?));
    node.needs.iter().filter_map(input).collect()
}

fn finish(state: &mut State, graph: &Graph, wanted: &[usize], heights: &[usize], index: usize, artifact: Artifact) {
    state.artifacts[index] = Some(artifact);
    state.unfinished -= 1;
    for &other in wanted {
        if graph.nodes[other].needs.values().any(|&need| need == index) {
            state.waiting_for[other] -= 1;
            if state.waiting_for[other] == 0 {
                state.ready.insert((std::cmp::Reverse(heights[other]), other));
            }
        }
    }
}

/// For each node, the number of stages on the longest way from it to the end.
fn heights(graph: &Graph, wanted: &[usize]) -> Vec<usize> {
    let mut heights = vec![0; graph.nodes.len()];
    for &index in wanted.iter().rev() {
        for &need in graph.nodes[index].needs.values() {
            heights[need] = heights[need].max(heights[index] + 1);
        }
    }
    heights
}

type Done = (Artifact, Option<Duration>);

fn guarded(
    setup: &Setup,
    node: &Node,
    inputs: &std::collections::BTreeMap<String, Artifact>,
    watcher: &dyn Watcher,
    halt: &AtomicBool,
) -> Result<Done> {
    catch_unwind(AssertUnwindSafe(|| run(setup, node, inputs, watcher, halt))).unwrap_or_else(|panic| {
        Err(StudyError::Panic { label: node.label.clone(), message: panic_message(panic.as_ref()) }.into())
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn run(
    setup: &Setup,
    node: &Node,
    inputs: &std::collections::BTreeMap<String, Artifact>,
    watcher: &dyn Watcher,
    halt: &AtomicBool,
) -> Result<Done> {
    let prepared = setup.prepare(node, inputs)?;
    if let Some(artifact) = setup.store.lookup(&prepared.identity)? {
        return Ok((artifact, None));
    }
    match setup.store.begin(prepared.identity.clone(), || watcher.waiting(node))? {
        Begin::Done(artifact) => Ok((*artifact, None)),
        Begin::Open(transaction) => {
            let started = Instant::now();
            let progress = watcher.begin(node);
            let statistics = setup.perform(node, &prepared, inputs, &transaction, progress.as_ref(), halt)?;
            progress.finish();
            Ok((transaction.commit(statistics)?, Some(started.elapsed())))
        }
    }
}

//! Stages on threads of this process.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::schedule::{Next, Schedule};
use super::{Executor, Outcome, Stages, Watcher};
use crate::error::{Error, Result};
use crate::store::{Artifact, Begin, Committed, Token};
use crate::study::{DeviceKind, Graph, Node, StudyError};

/// So many threads, each of which runs one stage at a time in its share of the cores.
#[derive(Debug, Clone, Copy)]
pub struct LocalThreads {
    /// Stages side by side, at least one.
    pub workers: usize,
}

struct State {
    schedule: Schedule,
    artifacts: Vec<Option<Artifact>>,
    /// Whether a stage computes on the one accelerator.
    accelerator_busy: bool,
    made: usize,
    failure: Option<Error>,
}

/// One execution, as its threads share it.
struct Execution<'a> {
    stages: &'a dyn Stages,
    graph: &'a Graph,
    watcher: &'a dyn Watcher,
    state: Mutex<State>,
    changed: Condvar,
    /// Its own flag, so that one stage's failure stops the others without pretending that the user did.
    halt: AtomicBool,
}

/// What came of a node that was taken.
enum Done {
    Made(Artifact, Duration),
    Found(Artifact),
    /// Made, when another process had committed it already: that stays.
    Late(Artifact, Duration),
    /// Another process works on it.
    Elsewhere(Option<Token>),
    /// It needs the accelerator, on which another stage computes.
    NoRoom,
}

impl Executor for LocalThreads {
    fn execute(
        &self,
        stages: &dyn Stages,
        graph: &Graph,
        wanted: &[usize],
        watcher: &dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let workers = self.workers.max(1);
        let state = State {
            schedule: Schedule::new(graph, wanted),
            artifacts: vec![None; graph.nodes.len()],
            accelerator_busy: false,
            made: 0,
            failure: None,
        };
        let (state, changed, halt) = (Mutex::new(state), Condvar::new(), AtomicBool::new(false));
        let execution = Execution { stages, graph, watcher, state, changed, halt };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / workers).max(1);
        let working = AtomicUsize::new(workers);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A signal handler only sets `stop`; busy stages look at `halt`.
                while working.load(Ordering::Relaxed) > 0 {
                    if stop.load(Ordering::Relaxed) {
                        execution.halt.store(true, Ordering::Relaxed);
                        execution.changed.notify_all();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            for _ in 0..workers {
                scope.spawn(|| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    execution.work(pool.as_ref().ok());
                    working.fetch_sub(1, Ordering::Relaxed);
                    execution.changed.notify_all();
                });
            }
        });
        let state = execution.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.failure {
            return Err(error);
        }
        if state.schedule.unfinished() > 0 {
            return Err(Error::Interrupted);
        }
        Ok(Outcome { artifacts: state.artifacts, made: state.made, found: wanted.len() - state.made })
    }
}

impl Execution<'_> {
    /// Takes stages until none is left, one fails, or a stop.
    fn work(&self, pool: Option<&rayon::ThreadPool>) {
        while let Some(index) = self.next() {
            let node = &self.graph.nodes[index];
            let inputs = self.inputs(node);
            let done = match pool {
                Some(pool) => pool.install(|| self.guarded(node, inputs)),
                None => self.guarded(node, inputs),
            };
            let mut state = self.lock();
            match done {
                Ok(Done::Made(artifact, took)) => {
                    state.made += 1;
                    self.finish(&mut state, index, artifact, Some(took));
                }
                Ok(Done::Found(artifact)) => self.finish(&mut state, index, artifact, None),
                Ok(Done::Late(artifact, took)) => {
                    self.watcher.late(node, took);
                    self.finish(&mut state, index, artifact, None);
                }
                Ok(Done::Elsewhere(holder)) => {
                    let first = state.schedule.put_aside(index, Instant::now());
                    if let Some(holder) = holder.filter(|_| first) {
                        self.watcher.elsewhere(node, &holder);
                    }
                }
                Ok(Done::NoRoom) => {
                    state.schedule.park(index);
                    // Freed between the question and now.
                    if !state.accelerator_busy {
                        state.schedule.unpark();
                    }
                }
                Err(error) => {
                    self.halt.store(true, Ordering::Relaxed);
                    if state.failure.is_none() || matches!(state.failure, Some(Error::Interrupted)) {
                        state.failure = Some(error);
                    }
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node to work on; none when all is done, failed or stopped.
    fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if self.halt.load(Ordering::Relaxed) {
                return None;
            }
            let now = Instant::now();
            match state.schedule.next(now) {
                Next::Finished => return None,
                Next::Take(index) => return Some(index),
                Next::Wait(None) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(until)) => {
                    let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn inputs(&self, node: &Node) -> BTreeMap<String, Artifact> {
        let state = self.lock();
        let input = |(name, &index): (&String, &usize)| Some((name.clone(), state.artifacts[index].clone()?));
        node.needs.iter().filter_map(input).collect()
    }

    fn finish(&self, state: &mut State, index: usize, artifact: Artifact, took: Option<Duration>) {
        self.watcher.end(&self.graph.nodes[index], &artifact, took);
        state.artifacts[index] = Some(artifact);
        state.schedule.finish(index);
    }

    fn guarded(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Done> {
        catch_unwind(AssertUnwindSafe(|| self.run(node, inputs))).unwrap_or_else(|panic| {
            Err(StudyError::Panic { label: node.label.to_string(), message: panic_message(panic.as_ref()) }.into())
        })
    }

    fn run(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Done> {
        let done = self.perform(node, inputs)?;
        if let Done::Made(artifact, _) | Done::Found(artifact) | Done::Late(artifact, _) = &done {
            self.stages.accept(node, artifact)?;
        }
        Ok(done)
    }

    fn perform(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Done> {
        let store = self.stages.store();
        let job = self.stages.job(node, inputs)?;
        let identity = job.identity();
        if let Some(artifact) = store.lookup(&identity)? {
            return Ok(Done::Found(artifact));
        }
        let accelerator = self.stages.needs(&job)?.device == Some(DeviceKind::Vulkan);
        let Some(_room) = self.reserve(accelerator) else { return Ok(Done::NoRoom) };
        let transaction = match store.begin(identity.clone())? {
            Begin::Done(artifact) => return Ok(Done::Found(*artifact)),
            Begin::Busy(holder) => return Ok(Done::Elsewhere(holder)),
            Begin::Open(transaction) => transaction,
        };
        let started = Instant::now();
        let progress = self.watcher.begin(node);
        let performed = self.stages.perform(&job, &transaction, progress.as_ref(), &self.halt);
        progress.finish();
        let outcome = match performed {
            Ok(outcome) => outcome,
            // A process that slept through its lease finds what it worked with swept away, and the artifact made by another.
            Err(error) => {
                let there = store.lookup(&identity)?.ok_or(error)?;
                return Ok(Done::Late(there, started.elapsed()));
            }
        };
        Ok(match transaction.commit(outcome)? {
            Committed::Ours(artifact) => Done::Made(artifact, started.elapsed()),
            Committed::Theirs(artifact) => Done::Late(artifact, started.elapsed()),
        })
    }

    /// Room for a stage; none where it needs the accelerator and another one has it.
    fn reserve(&self, accelerator: bool) -> Option<Room<'_, '_>> {
        let mut state = self.lock();
        if accelerator && state.accelerator_busy {
            return None;
        }
        state.accelerator_busy |= accelerator;
        Some(Room { execution: self, accelerator })
    }
}

/// Room that is given back when the stage is done, however it ends.
struct Room<'a, 'b> {
    execution: &'a Execution<'b>,
    accelerator: bool,
}

impl Drop for Room<'_, '_> {
    fn drop(&mut self) {
        if self.accelerator {
            let mut state = self.execution.lock();
            state.accelerator_busy = false;
            state.schedule.unpark();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

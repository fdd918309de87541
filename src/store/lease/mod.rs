//! Leases: who works on what, among all processes that see the store, on one machine or on many.
//!
//! ```text
//! <root>/leases/<name>.<n>   one line, the holder; a second one once it has ended (see `protocol`)
//! <root>/workers/<id>        a worker's beat: a counter, and who it is
//! ```
//!
//! Locks of the operating system would be simpler, but on many file systems that machines share they hold on one machine
//! only, or not at all, and two holders of one lock destroy each other's work. A lease holds wherever files can be created
//! exclusively, and where even that goes wrong, work is done twice and nothing is lost.
//!
//! A worker of the same machine that has died is known at once, so that a run goes on as soon as it is started again. One of
//! another machine is dead once its beat has stood still for two minutes (`TRESTLE_LEASE_SECONDS`), on the clock of whoever
//! waits: no two clocks are ever compared.
//!
//! The last worker to leave takes the leases with it that it has had to do with; `trestle gc` removes the others.

mod disk;
#[cfg(test)]
mod model;
mod protocol;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::disk::{Disk, settle};
use self::protocol::{Claim, Entry, Memory, Party, Patience, Places};
pub use self::worker::Token;
use crate::error::{FileError, IoContext};

/// After so many seconds without a sign of life, a worker of another machine is dead. Above 60, for which NFS may show an old
/// state of a file.
const SILENCE: u64 = 120;
/// Beats within that time.
const BEATS: u32 = 8;
/// The environment variable that changes it.
pub(super) const SILENCE_VARIABLE: &str = "TRESTLE_LEASE_SECONDS";
/// Between two questions for a lease that another one holds.
const AGAIN: Duration = Duration::from_millis(100);

/// The seconds that the environment asks for, or the usual ones.
///
/// # Errors
/// The value, where it is no number of seconds.
pub(super) fn silence() -> Result<u64, String> {
    match std::env::var(SILENCE_VARIABLE) {
        Ok(text) => text.parse().ok().filter(|seconds| *seconds > 0).ok_or(text),
        Err(_) => Ok(SILENCE),
    }
}

/// The leases of one store. Clones are one worker.
#[derive(Debug, Clone)]
pub struct Leases {
    root: PathBuf,
    patience: Patience,
    worker: Arc<Mutex<Option<Arc<Worker>>>>,
}

/// What [`Leases::claim`] found.
pub enum Claimed {
    /// It is ours.
    Mine(Held),
    /// Another worker holds it, or has committed what can't be seen here yet. Where it is known, who.
    Busy(Option<Token>),
}

impl Leases {
    /// Those of the store at `root`. Nothing is written before the first claim.
    pub fn new(root: &Path) -> Self {
        Self::with_silence(root, Duration::from_secs(silence().unwrap_or(SILENCE)))
    }

    fn with_silence(root: &Path, silence: Duration) -> Self {
        let patience = Patience { silence, visible: silence };
        Self { root: root.to_owned(), patience, worker: Arc::default() }
    }

    /// After so long without a sign of life, a worker of another machine is dead.
    pub fn silence(&self) -> Duration {
        self.patience.silence
    }

    /// Asks for the lease called `name`, which is fit for a file name. Does not wait.
    ///
    /// # Errors
    /// Where leases can't be written.
    pub fn claim(&self, name: &str) -> Result<Claimed, FileError> {
        let worker = self.worker()?;
        let claim = worker.with_party(|party, memory| settle(party.claim(name, memory)));
        let claim = claim.at("claim", worker.places.leases.join(name))?;
        Ok(match claim {
            Claim::Mine { generation, after } => {
                Claimed::Mine(Held { worker, name: name.to_owned(), generation, after, ended: false })
            }
            Claim::Committed => Claimed::Busy(None),
            Claim::Busy(holder) => Claimed::Busy(holder),
        })
    }

    /// Waits for the lease called `name`, until `stop` is set (then there is none). `waiting` is called once, before the first
    /// wait.
    ///
    /// # Errors
    /// Where leases can't be written.
    pub fn wait(
        &self,
        name: &str,
        stop: &AtomicBool,
        waiting: impl FnOnce(Option<&Token>),
    ) -> Result<Option<Held>, FileError> {
        let mut waiting = Some(waiting);
        loop {
            match self.claim(name)? {
                Claimed::Mine(held) => return Ok(Some(held)),
                Claimed::Busy(_) if stop.load(Ordering::Relaxed) => return Ok(None),
                Claimed::Busy(holder) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(holder.as_ref());
                    }
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    fn worker(&self) -> Result<Arc<Worker>, FileError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        match &*worker {
            Some(worker) => Ok(Arc::clone(worker)),
            None => Ok(Arc::clone(worker.insert(Arc::new(Worker::start(&self.root, self.patience)?)))),
        }
    }

    /// The workers that have left a beat, this process's own aside.
    fn others(&self) -> Result<Vec<Token>, FileError> {
        let own = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.as_ref().map(|worker| worker.token.id.clone());
        let found = tokens(&places(&self.root).workers)?;
        Ok(found.into_iter().filter(|token| own.as_ref() != Some(&token.id)).collect())
    }

    /// The ids of the other workers that live or, as far as can be known without waiting, may live.
    pub(super) fn may_live(&self) -> Result<BTreeSet<String>, FileError> {
        let me = Token::of_this_process(&self.root);
        let living = self.others()?.into_iter().filter(|other| me.knows_alive(other) != Some(false));
        Ok(living.map(|other| other.id).collect())
    }

    /// The ids of the other workers that live. Waits for a beat of those of which nothing can be known at once, up to the time
    /// after which silence means death; `waiting` is told of them once. None if `stop` is set meanwhile.
    pub(super) fn living(
        &self,
        stop: &AtomicBool,
        mut waiting: impl FnMut(&[Token]),
    ) -> Result<Option<BTreeSet<String>>, FileError> {
        let worker = self.worker()?;
        let beat = |other: &Token| fs::read(worker.places.worker(&other.id)).ok();
        let mut living = BTreeSet::new();
        let mut undecided = Vec::new();
        for other in self.others()? {
            match worker.token.knows_alive(&other) {
                Some(true) => drop(living.insert(other.id)),
                Some(false) => {}
                None if worker.token.restarts(&other) => {}
                None => undecided.push(other),
            }
        }
        if !undecided.is_empty() {
            waiting(&undecided);
        }
        let mut silent: Vec<(Token, Option<Vec<u8>>)> =
            undecided.into_iter().map(|other| (other.clone(), beat(&other))).collect();
        let started = Instant::now();
        while !silent.is_empty() && started.elapsed() < self.patience.silence {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            std::thread::sleep(AGAIN);
            silent.retain(|(other, before)| {
                let now = beat(other);
                // One that has left meanwhile is gone by itself.
                if now.is_some() && now != *before {
                    living.insert(other.id.clone());
                }
                now == *before
            });
        }
        Ok(Some(living))
    }

    /// The holder of the newest generation of each lease that has not ended, by the lease's name.
    pub(super) fn holders(&self) -> Result<Vec<(String, Token)>, FileError> {
        let mut newest: BTreeMap<String, (u64, PathBuf)> = BTreeMap::new();
        for path in files(&places(&self.root).leases)? {
            let Some((name, generation)) = parts(&path) else { continue };
            let known = newest.entry(name).or_insert((0, PathBuf::new()));
            if generation > known.0 {
                *known = (generation, path);
            }
        }
        let held = |(name, (_, path)): (String, (u64, PathBuf))| match Entry::parse(&fs::read(path).ok()?) {
            Entry::Held(token) => Some((name, token)),
            _ => None,
        };
        Ok(newest.into_iter().filter_map(held).collect())
    }

    /// Removes every lease that this process does not hold, and the beats of all other workers: for when none of them lives.
    /// Returns the number of files.
    pub(super) fn clear(&self) -> Result<usize, FileError> {
        let worker = self.worker()?;
        let mut memory = worker.memory();
        // What is removed begins anew, for this process as well.
        memory.forget();
        let mut removed = 0;
        let leases = files(&worker.places.leases)?;
        let ended = leases.iter().filter(|path| parts(path).is_none_or(|(name, _)| !memory.held.contains(&name)));
        let beats = files(&worker.places.workers)?;
        let others = beats.iter().filter(|path| !path.ends_with(&worker.token.id));
        for path in ended.chain(others) {
            fs::remove_file(path).at("remove", path)?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// A lease that this process holds; given up when dropped.
#[derive(Debug)]
pub struct Held {
    worker: Arc<Worker>,
    name: String,
    generation: u64,
    after: Option<Token>,
    ended: bool,
}

impl Held {
    /// Its place in the order of all that held this lease, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What is this holding's alone, fit for a file name: no other one, before or after, has it.
    pub fn mark(&self) -> String {
        mark(self.generation, &self.worker.token)
    }

    /// Whether the holding before this one is certain to have ended: given up, or its holder known to be dead.
    pub fn follows_ended(&self) -> bool {
        self.after.as_ref().is_none_or(|token| self.worker.token.knows_alive(token) == Some(false))
    }

    /// The mark of the holding before this one, where its holder is a process of this machine that has died: nobody writes
    /// there any more.
    pub fn mark_of_dead(&self) -> Option<String> {
        let before = self.after.as_ref().filter(|_| self.follows_ended())?;
        Some(mark(self.generation - 1, before))
    }

    /// Renames a finished directory to its place, unless something was there first; returns the manifest that stands there.
    ///
    /// # Errors
    /// Where nothing with a manifest stands there, and the directory could not be put there either.
    pub(super) fn commit(&self, from: &Path, to: &Path, manifest: &str) -> std::io::Result<Vec<u8>> {
        let disk = Disk { me: &self.worker.token, since: self.worker.since };
        settle(self.worker.party(&disk).commit(from, to, manifest))
    }

    /// Ends it, its work being committed with this digest.
    pub fn done(mut self, digest: &str) {
        self.end(&format!("done {digest}"));
    }

    fn end(&mut self, how: &str) {
        if !std::mem::replace(&mut self.ended, true) {
            let (name, generation) = (&self.name, self.generation);
            self.worker.with_party(|party, memory| settle(party.end(name, generation, how, memory)));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end("free");
    }
}

fn mark(generation: u64, worker: &Token) -> String {
    format!("{generation}~{}", worker.id)
}

/// The worker whose [mark](Held::mark) ends `name`.
pub(super) fn marked_by(name: &str) -> Option<&str> {
    name.rsplit_once('~').map(|(_, id)| id)
}

/// This process, as other ones see it.
#[derive(Debug)]
struct Worker {
    token: Token,
    places: Places,
    patience: Patience,
    since: Instant,
    memory: Mutex<Memory>,
    beat: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Worker {
    fn start(root: &Path, patience: Patience) -> Result<Self, FileError> {
        let places = places(root);
        for folder in [&places.leases, &places.workers] {
            fs::create_dir_all(folder).at("create directory", folder)?;
        }
        let token = Token::of_this_process(root);
        let path = places.worker(&token.id);
        let beat = move |count: u64, path: &Path, token: &Token| -> std::io::Result<()> {
            // Written over, never cut short: whoever reads finds the old count or the new one.
            let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
            file.write_all(&[format!("{count:020}\n").into_bytes(), token.line()].concat())
        };
        beat(0, &path, &token).at("write", &path)?;
        let (stop, stopped) = channel();
        let (own, every) = (token.clone(), patience.silence / BEATS);
        let beating = std::thread::spawn(move || {
            let mut count = 0;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                // A beat that can't be written looks like death, and is tried again.
                let _ = beat(count, &path, &own);
            }
        });
        let (since, memory) = (Instant::now(), Mutex::default());
        Ok(Self { token, places, patience, since, memory, beat: Some((stop, beating)) })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn party<'a>(&'a self, disk: &'a Disk<'a>) -> Party<'a, Disk<'a>> {
        Party { storage: disk, places: &self.places, patience: self.patience, me: &self.token }
    }

    /// One claim or end at a time: what stands under this process's name in a lease must be known to be held or not.
    fn with_party<T>(&self, then: impl FnOnce(&Party<'_, Disk<'_>>, &mut Memory) -> T) -> T {
        let disk = Disk { me: &self.token, since: self.since };
        then(&self.party(&disk), &mut self.memory())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((stop, beating)) = self.beat.take() {
            drop(stop);
            let _ = beating.join();
        }
        // Best effort: what stays is told from what is alive, and goes with `gc`.
        let _ = fs::remove_file(self.places.worker(&self.token.id));
        let others = tokens(&self.places.workers).unwrap_or_default();
        if others.iter().any(|other| self.token.knows_alive(other) != Some(false)) {
            return;
        }
        for other in others {
            let _ = fs::remove_file(self.places.worker(&other.id));
        }
        for (name, newest) in &self.memory().newest {
            for generation in 1..=*newest {
                let _ = fs::remove_file(self.places.lease(name, generation));
            }
        }
        let _ = fs::remove_dir(&self.places.workers);
        let _ = fs::remove_dir(&self.places.leases);
    }
}

fn places(root: &Path) -> Places {
    Places { leases: root.join("leases"), workers: root.join("workers") }
}

/// Name and generation of the lease at `path`.
fn parts(path: &Path) -> Option<(String, u64)> {
    let (name, generation) = path.file_name()?.to_str()?.rsplit_once('.')?;
    Some((name.to_owned(), generation.parse().ok()?))
}

/// Those of the workers with a beat below `folder`.
fn tokens(folder: &Path) -> Result<Vec<Token>, FileError> {
    let token = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        serde_json::from_str(text.split_once('\n')?.1).ok()
    };
    Ok(files(folder)?.iter().filter_map(token).collect())
}

/// The files in `folder`, sorted; none where it is not there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read directory", folder)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.at("read directory", folder)?.path());
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;

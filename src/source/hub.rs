//! Files on the Hugging Face hub: fetched once into the store by the sha256 of their bytes, pinned by the lock file.
//!
//! The environment is honoured as Hugging Face's own tools do: `HF_TOKEN` (or the token file below `HF_HOME`) and
//! `HF_ENDPOINT` through the client library, `HF_HUB_OFFLINE` by the command line.

mod interface;
mod model;
mod partial;
mod transfer;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

use hf_hub::HFClientSync;
use reqwest::Url;
use serde::Serialize;

use self::interface::{Listed, token};
use self::transfer::{Job, Line, Patience, Received, TICK, Wire};
use super::directory::Found;
use super::lock::{Lock, LockEntry, RepoKind};
use super::{Source, SourceError, Stored, expansions, pattern, patterns};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::store::{Leases, Token};
use crate::task::{HubSource, Language, Split, Task};

/// The folder below the cache that holds files which came in part.
pub const PARTIAL: &str = "partial";

/// The lease that a process holds while it fetches into the cache.
pub const FETCHING: &str = "fetch";

/// Files that are downloaded side by side.
const FILES_AT_ONCE: usize = 4;

/// Where files from the hub are kept, and what may be done to get them.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The lock file.
    pub lock: PathBuf,
    /// The folder that holds their bytes.
    pub cache: PathBuf,
    /// Who fetches into it.
    pub leases: Leases,
    /// Take only files that the lock file has.
    pub locked: bool,
    /// Take only files that are in `cache`.
    pub offline: bool,
}

/// The hub, as far as this machine knows it.
pub struct Hub {
    options: HubOptions,
    endpoint: String,
    patience: Patience,
    lock: Mutex<Lock>,
    client: Mutex<Option<HFClientSync>>,
}

/// A repository at a revision.
#[derive(Clone, Copy)]
struct Repo<'a> {
    kind: RepoKind,
    id: &'a str,
    revision: &'a str,
}

/// A file that was asked for, and is in the store now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FetchedFile {
    /// Its entry in the lock file.
    #[serde(flatten)]
    pub entry: LockEntry,
    /// Whether it was there before.
    pub already_here: bool,
    /// How many bytes were transferred for it now: less than its size if a part of it was there.
    pub transferred: u64,
}

impl Hub {
    /// Reads the lock file. Nothing is asked of the network before [`fetch`].
    pub fn open(options: HubOptions) -> Result<Self, SourceError> {
        let lock = Mutex::new(Lock::load(&options.lock)?);
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self { options, endpoint, patience: Patience::default(), lock, client: Mutex::new(None) })
    }

    /// The fetched files of `task` that match `pattern`.
    pub(super) fn find(&self, task: &Task, pattern: &str) -> Result<Vec<Found>, SourceError> {
        let Some(source) = &task.source.hub else { return Ok(Vec::new()) };
        let lock = self.lock();
        let entries = lock.of(RepoKind::Dataset, &source.repo, &source.revision);
        entries
            .filter(|entry| pattern::matches(pattern, &entry.path))
            .map(|entry| {
                let path = self.blob(&entry.sha256);
                let name = name(entry);
                let stored = if name.ends_with(".gz") { Stored::Gzip } else { Stored::Plain };
                if path.is_file() { Ok(Found { name, path, stored }) } else { Err(self.not_here(name)) }
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the bytes with this digest are kept.
    fn blob(&self, sha256: &str) -> PathBuf {
        blob(&self.options.cache, sha256)
    }

    fn not_here(&self, what: String) -> SourceError {
        if self.options.offline {
            SourceError::Offline { what, raw: self.options.cache.clone() }
        } else {
            SourceError::NotFetched { what }
        }
    }

    /// Why a listing lacks a file: the lock file may be all that is listed.
    fn absent(&self, what: String) -> SourceError {
        if self.options.locked {
            SourceError::NotLocked { what, lock: self.options.lock.clone() }
        } else if self.options.offline {
            self.not_here(what)
        } else {
            SourceError::NotOnHub { what }
        }
    }

    /// The entries of files, whose bytes are in the cache afterwards.
    fn get(
        &self,
        repo: Repo,
        commit: &str,
        wanted: &[&Listed],
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Vec<FetchedFile>, SourceError> {
        let here = |listed: &&&Listed| {
            let entry = self.known(repo, &listed.path)?;
            let file = std::fs::metadata(self.blob(&entry.sha256));
            file.is_ok_and(|file| file.len() == entry.bytes).then_some(FetchedFile {
                entry,
                already_here: true,
                transferred: 0,
            })
        };
        let missing = |found: &[FetchedFile]| -> Vec<&Listed> {
            wanted.iter().filter(|listed| !found.iter().any(|file| file.entry.path == listed.path)).copied().collect()
        };
        let mut found: Vec<FetchedFile> = wanted.iter().filter_map(|listed| here(&listed)).collect();
        if found.len() == wanted.len() {
            return Ok(found);
        }
        if let Some(first) = missing(&found).first().filter(|_| self.options.offline) {
            return Err(self.not_here(format!("{}/{}", repo.id, first.path)));
        }
        let folder = self.options.cache.join(PARTIAL);
        std::fs::create_dir_all(&self.options.cache).at("create directory", &self.options.cache)?;
        let waiting = |holder: Option<&Token>| {
            let who =
                holder.map_or_else(|| "another process".to_owned(), |h| format!("process {} on {}", h.pid, h.host));
            progress.note(&format!("{who} downloads into this store; waiting"));
        };
        let Some(_fetching) = self.options.leases.wait(FETCHING, stop, waiting)? else {
            return Err(SourceError::Interrupted);
        };
        std::fs::create_dir_all(&folder).at("create directory", &folder)?;
        // Another process may have fetched meanwhile.
        *self.lock() = Lock::load(&self.options.lock)?;
        found = wanted.iter().filter_map(|listed| here(&listed)).collect();
        let jobs =
            missing(&found).iter().map(|listed| self.job(repo, commit, listed)).collect::<Result<Vec<Job>, _>>()?;
        let fetched = self.download(repo, &jobs, progress, stop);
        // Stays if something is in it.
        let _ = std::fs::remove_dir(&folder);
        found.extend(fetched?);
        found.sort_by(|a, b| a.entry.cmp(&b.entry));
        Ok(found)
    }

    fn known(&self, repo: Repo, path: &str) -> Option<LockEntry> {
        self.lock().of(repo.kind, repo.id, repo.revision).find(|entry| entry.path == path).cloned()
    }

    fn job(&self, repo: Repo, commit: &str, listed: &Listed) -> Result<Job, SourceError> {
        let what = format!("{}/{}", repo.id, listed.path);
        let mut url = Url::parse(&self.endpoint).ok();
        if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
            segments.pop_if_empty();
            if repo.kind == RepoKind::Dataset {
                segments.push("datasets");
            }
            segments.extend(repo.id.split('/')).extend(["resolve", commit]).extend(listed.path.split('/'));
        }
        let Some(url) = url else {
            return Err(self.network(&what, "its address is not a URL".to_owned()));
        };
        let name = blake3::hash(format!("{:?} {commit} {what}", repo.kind).as_bytes()).to_hex();
        Ok(Job {
            url,
            commit: commit.to_owned(),
            bytes: listed.bytes,
            locked: self.known(repo, &listed.path).map(|entry| (entry.sha256, self.options.lock.clone())),
            partial: self.options.cache.join(PARTIAL).join(format!("{name}.bytes")),
            present: AtomicU64::new(0),
            path: listed.path.clone(),
            what,
        })
    }

    /// Downloads files side by side; one that is whole is kept and pinned even if another one fails.
    fn download(
        &self,
        repo: Repo,
        jobs: &[Job],
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Vec<FetchedFile>, SourceError> {
        // Set by a stop from outside, or by the first failure.
        let halt = AtomicBool::new(false);
        let (next, note, token) = (AtomicUsize::new(0), Mutex::new(String::new()), token());
        let wire = Wire {
            endpoint: &self.endpoint,
            token: token.as_deref(),
            patience: self.patience,
            stop: &halt,
            note: &note,
        };
        let work = || {
            let mut fetched = Vec::new();
            let line = Line::open(&wire)?;
            while !halt.load(Ordering::Relaxed)
                && let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let kept = line.receive(job).and_then(|received| self.keep(repo, job, received));
                fetched.push(kept.inspect_err(|_| halt.store(true, Ordering::Relaxed))?);
            }
            Ok(fetched)
        };
        progress.start(jobs.iter().map(|job| job.bytes).sum(), "bytes");
        let results: Vec<Result<Vec<FetchedFile>, SourceError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.len().min(FILES_AT_ONCE)).map(|_| scope.spawn(work)).collect();
            while !workers.iter().all(ScopedJoinHandle::is_finished) {
                if stop.load(Ordering::Relaxed) {
                    halt.store(true, Ordering::Relaxed);
                }
                let present = jobs.iter().map(|job| job.present.load(Ordering::Relaxed)).sum();
                progress.advance(present, &note.lock().unwrap_or_else(PoisonError::into_inner));
                std::thread::sleep(TICK);
            }
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        progress.finish();
        let mut fetched = Vec::new();
        let mut failure = None;
        for result in results {
            match (result, &failure) {
                (Ok(files), _) => fetched.extend(files),
                // Interruptions follow on the failure that caused them.
                (Err(e), None | Some(SourceError::Interrupted)) => failure = Some(e),
                (Err(_), Some(_)) => (),
            }
        }
        match failure {
            Some(e) => Err(e),
            None if stop.load(Ordering::Relaxed) => Err(SourceError::Interrupted),
            None => Ok(fetched),
        }
    }

    /// Moves a file that came whole to its place, and pins it.
    fn keep(&self, repo: Repo, job: &Job, received: Received) -> Result<FetchedFile, SourceError> {
        let Received { partial, sha256, transferred } = received;
        partial.keep(&self.blob(&sha256))?;
        let entry = LockEntry {
            kind: repo.kind,
            repo: repo.id.to_owned(),
            revision: repo.revision.to_owned(),
            path: job.path.clone(),
            commit: job.commit.clone(),
            sha256,
            bytes: job.bytes,
        };
        let mut lock = self.lock();
        if !lock.of(repo.kind, repo.id, repo.revision).any(|known| known.path == job.path) {
            lock.add(entry.clone());
            lock.save(&self.options.lock)?;
        }
        Ok(FetchedFile { entry, already_here: false, transferred })
    }
}

/// Where a file with this sha256 lies below the directory of downloads `cache`.
pub fn blob(cache: &Path, sha256: &str) -> PathBuf {
    cache.join(sha256.get(..2).unwrap_or("")).join(sha256)
}

fn name(entry: &LockEntry) -> String {
    format!("{}/{}", entry.repo, entry.path)
}

/// Fetches what `task` reads from the hub for `wanted` into the store; what is there already is not fetched again, and of
/// what is there in part only the rest. Adds new files to the lock file, one by one, so that an interrupted fetch goes on
/// where it stopped.
///
/// A language whose file does not exist on the hub is left out; a split without any file is an error.
///
/// # Errors
/// [`SourceError::Refused`] (gated), [`SourceError::NotOnHub`], [`SourceError::Network`], [`SourceError::Hash`] where the
/// bytes are not those in the lock file, [`SourceError::Damaged`] where they are not those that the hub announces,
/// [`SourceError::NotLocked`] and [`SourceError::Offline`] where those modes forbid what would be needed,
/// [`SourceError::Interrupted`] once `stop` is set.
pub fn fetch(
    task: &Task,
    hub: &Hub,
    wanted: &BTreeMap<Split, Vec<&Language>>,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<FetchedFile>, SourceError> {
    let source = Source::of(task, "hub")?;
    let HubSource { repo, revision, .. } = task.source.hub.as_ref().expect("Source::of has looked");
    let repo = Repo { kind: RepoKind::Dataset, id: repo, revision };
    let listing = hub.listing(repo, stop)?;
    let mut files: BTreeMap<&str, &Listed> = BTreeMap::new();
    for (&split, languages) in wanted {
        let spec = source.split(task, split)?;
        let mut found = false;
        let mut missing = None;
        for language in expansions(spec, languages) {
            for part in patterns(spec, &source) {
                let pattern = pattern::expand(part.path, language);
                let matching = listing.files.iter().filter(|file| pattern::matches(&pattern, &file.path));
                let count = matching.map(|file| files.insert(&file.path, file)).count();
                found |= count > 0;
                if count == 0 {
                    missing = missing.or(Some(pattern));
                }
            }
        }
        if let (false, Some(pattern)) = (found, missing) {
            let what = format!("{}/{pattern}", repo.id);
            return Err(hub.absent(what));
        }
    }
    let files: Vec<&Listed> = files.into_values().collect();
    hub.get(repo, &listing.commit, &files, progress, stop)
}

#[cfg(test)]
mod tests;

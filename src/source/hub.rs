//! Files on the Hugging Face hub: fetched once into the store by the sha256 of their bytes, pinned by the lock file.
//!
//! The environment is honoured as Hugging Face's own tools do: `HF_TOKEN` (or the token file below `HF_HOME`) and
//! `HF_ENDPOINT` through the client library, `HF_HUB_OFFLINE` by the command line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::{RepoType, RepoTypeDataset, RepoTypeModel};
use hf_hub::{HFClientSync, HFError, HFRepositorySync, split_id};
use sha2::{Digest, Sha256};

use super::directory::Found;
use super::lock::{Lock, LockEntry, RepoKind};
use super::{Source, SourceError, Stored, expansions, pattern, patterns};
use crate::error::IoContext;
use crate::progress::Progress;
use crate::task::{HubSource, Language, Split, Task};

/// Where files from the hub are kept, and what may be done to get them.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The lock file.
    pub lock: PathBuf,
    /// The folder that holds their bytes.
    pub cache: PathBuf,
    /// Take only files that the lock file has.
    pub locked: bool,
    /// Take only files that are in `cache`.
    pub offline: bool,
}

/// The hub, as far as this machine knows it.
pub struct Hub {
    options: HubOptions,
    /// Another address than the environment's.
    endpoint: Option<String>,
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

/// The commit that a revision stands for, and the paths of its files.
struct Listing {
    commit: String,
    paths: Vec<String>,
}

impl Hub {
    /// Reads the lock file. Nothing is asked of the network before [`fetch`].
    pub fn open(options: HubOptions) -> Result<Self, SourceError> {
        let lock = Mutex::new(Lock::load(&options.lock)?);
        Ok(Self { options, endpoint: None, lock, client: Mutex::new(None) })
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

    /// The directory of a model repository, with its `config.json`, `model.safetensors` and `tokenizer.json`: fetched if
    /// they are not here yet.
    pub fn model_dir(&self, repo: &str, revision: &str) -> Result<PathBuf, SourceError> {
        let repo = Repo { kind: RepoKind::Model, id: repo, revision };
        let listing = self.listing(repo)?;
        let mut dir = self.options.cache.join("models");
        dir.push(format!("{}--{}", repo.id.replace('/', "--"), listing.commit));
        let stop = AtomicBool::new(false);
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            if !listing.paths.iter().any(|path| path == file) {
                return Err(SourceError::NotOnHub { what: format!("{file} in {} at {revision}", repo.id) });
            }
            let entry = self.get(repo, &listing.commit, file, &crate::progress::Quiet, 0, &stop)?;
            let path = dir.join(file);
            if !path.is_file() {
                std::fs::create_dir_all(&dir).at("create directory", &dir)?;
                std::fs::hard_link(self.blob(&entry.sha256), &path).at("link", &path)?;
            }
        }
        Ok(dir)
    }

    fn lock(&self) -> MutexGuard<'_, Lock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the bytes with this digest are kept.
    fn blob(&self, sha256: &str) -> PathBuf {
        self.options.cache.join(sha256.get(..2).unwrap_or("")).join(sha256)
    }

    fn not_here(&self, what: String) -> SourceError {
        if self.options.offline {
            SourceError::Offline { what, raw: self.options.cache.clone() }
        } else {
            SourceError::NotFetched { what }
        }
    }

    fn client(&self) -> Result<HFClientSync, SourceError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let mut builder = hf_hub::HFClientBuilder::new().retry_max_attempts(3);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        let built = builder.build_sync().map_err(|e| self.failed("a client", e))?;
        Ok(client.insert(built).clone())
    }

    fn failed(&self, what: &str, source: HFError) -> SourceError {
        let what = what.to_owned();
        match source {
            HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                SourceError::Refused { what, status: context.status.as_u16() }
            }
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } | HFError::EntryNotFound { .. } => {
                SourceError::NotOnHub { what }
            }
            HFError::Io(source) => crate::error::FileError::new("write below", &self.options.cache, source).into(),
            other => {
                let endpoint = self.endpoint.clone().or_else(|| std::env::var("HF_ENDPOINT").ok());
                let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
                let mut message = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(cause) = source {
                    message = format!("{message}: {cause}");
                    source = cause.source();
                }
                SourceError::Network { what, endpoint, message }
            }
        }
    }

    /// The files of a repository: those of the lock file, where nothing else may be taken, else those of the hub, at the
    /// commit that the lock file has for the revision, if it has one.
    fn listing(&self, repo: Repo) -> Result<Listing, SourceError> {
        let (commit, paths) = {
            let lock = self.lock();
            let entries: Vec<&LockEntry> = lock.of(repo.kind, repo.id, repo.revision).collect();
            let commit = entries.first().map(|entry| entry.commit.clone());
            (commit, entries.into_iter().map(|entry| entry.path.clone()).collect())
        };
        if self.options.locked || self.options.offline {
            return match commit {
                Some(commit) => Ok(Listing { commit, paths }),
                None if self.options.offline => Err(self.not_here(repo.id.to_owned())),
                None => Err(SourceError::NotLocked { what: repo.id.to_owned(), lock: self.options.lock.clone() }),
            };
        }
        let wanted = commit.unwrap_or_else(|| repo.revision.to_owned());
        let what = format!("{} at {wanted}", repo.id);
        let client = self.client()?;
        let (owner, name) = split_id(repo.id);
        let (sha, siblings) = match repo.kind {
            RepoKind::Dataset => {
                let info = client.dataset(owner, name).info().revision(wanted.as_str()).send();
                info.map(|info| (info.sha, info.siblings))
            }
            RepoKind::Model => {
                let info = client.model(owner, name).info().revision(wanted.as_str()).send();
                info.map(|info| (info.sha, info.siblings))
            }
        }
        .map_err(|e| self.failed(&what, e))?;
        let commit =
            sha.ok_or_else(|| self.failed(&what, HFError::malformed_response("no `sha` in its description")))?;
        let paths = siblings.unwrap_or_default().into_iter().map(|file| file.rfilename).collect();
        Ok(Listing { commit, paths })
    }

    /// The entry of one file, whose bytes are in the cache afterwards. `done` bytes were reported before.
    fn get(
        &self,
        repo: Repo,
        commit: &str,
        path: &str,
        progress: &dyn Progress,
        done: u64,
        stop: &AtomicBool,
    ) -> Result<LockEntry, SourceError> {
        let known = self.lock().of(repo.kind, repo.id, repo.revision).find(|entry| entry.path == path).cloned();
        let what = format!("{}/{path}", repo.id);
        if let Some(entry) = &known
            && std::fs::metadata(self.blob(&entry.sha256)).is_ok_and(|file| file.len() == entry.bytes)
        {
            return Ok(entry.clone());
        }
        if self.options.offline {
            return Err(self.not_here(what));
        }
        std::fs::create_dir_all(&self.options.cache).at("create directory", &self.options.cache)?;
        // Beside the blobs, so that the finished file can be renamed; removed with all it holds if anything fails.
        let folder = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&self.options.cache);
        let folder = folder.at("create a directory in", &self.options.cache)?;
        let client = self.client()?;
        let (owner, name) = split_id(repo.id);
        let wanted = Wanted { path: path.to_owned(), commit: commit.to_owned(), folder: folder.path().to_owned() };
        let downloaded = match repo.kind {
            RepoKind::Dataset => download::<RepoTypeDataset>(client.dataset(owner, name), wanted, progress, done, stop),
            RepoKind::Model => download::<RepoTypeModel>(client.model(owner, name), wanted, progress, done, stop),
        };
        let downloaded = downloaded.ok_or(SourceError::Interrupted)?.map_err(|e| self.failed(&what, e))?;
        let (sha256, bytes) = digest(&downloaded)?;
        if let Some(entry) = known
            && entry.sha256 != sha256
        {
            let lock = self.options.lock.clone();
            return Err(SourceError::Hash { what, found: sha256, locked: entry.sha256, lock });
        }
        let blob = self.blob(&sha256);
        let parent = blob.parent().expect("a blob is in a folder of the cache");
        std::fs::create_dir_all(parent).at("create directory", parent)?;
        std::fs::rename(&downloaded, &blob).at("move the download to", &blob)?;
        let entry = LockEntry {
            kind: repo.kind,
            repo: repo.id.to_owned(),
            revision: repo.revision.to_owned(),
            path: path.to_owned(),
            commit: commit.to_owned(),
            sha256,
            bytes,
        };
        let mut lock = self.lock();
        if !lock.of(repo.kind, repo.id, repo.revision).any(|known| known.path == path) {
            lock.add(entry.clone());
            lock.save(&self.options.lock)?;
        }
        Ok(entry)
    }
}

fn name(entry: &LockEntry) -> String {
    format!("{}/{}", entry.repo, entry.path)
}

/// Fetches what `task` reads from the hub for `languages` and `splits` into the store; what is there already is not
/// fetched again. Adds new files to the lock file, one by one, so that an interrupted fetch goes on where it stopped.
///
/// A language whose file does not exist on the hub is left out; a split without any file is an error.
///
/// # Errors
/// [`SourceError::Refused`] (gated), [`SourceError::NotOnHub`], [`SourceError::Network`], [`SourceError::Hash`] where the
/// bytes are not those in the lock file, [`SourceError::NotLocked`] and [`SourceError::Offline`] where those modes forbid
/// what would be needed, [`SourceError::Interrupted`] once `stop` is set.
pub fn fetch(
    task: &Task,
    hub: &Hub,
    languages: &[&Language],
    splits: &[Split],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<LockEntry>, SourceError> {
    let source = Source::of(task, "hub")?;
    let HubSource { repo, revision, .. } = task.source.hub.as_ref().expect("Source::of has looked");
    let repo = Repo { kind: RepoKind::Dataset, id: repo, revision };
    let listing = hub.listing(repo)?;
    let mut wanted: Vec<&String> = Vec::new();
    for &split in splits {
        let spec = source.split(task, split)?;
        let before = wanted.len();
        let mut missing = None;
        for language in expansions(spec, languages) {
            for part in patterns(spec, &source) {
                let pattern = pattern::expand(part.path, language);
                let found = wanted.len();
                wanted.extend(listing.paths.iter().filter(|path| pattern::matches(&pattern, path)));
                if wanted.len() == found {
                    missing = missing.or(Some(pattern));
                }
            }
        }
        if wanted.len() == before
            && let Some(pattern) = missing
        {
            let what = format!("{}/{pattern}", repo.id);
            return Err(if hub.options.locked {
                SourceError::NotLocked { what, lock: hub.options.lock.clone() }
            } else if hub.options.offline {
                hub.not_here(what)
            } else {
                SourceError::NotOnHub { what }
            });
        }
    }
    wanted.sort();
    wanted.dedup();
    progress.start(0, "bytes");
    let mut entries = Vec::with_capacity(wanted.len());
    let mut done = 0;
    for path in wanted {
        if stop.load(Ordering::Relaxed) {
            return Err(SourceError::Interrupted);
        }
        let entry = hub.get(repo, &listing.commit, path, progress, done, stop)?;
        done += entry.bytes;
        progress.advance(done, path);
        entries.push(entry);
    }
    progress.finish();
    Ok(entries)
}

struct Wanted {
    path: String,
    commit: String,
    folder: PathBuf,
}

struct Counter(Arc<AtomicU64>);

impl ProgressHandler for Counter {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(event) = event {
            let bytes = match event {
                DownloadEvent::Progress { files } => files.iter().map(|file| file.bytes_completed).max(),
                DownloadEvent::AggregateProgress { bytes_completed, .. } => Some(*bytes_completed),
                _ => None,
            };
            self.0.fetch_max(bytes.unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// Downloads on a thread of its own, so that progress is told and `stop` heard while the client blocks; `None` if
/// stopped. The abandoned thread writes into a folder that is removed under it, and ends with the process.
fn download<T: RepoType + Send + Sync + 'static>(
    repo: HFRepositorySync<T>,
    wanted: Wanted,
    progress: &dyn Progress,
    done: u64,
    stop: &AtomicBool,
) -> Option<Result<PathBuf, HFError>> {
    let bytes = Arc::new(AtomicU64::new(0));
    let counter = Counter(bytes.clone());
    let (sender, receiver) = mpsc::channel();
    let message = wanted.path.clone();
    std::thread::spawn(move || {
        let file = repo.download_file().filename(wanted.path).revision(wanted.commit).local_dir(wanted.folder);
        // Nobody receives after a stop.
        let _ = sender.send(file.progress(hf_hub::progress::Progress::new(counter)).send());
    });
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return Some(result),
            Err(mpsc::RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return None,
            Err(mpsc::RecvTimeoutError::Timeout) => progress.advance(done + bytes.load(Ordering::Relaxed), &message),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Some(Err(HFError::Other("the download's thread ended without a result".to_owned())));
            }
        }
    }
}

/// sha256 in hexadecimal and size of a file, made durable on the way.
fn digest(path: &Path) -> Result<(String, u64), SourceError> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).at("read", path)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    file.sync_all().at("sync", path)?;
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, bytes))
}

#[cfg(test)]
mod tests;

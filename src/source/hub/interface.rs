//! The hub's own interface, through its client library: which commit a revision stands for, and what it holds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, mpsc};

use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClientBuilder, HFClientSync, HFError, split_id};
use reqwest::StatusCode;

use super::transfer::{self, Fault, TICK, insist, may_pass, passing, words};
use super::{Hub, Repo};
use crate::source::SourceError;
use crate::source::lock::{LockEntry, RepoKind};

/// The commit that a revision stands for, and its files.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Listed>,
}

/// A file on the hub.
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: u64,
}

impl Hub {
    fn client(&self) -> Result<HFClientSync, SourceError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let wrong = |message| self.network("a connection", message);
        let http = transfer::client(self.patience).build().map_err(|e| wrong(words(&e)))?;
        // Requests are made again by `insist`, with the same patience as transfers.
        let mut builder = HFClientBuilder::new().endpoint(&self.endpoint).retry_max_attempts(0).client(http);
        if let Some(token) = token() {
            builder = builder.token(token);
        }
        let built = builder.build_sync().map_err(|e| wrong(words(&e)))?;
        Ok(client.insert(built).clone())
    }

    pub(super) fn network(&self, what: &str, message: String) -> SourceError {
        SourceError::Network { what: what.to_owned(), endpoint: self.endpoint.clone(), message }
    }

    fn fault(&self, what: &str, error: HFError) -> Fault {
        let what = what.to_owned();
        let status = match &error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::RateLimited { context, .. } => Some(context.status),
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => Some(StatusCode::NOT_FOUND),
            _ => None,
        };
        match (status, error) {
            (Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => {
                let status = status.map_or(0, |status| status.as_u16());
                Fault::Final(SourceError::Refused { what, status })
            }
            (Some(StatusCode::NOT_FOUND), _) => Fault::Final(SourceError::NotOnHub { what }),
            (Some(status), HFError::RateLimited { retry_after, .. }) => {
                Fault::Passing { message: format!("HTTP status {status}"), wait: retry_after }
            }
            (Some(status), _) if may_pass(status) => passing(format!("HTTP status {status}")),
            (None, HFError::Request { source, .. }) if !source.is_builder() => passing(words(&source.without_url())),
            (_, other) => Fault::Final(self.network(&what, words(&other))),
        }
    }

    /// Asks the hub's interface, on a thread of its own, so that `stop` is heard while the client blocks.
    fn ask<T: Send + 'static>(
        &self,
        what: &str,
        stop: &AtomicBool,
        request: impl Fn(&HFClientSync) -> Result<T, HFError> + Send + Clone + 'static,
    ) -> Result<T, SourceError> {
        let client = self.client()?;
        insist(self.patience, what, &self.endpoint, stop, &|_| (), |_| {
            let (sender, receiver) = mpsc::channel();
            let (client, request) = (client.clone(), request.clone());
            // Nobody receives after a stop; the thread ends with its request, or with the process.
            std::thread::spawn(move || sender.send(request(&client)));
            loop {
                match receiver.recv_timeout(TICK) {
                    Ok(result) => return result.map_err(|e| self.fault(what, e)),
                    Err(mpsc::RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                        return Err(Fault::Final(SourceError::Interrupted));
                    }
                    Err(mpsc::RecvTimeoutError::Timeout) => (),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Err(passing("no answer")),
                }
            }
        })
    }

    /// The files of a repository: those of the lock file, where nothing else may be taken, else those of the hub, at the
    /// commit that the lock file has for the revision, if it has one.
    pub(super) fn listing(&self, repo: Repo, stop: &AtomicBool) -> Result<Listing, SourceError> {
        let (pinned, files) = {
            let lock = self.lock();
            let entries: Vec<&LockEntry> = lock.of(repo.kind, repo.id, repo.revision).collect();
            let pinned = entries.first().map(|entry| entry.commit.clone());
            let listed = |entry: &&LockEntry| Listed { path: entry.path.clone(), bytes: entry.bytes };
            (pinned, entries.iter().map(listed).collect())
        };
        if self.options.locked || self.options.offline {
            return match pinned {
                Some(commit) => Ok(Listing { commit, files }),
                None if self.options.offline => Err(self.not_here(repo.id.to_owned())),
                None => Err(SourceError::NotLocked { what: repo.id.to_owned(), lock: self.options.lock.clone() }),
            };
        }
        let commit = match pinned {
            Some(commit) => commit,
            None => self.commit(repo, stop)?,
        };
        let (kind, id, wanted) = (repo.kind, repo.id.to_owned(), commit.clone());
        let entries = self.ask(&format!("{id} at {commit}"), stop, move |client| {
            let (owner, name) = split_id(&id);
            match kind {
                RepoKind::Dataset => client.dataset(owner, name).list_tree().revision(&wanted).recursive(true).send(),
                RepoKind::Model => client.model(owner, name).list_tree().revision(&wanted).recursive(true).send(),
            }
        })?;
        let files = entries.into_iter().filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some(Listed { path, bytes: size }),
            RepoTreeEntry::Directory { .. } => None,
        });
        Ok(Listing { commit, files: files.collect() })
    }

    /// The commit that the repository's revision stands for now.
    fn commit(&self, repo: Repo, stop: &AtomicBool) -> Result<String, SourceError> {
        let (kind, id, revision) = (repo.kind, repo.id.to_owned(), repo.revision.to_owned());
        self.ask(&format!("{id} at {revision}"), stop, move |client| {
            let (owner, name) = split_id(&id);
            let sha = match kind {
                RepoKind::Dataset => client.dataset(owner, name).info().revision(&revision).send()?.sha,
                RepoKind::Model => client.model(owner, name).info().revision(&revision).send()?.sha,
            };
            sha.ok_or_else(|| HFError::malformed_response("no `sha` in the repository's description"))
        })
    }
}

/// The token to show to the hub: where Hugging Face's own tools look for it.
pub(super) fn token() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if set("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let file = || {
        let path = set("HF_TOKEN_PATH").map_or_else(|| hf_hub::hf_home().join("token"), PathBuf::from);
        std::fs::read_to_string(path).ok().filter(|token| !token.trim().is_empty())
    };
    set("HF_TOKEN").or_else(file).map(|token| token.trim().to_owned())
}

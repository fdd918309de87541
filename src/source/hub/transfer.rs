//! The transfer of files from the hub: by ranges, so that one that was cut goes on where it stopped; again after a pause
//! where that may help; held against the digest that the hub or the lock file names.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::partial::Partial;
use crate::error::FileError;
use crate::source::SourceError;

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How often a request is made that fails in a way that may pass. One that brought [`WORTHWHILE`] bytes doesn't count.
    pub(super) attempts: u32,
    /// The pause after the first failure; each one doubles it.
    pub(super) first_wait: Duration,
    /// How long nothing may come before a connection counts as dead.
    pub(super) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 5, first_wait: Duration::from_millis(500), silence: Duration::from_secs(30) }
    }
}

/// What a transfer must bring to be no failure, though it was cut.
const WORTHWHILE: u64 = 1 << 20;

/// The longest pause, also where the hub asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often a stop is looked for.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Redirects that are followed for one file.
const HOPS: usize = 8;

/// A request that failed.
pub(super) enum Fault {
    /// It would fail again.
    Final(SourceError),
    /// It may succeed if made again, after `wait` if the hub asks for that.
    Passing { message: String, wait: Option<Duration> },
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        Fault::Final(error.into())
    }
}

/// A fault of a request that may pass.
pub(super) fn passing(message: impl Into<String>) -> Fault {
    Fault::Passing { message: message.into(), wait: None }
}

/// An error's words with those of its causes.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

/// Whether an answer with this status may be another one later.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::TOO_MANY_REQUESTS
}

/// Makes a request until it succeeds, fails for good, or patience is over. `note` is told what is waited for.
pub(super) fn insist<T>(
    patience: Patience,
    what: &str,
    endpoint: &str,
    stop: &AtomicBool,
    note: &dyn Fn(&str),
    mut request: impl FnMut(&mut bool) -> Result<T, Fault>,
) -> Result<T, SourceError> {
    let mut failures = 0;
    loop {
        let mut worthwhile = false;
        let (message, wait) = match request(&mut worthwhile) {
            Ok(result) => return Ok(result),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Passing { message, wait }) => (message, wait),
        };
        failures = if worthwhile { 1 } else { failures + 1 };
        if failures >= patience.attempts {
            let message = format!("{message} ({failures} attempts)");
            return Err(SourceError::Network { what: what.to_owned(), endpoint: endpoint.to_owned(), message });
        }
        let wait = wait.unwrap_or(patience.first_wait * 2u32.pow(failures - 1)).min(LONGEST_WAIT);
        note(&format!("{what}: {message}; next attempt in {:.1} s", wait.as_secs_f64()));
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                return Err(SourceError::Interrupted);
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// One file to download.
pub(super) struct Job {
    /// Repository and path, for messages.
    pub(super) what: String,
    /// The path within the repository.
    pub(super) path: String,
    /// Where it is on the hub.
    pub(super) url: Url,
    /// The commit that it is taken from.
    pub(super) commit: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Its sha256 in the lock file, with the lock file's path.
    pub(super) locked: Option<(String, PathBuf)>,
    /// Where its bytes are kept meanwhile.
    pub(super) partial: PathBuf,
    /// How many of its bytes are there.
    pub(super) present: AtomicU64,
}

/// A file that came whole, not yet moved to its place.
pub(super) struct Received {
    pub(super) partial: Partial,
    pub(super) sha256: String,
    /// How many bytes were transferred for it now.
    pub(super) transferred: u64,
}

/// What several transfers share.
pub(super) struct Wire<'a> {
    pub(super) endpoint: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) patience: Patience,
    pub(super) stop: &'a AtomicBool,
    /// What is waited for, if something went wrong.
    pub(super) note: &'a Mutex<String>,
}

/// A connection to the hub, used by one thread.
pub(super) struct Line<'a> {
    wire: &'a Wire<'a>,
    runtime: Runtime,
    client: reqwest::Client,
}

/// The hub's words about a file, and its bytes.
struct Answer {
    response: Response,
    /// The tag of the whole file, unquoted: its sha256 or some other digest of it.
    tag: String,
}

impl<'a> Line<'a> {
    pub(super) fn open(wire: &'a Wire<'a>) -> Result<Self, SourceError> {
        let wrong = |message: String| {
            let (what, endpoint) = ("a connection".to_owned(), wire.endpoint.to_owned());
            SourceError::Network { what, endpoint, message }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| wrong(e.to_string()))?;
        let client = client(wire.patience).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { wire, runtime, client: client.map_err(|e| wrong(words(&e)))? })
    }

    /// Downloads one file, going on from where an earlier transfer stopped.
    pub(super) fn receive(&self, job: &Job) -> Result<Received, SourceError> {
        let mut partial = Partial::open(job.partial.clone())?;
        let mut transferred = 0;
        let note = |note: &str| note.clone_into(&mut self.wire.note.lock().unwrap_or_else(PoisonError::into_inner));
        let Wire { patience, endpoint, stop, .. } = *self.wire;
        let result = insist(patience, &job.what, endpoint, stop, &note, |worthwhile| {
            let mut received = 0;
            let result = self.attempt(job, &mut partial, &mut received);
            transferred += received;
            *worthwhile = received >= WORTHWHILE;
            result
        });
        match result {
            Ok(sha256) => Ok(Received { partial, sha256, transferred }),
            // What a broken network left is of use later; what a full disk or wrong bytes left is in the way.
            Err(e @ (SourceError::Network { .. } | SourceError::Interrupted)) => Err(e),
            Err(e) => {
                partial.discard();
                Err(e)
            }
        }
    }

    /// One request for what is missing of the file; its sha256 if it is whole then.
    fn attempt(&self, job: &Job, partial: &mut Partial, received: &mut u64) -> Result<String, Fault> {
        job.present.store(partial.bytes, Ordering::Relaxed);
        if partial.bytes > job.bytes {
            partial.restart("")?;
        }
        // Where only the end of an earlier run was missing, there is nothing to ask for.
        let resumed = partial.bytes > 0;
        if !resumed || partial.bytes < job.bytes {
            self.transfer(job, partial, received)?;
        }
        if partial.bytes != job.bytes {
            return Err(passing(format!("the connection ended after {} of {} bytes", partial.bytes, job.bytes)));
        }
        let sha256 = partial.sha256();
        match check(job, &partial.tag, &sha256) {
            Ok(()) => Ok(sha256),
            // The fault may be in bytes that came earlier.
            Err(_) if resumed => {
                partial.restart("")?;
                Err(passing("the bytes of several transfers don't make up the file"))
            }
            Err(e) => Err(Fault::Final(e)),
        }
    }

    fn transfer(&self, job: &Job, partial: &mut Partial, received: &mut u64) -> Result<(), Fault> {
        let mut answer = self.ask(job, partial.bytes)?;
        if partial.bytes == 0 || !goes_on(&answer, partial) {
            if answer.response.status() != StatusCode::OK {
                answer = self.ask(job, 0)?;
            }
            partial.restart(&answer.tag)?;
            job.present.store(0, Ordering::Relaxed);
        }
        while let Some(chunk) = self.wait(answer.response.chunk())? {
            if partial.bytes + chunk.len() as u64 > job.bytes {
                partial.restart("")?;
                return Err(passing(format!("more than the file's {} bytes came", job.bytes)));
            }
            partial.append(&chunk)?;
            *received += chunk.len() as u64;
            job.present.store(partial.bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks for the file from byte `from` on, wherever the hub sends us for it. The token is shown to the hub alone.
    fn ask(&self, job: &Job, from: u64) -> Result<Answer, Fault> {
        let mut url = job.url.clone();
        let mut tag = None;
        for _ in 0..HOPS {
            let at_hub = url.origin() == job.url.origin();
            let mut request = self.client.get(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.wire.token.filter(|_| at_hub) {
                request = request.bearer_auth(token);
            }
            let response = self.wait(async { request.send().await })?;
            let (status, headers) = (response.status(), response.headers());
            if at_hub {
                self.same_commit(job, headers)?;
                let linked = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
                tag = tag.or(linked.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned()));
                // Other bytes than the pinned ones need not come at all.
                if let Some(sha256) = tag.as_deref().and_then(digest) {
                    check_locked(job, sha256).map_err(Fault::Final)?;
                }
            }
            if status.is_redirection()
                && let Some(location) = text(headers, "location")
            {
                url = url.join(location).map_err(|e| passing(format!("redirected to `{location}`: {e}")))?;
                continue;
            }
            return match status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Answer { response, tag: tag.unwrap_or_default() }),
                StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => Ok(Answer { response, tag: String::new() }),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if at_hub => {
                    Err(Fault::Final(SourceError::Refused { what: job.what.clone(), status: status.as_u16() }))
                }
                StatusCode::NOT_FOUND if at_hub => Err(Fault::Final(SourceError::NotOnHub { what: job.what.clone() })),
                // A store behind the hub refuses links that are too old: the hub gives a new one.
                _ if may_pass(status) || !at_hub => Err(Fault::Passing {
                    message: format!("HTTP status {status}"),
                    wait: text(headers, "retry-after").and_then(|s| s.trim().parse().ok()).map(Duration::from_secs),
                }),
                _ => Err(self.network(job, format!("HTTP status {status}"))),
            };
        }
        Err(self.network(job, format!("more than {HOPS} redirects")))
    }

    fn same_commit(&self, job: &Job, headers: &HeaderMap) -> Result<(), Fault> {
        match text(headers, "x-repo-commit") {
            Some(commit) if commit != job.commit => {
                let message = format!("asked for commit {}, the answer is of {commit}", job.commit);
                Err(self.network(job, message))
            }
            _ => Ok(()),
        }
    }

    fn network(&self, job: &Job, message: String) -> Fault {
        let (what, endpoint) = (job.what.clone(), self.wire.endpoint.to_owned());
        Fault::Final(SourceError::Network { what, endpoint, message })
    }

    /// The result of `request`, unless a stop or silence comes first.
    fn wait<T>(&self, request: impl Future<Output = reqwest::Result<T>>) -> Result<T, Fault> {
        self.runtime.block_on(async {
            let mut request = std::pin::pin!(request);
            let begun = Instant::now();
            loop {
                if self.wire.stop.load(Ordering::Relaxed) {
                    return Err(Fault::Final(SourceError::Interrupted));
                }
                match tokio::time::timeout(TICK, request.as_mut()).await {
                    // The address may hold a signature that is nobody else's business.
                    Ok(result) => return result.map_err(|e| passing(words(&e.without_url()))),
                    Err(_) if begun.elapsed() >= self.wire.patience.silence => {
                        return Err(passing(format!(
                            "nothing came for {} s",
                            self.wire.patience.silence.as_secs_f64()
                        )));
                    }
                    Err(_) => (),
                }
            }
        })
    }
}

/// How every connection is set up.
pub(super) fn client(patience: Patience) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("trestle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.silence)
        .read_timeout(patience.silence)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the answer's bytes follow on those that are there, as parts of one file.
fn goes_on(answer: &Answer, partial: &Partial) -> bool {
    let range = text(answer.response.headers(), "content-range");
    answer.response.status() == StatusCode::PARTIAL_CONTENT
        && answer.tag == partial.tag
        && range.is_some_and(|range| range.starts_with(&format!("bytes {}-", partial.bytes)))
}

/// The tag, if it is a sha256: that of large files is, that of small ones is git's own digest.
fn digest(tag: &str) -> Option<&str> {
    (tag.len() == 64 && tag.bytes().all(|b| b.is_ascii_hexdigit())).then_some(tag)
}

fn check(job: &Job, tag: &str, sha256: &str) -> Result<(), SourceError> {
    check_locked(job, sha256)?;
    match digest(tag) {
        Some(promised) if promised != sha256 => {
            let (found, promised) = (sha256.to_owned(), promised.to_owned());
            Err(SourceError::Damaged { what: job.what.clone(), found, promised })
        }
        _ => Ok(()),
    }
}

fn check_locked(job: &Job, sha256: &str) -> Result<(), SourceError> {
    match &job.locked {
        Some((locked, lock)) if locked != sha256 => {
            let (what, found, locked) = (job.what.clone(), sha256.to_owned(), locked.clone());
            Err(SourceError::Hash { what, found, locked, lock: lock.clone() })
        }
        _ => Ok(()),
    }
}

//! Who works on what, and whose result stays: two rules that hold on every file system that creates files exclusively and
//! never renames a directory over one with something in it, whatever else it does.
//!
//! **Claim.** `leases/<name>.<n>` is created exclusively, n = 1, 2, …; its first line is the holder's [`Token`]. Nothing else
//! decides, neither the error of the creation (the reply may have been lost, and the same refusal has many names) nor that
//! the file could not be seen a moment ago: what stands in the file afterwards does. The holder appends `free` when it gives
//! up, `done <digest>` once it has committed. A lease whose holder is dead is not taken away but followed by the next
//! generation: nothing is ever renamed or removed while processes work, so that a slow one can't harm a newer lease.
//!
//! **Commit.** The finished directory is renamed to its place. If something stands there, that was first and stays.
//!
//! So a holder that only seemed dead, or two that both think they hold a lease, cost work and nothing else.
//!
//! The functions are `async` because each operation on a storage is a point at which other processes may do anything: the
//! model in `model.rs` runs them in every order that it can think of. On a disk, nothing is waited for but the disk.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::worker::Token;

/// What the protocol needs of a storage.
pub(super) trait Storage {
    /// Creates the file, unless it is there. An error may mean anything.
    async fn create(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Adds to a file that only this process writes to.
    async fn append(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// The file's content; none where it is not there, or can't be seen yet, or can't be read: the protocol doesn't tell these
    /// apart.
    async fn read(&self, path: &Path) -> Option<Vec<u8>>;
    /// Renames a directory; never over one that holds something.
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Lets time pass.
    async fn pause(&self, time: Duration);
    /// The time on this process's own clock, which no other is compared with.
    fn now(&self) -> Duration;
    /// Whether a worker still lives, where that can be known at once.
    fn lives(&self, worker: &Token) -> Option<bool>;
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A worker whose beat has not changed for so long is dead; above the time for which file systems cache attributes.
    pub silence: Duration,
    /// What another one has done can be seen after so long.
    pub visible: Duration,
}

/// Where leases and beats lie.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub leases: PathBuf,
    pub workers: PathBuf,
}

impl Places {
    /// Generation `generation` of the lease called `name`.
    pub fn lease(&self, name: &str, generation: u64) -> PathBuf {
        self.leases.join(format!("{name}.{generation}"))
    }

    /// A worker's beat.
    pub fn worker(&self, id: &str) -> PathBuf {
        self.workers.join(id)
    }
}

/// What stands in a lease.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// Created, but not written, or not to be seen yet.
    Unwritten,
    /// Held, unless its holder is dead.
    Held(Token),
    /// Given up.
    Free,
    /// The work was committed.
    Done(Token),
}

impl Entry {
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        // A line without its end is still being written.
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let Some(holder) = lines.next().and_then(|line| serde_json::from_str(line).ok()) else {
            return Entry::Unwritten;
        };
        match lines.next() {
            None => Entry::Held(holder),
            Some(line) if line.starts_with("done ") => Entry::Done(holder),
            Some(_) => Entry::Free,
        }
    }
}

/// What a process remembers of what it has seen.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest generation of each lease.
    pub newest: HashMap<String, u64>,
    /// The leases that this process holds.
    pub held: HashSet<String>,
    /// Since when something has looked as it does.
    unchanged: HashMap<PathBuf, (Vec<u8>, Duration)>,
}

impl Memory {
    /// Forgets all leases but those that this process holds.
    pub fn forget(&mut self) {
        self.newest.retain(|name, _| self.held.contains(name));
        self.unchanged.clear();
    }

    /// For how long `what` has looked like `seen`, as far as this process knows.
    fn unchanged(&mut self, what: &Path, seen: &[u8], now: Duration) -> Duration {
        match self.unchanged.get_mut(what) {
            Some((before, since)) if before == seen => now.saturating_sub(*since),
            _ => {
                self.unchanged.insert(what.to_owned(), (seen.to_vec(), now));
                Duration::ZERO
            }
        }
    }
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Claim {
    /// It is ours, in this generation; `after` is the dead worker from whom it came.
    Mine { generation: u64, after: Option<Token> },
    /// Its work was committed, and can't be seen here yet.
    Committed,
    /// Another one holds it, as far as can be seen; unknown where its name can't be read yet.
    Busy(Option<Token>),
}

/// A process that takes part.
pub(super) struct Party<'a, S> {
    pub storage: &'a S,
    pub places: &'a Places,
    pub patience: Patience,
    pub me: &'a Token,
}

impl<S: Storage> Party<'_, S> {
    /// Asks for the lease called `name`. Never waits; ask again after a while where it is busy. One process makes one claim
    /// at a time.
    ///
    /// # Errors
    /// Where the storage is full or read-only, or has refused for longer than it may take to see another's file.
    pub async fn claim(&self, name: &str, memory: &mut Memory) -> io::Result<Claim> {
        let mut newest = memory.newest.get(name).copied().unwrap_or(0);
        let mut entry = match newest {
            0 => None,
            // Written down by this process, so it is there.
            known => Some(self.entry(name, known).await.unwrap_or(Entry::Unwritten)),
        };
        loop {
            while let Some(found) = self.entry(name, newest + 1).await {
                newest += 1;
                entry = Some(found);
            }
            memory.newest.insert(name.to_owned(), newest);
            let path = self.places.lease(name, newest);
            let looks: &[u8] = match &entry {
                None | Some(Entry::Free) => b"free",
                Some(Entry::Held(_)) => b"held",
                Some(Entry::Unwritten) => b"unwritten",
                Some(Entry::Done(_)) => b"done",
            };
            let settled = memory.unchanged(&path, looks, self.storage.now()) >= self.patience.visible;
            let mut after = None;
            match entry.take() {
                None | Some(Entry::Free) => {}
                Some(Entry::Held(holder)) if holder.id == self.me.id => {
                    return Ok(if memory.held.contains(name) {
                        Claim::Busy(Some(holder))
                    } else {
                        // The creation was done, and its reply was lost.
                        self.take(name, newest, None, memory)
                    });
                }
                Some(Entry::Held(holder)) => {
                    if !self.is_dead(&holder, memory).await {
                        return Ok(Claim::Busy(Some(holder)));
                    }
                    after = Some(holder);
                }
                // Left by a process that died before it had written, if it stays so.
                Some(Entry::Unwritten) if settled => {}
                Some(Entry::Unwritten) => return Ok(Claim::Busy(None)),
                // Whoever asks has looked for the artifact: if it can't be seen after so long, somebody has removed it.
                Some(Entry::Done(holder)) if settled || self.me.sees_as(&holder) => {}
                Some(Entry::Done(_)) => return Ok(Claim::Committed),
            }
            let next = newest + 1;
            let path = self.places.lease(name, next);
            let answer = self.storage.create(&path, &self.me.line()).await;
            if let Err(error) = &answer
                && is_hopeless(error)
            {
                return Err(answer.expect_err("it was an error a moment ago"));
            }
            match (self.entry(name, next).await, answer) {
                (Some(Entry::Held(holder)), _) if holder.id == self.me.id => {
                    return Ok(self.take(name, next, after, memory));
                }
                (None, Ok(())) => return Ok(self.take(name, next, after, memory)),
                (Some(found), _) => {
                    newest = next;
                    entry = Some(found);
                }
                (None, Err(error)) => {
                    let refused = memory.unchanged(&path, b"refused", self.storage.now());
                    return if refused < self.patience.visible { Ok(Claim::Busy(None)) } else { Err(error) };
                }
            }
        }
    }

    fn take(&self, name: &str, generation: u64, after: Option<Token>, memory: &mut Memory) -> Claim {
        memory.newest.insert(name.to_owned(), generation);
        memory.held.insert(name.to_owned());
        Claim::Mine { generation, after }
    }

    async fn entry(&self, name: &str, generation: u64) -> Option<Entry> {
        self.storage.read(&self.places.lease(name, generation)).await.map(|content| Entry::parse(&content))
    }

    /// Whether a worker is dead: known at once of a process of this machine and of an earlier start of the same job; of
    /// others by a beat that has stood still, on this process's clock. What one of this machine has written last by way of
    /// another mount may not be seen yet, so that it counts as alive for as long.
    pub async fn is_dead(&self, worker: &Token, memory: &mut Memory) -> bool {
        if self.me.restarts(worker) {
            return true;
        }
        match self.storage.lives(worker) {
            Some(true) => false,
            Some(false) if self.me.sees_as(worker) => true,
            Some(false) => {
                let path = self.places.worker(&worker.id);
                memory.unchanged(&path, b"dead", self.storage.now()) >= self.patience.visible
            }
            None => {
                let path = self.places.worker(&worker.id);
                let beat = self.storage.read(&path).await.unwrap_or_default();
                memory.unchanged(&path, &beat, self.storage.now()) >= self.patience.silence
            }
        }
    }

    /// Writes the end of a lease that this process holds: `free`, or `done <digest>`. Where that can't be written, the lease ends
    /// with the process.
    pub async fn end(&self, name: &str, generation: u64, how: &str, memory: &mut Memory) {
        memory.held.remove(name);
        let _ = self.storage.append(&self.places.lease(name, generation), format!("{how}\n").as_bytes()).await;
    }

    /// Renames `from`, in which the file `manifest` was written last, to `to`, unless something was there first. Returns the
    /// manifest that stands there.
    ///
    /// # Errors
    /// Where nothing with a manifest can be seen there after the time that it may take to see another's.
    pub async fn commit(&self, from: &Path, to: &Path, manifest: &str) -> io::Result<Vec<u8>> {
        let ours = self.storage.read(&from.join(manifest)).await;
        let answer = self.storage.rename(from, to).await;
        if let (Ok(()), Some(ours)) = (&answer, ours) {
            return Ok(ours);
        }
        let asked = self.storage.now();
        loop {
            if let Some(there) = self.storage.read(&to.join(manifest)).await {
                return Ok(there);
            }
            if let Err(error) = &answer
                && (is_hopeless(error) || self.storage.now().saturating_sub(asked) >= self.patience.visible)
            {
                return answer.map(|()| Vec::new());
            }
            self.storage.pause(Duration::from_millis(100)).await;
        }
    }
}

/// Whether an error can't be a refusal because of another process's file.
fn is_hopeless(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

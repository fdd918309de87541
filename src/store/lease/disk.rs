//! The storage that a store lies on: a directory.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::protocol::Storage;
use super::worker::Token;

/// A directory, as this process sees it.
pub(super) struct Disk<'a> {
    pub me: &'a Token,
    pub since: Instant,
}

impl Storage for Disk<'_> {
    // Written beside its place and linked there, so that a process which dies in between leaves nothing that others have to wait
    // for. Where files can't have two names, or the name is taken, it is created in place, which fails if it is taken.
    //
    // Not synced: a lease needs to outlive the process that holds it, not the machine. Closing hands it to a file server.
    async fn create(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let beside = path.with_file_name(format!(".{}", self.me.id));
        std::fs::write(&beside, content)?;
        let linked = std::fs::hard_link(&beside, path);
        std::fs::remove_file(&beside)?;
        linked.or_else(|_| File::options().write(true).create_new(true).open(path)?.write_all(content))
    }

    async fn append(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        File::options().append(true).open(path)?.write_all(content)
    }

    async fn read(&self, path: &Path) -> Option<Vec<u8>> {
        std::fs::read(path).ok()
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    async fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        self.since.elapsed()
    }

    fn lives(&self, worker: &Token) -> Option<bool> {
        self.me.knows_alive(worker)
    }
}

/// What `work` comes to, on a storage whose operations block.
pub(super) fn settle<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("operations on a disk return when they are done"),
    }
}

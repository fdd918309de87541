//! How long work tells where it stands, and how it learns that it should stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;

/// Told by a stage what it does; shown as a bar, a line, or not at all.
pub trait Progress: Sync {
    /// Work of `total` units begins (0: not known); `what` says what a unit is: `rows`, `steps`, `bytes`.
    fn start(&self, total: u64, what: &str);
    /// `done` units of it are done so far; `message` says more (`loss 1.234`), or is empty.
    fn advance(&self, done: u64, message: &str);
    /// Something that should be read even after the work is over: a warning, or what came of it.
    fn note(&self, text: &str);
    /// The work is over.
    fn finish(&self);
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn start(&self, _total: u64, _what: &str) {}
    fn advance(&self, _done: u64, _message: &str) {}
    fn note(&self, _text: &str) {}
    fn finish(&self) {}
}

/// An error once `stop` is set (Ctrl-C, SIGTERM, or a sibling stage that failed): called between units of work.
pub fn check(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

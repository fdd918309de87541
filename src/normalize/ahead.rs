//! Reading ahead: raw rows are parsed on a thread of their own while those before them are worked on.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::NormalizeError;
use super::clock::{Clock, timed};
use super::readers::Batches;
use crate::error::IoContext;

/// Batches that wait at most.
const QUEUED: usize = 2;

/// What a thread sends, in order. Where the thread panics, so does whoever takes its items: rows that end too early must
/// not pass for all there are.
pub(super) struct Ahead<T> {
    items: Receiver<T>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Runs `produce`, which reads the file at `path`, on a thread of its own. It should stop where nobody takes what it
    /// sends.
    pub(super) fn new(
        path: &Path,
        produce: impl FnOnce(&SyncSender<T>) + Send + 'static,
    ) -> Result<Self, NormalizeError> {
        let (sender, items) = sync_channel(QUEUED);
        let thread = std::thread::Builder::new().name("read".to_owned()).spawn(move || produce(&sender));
        let thread = thread.at("start a thread to read", path)?;
        Ok(Self { items, thread: Some(thread) })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let item = self.items.recv().ok();
        if item.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            resume_unwind(panic);
        }
        item
    }
}

/// The batches of `batches`, a reader of `path`, in order.
pub(super) fn read_ahead(
    path: &Path,
    mut batches: Batches,
    clock: &Arc<Clock>,
) -> Result<Ahead<<Batches as Iterator>::Item>, NormalizeError> {
    let clock = clock.clone();
    Ahead::new(path, move |sender| {
        while let Some(batch) = timed(&clock.read, || batches.next()) {
            if sender.send(batch).is_err() {
                break;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn items_come_in_order_and_a_panic_is_no_end() {
        let whole = Ahead::new(Path::new("x"), |sender| (0..9).for_each(|item| sender.send(item).unwrap())).unwrap();
        assert!(whole.eq(0..9));
        let broken = Ahead::new(Path::new("x"), |sender| {
            sender.send(1).unwrap();
            panic!("a fault of the reader");
        });
        let mut broken = broken.unwrap();
        assert_eq!(broken.next(), Some(1));
        assert!(catch_unwind(AssertUnwindSafe(|| broken.next())).is_err());
    }
}

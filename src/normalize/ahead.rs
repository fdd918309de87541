//! Reading ahead: raw rows are parsed on a thread of their own while those before them are worked on.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use super::NormalizeError;
use super::clock::{Clock, timed};
use super::readers::Batches;
use crate::error::IoContext;

/// Batches that wait at most.
const QUEUED: usize = 2;

/// The batches of `batches`, a reader of `path`, in order; the thread stops where nobody takes them any more.
pub(super) fn read_ahead(
    path: &Path,
    mut batches: Batches,
    clock: &Arc<Clock>,
) -> Result<Receiver<<Batches as Iterator>::Item>, NormalizeError> {
    let (sender, receiver) = sync_channel(QUEUED);
    let clock = clock.clone();
    let reader = std::thread::Builder::new().name("read".to_owned());
    let spawned = reader.spawn(move || {
        while let Some(batch) = timed(&clock.read, || batches.next()) {
            if sender.send(batch).is_err() {
                break;
            }
        }
    });
    spawned.at("start a thread to read", path)?;
    Ok(receiver)
}

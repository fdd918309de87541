//! Where the time of normalising goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Seconds of work by step, summed over threads, without the time that a thread waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading and parsing raw files.
    pub read: f64,
    /// The SQL step.
    pub sql: f64,
    /// Assembling and checking canonical rows.
    pub contract: f64,
    /// Encoding and writing Parquet.
    pub write: f64,
}

/// Nanoseconds so far, added to by many threads.
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub read: AtomicU64,
    pub sql: AtomicU64,
    pub contract: AtomicU64,
    pub write: AtomicU64,
}

impl Clock {
    /// The seconds so far, to the millisecond.
    pub(super) fn seconds(&self) -> Seconds {
        let seconds = |step: &AtomicU64| (step.load(Ordering::Relaxed) as f64 / 1e6).round() / 1e3;
        Seconds {
            read: seconds(&self.read),
            sql: seconds(&self.sql),
            contract: seconds(&self.contract),
            write: seconds(&self.write),
        }
    }
}

/// Adds `time` to a step.
pub(super) fn add(step: &AtomicU64, time: Duration) {
    step.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Does `work`, and adds its time to a step.
pub(super) fn timed<T>(step: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    add(step, began.elapsed());
    done
}

//! Memory that goes from step to step.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are free: each step takes what the last one gave back, so that nothing is cleared or mapped anew.
#[derive(Debug, Default)]
pub(in crate::model) struct Buffers(Mutex<Vec<Vec<f32>>>);

impl Buffers {
    /// `length` numbers, whichever they are. A buffer of up to twice the length will do: widths differ from batch to batch, and
    /// so what is held stays within a small multiple of what the largest batch needs.
    pub fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |held: &Vec<f32>| (length..=2 * length).contains(&held.capacity());
        let tightest = (0..free.len()).filter(|i| fits(&free[*i])).min_by_key(|i| free[*i].capacity());
        let taken = tightest.map(|index| free.swap_remove(index));
        drop(free);
        let mut values = taken.unwrap_or_else(|| vec![0.0; length]);
        values.resize(length, 0.0);
        Buffer { values, home: Arc::clone(self) }
    }
}

/// Numbers that go back to where they came from.
#[derive(Debug, Default)]
pub(in crate::model) struct Buffer {
    values: Vec<f32>,
    home: Arc<Buffers>,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(values);
    }
}

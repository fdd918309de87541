//! Generators that name what they draw for.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator for one purpose: the same `seed` and `purpose` always give the same draws, and different purposes
/// independent ones. Give an example its own generator (its id in `purpose`) where the order of rows must not matter.
pub(super) fn generator(seed: u64, purpose: &[&str]) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for part in purpose {
        // The length keeps ["ab", "c"] apart from ["a", "bc"].
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

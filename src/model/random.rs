//! Random numbers that depend on names alone.
//!
//! Every draw of a training run comes from a generator made for its purpose and its step: `stream(seed, "dropout", &[step])`.
//! No generator is carried from step to step, so a run that was killed and goes on draws the same numbers, and runs that share
//! a process never touch each other's (the CPU backend's own generator is one global for the whole process).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The generator of `seed` for one `purpose`, told apart by `indices` (a step, an epoch, …).
pub fn stream(seed: u64, purpose: &str, indices: &[u64]) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for index in indices {
        hasher.update(&index.to_le_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A seed for a generator that is not ours, from the first bits of one that is.
pub fn first_u64(mut rng: ChaCha8Rng) -> u64 {
    rng.next_u64()
}

/// A number in [0, 1), of 53 random bits.
pub fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// An index in `0..bound`, without bias (Lemire's multiplication with rejection). `bound` must not be 0.
pub fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    let bound = bound as u64;
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as usize;
        }
    }
}

/// Puts `items` in a random order (Fisher and Yates).
pub fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

/// `count` draws of the normal distribution with mean 0 and standard deviation `deviation` (Box and Muller).
pub fn normal(rng: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt() * deviation;
        let angle = std::f64::consts::TAU * uniform(rng);
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_purpose_and_indices() {
        let first = |seed, purpose: &str, indices: &[u64]| stream(seed, purpose, indices).next_u64();
        assert_eq!(first(1, "a", &[2]), first(1, "a", &[2]));
        let others =
            [first(2, "a", &[2]), first(1, "b", &[2]), first(1, "a", &[3]), first(1, "a", &[]), first(1, "a", &[2, 0])];
        assert!(others.iter().all(|other| *other != first(1, "a", &[2])));
    }

    #[test]
    fn below_is_even_and_shuffle_is_a_permutation() {
        let mut rng = stream(7, "test", &[]);
        let mut counts = [0usize; 6];
        for _ in 0..60_000 {
            counts[below(&mut rng, 6)] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
        let mut items: Vec<usize> = (0..100).collect();
        shuffle(&mut rng, &mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn normal_has_the_asked_spread() {
        let values = normal(&mut stream(3, "test", &[]), 50_001, 0.02);
        assert_eq!(values.len(), 50_001);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 50_001.0;
        let deviation = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 50_001.0).sqrt();
        assert!(mean.abs() < 5e-4 && (deviation - 0.02).abs() < 3e-4, "{mean} {deviation}");
    }
}

//! A quick hash for tables of ids.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from ids to what is known of them.
pub(crate) type IdMap<'a, T> = HashMap<&'a str, T, BuildHasherDefault<IdHasher>>;

/// Folds eight bytes at a time by a multiplication. Whoever writes a file of ids may make them collide, and would wait longer
/// for his scores.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl IdHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0xF39C_C060_5CED_C835) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_right(8));
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn similar_ids_spread_as_with_the_usual_hash() {
        let ids: Vec<String> =
            (0..100_000).flat_map(|i| [format!("q{i}"), format!("finnish--{i}-1"), i.to_string()]).collect();
        fn buckets(builder: &impl BuildHasher, ids: &[String]) -> usize {
            ids.iter().map(|id| builder.hash_one(id.as_str()) & 0xF_FFFF).collect::<HashSet<_>>().len()
        }
        let own = BuildHasherDefault::<IdHasher>::default();
        let (own, usual) = (buckets(&own, &ids), buckets(&RandomState::new(), &ids));
        assert!(own as f64 > 0.99 * usual as f64, "{own} {usual}");
    }
}

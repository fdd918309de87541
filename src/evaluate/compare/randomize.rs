//! Approximate randomisation: the outputs of A and B exchanged by the toss of a coin, example by example.
//!
//! As in a bootstrap, only what examples add matters: of a class of n equal examples, a binomial number of n is
//! exchanged, and classes in which A and B add the same are left alone.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use rayon::prelude::*;

use super::super::bootstrap::Sample;
use super::super::classes::{Block, PLACES, blocks, statistics};
use super::super::metric::Statistics;
use super::super::random::generator;

/// One place of the totals in which A and B differ, for an example of a class.
struct Change {
    /// The place of A's run.
    a: usize,
    /// The place of B's.
    b: usize,
    /// What A adds more than B.
    more: f64,
}

/// The examples of one class whose exchange changes something.
struct Exchange {
    examples: u32,
    changes: Vec<Change>,
}

/// What `of` makes of the totals of each of `trials` random exchanges, by sample and then by run. The first half of the runs
/// of every sample are A's, the second B's, in the same order.
pub(super) fn randomize<T: Send>(
    samples: &[Sample<'_>],
    seed: u64,
    trials: usize,
    of: impl Fn(&[Statistics]) -> T + Sync,
) -> Vec<T> {
    let runs = samples.first().map_or(0, |sample| sample.runs.len());
    let blocks = blocks(samples);
    let mut whole = vec![0.0; PLACES * samples.len() * runs];
    blocks.iter().for_each(|block| block.add_all(&mut whole));
    let prepared: Vec<(ChaCha8Rng, Vec<Exchange>)> = blocks
        .iter()
        .map(|block| {
            let languages = block.languages.iter().map(String::as_str);
            let base = generator(seed, &std::iter::once("randomize").chain(languages).collect::<Vec<_>>());
            (base, exchanges(block, runs))
        })
        .collect();
    let trial = |stream: usize| {
        let mut totals = whole.clone();
        for (base, exchanges) in &prepared {
            let mut random = base.clone();
            random.set_stream(stream as u64);
            for exchange in exchanges {
                let count = heads(exchange.examples, &mut random);
                for change in &exchange.changes {
                    totals[change.a] -= count * change.more;
                    totals[change.b] += count * change.more;
                }
            }
        }
        of(&statistics(&totals))
    };
    (0..trials).into_par_iter().map(trial).collect()
}

fn exchanges(block: &Block, runs: usize) -> Vec<Exchange> {
    let half = PLACES * runs / 2;
    // A's place, its column and that of B's place; a place that only one of them adds to has one column.
    let mut pairs: BTreeMap<usize, [Option<usize>; 2]> = BTreeMap::new();
    for (column, &place) in block.places.iter().enumerate() {
        let of_a = place % (PLACES * runs) < half;
        let pair = pairs.entry(if of_a { place } else { place - half }).or_default();
        pair[usize::from(!of_a)] = Some(column);
    }
    let of_class = |class: usize| {
        let row = block.row(class);
        let value = |column: Option<usize>| column.map_or(0.0, |column| row[column]);
        let change = |(a, [of_a, of_b]): (&usize, &[Option<usize>; 2])| Change {
            a: *a,
            b: a + half,
            more: value(*of_a) - value(*of_b),
        };
        let changes: Vec<Change> = pairs.iter().map(change).filter(|change| change.more != 0.0).collect();
        Exchange { examples: block.counts[class], changes }
    };
    let all = (0..block.counts.len()).map(of_class);
    all.filter(|exchange| !exchange.changes.is_empty()).collect()
}

/// How many of `coins` fall heads up.
fn heads(coins: u32, random: &mut ChaCha8Rng) -> f64 {
    if coins <= u64::BITS {
        return f64::from((random.next_u64() >> (u64::BITS - coins)).count_ones());
    }
    let binomial = Binomial::new(u64::from(coins), 0.5).expect("one half is a probability");
    binomial.sample(random) as f64
}

//! Approximate randomisation: the outputs of A and B exchanged by the toss of a coin, example by example.
//!
//! As in a bootstrap, only what examples add matters: of a class of n equal examples, a binomial number of n is
//! exchanged, and classes in which A and B add the same are left alone. What the exchanges of a batch of trials come to is one
//! product of matrices: trials by classes times classes by places. (Its last bits may differ between processors; a p-value
//! counts trials, and takes differences of rounding for none.)

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use rayon::prelude::*;

use super::super::bootstrap::Sample;
use super::super::classes::{Block, PLACES, blocks, statistics};
use super::super::metric::Statistics;
use super::super::random::generator;

/// Trials that are computed together.
const BATCH: usize = 16;

/// The classes of a block whose exchange changes something.
struct Exchanges {
    base: ChaCha8Rng,
    /// Examples in each class, in descending order.
    examples: Vec<u32>,
    /// The places of A's runs that change, in the totals; B's are [`Exchanges::half`] further.
    places: Vec<usize>,
    /// From A's place to B's.
    half: usize,
    /// What an example of each class adds more in A than in B, place by place: one row a class.
    more: Vec<f64>,
}

/// What `of` makes of the totals of each of `trials` random exchanges, by sample and then by run. The first half of the runs
/// of every sample are A's, the second B's, in the same order. Of a `parallel` task items are exchanged, in all languages at once.
pub(super) fn randomize<T: Send>(
    samples: &[Sample<'_>],
    parallel: bool,
    seed: u64,
    trials: usize,
    of: impl Fn(&[Statistics]) -> T + Sync,
) -> Vec<T> {
    let runs = samples.first().map_or(0, |sample| sample.runs.len());
    let blocks = blocks(samples, parallel);
    let mut whole = vec![0.0; PLACES * samples.len() * runs];
    blocks.iter().for_each(|block| block.add_all(&mut whole));
    let exchanges: Vec<Exchanges> = blocks.iter().map(|block| Exchanges::new(block, runs, seed)).collect();
    let batch = |first: usize| -> Vec<T> {
        let streams = first..(first + BATCH).min(trials);
        let mut totals = vec![whole.clone(); streams.len()];
        exchanges.iter().for_each(|block| block.exchange(streams.clone(), &mut totals));
        totals.iter().map(|totals| of(&statistics(totals))).collect()
    };
    let batches: Vec<usize> = (0..trials).step_by(BATCH).collect();
    batches.into_par_iter().flat_map_iter(batch).collect()
}

impl Exchanges {
    fn new(block: &Block, runs: usize, seed: u64) -> Self {
        let half = PLACES * runs / 2;
        // The columns of A's and of B's place; a place that only one of them adds to has one column.
        let mut columns: BTreeMap<usize, [Option<usize>; 2]> = BTreeMap::new();
        for (column, &place) in block.places.iter().enumerate() {
            let of_a = place % (PLACES * runs) < half;
            let pair = columns.entry(if of_a { place } else { place - half }).or_default();
            pair[usize::from(!of_a)] = Some(column);
        }
        let classes = 0..block.counts.len();
        let more = |class: usize, [of_a, of_b]: &[Option<usize>; 2]| {
            let value = |column: &Option<usize>| column.map_or(0.0, |column| block.row(class)[column]);
            value(of_a) - value(of_b)
        };
        columns.retain(|_, pair| classes.clone().any(|class| more(class, pair) != 0.0));
        let row = |class: usize| -> Vec<f64> { columns.values().map(|pair| more(class, pair)).collect() };
        let rows = classes.map(|class| (block.counts[class], row(class)));
        let (examples, more): (Vec<u32>, Vec<Vec<f64>>) =
            rows.filter(|(_, row)| row.iter().any(|more| *more != 0.0)).unzip();
        let languages = block.languages.iter().map(String::as_str);
        Self {
            base: generator(seed, &std::iter::once("randomize").chain(languages).collect::<Vec<_>>()),
            examples,
            places: columns.into_keys().collect(),
            half,
            more: more.concat(),
        }
    }

    /// Exchanges examples in the totals of some trials, each by the stream of its number.
    fn exchange(&self, streams: std::ops::Range<usize>, totals: &mut [Vec<f64>]) {
        let mut counts = Vec::with_capacity(streams.len() * self.examples.len());
        for stream in streams {
            let mut random = self.base.clone();
            random.set_stream(stream as u64);
            self.toss(&mut random, &mut counts);
        }
        let sums = product(&counts, &self.more, self.examples.len(), self.places.len());
        for (totals, sums) in totals.iter_mut().zip(sums.chunks_exact(self.places.len().max(1))) {
            for (place, sum) in self.places.iter().zip(sums) {
                totals[*place] -= sum;
                totals[place + self.half] += sum;
            }
        }
    }

    /// Appends how many examples of each class are exchanged: as many as fall heads up of so many coins.
    fn toss(&self, random: &mut ChaCha8Rng, counts: &mut Vec<f64>) {
        let several = self.examples.partition_point(|examples| *examples > 1);
        for &coins in &self.examples[..several] {
            counts.push(if coins <= u64::BITS {
                f64::from((random.next_u64() >> (u64::BITS - coins)).count_ones())
            } else {
                let binomial = Binomial::new(u64::from(coins), 0.5).expect("one half is a probability");
                binomial.sample(random) as f64
            });
        }
        // Of single examples, one bit each.
        for coins in self.examples[several..].chunks(u64::BITS as usize) {
            let bits = random.next_u64();
            counts.extend((0..coins.len()).map(|coin| ((bits >> coin) & 1) as f64));
        }
    }
}

/// `left · right`, whose rows lie one after another: `inner` columns on the left, `columns` on the right.
fn product(left: &[f64], right: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    if inner == 0 || columns == 0 {
        return Vec::new();
    }
    let rows = left.len() / inner;
    let mut out = vec![0.0; rows * columns];
    assert!(left.len() == rows * inner && right.len() == inner * columns);
    // SAFETY: the three matrices lie within their slices, as just checked, and `out` is borrowed by nobody else.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            false,
            left.as_ptr(),
            1,
            inner as isize,
            right.as_ptr(),
            1,
            columns as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_that_of_matrices() {
        let left: Vec<f64> = (0..6).map(f64::from).collect();
        let right: Vec<f64> = (0..12).map(|value| f64::from(value) - 3.0).collect();
        let expected: Vec<f64> = (0..2)
            .flat_map(|row| (0..4).map(move |column| (row, column)))
            .map(|(row, column)| (0..3).map(|k| left[row * 3 + k] * right[k * 4 + column]).sum())
            .collect();
        assert_eq!(product(&left, &right, 3, 4), expected);
        assert!(product(&[], &[], 0, 3).is_empty());
    }
}

//! The best that each of some rows has met so far.

use std::cmp::Ordering;

/// Something met: its score and its row on the other side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Met {
    pub score: f32,
    pub row: u32,
}

impl Met {
    /// The higher score is better, among equals the lower row: a total order, so that what is kept does not depend on the
    /// order in which things are met.
    fn before(self, other: Self) -> bool {
        match self.score.total_cmp(&other.score) {
            Ordering::Equal => self.row < other.row,
            order => order == Ordering::Greater,
        }
    }
}

/// For each of some rows the best `keep` that it has met, best first.
#[derive(Debug)]
pub(super) struct Lists {
    keep: usize,
    /// The score that a row's last one has: less is no use. Infinitely low until the list is full.
    floors: Vec<f32>,
    met: Vec<Met>,
}

/// Stands for nothing met.
const NOTHING: Met = Met { score: f32::NEG_INFINITY, row: u32::MAX };

impl Lists {
    /// For `rows` rows; with nothing to `keep`, nothing is of use to them.
    pub fn new(rows: usize, keep: usize) -> Self {
        let floor = if keep == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { keep, floors: vec![floor; rows], met: vec![NOTHING; rows * keep] }
    }

    /// How many a row keeps.
    pub fn keep(&self) -> usize {
        self.keep
    }

    /// For each row the score from which something may still enter its list.
    pub fn floors(&self) -> &[f32] {
        &self.floors
    }

    /// Lets `row` meet something.
    pub fn offer(&mut self, row: usize, met: Met) {
        // Of the two zeros, which the order tells apart, both become the positive one.
        let met = Met { score: met.score + 0.0, ..met };
        let list = &mut self.met[row * self.keep..][..self.keep];
        let Some(last) = list.last() else { return };
        if !met.before(*last) {
            return;
        }
        let place = list.partition_point(|kept| kept.before(met));
        list[place..].rotate_right(1);
        list[place] = met;
        self.floors[row] = list[self.keep - 1].score;
    }

    /// What `row` has met.
    pub fn of(&self, row: usize) -> impl Iterator<Item = Met> + '_ {
        self.met[row * self.keep..][..self.keep].iter().copied().take_while(|met| met.row != u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_stay_whatever_the_order(
            scores in proptest::collection::vec(0u8..6, 1..40),
            keep in 1usize..6,
            shift in 0usize..40,
        ) {
            let mut all: Vec<Met> =
                scores.iter().enumerate().map(|(row, &score)| Met { score: f32::from(score), row: row as u32 }).collect();
            let mut lists = Lists::new(2, keep);
            let shift = shift % all.len();
            all.iter().cycle().skip(shift).take(all.len()).for_each(|met| lists.offer(1, *met));
            all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
            all.truncate(keep);
            prop_assert_eq!(lists.of(1).collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(lists.of(0).count(), 0);
            let full = all.len() == keep;
            prop_assert_eq!(lists.floors()[1], if full { all[keep - 1].score } else { f32::NEG_INFINITY });
        }
    }

    #[test]
    fn both_zeros_are_equal() {
        let mut lists = Lists::new(1, 1);
        for (row, score) in [(0, -0.0), (1, 0.0)] {
            lists.offer(0, Met { score, row });
        }
        assert_eq!(lists.of(0).map(|met| met.row).collect::<Vec<_>>(), [0]);
    }
}

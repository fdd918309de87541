//! Cutting a batch into micro-batches that fit a budget of padded tokens.
//!
//! The gradients of the micro-batches, each weighted by its share of the batch's units, sum to the gradient of the whole
//! batch's mean loss: a cut changes memory and rounding, nothing else. (Accumulation is another thing: it averages the means
//! of several batches, so that a word of a short batch weighs more than one of a long batch, as jiant has it.)

use std::ops::Range;

use super::step::{Batch, BatchTargets};
use crate::model::TokenBatch;

/// A part of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct MicroBatch {
    /// Its rows and targets.
    pub batch: Batch,
    /// The share of the whole batch's units (see [`BatchTargets::units`]) that it holds, in (0, 1].
    pub share: f64,
}

/// Cuts `batch` so that no part has more than `budget` padded tokens, save parts of one instance, which can't be cut. The
/// instances with the longest rows come first; parts have equal numbers of instances where that needs no more parts, so that
/// few shapes occur. `pad` fills rows.
///
/// Rows are padded anew in each part, except for spans: their loss reads the logits of padding, so every part keeps the
/// batch's width. Parts without units (text of which no token is masked) are left out.
pub fn cut(batch: Batch, budget: Option<usize>, pad: u32) -> Vec<MicroBatch> {
    let Some(budget) = budget.filter(|budget| batch.tokens.ids.len() > *budget) else {
        return vec![MicroBatch { batch, share: 1.0 }];
    };
    let each = batch.targets.rows_each();
    let full = batch.tokens.width;
    let keeps_width = matches!(batch.targets, BatchTargets::Spans { .. });
    let longest = |instance: usize| batch.tokens.lengths[instance * each..][..each].iter().max().copied().unwrap_or(0);
    let mut order: Vec<usize> = (0..batch.tokens.rows / each).collect();
    order.sort_by_key(|instance| std::cmp::Reverse(longest(*instance)));
    let widths: Vec<usize> = order
        .iter()
        .map(|instance| {
            if keeps_width { full } else { longest(*instance).max(1).next_multiple_of(batch.tokens.multiple).min(full) }
        })
        .collect();
    let units = batch.targets.units() as f64;
    groups(&widths, each, budget)
        .into_iter()
        .map(|group| part(&batch, &order[group.clone()], each, widths[group.start], pad))
        .filter(|part| part.targets.units() > 0)
        .map(|batch| MicroBatch { share: batch.targets.units() as f64 / units, batch })
        .collect()
}

/// Divides instances, the widest first, into the fewest groups within `budget`. `each`: rows an instance.
fn groups(widths: &[usize], each: usize, budget: usize) -> Vec<Range<usize>> {
    let most = |width: usize| (budget / (width * each)).max(1);
    let divide = |count: &dyn Fn(usize) -> usize| {
        let mut groups = Vec::new();
        let mut start = 0;
        while start < widths.len() {
            let end = (start + count(start)).min(widths.len());
            groups.push(start..end);
            start = end;
        }
        groups
    };
    let greedy = divide(&|start| most(widths[start]));
    let equal = widths.len().div_ceil(greedy.len().max(1));
    let fits =
        (0..widths.len()).step_by(equal.max(1)).all(|start| equal.min(widths.len() - start) <= most(widths[start]));
    if fits { divide(&|_| equal) } else { greedy }
}

/// The given instances of `batch`, padded to `width`.
fn part(batch: &Batch, instances: &[usize], each: usize, width: usize, pad: u32) -> Batch {
    let whole = &batch.tokens;
    let rows: Vec<usize> = instances.iter().flat_map(|instance| instance * each..(instance + 1) * each).collect();
    let cells = |values: &[i32], filler: i32| -> Vec<i32> {
        let mut cells = vec![filler; rows.len() * width];
        for (target, row) in cells.chunks_exact_mut(width).zip(&rows) {
            let length = whole.lengths[*row];
            target[..length].copy_from_slice(&values[row * whole.width..][..length]);
        }
        cells
    };
    let tokens = TokenBatch {
        rows: rows.len(),
        width,
        multiple: whole.multiple,
        scored: whole.scored.min(width),
        ids: cells(&whole.ids, pad as i32),
        type_ids: if whole.type_ids.is_empty() { Vec::new() } else { cells(&whole.type_ids, 0) },
        lengths: rows.iter().map(|row| whole.lengths[*row]).collect(),
    };
    let pick = |list: &[i32]| instances.iter().map(|instance| list[*instance]).collect::<Vec<_>>();
    let targets = match &batch.targets {
        BatchTargets::Classes(classes) => BatchTargets::Classes(pick(classes)),
        BatchTargets::Choices { choices, labels } => BatchTargets::Choices { choices: *choices, labels: pick(labels) },
        BatchTargets::Spans { starts, ends, contexts } => BatchTargets::Spans {
            starts: pick(starts),
            ends: pick(ends),
            contexts: instances.iter().map(|instance| contexts[*instance]).collect(),
        },
        BatchTargets::Places { places, classes } => {
            let mut found = vec![Vec::new(); whole.rows];
            for (place, class) in places.iter().zip(classes) {
                found[*place as usize / whole.width].push((*place as usize % whole.width, *class));
            }
            let (mut places, mut classes) = (Vec::new(), Vec::new());
            for (number, row) in rows.iter().enumerate() {
                for (column, class) in &found[*row] {
                    places.push(tokens.flat(number, *column) as i32);
                    classes.push(*class);
                }
            }
            BatchTargets::Places { places, classes }
        }
    };
    Batch { tokens, targets }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::model::config::tests::tiny;
    use crate::model::weights::{initialize, values};
    use crate::model::{Architecture, Dropout, HeadKind, HeadSpec, Model};
    use crate::train::backward::{Keep, backward};
    use crate::train::optimizer::Gradients;

    const KINDS: [HeadKind; 5] = [
        HeadKind::SequenceClassification,
        HeadKind::MultipleChoice,
        HeadKind::Span,
        HeadKind::TokenClassification,
        HeadKind::MaskedLm,
    ];

    /// A batch of rows of these lengths, whose targets are made from the lengths.
    fn batch(kind: HeadKind, lengths: &[usize], types: bool) -> Batch {
        let rows: Vec<(Vec<u32>, Vec<u32>)> = lengths
            .iter()
            .enumerate()
            .map(|(row, length)| {
                let ids = (0..*length).map(|place| 5 + ((row * 31 + place * 7) % 50) as u32).collect();
                (ids, if types { (0..*length as u32).map(|place| place % 2).collect() } else { Vec::new() })
            })
            .collect();
        let tokens = TokenBatch::new(rows.iter().map(|(ids, types)| (&ids[..], &types[..])), 1, 8, 38);
        let label = |row: usize| (lengths[row] * 5 + row) as i32 % 3;
        let all = 0..lengths.len();
        let targets = match kind {
            HeadKind::SequenceClassification => BatchTargets::Classes(all.map(label).collect()),
            HeadKind::MultipleChoice => {
                BatchTargets::Choices { choices: 3, labels: (0..lengths.len() / 3).map(|i| label(3 * i)).collect() }
            }
            HeadKind::Span => BatchTargets::Spans {
                starts: lengths.iter().map(|length| (length / 2) as i32).collect(),
                ends: lengths.iter().map(|length| (length - 1) as i32).collect(),
                contexts: lengths.iter().map(|length| (1, *length)).collect(),
            },
            // Some rows have no place at all.
            HeadKind::TokenClassification | HeadKind::MaskedLm => {
                let places: Vec<usize> = all
                    .flat_map(|row| {
                        (0..lengths[row]).filter(move |place| (row + place) % 5 == 1).map(move |p| (row, p))
                    })
                    .map(|(row, place)| tokens.flat(row, place))
                    .collect();
                let classes = places.iter().map(|place| (*place % 3) as i32).collect();
                BatchTargets::Places { places: places.into_iter().map(|place| place as i32).collect(), classes }
            }
        };
        Batch { tokens, targets }
    }

    fn model(kind: HeadKind, architecture: Architecture) -> Model {
        let labelled = matches!(kind, HeadKind::SequenceClassification | HeadKind::TokenClassification);
        let labels = if labelled { ["a", "b", "c"].map(String::from).to_vec() } else { Vec::new() };
        let spec = HeadSpec::new("t", kind, labels);
        initialize(&tiny(architecture), &[spec], 3, &Device::flex()).tracked()
    }

    fn gradients(model: &mut Model, parts: &[MicroBatch]) -> (f64, Vec<(String, Vec<f32>)>) {
        let mut sum: Option<Gradients> = None;
        let mut total = 0.0;
        for part in parts {
            let (loss, found) = backward(model, 0, &part.batch, part.share, Keep::Everything, &mut Dropout::off());
            total += f64::from(values(loss).unwrap()[0]);
            match &mut sum {
                Some(sum) => sum.add(found),
                None => sum = Some(found),
            }
        }
        let named = sum.unwrap().named(model).into_iter();
        (total, named.map(|(name, tensor)| (name, tensor.map_or_else(Vec::new, |t| values(t).unwrap()))).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn any_cut_gives_the_gradient_of_the_whole(
            kind in proptest::sample::select(&KINDS[..]),
            bert: bool,
            mut lengths in proptest::collection::vec(2usize..38, 3..12),
            budget in 1usize..300,
        ) {
            if kind == HeadKind::MultipleChoice {
                lengths.truncate(lengths.len() / 3 * 3);
            }
            let architecture = if bert { Architecture::Bert } else { Architecture::XlmRoberta };
            let whole = batch(kind, &lengths, bert);
            prop_assume!(whole.targets.units() > 0);
            let mut model = model(kind, architecture);
            let (loss, expected) = gradients(&mut model, &cut(whole.clone(), None, 1));
            let parts = cut(whole.clone(), Some(budget), 1);
            for part in &parts {
                let tokens = &part.batch.tokens;
                prop_assert!(tokens.ids.len() <= budget || tokens.rows == part.batch.targets.rows_each());
                prop_assert!(tokens.width <= whole.tokens.width);
            }
            prop_assert!((parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-12);
            let (cut_loss, found) = gradients(&mut model, &parts);
            prop_assert!((loss - cut_loss).abs() < 1e-5 * loss.abs().max(1.0), "{loss} {cut_loss}");
            for ((name, expected), (_, found)) in expected.iter().zip(&found) {
                prop_assert_eq!(expected.len(), found.len(), "{}", name);
                let largest = expected.iter().fold(1e-2f32, |largest, value| largest.max(value.abs()));
                let off = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                prop_assert!(off < 2e-5 * largest, "{kind:?} {name}: {off} of {largest}");
            }
        }
    }

    #[test]
    fn parts_are_few_and_alike() {
        // 10 rows of 32: 3 fit; 4 parts needed; 3, 3, 3, 1 rows.
        assert_eq!(groups(&[32; 10], 1, 100), [0..3, 3..6, 6..9, 9..10]);
        // 10 rows of which 9 fit: two equal parts.
        assert_eq!(groups(&[32; 10], 1, 300), [0..5, 5..10]);
        // One long row among short ones: equal parts would not fit.
        assert_eq!(groups(&[96, 8, 8, 8, 8, 8], 1, 100), [0..1, 1..6]);
        // Three rows an instance; one instance exceeds the budget and stands alone.
        assert_eq!(groups(&[16, 8, 8], 3, 40), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn rows_without_places_are_left_out() {
        let mut whole = batch(HeadKind::MaskedLm, &[30, 20, 10], false);
        whole.targets = BatchTargets::Places { places: vec![3, 32 + 4], classes: vec![7, 8] };
        let parts = cut(whole, Some(32), 1);
        let targets: Vec<&BatchTargets> = parts.iter().map(|part| &part.batch.targets).collect();
        let place = |place, class| BatchTargets::Places { places: vec![place], classes: vec![class] };
        assert_eq!(targets, [&place(3, 7), &place(4, 8)]);
        assert_eq!((parts[0].share, parts[1].batch.tokens.width), (0.5, 24));
    }
}

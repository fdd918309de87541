use std::collections::BTreeMap;

use super::*;
use crate::study::{RawOrigin, plan};
use crate::task::{Edition, Registry, Study};

struct House {
    registry: Registry,
    study: Study,
    model: Model,
}

impl House {
    fn new(study: &str) -> Self {
        let registry = Registry::load(&[]).unwrap();
        let study = registry.study(study, "test").unwrap().clone();
        let model = registry.model(&study.model, "test").unwrap().clone();
        Self { registry, study, model }
    }

    fn graph(&self) -> Graph {
        let origin = if self.study.edition == Edition::Mini { RawOrigin::Mini } else { RawOrigin::Hub };
        plan(&self.registry, &self.study, &self.model, origin).unwrap()
    }

    fn known(&self) -> Known<'_> {
        let mini = (self.study.edition == Edition::Mini)
            .then(|| toml::Value::Table(self.study.mini.clone()).try_into().unwrap());
        let encoder = self.model.sizes.map(|sizes| (sizes, Basis::Published));
        Known { registry: &self.registry, study: &self.study, model: &self.model, mini, encoder }
    }

    /// The cost of each stage by label, where some are `done`.
    fn costs(&self, done: &BTreeMap<&str, Done>, speed: Option<f64>) -> (BTreeMap<String, Cost>, Option<Speed>) {
        let graph = self.graph();
        let held: Vec<Option<Done>> =
            graph.nodes.iter().map(|node| done.get(node.label.to_string().as_str()).cloned()).collect();
        let Outlook { costs, speed } = outlook(&self.known(), &graph, &held, speed);
        (graph.nodes.iter().map(|node| node.label.to_string()).zip(costs).collect(), speed)
    }
}

fn value(number: Option<Estimate>) -> f64 {
    number.unwrap().value
}

#[test]
fn the_study_costs_what_its_published_counts_say() {
    let (costs, speed) = House::new("intermediate").costs(&BTreeMap::new(), None);
    let mnli = costs["normalize/mnli"].examples.unwrap();
    assert_eq!(mnli, Estimate::new(392_702.0 + 9_815.0, Basis::Published));
    // Fifteen languages of 5,010 pairs.
    assert_eq!(value(costs["normalize/xnli"].examples), 15.0 * 5_010.0);
    // 31.6 words of 1.4 tokens and four special ones; the words are declared.
    let tokens = costs["tokenize/mnli"].tokens.unwrap();
    assert!((tokens.value / (402_517.0 * 48.24) - 1.0).abs() < 1e-9 && tokens.basis == Basis::Declared, "{tokens:?}");
    let training = costs["intermediate/mnli/seed-1"];
    assert_eq!(value(training.examples), 24_544.0 * 32.0);
    // Weights of 560 million numbers.
    assert_eq!(value(training.bytes), 559_890_432.0 * 4.0);
    // Some 6.9e16 operations: an hour at 20 TFLOP/s.
    assert!((6e16..8e16).contains(&value(training.flops)), "{training:?}");
    assert_eq!((training.seconds, speed), (None, None));
    // Something is known of every stage, and what has no encoder has no operations.
    assert!(costs.values().all(|cost| cost.flops.is_some() && cost.tokens.is_some()));
    assert_eq!(costs["score/xnli/none/seed-1"].flops, Some(Estimate::ZERO));
}

#[test]
fn seconds_are_operations_by_the_speed_that_is_given() {
    let house = House::new("intermediate");
    let (slow, _) = house.costs(&BTreeMap::new(), Some(1e13));
    let (fast, speed) = house.costs(&BTreeMap::new(), Some(1e14));
    assert_eq!(speed, Some(Speed { flops: 1e14, source: SpeedSource::Given }));
    for (label, cost) in &slow {
        match (cost.seconds, fast[label].seconds) {
            (Some(slow), Some(fast)) => {
                assert!((slow.value / fast.value - 10.0).abs() < 1e-6, "{label}");
                assert!((slow.value * 1e13 / value(cost.flops) - 1.0).abs() < 1e-9 && slow.basis >= Basis::Scaled);
            }
            (None, None) => assert_eq!(cost.flops, Some(Estimate::ZERO), "{label}"),
            other => panic!("{label}: {other:?}"),
        }
    }
}

#[test]
fn a_training_that_is_done_tells_how_long_the_others_take() {
    let house = House::new("intermediate");
    let label = "intermediate/mnli/seed-1";
    let (before, _) = house.costs(&BTreeMap::new(), None);
    let done = Done { bytes: 7, seconds: 3_600.0, steps: Some(24_544), ..Done::default() };
    let (costs, speed) = house.costs(&BTreeMap::from([(label, done)]), None);
    let measured = value(before[label].flops) / 3_600.0;
    let speed = speed.unwrap();
    assert_eq!(speed.source, SpeedSource::Measured { trainings: 1 });
    assert!((speed.flops / measured - 1.0).abs() < 1e-9);
    assert_eq!(costs[label].seconds, Some(Estimate::new(3_600.0, Basis::Measured)));
    assert_eq!(costs[label].bytes, Some(Estimate::new(7.0, Basis::Measured)));
    // The same training with another seed takes as long.
    let other = costs["intermediate/mnli/seed-2"].seconds.unwrap();
    assert!((other.value / 3_600.0 - 1.0).abs() < 1e-9 && !other.basis.is_exact(), "{other:?}");
    // One that stopped after half the steps did half the operations.
    let half = Done { seconds: 3_600.0, steps: Some(12_272), ..Done::default() };
    let (_, slower) = house.costs(&BTreeMap::from([(label, half)]), None);
    assert!((slower.unwrap().flops / measured - 0.5).abs() < 0.01);
}

#[test]
fn rows_that_were_counted_replace_those_that_were_published() {
    let house = House::new("intermediate");
    let rows = [(Split::Train, 1_000), (Split::Validation, 100)];
    let rows = rows.map(|(split, rows)| ((split, "en".to_owned()), rows)).into_iter().collect();
    let done = Done { seconds: 2.0, rows, ..Done::default() };
    let tokens = [(Split::Train, (1_000, 50_000)), (Split::Validation, (100, 5_000))];
    let tokens = tokens.map(|(split, counts)| ((split, "en".to_owned()), counts)).into_iter().collect();
    let tokenized = Done { seconds: 1.0, tokens, ..Done::default() };
    let (costs, _) = house.costs(&BTreeMap::from([("normalize/mnli", done), ("tokenize/mnli", tokenized)]), None);
    assert_eq!(costs["normalize/mnli"].examples, Some(Estimate::new(1_100.0, Basis::Measured)));
    assert_eq!(costs["tokenize/mnli"].tokens, Some(Estimate::new(55_000.0, Basis::Measured)));
    // Two epochs of 32 steps of 32.
    assert_eq!(costs["intermediate/mnli/seed-1"].examples, Some(Estimate::new(64.0 * 32.0, Basis::Measured)));
    // Others of the same kind take as long a row.
    let snli = costs["normalize/snli"];
    assert_eq!(value(snli.seconds), value(snli.examples) * 2.0 / 1_100.0);
}

#[test]
fn limits_lower_a_count_and_stand_for_one_that_nobody_knows() {
    let mut house = House::new("intermediate-mlm");
    let (costs, _) = house.costs(&BTreeMap::new(), None);
    let text = costs["normalize/text"].examples.unwrap();
    assert_eq!(text, Estimate::new(40.0 * 10_000.0, Basis::Limited));
    house.study.limits.insert(Split::Train, 500);
    let (costs, _) = house.costs(&BTreeMap::new(), None);
    assert_eq!(value(costs["normalize/text"].examples), 40.0 * 500.0);
    assert_eq!(value(costs["normalize/mnli"].examples), 500.0 + 9_815.0);
    house.study.task_limits.clear();
    house.study.limits.clear();
    let (costs, _) = house.costs(&BTreeMap::new(), None);
    assert_eq!((costs["normalize/text"].examples, costs["normalize/text"].bytes), (None, None));
}

#[test]
fn the_mini_edition_is_counted_before_it_is_written() {
    let mut house = House::new("mini");
    house.study.mini.insert("size".to_owned(), toml::Value::Float(2.0));
    let (costs, _) = house.costs(&BTreeMap::new(), None);
    // Twice 400 pairs in each of the languages that XNLI and the mini edition share.
    let xnli = costs["normalize/xnli"].examples.unwrap();
    assert_eq!((xnli.basis, xnli.value % 800.0), (Basis::Generated, 0.0));
    assert_eq!(costs["normalize/squad_v1"].examples.unwrap().basis, Basis::Declared);
    // No sizes of an encoder, no operations.
    assert_eq!(costs["pretrain"].flops, None);
}

//! From operations and rows to seconds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Cost;
use super::number::{Basis, Estimate};
use crate::study::graph::Node;
use crate::study::stage::{StageName, Work};

/// How fast a device trains and predicts: operations as [`Cost`] counts them, by the clock, so that padding, the optimizer and waiting
/// for memory are in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speed {
    /// Floating-point operations a second.
    pub flops: f64,
    /// Who says so.
    #[serde(flatten)]
    pub source: SpeedSource,
}

/// Where a speed is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "source")]
pub enum SpeedSource {
    /// The command line.
    Given,
    /// The trainings of this study that are done.
    Measured {
        /// How many.
        trainings: usize,
    },
}

/// What seconds are reckoned by.
pub(super) struct Rates {
    speed: Option<Speed>,
    /// Of each kind of stage without an encoder: seconds, rows and number of those that are done.
    stages: BTreeMap<StageName, (f64, f64, usize)>,
}

/// Whether a stage computes on the device.
fn on_device(work: &Work) -> bool {
    matches!(work, Work::Train(_) | Work::Predict(_) | Work::Embed(_) | Work::Retrieve(_))
}

impl Rates {
    /// Those of the stages whose seconds are known: they are done.
    pub(super) fn of<'a>(stages: impl Iterator<Item = (&'a Node, &'a Cost)>, given: Option<f64>) -> Self {
        let (mut flops, mut busy, mut trainings) = (0.0, 0.0, 0);
        let mut others: BTreeMap<StageName, (f64, f64, usize)> = BTreeMap::new();
        for (node, cost) in stages {
            let Some(seconds) = cost.seconds.map(|seconds| seconds.value) else { continue };
            match (&node.work, cost.flops) {
                (Work::Train(_), Some(counted)) => {
                    flops += counted.value;
                    busy += seconds;
                    trainings += 1;
                }
                (work, _) if on_device(work) => {}
                (work, _) => {
                    let rate = others.entry(work.stage()).or_default();
                    rate.0 += seconds;
                    rate.1 += cost.examples.map_or(0.0, |examples| examples.value);
                    rate.2 += 1;
                }
            }
        }
        let measured = || {
            (flops > 0.0 && busy > 0.0)
                .then(|| Speed { flops: flops / busy, source: SpeedSource::Measured { trainings } })
        };
        let given = given.map(|flops| Speed { flops, source: SpeedSource::Given });
        Self { speed: given.or_else(measured), stages: others }
    }

    pub(super) fn speed(&self) -> Option<Speed> {
        self.speed
    }

    /// The seconds of a stage of this `cost`; none where no device's speed and no stage of its kind are known.
    pub(super) fn seconds(&self, work: &Work, cost: &Cost) -> Option<Estimate> {
        if on_device(work) {
            let speed = self.speed?.flops;
            return Some(cost.flops?.map(|flops| flops / speed).resting_on(Basis::Scaled));
        }
        let (seconds, rows, stages) = *self.stages.get(&work.stage())?;
        if rows > 0.0 {
            return Some(cost.examples?.map(|examples| examples * seconds / rows).resting_on(Basis::Scaled));
        }
        Some(Estimate::new(seconds / stages as f64, Basis::Scaled))
    }
}

//! The scale of the loss in 16-bit trainings.
//!
//! Gradients below 6e-8 vanish in 16 bits, so the loss is multiplied by a large number before the backward pass and the
//! gradients are divided by it after. The number is found as PyTorch's `GradScaler` finds it (`init_scale` 65,536,
//! `growth_factor` 2, `backoff_factor` 0.5, `growth_interval` 2,000): a step whose gradients are not finite is skipped and
//! halves it, and 2,000 steps in a row without that double it. Unlike there it does not fall below 1: what is not finite even
//! then is no matter of precision.

use serde::{Deserialize, Serialize};

const START: f32 = 65_536.0;
const LOWEST: f32 = 1.0;
/// The largest power of two below the largest f32: the scale itself stays a number.
const HIGHEST: f32 = 1.7e38;
const GROWTH_INTERVAL: u32 = 2_000;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The gradients are numbers: the parameters move.
    Step,
    /// They are not: the step is skipped and the scale halved. The learning-rate schedule goes on; parameters, moments and
    /// their counters stay.
    Skip,
    /// They are not, although the scale is as low as it goes: the training has failed.
    Fail,
}

/// The scale and what it has been through; part of a checkpoint. Always a power of two, so that scaling loses no digit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    scale: f32,
    good_steps: u32,
    skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: START, good_steps: 0, skipped: 0 }
    }
}

impl LossScale {
    /// What the loss is multiplied by, at least 1.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Steps skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes note of whether the gradients of a step (or their norm) were `finite`, and says what becomes of it.
    pub fn update(&mut self, finite: bool) -> Verdict {
        if finite {
            self.good_steps += 1;
            if self.good_steps == GROWTH_INTERVAL {
                self.good_steps = 0;
                if self.scale * 2.0 < HIGHEST {
                    self.scale *= 2.0;
                }
            }
            return Verdict::Step;
        }
        if self.scale <= LOWEST {
            return Verdict::Fail;
        }
        self.scale *= 0.5;
        self.good_steps = 0;
        self.skipped += 1;
        Verdict::Skip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch 2.15's `GradScaler` over steps of which some are not finite: scale after each of these counts of good steps
    /// with one bad step after each count.
    #[test]
    fn the_scale_moves_as_in_pytorch() {
        let mut scale = LossScale::default();
        let mut found = Vec::new();
        for good in [3, 0, 1_999, 2_000, 4_001] {
            for _ in 0..good {
                assert_eq!(scale.update(true), Verdict::Step);
            }
            found.push(scale.scale());
            assert_eq!(scale.update(false), Verdict::Skip);
        }
        assert_eq!(found, [65_536.0, 32_768.0, 16_384.0, 16_384.0, 32_768.0]);
        assert_eq!((scale.scale(), scale.skipped()), (16_384.0, 5));
    }

    #[test]
    fn what_is_not_finite_at_scale_1_has_failed() {
        let mut scale = LossScale::default();
        let skips = std::iter::from_fn(|| (scale.update(false) == Verdict::Skip).then_some(())).count();
        assert_eq!((skips, scale.scale()), (16, 1.0));
        assert_eq!(scale.update(false), Verdict::Fail);
        assert_eq!(scale.update(true), Verdict::Step);
    }

    #[test]
    fn the_scale_never_overflows_and_is_stored_exactly() {
        let mut scale = LossScale::default();
        for _ in 0..130 * u64::from(GROWTH_INTERVAL) {
            scale.update(true);
        }
        assert!(scale.scale().is_finite() && scale.scale() > 1e37);
        let stored = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<LossScale>(&stored).unwrap(), scale);
    }
}

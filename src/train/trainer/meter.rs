//! How fast a training is and where its loss stands, for the eyes of a person.

use std::time::{Duration, Instant};

/// How much of the smoothed loss each step replaces.
const FRESH: f64 = 0.02;

/// Follows a training since this process took it up.
pub struct Meter {
    started: Instant,
    first_step: u64,
    tokens: u64,
    /// Exponential mean of the losses, times the weight that has gathered.
    loss: f64,
    weight: f64,
}

impl Meter {
    /// Begins at `step`.
    pub fn new(step: u64) -> Self {
        Self { started: Instant::now(), first_step: step, tokens: 0, loss: 0.0, weight: 0.0 }
    }

    /// A step of this loss and so many tokens that are not padding.
    pub fn step(&mut self, loss: f32, tokens: u32) {
        // A step that is skipped under a loss scale may have none.
        if loss.is_finite() {
            self.loss = self.loss * (1.0 - FRESH) + f64::from(loss) * FRESH;
            self.weight = self.weight * (1.0 - FRESH) + FRESH;
        }
        self.tokens += u64::from(tokens);
    }

    /// The smoothed loss: that of the last fifty steps or so; none before the first step.
    pub fn loss(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.loss / self.weight)
    }

    /// Tokens a second since the beginning, evaluations and checkpoints included.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// `loss 0.5312, rate 9.8e-6, 12,345 tokens/s, 3m 20s left`, after `done` steps of `steps`.
    pub fn line(&self, done: u64, steps: u64, rate: f64) -> String {
        let Some(loss) = self.loss() else { return String::new() };
        let each = self.started.elapsed().as_secs_f64() / (done - self.first_step).max(1) as f64;
        let left = span(Duration::from_secs_f64(each * steps.saturating_sub(done) as f64));
        format!("loss {loss:.4}, rate {rate:.1e}, {} tokens/s, {left} left", grouped(self.tokens_per_second() as u64))
    }
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (first > 0).then(|| digits[..first].to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

/// `45s`, `3m 20s`, `2h 05m`.
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1_000, 123_456, 1_234_567].map(grouped), ["0", "999", "1,000", "123,456", "1,234,567"]);
        let spans = [0, 59, 60, 200, 3_600, 7_500].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["0s", "59s", "1m 00s", "3m 20s", "1h 00m", "2h 05m"]);
    }

    #[test]
    fn the_loss_is_smoothed_without_a_pull_to_zero() {
        let mut meter = Meter::new(10);
        assert_eq!((meter.loss(), meter.line(10, 20, 0.1)), (None, String::new()));
        meter.step(2.0, 30);
        assert!((meter.loss().unwrap() - 2.0).abs() < 1e-12);
        (0..400).for_each(|_| meter.step(1.0, 30));
        assert!((meter.loss().unwrap() - 1.0).abs() < 1e-3);
        let line = meter.line(411, 1_000, 1.2e-5);
        assert!(line.starts_with("loss 1.000") && line.contains("rate 1.2e-5") && line.ends_with(" left"), "{line}");
    }
}

//! `training_log.parquet`.

use std::path::Path;

use super::Run;
use crate::error::Result;
use crate::schema::row::table_row;
use crate::shard::write_rows;

table_row! {
    /// A step of a training, or an evaluation after one.
    #[derive(Debug, Clone, PartialEq)]
    pub struct LogRow<'a>: "training-log" {
        /// The step's task, or the evaluated one.
        pub task: &'a str,
        /// The step, from 1.
        pub step: u32,
        /// The step's loss.
        pub loss: Option<f32>,
        /// Its learning rate.
        pub learning_rate: Option<f64>,
        /// Its global gradient norm before clipping.
        pub gradient_norm: Option<f32>,
        /// Its tokens that are not padding.
        pub tokens: Option<u32>,
        /// Its micro-batches.
        pub micro_batches: Option<u32>,
        /// What its loss was multiplied by, in 16 bits.
        pub loss_scale: Option<f32>,
        /// The evaluation's metric.
        pub metric: Option<&'a str>,
        /// Its value.
        pub value: Option<f64>,
    }
}

impl Run<'_> {
    /// Steps first, then evaluations.
    pub(super) fn write_log(&self, output: &Path) -> Result<()> {
        // A step that was skipped under a loss scale has numbers that are none.
        let finite = |value: f32| value.is_finite().then_some(value);
        let scaled = self.state.scale.is_some();
        let steps = self.state.log.iter().zip(0..).map(|(step, done)| LogRow {
            task: self.tasks[self.sampler.task(done)].task.id.as_str(),
            step: done as u32 + 1,
            loss: finite(step.loss),
            learning_rate: Some(self.rate(done)),
            gradient_norm: finite(step.norm),
            tokens: Some(step.tokens),
            micro_batches: Some(step.micro_batches),
            loss_scale: scaled.then_some(step.scale),
            metric: None,
            value: None,
        });
        let evaluations = self.state.evaluations.iter().map(|evaluation| LogRow {
            task: &evaluation.task,
            step: evaluation.step as u32,
            loss: None,
            learning_rate: None,
            gradient_norm: None,
            tokens: None,
            micro_batches: None,
            loss_scale: None,
            metric: Some(&evaluation.metric),
            value: Some(evaluation.value),
        });
        let rows: Vec<LogRow<'_>> = steps.chain(evaluations).collect();
        write_rows(&output.join("training_log.parquet"), &[], &rows)?;
        Ok(())
    }
}

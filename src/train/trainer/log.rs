//! `training_log.parquet`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array};

use super::Run;
use crate::error::Result;
use crate::shard::write_table;
use crate::train::checkpoint::StepLog;

impl Run<'_> {
    /// Steps first, then evaluations.
    pub(super) fn write_log(&self, output: &Path) -> Result<()> {
        let steps = &self.state.log;
        let evaluations = &self.state.evaluations;
        let task_of = |step: usize| self.tasks[self.sampler.task(step as u64)].task.id.as_str();
        let tasks = (0..steps.len()).map(task_of).chain(evaluations.iter().map(|row| row.task.as_str()));
        let numbers = (1..=steps.len() as u32).chain(evaluations.iter().map(|row| row.step as u32));
        // A step that was skipped under a loss scale has numbers that are none.
        let finite = |value: f32| value.is_finite().then_some(value);
        let scaled = self.state.scale.is_some();
        let rates = (0..steps.len() as u64).map(|step| self.rate(step));
        let metrics = evaluations.iter().map(|row| row.metric.as_str());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(tasks)),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(self.of_steps(|step| finite(step.loss)).collect::<Float32Array>()),
            Arc::new(rates.map(Some).chain(evaluations.iter().map(|_| None)).collect::<Float64Array>()),
            Arc::new(self.of_steps(|step| finite(step.norm)).collect::<Float32Array>()),
            Arc::new(self.of_steps(|step| Some(step.tokens)).collect::<UInt32Array>()),
            Arc::new(self.of_steps(|step| Some(step.micro_batches)).collect::<UInt32Array>()),
            Arc::new(self.of_steps(|step| scaled.then_some(step.scale)).collect::<Float32Array>()),
            Arc::new(steps.iter().map(|_| None).chain(metrics.map(Some)).collect::<StringArray>()),
            Arc::new(
                steps
                    .iter()
                    .map(|_| None)
                    .chain(evaluations.iter().map(|row| Some(row.value)))
                    .collect::<Float64Array>(),
            ),
        ];
        let table = crate::schema::table("training-log");
        let batch = RecordBatch::try_new(table.schema.clone(), columns).expect("the columns are those of the schema");
        let metadata = table.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        write_table(&output.join("training_log.parquet"), &table.schema, &metadata, &[batch])?;
        Ok(())
    }

    /// A column of steps: nothing on the rows of evaluations.
    fn of_steps<T>(&self, value: impl Fn(&StepLog) -> Option<T>) -> impl Iterator<Item = Option<T>> {
        let evaluations = self.state.evaluations.iter().map(|_| None);
        self.state.log.iter().map(value).chain(evaluations)
    }
}

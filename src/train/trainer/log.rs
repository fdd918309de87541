//! `training_log.parquet`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array};

use super::Run;
use crate::error::Result;
use crate::shard::write_table;

impl Run<'_> {
    /// Steps first, then evaluations.
    pub(super) fn write_log(&self, output: &Path) -> Result<()> {
        let steps = self.state.losses.len();
        let evaluations = &self.state.evaluations;
        let task_of = |step: usize| self.tasks[self.sampler.task(step as u64)].task.id.as_str();
        // A step that was skipped has no numbers.
        let finite = |value: &f32| value.is_finite().then_some(*value);
        let nothing = |count: usize| std::iter::repeat_n(None, count);
        let tasks = (0..steps).map(task_of).chain(evaluations.iter().map(|row| row.task.as_str()));
        let numbers = (1..=steps as u32).chain(evaluations.iter().map(|row| row.step as u32));
        let losses = self.state.losses.iter().map(finite).chain(nothing(evaluations.len()));
        let rates =
            (0..steps as u64).map(|step| Some(self.rate(step))).chain(std::iter::repeat_n(None, evaluations.len()));
        let norms = self.state.norms.iter().map(finite).chain(nothing(evaluations.len()));
        let metrics = std::iter::repeat_n(None, steps).chain(evaluations.iter().map(|row| Some(row.metric.as_str())));
        let measured = std::iter::repeat_n(None, steps).chain(evaluations.iter().map(|row| Some(row.value)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(tasks)),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(losses.collect::<Float32Array>()),
            Arc::new(rates.collect::<Float64Array>()),
            Arc::new(norms.collect::<Float32Array>()),
            Arc::new(metrics.collect::<StringArray>()),
            Arc::new(measured.collect::<Float64Array>()),
        ];
        let table = crate::schema::table("training-log");
        let batch = RecordBatch::try_new(table.schema.clone(), columns).expect("the columns are those of the schema");
        let metadata = table.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        write_table(&output.join("training_log.parquet"), &table.schema, &metadata, &[batch])?;
        Ok(())
    }
}

//! Embeddings in files: Parquet (a list of numbers a row) or safetensors (a matrix), whoever wrote them.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type};

use super::{Collector, Vectors};
use crate::evaluate::EvaluateError;
use crate::model::StoredTable;
use crate::progress::Progress;
use crate::shard::{ShardError, read_batches};

/// Takes a row's name and vector.
type Take<'a> = dyn FnMut(&str, &[f32]) -> Result<(), EvaluateError> + 'a;

/// Rows of a matrix that are read together.
const ROWS: usize = 1_024;

/// The side of a search, as the column `side` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideName {
    /// What is looked for.
    Query,
    /// What is looked among.
    Index,
}

impl SideName {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            SideName::Query => "query",
            SideName::Index => "index",
        }
    }
}

/// Which rows of which file.
#[derive(Debug, Clone)]
pub struct EmbeddingsFile {
    /// Safetensors where the name ends so, else Parquet.
    pub path: PathBuf,
    /// The Parquet column, or the tensor, that holds the vectors. Of tensors the only one where none is named.
    pub vectors: Option<String>,
    /// The Parquet column that names the rows: `example_id` where none is named; without that column, and in
    /// safetensors, rows are called by their numbers, from 0.
    pub ids: Option<String>,
    /// Only the rows of one hidden state. To be named where there are several.
    pub layer: Option<i32>,
    /// Only the rows of one side, where the table says of which they are.
    pub side: Option<SideName>,
}

/// What a file holds.
#[derive(Debug)]
pub struct Embeddings {
    /// The rows' names, as many as vectors were given.
    pub ids: Vec<String>,
    /// The vectors.
    pub vectors: Vectors,
}

impl EmbeddingsFile {
    /// All of `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, vectors: None, ids: None, layer: None, side: None }
    }

    /// Reads the rows into `all` and calls `each` with the name of each.
    ///
    /// # Errors
    /// A file that can't be read or is cut off, a column or tensor that is not there or of another kind, several layers of which
    /// none was chosen, and rows that [`Collector::push`] refuses.
    pub fn read(&self, all: &mut Collector, each: &mut dyn FnMut(&str)) -> Result<(), EvaluateError> {
        self.each(&mut |id, vector| {
            all.push(&self.path, id, vector)?;
            each(id);
            Ok(())
        })
    }

    /// All of them, which must be some; `progress` counts them.
    ///
    /// # Errors
    /// As [`EmbeddingsFile::read`], and a file without such a row.
    pub fn load(&self, mut all: Collector, progress: &dyn Progress) -> Result<Embeddings, EvaluateError> {
        let mut ids: Vec<String> = Vec::new();
        progress.start(0, "vectors");
        self.read(&mut all, &mut |id| {
            ids.push(id.to_owned());
            if ids.len().is_multiple_of(ROWS) {
                progress.advance(ids.len() as u64, "");
            }
        })?;
        if ids.is_empty() {
            return Err(EvaluateError::Empty { path: self.path.clone() });
        }
        Ok(Embeddings { ids, vectors: all.finish()? })
    }

    fn each(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        if self.path.extension().is_some_and(|extension| extension == "safetensors") {
            self.each_of_matrix(take)
        } else {
            self.each_of_table(take)
        }
    }

    fn each_of_matrix(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        let problem = |problem: String| EvaluateError::Embeddings { path: self.path.clone(), problem };
        let table = StoredTable::open(&self.path, self.vectors.as_deref()).map_err(|e| match e {
            crate::model::ModelError::File(e) => EvaluateError::File(e),
            crate::model::ModelError::Weights { problem: said, .. } => problem(said),
            other => problem(other.to_string()),
        })?;
        for first in (0..table.rows()).step_by(ROWS) {
            let rows = first..table.rows().min(first + ROWS);
            let values = table.read(rows.clone()).map_err(|e| problem(e.to_string()))?;
            for (row, vector) in rows.zip(values.chunks_exact(table.columns().max(1))) {
                take(&row.to_string(), vector)?;
            }
        }
        Ok(())
    }

    fn each_of_table(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        let mut layer = self.layer;
        let mut first = 0;
        for batch in read_batches(&self.path)? {
            let batch = batch?;
            let (vectors, ids) = (self.vectors_of(&batch)?, self.ids_of(&batch, first)?);
            let sides = batch.column_by_name("side").and_then(|column| column.as_string_opt::<i32>());
            let layers = batch.column_by_name("layer").and_then(|column| column.as_primitive_opt::<Int32Type>());
            if layers.is_none() && self.layer.is_some() {
                return Err(self.column("layer", "int32"));
            }
            let vectors = vectors.as_list::<i32>();
            for row in 0..batch.num_rows() {
                if let (Some(sides), Some(side)) = (sides, self.side)
                    && sides.value(row) != side.name()
                {
                    continue;
                }
                if let Some(layers) = layers.filter(|layers| layers.is_valid(row)) {
                    let found = layers.value(row);
                    if self.layer.is_none() && *layer.get_or_insert(found) != found {
                        return Err(EvaluateError::Embeddings {
                            path: self.path.clone(),
                            problem: "holds vectors of several hidden states; choose one with --layer".to_owned(),
                        });
                    }
                    if layer != Some(found) {
                        continue;
                    }
                }
                if vectors.is_null(row) || ids.is_null(row) {
                    let problem = "has no vector or no name; leave the row out";
                    return Err(EvaluateError::example(&self.path, &(first + row).to_string(), problem));
                }
                take(ids.value(row), vectors.value(row).as_primitive::<Float32Type>().values())?;
            }
            first += batch.num_rows();
        }
        Ok(())
    }

    fn column(&self, column: &str, expected: &'static str) -> EvaluateError {
        ShardError::Column { path: self.path.clone(), column: column.to_owned(), expected }.into()
    }

    /// The column of vectors as lists of f32, whatever kind of lists and numbers it has.
    fn vectors_of(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluateError> {
        let name = self.vectors.as_deref().unwrap_or("vector");
        let wrong = || self.column(name, "lists of numbers (--vectors names another column)");
        let column = batch.column_by_name(name).ok_or_else(wrong)?;
        let item = match column.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item,
            _ => return Err(wrong()),
        };
        if !item.data_type().is_numeric() {
            return Err(wrong());
        }
        let wanted = DataType::List(std::sync::Arc::new(Field::new("item", DataType::Float32, true)));
        let lists = cast(column, &wanted).map_err(|_| wrong())?;
        match lists.as_list::<i32>().values().null_count() {
            0 => Ok(lists),
            _ => Err(self.column(name, "lists without nulls")),
        }
    }

    fn ids_of(&self, batch: &RecordBatch, first: usize) -> Result<StringArray, EvaluateError> {
        let column = match (&self.ids, batch.column_by_name(self.ids.as_deref().unwrap_or("example_id"))) {
            (_, Some(column)) => column,
            (Some(name), None) => return Err(self.column(name, "there at all (--ids names another column)")),
            (None, None) => {
                let numbers = first..first + batch.num_rows();
                return Ok(StringArray::from_iter_values(numbers.map(|row| row.to_string())));
            }
        };
        let name = self.ids.as_deref().unwrap_or("example_id");
        let texts = cast(column, &DataType::Utf8).map_err(|_| self.column(name, "text or numbers"))?;
        Ok(texts.as_string::<i32>().clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::evaluate::retrieval::{Room, Similarity};
    use crate::shard::write_table;
    use arrow::array::{FixedSizeListArray, Float64Array, Int32Array, Int64Array};
    use arrow::datatypes::Float64Type;

    fn collector() -> Collector {
        Collector::new(Similarity::InnerProduct, Room { memory: 1 << 20, scratch: std::env::temp_dir() })
    }

    fn load(file: &EmbeddingsFile) -> Result<(Vec<String>, Vec<f32>), String> {
        let found = file.load(collector(), &crate::progress::Quiet).map_err(|e| e.to_string())?;
        let rows = found.vectors.rows();
        Ok((found.ids, found.vectors.block(0..rows).unwrap().into_owned()))
    }

    fn written(dir: &Path, columns: Vec<(&str, ArrayRef)>) -> EmbeddingsFile {
        let path = dir.join("some.parquet");
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
        EmbeddingsFile::new(path)
    }

    #[test]
    fn lists_of_any_numbers_are_read_and_rows_are_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..8).map(f64::from)));
        let item = Arc::new(Field::new("item", DataType::Float64, false));
        let vectors: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, values, None));
        let columns = || {
            vec![
                ("name", Arc::new(Int64Array::from(vec![7, 8, 9, 10])) as ArrayRef),
                ("side", Arc::new(StringArray::from(vec!["query", "index", "query", "query"])) as ArrayRef),
                ("layer", Arc::new(Int32Array::from(vec![1, 1, 1, 2])) as ArrayRef),
                ("embedding", vectors.clone()),
            ]
        };
        let mut file = written(dir.path(), columns());
        assert!(load(&file).unwrap_err().contains("column `vector` is missing or not lists of numbers"));
        file.vectors = Some("embedding".into());
        assert!(load(&file).unwrap_err().contains("several hidden states; choose one with --layer"));
        (file.layer, file.side) = (Some(1), Some(SideName::Query));
        assert_eq!(load(&file).unwrap(), (vec!["0".into(), "2".into()], vec![0.0, 1.0, 4.0, 5.0]));
        (file.layer, file.ids) = (Some(2), Some("name".into()));
        assert_eq!(load(&file).unwrap(), (vec!["10".into()], vec![6.0, 7.0]));
        file.layer = Some(3);
        assert!(load(&file).unwrap_err().contains("no example"));
        file.ids = Some("nobody".into());
        assert!(load(&file).unwrap_err().contains("column `nobody` is missing"));
    }

    #[test]
    fn lists_with_nulls_and_files_that_are_cut_off_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let lists = arrow::array::ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), None])]);
        let file = written(dir.path(), vec![("vector", Arc::new(lists) as ArrayRef)]);
        assert!(load(&file).unwrap_err().contains("lists without nulls"));
        let bytes = std::fs::read(&file.path).unwrap();
        std::fs::write(&file.path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(load(&file).unwrap_err().contains("truncated"));
    }

    #[test]
    fn a_matrix_is_read_from_safetensors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.safetensors");
        let values: Vec<f32> = (0..3000 * 4).map(|value| value as f32 / 2.0).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = |shape: &[usize]| {
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes).unwrap()
        };
        safetensors::serialize_to_file([("rows", view(&[3000, 4]))], None, &path).unwrap();
        let mut file = EmbeddingsFile::new(path.clone());
        let (ids, found) = load(&file).unwrap();
        assert_eq!((ids.len(), ids[2999].as_str(), found), (3000, "2999", values.clone()));

        let all = std::fs::read(&path).unwrap();
        std::fs::write(&path, &all[..all.len() / 2]).unwrap();
        assert!(load(&file).unwrap_err().contains("cut off"));
        safetensors::serialize_to_file([("a", view(&[3000, 4])), ("b", view(&[12_000]))], None, &path).unwrap();
        assert!(load(&file).unwrap_err().contains("holds a, b; choose one with --vectors"));
        file.vectors = Some("b".into());
        assert!(load(&file).unwrap_err().contains("b has the shape [12000]; expected a row a sentence"));
        file.vectors = Some("c".into());
        assert!(load(&file).unwrap_err().contains("no tensor c"));
    }
}

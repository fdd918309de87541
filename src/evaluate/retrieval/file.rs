//! Embeddings in files: Parquet (a list of numbers a row) or safetensors (a matrix), whoever wrote them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type};

use super::{Collector, Vectors};
use crate::evaluate::EvaluateError;
use crate::model::{ModelError, StoredTable};
use crate::progress::Progress;
use crate::shard::{ShardError, read_columns, read_rows};

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
    /// Only the rows of one hidden state, by the Parquet column `layer`. To be named where there are several; of safetensors all
    /// rows count.
    pub layer: Option<i32>,
    /// Only the rows of one side, where the table says in a column `side` of which they are.
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
            return Err(self.nothing());
        }
        Ok(Embeddings { ids, vectors: all.finish()? })
    }

    /// The error of a file that holds no row of those asked for: says what there is instead.
    pub(super) fn nothing(&self) -> EvaluateError {
        let chosen = if self.is_matrix() { Ok(Chosen::default()) } else { self.chosen() };
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(error) => return error,
        };
        self.problem(match (self.side, self.layer) {
            (Some(side), _) if !chosen.sides.is_empty() && !chosen.sides.contains(side.name()) => format!(
                "holds no vectors whose `side` is `{}`, only of {}; name the sides `query` and `index`, or drop the column",
                side.name(),
                chosen.sides.iter().map(|side| format!("`{side}`")).collect::<Vec<_>>().join(", ")
            ),
            (_, Some(layer)) if !chosen.layers.is_empty() => {
                format!("holds no vectors whose `layer` is {layer}; choose one of {}", chosen.layers().join(", "))
            }
            _ => "holds no vectors".to_owned(),
        })
    }

    /// Whether it is safetensors.
    pub(super) fn is_matrix(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "safetensors")
    }

    fn problem(&self, problem: String) -> EvaluateError {
        EvaluateError::Embeddings { path: self.path.clone(), problem }
    }

    fn each(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        if self.is_matrix() { self.each_of_matrix(take) } else { self.each_of_table(take) }
    }

    fn each_of_matrix(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        let wrong = |error: ModelError| match error {
            ModelError::File(error) => EvaluateError::File(error),
            ModelError::Weights { problem, .. } => self.problem(problem),
            other => self.problem(other.to_string()),
        };
        let table = StoredTable::open(&self.path, self.vectors.as_deref()).map_err(wrong)?;
        for first in (0..table.rows()).step_by(ROWS) {
            let rows = first..table.rows().min(first + ROWS);
            let values = table.read(rows.clone()).map_err(wrong)?;
            for (row, vector) in rows.zip(values.chunks_exact(table.columns().max(1))) {
                take(&row.to_string(), vector)?;
            }
        }
        Ok(())
    }

    fn each_of_table(&self, take: &mut Take<'_>) -> Result<(), EvaluateError> {
        let rows = self.chosen()?.rows;
        let mut numbers = rows.iter().cloned().flatten();
        for batch in read_rows(&self.path, &[self.vectors_name(), self.ids_name()], &rows)? {
            let batch = batch?;
            let numbers: Vec<usize> = numbers.by_ref().take(batch.num_rows()).collect();
            let (vectors, ids) = (self.vectors_of(&batch)?, self.ids_of(&batch, &numbers)?);
            let vectors = vectors.as_list::<i32>();
            for (row, number) in numbers.iter().enumerate() {
                if vectors.is_null(row) || ids.is_null(row) {
                    let problem = "has no vector or no name; leave the row out";
                    return Err(EvaluateError::example(&self.path, &number.to_string(), problem));
                }
                take(ids.value(row), vectors.value(row).as_primitive::<Float32Type>().values())?;
            }
        }
        Ok(())
    }

    /// Which rows of a table are asked for, by its columns `side` and `layer`, whatever types these have.
    fn chosen(&self) -> Result<Chosen, EvaluateError> {
        let batches = read_columns(&self.path, &["side", "layer"])?;
        let (mut chosen, schema) = (Chosen::default(), batches.schema());
        if self.layer.is_some() && schema.column_with_name("layer").is_none() {
            return Err(self.column("layer", "whole numbers"));
        }
        if schema.fields().is_empty() {
            chosen.rows.push(0..batches.rows());
            return Ok(chosen);
        }
        let mut first = 0;
        for batch in batches {
            let batch = batch?;
            let (sides, layers) = (self.sides_of(&batch)?, self.layers_of(&batch)?);
            for row in 0..batch.num_rows() {
                if let (Some(sides), Some(wanted)) = (&sides, self.side) {
                    let found = if sides.is_valid(row) { sides.value(row) } else { "null" };
                    let is_wanted = found == wanted.name();
                    chosen.meet_side(found, is_wanted);
                    if !is_wanted {
                        continue;
                    }
                }
                if let Some(layers) = &layers {
                    let found = layers.is_valid(row).then(|| layers.value(row));
                    chosen.layers.insert(found);
                    if self.layer.is_some() && found != self.layer {
                        continue;
                    }
                }
                chosen.push(first + row);
            }
            first += batch.num_rows();
        }
        if self.layer.is_none() && chosen.layers.len() > 1 {
            let layers = chosen.layers().join(", ");
            return Err(
                self.problem(format!("holds vectors of several hidden states ({layers}); choose one with --layer"))
            );
        }
        Ok(chosen)
    }

    fn sides_of(&self, batch: &RecordBatch) -> Result<Option<StringArray>, EvaluateError> {
        let Some(column) = batch.column_by_name("side") else { return Ok(None) };
        let texts = cast(column, &DataType::Utf8).map_err(|_| self.column("side", "text"))?;
        Ok(Some(texts.as_string::<i32>().clone()))
    }

    fn layers_of(&self, batch: &RecordBatch) -> Result<Option<Int32Array>, EvaluateError> {
        let Some(column) = batch.column_by_name("layer") else { return Ok(None) };
        let wrong = |_| self.column("layer", "whole numbers");
        // Some libraries write whole numbers as floats where some are null. The cast would cut fractions off.
        if column.data_type().is_floating() {
            let numbers = cast(column, &DataType::Float64).map_err(wrong)?;
            if numbers.as_primitive::<Float64Type>().iter().flatten().any(|number| number.fract() != 0.0) {
                return Err(self.column("layer", "whole numbers"));
            }
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let numbers = cast_with_options(column, &DataType::Int32, &strict).map_err(wrong)?;
        Ok(Some(numbers.as_primitive::<Int32Type>().clone()))
    }

    fn column(&self, column: &str, expected: &'static str) -> EvaluateError {
        ShardError::Column { path: self.path.clone(), column: column.to_owned(), expected }.into()
    }

    /// The column of vectors as lists of f32, whatever kind of lists and numbers it has.
    fn vectors_of(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluateError> {
        let name = self.vectors_name();
        let wrong = || self.column(name, "lists of numbers (--vectors names another column)");
        let column = batch.column_by_name(name).ok_or_else(wrong)?;
        let item = match column.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item,
            _ => return Err(wrong()),
        };
        if !item.data_type().is_numeric() {
            return Err(wrong());
        }
        let wanted = DataType::List(Arc::new(Field::new("item", DataType::Float32, true)));
        let lists = cast(column, &wanted).map_err(|_| wrong())?;
        match lists.as_list::<i32>().values().null_count() {
            0 => Ok(lists),
            _ => Err(self.column(name, "lists without nulls")),
        }
    }

    fn ids_of(&self, batch: &RecordBatch, numbers: &[usize]) -> Result<StringArray, EvaluateError> {
        let name = self.ids_name();
        let column = match (&self.ids, batch.column_by_name(name)) {
            (_, Some(column)) => column,
            (Some(_), None) => return Err(self.column(name, "there at all (--ids names another column)")),
            (None, None) => return Ok(StringArray::from_iter_values(numbers.iter().map(usize::to_string))),
        };
        let texts = cast(column, &DataType::Utf8).map_err(|_| self.column(name, "text or numbers"))?;
        Ok(texts.as_string::<i32>().clone())
    }

    fn vectors_name(&self) -> &str {
        self.vectors.as_deref().unwrap_or("vector")
    }

    fn ids_name(&self) -> &str {
        self.ids.as_deref().unwrap_or("example_id")
    }
}

/// Sides not asked for that an error names at most.
const SIDES_NAMED: usize = 4;

/// The rows of a table that were asked for.
#[derive(Debug, Default)]
struct Chosen {
    /// Their numbers, in order.
    rows: Vec<Range<usize>>,
    /// Where a side was asked for, it if it is there, and some of the others.
    sides: BTreeSet<String>,
    /// The layers that there are of that side; none where a row has none.
    layers: BTreeSet<Option<i32>>,
}

impl Chosen {
    fn push(&mut self, row: usize) {
        match self.rows.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => self.rows.push(row..row + 1),
        }
    }

    fn meet_side(&mut self, side: &str, is_wanted: bool) {
        if (is_wanted || self.sides.len() < SIDES_NAMED) && !self.sides.contains(side) {
            self.sides.insert(side.to_owned());
        }
    }

    /// The names of the layers.
    fn layers(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.map_or_else(|| "null".to_owned(), |layer| layer.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::evaluate::retrieval::{Room, Similarity};
    use crate::shard::write_table;
    use arrow::array::{FixedSizeListArray, Float64Array, Int64Array, ListArray};

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
        let mut file = EmbeddingsFile { layer: Some(1), ..written(dir.path(), columns()) };
        assert!(load(&file).unwrap_err().contains("column `vector` is missing or not lists of numbers"));
        (file.vectors, file.layer) = (Some("embedding".into()), None);
        assert!(load(&file).unwrap_err().contains("several hidden states (1, 2); choose one with --layer"));
        (file.layer, file.side) = (Some(1), Some(SideName::Query));
        assert_eq!(load(&file).unwrap(), (vec!["0".into(), "2".into()], vec![0.0, 1.0, 4.0, 5.0]));
        (file.layer, file.ids) = (Some(2), Some("name".into()));
        assert_eq!(load(&file).unwrap(), (vec!["10".into()], vec![6.0, 7.0]));
        file.ids = Some("nobody".into());
        assert!(load(&file).unwrap_err().contains("column `nobody` is missing"));
        file.layer = Some(3);
        assert!(load(&file).unwrap_err().ends_with(": holds no vectors whose `layer` is 3; choose one of 1, 2"));
    }

    #[test]
    fn sides_and_layers_may_have_any_type_that_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let table = |side: ArrayRef, layer: ArrayRef| {
            let lists = (0..side.len()).map(|row| Some([Some(row as f64)]));
            let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
            let file = written(dir.path(), vec![("side", side), ("layer", layer), ("vector", Arc::new(lists))]);
            EmbeddingsFile { side: Some(SideName::Query), ..file }
        };
        let names = [Some("query"), Some("index"), Some("query"), None, Some("query")];
        let utf8: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        let layers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(2), Some(1), None]));
        let dictionary = |of: DataType| DataType::Dictionary(Box::new(DataType::Int8), Box::new(of));
        for kind in [DataType::LargeUtf8, DataType::Utf8View, dictionary(DataType::Utf8)] {
            for number in [DataType::Int64, DataType::UInt8, DataType::Float64, dictionary(DataType::Int64)] {
                let mut file = table(cast(&utf8, &kind).unwrap(), cast(&layers, &number).unwrap());
                let said = load(&file).unwrap_err();
                assert!(said.contains("several hidden states (null, 1, 2);"), "{kind} {number}: {said}");
                file.layer = Some(1);
                assert_eq!(load(&file), Ok((vec!["0".into()], vec![0.0])), "{kind} {number}");
            }
        }
        let fails = |side: ArrayRef, layer: ArrayRef| {
            load(&EmbeddingsFile { layer: Some(1), ..table(side, layer) }).unwrap_err()
        };
        for layer in [Arc::new(Float64Array::from(vec![1.5; 5])) as ArrayRef, utf8.clone()] {
            assert!(fails(utf8.clone(), layer).ends_with("column `layer` is missing or not whole numbers"));
        }
        let flags = Arc::new(arrow::array::BooleanArray::from(vec![true; 5]));
        assert!(fails(flags, layers).ends_with(
            "holds no vectors whose `side` is `query`, only of `true`; name the sides `query` and `index`, or drop the column"
        ));
    }

    #[test]
    fn pages_of_other_layers_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (rows, width) = (1_500, 512);
        let lists = (0..2 * rows).map(|row| Some((0..width).map(move |place| Some((row * width + place) as f64))));
        let vectors: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
        let layers = Int32Array::from_iter_values((0..2 * rows).map(|row| row / rows));
        let mut file = written(dir.path(), vec![("vector", vectors), ("layer", Arc::new(layers))]);
        // The head of the first page of the first layer.
        let mut bytes = std::fs::read(&file.path).unwrap();
        bytes[4..40].fill(0xff);
        std::fs::write(&file.path, bytes).unwrap();
        file.layer = Some(1);
        let (ids, found) = load(&file).unwrap();
        assert_eq!((ids[0].as_str(), ids.len() as i32), ("1500", rows));
        assert_eq!((found[0], found.len() as i32), ((rows * width) as f32, rows * width));
        file.layer = Some(0);
        assert!(load(&file).is_err());
    }

    #[test]
    fn lists_with_nulls_and_files_that_are_cut_off_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), None])]);
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
        let double = safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![3000, 2], &bytes).unwrap();
        safetensors::serialize_to_file([("rows", double)], None, &path).unwrap();
        assert_eq!(
            load(&file).unwrap_err(),
            format!("{}: rows holds numbers of type F64; expected F32, F16 or BF16", path.display())
        );
        safetensors::serialize_to_file([("a", view(&[3000, 4])), ("b", view(&[12_000]))], None, &path).unwrap();
        assert!(load(&file).unwrap_err().contains("holds a, b; choose one with --vectors"));
        file.vectors = Some("b".into());
        assert!(load(&file).unwrap_err().contains("b has the shape [12000]; expected a row a sentence"));
        file.vectors = Some("c".into());
        assert!(load(&file).unwrap_err().contains("no tensor c"));
    }
}

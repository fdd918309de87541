//! One matrix of a safetensors file, a block of rows at a time.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use super::safetensors;
use super::stored::{StoredTensor, StoredTensors};
use crate::error::IoContext;
use crate::model::ModelError;

/// A matrix in a file.
#[derive(Debug)]
pub(crate) struct StoredTable {
    file: StoredTensors,
    tensor: StoredTensor,
}

impl StoredTable {
    /// The matrix called `name` in the safetensors file `path`, or the only tensor of it.
    ///
    /// # Errors
    /// When the file can't be read, is cut off or is no safetensors file; when it has no such tensor, or several and none is
    /// named; when the tensor is no matrix.
    pub(crate) fn open(path: &Path, name: Option<&str>) -> Result<Self, ModelError> {
        let wrong = |problem: String| ModelError::Weights { path: path.to_path_buf(), problem };
        let file = File::open(path).at("open", path)?;
        let mut tensors = safetensors::tensors(path, &file, 0)?;
        if let Some(name) = name {
            tensors.retain(|tensor| tensor.name == name);
        }
        let tensor = match (tensors.as_slice(), name) {
            ([tensor], _) => tensor.clone(),
            (_, Some(name)) => return Err(wrong(format!("there is no tensor {name} in it"))),
            ([], None) => return Err(wrong("there is no tensor in it".to_owned())),
            (several, None) => {
                let names: Vec<&str> = several.iter().map(|tensor| tensor.name.as_str()).collect();
                return Err(wrong(format!("holds {}; choose one with --vectors", names.join(", "))));
            }
        };
        if tensor.shape.len() != 2 {
            return Err(wrong(format!("{} has the shape {:?}; expected a row a sentence", tensor.name, tensor.shape)));
        }
        let file = StoredTensors::new(vec![(path.to_path_buf(), file)], [tensor.clone()])?;
        Ok(Self { file, tensor })
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.tensor.shape[0]
    }

    /// Numbers a row.
    pub(crate) fn columns(&self) -> usize {
        self.tensor.shape[1]
    }

    /// The numbers of `rows`, one row after another.
    ///
    /// # Errors
    /// When the file can't be read, or holds numbers that are no f32, f16 or bf16.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<Vec<f32>, ModelError> {
        let rows: Vec<u32> = rows.map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
        self.file.read_rows(&self.tensor, &rows)
    }
}

//! Tensors as they lie in files: found by name, read one at a time, so that no file is ever in memory as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{bf16, f16};

use crate::error::IoContext;
use crate::model::ModelError;

/// Bytes read from a file at a time.
const BLOCK: usize = 1 << 20;

/// What kind of numbers a tensor holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
    /// Anything else, by the name that its file gives it. No parameter can be read from it.
    Other(String),
}

impl Element {
    /// Bytes a number; none for a kind that is not read.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            Element::F32 => Some(4),
            Element::F16 | Element::Bf16 => Some(2),
            Element::Other(_) => None,
        }
    }
}

/// Where the numbers of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredTensor {
    /// Its name in the file, for messages.
    pub(super) name: String,
    /// Index into the files.
    pub(super) file: usize,
    /// Offset of the first number, in bytes from the file's begin.
    pub(super) start: u64,
    pub(super) shape: Vec<usize>,
    /// Numbers to step over for one more of each index; none where the tensor is row-major without gaps.
    pub(super) strides: Option<Vec<usize>>,
    pub(super) element: Element,
}

impl StoredTensor {
    /// Whether both are the same numbers in the same place, as tied parameters are.
    fn is_view_of(&self, other: &Self) -> bool {
        let place = |tensor: &Self| (tensor.file, tensor.start, tensor.shape.clone(), tensor.strides.clone());
        place(self) == place(other)
    }
}

/// The number of elements of a shape, where a machine can count them.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
}

/// Numbers from the first to the last element of a strided tensor, both included; 0 where it has none.
pub(super) fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape.iter().zip(strides).try_fold(0usize, |last, (size, stride)| {
        (size - 1).checked_mul(*stride).and_then(|steps| last.checked_add(steps))
    })?;
    last.checked_add(1)
}

/// The tensors of a model's files, under names without the encoder's prefix.
#[derive(Debug)]
pub(super) struct StoredTensors {
    files: Vec<(PathBuf, File)>,
    /// By name.
    pub(super) names: BTreeMap<String, StoredTensor>,
}

impl StoredTensors {
    /// `tensors` of `files`, under the names that parameters have now.
    ///
    /// # Errors
    /// When two tensors have the same name.
    pub(super) fn new(
        files: Vec<(PathBuf, File)>,
        tensors: impl IntoIterator<Item = StoredTensor>,
    ) -> Result<Self, ModelError> {
        let mut names: BTreeMap<String, StoredTensor> = BTreeMap::new();
        for tensor in tensors {
            let path = files[tensor.file].0.clone();
            if let Some(other) = names.get(&current_name(&tensor.name)) {
                let problem = format!("{} and {} are the same parameter; keep one of them", other.name, tensor.name);
                return Err(ModelError::Weights { path, problem });
            }
            names.insert(current_name(&tensor.name), tensor);
        }
        Ok(Self { files, names })
    }

    /// The file that holds `tensor`.
    pub(super) fn path(&self, tensor: &StoredTensor) -> &Path {
        &self.files[tensor.file].0
    }

    /// The numbers of `tensor`, row-major.
    ///
    /// # Errors
    /// When the file can't be read, or holds numbers that are no f32, f16 or bf16.
    pub(super) fn read(&self, tensor: &StoredTensor) -> Result<Vec<f32>, ModelError> {
        let Some(strides) = &tensor.strides else {
            return self.read_run(tensor, 0, count(&tensor.shape).unwrap_or(usize::MAX));
        };
        let all = self.read_run(tensor, 0, span(&tensor.shape, strides).unwrap_or(usize::MAX))?;
        let mut values = Vec::with_capacity(count(&tensor.shape).unwrap_or(0));
        gather(&all, &tensor.shape, strides, 0, &mut values);
        Ok(values)
    }

    /// The numbers of these rows of a table, which must have them, in order.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn read_rows(&self, tensor: &StoredTensor, rows: &[u32]) -> Result<Vec<f32>, ModelError> {
        let width = count(&tensor.shape[1..]).unwrap_or(usize::MAX);
        let mut values = Vec::with_capacity(rows.len() * width);
        if tensor.strides.is_some() {
            let all = self.read(tensor)?;
            values.extend(rows.iter().flat_map(|row| &all[*row as usize * width..][..width]));
        } else {
            for run in rows.chunk_by(|a, b| a + 1 == *b) {
                values.extend(self.read_run(tensor, run[0] as usize * width, run.len() * width)?);
            }
        }
        Ok(values)
    }

    /// `count` numbers that lie one after another, beginning with the one of index `first`.
    fn read_run(&self, tensor: &StoredTensor, first: usize, count: usize) -> Result<Vec<f32>, ModelError> {
        let (path, mut file) = (&self.files[tensor.file].0, &self.files[tensor.file].1);
        let width = tensor.element.bytes().ok_or_else(|| ModelError::Weights {
            path: path.clone(),
            problem: format!(
                "{} holds numbers of type {}; expected F32, F16 or BF16",
                tensor.name,
                match &tensor.element {
                    Element::Other(name) => name,
                    _ => "",
                }
            ),
        })?;
        file.seek(SeekFrom::Start(tensor.start + first as u64 * width)).at("read", path)?;
        let mut values = Vec::with_capacity(count);
        let mut buffer = vec![0; BLOCK.min(count * width as usize)];
        while values.len() < count {
            let bytes = buffer.len().min((count - values.len()) * width as usize);
            let buffer = &mut buffer[..bytes];
            file.read_exact(buffer).at("read", path)?;
            match tensor.element {
                Element::F16 => values.extend(pairs(buffer).map(|bytes| f16::from_le_bytes(bytes).to_f32())),
                Element::Bf16 => values.extend(pairs(buffer).map(|bytes| bf16::from_le_bytes(bytes).to_f32())),
                _ => values.extend(f32s(buffer)),
            }
        }
        Ok(values)
    }

    /// Whether two tensors hold the same numbers.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn equal(&self, one: &StoredTensor, other: &StoredTensor) -> Result<bool, ModelError> {
        if one.is_view_of(other) {
            return Ok(true);
        }
        if one.shape != other.shape {
            return Ok(false);
        }
        if one.strides.is_some() || other.strides.is_some() {
            return Ok(self.read(one)? == self.read(other)?);
        }
        let total = count(&one.shape).unwrap_or(usize::MAX);
        for first in (0..total).step_by(BLOCK) {
            let block = BLOCK.min(total - first);
            if self.read_run(one, first, block)? != self.read_run(other, first, block)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn gather(all: &[f32], shape: &[usize], strides: &[usize], at: usize, values: &mut Vec<f32>) {
    match (shape, strides) {
        ([], _) | (_, []) => values.push(all[at]),
        ([size, shape @ ..], [stride, strides @ ..]) => {
            for index in 0..*size {
                gather(all, shape, strides, at + index * stride, values);
            }
        }
    }
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    bytes.chunks_exact(2).map(|bytes| [bytes[0], bytes[1]])
}

/// Little-endian numbers.
pub(super) fn f32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// The name that a parameter has now: without the encoder's prefix, and with LayerNorm's `weight` and `bias`, which files
/// converted from TensorFlow call `gamma` and `beta`.
fn current_name(name: &str) -> String {
    let bare = ["bert.", "roberta."].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let of_norm = |old: &str, new: &str| {
        bare.strip_suffix(old).filter(|start| start.ends_with("LayerNorm.")).map(|start| format!("{start}{new}"))
    };
    of_norm("gamma", "weight").or_else(|| of_norm("beta", "bias")).unwrap_or_else(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], tensors: impl IntoIterator<Item = StoredTensor>) -> Result<StoredTensors, ModelError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        StoredTensors::new(vec![("weights".into(), file.into_file())], tensors)
    }

    fn tensor(name: &str, start: u64, shape: &[usize], strides: Option<&[usize]>, element: Element) -> StoredTensor {
        StoredTensor {
            name: name.into(),
            file: 0,
            start,
            shape: shape.to_vec(),
            strides: strides.map(<[usize]>::to_vec),
            element,
        }
    }

    #[test]
    fn half_precision_is_widened() {
        let values = [1.5f32, -0.25, 1024.0];
        let halves: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let brains: Vec<u8> = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        for (element, bytes) in [(Element::F16, halves), (Element::Bf16, brains)] {
            let stored = of(&bytes, [tensor("a", 0, &[3], None, element)]).unwrap();
            assert_eq!(stored.read(&stored.names["a"]).unwrap(), values);
        }
        let stored = of(&[0; 8], [tensor("a", 0, &[1], None, Element::Other("F64".into()))]).unwrap();
        let error = stored.read(&stored.names["a"]).unwrap_err().to_string();
        assert_eq!(error, "weights: a holds numbers of type F64; expected F32, F16 or BF16");
    }

    #[test]
    fn views_are_read_by_their_strides() {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let views = [
            tensor("whole", 0, &[3, 4], None, Element::F32),
            tensor("turned", 0, &[4, 3], Some(&[1, 4]), Element::F32),
            tensor("column", 4, &[3, 1], Some(&[4, 1]), Element::F32),
            tensor("same", 8, &[2, 2], Some(&[0, 0]), Element::F32),
            tensor("scalar", 20, &[], None, Element::F32),
            tensor("copy", 0, &[3, 4], Some(&[4, 1]), Element::F32),
        ];
        let stored = of(&bytes, views).unwrap();
        let read = |name: &str| stored.read(&stored.names[name]).unwrap();
        for name in ["whole", "copy"] {
            let rows = stored.read_rows(&stored.names[name], &[0, 2]).unwrap();
            assert_eq!(rows, [0., 1., 2., 3., 8., 9., 10., 11.]);
        }
        assert_eq!(read("whole"), values);
        assert_eq!(read("turned"), [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        assert_eq!(read("column"), [1., 5., 9.]);
        assert_eq!(read("same"), [2.0; 4]);
        assert_eq!(read("scalar"), [5.0]);
        let equal = |one: &str, other: &str| stored.equal(&stored.names[one], &stored.names[other]).unwrap();
        assert!(equal("whole", "copy") && equal("turned", "turned"));
        assert!(!equal("whole", "turned") && !equal("column", "scalar"));
    }

    #[test]
    fn old_names_are_those_of_today() {
        assert_eq!(current_name("bert.embeddings.LayerNorm.gamma"), "embeddings.LayerNorm.weight");
        assert_eq!(
            current_name("cls.predictions.transform.LayerNorm.beta"),
            "cls.predictions.transform.LayerNorm.bias"
        );
        assert_eq!(current_name("roberta.pooler.dense.weight"), "pooler.dense.weight");
        assert_eq!(current_name("gamma"), "gamma");
        let twice = ["bert.pooler.dense.bias", "pooler.dense.bias"];
        let error = of(&[0; 4], twice.map(|name| tensor(name, 0, &[1], None, Element::F32))).unwrap_err().to_string();
        assert!(error.contains("bert.pooler.dense.bias and pooler.dense.bias are the same parameter"), "{error}");
    }
}

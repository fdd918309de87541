//! A parameter between the host and the device.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::model::config::{Architecture, EncoderConfig};
use crate::model::layers::Slot;
use crate::model::random::{normal, stream};
use crate::model::{ModelError, failure};

/// A parameter on the host, in the layout of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// As in the file: a linear map is `[outputs, inputs]`.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Copies a parameter from the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read(slot: Slot<'_>) -> Result<Self, ModelError> {
        let shape = slot.shape();
        match slot {
            Slot::Vector(tensor) => Ok(Self { values: values(tensor.clone())?, shape }),
            Slot::Table(tensor) => Ok(Self { values: values(tensor.clone())?, shape }),
            Slot::Map(tensor) => Ok(Self {
                values: transpose(&values(tensor.clone())?, shape[0], shape[1]),
                shape: vec![shape[1], shape[0]],
            }),
        }
    }
}

/// The elements of a tensor on the host.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.without_autodiff().try_into_vec_as::<f32>().map_err(|error| failure("reading a tensor", &error.to_string()))
}

/// Puts host values in memory layout into `slot`.
pub(crate) fn put(slot: Slot<'_>, values: Vec<f32>, device: &Device) {
    let shape = slot.shape();
    put_shaped(slot, shape, values, device);
}

/// Puts the values of a file into `slot`: `read` is called when what was in the slot is gone, so that a large table is not in
/// memory twice.
pub(super) fn put_stored(
    mut slot: Slot<'_>,
    device: &Device,
    read: impl FnOnce() -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    let shape = slot.shape();
    release(&mut slot, device);
    let values = match slot {
        Slot::Map(_) => transpose(&read()?, shape[1], shape[0]),
        Slot::Vector(_) | Slot::Table(_) => read()?,
    };
    put_shaped(slot, shape, values, device);
    Ok(())
}

/// Fills `slot` as transformers fills a parameter that is made new.
pub(super) fn fill_new(name: &str, mut slot: Slot<'_>, config: &EncoderConfig, seed: u64, device: &Device) {
    let shape = slot.shape();
    if let Slot::Vector(_) = slot {
        return; // biases are made 0 and LayerNorm weights 1
    }
    release(&mut slot, device);
    let mut values = normal(&mut stream(seed, name, &[]), shape.iter().product(), config.initializer_range);
    let padded = name.ends_with("word_embeddings.weight")
        || (name.ends_with("position_embeddings.weight") && config.model_type == Architecture::XlmRoberta);
    if padded {
        let start = config.pad_token_id as usize * shape[1];
        values[start..start + shape[1]].fill(0.0);
    }
    put_shaped(slot, shape, values, device);
}

fn put_shaped(slot: Slot<'_>, shape: Vec<usize>, values: Vec<f32>, device: &Device) {
    let data = TensorData::new(values, shape);
    match slot {
        Slot::Vector(tensor) => *tensor = Tensor::from_data(data, (device, DType::F32)),
        Slot::Table(tensor) | Slot::Map(tensor) => *tensor = Tensor::from_data(data, (device, DType::F32)),
    }
}

/// Gives back the memory of what is in `slot`.
fn release(slot: &mut Slot<'_>, device: &Device) {
    match slot {
        Slot::Vector(tensor) => **tensor = Tensor::zeros([1], device),
        Slot::Table(tensor) | Slot::Map(tensor) => **tensor = Tensor::zeros([1, 1], device),
    }
}

/// `[rows, columns]` to `[columns, rows]`, in blocks that stay in the cache.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut result = vec![0.0; values.len()];
    for row_start in (0..rows).step_by(BLOCK) {
        for column_start in (0..columns).step_by(BLOCK) {
            for row in row_start..(row_start + BLOCK).min(rows) {
                for column in column_start..(column_start + BLOCK).min(columns) {
                    result[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    result
}

#[cfg(test)]
pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    super::stored::f32s(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let values: Vec<f32> = (0..70 * 45).map(|value| value as f32).collect();
        let turned = transpose(&values, 70, 45);
        assert_eq!(turned[70], values[1]);
        assert_eq!(transpose(&turned, 45, 70), values);
    }
}

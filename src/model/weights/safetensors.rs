//! Safetensors files: eight bytes with the length of a JSON header, the header, and the tensors without gaps, all
//! little-endian (<https://huggingface.co/docs/safetensors>). The header alone is held in memory; tensors are read and
//! written one at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use burn::tensor::Tensor;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::parameter::{transpose, values};
use super::stored::{Element, StoredTensor, count};
use crate::error::IoContext;
use crate::model::ModelError;
use crate::model::layers::Slot;

/// The longest header that the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;
/// Numbers of a table that are on the host at a time while it is written.
const BLOCK: usize = 1 << 20;

/// A tensor in a header.
#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    /// Begin and end in bytes, counted from the end of the header.
    data_offsets: (u64, u64),
}

/// The tensors of a header in its own order; a name that stands there twice is an error.
struct Header(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut found = BTreeMap::new();
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if found.insert(name.clone(), ()).is_some() {
                        return Err(A::Error::custom(format!("{name} is there twice")));
                    }
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The tensors that the safetensors file `path` holds; `index` is its place among the files.
///
/// # Errors
/// When the file can't be read, is cut off, or is no safetensors file.
pub(super) fn tensors(path: &Path, file: &File, index: usize) -> Result<Vec<StoredTensor>, ModelError> {
    let wrong = |problem: String| ModelError::Weights { path: path.to_path_buf(), problem };
    let foreign = |what: String| wrong(format!("not a safetensors file ({what}); download or export it again"));
    let size = file.metadata().at("read", path)?.len();
    let mut reader = file;
    let mut length = [0; 8];
    if size < 8 {
        return Err(foreign(format!("it has {size} bytes")));
    }
    reader.read_exact(&mut length).at("read", path)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(foreign(format!("its header would have {length} bytes")));
    }
    let cut = |needs: u64| {
        wrong(format!("the file is cut off: it has {size} bytes and needs {needs}; download or copy it again"))
    };
    let begin = 8 + length;
    if begin > size {
        return Err(cut(begin));
    }
    let mut header = vec![0; length as usize];
    reader.read_exact(&mut header).at("read", path)?;
    let Header(mut entries) = serde_json::from_slice(&header).map_err(|error| foreign(error.to_string()))?;

    entries.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in &entries {
        let element = element(&info.dtype);
        let (from, to) = info.data_offsets;
        let fits = |width: u64| count(&info.shape).and_then(|count| width.checked_mul(count as u64)) == Some(to - from);
        if from != end || to < from || !element.bytes().is_none_or(fits) {
            return Err(foreign(format!("{name} of shape {:?} can't lie at bytes {from} to {to}", info.shape)));
        }
        end = to;
    }
    if begin.saturating_add(end) > size {
        return Err(cut(begin.saturating_add(end)));
    }
    if begin + end < size {
        return Err(foreign(format!("{} bytes follow on its last tensor", size - begin - end)));
    }
    let stored = |(name, info): (String, Info)| StoredTensor {
        name,
        file: index,
        start: begin + info.data_offsets.0,
        element: element(&info.dtype),
        shape: info.shape,
        strides: None,
    };
    Ok(entries.into_iter().map(stored).collect())
}

fn element(dtype: &str) -> Element {
    match dtype {
        "F32" => Element::F32,
        "F16" => Element::F16,
        "BF16" => Element::Bf16,
        other => Element::Other(other.to_owned()),
    }
}

/// Writes `parameters` into the file `path`, in the order of their names, each copied from the device when it is its turn.
///
/// # Errors
/// When the file can't be written or the device fails to hand over a parameter.
pub(super) fn write(path: &Path, mut parameters: Vec<(String, Slot<'_>)>) -> Result<(), ModelError> {
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut header = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let mut end = 0;
    for (name, slot) in &parameters {
        let shape = file_shape(slot);
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        let name = serde_json::Value::from(name.as_str());
        header.push_str(&format!(
            r#",{name}:{{"dtype":"F32","shape":{},"data_offsets":[{begin},{end}]}}"#,
            serde_json::json!(shape)
        ));
    }
    header.push('}');
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));

    let file = File::create(path).at("create", path)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&(header.len() as u64).to_le_bytes()).at("write", path)?;
    file.write_all(header.as_bytes()).at("write", path)?;
    let mut buffer = Vec::new();
    let mut write = |values: Vec<f32>| -> Result<(), ModelError> {
        for block in values.chunks(BLOCK) {
            buffer.resize(4 * block.len(), 0);
            for (bytes, value) in buffer.chunks_exact_mut(4).zip(block) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            file.write_all(&buffer).at("write", path)?;
        }
        Ok(())
    };
    for (_, slot) in parameters {
        match slot {
            Slot::Vector(tensor) => write(values(tensor.clone())?)?,
            Slot::Table(tensor) => {
                for rows in row_blocks(tensor) {
                    write(values(rows)?)?;
                }
            }
            Slot::Map(tensor) => {
                let [inputs, outputs] = tensor.dims();
                write(transpose(&values(tensor.clone())?, inputs, outputs))?;
            }
        }
    }
    file.flush().at("write", path)?;
    Ok(())
}

/// The shape of a parameter in a file: a linear map is `[outputs, inputs]`.
pub(super) fn file_shape(slot: &Slot<'_>) -> Vec<usize> {
    let mut shape = slot.shape();
    if let Slot::Map(_) = slot {
        shape.reverse();
    }
    shape
}

/// The rows of a table, some at a time: a table of a quarter of a million words is never on the host twice.
fn row_blocks(table: &Tensor<2>) -> impl Iterator<Item = Tensor<2>> + '_ {
    let [rows, width] = table.dims();
    let block = (BLOCK / width.max(1)).max(1);
    (0..rows).step_by(block).map(move |first| table.clone().slice([first..(first + block).min(rows), 0..width]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;
    use safetensors::tensor::{Dtype, TensorView};

    use super::super::parameter::f32s;
    use super::*;

    fn written(header: &str, data: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.write_all(&vec![0; data]).unwrap();
        file
    }

    fn read(path: &Path) -> Result<Vec<StoredTensor>, ModelError> {
        tensors(path, &File::open(path).unwrap(), 0)
    }

    #[test]
    fn a_file_is_what_the_library_writes() {
        let device = Device::flex();
        let numbers = |count: usize| (0..count).map(|value| value as f32 * 0.5 - 7.0).collect::<Vec<_>>();
        let mut vector = Tensor::<1>::from_data(TensorData::new(numbers(5), [5]), &device);
        let mut table = Tensor::<2>::from_data(TensorData::new(numbers(6), [3, 2]), &device);
        let mut map = Tensor::<2>::from_data(TensorData::new(numbers(8), [2, 4]), &device);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.safetensors");
        let slots = [("z", Slot::Vector(&mut vector)), ("m\"", Slot::Map(&mut map)), ("a", Slot::Table(&mut table))];
        write(&path, slots.into_iter().map(|(name, slot)| (name.to_owned(), slot)).collect()).unwrap();

        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let datas = [bytes(&numbers(5)), bytes(&numbers(6)), bytes(&[-7., -5., -6.5, -4.5, -6., -4., -5.5, -3.5])];
        let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
        let views = [("z", view(&[5], &datas[0])), ("a", view(&[3, 2], &datas[1])), ("m\"", view(&[4, 2], &datas[2]))];
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let expected = safetensors::serialize(views, Some(metadata)).unwrap();
        let found = std::fs::read(&path).unwrap();
        assert_eq!(found, expected);
        let back = read(&path).unwrap();
        assert_eq!(back.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["a", "m\"", "z"]);
        assert_eq!(f32s(&found[back[2].start as usize..]), numbers(5));
    }

    #[test]
    fn a_table_is_written_in_blocks_of_rows() {
        let numbers: Vec<f32> = (0..7 * 400_000).map(|value| value as f32).collect();
        let mut table = Tensor::<2>::from_data(TensorData::new(numbers.clone(), [7, 400_000]), &Device::flex());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.safetensors");
        assert_eq!(row_blocks(&table).count(), 4);
        write(&path, vec![("a".into(), Slot::Table(&mut table))]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(f32s(&bytes[read(&path).unwrap()[0].start as usize..]) == numbers);
    }

    #[test]
    fn what_is_no_safetensors_file_is_refused_with_the_reason() {
        let two = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]}}"#;
        let stored = read(written(two, 14).path()).unwrap();
        assert_eq!((stored[0].start, stored[1].start), (8 + two.len() as u64, 16 + two.len() as u64));
        let twice = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
        let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,18446744073709551615]}}"#;
        for (header, data, says) in [
            (two, 13, "the file is cut off"),
            (two, 15, "1 bytes follow on its last tensor"),
            (twice, 16, "a is there twice"),
            (&two.replace("[2]", "[3]"), 14, "a of shape [3] can't lie at bytes 0 to 8"),
            (&two.replace("[8,14]", "[6,12]"), 12, "b of shape [3] can't lie at bytes 6 to 12"),
            (huge, 8, "a of shape [4294967296, 4294967296] can't lie at bytes 0 to 18446744073709551615"),
            (&huge.replace("F32", "F64"), 8, "cut off"),
            ("[]", 0, "expected an object of tensors"),
            ("not json", 0, "expected ident"),
        ] {
            let error = read(written(header, data).path()).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        let short = tempfile::NamedTempFile::new().unwrap();
        assert!(read(short.path()).unwrap_err().to_string().contains("it has 0 bytes"));
        std::fs::write(short.path(), u64::MAX.to_le_bytes()).unwrap();
        assert!(read(short.path()).unwrap_err().to_string().contains("its header would have"));
        std::fs::write(short.path(), 100u64.to_le_bytes()).unwrap();
        assert!(read(short.path()).unwrap_err().to_string().contains("has 8 bytes and needs 108"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let _ = read(file.path());
        }
    }
}

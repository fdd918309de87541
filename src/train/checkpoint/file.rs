//! One checkpoint file: safetensors, written section by section as the values leave the device, so that no second copy of a
//! training is ever in memory, and closed by a BLAKE3 digest of all that stands before it, so that a file which storage
//! damaged is known for one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::{FileError, IoContext};

/// The last section: the digest.
const DIGEST: &str = "digest";
/// The metadata's only entry.
const STATE: &str = "state";
/// Bytes that are converted, read or hashed together.
const PIECE: usize = 1 << 20;

/// A file that grows by sections of little-endian numbers of four bytes.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Writer {
    /// Starts a file at `path` of these sections (name, f32 or u32, shape), which are to follow in this order. `state` goes
    /// into the metadata.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn create(
        path: &Path,
        sections: impl IntoIterator<Item = (String, Dtype, Vec<usize>)>,
        state: String,
    ) -> Result<Self, FileError> {
        let mut end = 0;
        let mut place = |bytes: usize| {
            let start = end;
            end += bytes;
            (start, end)
        };
        let mut tensors: Vec<(String, TensorInfo)> = sections
            .into_iter()
            .map(|(name, dtype, shape)| {
                let data_offsets = place(shape.iter().product::<usize>() * size_of::<f32>());
                (name, TensorInfo { dtype, shape, data_offsets })
            })
            .collect();
        let digest =
            TensorInfo { dtype: Dtype::U8, shape: vec![blake3::OUT_LEN], data_offsets: place(blake3::OUT_LEN) };
        tensors.push((DIGEST.to_owned(), digest));
        let metadata = Metadata::new(Some(HashMap::from([(STATE.to_owned(), state)])), tensors)
            .expect("sections follow one another");
        let mut header = serde_json::to_vec(&metadata).expect("names and numbers serialise");
        header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
        let file = BufWriter::with_capacity(PIECE, File::create(path).at("create", path)?);
        let mut writer = Self { path: path.to_owned(), file, hasher: blake3::Hasher::new(), buffer: Vec::new() };
        writer.bytes(&(header.len() as u64).to_le_bytes())?;
        writer.bytes(&header)?;
        Ok(writer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).at("write", &self.path)
    }

    /// Appends the next section or a part of it.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn numbers<T: Number>(&mut self, values: &[T]) -> Result<(), FileError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for piece in values.chunks(PIECE / size_of::<T>()) {
            buffer.resize(std::mem::size_of_val(piece), 0);
            for (bytes, value) in buffer.chunks_exact_mut(size_of::<T>()).zip(piece) {
                bytes.copy_from_slice(&value.bytes());
            }
            self.bytes(&buffer)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Writes the digest and brings everything to the disk.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn finish(mut self) -> Result<(), FileError> {
        let digest = self.hasher.finalize();
        self.file.write_all(digest.as_bytes()).at("write", &self.path)?;
        self.file.flush().at("write", &self.path)?;
        self.file.get_ref().sync_all().at("sync", &self.path)
    }
}

/// What sections are made of.
pub trait Number: Copy {
    /// Little-endian.
    fn bytes(self) -> [u8; 4];
    /// From little-endian.
    fn of(bytes: [u8; 4]) -> Self;
}

impl Number for f32 {
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    fn of(bytes: [u8; 4]) -> Self {
        f32::from_le_bytes(bytes)
    }
}

impl Number for u32 {
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    fn of(bytes: [u8; 4]) -> Self {
        u32::from_le_bytes(bytes)
    }
}

/// A file that was found whole.
pub struct Reader {
    file: File,
    metadata: Metadata,
    /// Where the sections begin.
    start: u64,
}

impl Reader {
    /// Opens the file at `path` and checks its digest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let say = |error: std::io::Error| error.to_string();
        let mut file = File::open(path).map_err(say)?;
        let length = file.metadata().map_err(say)?.len();
        let mut first = [0; size_of::<u64>()];
        file.read_exact(&mut first).map_err(|_| "it is cut off".to_owned())?;
        let header = u64::from_le_bytes(first);
        let start = header.saturating_add(first.len() as u64);
        if start > length {
            return Err("it is cut off".to_owned());
        }
        let mut text = first.to_vec();
        text.resize(start as usize, 0);
        file.read_exact(&mut text[first.len()..]).map_err(say)?;
        let metadata: Metadata =
            serde_json::from_slice(&text[first.len()..]).map_err(|error| format!("its header is damaged ({error})"))?;
        if start + metadata.data_len() as u64 != length {
            return Err("it is cut off".to_owned());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&text);
        let mut left = (length - start).saturating_sub(blake3::OUT_LEN as u64);
        let mut buffer = vec![0; PIECE];
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE as u64) as usize];
            file.read_exact(piece).map_err(say)?;
            hasher.update(piece);
            left -= piece.len() as u64;
        }
        let mut digest = [0; blake3::OUT_LEN];
        file.read_exact(&mut digest).map_err(say)?;
        if hasher.finalize() != blake3::Hash::from_bytes(digest) {
            return Err("its bytes are not those that were written".to_owned());
        }
        Ok(Self { file, metadata, start })
    }

    /// What [`Writer::create`] was given as state.
    pub fn state(&self) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(STATE).map(String::as_str)
    }

    /// The values of a section.
    ///
    /// # Errors
    /// When there is no such section or the file can't be read any more.
    pub fn numbers<T: Number>(&mut self, name: &str) -> Result<Vec<T>, String> {
        let info = self.metadata.info(name).ok_or_else(|| format!("it holds no {name}"))?;
        let (begin, end) = info.data_offsets;
        let say = |error: std::io::Error| error.to_string();
        self.file.seek(SeekFrom::Start(self.start + begin as u64)).map_err(say)?;
        let mut values = Vec::with_capacity((end - begin) / size_of::<T>());
        let mut buffer = vec![0; PIECE.min(end - begin)];
        let mut left = end - begin;
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            self.file.read_exact(piece).map_err(say)?;
            values.extend(piece.chunks_exact(4).map(|b| T::of([b[0], b[1], b[2], b[3]])));
            left -= piece.len();
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> Vec<f32> {
        let values: Vec<f32> = (0..600_000).map(|value| value as f32 * 0.5).collect();
        let sections =
            [("a".to_owned(), Dtype::F32, vec![1000, 600]), ("b".to_owned(), Dtype::U32, vec![3])].into_iter();
        let mut writer = Writer::create(path, sections, "counters".into()).unwrap();
        values.chunks(70_000).for_each(|part| writer.numbers(part).unwrap());
        writer.numbers(&[1u32, u32::MAX, 7]).unwrap();
        writer.finish().unwrap();
        values
    }

    #[test]
    fn what_is_written_is_read_and_is_safetensors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let values = write(&path);
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.state(), Some("counters"));
        assert_eq!(reader.numbers::<u32>("b").unwrap(), [1, u32::MAX, 7]);
        assert!(reader.numbers::<f32>("a").unwrap() == values);
        assert_eq!(reader.numbers::<f32>("c").unwrap_err(), "it holds no c");

        let bytes = std::fs::read(&path).unwrap();
        let library = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let view = library.tensor("a").unwrap();
        assert_eq!((view.shape(), view.dtype()), (&[1000, 600][..], Dtype::F32));
        assert!(crate::model::weights::f32s(view.data()) == values);
    }

    #[test]
    fn a_damaged_file_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path);
        let whole = std::fs::read(&path).unwrap();
        let fails = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Reader::open(&path).map(|_| ()).unwrap_err()
        };
        for length in [0, 5, 40, 1_000, whole.len() - 33, whole.len() - 1] {
            assert!(fails(&whole[..length]).contains("cut off"), "{length}");
        }
        for place in [100, 5_000, 2_000_000, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 16;
            fails(&bytes);
        }
        std::fs::write(&path, &whole).unwrap();
        Reader::open(&path).unwrap();
    }
}

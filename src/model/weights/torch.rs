//! `pytorch_model.bin`: a zip archive of uncompressed members, with a pickle that says which tensor is which part of them.
//! The pickle is read by [`super::pickle`], which executes nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::pickle;
use super::stored::{StoredTensor, count, span};
use crate::error::IoContext;
use crate::model::ModelError;

/// The longest pickle that is read, in bytes: a model of thousands of tensors has less than one thousandth of it.
const LONGEST_PICKLE: u64 = 256 << 20;

/// How a zip archive begins.
const ZIP: [u8; 4] = *b"PK\x03\x04";
/// How PyTorch's format before version 1.6 begins: the number 0x1950a86a20f9469cfc6c, pickled.
const LEGACY: [u8; 14] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The tensors that the PyTorch file `path` holds; `index` is its place among the files.
///
/// # Errors
/// When the file can't be read, is of an older format, is damaged, or holds anything but a dictionary of tensors.
pub(super) fn tensors(path: &Path, file: &File, index: usize) -> Result<Vec<StoredTensor>, ModelError> {
    let wrong = |problem: String| ModelError::Weights { path: path.to_path_buf(), problem };
    let mut begin = Vec::new();
    file.take(LEGACY.len() as u64).read_to_end(&mut begin).at("read", path)?;
    if begin == LEGACY {
        return Err(wrong(
            "it is in PyTorch's format from before version 1.6; write it again: \
             torch.save(torch.load(path, weights_only=True), path)"
                .to_owned(),
        ));
    }
    if !begin.starts_with(&ZIP) {
        return Err(wrong("not a PyTorch file (no zip archive); download or export it again".to_owned()));
    }
    let mut reader = file;
    reader.seek(SeekFrom::Start(0)).at("read", path)?;
    let damaged = |error: String| wrong(format!("the archive is damaged ({error}); download or copy it again"));
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(error.to_string()))?;
    let top = archive.file_names().find_map(|name| name.ok()?.strip_suffix("data.pkl").map(str::to_owned));
    let top = top.ok_or_else(|| wrong("not a PyTorch file (no data.pkl in it)".to_owned()))?;
    let mut member = |name: &str| -> Result<Option<Vec<u8>>, ModelError> {
        match archive.by_name(&format!("{top}{name}")) {
            Ok(member) if member.size() > LONGEST_PICKLE => Err(wrong(format!("{name} in it is too long"))),
            Ok(member) => {
                let mut bytes = Vec::new();
                let read = member.take(LONGEST_PICKLE).read_to_end(&mut bytes);
                read.map_err(|error| damaged(error.to_string()))?;
                Ok(Some(bytes))
            }
            Err(zip::result::ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(damaged(error.to_string())),
        }
    };
    // Files from before PyTorch 2.1 do not say; nearly all machines are little-endian.
    if member("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(wrong("its numbers are not little-endian; write it again on a machine where they are".to_owned()));
    }
    let pickle = member("data.pkl")?.unwrap_or_default();
    let views = pickle::tensors(&pickle).map_err(|problem| wrong(format!("data.pkl: {problem}")))?;

    let mut places: HashMap<String, (u64, u64)> = HashMap::new();
    for number in 0..archive.len() {
        let member = archive.by_index_raw(number).map_err(|error| damaged(error.to_string()))?;
        let name = member.name().map_err(|error| damaged(error.to_string()))?;
        let Some(key) = name.strip_prefix(&format!("{top}data/")).map(str::to_owned) else { continue };
        let place = member.data_start().filter(|_| member.compression() == CompressionMethod::Stored);
        let place = place.ok_or_else(|| damaged(format!("data/{key} is compressed")))?;
        places.insert(key, (place, member.size()));
    }
    let mut found = Vec::with_capacity(views.len());
    for (name, view) in views {
        let Some((place, bytes)) = places.get(&*view.storage.key) else {
            return Err(damaged(format!("{name} is in data/{}, which is not there", view.storage.key)));
        };
        // The offset of a tensor that is not read (`position_ids`, whole numbers) is of no interest.
        let width = view.storage.element.bytes().unwrap_or(0);
        let last = span(&view.shape, &view.strides).and_then(|span| span.checked_add(view.offset));
        let needed = width.checked_mul(view.storage.count as u64);
        if needed.is_none_or(|needed| needed > *bytes) || last.is_none_or(|last| last > view.storage.count) {
            return Err(damaged(format!("{name} reaches beyond data/{}", view.storage.key)));
        }
        found.push(StoredTensor {
            name: name.to_string(),
            file: index,
            start: place + view.offset as u64 * width,
            strides: (!is_row_major(&view.shape, &view.strides)).then_some(view.strides),
            element: view.storage.element,
            shape: view.shape,
        });
    }
    Ok(found)
}

fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let expected = |axis: usize| count(&shape[axis + 1..]);
    (0..shape.len()).all(|axis| shape[axis] == 1 || Some(strides[axis]) == expected(axis))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::pickle::tests::dictionary;
    use super::super::stored::StoredTensors;
    use super::*;

    /// An archive as torch writes it, each member beginning with a 64-byte boundary.
    fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = ZipWriter::new(file.as_file_mut());
        for (name, bytes) in members {
            let options = SimpleFileOptions::default().compression_method(method).with_alignment(64);
            writer.start_file(format!("model/{name}"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        file
    }

    fn read(file: &tempfile::NamedTempFile) -> Result<Vec<StoredTensor>, ModelError> {
        tensors(Path::new("model.bin"), &File::open(file.path()).unwrap(), 0)
    }

    fn numbers() -> Vec<u8> {
        (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect()
    }

    #[test]
    fn tensors_are_found_in_the_archive() {
        let pickle = dictionary("bert.a");
        let file = archive(
            &[("data.pkl", &pickle), ("byteorder", b"little"), ("data/7", &numbers())],
            CompressionMethod::Stored,
        );
        let found = read(&file).unwrap();
        let stored = StoredTensors::new(vec![("model.bin".into(), File::open(file.path()).unwrap())], found).unwrap();
        assert_eq!(stored.names["a"].shape, [2, 3]);
        assert_eq!(stored.read(&stored.names["a"]).unwrap(), [0., 1., 2., 3., 4., 5.]);
    }

    #[test]
    fn what_is_no_such_archive_is_refused_with_the_reason() {
        let (pickle, numbers) = (dictionary("a"), numbers());
        let stored = CompressionMethod::Stored;
        let whole = [("data.pkl", &pickle[..]), ("data/7", &numbers[..])];
        assert!(read(&archive(&whole, stored)).is_ok());
        let compressed = archive(&whole, CompressionMethod::Deflated);
        let big = archive(&[("data.pkl", &pickle), ("byteorder", b"big"), ("data/7", &numbers)], stored);
        let absent = archive(&whole[..1], stored);
        let short = archive(&[whole[0], ("data/7", &numbers[..20])], stored);
        let code = archive(&[("data.pkl", b"\x80\x02cos\nsystem\n."), ("data/7", &numbers)], stored);
        let none = archive(&whole[1..], stored);
        for (file, says) in [
            (compressed, "data/7 is compressed"),
            (big, "not little-endian"),
            (absent, "a is in data/7, which is not there"),
            (short, "a reaches beyond data/7"),
            (code, "data.pkl: it asks for os.system"),
            (none, "no data.pkl"),
        ] {
            let error = read(&file).unwrap_err().to_string();
            assert!(error.starts_with("model.bin: ") && error.contains(says), "{says}: {error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for (bytes, says) in
            [(&LEGACY[..], "torch.save(torch.load(path"), (b"text", "no zip archive"), (&ZIP, "damaged")]
        {
            std::fs::write(file.path(), bytes).unwrap();
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        let whole = archive(&whole, stored);
        let bytes = std::fs::read(whole.path()).unwrap();
        std::fs::write(whole.path(), &bytes[..bytes.len() - 30]).unwrap();
        assert!(read(&whole).unwrap_err().to_string().contains("the archive is damaged"));
    }
}

//! A file that is being downloaded: its bytes so far, which stay on the disk if the transfer is cut, and what they are a
//! part of.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{FileError, IoContext};
use crate::fs::settle;

/// Bytes so far at `path`, and beside them the hub's tag of the whole file.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    /// How many there are.
    pub(super) bytes: u64,
    /// The tag, unquoted; empty where nothing was transferred yet.
    pub(super) tag: String,
}

impl Partial {
    /// Takes up what an earlier transfer to `path` left, if it left something.
    pub(super) fn open(path: PathBuf) -> Result<Self, FileError> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at("open", &path)?;
        let tag = match std::fs::read_to_string(tag_path(&path)) {
            Ok(tag) => tag,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(FileError::new("read", tag_path(&path), e)),
        };
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut buffer).at("read", &path)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            bytes += read as u64;
        }
        let mut partial = Self { path, file, hasher, bytes, tag };
        if partial.tag.is_empty() {
            partial.restart("")?;
        }
        Ok(partial)
    }

    /// Throws the bytes away; those to come are of the file that the hub calls `tag`.
    pub(super) fn restart(&mut self, tag: &str) -> Result<(), FileError> {
        self.file.set_len(0).at("truncate", &self.path)?;
        self.file.seek(SeekFrom::Start(0)).at("rewind", &self.path)?;
        (self.hasher, self.bytes) = (Sha256::new(), 0);
        if tag != self.tag {
            tag.clone_into(&mut self.tag);
            std::fs::write(tag_path(&self.path), tag).at("write", tag_path(&self.path))?;
        }
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).at("write", &self.path)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// sha256 of the bytes so far, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes the bytes durable and moves them to `blob`.
    pub(super) fn keep(self, blob: &Path) -> Result<(), FileError> {
        let folder = blob.parent().expect("a blob is in a folder of the cache");
        std::fs::create_dir_all(folder).at("create directory", folder)?;
        settle(&self.path, blob)?;
        match std::fs::remove_file(tag_path(&self.path)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::new("remove", tag_path(&self.path), e))
            }
            _ => Ok(()),
        }
    }

    /// Removes the bytes.
    pub(super) fn discard(self) {
        // What can't be removed is found, and found wanting, by the next transfer.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(tag_path(&self.path));
    }
}

fn tag_path(path: &Path) -> PathBuf {
    path.with_extension("tag")
}

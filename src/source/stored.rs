//! How a raw file lies on the disk, and its bytes as a stream.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// How a raw file lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// As it is.
    Plain,
    /// Compressed on its own, by gzip.
    Gzip,
}

impl Stored {
    /// The bytes of the file at `path`, unpacked while they are read. Not buffered: to be read in large pieces.
    pub(super) fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        Ok(match self {
            Stored::Plain => Box::new(file),
            Stored::Gzip => Box::new(MultiGzDecoder::new(file)),
        })
    }
}

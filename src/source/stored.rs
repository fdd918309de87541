//! How a raw file lies on the disk, and its bytes as a stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use serde::{Deserialize, Serialize};

/// How a raw file lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// As it is.
    Plain,
    /// Compressed on its own, by gzip.
    Gzip,
    /// In an archive.
    Member(Member),
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The archive.
    pub(super) archive: PathBuf,
    /// The path within the archive.
    pub(super) name: String,
    /// Where its bytes begin: in a `.tar.gz` counted in the unpacked stream, else in the archive's file.
    pub(super) offset: u64,
    /// Its size when unpacked.
    pub(super) bytes: u64,
    /// How it is packed.
    pub(super) packing: Packing,
}

/// How a file is packed in its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Packing {
    /// `packed` bytes of a zip, whose contents have the CRC-32 `crc`.
    Zip { packed: u64, deflated: bool, crc: u32 },
    /// A run of bytes of a tar.
    Tar,
    /// A run of bytes of a tar that is compressed as a whole.
    TarGz,
    /// In a way that is not read here: what it is.
    Unreadable(String),
}

impl Stored {
    /// The bytes of the file at `path`, unpacked while they are read. Not buffered: to be read in large pieces. Damage is an
    /// error of kind [`io::ErrorKind::InvalidData`], met at the latest at the end of the bytes.
    pub(super) fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Stored::Plain => Box::new(File::open(path)?),
            Stored::Gzip => {
                Box::new(Unpacked { input: MultiGzDecoder::new(File::open(path)?), read: 0, expected: None })
            }
            Stored::Member(member) => member.open()?,
        })
    }
}

impl Member {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.archive)?;
        Ok(match self.packing {
            Packing::Zip { packed, deflated, crc } => {
                file.seek(SeekFrom::Start(self.offset))?;
                let expected = Some(Expected { bytes: self.bytes, crc: Some((Crc::new(), crc)) });
                let packed = file.take(packed);
                if deflated {
                    Box::new(Unpacked { input: DeflateDecoder::new(packed), read: 0, expected })
                } else {
                    Box::new(Unpacked { input: packed, read: 0, expected })
                }
            }
            Packing::Tar => {
                file.seek(SeekFrom::Start(self.offset))?;
                self.run(file)
            }
            Packing::TarGz => {
                let mut unpacked = MultiGzDecoder::new(file);
                io::copy(&mut (&mut unpacked).take(self.offset), &mut io::sink()).map_err(damage)?;
                self.run(unpacked)
            }
            Packing::Unreadable(ref what) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it is {what}; unpack the archive first"),
                ));
            }
        })
    }

    fn run(&self, input: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        let expected = Some(Expected { bytes: self.bytes, crc: None });
        Box::new(Unpacked { input: input.take(self.bytes), read: 0, expected })
    }
}

/// What the archive says of a file's bytes.
struct Expected {
    bytes: u64,
    /// Of the bytes read so far, and of all of them.
    crc: Option<(Crc, u32)>,
}

/// Unpacked bytes, held against what the archive says of them; damage is told in one way whichever decoder finds it.
struct Unpacked<R> {
    input: R,
    read: u64,
    expected: Option<Expected>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer).map_err(damage)?;
        self.read += read as u64;
        if let Some(expected) = &mut self.expected {
            let at_end = read == 0 && !buffer.is_empty();
            if self.read > expected.bytes || at_end && self.read < expected.bytes {
                return Err(damaged(&format!("not {} bytes as its archive says", expected.bytes)));
            }
            if let Some((crc, whole)) = &mut expected.crc {
                crc.update(&buffer[..read]);
                if at_end && crc.sum() != *whole {
                    return Err(damaged("its checksum is not the one in the archive"));
                }
            }
        }
        Ok(read)
    }
}

/// A decoder's error as damage; the operating system's as they are.
pub(super) fn damage(error: io::Error) -> io::Error {
    match error.kind() {
        _ if error.raw_os_error().is_some() => error,
        io::ErrorKind::Interrupted => error,
        io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
        _ => damaged(&error.to_string()),
    }
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged ({how}); download or copy it again"))
}

//! Event files for TensorBoard.
//!
//! An event file is a sequence of TFRecords (length, its checksum, bytes, their checksum; each checksum a masked CRC-32C), whose
//! bytes are protocol buffers of type `Event`: see `tensorflow/core/lib/io/record_writer.h`, `core/util/event.proto` and
//! `core/framework/summary.proto` of TensorFlow. Only what scalars need is written here.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{FileError, IoContext};
use crate::fs::replace_with;

/// Part of the names of our files; TensorBoard looks for `tfevents` in them.
const MARK: &str = ".trestle.";
/// Between two flushes.
const FLUSH: Duration = Duration::from_secs(1);
/// The first event of each file says this.
const VERSION: &str = "brain.Event:2";

/// The event file of a training that runs.
pub struct Board {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
}

impl Board {
    /// Starts a new file in `directory`, for a training that goes on after `step` steps. What earlier files hold of later
    /// steps is removed, so that no step is there twice.
    ///
    /// # Errors
    /// When the directory can't be read or written.
    pub fn open(directory: &Path, step: u64) -> Result<Self, FileError> {
        std::fs::create_dir_all(directory).at("create directory", directory)?;
        let mut number = 0;
        for entry in std::fs::read_dir(directory).at("read directory", directory)? {
            let path = entry.at("read directory", directory)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some((_, last)) = name.split_once(MARK).filter(|_| !name.ends_with(".part")) {
                number = number.max(last.parse().map_or(0, |last: u32| last + 1));
                keep_upto(&path, step)?;
            }
        }
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = directory.join(format!("events.out.tfevents.{seconds:010}{MARK}{number}"));
        let file = BufWriter::new(File::create(&path).at("create", &path)?);
        let mut board = Self { path, file, flushed: Instant::now() };
        board.event(&event(now(), 0, |event| text(event, 3, VERSION)))?;
        board.flush()?;
        Ok(board)
    }

    /// A value of `tag` after `step` steps.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) -> Result<(), FileError> {
        self.event(&event(now(), step, |event| {
            let mut entry = Vec::new();
            text(&mut entry, 1, tag);
            entry.push(2 << 3 | 5); // simple_value, 32 bits
            entry.extend(value.to_le_bytes());
            let mut summary = Vec::new();
            nested(&mut summary, 1, &entry);
            nested(event, 5, &summary);
        }))?;
        if self.flushed.elapsed() >= FLUSH {
            self.flush()?;
        }
        Ok(())
    }

    /// Shows everything so far to readers.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn flush(&mut self) -> Result<(), FileError> {
        self.flushed = Instant::now();
        self.file.flush().at("write", &self.path)
    }

    fn event(&mut self, event: &[u8]) -> Result<(), FileError> {
        self.file.write_all(&record(event)).at("write", &self.path)
    }
}

/// Rewrites the event file at `path` without the events of steps after `step` and without a last one that was cut off;
/// removes it where nothing is left.
fn keep_upto(path: &Path, step: u64) -> Result<(), FileError> {
    let bytes = std::fs::read(path).at("read", path)?;
    let (mut kept, mut left, mut scalars) = (Vec::with_capacity(bytes.len()), &bytes[..], 0);
    while let Some((event, rest)) = next_record(left) {
        let of = step_of(event);
        if of <= step {
            kept.extend_from_slice(&left[..left.len() - rest.len()]);
            scalars += usize::from(of > 0);
        }
        left = rest;
    }
    if scalars == 0 {
        std::fs::remove_file(path).at("remove", path)?;
    } else if kept.len() != bytes.len() {
        replace_with(path, &kept)?;
    }
    Ok(())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// An `Event`: 1 wall_time (double), 2 step (varint), and what `fill` adds.
fn event(wall_time: f64, step: u64, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(wall_time.to_le_bytes());
    if step > 0 {
        event.push(2 << 3);
        varint(&mut event, step);
    }
    fill(&mut event);
    event
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn nested(bytes: &mut Vec<u8>, field: u8, inner: &[u8]) {
    bytes.push(field << 3 | 2);
    varint(bytes, inner.len() as u64);
    bytes.extend_from_slice(inner);
}

fn text(bytes: &mut Vec<u8>, field: u8, text: &str) {
    nested(bytes, field, text.as_bytes());
}

/// The step of an event that [`event`] wrote.
fn step_of(event: &[u8]) -> u64 {
    const WALL_TIME: usize = 9;
    if event.get(WALL_TIME) != Some(&(2 << 3)) {
        return 0;
    }
    let mut step = 0;
    for (index, byte) in event[WALL_TIME + 1..].iter().take(10).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    step
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(bytes);
    record.extend(masked(bytes).to_le_bytes());
    record
}

/// The first record of `bytes` and what follows it; none at the end or where the record is not whole.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (event, rest) = rest.split_at_checked(count)?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let whole = u32::from_le_bytes(*sum) == masked(length) && u32::from_le_bytes(*check) == masked(event);
    whole.then_some((event, rest))
}

/// The checksum that TFRecords hold: CRC-32C, turned by 15 bits, plus a constant.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every scalar (tag, step, value) in the event files of a directory, in order of files.
    pub fn scalars(directory: &Path) -> Vec<(String, u64, f32)> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut found = Vec::new();
        for path in paths {
            let bytes = std::fs::read(path).unwrap();
            let (version, mut left) = next_record(&bytes).unwrap();
            assert!(version.ends_with(VERSION.as_bytes()));
            while let Some((event, rest)) = next_record(left) {
                // Wall time, step, and a summary (5) of one value (1): its tag (1) and number (2).
                let after_step = 10 + event[10..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
                let inside = |bytes: &[u8], field: u8| -> Vec<u8> {
                    assert_eq!((bytes[0], bytes[1] < 0x80), (field << 3 | 2, true));
                    bytes[2..2 + usize::from(bytes[1])].to_vec()
                };
                let entry = inside(&inside(&event[after_step..], 5), 1);
                let tag = String::from_utf8(inside(&entry, 1)).unwrap();
                let [kind, number @ ..] = &entry[2 + tag.len()..] else { panic!("no value of {tag}") };
                assert_eq!(*kind, 2 << 3 | 5);
                let value = f32::from_le_bytes(number.try_into().unwrap());
                found.push((tag, step_of(event), value));
                left = rest;
            }
            assert!(left.is_empty());
        }
        found
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_was_written_after_the_checkpoint_is_not_there_twice() {
        let directory = tempfile::tempdir().unwrap();
        let write = |from: u64, upto: u64| {
            let mut board = Board::open(directory.path(), from).unwrap();
            (from + 1..=upto).for_each(|step| board.scalar("train/loss", step, step as f32 / 4.0).unwrap());
            board.flush().unwrap();
            board.path
        };
        let first = write(0, 300);
        // A kill can cut the last record off.
        let bytes = std::fs::read(&first).unwrap();
        std::fs::write(&first, &bytes[..bytes.len() - 7]).unwrap();
        write(200, 280);
        write(280, 310);
        let expected: Vec<_> = (1..=310).map(|step| ("train/loss".to_owned(), step, step as f32 / 4.0)).collect();
        assert_eq!(scalars(directory.path()), expected);
        // From the start again: nothing of before is left.
        write(0, 3);
        assert_eq!(scalars(directory.path()), expected[..3]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    /// TensorBoard's own reader finds what was written. `TRESTLE_TENSORBOARD_PYTHON` names a Python that has it.
    #[test]
    #[ignore = "needs TRESTLE_TENSORBOARD_PYTHON"]
    fn python_tensorboard_reads_the_files() {
        let python = std::env::var("TRESTLE_PYTHON").expect("this test needs TRESTLE_TENSORBOARD_PYTHON");
        let directory = tempfile::tempdir().unwrap();
        let mut board = Board::open(directory.path(), 0).unwrap();
        for step in 1..=200 {
            board.scalar("train/loss", step, step as f32 / 8.0).unwrap();
        }
        board.flush().unwrap();
        let script = "import sys\n\
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
            found = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0})\n\
            found.Reload()\n\
            print(found.Tags()['scalars'], [(e.step, e.value) for e in found.Scalars('train/loss')] \
            == [(s, s / 8) for s in range(1, 201)])";
        let output = std::process::Command::new(python).args(["-c", script]).arg(directory.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "['train/loss'] True", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

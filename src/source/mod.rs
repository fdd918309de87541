//! Raw files: from the hub or from a directory, found by the patterns in a task file and named by the digest of their
//! bytes. This module reads bytes but never parses them.

mod archive;
mod directory;
mod error;
pub mod hub;
mod lock;
pub mod mini;
mod pattern;
mod stored;

pub use error::SourceError;
pub use lock::{LockEntry, RepoKind, locked_files};
pub use stored::Stored;

use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::archive::Archives;
use self::directory::Found;
use crate::error::{FileError, IoContext};
use crate::task::{FileSpec, Language, OffsetUnit, Reader, Split, Task};

/// Where raw files come from.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// Files at `<root>/<layout>/<path>`, or there compressed, or in an archive instead of a folder.
    Directory {
        /// The data directory.
        root: &'a Path,
    },
    /// Files that [`hub::fetch`] brought into the store.
    Hub(&'a hub::Hub),
}

/// One raw file and how to read it.
#[derive(Debug, Clone)]
pub struct RawPart {
    /// Where its bytes are: what messages say on this machine. For a file in an archive `archive!member`.
    pub path: PathBuf,
    /// How they lie there.
    pub stored: Stored,
    /// Its name below the data directory (the same in an archive and out of it) or on the hub: what messages and keys
    /// say, on whatever machine.
    pub name: String,
    /// How to read it.
    pub reader: Reader,
    /// Column names, where the file has no header.
    pub columns: Option<Vec<String>>,
    /// blake3 of its bytes, in hexadecimal.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
}

impl RawPart {
    /// A file as it is, not hashed, without a name below a data directory.
    pub fn plain(path: PathBuf, reader: Reader) -> Self {
        let (name, digest) = (String::new(), String::new());
        Self { path, stored: Stored::Plain, name, reader, columns: None, digest, bytes: 0 }
    }

    /// Its bytes, unpacked while they are read. Not buffered: to be read in large pieces.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, FileError> {
        self.stored.open(&self.path).at("open", &self.path)
    }
}

/// Files that stand side by side, row by row (mostly one).
#[derive(Debug, Clone)]
pub struct RawFile {
    /// The split that its rows belong to.
    pub split: Split,
    /// The language in its path (ISO 639-1), if it has one.
    pub language: Option<String>,
    /// The files.
    pub parts: Vec<RawPart>,
    /// The SQL for their rows, where it is not that of the task.
    pub sql: Option<String>,
}

/// The raw form of a task: split by split, language by language, file by file in the order in which rows are read.
#[derive(Debug, Clone)]
pub struct RawTask {
    /// The files.
    pub files: Vec<RawFile>,
    /// The SQL that makes canonical rows of their rows.
    pub sql: String,
    /// The unit in which those rows give answer offsets.
    pub answer_offsets: OffsetUnit,
}

/// The files and readers of one source, whichever kind it is.
struct Source<'a> {
    kind: &'static str,
    reader: Reader,
    files: &'a std::collections::BTreeMap<Split, FileSpec>,
    columns: Option<&'a Vec<String>>,
    sql: &'a str,
    answer_offsets: OffsetUnit,
}

impl<'a> Source<'a> {
    fn of(task: &'a Task, kind: &'static str) -> Result<Self, SourceError> {
        let normalize = &task.normalize;
        let found = match kind {
            "hub" => task.source.hub.as_ref().map(|s| (s.reader, &s.files, &s.columns, &s.sql, s.answer_offsets)),
            _ => task.source.directory.as_ref().map(|s| (s.reader, &s.files, &s.columns, &s.sql, None)),
        };
        let Some((reader, files, columns, sql, offsets)) = found else {
            let other = if kind == "hub" { "a data directory (--data)" } else { "the hub" };
            return Err(SourceError::NoSource { task: task.id.clone(), kind, other });
        };
        let sql = sql.as_deref().unwrap_or(&normalize.sql);
        let answer_offsets = offsets.unwrap_or(normalize.answer_offsets);
        Ok(Self { kind, reader, files, columns: columns.as_ref(), sql, answer_offsets })
    }

    fn split(&self, task: &Task, split: Split) -> Result<&'a FileSpec, SourceError> {
        self.files.get(&split).ok_or_else(|| SourceError::NoSplit {
            task: task.id.clone(),
            kind: self.kind,
            split: split.to_string(),
            known: self.files.keys().map(|s| s.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// One pattern of a [`FileSpec`] with its reader.
struct Pattern<'a> {
    path: &'a str,
    reader: Reader,
    columns: Option<&'a Vec<String>>,
}

/// The patterns of files that stand side by side.
fn patterns<'a>(spec: &'a FileSpec, source: &Source<'a>) -> Vec<Pattern<'a>> {
    match spec {
        FileSpec::Path(path) => vec![Pattern { path, reader: source.reader, columns: source.columns }],
        FileSpec::With { path, reader, columns, .. } => vec![Pattern {
            path,
            reader: reader.unwrap_or(source.reader),
            columns: columns.as_ref().or(source.columns),
        }],
        FileSpec::Beside(parts) | FileSpec::Sequence { sequence: parts } => {
            parts.iter().flat_map(|part| patterns(part, source)).collect()
        }
    }
}

/// The languages that `spec` is expanded with: each of `languages` if its paths name one, else none.
fn expansions<'a>(spec: &FileSpec, languages: &[&'a Language]) -> Vec<Option<&'a Language>> {
    if spec.is_per_language() { languages.iter().map(|l| Some(*l)).collect() } else { vec![None] }
}

impl Origin<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Origin::Directory { .. } => "directory",
            Origin::Hub(_) => "hub",
        }
    }

    /// Every file that matches `pattern`, by name.
    fn find(&self, task: &Task, pattern: &str, archives: &mut Archives) -> Result<Vec<Found>, SourceError> {
        match self {
            Origin::Directory { root } => directory::find(root, &below_layout(task, pattern), archives),
            Origin::Hub(hub) => hub.find(task, pattern),
        }
    }

    fn missing(&self, task: &Task, split: Split, pattern: &str, archives: &mut Archives) -> SourceError {
        let (pattern, remedy) = match self {
            Origin::Directory { root } => {
                let pattern = below_layout(task, pattern);
                match directory::packed(root, &pattern, archives) {
                    Ok(None) => (),
                    Ok(Some((path, why))) => {
                        let (task, split) = (task.id.clone(), split.to_string());
                        return SourceError::Packed { task, split, path, why };
                    }
                    Err(e) => return e,
                }
                let full = root.join(pattern).display().to_string();
                (full, "; put the original distribution there (`trestle task show` lists its files)")
            }
            Origin::Hub(_) => {
                let repo = task.source.hub.as_ref().map_or("", |s| s.repo.as_str());
                (format!("{repo}/{pattern}"), " among the fetched files; run `trestle fetch` first")
            }
        };
        SourceError::Missing { task: task.id.clone(), split: split.to_string(), pattern, remedy }
    }
}

fn below_layout(task: &Task, pattern: &str) -> String {
    let layout = task.source.directory.as_ref().map_or("", |s| s.layout.as_str());
    format!("{layout}/{pattern}")
}

/// Resolves every file of `task` for `languages` and `splits`: expands the languages and wildcards in its patterns and
/// hashes the bytes of each file (in parallel).
///
/// A language whose file is absent is left out, unless `require_all`; a split without any file is always an error.
pub fn resolve(
    task: &Task,
    origin: &Origin,
    languages: &[&Language],
    splits: &[Split],
    require_all: bool,
) -> Result<RawTask, SourceError> {
    let source = Source::of(task, origin.kind())?;
    let mut archives = Archives::default();
    let mut found = Vec::new();
    for &split in splits {
        let spec = source.split(task, split)?;
        let before = found.len();
        let mut first_missing = None;
        for language in expansions(spec, languages) {
            match row_files(task, origin, &source, (split, spec), language, &mut archives)? {
                Ok(files) => found.extend(files),
                Err(pattern) if require_all || language.is_none() => {
                    return Err(origin.missing(task, split, &pattern, &mut archives));
                }
                Err(pattern) => first_missing = first_missing.or(Some(pattern)),
            }
        }
        if found.len() == before
            && let Some(pattern) = first_missing
        {
            return Err(origin.missing(task, split, &pattern, &mut archives));
        }
    }
    let files = found.into_par_iter().map(hash).collect::<Result<_, _>>()?;
    Ok(RawTask { files, sql: source.sql.to_owned(), answer_offsets: source.answer_offsets })
}

/// The files of one split and language, digests left empty; or the pattern that matches nothing.
fn row_files(
    task: &Task,
    origin: &Origin,
    source: &Source,
    (split, spec): (Split, &FileSpec),
    language: Option<&Language>,
    archives: &mut Archives,
) -> Result<Result<Vec<RawFile>, String>, SourceError> {
    let FileSpec::Sequence { sequence } = spec else {
        return files_beside(task, origin, source, (split, spec), language, archives);
    };
    let mut files = Vec::new();
    for step in sequence {
        match files_beside(task, origin, source, (split, step), language, archives)? {
            Ok(found) => files.extend(found),
            missing => return Ok(missing),
        }
    }
    Ok(Ok(files))
}

fn files_beside(
    task: &Task,
    origin: &Origin,
    source: &Source,
    (split, spec): (Split, &FileSpec),
    language: Option<&Language>,
    archives: &mut Archives,
) -> Result<Result<Vec<RawFile>, String>, SourceError> {
    let mut columns: Vec<(String, Vec<RawPart>)> = Vec::new();
    for Pattern { path, reader, columns: names } in patterns(spec, source) {
        let pattern = pattern::expand(path, language);
        let parts: Vec<RawPart> = origin
            .find(task, &pattern, archives)?
            .into_iter()
            .map(|Found { name, path, stored }| RawPart {
                path,
                stored,
                name,
                reader,
                columns: names.cloned(),
                digest: String::new(),
                bytes: 0,
            })
            .collect();
        if parts.is_empty() {
            return Ok(Err(pattern));
        }
        if let Some((first, others)) = columns.first()
            && others.len() != parts.len()
        {
            return Err(SourceError::Uneven {
                task: task.id.clone(),
                split: split.to_string(),
                first: first.clone(),
                first_files: others.len(),
                second: pattern,
                second_files: parts.len(),
            });
        }
        columns.push((pattern, parts));
    }
    let rows = columns.first().map_or(0, |(_, parts)| parts.len());
    let language = language.map(|l| l.code.clone());
    let mut columns: Vec<_> = columns.into_iter().map(|(_, parts)| parts.into_iter()).collect();
    let sql = match spec {
        FileSpec::With { sql, .. } => sql.clone(),
        _ => None,
    };
    let files = (0..rows)
        .map(|_| RawFile {
            split,
            language: language.clone(),
            parts: columns.iter_mut().filter_map(Iterator::next).collect(),
            sql: sql.clone(),
        })
        .collect();
    Ok(Ok(files))
}

fn hash(mut file: RawFile) -> Result<RawFile, FileError> {
    for part in &mut file.parts {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(part.open()?).at("read", &part.path)?;
        part.bytes = hasher.count();
        part.digest = hasher.finalize().to_hex().to_string();
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Languages;

    fn languages() -> Languages {
        Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml").unwrap()
    }

    fn task(files: &str) -> Task {
        let text = format!(
            r#"
            id = "toy"
            format = "text"
            role = "text"
            license = "CC0-1.0"
            [source.directory]
            layout = "toy"
            reader = "lines"
            files = {files}
            [normalize]
            sql = "SELECT text FROM raw"
            "#
        );
        Task::parse(&text, "toy.toml").unwrap()
    }

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("toy").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn resolved(task: &Task, root: &Path, codes: &[&str], require_all: bool) -> Result<RawTask, SourceError> {
        let all = languages();
        let languages: Vec<&Language> = codes.iter().map(|code| all.get(code).unwrap()).collect();
        resolve(task, &Origin::Directory { root }, &languages, &[Split::Train], require_all)
    }

    #[test]
    fn languages_expand_and_absent_ones_are_left_out_or_named() {
        let dir = root(&[("de.txt", "ja\n"), ("fin-x.txt", ""), ("fi.txt", "")]);
        let task = task(r#"{ train = "{lang}.txt" }"#);
        let raw = resolved(&task, dir.path(), &["fi", "sw", "de"], false).unwrap();
        let names: Vec<_> =
            raw.files.iter().map(|f| (f.language.as_deref().unwrap(), f.parts[0].name.as_str())).collect();
        assert_eq!(names, [("fi", "toy/fi.txt"), ("de", "toy/de.txt")]);
        assert_eq!(raw.files[1].parts[0].bytes, 3);
        assert_eq!(raw.files[1].parts[0].digest, blake3::hash(b"ja\n").to_hex().to_string());
        let message = resolved(&task, dir.path(), &["fi", "sw"], true).unwrap_err().to_string();
        assert!(message.contains("toy/sw.txt") && message.contains("split train"), "{message}");
        let message = resolved(&task, dir.path(), &["sw", "ta"], false).unwrap_err().to_string();
        assert!(message.contains("toy/sw.txt"), "{message}");
    }

    #[test]
    fn files_beside_each_other_keep_their_own_readers() {
        let dir = root(&[("a-1.txt", "x"), ("a-2.txt", "y"), ("b-1.tsv", "x"), ("b-2.tsv", "y"), ("c.txt", "z")]);
        let beside = task(r#"{ train = ["a-*.txt", { path = "b-*.tsv", reader = "tsv", columns = ["b"] }] }"#);
        let raw = resolved(&beside, dir.path(), &[], true).unwrap();
        assert_eq!(raw.files.len(), 2);
        assert_eq!(raw.files[1].parts[1].name, "toy/b-2.tsv");
        assert_eq!(raw.files[1].parts[1].reader, Reader::Tsv);
        let uneven = task(r#"{ train = ["a-*.txt", "c.txt"] }"#);
        let message = resolved(&uneven, dir.path(), &[], true).unwrap_err().to_string();
        assert!(message.contains("a-*.txt matches 2 files") && message.contains("c.txt"), "{message}");
    }

    #[test]
    fn a_split_or_source_that_is_not_declared_is_an_error() {
        let dir = root(&[]);
        let task = task(r#"{ test = "x.txt" }"#);
        let message = resolved(&task, dir.path(), &[], false).unwrap_err().to_string();
        assert!(message.contains("no files for split train; it has test"), "{message}");
    }
}

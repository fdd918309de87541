use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::error::ExitCode;
use crate::source::{Origin, RawPart, RawTask, resolve};
use crate::task::{Language, Languages, Split, Task};

/// Archives that Info-ZIP and GNU tar wrote: `README`, `sub/de.txt`, `sub/fi.txt` and `sub/long.txt`, below `toy/` but in
/// the last.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/archives/", $name)).as_slice()
    };
}
const INFO_ZIP: &[u8] = fixture!("info-zip.zip");
const STREAMED: &[u8] = fixture!("streamed.zip");
const ENCRYPTED: &[u8] = fixture!("encrypted.zip");
const BZIP2: &[u8] = fixture!("bzip2.zip");
const GNU: &[u8] = fixture!("gnu.tar.gz");
const PAX: &[u8] = fixture!("pax-without-top-folder.tgz");

const GERMAN: &str = "erste Zeile\nzweite Zeile\n";

struct Place(tempfile::TempDir);

impl Place {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self(dir)
    }

    /// Name, place and contents of each file that matches.
    fn read(&self, pattern: &str) -> Result<Vec<(String, String, String)>, String> {
        let shown = |path: &Path| path.display().to_string().replace(&format!("{}/", self.0.path().display()), "");
        let found = find(self.0.path(), pattern, &mut Archives::default());
        let found = found.map_err(|e| e.to_string().replace(&format!("{}/", self.0.path().display()), ""))?;
        found
            .into_iter()
            .map(|found| {
                let mut text = String::new();
                let input = found.stored.open(&found.path).and_then(|mut input| input.read_to_string(&mut text));
                input.map_err(|e| e.to_string())?;
                Ok((found.name, shown(&found.path), text))
            })
            .collect()
    }

    /// Where the one file that matches is, and what it says.
    fn one(&self, pattern: &str) -> (String, String) {
        let found = self.read(pattern).unwrap();
        let [(_, place, text)] = found.as_slice() else { panic!("{pattern} matches {found:?}") };
        (place.clone(), text.clone())
    }

    fn resolve(&self, files: &str, languages: &[&str]) -> Result<RawTask, SourceError> {
        let text = format!(
            "id = 'toy'\nformat = 'text'\nrole = 'text'\nlicense = 'CC0-1.0'\n\
             [source.directory]\nlayout = 'toy'\nreader = 'lines'\nfiles = {{ train = {files} }}\n\
             [normalize]\nsql = 'SELECT text FROM raw'"
        );
        let task = Task::parse(&text, "toy.toml").unwrap();
        let all = Languages::parse(include_str!("../../../data/languages.toml"), "data/languages.toml").unwrap();
        let languages: Vec<&Language> = languages.iter().map(|code| all.get(code).unwrap()).collect();
        resolve(&task, &Origin::Directory { root: self.0.path() }, &languages, &[Split::Train], false)
    }

    fn fault(&self, files: &str) -> (ExitCode, String) {
        let error = self.resolve(files, &["de"]).unwrap_err();
        (error.exit(), error.to_string().replace(&format!("{}/", self.0.path().display()), ""))
    }
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes.as_ref()).unwrap();
    out.finish().unwrap()
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        out.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    out.into_inner().unwrap()
}

#[test]
fn archives_of_other_programs_stand_for_their_folder() {
    for (name, bytes, top) in [
        ("toy.zip", INFO_ZIP, "toy/"),
        ("toy.zip", STREAMED, "toy/"),
        ("toy.tar.gz", GNU, "toy/"),
        ("toy.tgz", GNU, "toy/"),
        ("toy.tgz", PAX, "./"),
    ] {
        let place = Place::with(&[(name, bytes)]);
        let top = top.trim_start_matches("./");
        assert_eq!(place.one("toy/sub/de.txt"), (format!("{name}!{top}sub/de.txt"), GERMAN.to_owned()));
        assert_eq!(place.one("toy/sub/long.txt").1, "a".repeat(3000));
        assert_eq!(place.one("toy/README").1, "notes\n");
        let names: Vec<_> = place.read("toy/*/??.txt").unwrap().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["toy/sub/de.txt", "toy/sub/fi.txt"]);
        assert!(place.read("toy/sub").unwrap().is_empty());
    }
}

#[test]
fn a_plain_tar_and_an_archive_further_down() {
    let files = [("a.txt", "A\n"), ("b.txt", "B\n")];
    let place = Place::with(&[("toy/x/inner.tar", &tar(&files)), ("toy/x/other.tgz", &gzip(tar(&files)))]);
    assert_eq!(place.one("toy/x/inner/b.txt"), ("toy/x/inner.tar!b.txt".to_owned(), "B\n".to_owned()));
    let names: Vec<_> =
        place.read("toy/*/*/a.txt").unwrap().into_iter().map(|(name, place, _)| (name, place)).collect();
    let expected = [("toy/x/inner/a.txt", "toy/x/inner.tar!a.txt"), ("toy/x/other/a.txt", "toy/x/other.tgz!a.txt")];
    assert_eq!(names, expected.map(|(name, place)| (name.to_owned(), place.to_owned())));
}

#[test]
fn the_top_folder_may_have_another_name_or_none() {
    // As GitHub packs a repository, and with what the Finder adds.
    let master = [("toy-master/data/a.txt", "A"), ("toy-master/LICENSE", ""), ("__MACOSX/toy-master/._a", "")];
    assert_eq!(Place::with(&[("toy.tar", &tar(&master))]).one("toy/data/a.txt").0, "toy.tar!toy-master/data/a.txt");
    // The only folder is one of the path.
    assert_eq!(Place::with(&[("toy.tar", &tar(&[("data/a.txt", "A")]))]).one("toy/data/a.txt").0, "toy.tar!data/a.txt");
    let beside = [("toy/data/a.txt", "A"), ("LICENSE", "")];
    assert_eq!(Place::with(&[("toy.tar", &tar(&beside))]).one("toy/data/a.txt").0, "toy.tar!toy/data/a.txt");
    let two = [("one/data/a.txt", "A"), ("two/data/a.txt", "A")];
    assert!(Place::with(&[("toy.tar", &tar(&two))]).read("toy/data/a.txt").unwrap().is_empty());
}

#[test]
fn plain_comes_before_gzip_and_both_before_archives() {
    let (de, fi) = (gzip("packed\n"), gzip("fi\n"));
    let broken = b"not an archive".as_slice();
    let place =
        Place::with(&[("toy/de.txt", b"plain\n"), ("toy/de.txt.gz", &de), ("toy/fi.txt.gz", &fi), ("toy.zip", broken)]);
    let found = place.read("toy/*.txt").unwrap();
    let expected = [("toy/de.txt", "toy/de.txt", "plain\n"), ("toy/fi.txt", "toy/fi.txt.gz", "fi\n")];
    assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    // A task file may say `.gz` itself; a wildcard never takes an archive for a file.
    assert_eq!(place.one("toy/fi.txt.gz").0, "toy/fi.txt.gz");
    assert_eq!(place.read("toy/*").unwrap().len(), 2);
    assert!(place.read("*").unwrap().is_empty());
}

#[test]
fn gzip_files_may_have_several_members() {
    let bytes = [gzip("one\n"), gzip("two\n")].concat();
    assert_eq!(Place::with(&[("toy/a.txt.gz", &bytes)]).one("toy/a.txt").1, "one\ntwo\n");
}

/// The same bytes have the same name and digest wherever they lie: results don't depend on it.
#[test]
fn digests_are_those_of_the_unpacked_bytes() {
    let de = gzip(GERMAN);
    let files: &[(&str, &[u8])] = &[
        ("toy/sub/de.txt", GERMAN.as_bytes()),
        ("toy/sub/de.txt.gz", &de),
        ("toy.zip", INFO_ZIP),
        ("toy.tar.gz", GNU),
        ("toy.tgz", PAX),
    ];
    for file in files {
        let raw = Place::with(&[*file]).resolve("'sub/{lang}.txt'", &["sw", "de"]).unwrap();
        let [RawPart { name, digest, bytes: 25, .. }] = raw.files[0].parts.as_slice() else { panic!("{raw:?}") };
        assert_eq!(name, "toy/sub/de.txt");
        assert_eq!(*digest, blake3::hash(GERMAN.as_bytes()).to_hex().to_string());
    }
}

#[test]
fn damaged_archives_are_named() {
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    // The first byte after `before`.
    let flipped = |bytes: &[u8], before: &[u8]| {
        let at = bytes.windows(before.len()).position(|window| window == before).unwrap() + before.len();
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let plain = tar(&[("sub/de.txt", GERMAN)]);
    // The contents of `sub/fi.txt` are stored, those of `sub/long.txt` deflated.
    for (name, bytes, path, says) in [
        ("toy.zip", cut(INFO_ZIP, 30), "sub/fi.txt", "failed to read toy.zip: damaged ("),
        (
            "toy.zip",
            flipped(INFO_ZIP, b"ensimm"),
            "sub/fi.txt",
            "failed to read toy.zip!toy/sub/fi.txt: damaged (its checksum",
        ),
        (
            "toy.zip",
            flipped(INFO_ZIP, b"toy/sub/long.txt"),
            "sub/long.txt",
            "failed to read toy.zip!toy/sub/long.txt: damaged (",
        ),
        ("toy.zip", b"<html>".to_vec(), "sub/fi.txt", "failed to read toy.zip: damaged ("),
        ("toy.zip", Vec::new(), "sub/fi.txt", "failed to read toy.zip: damaged ("),
        ("toy.tar.gz", cut(GNU, 20), "sub/fi.txt", "failed to read toy.tar.gz: damaged (it ends too early)"),
        ("toy.tar.gz", cut(GNU, 4), "sub/fi.txt", "failed to read toy.tar.gz: damaged (it ends too early)"),
        ("toy.tar.gz", plain.clone(), "sub/fi.txt", "failed to read toy.tar.gz: damaged ("),
        ("toy.tar", cut(&plain, 1024 + 500), "sub/de.txt", "failed to read toy.tar: damaged (unexpected EOF"),
        ("toy.tar", vec![b'x'; 1024], "sub/de.txt", "failed to read toy.tar: damaged ("),
        ("toy/de.txt.gz", cut(&gzip(GERMAN), 9), "de.txt", "failed to read toy/de.txt.gz: damaged (it ends too early)"),
        ("toy/de.txt.gz", flipped(&gzip(GERMAN), b"\x1f\x8b"), "de.txt", "failed to read toy/de.txt.gz: damaged ("),
        ("toy/de.txt.gz", Vec::new(), "de.txt", "failed to read toy/de.txt.gz: damaged ("),
    ] {
        let (exit, message) = Place::with(&[(name, &bytes)]).fault(&format!("'{path}'"));
        assert!(message.starts_with(says), "{message}, not {says}");
        assert!(message.ends_with("; download or copy it again"), "{message}");
        assert_eq!(exit, ExitCode::Data, "{message}");
    }
}

#[test]
fn what_must_be_unpacked_first_is_named() {
    let nested = tar(&[("de.tar.gz", ""), ("fi.txt.gz", "")]);
    for (name, bytes, path, says) in [
        (
            "toy.zip",
            ENCRYPTED,
            "sub/de.txt",
            "failed to open toy.zip!toy/sub/de.txt: it is encrypted; unpack the archive first",
        ),
        (
            "toy.zip",
            BZIP2,
            "sub/long.txt",
            "open toy.zip!toy/sub/long.txt: it is compressed in a way other than deflate; unpack",
        ),
        (
            "toy.tar.bz2",
            b"",
            "sub/de.txt",
            "task toy, split train: toy.tar.bz2 is compressed in a way that is not read here; unpack it first",
        ),
        ("toy/sub.txz", b"", "sub/de.txt", "toy/sub.txz is compressed"),
        ("toy/sub/de.txt.xz", b"", "sub/{lang}.txt", "toy/sub/de.txt.xz is compressed"),
        ("toy/sub-1.7z", b"", "sub-*/{lang}.txt", "toy/sub-1.7z is compressed"),
        (
            "toy.tar",
            &nested,
            "{lang}/train",
            "toy.tar holds what is asked for in files that are packed themselves; unpack it first",
        ),
        ("toy.tar", &nested, "fi.txt", "toy.tar holds what is asked for in files that are packed themselves"),
    ] {
        let (exit, message) = Place::with(&[(name, bytes)]).fault(&format!("'{path}'"));
        assert!(message.contains(says), "{message}, not {says}");
        assert_eq!(exit, ExitCode::Data, "{message}");
    }
    // What is readable in such an archive is read.
    assert_eq!(Place::with(&[("toy.zip", BZIP2)]).one("toy/sub/de.txt").1, GERMAN);
    let (exit, message) = Place::with(&[("toy.zip", INFO_ZIP)]).fault("'sub/sw.txt'");
    assert!(message.contains("no file matches toy/sub/sw.txt; put"), "{message}");
    assert_eq!(exit, ExitCode::Missing);
}

#[test]
fn a_file_in_two_archives_is_an_error() {
    let (exit, message) = Place::with(&[("toy.zip", INFO_ZIP), ("toy.tar.gz", GNU)]).fault("'sub/de.txt'");
    let expected = "toy/sub/de.txt is in two places, toy.zip!toy/sub/de.txt and toy.tar.gz!toy/sub/de.txt; remove one of them, or unpack the right one";
    assert_eq!((exit, message.as_str()), (ExitCode::Data, expected));
    let twice = tar(&[("toy/a.txt", "1"), ("a.txt", "2")]);
    let (_, message) = Place::with(&[("toy.tar", &twice)]).fault("'a.txt'");
    assert!(message.contains("toy.tar!a.txt and toy.tar!toy/a.txt"), "{message}");
    // A file that a tar holds twice was appended later: the last one counts, as when it is unpacked.
    let appended = tar(&[("a.txt", "old"), ("a.txt", "new")]);
    assert_eq!(Place::with(&[("toy.tar", &appended)]).one("toy/a.txt").1, "new");
}

#[test]
fn each_archive_is_listed_once() {
    let place = Place::with(&[("toy.zip", INFO_ZIP)]);
    let mut archives = Archives::default();
    assert_eq!(find(place.0.path(), "toy/sub/de.txt", &mut archives).unwrap().len(), 1);
    std::fs::write(place.0.path().join("toy.zip"), "gone").unwrap();
    assert_eq!(find(place.0.path(), "toy/sub/fi.txt", &mut archives).unwrap().len(), 1);
}

use std::time::Duration;

mod models;
#[path = "../../../tests/support/hub.rs"]
mod server;
mod transfers;

use self::server::{COMMIT, Fault, HubServer, LATER_COMMIT, sha256};
use super::*;
use crate::error::ExitCode;
use crate::progress::Quiet;
use crate::source::{Origin, resolve};
use crate::task::Languages;

const FILES: &[(&str, &str)] =
    &[("README.md", "read me"), ("data/de-1.txt", "ja\n"), ("data/de-2.txt", "nein\n"), ("data/fi-1.txt", "ei\n")];

const LARGE: &str = "data/de-large.txt";

fn task() -> Task {
    let text = r#"
        id = "toy"
        format = "text"
        role = "text"
        license = "CC0-1.0"
        [source.hub]
        repo = "o/toy"
        reader = "lines"
        files = { train = "data/{lang}-*.txt" }
        [normalize]
        sql = "SELECT text FROM raw"
    "#;
    Task::parse(text, "toy.toml").unwrap()
}

/// Bytes that compress to nothing and differ everywhere.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| (i.wrapping_mul(6_364_136_223_846_793_005) >> 33) as u8).collect()
}

/// A hub whose only German file is a large one of `bytes`.
fn with_large(bytes: &[u8]) -> HubServer {
    let server = HubServer::with(&[]);
    server.add("datasets/o/toy", LARGE, bytes, true);
    server
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> HubOptions {
        let lock = self.dir.path().join("sources.lock");
        let leases = Leases::new(self.dir.path());
        HubOptions { lock, cache: self.dir.path().join("raw"), leases, locked: false, offline: false }
    }

    fn hub(&self, endpoint: &str, change: impl FnOnce(&mut HubOptions)) -> Hub {
        let mut options = self.options();
        change(&mut options);
        let mut hub = Hub::open(options).unwrap();
        hub.endpoint = endpoint.to_owned();
        hub.patience =
            Patience { attempts: 3, first_wait: Duration::from_millis(10), silence: Duration::from_millis(500) };
        hub
    }

    fn at(&self, server: &HubServer) -> Hub {
        self.hub(&server.endpoint, |_| ())
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.options().lock).unwrap()
    }

    /// Every file below the cache.
    fn cached(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.options().cache];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    /// The one file of bytes that came in part.
    fn partial(&self) -> PathBuf {
        self.cached().into_iter().find(|path| path.extension().is_some_and(|e| e == "bytes")).unwrap()
    }

    /// The bytes of the one file that was fetched.
    fn blob(&self) -> Vec<u8> {
        let cached = self.cached();
        let [blob] = cached.as_slice() else { panic!("{cached:?}") };
        std::fs::read(blob).unwrap()
    }
}

fn with_languages<T>(codes: &[&str], then: impl FnOnce(Vec<&Language>) -> T) -> T {
    let all = Languages::parse(include_str!("../../../data/languages.toml"), "languages.toml").unwrap();
    then(codes.iter().map(|code| all.get(code).unwrap()).collect::<Vec<_>>())
}

/// Workers share one hub.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Hub>();
};

fn fetched(hub: &Hub, codes: &[&str]) -> Result<Vec<FetchedFile>, SourceError> {
    with_languages(codes, |languages| {
        fetch(&task(), hub, &[(Split::Train, languages)].into(), &Quiet, &AtomicBool::new(false))
    })
}

fn entries(hub: &Hub, codes: &[&str]) -> Vec<LockEntry> {
    fetched(hub, codes).unwrap().into_iter().map(|file| file.entry).collect()
}

fn fault(hub: &Hub) -> (ExitCode, String) {
    let error = fetched(hub, &["de"]).unwrap_err();
    (error.exit(), error.to_string())
}

#[test]
fn files_are_fetched_once_and_pinned() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    let files = fetched(&place.at(&server), &["fi", "sw", "de"]).unwrap();
    let paths: Vec<_> = files.iter().map(|file| (file.entry.path.as_str(), file.transferred)).collect();
    assert_eq!(paths, [("data/de-1.txt", 3), ("data/de-2.txt", 5), ("data/fi-1.txt", 3)]);
    assert_eq!((files[0].entry.commit.as_str(), files[0].entry.bytes), (COMMIT, 3));
    assert_eq!(files[0].entry.sha256, sha256(b"ja\n"));
    let asked = server.paths();
    assert_eq!(asked[0], "GET /api/datasets/o/toy/revision/main");
    assert_eq!(asked[1], format!("GET /api/datasets/o/toy/tree/{COMMIT}?recursive=true"));
    assert_eq!(asked.iter().filter(|path| path.contains("resolve")).count(), 3);
    assert_eq!(place.cached().len(), 3);

    // Again, from the lock file on disk: the pinned commit is listed, and nothing is downloaded.
    let again = place.at(&server);
    let found = fetched(&again, &["fi", "de"]).unwrap();
    assert!(found.iter().all(|file| file.transferred == 0));
    assert!(found.iter().zip(&files).all(|(a, b)| a.entry == b.entry));
    assert!(server.paths().iter().all(|path| path.starts_with(&format!("GET /api/datasets/o/toy/tree/{COMMIT}"))));

    let raw = with_languages(&["de", "sw"], |languages| {
        resolve(&task(), &Origin::Hub(&again), &languages, &[Split::Train], false).unwrap()
    });
    let names: Vec<_> = raw.files.iter().map(|file| file.parts[0].name.as_str()).collect();
    assert_eq!(names, ["o/toy/data/de-1.txt", "o/toy/data/de-2.txt"]);
    assert_eq!(std::fs::read_to_string(&raw.files[1].parts[0].path).unwrap(), "nein\n");
}

#[test]
fn the_lock_file_is_stable_text() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    fetched(&place.at(&server), &["de"]).unwrap();
    let german = place.lock();
    fetched(&place.at(&server), &["de"]).unwrap();
    assert_eq!(place.lock(), german);
    let first = "[[file]]\nkind = \"dataset\"\nrepo = \"o/toy\"\nrevision = \"main\"\npath = \"data/de-1.txt\"\n\
                 commit = \"0123456789abcdef0123456789abcdef01234567\"\n\
                 sha256 = \"1d57f2d17cb74b39bd0c4cbd696b72cc2d4c97f8d8b5c6da51e99bde35b417e2\"\nbytes = 3\n";
    assert!(german.contains(first), "{german}");
    assert!(german.contains("version = 1"));

    // Fetched in another order, the file is the same.
    fetched(&place.at(&server), &["fi"]).unwrap();
    let other = Place::new();
    fetched(&other.at(&server), &["fi"]).unwrap();
    fetched(&other.at(&server), &["de"]).unwrap();
    assert_eq!(place.lock(), other.lock());
}

#[test]
fn a_commit_once_pinned_stays() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    fetched(&place.at(&server), &["fi"]).unwrap();
    server.move_branch("datasets/o/toy", "main");
    let german = entries(&place.at(&server), &["de"]);
    assert!(german.iter().all(|entry| entry.commit == COMMIT));
    assert_eq!(entries(&Place::new().at(&server), &["de"])[0].commit, LATER_COMMIT);
    // The branch moves between the question and the answer.
    let server = HubServer::with(FILES);
    server.fault("resolve", Fault::OtherCommit);
    let (exit, message) = fault(&Place::new().at(&server));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.contains("the answer is of"), "{message}");
}

#[test]
fn bytes_other_than_the_pinned_ones_are_refused() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    let before = entries(&place.at(&server), &["de"]);
    let lock = place.lock();
    std::fs::remove_dir_all(place.options().cache).unwrap();
    let changed = HubServer::with(&[("data/de-1.txt", "doch\n"), ("data/de-2.txt", "nein\n")]);
    let (exit, message) = fault(&place.at(&changed));
    assert_eq!(exit, ExitCode::Mismatch);
    assert!(message.starts_with("o/toy/data/de-1.txt has sha256 ") && message.contains(&before[0].sha256), "{message}");
    assert!(!place.cached().iter().any(|path| std::fs::read(path).unwrap() == b"doch\n"));
    assert_eq!(place.lock(), lock);
    // The same bytes at the same place are fetched again.
    assert_eq!(entries(&place.at(&server), &["de"]), before);

    // Of a large file the hub names the digest: it is refused before anything is transferred.
    let (place, server) = (Place::new(), with_large(&bytes(1000)));
    fetched(&place.at(&server), &["de"]).unwrap();
    std::fs::remove_dir_all(place.options().cache).unwrap();
    let changed = with_large(&bytes(1001));
    assert_eq!(fault(&place.at(&changed)).0, ExitCode::Mismatch);
    assert_eq!(changed.sent(), 0);
    assert!(place.cached().is_empty());
}

#[test]
fn what_the_hub_does_not_have_or_give_is_named() {
    let place = Place::new();
    let expected = "the hub has no o/toy at main; check `repo`, `revision` and `files` in the task or model file";
    assert_eq!(fault(&place.at(&HubServer::start())), (ExitCode::Network, expected.to_owned()));
    let other = HubServer::with(&[("README.md", "")]);
    let expected = "the hub has no o/toy/data/de-*.txt; check `repo`, `revision` and `files` in the task or model file";
    assert_eq!(fault(&place.at(&other)), (ExitCode::Network, expected.to_owned()));
    for status in [401, 403, 404] {
        for (at, what) in [("revision", "o/toy at main"), ("tree", "o/toy at 01234"), ("de-1", "o/toy/data/de-1.txt")] {
            let (place, server) = (Place::new(), HubServer::with(FILES));
            server.fault(at, Fault::Status(status, ""));
            let (exit, message) = fault(&place.at(&server));
            assert_eq!(exit, ExitCode::Network);
            if status == 404 {
                assert!(message.starts_with(&format!("the hub has no {what}")), "{message}");
            } else {
                assert!(message.starts_with(&format!("the hub refuses {what}")), "{message}");
                assert!(message.contains(&format!("({status})")) && message.contains("set HF_TOKEN"), "{message}");
            }
            assert!(!place.cached().iter().any(|path| path.ends_with(sha256(b"ja\n"))));
        }
    }
}

#[test]
fn revisions_and_paths_with_special_characters_are_encoded() {
    let text = "id = 'toy'\nformat = 'text'\nrole = 'text'\nlicense = 'CC0-1.0'\n[source.hub]\nrepo = 'o/toy'\n\
                revision = 'refs/convert/parquet'\nreader = 'lines'\nfiles = { train = 'a b/#*.txt' }\n\
                [normalize]\nsql = 'SELECT text FROM raw'";
    let task = Task::parse(text, "toy.toml").unwrap();
    let (place, server) = (Place::new(), HubServer::with(&[("a b/#1.txt", "x\n")]));
    let wanted = [(Split::Train, Vec::new())].into();
    let files = fetch(&task, &place.at(&server), &wanted, &Quiet, &AtomicBool::new(false)).unwrap();
    assert_eq!((files[0].entry.revision.as_str(), files[0].entry.commit.as_str()), ("refs/convert/parquet", COMMIT));
    let asked = server.paths();
    assert_eq!(asked[0], "GET /api/datasets/o/toy/revision/refs%2Fconvert%2Fparquet");
    assert_eq!(asked[2], format!("GET /datasets/o/toy/resolve/{COMMIT}/a%20b/%231.txt"));
}

#[test]
fn offline_and_locked_ask_for_nothing_new() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    let offline = |options: &mut HubOptions| options.offline = true;
    let locked = |options: &mut HubOptions| options.locked = true;
    let (exit, message) = fault(&place.hub(&server.endpoint, offline));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.starts_with("o/toy is not in ") && message.contains("the network is off"), "{message}");
    let (exit, message) = fault(&place.hub(&server.endpoint, locked));
    assert_eq!(exit, ExitCode::Missing);
    assert!(message.contains("sources.lock has no entry for o/toy"), "{message}");
    assert!(server.requests().is_empty());

    let before = entries(&place.at(&server), &["fi"]);
    server.requests();
    assert_eq!(entries(&place.hub(&server.endpoint, offline), &["fi"]), before);
    assert_eq!(entries(&place.hub(&server.endpoint, locked), &["fi"]), before);
    let (_, message) = fault(&place.hub(&server.endpoint, locked));
    assert!(message.contains("sources.lock has no entry for o/toy/data/de-*.txt"), "{message}");
    assert!(server.requests().is_empty());

    std::fs::remove_dir_all(place.options().cache).unwrap();
    let message = fetched(&place.hub(&server.endpoint, offline), &["fi"]).unwrap_err().to_string();
    assert!(message.starts_with("o/toy/data/fi-1.txt is not in "), "{message}");
    let unfetched = with_languages(&["fi"], |languages| {
        let hub = place.at(&server);
        resolve(&task(), &Origin::Hub(&hub), &languages, &[Split::Train], false).unwrap_err()
    });
    assert_eq!(unfetched.to_string(), "o/toy/data/fi-1.txt was not fetched to this machine; run `trestle fetch` first");
    // `locked` forbids new entries, not downloads of known ones.
    assert_eq!(entries(&place.hub(&server.endpoint, locked), &["fi"]), before);
}

#[test]
fn a_broken_lock_file_is_refused() {
    let place = Place::new();
    for (text, says) in [
        ("version = 1\n[[file]]\nrepo = \"x\"\n", "missing field"),
        ("version = 2\n", "its version is 2"),
        ("not toml", "TOML"),
        (
            "version = 1\n[[file]]\nkind = \"dataset\"\nrepo = \"o/x\"\nrevision = \"r\"\npath = \"p\"\ncommit = \"c\"\nsha256 = \"../../x\"\nbytes = 1\n",
            "the sha256 of o/x/p is not 64 hexadecimal digits",
        ),
    ] {
        std::fs::write(place.options().lock, text).unwrap();
        let error = Hub::open(place.options()).err().unwrap();
        assert_eq!(error.exit(), ExitCode::Config);
        assert!(error.to_string().contains(says) && error.to_string().contains("sources.lock"), "{error}");
    }
}

use std::net::TcpListener;
use std::time::{Duration, Instant};

#[path = "../../../tests/support/hub.rs"]
mod server;

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
        HubOptions { lock, cache: self.dir.path().join("raw"), locked: false, offline: false }
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

    /// Every file below the cache but the guard of `partial`.
    fn cached(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.options().cache];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.retain(|path| !path.ends_with("partial/lock"));
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
    let expected = "the hub has no o/toy at main; check `repo`, `revision` and `files` in the task file";
    assert_eq!(fault(&place.at(&HubServer::start())), (ExitCode::Network, expected.to_owned()));
    let other = HubServer::with(&[("README.md", "")]);
    let expected = "the hub has no o/toy/data/de-*.txt; check `repo`, `revision` and `files` in the task file";
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
fn a_dead_network_is_named_after_some_attempts() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let (exit, message) = fault(&place.hub(&endpoint, |_| ()));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.starts_with(&format!("failed to get o/toy at main from {endpoint}: ")), "{message}");
    assert!(message.to_lowercase().contains("refused") && message.contains("(3 attempts)"), "{message}");
    assert!(!place.options().lock.exists());
}

#[test]
fn faults_that_pass_are_waited_for() {
    for (at, faults) in [
        ("revision", vec![Fault::Status(500, ""), Fault::Status(503, "")]),
        ("tree", vec![Fault::Cut(10), Fault::Status(429, "Retry-After: 0\r\n")]),
        ("de-1", vec![Fault::Status(502, ""), Fault::Cut(1)]),
        ("de-1", vec![Fault::Cut(0), Fault::Short(2)]),
        ("de-2", vec![Fault::Status(408, ""), Fault::Silent]),
        ("store", vec![Fault::Status(403, ""), Fault::Status(404, "")]),
        ("store", vec![Fault::Silent, Fault::Cut(100)]),
        ("store", vec![Fault::Slow(30, Duration::from_millis(2))]),
    ] {
        let (place, server) = (Place::new(), HubServer::with(FILES));
        server.add("datasets/o/toy", LARGE, &bytes(1000), true);
        for fault in &faults {
            server.fault(at, fault.clone());
        }
        let found = fetched(&place.at(&server), &["de"]);
        assert_eq!(found.map_err(|e| e.to_string()).map(|found| found.len()), Ok(3), "{at} {faults:?}");
        assert_eq!(place.cached().len(), 3, "{at} {faults:?}");
        server.requests();

        let (place, server) = (Place::new(), HubServer::with(FILES));
        server.add("datasets/o/toy", LARGE, &bytes(1000), true);
        for fault in std::iter::repeat_n(&faults[0], 3) {
            server.fault(at, fault.clone());
        }
        if !matches!(faults[0], Fault::Slow(..)) {
            let (exit, message) = fault(&place.at(&server));
            assert_eq!(exit, ExitCode::Network, "{message}");
            assert!(message.contains("(3 attempts); check the network"), "{message}");
            assert!(!message.contains("signature"), "{message}");
        }
    }
}

#[test]
fn the_hub_says_how_long_to_wait() {
    let (place, server) = (Place::new(), HubServer::with(FILES));
    server.fault("de-1", Fault::Status(429, "Retry-After: 1\r\n"));
    let begun = Instant::now();
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap().len(), 2);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    let all = bytes(300_000);
    for large in [true, false] {
        let (place, server) = (Place::new(), HubServer::with(&[]));
        server.add("datasets/o/toy", LARGE, &all, large);
        let body = if large { "store" } else { "resolve" };
        for at in [100_000, 50_000] {
            server.fault(body, Fault::Cut(at));
        }
        let files = fetched(&place.at(&server), &["de"]).unwrap();
        assert_eq!(files[0].entry.sha256, sha256(&all));
        assert_eq!((files[0].transferred, server.sent()), (300_000, 300_000));
        assert_eq!(place.blob(), all);
        let ranges: Vec<_> =
            server.requests().into_iter().filter(|r| r.path.contains(body)).filter_map(|r| r.range).collect();
        assert_eq!(ranges, ["bytes=100000-", "bytes=150000-"]);
    }
}

#[test]
fn the_next_run_takes_up_what_the_last_one_left() {
    let all = bytes(300_000);
    let (place, server) = (Place::new(), with_large(&all));
    server.fault("store", Fault::Cut(200_000));
    server.fault("resolve", Fault::Nothing);
    server.fault("resolve", Fault::Status(400, ""));
    assert_eq!(fault(&place.at(&server)).0, ExitCode::Network);
    server.sent();
    // What was written may be less or more than it should be: less is asked for again, more is no part of this file.
    let partial = place.partial();
    for left in [200_000, 123_456, 0] {
        let place = Place::new();
        std::fs::create_dir_all(place.options().cache.join("partial")).unwrap();
        for (from, to) in [(&partial, 0), (&partial.with_extension("tag"), 1)] {
            let bytes = std::fs::read(from).unwrap();
            let bytes = if to == 0 { &bytes[..left] } else { &bytes[..] };
            std::fs::write(place.options().cache.join("partial").join(from.file_name().unwrap()), bytes).unwrap();
        }
        let files = fetched(&place.at(&server), &["de"]).unwrap();
        assert_eq!((files[0].transferred, server.sent()), (300_000 - left as u64, 300_000 - left as u64));
        assert_eq!(place.blob(), all);
    }
    // Whole, but not yet in its place: nothing is asked for.
    std::fs::write(&partial, &all).unwrap();
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap()[0].transferred, 0);
    assert_eq!((place.blob(), server.sent()), (all, 0));
}

#[test]
fn what_was_left_and_does_not_fit_is_thrown_away() {
    let all = bytes(300_000);
    let spoil: [fn(&Path); 4] = [
        |bytes| std::fs::write(bytes, vec![7; 200_000]).unwrap(),
        |bytes| std::fs::write(bytes, vec![7; 300_000]).unwrap(),
        |bytes| std::fs::write(bytes, vec![7; 400_000]).unwrap(),
        |bytes| std::fs::write(bytes.with_extension("tag"), "another").unwrap(),
    ];
    for spoil in spoil {
        let (place, server) = (Place::new(), with_large(&all));
        server.fault("store", Fault::Cut(200_000));
        server.fault("resolve", Fault::Nothing);
        server.fault("resolve", Fault::Status(400, ""));
        fault(&place.at(&server));
        spoil(&place.partial());
        fetched(&place.at(&server), &["de"]).unwrap();
        assert_eq!(place.blob(), all);
    }
}

#[test]
fn a_server_without_ranges_or_tags_sends_everything_again() {
    let all = bytes(300_000);
    let (place, server) = (Place::new(), with_large(&all));
    server.fault("store", Fault::Cut(200_000));
    server.fault("store", Fault::IgnoreRange);
    let files = fetched(&place.at(&server), &["de"]).unwrap();
    assert_eq!((files[0].transferred, place.blob()), (500_000, all.clone()));

    let (place, server) = (Place::new(), with_large(&all));
    server.without_etags();
    server.fault("store", Fault::Cut(200_000));
    server.fault("resolve", Fault::Nothing);
    server.fault("resolve", Fault::Status(400, ""));
    fault(&place.at(&server));
    server.sent();
    fetched(&place.at(&server), &["de"]).unwrap();
    assert_eq!((server.sent(), place.blob()), (300_000, all));
}

#[test]
fn bytes_that_the_hub_did_not_announce_are_refused() {
    let (place, server) = (Place::new(), with_large(&bytes(1000)));
    server.fault("store", Fault::WrongBytes);
    let (exit, message) = fault(&place.at(&server));
    assert_eq!(exit, ExitCode::Mismatch);
    assert!(message.starts_with("o/toy/data/de-large.txt came with sha256 "), "{message}");
    assert!(message.contains(&sha256(&bytes(1000))), "{message}");
    assert!(place.cached().is_empty() && !place.options().lock.exists());
    fetched(&place.at(&server), &["de"]).unwrap();
}

#[test]
fn the_token_is_shown_to_the_hub_alone() {
    let (place, server) = (Place::new(), with_large(&bytes(1000)));
    server.gate("hf_secret");
    assert!(fault(&place.at(&server)).1.contains("(401)"));
    let note = Mutex::new(String::new());
    let stop = AtomicBool::new(false);
    let hub = place.at(&server);
    let wire =
        Wire { endpoint: &server.endpoint, token: Some("hf_secret"), patience: hub.patience, stop: &stop, note: &note };
    std::fs::create_dir_all(place.options().cache.join("partial")).unwrap();
    let repo = Repo { kind: RepoKind::Dataset, id: "o/toy", revision: "main" };
    let job = hub.job(repo, COMMIT, &Listed { path: LARGE.to_owned(), bytes: 1000 }).unwrap();
    server.requests();
    Line::open(&wire).unwrap().receive(&job).unwrap();
    let shown: Vec<_> = server.requests().into_iter().map(|r| (r.at_store, r.token)).collect();
    assert_eq!(shown, [(false, Some("hf_secret".to_owned())), (true, None)]);
}

#[test]
fn redirects_are_followed_wherever_they_lead() {
    let (place, server, other) = (Place::new(), HubServer::with(FILES), HubServer::with(FILES));
    server.fault("de-1", Fault::Redirect(format!("/datasets/o/toy/resolve/{COMMIT}/data/de-2.txt")));
    server.fault("de-2", Fault::Redirect(format!("{}/datasets/o/toy/resolve/{COMMIT}/data/de-1.txt", other.endpoint)));
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap().len(), 2);
    for _ in 0..10 {
        server.fault("fi-1", Fault::Redirect(format!("/datasets/o/toy/resolve/{COMMIT}/data/fi-1.txt")));
    }
    let message = fetched(&place.at(&server), &["fi"]).unwrap_err().to_string();
    assert!(message.contains("more than 8 redirects"), "{message}");
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
fn many_files_come_side_by_side_and_one_failure_keeps_the_others() {
    let (place, server) = (Place::new(), HubServer::with(&[]));
    for i in 0..12 {
        server.add("datasets/o/toy", &format!("data/de-{i:02}.txt"), &bytes(1000 + i), i % 2 == 0);
    }
    for i in 0..12 {
        server.fault(&format!("de-{i:02}"), Fault::Slow(10, Duration::from_millis(3)));
    }
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap().len(), 12);
    assert!((2..=2 * FILES_AT_ONCE).contains(&server.busiest()), "{}", server.busiest());

    let place = Place::new();
    server.fault("de-05", Fault::Status(403, ""));
    assert!(fault(&place.at(&server)).1.starts_with("the hub refuses o/toy/data/de-05.txt"));
    let kept = place.cached().len();
    assert!(kept >= 1, "{kept}");
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap().len(), 12);
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

#[test]
fn a_stop_is_heard_at_once_and_loses_nothing() {
    let all = bytes(300_000);
    let (place, server) = (Place::new(), with_large(&all));
    for at in ["revision", "tree", "resolve"] {
        server.fault(at, Fault::Silent);
        stopped(place.at(&server));
    }
    server.fault("store", Fault::Slow(30_000, Duration::from_millis(100)));
    stopped(place.at(&server));
    let before = std::fs::metadata(place.partial()).unwrap().len();
    assert!(before > 0);
    server.sent();
    assert_eq!(fetched(&place.at(&server), &["de"]).unwrap()[0].transferred, 300_000 - before);
    assert_eq!(place.blob(), all);
}

/// Fetches, and is stopped after a quarter of a second.
fn stopped(mut hub: Hub) {
    hub.patience.silence = Duration::from_secs(600);
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(250));
            stop.store(true, Ordering::Relaxed);
        });
        with_languages(&["de"], |languages| fetch(&task(), &hub, &[(Split::Train, languages)].into(), &Quiet, &stop))
    });
    assert_eq!(result.unwrap_err().exit(), ExitCode::Interrupted);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_model_becomes_a_directory() {
    let files = [("config.json", "{}"), ("model.safetensors", "weights"), ("tokenizer.json", "{\"a\": 1}")];
    let (place, server) = (Place::new(), HubServer::start());
    for (path, text) in files {
        server.add("models/o/model", path, text.as_bytes(), path.ends_with("safetensors"));
    }
    let dir = place.at(&server).model_dir("o/model", "main").unwrap();
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), text);
    }
    assert_eq!(place.hub(&server.endpoint, |o| o.offline = true).model_dir("o/model", "main").unwrap(), dir);
    assert!(place.lock().contains("kind = \"model\""));
    let bare = HubServer::start();
    bare.add("models/o/model", "config.json", b"{}", false);
    let message = Place::new().at(&bare).model_dir("o/model", "main").unwrap_err().to_string();
    assert!(message.contains("the hub has no model.safetensors in o/model at main"), "{message}");
}

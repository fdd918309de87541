use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::error::ExitCode;
use crate::progress::Quiet;
use crate::source::{Origin, resolve};
use crate::task::Languages;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// An answer of the server: status and body; `cut` announces more bytes than come.
#[derive(Clone)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    cut: bool,
}

/// As much of the hub as the client needs, on a loopback port. It ends with the process.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: BTreeMap<String, Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &answers, &seen);
            }
        });
        Self { endpoint, requests }
    }

    /// The datasets repository `o/toy` with `files`, and the model repository `o/model`, both at [`COMMIT`].
    fn with(files: &[(&str, &str)]) -> Self {
        Self::start(repository(files))
    }

    /// `METHOD path` of each request so far; asking forgets them.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn ok(body: impl AsRef<[u8]>) -> Answer {
    Answer { status: 200, body: body.as_ref().to_vec(), cut: false }
}

fn repository(files: &[(&str, &str)]) -> BTreeMap<String, Answer> {
    let siblings: Vec<_> = files.iter().map(|(path, _)| serde_json::json!({"rfilename": path})).collect();
    let mut answers = BTreeMap::new();
    for (kind, repo) in [("datasets", "o/toy"), ("models", "o/model")] {
        let info = serde_json::json!({"id": repo, "sha": COMMIT, "siblings": siblings}).to_string();
        for revision in ["main", COMMIT] {
            answers.insert(format!("/api/{kind}/{repo}/revision/{revision}"), ok(&info));
        }
        let prefix = if kind == "models" { String::new() } else { format!("{kind}/") };
        for (path, text) in files {
            answers.insert(format!("/{prefix}{repo}/resolve/{COMMIT}/{path}"), ok(text));
        }
    }
    answers
}

fn answer(stream: TcpStream, answers: &BTreeMap<String, Answer>, seen: &Mutex<Vec<String>>) {
    let mut input = BufReader::new(stream);
    let mut request = String::new();
    input.read_line(&mut request).unwrap();
    let mut line = String::new();
    while input.read_line(&mut line).unwrap_or(0) > 0 && !line.trim().is_empty() {
        line.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    seen.lock().unwrap().push(format!("{method} {path}"));
    let missing = Answer { status: 404, body: b"{}".to_vec(), cut: false };
    let answer = answers.get(path).unwrap_or(&missing);
    let length = answer.body.len() + if answer.cut { 1000 } else { 0 };
    let head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {length}\r\nETag: \"e\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
        answer.status
    );
    let mut stream = input.into_inner();
    // A client that hangs up early is none of the server's business.
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&answer.body);
    }
}

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

const FILES: &[(&str, &str)] =
    &[("README.md", "read me"), ("data/de-1.txt", "ja\n"), ("data/de-2.txt", "nein\n"), ("data/fi-1.txt", "ei\n")];

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
        hub.endpoint = Some(endpoint.to_owned());
        hub
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
}

fn with_languages<T>(codes: &[&str], then: impl FnOnce(&[&Language]) -> T) -> T {
    let all = Languages::parse(include_str!("../../../data/languages.toml"), "languages.toml").unwrap();
    then(&codes.iter().map(|code| all.get(code).unwrap()).collect::<Vec<_>>())
}

fn fetched(hub: &Hub, codes: &[&str]) -> Result<Vec<LockEntry>, SourceError> {
    with_languages(codes, |languages| fetch(&task(), hub, languages, &[Split::Train], &Quiet, &AtomicBool::new(false)))
}

fn fault(hub: &Hub) -> (ExitCode, String) {
    let error = fetched(hub, &["de"]).unwrap_err();
    (error.exit(), error.to_string())
}

#[test]
fn files_are_fetched_once_and_pinned() {
    let (place, server) = (Place::new(), Server::with(FILES));
    let hub = place.hub(&server.endpoint, |_| ());
    let entries = fetched(&hub, &["fi", "sw", "de"]).unwrap();
    let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["data/de-1.txt", "data/de-2.txt", "data/fi-1.txt"]);
    assert_eq!(entries[0].commit, COMMIT);
    assert_eq!(entries[0].bytes, 3);
    assert_eq!(server.requests()[0], "GET /api/datasets/o/toy/revision/main");
    assert_eq!(place.cached().len(), 3);

    // Again, from the lock file on disk: the pinned commit is listed, and nothing is downloaded.
    let again = place.hub(&server.endpoint, |_| ());
    assert_eq!(fetched(&again, &["fi", "de"]).unwrap(), entries);
    assert_eq!(server.requests(), [format!("GET /api/datasets/o/toy/revision/{COMMIT}")]);

    let raw = with_languages(&["de", "sw"], |languages| {
        resolve(&task(), &Origin::Hub(&again), languages, &[Split::Train], false).unwrap()
    });
    let names: Vec<_> = raw.files.iter().map(|file| file.parts[0].name.as_str()).collect();
    assert_eq!(names, ["o/toy/data/de-1.txt", "o/toy/data/de-2.txt"]);
    assert_eq!(std::fs::read_to_string(&raw.files[1].parts[0].path).unwrap(), "nein\n");
}

#[test]
fn the_lock_file_is_stable_text() {
    let (place, server) = (Place::new(), Server::with(FILES));
    fetched(&place.hub(&server.endpoint, |_| ()), &["de"]).unwrap();
    let german = place.lock();
    fetched(&place.hub(&server.endpoint, |_| ()), &["de"]).unwrap();
    assert_eq!(place.lock(), german);
    let first = "[[file]]\nkind = \"dataset\"\nrepo = \"o/toy\"\nrevision = \"main\"\npath = \"data/de-1.txt\"\n\
                 commit = \"0123456789abcdef0123456789abcdef01234567\"\n\
                 sha256 = \"1d57f2d17cb74b39bd0c4cbd696b72cc2d4c97f8d8b5c6da51e99bde35b417e2\"\nbytes = 3\n";
    assert!(german.contains(first), "{german}");
    assert!(german.contains("version = 1"));

    // Fetched in another order, the file is the same.
    fetched(&place.hub(&server.endpoint, |_| ()), &["fi"]).unwrap();
    let other = Place::new();
    fetched(&other.hub(&server.endpoint, |_| ()), &["fi"]).unwrap();
    fetched(&other.hub(&server.endpoint, |_| ()), &["de"]).unwrap();
    assert_eq!(place.lock(), other.lock());
}

#[test]
fn bytes_other_than_the_pinned_ones_are_refused() {
    let (place, server) = (Place::new(), Server::with(FILES));
    let entries = fetched(&place.hub(&server.endpoint, |_| ()), &["de"]).unwrap();
    std::fs::remove_dir_all(place.options().cache).unwrap();
    let changed = Server::with(&[("data/de-1.txt", "doch\n"), ("data/de-2.txt", "nein\n")]);
    let (exit, message) = fault(&place.hub(&changed.endpoint, |_| ()));
    assert_eq!(exit, ExitCode::Mismatch);
    assert!(
        message.starts_with("o/toy/data/de-1.txt has sha256 ") && message.contains(&entries[0].sha256),
        "{message}"
    );
    assert!(place.cached().is_empty());
    // The same bytes at the same place are fetched again.
    assert_eq!(fetched(&place.hub(&server.endpoint, |_| ()), &["de"]).unwrap(), entries);
}

#[test]
fn what_the_hub_does_not_have_or_give_is_named() {
    let place = Place::new();
    let hub = |server: &Server| place.hub(&server.endpoint, |_| ());
    let empty = Server::start(BTreeMap::new());
    let expected = "the hub has no o/toy at main; check `repo`, `revision` and `files` in the task file";
    assert_eq!(fault(&hub(&empty)), (ExitCode::Network, expected.to_owned()));
    let other = Server::with(&[("README.md", "")]);
    let expected = "the hub has no o/toy/data/de-*.txt; check `repo`, `revision` and `files` in the task file";
    assert_eq!(fault(&hub(&other)), (ExitCode::Network, expected.to_owned()));
    for status in [401, 403] {
        let mut answers = repository(FILES);
        let refused = Answer { status, body: b"{\"error\": \"gated\"}".to_vec(), cut: false };
        answers.insert("/api/datasets/o/toy/revision/main".to_owned(), refused.clone());
        let (exit, message) = fault(&hub(&Server::start(answers.clone())));
        assert_eq!(exit, ExitCode::Network);
        assert!(message.starts_with(&format!("the hub refuses o/toy at main ({status})")), "{message}");
        assert!(message.contains("set HF_TOKEN"), "{message}");
        let mut answers = repository(FILES);
        answers.insert(format!("/datasets/o/toy/resolve/{COMMIT}/data/de-1.txt"), refused);
        let (_, message) = fault(&hub(&Server::start(answers)));
        assert!(message.starts_with(&format!("the hub refuses o/toy/data/de-1.txt ({status})")), "{message}");
    }
    assert!(place.cached().is_empty());
    assert!(!place.options().lock.exists());
}

#[test]
fn a_dead_network_and_a_cut_download_are_named() {
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let (exit, message) = fault(&place.hub(&endpoint, |_| ()));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.starts_with(&format!("failed to get o/toy at main from {endpoint}: ")), "{message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");

    let mut answers = repository(FILES);
    let cut = Answer { status: 200, body: b"j".to_vec(), cut: true };
    answers.insert(format!("/datasets/o/toy/resolve/{COMMIT}/data/de-1.txt"), cut);
    let (exit, message) = fault(&place.hub(&Server::start(answers).endpoint, |_| ()));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.starts_with("failed to get o/toy/data/de-1.txt from "), "{message}");
    assert!(place.cached().is_empty());
}

#[test]
fn offline_and_locked_ask_for_nothing_new() {
    let (place, server) = (Place::new(), Server::with(FILES));
    let offline = |options: &mut HubOptions| options.offline = true;
    let locked = |options: &mut HubOptions| options.locked = true;
    let (exit, message) = fault(&place.hub(&server.endpoint, offline));
    assert_eq!(exit, ExitCode::Network);
    assert!(message.starts_with("o/toy is not in ") && message.contains("the network is off"), "{message}");
    let (exit, message) = fault(&place.hub(&server.endpoint, locked));
    assert_eq!(exit, ExitCode::Missing);
    assert!(message.contains("sources.lock has no entry for o/toy"), "{message}");
    assert!(server.requests().is_empty());

    let entries = fetched(&place.hub(&server.endpoint, |_| ()), &["fi"]).unwrap();
    server.requests();
    assert_eq!(fetched(&place.hub(&server.endpoint, offline), &["fi"]).unwrap(), entries);
    assert_eq!(fetched(&place.hub(&server.endpoint, locked), &["fi"]).unwrap(), entries);
    let (_, message) = fault(&place.hub(&server.endpoint, locked));
    assert!(message.contains("sources.lock has no entry for o/toy/data/de-*.txt"), "{message}");
    assert!(server.requests().is_empty());

    std::fs::remove_dir_all(place.options().cache).unwrap();
    let message = fetched(&place.hub(&server.endpoint, offline), &["fi"]).unwrap_err().to_string();
    assert!(message.starts_with("o/toy/data/fi-1.txt is not in "), "{message}");
    let unfetched = with_languages(&["fi"], |languages| {
        let hub = place.hub(&server.endpoint, |_| ());
        resolve(&task(), &Origin::Hub(&hub), languages, &[Split::Train], false).unwrap_err()
    });
    assert_eq!(unfetched.to_string(), "o/toy/data/fi-1.txt was not fetched to this machine; run `trestle fetch` first");
    // `locked` forbids new entries, not downloads of known ones.
    assert_eq!(fetched(&place.hub(&server.endpoint, locked), &["fi"]).unwrap(), entries);
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
fn a_stopped_fetch_keeps_what_it_has() {
    let (place, server) = (Place::new(), Server::with(FILES));
    let hub = place.hub(&server.endpoint, |_| ());
    let stopped = with_languages(&["de"], |languages| {
        fetch(&task(), &hub, languages, &[Split::Train], &Quiet, &AtomicBool::new(true))
    });
    assert_eq!(stopped.unwrap_err().exit(), ExitCode::Interrupted);
    assert_eq!(fetched(&hub, &["de"]).unwrap().len(), 2);
}

#[test]
fn a_model_becomes_a_directory() {
    let files = [("config.json", "{}"), ("model.safetensors", "weights"), ("tokenizer.json", "{\"a\": 1}")];
    let (place, server) = (Place::new(), Server::with(&files));
    let hub = place.hub(&server.endpoint, |_| ());
    let dir = hub.model_dir("o/model", "main").unwrap();
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(dir.join(name)).unwrap(), text);
    }
    assert_eq!(place.hub(&server.endpoint, |o| o.offline = true).model_dir("o/model", "main").unwrap(), dir);
    assert!(place.lock().contains("kind = \"model\""));
    let bare = Server::with(&files[..2]);
    let message = Place::new().hub(&bare.endpoint, |_| ()).model_dir("o/model", "main").unwrap_err().to_string();
    assert!(message.contains("the hub has no tokenizer.json in o/model at main"), "{message}");
}

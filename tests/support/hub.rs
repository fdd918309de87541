//! A server on the loopback interface that speaks as much of the hub's interface as Trestle uses, and misbehaves on demand.
//!
//! `GET /api/datasets/{repo}/revision/{rev}`, `GET /api/datasets/{repo}/tree/{rev}?recursive=true` (in pages of three
//! entries), `GET /datasets/{repo}/resolve/{rev}/{path}` with `Range`; the same without `datasets` for models. Large files
//! are answered with a redirect to a second server, the store, which must not see the token.
// Unit tests and tests of the binary share it; each uses a part.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const LATER_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// Entries of one answer of `tree`.
const PAGE: usize = 3;

/// What a server does instead of answering a request properly.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers properly.
    Nothing,
    /// Answers with this status and these header lines.
    Status(u16, &'static str),
    /// Hangs up when this much of the body is sent.
    Cut(usize),
    /// Sends the body with one bit flipped.
    WrongBytes,
    /// Announces and sends only this much of the body.
    Short(usize),
    /// Sends the body in pieces of this size, with this pause after each.
    Slow(usize, Duration),
    /// Sends the whole file, whatever range is asked for.
    IgnoreRange,
    /// Says nothing, for as long as the client waits.
    Silent,
    /// Says that the bytes are of another commit.
    OtherCommit,
    /// Redirects to the same path at another address.
    Redirect(String),
}

#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// With the query.
    pub path: String,
    /// `Range`, if there was one.
    pub range: Option<String>,
    /// The bearer token, if there was one.
    pub token: Option<String>,
    /// Whether it came to the store behind the hub.
    pub at_store: bool,
}

#[derive(Clone)]
struct File {
    bytes: Vec<u8>,
    large: bool,
}

#[derive(Default)]
struct State {
    /// By `datasets/{owner}/{name}` or `models/{owner}/{name}`: revisions and files.
    repositories: BTreeMap<String, Repository>,
    requests: Vec<Request>,
    /// What happens to the next requests whose paths contain a text.
    faults: Vec<(String, Fault)>,
    /// Bytes of files sent.
    sent: u64,
    /// Requests that are being answered, and the most there were at once.
    busy: usize,
    busiest: usize,
    /// Requests without this token are refused.
    token: Option<String>,
    store: String,
    etags: bool,
}

#[derive(Default)]
struct Repository {
    /// Commit by branch or tag.
    revisions: BTreeMap<String, String>,
    files: BTreeMap<String, File>,
}

/// The hub. It ends with the process.
#[derive(Clone)]
pub struct HubServer {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    /// An empty hub.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { etags: true, ..State::default() }));
        let endpoint = serve(state.clone(), false);
        state.lock().unwrap().store = serve(state.clone(), true);
        Self { endpoint, state }
    }

    /// A hub with the dataset `o/toy` at [`COMMIT`].
    pub fn with(files: &[(&str, &str)]) -> Self {
        let server = Self::start();
        for (path, text) in files {
            server.add("datasets/o/toy", path, text.as_bytes(), false);
        }
        server
    }

    /// Adds a file to a repository, whose `main` and `refs/convert/parquet` are at [`COMMIT`].
    pub fn add(&self, repository: &str, path: &str, bytes: &[u8], large: bool) {
        let mut state = self.state();
        let repository = state.repositories.entry(repository.to_owned()).or_default();
        for revision in ["main", "refs/convert/parquet"] {
            repository.revisions.insert(revision.to_owned(), COMMIT.to_owned());
        }
        repository.files.insert(path.to_owned(), File { bytes: bytes.to_vec(), large });
    }

    /// Moves a branch to [`LATER_COMMIT`]. The server has the same files at every commit.
    pub fn move_branch(&self, repository: &str, revision: &str) {
        let mut state = self.state();
        let repository = state.repositories.get_mut(repository).unwrap();
        repository.revisions.insert(revision.to_owned(), LATER_COMMIT.to_owned());
    }

    /// The next request whose path contains `path` meets `fault`; called again, the one after it.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// Refuses requests without this token.
    pub fn gate(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    /// Names no tags of files from now on.
    pub fn without_etags(&self) {
        self.state().etags = false;
    }

    /// The requests so far; asking forgets them.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// `METHOD path` of the requests so far; asking forgets them.
    pub fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }

    /// How many bytes of files were sent so far; asking forgets them.
    pub fn sent(&self) -> u64 {
        std::mem::take(&mut self.state().sent)
    }

    /// The most requests that were answered at the same time so far.
    pub fn busiest(&self) -> usize {
        self.state().busiest
    }

    /// The number of requests that are being answered.
    pub fn busy(&self) -> usize {
        self.state().busy
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serves each connection on a thread of its own; the address.
fn serve(state: Arc<Mutex<State>>, at_store: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let state = state.clone();
            std::thread::spawn(move || connection(stream.unwrap(), &state, at_store));
        }
    });
    address
}

/// An answer: status, header lines (each with its end) and body.
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

fn connection(stream: TcpStream, state: &Mutex<State>, at_store: bool) {
    let mut input = BufReader::new(stream);
    let Some(request) = read(&mut input, at_store) else { return };
    let (answer, fault) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        state.busy += 1;
        state.busiest = state.busiest.max(state.busy);
        let at = state.faults.iter().position(|(path, _)| request.path.contains(path.as_str()));
        let fault = at.map(|at| state.faults.remove(at).1);
        let mut asked = request;
        if matches!(fault, Some(Fault::IgnoreRange)) {
            asked.range = None;
        }
        (answer(&state, &asked), fault)
    };
    // A client that hangs up early is none of the server's business.
    let _ = send(input.into_inner(), answer, fault, state);
    state.lock().unwrap().busy -= 1;
}

fn read(input: &mut BufReader<TcpStream>, at_store: bool) -> Option<Request> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut range, mut token) = (None, None);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.trim().to_owned()),
            "authorization" => token = value.trim().strip_prefix("Bearer ").map(str::to_owned),
            _ => (),
        }
    }
    Some(Request { method, path, range, token, at_store })
}

fn answer(state: &State, request: &Request) -> Answer {
    let missing = || Answer { status: 404, headers: String::new(), body: b"{\"error\": \"not found\"}".to_vec() };
    if !request.at_store && state.token.is_some() && request.token != state.token {
        let status = if request.token.is_some() { 403 } else { 401 };
        return Answer { status, headers: String::new(), body: b"{\"error\": \"gated\"}".to_vec() };
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let found = if request.at_store { stored(state, request, path) } else { hub(state, request, path, query) };
    found.unwrap_or_else(missing)
}

/// A large file by its digest, as a store of another company would give it: with a tag of its own.
fn stored(state: &State, request: &Request, path: &str) -> Option<Answer> {
    let digest = path.strip_prefix("/store/")?;
    let mut files = state.repositories.values().flat_map(|repository| repository.files.values());
    let file = files.find(|file| sha256(&file.bytes) == digest)?;
    Some(file_answer(file, request, "ETag: \"of-the-store\"\r\n".to_owned()))
}

fn hub(state: &State, request: &Request, path: &str, query: &str) -> Option<Answer> {
    let path = path.strip_prefix('/')?;
    let api = path.strip_prefix("api/");
    let mut words = api.unwrap_or(path).split('/');
    let kind = if api.is_some() || path.starts_with("datasets/") { words.next()? } else { "models" };
    let name = format!("{kind}/{}/{}", words.next()?, words.next()?);
    let (verb, revision) = (words.next()?, words.next()?.replace("%2F", "/"));
    let repository = state.repositories.get(&name)?;
    let commit = match repository.revisions.get(&revision) {
        Some(commit) => commit,
        None if revision == COMMIT || revision == LATER_COMMIT => &revision,
        None => return None,
    };
    match (api.is_some(), verb) {
        (true, "revision") => {
            let siblings: Vec<_> = repository.files.keys().map(|path| json!({"rfilename": path})).collect();
            let id = name.split_once('/')?.1;
            let body = json!({"id": id, "sha": commit, "siblings": siblings}).to_string();
            Some(Answer { status: 200, headers: String::new(), body: body.into_bytes() })
        }
        (true, "tree") => Some(tree(repository, request, query)),
        (false, "resolve") => {
            let path = words.collect::<Vec<_>>().join("/").replace("%20", " ").replace("%23", "#");
            let file = repository.files.get(&path)?;
            let digest = sha256(&file.bytes);
            let headers = format!("X-Repo-Commit: {commit}\r\n");
            let tag =
                |name: &str, tag: &str| if state.etags { format!("{name}: \"{tag}\"\r\n") } else { String::new() };
            if file.large {
                let linked = tag("X-Linked-ETag", &digest);
                let length = file.bytes.len();
                let headers = format!(
                    "{headers}{linked}X-Linked-Size: {length}\r\nLocation: {}/store/{digest}?signature=secret\r\n",
                    state.store
                );
                return Some(Answer { status: 302, headers, body: Vec::new() });
            }
            Some(file_answer(file, request, format!("{headers}{}", tag("ETag", &digest[..40]))))
        }
        _ => None,
    }
}

/// A page of the files and folders of a repository, with the address of the next one.
fn tree(repository: &Repository, request: &Request, query: &str) -> Answer {
    let mut entries = vec![json!({"type": "directory", "oid": COMMIT, "path": "data", "size": 0})];
    for (path, file) in &repository.files {
        let mut entry = json!({"type": "file", "oid": COMMIT, "path": path, "size": file.bytes.len()});
        if file.large {
            entry["lfs"] = json!({"oid": sha256(&file.bytes), "size": file.bytes.len(), "pointerSize": 134});
        }
        entries.push(entry);
    }
    assert!(query.contains("recursive=true"), "{query}");
    let from = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")).map_or(0, |from| from.parse().unwrap());
    let page: Vec<_> = entries.iter().skip(from).take(PAGE).collect();
    let next = from + PAGE;
    let headers = if next < entries.len() {
        let path = request.path.split('?').next().unwrap();
        // The client takes absolute addresses here, as the hub gives them.
        format!("Link: <http://HOST{path}?recursive=true&cursor={next}>; rel=\"next\"\r\n")
    } else {
        String::new()
    };
    Answer { status: 200, headers, body: json!(page).to_string().into_bytes() }
}

fn file_answer(file: &File, request: &Request, headers: String) -> Answer {
    let length = file.bytes.len();
    let from = request.range.as_ref().map(|range| {
        let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).unwrap();
        from.parse::<usize>().unwrap()
    });
    match from {
        None => Answer { status: 200, headers, body: file.bytes.clone() },
        Some(from) if from < length => {
            let headers = format!("{headers}Content-Range: bytes {from}-{}/{length}\r\n", length - 1);
            Answer { status: 206, headers, body: file.bytes[from..].to_vec() }
        }
        Some(_) => Answer { status: 416, headers: format!("Content-Range: bytes */{length}\r\n"), body: Vec::new() },
    }
}

fn send(mut stream: TcpStream, answer: Answer, fault: Option<Fault>, state: &Mutex<State>) -> std::io::Result<()> {
    let Answer { mut status, mut headers, mut body } = answer;
    headers = headers.replace("http://HOST", &format!("http://{}", stream.local_addr()?));
    let (mut until, mut piece, mut pause) = (body.len(), usize::MAX, Duration::ZERO);
    match fault {
        None | Some(Fault::Nothing | Fault::IgnoreRange) => (),
        Some(Fault::Status(other, lines)) => {
            (status, headers, body) = (other, lines.to_owned(), b"{}".to_vec());
            until = body.len();
        }
        Some(Fault::Cut(at)) => until = at.min(until),
        Some(Fault::WrongBytes) => body[0] ^= 1,
        Some(Fault::Short(to)) => {
            body.truncate(to);
            until = body.len();
        }
        Some(Fault::Slow(size, wait)) => (piece, pause) = (size, wait),
        Some(Fault::Silent) => {
            std::thread::sleep(Duration::from_secs(600));
            return Ok(());
        }
        Some(Fault::OtherCommit) => headers = headers.replace(COMMIT, LATER_COMMIT),
        Some(Fault::Redirect(to)) => {
            (status, headers, body) = (307, format!("Location: {to}\r\n"), Vec::new());
            until = 0;
        }
    }
    let is_file = headers.contains("ETag:") || headers.contains("X-Repo-Commit:");
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    for part in body[..until].chunks(piece.min(1 << 16)) {
        stream.write_all(part)?;
        if is_file {
            state.lock().unwrap().sent += part.len() as u64;
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

//! One store on two mounts of a directory that show each other's changes seconds late and share no locks, as the file systems
//! of many clusters do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::Said;

/// Two sshfs mounts of one directory, by a file server of their own.
struct Mounts {
    dir: tempfile::TempDir,
    server: Child,
}

impl Mounts {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let sftp = std::env::var("TRESTLE_SFTP_SERVER").expect("this test needs TRESTLE_SFTP_SERVER");
        let server = Command::new("socat")
            .arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"))
            .arg(format!("EXEC:{sftp}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mounts = Self { dir, server };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "the file server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::create_dir(mounts.path("backing")).unwrap();
        for name in ["one", "two"] {
            std::fs::create_dir(mounts.path(name)).unwrap();
            let late = "attr_timeout=3,entry_timeout=3,negative_timeout=3,dcache_timeout=3";
            let status = Command::new("sshfs")
                .args(["-o", &format!("directport={port},{late}")])
                .arg(format!("127.0.0.1:{}", mounts.path("backing").display()))
                .arg(mounts.path(name))
                .status()
                .unwrap();
            assert!(status.success(), "sshfs can't mount here");
        }
        mounts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for name in ["one", "two"] {
            let _ = Command::new("fusermount3").arg("-uz").arg(self.path(name)).status();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn trestle(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trestle"));
    command.args(arguments).arg("--home").arg(home).arg("--tasks").arg(support::fixtures());
    command.env_remove("TRESTLE_HOME").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The labels of the stages that a process says it made.
fn made(said: &Said) -> Vec<String> {
    let label = |line: &str| Some(line.strip_prefix('[')?.split_once("] ")?.1.split_once(' ')?.0.to_owned());
    said.err.lines().filter_map(label).collect()
}

#[test]
#[ignore = "needs sshfs, socat and TRESTLE_SFTP_SERVER"]
fn two_mounts_of_one_store_make_each_stage_once() {
    let rounds: usize = std::env::var("TRESTLE_ROUNDS").map_or(3, |text| text.parse().unwrap());
    for round in 0..rounds {
        let mounts = Mounts::new();
        let run = |name: &str| {
            trestle(&mounts.path(name).join("store"), &["run", "tiny", "--device", "flex", "--workers", "2"])
                .spawn()
                .unwrap()
        };
        let (one, two) = (run("one"), run("two"));
        let both = [one, two].map(|child| support::said(&child.wait_with_output().unwrap()));
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for said in &both {
            assert_eq!(said.code, 0, "round {round}: {}", said.err);
            assert!(!said.err.contains("for nothing"), "round {round}: {}", said.err);
            made(said).into_iter().for_each(|label| *times.entry(label).or_default() += 1);
        }
        let told = format!("round {round}: {times:?}\n{}\n{}", both[0].err, both[1].err);
        assert!(times.len() > 40 && times.values().all(|count| *count == 1), "{told}");
        assert!(both.iter().all(|said| made(said).len() > times.len() / 10), "one of them did all the work; {told}");
        assert_eq!(both[0].out.replace("/one/", "/two/"), both[1].out, "round {round}");
        let store = mounts.path("backing/store");
        let verified = support::said(&trestle(&store, &["verify"]).output().unwrap());
        assert!(verified.code == 0 && verified.out.contains(" 0 problems"), "round {round}: {}", verified.out);
        let left = support::said(&trestle(&store, &["gc", "--dry-run", "--json"]).output().unwrap());
        assert_eq!(left.out.trim(), "[]", "round {round}");
    }
}

//! Who works: enough of a process to tell, from wherever the store can be seen, whether it still lives.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// A process that takes leases on a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Machine, process and a random number: no two are equal. Fit for a file name.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// Which start of that machine it is; with `namespace`, where `pid` means what it says.
    boot: String,
    /// The namespace of process numbers, as containers have them; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The process.
    pub pid: u32,
    /// When it started, in seconds since 1970: numbers of processes are used again.
    started: u64,
    /// The file system on which the store lies, as this machine counts them.
    device: u64,
    /// The batch job that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
}

/// A task of a batch system that starts what it has lost again under the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    id: String,
    process: String,
    restarts: u64,
}

impl Job {
    fn from_environment() -> Option<Self> {
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let restarts = of("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
        Some(Self { id: of("SLURM_JOB_ID")?, process: of("SLURM_PROCID").unwrap_or_default(), restarts })
    }
}

impl Token {
    /// This process, for the store at `root`; another one each time.
    pub fn of_this_process(root: &Path) -> Self {
        let pid = std::process::id();
        let host = System::host_name().unwrap_or_else(|| "unknown".to_owned());
        let plain: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let random = RandomState::new().hash_one(pid);
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned());
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
        Self {
            id: format!("{plain}-{pid}-{random:016x}"),
            host,
            boot: boot.unwrap_or_else(|_| System::boot_time().to_string()),
            namespace: namespace.map(|link| link.to_string_lossy().into_owned()),
            pid,
            started: process(pid).map_or(0, |(started, _)| started),
            device: device(root),
            job: Job::from_environment(),
        }
    }

    /// Another process, which started when this one did.
    #[cfg(test)]
    pub fn posing(self, id: &str, pid: u32, host: &str, device: u64) -> Self {
        Self { id: id.to_owned(), pid, host: host.to_owned(), device, ..self }
    }

    /// As it stands in a lease.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("texts and numbers serialise");
        line.push(b'\n');
        line
    }

    /// Whether processes of both count processes alike: the same start of the same machine, the same namespace.
    fn shares_processes(&self, other: &Token) -> bool {
        (&self.host, &self.boot, &self.namespace) == (&other.host, &other.boot, &other.namespace)
    }

    /// Whether this process sees at once what `other` does to the store.
    pub fn sees_as(&self, other: &Token) -> bool {
        (&self.host, &self.boot, self.device) == (&other.host, &other.boot, other.device)
    }

    /// Whether this process belongs to a later start of the batch task that `other` belonged to.
    pub fn restarts(&self, other: &Token) -> bool {
        self.job
            .as_ref()
            .zip(other.job.as_ref())
            .is_some_and(|(own, old)| (&own.id, &own.process) == (&old.id, &old.process) && own.restarts > old.restarts)
    }

    /// Whether `other` lives; none where that can't be known from here.
    pub fn knows_alive(&self, other: &Token) -> Option<bool> {
        if !self.shares_processes(other) {
            return None;
        }
        // Systems compute a process's start from their clock, which may be set by a second meanwhile.
        Some(process(other.pid).is_some_and(|(started, runs)| runs && started.abs_diff(other.started) <= 2))
    }
}

/// When a process started, and whether it runs: one that was killed stays in the table until its parent has looked.
fn process(pid: u32) -> Option<(u64, bool)> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let process = system.process(pid)?;
    Some((process.start_time(), !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead)))
}

#[cfg(unix)]
fn device(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map_or(0, |metadata| metadata.dev())
}

#[cfg(not(unix))]
fn device(_path: &Path) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_to_live_until_it_ends() {
        let me = Token::of_this_process(Path::new("."));
        assert_eq!(me.knows_alive(&me), Some(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (started, _) = process(child.id()).unwrap();
        let other = Token { pid: child.id(), started, ..me.clone() };
        assert_eq!(me.knows_alive(&other), Some(true));
        // Another process that has its number by now.
        assert_eq!(me.knows_alive(&Token { started: started - 1000, ..other.clone() }), Some(false));
        child.kill().unwrap();
        // Killed, and not yet waited for.
        let waiting = std::time::Instant::now();
        while me.knows_alive(&other) == Some(true) && waiting.elapsed().as_secs() < 5 {
            std::thread::yield_now();
        }
        assert_eq!(me.knows_alive(&other), Some(false));
        child.wait().unwrap();
        assert_eq!(me.knows_alive(&other), Some(false));
    }

    #[test]
    fn of_other_machines_nothing_is_known_at_once_but_restarts_of_one_job() {
        let me = Token::of_this_process(Path::new("."));
        assert_eq!(me.knows_alive(&Token { host: "elsewhere".to_owned(), ..me.clone() }), None);
        assert_eq!(me.knows_alive(&Token { boot: "before".to_owned(), ..me.clone() }), None);
        assert_eq!(me.knows_alive(&Token { namespace: Some("pid:[1]".to_owned()), ..me.clone() }), None);
        let job = |restarts| Some(Job { id: "7".to_owned(), process: "0".to_owned(), restarts });
        let of = |restarts| Token { job: job(restarts), ..me.clone() };
        assert!(of(1).restarts(&of(0)) && !of(0).restarts(&of(0)) && !of(0).restarts(&of(1)) && !me.restarts(&of(0)));
        let other = Token { job: Some(Job { process: "1".to_owned(), ..job(0).unwrap() }), ..me.clone() };
        assert!(!of(1).restarts(&other));
    }

    #[test]
    fn tokens_are_read_as_they_were_written_and_no_two_are_equal() {
        let (one, two) = (Token::of_this_process(Path::new(".")), Token::of_this_process(Path::new(".")));
        assert_ne!(one.id, two.id);
        assert_eq!(serde_json::from_slice::<Token>(&one.line()).unwrap(), one);
    }
}

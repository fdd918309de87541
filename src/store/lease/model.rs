//! The protocol in a world where whatever can go wrong with a shared file system does: replies are lost, requests refused
//! under any name, others' files seen late or as they were, processes paused for longer than they may be silent, killed and
//! started again. Everything is drawn from a seed; a failure names it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rayon::prelude::*;

use super::protocol::Storage;
use super::*;

const RUNS: u64 = 100_000;
const KEYS: usize = 2;
/// For how long another's change may stay unseen, in milliseconds.
const STALE: u64 = 60_000;
const SECOND: u64 = 1_000;
/// All is done long before, or never.
const TOO_LATE: u64 = 24 * 3600 * SECOND;

/// Which faults happen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    /// Nothing fails, nobody sleeps; others' changes are seen late.
    Calm,
    /// Replies are lost and requests refused as well.
    Rough,
    /// Workers are paused, die and come back as well, and leftovers are swept while they sleep.
    Storm,
}

/// A sequence of draws (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// A file's contents, each with the time from which it stood there.
#[derive(Clone)]
struct Versions {
    writer: usize,
    contents: Vec<(u64, Vec<u8>)>,
}

struct Life {
    token: Token,
    alive: bool,
    /// When it goes on.
    wakes: u64,
    /// Since when it has been paused, beat and all.
    paused: Option<u64>,
}

struct World {
    random: Random,
    weather: Weather,
    now: u64,
    files: BTreeMap<PathBuf, Versions>,
    lives: Vec<Life>,
    /// The commits of each key: none of them may ever be followed by another.
    commits: Vec<usize>,
    made: usize,
}

type Shared = Rc<RefCell<World>>;

/// One worker's view of the world.
struct View {
    world: Shared,
    me: usize,
}

/// Hands over to whoever the scheduler picks.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn refused(random: &mut Random) -> std::io::Error {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound, Other, PermissionDenied, TimedOut};
    [AlreadyExists, DirectoryNotEmpty, NotFound, Other, PermissionDenied, TimedOut][random.below(6) as usize].into()
}

impl View {
    async fn sleep(&self, time: u64) {
        {
            let world = &mut *self.world.borrow_mut();
            world.lives[self.me].wakes = world.now + time;
        }
        Turn(false).await;
    }

    async fn change(&self, apply: impl FnOnce(&mut World, usize) -> std::io::Result<()>) -> std::io::Result<()> {
        let time = 1 + self.world.borrow_mut().random.below(50);
        self.sleep(time).await;
        let answer = {
            let world = &mut *self.world.borrow_mut();
            let faulty = world.weather != Weather::Calm && world.random.one_in(20);
            if faulty && world.random.one_in(2) {
                Err(refused(&mut world.random))
            } else {
                let answer = apply(world, self.me);
                if faulty { Err(refused(&mut world.random)) } else { answer }
            }
        };
        let time = self.world.borrow_mut().random.below(50);
        self.sleep(time).await;
        answer
    }

    /// The files directly below `folder`, whether they can be seen or not.
    fn holds(world: &World, folder: &Path) -> Vec<PathBuf> {
        world.files.keys().filter(|path| path.parent() == Some(folder)).cloned().collect()
    }

    async fn write(&self, path: &Path, content: &str) -> std::io::Result<()> {
        self.change(|world, me| {
            let contents = vec![(world.now, content.as_bytes().to_vec())];
            world.files.insert(path.to_owned(), Versions { writer: me, contents });
            Ok(())
        })
        .await
    }
}

impl Storage for View {
    async fn create(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        self.change(|world, me| {
            if world.files.contains_key(path) {
                return Err(refused(&mut world.random));
            }
            world.files.insert(path.to_owned(), Versions { writer: me, contents: vec![(world.now, content.to_vec())] });
            Ok(())
        })
        .await
    }

    async fn append(&self, path: &Path, content: &[u8]) -> std::io::Result<()> {
        self.change(|world, _| {
            let now = world.now;
            let versions = world.files.get_mut(path).ok_or(std::io::ErrorKind::NotFound)?;
            let whole = [&versions.contents.last().unwrap().1, content].concat();
            versions.contents.push((now, whole));
            Ok(())
        })
        .await
    }

    async fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let time = 1 + self.world.borrow_mut().random.below(50);
        self.sleep(time).await;
        let world = &mut *self.world.borrow_mut();
        let seen = if world.random.one_in(2) { world.now.saturating_sub(world.random.below(STALE)) } else { world.now };
        if path.starts_with("workers") {
            let life = world.lives.iter().find(|life| path.ends_with(&life.token.id))?;
            let last = if life.alive { life.paused.unwrap_or(world.now) } else { life.wakes };
            return Some((seen.min(last) / (15 * SECOND)).to_string().into_bytes());
        }
        let versions = world.files.get(path)?;
        let (own, other) = (&world.lives[self.me].token, &world.lives[versions.writer].token);
        let seen = if own.sees_as(other) { world.now } else { seen };
        versions.contents.iter().rev().find(|(since, _)| *since <= seen).map(|(_, content)| content.clone())
    }

    async fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.change(|world, me| {
            if !View::holds(world, to).is_empty() {
                return Err(refused(&mut world.random));
            }
            let moved = View::holds(world, from);
            if moved.is_empty() {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            let now = world.now;
            for path in moved {
                let versions = world.files.remove(&path).unwrap();
                let content = versions.contents.last().unwrap().1.clone();
                let versions = Versions { writer: me, contents: vec![(now, content)] };
                world.files.insert(to.join(path.file_name().unwrap()), versions);
            }
            let key: usize = to.file_name().unwrap().to_str().unwrap().parse().unwrap();
            world.commits[key] += 1;
            Ok(())
        })
        .await
    }

    async fn pause(&self, time: Duration) {
        self.sleep(time.as_millis() as u64).await;
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.world.borrow().now)
    }

    fn lives(&self, worker: &Token) -> Option<bool> {
        let world = self.world.borrow();
        let other = world.lives.iter().find(|life| life.token.id == worker.id)?;
        (other.token.host == world.lives[self.me].token.host).then_some(other.alive)
    }
}

/// What a process does: every key, in an order of its own, as [`Store::begin`](super::super::Store::begin) and the executor do.
async fn work(view: View) {
    let me = view.world.borrow().lives[view.me].token.clone();
    let places = places(Path::new(""));
    let silence = Duration::from_secs(SILENCE);
    let patience = Patience { silence, visible: silence };
    let party = Party { storage: &view, places: &places, patience, me: &me };
    let mut memory = Memory::default();
    let mut left: Vec<usize> = (0..KEYS).collect();
    while !left.is_empty() {
        let key = left[view.world.borrow_mut().random.below(left.len() as u64) as usize];
        let destination = PathBuf::from(format!("artifacts/{key}"));
        let manifest = destination.join("manifest");
        let name = format!("toy-{key}");
        let mut there = view.read(&manifest).await;
        if there.is_none() {
            let claim = party.claim(&name, &mut memory).await;
            // Committed between the look and the claim.
            there = view.read(&manifest).await;
            match claim {
                Ok(Claim::Mine { generation, .. }) if there.is_some() => {
                    party.end(&name, generation, "done digest", &mut memory).await;
                }
                Ok(Claim::Mine { generation, .. }) => {
                    let folder = PathBuf::from(format!("tmp/{key}~{}", mark(generation, &me)));
                    let text = format!("{key} by {} in {generation}", me.id);
                    view.world.borrow_mut().made += 1;
                    there = make(&view, &party, &folder, &destination, &text).await.ok();
                    let how = if there.is_some() { "done digest" } else { "free" };
                    party.end(&name, generation, how, &mut memory).await;
                }
                Ok(Claim::Committed | Claim::Busy(_)) | Err(_) => view.sleep(SECOND / 2).await,
            }
        }
        if let Some(there) = there {
            let whole = String::from_utf8(there).unwrap().strip_prefix("manifest of ").unwrap().to_owned();
            let world = view.world.borrow();
            let data = &world.files[&destination.join("data")].contents;
            assert_eq!(data.last().unwrap().1, whole.as_bytes(), "data and manifest of one maker");
            left.retain(|other| *other != key);
        }
    }
}

/// As [`Transaction`](super::super::Transaction) does.
async fn make(
    view: &View,
    party: &Party<'_, View>,
    folder: &Path,
    destination: &Path,
    text: &str,
) -> std::io::Result<Vec<u8>> {
    view.write(&folder.join("mark"), text).await?;
    let time = view.world.borrow_mut().random.below(300 * SECOND);
    view.sleep(time).await;
    // Stages make the folders that they write into.
    view.write(&folder.join("data"), text).await?;
    let mark = folder.join("mark");
    view.change(|world, _| world.files.remove(&mark).map(drop).ok_or(std::io::ErrorKind::NotFound.into())).await?;
    let manifest = format!("manifest of {text}").into_bytes();
    // No file is created in a folder that is gone.
    view.change(|world, me| {
        if View::holds(world, folder).is_empty() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        let contents = vec![(world.now, manifest)];
        world.files.insert(folder.join("manifest"), Versions { writer: me, contents });
        Ok(())
    })
    .await?;
    party.commit(folder, destination, "manifest").await
}

/// One history: how often keys were made, and how often committed.
fn history(seed: u64, weather: Weather) -> (usize, Vec<usize>) {
    let base = Token::of_this_process(Path::new("."));
    let mut random = Random(seed);
    let workers = 2 + random.below(2) as usize;
    let token = |number: usize, random: &mut Random| {
        let (host, mount) = (random.below(2), random.below(2));
        base.clone().posing(&format!("w{number}"), base.pid, &format!("host{host}"), mount)
    };
    let lives = (0..workers).map(|number| {
        let wakes = random.below(10 * SECOND);
        Life { token: token(number, &mut random), alive: true, wakes, paused: None }
    });
    let lives = lives.collect();
    let commits = vec![0; KEYS];
    let world = World { random, weather, now: 0, files: BTreeMap::new(), lives, commits, made: 0 };
    let world: Shared = Rc::new(RefCell::new(world));
    let start =
        |me: usize| -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(work(View { world: Rc::clone(&world), me })) };
    let mut tasks: Vec<Option<_>> = (0..workers).map(|me| Some(start(me))).collect();
    loop {
        let next = {
            let world = &mut *world.borrow_mut();
            let running = |(number, life): (usize, &Life)| tasks[number].is_some().then_some((life.wakes, number));
            let Some((wakes, _)) = world.lives.iter().enumerate().filter_map(running).min() else { break };
            world.now = world.now.max(wakes);
            assert!(world.now < TOO_LATE, "no progress");
            let due: Vec<usize> = (0..world.lives.len())
                .filter(|&number| tasks[number].is_some() && world.lives[number].wakes <= world.now)
                .collect();
            due[world.random.below(due.len() as u64) as usize]
        };
        let mut reborn = false;
        {
            let world = &mut *world.borrow_mut();
            let now = world.now;
            world.lives[next].paused = None;
            // The first worker may sleep, but never dies: somebody has to finish.
            if world.weather == Weather::Storm && now < TOO_LATE / 8 && world.random.one_in(60) {
                if next > 0 && world.random.one_in(2) {
                    (world.lives[next].alive, world.lives[next].wakes) = (false, now);
                    tasks[next] = None;
                    reborn = world.random.one_in(2);
                } else {
                    (world.lives[next].paused, world.lives[next].wakes) =
                        (Some(now), now + world.random.below(400 * SECOND));
                }
                // What was being written by those that are dead or seem so may be swept away at any time.
                if world.random.one_in(4) {
                    let gone = format!("~{}", world.lives[next].token.id);
                    world.files.retain(|path, _| !(path.starts_with("tmp") && path.to_string_lossy().contains(&gone)));
                }
                if tasks[next].is_some() {
                    continue;
                }
            }
            if reborn {
                let token = token(world.lives.len(), &mut world.random);
                let wakes = now + world.random.below(20 * SECOND);
                world.lives.push(Life { token, alive: true, wakes, paused: None });
            }
        }
        if reborn {
            tasks.push(Some(start(tasks.len())));
        }
        if let Some(task) = &mut tasks[next]
            && pin!(task).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            tasks[next] = None;
            let world = &mut *world.borrow_mut();
            (world.lives[next].alive, world.lives[next].wakes) = (false, world.now);
        }
    }
    let world = world.borrow();
    (world.made, world.commits.clone())
}

/// Runs `check` on many histories and names the seed of one that fails.
fn histories(weather: Weather, runs: u64, check: impl Fn(usize, &[usize]) + Sync) -> usize {
    (0..runs)
        .into_par_iter()
        .map(|seed| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let (made, commits) = history(seed, weather);
                check(made, &commits);
                made
            }));
            outcome.unwrap_or_else(|_| panic!("history {seed} in {weather:?} weather"))
        })
        .sum()
}

#[test]
fn whatever_happens_each_key_is_committed_once_and_all_who_live_get_there() {
    let made = histories(Weather::Storm, RUNS, |made, commits| {
        assert!(commits.iter().all(|count| *count == 1), "{commits:?}");
        assert!(made >= KEYS);
    });
    // The weather is rough enough to have work done twice, and rarely enough to be worth it.
    let ideal = RUNS as usize * KEYS;
    assert!(made > ideal + ideal / 100 && made < ideal * 2, "{made} makings of {ideal} artifacts");
}

#[test]
fn where_nobody_dies_or_sleeps_nothing_is_made_twice() {
    histories(Weather::Calm, RUNS / 10, |made, _| assert_eq!(made, KEYS));
    // A refused write costs the try, so that only commits can be counted.
    histories(Weather::Rough, RUNS / 10, |_, commits| assert!(commits.iter().all(|count| *count == 1)));
}

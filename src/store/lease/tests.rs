use std::sync::atomic::AtomicUsize;

use super::*;

fn leases(dir: &Path) -> Leases {
    Leases::with_silence(dir, Duration::from_millis(400))
}

fn mine(leases: &Leases, name: &str) -> Held {
    match leases.claim(name).unwrap() {
        Claimed::Mine(held) => held,
        Claimed::Busy(holder) => panic!("{holder:?} holds {name}"),
    }
}

fn busy(leases: &Leases, name: &str) -> bool {
    matches!(leases.claim(name).unwrap(), Claimed::Busy(_))
}

/// A worker of another machine, which `beats` or not, with a lease on `name`.
fn stranger(dir: &Path, name: &str) -> Token {
    let token = Token::of_this_process(dir).posing("elsewhere-1-0", 1, "elsewhere", 0);
    for folder in ["leases", "workers"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    fs::write(dir.join(format!("leases/{name}.1")), token.line()).unwrap();
    beat(dir, &token, 1);
    token
}

fn beat(dir: &Path, token: &Token, count: u32) {
    fs::write(dir.join("workers").join(&token.id), [format!("{count:020}\n").into_bytes(), token.line()].concat())
        .unwrap();
}

#[test]
fn one_holds_a_lease_and_the_next_gets_it_when_it_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (leases(dir.path()), leases(dir.path()));
    let held = mine(&one, "a");
    assert!(busy(&two, "a") && busy(&one, "a"), "neither another worker nor another thread of this one");
    assert_eq!(mine(&two, "b").generation(), 1);
    drop(held);
    let held = mine(&two, "a");
    assert_eq!(held.generation(), 2);
    assert!(held.follows_ended() && held.mark_of_dead().is_none());
    held.done("digest");
    // Done, and what was done can't be found: somebody has removed it.
    assert_eq!(mine(&one, "a").generation(), 3);
}

#[test]
fn a_dead_process_of_this_machine_is_followed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let one = Leases::with_silence(dir.path(), Duration::from_secs(3600));
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let me = Token::of_this_process(dir.path());
    let (host, device) = (me.host.clone(), std::os::unix::fs::MetadataExt::dev(&fs::metadata(dir.path()).unwrap()));
    let dead = me.posing("gone", child.id(), &host, device);
    fs::create_dir_all(dir.path().join("leases")).unwrap();
    fs::write(dir.path().join("leases/a.1"), dead.line()).unwrap();
    let held = mine(&one, "a");
    assert_eq!((held.generation(), held.mark_of_dead()), (2, Some("1~gone".to_owned())));
    // By way of another mount, what it has written last may not be seen yet.
    fs::write(dir.path().join("leases/b.1"), dead.posing("gone", child.id(), &host, 0).line()).unwrap();
    assert!(busy(&one, "b"));
}

#[test]
fn a_silent_worker_of_another_machine_is_dead_after_a_while_and_a_beating_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let one = leases(dir.path());
    let token = stranger(dir.path(), "a");
    let started = Instant::now();
    let mut count = 1;
    while started.elapsed() < Duration::from_millis(900) {
        count += 1;
        beat(dir.path(), &token, count);
        assert!(busy(&one, "a"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let silent = Instant::now();
    while busy(&one, "a") {
        assert!(silent.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(silent.elapsed() >= Duration::from_millis(350), "{:?}", silent.elapsed());
    // It has not ended for certain.
    let held = Leases::with_silence(dir.path(), Duration::from_millis(1));
    let started = Instant::now();
    fs::write(dir.path().join("leases/b.1"), token.line()).unwrap();
    let held = loop {
        match held.claim("b").unwrap() {
            Claimed::Mine(held) => break held,
            Claimed::Busy(_) => assert!(started.elapsed() < Duration::from_secs(5)),
        }
    };
    assert!(!held.follows_ended() && held.mark_of_dead().is_none());
}

#[test]
fn a_lease_that_nobody_wrote_is_left_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let one = leases(dir.path());
    fs::create_dir_all(dir.path().join("leases")).unwrap();
    fs::write(dir.path().join("leases/a.1"), "{\"id\": \"half").unwrap();
    assert!(busy(&one, "a"));
    std::thread::sleep(Duration::from_millis(450));
    assert_eq!(mine(&one, "a").generation(), 2);
}

#[test]
fn waiting_ends_with_the_lease_or_with_a_stop_and_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (leases(dir.path()), leases(dir.path()));
    let (stop, told) = (AtomicBool::new(false), AtomicUsize::new(0));
    let held = mine(&one, "a");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            two.wait("a", &stop, |holder| {
                assert_eq!(holder.unwrap().pid, std::process::id());
                told.fetch_add(1, Ordering::Relaxed);
            })
        });
        std::thread::sleep(Duration::from_millis(250));
        drop(held);
        assert!(waiting.join().unwrap().unwrap().is_some());
    });
    assert_eq!(told.load(Ordering::Relaxed), 1);
    let _held = mine(&one, "a");
    stop.store(true, Ordering::Relaxed);
    assert!(two.wait("a", &stop, |_| ()).unwrap().is_none());
}

#[test]
fn the_last_to_leave_takes_its_leases_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (leases(dir.path()), leases(dir.path()));
    mine(&one, "a").done("digest");
    mine(&two, "b").done("digest");
    drop(one);
    assert_eq!(files(&dir.path().join("leases")).unwrap().len(), 2, "another one may not yet see what was committed");
    drop(two);
    let left = files(&dir.path().join("leases")).unwrap();
    assert_eq!(left, [dir.path().join("leases/a.1")]);
    let three = leases(dir.path());
    assert_eq!(three.clear().unwrap(), 1);
    drop(three);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_beat_changes_while_its_process_lives() {
    let dir = tempfile::tempdir().unwrap();
    let one = leases(dir.path());
    let _held = mine(&one, "a");
    let path = &files(&dir.path().join("workers")).unwrap()[0];
    let before = fs::read(path).unwrap();
    let started = Instant::now();
    while fs::read(path).unwrap() == before {
        assert!(started.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
    // Its watcher needs no longer than that to know that it lives, and as long as it may be silent to know that it doesn't.
    let token = stranger(dir.path(), "b");
    let stop = AtomicBool::new(false);
    let mut told = Vec::new();
    let living = one.living(&stop, |workers| told.extend(workers.to_vec())).unwrap().unwrap();
    assert_eq!((living.len(), told), (0, vec![token]));
    stop.store(true, Ordering::Relaxed);
    assert!(one.living(&stop, |_| ()).unwrap().is_none());
}

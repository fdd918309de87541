//! Transfers that are cut, refused, redirected, damaged, stopped.

use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use super::*;

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

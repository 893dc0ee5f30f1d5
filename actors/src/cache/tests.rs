#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and says so when it is skipped"
)]
mod slow;
mod withdrawals;

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaos::ca::{Authority, AuthorityOptions};
use proptest::prelude::*;
use tempfile::TempDir;
use verdict::availability::{Earlier, Event, Found, Loss, State, Timing};
use verdict::time::{Age, Contact, Now};
use verdict::trust::{Snapshot, Standing, World};

use super::content::{Content, DecodeError, SameBoot};
use super::faults::{Faults, Step};
use super::shelf::FILE_MAX_BYTES;
use super::*;
use crate::clock::TestClock;
use crate::metrics::Metrics;
use crate::trust::Advice;

const SOCKET: &str = "/run/spire/sockets/agent.sock";
const NOW: Now = Now {
    wall_ms: 1_790_000_000_000,
    boot_ms: 5_000_000,
};

fn authority(domain: &str) -> Authority {
    Authority::new(domain, AuthorityOptions::at(1_790_000_000)).unwrap()
}

/// Two domains, of which one could not be read by the second update.
fn snapshot() -> Snapshot {
    let (home, partner) = (authority("example.org"), authority("partner.test"));
    let (home, partner) = (home.anchors_der(), partner.anchors_der());
    let first = [
        ("spiffe://example.org", &*home),
        ("spiffe://partner.test", &*partner),
    ];
    let second = [
        ("spiffe://example.org", &*home),
        ("spiffe://partner.test", b"garbage".as_slice()),
    ];
    let earlier = Now {
        wall_ms: NOW.wall_ms - 7_000,
        boot_ms: NOW.boot_ms - 7_000,
    };
    let (snapshot, _) = Snapshot::default()
        .updated(first.into_iter(), earlier)
        .unwrap();
    snapshot.updated(second.into_iter(), NOW).unwrap().0
}

fn material() -> Content {
    Content::material(Path::new(SOCKET), Some("boot"), &snapshot()).unwrap()
}

fn tombstone() -> Content {
    Content::tombstone(Path::new(SOCKET), Some("boot"))
}

fn shelf(dir: &TempDir) -> Shelf {
    Shelf::new(dir.path().to_owned(), Box::new(NoFaults))
}

fn write_to(dir: &TempDir, content: &Content) {
    shelf(dir).lock().unwrap().write(content).unwrap();
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("x509-bundles")
}

fn clock_at(now: Now, boot_id: &str) -> Clock {
    Clock::Test(TestClock::new(now, boot_id))
}

fn load_from(dir: &TempDir, clock: &Clock) -> Loaded {
    load(dir.path(), Path::new(SOCKET), clock)
}

/// Names in the directory, sorted; but for the lock's, which stays.
fn names(dir: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "x509-bundles.lock").collect();
    names.sort();
    names
}

/// What lies there is not used, and lies under another name.
#[track_caller]
fn is_set_aside(dir: &TempDir, why: &str) {
    let said = shelf(dir).read(Path::new(SOCKET)).unwrap_err();
    assert!(said.to_string().contains(why), "{said}");
    let loaded = load_from(dir, &clock_at(NOW, "boot"));
    assert_eq!(loaded.found, Found::Nothing);
    assert!(loaded.snapshot.is_empty());
    assert_eq!(names(dir), ["x509-bundles.aside-1"]);
}

#[tokio::test]
async fn what_is_written_is_found_again_each_domain_with_its_own_contact() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let loaded = load_from(&dir, &clock_at(NOW, "boot"));
    assert_eq!(loaded.found, Found::Material(Contact::at(NOW)));
    let bundles: Vec<_> = loaded.snapshot.iter().collect();
    assert_eq!(bundles.len(), 2);
    for (domain, bundle) in bundles {
        let (standing, age) = match domain.to_string().as_str() {
            "example.org" => (Standing::Confirmed, Age::Ms(0)),
            _ => (Standing::Kept, Age::Ms(7_000)),
        };
        assert_eq!(bundle.standing(), standing);
        assert_eq!(bundle.contact().age(NOW), age);
    }
    let mode = std::fs::metadata(file(&dir)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(names(&dir), ["x509-bundles"]);
}

#[tokio::test]
async fn nothing_there_is_nothing_found() {
    let dir = TempDir::new().unwrap();
    assert_eq!(
        load_from(&dir, &clock_at(NOW, "boot")).found,
        Found::Nothing
    );
    let missing = dir.path().join("missing");
    let loaded = load(&missing, Path::new(SOCKET), &clock_at(NOW, "boot"));
    assert_eq!(loaded.found, Found::Nothing);
    assert!(names(&dir).is_empty());
}

#[tokio::test]
async fn a_tombstone_survives() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    write_to(&dir, &tombstone());
    for boot in ["boot", "another"] {
        let loaded = load_from(&dir, &clock_at(NOW, boot));
        assert_eq!(loaded.found, Found::Tombstone);
        assert!(loaded.snapshot.is_empty());
    }
    assert_eq!(names(&dir), names_with(&tombstone()));
}

#[tokio::test]
async fn a_boot_time_reading_counts_in_its_own_boot_only() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let later = Now {
        // The wall clock was set back by a minute, an hour has passed.
        wall_ms: NOW.wall_ms + 3_540_000,
        boot_ms: NOW.boot_ms + 3_600_000,
    };
    let age = |boot: &str| match load_from(&dir, &clock_at(later, boot)).found {
        Found::Material(contact) => contact.age(later),
        other => panic!("{other:?}"),
    };
    assert_eq!(age("boot"), Age::Ms(3_600_000));
    assert_eq!(age("another"), Age::Ms(3_540_000));
}

#[tokio::test]
async fn a_contact_in_the_future_is_found_and_unusable() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let before = Now {
        wall_ms: NOW.wall_ms - 60_001,
        boot_ms: 1,
    };
    let Found::Material(contact) = load_from(&dir, &clock_at(before, "another")).found else {
        panic!("not found");
    };
    assert_eq!(contact.age(before), Age::InTheFuture);
    let state = State::start(Found::Material(contact), Timing::default(), before);
    assert_eq!(
        state,
        State::start(Found::Nothing, Timing::default(), before)
    );
    // The clock may be set right later: the file stays.
    assert_eq!(names(&dir), ["x509-bundles"]);
}

#[test]
fn unknown_boots_are_not_the_same() {
    let yes = SameBoot::of(Some("a"), Some("a"));
    assert_eq!(yes, SameBoot::Yes);
    for (stored, current) in [
        (None, None),
        (Some("a"), None),
        (None, Some("a")),
        (Some("a"), Some("b")),
    ] {
        assert_eq!(SameBoot::of(stored, current), SameBoot::No);
    }
}

#[test]
fn every_truncation_is_told() {
    for content in [material(), tombstone()] {
        let bytes = content.encode().unwrap();
        assert_eq!(Content::decode(&bytes), Ok(content));
        for len in 0..bytes.len() {
            let error = Content::decode(&bytes[..len]).unwrap_err();
            assert!(matches!(error, DecodeError::Foreign | DecodeError::Digest));
        }
    }
}

#[tokio::test]
async fn torn_files_are_set_aside_and_the_next_write_is_good() {
    let bytes = material().encode().unwrap();
    for len in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
        let dir = TempDir::new().unwrap();
        std::fs::write(file(&dir), &bytes[..len]).unwrap();
        std::fs::set_permissions(file(&dir), PermissionsExt::from_mode(0o600)).unwrap();
        is_set_aside(&dir, "it");
        write_to(&dir, &material());
        let found = load_from(&dir, &clock_at(NOW, "boot")).found;
        assert_eq!(found, Found::Material(Contact::at(NOW)));
    }
}

fn put(dir: &TempDir, bytes: &[u8]) {
    std::fs::write(file(dir), bytes).unwrap();
    std::fs::set_permissions(file(dir), PermissionsExt::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_is_not_ours_is_set_aside() {
    let dir = TempDir::new().unwrap();
    put(&dir, b"hello\n");
    is_set_aside(&dir, "does not begin");

    let dir = TempDir::new().unwrap();
    put(&dir, b"spiffe-bundles 2 00\n{}");
    is_set_aside(&dir, "its format is version 2");

    let dir = TempDir::new().unwrap();
    let sparse = std::fs::File::create(file(&dir)).unwrap();
    sparse.set_len(FILE_MAX_BYTES + 1).unwrap();
    is_set_aside(&dir, "at most");
}

#[tokio::test]
async fn links_and_what_is_no_file_are_set_aside_unread() {
    let elsewhere = TempDir::new().unwrap();
    write_to(&elsewhere, &material());
    let dir = TempDir::new().unwrap();
    symlink(file(&elsewhere), file(&dir)).unwrap();
    is_set_aside(&dir, "no regular file");
    // The link went, not what it led to.
    assert_eq!(names(&elsewhere), ["x509-bundles"]);

    let dir = TempDir::new().unwrap();
    std::fs::create_dir(file(&dir)).unwrap();
    is_set_aside(&dir, "no regular file");

    let dir = TempDir::new().unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(file(&dir)).unwrap();
    is_set_aside(&dir, "no regular file");

    // Nobody writes into it: whoever opens it naively waits for ever.
    let dir = TempDir::new().unwrap();
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        file(&dir),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    is_set_aside(&dir, "no regular file");
}

#[tokio::test]
async fn a_file_that_others_can_write_or_own_is_set_aside() {
    for mode in [0o620, 0o602, 0o666] {
        let dir = TempDir::new().unwrap();
        write_to(&dir, &material());
        std::fs::set_permissions(file(&dir), PermissionsExt::from_mode(mode)).unwrap();
        is_set_aside(&dir, "group or others can write it");
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    std::os::unix::fs::chown(file(&dir), Some(12_345), None).unwrap();
    is_set_aside(&dir, "belongs to uid 12345");
}

#[tokio::test]
async fn a_directory_that_is_not_ours_alone_is_neither_read_nor_written() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let refused = |why: &str| {
        let read = shelf(&dir).read(Path::new(SOCKET)).unwrap_err();
        assert!(read.to_string().contains(why), "{read}");
        let write = shelf(&dir).lock().err().unwrap();
        assert!(write.to_string().contains(why), "{write}");
        let loaded = load_from(&dir, &clock_at(NOW, "boot"));
        assert_eq!(loaded.found, Found::Nothing);
        assert_eq!(names(&dir), ["x509-bundles"]);
    };
    for mode in [0o770, 0o707, 0o1777] {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(mode)).unwrap();
        refused("group or others can write");
    }
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert_ne!(
        load_from(&dir, &clock_at(NOW, "boot")).found,
        Found::Nothing
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    std::os::unix::fs::chown(dir.path(), Some(12_345), None).unwrap();
    refused("belongs to uid 12345");
}

#[tokio::test]
async fn only_the_last_step_of_the_directory_is_made() {
    let dir = TempDir::new().unwrap();
    let below = dir.path().join("state");
    let shelf = Shelf::new(below.clone(), Box::new(NoFaults));
    shelf.lock().unwrap().write(&tombstone()).unwrap();
    let mode = std::fs::metadata(&below).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let deep = dir.path().join("not").join("there");
    let shelf = Shelf::new(deep, Box::new(NoFaults));
    assert!(matches!(
        shelf.lock().err().unwrap(),
        WriteError::Directory(_)
    ));
}

#[tokio::test]
async fn what_is_set_aside_is_bounded() {
    let dir = TempDir::new().unwrap();
    for round in 0..10 {
        put(&dir, format!("round {round}").as_bytes());
        let loaded = load_from(&dir, &clock_at(NOW, "boot"));
        assert_eq!(loaded.found, Found::Nothing);
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(names(&dir).len(), 4);
    assert_eq!(read("x509-bundles.aside-1"), "round 0");
    assert_eq!(read("x509-bundles.aside-latest"), "round 9");
}

#[tokio::test]
async fn one_writes_at_a_time() {
    let dir = TempDir::new().unwrap();
    let (one, other) = (shelf(&dir), shelf(&dir));
    let locked = one.lock().unwrap();
    assert!(matches!(other.lock().err().unwrap(), WriteError::Busy));
    drop(locked);
    assert!(other.lock().is_ok());
}

#[test]
fn the_same_socket_is_the_same_path() {
    let content = |path: &str| Content::tombstone(Path::new(path), None);
    assert!(content("/a//b/").is_of(Path::new("/a/b")));
    assert!(content("/a/./b").is_of(Path::new("/a/b")));
    assert!(!content("/a/b").is_of(Path::new("/a/B")));
    assert!(!content("/a/b").is_of(Path::new("a/b")));
    // An escape is not what it stands for.
    assert!(!content("/a\\xff").is_of(std::ffi::OsStr::from_bytes(b"/a\xff").as_ref()));
}

/// The n-th step is the last.
struct CrashAt(AtomicUsize);

impl Faults for CrashAt {
    fn before(&self, _step: Step) -> std::io::Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0 => Err(std::io::Error::from_raw_os_error(28)),
            _ => Ok(()),
        }
    }
}

/// The steps of writing material; a tombstone is marked first, and unmarks nothing.
const STEPS: [Step; 10] = [
    Step::OpenDirectory,
    Step::Lock,
    Step::RemoveStale,
    Step::Create,
    Step::WriteFirstHalf,
    Step::WriteSecondHalf,
    Step::SyncFile,
    Step::Rename,
    Step::SyncDirectory,
    Step::Unmark,
];

fn steps(content: &Content) -> Vec<Step> {
    let mut steps = STEPS.to_vec();
    if Mark::of(content) == Mark::Withdrawn {
        steps.pop();
        steps.insert(2, Step::Mark);
    }
    steps
}

/// What a start after this crash must find: a withdrawal from its mark on, until the new material is
/// there for good.
fn found_after(step: Step, before: &Content, after: &Content) -> Found {
    let marked = Mark::of(after) == Mark::Withdrawn
        && !matches!(step, Step::OpenDirectory | Step::Lock | Step::Mark);
    if marked || Mark::of(before) == Mark::Withdrawn {
        return Found::Tombstone;
    }
    Found::Material(Contact::at(NOW))
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_the_old_or_the_new() {
    let (old, new) = (material(), tombstone());
    for (before, after) in [(&old, &new), (&new, &old), (&old, &old), (&new, &new)] {
        for (at, step) in steps(after).into_iter().enumerate() {
            let dir = TempDir::new().unwrap();
            write_to(&dir, before);
            let crash = CrashAt(AtomicUsize::new(at));
            let crashing = Shelf::new(dir.path().to_owned(), Box::new(crash));
            let written = crashing.lock().and_then(|locked| locked.write(after));
            assert!(written.is_err(), "{step:?} is never reached");
            let found = shelf(&dir).read(Path::new(SOCKET)).unwrap();
            let wanted = match step {
                Step::SyncDirectory | Step::Unmark => after,
                _ => before,
            };
            assert_eq!(&found, wanted, "{step:?}");
            let loaded = load_from(&dir, &clock_at(NOW, "boot"));
            assert_eq!(loaded.found, found_after(step, before, after), "{step:?}");
            // What the crash left behind does not hinder the next write.
            write_to(&dir, after);
            assert_eq!(&shelf(&dir).read(Path::new(SOCKET)).unwrap(), after);
            assert_eq!(names(&dir), names_with(after));
        }
    }
    // There is no step beyond these.
    for content in [&old, &new] {
        let dir = TempDir::new().unwrap();
        let faults = CrashAt(AtomicUsize::new(steps(content).len()));
        let shelf = Shelf::new(dir.path().to_owned(), Box::new(faults));
        shelf.lock().unwrap().write(content).unwrap();
    }
}

/// What lies in the directory once this is written.
fn names_with(content: &Content) -> Vec<&'static str> {
    match Mark::of(content) {
        Mark::None => vec!["x509-bundles"],
        Mark::Withdrawn => vec!["x509-bundles", "x509-bundles.withdrawn"],
    }
}

/// Whatever befalls the file: torn at any byte, gone, or another program's.
#[tokio::test]
async fn no_damage_to_the_file_forgets_a_withdrawal() {
    let bytes = tombstone().encode().unwrap();
    let torn = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    for damaged in torn.chain([b"somebody else's".to_vec()]) {
        let dir = TempDir::new().unwrap();
        write_to(&dir, &tombstone());
        put(&dir, &damaged);
        let found = load_from(&dir, &clock_at(NOW, "boot")).found;
        assert_eq!(found, Found::Tombstone, "{} bytes", damaged.len());
    }
    let dir = TempDir::new().unwrap();
    write_to(&dir, &tombstone());
    std::fs::remove_file(file(&dir)).unwrap();
    let found = load_from(&dir, &clock_at(NOW, "boot")).found;
    assert_eq!(found, Found::Tombstone);
    // Only what SPIRE delivers ends it.
    write_to(&dir, &material());
    let found = load_from(&dir, &clock_at(NOW, "boot")).found;
    assert_eq!(found, Found::Material(Contact::at(NOW)));
}

const OTHER: &str = "/run/other.sock";

/// What a start finds that is told this socket.
fn found_for(dir: &TempDir, socket: &str) -> Found {
    load(dir.path(), Path::new(socket), &clock_at(NOW, "boot")).found
}

/// What another agent may leave, each with what its next start must find.
fn left_by_another() -> [(TempDir, Found); 3] {
    let of_other = |content: Content| {
        let dir = TempDir::new().unwrap();
        let socket = OTHER.to_owned();
        write_to(&dir, &Content { socket, ..content });
        dir
    };
    let begun = of_other(material());
    std::fs::write(begun.path().join("x509-bundles.withdrawn"), "").unwrap();
    [
        (of_other(material()), Found::Material(Contact::at(NOW))),
        (of_other(tombstone()), Found::Tombstone),
        (begun, Found::Tombstone),
    ]
}

/// A path may be mistyped: starts with it cost nothing. A withdrawal counts there too: one socket has
/// many paths.
#[tokio::test]
async fn the_file_of_another_socket_stays_until_there_is_something_to_write() {
    for (dir, others) in left_by_another() {
        let before = names(&dir);
        let ours = match others {
            Found::Tombstone => Found::Tombstone,
            _ => Found::Nothing,
        };
        for _ in 0..3 {
            assert_eq!(found_for(&dir, SOCKET), ours);
            assert_eq!(names(&dir), before);
            assert_eq!(found_for(&dir, OTHER), others);
        }
    }
}

/// Bundles that a withdrawal is about have no name to come back from.
#[tokio::test]
async fn what_is_written_sets_the_bundles_of_another_socket_aside() {
    let ours = [
        (material(), Found::Nothing),
        (tombstone(), Found::Tombstone),
    ];
    for (content, elsewhere) in ours {
        for (dir, others) in left_by_another() {
            write_to(&dir, &content);
            assert_eq!(&shelf(&dir).read(Path::new(SOCKET)).unwrap(), &content);
            assert_eq!(found_for(&dir, OTHER), elsewhere);
            let mut expected = names_with(&content);
            if others == Found::Tombstone {
                assert_eq!(names(&dir), expected);
                continue;
            }
            expected.insert(1, "x509-bundles.aside-1");
            assert_eq!(names(&dir), expected);
            // Under its own name again it says what it said.
            let back = TempDir::new().unwrap();
            std::fs::rename(dir.path().join("x509-bundles.aside-1"), file(&back)).unwrap();
            assert_eq!(found_for(&back, OTHER), others);
        }
    }
}

/// Wherever it ends: a withdrawal stands until there is new material for good.
#[tokio::test]
async fn a_crash_while_another_is_replaced_ends_no_withdrawal() {
    let mut crashes = 0;
    loop {
        let mut done = 0;
        for (dir, others) in left_by_another() {
            let crash = CrashAt(AtomicUsize::new(crashes));
            let crashing = Shelf::new(dir.path().to_owned(), Box::new(crash));
            let locked = crashing.lock();
            let written = locked.and_then(|locked| locked.write(&material()));
            done += usize::from(written.is_ok());
            let withdrawn = others == Found::Tombstone && written.is_err();
            for socket in [SOCKET, OTHER] {
                let found = found_for(&dir, socket);
                assert_eq!(found == Found::Tombstone, withdrawn, "{crashes}: {found:?}");
            }
        }
        if done == left_by_another().len() {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > STEPS.len(), "{crashes}");
}

#[tokio::test]
async fn a_late_writer_writes_what_is_true_when_it_writes() {
    let dir = TempDir::new().unwrap();
    let clock = clock_at(NOW, "boot");
    let timing = Timing {
        withdrawal_grace_ms: 0,
        ..Timing::default()
    };
    let world = World::new(
        State::start(Found::Nothing, timing, NOW),
        timing,
        snapshot(),
    );
    let metrics = Arc::new(Metrics::default());
    let trust = TrustStore::new(world, clock.clone(), metrics, Advice::default());
    let writer = Writer {
        shelf: shelf(&dir),
        socket: SOCKET.into(),
        trust: Arc::new(trust),
        clock,
    };
    let written = writer.write(None).unwrap();
    assert!(matches!(written, Truth::Material(..)));
    // It was started for the material, and runs after the withdrawal.
    writer.trust.lost(Loss::Refused);
    assert!(matches!(writer.write(Some(&written)), Ok(Truth::Tombstone)));
    let found = load_from(&dir, &writer.clock).found;
    assert_eq!(found, Found::Tombstone);
}

#[tokio::test]
async fn a_withdrawal_is_true_once_it_is_due_whoever_ticks() {
    let test = TestClock::new(NOW, "boot");
    let clock = Clock::Test(test.clone());
    let timing = Timing::default();
    let state = State::start(Found::Material(Contact::at(NOW)), timing, NOW);
    let (state, _) = state.step(Event::Lost(Loss::Refused), timing, NOW);
    let world = World::new(state, timing, snapshot());
    let metrics = Arc::new(Metrics::default());
    let trust = TrustStore::new(world, clock.clone(), metrics, Advice::default());
    assert!(matches!(Truth::now(&trust, &clock), Truth::Material(..)));
    // Short of it by more than a busy machine takes for this test.
    test.suspend(20_000);
    assert!(matches!(Truth::now(&trust, &clock), Truth::Material(..)));
    test.suspend(10_000);
    assert!(matches!(Truth::now(&trust, &clock), Truth::Tombstone));
}

#[test]
fn failed_writes_are_tried_again_ever_more_rarely() {
    let waits: Vec<_> = (1..=12).map(backoff_ms).collect();
    assert_eq!(waits[..4], [100, 200, 400, 800]);
    assert_eq!(waits[9..], [30_000, 30_000, 30_000]);
    assert_eq!(backoff_ms(u32::MAX), RETRY_MAX_MS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever bytes are changed: it is told, or nothing was.
    #[test]
    fn damage_is_told(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let good = shared();
        let mut bytes = good.1.clone();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match Content::decode(&bytes) {
            Ok(content) => {
                prop_assert_eq!(&bytes, &good.1);
                prop_assert_eq!(&content, &good.0);
            }
            Err(_) => prop_assert_ne!(&bytes, &good.1),
        }
    }
}

proptest! {
    /// Bytes from anywhere never panic, and are never content.
    #[test]
    fn noise_is_no_content(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Content::decode(&bytes).is_err());
    }

    /// What went through the file is never younger than it was.
    #[test]
    fn never_younger(
        wall_ms in -1_000_000_i64..1_000_000, boot_ms in 0_i64..1_000_000,
        later_wall_ms in -1_000_000_i64..2_000_000, later_boot_ms in 0_i64..2_000_000,
    ) {
        let contact = Contact { wall_ms, boot_ms: Some(boot_ms) };
        let now = Now { wall_ms: later_wall_ms, boot_ms: later_boot_ms };
        let stored = SameBoot::Yes.contact(wall_ms, Some(boot_ms));
        prop_assert_eq!(stored.age(now), contact.age(now));
        // In another boot the reading means nothing: the wall clock alone is left.
        let stored = SameBoot::No.contact(wall_ms, Some(boot_ms));
        prop_assert_eq!(stored, Contact { wall_ms, boot_ms: None });
    }
}

/// Made once: a key pair takes longer than a thousand cases.
fn shared() -> &'static (Content, Vec<u8>) {
    static SHARED: std::sync::OnceLock<(Content, Vec<u8>)> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let content = material();
        let bytes = content.encode().unwrap();
        (content, bytes)
    })
}

//! What SPIRE has refused stays refused, whatever the disk lacks and however often the agent starts.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags};
use verdict::availability::{Phase, Refusal};

use super::super::error::WriteError;
use super::*;

/// A disk on which these steps fail, as for want of a free inode.
struct Without(Vec<Step>);

impl Faults for Without {
    fn before(&self, step: Step) -> std::io::Result<()> {
        match self.0.contains(&step) {
            true => Err(std::io::Error::from_raw_os_error(28)),
            false => Ok(()),
        }
    }
}

fn without(dir: &TempDir, steps: &[Step]) -> Shelf {
    Shelf::new(dir.path().to_owned(), Box::new(Without(steps.to_vec())))
}

/// One process: it starts with what lies there, and writes by this shelf.
pub(super) fn process(dir: &TempDir, shelf: Shelf, clock: &Clock) -> Writer {
    let timing = Timing::default();
    let loaded = load_from(dir, clock);
    let world = loaded.world(timing, clock.now());
    let metrics = Arc::new(Metrics::default());
    let trust = TrustStore::new(world, clock.clone(), metrics, Advice::default());
    Writer {
        shelf,
        socket: SOCKET.into(),
        trust: Arc::new(trust),
        clock: clock.clone(),
    }
}

fn refused_of(writer: &Writer) -> Refusal {
    writer.trust.load().state().refusal()
}

/// A process with material on disk that is withdrawn: what its writes come to.
fn withdrawn(dir: &TempDir, shelf: Shelf) -> Writer {
    write_to(dir, &material());
    let test = TestClock::new(NOW, "boot");
    let writer = process(dir, shelf, &Clock::Test(test.clone()));
    writer.trust.lost(Loss::Refused);
    test.suspend(30_000);
    assert_eq!(writer.trust.phase(), Phase::Withdrawn);
    writer
}

/// Whoever can open the directory can lock it, and read is enough.
#[tokio::test]
async fn who_locks_the_directory_hinders_nobody() {
    let dir = TempDir::new().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let stranger: OwnedFd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
    rustix::fs::flock(&stranger, FlockOperation::LockExclusive).unwrap();
    let writer = withdrawn(&dir, shelf(&dir));
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(load_from(&dir, &writer.clock).found, Found::Tombstone);
}

#[tokio::test]
async fn the_lock_is_a_file_of_ours_that_nobody_else_can_open() {
    let dir = TempDir::new().unwrap();
    let lock = dir.path().join("x509-bundles.lock");
    let mode = || std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
    write_to(&dir, &material());
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&lock, PermissionsExt::from_mode(0o644)).unwrap();
    write_to(&dir, &material());
    assert_eq!(mode(), 0o600);
    std::fs::remove_file(&lock).unwrap();
    symlink(dir.path().join("elsewhere"), &lock).unwrap();
    assert!(shelf(&dir).lock().is_err());
    assert!(!dir.path().join("elsewhere").exists());
}

/// No step that needs an inode succeeds, not even the lock's: the file that is there becomes the mark.
#[tokio::test]
async fn a_withdrawal_needs_no_free_inode() {
    let all = [Step::Lock, Step::Mark, Step::Create];
    for lacking in [&all[..], &all[1..], &all[2..]] {
        let dir = TempDir::new().unwrap();
        let writer = withdrawn(&dir, without(&dir, lacking));
        let written = writer.write(None);
        assert!(matches!(written, Ok(Truth::Tombstone)), "{written:?}");
        assert!(!file(&dir).exists());
        assert_eq!(load_from(&dir, &writer.clock).found, Found::Tombstone);
        // With room again the rest follows, and only what SPIRE delivers ends it.
        write_to(&dir, &tombstone());
        assert_eq!(names(&dir), names_with(&tombstone()));
        write_to(&dir, &material());
        assert_eq!(names(&dir), names_with(&material()));
    }
}

#[tokio::test]
async fn bundles_go_though_the_withdrawal_cannot_be_marked() {
    let dir = TempDir::new().unwrap();
    let lacking = [Step::Mark, Step::Create, Step::MarkByRename];
    let writer = withdrawn(&dir, without(&dir, &lacking));
    // Not done: it is tried again until the mark stands.
    assert!(writer.write(None).is_err());
    assert!(names(&dir).is_empty());
    assert_eq!(load_from(&dir, &writer.clock).found, Found::Nothing);
}

/// Another process writes, and may have news of SPIRE: it is not told that it is withdrawn.
#[tokio::test]
async fn bundles_go_though_somebody_holds_the_lock() {
    let dir = TempDir::new().unwrap();
    let writer = withdrawn(&dir, shelf(&dir));
    let other = shelf(&dir);
    let locked = other.lock().unwrap();
    assert!(matches!(writer.write(None), Err(WriteError::Busy)));
    assert!(names(&dir).is_empty());
    drop(locked);
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(names(&dir), names_with(&tombstone()));
}

/// Bundles of another path may be those of our socket: with space they would be written over.
#[tokio::test]
async fn a_withdrawal_that_cannot_be_written_takes_bundles_of_every_path() {
    let dir = TempDir::new().unwrap();
    let socket = OTHER.to_owned();
    let others = || Content {
        socket: socket.clone(),
        ..material()
    };
    let writer = withdrawn(&dir, without(&dir, &[Step::Lock]));
    std::fs::write(file(&dir), others().encode().unwrap()).unwrap();
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(found_for(&dir, OTHER), Found::Tombstone);
    // Unless somebody writes at that moment, who may have news of SPIRE.
    let dir = TempDir::new().unwrap();
    let writer = withdrawn(&dir, shelf(&dir));
    std::fs::write(file(&dir), others().encode().unwrap()).unwrap();
    let other = shelf(&dir);
    let locked = other.lock().unwrap();
    assert!(writer.write(None).is_err());
    assert_eq!(found_for(&dir, OTHER), Found::Material(Contact::at(NOW)));
    drop(locked);
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(found_for(&dir, OTHER), Found::Tombstone);
}

#[test]
fn a_refusal_that_is_not_on_disk_is_never_silent_for_long() {
    let told: Vec<_> = (1..=60).filter(|failures| is_told(*failures)).collect();
    assert_eq!(told, [1, 2, 3, 20, 40, 60]);
}

/// Refused throughout, restarted within every grace: it is over when it would have been.
#[tokio::test]
async fn restarts_do_not_begin_the_grace_anew() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let test = TestClock::new(NOW, "boot");
    let clock = Clock::Test(test.clone());
    for life in 0..3 {
        let writer = process(&dir, shelf(&dir), &clock);
        assert_eq!(writer.trust.phase(), Phase::Interrupted, "life {life}");
        writer.trust.lost(Loss::Refused);
        assert!(matches!(writer.write(None), Ok(Truth::Material(..))));
        test.suspend(11_000);
    }
    // SPIRE need not say it again, nor be there.
    let writer = process(&dir, shelf(&dir), &clock);
    assert_eq!(writer.trust.phase(), Phase::Withdrawn);
    assert!(writer.trust.load().snapshot().is_empty());
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(names(&dir), names_with(&tombstone()));
}

/// Without bundles nothing is kept but that SPIRE said no: `fail_open` would open else.
#[tokio::test]
async fn a_refusal_is_kept_without_bundles() {
    let dir = TempDir::new().unwrap();
    let test = TestClock::new(NOW, "boot");
    let clock = Clock::Test(test.clone());
    let writer = process(&dir, shelf(&dir), &clock);
    writer.trust.lost(Loss::Refused);
    assert!(matches!(writer.write(None), Ok(Truth::Unknown(_))));
    assert_eq!(names(&dir), ["x509-bundles.refused"]);
    test.suspend(29_000);
    let writer = process(&dir, shelf(&dir), &clock);
    assert_eq!(writer.trust.phase(), Phase::Starting);
    test.suspend(1_000);
    assert_eq!(writer.trust.phase(), Phase::Withdrawn);
}

#[tokio::test]
async fn a_full_update_ends_a_refusal() {
    let dir = TempDir::new().unwrap();
    let clock = clock_at(NOW, "boot");
    let writer = process(&dir, shelf(&dir), &clock);
    writer.trust.lost(Loss::Refused);
    let noted = writer.write(None).unwrap();
    let home = authority("example.org").anchors_der();
    let bundles = [("spiffe://example.org", home.as_slice())];
    writer.trust.update(bundles.into_iter()).unwrap();
    writer.write(Some(&noted)).unwrap();
    assert_eq!(names(&dir), ["x509-bundles"]);
    assert_eq!(load_from(&dir, &clock).earlier, Earlier::Nothing);
}

/// The larger of the two clocks; after a reboot the wall clock alone, and a day in the future is a
/// day that nobody knows.
#[tokio::test]
async fn a_refusal_ages_as_a_contact_does() {
    let dir = TempDir::new().unwrap();
    let writer = process(&dir, shelf(&dir), &clock_at(NOW, "boot"));
    writer.trust.lost(Loss::Refused);
    writer.write(None).unwrap();
    let start = |wall_ms: i64, boot_ms: i64, boot: &str| {
        let now = Now {
            wall_ms: NOW.wall_ms + wall_ms,
            boot_ms: NOW.boot_ms + boot_ms,
        };
        let writer = process(&dir, shelf(&dir), &clock_at(now, boot));
        let phase = writer.trust.phase();
        (phase, refused_of(&writer), now.boot_ms)
    };
    let since = |ago_ms: i64, boot_ms: i64| Refusal::Since(boot_ms - ago_ms);
    let (phase, refusal, at) = start(5_000, 20_000, "boot");
    assert_eq!((phase, refusal), (Phase::Starting, since(20_000, at)));
    let (phase, refusal, at) = start(5_000, -4_000_000, "another");
    assert_eq!((phase, refusal), (Phase::Starting, since(5_000, at)));
    for (wall_ms, boot_ms, boot) in [
        (30_000, 0, "boot"),
        (0, 30_000, "boot"),
        (30_000, -4_000_000, "another"),
        (-86_400_000, 0, "boot"),
        (-86_400_000, -4_000_000, "another"),
    ] {
        assert_eq!(start(wall_ms, boot_ms, boot).0, Phase::Withdrawn);
    }
}

fn note_file(dir: &TempDir) -> PathBuf {
    dir.path().join("x509-bundles.refused")
}

/// Torn at any byte, changed, or another program's: there was one, and that is what counts.
#[tokio::test]
async fn no_damage_forgets_a_refusal() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let clock = clock_at(NOW, "boot");
    let writer = process(&dir, shelf(&dir), &clock);
    writer.trust.lost(Loss::Refused);
    writer.write(None).unwrap();
    let good = std::fs::read(note_file(&dir)).unwrap();
    let torn = (0..good.len()).map(|length| good[..length].to_vec());
    let changed = (0..good.len()).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let mut all: Vec<_> = torn.chain(changed).collect();
    all.push(material().encode().unwrap());
    for damaged in all {
        std::fs::write(note_file(&dir), &damaged).unwrap();
        let loaded = load_from(&dir, &clock);
        assert_eq!(loaded.earlier, Earlier::RefusedLongAgo);
        let world = loaded.world(Timing::default(), NOW);
        assert_eq!(world.state().phase(), Phase::Withdrawn);
        assert!(world.snapshot().is_empty());
    }
    std::fs::remove_file(note_file(&dir)).unwrap();
    symlink("/dev/null", note_file(&dir)).unwrap();
    let earlier = load_from(&dir, &clock).earlier;
    assert_eq!(earlier, Earlier::RefusedLongAgo);
}

/// Whatever ends the write, the bundles are there, and a refusal that was noted is noted.
#[tokio::test]
async fn a_crash_while_a_refusal_is_noted_harms_nothing() {
    let noting = STEPS.iter().take_while(|step| **step != Step::Unmark);
    for (at, step) in noting.enumerate() {
        let dir = TempDir::new().unwrap();
        write_to(&dir, &material());
        let crash = CrashAt(AtomicUsize::new(at));
        let crashing = Shelf::new(dir.path().to_owned(), Box::new(crash));
        let clock = clock_at(NOW, "boot");
        let writer = process(&dir, crashing, &clock);
        writer.trust.lost(Loss::Refused);
        assert!(writer.write(None).is_err(), "{step:?} is never reached");
        let found = load_from(&dir, &clock);
        assert_eq!(found.found, Found::Material(Contact::at(NOW)));
        let noted = found.earlier != Earlier::Nothing;
        assert_eq!(noted, *step == Step::SyncDirectory, "{step:?}");
        // It is tried again, and what was left behind does not hinder it.
        let writer = Writer {
            shelf: shelf(&dir),
            ..writer
        };
        writer.write(None).unwrap();
        assert_ne!(load_from(&dir, &clock).earlier, Earlier::Nothing);
    }
}

/// It is this agent that SPIRE refuses: another path to the same socket, or a run on another one that
/// says nothing, does not make it forgotten. What SPIRE delivers does, wherever.
#[tokio::test]
async fn a_refusal_counts_at_every_socket() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &material());
    let test = TestClock::new(NOW, "boot");
    let clock = Clock::Test(test.clone());
    let writer = process(&dir, shelf(&dir), &clock);
    writer.trust.lost(Loss::Refused);
    writer.write(None).unwrap();
    let other = || load(dir.path(), Path::new(OTHER), &clock);
    assert!(matches!(other().earlier, Earlier::Refused(_)));
    assert_eq!(other().found, Found::Nothing);
    test.suspend(30_000);
    let world = other().world(Timing::default(), clock.now());
    assert_eq!(world.state().phase(), Phase::Withdrawn);
    let metrics = Arc::new(Metrics::default());
    let trust = TrustStore::new(world, clock.clone(), metrics, Advice::default());
    let writer = Writer {
        shelf: shelf(&dir),
        socket: OTHER.into(),
        trust: Arc::new(trust),
        clock: clock.clone(),
    };
    assert!(matches!(writer.write(None), Ok(Truth::Tombstone)));
    assert_eq!(load_from(&dir, &clock).found, Found::Tombstone);
    let home = authority("example.org").anchors_der();
    let bundles = [("spiffe://example.org", home.as_slice())];
    writer.trust.update(bundles.into_iter()).unwrap();
    writer.write(None).unwrap();
    let back = load_from(&dir, &clock);
    assert_eq!(
        (back.found, back.earlier),
        (Found::Nothing, Earlier::Nothing)
    );
}

/// Bundles are not believed in such a directory; a "no" is, which can only restrict.
#[tokio::test]
async fn a_directory_that_is_not_safe_forgets_no_refusal() {
    let clock = clock_at(NOW, "boot");
    let open = |dir: &TempDir| {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o770)).unwrap();
    };
    let starts_as = |dir: &TempDir| {
        let loaded = load_from(dir, &clock);
        loaded.world(Timing::default(), NOW).state().phase()
    };
    let marked = TempDir::new().unwrap();
    write_to(&marked, &tombstone());
    open(&marked);
    assert_eq!(starts_as(&marked), Phase::Withdrawn);
    let noted = TempDir::new().unwrap();
    let writer = process(&noted, shelf(&noted), &clock);
    writer.trust.lost(Loss::Refused);
    writer.write(None).unwrap();
    open(&noted);
    assert_eq!(starts_as(&noted), Phase::Withdrawn);
    let neither = TempDir::new().unwrap();
    write_to(&neither, &material());
    open(&neither);
    assert_eq!(starts_as(&neither), Phase::Starting);
}

/// What stands in the directory's place hides whatever was there; a directory that was never made
/// hides nothing.
#[tokio::test]
async fn a_directory_that_cannot_be_looked_into_counts_as_a_refusal() {
    let dir = TempDir::new().unwrap();
    let clock = clock_at(NOW, "boot");
    let earlier = |name: &str| load(&dir.path().join(name), Path::new(SOCKET), &clock).earlier;
    assert_eq!(earlier("missing"), Earlier::Nothing);
    std::fs::write(dir.path().join("file"), b"").unwrap();
    assert_eq!(earlier("file"), Earlier::RefusedLongAgo);
    symlink("round", dir.path().join("round")).unwrap();
    assert_eq!(earlier("round"), Earlier::RefusedLongAgo);
}

/// The file alone says it, too, whatever became of the mark: to an agent at any socket.
#[tokio::test]
async fn a_tombstone_without_its_mark_counts_at_every_socket() {
    let dir = TempDir::new().unwrap();
    write_to(&dir, &tombstone());
    std::fs::remove_file(dir.path().join("x509-bundles.withdrawn")).unwrap();
    for socket in [SOCKET, OTHER] {
        assert_eq!(found_for(&dir, socket), Found::Tombstone, "{socket}");
    }
}

/// A pipe waits for somebody who reads it, and with it whoever opens it to write.
#[tokio::test]
async fn a_pipe_in_the_place_of_the_mark_hinders_no_withdrawal() {
    for is_read in [false, true] {
        let dir = TempDir::new().unwrap();
        let writer = withdrawn(&dir, shelf(&dir));
        let mark = dir.path().join("x509-bundles.withdrawn");
        rustix::fs::mkfifoat(rustix::fs::CWD, &mark, Mode::RWXU).unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let reader = is_read.then(|| rustix::fs::open(&mark, flags, Mode::empty()).unwrap());
        // The bundles themselves are made the mark, and take its place.
        writer.write(None).unwrap();
        drop(reader);
        assert!(std::fs::symlink_metadata(&mark).unwrap().is_file());
        let loaded = load_from(&dir, &clock_at(NOW, "boot"));
        assert_eq!(loaded.found, Found::Tombstone);
    }
}

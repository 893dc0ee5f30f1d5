//! What patterns cost whoever asks: steps that can be counted beforehand, and no memory. Alone in its
//! process, since it measures memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use verdict::id::{SpiffeId, WorkloadId};
use verdict::lists::limits::{MAX_PATTERNS, PATTERNS_BUDGET_BYTES};
use verdict::lists::{List, ListSpec};

/// Threads that match at once: as many as ask in a large process.
const THREADS: usize = 8;

/// Paths that cost a matcher much: states that explode, that are large, that are many. None fits, and
/// none is seen not to before the end.
const COSTLY: [&str; 8] = [
    r"/.*[a-y].{300}q",
    r"/.*([a-z]?){200}q",
    r"/.*(\w{1,50}/){3}q",
    r"/(.?[a-y]?)*q",
    r"/.*a.{8}q",
    r"/(a|b|ab|ba|aab|[a-c]+|z)*q{1,60}",
    r"/.*[ab].{4}.*[cd].{4}q",
    r"/.*q",
];

/// The longest ID, of letters in no order: whoever makes states while matching makes new ones.
fn longest() -> WorkloadId {
    let mut state = 1_u32;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(state >> 30).unwrap())
    });
    let path: String = letters.take(2048 - "spiffe://a/".len()).collect();
    let id = SpiffeId::parse(format!("spiffe://a/{path}").as_bytes()).unwrap();
    WorkloadId::try_from(id).unwrap()
}

/// As many of one kind as a list takes.
fn full(path: &str) -> Option<List> {
    let of = |count| {
        let patterns = vec![format!("spiffe://a{path}"); count];
        List::compile(&ListSpec {
            patterns,
            ..ListSpec::default()
        })
        .ok()
    };
    let mut counts = std::iter::successors(Some(MAX_PATTERNS), |count| Some(count / 2));
    counts.by_ref().take_while(|count| *count > 0).find_map(of)
}

fn shortest(mut one: impl FnMut()) -> Duration {
    let mut time = || {
        let begun = Instant::now();
        one();
        begun.elapsed()
    };
    (0..3).map(|_| time()).min().unwrap()
}

/// One look-up for each byte of the ID and pattern, done by hand: what a list is held against.
fn by_hand(id: &WorkloadId) -> Duration {
    let table: Vec<u32> = (0..4096).map(|n| (n * 7919) % 4096).collect();
    shortest(|| {
        for _ in 0..MAX_PATTERNS {
            let walk = |state: u32, byte: &u8| {
                let at = usize::try_from(state).unwrap() ^ usize::from(*byte);
                *table.get(at % table.len()).unwrap()
            };
            black_box(black_box(id.path()).as_bytes().iter().fold(0, walk));
        }
    })
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn the_costliest_list_takes_steps_and_no_memory() {
    let id = longest();
    let by_hand = by_hand(&id);
    let lists: Vec<_> = COSTLY.iter().filter_map(|path| full(path)).collect();
    assert!(
        lists.len() >= 3,
        "too few of these are taken to say anything"
    );
    for list in &lists {
        let time = shortest(|| _ = black_box(list.matches(black_box(&id))));
        let times = time.as_secs_f64() / by_hand.as_secs_f64();
        let patterns = list.spec().patterns.len();
        let first = list.spec().patterns.first().unwrap();
        eprintln!(
            "{patterns} of {first}: {times:.2} times a look-up for each byte of {MAX_PATTERNS}"
        );
        assert!(times < 4.0, "{patterns} of {first}: {times:.0} times");
    }
    let before = resident_bytes();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                lists
                    .iter()
                    .for_each(|list| _ = black_box(list.matches(&id)))
            });
        }
    });
    let grown = resident_bytes().saturating_sub(before);
    eprintln!("{THREADS} threads: {grown} bytes more, tables of at most {PATTERNS_BUDGET_BYTES}");
    assert!(grown < 1024 * 1024, "{grown} bytes");
}

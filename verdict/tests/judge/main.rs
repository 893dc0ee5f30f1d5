//! The second judge: go-spiffe's verdict beside ours on generated and mutated chains and IDs.
//!
//! `tests/peers/run judge` runs it; by hand:
//!
//! ```text
//! JUDGE_BIN=$(tests/peers/install path judge) cargo test -p verdict --test judge -- --ignored --nocapture
//! ```
//!
//! `JUDGE_SEED` and `JUDGE_CASES` choose others, `JUDGE_CASE` shows one of them. Keys, chains and
//! mutations follow from seed and number; only RSA keys and ECDSA's nonces are drawn anew. Every
//! difference must stand in `tests/peers/judge/exceptions.json`, whose rules are `exceptions`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "a test may panic and print"
)]

mod authorities;
mod chance;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod exceptions;
mod ids;
mod leaves;
mod peer;
mod presented;
mod scene;

use chance::Chance;
use exceptions::{Found, Ledger, Objection, Verdict};
use peer::{Peer, Questions};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use verdict::anchors::AnchorSet;
use verdict::id::SpiffeId;
use verdict::reason::Reason;
use verdict::svid::{Refusal, VerifiedIdentity, examine, validate};
use verdict::time::UnixSeconds;

/// Cases of one run, and its seed, where nothing else is said.
const CASES: u64 = 10_000;
const SEED: u64 = 1;

/// One case in so many is an ID.
const ONE_ID_IN: u64 = 5;

/// Failures shown in full, where `JUDGE_SHOW` says no other number; the rest is counted.
const FAILURES_SHOWN: u64 = 10;

/// Cases made ahead of the comparison.
const AHEAD: usize = 256;

const EXCEPTIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/peers/judge/exceptions.json"
);

/// What both judges are asked.
pub struct Case {
    number: u64,
    /// The mutations made; none: nothing is wrong.
    tags: Vec<String>,
    question: Question,
}

pub enum Question {
    Id(Vec<u8>),
    Chain {
        /// DER, the leaf first.
        chain: Vec<Vec<u8>>,
        /// Anchors by trust domain.
        bundles: BTreeMap<String, Vec<Vec<u8>>>,
        now: UnixSeconds,
    },
}

impl Question {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::Chain { .. } => "chain",
        }
    }
}

/// Our verdict: checks 2 to 5, 8 and 9, in this order.
fn ours(question: &Question) -> Verdict {
    let refused = |reason: Reason, detail: String| Verdict::Refuse {
        label: reason.as_str().to_owned(),
        detail,
    };
    match question {
        Question::Id(id) => match SpiffeId::parse(id) {
            Ok(id) => Verdict::Accept { id: id.to_string() },
            Err(error) => refused(Reason::InvalidSpiffeId, error.to_string()),
        },
        Question::Chain {
            chain,
            bundles,
            now,
        } => match verify(chain, bundles, *now) {
            Ok(Ok(verified)) => Verdict::Accept {
                id: verified.id().to_string(),
            },
            Ok(Err(no_bundle)) => refused(Reason::UnknownTrustDomain, no_bundle),
            Err(refusal) => refused(refusal.reason(), refusal.to_string()),
        },
    }
}

fn verify(
    chain: &[Vec<u8>],
    bundles: &BTreeMap<String, Vec<Vec<u8>>>,
    now: UnixSeconds,
) -> Result<Result<VerifiedIdentity, String>, Refusal> {
    let presented = examine(chain)?;
    presented.judge_validity(now)?;
    let Some(anchors) = bundles.get(presented.id().trust_domain().as_str()) else {
        return Ok(Err("no bundle".to_owned()));
    };
    // A domain whose first bundle cannot be read has none.
    match AnchorSet::from_der(&anchors.concat()) {
        Ok(anchors) => validate(&presented, &anchors, now).map(Ok),
        Err(unreadable) => Ok(Err(unreadable.to_string())),
    }
}

/// Makes cases; a case depends on the seed and its number alone.
struct Generator {
    seed: u64,
    keys: scene::Keys,
    steps: Vec<scene::Step>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            keys: scene::Keys::new(),
            steps: scene::steps(),
        }
    }

    fn case(&self, number: u64) -> Case {
        let chance = &mut Chance::new(self.seed, number);
        let turn = (number / ONE_ID_IN) as usize;
        if number % ONE_ID_IN == ONE_ID_IN - 1 {
            return ids::case(number, turn, chance);
        }
        let turn = number as usize - turn;
        scene::case(number, turn, &self.keys, &self.steps, chance)
    }
}

#[derive(Default)]
struct Tally {
    cases: u64,
    both_accept: u64,
    both_refuse: u64,
    stricter: u64,
    laxer: u64,
    failures: u64,
    shown: u64,
}

impl Tally {
    fn count(&mut self, ours: &Verdict, judge: &Verdict) {
        use Verdict::{Accept, Refuse};
        self.cases += 1;
        let tally = match (ours, judge) {
            (Accept { .. }, Accept { .. }) => &mut self.both_accept,
            (Refuse { .. }, Refuse { .. }) => &mut self.both_refuse,
            (Refuse { .. }, Accept { .. }) => &mut self.stricter,
            (Accept { .. }, Refuse { .. }) => &mut self.laxer,
        };
        *tally += 1;
    }

    fn fail(
        &mut self,
        seed: u64,
        case: &Case,
        objection: &Objection,
        ours: &Verdict,
        judge: &Verdict,
    ) {
        self.failures += 1;
        if self.failures <= self.shown {
            let Case { number, tags, .. } = case;
            println!("\ncase {number} of seed {seed}, {tags:?}: {objection:?}");
            println!(
                "  ours:  {ours:?}\n  judge: {judge:?}\n  {}",
                peer::as_json(case)
            );
        }
    }

    fn report(&self, ledger: &Ledger) {
        println!(
            "\n{} cases: both accept {}, both refuse {}; we refuse what the judge accepts {}, we accept what it refuses {}",
            self.cases, self.both_accept, self.both_refuse, self.stricter, self.laxer
        );
        for (exception, count) in ledger.explained() {
            let laxer = if exception.laxer.is_empty() {
                ""
            } else {
                " (laxer)"
            };
            println!("{count:>8}  {}{laxer}", exception.name);
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}")),
    )
}

fn write(
    generator: &Generator,
    numbers: std::ops::Range<u64>,
    mut to: Questions,
    cases: impl Fn(Case),
) {
    for number in numbers {
        let case = generator.case(number);
        to.ask(&case);
        cases(case);
    }
}

fn compare(seed: u64, cases: Receiver<Case>, mut peer: Peer, ledger: &mut Ledger) -> Tally {
    let shown = from_environment("JUDGE_SHOW").unwrap_or(FAILURES_SHOWN);
    let mut tally = Tally {
        shown,
        ..Tally::default()
    };
    for case in cases {
        let (ours, judge) = (ours(&case.question), peer.verdict(&case));
        tally.count(&ours, &judge);
        let found = Found {
            kind: case.question.kind(),
            tags: &case.tags,
            ours: ours.clone(),
            judge: judge.clone(),
        };
        if let Err(objection) = ledger.hold(&found) {
            tally.fail(seed, &case, &objection, &ours, &judge);
        }
    }
    peer.finish();
    tally
}

#[test]
#[ignore = "needs the judge, a Go program: tests/peers/run judge"]
fn go_spiffe_agrees_or_the_exception_is_written_down() {
    let program = std::env::var("JUDGE_BIN").expect("JUDGE_BIN: tests/peers/install path judge");
    let seed = from_environment("JUDGE_SEED").unwrap_or(SEED);
    let only = from_environment("JUDGE_CASE");
    let numbers = match only {
        Some(number) => number..number + 1,
        None => 0..from_environment("JUDGE_CASES").unwrap_or(CASES),
    };
    println!("seed {seed}, cases {numbers:?}");
    let file = std::fs::read(EXCEPTIONS).unwrap();
    let mut ledger = Ledger::new(serde_json::from_slice(&file).unwrap());
    let generator = Generator::new(seed);
    let (peer, questions) = Peer::start(&program);
    let (send, cases) = sync_channel(AHEAD);
    let tally = std::thread::scope(|scope| {
        scope.spawn(|| {
            write(&generator, numbers, questions, move |case| {
                send.send(case).unwrap()
            })
        });
        compare(seed, cases, peer, &mut ledger)
    });
    tally.report(&ledger);
    assert_eq!(tally.failures, 0, "seed {seed}: see above");
    if only.is_none() {
        assert_eq!(
            ledger.not_shown(),
            [""; 0],
            "tags of exceptions that no case has shown"
        );
    }
}

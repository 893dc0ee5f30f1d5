//! Orders on standard input, for chaos tests. A build with the feature `chaos-hooks` obeys them; no
//! other build has this file.
//!
//! | order | does |
//! |---|---|
//! | `kill NAME` | kills the actors of this name or path in the tree |
//! | `wedge NAME [MS]` | they handle nothing for so long, or for ever |
//! | `panic NAME` | they panic |
//! | `wall MS` | sets the wall clock forward, or back if negative |
//! | `sleep MS` | lets the machine have slept: the clocks went on, timers did not |
//!
//! The last two need `CHAOS_CLOCK=driven` in the environment.

use std::io::{self, BufRead as _};
use std::str::FromStr;
use std::sync::Arc;

use actors::clock::{Clock, TestClock};
use actors::supervision::{Mishap, Tree};
use anyhow::Context as _;

/// Asks for a clock that obeys.
const DRIVEN: (&str, &str) = ("CHAOS_CLOCK", "driven");

/// What is driven from outside.
pub(crate) struct Hooks {
    clock: Option<TestClock>,
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Kill(String),
    Befall(String, Mishap),
    Wall(i64),
    Sleep(u32),
}

impl Hooks {
    /// What the environment asks for; needs the runtime.
    pub(crate) fn new() -> Self {
        let driven = std::env::var(DRIVEN.0).is_ok_and(|value| value == DRIVEN.1);
        let system = Clock::system();
        let clock = driven.then(|| TestClock::new(system.now(), system.boot_id().unwrap_or("")));
        Self { clock }
    }

    pub(crate) fn clock(&self) -> Clock {
        let driven = self.clock.clone().map(Clock::Test);
        driven.unwrap_or_else(Clock::system)
    }

    /// Obeys until standard input ends.
    pub(crate) fn obey(self, tree: Arc<Tree>) -> anyhow::Result<()> {
        let reading = std::thread::Builder::new().name("chaos-hooks".to_owned());
        let thread = reading.spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match line.parse() {
                    Ok(order) => {
                        let struck = self.carry_out(&order, &tree);
                        tracing::warn!(order = line, struck, "chaos hooks: done");
                    }
                    Err(error) => {
                        tracing::error!(order = line, %error, "chaos hooks: no such order")
                    }
                }
            }
        });
        thread.context("start the thread that takes orders")?;
        tracing::warn!("chaos hooks: this build obeys orders on standard input");
        Ok(())
    }

    /// Returns how many it struck.
    fn carry_out(&self, order: &Order, tree: &Tree) -> usize {
        match (order, &self.clock) {
            (Order::Kill(name), _) => tree.kill(name),
            (Order::Befall(name, mishap), _) => tree.befall(name, *mishap),
            (Order::Wall(by_ms), Some(clock)) => {
                clock.jump_wall(*by_ms);
                1
            }
            (Order::Sleep(for_ms), Some(clock)) => {
                clock.suspend(*for_ms);
                1
            }
            (Order::Wall(_) | Order::Sleep(_), None) => 0,
        }
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self, anyhow::Error> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match *words.as_slice() {
            ["kill", name] => Self::Kill(name.to_owned()),
            ["panic", name] => Self::Befall(name.to_owned(), Mishap::Panic),
            ["wedge", name] => Self::Befall(name.to_owned(), Mishap::Wedge { for_ms: u64::MAX }),
            ["wedge", name, ms] => {
                let for_ms = ms.parse().context("ms")?;
                Self::Befall(name.to_owned(), Mishap::Wedge { for_ms })
            }
            ["wall", ms] => Self::Wall(ms.parse().context("ms")?),
            ["sleep", ms] => Self::Sleep(ms.parse().context("ms")?),
            _ => anyhow::bail!("kill, wedge and panic take a name, wall and sleep ms"),
        })
    }
}

//! Which proxies have introduced themselves: name, version, how many connections. For the status, and
//! for whoever looks for versions with known faults.
//!
//! What a proxy calls itself proves nothing and is as long as it likes: it is cut, escaped, and kept
//! in a bounded number of rows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verdict::time::Now;

use crate::words::escaped;

/// Rows: a machine has one or two proxies, and an upgrade under way doubles them.
pub const PROXIES_MAX: usize = 32;

/// Longest name or version kept, characters after escaping.
pub const NAME_MAX_CHARS: usize = 64;

/// What a proxy that does not say is called.
const UNSAID: &str = "unsaid";

/// The version of a proxy whose protocol has no word for it.
const NOT_TOLD: &str = "not told by agent protocol 1";

/// The proxies seen since the start; owned by the doors.
#[derive(Clone, Default)]
pub struct Proxies(Arc<Mutex<Vec<Seen>>>);

/// One name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it calls itself.
    pub name: String,
    /// The version that it says.
    pub version: String,
    /// Its connections that are open.
    pub open: u64,
    /// Its connections since the start, or since its row was given to another.
    pub connections: u64,
    /// When it last introduced itself.
    pub last: Now,
}

/// A connection of an introduced proxy; it is over when this is dropped.
pub(super) struct Introduced {
    proxies: Proxies,
    name: String,
    version: String,
}

impl Proxies {
    /// A proxy introduces itself on a connection. While every row has a connection, one more kind of
    /// proxy is not seen.
    pub(super) fn introduce(
        &self,
        name: Option<&str>,
        version: Option<&str>,
        now: Now,
    ) -> Option<Introduced> {
        let (name, version) = (shown(name), shown(version));
        let mut rows = self.rows();
        let known = rows
            .iter()
            .position(|row| row.name == name && row.version == version);
        let at = match known {
            Some(at) => at,
            None => {
                if rows.len() >= PROXIES_MAX {
                    let idle = rows.iter().enumerate().filter(|(_, row)| row.open == 0);
                    let (oldest, _) = idle.min_by_key(|(_, row)| row.last.boot_ms)?;
                    rows.remove(oldest);
                }
                rows.push(Seen {
                    name: name.clone(),
                    version: version.clone(),
                    open: 0,
                    connections: 0,
                    last: now,
                });
                rows.len().saturating_sub(1)
            }
        };
        let row = rows.get_mut(at)?;
        row.open = row.open.saturating_add(1);
        row.connections = row.connections.saturating_add(1);
        row.last = now;
        Some(Introduced {
            proxies: self.clone(),
            name,
            version,
        })
    }

    /// The same of a proxy that cannot say what it is called: version 1 of the protocol has no handshake.
    pub(super) fn introduce_v1(&self, now: Now) -> Option<Introduced> {
        self.introduce(None, Some(NOT_TOLD), now)
    }

    /// Every row, the last to introduce itself first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Seen> {
        let mut rows = self.rows().clone();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last.boot_ms));
        rows
    }

    /// A poisoned lock guards rows that are each whole.
    fn rows(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Introduced {
    fn drop(&mut self) {
        let mut rows = self.proxies.rows();
        let own = rows
            .iter_mut()
            .find(|row| row.name == self.name && row.version == self.version);
        // A row with a connection is given to nobody else.
        if let Some(row) = own {
            row.open = row.open.saturating_sub(1);
        }
    }
}

fn shown(text: Option<&str>) -> String {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(UNSAID);
    escaped(text, NAME_MAX_CHARS)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may panic"
    )]

    use super::*;

    const fn at(boot_ms: i64) -> Now {
        Now {
            wall_ms: 0,
            boot_ms,
        }
    }

    #[test]
    fn connections_are_counted_by_name_and_version() {
        let proxies = Proxies::default();
        let first = proxies.introduce(Some("zentinel-proxy"), Some("0.6.54"), at(1));
        let second = proxies.introduce(Some("zentinel-proxy"), Some("0.6.54"), at(2));
        let _silent = proxies.introduce(None, Some(""), at(3));
        drop(first);
        let rows = proxies.snapshot();
        assert_eq!(
            (rows[0].name.as_str(), rows[0].version.as_str()),
            (UNSAID, UNSAID)
        );
        assert_eq!((rows[1].open, rows[1].connections), (1, 2));
        assert_eq!(rows[1].last, at(2));
        drop(second);
        assert_eq!(proxies.snapshot()[1].open, 0);
        // Who cannot say is told apart from who does not.
        let _old = proxies.introduce_v1(at(4));
        let rows = proxies.snapshot();
        assert_eq!(
            (rows[0].name.as_str(), rows[0].version.as_str()),
            (UNSAID, "not told by agent protocol 1")
        );
    }

    #[test]
    fn what_a_proxy_says_is_escaped_cut_and_takes_no_row_of_one_that_is_there() {
        let proxies = Proxies::default();
        let long = "\u{202e}\n".repeat(1_000);
        let held = proxies.introduce(Some(&long), Some("1"), at(0)).unwrap();
        for n in 1..1_000 {
            drop(proxies.introduce(Some("x"), Some(&n.to_string()), at(n)));
        }
        let rows = proxies.snapshot();
        assert_eq!(rows.len(), PROXIES_MAX);
        assert_eq!(rows[0].version, "999");
        let kept = rows.iter().find(|row| row.open == 1).unwrap();
        assert!(
            kept.name.is_ascii() && kept.name.len() <= NAME_MAX_CHARS,
            "{kept:?}"
        );
        drop(held);
        // All rows held: one more is not seen, and costs nothing.
        let all: Vec<_> = (0..PROXIES_MAX)
            .map(|n| proxies.introduce(Some("y"), Some(&n.to_string()), at(2_000)))
            .collect();
        assert!(all.iter().all(Option::is_some));
        assert!(proxies.introduce(Some("z"), None, at(3_000)).is_none());
    }
}

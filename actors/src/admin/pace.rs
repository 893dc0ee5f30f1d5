//! Pages are made at a pace: who asks without a pause waits for his turn, and requests have the processor.
//! Turns are shared: who hammers books no more of them than he leaves, so that a scraper that comes now and
//! then finds one. Probes are no pages: they cost little, and are answered at once whoever else asks.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::guard::Resource;

/// Between two pages for those who ask without a pause. Twenty a second are more than scrapers and people
/// need, and few beside thousands of requests: so that where processors are few, fewer than one request
/// in a hundred meets one.
const GAP: Duration = Duration::from_millis(50);

/// Pages that are made at once when none was for a while: a browser and some scrapers together.
const AT_ONCE: u32 = 20;

/// Turns that are waited for at once: the last of them is a second away.
const BOOKED_MAX: usize = 20;

/// Who asks, and for what: a script that hammers one page takes nothing from a scraper beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    peer: IpAddr,
    resource: Resource,
}

impl Asker {
    pub(super) fn new(peer: IpAddr, resource: Resource) -> Self {
        let peer = one_peer(peer);
        Self { peer, resource }
    }
}

/// Addresses that anybody may choose from are one peer: those of this machine, and those of an IPv6
/// network (RFC 4291, 2.5.4).
fn one_peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        here if here.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

/// When the next page is due, if they were made one after the other all the time, and who waits.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Turns>);

#[derive(Debug, Default)]
struct Turns {
    next: Option<Instant>,
    /// Those to come, the next first.
    booked: VecDeque<(Instant, Asker)>,
}

/// More is asked than is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hurried;

impl Pace {
    /// Waits for a turn.
    ///
    /// # Errors
    /// This asker has booked as many as are left for the others.
    pub(super) async fn turn(&self, asker: Asker) -> Result<(), Hurried> {
        let due = self.due(asker, Instant::now())?;
        sleep_until(due).await;
        Ok(())
    }

    fn due(&self, asker: Asker, now: Instant) -> Result<Instant, Hurried> {
        // Nothing under this lock can panic.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while turns.booked.front().is_some_and(|(due, _)| *due <= now) {
            turns.booked.pop_front();
        }
        let held = turns.booked.iter().filter(|(_, by)| *by == asker).count();
        // Who is sent away takes no turn, or a flood of them would leave none to others.
        if held >= BOOKED_MAX.saturating_sub(turns.booked.len()) {
            return Err(Hurried);
        }
        let saved_up = now.checked_sub(GAP * AT_ONCE).unwrap_or(now);
        let due = turns.next.map_or(saved_up, |next| next.max(saved_up));
        turns.next = Some(due + GAP);
        if due > now {
            turns.booked.push_back((due, asker));
        }
        Ok(due.max(now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// Longest wait for a turn.
    const WAIT_MAX: Duration = Duration::from_secs(1);

    fn from(peer: &str) -> Asker {
        Asker::new(peer.parse().unwrap(), Resource::Metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_served_at_once_and_a_flood_at_a_pace() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let mut served = 0;
        while begun.elapsed() < Duration::from_secs(20) {
            pace.turn(from("10.0.0.1")).await.unwrap();
            served += 1;
            if served == AT_ONCE {
                assert_eq!(begun.elapsed(), Duration::ZERO);
            }
        }
        let at_pace = u32::try_from(20_000 / GAP.as_millis()).unwrap();
        assert!(
            (at_pace..=at_pace + AT_ONCE + 1).contains(&served),
            "{served}"
        );
        // After a while without any a few go at once again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = Instant::now();
        for _ in 0..AT_ONCE {
            pace.turn(from("10.0.0.1")).await.unwrap();
        }
        assert_eq!(later.elapsed(), Duration::ZERO);
    }

    /// However many come and go, the wait of the next one is bounded, and turns are not lost.
    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_sent_away() {
        let (pace, now) = (Pace::default(), Instant::now());
        let asked = |n: u32| pace.due(from(&format!("10.0.{}.{}", n / 250, n % 250)), now);
        let asked: Vec<_> = (0..10_000).map(asked).collect();
        let last = asked.iter().rev().find_map(|due| due.ok()).unwrap();
        assert_eq!(last, now + WAIT_MAX);
        assert_eq!(asked.last(), Some(&Err(Hurried)));
        assert_eq!(pace.0.lock().unwrap().booked.len(), BOOKED_MAX);
        assert!(pace.due(from("10.0.0.1"), now + GAP * 2).is_ok());
    }

    /// Somebody asks forty times a second, without end: a scraper gets its page all the same, each time.
    #[tokio::test(start_paused = true)]
    async fn who_hammers_takes_no_turn_from_who_comes_now_and_then() {
        let others = [
            from("10.0.0.2"),
            // On the same machine, for something else.
            Asker::new("10.0.0.1".parse().unwrap(), Resource::Status),
        ];
        let (pace, begun) = (Pace::default(), Instant::now());
        let (mut hammered, mut refused) = (0, 0);
        for n in 0..2_400_u32 {
            let now = begun + GAP / 2 * n;
            match pace.due(from("10.0.0.1"), now) {
                Ok(_) => hammered += 1,
                Err(Hurried) => refused += 1,
            }
            if n % 40 == 39 {
                for other in others {
                    let due = pace.due(other, now).unwrap();
                    assert!(due <= now + WAIT_MAX * 3 / 4, "{:?}", due - now);
                }
            }
        }
        // What nobody else wants it gets.
        assert!(hammered > 1_000 && refused > 1_000, "{hammered} {refused}");
    }

    #[test]
    fn addresses_to_choose_from_are_one_peer() {
        for (one, other, is_one) in [
            ("127.0.0.1", "127.8.8.8", true),
            ("127.0.0.1", "::1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(from(one) == from(other), is_one, "{one} {other}");
        }
    }
}

//! Single flight: who asks for what is already being judged waits for that answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use verdict::evidence::Evidence;

use super::{Job, NoEvidence, Route};

type Landing = Option<Result<Evidence, NoEvidence>>;

/// The flights in the air; there are never more than pilots, who are bounded by permits.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Route, watch::Receiver<Landing>>>>);

/// A place in a flight.
pub(super) enum Seat {
    /// Somebody else flies.
    Passenger(Passenger),
    /// The caller flies.
    Pilot(Pilot),
}

pub(super) struct Passenger(watch::Receiver<Landing>);

/// Leaves the list when dropped, whatever happens to the caller.
pub(super) struct Pilot {
    flights: Flights,
    route: Route,
    landing: watch::Sender<Landing>,
}

impl Flights {
    pub(super) fn board(&self, job: &Job) -> Seat {
        let route = Route::of(job);
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&route) {
            return Seat::Passenger(Passenger(flight.clone()));
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(route.clone(), flight);
        Seat::Pilot(Pilot {
            flights: self.clone(),
            route,
            landing,
        })
    }
}

impl Passenger {
    /// The pilot's result, or `None` when the pilot was cancelled.
    pub(super) async fn landed(mut self) -> Landing {
        let landing = self.0.wait_for(Option::is_some).await;
        landing.ok().and_then(|landing| landing.clone())
    }
}

impl Pilot {
    pub(super) fn land(self, result: Result<Evidence, NoEvidence>) {
        self.landing.send_replace(Some(result));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let mut flights = self
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.route);
    }
}

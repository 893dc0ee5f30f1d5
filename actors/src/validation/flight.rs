//! Single flight: who asks for what is already being judged waits for that answer.
//!
//! A flight is a task of its own: it lands even if everybody who waited for it is gone, and whoever
//! boards later owns nothing of the credential. So a burst of requests with one new certificate
//! costs one permit and one copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use verdict::evidence::Evidence;

use super::{Asked, Job, NoEvidence};

type Landing = Option<Result<Evidence, NoEvidence>>;

/// The flights in the air: each holds a permit, so there are few enough to look through.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Vec<Flight>>>);

struct Flight {
    job: Arc<Job>,
    landing: watch::Receiver<Landing>,
}

/// A wait for a landing.
pub struct Ticket(watch::Receiver<Landing>);

/// Leaves the list when dropped, however the flight ends.
pub(super) struct Pilot {
    flights: Flights,
    job: Arc<Job>,
    landing: watch::Sender<Landing>,
}

impl Flights {
    /// A place in a flight that judges just this, if there is one.
    pub(super) fn board(&self, asked: &Asked<'_>) -> Option<Ticket> {
        let flights = self.list();
        let flight = flights.iter().find(|flight| flight.job.answers(asked))?;
        Some(Ticket(flight.landing.clone()))
    }

    /// Begins a flight.
    pub(super) fn begin(&self, job: Arc<Job>) -> (Pilot, Ticket) {
        let (sender, landing) = watch::channel(None);
        let flight = Flight {
            job: Arc::clone(&job),
            landing: landing.clone(),
        };
        self.list().push(flight);
        let pilot = Pilot {
            flights: self.clone(),
            job,
            landing: sender,
        };
        (pilot, Ticket(landing))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The evidence, once it is there.
    ///
    /// # Errors
    /// The validation failed internally.
    pub async fn landed(mut self) -> Result<Evidence, NoEvidence> {
        match self.0.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Err(NoEvidence::Internal)),
            Err(_) => Err(NoEvidence::Internal),
        }
    }
}

impl Pilot {
    pub(super) const fn job(&self) -> &Arc<Job> {
        &self.job
    }

    pub(super) fn land(self, result: Result<Evidence, NoEvidence>) {
        self.landing.send_replace(Some(result));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.flights
            .list()
            .retain(|flight| !Arc::ptr_eq(&flight.job, &self.job));
    }
}

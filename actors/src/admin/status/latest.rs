//! The status as it was a moment ago, rendered once for everybody who asks within that moment.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use verdict::unseen::seen_json;

use super::Status;
use crate::admin::Subject;

/// How old an answer may be: a page that is asked a thousand times a second is rendered five times.
const FRESH: Duration = Duration::from_millis(200);

/// The last rendering.
#[derive(Debug, Default)]
pub(in crate::admin) struct Latest(Mutex<Option<(Instant, Bytes)>>);

impl Latest {
    /// The status as JSON, at most [`FRESH`] old.
    pub(in crate::admin) fn json(&self, subject: &Subject) -> Result<Bytes, serde_json::Error> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, json)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(json.clone());
        }
        let json = serde_json::to_string(&Status::of(subject))?;
        let json = Bytes::from(seen_json(&json));
        *last = Some((Instant::now(), json.clone()));
        Ok(json)
    }
}

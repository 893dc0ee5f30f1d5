//! The process's own settings in force, each with who said so. Policies are shown by themselves.

use config::{Effective, Timing, Value};

use super::Setting;
use crate::configured::Configured;

/// What is the process's and no policy's.
const OWN: [&str; 3] = ["spire.", "agent.", "audit."];

pub(super) fn in_force(configured: &Configured) -> Vec<Setting> {
    let settings = configured.settings().effective().into_iter();
    let own = settings.filter(|setting| OWN.iter().any(|block| setting.key.starts_with(block)));
    own.filter(|setting| setting.value != Value::Unset)
        .map(|setting| shown(configured, setting))
        .collect()
}

/// A push may have brought another time.
fn shown(configured: &Configured, setting: Effective) -> Setting {
    let key = setting.key.strip_prefix("spire.");
    let timing = Timing::ALL
        .into_iter()
        .find(|timing| Some(timing.key()) == key);
    let (value, source) = match timing {
        None => (setting.value.to_string(), setting.source),
        Some(timing) => {
            let value = configured.timings().borrow().value(timing);
            (value.to_string(), configured.timing_source(timing))
        }
    };
    Setting {
        key: setting.key,
        value,
        source: source.to_string(),
    }
}

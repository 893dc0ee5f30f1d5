//! What `check-config` says, of the settings in force.

use config::Settings;

use super::finding::{Examination, Severity};

pub(super) fn look(settings: &Settings, examination: &mut Examination) {
    let mut findings = config::lint(settings);
    findings.extend(crate::machine::look(settings));
    for finding in findings {
        // Looked at more closely elsewhere.
        if finding.code == "spire-socket" {
            continue;
        }
        let severity = match finding.severity {
            config::Severity::Warning => Severity::Warning,
            config::Severity::Advice => Severity::Advice,
        };
        let what = finding.to_string();
        examination.add(severity, finding.code, &what, "", &finding.advice);
    }
    let file = settings.file_name().unwrap_or("flags and environment");
    examination.well(format!("the configuration can be read: {file}"));
}

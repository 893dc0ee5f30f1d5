//! A page for each run, and one that lists them.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use actors::clock::Clock;
use chaos::report::{self, Heading, Row};

use super::done::Done;
use crate::commands::CommandError;

const INDEX: &str = "index.html";
/// A page that is being written.
const TEMPORARY: &str = ".page";
/// What the umask leaves of it.
const MODE: u32 = 0o666;

/// Whether pages can be written there: better known now than after an hour.
pub(super) fn check(folder: &Path) -> Result<(), CommandError> {
    let fail = |source| CommandError::Report {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map(drop).map_err(fail)
}

/// Writes them; the path of the list. Pages of earlier runs stay and are listed too. What cannot be written
/// keeps none of the others from it.
pub(super) fn write(done: &[Done], on: &str, folder: &Path) -> Result<PathBuf, CommandError> {
    check(folder)?;
    let now = Clock::system().now();
    let at = actors::audit::rfc3339(now.wall_ms);
    let (mut rows, mut written) = (Vec::new(), Ok(()));
    for one in done {
        let heading = one.heading(&at, on);
        let page = page(one, &heading, folder).unwrap_or_else(|error| {
            written = Err(error);
            None
        });
        rows.push(Row {
            page,
            says: match &one.result {
                Ok(run) => match &run.unshown {
                    Some(why) => format!("nothing: {why}"),
                    None => one.job.scenario.shows.clone(),
                },
                Err(error) => error.to_string(),
            },
            heading,
        });
    }
    rows.sort_by(|one, other| one.heading.title.cmp(&other.heading.title));
    let earlier = earlier(folder, &rows)?;
    let index = folder.join(INDEX);
    file(folder, INDEX, &report::index(&at, &rows, &earlier))?;
    written.map(|()| index)
}

fn page_name(heading: &Heading) -> String {
    format!("{}.html", heading.title.replace(", ", "-"))
}

/// The name of a run's page, if it came to one.
fn page(one: &Done, heading: &Heading, folder: &Path) -> Result<Option<String>, CommandError> {
    let Ok(run) = &one.result else {
        return Ok(None);
    };
    let name = page_name(heading);
    file(
        folder,
        &name,
        &report::page(heading, &one.job.scenario, run),
    )?;
    Ok(Some(name))
}

/// Pages that are there and none of this run.
fn earlier(folder: &Path, rows: &[Row]) -> Result<Vec<String>, CommandError> {
    let fail = |source| CommandError::Report {
        path: folder.to_owned(),
        source,
    };
    let mut earlier = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let name = name.to_string_lossy().into_owned();
        // Of one that came to no page now, the older page would be read as its result.
        let is_ours = rows.iter().any(|row| page_name(&row.heading) == name);
        if name.ends_with(".html") && name != INDEX && !is_ours {
            earlier.push(name);
        }
    }
    earlier.sort();
    Ok(earlier)
}

/// Whole or not at all: a page that is cut off looks like one that says less.
fn file(folder: &Path, name: &str, text: &str) -> Result<(), CommandError> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(folder.join(name))?;
        Ok::<(), io::Error>(())
    };
    write().map_err(|source| CommandError::File {
        path: folder.join(name),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use chaos::run::RunError;

    use super::*;
    use crate::commands::run::done::Job;

    #[test]
    fn a_folder_that_cannot_be_one_is_known_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        check(&folder.path().join("new/reports")).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said = check(&file).unwrap_err().to_string();
        assert!(
            said.starts_with("--report ") && said.contains("file"),
            "{said}"
        );
    }

    #[test]
    fn a_page_that_cannot_be_written_leaves_the_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "index.html", "whole").unwrap();
        // A folder cannot be written over.
        std::fs::create_dir_all(folder.path().join("flapping.html/x")).unwrap();
        let said = file(folder.path(), "flapping.html", "new").unwrap_err();
        assert!(said.to_string().contains("flapping.html"), "{said}");
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "something temporary stays");
    }

    #[test]
    fn an_older_page_of_a_run_that_ended_in_error_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("flapping.html"), "").unwrap();
        let scenario = crate::commands::scenarios::find("flapping")
            .unwrap()
            .scenario;
        let job = Job {
            scenario,
            breaks: None,
        };
        let result = Err(RunError::Unready("nobody came".to_owned()));
        let index = write(&[Done { job, result }], "here", folder.path()).unwrap();
        let text = std::fs::read_to_string(&index).unwrap();
        assert!(
            text.contains("nobody came") && !text.contains("flapping.html"),
            "{text}"
        );
    }

    #[test]
    fn pages_of_earlier_runs_are_listed_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("flapping.html"), "").unwrap();
        let index = write(&[], "here", folder.path()).unwrap();
        let text = std::fs::read_to_string(&index).unwrap();
        assert!(text.contains("href=\"flapping.html\""), "{text}");
        // Not of itself, either.
        write(&[], "here", folder.path()).unwrap();
        assert!(
            !std::fs::read_to_string(&index)
                .unwrap()
                .contains("href=\"index.html\"")
        );
    }
}

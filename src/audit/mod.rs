//! `audit verify FILE…`: whether a chain of records is whole, and where it is not.

mod form;
mod told;

use std::path::Path;

use actors::audit::{LineHash, Origin, ReadError, Verified, verify_files, verify_lines};

use crate::cli::{Audit, AuditCommand, Verify};
use crate::exit::{Exit, Usage};
use crate::logging::say;
use crate::output::{Output, say_json};

/// Runs one of the commands about records.
pub(crate) fn run(args: &Audit) -> anyhow::Result<Exit> {
    match &args.command {
        AuditCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &Verify) -> anyhow::Result<Exit> {
    let expect = match args.expect.as_deref().map(LineHash::parse) {
        Some(None) => {
            return Err(Usage("--expect: a hash is 64 hexadecimal digits".to_owned()).into());
        }
        Some(expect) => expect,
        None => None,
    };
    let origin = match args.collected {
        true => Origin::Collected,
        false => Origin::Files,
    };
    let verified = read(args, origin, expect).map_err(|error| Usage(error.to_string()))?;
    let is_expected = expect.is_none() || verified.report.expected.is_some();
    match args.output {
        Output::Text => told::text(&verified, origin, expect)
            .iter()
            .for_each(|line| say(line)),
        Output::Json => say_json(&told::json(&verified, origin, expect)),
    }
    // Of nothing nothing is certain: a wrong file must not pass for a whole chain.
    Ok(
        match verified.report.is_whole() && is_expected && !verified.report.is_empty() {
            true => Exit::Success,
            false => Exit::Failure,
        },
    )
}

/// `-` alone is standard input, as it comes.
fn read(args: &Verify, origin: Origin, expect: Option<LineHash>) -> Result<Verified, ReadError> {
    match args.files.as_slice() {
        [only] if only == Path::new("-") => {
            verify_lines("standard input", std::io::stdin().lock(), origin, expect)
        }
        files => verify_files(files, origin, expect),
    }
}

//! What is to be explained, and in which of its forms it came.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use proto::cert_header::MAX_HEADER_BYTES;

use crate::cli::Explain;
use crate::material::{of_pem, split_der};

/// A file of certificates, or a header value that is too large on purpose.
const MAX_BYTES: u64 = 16 * MAX_HEADER_BYTES as u64;

/// A record holds a header's worth of text at most.
const LINE_MAX_BYTES: u64 = 1024 * 1024;

/// Something to explain.
pub(crate) enum Input {
    /// A header's value, and that of RFC 9440's chain header.
    Header {
        value: String,
        chain: Option<String>,
    },
    /// Certificates, the leaf first.
    Chain(Vec<Vec<u8>>),
    /// Audit records.
    Records(Lines),
}

/// Lines, one at a time: files of records are long.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The next line that is not empty.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut reader = self.reader.by_ref().take(LINE_MAX_BYTES);
            if reader.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.trim_ascii()));
            }
        }
    }

    /// Which line that was, from 1.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }
}

/// Takes what the flags name, else a file, else standard input.
pub(crate) fn read(args: &Explain) -> anyhow::Result<Input> {
    let chain = args.header_chain.clone();
    if let Some(value) = &args.header {
        let value = value.clone();
        return Ok(Input::Header { value, chain });
    }
    let path = args.file.as_deref().unwrap_or(Path::new("-"));
    open(path)
        .and_then(|reader| tell(reader, chain))
        .with_context(|| format!("read {}", path.display()))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    Ok(match path == Path::new("-") {
        true => Box::new(BufReader::new(io::stdin())),
        false => Box::new(BufReader::new(File::open(path)?)),
    })
}

/// Tells the form: records, DER and PEM files have what no header value has.
fn tell(mut reader: Box<dyn BufRead>, chain: Option<String>) -> anyhow::Result<Input> {
    // Before its first record a file may hold what a crash left: zeros, or a line end alone.
    let is_left = |byte: &&u8| !matches!(byte, 0 | b'\n' | b'\r' | b' ');
    if reader.fill_buf()?.iter().find(is_left) == Some(&b'{') {
        return Ok(Input::Records(Lines {
            reader,
            line: Vec::new(),
            number: 0,
        }));
    }
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES).read_to_end(&mut bytes)?;
    if bytes.first() == Some(&0x30) && std::str::from_utf8(&bytes).is_err() {
        return Ok(Input::Chain(split_der(&bytes)?));
    }
    let text = std::str::from_utf8(&bytes).context("it is neither text nor a DER certificate")?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.contains("-----BEGIN CERTIFICATE-----") && value.contains('\n') {
        return Ok(Input::Chain(of_pem(value.as_bytes())?));
    }
    if value.lines().any(|line| line.starts_with("{\"seq\":")) {
        bail!("records stand among other lines, as a log's: give the records alone (grep '^{{')");
    }
    if value.contains('\n') {
        bail!(
            "it holds no certificate as PEM (-----BEGIN CERTIFICATE-----), and a header value is one line"
        );
    }
    Ok(Input::Header {
        value: value.to_owned(),
        chain,
    })
}

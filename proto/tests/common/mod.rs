//! What the protocol's tests share.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and not every test uses every helper"
)]

use proto::sentinel::event::{self, HeaderSink, RequestHeaders};
use proto::sentinel::{Encoding, PayloadError};

/// Keeps every call, and whether the value was borrowed.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Recorder(pub Vec<Seen>);

#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Seen {
    Begin(String),
    Value(String),
    InPlace(String),
}

impl<'a> HeaderSink<'a> for Recorder {
    fn begin(&mut self, name: &str) {
        self.0.push(Seen::Begin(name.to_owned()));
    }

    fn value(&mut self, value: &str) {
        self.0.push(Seen::Value(value.to_owned()));
    }

    fn value_in_place(&mut self, value: &'a str) {
        self.0.push(Seen::InPlace(value.to_owned()));
    }
}

pub fn begin(name: &str) -> Seen {
    Seen::Begin(name.to_owned())
}

pub fn in_place(value: &str) -> Seen {
    Seen::InPlace(value.to_owned())
}

pub fn escaped(value: &str) -> Seen {
    Seen::Value(value.to_owned())
}

/// Reads an event, its headers aside.
pub fn headers(
    encoding: Encoding,
    payload: &[u8],
) -> Result<(RequestHeaders<'_>, Vec<Seen>), PayloadError> {
    let mut sink = Recorder::default();
    let event = event::request_headers(encoding, payload, &mut sink)?;
    Ok((event, sink.0))
}

/// Header, payload.
pub fn unframe(bytes: &[u8]) -> ([u8; 5], &[u8]) {
    (bytes[..5].try_into().unwrap(), &bytes[5..])
}

/// One byte per character of a hexadecimal pair, white space aside.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A small MessagePack writer, so that vectors do not come from the code under test.
pub mod mp {
    pub fn text(value: &str) -> Vec<u8> {
        let mut out = vec![0xdb];
        out.extend((value.len() as u32).to_be_bytes());
        out.extend(value.as_bytes());
        out
    }

    pub fn nil() -> Vec<u8> {
        vec![0xc0]
    }

    pub fn uint(value: u16) -> Vec<u8> {
        let mut out = vec![0xcd];
        out.extend(value.to_be_bytes());
        out
    }

    pub fn bin(value: &[u8]) -> Vec<u8> {
        let mut out = vec![0xc6];
        out.extend((value.len() as u32).to_be_bytes());
        out.extend(value);
        out
    }

    pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0xdd];
        out.extend((items.len() as u32).to_be_bytes());
        items.iter().for_each(|item| out.extend(item));
        out
    }

    pub fn map(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0xdf];
        out.extend((items.len() as u32).to_be_bytes());
        for (key, value) in items {
            out.extend(text(key));
            out.extend(value);
        }
        out
    }
}

//! Configure: the proxy pushes the agent's `config` block (agent protocol, section 3).
//!
//! The block is handed on as JSON text, duplicates and all: what it means, and whether it is right,
//! is the configuration's business.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Encoding;
use super::error::{About, PayloadError, Rule};
use super::event::{CORRELATION_ID, missing, take_correlation_id};
use super::json;
use super::limits::MAX_CONFIG_BYTES;
use super::object::{Field, Message, Trace, Value, parse as parse_object};
use super::text::OptionalId;

const ABOUT: About = About {
    name: "Configure",
    section: 3,
};

/// A pushed configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configure<'a> {
    /// The answer's address.
    pub correlation_id: Cow<'a, str>,
    /// The block as JSON text; `None` for null.
    pub config: Option<Cow<'a, str>>,
    /// What the proxy calls this version of it.
    pub config_version: Option<Cow<'a, str>>,
}

/// Reads a Configure event.
///
/// # Errors
/// Not the message. It must be answered with a block (the correlation id can be
/// [salvaged](super::event::salvage_correlation_id)).
pub fn parse(encoding: Encoding, payload: &[u8]) -> Result<Configure<'_>, PayloadError> {
    let mut event = Event::default();
    parse_object(ABOUT, encoding, payload, &mut event)?;
    let Some(config) = event.config else {
        return Err(missing(ABOUT, "config"));
    };
    Ok(Configure {
        correlation_id: event
            .correlation_id
            .ok_or_else(|| missing(ABOUT, CORRELATION_ID.path))?,
        config,
        config_version: event.config_version,
    })
}

#[derive(Default)]
struct Event<'a> {
    /// Outer: was it given; inner: was it more than null.
    config: Option<Option<Cow<'a, str>>>,
    config_version: Option<Cow<'a, str>>,
    correlation_id: Option<Cow<'a, str>>,
}

pub(super) const CONFIG: Field = Field {
    key: "config",
    path: "config",
    must_be: "a JSON value",
};

impl<'a> Message<'a> for Event<'a> {
    const FIELDS: &'static [Field] = &[
        CONFIG,
        Field {
            key: "config_version",
            path: "config_version",
            must_be: "a string or null",
        },
        CORRELATION_ID,
    ];
    const REPEATED: Option<usize> = Some(2);

    fn field<V: Value<'a>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error> {
        match index {
            0 => self.config = Some(read_config(value, trace)?),
            1 => self.config_version = value.read(OptionalId(trace))?,
            _ => take_correlation_id(&mut self.correlation_id, value, trace)?,
        }
        Ok(())
    }
}

/// The text of a configuration: in JSON its own, in MessagePack the JSON that means the same.
pub(super) fn read_config<'a, V: Value<'a>>(
    value: V,
    trace: &Trace,
) -> Result<Option<Cow<'a, str>>, V::Error> {
    match trace.encoding() {
        Encoding::Json => {
            let raw = value.read(PhantomData::<Option<&'a RawValue>>)?;
            Ok(raw.map(|raw| Cow::Borrowed(raw.get())))
        }
        Encoding::MsgPack => {
            let mut text = Vec::new();
            value.read(Rewrite {
                out: &mut text,
                trace,
            })?;
            let text =
                String::from_utf8(text).map_err(|_| trace.fail::<V::Error>(Rule::NotUtf8))?;
            Ok((text != "null").then_some(Cow::Owned(text)))
        }
    }
}

/// Rewrites any value as JSON; recursion is bounded by the reader's depth limit.
struct Rewrite<'t> {
    out: &'t mut Vec<u8>,
    trace: &'t Trace,
}

impl Rewrite<'_> {
    fn again(&mut self) -> Rewrite<'_> {
        Rewrite {
            out: self.out,
            trace: self.trace,
        }
    }

    fn bounded<E: de::Error>(&self) -> Result<(), E> {
        if self.out.len() > MAX_CONFIG_BYTES {
            return Err(self.trace.fail(Rule::TooLong {
                length: self.out.len(),
                max: MAX_CONFIG_BYTES,
            }));
        }
        Ok(())
    }

    fn scalar<E: de::Error>(self, text: impl std::fmt::Display) -> Result<(), E> {
        self.out.extend_from_slice(text.to_string().as_bytes());
        self.bounded()
    }
}

impl<'de> DeserializeSeed<'de> for Rewrite<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rewrite<'_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a value that JSON can say")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(self.trace.fail(Rule::WrongType(CONFIG.must_be)));
        }
        // `Debug` keeps the point, so that a float stays one.
        self.scalar(format_args!("{value:?}"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar("null")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        // Escaped, a byte can take six: that too must fit before it is written.
        if value.len() > MAX_CONFIG_BYTES / 6 {
            return Err(self.trace.fail(Rule::TooLong {
                length: value.len(),
                max: MAX_CONFIG_BYTES / 6,
            }));
        }
        json::string(self.out, value);
        self.bounded()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let start = self.out.len();
        loop {
            let before = self.out.len();
            if before > start {
                self.out.push(b',');
            }
            if seq.next_element_seed(self.again())?.is_none() {
                self.out.truncate(before);
                break;
            }
        }
        self.out.push(b']');
        self.bounded()
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let start = self.out.len();
        loop {
            let before = self.out.len();
            if before > start {
                self.out.push(b',');
            }
            if map.next_key_seed(RewriteKey(self.out))?.is_none() {
                self.out.truncate(before);
                break;
            }
            self.out.push(b':');
            map.next_value_seed(self.again())?;
        }
        self.out.push(b'}');
        self.bounded()
    }
}

/// A key, which in JSON is a string.
struct RewriteKey<'t>(&'t mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for RewriteKey<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for RewriteKey<'_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<(), E> {
        json::string(self.0, key);
        Ok(())
    }
}

//! Reads one message from JSON or MessagePack by a table of its fields.
//!
//! serde's derive would do for well-meant input. For hostile input it takes a JSON array for an
//! object, and its texts quote the peer. Here a message is a table of fields and a function that
//! takes them one by one, from a map or (MessagePack) a positional array alike.

use std::cell::Cell;
use std::marker::PhantomData;

use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Encoding;
use super::error::{About, PayloadError, Place, Rule};
use super::limits::MAX_DEPTH;

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// Its key on the wire.
    pub(super) key: &'static str,
    /// Its path from the message, for errors.
    pub(super) path: &'static str,
    /// What its value has to be, completing "must be".
    pub(super) must_be: &'static str,
}

/// A message being filled, field by field.
pub(super) trait Message<'de> {
    /// The message itself, for errors between its fields.
    const WHOLE: Field = Field {
        key: "",
        path: "",
        must_be: "an object",
    };
    /// Known fields, in positional order.
    const FIELDS: &'static [Field];
    /// The field Sentinel repeats in MessagePack (agent protocol, section 2): [`Message::field`]
    /// must compare the second value with the first.
    const REPEATED: Option<usize> = None;

    /// Takes the value of `FIELDS[index]`.
    fn field<V: Value<'de>>(
        &mut self,
        index: usize,
        value: V,
        trace: &Trace,
    ) -> Result<(), V::Error>;
}

/// The value of a field, to be read exactly once.
pub(super) trait Value<'de>: Sized {
    /// The format's error.
    type Error: de::Error;

    /// Reads it.
    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Self::Error>;

    /// Steps over it.
    fn skip(self) -> Result<(), Self::Error> {
        self.read(PhantomData::<IgnoredAny>).map(drop)
    }
}

/// Where reading stands, so that an error can name field and rule whatever the format says.
pub(super) struct Trace {
    encoding: Encoding,
    field: Cell<&'static Field>,
    fault: Cell<Option<Rule>>,
}

impl Trace {
    fn new(encoding: Encoding, whole: &'static Field) -> Self {
        Self {
            encoding,
            field: Cell::new(whole),
            fault: Cell::new(None),
        }
    }

    /// The format being read.
    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Says which field is being read.
    pub(super) fn enter(&self, field: &'static Field) {
        self.field.set(field);
    }

    /// Breaks off with `rule`; the format adds the place.
    pub(super) fn fail<E: de::Error>(&self, rule: Rule) -> E {
        self.fault.set(Some(rule));
        E::custom("see the trace")
    }

    /// The rule for an error of the data: ours if we raised it, else the wrong type.
    fn data_rule(&self) -> Rule {
        self.fault
            .take()
            .unwrap_or(Rule::WrongType(self.field.get().must_be))
    }
}

/// Fills `message` from `payload`.
///
/// # Errors
/// The first rule that the payload breaks.
pub(super) fn parse<'de, M: Message<'de>>(
    about: About,
    encoding: Encoding,
    payload: &'de [u8],
    message: &mut M,
) -> Result<(), PayloadError> {
    let trace = Trace::new(encoding, const { &M::WHOLE });
    let object = Object {
        message,
        trace: &trace,
    };
    let (rule, place) = match encoding {
        Encoding::Json => match read_json(payload, object) {
            Ok(()) => return Ok(()),
            Err(error) => (json_rule(&error, &trace), json_place(&error)),
        },
        Encoding::MsgPack => match read_msgpack(payload, object) {
            Ok(()) => return Ok(()),
            Err(rule) => (rule, None),
        },
    };
    Err(PayloadError {
        about,
        field: trace.field.get().path,
        rule,
        place,
    })
}

fn read_json<'de, M: Message<'de>>(
    payload: &'de [u8],
    object: Object<'_, M>,
) -> serde_json::Result<()> {
    let trace = object.trace;
    let mut reader = serde_json::Deserializer::from_slice(payload);
    reader.deserialize_map(object)?;
    trace.enter(const { &M::WHOLE });
    reader.end().inspect_err(|error| {
        if error.is_syntax() {
            trace.fault.set(Some(Rule::Trailing));
        }
    })
}

fn json_rule(error: &serde_json::Error, trace: &Trace) -> Rule {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => trace.data_rule(),
        Category::Eof => Rule::Truncated,
        Category::Syntax | Category::Io => trace
            .fault
            .take()
            .unwrap_or_else(|| syntax(&error.to_string())),
    }
}

/// serde_json's syntax texts are a fixed list; the place at their end is told apart.
fn syntax(text: &str) -> Rule {
    if text.starts_with("recursion limit") {
        return Rule::TooDeep;
    }
    let what = text.split_once(" at line ").map_or(text, |(what, _)| what);
    Rule::Syntax(what.into())
}

fn json_place(error: &serde_json::Error) -> Option<Place> {
    (error.line() > 0).then(|| Place {
        line: error.line(),
        column: error.column(),
    })
}

fn read_msgpack<'de, M: Message<'de>>(
    payload: &'de [u8],
    object: Object<'_, M>,
) -> Result<(), Rule> {
    let trace = object.trace;
    let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
    reader.set_max_depth(MAX_DEPTH);
    reader
        .deserialize_map(object)
        .map_err(|error| msgpack_rule(error, trace))?;
    trace.enter(const { &M::WHOLE });
    // The reader does not tell its position: at the end, and only there, no marker can be read.
    match <IgnoredAny as de::Deserialize>::deserialize(&mut reader) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(()),
        Ok(_) | Err(_) => Err(Rule::Trailing),
    }
}

fn msgpack_rule(error: rmp_serde::decode::Error, trace: &Trace) -> Rule {
    use rmp_serde::decode::Error;
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => Rule::Truncated,
        Error::DepthLimitExceeded => Rule::TooDeep,
        Error::Utf8Error(_) => Rule::NotUtf8,
        Error::TypeMismatch(_)
        | Error::OutOfRange
        | Error::LengthMismatch(_)
        | Error::Uncategorized(_)
        | Error::Syntax(_) => trace.data_rule(),
    }
}

/// Reads one object, at the top or nested.
pub(super) struct Object<'t, M> {
    pub(super) message: &'t mut M,
    pub(super) trace: &'t Trace,
}

impl<'de, M: Message<'de>> DeserializeSeed<'de> for Object<'_, M> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, M: Message<'de>> Visitor<'de> for Object<'_, M> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(M::WHOLE.must_be)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let whole = const { &M::WHOLE };
        let mut seen = 0_u32;
        self.trace.enter(whole);
        while let Some(known) = map.next_key_seed(Key(M::FIELDS))? {
            let value = MapValue(&mut map);
            match known.and_then(|index| Some((index, M::FIELDS.get(index)?))) {
                Some((index, field)) => {
                    self.trace.enter(field);
                    let bit = 1_u32 << (index % 32);
                    if seen & bit != 0 && !self.may_repeat(index) {
                        return Err(self.trace.fail(Rule::Duplicate));
                    }
                    seen |= bit;
                    self.message.field(index, value, self.trace)?;
                }
                // Newer proxies say more than we need to know.
                None => value.skip()?,
            }
            self.trace.enter(whole);
        }
        Ok(())
    }

    /// Only MessagePack gets here: serde_json hands arrays to no map.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while seq.size_hint() != Some(0) {
            let value = SeqValue {
                seq: &mut seq,
                trace: self.trace,
            };
            match M::FIELDS.get(index) {
                Some(field) => {
                    self.trace.enter(field);
                    self.message.field(index, value, self.trace)?;
                }
                None => value.skip()?,
            }
            self.trace.enter(const { &M::WHOLE });
            index = index.saturating_add(1);
        }
        Ok(())
    }
}

impl<'de, M: Message<'de>> Object<'_, M> {
    fn may_repeat(&self, index: usize) -> bool {
        self.trace.encoding == Encoding::MsgPack && M::REPEATED == Some(index)
    }
}

struct MapValue<'m, A>(&'m mut A);

impl<'de, A: MapAccess<'de>> Value<'de> for MapValue<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

struct SeqValue<'m, A> {
    seq: &'m mut A,
    trace: &'m Trace,
}

impl<'de, A: SeqAccess<'de>> Value<'de> for SeqValue<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.seq
            .next_element_seed(seed)?
            .ok_or_else(|| self.trace.fail(Rule::Truncated))
    }
}

/// A key, as its index among the known fields.
struct Key(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Option<usize>, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|field| field.key == key))
    }
}

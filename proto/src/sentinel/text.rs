//! Values of fields: bounded text, numbers, booleans that may be absent.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};

use super::error::Rule;
use super::limits::MAX_ID_BYTES;
use super::object::Trace;

/// Text of at most [`MAX_ID_BYTES`], or null.
pub(super) struct OptionalId<'t>(pub(super) &'t Trace);

/// Text of 1 to [`MAX_ID_BYTES`] bytes.
pub(super) struct Id<'t>(pub(super) &'t Trace);

impl<'de> DeserializeSeed<'de> for Id<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Cow<'de, str>, D::Error> {
        input
            .deserialize_str(AnyText)
            .and_then(|text| bounded(text, self.0))
            .and_then(|text| match text.is_empty() {
                true => Err(self.0.fail(Rule::Empty)),
                false => Ok(text),
            })
    }
}

impl<'de> DeserializeSeed<'de> for OptionalId<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        match input.deserialize_any(TextOrNull)? {
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => bounded(text, self.0).map(Some),
            None => Ok(None),
        }
    }
}

fn bounded<'de, E: de::Error>(text: Cow<'de, str>, trace: &Trace) -> Result<Cow<'de, str>, E> {
    if text.len() > MAX_ID_BYTES {
        return Err(trace.fail(Rule::TooLong {
            length: text.len(),
            max: MAX_ID_BYTES,
        }));
    }
    Ok(text)
}

/// Text, borrowed from the payload where it stands there unescaped.
struct AnyText;

impl<'de> Visitor<'de> for AnyText {
    type Value = Cow<'de, str>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct TextOrNull;

impl<'de> Visitor<'de> for TextOrNull {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string or null")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        AnyText.visit_borrowed_str(text).map(Some)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        AnyText.visit_str(text).map(Some)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A list that is walked, not kept: `each` sees every item.
pub(super) struct Each<F>(pub(super) F);

/// A list of texts, or null, walked and not kept.
pub(super) struct EachText<F>(pub(super) F);

impl<'de, F: FnMut(u64)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(u64)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<u64>()? {
            (self.0)(item);
        }
        Ok(())
    }
}

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for EachText<F> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str)> Visitor<'de> for EachText<F> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of strings")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element_seed(std::marker::PhantomData::<Text<'de>>)? {
            (self.0)(&item.0);
        }
        Ok(())
    }
}

struct Text<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Text<'de> {
    fn deserialize<D: de::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_str(AnyText).map(Self)
    }
}

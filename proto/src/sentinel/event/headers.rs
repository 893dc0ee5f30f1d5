//! Drives a [`HeaderSink`] over a map of arrays of strings, in whatever format.

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::HeaderSink;

/// The `headers` object, shown to a sink while it is read.
pub(super) struct HeaderMap<'s, S>(pub(super) &'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderMap<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderMap<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object of arrays of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(()) = map.next_key_seed(HeaderName(&mut *self.0))? {
            map.next_value_seed(HeaderValues(&mut *self.0))?;
        }
        Ok(())
    }
}

struct HeaderName<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderName<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderName<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a header name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<(), E> {
        self.0.begin(name);
        Ok(())
    }
}

struct HeaderValues<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderValues<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderValues<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(()) = seq.next_element_seed(HeaderValue(&mut *self.0))? {}
        Ok(())
    }
}

struct HeaderValue<'s, S>(&'s mut S);

impl<'de, S: HeaderSink<'de>> DeserializeSeed<'de> for HeaderValue<'_, S> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de, S: HeaderSink<'de>> Visitor<'de> for HeaderValue<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<(), E> {
        self.0.value_in_place(value);
        Ok(())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.0.value(value);
        Ok(())
    }
}

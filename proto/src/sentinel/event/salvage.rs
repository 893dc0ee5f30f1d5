//! Finds the address of an event that could not be read.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::sentinel::Encoding;
use crate::sentinel::limits::{MAX_DEPTH, MAX_ID_BYTES};

/// Looks for the correlation id of a payload that could not be read, so that its refusal arrives.
///
/// Best effort: the id at the top level (which is what clients wait for), else the metadata's, if it
/// stands before the first byte that is no JSON or MessagePack. `None`: the proxy has to time out.
#[must_use]
pub fn salvage_correlation_id(encoding: Encoding, payload: &[u8]) -> Option<Cow<'_, str>> {
    let mut found = Found::default();
    // What fails here failed before; what was found until then is the result.
    let _ = match encoding {
        Encoding::Json => {
            let mut reader = serde_json::Deserializer::from_slice(payload);
            Search::Top(&mut found).deserialize(&mut reader).is_ok()
        }
        Encoding::MsgPack => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
            reader.set_max_depth(MAX_DEPTH);
            Search::Top(&mut found).deserialize(&mut reader).is_ok()
        }
    };
    found
        .top
        .or(found.metadata)
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES)
}

#[derive(Default)]
struct Found<'a> {
    top: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
}

/// Takes whatever stands at a place of the payload, and remembers ids on the way.
enum Search<'f, 'a> {
    Top(&'f mut Found<'a>),
    Metadata(&'f mut Found<'a>),
    TopId(&'f mut Found<'a>),
    MetadataId(&'f mut Found<'a>),
}

/// The keys on the way to an id.
enum Step {
    Id,
    Metadata,
    Other,
}

impl<'de> Search<'_, 'de> {
    /// The search behind `step`, or `None` where no id can be.
    fn below(&mut self, step: &Step) -> Option<Search<'_, 'de>> {
        match (self, step) {
            (Search::Top(found), Step::Id) => Some(Search::TopId(found)),
            (Search::Top(found), Step::Metadata) => Some(Search::Metadata(found)),
            // Where a positional event has its id, positional headers have their metadata.
            (Search::Metadata(found) | Search::TopId(found), Step::Id) => {
                Some(Search::MetadataId(found))
            }
            _ => None,
        }
    }

    fn keep(self, text: Cow<'de, str>) {
        match self {
            Search::TopId(found) => _ = found.top.get_or_insert(text),
            Search::MetadataId(found) => _ = found.metadata.get_or_insert(text),
            Search::Top(_) | Search::Metadata(_) => {}
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_, 'de> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("anything")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        // Longer than any id we echo: not worth a copy.
        if text.len() <= MAX_ID_BYTES {
            self.keep(Cow::Owned(text.to_owned()));
        }
        Ok(())
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<(), E> {
        self.keep(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(step) = map.next_key::<Step>()? {
            match self.below(&step) {
                Some(search) => map.next_value_seed(search)?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    /// Positional metadata and events begin with the id, positional headers with the metadata.
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        if let Some(search) = self.below(&Step::Id) {
            seq.next_element_seed(search)?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> de::Deserialize<'de> for Step {
    fn deserialize<D: de::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_identifier(StepKey)
    }
}

struct StepKey;

impl Visitor<'_> for StepKey {
    type Value = Step;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Step, E> {
        Ok(match key {
            "correlation_id" => Step::Id,
            "metadata" => Step::Metadata,
            _ => Step::Other,
        })
    }
}

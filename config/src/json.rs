//! JSON of a push, as the same tree as KDL's.
//!
//! Members are kept as they came, the same name twice too: what a duplicate means differs from
//! reader to reader, so it is refused where blocks and keys are looked up.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::problem::Shown;
use crate::tree::{Nesting, Node, Place, Scalar, Value};

/// Values within values. The documented block needs three; the readers of all formats stay shallow.
pub const MAX_PUSH_DEPTH: usize = 32;

/// Values in one push: as many as a list may have entries, several times over.
pub const MAX_PUSH_VALUES: usize = 100_000;

/// A value of JSON, or of a format with the same values (msgpack).
#[derive(Clone, Debug, PartialEq)]
pub struct Json(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Scalar(Scalar),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_PUSH_VALUES);
        let depth = 0;
        Seed { depth, left: &left }.deserialize(deserializer)
    }
}

impl Json {
    /// The members as nodes; else the word for what it is.
    pub(crate) fn into_nodes(self) -> Result<Vec<Node>, &'static str> {
        match self.0 {
            Kind::Object(members) => Ok(nodes("", members)),
            Kind::List(_) => Err("a list"),
            Kind::Scalar(scalar) => Err(scalar.kind()),
        }
    }

    /// `null` and `{}`: no configuration was meant.
    pub(crate) fn says_nothing(&self) -> bool {
        match &self.0 {
            Kind::Scalar(Scalar::Null) => true,
            Kind::Object(members) => members.is_empty(),
            _ => false,
        }
    }
}

fn nodes(parent: &str, members: Vec<(String, Json)>) -> Vec<Node> {
    let node = |(name, value): (String, Json)| {
        let shown = Shown::new(&name);
        let path = if parent.is_empty() {
            shown.to_string()
        } else {
            format!("{parent}.{shown}")
        };
        let (args, children) = match value.0 {
            Kind::Object(members) => (Vec::new(), Some(nodes(&path, members))),
            Kind::List(items) => (values(&path, items), None),
            Kind::Scalar(scalar) => (vec![value_at(scalar, path.clone())], None),
        };
        Node {
            name,
            at: Place::Json(path),
            args,
            props: Vec::new(),
            children,
            annotation: None,
        }
    };
    members.into_iter().map(node).collect()
}

fn values(path: &str, items: Vec<Json>) -> Vec<Value> {
    let scalar = |item: Json| match item.0 {
        Kind::Scalar(scalar) => scalar,
        Kind::List(_) => Scalar::Nested(Nesting::List),
        Kind::Object(_) => Scalar::Nested(Nesting::Object),
    };
    let numbered = items.into_iter().enumerate();
    let value = |(index, item)| value_at(scalar(item), format!("{path}[{index}]"));
    numbered.map(value).collect()
}

const fn value_at(scalar: Scalar, path: String) -> Value {
    Value {
        scalar,
        at: Place::Json(path),
        annotation: None,
    }
}

/// Reads one value, knowing how deep it stands and how many more there may be.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_PUSH_DEPTH {
            return Err(E::custom(format_args!(
                "a push is limited to {MAX_PUSH_DEPTH} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!(
                "a push is limited to {MAX_PUSH_VALUES} values"
            )));
        };
        self.left.set(left);
        deserializer.deserialize_any(self).map(Json)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Integer(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Integer(value.into())))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Fraction))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Scalar(Scalar::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let seed = self.deeper()?;
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            object.push((name, members.next_value_seed(seed)?));
        }
        Ok(Kind::Object(object))
    }
}

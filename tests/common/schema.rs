//! JSON Schema as far as our own schema uses it (draft 2020-12); a word it does not know fails.
//! A library would bring forty crates for one file of ours.

use regex::Regex;
use serde_json::Value;

/// What of `value` does not fit; empty if it fits.
pub fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Checker { root: schema }.check(schema, value, "$", &mut found);
    found
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        for (word, says) in schema.as_object().expect("a schema is an object") {
            let holds = match word.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "then" | "else" => schema.get("if").is_some(),
                "type" => types(says).iter().any(|name| is_a(value, name)),
                "enum" => says.as_array().unwrap().contains(value),
                "const" => says == value,
                "pattern" => value
                    .as_str()
                    .is_none_or(|text| Regex::new(says.as_str().unwrap()).unwrap().is_match(text)),
                "minimum" => value.as_i64().is_none_or(|n| n >= says.as_i64().unwrap()),
                "maximum" => value.as_i64().is_none_or(|n| n <= says.as_i64().unwrap()),
                "required" => value.as_object().is_none_or(|fields| {
                    let mut names = says.as_array().unwrap().iter();
                    names.all(|name| fields.contains_key(name.as_str().unwrap()))
                }),
                "additionalProperties" => {
                    assert_eq!(says, false);
                    let known = &schema["properties"];
                    let fields = value.as_object();
                    fields.is_none_or(|fields| fields.keys().all(|key| known.get(key).is_some()))
                }
                "properties" => {
                    for (key, of_it) in says.as_object().unwrap() {
                        if let Some(field) = value.get(key) {
                            self.check(of_it, field, &format!("{at}.{key}"), found);
                        }
                    }
                    true
                }
                "$ref" => {
                    let path = says.as_str().unwrap().strip_prefix('#').unwrap();
                    let meant = self
                        .root
                        .pointer(path)
                        .expect("a reference leads somewhere");
                    self.check(meant, value, at, found);
                    true
                }
                "anyOf" => {
                    let mut any = says.as_array().unwrap().iter();
                    any.any(|one| self.fits(one, value))
                }
                "allOf" => {
                    for one in says.as_array().unwrap() {
                        self.check(one, value, at, found);
                    }
                    true
                }
                "not" => !self.fits(says, value),
                "if" => {
                    let branch = if self.fits(says, value) {
                        "then"
                    } else {
                        "else"
                    };
                    if let Some(branch) = schema.get(branch) {
                        self.check(branch, value, at, found);
                    }
                    true
                }
                other => panic!("the schema says {other:?}, which is not checked here"),
            };
            if !holds {
                found.push(format!("{at}: {word} {says}: {value}"));
            }
        }
    }
}

fn types(says: &Value) -> Vec<&str> {
    match says {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
        other => panic!("{other}"),
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

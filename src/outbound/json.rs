//! JSON as upstreams send it, which is not always valid (`R25`: odd content is content).

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Maximum nesting depth; deeper values are read as null. The parser's own limit is 128.
const DEEPEST: usize = 100;

/// Parses an answer leniently, so that one odd value in one case does not make a whole page unreadable. Invalid UTF-8 and escapes of lone
/// surrogates become U+FFFD. Values nested more deeply than any code reads become null. A byte order mark is skipped.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    let text = replace_lone_surrogates(&text);
    let error = match serde_json::from_str(&text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // Return the first parser's error, which gives the position.
    shallow(&text).and_then(serde_json::from_value).map_err(|_| error)
}

/// Upper bound of the number of JSON values in the text: each one beyond the first follows a comma or begins a list or an object. A value
/// takes some sixty bytes of memory, but as few as two bytes of text.
pub(super) fn most_values(text: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// Parses a text and drops values that are nested too deeply.
fn shallow(text: &str) -> Result<Value, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Shallow(DEEPEST).deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Deserializer of a value down to a number of levels.
struct Shallow(usize);

impl<'de> DeserializeSeed<'de> for Shallow {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 == 0 {
            // Skipping does not recurse, so any depth is safe.
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shallow {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self(self.0 - 1))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            object.insert(name, fields.next_value_seed(Self(self.0 - 1))?);
        }
        Ok(object.into())
    }
}

/// Replaces each `\uD800` to `\uDFFF` that is not half of a pair by `\ufffd`.
fn replace_lone_surrogates(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (unit(rest), unit(rest.get(6..).unwrap_or_default())) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                result.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Another escape: take the backslash and the character after it, whatever its width.
            (None, _) => rest.char_indices().nth(2).map_or(rest.len(), |(index, _)| index),
        };
        result.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    result.push_str(rest);
    result
}

/// Returns the UTF-16 unit of the `\uXXXX` escape at the beginning of the text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u16::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_text_is_read_and_sound_text_is_unchanged() {
        for (json, expected) in [
            (r#""plain""#, "plain"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""a\ud83dz""#, "a\u{fffd}z"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\u0000\ud800""#, "\0\u{fffd}"),
            ("\u{feff}\"marked\"", "marked"),
        ] {
            assert_eq!(decode::<String>(json.as_bytes()).unwrap(), expected, "{json}");
        }
        assert_eq!(decode::<String>(b"\"a\xffb\"").unwrap(), "a\u{fffd}b");
        assert!(decode::<String>(br#""\ud8"#).is_err());
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (text, most) in [
            ("1", 1),
            ("[1,2]", 3),
            (r#"{"a":"x,[{","b":[{}]}"#, 5),
            (r#""\",,,""#, 1),
            (r#""\\",1"#, 2),
            ("", 1),
        ] {
            assert_eq!(most_values(text.as_bytes()), most, "{text}");
        }
    }

    #[test]
    fn deep_nesting_costs_only_what_is_nested_deeply() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let page =
            format!(r#"{{"a": [1, -2, 2.5, true, null, "x"], "deep": {deep}, "b": {{"c": "\ud800"}}}}"#);
        let value: Value = decode(page.as_bytes()).unwrap();
        assert_eq!(value["a"], json!([1, -2, 2.5, true, null, "x"]));
        assert_eq!(value["b"], json!({ "c": "\u{fffd}" }));
        assert!(value["deep"][0].is_array());
        for broken in ["[".repeat(100_000), format!("{deep} x"), r#"{"a":1"#.to_owned(), String::new()] {
            assert!(decode::<Value>(broken.as_bytes()).is_err(), "{broken:.20}");
        }
    }
}

//! JSON as upstreams send it, which is not always JSON as it should be (`R25`).

use serde::de::DeserializeOwned;

/// Parses an answer. Bytes that are not UTF-8 and escapes of lone surrogates become U+FFFD: one odd character in a comment
/// must not make a whole page unreadable. Nesting is limited by the parser to 128.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) => serde_json::from_str(&replace_lone_surrogates(&String::from_utf8_lossy(body))),
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
            // Another escape: the backslash and the character after it, whatever its width.
            (None, _) => rest.char_indices().nth(2).map_or(rest.len(), |(index, _)| index),
        };
        result.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    result.push_str(rest);
    result
}

/// The UTF-16 unit of the `\uXXXX` escape that the text begins with.
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
        ] {
            assert_eq!(decode::<String>(json.as_bytes()).unwrap(), expected, "{json}");
        }
        assert_eq!(decode::<String>(b"\"a\xffb\"").unwrap(), "a\u{fffd}b");
        assert!(decode::<String>(br#""\ud8"#).is_err());
        assert!(decode::<serde_json::Value>("[".repeat(100_000).as_bytes()).is_err());
    }
}

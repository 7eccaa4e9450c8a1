//! Masks the connector's own secrets in texts of an upstream, which may repeat them in any of the usual encodings.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;

/// Minimum length of a text that is masked as a secret. A shorter one is no secret, and would be found in any text.
const SHORTEST_SECRET: usize = 4;
const MASK: &str = "[secret]";

/// Masks the secrets of an `Authorization` header in a text: the header's value, and user and password if it holds them. Found are the
/// secrets as they are, percent-encoded, as JSON or HTML escapes them, in hexadecimal and in Base64, of either alphabet, with and without
/// padding, alone or as a part of a longer text.
pub(super) fn without_secrets(text: &str, header: &HeaderValue) -> String {
    let Ok(value) = header.to_str() else { return text.to_owned() };
    let secret = value.split_once(' ').map_or(value, |(_, secret)| secret).trim();
    let decoded = decoded(secret);
    let password = decoded.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    // The longest first: the others are parts of it.
    let secrets: Vec<&str> = [Some(secret), decoded.as_deref(), password].into_iter().flatten().collect();
    mask(text, &secrets)
}

/// Masks these secrets in a text.
pub(super) fn mask(text: &str, secrets: &[&str]) -> String {
    let secrets = secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
    secrets.flat_map(|secret| patterns(secret)).fold(text.to_owned(), |text, pattern| pattern.mask(&text))
}

/// Reads a secret that is Base64 of a text, such as user and password.
fn decoded(secret: &str) -> Option<String> {
    let bytes = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(secret).ok())?;
    String::from_utf8(bytes).ok()
}

/// One encoding of a secret.
struct Pattern {
    text: Vec<char>,
    coding: Coding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Hexadecimal,
    /// The characters around it belong to it: they hold the rest of the secret, and maybe others.
    Base64,
}

fn patterns(secret: &str) -> Vec<Pattern> {
    let pattern = |text: &str, coding| Pattern { text: text.chars().collect(), coding };
    let mut patterns =
        vec![pattern(secret, Coding::Plain), pattern(&hex::encode(secret), Coding::Hexadecimal)];
    for offset in 0..3 {
        // Which characters a secret becomes depends on its place in the whole text, modulo 3 bytes. Those that its neighbours share are
        // left out.
        let shifted = [&[0; 2][..offset], secret.as_bytes()].concat();
        let (first, last) = ((offset * 8).div_ceil(6), shifted.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let coded = engine.encode(&shifted);
            let own = coded.get(first..last).unwrap_or_default();
            if own.len() >= SHORTEST_SECRET {
                patterns.push(pattern(own, Coding::Base64));
            }
        }
    }
    patterns
}

impl Pattern {
    fn mask(&self, text: &str) -> String {
        let mut masked = String::new();
        let mut rest = text;
        let mut at = 0;
        while let Some(next) = rest[at..].chars().next() {
            let Some(length) = self.length_at(&rest[at..]) else {
                at += next.len_utf8();
                continue;
            };
            let (mut begin, mut end) = (at, at + length);
            if self.coding == Coding::Base64 {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "+/-_=%\\".contains(c);
                begin = rest[..at].trim_end_matches(is_part).len();
                end = rest.len() - rest[end..].trim_start_matches(is_part).len();
            }
            masked.push_str(&rest[..begin]);
            masked.push_str(MASK);
            rest = &rest[end..];
            at = 0;
        }
        masked + rest
    }

    /// Returns the length in bytes of the pattern at the beginning of a text, however its characters are escaped.
    fn length_at(&self, text: &str) -> Option<usize> {
        let mut rest = text;
        for wanted in &self.text {
            rest = match self.coding {
                Coding::Hexadecimal => rest.strip_prefix(|c: char| c.eq_ignore_ascii_case(wanted))?,
                Coding::Plain | Coding::Base64 => after(rest, *wanted)?,
            };
        }
        Some(text.len() - rest.len())
    }
}

/// Removes a character from the beginning of a text, escaped or not.
fn after(text: &str, wanted: char) -> Option<&str> {
    let escaped = match text.as_bytes().first()? {
        b'%' => after_percent(text, wanted),
        b'\\' => after_backslash(text, wanted),
        b'&' => after_entity(text, wanted),
        b'+' if wanted == ' ' => text.get(1..),
        _ => None,
    };
    escaped.or_else(|| text.strip_prefix(wanted))
}

/// `%2B`, a byte of UTF-8 each.
fn after_percent(text: &str, wanted: char) -> Option<&str> {
    let mut rest = text;
    for byte in wanted.encode_utf8(&mut [0; 4]).bytes() {
        let digits = rest.strip_prefix('%')?.get(..2)?;
        if u8::from_str_radix(digits, 16).ok()? != byte {
            return None;
        }
        rest = &rest[3..];
    }
    Some(rest)
}

/// `\"` and `\u002b`, with a pair of surrogates where one is needed.
fn after_backslash(text: &str, wanted: char) -> Option<&str> {
    let mut rest = text;
    for unit in wanted.encode_utf16(&mut [0; 2]).iter() {
        let is_unit =
            rest.strip_prefix("\\u").and_then(|digits| u16::from_str_radix(digits.get(..4)?, 16).ok())
                == Some(*unit);
        if !is_unit {
            return text.strip_prefix('\\')?.strip_prefix(wanted);
        }
        rest = &rest[6..];
    }
    Some(rest)
}

/// `&amp;`, `&#43;` and `&#x2b;`.
fn after_entity(text: &str, wanted: char) -> Option<&str> {
    let (entity, rest) = text.strip_prefix('&')?.split_once(';')?;
    let code = match entity.strip_prefix('#') {
        Some(code) => match code.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => code.parse().ok(),
        },
        None => [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')]
            .iter()
            .find(|(name, _)| *name == entity)
            .map(|(_, c)| u32::from(*c)),
    };
    (code == Some(u32::from(wanted))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    /// All that a secret may become on its way back.
    fn echoes(secret: &str) -> Vec<String> {
        let mut echoes = vec![
            secret.to_owned(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            serde_json::to_string(secret).unwrap(),
            secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
            secret.replace('/', "\\/"),
            secret.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
            secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"),
            hex::encode(secret),
            hex::encode_upper(secret),
        ];
        for before in ["", "x", "xy", "xyz", "user:"] {
            for behind in ["", "x", "xy", "xyz", "\n"] {
                let text = format!("{before}{secret}{behind}");
                for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                    let coded = engine.encode(&text);
                    echoes.push(utf8_percent_encode(&coded, NON_ALPHANUMERIC).to_string());
                    echoes.push(coded.replace('/', "\\/"));
                    echoes.push(coded);
                }
            }
        }
        echoes
    }

    #[test]
    fn a_secret_is_masked_however_it_is_written() {
        let secret = "s3cr+t/\"<\u{e9}\u{1f511}>&?%~ =9";
        for (header, secrets) in [
            (format!("Bearer {}", STANDARD.encode(secret)), vec![secret.to_owned(), STANDARD.encode(secret)]),
            (
                format!("Basic {}", STANDARD.encode(format!("bot@example.com:{secret}"))),
                vec![secret.to_owned(), format!("bot@example.com:{secret}")],
            ),
            ("Bearer ya29.a0-Af_B~x+y/z==".to_owned(), vec!["ya29.a0-Af_B~x+y/z==".to_owned()]),
            ("key-1234".to_owned(), vec!["key-1234".to_owned()]),
        ] {
            let header = HeaderValue::from_str(&header).unwrap();
            for secret in secrets {
                for echo in echoes(&secret) {
                    let text = format!("no such token: <{echo}>, or so");
                    let masked = without_secrets(&text, &header);
                    let inner = masked.replace(MASK, "");
                    assert!(
                        inner.starts_with("no such token: <") && inner.ends_with(">, or so"),
                        "{text}: {masked}"
                    );
                    assert!(inner.len() < text.len() - echo.len() + 16, "{text}: {masked}");
                }
            }
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        let header = HeaderValue::from_static("Basic Ym90OmFiYzEyMw==");
        for text in ["", "%", "%zz \\u12 &x; & a+b", "bot", "Größe 100% \\ &amp; 日本", "abc12"] {
            assert_eq!(without_secrets(text, &header), text);
        }
        let none = HeaderValue::from_static("Bearer abc");
        assert_eq!(without_secrets("abc", &none), "abc");
    }
}

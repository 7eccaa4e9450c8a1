//! Plain text in Jira's wiki notation, and back (`R25`).
//!
//! Bodies of REST API version 2 are wiki markup. A stranger's text must come out as it was typed: no macro, link, mention,
//! picture, heading, list, table or emphasis. [`escape`] sees to that and leaves alone what Jira would leave alone, so
//! that the source stays readable too; [`unescape`] undoes it exactly, since the connector knows its own comments by their
//! text (`R13`).
//!
//! Two facts decide how. A backslash makes one of `ESCAPABLE` plain unless another backslash stands before it, and is
//! itself plain before anything else (Atlassian's public sources: `BackslashEscapeRendererComponent` of the wiki renderer
//! and `escape.ts` of `@atlaskit/editor-wikimarkup-transformer`, which Cloud uses). And HTML entities are understood by
//! Data Center (`HtmlEscaper`) but not by Cloud. So what no backslash can escape is broken up by a word joiner, which is
//! invisible and which neither gives a meaning.

use crate::cases::utf16_units;

/// What a backslash escapes.
const ESCAPABLE: &str = "-#*_+?^~|%{}[]()!@";

/// U+2060 WORD JOINER: takes no room, and is no word character, blank or sign to either renderer.
const JOINER: char = '\u{2060}';

/// What signs in round brackets turn into pictures ("Text Formatting Notation", Jira's help).
const SIGNS: [&str; 18] = [
    "y)", "n)", "i)", "/)", "x)", "!)", "+)", "-)", "?)", "on)", "off)", "*)", "*r)", "*g)", "*b)", "*y)",
    "flag)", "flagoff)",
];

/// How far a bracket is looked into, in characters, before it is escaped to be on the safe side.
const LONGEST_BRACKET: usize = 250;

/// Plain text as wiki markup that shows it. `unescape(&escape(x)) == x` for every `x`.
#[must_use]
pub fn escape(plain: &str) -> String {
    let mut wiki = String::with_capacity(plain.len() + plain.len() / 8);
    let mut place = Place::default();
    let mut rest = plain;
    while let Some(c) = rest.chars().next() {
        if let Some(address) = address(rest, place.before) {
            wiki.push_str(address);
            place.before = address.chars().next_back();
            place.line_start = false;
            rest = &rest[address.len()..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if ESCAPABLE.contains(c) && place.gives_meaning(c, rest) {
            wiki.push('\\');
        }
        wiki.push(c);
        if place.needs_joiner(c, rest) {
            wiki.push(JOINER);
        }
        place.step(c);
    }
    wiki
}

/// The plain text that [`escape`] made a wiki text of; of a text that a person wrote, what its escapes stand for.
#[must_use]
pub fn unescape(wiki: &str) -> String {
    let mut plain = String::with_capacity(wiki.len());
    let mut place = Place::default();
    let mut rest = wiki;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let next = rest.chars().next();
        if let ('\\', Some(escaped)) = (c, next)
            && ESCAPABLE.contains(escaped)
        {
            plain.push(escaped);
            rest = &rest[escaped.len_utf8()..];
            place.step(escaped);
            continue;
        }
        plain.push(c);
        if next == Some(JOINER) && place.needs_joiner(c, rest) {
            rest = &rest[JOINER.len_utf8()..];
        }
        place.step(c);
    }
    plain
}

/// The plain text of what a person wrote on Cloud. There people write documents, not wiki markup, and version 2 of the
/// API puts them into wiki markup without escaping backslashes: only what it escapes itself is undone
/// (`encoder/nodes/text.ts` of `@atlaskit/editor-wikimarkup-transformer`).
#[must_use]
pub fn uncover(wiki: &str) -> String {
    let mut plain = String::with_capacity(wiki.len());
    let mut rest = wiki;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut following = rest.chars();
        let escape = match following.next() {
            Some('!') => true,
            Some('[') => matches!(following.next(), Some('~' | '^')),
            Some('{') => following.next().is_some_and(|c| c.is_ascii_alphabetic()),
            Some(_) | None => false,
        };
        if !escape {
            plain.push('\\');
        }
    }
    plain.push_str(rest);
    plain
}

/// What a plain text counts once it is escaped, in UTF-16 units: never less than that, and never decreasing when text is
/// appended, so it takes every character that may need an escape for one that does.
#[must_use]
pub fn escaped_units(plain: &str) -> usize {
    let mut place = Place::default();
    let mut escapes = 0;
    for c in plain.chars() {
        let may_need_one = match c {
            '\\' | '&' | ':' => true,
            'h' | 'b' => place.line_start,
            '%' | '@' | ']' | '}' => false,
            c => ESCAPABLE.contains(c),
        };
        escapes += usize::from(may_need_one);
        place.step(c);
    }
    utf16_units(plain) + escapes
}

/// Where in the text a character stands.
struct Place {
    /// The character before it.
    before: Option<char>,
    /// Whether only blanks stand before it on its line.
    line_start: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { before: None, line_start: true }
    }
}

impl Place {
    fn step(&mut self, c: char) {
        let breaks = matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        self.line_start = breaks || (self.line_start && c.is_whitespace());
        self.before = Some(c);
    }

    /// Whether one of [`ESCAPABLE`] with `rest` behind it would mean something. Only what opens is escaped: what closes
    /// means nothing without it.
    fn gives_meaning(&self, c: char, rest: &str) -> bool {
        let next = rest.chars().next();
        let after_word = self.before.is_some_and(|before| before.is_ascii_alphanumeric());
        let before_text = next.is_some_and(|next| !next.is_ascii_whitespace());
        let opens = !after_word && before_text;
        let after_eyes = matches!(self.before, Some(':' | ';'));
        match c {
            '{' => true,
            '[' => !is_plain_bracket(rest),
            '!' => before_text,
            '|' | '#' => self.line_start,
            '*' => opens || self.line_start,
            '_' | '+' | '^' | '~' => opens,
            // Two or three in a row become a dash, four a rule.
            '-' => opens || self.line_start || self.before == Some('-') || next == Some('-'),
            '?' => {
                let third = rest.chars().nth(1);
                !after_word && next == Some('?') && third.is_some_and(|third| !third.is_ascii_whitespace())
            }
            '(' => after_eyes || SIGNS.iter().any(|sign| rest.starts_with(sign)),
            ')' => after_eyes,
            // `%`, `@`, `]`, `}` and everything else.
            _ => false,
        }
    }

    /// Whether a joiner has to follow `c`, so that it means nothing together with what comes after it. One that is there
    /// already is told from one of ours by adding another.
    fn needs_joiner(&self, c: char, rest: &str) -> bool {
        if !matches!(c, '\\' | '&' | 'h' | 'b' | ':') {
            return false;
        }
        let joined = rest.starts_with(JOINER);
        let rest = rest.trim_start_matches(JOINER);
        let mut following = rest.chars();
        match c {
            '\\' => joined || following.next().is_some_and(|next| next == '\\' || ESCAPABLE.contains(next)),
            '&' => is_entity(rest),
            'h' => {
                self.line_start
                    && following.next().is_some_and(|digit| ('1'..='6').contains(&digit))
                    && following.next() == Some('.')
            }
            'b' => self.line_start && rest.starts_with("q."),
            _ => {
                matches!(following.next(), Some('D' | 'P' | 'p'))
                    && following.next().is_none_or(|next| !next.is_ascii_alphanumeric())
            }
        }
    }
}

/// Whether what follows a `[` is no link, mention or file: words and a closing bracket, or none on this line.
fn is_plain_bracket(rest: &str) -> bool {
    let is_host = rest.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."));
    let mut blank = false;
    let mut hyphen = false;
    for (index, c) in rest.chars().enumerate() {
        match c {
            // `[SUP-12]` is a link to an issue.
            ']' => return index > 0 && (blank || !hyphen) && !is_host,
            '\n' | '\r' => return true,
            ' ' => blank = true,
            '-' => hyphen = true,
            ',' | '.' | '(' | ')' | '/' | '\'' if index > 0 => {}
            c if c.is_alphanumeric() && index < LONGEST_BRACKET => {}
            _ => return false,
        }
    }
    true
}

/// Whether the text is the rest of an HTML entity, as Data Center's renderer recognises them.
fn is_entity(rest: &str) -> bool {
    let Some(end) = rest.bytes().take(9).position(|byte| byte == b';') else { return false };
    let name = rest.as_bytes().get(..end).unwrap_or_default();
    (2..=8).contains(&name.len())
        && name
            .iter()
            .enumerate()
            .all(|(index, byte)| byte.is_ascii_alphanumeric() || (index == 0 && *byte == b'#'))
}

/// The web address that the text begins with, where both renderers make a link of exactly that and so look for no markup
/// in it: an address with escapes in it would show them.
fn address(text: &str, before: Option<char>) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let stands_alone = before
        .is_none_or(|before| before.is_ascii_whitespace() || matches!(before, '(' | '<' | '>' | '=' | ','));
    let of_address = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~/?:@#&=%+$,;".contains(byte);
    let body = &text.as_bytes()[scheme.len()..];
    let length = body.iter().take_while(|byte| of_address(byte)).count();
    // What stands last must be part of the link to both.
    let end = body[..length].iter().rposition(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')?;
    let begins_well = body.first().is_some_and(u8::is_ascii_alphanumeric);
    (stands_alone && begins_well).then(|| &text[..=scheme.len() + end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_is_escaped_and_plain_text_is_left_alone() {
        for (plain, wiki) in [
            ("plain words, 2 * 3 - 1 = 5", "plain words, 2 * 3 - 1 = 5"),
            ("[Google Comment 3 by Jane Roe (2/3)]\nhello", "[Google Comment 3 by Jane Roe (2/3)]\nhello"),
            ("[INFO] up", "[INFO] up"),
            ("snake_case, e-mail, a+b, x^2, what??", "snake_case, e-mail, a+b, x^2, what??"),
            ("{code}x{code}", "\\{code}x\\{code}"),
            ("{{mono}}", "\\{\\{mono}}"),
            ("[~admin]", "\\[\\~admin]"),
            ("[here|https://e.example]", "\\[here|https://e.example]"),
            (
                "[^a.txt] [#top] [SUP-12] [www.e.example]",
                "\\[\\^a.txt] \\[#top] \\[SUP-12] \\[www.e.example]",
            ),
            ("!a.png!", "\\!a.png!"),
            ("Stop! Now!", "Stop! Now!"),
            ("h1. Title", "h\u{2060}1. Title"),
            ("  bq. quote", "  b\u{2060}q. quote"),
            ("bluetooth h1.5", "bluetooth h1.5"),
            ("* a\n** b\n# c\n- d", "\\* a\n\\** b\n\\# c\n\\- d"),
            ("||head||\n|cell|", "\\||head||\n\\|cell|"),
            ("a | b", "a | b"),
            ("----", "\\-\\-\\-\\-"),
            ("gcloud --project p", "gcloud \\-\\-project p"),
            ("*a* _b_ -c- +d+ ^e^ ~f~ ??g??", "\\*a* \\_b_ \\-c- \\+d+ \\^e^ \\~f~ \\??g??"),
            (
                "fine :) :-( ;) :D :P, (y) (off) (a)",
                "fine :\\) :\\-( ;\\) :\u{2060}D :\u{2060}P, \\(y) \\(off) (a)",
            ),
            ("RE: Data, code:PERMISSION", "RE: Data, code:PERMISSION"),
            ("C:\\temp\\x", "C:\\temp\\x"),
            ("\\\\server\\share", "\\\u{2060}\\server\\share"),
            ("\\[a-z\\]", "\\\u{2060}\\[a-z\\\u{2060}]"),
            ("&lt;b&gt; &copy; a&b; &;", "&\u{2060}lt;b&\u{2060}gt; &\u{2060}copy; a&b; &;"),
            (
                "see https://e.example/-/x_y?q=_a_&r=~b, or (http://f.example/_c_).",
                "see https://e.example/-/x_y?q=_a_&r=~b, or (http://f.example/_c_).",
            ),
            ("\"https://e.example/_a_\"", "\"https://e.example/\\_a_\""),
        ] {
            assert_eq!(escape(plain), wiki, "{plain}");
            assert_eq!(unescape(wiki), plain, "{wiki}");
        }
    }

    #[test]
    fn what_a_person_wrote_on_cloud_keeps_its_backslashes() {
        for (wiki, plain) in [
            ("\\{code} \\[~admin] \\!a.png\\! \\[^a.txt]", "{code} [~admin] !a.png! [^a.txt]"),
            ("C:\\[temp]\\{1} \\*x\\* \\\\server \\", "C:\\[temp]\\{1} \\*x\\* \\\\server \\"),
        ] {
            assert_eq!(uncover(wiki), plain);
        }
    }

    /// Texts made of what has a meaning somewhere.
    fn ugly() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[-#*_+?^~|%{}\\[\\]()!@\\\\&;:.,'\"/ ]",
            "[a-zA-Z0-9]{1,3}",
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
            Just(JOINER.to_string()),
            prop::sample::select(vec![
                "h1.",
                "h6. ",
                "bq. ",
                "http://a.example/",
                "https://",
                "&amp;",
                "&#92;",
                ":D",
                ":p",
                "(on)",
                "{code}",
                "[~",
                "\\\\",
                "\u{1f600}",
                "\u{202e}",
                "\u{85}",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn long_texts_take_no_longer_for_each_character() {
        for piece in ["[a] ", "\u{2060}", ":\u{2060}", "&", "[", "https://", "h1.\n", "\\"] {
            let plain = piece.repeat(1_000_000 / piece.len());
            assert!(unescape(&escape(&plain)) == plain, "{piece:?}");
        }
    }

    proptest! {
        #[test]
        fn escaping_can_be_undone(plain in ugly()) {
            prop_assert_eq!(unescape(&escape(&plain)), plain);
        }

        #[test]
        fn the_measure_is_enough_and_never_decreases(plain in ugly(), more in any::<char>()) {
            let measured = escaped_units(&plain);
            prop_assert!(utf16_units(&escape(&plain)) <= measured);
            let mut longer = plain;
            longer.push(more);
            prop_assert!(escaped_units(&longer) > measured);
        }
    }
}

//! Plain text in Jira's wiki notation, and back (`R25`: odd content is content).
//!
//! Bodies of REST API version 2 are wiki markup. Text from the other system must look as it was typed: no macro, link, mention, picture,
//! heading, list, table or emphasis. [`escape`] ensures that, and leaves alone the characters that have no meaning where they are, so that
//! the source stays readable too. [`unescape`] is its exact inverse, since the connector recognises its own comments by their text (`R13`:
//! unknown write outcome).
//!
//! Two facts decide the method:
//!
//! - A backslash makes one of `ESCAPABLE` plain unless another backslash precedes it, and is itself plain before anything else (Atlassian's
//!   public sources: `BackslashEscapeRendererComponent` of the wiki renderer and `escape.ts` of `@atlaskit/editor-wikimarkup-transformer`,
//!   which Cloud uses).
//! - Data Center understands HTML entities (`HtmlEscaper`), Cloud does not.
//!
//! So sequences that a backslash cannot escape are broken up by a word joiner, which is invisible and has no meaning to either.

use crate::cases::utf16_units;

/// Characters that a backslash escapes.
const ESCAPABLE: &str = "-#*_+?^~|%{}[]()!@";

/// U+2060 WORD JOINER: has no width, and is no word character, blank or sign to either renderer.
const JOINER: char = '\u{2060}';

/// Character sequences that become pictures after an opening round bracket ("Text Formatting Notation", Jira's help).
const SIGNS: [&str; 18] = [
    "y)", "n)", "i)", "/)", "x)", "!)", "+)", "-)", "?)", "on)", "off)", "*)", "*r)", "*g)", "*b)", "*y)",
    "flag)", "flagoff)",
];

/// Number of characters that are examined within a bracket; a longer one is escaped to be safe.
const LONGEST_BRACKET: usize = 250;

/// Escapes plain text as wiki markup that shows it. `unescape(&escape(x)) == x` for every `x`.
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

/// Converts wiki markup from [`escape`] to the original plain text. In a text by a person, it resolves the escapes.
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

/// Converts a text that a person wrote on Cloud to plain text. People write documents there, not wiki markup, and version 2 of the API
/// converts these to wiki markup without escaping backslashes. So only the escapes that the API adds are removed (`encoder/nodes/text.ts`
/// of `@atlaskit/editor-wikimarkup-transformer`).
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

/// Measures a plain text as escaped, in UTF-16 units. It is an upper bound, and never decreases when text is appended: a character that may
/// need an escape counts as if it did.
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

/// Position of a character in the text.
struct Place {
    /// Character before it.
    before: Option<char>,
    /// True if only blanks precede it on its line.
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

    /// Reports if `c`, one of [`ESCAPABLE`], has a meaning before `rest`. Only opening characters are escaped: a closing one has no meaning
    /// alone.
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

    /// Reports if a joiner has to follow `c`, so that `c` and the next characters have no meaning together. A joiner that the text has
    /// already gets another one, to distinguish it from ours.
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

/// Reports if a `[` before `rest` begins no link, mention or file: it is followed by words and a closing bracket, or by no closing bracket
/// on this line.
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

/// Reports if the text is the rest of an HTML entity, as Data Center's renderer recognises it.
fn is_entity(rest: &str) -> bool {
    let Some(end) = rest.bytes().take(9).position(|byte| byte == b';') else { return false };
    let name = rest.as_bytes().get(..end).unwrap_or_default();
    (2..=8).contains(&name.len())
        && name
            .iter()
            .enumerate()
            .all(|(index, byte)| byte.is_ascii_alphanumeric() || (index == 0 && *byte == b'#'))
}

/// Returns the web address at the beginning of the text, if both renderers make a link of exactly that. They look for no markup within a
/// link, so escapes in it would be visible.
fn address(text: &str, before: Option<char>) -> Option<&str> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme))?;
    let stands_alone = before
        .is_none_or(|before| before.is_ascii_whitespace() || matches!(before, '(' | '<' | '>' | '=' | ','));
    let of_address = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~/?:@#&=%+$,;".contains(byte);
    let body = &text.as_bytes()[scheme.len()..];
    let length = body.iter().take_while(|byte| of_address(byte)).count();
    // The last character must be part of the link for both renderers.
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

    /// Texts made of character sequences that have a meaning in some place.
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

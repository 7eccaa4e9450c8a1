//! Detection of wiki markup that Jira would render, for tests that check that copied text is shown as plain text (`R25`).
//!
//! [`would_render`] returns every piece of a text that is not shown as it was typed. It follows Atlassian's "Text Formatting
//! Notation" page, and for escapes the public source of the renderer (`BackslashEscapeRendererComponent`): a backslash
//! escapes one of `- # * _ + ? ^ ~ | % { } [ ] ( ) ! @`, unless it follows another backslash; before anything else
//! it is a plain backslash. In doubt, the piece is reported.

/// Piece of markup that Jira would interpret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markup {
    /// Kind of the markup.
    pub kind: MarkupKind,
    /// The piece of text, or its beginning.
    pub text: String,
}

/// Kind of markup, by its rendered form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkupKind {
    /// `{code}`, `{color:red}`, `{anything}`.
    Macro,
    /// `[text|address]`, `[https://…]`, `[#anchor]`, `[^attachment]`, `[KEY-1]`.
    Link,
    /// `[~user]`: the user gets a mail.
    Mention,
    /// A bare address that becomes a link. No escape prevents it.
    BareAddress,
    /// `!picture.png!`.
    Image,
    /// `h1.` to `h6.`.
    Heading,
    /// `bq.`.
    Quote,
    /// A line that starts with `*`, `-` or `#` and a blank.
    List,
    /// A line that starts with `|`.
    Table,
    /// `----`.
    Rule,
    /// `--` or `---` between blanks.
    Dash,
    /// `\\`.
    LineBreak,
    /// `*strong*`.
    Strong,
    /// `_emphasis_`.
    Emphasis,
    /// `??citation??`.
    Citation,
    /// `-deleted-`.
    Deleted,
    /// `+inserted+`.
    Inserted,
    /// `^superscript^`.
    Superscript,
    /// `~subscript~`.
    Subscript,
    /// `{{monospaced}}`.
    Monospaced,
    /// `:)`, `(!)`, `(y)` and the like.
    Emoticon,
}

/// Placeholder for an escaped character: a Unicode noncharacter, which no text may contain.
const ESCAPED: char = '\u{FDD0}';

const ESCAPABLE: &str = "-#*_+?^~|%{}[]()!@";

const EMOTICONS: [&str; 24] = [
    ":)", ":-)", ":(", ":-(", ":P", ":-P", ":p", ":-p", ":D", ":-D", ";)", ";-)", "(y)", "(n)", "(i)", "(/)",
    "(x)", "(!)", "(+)", "(-)", "(?)", "(on)", "(off)", "(*",
];

const ADDRESSES: [&str; 8] =
    ["http://", "https://", "ftp://", "ftps://", "mailto:", "file:", "nntp://", "irc://"];

/// Returns everything in a text that Jira would interpret, in no particular order. Content of `{noformat}` and `{code}` blocks is not
/// interpreted; each of these blocks is reported once.
#[must_use]
pub fn would_render(text: &str) -> Vec<Markup> {
    let mut found = Vec::new();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let shown = without_escapes(&text, &mut found);
    let open = without_verbatim_blocks(&shown, &mut found);
    for line in open.lines() {
        line_start(line, &mut found);
        braces(line, &mut found);
        brackets(line, &mut found);
        images(line, &mut found);
        phrases(line, &mut found);
        signs(line, &mut found);
    }
    found
}

fn report(found: &mut Vec<Markup>, kind: MarkupKind, text: &str) {
    found.push(Markup { kind, text: text.chars().take(60).collect() });
}

fn without_escapes(text: &str, found: &mut Vec<Markup>) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let after_backslash = at > 0 && chars[at - 1] == '\\';
        if c != '\\' || after_backslash {
            shown.push(c);
        } else if next.is_some_and(|next| ESCAPABLE.contains(next)) {
            shown.push(ESCAPED);
            at += 1;
        } else {
            if next == Some('\\') {
                report(found, MarkupKind::LineBreak, "\\\\");
            }
            shown.push(c);
        }
        at += 1;
    }
    shown
}

/// Removes `{noformat}` and `{code}` blocks from a text, and reports them.
fn without_verbatim_blocks(text: &str, found: &mut Vec<Markup>) -> String {
    let mut open = String::with_capacity(text.len());
    let mut rest = text;
    'text: while let Some(start) = rest.find('{') {
        for name in ["noformat", "code"] {
            let Some(head) = rest[start + 1..].strip_prefix(name) else { continue };
            let Some(end_of_head) = head.find('}').filter(|end| *end == 0 || head.starts_with(':')) else {
                continue;
            };
            let body = &head[end_of_head + 1..];
            let closing = format!("{{{name}}}");
            let Some(end) = body.find(&closing) else { continue };
            report(found, MarkupKind::Macro, &closing);
            open.push_str(&rest[..start]);
            rest = &body[end + closing.len()..];
            continue 'text;
        }
        open.push_str(&rest[..=start]);
        rest = &rest[start + 1..];
    }
    open.push_str(rest);
    open
}

fn line_start(line: &str, found: &mut Vec<Markup>) {
    let line = line.trim_start();
    let mut chars = line.chars();
    let heading = chars.next() == Some('h')
        && chars.next().is_some_and(|digit| ('1'..='6').contains(&digit))
        && chars.next() == Some('.')
        && chars.next().is_none_or(char::is_whitespace);
    if heading {
        report(found, MarkupKind::Heading, line);
    }
    if line.strip_prefix("bq.").is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
        report(found, MarkupKind::Quote, line);
    }
    let bullets = line.trim_start_matches(['*', '#', '-']);
    let bullet_count = line.len() - bullets.len();
    if bullet_count > 0 && bullets.starts_with(char::is_whitespace) {
        let dashes = line[..bullet_count].chars().all(|c| c == '-');
        if !dashes || bullet_count == 1 {
            report(found, MarkupKind::List, line);
        }
    }
    if line.starts_with('|') {
        report(found, MarkupKind::Table, line);
    }
    let line = line.trim_end();
    if line.len() >= 4 && line.chars().all(|c| c == '-') {
        report(found, MarkupKind::Rule, line);
    }
}

fn braces(line: &str, found: &mut Vec<Markup>) {
    for (start, _) in line.match_indices('{') {
        let rest = &line[start + 1..];
        if let Some(inner) = rest.strip_prefix('{') {
            if inner.find("}}").is_some_and(|end| end > 0) {
                report(found, MarkupKind::Monospaced, &line[start..]);
            }
        } else if rest.starts_with(|c: char| c.is_alphanumeric() || "/-_$!".contains(c)) && rest.contains('}')
        {
            report(found, MarkupKind::Macro, &line[start..]);
        }
    }
}

fn brackets(line: &str, found: &mut Vec<Markup>) {
    for (start, _) in line.match_indices('[') {
        let Some(length) = line[start + 1..].find([']', '[']) else { continue };
        let inner = &line[start + 1..start + 1 + length];
        let target = inner.rsplit('|').next().unwrap_or(inner).trim();
        if target.starts_with('~') {
            report(found, MarkupKind::Mention, &line[start..]);
        } else if inner.contains('|')
            || target.starts_with(['#', '^', '/', '@', '$'])
            || target.starts_with("www.")
            || ADDRESSES.iter().any(|scheme| target.to_lowercase().starts_with(scheme))
            || is_issue_key(target)
        {
            report(found, MarkupKind::Link, &line[start..]);
        }
    }
}

fn is_issue_key(text: &str) -> bool {
    text.split_once('-').is_some_and(|(project, number)| {
        project.len() > 1
            && project.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            && project.starts_with(|c: char| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

fn images(line: &str, found: &mut Vec<Markup>) {
    let marks: Vec<usize> = line.match_indices('!').map(|(at, _)| at).collect();
    for pair in marks.windows(2) {
        let inner = &line[pair[0] + 1..pair[1]];
        let before_is_word = line[..pair[0]].ends_with(char::is_alphanumeric);
        let names_something = !inner.is_empty()
            && !inner.starts_with(char::is_whitespace)
            && !inner.ends_with(char::is_whitespace);
        if names_something && !before_is_word && (inner.contains(['.', '/', ':', '|'])) {
            report(found, MarkupKind::Image, &line[pair[0]..]);
        }
    }
}

fn phrases(line: &str, found: &mut Vec<Markup>) {
    for (mark, kind) in [
        ("*", MarkupKind::Strong),
        ("_", MarkupKind::Emphasis),
        ("??", MarkupKind::Citation),
        ("-", MarkupKind::Deleted),
        ("+", MarkupKind::Inserted),
        ("^", MarkupKind::Superscript),
        ("~", MarkupKind::Subscript),
    ] {
        let mut from = 0;
        while let Some((start, end)) = phrase(line, mark, from) {
            report(found, kind, &line[start..end]);
            from = end;
        }
    }
}

/// Finds the first phrase between two marks. The opening mark is not within a word and not followed by a blank; for the closing mark, the
/// reverse holds.
fn phrase(line: &str, mark: &str, from: usize) -> Option<(usize, usize)> {
    let single = mark.chars().next()?;
    let places: Vec<usize> = line[from..].match_indices(mark).map(|(at, _)| from + at).collect();
    let opens = |at: usize| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric() && c != single && c != '\\')
            && after.is_some_and(|c| !c.is_whitespace() && c != single)
    };
    let closes = |at: usize| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        before.is_some_and(|c| !c.is_whitespace() && c != single)
            && after.is_none_or(|c| !c.is_alphanumeric() && c != single)
    };
    for (index, &start) in places.iter().enumerate() {
        if opens(start)
            && let Some(&end) =
                places[index + 1..].iter().find(|&&end| end > start + mark.len() && closes(end))
        {
            return Some((start, end + mark.len()));
        }
    }
    None
}

fn signs(line: &str, found: &mut Vec<Markup>) {
    for sign in EMOTICONS {
        for (at, _) in line.match_indices(sign) {
            let within_word = sign.starts_with([':', ';'])
                && (line[..at].ends_with(char::is_alphanumeric)
                    || line[at + sign.len()..].starts_with(char::is_alphanumeric));
            let star = sign == "(*"
                && !["(*)", "(*r)", "(*g)", "(*b)", "(*y)"].iter().any(|full| line[at..].starts_with(full));
            if !within_word && !star {
                report(found, MarkupKind::Emoticon, sign);
            }
        }
    }
    for dash in [" -- ", " --- "] {
        if line.contains(dash) {
            report(found, MarkupKind::Dash, dash);
        }
    }
    for scheme in ADDRESSES {
        for (at, _) in line.to_lowercase().match_indices(scheme) {
            let rest = line.get(at..).unwrap_or_default();
            let more = rest.get(scheme.len()..).unwrap_or_default();
            let in_brackets = line.get(..at).is_some_and(|before| before.ends_with(['[', '|']));
            if !in_brackets && more.starts_with(|c: char| c.is_alphanumeric() || c == '/') {
                report(found, MarkupKind::BareAddress, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<MarkupKind> {
        let mut kinds: Vec<_> = would_render(text).into_iter().map(|markup| markup.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    #[test]
    fn markup_is_found() {
        for (text, kind) in [
            ("{code}x", MarkupKind::Macro),
            ("{color:red}x{color}", MarkupKind::Macro),
            ("{noformat}*a* [~b]{noformat}", MarkupKind::Macro),
            ("see [here|https://example.com]", MarkupKind::Link),
            ("[https://example.com]", MarkupKind::Link),
            ("[^a.txt]", MarkupKind::Link),
            ("[SUP-12]", MarkupKind::Link),
            ("hello [~admin]", MarkupKind::Mention),
            ("[~accountid:5b10]", MarkupKind::Mention),
            ("https://example.com/", MarkupKind::BareAddress),
            ("!picture.png!", MarkupKind::Image),
            ("!https://example.com/x.png|thumbnail!", MarkupKind::Image),
            ("h1. Title", MarkupKind::Heading),
            ("bq. quoted", MarkupKind::Quote),
            ("* item", MarkupKind::List),
            ("text\n## item", MarkupKind::List),
            ("- item", MarkupKind::List),
            ("||head||", MarkupKind::Table),
            ("----", MarkupKind::Rule),
            ("a -- b", MarkupKind::Dash),
            ("a\\\\b", MarkupKind::LineBreak),
            ("very *strong* word", MarkupKind::Strong),
            ("(_emphasis_)", MarkupKind::Emphasis),
            ("??Jane??", MarkupKind::Citation),
            ("-gone-", MarkupKind::Deleted),
            ("+new+", MarkupKind::Inserted),
            ("^up^", MarkupKind::Superscript),
            ("~down~", MarkupKind::Subscript),
            ("{{mono}}", MarkupKind::Monospaced),
            ("fine :)", MarkupKind::Emoticon),
            ("(!) stop", MarkupKind::Emoticon),
        ] {
            let found = kinds(text);
            assert!(found.contains(&kind), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn text_stays_text() {
        for text in [
            "plain words, and a number: 2 * 3 * 4",
            "snake_case_name and a-b-c, 2026-07-01, ~/dir",
            "\\{code\\} \\[~admin\\] \\[a\\|b\\] \\!x.png\\! \\*a\\* \\_b\\_ \\-c\\- \\+d\\+ \\^e\\^ \\~f\\~ \\?\\?g\\?\\?",
            "\\* item\n\\- item\n\\# item\n\\|\\|head\\|\\|\n\\-\\-\\-\\-",
            "[Google Comment 3 by Jane Roe (2/3)] hello",
            "wow! and wow!",
            "C:\\temp\\file",
            "fine :\\) \\(y\\)",
            "a = {",
            "h1\\. no, h7. no, h1.5 no",
        ] {
            assert_eq!(would_render(text), [], "{text:?}");
        }
    }

    #[test]
    fn an_escape_after_a_backslash_is_none() {
        assert_eq!(kinds("\\\\{code}"), [MarkupKind::Macro, MarkupKind::LineBreak]);
    }

    #[test]
    fn a_verbatim_block_hides_what_is_inside_and_nothing_after_it() {
        assert_eq!(kinds("{noformat}\n* [~a] {color}\n{noformat}\nplain"), [MarkupKind::Macro]);
        assert_eq!(
            kinds("{noformat}a{noformat} [~admin] {noformat}b{noformat}"),
            [MarkupKind::Macro, MarkupKind::Mention]
        );
    }
}

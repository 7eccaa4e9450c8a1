//! Converts HTML from Request Tracker's editor to plain text.

/// Converts HTML to the plain text that a person would type instead. Paragraphs, lists, quotations and preformatted text keep their shape.
/// A link is followed by its target, an image is replaced by its description, and entities by their characters. Other tags are dropped;
/// text that only looks like a tag stays. Takes time in proportion to the length, for any text.
pub(super) fn to_text(html: &str) -> String {
    let mut reader = Reader { rest: html, out: Out::default(), next_end: None };
    while let Some(at) = reader.rest.find(['<', '&']) {
        let (text, rest) = reader.rest.split_at(at);
        reader.out.text(text);
        reader.rest = rest;
        if rest.starts_with('<') {
            reader.tag();
        } else {
            reader.entity();
        }
    }
    reader.out.text(reader.rest);
    reader.out.finish()
}

/// Number of bytes within which the end of a tag is searched outside quotation marks; a longer tag ends at its first `>`.
const LONGEST_QUOTED_TAG: usize = 1024;

/// Maximum depth at which quotations and lists are shown.
const DEEPEST: usize = 10;

/// Gap between the text so far and the next text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Line,
    Paragraph,
}

/// The output, line by line.
#[derive(Debug, Default)]
struct Out {
    done: String,
    line: String,
    gap: Gap,
    /// Depth of quotations; the next field is that of preformatted text.
    quotes: usize,
    preformatted: usize,
    /// Enclosing lists, innermost last: the number of the last item, if the list is numbered.
    lists: Vec<Option<u32>>,
    /// Target of the enclosing link, and the text that the link shows so far.
    link: Option<(String, String)>,
}

impl Out {
    fn end_line(&mut self) {
        let line = self.line.trim_end_matches([' ', '\u{a0}']);
        if !(self.done.is_empty() && line.is_empty()) {
            let mark = if line.is_empty() { ">" } else { "> " };
            let depth = self.quotes.min(DEEPEST);
            for level in 1..=depth {
                self.done.push_str(if level < depth { "> " } else { mark });
            }
            self.done.push_str(line);
            self.done.push('\n');
        }
        self.line.clear();
    }

    /// Requests a gap before the next text.
    fn gap(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn close_gap(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if gap > Gap::None && !self.line.is_empty() {
            self.end_line();
        }
        let ends_blank = self.done.is_empty() || self.done.ends_with("\n\n") || self.done.ends_with("\n>\n");
        if gap == Gap::Paragraph && !ends_blank {
            self.done.push('\n');
        }
    }

    /// Changes the quotation depth of the next lines; the lines before keep theirs.
    fn quote(&mut self, opens: bool) {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.quotes = if opens { self.quotes + 1 } else { self.quotes.saturating_sub(1) };
        self.gap(Gap::Paragraph);
    }

    /// Adds text between tags. Outside preformatted text, white space becomes one space.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => {
                    self.close_gap();
                    self.end_line();
                }
                '\r' if self.preformatted > 0 => {}
                ' ' | '\t' | '\n' | '\r' if self.preformatted == 0 => {
                    if self.gap == Gap::None && !self.line.is_empty() && !self.line.ends_with(' ') {
                        self.push(' ');
                    }
                }
                c => self.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.close_gap();
        self.line.push(c);
        if let Some((_, shown)) = &mut self.link {
            shown.push(c);
        }
    }

    fn item(&mut self) {
        self.gap(Gap::Line);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{number}. ")
            }
            Some(None) | None => "- ".to_owned(),
        };
        self.close_gap();
        self.line = "  ".repeat(self.lists.len().saturating_sub(1).min(DEEPEST));
        self.line.push_str(&mark);
    }

    /// Ends a link: adds its target, unless the link's text shows it.
    fn end_link(&mut self) {
        let Some((target, shown)) = self.link.take() else { return };
        let plain = target.strip_prefix("mailto:").unwrap_or(&target);
        let leads_out = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
        if leads_out && !shown.contains(plain.trim_end_matches('/')) {
            if shown.trim().is_empty() {
                self.text(plain);
            } else {
                self.text(" (");
                self.text(plain);
                self.text(")");
            }
        }
    }

    fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.done.trim_end().replace('\u{a0}', " ")
    }
}

struct Reader<'a> {
    rest: &'a str,
    out: Out,
    /// Cached position of the next `>`, as the number of bytes from it to the end of the text. `Some(0)` if there is none.
    next_end: Option<usize>,
}

impl Reader<'_> {
    /// Reads markup that begins with `<`.
    fn tag(&mut self) {
        let html = self.rest;
        if let Some(comment) = html.strip_prefix("<!--") {
            self.rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            return;
        }
        let closing = html.starts_with("</");
        let inner = &html[if closing { 2 } else { 1 }..];
        let is_tag = inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!');
        let Some(end) = is_tag.then(|| self.end_of_tag()).flatten() else {
            self.out.text("<");
            self.rest = &html[1..];
            return;
        };
        let tag = &html[1..end];
        self.rest = &html[end + 1..];
        let name: String =
            inner.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let out = &mut self.out;
        match (name.as_str(), closing) {
            ("script" | "style" | "title", false) => self.rest = after_element(self.rest, &name),
            ("br", _) => {
                out.close_gap();
                out.end_line();
            }
            ("pre", _) => {
                out.gap(Gap::Paragraph);
                out.preformatted =
                    if closing { out.preformatted.saturating_sub(1) } else { out.preformatted + 1 };
                if !closing {
                    self.rest =
                        self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix('\n')).unwrap_or(self.rest);
                }
            }
            ("blockquote", _) => out.quote(!closing),
            ("ul" | "ol", false) => {
                out.gap(if out.lists.is_empty() { Gap::Paragraph } else { Gap::Line });
                out.lists.push((name == "ol").then_some(0));
            }
            ("ul" | "ol", true) => {
                out.lists.pop();
                out.gap(if out.lists.is_empty() { Gap::Paragraph } else { Gap::Line });
            }
            ("li", false) => out.item(),
            ("p" | "table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6", _) => {
                // In an item, the first paragraph follows the item's mark on the same line.
                let in_item = !out.lists.is_empty() && (out.line.ends_with("- ") || out.line.ends_with(". "));
                out.gap(if in_item && !closing { Gap::None } else { Gap::Paragraph });
            }
            ("div" | "tr" | "hr" | "li", _) => out.gap(Gap::Line),
            ("td" | "th", true) => out.text(" "),
            ("a", false) => out.link = attribute(tag, "href").map(|target| (target, String::new())),
            ("a", true) => out.end_link(),
            ("img", false) => {
                if let Some(alt) = attribute(tag, "alt").filter(|alt| !alt.trim().is_empty()) {
                    out.text(&format!("[{alt}]"));
                }
            }
            _ => {}
        }
    }

    /// Finds the end of the tag at the beginning of `rest`.
    fn end_of_tag(&mut self) -> Option<usize> {
        let html = self.rest;
        let mut quote = None;
        for (at, byte) in html.bytes().enumerate().take(LONGEST_QUOTED_TAG) {
            match (byte, quote) {
                (b'>', None) => return Some(at),
                (b'"' | b'\'', None) => quote = Some(byte),
                (byte, Some(open)) if byte == open => quote = None,
                _ => {}
            }
        }
        // The search result serves all tags before that position.
        let is_behind = |left: &usize| *left <= html.len();
        let left =
            self.next_end.filter(is_behind).unwrap_or_else(|| html.find('>').map_or(0, |at| html.len() - at));
        self.next_end = Some(left);
        (left > 0).then(|| html.len() - left)
    }

    /// Reads text that begins with `&`.
    fn entity(&mut self) {
        let read = entity(self.rest);
        let (c, length) = read.unwrap_or(('&', 1));
        self.out.push(c);
        self.rest = &self.rest[length..];
    }
}

/// Returns the text after the end of an element whose content is not shown.
fn after_element<'a>(html: &'a str, name: &str) -> &'a str {
    let ends = html.match_indices("</").find(|(at, _)| {
        html.as_bytes()
            .get(at + 2..at + 2 + name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    });
    let rest = ends.map_or("", |(at, _)| &html[at..]);
    rest.find('>').map_or("", |end| &rest[end + 1..])
}

/// Returns the value of an attribute of a tag.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag.split_once(|c: char| c.is_ascii_whitespace())?.1;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace())?;
        let name = &rest[..end];
        let value = rest[end..].trim_start();
        let Some(value) = value.strip_prefix('=') else {
            rest = value;
            continue;
        };
        let value = value.trim_start();
        let (value, after) = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((value, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decoded(value));
        }
        rest = after;
    }
}

fn decoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        let (c, length) = entity(&rest[at..]).unwrap_or(('&', 1));
        text.push(c);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}

/// Entity names of U+00A0 to U+00FF, in order (HTML 4.01, "Character entity references").
const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 \
    acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig \
    Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave \
    Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave \
    iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/// Decodes the entity at the beginning of `html`; returns its character and its length.
fn entity(html: &str) -> Option<(char, usize)> {
    let end = html.bytes().take(12).position(|byte| byte == b';')?;
    let c = match html.get(1..end)? {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "sbquo" => '‚',
        "ldquo" => '“',
        "rdquo" => '”',
        "bdquo" => '„',
        "lsaquo" => '‹',
        "rsaquo" => '›',
        "bull" => '•',
        "euro" => '€',
        "trade" => '™',
        "larr" => '←',
        "rarr" => '→',
        "harr" => '↔',
        "le" => '≤',
        "ge" => '≥',
        "ne" => '≠',
        name => {
            if let Some(number) = name.strip_prefix('#') {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            } else {
                let mut names = ('\u{a0}'..='\u{ff}').zip(LATIN_1.split_whitespace());
                names.find(|(_, known)| *known == name)?.0
            }
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_becomes_what_a_person_reads() {
        for (html, text) in [
            ("plain", "plain"),
            ("<p>one</p>\n\n<p>two<br />three</p>", "one\n\ntwo\nthree"),
            ("one<br><br>two", "one\n\ntwo"),
            ("a &lt;b&gt; &amp;amp; &#228;&#x1f600; &unknown; &", "a <b> &amp; ä😀 &unknown; &"),
            ("&Uuml;ber &frac12; &yuml; &bdquo;x&ldquo; &shy;", "Über ½ ÿ „x“ \u{ad}"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<ul>\n\t<li>a</li>\n\t<li>b</li>\n</ul>", "- a\n- b"),
            (
                "<p>x</p><ol><li>a<ul><li>b</li></ul></li><li><p>c</p></li></ol>y",
                "x\n\n1. a\n  - b\n2. c\n\ny",
            ),
            ("x<script>alert(1)</SCRIPT>y<style>p{}</style><!-- no -->z", "xyz"),
            ("<b>bold</b> <a href=\"https://example.com\">link</a>", "bold link (https://example.com)"),
            (
                "<a href='https://example.com/?a=1&amp;b'>https://example.com/?a=1&amp;b</a>",
                "https://example.com/?a=1&b",
            ),
            (
                "<a class=x href=mailto:a@example.com>Ann</a> <a href=\"#top\">up</a>",
                "Ann (a@example.com) up",
            ),
            ("<a href=\"javascript:alert(1)\">x</a>", "x"),
            (
                "<a title=\"1 > 0\" href=\"https://e.example\"><img alt=\"a &gt; b\" src=\"x\"></a>",
                "[a > b] (https://e.example)",
            ),
            ("log:<pre>\n a\n\n   b  c\n</pre>end", "log:\n\n a\n\n   b  c\n\nend"),
            (
                "<p>I say</p><blockquote><p>one</p><p>two</p><blockquote>deep</blockquote></blockquote><p>no</p>",
                "I say\n\n> one\n\n> two\n\n> > deep\n\nno",
            ),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<p>unclosed", "unclosed"),
            ("end <", "end <"),
            ("<p>&nbsp;</p><p>x</p>", "x"),
            ("a &nbsp; b", "a   b"),
            ("<a \"unclosed quotation>x", "x"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn a_hostile_text_does_not_grow() {
        for piece in [
            "<a \"",
            "<a",
            "<script>",
            "</",
            "&amp",
            "<!--",
            "<blockquote>x",
            "<pre>\n",
            "<ul><li>x",
            "<a href=x>",
        ] {
            let html = piece.repeat(200_000 / piece.len());
            for html in [format!("{html}>"), html] {
                let length = to_text(&html).len();
                assert!(length <= html.len() * 3, "{length} of {} times {piece}", html.len() / piece.len());
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(html in "[<>&;#a-z/!\\-\"= äİ\n]{0,60}") {
            to_text(&html);
        }

        #[test]
        fn text_without_markup_is_its_words(text in "[a-zäß.,:0-9\\-]{1,8}( [a-zäß.,:0-9\\-]{1,8}){0,5}") {
            prop_assert_eq!(to_text(&text), text);
        }
    }
}

//! HTML as plain text, for every CRM whose people write HTML (`R25`: odd content is content).
//!
//! `html5ever` finds tags, attributes and entities; this file decides what of them a reader of plain text needs. Only tokens are read and
//! no tree is built, so deep nesting costs neither memory nor stack.

use std::cell::{Cell, RefCell};

use html5ever::tendril::SliceExt as _;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// Maximum depth at which quotations and lists are shown.
const DEEPEST: usize = 5;

/// Line around code.
const FENCE: &str = "```";

/// Converts HTML to the plain text that a person would type instead.
///
/// Paragraphs, lists, quotations and tables keep their shape; code stands between fences or backticks. A link is followed by its target, an
/// image is replaced by its description, an entity by its character. Other tags are dropped. Text that only looks like a tag stays.
///
/// Takes time in proportion to the length, and the text has at most twelve times the bytes of the HTML.
#[must_use]
pub fn to_text(html: &str) -> String {
    read(html, Out::default())
}

/// Converts HTML as version 0.1 read that of Request Tracker: cells of tables are separated by a space, and code has no marks.
pub(super) fn to_text_as_earlier(html: &str) -> String {
    read(html, Out { is_earlier: true, ..Out::default() })
}

fn read(html: &str, out: Out) -> String {
    let tokenizer = Tokenizer::new(
        Sink { out: RefCell::new(out), tokens: Cell::default() },
        TokenizerOpts { discard_bom: false, ..TokenizerOpts::default() },
    );
    let input = BufferQueue::default();
    let feed = |piece: &str| {
        let before = tokenizer.sink.tokens.get();
        input.push_back(piece.to_tendril());
        let _ = tokenizer.feed(&input);
        tokenizer.sink.tokens.get() != before
    };
    // Start of a tag that has not ended yet.
    let mut open = None;
    let (first, mut rest) = html.split_at(html.find('<').unwrap_or(html.len()));
    feed(first);
    while let Some(tag) = rest.strip_prefix('<') {
        let start = html.len() - rest.len();
        // A token shows that what came before has ended: inside of a tag, `<` is a character like any other.
        if feed("<") {
            open = None;
        }
        let (piece, next) = tag.split_at(tag.find('<').unwrap_or(tag.len()));
        if feed(piece) {
            open = None;
        } else {
            open = open.or(Some(start));
        }
        rest = next;
    }
    tokenizer.end();
    let mut out = tokenizer.sink.out.into_inner();
    let looks_like_a_tag = |start: &usize| {
        html[start + 1..].trim_start_matches('/').starts_with(|c: char| c.is_ascii_alphabetic())
    };
    if let Some(start) = open.filter(looks_like_a_tag)
        && !out.hidden
    {
        out.text(&html[start..]);
    }
    out.finish()
}

/// Gap between the text so far and the next text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Line,
    Paragraph,
}

/// State of the fence before code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fence {
    #[default]
    None,
    /// Wanted before the next text.
    Wanted,
    /// Written; the closing one has to follow.
    Written,
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
    fence: Fence,
    /// True if the text is read as version 0.1 read it.
    is_earlier: bool,
    /// True within an element whose content is not shown.
    hidden: bool,
    /// True directly after `<pre>`, where a line break has no meaning.
    skips_break: bool,
    /// Lengths of `done` and `line` when the current cell of a table began.
    cell: Option<(usize, usize)>,
    /// Cells of the current row that ended since the last text.
    cells: usize,
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
        if gap > Gap::None {
            self.cells = 0;
        }
        if gap > Gap::None && !self.line.is_empty() {
            self.end_line();
        }
        let ends_blank = self.done.is_empty() || self.done.ends_with("\n\n") || self.done.ends_with("\n>\n");
        if gap == Gap::Paragraph && !ends_blank {
            self.done.push('\n');
        }
        if self.fence == Fence::Wanted {
            self.fence = Fence::Written;
            FENCE.clone_into(&mut self.line);
            self.end_line();
        }
    }

    fn preformatted(&mut self, opens: bool) {
        if opens {
            self.gap(Gap::Paragraph);
            self.skips_break = true;
            self.preformatted += 1;
            return;
        }
        self.preformatted = self.preformatted.saturating_sub(1);
        self.end_fence();
        self.gap(Gap::Paragraph);
    }

    /// Begins or ends code: between fences if it is preformatted, else between backticks.
    fn code(&mut self, opens: bool) {
        if self.preformatted == 0 {
            self.text("`");
        } else if !opens {
            self.end_fence();
        } else if self.fence == Fence::None {
            self.gap(Gap::Line);
            self.fence = Fence::Wanted;
        }
    }

    fn end_fence(&mut self) {
        if std::mem::take(&mut self.fence) == Fence::Written {
            if !self.line.is_empty() {
                self.end_line();
            }
            FENCE.clone_into(&mut self.line);
            self.end_line();
        }
    }

    fn cell(&mut self, opens: bool) {
        if opens {
            self.close_gap();
            self.cell = Some((self.done.len(), self.line.len()));
        } else if self.cell.take().is_some_and(|(done, _)| done == self.done.len()) {
            // All of the cell is on one line: paragraphs in it do not end the row's line.
            self.gap = Gap::None;
            self.cells += 1;
        } else {
            self.gap(Gap::Line);
        }
    }

    /// True directly after the beginning of a cell or of an item of a list, whose first paragraph follows on the same line.
    fn begins_on_line(&self) -> bool {
        let in_item = !self.lists.is_empty() && (self.line.ends_with("- ") || self.line.ends_with(". "));
        let in_cell = self.cell == Some((self.done.len(), self.line.len()));
        in_item || (in_cell && self.gap == Gap::None)
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
        if self.hidden {
            return;
        }
        let skips_break = std::mem::take(&mut self.skips_break);
        let text = if skips_break { text.strip_prefix('\n').unwrap_or(text) } else { text };
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => {
                    self.close_gap();
                    self.end_line();
                }
                '\r' if self.preformatted > 0 => {}
                ' ' | '\t' | '\n' | '\r' if self.preformatted == 0 => {
                    let between = self.gap == Gap::None && self.cells == 0;
                    if between && !self.line.is_empty() && !self.line.ends_with(' ') {
                        self.push(' ');
                    }
                }
                c => self.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.close_gap();
        for _ in 0..std::mem::take(&mut self.cells) {
            if !self.line.is_empty() {
                self.line.truncate(self.line.trim_end_matches(' ').len());
                self.line.push_str(" | ");
            }
        }
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
        self.end_fence();
        self.done.trim_end().replace('\u{a0}', " ")
    }
}

/// Receives the tokens.
struct Sink {
    out: RefCell<Out>,
    /// Number of tokens so far.
    tokens: Cell<u64>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut out = self.out.borrow_mut();
        match token {
            Token::ParseError(_) | Token::EOFToken => return TokenSinkResult::Continue,
            Token::CharacterTokens(text) => out.text(&text),
            Token::NullCharacterToken => out.text("\0"),
            Token::TagToken(tag) => {
                self.tokens.set(self.tokens.get() + 1);
                return out.tag(&tag);
            }
            Token::DoctypeToken(_) | Token::CommentToken(_) => {}
        }
        self.tokens.set(self.tokens.get() + 1);
        TokenSinkResult::Continue
    }
}

impl Out {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let closing = tag.kind == TagKind::EndTag;
        self.skips_break = false;
        if self.is_earlier
            && ["code", "kbd", "samp", "tt", "s", "del", "strike", "input", "td", "th"].contains(&&*tag.name)
        {
            if closing && ["td", "th"].contains(&&*tag.name) {
                self.text(" ");
            }
            return TokenSinkResult::Continue;
        }
        match (&*tag.name, closing) {
            ("script", false) => return self.hide(RawKind::ScriptData),
            ("style", false) => return self.hide(RawKind::Rawtext),
            ("title", false) => return self.hide(RawKind::Rcdata),
            ("script" | "style" | "title", true) => self.hidden = false,
            ("br", _) => {
                self.close_gap();
                self.end_line();
            }
            ("pre", _) => self.preformatted(!closing),
            ("code" | "kbd" | "samp" | "tt", _) => self.code(!closing),
            ("s" | "del" | "strike", _) => self.text("~~"),
            ("blockquote", _) => self.quote(!closing),
            ("ul" | "ol", false) => {
                self.gap(if self.lists.is_empty() { Gap::Paragraph } else { Gap::Line });
                self.lists.push((&*tag.name == "ol").then_some(0));
            }
            ("ul" | "ol", true) => {
                self.lists.pop();
                self.gap(if self.lists.is_empty() { Gap::Paragraph } else { Gap::Line });
            }
            ("li", false) => self.item(),
            ("p" | "table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6", _) => {
                self.gap(if self.begins_on_line() && !closing { Gap::None } else { Gap::Paragraph });
            }
            // Zendesk's frame around a text that was typed without formatting: a page shows it with its blanks and line breaks.
            ("div", false)
                if attribute(tag, "class").is_some_and(|class| class.contains("zd-comment-pre")) =>
            {
                self.preformatted += 1;
            }
            ("div", false) if self.begins_on_line() => {}
            (
                "div" | "tr" | "hr" | "li" | "dt" | "dd" | "section" | "article" | "header" | "footer"
                | "address" | "figure" | "figcaption" | "caption" | "details" | "summary" | "center",
                _,
            ) => self.gap(Gap::Line),
            ("td" | "th", _) => self.cell(!closing),
            ("a", false) => {
                self.link = attribute(tag, "href").map(|target| (target.to_owned(), String::new()));
            }
            ("a", true) => self.end_link(),
            ("img", false) => self.image(attribute(tag, "alt").unwrap_or_default()),
            ("input", false)
                if attribute(tag, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("checkbox")) =>
            {
                self.text(if attribute(tag, "checked").is_some() { "[x] " } else { "[ ] " });
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn hide(&mut self, kind: RawKind) -> TokenSinkResult<()> {
        self.hidden = true;
        TokenSinkResult::RawData(kind)
    }

    /// Adds the description of an image. One without letters stands for itself, as that of an emoji.
    fn image(&mut self, description: &str) {
        let description = description.trim();
        if description.chars().any(char::is_alphanumeric) {
            self.text(&format!("[{description}]"));
        } else {
            self.text(description);
        }
    }
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
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
            (
                "<table><tr><th>a</th><th><p>b</p></th></tr>\n<tr><td></td> <td>c</td> </tr><tr><td><p>d</p><p>e</p></td><td>f</td></tr></table>x",
                "a | b\nc\nd\n\ne\n\nf\n\nx",
            ),
            ("use <code>rm</code>, <pre><code>a\n</code></pre>", "use `rm`,\n\n```\na\n```"),
            ("<s>no</s> <img alt='\u{1f600}'><input type=checkbox checked>done", "~~no~~ \u{1f600}[x] done"),
            ("a <b and \"c\" <d", "a <b and \"c\" <d"),
            ("x <!-- never ends", "x"),
            ("x<style>p{}", "x"),
            ("&notin; &lang; &amp;amp &Eacute", "\u{2209} \u{27e8} &amp \u{c9}"),
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
                assert!(length <= html.len() * 12, "{length} of {} times {piece}", html.len() / piece.len());
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(html in "[<>&;#a-z/!\\-\"= äİ\n]{0,60}") {
            prop_assert!(to_text(&html).len() <= html.len() * 12);
        }

        #[test]
        fn no_word_is_lost(
            pieces in prop::collection::vec(("(</?(p|div|li|ul|ol|td|tr|table|blockquote|pre|b|code|s|a href=x|br)>| |\n)", "[a-z]{1,5}"), 0..30)
        ) {
            let html: String = pieces.iter().map(|(tag, word)| format!("{tag}{word}")).collect();
            let text = to_text(&html);
            let letters: String = text.chars().filter(char::is_ascii_lowercase).collect();
            let expected: String = pieces.iter().map(|(_, word)| word.as_str()).collect();
            prop_assert_eq!(letters, expected, "{}", html);
        }

        #[test]
        fn text_without_markup_is_its_words(text in "[a-zäß.,:0-9\\-]{1,8}( [a-zäß.,:0-9\\-]{1,8}){0,5}") {
            prop_assert_eq!(to_text(&text), text);
        }
    }
}
